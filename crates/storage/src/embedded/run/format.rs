//! Bytes of a run file. The table is in `docs/internals/storage.md`.
//!
//! header | block, block … | tail (index, filter) | footer

use tessera_codec::checksum::xxh3;

use crate::embedded::coding::{Malformed, Reader, put_varint};
use crate::range::KeySpace;
use crate::store::{Key, RunId};

/// Version of this format.
const FORMAT: u32 = 1;
const HEADER_MAGIC: [u8; 8] = *b"TSRARUN\x01";
const FOOTER_MAGIC: [u8; 8] = *b"TSRAEND\x01";
/// Magic, format, reserved, id, checksum.
pub(crate) const HEADER_BYTES: usize = 32;
/// Tail offset, tail length, tail checksum, magic, checksum.
pub(crate) const FOOTER_BYTES: usize = 40;
/// Checksum behind the entries of a block.
pub(crate) const BLOCK_SUM_BYTES: usize = 8;
/// Entries' bytes after which a block ends.
pub(crate) const BLOCK_BYTES: usize = 16 * 1024;
/// Bits of the filter per key: about one false answer in a hundred.
const FILTER_BITS_PER_KEY: u64 = 10;
/// Bits looked at per key.
const FILTER_PROBES: u32 = 7;

/// One block in the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlockInfo {
    pub(crate) space: KeySpace,
    pub(crate) first_key: Key,
    pub(crate) offset: u64,
    /// With its checksum.
    pub(crate) len: usize,
}

/// What the tail holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) entries: u64,
    pub(crate) blocks: Vec<BlockInfo>,
    pub(crate) filter: Filter,
}

pub(crate) fn header(id: RunId) -> [u8; HEADER_BYTES] {
    let mut out = [0; HEADER_BYTES];
    out[..8].copy_from_slice(&HEADER_MAGIC);
    out[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    out[16..24].copy_from_slice(&id.0.to_le_bytes());
    let sum = xxh3(&out[..24]);
    out[24..].copy_from_slice(&sum.to_le_bytes());
    out
}

/// The checksum of a block covers its place, so that a block of elsewhere is not accepted.
pub(crate) fn block_sum(id: RunId, offset: u64, entries: &[u8]) -> u64 {
    xxh3(entries) ^ xxh3(&[id.0.to_le_bytes(), offset.to_le_bytes()].concat())
}

pub(crate) fn footer(tail_offset: u64, tail: &[u8]) -> [u8; FOOTER_BYTES] {
    let mut out = [0; FOOTER_BYTES];
    out[..8].copy_from_slice(&tail_offset.to_le_bytes());
    out[8..16].copy_from_slice(&(tail.len() as u64).to_le_bytes());
    out[16..24].copy_from_slice(&xxh3(tail).to_le_bytes());
    out[24..32].copy_from_slice(&FOOTER_MAGIC);
    let sum = xxh3(&out[..32]);
    out[32..].copy_from_slice(&sum.to_le_bytes());
    out
}

/// Offset, length and checksum of the tail.
pub(crate) fn read_footer(bytes: &[u8]) -> Result<(u64, u64, u64), Malformed> {
    let mut reader = Reader::new(bytes);
    let (offset, len, sum) = (reader.u64()?, reader.u64()?, reader.u64()?);
    let magic = reader.bytes(8)?;
    if magic != FOOTER_MAGIC || reader.u64()? != xxh3(&bytes[..32]) {
        return Err(Malformed("the footer is damaged"));
    }
    Ok((offset, len, sum))
}

pub(crate) fn encode_tail(tail: &Tail) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, tail.entries);
    put_varint(&mut out, tail.blocks.len() as u64);
    for block in &tail.blocks {
        out.push(block.space as u8);
        put_varint(&mut out, block.first_key.len() as u64);
        out.extend_from_slice(&block.first_key);
        put_varint(&mut out, block.offset);
        put_varint(&mut out, block.len as u64);
    }
    put_varint(&mut out, tail.filter.words.len() as u64);
    for word in &tail.filter.words {
        out.extend(word.to_le_bytes());
    }
    out
}

pub(crate) fn decode_tail(bytes: &[u8]) -> Result<Tail, Malformed> {
    let mut reader = Reader::new(bytes);
    let entries = reader.varint()?;
    let mut blocks = Vec::new();
    for _ in 0..reader.varint()? {
        let space = KeySpace::from_index(reader.u8()?).ok_or(Malformed("unknown key space"))?;
        let len = reader.length()?;
        let first_key = Key::copy_from_slice(reader.bytes(len)?);
        let (offset, len) = (reader.varint()?, reader.length()?);
        blocks.push(BlockInfo {
            space,
            first_key,
            offset,
            len,
        });
    }
    let mut words = Vec::new();
    for _ in 0..reader.varint()? {
        words.push(reader.u64()?);
    }
    if !reader.is_empty() {
        return Err(Malformed("bytes follow the tail"));
    }
    Ok(Tail {
        entries,
        blocks,
        filter: Filter { words },
    })
}

/// A Bloom filter over the hashes of all keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    words: Vec<u64>,
}

impl Filter {
    pub(crate) fn new(hashes: &[u64]) -> Filter {
        let bits = (hashes.len() as u64 * FILTER_BITS_PER_KEY).max(64);
        let mut filter = Filter {
            words: vec![0; bits.div_ceil(64) as usize],
        };
        for hash in hashes {
            for probe in 0..FILTER_PROBES {
                let (word, bit) = filter.place(*hash, probe);
                filter.words[word] |= bit;
            }
        }
        filter
    }

    /// Never `false` for a key that is there.
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        !self.words.is_empty()
            && (0..FILTER_PROBES).all(|probe| {
                let (word, bit) = self.place(hash, probe);
                self.words[word] & bit != 0
            })
    }

    /// Double hashing (Kirsch and Mitzenmacher, "Less Hashing, Same Performance", 2006).
    fn place(&self, hash: u64, probe: u32) -> (usize, u64) {
        let step = hash.rotate_left(32) | 1;
        let bit = hash.wrapping_add(step.wrapping_mul(u64::from(probe)));
        let bit = bit % (self.words.len() as u64 * 64);
        ((bit / 64) as usize, 1 << (bit % 64))
    }
}

pub(crate) fn key_hash(space: KeySpace, key: &[u8]) -> u64 {
    xxh3(key) ^ u64::from(space as u8).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
