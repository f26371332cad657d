//! Secondary indexes: what entries a document has.
//!
//! An entry is found under the index's storage prefix (4 bytes) and
//!
//! | bytes | meaning |
//! |---|---|
//! | | per field its value in key order (`codec::key::encode_json`), inverted where descending, cut to [`INDEX_VALUE_BYTES_MAX`] bytes |
//! | | unless the index is unique: the id as a text column, descending if the last field is |
//!
//! Its value is `00` and the id (unique), or `01` and the offset of the id in the key (2 bytes).
//! A TTL index has instead of fields a `10` and the time of expiry in microseconds since 1970
//! (8 bytes, most significant first, sign bit inverted).
//!
//! # Map
//! - `entries`: the entries of a document; `intervals`: what a filter says about one path, as
//!   intervals of keys.
//! - `maintain`: entries follow their documents; unique keys are checked.
//! - `ttl`: when a document expires.
//!
//! # Invariants
//! 1. A document that matches a filter on a path has an entry in the filter's intervals of that
//!    path: an array is entered as a whole and by each element, a missing field as `null`. So an
//!    index gives all candidates, and the filter decides on each.
//! 2. Where a document reaches several values at a field, or a value was cut, a mark under the
//!    prefix, `00` and the field's number, says so. Without the mark a field has one entry per
//!    document: intervals may be intersected, and the order of entries is the order of documents.

mod entries;
mod intervals;
mod maintain;
mod ttl;

use std::collections::HashSet;

use tessera_codec::key::Order;
use tessera_storage::{Key, KeyRange};
use tessera_types::SqlType;

use entries::{Entry, EntrySet};
pub(crate) use intervals::{Interval, PathIntervals, id_choices, path_intervals};
pub(crate) use maintain::IndexChanges;
pub(crate) use ttl::format_instant;

use crate::definition::{INDEX_FIELDS_MAX, INDEXES_MAX, IndexDef, IndexKind};
use crate::document::{DocumentId, prefix};
use crate::error::{DocumentError, Result};
use crate::filter::Filter;
use crate::path::Path;

/// Bytes of one field's value in an entry; longer values are cut.
pub const INDEX_VALUE_BYTES_MAX: usize = 1_024;
/// Entries of one document in one index.
pub const INDEX_ENTRIES_MAX: usize = 1_000;
/// Bytes of a whole entry key.
pub const INDEX_KEY_BYTES_MAX: usize = 8_192;

/// First byte behind the prefix of a mark; entries begin with a larger one.
const MARK: u8 = 0;
const ENTRIES_START: u8 = 1;

/// An index ready to use.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) def: IndexDef,
    pub(crate) fields: Vec<Field>,
    pub(crate) is_unique: bool,
    pub(crate) is_sparse: bool,
    pub(crate) partial: Option<Filter>,
    /// Seconds after the date at the only field.
    pub(crate) ttl_seconds: Option<u32>,
}

/// A field of an index.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) path: Path,
    pub(crate) descending: bool,
}

impl Index {
    fn new(def: &IndexDef) -> Result<Index> {
        let mut index = Index {
            def: def.clone(),
            fields: Vec::new(),
            is_unique: false,
            is_sparse: false,
            partial: None,
            ttl_seconds: None,
        };
        match &def.kind {
            IndexKind::Paths {
                fields,
                unique,
                sparse,
                partial,
            } => {
                for field in fields {
                    index.fields.push(Field {
                        path: Path::parse(&field.path, "index")?,
                        descending: field.descending,
                    });
                }
                index.is_unique = *unique;
                index.is_sparse = *sparse;
                index.partial = partial.as_ref().map(Filter::parse).transpose()?;
            }
            IndexKind::Ttl {
                path,
                after_seconds,
            } => {
                index.fields.push(Field {
                    path: Path::parse(path, "index")?,
                    descending: false,
                });
                index.ttl_seconds = Some(*after_seconds);
            }
        }
        let wrong = |reason: &str| {
            let reason = format!("\"{}\": {reason}", def.name);
            Err(DocumentError::definition("index", reason))
        };
        if index.fields.is_empty() || index.fields.len() > INDEX_FIELDS_MAX {
            return wrong("it needs 1 to 16 fields");
        }
        for (at, field) in index.fields.iter().enumerate() {
            if field.path.segments()[0].name == crate::document::ID_FIELD {
                return wrong("the id has an index already");
            }
            if index.fields[..at]
                .iter()
                .any(|other| other.path == field.path)
            {
                return wrong("a path occurs twice");
            }
        }
        Ok(index)
    }

    /// All indexes of a collection.
    pub(crate) fn all(defs: &[IndexDef]) -> Result<Vec<Index>> {
        if defs.len() > INDEXES_MAX {
            return Err(DocumentError::Limit {
                what: "the number of indexes of a collection",
                limit: INDEXES_MAX,
            });
        }
        let (mut names, mut ids) = (HashSet::new(), HashSet::new());
        for def in defs {
            if !names.insert(&def.name) || !ids.insert(def.id) {
                let reason = format!("\"{}\" is there twice", def.name);
                return Err(DocumentError::definition("index", reason));
            }
        }
        defs.iter().map(Index::new).collect()
    }

    pub(crate) fn name(&self) -> &str {
        &self.def.name
    }

    /// The paths, for messages.
    pub(crate) fn paths(&self) -> String {
        let paths = self.fields.iter().map(|field| field.path.as_str());
        paths.collect::<Vec<_>>().join(", ")
    }

    /// Everything under the prefix but the marks.
    pub(crate) fn entries_range(&self) -> KeyRange {
        let mut range = KeyRange::prefix(&prefix(self.def.id));
        let mut start = prefix(self.def.id).to_vec();
        start.push(ENTRIES_START);
        range.start = std::ops::Bound::Included(start.into());
        range
    }

    /// The mark of a field, see invariant 2.
    pub(crate) fn mark_key(&self, field: usize) -> Key {
        let mut key = prefix(self.def.id).to_vec();
        // At most INDEX_FIELDS_MAX.
        key.extend_from_slice(&[MARK, u8::try_from(field).unwrap_or(u8::MAX)]);
        Key::from(key)
    }

    /// How ids are ordered among equal values.
    pub(crate) fn id_order(&self) -> Order {
        id_order(self.fields.last().is_some_and(|field| field.descending))
    }

    /// The id that an entry is for.
    pub(crate) fn id_of(&self, key: &[u8], value: &[u8]) -> Result<DocumentId> {
        let mismatch = || DocumentError::IndexMismatch {
            index: self.def.name.clone(),
        };
        match value {
            [entries::VALUE_UNIQUE, id @ ..] => {
                let id = std::str::from_utf8(id).map_err(|_| mismatch())?;
                DocumentId::new(id).map_err(|_| mismatch())
            }
            [entries::VALUE_SUFFIX, high, low] => {
                let offset = usize::from(u16::from_be_bytes([*high, *low]));
                let mut suffix = key.get(offset..).ok_or_else(mismatch)?;
                let order = self.id_order();
                let id = tessera_codec::key::decode_value(&SqlType::Text, order, &mut suffix)?;
                match id {
                    tessera_types::Value::Text(id) if suffix.is_empty() => {
                        DocumentId::new(&*id).map_err(|_| mismatch())
                    }
                    _ => Err(mismatch()),
                }
            }
            _ => Err(mismatch()),
        }
    }
}

/// The order of ids behind a field of that direction.
pub(crate) fn id_order(descending: bool) -> Order {
    Order {
        descending,
        nulls_first: false,
    }
}
