//! What a column name can mean at one place of a query.

use datafusion::common::Column;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::Sort;
use tessera_types::{RelationId, Report, SqlType, codes};

use super::Typed;
use crate::arrow_types::data_type_of;

/// A column of a row over which single expressions are bound.
#[derive(Debug, Clone)]
pub struct ScopeColumn {
    /// Alias or table name that may stand before it.
    pub qualifier: Option<String>,
    /// Name.
    pub name: String,
    /// Type.
    pub sql_type: SqlType,
    /// Table and number, for the description of RETURNING's columns.
    pub origin: Option<(RelationId, i16)>,
}

/// The name in the plan of a row's column.
pub fn row_column(position: usize) -> String {
    format!("c{position}")
}

/// The relations of a FROM clause, and the columns that USING merged.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    pub(super) relations: Vec<ScopeRelation>,
    /// Columns merged by USING and NATURAL: found without qualifier only.
    pub(super) merged: Vec<ScopeField>,
    /// The order of the rows, when they come from one ordered subquery.
    pub(super) order: Vec<Sort>,
}

/// One relation in reach.
#[derive(Debug, Clone)]
pub(super) struct ScopeRelation {
    /// Alias, or the table's name.
    pub(super) name: String,
    /// Schema, when it was a table without alias.
    pub(super) schema: Option<String>,
    pub(super) fields: Vec<ScopeField>,
    /// Positions of the primary key's columns.
    pub(super) key: Option<Vec<usize>>,
    pub(super) kind: ScopeKind,
}

/// What a relation is, for row locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScopeKind {
    /// A table whose rows have keys.
    Stored(RelationId),
    /// A view or a subquery.
    Query,
    /// Rows that nobody else sees: of functions, VALUES, WITH queries, system tables.
    Rows,
}

/// One column in reach.
#[derive(Debug, Clone)]
pub(super) struct ScopeField {
    pub(super) name: String,
    pub(super) typed: Typed,
    /// Not in `*`.
    pub(super) hidden: bool,
    /// Found with its qualifier only, because USING merged it.
    pub(super) merged_away: bool,
}

impl Scope {
    /// A scope of one row.
    pub(super) fn of_row(columns: &[ScopeColumn]) -> Scope {
        let mut scope = Scope::default();
        for (position, column) in columns.iter().enumerate() {
            let name = column.qualifier.clone().unwrap_or_default();
            let field = ScopeField {
                name: column.name.clone(),
                typed: Typed {
                    expr: Expr::Column(Column::new_unqualified(row_column(position))),
                    sql_type: column.sql_type.clone(),
                    data_type: data_type_of(&column.sql_type),
                    origin: column.origin,
                },
                hidden: false,
                merged_away: false,
            };
            match scope
                .relations
                .iter_mut()
                .find(|relation| relation.name == name)
            {
                Some(relation) => relation.fields.push(field),
                None => scope.relations.push(ScopeRelation {
                    name,
                    schema: None,
                    fields: vec![field],
                    key: None,
                    kind: ScopeKind::Rows,
                }),
            }
        }
        scope
    }

    /// The column of that name, without qualifier.
    pub(super) fn find(&self, name: &str) -> Result<Option<&Typed>, Report> {
        let merged = self.merged.iter().filter(|field| field.name == name);
        let plain = self
            .relations
            .iter()
            .flat_map(|relation| &relation.fields)
            .filter(|field| field.name == name && !field.merged_away);
        let mut found = merged.chain(plain);
        let first = found.next();
        if found.next().is_some() {
            return Err(Report::error(
                codes::AMBIGUOUS_COLUMN,
                format!("column reference \"{name}\" is ambiguous"),
            ));
        }
        Ok(first.map(|field| &field.typed))
    }

    /// The relation of that name.
    pub(super) fn relation(&self, schema: Option<&str>, name: &str) -> Option<&ScopeRelation> {
        self.relations.iter().find(|relation| {
            relation.name == name && (schema.is_none() || relation.schema.as_deref() == schema)
        })
    }

    /// Columns of `*`, in order.
    pub(super) fn star(&self) -> impl Iterator<Item = &ScopeField> {
        let plain = self
            .relations
            .iter()
            .flat_map(|relation| &relation.fields)
            .filter(|field| !field.merged_away && !field.hidden);
        self.merged
            .iter()
            .filter(|field| !field.hidden)
            .chain(plain)
    }

    /// Both scopes together, as in a join.
    pub(super) fn join(mut self, other: Scope) -> Result<Scope, Report> {
        for relation in &other.relations {
            if self
                .relations
                .iter()
                .any(|mine| mine.name == relation.name && mine.schema == relation.schema)
                && !relation.name.is_empty()
            {
                return Err(Report::error(
                    codes::DUPLICATE_ALIAS,
                    format!("table name \"{}\" specified more than once", relation.name),
                ));
            }
        }
        self.relations.extend(other.relations);
        self.merged.extend(other.merged);
        self.order.clear();
        Ok(self)
    }
}

impl ScopeRelation {
    /// The column of that name.
    pub(super) fn field(&self, name: &str) -> Result<Option<&ScopeField>, Report> {
        let mut found = self.fields.iter().filter(|field| field.name == name);
        let first = found.next();
        if found.next().is_some() {
            return Err(Report::error(
                codes::AMBIGUOUS_COLUMN,
                format!("column reference \"{name}\" is ambiguous"),
            ));
        }
        Ok(first)
    }
}
