//! Values to bytes whose order is the order of the values.
use tessera_types::{SqlType, Value, ValueRef};

use crate::CodecError;

/// How one column of a key is ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Order {
    /// Largest first.
    pub descending: bool,
    /// NULL before everything else, whatever the direction.
    pub nulls_first: bool,
}

impl Order {
    /// `ASC NULLS LAST`, the default.
    pub const ASCENDING: Order = Order { descending: false, nulls_first: false };
    /// `DESC NULLS FIRST`, the default of `DESC`.
    pub const DESCENDING: Order = Order { descending: true, nulls_first: true };
}

/// Encodes a composite key. Columns without an entry in `orders` are ascending, NULLs last.
pub fn encode(values: &[Value], orders: &[Order]) -> Vec<u8> {
    let mut out = Vec::with_capacity(values.len() * 9);
    encode_into(values, orders, &mut out);
    out
}

/// As [`encode`], at the end of `out`.
pub fn encode_into(values: &[Value], orders: &[Order], out: &mut Vec<u8>) {
    for (index, value) in values.iter().enumerate() {
        encode_value(value.as_ref(), orders.get(index).copied().unwrap_or_default(), out);
    }
}

/// Appends one column of a key.
pub fn encode_value(_value: ValueRef<'_>, _order: Order, _out: &mut Vec<u8>) {
    todo!()
}

/// Decodes a composite key; trailing bytes are an error.
pub fn decode(_types: &[SqlType], _orders: &[Order], _bytes: &[u8]) -> Result<Vec<Value>, CodecError> {
    todo!()
}

/// Decodes one column and moves `bytes` behind it.
pub fn decode_value(_ty: &SqlType, _order: Order, _bytes: &mut &[u8]) -> Result<Value, CodecError> {
    todo!()
}

/// Whether `decode` gives back exactly what was encoded; otherwise an equal value (numeric `1.50` as
/// `1.5`, interval `1 mon` as `30 days`), and the row is needed for the exact one.
pub fn is_exact(_ty: &SqlType) -> bool {
    todo!()
}

/// The smallest byte string after all that start with `prefix`; None when there is none.
pub fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}
