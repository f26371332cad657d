//! Decides how each subquery of a bound plan is executed, before DataFusion sees the plan.
//!
//! | subquery | becomes |
//! |---|---|
//! | scalar, not correlated | executed once (DataFusion) |
//! | EXISTS, IN in WHERE, correlated by conditions of its own WHERE | semi, anti or mark join (DataFusion) |
//! | scalar aggregate, correlated by equalities | left join with the groups (DataFusion) |
//! | scalar without aggregate, correlated by equalities | the same, over an aggregate that keeps one row and knows of more |
//! | LATERAL, correlated by conditions of its WHERE | join (DataFusion) |
//! | everything else | [`Apply`]: executed for each distinct tuple of outer values |
//!
//! # Map
//! - `extract`: subqueries of one node's expressions; guards of CASE, AND, OR, COALESCE.
//! - `joinable`: which subqueries DataFusion turns into joins with the right answers.
//! - `outer`: what a subquery reads from outside.
//! - `single_row`: the aggregate that keeps one row and knows of more.
//!
//! # Invariants
//! 1. Decisions go from the outside in: once a subquery is decided, what it read from outside
//!    is either a parameter, or read by a condition that becomes a join's.
//! 2. A plan that comes out has no subquery that DataFusion would refuse.

mod extract;
mod joinable;
mod outer;
mod single_row;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Aggregate, Expr, Filter, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Sort, Subquery,
    SubqueryAlias, Window,
};
use tessera_planner::errors::external;
use tessera_types::Report;

use super::apply::{Apply, Mode, Parameter};
use extract::Extraction;
pub(crate) use extract::has_subquery;

/// How the subquery of an [`Apply`] is optimized.
pub(crate) type Optimize<'a> = &'a dyn Fn(&LogicalPlan) -> Result<LogicalPlan>;

/// Decides about every subquery of a plan.
pub(crate) fn decide(plan: LogicalPlan, optimize: Optimize<'_>) -> Result<LogicalPlan> {
    if !any_subquery(&plan)? {
        return Ok(plan);
    }
    Pass {
        optimize,
        parameters: 0,
        columns: 0,
    }
    .plan(plan)
}

fn any_subquery(plan: &LogicalPlan) -> Result<bool> {
    plan.exists(|node| {
        let mut found = matches!(node, LogicalPlan::Subquery(_));
        node.apply_expressions(|expr| {
            found |= has_subquery(expr);
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(found)
    })
}

/// One walk over one statement.
pub(super) struct Pass<'a> {
    optimize: Optimize<'a>,
    /// Parameters made so far.
    parameters: usize,
    /// Columns made so far.
    columns: usize,
}

impl Pass<'_> {
    /// A plan and everything below it.
    pub(super) fn plan(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        stacker::maybe_grow(256 << 10, 2 << 20, || self.plan_inner(plan))
    }

    fn plan_inner(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        if let LogicalPlan::Join(join) = &plan
            && let Some((subquery, alias)) = lateral_side(&join.right)
        {
            let subquery = subquery.clone();
            let alias = alias.cloned();
            return self.lateral(join.clone(), subquery, alias);
        }
        let plan = plan
            .map_children(|child| self.plan(child).map(Transformed::yes))?
            .data;
        match plan {
            // Nothing outside is read any more.
            LogicalPlan::Subquery(subquery) => Ok(Arc::unwrap_or_clone(subquery.subquery)),
            LogicalPlan::Filter(filter) => self.filter(filter),
            LogicalPlan::Projection(projection) => {
                if !projection.expr.iter().any(has_subquery) {
                    return Ok(LogicalPlan::Projection(projection));
                }
                let input = Arc::unwrap_or_clone(projection.input);
                let mut extraction = Extraction::new(self, input);
                let exprs = extraction.named(projection.expr)?;
                LogicalPlanBuilder::from(extraction.input)
                    .project(exprs)?
                    .build()
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Window(window) => {
                if !window.window_expr.iter().any(has_subquery) {
                    return Ok(LogicalPlan::Window(window));
                }
                let kept = window.schema.clone();
                let input = Arc::unwrap_or_clone(window.input);
                let mut extraction = Extraction::new(self, input);
                let exprs = extraction.named(window.window_expr)?;
                let window = Window::try_new(exprs, Arc::new(extraction.input))?;
                restore(LogicalPlan::Window(window), &kept)
            }
            LogicalPlan::Sort(sort) => {
                if !sort.expr.iter().any(|key| has_subquery(&key.expr)) {
                    return Ok(LogicalPlan::Sort(sort));
                }
                let kept = sort.input.schema().clone();
                let input = Arc::unwrap_or_clone(sort.input);
                let mut extraction = Extraction::new(self, input);
                let mut keys = sort.expr;
                for key in &mut keys {
                    let expr = std::mem::take(&mut key.expr);
                    key.expr = extraction.expr(expr)?;
                }
                let sort = Sort {
                    expr: keys,
                    input: Arc::new(extraction.input),
                    fetch: sort.fetch,
                };
                restore(LogicalPlan::Sort(sort), &kept)
            }
            LogicalPlan::Join(join) => self.join(join),
            other => self.inner_plans(other),
        }
    }

    /// Uncorrelated subqueries in places where nothing else may stand.
    fn inner_plans(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        Ok(plan
            .map_expressions(|expr| {
                expr.transform_down(|expr| match expr {
                    Expr::ScalarSubquery(subquery) => {
                        let subquery = self.decided(subquery)?;
                        Ok(Transformed::new(
                            Expr::ScalarSubquery(subquery),
                            true,
                            TreeNodeRecursion::Jump,
                        ))
                    }
                    other => Ok(Transformed::no(other)),
                })
            })?
            .data)
    }

    /// A subquery that stays one, with all inside it decided.
    fn decided(&mut self, subquery: Subquery) -> Result<Subquery> {
        let plan = self.plan(Arc::unwrap_or_clone(subquery.subquery))?;
        Ok(Subquery {
            outer_ref_columns: plan.all_out_ref_exprs(),
            subquery: Arc::new(plan),
            spans: subquery.spans,
        })
    }

    fn filter(&mut self, filter: Filter) -> Result<LogicalPlan> {
        if !has_subquery(&filter.predicate) {
            return Ok(LogicalPlan::Filter(filter));
        }
        let kept = filter.input.schema().clone();
        let mut input = Arc::unwrap_or_clone(filter.input);
        // What needs no execution of ours comes first: fewer rows are left for it.
        let (mut first, mut last) = (Vec::new(), Vec::new());
        for condition in split_conjunction_owned(filter.predicate) {
            if !has_subquery(&condition) {
                first.push(condition);
                continue;
            }
            match joinable::condition(self, &condition, input.schema())? {
                Some(condition) => first.push(condition),
                None => last.push(condition),
            }
        }
        if let Some(first) = conjunction(first) {
            input = LogicalPlanBuilder::from(input).filter(first)?.build()?;
        }
        if last.is_empty() {
            return Ok(input);
        }
        let mut extraction = Extraction::new(self, input);
        let mut conditions = Vec::with_capacity(last.len());
        for condition in last {
            conditions.push(extraction.expr(condition)?);
        }
        let mut builder = LogicalPlanBuilder::from(extraction.input);
        if let Some(condition) = conjunction(conditions) {
            builder = builder.filter(condition)?;
        }
        restore(builder.build()?, &kept)
    }

    fn aggregate(&mut self, aggregate: Aggregate) -> Result<LogicalPlan> {
        let any = |exprs: &[Expr]| exprs.iter().any(has_subquery);
        if !any(&aggregate.group_expr) && !any(&aggregate.aggr_expr) {
            return Ok(LogicalPlan::Aggregate(aggregate));
        }
        let sets = |expr: &Expr| matches!(expr, Expr::GroupingSet(_)) && has_subquery(expr);
        if aggregate.group_expr.iter().any(sets) {
            return Err(external(Report::unsupported(
                "a subquery in GROUPING SETS, ROLLUP or CUBE",
            )));
        }
        let input = Arc::unwrap_or_clone(aggregate.input);
        let mut extraction = Extraction::new(self, input);
        let groups = extraction.named(aggregate.group_expr)?;
        let aggregates = extraction.named(aggregate.aggr_expr)?;
        Ok(LogicalPlan::Aggregate(Aggregate::try_new(
            Arc::new(extraction.input),
            groups,
            aggregates,
        )?))
    }

    /// A join whose condition holds subqueries.
    fn join(&mut self, join: Join) -> Result<LogicalPlan> {
        let condition = join
            .on
            .iter()
            .map(|(left, right)| left.clone().eq(right.clone()))
            .chain(join.filter.clone());
        let all: Vec<Expr> = condition.flat_map(split_conjunction_owned).collect();
        if !all.iter().any(has_subquery) {
            return Ok(LogicalPlan::Join(join));
        }
        let kept = join.schema.clone();
        let (with, without): (Vec<Expr>, Vec<Expr>) = all.into_iter().partition(has_subquery);
        if join.join_type == JoinType::Inner {
            let plan = LogicalPlanBuilder::from(Arc::unwrap_or_clone(join.left))
                .join_on(Arc::unwrap_or_clone(join.right), JoinType::Inner, without)?
                .build()?;
            let Some(condition) = conjunction(with) else {
                return Ok(plan);
            };
            return self.filter(Filter::try_new(condition, Arc::new(plan))?);
        }
        // A side's own subqueries are columns of that side.
        let (mut left, mut right) = (
            Arc::unwrap_or_clone(join.left),
            Arc::unwrap_or_clone(join.right),
        );
        let mut conditions = without;
        for condition in with {
            let reads = outer::sides(&condition, left.schema(), right.schema())?;
            let side = match reads {
                (_, false) => &mut left,
                (false, true) => &mut right,
                (true, true) => {
                    conditions.push(condition);
                    continue;
                }
            };
            let mut extraction = Extraction::new(self, std::mem::take(side));
            conditions.push(extraction.subqueries_only(condition)?);
            *side = extraction.input;
        }
        let (outer, inner) = match join.join_type {
            _ if !conditions.iter().any(has_subquery) => {
                let plan = LogicalPlanBuilder::from(left)
                    .join_on(right, join.join_type, conditions)?
                    .build()?;
                return restore(plan, &kept);
            }
            JoinType::Left => (left, right),
            JoinType::Right => (right, left),
            _ => {
                return Err(external(Report::unsupported(
                    "a subquery over both sides in the condition of a full join",
                )));
            }
        };
        // The rows of one side, for each row of the other.
        let columns = inner.schema().clone();
        let mut inside = LogicalPlanBuilder::from(inner);
        if let Some(condition) = conjunction(conditions) {
            inside = inside.filter(outer::seen_from_inside(condition, outer.schema())?)?;
        }
        let mode = Mode::Rows {
            columns,
            outer: true,
        };
        let plan = self.apply(outer, inside.build()?, None, None, |_| Ok(mode))?;
        LogicalPlanBuilder::from(plan)
            .project(kept.columns().into_iter().map(Expr::Column))?
            .build()
    }

    /// A join with a subquery that reads the other side.
    fn lateral(
        &mut self,
        join: Join,
        subquery: Subquery,
        alias: Option<SubqueryAlias>,
    ) -> Result<LogicalPlan> {
        let left = self.plan(Arc::unwrap_or_clone(join.left.clone()))?;
        let named = |plan: LogicalPlan| -> Result<LogicalPlan> {
            match &alias {
                Some(alias) => LogicalPlanBuilder::from(plan)
                    .alias(alias.alias.clone())?
                    .build(),
                None => Ok(plan),
            }
        };
        if !outer::reads(&subquery.subquery, left.schema())? {
            let right = named(self.plan(Arc::unwrap_or_clone(subquery.subquery))?)?;
            return self.join(Join {
                left: Arc::new(left),
                right: Arc::new(right),
                ..join
            });
        }
        if let Some(right) = joinable::lateral(self, &subquery, &join, left.schema())? {
            let right = named(LogicalPlan::Subquery(right))?;
            return Ok(LogicalPlan::Join(Join {
                left: Arc::new(left),
                right: Arc::new(right),
                ..join
            }));
        }
        let conditions = join
            .on
            .into_iter()
            .map(|(left, right)| left.eq(right))
            .chain(join.filter);
        let condition = conjunction(conditions);
        let inside = Arc::unwrap_or_clone(subquery.subquery);
        match (join.join_type, condition) {
            (JoinType::Inner, condition) => {
                let columns = named(inside.clone())?.schema().clone();
                let mode = Mode::Rows {
                    columns,
                    outer: false,
                };
                let plan = self.apply(left, inside, None, None, |_| Ok(mode))?;
                match condition {
                    Some(condition) => self.filter(Filter::try_new(condition, Arc::new(plan))?),
                    None => Ok(plan),
                }
            }
            (JoinType::Left, condition) => {
                // The condition decides which rows there are, so it belongs inside.
                let mut inside = named(inside)?;
                let columns = inside.schema().clone();
                if let Some(condition) = condition {
                    let condition = outer::seen_from_inside(condition, left.schema())?;
                    inside = LogicalPlanBuilder::from(inside)
                        .filter(condition)?
                        .build()?;
                }
                let mode = Mode::Rows {
                    columns,
                    outer: true,
                };
                self.apply(left, inside, None, None, |_| Ok(mode))
            }
            _ => Err(external(Report::unsupported(
                "the combining JOIN type must be INNER or LEFT for a LATERAL reference",
            ))),
        }
    }

    /// Puts an [`Apply`] over a plan.
    pub(super) fn apply(
        &mut self,
        input: LogicalPlan,
        subquery: LogicalPlan,
        guard: Option<Expr>,
        rows_max: Option<usize>,
        mode: impl FnOnce(&LogicalPlan) -> Result<Mode>,
    ) -> Result<LogicalPlan> {
        let mut parameters: Vec<Parameter> = Vec::new();
        let inside = outer::with_parameters(subquery, input.schema(), |argument| {
            let found = parameters.iter().find(|p| p.argument == argument);
            match found {
                Some(parameter) => parameter.id.clone(),
                None => {
                    self.parameters += 1;
                    let id = format!("$outer{}", self.parameters);
                    parameters.push(Parameter {
                        id: id.clone(),
                        argument,
                    });
                    id
                }
            }
        })?;
        let mut inside = self.plan(inside)?;
        if let Some(rows_max) = rows_max {
            inside = LogicalPlanBuilder::from(inside)
                .limit(0, Some(rows_max))?
                .build()?;
        }
        let mode = mode(&inside)?;
        let inside = (self.optimize)(&inside)?;
        let apply = Apply::new(input, Arc::new(inside), parameters, guard, mode)?;
        Ok(apply.into_plan())
    }

    /// A name for a column that holds a subquery's answer.
    pub(super) fn fresh_column(&mut self) -> String {
        self.columns += 1;
        format!("subquery #{}", self.columns)
    }
}

/// The subquery on a join's right side, and its alias.
fn lateral_side(right: &LogicalPlan) -> Option<(&Subquery, Option<&SubqueryAlias>)> {
    match right {
        LogicalPlan::Subquery(subquery) => Some((subquery, None)),
        LogicalPlan::SubqueryAlias(alias) => match alias.input.as_ref() {
            LogicalPlan::Subquery(subquery) => Some((subquery, Some(alias))),
            _ => None,
        },
        _ => None,
    }
}

/// Takes away the columns that a step has added.
fn restore(plan: LogicalPlan, kept: &datafusion::common::DFSchema) -> Result<LogicalPlan> {
    if plan.schema().fields().len() == kept.fields().len() {
        return Ok(plan);
    }
    LogicalPlanBuilder::from(plan)
        .project(kept.columns().into_iter().map(Expr::Column))?
        .build()
}
