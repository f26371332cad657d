//! A row as one compact byte string.
use tessera_types::{SqlType, Value, ValueRef};

use crate::CodecError;

/// Where each column is; made once per table version, from ALL physical columns in order of their
/// attribute numbers (dropped ones keep their slot and type, and are written as NULL).
#[derive(Clone, Debug)]
pub struct RowLayout {
    columns: Vec<SqlType>,
}

impl RowLayout {
    /// The layout of a row with these columns.
    pub fn new(columns: &[SqlType]) -> RowLayout {
        RowLayout { columns: columns.to_vec() }
    }

    /// Number of columns.
    pub fn column_count(&self) -> usize {
        self.columns.len()
    }

    /// Encodes a row; as many values as columns.
    pub fn encode(&self, _values: &[Value]) -> Result<Vec<u8>, CodecError> {
        todo!()
    }
}

/// Reads columns of one encoded row.
#[derive(Clone, Copy, Debug)]
pub struct RowReader<'a> {
    layout: &'a RowLayout,
    bytes: &'a [u8],
}

impl<'a> RowReader<'a> {
    /// Checks the structure; constant time per variable column.
    pub fn new(layout: &'a RowLayout, bytes: &'a [u8]) -> Result<RowReader<'a>, CodecError> {
        Ok(RowReader { layout, bytes })
    }

    /// Columns that were there when the row was written; later ones are missing.
    pub fn column_count(&self) -> usize {
        let _ = (self.layout, self.bytes);
        todo!()
    }

    /// Whether the column was there when the row was written (else its default applies).
    pub fn has(&self, index: usize) -> bool {
        index < self.column_count()
    }

    /// Whether the column is NULL or missing.
    pub fn is_null(&self, _index: usize) -> bool {
        todo!()
    }

    /// A column's value; NULL for a missing one.
    pub fn get(&self, _index: usize) -> Result<ValueRef<'a>, CodecError> {
        todo!()
    }
}
