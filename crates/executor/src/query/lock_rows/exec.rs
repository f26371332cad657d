//! The operator: locks row after row, and looks again at those that have changed.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, ScalarValue};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_expr::{LexOrdering, OrderingRequirements, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties,
    PlanProperties, execute_stream,
};
use futures::{StreamExt, TryStreamExt};
use tessera_locks::LockOptions;
use tessera_planner::bind::RowLockTarget;
use tessera_planner::errors::external;
use tessera_storage::KeySpace;
use tessera_transactions::RowLock;
use tessera_types::{Report, codes};

use super::LockRows;
use crate::context::{StatementContext, StatementExtension};
use crate::dml::target::{self, row_mode, wait_of};
use crate::executor::Executor;
use crate::query::Run;

/// Locks rows that pass.
pub(crate) struct LockRowsExec {
    input: Arc<dyn ExecutionPlan>,
    /// The input as a query, to be asked again for one row.
    query: Arc<LogicalPlan>,
    targets: Arc<[Target]>,
    /// How many rows are wanted.
    fetch: Option<usize>,
    ordering: Option<OrderingRequirements>,
    properties: Arc<PlanProperties>,
}

/// One relation whose rows are locked.
#[derive(Clone)]
struct Target {
    what: RowLockTarget,
    /// Position of the key's column.
    column: usize,
}

impl LockRowsExec {
    pub(crate) fn new(node: &LockRows, input: Arc<dyn ExecutionPlan>) -> Result<LockRowsExec> {
        let schema = node.input.schema();
        let mut targets = Vec::with_capacity(node.targets.len());
        for what in &node.targets {
            let Expr::Column(column) = &what.key else {
                return Err(external(Report::internal("a row key is not a column")));
            };
            targets.push(Target {
                column: schema.index_of_column(column)?,
                what: what.clone(),
            });
        }
        let ordering = input.output_ordering().cloned().map(requirement);
        Ok(LockRowsExec {
            properties: properties_of(&input),
            query: Arc::new(node.input.clone()),
            targets: targets.into(),
            fetch: None,
            ordering,
            input,
        })
    }

    /// What it locks, for EXPLAIN.
    pub(crate) fn text(&self) -> String {
        let targets: Vec<String> = self
            .targets
            .iter()
            .map(|target| format!("{} of {}", target.what.strength.words(), target.what.name))
            .collect();
        targets.join(", ")
    }

    /// The operator's input, for EXPLAIN.
    pub(crate) fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    fn with(&self, input: Arc<dyn ExecutionPlan>, fetch: Option<usize>) -> LockRowsExec {
        LockRowsExec {
            properties: properties_of(&input),
            query: self.query.clone(),
            targets: self.targets.clone(),
            ordering: self.ordering.clone(),
            input,
            fetch,
        }
    }
}

fn requirement(ordering: LexOrdering) -> OrderingRequirements {
    OrderingRequirements::from(ordering)
}

fn properties_of(input: &Arc<dyn ExecutionPlan>) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        // A row that changed keeps its place though its values may say otherwise: as in
        // PostgreSQL, the order is that of the snapshot.
        datafusion::physical_expr::EquivalenceProperties::new(input.schema()),
        datafusion::physical_plan::Partitioning::UnknownPartitioning(1),
        input.pipeline_behavior(),
        input.boundedness(),
    ))
}

impl ExecutionPlan for LockRowsExec {
    fn name(&self) -> &'static str {
        "LockRowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![self.ordering.clone()]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(input) = children.into_iter().next() else {
            return Err(external(Report::internal("an operator lost its input")));
        };
        Ok(Arc::new(self.with(input, self.fetch)))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        Some(Arc::new(self.with(self.input.clone(), limit)))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let options = context.session_config().options();
        let Some(extension) = StatementExtension::of(options) else {
            return Err(external(Report::internal(
                "row locks need a running statement",
            )));
        };
        let (statement, executor) = (extension.statement.clone(), extension.executor.clone());
        if statement.txn.is_read_only() {
            let words = self.targets.first().map_or("", |t| t.what.strength.words());
            return Err(external(Report::error(
                codes::READ_ONLY_SQL_TRANSACTION,
                format!("cannot execute SELECT {words} in a read-only transaction"),
            )));
        }
        let work = Work {
            input: self.input.execute(partition, context)?,
            locker: Locker {
                statement,
                executor,
                query: self.query.clone(),
                targets: self.targets.clone(),
            },
            left: self.fetch.unwrap_or(usize::MAX),
        };
        let schema = self.input.schema();
        let batches = futures::stream::try_unfold(work, |mut work| async move {
            Ok(work.next().await?.map(|batch| (batch, work)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// One execution.
struct Work {
    input: SendableRecordBatchStream,
    locker: Locker,
    left: usize,
}

impl Work {
    /// The next rows, locked; `None` at the end.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        while self.left > 0 {
            let Some(batch) = self.input.next().await.transpose()? else {
                return Ok(None);
            };
            let mut rows = Vec::new();
            for row in 0..batch.num_rows() {
                if self.left == 0 {
                    break;
                }
                if let Some(locked) = self.locker.row(&batch.slice(row, 1)).await? {
                    rows.push(locked);
                    self.left -= 1;
                }
            }
            if !rows.is_empty() {
                return Ok(Some(concat_batches(&batch.schema(), &rows)?));
            }
        }
        Ok(None)
    }
}

/// What locks the rows of a statement.
struct Locker {
    statement: StatementContext,
    executor: Executor,
    query: Arc<LogicalPlan>,
    targets: Arc<[Target]>,
}

impl Locker {
    /// Locks a row; gives it back, or its newest version. `None` when it no longer belongs to the
    /// result, or was skipped.
    async fn row(&self, row: &RecordBatch) -> Result<Option<RecordBatch>> {
        let mut changed = false;
        for target in self.targets.iter() {
            let Some(key) = key_of(row, target.column) else {
                continue;
            };
            match self.lock(&target.what, key).await.map_err(external)? {
                RowLock::Unchanged => {}
                RowLock::Changed => changed = true,
                RowLock::Skipped => return Ok(None),
            }
        }
        if !changed {
            return Ok(Some(row.clone()));
        }
        self.again(row).await
    }

    async fn lock(&self, what: &RowLockTarget, key: &[u8]) -> Result<RowLock, Report> {
        let txn = &self.statement.txn;
        let options = LockOptions {
            wait: wait_of(what.wait),
            ..target::lock_options(&self.statement)
        };
        let mode = row_mode(what.strength);
        let lock = txn.lock_row(what.relation, KeySpace::Rows, key, mode, &options);
        target::cancellable(&self.statement, async {
            lock.await.map_err(|error| error.report())
        })
        .await
    }

    /// Asks the query again for a row whose keys are locked; the locked relations are read as
    /// they are now.
    async fn again(&self, row: &RecordBatch) -> Result<Option<RecordBatch>> {
        let schema = self.query.schema();
        let mut builder = LogicalPlanBuilder::from(self.query.as_ref().clone());
        for target in self.targets.iter() {
            let (qualifier, field) = schema.qualified_field(target.column);
            let column = Expr::Column((qualifier, field).into());
            let filter = match key_of(row, target.column) {
                Some(key) => {
                    let key = ScalarValue::BinaryView(Some(key.to_vec()));
                    column.eq(Expr::Literal(key, None))
                }
                None => column.is_null(),
            };
            builder = builder.filter(filter)?;
        }
        let targets = self.targets.iter();
        let relations = targets.map(|target| target.what.relation).collect();
        let statement = self.statement.looking_again(relations);
        let run = Run::new(&self.executor, &statement).map_err(external)?;
        let plan = run.plan(builder.build()?).await.map_err(external)?;
        let found: Vec<RecordBatch> = execute_stream(plan, run.task())?.try_collect().await?;
        let first = found.into_iter().find(|batch| batch.num_rows() > 0);
        // The names may differ by qualifiers; the columns are the same.
        let in_schema = |batch: RecordBatch, schema: &SchemaRef| {
            RecordBatch::try_new(schema.clone(), batch.slice(0, 1).columns().to_vec())
        };
        Ok(first
            .map(|batch| in_schema(batch, &row.schema()))
            .transpose()?)
    }
}

/// The row's key; `None` where an outer join found no row.
fn key_of(row: &RecordBatch, column: usize) -> Option<&[u8]> {
    let keys = row.column(column).as_binary_view_opt()?;
    keys.is_valid(0).then(|| keys.value(0))
}

impl DisplayAs for LockRowsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LockRowsExec: {}", self.text())
    }
}

impl fmt::Debug for LockRowsExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LockRowsExec({})", self.text())
    }
}
