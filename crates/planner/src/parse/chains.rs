//! Keeps operator chains from becoming trees as deep as they are long.
//!
//! `a OR b OR c …` is read as a tree that leans to the left: 10,000 terms, 10,000 levels. AND
//! and OR are associative, so their chains are balanced; other chains are limited.

use std::ops::ControlFlow;

use sqlparser::ast::{BinaryOperator, Expr, Query, SetExpr, Value, VisitMut, VisitorMut};
use tessera_types::Report;

use super::too_deep;

/// Operators in one chain that cannot be balanced, such as `a || b || …`.
pub(crate) const CHAIN_MAX: usize = 1_500;

/// Set operations in one chain.
const UNION_MAX: usize = 1_500;

/// Chains up to this length stay as they are.
const SHORT_CHAIN: usize = 32;

/// Balances AND and OR, refuses what is too long.
pub(super) fn limit(tree: &mut impl VisitMut) -> Result<(), Report> {
    match tree.visit(&mut Limiter) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(too_deep()),
    }
}

struct Limiter;

impl VisitorMut for Limiter {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        // A balanced tree has short spines, so this stays cheap further down.
        let depth = spine_depth(expr);
        if depth <= SHORT_CHAIN {
            return ControlFlow::Continue(());
        }
        if let Expr::BinaryOp {
            op: op @ (BinaryOperator::And | BinaryOperator::Or),
            ..
        } = expr
        {
            let op = op.clone();
            balance(expr, op);
        }
        if spine_depth(expr) > CHAIN_MAX {
            dismantle(expr);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let mut depth = 0;
        let mut body = &mut query.body;
        while let SetExpr::SetOperation { left, .. } = body.as_mut() {
            depth += 1;
            body = left;
        }
        if depth <= UNION_MAX {
            return ControlFlow::Continue(());
        }
        // Take the chain apart from the top, so that no drop is deep.
        let mut rest = std::mem::replace(&mut *query.body, empty_body());
        while let SetExpr::SetOperation { mut left, .. } = rest {
            rest = std::mem::replace(&mut *left, empty_body());
        }
        ControlFlow::Break(())
    }
}

fn empty_body() -> SetExpr {
    SetExpr::Values(sqlparser::ast::Values {
        value_keyword: false,
        explicit_row: false,
        rows: Vec::new(),
    })
}

/// The operand that a chain of operators goes on with.
fn left_of(expr: &Expr) -> Option<&Expr> {
    Some(match expr {
        Expr::BinaryOp { left, .. } | Expr::AnyOp { left, .. } | Expr::AllOp { left, .. } => left,
        Expr::IsDistinctFrom(left, _) | Expr::IsNotDistinctFrom(left, _) => left,
        Expr::IsNull(e)
        | Expr::IsNotNull(e)
        | Expr::IsTrue(e)
        | Expr::IsNotTrue(e)
        | Expr::IsFalse(e)
        | Expr::IsNotFalse(e)
        | Expr::IsUnknown(e)
        | Expr::IsNotUnknown(e) => e,
        Expr::InList { expr, .. }
        | Expr::InSubquery { expr, .. }
        | Expr::InUnnest { expr, .. }
        | Expr::Between { expr, .. }
        | Expr::Like { expr, .. }
        | Expr::ILike { expr, .. }
        | Expr::SimilarTo { expr, .. }
        | Expr::RLike { expr, .. }
        | Expr::Cast { expr, .. }
        | Expr::Collate { expr, .. }
        | Expr::IsNormalized { expr, .. }
        | Expr::UnaryOp { expr, .. } => expr,
        Expr::AtTimeZone { timestamp, .. } => timestamp,
        Expr::JsonAccess { value, .. } => value,
        Expr::CompoundFieldAccess { root, .. } => root,
        _ => return None,
    })
}

fn left_of_mut(expr: &mut Expr) -> Option<&mut Box<Expr>> {
    Some(match expr {
        Expr::BinaryOp { left, .. } | Expr::AnyOp { left, .. } | Expr::AllOp { left, .. } => left,
        Expr::IsDistinctFrom(left, _) | Expr::IsNotDistinctFrom(left, _) => left,
        Expr::IsNull(e)
        | Expr::IsNotNull(e)
        | Expr::IsTrue(e)
        | Expr::IsNotTrue(e)
        | Expr::IsFalse(e)
        | Expr::IsNotFalse(e)
        | Expr::IsUnknown(e)
        | Expr::IsNotUnknown(e) => e,
        Expr::InList { expr, .. }
        | Expr::InSubquery { expr, .. }
        | Expr::InUnnest { expr, .. }
        | Expr::Between { expr, .. }
        | Expr::Like { expr, .. }
        | Expr::ILike { expr, .. }
        | Expr::SimilarTo { expr, .. }
        | Expr::RLike { expr, .. }
        | Expr::Cast { expr, .. }
        | Expr::Collate { expr, .. }
        | Expr::IsNormalized { expr, .. }
        | Expr::UnaryOp { expr, .. } => expr,
        Expr::AtTimeZone { timestamp, .. } => timestamp,
        Expr::JsonAccess { value, .. } => value,
        Expr::CompoundFieldAccess { root, .. } => root,
        _ => return None,
    })
}

/// Levels down the left side, counted no further than needed.
fn spine_depth(expr: &Expr) -> usize {
    let mut depth = 0;
    let mut current = expr;
    while let Some(left) = left_of(current) {
        depth += 1;
        if depth > CHAIN_MAX {
            break;
        }
        current = left;
    }
    depth
}

fn nothing() -> Expr {
    Expr::Value(Value::Null.into())
}

/// Rebuilds `((a op b) op c) op d` as a balanced tree.
fn balance(expr: &mut Expr, op: BinaryOperator) {
    let mut terms = Vec::new();
    let mut rest = std::mem::replace(expr, nothing());
    loop {
        match rest {
            Expr::BinaryOp {
                left,
                op: found,
                right,
            } if found == op => {
                terms.push(*right);
                rest = *left;
            }
            other => {
                terms.push(other);
                break;
            }
        }
    }
    terms.reverse();
    while terms.len() > 1 {
        let mut paired = Vec::with_capacity(terms.len().div_ceil(2));
        let mut waiting = terms.into_iter();
        while let Some(left) = waiting.next() {
            paired.push(match waiting.next() {
                Some(right) => Expr::BinaryOp {
                    left: Box::new(left),
                    op: op.clone(),
                    right: Box::new(right),
                },
                None => left,
            });
        }
        terms = paired;
    }
    if let Some(balanced) = terms.pop() {
        *expr = balanced;
    }
}

/// Takes a chain apart from the top, so that no drop is deep.
fn dismantle(expr: &mut Expr) {
    let mut rest = std::mem::replace(expr, nothing());
    loop {
        let Some(left) = left_of_mut(&mut rest) else {
            return;
        };
        let next = std::mem::replace(left.as_mut(), nothing());
        rest = next;
    }
}
