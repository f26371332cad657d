//! Values into the expressions of a plan, wherever they are.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery};

use super::Apply;

/// Rewrites every expression of a plan, of its subqueries and of the subqueries that an
/// [`Apply`] holds. Columns keep their names.
pub(crate) fn map_expressions_deep<F>(plan: LogicalPlan, f: &mut F) -> Result<LogicalPlan>
where
    F: FnMut(Expr) -> Result<Transformed<Expr>>,
{
    let plan = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        let mapped = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let is_set = matches!(expr, Expr::GroupingSet(_));
            let mapped = expr.transform_up(|expr| f(with_fresh_references(expr)))?;
            Ok(if mapped.transformed && !is_set {
                mapped.update_data(|expr| name.restore(expr))
            } else {
                mapped
            })
        })?;
        match inside(&mapped.data, f)? {
            Some(replaced) => Ok(Transformed::yes(replaced)),
            None => Ok(match mapped.data {
                LogicalPlan::Subquery(subquery) => {
                    Transformed::yes(LogicalPlan::Subquery(refreshed(subquery)))
                }
                other => Transformed::new(other, mapped.transformed, mapped.tnr),
            }),
        }
    })?;
    Ok(plan.data)
}

/// The subquery of an [`Apply`] is not among its inputs.
fn inside<F>(node: &LogicalPlan, f: &mut F) -> Result<Option<LogicalPlan>>
where
    F: FnMut(Expr) -> Result<Transformed<Expr>>,
{
    let Some(apply) = Apply::of(node) else {
        return Ok(None);
    };
    let subquery = map_expressions_deep(apply.subquery.as_ref().clone(), f)?;
    Ok(Some(apply.clone().over(Arc::new(subquery)).into_plan()))
}

/// What a subquery reads from outside may have changed inside it.
fn with_fresh_references(expr: Expr) -> Expr {
    match expr {
        Expr::ScalarSubquery(subquery) => Expr::ScalarSubquery(refreshed(subquery)),
        Expr::Exists(Exists { subquery, negated }) => {
            Expr::Exists(Exists::new(refreshed(subquery), negated))
        }
        Expr::InSubquery(InSubquery {
            expr,
            subquery,
            negated,
        }) => Expr::InSubquery(InSubquery::new(expr, refreshed(subquery), negated)),
        Expr::SetComparison(SetComparison {
            expr,
            subquery,
            op,
            quantifier,
        }) => Expr::SetComparison(SetComparison::new(
            expr,
            refreshed(subquery),
            op,
            quantifier,
        )),
        other => other,
    }
}

fn refreshed(subquery: Subquery) -> Subquery {
    Subquery {
        outer_ref_columns: subquery.subquery.all_out_ref_exprs(),
        ..subquery
    }
}
