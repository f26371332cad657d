//! What a stored change means: for those who follow the changes of a key space.

use bytes::Bytes;
use tessera_storage::Key;
use tessera_types::RelationId;

use crate::error::Result;
use crate::layout::parse_record_key;
use crate::record::{Body, Record, ValueType};
use crate::time::UnixMillis;

/// What a key's record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFacts {
    /// Type of its value.
    pub value_type: ValueType,
    /// When it expires.
    pub expires: Option<UnixMillis>,
    /// The value of a string that is stored in the record.
    pub value: Option<Bytes>,
    /// Number of elements; none for strings.
    pub count: Option<u64>,
    /// Bytes of what is below the key.
    pub bytes: u64,
}

impl KeyFacts {
    /// Reads a stored record.
    pub fn decode(stored: &Bytes) -> Result<KeyFacts> {
        let record = Record::decode(stored)?;
        Ok(KeyFacts {
            value_type: record.body.value_type(),
            expires: record.expires,
            count: record.body.count(),
            bytes: record.body.bytes(),
            value: match record.body {
                Body::Small(value) => Some(value),
                _ => None,
            },
        })
    }
}

/// The relation and the key that a stored key of the space `Rows` is the record of; none for an
/// element of a value. Only for keys of a key space.
pub fn key_of_change(stored: &Key) -> Option<(RelationId, Bytes)> {
    parse_record_key(stored)
}
