//! EXPLAIN: a plan as a tree of PostgreSQL's node names, as text or JSON.

mod logical;
mod physical;
mod render;
mod text;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tessera_planner::statement::{Explain, ExplainFormat};
use tessera_planner::{ColumnInfo, Statement};
use tessera_types::{Report, SqlType, Value};

use crate::context::{SessionContext, StatementContext};
use crate::executor::{Executor, Prepared};
use crate::outcome::{Outcome, RowBatch, RowStream};
use crate::query::{self, Run};

pub(crate) use text::expression_text;

/// One operator of a plan.
#[derive(Debug, Clone, Default)]
pub(crate) struct PlanNode {
    /// PostgreSQL's name of the operator, such as `Hash Join`.
    pub(crate) name: String,
    /// What it reads: relation and alias.
    pub(crate) relation: Option<String>,
    /// The index it uses.
    pub(crate) index: Option<String>,
    /// Further lines: `Filter`, `Sort Key`, ….
    pub(crate) details: Vec<(&'static str, String)>,
    /// Estimated rows.
    pub(crate) rows: Option<f64>,
    /// What ANALYZE measured.
    pub(crate) actual: Option<Actual>,
    /// Inputs.
    pub(crate) children: Vec<PlanNode>,
}

/// What one operator did.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Actual {
    /// Rows that it gave, over all its partitions.
    pub(crate) rows: usize,
    /// Time that it computed.
    pub(crate) time: Duration,
    /// Partitions.
    pub(crate) loops: usize,
}

impl PlanNode {
    /// A node without details.
    pub(crate) fn new(name: &str) -> PlanNode {
        PlanNode {
            name: name.to_owned(),
            ..PlanNode::default()
        }
    }

    /// Adds a line.
    pub(crate) fn with(mut self, key: &'static str, value: impl Into<String>) -> PlanNode {
        self.details.push((key, value.into()));
        self
    }

    /// Adds an input.
    pub(crate) fn over(mut self, child: PlanNode) -> PlanNode {
        self.children.push(child);
        self
    }
}

/// An EXPLAIN whose statement is prepared.
pub(crate) struct PreparedExplain {
    explain: Arc<Explain>,
    inner: Box<Prepared>,
}

impl PreparedExplain {
    /// One column of text or JSON.
    pub(crate) fn columns(&self) -> Arc<[ColumnInfo]> {
        let sql_type = match self.explain.format {
            ExplainFormat::Text => SqlType::Text,
            ExplainFormat::Json => SqlType::Json,
        };
        let column = ColumnInfo {
            name: "QUERY PLAN".to_owned(),
            sql_type,
            table: None,
            column: 0,
        };
        Arc::from([column])
    }
}

/// Prepares the explained statement.
pub(crate) fn prepare(
    executor: &Executor,
    explain: &Arc<Explain>,
    session: &Arc<SessionContext>,
    params: &mut Vec<Option<SqlType>>,
) -> Result<PreparedExplain, Report> {
    let mut parsed = explain.statement.as_ref().clone();
    if let Statement::Declare(declare) = &parsed.statement {
        parsed = declare.query.clone();
    }
    if matches!(
        parsed.statement,
        Statement::Execute(_) | Statement::CreateTableAs(_)
    ) {
        return Err(Report::unsupported(format!(
            "EXPLAIN of {} is not supported",
            parsed.statement.verb()
        )));
    }
    let inner = executor.prepare(&Arc::new(parsed), session, params)?;
    *params = inner.params.iter().cloned().map(Some).collect();
    Ok(PreparedExplain {
        explain: explain.clone(),
        inner: Box::new(inner),
    })
}

/// Plans, with ANALYZE runs, and prints.
pub(crate) async fn execute(
    executor: &Executor,
    prepared: &PreparedExplain,
    context: &StatementContext,
) -> Result<Outcome, Report> {
    let explain = &prepared.explain;
    let planned = Instant::now();
    let (plan, planning, execution) = match prepared.inner.query() {
        Some(query) => {
            let run = Run::new(executor, context)?;
            let physical = query::physical_plan(query, &run, &context.params).await?;
            let planning = planned.elapsed();
            let mut execution = None;
            if explain.analyze {
                let started = Instant::now();
                query::run_to_end(run, physical.clone()).await?;
                execution = Some(started.elapsed());
            }
            let plan = physical::plan_node(physical.as_ref(), explain.analyze, explain.verbose);
            (plan, planning, execution)
        }
        None => {
            let plan = other_plan(executor, &prepared.inner, context).await?;
            let planning = planned.elapsed();
            if explain.analyze {
                let (plan, execution) = run_other(executor, prepared, context, plan).await?;
                (plan, planning, Some(execution))
            } else {
                (plan, planning, None)
            }
        }
    };
    let times = render::Times {
        planning,
        execution,
    };
    let rows: Vec<Vec<Value>> = match explain.format {
        ExplainFormat::Text => render::text(&plan, explain, &times)
            .into_iter()
            .map(|line| vec![Value::text(line)])
            .collect(),
        ExplainFormat::Json => {
            vec![vec![Value::Json(
                render::json(&plan, explain, &times).into(),
            )]]
        }
    };
    let batch = RowBatch::from_values(rows, 1);
    Ok(Outcome::Rows(RowStream::ready(
        prepared.columns(),
        "EXPLAIN",
        batch,
    )))
}

/// The plan of a statement that is not a query.
async fn other_plan(
    executor: &Executor,
    prepared: &Prepared,
    context: &StatementContext,
) -> Result<PlanNode, Report> {
    if let Some(plan) = prepared.short_plan() {
        return Ok(crate::short_path::explain(plan));
    }
    if let Some(write) = prepared.write() {
        let plan = PlanNode::new(&write.describe());
        // The query that gives the rows of an INSERT, or finds those of an UPDATE or DELETE.
        let Some(query) = write.query() else {
            return Ok(plan);
        };
        let run = Run::new(executor, context)?;
        let physical = query::physical_plan(query, &run, &context.params).await?;
        return Ok(plan.over(physical::plan_node(physical.as_ref(), false, false)));
    }
    Err(Report::unsupported(
        "EXPLAIN is for queries and writes only",
    ))
}

/// Runs such a statement to its end.
async fn run_other(
    executor: &Executor,
    prepared: &PreparedExplain,
    context: &StatementContext,
    mut plan: PlanNode,
) -> Result<(PlanNode, Duration), Report> {
    let started = Instant::now();
    let outcome = Box::pin(executor.execute_plan(&prepared.inner, context)).await?;
    let mut rows = 0;
    match outcome {
        Outcome::Rows(mut stream) => {
            while let Some(batch) = stream.next().await {
                rows += batch?.rows();
            }
        }
        Outcome::Command(tag) => {
            rows = tag
                .rows
                .and_then(|rows| usize::try_from(rows).ok())
                .unwrap_or(0);
        }
        Outcome::CopyIn(_) | Outcome::CopyOut(_) => {}
    }
    let time = started.elapsed();
    plan.actual = Some(Actual {
        rows,
        time,
        loops: 1,
    });
    Ok((plan, time))
}
