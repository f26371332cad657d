//! Ids of a stream's entries: a time and a number.

use std::fmt;

use crate::error::{KeyValueError, Result};

/// The id of an entry, written `millis-sequence`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Milliseconds since 1970, or whatever the client gave.
    pub millis: u64,
    /// Tells entries of one millisecond apart.
    pub sequence: u64,
}

impl StreamId {
    /// Before every entry: no entry has it (`0-0`, `-`).
    pub const MIN: StreamId = StreamId::new(0, 0);
    /// Not before any entry (`+`).
    pub const MAX: StreamId = StreamId::new(u64::MAX, u64::MAX);

    /// `millis-sequence`.
    pub const fn new(millis: u64, sequence: u64) -> StreamId {
        StreamId { millis, sequence }
    }

    /// Reads `5-3`, or `5` with `sequence` for what is missing (0 at the start of a range, the
    /// highest number at its end).
    pub fn parse(text: &[u8], sequence: u64) -> Result<StreamId> {
        let number = |text: &str| -> Result<u64> {
            let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            (is_plain.then(|| text.parse().ok()).flatten()).ok_or(KeyValueError::InvalidStreamId)
        };
        let text = std::str::from_utf8(text).map_err(|_| KeyValueError::InvalidStreamId)?;
        Ok(match text.split_once('-') {
            Some((millis, sequence)) => StreamId::new(number(millis)?, number(sequence)?),
            None => StreamId::new(number(text)?, sequence),
        })
    }

    /// The id right behind it; none behind the last one.
    pub fn next(self) -> Option<StreamId> {
        match self.sequence.checked_add(1) {
            Some(sequence) => Some(StreamId::new(self.millis, sequence)),
            None => Some(StreamId::new(self.millis.checked_add(1)?, 0)),
        }
    }

    /// The id right before it; none before the first one.
    pub fn previous(self) -> Option<StreamId> {
        match self.sequence.checked_sub(1) {
            Some(sequence) => Some(StreamId::new(self.millis, sequence)),
            None => Some(StreamId::new(self.millis.checked_sub(1)?, u64::MAX)),
        }
    }

    /// Bytes that sort as ids do.
    pub(super) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.millis.to_be_bytes());
        bytes[8..].copy_from_slice(&self.sequence.to_be_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<StreamId> {
        let (millis, sequence) = bytes.split_first_chunk::<8>()?;
        Some(StreamId::new(
            u64::from_be_bytes(*millis),
            u64::from_be_bytes(sequence.try_into().ok()?),
        ))
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.sequence)
    }
}

impl From<[u64; 2]> for StreamId {
    fn from([millis, sequence]: [u64; 2]) -> StreamId {
        StreamId { millis, sequence }
    }
}

impl From<StreamId> for [u64; 2] {
    fn from(id: StreamId) -> [u64; 2] {
        [id.millis, id.sequence]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written() {
        let id = StreamId::new(12, 3);
        assert_eq!(
            StreamId::parse(id.to_string().as_bytes(), 0).expect("an id"),
            id
        );
        assert_eq!(
            StreamId::parse(b"7", 9).expect("an id"),
            StreamId::new(7, 9)
        );
        for wrong in [
            "",
            "-",
            "1-",
            "-1",
            "1-2-3",
            "+1",
            "x",
            "18446744073709551616",
        ] {
            assert!(StreamId::parse(wrong.as_bytes(), 0).is_err(), "{wrong}");
        }
        assert_eq!(StreamId::from_bytes(&id.to_bytes()), Some(id));
    }

    #[test]
    fn neighbours_of_an_id_lie_beside_it() {
        let id = StreamId::new(1, u64::MAX);
        let next = StreamId::new(2, 0);
        assert_eq!(id.next(), Some(next));
        assert_eq!(next.previous(), Some(id));
        assert_eq!(StreamId::MAX.next(), None);
        assert_eq!(StreamId::MIN.previous(), None);
    }
}
