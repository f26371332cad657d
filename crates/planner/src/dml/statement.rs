//! The write statements with their targets resolved.

use std::sync::Arc;

use sqlparser::ast::{
    self, AssignmentTarget, ConflictTarget, Expr, FromTable, OnConflictAction, OnInsert, Query,
    SelectItem, SetExpr, TableFactor, TableObject, TableWithJoins, UpdateTableFromKind,
};
use tessera_catalog::{IndexDef, TableDef};
use tessera_types::{RelationId, Report, codes};

use crate::parse::rewrite::OVERRIDING;
use crate::short_path::bind::folded;
use crate::short_path::plain_table;

use super::target::{Names, assigned, is_default, position, positions};

/// INSERT.
pub struct InsertStatement<'a> {
    /// The table.
    pub table: Arc<TableDef>,
    /// Its alias in ON CONFLICT and RETURNING.
    pub alias: Option<String>,
    /// Positions of the columns that the source gives, in its order.
    pub targets: Vec<usize>,
    /// Where the rows come from.
    pub source: InsertSource<'a>,
    /// OVERRIDING.
    pub overriding: Option<Overriding>,
    /// ON CONFLICT.
    pub on_conflict: Option<ConflictClause<'a>>,
    /// RETURNING.
    pub returning: Option<&'a [SelectItem]>,
}

/// What happens to values given for identity columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overriding {
    /// They are taken, even for GENERATED ALWAYS.
    System,
    /// They are ignored.
    User,
}

/// Source of an INSERT.
pub enum InsertSource<'a> {
    /// DEFAULT VALUES: one row.
    Defaults,
    /// VALUES lists; a cell may be the word DEFAULT.
    Rows(Vec<&'a [Expr]>),
    /// A query.
    Query(&'a Query),
}

/// ON CONFLICT.
pub struct ConflictClause<'a> {
    /// Which keys it is about.
    pub arbiter: ConflictArbiter,
    /// What to do.
    pub action: ConflictAction<'a>,
}

/// The unique keys that ON CONFLICT is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConflictArbiter {
    /// All.
    Any,
    /// The primary key or one unique index.
    Index(RelationId),
}

/// The action of ON CONFLICT.
pub enum ConflictAction<'a> {
    /// DO NOTHING.
    Nothing,
    /// DO UPDATE.
    Update {
        /// SET.
        assignments: Vec<Assignment<'a>>,
        /// WHERE.
        filter: Option<&'a Expr>,
    },
}

/// One assignment of SET.
pub struct Assignment<'a> {
    /// Position of the column.
    pub column: usize,
    /// Its new value.
    pub value: SetValue<'a>,
}

/// Right side of an assignment.
pub enum SetValue<'a> {
    /// DEFAULT.
    Default,
    /// An expression.
    Expr(&'a Expr),
}

/// UPDATE.
pub struct UpdateStatement<'a> {
    /// The table.
    pub table: Arc<TableDef>,
    /// Its alias.
    pub alias: Option<String>,
    /// SET.
    pub assignments: Vec<Assignment<'a>>,
    /// FROM.
    pub from: &'a [TableWithJoins],
    /// WHERE.
    pub filter: Option<&'a Expr>,
    /// RETURNING.
    pub returning: Option<&'a [SelectItem]>,
}

/// DELETE.
pub struct DeleteStatement<'a> {
    /// The table.
    pub table: Arc<TableDef>,
    /// Its alias.
    pub alias: Option<String>,
    /// USING.
    pub using: &'a [TableWithJoins],
    /// WHERE.
    pub filter: Option<&'a Expr>,
    /// RETURNING.
    pub returning: Option<&'a [SelectItem]>,
}

/// Resolves the target of an INSERT.
pub fn plan_insert<'a>(
    insert: &'a ast::Insert,
    names: Names<'_>,
) -> Result<InsertStatement<'a>, Report> {
    let foreign = insert.or.is_some()
        || insert.ignore
        || insert.overwrite
        || insert.partitioned.is_some()
        || !insert.after_columns.is_empty()
        || insert.has_table_keyword
        || insert.output.is_some()
        || insert.replace_into
        || insert.priority.is_some()
        || insert.insert_alias.is_some()
        || insert.format_clause.is_some()
        || insert.multi_table_insert_type.is_some()
        || !insert.assignments.is_empty();
    if foreign {
        return Err(Report::error(
            codes::SYNTAX_ERROR,
            "this form of INSERT is not PostgreSQL's",
        ));
    }
    let overriding = overriding_of(insert)?;
    let TableObject::TableName(name) = &insert.table else {
        return Err(Report::error(codes::SYNTAX_ERROR, "INSERT needs a table"));
    };
    let table = names.written(name, "insert into")?;
    let mut targets = Vec::with_capacity(insert.columns.len());
    for column in &insert.columns {
        let at = assigned(&table, column)?;
        if targets.contains(&at) {
            return Err(Report::error(
                codes::DUPLICATE_COLUMN,
                format!(
                    "column \"{}\" specified more than once",
                    table.columns[at].name
                ),
            ));
        }
        targets.push(at);
    }
    let source = insert_source(insert.source.as_deref())?;
    fit_targets(&table, &mut targets, &source, !insert.columns.is_empty())?;
    let on_conflict = match &insert.on {
        None => None,
        Some(OnInsert::OnConflict(clause)) => Some(conflict_clause(&table, clause)?),
        Some(_) => {
            return Err(Report::error(
                codes::SYNTAX_ERROR,
                "this ON clause is not PostgreSQL's",
            ));
        }
    };
    Ok(InsertStatement {
        alias: insert
            .table_alias
            .as_ref()
            .map(|alias| folded(&alias.alias)),
        targets,
        source,
        overriding,
        on_conflict,
        returning: insert.returning.as_deref(),
        table,
    })
}

/// The parser keeps OVERRIDING among the settings; other settings are not PostgreSQL's.
fn overriding_of(insert: &ast::Insert) -> Result<Option<Overriding>, Report> {
    match insert.settings.as_deref() {
        None => Ok(None),
        Some([setting]) if setting.key.value == OVERRIDING => {
            let is_system = setting.value.to_string() == "system";
            Ok(Some(if is_system {
                Overriding::System
            } else {
                Overriding::User
            }))
        }
        Some(_) => Err(Report::error(
            codes::SYNTAX_ERROR,
            "this form of INSERT is not PostgreSQL's",
        )),
    }
}

fn insert_source(source: Option<&Query>) -> Result<InsertSource<'_>, Report> {
    let Some(query) = source else {
        return Ok(InsertSource::Defaults);
    };
    let is_plain = query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none();
    match &*query.body {
        SetExpr::Values(values) if is_plain => {
            let width = values.rows.first().map_or(0, |row| row.content.len());
            if values.rows.iter().any(|row| row.content.len() != width) {
                return Err(Report::error(
                    codes::SYNTAX_ERROR,
                    "VALUES lists must all be the same length",
                ));
            }
            Ok(InsertSource::Rows(
                values
                    .rows
                    .iter()
                    .map(|row| row.content.as_slice())
                    .collect(),
            ))
        }
        _ => Ok(InsertSource::Query(query)),
    }
}

/// Without a column list, VALUES are for the first columns; the numbers must match.
fn fit_targets(
    table: &TableDef,
    targets: &mut Vec<usize>,
    source: &InsertSource<'_>,
    listed: bool,
) -> Result<(), Report> {
    let width = match source {
        InsertSource::Defaults => return Ok(()),
        InsertSource::Rows(rows) => Some(rows.first().map_or(0, |row| row.len())),
        // Known once the query is bound; `fit_query` checks.
        InsertSource::Query(_) => None,
    };
    if !listed {
        let count = width
            .unwrap_or(table.columns.len())
            .min(table.columns.len());
        targets.extend(0..count);
    }
    match width {
        Some(width) if width > targets.len() => Err(too_many_expressions()),
        Some(width) if width < targets.len() => Err(too_many_targets()),
        _ => Ok(()),
    }
}

pub(super) fn too_many_expressions() -> Report {
    Report::error(
        codes::SYNTAX_ERROR,
        "INSERT has more expressions than target columns",
    )
}

pub(super) fn too_many_targets() -> Report {
    Report::error(
        codes::SYNTAX_ERROR,
        "INSERT has more target columns than expressions",
    )
}

impl InsertStatement<'_> {
    /// Fits the targets to a query of so many columns.
    pub fn fit_query(&mut self, width: usize, listed: bool) -> Result<(), Report> {
        if width > self.targets.len() {
            return Err(too_many_expressions());
        }
        if width < self.targets.len() {
            if listed {
                return Err(too_many_targets());
            }
            self.targets.truncate(width);
        }
        Ok(())
    }
}

fn conflict_clause<'a>(
    table: &TableDef,
    clause: &'a ast::OnConflict,
) -> Result<ConflictClause<'a>, Report> {
    let arbiter = match &clause.conflict_target {
        None => ConflictArbiter::Any,
        Some(ConflictTarget::Columns(columns)) => {
            let mut wanted: Vec<u16> = positions(table, columns.iter())?
                .into_iter()
                .map(|at| table.columns[at].id)
                .collect();
            wanted.sort_unstable();
            let index = table
                .indexes
                .iter()
                .find(|index| index.unique && key_set(index) == wanted);
            let Some(index) = index else {
                return Err(Report::error(
                    codes::INVALID_COLUMN_REFERENCE,
                    "there is no unique or exclusion constraint matching the ON CONFLICT specification",
                ));
            };
            ConflictArbiter::Index(index.id)
        }
        Some(ConflictTarget::OnConstraint(name)) => {
            let name = crate::ddl::relation_name(name)?.name;
            let index = table
                .indexes
                .iter()
                .find(|index| index.constraint_name() == Some(&name));
            let Some(index) = index.filter(|index| index.unique) else {
                return Err(Report::error(
                    codes::UNDEFINED_OBJECT,
                    format!(
                        "constraint \"{name}\" for table \"{}\" does not exist",
                        table.name
                    ),
                ));
            };
            ConflictArbiter::Index(index.id)
        }
    };
    let action = match &clause.action {
        OnConflictAction::DoNothing => ConflictAction::Nothing,
        OnConflictAction::DoUpdate(update) => {
            if arbiter == ConflictArbiter::Any {
                return Err(Report::error(
                    codes::SYNTAX_ERROR,
                    "ON CONFLICT DO UPDATE requires inference specification or constraint name",
                )
                .with_hint("For example, ON CONFLICT (column_name)."));
            }
            ConflictAction::Update {
                assignments: assignments(table, &update.assignments)?,
                filter: update.selection.as_ref(),
            }
        }
    };
    Ok(ConflictClause { arbiter, action })
}

fn key_set(index: &IndexDef) -> Vec<u16> {
    let mut columns: Vec<u16> = index.columns.iter().map(|part| part.column).collect();
    columns.sort_unstable();
    columns
}

fn assignments<'a>(
    table: &TableDef,
    list: &'a [ast::Assignment],
) -> Result<Vec<Assignment<'a>>, Report> {
    let mut out: Vec<Assignment<'a>> = Vec::with_capacity(list.len());
    let mut push = |column: usize, value: &'a Expr| {
        if out.iter().any(|other| other.column == column) {
            return Err(Report::error(
                codes::SYNTAX_ERROR,
                format!(
                    "multiple assignments to same column \"{}\"",
                    table.columns[column].name
                ),
            ));
        }
        let value = if is_default(value) {
            SetValue::Default
        } else {
            SetValue::Expr(value)
        };
        out.push(Assignment { column, value });
        Ok(())
    };
    for assignment in list {
        match &assignment.target {
            AssignmentTarget::ColumnName(name) => push(assigned(table, name)?, &assignment.value)?,
            AssignmentTarget::Tuple(names) => {
                let values = match &assignment.value {
                    Expr::Tuple(values) => values.as_slice(),
                    // `(a) = (1)`: parentheses around a single value.
                    Expr::Nested(inner) if names.len() == 1 => std::slice::from_ref(&**inner),
                    _ => {
                        return Err(Report::unsupported(
                            "assigning a subquery to several columns is not supported",
                        )
                        .with_hint("Use UPDATE … FROM instead."));
                    }
                };
                if values.len() != names.len() {
                    return Err(Report::error(
                        codes::SYNTAX_ERROR,
                        "number of columns does not match number of values",
                    ));
                }
                for (name, value) in names.iter().zip(values) {
                    push(assigned(table, name)?, value)?;
                }
            }
        }
    }
    Ok(out)
}

/// Resolves the target of an UPDATE.
pub fn plan_update<'a>(
    update: &'a ast::Update,
    names: Names<'_>,
) -> Result<UpdateStatement<'a>, Report> {
    if update.or.is_some()
        || update.output.is_some()
        || !update.order_by.is_empty()
        || update.limit.is_some()
    {
        return Err(Report::error(
            codes::SYNTAX_ERROR,
            "this form of UPDATE is not PostgreSQL's",
        ));
    }
    if !update.table.joins.is_empty() {
        return Err(Report::error(
            codes::SYNTAX_ERROR,
            "a join cannot be updated; use FROM",
        ));
    }
    let (table, alias) = target_of(&update.table.relation, names, "update")?;
    let from = match &update.from {
        None => &[][..],
        Some(UpdateTableFromKind::AfterSet(from)) => from.as_slice(),
        Some(UpdateTableFromKind::BeforeSet(_)) => {
            return Err(Report::error(
                codes::SYNTAX_ERROR,
                "FROM must stand behind SET",
            ));
        }
    };
    let assignments = assignments(&table, &update.assignments)?;
    Ok(UpdateStatement {
        table,
        alias,
        assignments,
        from,
        filter: update.selection.as_ref(),
        returning: update.returning.as_deref(),
    })
}

/// Resolves the target of a DELETE.
pub fn plan_delete<'a>(
    delete: &'a ast::Delete,
    names: Names<'_>,
) -> Result<DeleteStatement<'a>, Report> {
    if !delete.tables.is_empty()
        || delete.output.is_some()
        || !delete.order_by.is_empty()
        || delete.limit.is_some()
    {
        return Err(Report::error(
            codes::SYNTAX_ERROR,
            "this form of DELETE is not PostgreSQL's",
        ));
    }
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    let [target] = from.as_slice() else {
        return Err(Report::error(
            codes::SYNTAX_ERROR,
            "DELETE takes one table; use USING for others",
        ));
    };
    if !target.joins.is_empty() {
        return Err(Report::error(
            codes::SYNTAX_ERROR,
            "a join cannot be deleted from; use USING",
        ));
    }
    let (table, alias) = target_of(&target.relation, names, "delete from")?;
    Ok(DeleteStatement {
        table,
        alias,
        using: delete.using.as_deref().unwrap_or_default(),
        filter: delete.selection.as_ref(),
        returning: delete.returning.as_deref(),
    })
}

fn target_of(
    factor: &TableFactor,
    names: Names<'_>,
    verb: &str,
) -> Result<(Arc<TableDef>, Option<String>), Report> {
    let Some((name, alias)) = plain_table(factor) else {
        return Err(Report::error(
            codes::SYNTAX_ERROR,
            format!("cannot {verb} this"),
        ));
    };
    Ok((names.written(name, verb)?, alias))
}

/// Position of a column by name, or 42703: for COPY's column lists.
pub fn column_positions(table: &TableDef, names: &[ast::Ident]) -> Result<Vec<usize>, Report> {
    if names.is_empty() {
        return Ok((0..table.columns.len()).collect());
    }
    if let [name] = names {
        return Ok(vec![position(table, &folded(name))?]);
    }
    positions(table, names.iter())
}
