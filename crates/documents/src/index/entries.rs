//! The entries of a document.

use std::collections::BTreeSet;

use tessera_codec::json::JsonRef;
use tessera_codec::key::{self, encode_json};
use tessera_storage::{Key, Val};
use tessera_types::ValueRef;

use super::{INDEX_ENTRIES_MAX, INDEX_KEY_BYTES_MAX, INDEX_VALUE_BYTES_MAX, Index, ttl};
use crate::document::{Subject, prefix};
use crate::error::{DocumentError, Result};
use crate::path::Reached;

/// First byte of an entry's value: the id follows.
pub(super) const VALUE_UNIQUE: u8 = 0;
/// First byte of an entry's value: the offset of the id in the key follows.
pub(super) const VALUE_SUFFIX: u8 = 1;

/// One entry, as it is or shall be stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) value: Val,
}

/// The entries of one document in one index, each key once, ascending.
#[derive(Debug, Default)]
pub(crate) struct EntrySet {
    pub(crate) entries: Vec<Entry>,
    /// Fields whose mark must be set.
    pub(crate) marks: Vec<usize>,
}

/// The values of one field.
struct FieldValues {
    values: BTreeSet<Vec<u8>>,
    is_marked: bool,
    is_cut: bool,
}

impl Index {
    /// The entries of a document.
    pub(crate) fn entries(&self, subject: &Subject<'_>, id: &str) -> Result<EntrySet> {
        if let Some(seconds) = self.ttl_seconds {
            return self.ttl_entries(seconds, subject, id);
        }
        if let Some(partial) = &self.partial
            && !partial.matches_subject(subject)?
        {
            return Ok(EntrySet::default());
        }
        let mut reached = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            reached.push(field.path.reach(subject)?);
        }
        let has_any = |reached: &Reached<'_>| reached.values.iter().any(Option::is_some);
        if self.is_sparse && !reached.iter().any(has_any) {
            return Ok(EntrySet::default());
        }
        let mut fields = Vec::with_capacity(reached.len());
        for (field, reached) in self.fields.iter().zip(&reached) {
            fields.push(field_values(reached, field.descending)?);
        }
        self.check(&fields)?;
        let mut set = EntrySet::default();
        for (at, field) in fields.iter().enumerate() {
            if field.is_marked {
                set.marks.push(at);
            }
        }
        let mut key = Vec::with_capacity(64);
        key.extend_from_slice(&prefix(self.def.id));
        self.combine(&fields, id, &mut key, &mut set.entries)?;
        Ok(set)
    }

    fn check(&self, fields: &[FieldValues]) -> Result<()> {
        let count = fields.iter().try_fold(1_usize, |count, field| {
            count.checked_mul(field.values.len())
        });
        if count.is_none_or(|count| count > INDEX_ENTRIES_MAX) {
            return Err(DocumentError::Limit {
                what: "the number of entries of a document in an index",
                limit: INDEX_ENTRIES_MAX,
            });
        }
        if !self.is_unique {
            return Ok(());
        }
        let wrong = |reason: &str| {
            Err(DocumentError::NotApplicable {
                operation: format!("unique index \"{}\"", self.def.name),
                path: self.paths(),
                reason: reason.to_owned(),
            })
        };
        if fields.iter().filter(|field| field.values.len() > 1).count() > 1 {
            return wrong("only one field of a unique index may reach several values");
        }
        if fields.iter().any(|field| field.is_cut) {
            return wrong("a value is too long for a unique index");
        }
        Ok(())
    }

    /// Every combination of the fields' values. Recursion is bounded by the number of fields.
    fn combine(
        &self,
        fields: &[FieldValues],
        id: &str,
        key: &mut Vec<u8>,
        entries: &mut Vec<Entry>,
    ) -> Result<()> {
        let Some((field, rest)) = fields.split_first() else {
            entries.push(self.entry(key, id)?);
            return Ok(());
        };
        let length = key.len();
        for value in &field.values {
            key.extend_from_slice(value);
            self.combine(rest, id, key, entries)?;
            key.truncate(length);
        }
        Ok(())
    }

    fn entry(&self, fields: &[u8], id: &str) -> Result<Entry> {
        let mut key = fields.to_vec();
        let value = if self.is_unique {
            let mut value = Vec::with_capacity(1 + id.len());
            value.push(VALUE_UNIQUE);
            value.extend_from_slice(id.as_bytes());
            value
        } else {
            // Bounded by the limits on values and fields, and again below.
            let offset = u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes();
            key::encode_value(ValueRef::Text(id), self.id_order(), &mut key);
            vec![VALUE_SUFFIX, offset[0], offset[1]]
        };
        if key.len() > INDEX_KEY_BYTES_MAX {
            return Err(DocumentError::Limit {
                what: "the length of an index entry in bytes",
                limit: INDEX_KEY_BYTES_MAX,
            });
        }
        Ok(Entry {
            key: Key::from(key),
            value: Val::from(value),
        })
    }

    fn ttl_entries(&self, seconds: u32, subject: &Subject<'_>, id: &str) -> Result<EntrySet> {
        let mut set = EntrySet::default();
        let reached = self.fields[0].path.reach(subject)?;
        if let Some(expiry) = ttl::expiry(&reached, seconds)? {
            let mut key = prefix(self.def.id).to_vec();
            ttl::encode(expiry, &mut key);
            set.entries.push(self.entry(&key, id)?);
        }
        Ok(set)
    }
}

fn field_values(reached: &Reached<'_>, descending: bool) -> Result<FieldValues> {
    let mut field = FieldValues {
        values: BTreeSet::new(),
        is_marked: reached.is_multiple,
        is_cut: false,
    };
    let mut add = |value: &JsonRef<'_>| -> Result<()> {
        let (bytes, is_cut) = encode(value, descending)?;
        field.is_cut |= is_cut;
        field.values.insert(bytes);
        Ok(())
    };
    for value in &reached.values {
        match value {
            None => add(&JsonRef::Null)?,
            Some(value) => {
                add(value)?;
                if let JsonRef::Array(array) = value {
                    for element in array.iter() {
                        add(&element?)?;
                    }
                }
            }
        }
    }
    if reached.values.is_empty() {
        add(&JsonRef::Null)?;
    }
    field.is_marked |= field.is_cut;
    Ok(field)
}

/// A value as an entry has it, and whether it was cut.
pub(super) fn encode(value: &JsonRef<'_>, descending: bool) -> Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    encode_json(value, &mut bytes)?;
    let is_cut = bytes.len() > INDEX_VALUE_BYTES_MAX;
    bytes.truncate(INDEX_VALUE_BYTES_MAX);
    if descending {
        for byte in &mut bytes {
            *byte = !*byte;
        }
    }
    Ok((bytes, is_cut))
}
