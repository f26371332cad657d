//! DataFusion's physical operators by PostgreSQL's names.

use std::any::Any;
use std::time::Duration;

use datafusion::common::JoinType;
use datafusion::common::stats::Precision;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::text::physical_text;
use super::{Actual, PlanNode};
use crate::access::Access;
use crate::query::{ApplyExec, LockRowsExec};
use crate::scan::{ModelAccess, ModelScanExec, SystemScanExec, TableScanExec};

/// The tree of a physical plan.
pub(super) fn plan_node(plan: &dyn ExecutionPlan, analyze: bool, verbose: bool) -> PlanNode {
    let context = Context { analyze, verbose };
    context.node(plan)
}

struct Context {
    analyze: bool,
    verbose: bool,
}

impl Context {
    fn node(&self, plan: &dyn ExecutionPlan) -> PlanNode {
        let any: &dyn Any = plan;
        if let Some(filter) = any.downcast_ref::<FilterExec>() {
            return self.filter(plan, filter);
        }
        if let Some(projection) = any.downcast_ref::<ProjectionExec>() {
            let mut node = self.node(projection.input().as_ref());
            if self.verbose && !node.details.iter().any(|(key, _)| *key == "Output") {
                let output: Vec<String> = projection
                    .expr()
                    .iter()
                    .map(|e| physical_text(e.expr.as_ref()))
                    .collect();
                node.details.insert(0, ("Output", output.join(", ")));
            }
            return node;
        }
        if is_plumbing(plan.name())
            && let [child] = plan.children().as_slice()
        {
            return self.node(child.as_ref());
        }
        if let Some(aggregate) = any.downcast_ref::<AggregateExec>() {
            return self.aggregate(plan, aggregate);
        }
        let mut node = self.leaf_or_join(plan);
        if node.children.is_empty() {
            node.children = plan
                .children()
                .into_iter()
                .map(|child| self.node(child.as_ref()))
                .collect();
        }
        let node = self.measured(plan, node);
        // PostgreSQL shows the limit that a sort knows of above it.
        match any.downcast_ref::<SortExec>().and_then(SortExec::fetch) {
            Some(fetch) => {
                let mut limit = PlanNode::new("Limit");
                limit.rows = Some(fetch as f64);
                limit.actual = node.actual;
                limit.over(node)
            }
            None => node,
        }
    }

    /// Estimates, and what ANALYZE measured.
    fn measured(&self, plan: &dyn ExecutionPlan, mut node: PlanNode) -> PlanNode {
        #[expect(
            deprecated,
            reason = "its successor needs a context that EXPLAIN has no use for"
        )]
        if node.rows.is_none()
            && let Ok(statistics) = plan.partition_statistics(None)
        {
            node.rows = match statistics.num_rows {
                Precision::Exact(rows) | Precision::Inexact(rows) => Some(rows as f64),
                Precision::Absent => None,
            };
        }
        if self.analyze {
            let metrics = plan.metrics().map(|metrics| metrics.aggregate_by_name());
            let rows = metrics.as_ref().and_then(|m| m.output_rows()).unwrap_or(0);
            let nanos = metrics
                .as_ref()
                .and_then(|m| m.elapsed_compute())
                .unwrap_or(0);
            node.actual = Some(Actual {
                rows,
                time: Duration::from_nanos(nanos as u64),
                loops: plan.output_partitioning().partition_count(),
            });
        }
        node
    }

    /// A filter is a line of what it filters.
    fn filter(&self, plan: &dyn ExecutionPlan, filter: &FilterExec) -> PlanNode {
        let mut node = self.node(filter.input().as_ref());
        let text = physical_text(filter.predicate().as_ref());
        if self.analyze
            && let (Some(below), Some(rows)) = (
                node.actual.as_ref().map(|actual| actual.rows),
                plan.metrics().and_then(|metrics| metrics.output_rows()),
            )
        {
            node = node.with("Filter", text);
            node = node.with(
                "Rows Removed by Filter",
                below.saturating_sub(rows).to_string(),
            );
            if let Some(actual) = &mut node.actual {
                actual.rows = rows;
            }
            return node;
        }
        node.with("Filter", text)
    }

    fn aggregate(&self, plan: &dyn ExecutionPlan, aggregate: &AggregateExec) -> PlanNode {
        // The partial step below a final one is part of it.
        let mut input = aggregate.input().clone();
        if matches!(
            aggregate.mode(),
            AggregateMode::Final | AggregateMode::FinalPartitioned
        ) {
            loop {
                let any: &dyn Any = input.as_ref();
                if let Some(partial) = any.downcast_ref::<AggregateExec>() {
                    let below = partial.input().clone();
                    input = below;
                    break;
                }
                let children = input.children();
                let [child] = children.as_slice() else { break };
                let child = (*child).clone();
                input = child;
            }
        }
        let keys: Vec<String> = aggregate
            .group_expr()
            .expr()
            .iter()
            .map(|(expr, _)| physical_text(expr.as_ref()))
            .collect();
        let name = match (keys.is_empty(), aggregate.group_expr().is_single()) {
            (true, _) => "Aggregate",
            (false, true) => "HashAggregate",
            (false, false) => "MixedAggregate",
        };
        let mut node = PlanNode::new(name);
        if !keys.is_empty() {
            node = node.with("Group Key", keys.join(", "));
        }
        node = node.over(self.node(input.as_ref()));
        self.measured(plan, node)
    }

    fn leaf_or_join(&self, plan: &dyn ExecutionPlan) -> PlanNode {
        let any: &dyn Any = plan;
        if let Some(scan) = any.downcast_ref::<TableScanExec>() {
            return table_scan(scan);
        }
        if let Some(scan) = any.downcast_ref::<SystemScanExec>() {
            let mut node = PlanNode::new("Seq Scan");
            node.relation = Some(scan.relation().to_owned());
            return node;
        }
        if let Some(scan) = any.downcast_ref::<ModelScanExec>() {
            return model_scan(scan);
        }
        if let Some(locks) = any.downcast_ref::<LockRowsExec>() {
            let mut node = PlanNode::new("LockRows").with("Locks", locks.text());
            if let Some(rows) = plan.fetch() {
                node = node.with("Rows", rows.to_string());
            }
            return node.over(self.node(locks.input().as_ref()));
        }
        if let Some(apply) = any.downcast_ref::<ApplyExec>() {
            let arguments: Vec<String> = apply
                .arguments()
                .map(|(id, argument)| format!("{id} = {}", physical_text(argument)))
                .collect();
            let mut node = PlanNode::new("Apply").with("SubPlan", apply.kind_text());
            if !arguments.is_empty() {
                node = node.with("Parameters", arguments.join(", "));
            }
            return node
                .over(self.node(apply.input().as_ref()))
                .over(super::logical::plan_node(apply.subquery()));
        }
        if let Some(join) = any.downcast_ref::<HashJoinExec>() {
            let on: Vec<String> = join
                .on()
                .iter()
                .map(|(left, right)| {
                    format!(
                        "({} = {})",
                        physical_text(left.as_ref()),
                        physical_text(right.as_ref())
                    )
                })
                .collect();
            let mut node = PlanNode::new(&join_name("Hash", *join.join_type()))
                .with("Hash Cond", on.join(" AND "));
            if let Some(filter) = join.filter() {
                node = node.with("Join Filter", physical_text(filter.expression().as_ref()));
            }
            // PostgreSQL shows the probe side first, the build side under a Hash node.
            return node
                .over(self.node(join.right().as_ref()))
                .over(PlanNode::new("Hash").over(self.node(join.left().as_ref())));
        }
        if let Some(join) = any.downcast_ref::<NestedLoopJoinExec>() {
            let mut node = PlanNode::new(&join_name("Nested Loop", *join.join_type()));
            if let Some(filter) = join.filter() {
                node = node.with("Join Filter", physical_text(filter.expression().as_ref()));
            }
            return node;
        }
        if any.downcast_ref::<CrossJoinExec>().is_some() {
            return PlanNode::new("Nested Loop");
        }
        if let Some(sort) = any.downcast_ref::<SortExec>() {
            let keys: Vec<String> = sort.expr().iter().map(|key| sort_text(key)).collect();
            return PlanNode::new("Sort").with("Sort Key", keys.join(", "));
        }
        if let Some(limit) = any.downcast_ref::<GlobalLimitExec>() {
            let mut node = PlanNode::new("Limit");
            node.rows = limit.fetch().map(|fetch| fetch as f64);
            return node;
        }
        if any.downcast_ref::<LocalLimitExec>().is_some() {
            return PlanNode::new("Limit");
        }
        PlanNode::new(match plan.name() {
            "UnionExec" | "InterleaveExec" => "Append",
            "BoundedWindowAggExec" | "WindowAggExec" => "WindowAgg",
            "PlaceholderRowExec" | "EmptyExec" => "Result",
            "DataSourceExec" => "Values Scan",
            "SortMergeJoinExec" => "Merge Join",
            "UnnestExec" => "ProjectSet",
            "RecursiveQueryExec" => "Recursive Union",
            "WorkTableExec" => "WorkTable Scan",
            other => other.strip_suffix("Exec").unwrap_or(other),
        })
    }
}

/// Operators that move rows between partitions or batches and do nothing with them.
fn is_plumbing(name: &str) -> bool {
    matches!(
        name,
        "RepartitionExec"
            | "CoalescePartitionsExec"
            | "CoalesceBatchesExec"
            | "CooperativeExec"
            | "SortPreservingMergeExec"
            | "OutputRequirementExec"
            | "BufferExec"
    )
}

fn table_scan(scan: &TableScanExec) -> PlanNode {
    let chosen = scan.chosen();
    let mut node = PlanNode::new(match &chosen.access {
        Access::Nothing => "Result",
        Access::Table => "Seq Scan",
        Access::Keys(_) => "Row Key Scan",
        Access::Ranges { .. } => "Index Scan",
    });
    node.index.clone_from(&chosen.index_name);
    node.relation = Some(scan.table().def().name.clone());
    node.rows = Some(chosen.rows);
    if let Some(condition) = &chosen.condition {
        let key = if chosen.index_name.is_some() {
            "Index Cond"
        } else {
            "Condition"
        };
        node = node.with(key, condition.clone());
    }
    match scan.limit() {
        Some(limit) => node.with("Rows Wanted", limit.to_string()),
        None => node,
    }
}

fn model_scan(scan: &ModelScanExec) -> PlanNode {
    let chosen = scan.chosen();
    let mut node = PlanNode::new(match &chosen.access {
        ModelAccess::Nothing => "Result",
        ModelAccess::All | ModelAccess::Matching(_) => "Seq Scan",
        ModelAccess::Stored(_) => "Row Key Scan",
        ModelAccess::Keys(_)
        | ModelAccess::KeysBetween(..)
        | ModelAccess::Ids(_)
        | ModelAccess::Index(..) => "Index Scan",
    });
    node.index.clone_from(&chosen.index_name);
    node.relation = Some(scan.relation().name.clone());
    match &chosen.condition {
        Some(condition) if chosen.index_name.is_some() => {
            node.with("Index Cond", condition.clone())
        }
        _ => node,
    }
}

fn join_name(kind: &str, join_type: JoinType) -> String {
    let word = match join_type {
        JoinType::Inner => "",
        JoinType::Left => "Left",
        JoinType::Right => "Right",
        JoinType::Full => "Full",
        JoinType::LeftSemi => "Semi",
        JoinType::RightSemi => "Right Semi",
        JoinType::LeftAnti => "Anti",
        JoinType::RightAnti => "Right Anti",
        JoinType::LeftMark | JoinType::RightMark => "Mark",
    };
    match (kind, word) {
        ("Hash", "") => "Hash Join".to_owned(),
        ("Hash", word) => format!("Hash {word} Join"),
        (kind, "") => kind.to_owned(),
        (kind, word) => format!("{kind} {word} Join"),
    }
}

fn sort_text(key: &datafusion::physical_expr::PhysicalSortExpr) -> String {
    let mut text = physical_text(key.expr.as_ref());
    if key.options.descending {
        text.push_str(" DESC");
    }
    // NULLs go last going up and first going down, unless something else was asked.
    match (key.options.descending, key.options.nulls_first) {
        (false, true) => text.push_str(" NULLS FIRST"),
        (true, false) => text.push_str(" NULLS LAST"),
        _ => {}
    }
    text
}
