//! Approximate counts of different elements: PFADD, PFCOUNT, PFMERGE.
//! <https://redis.io/commands/?group=hyperloglog>
//!
//! A HyperLogLog is a string in Redis's own format, so that GET and SET move it between servers:
//! a head of 16 bytes ("HYLL", encoding, a cached count), then 2^14 registers of 6 bits (dense) or
//! runs of equal registers (sparse). The standard error is 1.04 / sqrt(2^14) = 0.81 %.
//! The estimate is that of O. Ertl, "New cardinality estimation algorithms for HyperLogLog
//! sketches", arXiv:1702.01284, sections 4 and 5.

use bytes::Bytes;

use crate::error::{KeyValueError, Result};
use crate::reader::Reader;
use crate::record::{Record, ValueType};
use crate::writer::{Locked, Writer};

const REGISTERS: usize = 1 << INDEX_BITS;
const INDEX_BITS: u32 = 14;
/// Bits of a hash that are looked at for a run of zeros.
const RUN_BITS: u32 = 64 - INDEX_BITS;
const HEAD_BYTES: usize = 16;
const MAGIC: &[u8; 4] = b"HYLL";
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
const DENSE_BYTES: usize = HEAD_BYTES + REGISTERS * 6 / 8;
/// Bytes from which on registers are kept densely (Redis's `hll-sparse-max-bytes`).
const SPARSE_BYTES_MAX: usize = 3_000;
/// The highest register that a run can hold.
const SPARSE_VALUE_MAX: u8 = 32;
/// In the last byte of the cached count: it is out of date.
const STALE: u8 = 0x80;
/// Registers that are written one by one into a dense string; more are written all at once.
const SINGLE_WRITES_MAX: usize = 4;

/// Seed of the hash in Redis.
const SEED: u64 = 0xadc8_3b19;

/// Registers, unpacked.
#[derive(Clone)]
struct Sketch {
    registers: Vec<u8>,
    is_dense: bool,
}

impl Sketch {
    fn new() -> Sketch {
        Sketch {
            registers: vec![0; REGISTERS],
            is_dense: false,
        }
    }

    fn decode(bytes: &[u8]) -> Result<Sketch> {
        const INVALID: KeyValueError = KeyValueError::NotAHyperLogLog;
        let head = bytes.get(..HEAD_BYTES).ok_or(INVALID)?;
        let body = &bytes[HEAD_BYTES..];
        if &head[..4] != MAGIC {
            return Err(INVALID);
        }
        let mut sketch = Sketch::new();
        match head[4] {
            DENSE if bytes.len() == DENSE_BYTES => {
                sketch.is_dense = true;
                for (index, register) in sketch.registers.iter_mut().enumerate() {
                    *register = dense_get(body, index);
                }
            }
            SPARSE => decode_runs(body, &mut sketch.registers).ok_or(INVALID)?,
            _ => return Err(INVALID),
        }
        Ok(sketch)
    }

    /// The string, with a count that is out of date.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES + 64);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[SPARSE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, STALE]);
        if !self.is_dense && encode_runs(&self.registers, &mut out) {
            return out;
        }
        out[4] = DENSE;
        out.truncate(HEAD_BYTES);
        out.resize(DENSE_BYTES, 0);
        for (index, register) in self.registers.iter().enumerate() {
            dense_set(&mut out[HEAD_BYTES..], index, *register);
        }
        out
    }

    /// Notes an element; the register that grew.
    fn add(&mut self, element: &[u8]) -> Option<usize> {
        let (index, run) = place(element);
        if run <= self.registers[index] {
            return None;
        }
        self.registers[index] = run;
        Some(index)
    }

    fn merge(&mut self, other: &Sketch) {
        self.is_dense |= other.is_dense;
        for (a, b) in self.registers.iter_mut().zip(&other.registers) {
            *a = (*a).max(*b);
        }
    }

    fn estimate(&self) -> u64 {
        let mut histogram = [0_u32; 64];
        for register in &self.registers {
            histogram[usize::from(*register & 63)] += 1;
        }
        let m = REGISTERS as f64;
        let last = RUN_BITS as usize + 1;
        let mut z = m * tau((m - f64::from(histogram[last])) / m);
        for count in histogram[1..last].iter().rev() {
            z = 0.5 * (z + f64::from(*count));
        }
        z += m * sigma(f64::from(histogram[0]) / m);
        // 1 / (2 ln 2).
        let alpha = 0.5 / std::f64::consts::LN_2;
        (alpha * m * m / z).round() as u64
    }
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

/// The register of an element, and what it makes of it.
fn place(element: &[u8]) -> (usize, u8) {
    let hash = murmur64a(element);
    let index = hash as usize & (REGISTERS - 1);
    // The bit at the end bounds the run.
    let run = (hash >> INDEX_BITS | 1 << RUN_BITS).trailing_zeros() + 1;
    (index, u8::try_from(run).unwrap_or(u8::MAX))
}

/// MurmurHash64A by A. Appleby, as Redis uses it.
fn murmur64a(bytes: &[u8]) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    let mut hash = SEED ^ (bytes.len() as u64).wrapping_mul(M);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mut k = u64::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 47;
        hash = (hash ^ k.wrapping_mul(M)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(last)).wrapping_mul(M);
    }
    hash ^= hash >> 47;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 47
}

/// A register of 6 bits, lowest bits first.
fn dense_get(body: &[u8], index: usize) -> u8 {
    let (byte, shift) = (index * 6 / 8, index * 6 % 8);
    let next = body.get(byte + 1).copied().unwrap_or(0);
    let word = u16::from(body[byte]) | u16::from(next) << 8;
    (word >> shift) as u8 & 63
}

fn dense_set(body: &mut [u8], index: usize, value: u8) {
    let (byte, shift) = (index * 6 / 8, index * 6 % 8);
    let word = u16::from(value & 63) << shift;
    let mask = 63_u16 << shift;
    body[byte] = body[byte] & !(mask as u8) | word as u8;
    if let Some(next) = body.get_mut(byte + 1) {
        *next = *next & !((mask >> 8) as u8) | (word >> 8) as u8;
    }
}

fn decode_runs(mut body: &[u8], registers: &mut [u8]) -> Option<()> {
    let mut at = 0;
    while let [first, rest @ ..] = body {
        body = rest;
        let (value, length) = match first >> 6 {
            0 => (0, usize::from(first & 63) + 1),
            1 => {
                let (second, rest) = body.split_first()?;
                body = rest;
                (0, (usize::from(first & 63) << 8 | usize::from(*second)) + 1)
            }
            _ => ((first >> 2 & 31) + 1, usize::from(first & 3) + 1),
        };
        registers.get_mut(at..at + length)?.fill(value);
        at += length;
    }
    (at == REGISTERS).then_some(())
}

/// Appends the registers as runs; false if they are too many or too high.
fn encode_runs(registers: &[u8], out: &mut Vec<u8>) -> bool {
    for run in registers.chunk_by(|a, b| a == b) {
        let value = run[0];
        if value > SPARSE_VALUE_MAX {
            return false;
        }
        let mut left = run.len();
        while left > 0 {
            let length = match value {
                0 if left <= 64 => {
                    out.push(left as u8 - 1);
                    left
                }
                0 => {
                    // At most all registers, so 14 bits.
                    let count = left - 1;
                    out.extend_from_slice(&[0x40 | (count >> 8) as u8, count as u8]);
                    left
                }
                value => {
                    let length = left.min(4);
                    out.push(0x80 | (value - 1) << 2 | (length as u8 - 1));
                    length
                }
            };
            left -= length;
        }
        if out.len() > SPARSE_BYTES_MAX {
            return false;
        }
    }
    true
}

impl Reader<'_> {
    /// PFCOUNT: about how many different elements were added to any of the keys.
    pub async fn pfcount<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<u64> {
        let mut sum: Option<Sketch> = None;
        for key in keys {
            let Some(record) = self.typed(key.as_ref(), ValueType::String).await? else {
                continue;
            };
            let bytes = self.string_of(&record).await?;
            if keys.len() == 1
                && let Some(count) = cached_count(&bytes)
            {
                return Ok(count);
            }
            let sketch = Sketch::decode(&bytes)?;
            match &mut sum {
                Some(sum) => sum.merge(&sketch),
                None => sum = Some(sketch),
            }
        }
        Ok(sum.map_or(0, |sketch| sketch.estimate()))
    }
}

/// The count that a string of another server brings along, if it is valid.
fn cached_count(bytes: &[u8]) -> Option<u64> {
    let head = bytes.get(..HEAD_BYTES)?;
    if &head[..4] != MAGIC || head[4] > SPARSE || head[HEAD_BYTES - 1] & STALE != 0 {
        return None;
    }
    Some(u64::from_le_bytes(head[8..].try_into().ok()?))
}

impl Writer<'_> {
    /// PFADD: whether an estimate may have changed, or the key was made.
    pub async fn pfadd<E: AsRef<[u8]>>(&self, key: &[u8], elements: &[E]) -> Result<bool> {
        let mut locked = self.lock(key).await?;
        let record = self.typed(&locked, ValueType::String)?;
        let (bytes, mut sketch) = self.sketch_of(record.as_ref()).await?;
        let mut grown: Vec<usize> = Vec::new();
        for element in elements {
            grown.extend(sketch.add(element.as_ref()));
        }
        if grown.is_empty() && record.is_some() {
            return Ok(false);
        }
        if sketch.is_dense && grown.len() <= SINGLE_WRITES_MAX {
            self.write_registers(&mut locked, &bytes, &sketch, &grown)
                .await?;
        } else {
            let expires = record.and_then(|record| record.expires);
            self.put_string(&mut locked, &sketch.encode(), expires)
                .await?;
        }
        Ok(true)
    }

    /// PFMERGE: `to` counts what it and the sources counted.
    pub async fn pfmerge<K: AsRef<[u8]>>(&self, to: &[u8], keys: &[K]) -> Result<()> {
        let mut locked = self.lock(to).await?;
        let record = self.typed(&locked, ValueType::String)?;
        let (_, mut sum) = self.sketch_of(record.as_ref()).await?;
        let reader = self.source_reader();
        for key in keys {
            if let Some(source) = reader.typed(key.as_ref(), ValueType::String).await? {
                sum.merge(&Sketch::decode(&reader.string_of(&source).await?)?);
            }
        }
        let expires = record.and_then(|record| record.expires);
        self.put_string(&mut locked, &sum.encode(), expires).await
    }

    async fn sketch_of(&self, record: Option<&Record>) -> Result<(Bytes, Sketch)> {
        let Some(record) = record else {
            return Ok((Bytes::new(), Sketch::new()));
        };
        let bytes = self.reader().string_of(record).await?;
        let sketch = Sketch::decode(&bytes)?;
        Ok((bytes, sketch))
    }

    /// Writes some registers of a dense string, and that its count is out of date.
    async fn write_registers(
        &self,
        locked: &mut Locked,
        bytes: &[u8],
        sketch: &Sketch,
        grown: &[usize],
    ) -> Result<()> {
        let mut new = bytes.to_vec();
        new[HEAD_BYTES - 1] |= STALE;
        let last = HEAD_BYTES - 1;
        let mut parts = vec![(last, last + 1)];
        for index in grown {
            let value = sketch.registers[*index];
            dense_set(&mut new[HEAD_BYTES..], *index, value);
            let start = HEAD_BYTES + index * 6 / 8;
            parts.push((start, (start + 2).min(new.len())));
        }
        for (start, end) in parts {
            if new[start..end] == bytes[start..end] {
                continue;
            }
            let record = self.typed(locked, ValueType::String)?;
            self.write_at(locked, record, start as u64, &new[start..end])
                .await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_within_the_standard_error_of_redis() {
        // 1.04 / sqrt(2^14), times four.
        let error_max = 0.0325;
        let mut sketch = Sketch::new();
        let mut added = 0_u64;
        for target in [1, 10, 100, 1_000, 20_000, 100_000, 1_000_000] {
            while added < target {
                sketch.add(format!("element:{added}").as_bytes());
                added += 1;
            }
            let estimate = sketch.estimate() as f64;
            let error = (estimate - target as f64).abs() / target as f64;
            assert!(error < error_max, "{target}: {estimate}");
        }
    }

    #[test]
    fn both_encodings_hold_the_same_registers() {
        let mut sketch = Sketch::new();
        assert_eq!(sketch.encode().len(), HEAD_BYTES + 2, "one run of zeros");
        let mut was_sparse = false;
        for number in 0..3_000 {
            sketch.add(format!("{number}").as_bytes());
            if number % 100 != 0 {
                continue;
            }
            let bytes = sketch.encode();
            was_sparse |= bytes[4] == SPARSE;
            let again = Sketch::decode(&bytes).expect("own bytes");
            assert_eq!(again.registers, sketch.registers);
            sketch.is_dense = again.is_dense;
        }
        assert!(was_sparse && sketch.is_dense);
        assert_eq!(sketch.encode().len(), DENSE_BYTES);
    }

    #[test]
    fn other_strings_are_refused() {
        for bytes in [
            &b""[..],
            b"HYLL",
            &[b'x'; DENSE_BYTES],
            b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x05",
        ] {
            assert!(matches!(
                Sketch::decode(bytes),
                Err(KeyValueError::NotAHyperLogLog)
            ));
        }
    }
}
