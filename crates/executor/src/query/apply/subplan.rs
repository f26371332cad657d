//! One execution of a subquery for one tuple of values.

use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::execution::context::SessionState;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;
use tessera_planner::errors::external;
use tessera_types::{Report, codes};

use super::{Apply, map_expressions_deep};
use crate::context::StatementExtension;
use crate::query::stream::cancelled;

/// A subquery whose parameters get values.
#[derive(Debug, Clone)]
pub(super) struct Subplan {
    /// Optimized.
    pub(super) plan: Arc<LogicalPlan>,
    /// Names of the parameters.
    pub(super) ids: Arc<[String]>,
    /// Holds a function that may answer differently every time.
    pub(super) is_volatile: bool,
}

impl Subplan {
    pub(super) fn of(apply: &Apply) -> Result<Subplan> {
        Ok(Subplan {
            plan: apply.subquery.clone(),
            ids: apply.parameters.iter().map(|p| p.id.clone()).collect(),
            is_volatile: is_volatile(&apply.subquery)?,
        })
    }

    /// The plan for these values.
    pub(super) fn with_values(&self, values: &[ScalarValue]) -> Result<LogicalPlan> {
        map_expressions_deep(self.plan.as_ref().clone(), &mut |expr| {
            let Expr::Placeholder(placeholder) = &expr else {
                return Ok(Transformed::no(expr));
            };
            match self.ids.iter().position(|id| *id == placeholder.id) {
                Some(at) => Ok(Transformed::yes(Expr::Literal(values[at].clone(), None))),
                None => Ok(Transformed::no(expr)),
            }
        })
    }
}

fn is_volatile(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        if let Some(apply) = Apply::of(node) {
            found |= is_volatile(&apply.subquery)?;
        }
        node.apply_expressions(|expr| {
            found |= expr.is_volatile();
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(if found {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    })?;
    Ok(found)
}

/// Executes a subplan within a running task.
pub(super) struct Runner {
    subplan: Subplan,
    task: Arc<TaskContext>,
    /// Made when the first tuple needs it.
    state: OnceLock<SessionState>,
}

impl Runner {
    pub(super) fn new(subplan: Subplan, task: Arc<TaskContext>) -> Runner {
        Runner {
            subplan,
            task,
            state: OnceLock::new(),
        }
    }

    /// The rows for these values.
    pub(super) async fn start(&self, values: &[ScalarValue]) -> Result<SendableRecordBatchStream> {
        let options = self.task.session_config().options();
        let Some(extension) = StatementExtension::of(options) else {
            return Err(external(Report::internal(
                "a subquery needs a running statement",
            )));
        };
        if extension.statement.cancel.is_cancelled() {
            return Err(external(cancelled()));
        }
        let state = self
            .state
            .get_or_init(|| extension.executor.queries().state_of(&self.task));
        let plan = self.subplan.with_values(values)?;
        let planner = state.query_planner().clone();
        let physical = planner.create_physical_plan(&plan, state).await?;
        execute_stream(physical, self.task.clone())
    }

    /// The value of the only row; NULL of no row.
    pub(super) async fn scalar(&self, values: &[ScalarValue]) -> Result<Option<ScalarValue>> {
        let mut rows = self.start(values).await?;
        let mut found = None;
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            if batch.num_rows() == 0 {
                continue;
            }
            if batch.num_rows() > 1 || found.is_some() {
                return Err(external(more_than_one_row()));
            }
            found = Some(ScalarValue::try_from_array(batch.column(0), 0)?);
        }
        Ok(found)
    }

    /// Whether there is a row.
    pub(super) async fn exists(&self, values: &[ScalarValue]) -> Result<bool> {
        let mut rows = self.start(values).await?;
        while let Some(batch) = rows.next().await {
            if batch?.num_rows() > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// All rows.
    pub(super) async fn rows(&self, values: &[ScalarValue]) -> Result<Vec<RecordBatch>> {
        let mut rows = self.start(values).await?;
        let mut all = Vec::new();
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            if batch.num_rows() > 0 {
                all.push(batch);
            }
        }
        Ok(all)
    }
}

/// 21000.
pub(crate) fn more_than_one_row() -> Report {
    Report::error(
        codes::CARDINALITY_VIOLATION,
        "more than one row returned by a subquery used as an expression",
    )
}

/// The array in the type that the schema promised.
pub(super) fn in_type(array: &ArrayRef, wanted: &arrow::datatypes::DataType) -> Result<ArrayRef> {
    if array.data_type() == wanted {
        return Ok(array.clone());
    }
    Ok(cast(array, wanted)?)
}
