//! Where a page ends, as text that clients hand back.
//!
//! A token is URL-safe base64 of: format (1 byte), fingerprint of collection and sort (8), length
//! of the id (2), the id, the sort key. It is bound to its query by the fingerprint; what a client
//! changes in it can only move the place where a page begins.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tessera_types::RelationId;
use xxhash_rust::xxh3::xxh3_64;

use crate::document::DocumentId;
use crate::error::{DocumentError, Result};
use crate::order::Sort;

const FORMAT: u8 = 1;
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
    pub(crate) fn to_text(&self, collection: RelationId, sort: &Sort) -> Result<String> {
        let mut bytes = vec![FORMAT];
        bytes.extend_from_slice(&fingerprint(collection, sort));
        // Ids are limited.
        let length = u16::try_from(self.id.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.extend_from_slice(&self.fields);
        let text = URL_SAFE_NO_PAD.encode(bytes);
        if text.len() > TOKEN_BYTES_MAX {
            return Err(DocumentError::Limit {
                what: "the length of a page token in bytes",
                limit: TOKEN_BYTES_MAX,
            });
        }
        Ok(text)
    }

    pub(crate) fn from_text(text: &str, collection: RelationId, sort: &Sort) -> Result<Token> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(DocumentError::InvalidToken);
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| DocumentError::InvalidToken)?;
        let parse = || {
            let (format, rest) = bytes.split_first()?;
            let (print, rest) = rest.split_first_chunk::<8>()?;
            let (length, rest) = rest.split_first_chunk::<2>()?;
            let (id, fields) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            if *format != FORMAT || *print != fingerprint(collection, sort) {
                return None;
            }
            let id = std::str::from_utf8(id).ok()?;
            DocumentId::new(id).ok()?;
            Some(Token {
                fields: fields.to_vec(),
                id: id.to_owned(),
            })
        };
        parse().ok_or(DocumentError::InvalidToken)
    }
}
