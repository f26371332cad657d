//! `pg_constraint`.

use tessera_catalog::TableDef;
use tessera_types::{Report, SqlType, Value};

use super::names;
use super::rows::{MakeRows, Rows, array, flag, int2, oid, text};
use crate::context::StatementContext;
use crate::executor::Executor;

/// Rows of the tables in this file.
pub(super) fn rows_of(name: &str) -> Option<MakeRows> {
    (name == "pg_constraint").then_some(pg_constraint as MakeRows)
}

/// What differs between kinds of constraints.
struct Constraint<'a> {
    oid: u32,
    name: &'a str,
    kind: &'a str,
    index: u32,
    columns: Vec<u16>,
    expression: Value,
}

fn pg_constraint(_: &Executor, context: &StatementContext) -> Result<Vec<Vec<Value>>, Report> {
    let mut rows = Rows::new("pg_catalog", "pg_constraint")?;
    let catalog = &context.session.catalog;
    for table in catalog.tables() {
        let schema = names::schema_oid(catalog, &table.schema);
        for index in &table.indexes {
            let Some(constraint) = index.constraint else {
                continue;
            };
            let constraint = Constraint {
                oid: constraint.0,
                name: &index.name,
                kind: if index.primary { "p" } else { "u" },
                index: index.id.0,
                columns: index.columns.iter().map(|key| key.column).collect(),
                expression: Value::Null,
            };
            add(&mut rows, table, schema, constraint);
        }
        for check in &table.checks {
            let constraint = Constraint {
                oid: check.id.0,
                name: &check.name,
                kind: "c",
                index: 0,
                columns: columns_in(table, &check.sql),
                expression: text(check.sql.as_str()),
            };
            add(&mut rows, table, schema, constraint);
        }
    }
    Ok(rows.finish())
}

fn add(rows: &mut Rows, table: &TableDef, schema: u32, constraint: Constraint<'_>) {
    let columns = constraint
        .columns
        .iter()
        .map(|column| int2(usize::from(*column)));
    rows.add([
        ("oid", oid(constraint.oid)),
        ("conname", text(constraint.name)),
        ("connamespace", oid(schema)),
        ("contype", text(constraint.kind)),
        ("condeferrable", flag(false)),
        ("condeferred", flag(false)),
        ("convalidated", flag(true)),
        ("conrelid", oid(table.id.0)),
        ("contypid", oid(0)),
        ("conindid", oid(constraint.index)),
        ("conparentid", oid(0)),
        ("confrelid", oid(0)),
        ("confupdtype", text(" ")),
        ("confdeltype", text(" ")),
        ("confmatchtype", text(" ")),
        ("conislocal", flag(true)),
        ("coninhcount", Value::Integer(0)),
        ("connoinherit", flag(constraint.kind != "c")),
        ("conkey", array(SqlType::SmallInt, columns)),
        ("conbin", constraint.expression),
    ]);
}

/// Columns whose name occurs in the expression as a word.
pub(super) fn columns_in(table: &TableDef, sql: &str) -> Vec<u16> {
    let words: Vec<&str> = sql
        .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
        .collect();
    table
        .columns
        .iter()
        .filter(|column| words.contains(&column.name.as_str()))
        .map(|column| column.id)
        .collect()
}
