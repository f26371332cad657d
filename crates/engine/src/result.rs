//! Collected results, for callers that do not stream.

use tessera_types::{FormatContext, SqlType, Value, text};

/// One statement's result, complete in memory.
#[derive(Clone, Debug, Default)]
pub struct ResultSet {
    /// Name and type of each column; empty for a command.
    pub columns: Vec<(String, SqlType)>,
    /// Rows in order.
    pub rows: Vec<Vec<Value>>,
    /// PostgreSQL's command tag, such as `INSERT 0 1`.
    pub tag: String,
    /// How values turn into text: the session's settings at the time.
    pub(crate) format: FormatContext,
}

impl ResultSet {
    /// A value as PostgreSQL prints it; `None` for NULL and outside the result.
    pub fn text(&self, row: usize, column: usize) -> Option<String> {
        let value = self.value(row, column)?;
        if value.is_null() {
            return None;
        }
        let mut out = Vec::new();
        text::write(
            value.as_ref(),
            &self.columns[column].1,
            &self.format,
            &mut out,
        );
        Some(String::from_utf8_lossy(&out).into_owned())
    }

    /// A value; `None` outside the result.
    pub fn value(&self, row: usize, column: usize) -> Option<&Value> {
        self.rows.get(row)?.get(column)
    }
}
