//! The subquery of an Apply: its plan for each tuple is made while it runs, so what is shown is
//! the logical one.

use datafusion::logical_expr::{Expr, JoinType, LogicalPlan};

use super::PlanNode;
use super::text::expression_text;
use crate::query::Apply;

/// The tree of a logical plan.
pub(super) fn plan_node(plan: &LogicalPlan) -> PlanNode {
    stacker::maybe_grow(128 << 10, 2 << 20, || node(plan))
}

fn node(plan: &LogicalPlan) -> PlanNode {
    match plan {
        LogicalPlan::Projection(projection) => plan_node(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => plan_node(&alias.input),
        LogicalPlan::Filter(filter) => {
            plan_node(&filter.input).with("Filter", expression_text(&filter.predicate))
        }
        LogicalPlan::TableScan(scan) => {
            let mut node = PlanNode::new("Scan");
            node.relation = Some(scan.table_name.table().to_owned());
            match scan.filters.as_slice() {
                [] => node,
                filters => node.with("Condition", all(filters)),
            }
        }
        other => {
            let node = named(other);
            other
                .inputs()
                .into_iter()
                .fold(node, |node, input| node.over(plan_node(input)))
        }
    }
}

fn named(plan: &LogicalPlan) -> PlanNode {
    if let Some(apply) = Apply::of(plan) {
        return PlanNode::new("Apply").over(plan_node(&apply.subquery));
    }
    match plan {
        LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => {
            PlanNode::new("Aggregate")
        }
        LogicalPlan::Aggregate(aggregate) => {
            PlanNode::new("HashAggregate").with("Group Key", all(&aggregate.group_expr))
        }
        LogicalPlan::Join(join) => {
            let name = match join.join_type {
                JoinType::Inner => "Join".to_owned(),
                other => format!("{other} Join"),
            };
            let on = join
                .on
                .iter()
                .map(|(left, right)| left.clone().eq(right.clone()));
            let conditions: Vec<Expr> = on.chain(join.filter.clone()).collect();
            match conditions.as_slice() {
                [] => PlanNode::new(&name),
                conditions => PlanNode::new(&name).with("Join Cond", all(conditions)),
            }
        }
        LogicalPlan::Sort(sort) => {
            let keys: Vec<Expr> = sort.expr.iter().map(|key| key.expr.clone()).collect();
            PlanNode::new("Sort").with("Sort Key", all(&keys))
        }
        LogicalPlan::Limit(_) => PlanNode::new("Limit"),
        LogicalPlan::Union(_) => PlanNode::new("Append"),
        LogicalPlan::Window(_) => PlanNode::new("WindowAgg"),
        LogicalPlan::Distinct(_) => PlanNode::new("Unique"),
        LogicalPlan::EmptyRelation(_) => PlanNode::new("Result"),
        LogicalPlan::Values(_) => PlanNode::new("Values Scan"),
        LogicalPlan::Unnest(_) => PlanNode::new("ProjectSet"),
        LogicalPlan::RecursiveQuery(_) => PlanNode::new("Recursive Union"),
        _ => PlanNode::new("Plan"),
    }
}

fn all(exprs: &[Expr]) -> String {
    let texts: Vec<String> = exprs.iter().map(expression_text).collect();
    texts.join(" AND ")
}
