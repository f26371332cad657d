//! Bytes of row keys and index entries. The tables are in `docs/internals/rows.md`.
//!
//! # Invariants
//! 1. Keys of one relation share its four-byte storage prefix and nothing else has it.
//! 2. The entry of a unique index with no NULL (or with NULLS NOT DISTINCT) has the index columns
//!    alone as its key: two rows of equal keys would meet in it.

use std::ops::Bound;

use tessera_codec::CodecError;
use tessera_codec::key::{self, Order};
use tessera_storage::{Key, KeyRange, Val};
use tessera_types::{RelationId, Value};

use crate::error::{Result, TableError};
use crate::table::{Index, Table};

/// Bytes of the storage prefix.
pub(crate) const PREFIX_BYTES: usize = 4;
/// Bytes of a whole key in any space.
const KEY_BYTES_MAX: usize = 8_192;
/// First byte of an entry's value: the value is the row's key.
const ENTRY_UNIQUE: u8 = 0;
/// First byte of an entry's value: the row's key stands behind the columns, at this offset.
const ENTRY_SUFFIX: u8 = 1;

/// All rows of a table.
pub fn rows_range(table: &Table) -> KeyRange {
    KeyRange::prefix(&prefix(table.def().storage))
}

/// All entries of an index.
pub fn index_range(index: &Index) -> KeyRange {
    KeyRange::prefix(&prefix(index.def.storage))
}

pub(crate) fn prefix(storage: RelationId) -> [u8; PREFIX_BYTES] {
    storage.0.to_be_bytes()
}

impl Table {
    /// The key of a row by its primary key's columns in `row`.
    pub fn row_key(&self, row: &[Value]) -> Result<Key> {
        let mut out = Vec::with_capacity(PREFIX_BYTES + self.key_positions().len() * 9);
        out.extend_from_slice(&prefix(self.def().storage));
        for (position, order) in self.key_positions().iter().zip(self.key_orders()) {
            key::encode_value(row[*position].as_ref(), *order, &mut out);
        }
        self.bounded(out)
    }

    /// The key of a row by the values of its primary key.
    pub fn key_of_values(&self, values: &[Value]) -> Result<Key> {
        let mut out = Vec::with_capacity(PREFIX_BYTES + values.len() * 9);
        out.extend_from_slice(&prefix(self.def().storage));
        key::encode_into(values, self.key_orders(), &mut out);
        self.bounded(out)
    }

    /// The key of a row by its hidden number.
    pub fn key_of_number(&self, number: u64) -> Key {
        let mut out = Vec::with_capacity(PREFIX_BYTES + 8);
        out.extend_from_slice(&prefix(self.def().storage));
        out.extend_from_slice(&number.to_be_bytes());
        Key::from(out)
    }

    fn bounded(&self, key: Vec<u8>) -> Result<Key> {
        if key.len() <= KEY_BYTES_MAX {
            return Ok(Key::from(key));
        }
        let index = self
            .def()
            .primary_key_index()
            .map(|index| index.name.clone());
        Err(TableError::KeyTooLarge {
            index: index.unwrap_or_default(),
            bytes: key.len(),
            bytes_max: KEY_BYTES_MAX,
        })
    }
}

/// One index entry, as it is or shall be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) value: Val,
    /// The key alone decides uniqueness.
    pub(crate) is_unique: bool,
}

impl Index {
    /// The entry of a row.
    pub(crate) fn entry(&self, row: &[Value], row_key: &[u8]) -> Result<Entry> {
        let mut out = Vec::with_capacity(PREFIX_BYTES + self.positions.len() * 9 + row_key.len());
        out.extend_from_slice(&prefix(self.def.storage));
        let mut has_null = false;
        for (position, order) in self.positions.iter().zip(&self.orders) {
            has_null |= row[*position].is_null();
            key::encode_value(row[*position].as_ref(), *order, &mut out);
        }
        let is_unique = self.def.unique && (!has_null || self.def.nulls_not_distinct);
        let suffix = &row_key[PREFIX_BYTES..];
        let value = if is_unique {
            let mut value = Vec::with_capacity(1 + suffix.len());
            value.push(ENTRY_UNIQUE);
            value.extend_from_slice(suffix);
            value
        } else {
            // Both halves are bounded by KEY_BYTES_MAX, which fits.
            let offset = u16::try_from(out.len()).unwrap_or(u16::MAX).to_be_bytes();
            out.extend_from_slice(suffix);
            vec![ENTRY_SUFFIX, offset[0], offset[1]]
        };
        if out.len() > KEY_BYTES_MAX {
            return Err(TableError::KeyTooLarge {
                index: self.def.name.clone(),
                bytes: out.len(),
                bytes_max: KEY_BYTES_MAX,
            });
        }
        Ok(Entry {
            key: Key::from(out),
            value: Val::from(value),
            is_unique,
        })
    }

    /// The key that a unique lookup by all columns reads; no value is NULL.
    pub fn unique_key(&self, values: &[Value]) -> Key {
        let mut out = Vec::with_capacity(PREFIX_BYTES + values.len() * 9);
        out.extend_from_slice(&prefix(self.def.storage));
        key::encode_into(values, &self.orders, &mut out);
        Key::from(out)
    }
}

/// A stored index entry.
#[derive(Debug, Clone, Copy)]
pub struct EntryRef<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
}

impl EntryRef<'_> {
    /// Key of the row that the entry is for.
    pub fn row_key(&self, table: &Table) -> Result<Key> {
        let malformed = || CodecError::Malformed {
            what: "an index entry",
        };
        let suffix = match self.value {
            [ENTRY_UNIQUE, suffix @ ..] => suffix,
            [ENTRY_SUFFIX, high, low] => {
                let offset = usize::from(u16::from_be_bytes([*high, *low]));
                self.key.get(offset..).ok_or_else(malformed)?
            }
            _ => return Err(malformed().into()),
        };
        let mut out = Vec::with_capacity(PREFIX_BYTES + suffix.len());
        out.extend_from_slice(&prefix(table.def().storage));
        out.extend_from_slice(suffix);
        Ok(Key::from(out))
    }
}

/// Bounds on the leading columns of a key: some fixed, then perhaps one with limits.
#[derive(Debug, Clone, Default)]
pub struct Bounds {
    /// Values of the leading columns.
    pub equal: Vec<Value>,
    /// The next column is at least this value, or above it when not included.
    pub lower: Option<(Value, bool)>,
    /// The next column is at most this value, or below it when not included.
    pub upper: Option<(Value, bool)>,
}

/// The keys that satisfy `bounds`, in a relation stored under `storage` with these column orders.
/// NULLs are outside of any limit.
pub fn key_range(storage: RelationId, orders: &[Order], bounds: &Bounds) -> KeyRange {
    let mut base = Vec::with_capacity(32);
    base.extend_from_slice(&prefix(storage));
    key::encode_into(&bounds.equal, orders, &mut base);
    if bounds.lower.is_none() && bounds.upper.is_none() {
        return KeyRange::prefix(&base);
    }
    let order = orders.get(bounds.equal.len()).copied().unwrap_or_default();
    let with = |value: &Value| {
        let mut out = base.clone();
        key::encode_value(value.as_ref(), order, &mut out);
        out
    };
    let after =
        |key: Vec<u8>| key::successor(&key).map_or(Bound::Unbounded, |k| Bound::Included(k.into()));
    let before = |key: Vec<u8>| Bound::Excluded(Key::from(key));
    let until =
        |key: Vec<u8>| key::successor(&key).map_or(Bound::Unbounded, |k| Bound::Excluded(k.into()));
    // In key order a descending column begins with its upper limit.
    let (first, last) = if order.descending {
        (&bounds.upper, &bounds.lower)
    } else {
        (&bounds.lower, &bounds.upper)
    };
    let start = match first {
        Some((value, true)) => Bound::Included(Key::from(with(value))),
        Some((value, false)) => after(with(value)),
        None if order.nulls_first => after(with(&Value::Null)),
        None => Bound::Included(Key::from(base.clone())),
    };
    let end = match last {
        Some((value, true)) => until(with(value)),
        Some((value, false)) => before(with(value)),
        None if !order.nulls_first => before(with(&Value::Null)),
        None => until(base.clone()),
    };
    KeyRange { start, end }
}
