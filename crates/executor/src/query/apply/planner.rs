//! Plans our own nodes: [`Apply`] and [`LockRows`].

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

use super::{Apply, ApplyExec};
use crate::query::lock_rows::{LockRows, LockRowsExec};

/// DataFusion's planner, and ours for our own nodes.
#[derive(Debug)]
pub(crate) struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        logical: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(Planner)]);
        planner.create_physical_plan(logical, session).await
    }
}

#[async_trait]
impl ExtensionPlanner for Planner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if let (Some(locks), [input]) = (node.as_any().downcast_ref::<LockRows>(), inputs) {
            return Ok(Some(Arc::new(LockRowsExec::new(locks, input.clone())?)));
        }
        let (Some(apply), [input]) = (node.as_any().downcast_ref::<Apply>(), inputs) else {
            return Ok(None);
        };
        let physical = |expr: &Expr| {
            planner.create_physical_expr(expr, apply.input.schema(), session, context)
        };
        let exec = ApplyExec::new(apply, input.clone(), &physical)?;
        Ok(Some(Arc::new(exec)))
    }
}
