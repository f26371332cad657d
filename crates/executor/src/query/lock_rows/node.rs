//! Row locks as a logical node.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::common::{DFSchemaRef, Result};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use tessera_planner::bind::RowLockTarget;

/// Passes rows on after their rows of some relations are locked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct LockRows {
    pub(crate) input: LogicalPlan,
    pub(crate) targets: Vec<RowLockTarget>,
}

impl LockRows {
    /// As a plan.
    pub(crate) fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension {
            node: Arc::new(self),
        })
    }

    /// The node in a plan, if the plan is one.
    pub(crate) fn of(plan: &LogicalPlan) -> Option<&LockRows> {
        match plan {
            LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
            _ => None,
        }
    }
}

impl PartialOrd for LockRows {
    /// Plans have no order of their own.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for LockRows {
    fn name(&self) -> &str {
        "LockRows"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        self.targets
            .iter()
            .map(|target| target.key.clone())
            .collect()
    }

    /// A condition from outside decides before a row is locked, as in PostgreSQL.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LockRows:")?;
        for target in &self.targets {
            write!(f, " {} {}", target.strength.words(), target.relation)?;
        }
        Ok(())
    }

    fn with_exprs_and_inputs(
        &self,
        exprs: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> Result<LockRows> {
        let targets = self
            .targets
            .iter()
            .zip(exprs)
            .map(|(target, key)| RowLockTarget {
                key,
                ..target.clone()
            })
            .collect();
        Ok(LockRows {
            input: inputs.pop().unwrap_or_else(|| self.input.clone()),
            targets,
        })
    }

    /// The keys are needed, whoever wants them above.
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let _ = output_columns;
        Some(vec![(0..self.input.schema().fields().len()).collect()])
    }

    fn supports_limit_pushdown(&self) -> bool {
        false
    }
}
