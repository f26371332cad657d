//! SELECT of one table by key or short range, or of no table at all.

use std::sync::Arc;

use sqlparser::ast::{
    Expr, GroupByExpr, LimitClause, ObjectName, OrderByKind, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableFactor, WildcardAdditionalOptions,
};
use tessera_catalog::TableDef;
use tessera_types::SqlType;

use crate::parse::{LockStrength, LockWait, row_lock};
use crate::statement::ColumnInfo;

use super::access::{Access, OrderTerm, Wanted, choose};
use super::bind::{Binder, Bound, ParamTypes, Scope, Typed, Unbound, folded};
use super::scalar::Scalar;

/// A SELECT of the short path.
#[derive(Debug, Clone)]
pub struct ShortSelect {
    /// The table and the way to its rows; without one the projection is a single row.
    pub table: Option<(Arc<TableDef>, Access)>,
    /// The whole WHERE clause.
    pub filter: Option<Scalar>,
    /// Result columns.
    pub projection: Vec<Scalar>,
    /// Their names and types.
    pub columns: Vec<ColumnInfo>,
    /// LIMIT, of type bigint.
    pub limit: Option<Scalar>,
    /// OFFSET, of type bigint.
    pub offset: Option<Scalar>,
    /// FOR UPDATE and its kin.
    pub locking: Option<RowLocking>,
}

/// A locking clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowLocking {
    /// How strongly.
    pub strength: LockStrength,
    /// What to do about rows that others have locked.
    pub wait: LockWait,
}

/// Finds a table by the name written, searching the path; `None` for views and everything else.
type TableLookup<'a> = &'a dyn Fn(&ObjectName) -> Option<Arc<TableDef>>;

/// The short plan of a query, or `Unsupported`.
pub fn plan_select(
    query: &Query,
    lookup: TableLookup<'_>,
    params: &mut ParamTypes,
) -> Bound<ShortSelect> {
    let plain = query.with.is_none()
        && query.fetch.is_none()
        && query.for_clause.is_none()
        && query.settings.is_none()
        && query.format_clause.is_none()
        && query.pipe_operators.is_empty();
    let SetExpr::Select(select) = &*query.body else {
        return Err(Unbound::Unsupported);
    };
    if !plain || !is_plain(select) {
        return Err(Unbound::Unsupported);
    }
    match select.from.as_slice() {
        [] => plan_constant(query, select, params),
        [from] if from.joins.is_empty() => {
            plan_table(query, select, &from.relation, lookup, params)
        }
        _ => Err(Unbound::Unsupported),
    }
}

fn is_plain(select: &Select) -> bool {
    select.distinct.is_none()
        && select.top.is_none()
        && select.into.is_none()
        && select.exclude.is_none()
        && select.lateral_views.is_empty()
        && select.prewhere.is_none()
        && select.connect_by.is_empty()
        && matches!(&select.group_by, GroupByExpr::Expressions(list, modifiers) if list.is_empty() && modifiers.is_empty())
        && select.cluster_by.is_empty()
        && select.distribute_by.is_empty()
        && select.sort_by.is_empty()
        && select.having.is_none()
        && select.named_window.is_empty()
        && select.qualify.is_none()
        && select.value_table_mode.is_none()
}

fn plan_constant(query: &Query, select: &Select, params: &mut ParamTypes) -> Bound<ShortSelect> {
    if select.selection.is_some()
        || query.order_by.is_some()
        || query.limit_clause.is_some()
        || !query.locks.is_empty()
    {
        return Err(Unbound::Unsupported);
    }
    let mut binder = Binder::new(Scope::empty(), params);
    let mut projection = Vec::new();
    let mut columns = Vec::new();
    for item in &select.projection {
        let (name, typed) = bind_item(&mut binder, item)?;
        columns.push(ColumnInfo {
            name,
            sql_type: typed.sql_type,
            table: None,
            column: 0,
        });
        projection.push(typed.scalar);
    }
    if projection.is_empty() {
        return Err(Unbound::Unsupported);
    }
    Ok(ShortSelect {
        table: None,
        filter: None,
        projection,
        columns,
        limit: None,
        offset: None,
        locking: None,
    })
}

fn plan_table(
    query: &Query,
    select: &Select,
    from: &TableFactor,
    lookup: TableLookup<'_>,
    params: &mut ParamTypes,
) -> Bound<ShortSelect> {
    let (name, alias) = plain_table(from).ok_or(Unbound::Unsupported)?;
    let table = lookup(name).ok_or(Unbound::Unsupported)?;
    let scope = Scope::table(&table, alias.clone());
    let relation = alias.unwrap_or_else(|| table.name.clone());
    let locking = locking_of(query, &relation)?;
    let mut binder = Binder::new(scope, params);
    let filter = select
        .selection
        .as_ref()
        .map(|expr| binder.bind_boolean(expr))
        .transpose()?;
    let mut projection = Vec::with_capacity(select.projection.len());
    let mut columns = Vec::with_capacity(select.projection.len());
    for item in &select.projection {
        match item {
            SelectItem::Wildcard(options) if is_bare(options) => {
                all_columns(&table, &mut projection, &mut columns);
            }
            SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(name),
                options,
            ) if is_bare(options) => {
                let names_it = matches!(name.0.as_slice(), [part]
                    if part.as_ident().is_some_and(|ident| folded(ident) == relation));
                if !names_it {
                    return Err(Unbound::Unsupported);
                }
                all_columns(&table, &mut projection, &mut columns);
            }
            item => {
                let (name, typed) = bind_item(&mut binder, item)?;
                columns.push(column_info(&table, name, &typed));
                projection.push(typed.scalar);
            }
        }
    }
    let order = order_terms(query, select, &table, &mut binder)?;
    let (limit, offset) = bind_limit(query, &mut binder)?;
    let wanted = Wanted {
        table: &table,
        filter: filter.as_ref(),
        order: &order,
        limited: limit.is_some(),
    };
    let access = match choose(&wanted) {
        Some(access) => access,
        None => return Err(Unbound::Unsupported),
    };
    Ok(ShortSelect {
        table: Some((table, access)),
        filter,
        projection,
        columns,
        limit,
        offset,
        locking,
    })
}

/// Name and alias of a table that is nothing but a table.
pub fn plain_table(from: &TableFactor) -> Option<(&ObjectName, Option<String>)> {
    let TableFactor::Table {
        name,
        alias,
        args: None,
        with_hints,
        version: None,
        with_ordinality: false,
        partitions,
        json_path: None,
        sample: None,
        index_hints,
    } = from
    else {
        return None;
    };
    if !with_hints.is_empty() || !partitions.is_empty() || !index_hints.is_empty() {
        return None;
    }
    match alias {
        None => Some((name, None)),
        Some(alias) if alias.columns.is_empty() && alias.at.is_none() => {
            Some((name, Some(folded(&alias.name))))
        }
        Some(_) => None,
    }
}

fn is_bare(options: &WildcardAdditionalOptions) -> bool {
    options.opt_ilike.is_none()
        && options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none()
        && options.opt_alias.is_none()
}

fn all_columns(table: &TableDef, projection: &mut Vec<Scalar>, columns: &mut Vec<ColumnInfo>) {
    for (at, column) in table.columns.iter().enumerate() {
        projection.push(Scalar::Column(at));
        columns.push(ColumnInfo {
            name: column.name.clone(),
            sql_type: column.sql_type.clone(),
            table: Some(table.id),
            column: i16::try_from(column.id).unwrap_or(0),
        });
    }
}

/// What RowDescription says of a bound expression over `table`.
pub fn column_info(table: &TableDef, name: String, typed: &Typed) -> ColumnInfo {
    let origin = match typed.scalar {
        Scalar::Column(at) => table.columns.get(at).and_then(|c| i16::try_from(c.id).ok()),
        _ => None,
    };
    ColumnInfo {
        name,
        sql_type: typed.sql_type.clone(),
        table: origin.map(|_| table.id),
        column: origin.unwrap_or(0),
    }
}

/// Binds one result column and names it as PostgreSQL does.
pub fn bind_item(binder: &mut Binder<'_>, item: &SelectItem) -> Bound<(String, Typed)> {
    let (expr, alias) = match item {
        SelectItem::UnnamedExpr(expr) => (expr, None),
        SelectItem::ExprWithAlias { expr, alias } => (expr, Some(folded(alias))),
        _ => return Err(Unbound::Unsupported),
    };
    let typed = binder.bind(expr, None)?;
    let name = match alias {
        Some(alias) => alias,
        None => figure_name(expr).ok_or(Unbound::Unsupported)?,
    };
    Ok((name, typed))
}

/// The name of an unnamed result column, where the rule is simple; after PostgreSQL's
/// `FigureColname`.
fn figure_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(folded(ident)),
        Expr::CompoundIdentifier(parts) => parts.last().map(folded),
        Expr::Nested(inner) => figure_name(inner),
        Expr::Value(_) | Expr::UnaryOp { .. } | Expr::BinaryOp { .. } => {
            Some("?column?".to_owned())
        }
        Expr::Cast { expr, .. } => match &**expr {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => figure_name(expr),
            _ => None,
        },
        Expr::Function(function) => match function.name.0.as_slice() {
            [name] => name.as_ident().map(folded),
            _ => None,
        },
        _ => None,
    }
}

fn order_terms(
    query: &Query,
    select: &Select,
    table: &TableDef,
    binder: &mut Binder<'_>,
) -> Bound<Vec<OrderTerm>> {
    let Some(order_by) = &query.order_by else {
        return Ok(Vec::new());
    };
    let OrderByKind::Expressions(list) = &order_by.kind else {
        return Err(Unbound::Unsupported);
    };
    if order_by.interpolate.is_some() {
        return Err(Unbound::Unsupported);
    }
    // A name may mean an output column first; an alias that hides a column is the general path's.
    let aliased = select.projection.iter().any(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => {
            let alias = folded(alias);
            list.iter()
                .any(|term| matches!(&term.expr, Expr::Identifier(i) if folded(i) == alias))
        }
        _ => false,
    });
    if aliased {
        return Err(Unbound::Unsupported);
    }
    let mut terms = Vec::with_capacity(list.len());
    for term in list {
        if term.with_fill.is_some() || matches!(term.expr, Expr::Value(_)) {
            return Err(Unbound::Unsupported);
        }
        let typed = binder.bind(&term.expr, None)?;
        let Scalar::Column(column) = typed.scalar else {
            return Err(Unbound::Unsupported);
        };
        if column >= table.columns.len() {
            return Err(Unbound::Unsupported);
        }
        let descending = term.options.asc == Some(false);
        terms.push((
            column,
            descending,
            term.options.nulls_first.unwrap_or(descending),
        ));
    }
    Ok(terms)
}

fn bind_limit(query: &Query, binder: &mut Binder<'_>) -> Bound<(Option<Scalar>, Option<Scalar>)> {
    let (limit, offset) = match &query.limit_clause {
        None => return Ok((None, None)),
        Some(LimitClause::LimitOffset {
            limit,
            offset,
            limit_by,
        }) if limit_by.is_empty() => (limit.as_ref(), offset.as_ref().map(|offset| &offset.value)),
        Some(_) => return Err(Unbound::Unsupported),
    };
    let mut bind = |expr: &Expr| -> Bound<Scalar> {
        let typed = binder.bind(expr, Some(&SqlType::BigInt))?;
        let is_integer = typed.sql_type.is_integer();
        if !is_integer || !typed.scalar.is_row_free() {
            return Err(Unbound::Unsupported);
        }
        Ok(typed.scalar)
    };
    Ok((
        limit.map(&mut bind).transpose()?,
        offset.map(&mut bind).transpose()?,
    ))
}

fn locking_of(query: &Query, alias: &str) -> Bound<Option<RowLocking>> {
    match query.locks.as_slice() {
        [] => Ok(None),
        [clause] => {
            let clause = row_lock(clause);
            if clause.of.as_ref().is_some_and(|of| of != alias) {
                // The general path knows what to say.
                return Err(Unbound::Unsupported);
            }
            Ok(Some(RowLocking {
                strength: clause.strength,
                wait: clause.wait,
            }))
        }
        _ => Err(Unbound::Unsupported),
    }
}
