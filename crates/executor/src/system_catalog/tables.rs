//! The set of system tables: names, columns and where their rows come from.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use tessera_types::{RelationId, Report, SqlType, Value};

use crate::context::StatementContext;
use crate::executor::Executor;

/// Makes the rows of a system table for one statement.
pub(crate) type SystemRows =
    Arc<dyn Fn(&Executor, &StatementContext) -> Result<Vec<Vec<Value>>, Report> + Send + Sync>;

/// One system table.
pub(crate) struct SystemTable {
    /// `pg_catalog`, `information_schema` or `tessera`.
    pub(crate) schema: String,
    /// Name.
    pub(crate) name: String,
    /// Its oid, below 16384.
    pub(crate) id: RelationId,
    /// Columns in order.
    pub(crate) columns: Vec<(Cow<'static, str>, SqlType)>,
    /// Its rows.
    pub(crate) rows: SystemRows,
}

/// All system tables by schema and name.
#[derive(Default)]
pub(crate) struct SystemTables {
    schemas: HashMap<String, HashMap<String, Arc<SystemTable>>>,
}

impl SystemTables {
    /// No tables.
    pub(crate) fn new() -> SystemTables {
        SystemTables::default()
    }

    /// Adds a table.
    pub(crate) fn add(&mut self, table: SystemTable) {
        let schema = self.schemas.entry(table.schema.clone()).or_default();
        schema.insert(table.name.clone(), Arc::new(table));
    }

    /// The table of that name.
    pub(crate) fn get(&self, schema: &str, name: &str) -> Option<&Arc<SystemTable>> {
        self.schemas.get(schema)?.get(name)
    }

    /// All tables, in no order.
    #[cfg(test)]
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<SystemTable>> {
        self.schemas.values().flat_map(HashMap::values)
    }
}
