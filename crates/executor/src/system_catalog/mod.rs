//! `pg_catalog`, `information_schema` and `tessera`: the database about itself.
//!
//! Rows are made from the catalog's state when a statement reads them, so they are as
//! transactional as the DDL they show. Columns and types are those of PostgreSQL 15.
//!
//! # Map
//! - `tables`: the set of system tables; `layout`: their names, oids and columns (`data/`).
//! - `rows`: helps to make rows by column name.
//! - `relations`, `constraints`, `types`, `roles`, `server`, `procedures`: `pg_catalog`.
//! - `summaries`: its views for people (`pg_tables`, `pg_indexes`, …).
//! - `information_schema`: the standard's views.
//! - `own`: the `tessera` schema: transactions, tables, storage, tasks; `lock_views`: locks,
//!   waits, deadlocks, the wait profile.
//! - `text`: definitions as SQL text (`pg_get_indexdef` and its kin).
//! - `names`: `regclass` and its kin in and out; visibility.
//! - `functions`, `sequences`: functions that need the catalog; `advisory`: advisory locks.
//!
//! # Not here
//! Functions that need no catalog (`functions`), settings' values (the engine).

pub(crate) mod advisory;
mod constraints;
mod document_indexes;
mod functions;
mod information_schema;
mod layout;
mod lock_views;
pub(crate) mod names;
pub(crate) mod notify;
mod own;
mod procedures;
mod relations;
mod roles;
mod rows;
mod sequences;
mod server;
mod summaries;
mod tables;
#[cfg(test)]
mod tests;
mod text;
mod types;

use std::sync::Arc;

use tessera_planner::functions::FunctionRegistry;

pub(crate) use sequences::table_of as sequence_table;
pub(crate) use tables::{SystemTable, SystemTables};

/// Adds the tables.
pub(crate) fn register_tables(tables: &mut SystemTables) {
    for table in layout::tables() {
        let rows = relations::rows_of(table.name)
            .or_else(|| constraints::rows_of(table.name))
            .or_else(|| types::rows_of(table.name))
            .or_else(|| roles::rows_of(table.name))
            .or_else(|| server::rows_of(table.name))
            .or_else(|| procedures::rows_of(table.name))
            .or_else(|| summaries::rows_of(table.name))
            .filter(|_| table.schema == "pg_catalog")
            .or_else(|| {
                information_schema::rows_of(table.name)
                    .filter(|_| table.schema == "information_schema")
            })
            .or_else(|| {
                own::rows_of(table.name)
                    .or_else(|| lock_views::rows_of(table.name))
                    .filter(|_| table.schema == "tessera")
            })
            // What we do not have (triggers, policies, …) is truly empty.
            .unwrap_or(rows::none);
        tables.add(SystemTable {
            schema: table.schema.to_owned(),
            name: table.name.to_owned(),
            id: table.id,
            columns: table
                .columns
                .iter()
                .map(|(name, sql_type)| ((*name).into(), sql_type.clone()))
                .collect(),
            rows: Arc::new(rows),
        });
    }
}

/// Adds the functions that need the catalog: `pg_get_indexdef`, `regclass` casts, `nextval`, …
pub(crate) fn register_functions(registry: &mut FunctionRegistry) {
    functions::register(registry);
    sequences::register(registry);
    advisory::register(registry);
    notify::register(registry);
    lock_views::register(registry);
}
