//! `pg_catalog` and `information_schema`, computed from the catalog when they are read.

mod tables;

use tessera_planner::functions::FunctionRegistry;

pub(crate) use tables::{SystemTable, SystemTables};

/// Adds the tables.
pub(crate) fn register_tables(_tables: &mut SystemTables) {}

/// Adds the functions that need the catalog: `pg_get_indexdef`, `regclass` casts, `nextval`, …
pub(crate) fn register_functions(_registry: &mut FunctionRegistry) {}
