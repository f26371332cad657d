//! Which subqueries DataFusion turns into joins with the right answers.
//!
//! It can do more than is listed here, but not always as SQL says: a mark join knows no NULL,
//! a limit counts rows of all groups, and a filter above an aggregate sees no empty group.
//! So the shapes are listed that it has right, and its own check must agree.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, Exists, InSubquery, ScalarFunction};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Expr, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Subquery, lit,
};
use datafusion::optimizer::decorrelate::PullUpCorrelatedExpr;

use super::extract::has_subquery;
use super::{Pass, outer, single_row};
use crate::query::described;

/// A condition of WHERE whose subqueries all become joins, with what is inside them decided.
pub(super) fn condition(
    pass: &mut Pass<'_>,
    condition: &Expr,
    schema: &DFSchema,
) -> Result<Option<Expr>> {
    match condition {
        Expr::Not(inner) => match inner.as_ref() {
            Expr::Exists(exists) => {
                let negated = Exists::new(exists.subquery.clone(), !exists.negated);
                self::condition(pass, &Expr::Exists(negated), schema)
            }
            Expr::InSubquery(within) => {
                let negated = InSubquery::new(
                    within.expr.clone(),
                    within.subquery.clone(),
                    !within.negated,
                );
                self::condition(pass, &Expr::InSubquery(negated), schema)
            }
            _ => embedded(pass, condition, schema),
        },
        Expr::InSubquery(within) => {
            if has_subquery(&within.expr) {
                return Ok(None);
            }
            // NOT IN looks at NULLs per outer row; the join that does so knows one set only.
            if within.negated && outer::reads(&within.subquery.subquery, schema)? {
                return Ok(None);
            }
            let Some(column) = within.subquery.subquery.head_output_expr()? else {
                return Ok(None);
            };
            let equal = within.expr.as_ref().clone().eq(column);
            let subquery = joined(pass, &within.subquery, schema, Kind::Set(Some(equal)))?;
            Ok(subquery.map(|subquery| {
                let within = InSubquery::new(within.expr.clone(), subquery, within.negated);
                Expr::InSubquery(within)
            }))
        }
        _ => embedded(pass, condition, schema),
    }
}

/// A condition in which subqueries stand deeper.
fn embedded(pass: &mut Pass<'_>, condition: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let mut all = true;
    let replaced = condition.clone().transform_down(|expr| {
        if !all {
            return Ok(Transformed::new(expr, false, TreeNodeRecursion::Stop));
        }
        let kept = match &expr {
            Expr::Exists(exists) => {
                let subquery = without_irrelevant(&exists.subquery);
                joined(pass, &subquery, schema, Kind::Set(None))?
                    .map(|subquery| Expr::Exists(Exists::new(subquery, exists.negated)))
            }
            Expr::ScalarSubquery(_) => value(pass, &expr, schema)?,
            Expr::InSubquery(_) | Expr::SetComparison(_) => None,
            _ => return Ok(Transformed::no(expr)),
        };
        Ok(match kept {
            Some(kept) => Transformed::new(kept, true, TreeNodeRecursion::Jump),
            None => {
                all = false;
                Transformed::new(expr, false, TreeNodeRecursion::Stop)
            }
        })
    })?;
    Ok(all.then_some(replaced.data))
}

/// A subquery in the place of a value, as DataFusion can execute it.
pub(super) fn value(pass: &mut Pass<'_>, expr: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    match expr {
        Expr::ScalarSubquery(subquery) => {
            if !outer::reads(&subquery.subquery, schema)? {
                let decided = pass.decided(subquery.clone())?;
                return Ok(Some(Expr::ScalarSubquery(nullable(decided)?)));
            }
            if let Some(joined) = joined(pass, subquery, schema, Kind::Scalar)? {
                return Ok(Some(Expr::ScalarSubquery(joined)));
            }
            let Some(single) = single_row::over(subquery)? else {
                return Ok(None);
            };
            let joined = joined(pass, &single, schema, Kind::Scalar)?;
            joined
                .map(|joined| single_row::value_of(Expr::ScalarSubquery(joined)))
                .transpose()
        }
        Expr::Exists(exists) => {
            if !outer::reads(&exists.subquery.subquery, schema)? {
                return Ok(None);
            }
            let subquery = without_irrelevant(&exists.subquery);
            let counted = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone())
                .aggregate(Vec::<Expr>::new(), vec![count().alias("count")])?
                .build()?;
            let counted = subquery_of(counted, &subquery);
            let joined = joined(pass, &counted, schema, Kind::Scalar)?;
            Ok(joined.map(|joined| {
                let count = Expr::ScalarSubquery(joined);
                if exists.negated {
                    count.eq(lit(0_i64))
                } else {
                    count.gt(lit(0_i64))
                }
            }))
        }
        _ => Ok(None),
    }
}

/// Whether the subqueries in an expression become joins, which few kinds of node allow.
pub(super) fn is_join(expr: &Expr) -> bool {
    expr.exists(|inner| {
        Ok(matches!(
            inner,
            Expr::ScalarSubquery(subquery) if !subquery.outer_ref_columns.is_empty()
        ))
    })
    .unwrap_or(true)
}

/// The subquery of a LATERAL item, if it becomes a join.
pub(super) fn lateral(
    pass: &mut Pass<'_>,
    subquery: &Subquery,
    join: &Join,
    left: &DFSchema,
) -> Result<Option<Subquery>> {
    let simple = join.join_type == JoinType::Inner
        && join.on.is_empty()
        && join
            .filter
            .as_ref()
            .is_none_or(|filter| !has_subquery(filter));
    if !simple {
        return Ok(None);
    }
    joined(pass, subquery, left, Kind::Rows)
}

/// What is asked of a subquery.
enum Kind {
    /// Whether it has rows, or a row that equals something.
    Set(Option<Expr>),
    /// Its value.
    Scalar,
    /// Its rows.
    Rows,
}

/// The subquery with what is inside it decided, if DataFusion makes a join of it.
fn joined(
    pass: &mut Pass<'_>,
    subquery: &Subquery,
    schema: &DFSchema,
    kind: Kind,
) -> Result<Option<Subquery>> {
    let plan = &subquery.subquery;
    if !outer::reads(plan, schema)? {
        return Ok(match kind {
            Kind::Set(_) | Kind::Scalar => Some(pass.decided(subquery.clone())?),
            Kind::Rows => None,
        });
    }
    let has_shape = match kind {
        Kind::Scalar => is_aggregate_of_rows(plan),
        Kind::Set(_) | Kind::Rows => are_rows(plan),
    };
    if !has_shape || outer::reads_deeper(plan, schema)? || is_volatile(plan)? {
        return Ok(None);
    }
    let decided = pass.decided(subquery.clone())?;
    let mut pull_up = match kind {
        Kind::Set(equal) => PullUpCorrelatedExpr::new()
            .with_exists_sub_query(equal.is_none())
            .with_in_predicate_opt(equal),
        Kind::Scalar | Kind::Rows => PullUpCorrelatedExpr::new().with_need_handle_count_bug(true),
    };
    let tried = decided
        .subquery
        .as_ref()
        .clone()
        .rewrite(&mut pull_up)
        .data();
    Ok((tried.is_ok() && pull_up.can_pull_up).then_some(decided))
}

/// Rows of relations under conditions: conditions alone read what is outside.
fn are_rows(plan: &LogicalPlan) -> bool {
    if !outer::has_reference(plan) {
        return true;
    }
    let own = |plan: &LogicalPlan| !plan.contains_outer_reference();
    match plan {
        // A subquery in a condition that moves to a join could not be decided there.
        LogicalPlan::Filter(filter) => {
            !split_conjunction(&filter.predicate)
                .into_iter()
                .any(|condition| condition.contains_outer() && has_subquery(condition))
                && are_rows(&filter.input)
        }
        LogicalPlan::Projection(projection) => own(plan) && are_rows(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => are_rows(&alias.input),
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => {
            own(plan) && are_rows(&join.left) && are_rows(&join.right)
        }
        _ => false,
    }
}

/// One row: aggregates of such rows, and expressions over them.
fn is_aggregate_of_rows(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => {
            !plan.contains_outer_reference() && is_aggregate_of_rows(&projection.input)
        }
        LogicalPlan::SubqueryAlias(alias) => is_aggregate_of_rows(&alias.input),
        LogicalPlan::Aggregate(aggregate) => {
            aggregate.group_expr.is_empty()
                && !aggregate.aggr_expr.is_empty()
                && !plan.contains_outer_reference()
                && are_rows(&aggregate.input)
        }
        _ => false,
    }
}

fn is_volatile(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.is_volatile();
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// No row is NULL, also where the column itself never is.
fn nullable(subquery: Subquery) -> Result<Subquery> {
    let (qualifier, field) = subquery.subquery.schema().qualified_field(0);
    if field.is_nullable() || subquery.subquery.schema().fields().len() != 1 {
        return Ok(subquery);
    }
    let column = Expr::Column(Column::from((qualifier, field)));
    let name = field.name().clone();
    let function = described::function(Arc::new(field.as_ref().clone().with_nullable(true)));
    let value = Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![column]));
    let plan = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone())
        .project(vec![value.alias(name)])?
        .build()?;
    Ok(subquery_of(plan, &subquery))
}

/// Without what makes no difference to EXISTS.
fn without_irrelevant(subquery: &Subquery) -> Subquery {
    let mut plan = subquery.subquery.clone();
    loop {
        let inner = match plan.as_ref() {
            LogicalPlan::Projection(projection) => &projection.input,
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => &sort.input,
            LogicalPlan::Limit(limit) if limit.skip.is_none() && keeps_a_row(limit) => &limit.input,
            _ => break,
        };
        plan = inner.clone();
    }
    subquery_of(Arc::unwrap_or_clone(plan), subquery)
}

fn keeps_a_row(limit: &datafusion::logical_expr::Limit) -> bool {
    use datafusion::common::ScalarValue;
    matches!(
        limit.fetch.as_deref(),
        Some(Expr::Literal(ScalarValue::Int64(Some(1..)), _))
    )
}

fn subquery_of(plan: LogicalPlan, like: &Subquery) -> Subquery {
    Subquery {
        outer_ref_columns: plan.all_out_ref_exprs(),
        subquery: Arc::new(plan),
        spans: like.spans.clone(),
    }
}

fn count() -> Expr {
    Expr::AggregateFunction(AggregateFunction::new_udf(
        count_udaf(),
        vec![lit(1_i64)],
        false,
        None,
        vec![],
        None,
    ))
}
