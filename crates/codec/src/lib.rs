//! Bytes for storage and for COPY: ordered keys, rows, checksums, COPY formats.
//!
//! # Map
//! - [`key`]: values to bytes whose order is the order of the values.
//! - [`row`]: a row as one compact byte string with random access to its columns.
//! - [`json`]: documents as bytes with access to any field.
//! - [`checksum`]: CRC-32 for records, XXH3 for blocks.
//! - [`varint`]: small numbers in few bytes.
//! - [`copy`]: PostgreSQL's COPY formats, streaming in both directions.
//!
//! # Invariants
//! 1. `memcmp(key(a), key(b))` is `a.cmp_sql(b)`, and no key is a prefix of another one of its type.
//! 2. A row written before a column was added reads that column as missing.
//! 3. No decoder panics or allocates more than its input justifies, whatever the bytes.
//!
//! # Not here
//! Where bytes are stored, what a table is. The formats are in `docs/internals/row-format.md`.

pub mod checksum;
pub mod copy;
mod error;
pub mod json;
pub mod key;
mod payload;
pub mod row;
pub mod varint;

pub use error::CodecError;
