//! Makes rows of system tables by column name, so that a column's place is written in one file.

use std::collections::HashMap;

use tessera_types::{ArrayValue, Report, SqlType, Value};

use super::layout;
use crate::context::StatementContext;
use crate::executor::Executor;

/// Rows of one system table under construction.
pub(super) struct Rows {
    columns: HashMap<&'static str, usize>,
    rows: Vec<Vec<Value>>,
}

impl Rows {
    /// No rows yet of the table.
    pub(super) fn new(schema: &str, name: &str) -> Result<Rows, Report> {
        let table = layout::table(schema, name)
            .ok_or_else(|| Report::internal(format!("no layout of {schema}.{name}")))?;
        let columns = table
            .columns
            .iter()
            .enumerate()
            .map(|(at, (name, _))| (*name, at))
            .collect();
        Ok(Rows {
            columns,
            rows: Vec::new(),
        })
    }

    /// Adds a row; columns that are not named are NULL.
    pub(super) fn add<const N: usize>(&mut self, values: [(&str, Value); N]) {
        let mut row = vec![Value::Null; self.columns.len()];
        for (name, value) in values {
            debug_assert!(self.columns.contains_key(name), "no column {name}");
            if let Some(at) = self.columns.get(name) {
                row[*at] = value;
            }
        }
        self.rows.push(row);
    }

    pub(super) fn finish(self) -> Vec<Vec<Value>> {
        self.rows
    }
}

/// A table that is always empty.
pub(super) fn none(_: &Executor, _: &StatementContext) -> Result<Vec<Vec<Value>>, Report> {
    Ok(Vec::new())
}

/// The function that makes a table's rows.
pub(super) type MakeRows = fn(&Executor, &StatementContext) -> Result<Vec<Vec<Value>>, Report>;

pub(super) fn text(text: impl Into<Box<str>>) -> Value {
    Value::Text(text.into())
}

pub(super) fn opt_text(text: Option<impl Into<Box<str>>>) -> Value {
    text.map_or(Value::Null, |text| Value::Text(text.into()))
}

pub(super) fn oid(oid: u32) -> Value {
    Value::Oid(oid)
}

pub(super) fn flag(flag: bool) -> Value {
    Value::Boolean(flag)
}

pub(super) fn int2(number: usize) -> Value {
    Value::SmallInt(i16::try_from(number).unwrap_or(i16::MAX))
}

pub(super) fn int4(number: usize) -> Value {
    Value::Integer(i32::try_from(number).unwrap_or(i32::MAX))
}

pub(super) fn int8(number: u64) -> Value {
    Value::BigInt(i64::try_from(number).unwrap_or(i64::MAX))
}

pub(super) fn yes_or_no(yes: bool) -> Value {
    text(if yes { "YES" } else { "NO" })
}

/// An array without NULLs.
pub(super) fn array(element: SqlType, values: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(Box::new(ArrayValue::from_elements(
        element,
        values.into_iter().collect(),
    )))
}
