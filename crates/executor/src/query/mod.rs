//! Queries through DataFusion: prepared once, planned for their parameters, run as a stream.
//!
//! # Map
//! - `subqueries`: how each subquery is executed: once, by a join, or by an operator of ours;
//!   `apply`: that operator.
//! - `environment`: what the binder asks of catalog and session.
//! - `engine`: [`QueryEngine`]: rules and configuration shared by all queries.
//! - `described`: an identity that says the SQL type of its value.
//! - `lock_rows`: FOR UPDATE and its kin.
//! - `memory`: one budget for all queries, and a limit for each.
//! - `stream`: a running plan on the query runtime, ended by cancel or by being dropped.

mod apply;
mod described;
mod engine;
mod environment;
mod lock_rows;
mod memory;
mod stream;
mod subqueries;

use std::sync::{Arc, OnceLock};

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use datafusion::sql::sqlparser::ast;
use tessera_planner::arrow_types::sql_type_of;
use tessera_planner::bind::Binder;
use tessera_planner::errors::{external, report_of};
use tessera_planner::{ColumnInfo, Parsed, scalar};
use tessera_types::{Report, SqlType, Value, codes};

use crate::context::{SessionContext, StatementContext};
use crate::executor::Executor;
use crate::outcome::{Outcome, RowBatch, RowStream};
use futures::{Stream, StreamExt};

pub(crate) use apply::{Apply, ApplyExec};
pub(crate) use engine::{QueryEngine, Run, physical_expression};
pub(crate) use environment::BindingEnvironment;
use lock_rows::LockRows;
pub(crate) use lock_rows::LockRowsExec;
pub(crate) use subqueries::has_subquery;

/// A query with its names and types resolved.
pub(crate) struct PreparedQuery {
    plan: LogicalPlan,
    columns: Arc<[ColumnInfo]>,
    /// No parameters, and every function depends on its arguments alone.
    is_pure: bool,
    /// Rows are locked on the way.
    locks_rows: bool,
    /// The physical plan of a pure query, made at its first execution; `None` when it cannot be
    /// kept.
    physical: OnceLock<Option<Arc<dyn ExecutionPlan>>>,
}

impl PreparedQuery {
    /// The columns of the result.
    pub(crate) fn columns(&self) -> &Arc<[ColumnInfo]> {
        &self.columns
    }
}

/// Resolves names and types of a query; completes `params`.
pub(crate) fn prepare(
    executor: &Executor,
    parsed: &Arc<Parsed>,
    query: &ast::Query,
    session: &Arc<SessionContext>,
    params: &mut Vec<Option<SqlType>>,
) -> Result<PreparedQuery, Report> {
    let environment = BindingEnvironment::new(executor, session);
    let mut binder = Binder::new(&environment, params).with_lines(parsed.lines.clone());
    let bound = binder.bind_query(query)?;
    let columns: Arc<[ColumnInfo]> = bound.column_infos().into();
    let is_pure = plan_is_pure(&bound.plan);
    let locks_rows = plan_locks_rows(&bound.plan);
    Ok(PreparedQuery {
        plan: bound.plan,
        columns,
        is_pure,
        locks_rows,
        physical: OnceLock::new(),
    })
}

/// Starts the query; its rows come as they are computed.
pub(crate) async fn execute(
    executor: &Executor,
    query: &PreparedQuery,
    context: &StatementContext,
) -> Result<Outcome, Report> {
    let run = Run::new(executor, context)?;
    let plan = if query.is_pure {
        kept_plan(executor, query).await?
    } else {
        let logical = plan_with_parameters(query.plan.clone(), &context.params)?;
        stream::Planned::Logical(logical)
    };
    let stream = stream::run(run, plan, query.columns.clone());
    let columns = query.columns.clone();
    let rows = if query.locks_rows {
        // Rows are locked before the statement ends, whoever reads them when.
        let limit = context.session.query_memory_bytes_max;
        let limit = limit.unwrap_or(executor.options().query_memory_bytes_max);
        let batches = to_end(stream, limit).await?.into_iter().map(Ok);
        RowStream::streamed(columns, "SELECT", futures::stream::iter(batches))
    } else {
        RowStream::streamed(columns, "SELECT", stream)
    };
    Ok(Outcome::Rows(rows))
}

/// All rows of a query that locks them.
async fn to_end(
    stream: impl Stream<Item = Result<RowBatch, Report>>,
    bytes_max: usize,
) -> Result<Vec<RowBatch>, Report> {
    let mut stream = std::pin::pin!(stream);
    let (mut batches, mut bytes) = (Vec::new(), 0_usize);
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        bytes = bytes.saturating_add(batch.memory_bytes());
        if bytes > bytes_max {
            return Err(Report::error(
                codes::OUT_OF_MEMORY,
                "the locked rows of one query take more memory than it may have",
            )
            .with_hint("Lock fewer rows at a time, or raise tessera.query_memory."));
        }
        batches.push(batch);
    }
    Ok(batches)
}

fn plan_locks_rows(plan: &LogicalPlan) -> bool {
    let mut locks = false;
    let walked = plan.apply_with_subqueries(|node| {
        locks |= LockRows::of(node).is_some();
        Ok(if locks {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    });
    locks || walked.is_err()
}

/// The plan of a pure query, kept from its first execution on.
async fn kept_plan(executor: &Executor, query: &PreparedQuery) -> Result<stream::Planned, Report> {
    let found = match query.physical.get() {
        Some(found) => found,
        None => {
            // Without the statement: a plan that is kept must not keep a snapshot alive.
            let physical = executor.queries().plan(&query.plan).await?;
            let physical = (!shares_results(&physical)?).then_some(physical);
            query.physical.get_or_init(|| physical)
        }
    };
    Ok(match found {
        Some(plan) => stream::Planned::Physical(fresh(plan)?),
        None => stream::Planned::Logical(query.plan.clone()),
    })
}

/// Whether two runs of a plan would use one place for the results of its scalar subqueries:
/// DataFusion's copies of such a plan share it.
fn shares_results(plan: &Arc<dyn ExecutionPlan>) -> Result<bool, Report> {
    plan.exists(|node| {
        let node: &dyn std::any::Any = node.as_ref();
        Ok(node.is::<ScalarSubqueryExec>())
    })
    .map_err(report_of)
}

/// Plans the query for these parameters, for EXPLAIN.
pub(crate) async fn physical_plan(
    query: &PreparedQuery,
    run: &Run,
    params: &[Value],
) -> Result<Arc<dyn ExecutionPlan>, Report> {
    run.plan(plan_with_parameters(query.plan.clone(), params)?)
        .await
}

/// Runs a plan and drops its rows, for EXPLAIN ANALYZE.
pub(crate) async fn run_to_end(run: Run, plan: Arc<dyn ExecutionPlan>) -> Result<(), Report> {
    use futures::StreamExt;
    let columns: Arc<[ColumnInfo]> = Arc::from([]);
    let mut rows = Box::pin(stream::run(run, stream::Planned::Physical(plan), columns));
    while let Some(batch) = rows.next().await {
        batch?;
    }
    Ok(())
}

/// A plan whose operators have not run yet.
fn fresh(plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>, Report> {
    reset_plan_states(plan.clone()).map_err(report_of)
}

/// Whether an expression's value depends on its columns alone.
pub(crate) fn is_pure(expr: &Expr) -> bool {
    !expr
        .exists(|inner| {
            Ok(match inner {
                Expr::ScalarFunction(call) => {
                    call.func.signature().volatility != Volatility::Immutable
                }
                Expr::Placeholder(_) => true,
                _ => false,
            })
        })
        .unwrap_or(true)
}

fn plan_is_pure(plan: &LogicalPlan) -> bool {
    let mut pure = true;
    let walked = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            pure &= is_pure(expr);
            Ok(if pure {
                TreeNodeRecursion::Continue
            } else {
                TreeNodeRecursion::Stop
            })
        })
    });
    pure && walked.is_ok()
}

/// The expression with its parameters' values put in.
pub(crate) fn with_parameters(expr: Expr, params: &[Value]) -> Result<Expr, Report> {
    Ok(expr
        .transform_up(|expr| put_in(expr, params))
        .map_err(report_of)?
        .data)
}

fn put_in(expr: Expr, params: &[Value]) -> datafusion::common::Result<Transformed<Expr>> {
    let Expr::Placeholder(placeholder) = &expr else {
        return Ok(Transformed::no(expr));
    };
    let index: usize = placeholder.id.trim_start_matches('$').parse().unwrap_or(0);
    let value = params.get(index.wrapping_sub(1)).ok_or_else(|| {
        external(Report::error(
            codes::UNDEFINED_PARAMETER,
            format!("there is no parameter {}", placeholder.id),
        ))
    })?;
    let sql_type = placeholder
        .field
        .as_ref()
        .map_or(SqlType::Text, |field| sql_type_of(field));
    let literal = scalar::to_scalar(value, &sql_type).map_err(external)?;
    Ok(Transformed::yes(Expr::Literal(literal, None)))
}

/// The plan with its parameters' values put in.
fn plan_with_parameters(plan: LogicalPlan, params: &[Value]) -> Result<LogicalPlan, Report> {
    // Columns keep the names that their expressions had with the parameters.
    let plan =
        apply::map_expressions_deep(plan, &mut |expr| put_in(expr, params)).map_err(report_of)?;
    let plan = plan
        .transform_up_with_subqueries(|node| check_limit(node).map(Transformed::yes))
        .map_err(report_of)?
        .data;
    Ok(plan)
}

/// A LIMIT by parameter may turn out negative or NULL.
fn check_limit(node: LogicalPlan) -> datafusion::common::Result<LogicalPlan> {
    let LogicalPlan::Limit(mut limit) = node else {
        return Ok(node);
    };
    for (clause, expr) in [("OFFSET", &mut limit.skip), ("LIMIT", &mut limit.fetch)] {
        match expr.as_deref() {
            Some(Expr::Literal(ScalarValue::Int64(Some(rows)), _)) if *rows < 0 => {
                let code = if clause == "LIMIT" {
                    codes::INVALID_ROW_COUNT_IN_LIMIT_CLAUSE
                } else {
                    codes::INVALID_ROW_COUNT_IN_RESULT_OFFSET_CLAUSE
                };
                return Err(external(Report::error(
                    code,
                    format!("{clause} must not be negative"),
                )));
            }
            Some(Expr::Literal(value, _)) if value.is_null() => *expr = None,
            _ => {}
        }
    }
    Ok(LogicalPlan::Limit(limit))
}
