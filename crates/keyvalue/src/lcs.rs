//! LCS: the longest common subsequence of two strings. <https://redis.io/commands/lcs/>

use bytes::Bytes;

use crate::error::{KeyValueError, Result};
use crate::reader::Reader;

/// Cells of the table, the product of both lengths: 64 MiB.
const CELLS_MAX: usize = 16 * 1024 * 1024;

/// A part that both strings have in common; both ends are included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LcsMatch {
    /// Where it is in the first string.
    pub first: (u64, u64),
    /// Where it is in the second one.
    pub second: (u64, u64),
}

impl LcsMatch {
    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.first.1 - self.first.0 + 1
    }
}

/// What LCS answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lcs {
    /// The subsequence.
    pub text: Bytes,
    /// Its unbroken parts, the last one first (IDX).
    pub matches: Vec<LcsMatch>,
}

impl Reader<'_> {
    /// LCS. A key that does not exist is an empty string.
    pub async fn lcs(&self, first: &[u8], second: &[u8]) -> Result<Lcs> {
        let first = self.get(first).await?.unwrap_or_default();
        let second = self.get(second).await?.unwrap_or_default();
        longest_common_subsequence(&first, &second)
    }
}

fn longest_common_subsequence(a: &[u8], b: &[u8]) -> Result<Lcs> {
    let width = b.len() + 1;
    let cells = (a.len() + 1)
        .checked_mul(width)
        .filter(|cells| *cells <= CELLS_MAX)
        .ok_or(KeyValueError::ValueTooLarge {
            what: "the product of the lengths of both strings",
            limit: CELLS_MAX as u64,
        })?;
    // Lengths of what the first i and the first j bytes have in common.
    let mut lengths = vec![0_u32; cells];
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let cell = i * width + j;
            lengths[cell] = if a[i - 1] == b[j - 1] {
                lengths[cell - width - 1] + 1
            } else {
                lengths[cell - width].max(lengths[cell - 1])
            };
        }
    }
    let mut text = Vec::new();
    let mut matches: Vec<LcsMatch> = Vec::new();
    let (mut i, mut j) = (a.len(), b.len());
    // Whether the last match may grow to the left.
    let mut is_open = false;
    while i > 0 && j > 0 {
        if a[i - 1] != b[j - 1] {
            let cell = i * width + j;
            if lengths[cell - width] > lengths[cell - 1] {
                i -= 1;
            } else {
                j -= 1;
            }
            is_open = false;
            continue;
        }
        i -= 1;
        j -= 1;
        text.push(a[i]);
        match matches.last_mut().filter(|_| is_open) {
            Some(open) => (open.first.0, open.second.0) = (i as u64, j as u64),
            None => matches.push(LcsMatch {
                first: (i as u64, i as u64),
                second: (j as u64, j as u64),
            }),
        }
        is_open = true;
    }
    text.reverse();
    Ok(Lcs {
        text: Bytes::from(text),
        matches,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: the example of LCS in the documentation of Redis.
    #[test]
    fn the_example_of_redis_comes_out() {
        let found = longest_common_subsequence(b"ohmytext", b"mynewtext").expect("short");
        assert_eq!(found.text, "mytext");
        let places: Vec<_> = found.matches.iter().map(|m| (m.first, m.second)).collect();
        assert_eq!(places, [((4, 7), (5, 8)), ((2, 3), (0, 1))]);
        let none = longest_common_subsequence(b"", b"x").expect("short");
        assert_eq!(none, Lcs::default());
    }

    #[test]
    fn strings_too_long_for_the_table_are_refused() {
        let long = vec![b'x'; 5_000];
        assert!(longest_common_subsequence(&long, &long).is_err());
    }
}
