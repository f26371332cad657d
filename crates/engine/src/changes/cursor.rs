//! The position of a reader, as text.
//!
//! ```text
//! format:1  identity:8  version:8  pieces:varint     base64url
//! ```
//! `version` is the last commit that was given whole; of the one after it `pieces` were given. The
//! identity is that of the log: versions of another one mean nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tessera_codec::varint::{read_varint, write_varint};
use tessera_types::{Report, Version, codes};

const FORMAT: u8 = 1;
/// Characters of a cursor; what is longer is none.
const TEXT_BYTES_MAX: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) identity: u64,
    pub(super) version: Version,
    pub(super) pieces: u64,
}

impl Cursor {
    pub(super) fn to_text(self) -> String {
        let mut out = Vec::with_capacity(24);
        out.push(FORMAT);
        out.extend_from_slice(&self.identity.to_be_bytes());
        out.extend_from_slice(&self.version.0.to_be_bytes());
        write_varint(self.pieces, &mut out);
        URL_SAFE_NO_PAD.encode(out)
    }

    pub(super) fn parse(text: &str) -> Result<Cursor, Report> {
        let parsed = || {
            if text.len() > TEXT_BYTES_MAX {
                return None;
            }
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            let (format, rest) = bytes.split_first()?;
            let (identity, rest) = rest.split_first_chunk()?;
            let (version, mut rest) = rest.split_first_chunk()?;
            let pieces = read_varint(&mut rest)?;
            (*format == FORMAT && rest.is_empty()).then_some(Cursor {
                identity: u64::from_be_bytes(*identity),
                version: Version(u64::from_be_bytes(*version)),
                pieces,
            })
        };
        parsed().ok_or_else(|| invalid("it is not one that this server gives"))
    }
}

/// 22023.
pub(super) fn invalid(reason: &str) -> Report {
    Report::error(
        codes::INVALID_PARAMETER_VALUE,
        format!("the cursor is not valid: {reason}"),
    )
    .with_hint("Read the data anew and follow the changes from now.")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_is_read_as_it_was_written(identity: u64, version: u64, pieces: u64) {
            let cursor = Cursor { identity, version: Version(version), pieces };
            assert_eq!(Cursor::parse(&cursor.to_text()), Ok(cursor));
        }

        #[test]
        fn anything_else_is_refused_without_a_panic(text in any::<String>()) {
            if let Ok(cursor) = Cursor::parse(&text) {
                assert_eq!(cursor.to_text(), text);
            }
        }
    }
}
