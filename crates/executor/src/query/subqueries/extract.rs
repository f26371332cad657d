//! The subqueries of one node's expressions, as columns of its input.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::expr::{Case, SetQuantifier};
use datafusion::logical_expr::{
    BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, not,
};

use super::{Pass, joinable};
use crate::query::apply::{Mode, truth_column};

/// Takes subqueries out of expressions, and puts what computes them over the input.
pub(super) struct Extraction<'p, 'a> {
    pass: &'p mut Pass<'a>,
    /// The input with the columns added so far.
    pub(super) input: LogicalPlan,
    /// What was taken out already, with its guard and its column.
    known: Vec<(Expr, Option<Expr>, Expr)>,
}

/// Whether an expression holds a subquery.
pub(crate) fn has_subquery(expr: &Expr) -> bool {
    expr.exists(|inner| {
        Ok(matches!(
            inner,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
        ))
    })
    .unwrap_or(true)
}

impl<'p, 'a> Extraction<'p, 'a> {
    pub(super) fn new(pass: &'p mut Pass<'a>, input: LogicalPlan) -> Self {
        Extraction {
            pass,
            input,
            known: Vec::new(),
        }
    }

    /// Expressions that give a node its columns: they keep their names.
    pub(super) fn named(&mut self, exprs: Vec<Expr>) -> Result<Vec<Expr>> {
        let mut replaced = Vec::with_capacity(exprs.len());
        for expr in exprs {
            if !has_subquery(&expr) {
                replaced.push(expr);
                continue;
            }
            let (relation, name) = expr.qualified_name();
            let expr = self.expr(expr)?;
            replaced.push(
                if expr.qualified_name() == (relation.clone(), name.clone()) {
                    expr
                } else {
                    expr.alias_qualified(relation, name)
                },
            );
        }
        Ok(replaced)
    }

    /// One expression.
    pub(super) fn expr(&mut self, expr: Expr) -> Result<Expr> {
        self.guarded(expr, None)
    }

    /// One expression over more than the input; its subqueries read the input alone.
    pub(super) fn subqueries_only(&mut self, expr: Expr) -> Result<Expr> {
        Ok(expr
            .transform_down(|expr| {
                if is_subquery(&expr) {
                    let taken = self.take(expr, None)?;
                    return Ok(Transformed::new(
                        taken,
                        true,
                        datafusion::common::tree_node::TreeNodeRecursion::Jump,
                    ));
                }
                Ok(Transformed::no(expr))
            })?
            .data)
    }

    /// An expression that is evaluated only where the guard holds.
    fn guarded(&mut self, expr: Expr, guard: Option<Expr>) -> Result<Expr> {
        if !has_subquery(&expr) {
            return Ok(expr);
        }
        match expr {
            expr if is_subquery(&expr) => self.take(expr, guard),
            Expr::Case(case) if case.expr.is_none() => self.case(case, guard),
            Expr::BinaryExpr(BinaryExpr { left, op, right })
                if matches!(op, Operator::And | Operator::Or) =>
            {
                let left = self.guarded(*left, guard.clone())?;
                let needed = if op == Operator::And {
                    left.clone().is_not_false()
                } else {
                    left.clone().is_not_true()
                };
                let right = self.guarded(*right, both(guard, needed))?;
                Ok(Expr::BinaryExpr(BinaryExpr::new(
                    Box::new(left),
                    op,
                    Box::new(right),
                )))
            }
            Expr::ScalarFunction(mut call) if call.func.name() == "coalesce" => {
                let mut guard = guard;
                for argument in &mut call.args {
                    let taken = std::mem::take(argument);
                    *argument = self.guarded(taken, guard.clone())?;
                    guard = both(guard, argument.clone().is_null());
                }
                Ok(Expr::ScalarFunction(call))
            }
            other => Ok(other
                .map_children(|child| self.guarded(child, guard.clone()).map(Transformed::yes))?
                .data),
        }
    }

    /// A branch is evaluated where its condition is the first that holds.
    fn case(&mut self, case: Case, guard: Option<Expr>) -> Result<Expr> {
        let mut rest = guard;
        let mut branches = Vec::with_capacity(case.when_then_expr.len());
        for (when, then) in case.when_then_expr {
            let when = self.guarded(*when, rest.clone())?;
            let then = self.guarded(*then, both(rest.clone(), when.clone()))?;
            rest = both(rest, when.clone().is_not_true());
            branches.push((Box::new(when), Box::new(then)));
        }
        let otherwise = match case.else_expr {
            Some(otherwise) => Some(Box::new(self.guarded(*otherwise, rest)?)),
            None => None,
        };
        Ok(Expr::Case(Case::new(None, branches, otherwise)))
    }

    /// A subquery: left to DataFusion, or a column of the input from here on.
    fn take(&mut self, expr: Expr, guard: Option<Expr>) -> Result<Expr> {
        let known = self
            .known
            .iter()
            .find(|(known, under, _)| *known == expr && (under.is_none() || *under == guard));
        if let Some((_, _, replaced)) = known {
            return Ok(replaced.clone());
        }
        let replaced = match joinable::value(self.pass, &expr, self.input.schema())? {
            Some(kept) if !joinable::is_join(&kept) => kept,
            // A column, so that it may stand in any kind of node and in a guard.
            Some(kept) => self.computed(kept)?,
            None => self.applied(expr.clone(), guard.clone())?,
        };
        self.known.push((expr, guard, replaced.clone()));
        Ok(replaced)
    }

    /// A column of a projection over the input.
    fn computed(&mut self, expr: Expr) -> Result<Expr> {
        let name = self.pass.fresh_column();
        let input = std::mem::take(&mut self.input);
        let mut exprs: Vec<Expr> = input
            .schema()
            .columns()
            .into_iter()
            .map(Expr::Column)
            .collect();
        exprs.push(expr.alias(&name));
        self.input = LogicalPlanBuilder::from(input).project(exprs)?.build()?;
        Ok(Expr::Column(Column::new_unqualified(name)))
    }

    fn applied(&mut self, expr: Expr, guard: Option<Expr>) -> Result<Expr> {
        match expr {
            Expr::ScalarSubquery(subquery) => {
                let name = self.pass.fresh_column();
                let rows_max = match subquery.subquery.max_rows() {
                    Some(0 | 1) => None,
                    _ => Some(2),
                };
                self.apply(subquery, guard, rows_max, &name, |plan| {
                    let field = plan.schema().field(0).as_ref().clone();
                    let field = field.with_name(&name).with_nullable(true);
                    Ok(Mode::Scalar {
                        column: std::sync::Arc::new(field),
                    })
                })
            }
            Expr::Exists(exists) => {
                let name = self.pass.fresh_column();
                let column = truth_column(name.clone());
                let mode = |_: &LogicalPlan| Ok(Mode::Exists { column });
                let found = self.apply(exists.subquery, guard, Some(1), &name, mode)?;
                Ok(if exists.negated { not(found) } else { found })
            }
            Expr::InSubquery(within) => {
                let operand = self.guarded(*within.expr, guard.clone())?;
                let found = self.compared(operand, within.subquery, Operator::Eq, false, guard)?;
                Ok(if within.negated { not(found) } else { found })
            }
            Expr::SetComparison(comparison) => {
                let operand = self.guarded(*comparison.expr, guard.clone())?;
                let all = matches!(comparison.quantifier, SetQuantifier::All);
                self.compared(operand, comparison.subquery, comparison.op, all, guard)
            }
            other => Ok(other),
        }
    }

    fn compared(
        &mut self,
        operand: Expr,
        subquery: Subquery,
        op: Operator,
        all: bool,
        guard: Option<Expr>,
    ) -> Result<Expr> {
        let name = self.pass.fresh_column();
        let column = truth_column(name.clone());
        self.apply(subquery, guard, None, &name, |_| {
            Ok(Mode::Compare {
                column,
                operand,
                op,
                all,
            })
        })
    }

    fn apply(
        &mut self,
        subquery: Subquery,
        guard: Option<Expr>,
        rows_max: Option<usize>,
        name: &str,
        mode: impl FnOnce(&LogicalPlan) -> Result<Mode>,
    ) -> Result<Expr> {
        let input = std::mem::take(&mut self.input);
        let inside = std::sync::Arc::unwrap_or_clone(subquery.subquery);
        self.input = self.pass.apply(input, inside, guard, rows_max, mode)?;
        Ok(Expr::Column(Column::new_unqualified(name)))
    }
}

fn is_subquery(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_)
    )
}

fn both(guard: Option<Expr>, more: Expr) -> Option<Expr> {
    Some(match guard {
        Some(guard) => guard.and(more),
        None => more,
    })
}
