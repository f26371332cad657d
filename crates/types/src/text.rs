//! PostgreSQL's text input and output.
use crate::{FormatContext, SqlType, Value, ValueError, ValueRef};

/// Reads the text form of a value.
pub fn parse(_ty: &SqlType, _s: &str, _ctx: &FormatContext) -> Result<Value, ValueError> {
    todo!()
}

/// Writes the text form; nothing for NULL.
pub fn write(_v: ValueRef<'_>, _ty: &SqlType, _ctx: &FormatContext, _out: &mut Vec<u8>) {
    todo!()
}
