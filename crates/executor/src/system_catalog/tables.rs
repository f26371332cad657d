//! The set of system tables: names, columns and where their rows come from.

use std::collections::HashMap;
use std::sync::Arc;

use tessera_types::{RelationId, Report, SqlType, Value};

use crate::context::StatementContext;
use crate::executor::Executor;

/// Makes the rows of a system table for one statement.
pub(crate) type SystemRows =
    fn(&Executor, &StatementContext) -> Result<Vec<Vec<Value>>, Report>;

/// One system table.
pub(crate) struct SystemTable {
    /// `pg_catalog` or `information_schema`.
    pub(crate) schema: &'static str,
    /// Name.
    pub(crate) name: &'static str,
    /// Its oid, below 16384.
    pub(crate) id: RelationId,
    /// Columns in order.
    pub(crate) columns: Vec<(&'static str, SqlType)>,
    /// Its rows.
    pub(crate) rows: SystemRows,
}

/// All system tables by schema and name.
#[derive(Default)]
pub(crate) struct SystemTables {
    tables: HashMap<(&'static str, &'static str), Arc<SystemTable>>,
}

impl SystemTables {
    /// No tables.
    pub(crate) fn new() -> SystemTables {
        SystemTables::default()
    }

    /// Adds a table.
    pub(crate) fn add(&mut self, table: SystemTable) {
        self.tables.insert((table.schema, table.name), Arc::new(table));
    }

    /// The table of that name.
    pub(crate) fn get(&self, schema: &str, name: &str) -> Option<&Arc<SystemTable>> {
        self.tables.get(&(schema, name))
    }

    /// All tables, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<SystemTable>> {
        self.tables.values()
    }
}
