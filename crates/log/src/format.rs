//! The bytes of a segment. Pure: no files, no clock.
//!
//! A segment is a header block and records, each aligned to 8 bytes, then zeros. Numbers are
//! little-endian. The byte tables are in `docs/internals/log-format.md`.

use tessera_types::Version;
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

/// Format number written today, and the newest that can be read.
pub(crate) const FORMAT: u32 = 1;
/// The header has a block of its own, so that appending never rewrites it.
pub(crate) const HEADER_BYTES: usize = 4096;
/// Fixed part of a record, before the payload.
pub(crate) const RECORD_HEADER_BYTES: usize = 48;
/// Records start at multiples of this.
pub(crate) const ALIGNMENT: usize = 8;
/// The length field has 32 bits; half of that keeps all sums far from overflow.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 1 << 31;

const MAGIC: [u8; 8] = *b"TSRA-LOG";
const CHECK_AT: usize = HEADER_BYTES - 8;

/// Random, made with the log; every check is seeded with it, so bytes of another log never pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogId(pub(crate) [u8; 16]);

impl LogId {
    pub(crate) fn seed(self) -> u64 {
        xxh3_64(&self.0)
    }
}

/// The first block of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) log_id: LogId,
    /// No record of the segment has a smaller version. Also the file's name.
    pub(crate) first: Version,
    /// The last version before this segment.
    pub(crate) previous: Version,
    /// Length of the file.
    pub(crate) capacity: u64,
    pub(crate) created_unix_micros: i64,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    NotALog,
    Checksum,
    Format(u32),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut block = vec![0; HEADER_BYTES];
        block[0..8].copy_from_slice(&MAGIC);
        block[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        block[12..16].copy_from_slice(&(HEADER_BYTES as u32).to_le_bytes());
        block[16..32].copy_from_slice(&self.log_id.0);
        block[32..40].copy_from_slice(&self.first.0.to_le_bytes());
        block[40..48].copy_from_slice(&self.previous.0.to_le_bytes());
        block[48..56].copy_from_slice(&self.capacity.to_le_bytes());
        block[56..64].copy_from_slice(&self.created_unix_micros.to_le_bytes());
        let check = xxh3_64(&block[..CHECK_AT]);
        block[CHECK_AT..].copy_from_slice(&check.to_le_bytes());
        block
    }

    pub(crate) fn decode(block: &[u8; HEADER_BYTES]) -> Result<SegmentHeader, HeaderFault> {
        if block[0..8] != MAGIC {
            return Err(HeaderFault::NotALog);
        }
        if u64_at(block, CHECK_AT) != xxh3_64(&block[..CHECK_AT]) {
            return Err(HeaderFault::Checksum);
        }
        let format = u32_at(block, 8);
        if format != FORMAT {
            return Err(HeaderFault::Format(format));
        }
        let mut log_id = [0; 16];
        log_id.copy_from_slice(&block[16..32]);
        Ok(SegmentHeader {
            log_id: LogId(log_id),
            first: Version(u64_at(block, 32)),
            previous: Version(u64_at(block, 40)),
            capacity: u64_at(block, 48),
            created_unix_micros: u64_at(block, 56) as i64,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A committed transaction.
    Commit = 1,
    /// Nothing but the statement that everything up to `durable` was synced.
    Mark = 2,
}

/// The fixed part of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) kind: Kind,
    pub(crate) payload_bytes: usize,
    pub(crate) version: Version,
    /// Version of the commit before this one; a mark repeats its own version.
    pub(crate) previous: Version,
    /// Everything up to here was durable when this record was written.
    pub(crate) durable: Version,
    payload_check: u64,
}

/// Bytes a record with this payload takes in the file.
pub(crate) fn record_bytes(payload_bytes: usize) -> usize {
    RECORD_HEADER_BYTES + payload_bytes.next_multiple_of(ALIGNMENT)
}

/// Appends a commit record to `out`.
pub(crate) fn encode_commit(
    log_id: LogId,
    version: Version,
    previous: Version,
    durable: Version,
    payload: &[u8],
    out: &mut Vec<u8>,
) {
    encode(
        log_id,
        Kind::Commit,
        [version, previous, durable],
        payload,
        out,
    );
}

/// Appends a mark to `out`.
pub(crate) fn encode_mark(log_id: LogId, last: Version, durable: Version, out: &mut Vec<u8>) {
    encode(log_id, Kind::Mark, [last, last, durable], &[], out);
}

fn encode(
    log_id: LogId,
    kind: Kind,
    [version, previous, durable]: [Version; 3],
    payload: &[u8],
    out: &mut Vec<u8>,
) {
    let start = out.len();
    let seed = log_id.seed();
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&(kind as u32).to_le_bytes());
    for number in [
        version.0,
        previous.0,
        durable.0,
        xxh3_64_with_seed(payload, seed),
    ] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    let check = xxh3_64_with_seed(&out[start..], seed);
    out.extend_from_slice(&check.to_le_bytes());
    out.extend_from_slice(payload);
    out.resize(start + record_bytes(payload.len()), 0);
}

impl RecordHeader {
    /// `None` if the bytes are not a record header of this log.
    pub(crate) fn decode(log_id: LogId, bytes: &[u8; RECORD_HEADER_BYTES]) -> Option<RecordHeader> {
        if u64_at(bytes, 40) != xxh3_64_with_seed(&bytes[..40], log_id.seed()) {
            return None;
        }
        let kind = match u32_at(bytes, 4) {
            1 => Kind::Commit,
            2 => Kind::Mark,
            _ => return None,
        };
        let payload_bytes = u32_at(bytes, 0) as usize;
        (payload_bytes <= PAYLOAD_BYTES_MAX).then_some(RecordHeader {
            kind,
            payload_bytes,
            version: Version(u64_at(bytes, 8)),
            previous: Version(u64_at(bytes, 16)),
            durable: Version(u64_at(bytes, 24)),
            payload_check: u64_at(bytes, 32),
        })
    }

    /// Whether `body`, the payload with its padding, is what was written.
    pub(crate) fn body_is_whole(&self, log_id: LogId, body: &[u8]) -> bool {
        let Some((payload, padding)) = body.split_at_checked(self.payload_bytes) else {
            return false;
        };
        padding.iter().all(|byte| *byte == 0)
            && self.payload_check == xxh3_64_with_seed(payload, log_id.seed())
    }

    /// Whether the record may stand right behind the commit `last`.
    pub(crate) fn follows(&self, last: Version) -> bool {
        match self.kind {
            Kind::Commit => self.previous == last && self.version > last,
            Kind::Mark => self.version == last,
        }
    }

    /// For checking a long payload in pieces.
    pub(crate) fn checker(&self, log_id: LogId) -> Xxh3 {
        Xxh3::with_seed(log_id.seed())
    }

    /// Whether the checker has seen the payload that was written.
    pub(crate) fn is_checked(&self, checker: &Xxh3) -> bool {
        checker.digest() == self.payload_check
    }

    /// Length of the payload with its padding.
    pub(crate) fn body_bytes(&self) -> usize {
        self.payload_bytes.next_multiple_of(ALIGNMENT)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: LogId = LogId([9; 16]);

    fn header() -> SegmentHeader {
        SegmentHeader {
            log_id: ID,
            first: Version(7),
            previous: Version(6),
            capacity: 1 << 20,
            created_unix_micros: -5,
        }
    }

    fn decode_record(bytes: &[u8]) -> Option<(RecordHeader, &[u8])> {
        let (head, body) = bytes.split_first_chunk()?;
        let header = RecordHeader::decode(ID, head)?;
        let body = body.get(..header.body_bytes())?;
        header
            .body_is_whole(ID, body)
            .then_some((header, &body[..header.payload_bytes]))
    }

    #[test]
    fn a_header_reads_back_and_any_flipped_bit_is_noticed() {
        let block: [u8; HEADER_BYTES] = header().encode().try_into().unwrap();
        assert_eq!(SegmentHeader::decode(&block), Ok(header()));
        for bit in 0..HEADER_BYTES * 8 {
            let mut damaged = block;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_newer_format_is_named() {
        let mut block: [u8; HEADER_BYTES] = header().encode().try_into().unwrap();
        block[8] = 2;
        let check = xxh3_64(&block[..CHECK_AT]);
        block[CHECK_AT..].copy_from_slice(&check.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&block), Err(HeaderFault::Format(2)));
    }

    proptest! {
        #[test]
        fn a_record_reads_back_and_any_flipped_bit_is_noticed(
            payload in prop::collection::vec(any::<u8>(), 0..200),
            version in 1u64..u64::MAX,
            bit in any::<prop::sample::Index>(),
        ) {
            let mut bytes = Vec::new();
            let (version, previous) = (Version(version), Version(version - 1));
            encode_commit(ID, version, previous, Version(3), &payload, &mut bytes);
            prop_assert_eq!(bytes.len(), record_bytes(payload.len()));
            let (header, read) = decode_record(&bytes).unwrap();
            prop_assert_eq!(read, payload.as_slice());
            prop_assert_eq!((header.version, header.previous), (version, previous));
            prop_assert_eq!((header.kind, header.durable), (Kind::Commit, Version(3)));
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode_record(&bytes).is_none());
        }

        #[test]
        fn arbitrary_bytes_are_refused_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            prop_assert!(decode_record(&bytes).is_none());
        }
    }

    #[test]
    fn a_record_of_another_log_is_refused() {
        let mut bytes = Vec::new();
        encode_mark(LogId([8; 16]), Version(1), Version(1), &mut bytes);
        assert!(decode_record(&bytes).is_none());
    }
}
