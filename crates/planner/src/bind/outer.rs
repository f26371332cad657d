//! References to a query from the subqueries inside it.

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery};
use tessera_types::{Report, codes};

use super::{Scope, Typed};
use crate::errors::{external, report_of};

/// An expression over a scope, seen from a query inside.
pub(super) fn outer_reference(typed: &Typed, scope: &Scope) -> std::result::Result<Typed, Report> {
    let expr = seen_from_inside(typed.expr.clone(), scope, Some(typed)).map_err(report_of)?;
    Ok(Typed {
        expr,
        ..typed.clone()
    })
}

/// Columns of the scope become references to it; a column that is not found there has the type
/// of the whole, or stays.
fn seen_from_inside(expr: Expr, scope: &Scope, whole: Option<&Typed>) -> Result<Expr> {
    let seen = expr.transform_up(|expr| {
        let Expr::Column(column) = &expr else {
            return Ok(Transformed::no(expr));
        };
        Ok(match typed_in(scope, &expr).or(whole) {
            Some(typed) => {
                let field = typed.field(&column.name);
                Transformed::yes(Expr::OuterReferenceColumn(field, column.clone()))
            }
            None => Transformed::no(expr),
        })
    })?;
    Ok(seen.data)
}

/// The column of a scope that an expression is.
fn typed_in<'s>(scope: &'s Scope, expr: &Expr) -> Option<&'s Typed> {
    let fields = scope.relations.iter().flat_map(|relation| &relation.fields);
    fields
        .chain(&scope.merged)
        .map(|field| &field.typed)
        .find(|typed| typed.expr == *expr)
}

/// References to something outside, anywhere in a plan.
pub(super) fn deep_references(plan: &LogicalPlan) -> std::result::Result<Vec<Expr>, Report> {
    let mut found = Vec::new();
    let walked = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|inner| {
                if matches!(inner, Expr::OuterReferenceColumn(..)) && !found.contains(inner) {
                    found.push(inner.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    walked.map_err(report_of)?;
    Ok(found)
}

/// What subqueries in the expressions of a grouped query may read: grouped expressions.
pub(super) struct Grouped<'a> {
    /// The query's FROM.
    pub(super) scope: &'a Scope,
    /// Grouped expressions, and the columns that hold them.
    pub(super) map: &'a [(Expr, Expr)],
}

impl Grouped<'_> {
    /// An expression whose subqueries read columns of the grouping step.
    pub(super) fn expression(&self, expr: Expr) -> Result<Expr> {
        let outer: Vec<(Expr, Expr)> = self
            .map
            .iter()
            .map(|(from, to)| {
                Ok((
                    seen_from_inside(from.clone(), self.scope, None)?,
                    self.seen_column(from, to)?,
                ))
            })
            .collect::<Result<_>>()?;
        let mut inside = |inner: Expr| -> Result<Transformed<Expr>> {
            if let Some((_, to)) = outer.iter().find(|(from, _)| *from == inner) {
                return Ok(Transformed::new(to.clone(), true, TreeNodeRecursion::Jump));
            }
            if let Expr::OuterReferenceColumn(_, column) = &inner
                && let Some(shown) = self.name_of(column)
            {
                return Err(external(Report::error(
                    codes::GROUPING_ERROR,
                    format!("subquery uses ungrouped column \"{shown}\" from outer query"),
                )));
            }
            Ok(Transformed::no(inner))
        };
        in_subqueries(expr, &mut inside)
    }

    /// The column of the grouping step as a reference to it.
    fn seen_column(&self, from: &Expr, to: &Expr) -> Result<Expr> {
        let Expr::Column(column) = to else {
            return Ok(to.clone());
        };
        let field = match typed_in(self.scope, from) {
            Some(typed) => typed.field(&column.name),
            None => {
                use datafusion::logical_expr::ExprSchemable;
                let data_type = from.get_type(&self.schema()?)?;
                std::sync::Arc::new(arrow::datatypes::Field::new(&column.name, data_type, true))
            }
        };
        Ok(Expr::OuterReferenceColumn(field, column.clone()))
    }

    /// The columns of FROM.
    fn schema(&self) -> Result<datafusion::common::DFSchema> {
        let mut fields = Vec::new();
        for field in self.scope.relations.iter().flat_map(|r| &r.fields) {
            if let Expr::Column(column) = &field.typed.expr {
                fields.push((column.relation.clone(), field.typed.field(&column.name)));
            }
        }
        datafusion::common::DFSchema::new_with_metadata(fields, Default::default())
    }

    /// The column of this query as the user knows it.
    fn name_of(&self, column: &Column) -> Option<String> {
        self.scope.relations.iter().find_map(|relation| {
            let found = relation.fields.iter().find(
                |field| matches!(&field.typed.expr, Expr::Column(found) if found == column),
            )?;
            Some(format!("{}.{}", relation.name, found.name))
        })
    }
}

/// Rewrites the expressions of the subqueries in an expression, however deep.
fn in_subqueries<F>(expr: Expr, f: &mut F) -> Result<Expr>
where
    F: FnMut(Expr) -> Result<Transformed<Expr>>,
{
    let rewritten = expr.transform_down(|expr| {
        Ok(match expr {
            Expr::ScalarSubquery(subquery) => {
                Transformed::yes(Expr::ScalarSubquery(rewritten(subquery, f)?))
            }
            Expr::Exists(exists) => {
                let subquery = rewritten(exists.subquery, f)?;
                Transformed::yes(Expr::Exists(Exists::new(subquery, exists.negated)))
            }
            Expr::InSubquery(within) => {
                let subquery = rewritten(within.subquery, f)?;
                let within = InSubquery::new(within.expr, subquery, within.negated);
                Transformed::yes(Expr::InSubquery(within))
            }
            Expr::SetComparison(comparison) => {
                let subquery = rewritten(comparison.subquery, f)?;
                Transformed::yes(Expr::SetComparison(SetComparison::new(
                    comparison.expr,
                    subquery,
                    comparison.op,
                    comparison.quantifier,
                )))
            }
            other => Transformed::no(other),
        })
    })?;
    Ok(rewritten.data)
}

fn rewritten<F>(subquery: Subquery, f: &mut F) -> Result<Subquery>
where
    F: FnMut(Expr) -> Result<Transformed<Expr>>,
{
    let plan = std::sync::Arc::unwrap_or_clone(subquery.subquery);
    let plan = plan
        .transform_down(|node| {
            let node = match node {
                LogicalPlan::Subquery(inner) => LogicalPlan::Subquery(rewritten(inner, f)?),
                other => other,
            };
            let names = NamePreserver::new(&node);
            let mapped = node.map_expressions(|expr| {
                let name = names.save(&expr);
                let mapped = expr.transform_down(&mut *f)?;
                let changed = mapped.transformed;
                let expr = in_subqueries(mapped.data, f)?;
                Ok(Transformed::yes(if changed {
                    name.restore(expr)
                } else {
                    expr
                }))
            })?;
            Ok(match mapped.data {
                // Its inside is done.
                node @ LogicalPlan::Subquery(_) => {
                    Transformed::new(node, true, TreeNodeRecursion::Jump)
                }
                node => Transformed::yes(node),
            })
        })?
        .data;
    Ok(Subquery {
        outer_ref_columns: plan.all_out_ref_exprs(),
        subquery: std::sync::Arc::new(plan),
        spans: subquery.spans,
    })
}
