//! PostgreSQL's binary send and receive.
use crate::{SqlType, Value, ValueError, ValueRef};

/// Reads the binary form of a value.
pub fn parse(_ty: &SqlType, _b: &[u8]) -> Result<Value, ValueError> {
    todo!()
}

/// Writes the binary form, without the length; nothing for NULL.
pub fn write(_v: ValueRef<'_>, _ty: &SqlType, _out: &mut Vec<u8>) {
    todo!()
}
