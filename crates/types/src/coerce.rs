//! Casts between types.
use crate::{FormatContext, SqlType, Value, ValueError};

/// How much a cast may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CastKind {
    /// In any expression.
    Implicit,
    /// To a column on INSERT and UPDATE.
    Assignment,
    /// `CAST` and `::`.
    Explicit,
}

/// Casts a value and applies the target's length or precision.
pub fn to_column(_v: Value, _from: &SqlType, _to: &SqlType, _kind: CastKind, _ctx: &FormatContext) -> Result<Value, ValueError> {
    todo!()
}

/// Whether such a cast exists, whatever the value.
pub fn exists(_from: &SqlType, _to: &SqlType, _kind: CastKind) -> bool {
    todo!()
}
