//! The ground vocabulary: ids, values, SQL types, their text and binary formats, error codes.
//!
//! # Map
//! - `id`: [`RelationId`], [`TxnId`], [`Version`].
//! - `sql_type`: [`SqlType`], its PostgreSQL oid, modifier and name.
//! - `value`: [`Value`], [`ValueRef`], [`ArrayValue`]; `order`: how values compare and hash.
//! - `decimal`, `interval`: the two types with arithmetic of their own.
//! - `datetime`: calendar arithmetic on plain integers; `zone`: time zones.
//! - [`text`], [`binary`]: PostgreSQL's input and output functions.
//! - [`coerce`]: casts between types, with lengths and precisions.
//! - [`json`]: validation and the canonical text of `jsonb`.
//! - `report`: what a client is told about an error; [`codes`]: every SQLSTATE with its remedy.
//!
//! # Invariants
//! 1. Nothing here panics on any input: text and bytes come from clients and from disks.
//! 2. `text::parse(text::write(v)) == v` and `binary::parse(binary::write(v)) == v`.
//! 3. A `Decimal` has at most 38 digits.
//!
//! # Not here
//! Expressions, Arrow arrays, encodings for storage (see `codec`).

pub mod binary;
pub mod codes;
pub mod coerce;
mod context;
pub mod datetime;
mod decimal;
mod error;
mod id;
mod interval;
pub mod json;
mod order;
mod report;
mod sql_type;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod text;
mod value;
mod zone;

pub use codes::{CodeEntry, SqlState};
pub use coerce::CastKind;
pub use context::{
    ByteaOutput, DateOrder, DateStyle, DateStyleFormat, FormatContext, IntervalStyle,
};
pub use decimal::{DECIMAL_DIGITS_MAX, DECIMAL_SCALE_MAX, Decimal};
pub use error::ValueError;
pub use id::{RelationId, TxnId, Version};
pub use interval::Interval;
pub use report::{Report, ReportFields, Retry, Severity};
pub use sql_type::SqlType;
pub use value::{ArrayRef, ArrayValue, Value, ValueRef};
pub use zone::TimeZone;
