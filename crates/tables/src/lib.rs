//! The meaning of the row model: rows, keys, constraints, indexes.
//!
//! # Map
//! - `table`: [`Table`], a definition with everything derived from it once: layout, key columns.
//! - `layout`: bytes of row keys and index entries; bounds to key ranges.
//! - `row_ids`: hidden row numbers of tables without a primary key.
//! - `write`: [`Writer`]: insert, update, delete of one row with all its index entries.
//! - `scan`: rows of a table, or of an index range, in batches.
//! - `check`: compares the indexes of a table with its rows.
//! - `build`: fills an index, moves rows to new storage, checks constraints of existing rows.
//!
//! # Invariants
//! 1. Every index holds exactly one entry per row, and no other entries, at every commit.
//! 2. A unique key is examined only while its lock is held, and against the newest commit.
//! 3. A row is changed only under its lock, or under the lock of its whole table.
//! 4. Rows are read through a view; the only other reads are of keys that are locked.
//!
//! # Not here
//! SQL expressions (CHECK and DEFAULT are evaluated by the executor), the catalog's verbs,
//! relation locks of statements.

mod build;
mod check;
mod error;
mod layout;
mod row_ids;
mod scan;
mod table;
mod write;

pub use build::{Rebuild, build_index, check_not_null};
pub use check::check_table;
pub use error::{Result, TableError};
pub use layout::{Bounds, EntryRef, index_range, key_range, rows_range};
pub use row_ids::RowIds;
pub use scan::{IndexScan, RowScan, ScanSpec, Stored, get, get_by_index};
pub use table::{Index, Row, RowView, Table};
pub use write::{Arbiter, Inserted, Locked, OnConflict, Writer, WriterState};
