//! Orders inner joins by estimated sizes, which DataFusion does not.
//!
//! A tree of inner joins is flattened to its relations and predicates. The order is found by
//! dynamic programming over connected subsets up to [`EXACT_RELATIONS_MAX`] relations (the
//! `DPsub` algorithm: Moerkotte and Neumann, "Analysis of Two Existing and One New Dynamic
//! Programming Algorithm", VLDB 2006), by greedy operator ordering above. The cost is the sum of
//! all intermediate sizes. An order is changed only for one that is clearly cheaper.
//!
//! # Not here
//! Outer joins keep their place; which side is built into a hash table (DataFusion's own rule).

mod estimate;

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, NullEquality, Result};
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{
    Expr, ExprSchemable, Join, JoinConstraint, JoinType, LogicalPlan, LogicalPlanBuilder, Operator,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use estimate::{Estimates, rows_of};

/// Relations up to which every order is considered.
const EXACT_RELATIONS_MAX: usize = 9;

/// Relations up to which an order is looked for at all.
const RELATIONS_MAX: usize = 40;

/// A new order must cost less than this share of the old one.
const GAIN: f64 = 0.95;

/// What joining without a condition costs more than its size says.
const CROSS_PENALTY: f64 = 100.0;

/// The rule.
#[derive(Debug, Default)]
pub struct JoinOrder;

impl OptimizerRule for JoinOrder {
    fn name(&self) -> &str {
        "join_order"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        if !is_reorderable(&plan) {
            return Ok(Transformed::no(plan));
        }
        let mut graph = Graph::default();
        let old = graph.flatten(&plan)?;
        if graph.relations.len() < 3 || graph.relations.len() > RELATIONS_MAX {
            return Ok(Transformed::no(plan));
        }
        graph.measure();
        let old_cost = graph.cost(&old).cost;
        let new = if graph.relations.len() <= EXACT_RELATIONS_MAX {
            graph.exact()
        } else {
            graph.greedy()
        };
        if graph.cost(&new).cost >= old_cost * GAIN {
            return Ok(Transformed::no(plan));
        }
        let wanted = plan.schema().clone();
        let ordered = graph.build(&new)?;
        restore_columns(ordered, &wanted).map(Transformed::yes)
    }
}

/// An inner join whose place among others does not matter.
fn is_reorderable(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Join(join)
        if join.join_type == JoinType::Inner
            && join.null_equality == NullEquality::NullEqualsNothing)
}

/// A set of relations, one bit each.
type Mask = u64;

/// The order of a join tree.
#[derive(Debug, Clone, PartialEq)]
enum Tree {
    Leaf(usize),
    Join(Box<Tree>, Box<Tree>),
}

impl Tree {
    fn mask(&self) -> Mask {
        match self {
            Tree::Leaf(i) => 1 << i,
            Tree::Join(left, right) => left.mask() | right.mask(),
        }
    }
}

/// A condition between relations.
#[derive(Debug, Clone)]
struct Predicate {
    /// All relations that it reads.
    mask: Mask,
    /// Both sides of an equality, with what they read.
    sides: Option<[(Expr, Mask); 2]>,
    expr: Expr,
    /// Share of the combinations that it keeps.
    selectivity: f64,
}

/// What a subset's best tree costs.
#[derive(Debug, Clone, Copy)]
struct Cost {
    rows: f64,
    cost: f64,
}

/// Relations and the conditions between them.
#[derive(Debug, Default)]
struct Graph {
    relations: Vec<Arc<LogicalPlan>>,
    predicates: Vec<Predicate>,
    rows: Vec<f64>,
}

impl Graph {
    /// Takes a tree of inner joins apart, and says how it was ordered.
    fn flatten(&mut self, plan: &LogicalPlan) -> Result<Tree> {
        let LogicalPlan::Join(join) = plan else {
            return Ok(self.leaf(plan));
        };
        if !is_reorderable(plan) {
            return Ok(self.leaf(plan));
        }
        let left = self.flatten(&join.left)?;
        let right = self.flatten(&join.right)?;
        for (l, r) in &join.on {
            self.predicates.push(Predicate {
                mask: 0,
                sides: Some([(l.clone(), 0), (r.clone(), 0)]),
                expr: l.clone().eq(r.clone()),
                selectivity: 1.0,
            });
        }
        for expr in join
            .filter
            .iter()
            .flat_map(|f| split_conjunction_owned(f.clone()))
        {
            let sides = match &expr {
                Expr::BinaryExpr(binary) if binary.op == Operator::Eq => Some([
                    (binary.left.as_ref().clone(), 0),
                    (binary.right.as_ref().clone(), 0),
                ]),
                _ => None,
            };
            self.predicates.push(Predicate {
                mask: 0,
                sides,
                expr,
                selectivity: 1.0,
            });
        }
        Ok(Tree::Join(Box::new(left), Box::new(right)))
    }

    fn leaf(&mut self, plan: &LogicalPlan) -> Tree {
        self.relations.push(Arc::new(plan.clone()));
        Tree::Leaf(self.relations.len() - 1)
    }

    /// Estimates sizes and selectivities, once all relations are known.
    fn measure(&mut self) {
        self.rows = self.relations.iter().map(|plan| rows_of(plan)).collect();
        let schemas: Vec<&DFSchema> = self
            .relations
            .iter()
            .map(|plan| plan.schema().as_ref())
            .collect();
        let estimates: Vec<Estimates> = self
            .relations
            .iter()
            .map(|plan| Estimates::of(plan))
            .collect();
        let mask_of = |expr: &Expr| -> Mask {
            let mut mask = 0;
            for column in expr.column_refs() {
                for (i, schema) in schemas.iter().enumerate() {
                    if schema.has_column(column) {
                        mask |= 1 << i;
                    }
                }
            }
            mask
        };
        for predicate in &mut self.predicates {
            predicate.mask = mask_of(&predicate.expr);
            let Some(sides) = &mut predicate.sides else {
                predicate.selectivity = estimate::OTHER_SHARE;
                continue;
            };
            for (expr, mask) in sides.iter_mut() {
                *mask = mask_of(expr);
            }
            let distinct = |(expr, mask): &(Expr, Mask)| -> Option<f64> {
                let Expr::Column(column) = expr else {
                    return None;
                };
                estimates
                    .get(mask.trailing_zeros() as usize)?
                    .distinct(column)
            };
            let most = |(_, mask): &(Expr, Mask)| -> f64 {
                estimates
                    .get(mask.trailing_zeros() as usize)
                    .map_or(1.0, |e| e.base_rows)
            };
            let [left, right] = &*sides;
            let values = match (distinct(left), distinct(right)) {
                (Some(l), Some(r)) => l.max(r),
                (Some(only), None) | (None, Some(only)) => only,
                // Nothing known: a foreign key into the smaller side.
                (None, None) => most(left).min(most(right)),
            };
            predicate.selectivity = 1.0 / values.max(1.0);
        }
    }

    /// Predicates that can be tested when two sets meet, and not before.
    fn between(&self, left: Mask, right: Mask) -> impl Iterator<Item = &Predicate> {
        self.predicates.iter().filter(move |predicate| {
            predicate.mask & !(left | right) == 0
                && predicate.mask & left != 0
                && predicate.mask & right != 0
        })
    }

    fn join_cost(&self, left: (Mask, Cost), right: (Mask, Cost)) -> Cost {
        let mut rows = left.1.rows * right.1.rows;
        let mut connected = false;
        for predicate in self.between(left.0, right.0) {
            rows *= predicate.selectivity;
            connected |= predicate.sides.is_some();
        }
        let rows = rows.max(1.0);
        // The smaller side is built into a hash table, which costs more than probing.
        let work = rows + 2.0 * left.1.rows.min(right.1.rows) + left.1.rows.max(right.1.rows);
        let penalty = if connected { 1.0 } else { CROSS_PENALTY };
        Cost {
            rows,
            cost: left.1.cost + right.1.cost + work * penalty,
        }
    }

    fn leaf_cost(&self, i: usize) -> Cost {
        Cost {
            rows: self.rows.get(i).copied().unwrap_or(1.0).max(1.0),
            cost: 0.0,
        }
    }

    fn cost(&self, tree: &Tree) -> Cost {
        match tree {
            Tree::Leaf(i) => self.leaf_cost(*i),
            Tree::Join(left, right) => {
                let (l, r) = (self.cost(left), self.cost(right));
                self.join_cost((left.mask(), l), (right.mask(), r))
            }
        }
    }

    /// The cheapest tree of all.
    fn exact(&self) -> Tree {
        let count = self.relations.len();
        let all: Mask = (1 << count) - 1;
        let mut best: HashMap<Mask, (Cost, Tree)> = HashMap::new();
        for i in 0..count {
            best.insert(1 << i, (self.leaf_cost(i), Tree::Leaf(i)));
        }
        for set in 1..=all {
            if set.count_ones() < 2 {
                continue;
            }
            let mut found: Option<(Cost, Mask)> = None;
            // Every split, each once: the side with the lowest bit is the first.
            let lowest = set & set.wrapping_neg();
            let mut part = (set - 1) & set;
            while part != 0 {
                if part & lowest != 0
                    && let (Some((l, _)), Some((r, _))) =
                        (best.get(&part), best.get(&(set & !part)))
                {
                    let cost = self.join_cost((part, *l), (set & !part, *r));
                    if found.is_none_or(|(before, _)| cost.cost < before.cost) {
                        found = Some((cost, part));
                    }
                }
                part = (part - 1) & set;
            }
            if let Some((cost, part)) = found
                && let (Some((l, left)), Some((r, right))) =
                    (best.get(&part), best.get(&(set & !part)))
            {
                // DataFusion builds the left side.
                let (left, right) = if l.rows <= r.rows {
                    (left, right)
                } else {
                    (right, left)
                };
                let tree = Tree::Join(Box::new(left.clone()), Box::new(right.clone()));
                best.insert(set, (cost, tree));
            }
        }
        best.remove(&all)
            .map_or_else(|| self.greedy(), |(_, tree)| tree)
    }

    /// Joins the two sets whose join is smallest, until one is left.
    fn greedy(&self) -> Tree {
        let mut parts: Vec<(Tree, Cost)> = (0..self.relations.len())
            .map(|i| (Tree::Leaf(i), self.leaf_cost(i)))
            .collect();
        while parts.len() > 1 {
            let mut found: Option<(usize, usize, Cost, f64)> = None;
            for i in 0..parts.len() {
                for j in i + 1..parts.len() {
                    let (a, b) = (&parts[i], &parts[j]);
                    let cost = self.join_cost((a.0.mask(), a.1), (b.0.mask(), b.1));
                    let added = cost.cost - a.1.cost - b.1.cost;
                    if found.is_none_or(|(_, _, _, before)| added < before) {
                        found = Some((i, j, cost, added));
                    }
                }
            }
            let Some((i, j, cost, _)) = found else { break };
            let (right, right_cost) = parts.swap_remove(j);
            let (left, left_cost) = parts.swap_remove(i);
            let (left, right) = if left_cost.rows <= right_cost.rows {
                (left, right)
            } else {
                (right, left)
            };
            parts.push((Tree::Join(Box::new(left), Box::new(right)), cost));
        }
        parts.pop().map_or(Tree::Leaf(0), |(tree, _)| tree)
    }

    /// The plan of a tree. Every predicate is tested once, where its relations first meet.
    fn build(&self, tree: &Tree) -> Result<LogicalPlan> {
        match tree {
            Tree::Leaf(i) => {
                let plan = self.relations[*i].as_ref().clone();
                let own: Vec<Expr> = self
                    .predicates
                    .iter()
                    .filter(|predicate| predicate.mask & !(1 << i) == 0)
                    .map(|predicate| predicate.expr.clone())
                    .collect();
                match own.into_iter().reduce(Expr::and) {
                    Some(filter) => LogicalPlanBuilder::from(plan).filter(filter)?.build(),
                    None => Ok(plan),
                }
            }
            Tree::Join(left, right) => {
                let (left_mask, right_mask) = (left.mask(), right.mask());
                let left = self.build(left)?;
                let right = self.build(right)?;
                let mut on = Vec::new();
                let mut filters = Vec::new();
                for predicate in self.between(left_mask, right_mask) {
                    match &predicate.sides {
                        Some([(a, a_mask), (b, b_mask)])
                            if *a_mask != 0
                                && *b_mask != 0
                                && a_mask & !left_mask == 0
                                && b_mask & !right_mask == 0
                                && same_type(a, &left, b, &right) =>
                        {
                            on.push((a.clone(), b.clone()));
                        }
                        Some([(a, a_mask), (b, b_mask)])
                            if *a_mask != 0
                                && *b_mask != 0
                                && a_mask & !right_mask == 0
                                && b_mask & !left_mask == 0
                                && same_type(b, &left, a, &right) =>
                        {
                            on.push((b.clone(), a.clone()));
                        }
                        _ => filters.push(predicate.expr.clone()),
                    }
                }
                let join = Join::try_new(
                    Arc::new(left),
                    Arc::new(right),
                    on,
                    filters.into_iter().reduce(Expr::and),
                    JoinType::Inner,
                    JoinConstraint::On,
                    NullEquality::NullEqualsNothing,
                    false,
                )?;
                Ok(LogicalPlan::Join(join))
            }
        }
    }
}

fn same_type(a: &Expr, left: &LogicalPlan, b: &Expr, right: &LogicalPlan) -> bool {
    match (a.get_type(left.schema()), b.get_type(right.schema())) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// The columns in the order in which the plan above expects them.
fn restore_columns(plan: LogicalPlan, wanted: &DFSchema) -> Result<LogicalPlan> {
    if plan.schema().columns() == wanted.columns() {
        return Ok(plan);
    }
    let columns: Vec<Expr> = wanted
        .columns()
        .into_iter()
        .map(|c: Column| Expr::Column(c))
        .collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chain a–b–c where b–c alone is small.
    fn chain() -> Graph {
        let edge = |mask: Mask, selectivity: f64| Predicate {
            mask,
            sides: Some([(Expr::default(), 0), (Expr::default(), 0)]),
            expr: Expr::default(),
            selectivity,
        };
        Graph {
            relations: vec![Arc::new(LogicalPlan::default()); 3],
            predicates: vec![edge(0b011, 1e-6), edge(0b110, 1e-6)],
            rows: vec![1e6, 1e6, 10.0],
        }
    }

    #[test]
    fn small_joins_come_first_and_cross_products_never() {
        let graph = chain();
        let bad = Tree::Join(
            Box::new(Tree::Join(Box::new(Tree::Leaf(0)), Box::new(Tree::Leaf(1)))),
            Box::new(Tree::Leaf(2)),
        );
        for tree in [graph.exact(), graph.greedy()] {
            assert!(graph.cost(&tree).cost < graph.cost(&bad).cost);
            let Tree::Join(left, right) = &tree else {
                panic!("three relations make a join")
            };
            let inner = [left, right]
                .into_iter()
                .find(|t| matches!(***t, Tree::Join(..)));
            assert_eq!(inner.map(|t| t.mask()), Some(0b110), "b and c first");
        }
    }
}
