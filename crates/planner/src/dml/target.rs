//! The table that a statement writes, and its columns by name.

use std::sync::Arc;

use sqlparser::ast::{Expr, Ident, ObjectName};
use tessera_catalog::{CatalogState, Relation, TableDef};
use tessera_types::{Report, codes};

use crate::ddl::{RelationName, relation_name};
use crate::short_path::bind::folded;

/// Where names are looked up.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    /// The catalog as the transaction sees it.
    pub catalog: &'a CatalogState,
    /// Schemas searched for unqualified names.
    pub search_path: &'a [String],
}

impl<'a> Names<'a> {
    /// The relation of that name, or 42P01.
    pub fn relation(&self, name: &RelationName) -> Result<Relation, Report> {
        let found = self
            .catalog
            .resolve(self.search_path, name.schema.as_deref(), &name.name);
        found.ok_or_else(|| match &name.schema {
            Some(schema) if self.catalog.schema(schema).is_none() && !is_system(schema) => {
                Report::error(
                    codes::INVALID_SCHEMA_NAME,
                    format!("schema \"{schema}\" does not exist"),
                )
            }
            _ => Report::error(
                codes::UNDEFINED_TABLE,
                format!("relation \"{name}\" does not exist"),
            ),
        })
    }

    /// The table of that name if it is one; for the short path, which leaves errors to others.
    pub fn table_if_any(&self, name: &ObjectName) -> Option<Arc<TableDef>> {
        let name = relation_name(name).ok()?;
        match self
            .catalog
            .resolve(self.search_path, name.schema.as_deref(), &name.name)?
        {
            Relation::Table(table) if table.model.is_rows() => Some(table),
            _ => None,
        }
    }

    /// Whether a name is that of a key space or a collection.
    pub fn is_model(&self, name: &ObjectName) -> bool {
        let found = relation_name(name).ok().and_then(|name| {
            self.catalog
                .resolve(self.search_path, name.schema.as_deref(), &name.name)
        });
        matches!(found, Some(Relation::Table(table)) if !table.model.is_rows())
    }

    /// The table of rows that a statement wants to write; `verb` is for messages.
    pub fn target(&self, name: &ObjectName, verb: &str) -> Result<Arc<TableDef>, Report> {
        let table = self.written(name, verb)?;
        tessera_catalog::refusal::check_is_rows(&table)?;
        Ok(table)
    }

    /// The relation of any model that a statement wants to write.
    pub fn written(&self, name: &ObjectName, verb: &str) -> Result<Arc<TableDef>, Report> {
        let name = relation_name(name)?;
        if name.schema.as_deref().is_some_and(is_system) {
            return Err(Report::error(
                codes::INSUFFICIENT_PRIVILEGE,
                format!("permission denied: \"{}\" is a system catalog", name.name),
            ));
        }
        match self.relation(&name)? {
            Relation::Table(table) => Ok(table),
            Relation::View(view) => Err(Report::error(
                codes::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("cannot {verb} view \"{}\"", view.name),
            )
            .with_detail("Views are not automatically updatable.")),
            Relation::Sequence(sequence) => Err(Report::error(
                codes::WRONG_OBJECT_TYPE,
                format!("cannot change sequence \"{}\"", sequence.name),
            )),
            Relation::Index(_, index) => Err(Report::error(
                codes::WRONG_OBJECT_TYPE,
                format!("\"{}\" is an index", index.name),
            )),
        }
    }
}

fn is_system(schema: &str) -> bool {
    matches!(schema, "pg_catalog" | "information_schema")
}

/// Position of a column by name, or 42703.
pub(super) fn position(table: &TableDef, name: &str) -> Result<usize, Report> {
    table
        .columns
        .iter()
        .position(|column| column.name == name)
        .ok_or_else(|| {
            Report::error(
                codes::UNDEFINED_COLUMN,
                format!(
                    "column \"{name}\" of relation \"{}\" does not exist",
                    table.name
                ),
            )
        })
}

/// Position of the column that an assignment names.
pub(super) fn assigned(table: &TableDef, name: &ObjectName) -> Result<usize, Report> {
    match name.0.as_slice() {
        [part] => match part.as_ident() {
            Some(ident) => position(table, &folded(ident)),
            None => Err(Report::error(
                codes::SYNTAX_ERROR,
                format!("{name} is not a column"),
            )),
        },
        [first, ..] => {
            let first = first.as_ident().map(folded).unwrap_or_default();
            Err(Report::error(
                codes::UNDEFINED_COLUMN,
                format!(
                    "column \"{first}\" of relation \"{}\" does not exist",
                    table.name
                ),
            )
            .with_hint("SET target columns cannot be qualified with the relation name."))
        }
        [] => Err(Report::error(
            codes::SYNTAX_ERROR,
            "a column name is missing",
        )),
    }
}

/// Positions of listed columns, each once.
pub(super) fn positions<'n>(
    table: &TableDef,
    names: impl Iterator<Item = &'n Ident>,
) -> Result<Vec<usize>, Report> {
    let mut found = Vec::new();
    for name in names {
        let name = folded(name);
        let at = position(table, &name)?;
        if found.contains(&at) {
            return Err(Report::error(
                codes::DUPLICATE_COLUMN,
                format!("column \"{name}\" specified more than once"),
            ));
        }
        found.push(at);
    }
    Ok(found)
}

/// Whether the expression is the word DEFAULT.
pub fn is_default(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(ident)
        if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default"))
}
