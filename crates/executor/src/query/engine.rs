//! DataFusion as all queries share it, and the part that one run of a query owns.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::common::{DFSchema, Result as DfResult};
use datafusion::execution::context::SessionState;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{SessionStateDefaults, TaskContext};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;
use tessera_planner::by_value::{self, CompareByValue};
use tessera_planner::errors::report_of;
use tessera_planner::join_order::JoinOrder;
use tessera_types::Report;

use super::apply::Planner;
use super::memory::{MemoryBudget, QueryMemory};
use super::subqueries;
use crate::context::{StatementContext, StatementExtension};
use crate::executor::{Executor, ExecutorOptions};

/// Rules over the physical plan of a subquery: what operators require, and limits.
const SUBPLAN_RULES: [&str; 4] = [
    "OutputRequirements",
    "EnsureRequirements",
    "LimitPushdown",
    "SanityCheckPlan",
];

/// Rules, configuration and runtime that all queries share.
pub(crate) struct QueryEngine {
    base: SessionState,
    runtime: Arc<RuntimeEnv>,
    budget: Arc<MemoryBudget>,
}

impl QueryEngine {
    /// Makes it once.
    pub(crate) fn new(options: &ExecutorOptions) -> Result<QueryEngine, Report> {
        let mut disk = DiskManagerBuilder::default();
        match &options.spill_directory {
            Some(directory) => {
                disk.set_mode(DiskManagerMode::Directories(vec![directory.clone()]));
                disk.set_max_temp_directory_size(options.spill_bytes_max);
            }
            None => disk.set_mode(DiskManagerMode::Disabled),
        }
        let runtime = RuntimeEnvBuilder::new()
            .with_disk_manager_builder(disk)
            .build_arc()
            .map_err(report_of)?;
        let mut config = SessionConfig::new()
            .with_target_partitions(options.parallelism.max(1))
            .with_batch_size(options.batch_rows.max(1))
            .with_information_schema(false)
            .with_default_features();
        let settings = config.options_mut();
        settings.optimizer.prefer_existing_sort = true;
        let base = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime.clone())
            .with_default_features()
            .with_expr_planners(SessionStateDefaults::default_expr_planners())
            .with_analyzer_rule(Arc::new(CompareByValue))
            .with_optimizer_rules(optimizer_rules())
            .with_query_planner(Arc::new(Planner))
            .build();
        let budget = MemoryBudget::new(options.memory_budget_bytes);
        Ok(QueryEngine {
            base,
            runtime,
            budget,
        })
    }

    /// Optimizes and plans a query that needs no statement, to be kept.
    pub(crate) async fn plan(
        &self,
        logical: &LogicalPlan,
    ) -> Result<Arc<dyn ExecutionPlan>, Report> {
        physical_plan(&self.base, logical.clone()).await
    }

    /// What plans within a running task: a subquery for one tuple of values.
    pub(super) fn state_of(&self, task: &TaskContext) -> SessionState {
        // Such a plan runs many times over few rows: what makes large plans faster costs more
        // than it gives.
        let config = task.session_config().clone().with_target_partitions(1);
        let rules = PhysicalOptimizer::new().rules.into_iter();
        let rules = rules.filter(|rule| SUBPLAN_RULES.contains(&rule.name()));
        let mut state = SessionStateBuilder::new_from_existing(self.base.clone())
            .with_config(config)
            .with_runtime_env(task.runtime_env())
            .with_physical_optimizer_rules(rules.collect())
            .build();
        state.mark_start_execution();
        state
    }
}

/// Decides about subqueries, optimizes and plans.
async fn physical_plan(
    state: &SessionState,
    logical: LogicalPlan,
) -> Result<Arc<dyn ExecutionPlan>, Report> {
    let optimize = |plan: &LogicalPlan| state.optimize(plan);
    let logical = subqueries::decide(logical, &optimize).map_err(report_of)?;
    state
        .create_physical_plan(&logical)
        .await
        .map_err(report_of)
}

/// DataFusion's rules, with ours where filters have been pushed down and columns are not pruned.
fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    // The rule may appear twice; the last one ends the pass.
    let at = rules
        .iter()
        .rposition(|rule| rule.name() == "optimize_projections");
    let at = at.unwrap_or(rules.len());
    rules.insert(at, Arc::new(JoinOrder));
    rules
}

/// Configuration defaults in one call, so that `new` reads as a list.
trait Defaults {
    fn with_default_features(self) -> Self;
}

impl Defaults for SessionConfig {
    fn with_default_features(mut self) -> Self {
        let options = self.options_mut();
        // Our scans do not act on dynamic filters.
        options.optimizer.enable_dynamic_filter_pushdown = false;
        options.optimizer.skip_failed_rules = false;
        options.execution.collect_statistics = true;
        self
    }
}

/// One execution of a query: its statement, its memory, its configuration.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) executor: Executor,
    pub(crate) statement: StatementContext,
    state: Arc<SessionState>,
    runtime: Arc<RuntimeEnv>,
}

impl Run {
    /// For a statement that has started.
    pub(crate) fn new(executor: &Executor, context: &StatementContext) -> Result<Run, Report> {
        let engine = executor.queries();
        let bytes_max = context
            .session
            .query_memory_bytes_max
            .unwrap_or(executor.options().query_memory_bytes_max);
        let runtime = Arc::new(RuntimeEnv {
            memory_pool: QueryMemory::new(&engine.budget, bytes_max),
            ..engine.runtime.as_ref().clone()
        });
        let mut config = engine.base.config().clone();
        config.options_mut().extensions.insert(StatementExtension {
            statement: context.clone(),
            executor: executor.clone(),
            ranges: Arc::default(),
        });
        let mut state = SessionStateBuilder::new_from_existing(engine.base.clone())
            .with_config(config)
            .with_runtime_env(runtime.clone())
            .build();
        // Physical expressions take their configuration, and with it the statement, from here.
        state.mark_start_execution();
        Ok(Run {
            executor: executor.clone(),
            statement: context.clone(),
            state: Arc::new(state),
            runtime,
        })
    }

    /// Optimizes and plans.
    pub(crate) async fn plan(
        &self,
        logical: LogicalPlan,
    ) -> Result<Arc<dyn ExecutionPlan>, Report> {
        physical_plan(&self.state, logical).await
    }

    /// What operators see while they run.
    pub(crate) fn task(&self) -> Arc<TaskContext> {
        Arc::new(TaskContext::new(
            None,
            String::new(),
            self.state.config().clone(),
            HashMap::new(),
            HashMap::new(),
            HashMap::new(),
            HashMap::new(),
            self.runtime.clone(),
        ))
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Run")
    }
}

/// One expression, ready to evaluate; with a statement, its functions see it.
pub(crate) fn physical_expression(
    executor: &Executor,
    context: Option<&StatementContext>,
    expr: &Expr,
    schema: &DFSchema,
) -> Result<Arc<dyn PhysicalExpr>, Report> {
    let make = || -> DfResult<Arc<dyn PhysicalExpr>> {
        let mut props = ExecutionProps::new();
        let mut config = executor.queries().base.config().options().as_ref().clone();
        if let Some(context) = context {
            config.extensions.insert(StatementExtension {
                statement: context.clone(),
                executor: executor.clone(),
                ranges: Arc::default(),
            });
        }
        props.config_options = Some(Arc::new(config));
        let expr = by_value::expression(expr.clone(), schema)?;
        create_physical_expr(&expr, schema, &props, &PhysicalPlanningContext::default())
    };
    make().map_err(report_of)
}
