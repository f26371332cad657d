//! INSERT, UPDATE and DELETE on key spaces and collections.
//!
//! # Map
//! - `store`: one record by the rules of its model: locked, read, written.
//! - `insert`: INSERT with ON CONFLICT; `change`: UPDATE and DELETE.
//!
//! # Invariants
//! 1. Every write is the model's own, so indexes, schemas, times to live and counts hold whoever
//!    writes, and the lock of a record is the one that the other doors take.
//! 2. Rows are found in the statement's snapshot and locked afterwards. What has changed meanwhile
//!    is looked at again in READ COMMITTED, and is 40001 above it, as for tables.
//! 3. Columns that the model computes (`version`, `type`, `size`) are not written.
//!
//! # Not here
//! COPY FROM; values of keys that are not strings.

mod change;
mod insert;
mod store;

use datafusion::sql::sqlparser::ast::{
    self, FromTable, ObjectName, TableFactor, TableObject, TableWithJoins,
};
use futures::future::BoxFuture;
use tessera_catalog::{ColumnDef, Model, TableDef};
use tessera_types::Report;

use crate::context::StatementContext;
use crate::executor::Executor;
use crate::outcome::{CommandTag, Outcome, RowBatch, RowStream};
use crate::query::PreparedQuery;

use super::ReturnedColumns;
use super::expr::Compiler;
use super::insert::generated_always;
use super::returning::Returning;
use change::ModelChange;
use insert::ModelInsert;

/// A planned write of a key space or a collection.
pub(crate) enum ModelWrite {
    Insert(ModelInsert),
    Change(ModelChange),
}

/// Whether the statement writes a key space or a collection.
pub(super) fn is_meant(compiler: &Compiler<'_>, write: &ast::Statement) -> bool {
    let name = match write {
        ast::Statement::Insert(insert) => match &insert.table {
            TableObject::TableName(name) => Some(name),
            _ => None,
        },
        ast::Statement::Update(update) => name_of(&update.table),
        ast::Statement::Delete(delete) => {
            let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
            from.first().and_then(name_of)
        }
        _ => None,
    };
    name.is_some_and(|name| compiler.names().is_model(name))
}

fn name_of(table: &TableWithJoins) -> Option<&ObjectName> {
    match &table.relation {
        TableFactor::Table { name, .. } => Some(name),
        _ => None,
    }
}

/// Plans the statement.
pub(super) fn plan(
    compiler: &mut Compiler<'_>,
    write: &ast::Statement,
) -> Result<ModelWrite, Report> {
    match write {
        ast::Statement::Insert(insert) => {
            ModelInsert::plan(compiler, insert).map(ModelWrite::Insert)
        }
        ast::Statement::Update(update) => {
            ModelChange::plan_update(compiler, update).map(ModelWrite::Change)
        }
        ast::Statement::Delete(delete) => {
            ModelChange::plan_delete(compiler, delete).map(ModelWrite::Change)
        }
        _ => Err(Report::internal("not a write of a model")),
    }
}

impl ModelWrite {
    /// Columns of RETURNING.
    pub(super) fn columns(&self) -> ReturnedColumns {
        let returning = match self {
            ModelWrite::Insert(insert) => insert.returning.as_ref(),
            ModelWrite::Change(change) => change.returning.as_ref(),
        };
        returning.map(|returning| returning.columns.clone())
    }

    /// The query that gives or finds the rows.
    pub(super) fn query(&self) -> Option<&PreparedQuery> {
        match self {
            ModelWrite::Insert(insert) => insert.query(),
            ModelWrite::Change(change) => Some(change.query()),
        }
    }

    /// Text for EXPLAIN.
    pub(super) fn describe(&self) -> String {
        match self {
            ModelWrite::Insert(insert) => format!("Insert on {}", insert.table.name),
            ModelWrite::Change(change) => change.describe(),
        }
    }

    /// Runs it. A future behind a pointer, for those of the callers are deep enough.
    pub(super) fn execute<'a>(
        &'a self,
        executor: &'a Executor,
        context: &'a StatementContext,
    ) -> BoxFuture<'a, Result<Outcome, Report>> {
        match self {
            ModelWrite::Insert(insert) => Box::pin(insert.execute(executor, context)),
            ModelWrite::Change(change) => Box::pin(change.execute(executor, context)),
        }
    }
}

/// Whether the model computes a column itself.
fn is_computed(table: &TableDef, column: usize) -> bool {
    match table.model {
        Model::Rows => false,
        Model::KeySpace => matches!(column, 2 | 4),
        Model::Collection => column == 2,
    }
}

/// 428C9 for a value given to a column that the model computes.
fn computed_always(column: &ColumnDef, verb: &str) -> Report {
    generated_always(column, false, verb)
}

/// What a statement answers.
fn outcome(
    verb: &'static str,
    count: u64,
    returning: Option<&Returning>,
    results: Vec<Vec<tessera_types::Value>>,
) -> Outcome {
    match returning {
        None => Outcome::Command(CommandTag::counted(verb, count)),
        Some(returning) => {
            let columns = returning.columns.clone();
            let batch = RowBatch::from_values(results, columns.len());
            Outcome::Rows(RowStream::ready(columns, verb, batch))
        }
    }
}
