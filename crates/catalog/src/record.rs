//! The stored form of definitions: JSON in an envelope with a format number, one entry per object.
//!
//! Keys in `KeySpace::Catalog`: one byte of kind, four bytes of id (big-endian).
//! Keys in `KeySpace::Meta`: `oid` (next free object id), `seq` + id (generation of a sequence),
//! `seq` + id + generation (its position).
//! The byte tables are in `docs/internals/catalog.md`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tessera_storage::KeySpace;
use tessera_types::RelationId;

use crate::definition::{SchemaDef, SequenceDef, TableDef, TableStatistics, UserDef, ViewDef};
use crate::error::CatalogError;

/// Format of the entries this release writes. Older ones are read, newer ones refused.
pub(crate) const FORMAT: u32 = 1;

/// Key of the next free object id.
pub(crate) const OID_KEY: &[u8] = b"oid";

/// What an entry is about.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Schema = 1,
    Table = 2,
    View = 3,
    Sequence = 4,
    User = 5,
    Garbage = 6,
    Statistics = 7,
}

/// One entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Record {
    Schema(SchemaDef),
    Table(TableDef),
    View(ViewDef),
    Sequence(SequenceDef),
    User(UserDef),
    /// Storage of a dropped relation, to be destroyed.
    Garbage(Garbage),
    Statistics(TableStatistics),
}

/// A storage id whose keys nobody can reach any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Garbage {
    pub(crate) storage: RelationId,
    /// An index, instead of rows.
    pub(crate) is_index: bool,
    /// Both: a model may keep index entries under the relation's own id.
    #[serde(default)]
    pub(crate) is_whole: bool,
}

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    format: u32,
    object: T,
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Kind> {
        use Kind::{Garbage, Schema, Sequence, Statistics, Table, User, View};
        [Schema, Table, View, Sequence, User, Garbage, Statistics]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

impl Garbage {
    pub(crate) fn spaces(self) -> &'static [KeySpace] {
        match (self.is_whole, self.is_index) {
            (true, _) => &[KeySpace::Rows, KeySpace::Indexes],
            (false, true) => &[KeySpace::Indexes],
            (false, false) => &[KeySpace::Rows],
        }
    }
}

/// Key of an object's entry.
pub(crate) fn key(kind: Kind, id: u32) -> Bytes {
    let mut key = Vec::with_capacity(5);
    key.push(kind as u8);
    key.extend_from_slice(&id.to_be_bytes());
    key.into()
}

/// Kind and id of an entry's key.
pub(crate) fn parse_key(key: &[u8]) -> Result<(Kind, u32), CatalogError> {
    let damaged = || CatalogError::Damaged {
        key: format!("{key:02x?}"),
        reason: "not a key of the catalog".to_owned(),
    };
    let (kind, id) = key.split_first().ok_or_else(damaged)?;
    let kind = Kind::from_byte(*kind).ok_or_else(damaged)?;
    let id = id.try_into().map_err(|_| damaged())?;
    Ok((kind, u32::from_be_bytes(id)))
}

/// What a change of an entry means to those who follow the changes.
#[derive(Debug, Clone)]
pub enum EntryChange {
    /// A relation with columns has this definition from now on.
    Table(Box<TableDef>),
    /// The relation of that id is gone.
    Dropped(RelationId),
    /// Something else: a view, a sequence, a user, bookkeeping.
    Other,
}

impl EntryChange {
    /// Reads a change of the space `Catalog`.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<EntryChange, CatalogError> {
        let (kind, id) = parse_key(key)?;
        Ok(match (kind, value) {
            (Kind::Table, None) => EntryChange::Dropped(RelationId(id)),
            (Kind::Table, Some(value)) => match decode::<Record>(key, value)? {
                Record::Table(table) => EntryChange::Table(Box::new(table)),
                _ => EntryChange::Other,
            },
            _ => EntryChange::Other,
        })
    }
}

/// Key of a sequence's generation in `KeySpace::Meta`.
pub(crate) fn sequence_key(id: RelationId) -> Bytes {
    let mut key = b"seq".to_vec();
    key.extend_from_slice(&id.0.to_be_bytes());
    key.into()
}

/// Key of a sequence's position in one generation, in `KeySpace::Meta`.
pub(crate) fn sequence_position_key(id: RelationId, generation: u64) -> Bytes {
    let mut key = b"seq".to_vec();
    key.extend_from_slice(&id.0.to_be_bytes());
    key.extend_from_slice(&generation.to_be_bytes());
    key.into()
}

/// The bytes of an entry, or of any other value with a format number.
pub(crate) fn encode<T: Serialize>(object: &T) -> Bytes {
    serde_json::to_vec(&Envelope {
        format: FORMAT,
        object,
    })
    .expect("definitions are plain data with text keys")
    .into()
}

/// The value of an entry.
pub(crate) fn decode<T: for<'de> Deserialize<'de>>(
    key: &[u8],
    bytes: &[u8],
) -> Result<T, CatalogError> {
    let damaged = |error: serde_json::Error| CatalogError::Damaged {
        key: format!("{key:02x?}"),
        reason: error.to_string(),
    };
    // The number first: what a newer release put into the object need not parse here.
    let FormatOnly { format } = serde_json::from_slice(bytes).map_err(damaged)?;
    if format > FORMAT {
        return Err(CatalogError::Format {
            found: format,
            known: FORMAT,
        });
    }
    let envelope: Envelope<T> = serde_json::from_slice(bytes).map_err(damaged)?;
    Ok(envelope.object)
}
