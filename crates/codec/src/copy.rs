//! PostgreSQL's COPY formats: text, csv and binary, streaming in both directions.
//!
//! # Map
//! - `options`: delimiter, NULL text, quotes and so on, with PostgreSQL's checks.
//! - `decoder`: bytes in chunks of any size to rows of fields.
//! - `text`, `csv`, `binary`: one format each.
//! - `encoder`: rows to bytes.

mod binary;
mod csv;
mod decoder;
mod encoder;
mod error;
mod options;
mod text;

pub use decoder::{CopyDecoder, CopyRow};
pub use encoder::CopyEncoder;
pub use error::CopyError;
pub use options::{CopyFormat, CsvOptions, Header, TextOptions};

#[cfg(test)]
mod tests;
