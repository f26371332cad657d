//! A document: its id, its version, its body; and how it is stored.
//!
//! | bytes of the value | meaning |
//! |---|---|
//! | 1 | format: `01` |
//! | 8 | version, least significant first |
//! | | the body as binary JSON, see `tessera_codec::json` |
//!
//! The key is the collection's storage prefix (4 bytes) and the bytes of the id.

use serde_json::Value;
use tessera_codec::CodecError;
use tessera_codec::json::{JsonBuf, JsonRef};
use tessera_storage::{Key, KeyRange, Val};
use tessera_types::RelationId;
use uuid::Builder;

use crate::error::{DocumentError, Result};

/// Bytes of an id.
pub const ID_BYTES_MAX: usize = 512;
/// The reserved name under which filters, sorts and pipelines see the id.
pub const ID_FIELD: &str = "_id";

/// Bytes of the storage prefix.
pub(crate) const PREFIX_BYTES: usize = 4;
const FORMAT: u8 = 1;
const HEAD_BYTES: usize = 9;

/// The name of a document in its collection: 1 to [`ID_BYTES_MAX`] bytes of UTF-8 without control
/// characters. Ids are ordered by their bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId(Box<str>);

impl DocumentId {
    /// An id chosen by a client.
    pub fn new(text: impl Into<String>) -> Result<DocumentId> {
        let text = text.into();
        let reason = if text.is_empty() {
            "it is empty".to_owned()
        } else if text.len() > ID_BYTES_MAX {
            format!("it has {} bytes, at most {ID_BYTES_MAX}", text.len())
        } else if text.chars().any(char::is_control) {
            "it has a control character".to_owned()
        } else {
            return Ok(DocumentId(text.into()));
        };
        Err(DocumentError::InvalidId { reason })
    }

    /// A UUID of version 7 (RFC 9562): ids made later sort behind, to the millisecond.
    pub fn uuid_v7(unix_micros: i64, random: [u8; 10]) -> DocumentId {
        let millis = u64::try_from(unix_micros / 1_000).unwrap_or(0);
        let uuid = Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
        DocumentId(uuid.to_string().into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for DocumentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A document as it was read or written.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    id: DocumentId,
    version: u64,
    /// The stored value: head and body.
    stored: Val,
}

impl Document {
    pub(crate) fn new(id: DocumentId, version: u64, body: &JsonBuf) -> Document {
        let mut stored = Vec::with_capacity(HEAD_BYTES + body.as_bytes().len());
        stored.push(FORMAT);
        stored.extend_from_slice(&version.to_le_bytes());
        stored.extend_from_slice(body.as_bytes());
        Document {
            id,
            version,
            stored: Val::from(stored),
        }
    }

    /// From a stored key and value.
    pub(crate) fn from_stored(key: &[u8], stored: Val) -> Result<Document> {
        let malformed = || CodecError::Malformed {
            what: "stored document",
        };
        let id = key.get(PREFIX_BYTES..).ok_or_else(malformed)?;
        let id = std::str::from_utf8(id).map_err(|_| malformed())?;
        let (head, _) = stored.split_at_checked(HEAD_BYTES).ok_or_else(malformed)?;
        let [FORMAT, version @ ..] = head else {
            return Err(malformed().into());
        };
        let version = u64::from_le_bytes(version.try_into().map_err(|_| malformed())?);
        Ok(Document {
            id: DocumentId(id.into()),
            version,
            stored,
        })
    }

    /// From the key and the value that are stored, such as in a change.
    pub fn decode(key: &[u8], stored: Val) -> Result<Document> {
        Document::from_stored(key, stored)
    }

    /// The id in a stored key.
    pub fn id_of_key(key: &[u8]) -> Option<&str> {
        std::str::from_utf8(key.get(PREFIX_BYTES..)?).ok()
    }

    /// Its id.
    pub fn id(&self) -> &DocumentId {
        &self.id
    }

    /// Its version: greater than every earlier one of this id, also across a deletion. The text
    /// of an `ETag`.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The body, without the id.
    pub fn body(&self) -> Result<JsonRef<'_>> {
        let body = self.stored.get(HEAD_BYTES..).unwrap_or_default();
        Ok(JsonRef::document(body)?)
    }

    /// The body as a tree, without the id.
    pub fn to_value(&self) -> Result<Value> {
        Ok(self.body()?.to_value()?)
    }

    /// The body as compact text, without the id.
    pub fn to_text(&self) -> Result<String> {
        Ok(self.body()?.to_text()?)
    }

    /// Whether the body is this one, spelling of numbers included.
    pub(crate) fn has_body(&self, body: &JsonBuf) -> bool {
        self.stored.get(HEAD_BYTES..) == Some(body.as_bytes())
    }

    /// What is stored.
    pub(crate) fn stored(&self) -> &Val {
        &self.stored
    }

    /// What filters look at.
    pub(crate) fn subject(&self) -> Result<Subject<'_>> {
        Ok(Subject {
            id: Some(self.id.as_str()),
            body: self.body()?,
        })
    }
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = self.to_text().unwrap_or_else(|error| error.to_string());
        write!(f, "{} v{} {body}", self.id, self.version)
    }
}

/// A body, and the id if there is one beside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) id: Option<&'a str>,
    pub(crate) body: JsonRef<'a>,
}

pub(crate) fn prefix(storage: RelationId) -> [u8; PREFIX_BYTES] {
    storage.0.to_be_bytes()
}

/// The key of a document.
pub(crate) fn document_key(storage: RelationId, id: &str) -> Key {
    let mut key = Vec::with_capacity(PREFIX_BYTES + id.len());
    key.extend_from_slice(&prefix(storage));
    key.extend_from_slice(id.as_bytes());
    Key::from(key)
}

/// All documents of a collection.
pub(crate) fn documents_range(storage: RelationId) -> KeyRange {
    KeyRange::prefix(&prefix(storage))
}
