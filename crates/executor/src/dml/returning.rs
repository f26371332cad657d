//! RETURNING: expressions over the rows that a write made or removed.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    Expr, ObjectName, SelectItem, SelectItemQualifiedWildcardKind, WildcardAdditionalOptions,
    visit_expressions,
};
use tessera_planner::ColumnInfo;
use tessera_planner::short_path::bind::{Binder, ParamTypes, Scope, Unbound, folded};
use tessera_planner::short_path::scalar::Scalar;
use tessera_planner::short_path::{bind_item, column_info};
use tessera_types::{Report, Value, codes};

use crate::context::StatementContext;
use crate::executor::Executor;
use crate::expression::{Expression, Target};

use super::expr::{Around, BoundExpr, Compiler, RowExpr, RowScope};

/// A compiled RETURNING list.
#[derive(Debug, Clone)]
pub(crate) struct Returning {
    exprs: Vec<RowExpr>,
    /// The result's columns.
    pub(crate) columns: Arc<[ColumnInfo]>,
}

impl Returning {
    /// Compiles the list; `Ok(None)` only when scalars alone are wanted and do not do.
    pub(crate) fn compile(
        compiler: &mut Compiler<'_>,
        items: &[SelectItem],
        scope: &RowScope<'_>,
    ) -> Result<Option<Returning>, Report> {
        let mut exprs = Vec::with_capacity(items.len());
        let mut columns = Vec::with_capacity(items.len());
        for item in items {
            if is_all(item, scope)? {
                for (at, column) in scope.table.columns.iter().enumerate() {
                    exprs.push(RowExpr::Scalar(Scalar::Column(at)));
                    columns.push(ColumnInfo {
                        name: column.name.clone(),
                        sql_type: column.sql_type.clone(),
                        table: Some(scope.table.id),
                        column: i16::try_from(column.id).unwrap_or(0),
                    });
                }
                continue;
            }
            match compile_item(compiler, item, scope)? {
                Some((expr, info)) => {
                    exprs.push(expr);
                    columns.push(info);
                }
                None => return Ok(None),
            }
        }
        Ok(Some(Returning {
            exprs,
            columns: columns.into(),
        }))
    }

    /// Ready for one statement.
    pub(crate) fn bind<'a>(
        &'a self,
        executor: &Executor,
        context: &StatementContext,
    ) -> Result<Vec<BoundExpr<'a>>, Report> {
        self.exprs
            .iter()
            .map(|expr| expr.bind(executor, context))
            .collect()
    }
}

/// Columns of other relations that the list names: those that are not the target's.
pub(crate) fn foreign_columns(
    items: &[SelectItem],
    table: &tessera_catalog::TableDef,
    alias: Option<&str>,
) -> Vec<(Option<String>, String)> {
    let target = alias.unwrap_or(&table.name);
    let mut found: Vec<(Option<String>, String)> = Vec::new();
    for item in items {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else {
            continue;
        };
        let _ = visit_expressions(expr, |node: &Expr| {
            let column = match node {
                Expr::Identifier(ident) if table.column(&folded(ident)).is_none() => {
                    Some((None, folded(ident)))
                }
                Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                    [relation, column] if folded(relation) != target => {
                        Some((Some(folded(relation)), folded(column)))
                    }
                    _ => None,
                },
                _ => None,
            };
            if let Some(column) = column.filter(|column| !found.contains(column)) {
                found.push(column);
            }
            std::ops::ControlFlow::<()>::Continue(())
        });
    }
    found
}

/// The result row of one written row.
pub(crate) fn project(
    exprs: &[BoundExpr<'_>],
    row: &[Value],
    around: &Around<'_>,
) -> Result<Vec<Value>, Report> {
    exprs.iter().map(|expr| expr.value(row, around)).collect()
}

fn is_all(item: &SelectItem, scope: &RowScope<'_>) -> Result<bool, Report> {
    let plain = |options: &WildcardAdditionalOptions| {
        options.opt_exclude.is_none()
            && options.opt_except.is_none()
            && options.opt_ilike.is_none()
            && options.opt_replace.is_none()
            && options.opt_rename.is_none()
    };
    match item {
        SelectItem::Wildcard(options) if plain(options) => Ok(true),
        SelectItem::QualifiedWildcard(
            SelectItemQualifiedWildcardKind::ObjectName(name),
            options,
        ) if plain(options) => {
            let wanted = scope.alias.as_deref().unwrap_or(&scope.table.name);
            if last_part(name) == wanted {
                return Ok(true);
            }
            Err(Report::error(
                codes::UNDEFINED_TABLE,
                format!(
                    "missing FROM-clause entry for table \"{}\"",
                    last_part(name)
                ),
            ))
        }
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => {
            Err(Report::unsupported("this form of * in RETURNING"))
        }
        _ => Ok(false),
    }
}

fn last_part(name: &ObjectName) -> String {
    name.0
        .last()
        .and_then(|part| part.as_ident())
        .map(folded)
        .unwrap_or_default()
}

fn compile_item(
    compiler: &mut Compiler<'_>,
    item: &SelectItem,
    scope: &RowScope<'_>,
) -> Result<Option<(RowExpr, ColumnInfo)>, Report> {
    if compiler.session.short_path && scope.others.is_empty() {
        let mut params = ParamTypes::new(compiler.params);
        let mut binder = Binder::new(Scope::table(scope.table, scope.alias.clone()), &mut params);
        match bind_item(&mut binder, item) {
            Ok((name, typed)) => {
                let info = column_info(scope.table, name, &typed);
                *compiler.params = params.into_inner();
                return Ok(Some((RowExpr::Scalar(typed.scalar), info)));
            }
            Err(Unbound::Error(report)) => return Err(*report),
            Err(Unbound::Unsupported) => {}
        }
    }
    if compiler.scalars_only {
        return Ok(None);
    }
    let (expr, alias) = match item {
        SelectItem::UnnamedExpr(expr) => (expr, None),
        SelectItem::ExprWithAlias { expr, alias } => (expr, Some(folded(alias))),
        _ => return Err(Report::unsupported("this form of RETURNING")),
    };
    let compiled = Expression::compile(
        compiler.executor,
        compiler.session,
        expr,
        &scope.columns(),
        compiler.params,
        Target::Any,
    )?;
    let name = alias.unwrap_or_else(|| tessera_planner::bind::output_name(expr));
    let origin = match expr {
        Expr::Identifier(ident) => scope.table.column(&folded(ident)),
        Expr::CompoundIdentifier(parts) => parts
            .last()
            .and_then(|part| scope.table.column(&folded(part))),
        _ => None,
    };
    let info = ColumnInfo {
        name,
        sql_type: compiled.sql_type().clone(),
        table: origin.map(|_| scope.table.id),
        column: origin
            .and_then(|column| i16::try_from(column.id).ok())
            .unwrap_or(0),
    };
    Ok(Some((RowExpr::Compiled(Box::new(compiled)), info)))
}
