//! Where a page ends, as text that clients hand back.
//!
//! A token is URL-safe base64 of: format (1 byte), fingerprint of collection and sort (8), length
//! of the id (2), the id, the sort key. Where the order was not asked for but that of an index, the
//! sort stands before the sort key: length (2) and JSON. So the next page has the same order even
//! if the index is gone. A token is bound to its query by the fingerprint; what a client changes in
//! it can only move the place where a page begins.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tessera_types::RelationId;
use xxhash_rust::xxh3::xxh3_64;

use crate::document::DocumentId;
use crate::error::{DocumentError, Result};
use crate::order::Sort;

/// The sort is the one that was asked for, or that of ids.
const FORMAT_ASKED: u8 = 1;
/// The sort is in the token.
const FORMAT_CHOSEN: u8 = 2;
/// Bytes of a token's text: sort keys of long strings are long.
pub const TOKEN_BYTES_MAX: usize = 1 << 20;

/// The last document of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// Its sort key, without the id.
    pub(crate) fields: Vec<u8>,
    pub(crate) id: String,
}

fn fingerprint(collection: RelationId, sort: &Sort) -> [u8; 8] {
    let mut bytes = collection.0.to_be_bytes().to_vec();
    for field in &sort.fields {
        bytes.push(u8::from(field.descending));
        bytes.extend_from_slice(field.path.as_str().as_bytes());
        bytes.push(0);
    }
    xxh3_64(&bytes).to_be_bytes()
}

impl Token {
    /// `is_chosen` when the sort is not the one that was asked for.
    pub(crate) fn to_text(
        &self,
        collection: RelationId,
        sort: &Sort,
        is_chosen: bool,
    ) -> Result<String> {
        let mut bytes = vec![if is_chosen {
            FORMAT_CHOSEN
        } else {
            FORMAT_ASKED
        }];
        bytes.extend_from_slice(&fingerprint(collection, sort));
        append_sized(&self.id, &mut bytes)?;
        if is_chosen {
            append_sized(&sort.to_value().to_string(), &mut bytes)?;
        }
        bytes.extend_from_slice(&self.fields);
        let text = URL_SAFE_NO_PAD.encode(bytes);
        if text.len() > TOKEN_BYTES_MAX {
            return Err(too_long());
        }
        Ok(text)
    }

    /// The token and its sort, for a query that asked for `sort`.
    pub(crate) fn from_text(
        text: &str,
        collection: RelationId,
        asked: &Sort,
    ) -> Result<(Token, Sort)> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(DocumentError::InvalidToken);
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| DocumentError::InvalidToken)?;
        let parse = || {
            let (format, rest) = bytes.split_first()?;
            let (print, rest) = rest.split_first_chunk::<8>()?;
            let (id, rest) = split_sized(rest)?;
            DocumentId::new(id).ok()?;
            let (sort, fields) = match *format {
                FORMAT_ASKED if asked.is_empty() => (Sort::by_id(), rest),
                FORMAT_ASKED => (asked.clone(), rest),
                FORMAT_CHOSEN if asked.is_empty() => {
                    let (sort, fields) = split_sized(rest)?;
                    let value = serde_json::from_str(sort).ok()?;
                    (Sort::parse(&value).ok()?, fields)
                }
                _ => return None,
            };
            if *print != fingerprint(collection, &sort) {
                return None;
            }
            let token = Token {
                fields: fields.to_vec(),
                id: id.to_owned(),
            };
            Some((token, sort))
        };
        parse().ok_or(DocumentError::InvalidToken)
    }
}

fn too_long() -> DocumentError {
    DocumentError::Limit {
        what: "the length of a page token in bytes",
        limit: TOKEN_BYTES_MAX,
    }
}

fn append_sized(text: &str, bytes: &mut Vec<u8>) -> Result<()> {
    let length = u16::try_from(text.len()).map_err(|_| too_long())?;
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
    Ok(())
}

fn split_sized(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((std::str::from_utf8(text).ok()?, rest))
}
