//! Checksums: CRC-32 for single records, XXH3 for large blocks and hash keys.

use crate::error::CodecError;

/// Bytes that [`seal`] adds.
pub const SEAL_BYTES: usize = 4;

/// CRC-32 (IEEE) of the bytes.
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// CRC-32 (IEEE) over several pieces, as if they were one.
pub fn crc32_of_parts(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// XXH3, 64 bits.
pub fn xxh3(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

/// Appends the CRC-32 of everything in `bytes`, little-endian.
pub fn seal(bytes: &mut Vec<u8>) {
    let sum = crc32(bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
}

/// Checks and removes what [`seal`] added.
pub fn unseal(bytes: &[u8]) -> Result<&[u8], CodecError> {
    let Some((body, sum)) = bytes.split_last_chunk::<SEAL_BYTES>() else {
        return Err(CodecError::Truncated {
            what: "sealed record",
        });
    };
    let (found, expected) = (crc32(body), u32::from_le_bytes(*sum));
    if found == expected {
        Ok(body)
    } else {
        Err(CodecError::Checksum { found, expected })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_noticed() {
        let mut sealed = b"some record".to_vec();
        seal(&mut sealed);
        assert_eq!(unseal(&sealed), Ok(&b"some record"[..]));
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal(&damaged).is_err(), "bit {bit}");
        }
        assert!(unseal(b"abc").is_err());
    }

    #[test]
    fn parts_add_up() {
        assert_eq!(crc32(b"abcdef"), crc32_of_parts(&[b"ab", b"", b"cdef"]));
    }
}
