//! Which rows the locking clauses of a SELECT mean.
//!
//! Source: PostgreSQL's page on SELECT, "The Locking Clause". A clause with names means those
//! relations of FROM, one without means all. Of a view or a subquery in FROM all tables are locked.
//! Rows of functions, VALUES and WITH queries cannot be locked; a clause without names passes them
//! by.

use std::borrow::Cow;

use datafusion::logical_expr::Expr;
use sqlparser::ast::{self, GroupByExpr, LockClause};
use tessera_types::{RelationId, Report, codes};

use super::scope::{ScopeKind, ScopeRelation};
use super::{Binder, Scope};
use crate::parse::{LockStrength, LockWait, of_all, row_lock};

/// A relation whose rows a query locks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RowLockTarget {
    /// Its oid.
    pub relation: RelationId,
    /// Its name in FROM.
    pub name: String,
    /// The column with the row's key.
    pub key: Expr,
    /// How strongly.
    pub strength: LockStrength,
    /// What to do when a row is not free.
    pub wait: LockWait,
}

impl Binder<'_> {
    /// The relations whose rows are locked, each once, in the order of FROM.
    ///
    /// # Errors
    /// 0A000 where locked rows would not be the rows of the result, 42P01 for a name that is not
    /// in FROM.
    pub(super) fn lock_targets(
        &self,
        clauses: &[LockClause],
        select: &ast::Select,
        scope: &Scope,
    ) -> Result<Vec<RowLockTarget>, Report> {
        let mut targets: Vec<RowLockTarget> = Vec::new();
        for clause in clauses.iter().map(row_lock) {
            let words = clause.strength.words();
            check_allowed(words, select)?;
            let meant: Vec<&ScopeRelation> = match &clause.of {
                Some(name) => vec![scope.relation(None, name).ok_or_else(|| {
                    Report::error(
                        codes::UNDEFINED_TABLE,
                        format!("relation \"{name}\" in {words} clause not found in FROM clause"),
                    )
                })?],
                None => scope.relations.iter().collect(),
            };
            for relation in meant {
                let id = match relation.kind {
                    ScopeKind::Stored(id) => id,
                    // Locked inside, see `locked_query`.
                    ScopeKind::Query => continue,
                    ScopeKind::Rows if clause.of.is_none() => continue,
                    ScopeKind::Rows => {
                        return Err(Report::unsupported(format!(
                            "{words} cannot be applied to \"{}\", which is not a table",
                            relation.name
                        )));
                    }
                };
                let Some(key) = relation.fields.iter().find(|field| field.hidden) else {
                    return Err(Report::internal("a stored table has no row key"));
                };
                let known = targets.iter_mut().find(|t| t.key == key.typed.expr);
                match known {
                    Some(target) => {
                        target.strength = target.strength.max(clause.strength);
                        target.wait = stricter(target.wait, clause.wait);
                    }
                    None => targets.push(RowLockTarget {
                        relation: id,
                        name: relation.name.clone(),
                        key: key.typed.expr.clone(),
                        strength: clause.strength,
                        wait: clause.wait,
                    }),
                }
            }
        }
        Ok(targets)
    }
}

impl Binder<'_> {
    /// A query in FROM with the locking clauses around it that mean it, by the name it has there:
    /// they affect all tables that it uses.
    pub(super) fn locked_query<'q>(
        &self,
        query: &'q ast::Query,
        name: &str,
    ) -> Cow<'q, ast::Query> {
        let mut query = Cow::Borrowed(query);
        for clause in &self.locks {
            let of = row_lock(clause).of;
            if of.is_none_or(|of| of == name) {
                query.to_mut().locks.push(of_all(clause));
            }
        }
        query
    }
}

/// Of two clauses about one relation, NOWAIT counts before SKIP LOCKED.
fn stricter(a: LockWait, b: LockWait) -> LockWait {
    match (a, b) {
        (LockWait::NoWait, _) | (_, LockWait::NoWait) => LockWait::NoWait,
        (LockWait::SkipLocked, _) | (_, LockWait::SkipLocked) => LockWait::SkipLocked,
        (LockWait::Block, LockWait::Block) => LockWait::Block,
    }
}

fn check_allowed(words: &str, select: &ast::Select) -> Result<(), Report> {
    let is_grouped = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(list, modifiers) => !list.is_empty() || !modifiers.is_empty(),
    };
    let clause = if select.distinct.is_some() {
        "DISTINCT clause"
    } else if is_grouped {
        "GROUP BY clause"
    } else if select.having.is_some() {
        "HAVING clause"
    } else {
        return Ok(());
    };
    Err(not_allowed(words, clause))
}

/// 0A000 in PostgreSQL's words.
pub(super) fn not_allowed(words: &str, with: &str) -> Report {
    Report::unsupported(format!("{words} is not allowed with {with}"))
}
