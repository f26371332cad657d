//! What a subquery reads from outside.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ExprSchema, Result};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::query::apply::map_expressions_deep;

/// Whether a plan, or a subquery anywhere in it, reads columns of `schema` from outside.
pub(super) fn reads(plan: &LogicalPlan, schema: &DFSchema) -> Result<bool> {
    any(plan, &|expr| is_read(expr, schema))
}

/// Whether subqueries in a plan's expressions, rather than the plan itself, read `schema`.
pub(super) fn reads_deeper(plan: &LogicalPlan, schema: &DFSchema) -> Result<bool> {
    let mut found = false;
    plan.apply(|node| {
        if let LogicalPlan::Subquery(subquery) = node {
            found |= reads(&subquery.subquery, schema)?;
        }
        node.apply_expressions(|expr| {
            for inner in subqueries_of(expr)? {
                found |= reads(&inner, schema)?;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// Whether a plan itself holds a reference to something outside.
pub(super) fn has_reference(plan: &LogicalPlan) -> bool {
    !plan.all_out_ref_exprs().is_empty()
}

/// Whether an expression reads the left and the right side of a join.
pub(super) fn sides(expr: &Expr, left: &DFSchema, right: &DFSchema) -> Result<(bool, bool)> {
    let reads_side = |schema: &DFSchema| -> Result<bool> {
        for plan in subqueries_of(expr)? {
            if reads(&plan, schema)? {
                return Ok(true);
            }
        }
        // The operand of IN is compared inside.
        let mut found = false;
        expr.apply(|inner| {
            let operand = match inner {
                Expr::InSubquery(within) => Some(&within.expr),
                Expr::SetComparison(comparison) => Some(&comparison.expr),
                _ => None,
            };
            if let Some(operand) = operand {
                found |= operand.column_refs().iter().any(|c| schema.has_column(c));
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(found)
    };
    Ok((reads_side(left)?, reads_side(right)?))
}

/// Replaces what is read of `schema` by parameters, in the plan and in all its subqueries.
pub(super) fn with_parameters(
    plan: LogicalPlan,
    schema: &DFSchema,
    mut parameter: impl FnMut(Expr) -> String,
) -> Result<LogicalPlan> {
    map_expressions_deep(plan, &mut |expr| {
        if !is_read(&expr, schema) {
            return Ok(Transformed::no(expr));
        }
        let Expr::OuterReferenceColumn(field, column) = expr else {
            return Ok(Transformed::no(expr));
        };
        let id = parameter(Expr::Column(column));
        // NULL may come from the null-extended side of a join.
        let field = Arc::new(field.as_ref().clone().with_nullable(true));
        let placeholder = Placeholder::new_with_field(id, Some(field));
        Ok(Transformed::yes(Expr::Placeholder(placeholder)))
    })
}

/// A condition over both sides of a join as the right side alone sees it.
pub(super) fn seen_from_inside(condition: Expr, left: &DFSchema) -> Result<Expr> {
    Ok(condition
        .transform_up(|expr| match expr {
            Expr::Column(column) if left.has_column(&column) => {
                let field = left.field_from_column(&column)?.clone();
                Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
            }
            other => Ok(Transformed::no(other)),
        })?
        .data)
}

/// The subqueries that stand in an expression itself.
pub(super) fn subqueries_of(expr: &Expr) -> Result<Vec<Arc<LogicalPlan>>> {
    let mut found = Vec::new();
    expr.apply(|inner| {
        let subquery = match inner {
            Expr::ScalarSubquery(subquery) => subquery,
            Expr::Exists(exists) => &exists.subquery,
            Expr::InSubquery(within) => &within.subquery,
            Expr::SetComparison(comparison) => &comparison.subquery,
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        found.push(subquery.subquery.clone());
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

fn is_read(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr, Expr::OuterReferenceColumn(_, column) if schema.has_column(column))
}

fn any(plan: &LogicalPlan, test: &dyn Fn(&Expr) -> bool) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.exists(|inner| Ok(test(inner)))?;
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
