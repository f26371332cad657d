//! The order of a sorted set: by score, then by the bytes of the name.

use tessera_storage::Key;

use crate::error::{Result, malformed};
use crate::layout::suffix;

/// Bytes of a score in a rank.
const SCORE_BYTES: usize = 8;

/// One end of a range of scores. Infinite scores are numbers here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ScoreBound {
    /// The score itself belongs to the range.
    Included(f64),
    /// The range begins or ends just beside the score, as in `(5`.
    Excluded(f64),
}

/// A range of scores, the lower end first, whatever the direction of reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreRange {
    /// Its lower end.
    pub min: ScoreBound,
    /// Its upper end.
    pub max: ScoreBound,
}

impl ScoreRange {
    /// Every score.
    pub const ALL: ScoreRange = ScoreRange {
        min: ScoreBound::Included(f64::NEG_INFINITY),
        max: ScoreBound::Included(f64::INFINITY),
    };
}

/// One end of a range of names among members of equal scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// Before every name (`-`).
    First,
    /// Behind every name (`+`).
    Last,
    /// The name belongs to the range (`[a`).
    Included(&'a [u8]),
    /// The range begins or ends just beside the name (`(a`).
    Excluded(&'a [u8]),
}

/// A range of names, the lower end first, whatever the direction of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LexRange<'a> {
    /// Its lower end.
    pub min: LexBound<'a>,
    /// Its upper end.
    pub max: LexBound<'a>,
}

/// A range of ranks' bytes, the end not included.
pub(super) type RankRange = (Vec<u8>, Vec<u8>);

/// A number that sorts as the score does; both zeros are one.
pub(super) fn score_bits(score: f64) -> u64 {
    let bits = if score == 0.0 { 0 } else { score.to_bits() };
    if bits >> 63 == 1 {
        !bits
    } else {
        bits | 1 << 63
    }
}

fn score_of_bits(bits: u64) -> f64 {
    f64::from_bits(if bits >> 63 == 1 {
        bits & !(1 << 63)
    } else {
        !bits
    })
}

/// Bytes that sort as score and name do.
pub(super) fn rank_bytes(score: f64, member: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(SCORE_BYTES + member.len());
    out.extend_from_slice(&score_bits(score).to_be_bytes());
    out.extend_from_slice(member);
    out
}

/// Score and name of an entry by rank. A negative zero comes back as zero.
pub(super) fn parse_rank(key: &Key) -> Result<(f64, Key)> {
    let rank = suffix(key);
    let bits = rank
        .get(..SCORE_BYTES)
        .and_then(|bits| bits.try_into().ok())
        .ok_or_else(|| malformed("rank of a sorted set's member"))?;
    Ok((
        score_of_bits(u64::from_be_bytes(bits)),
        rank.slice(SCORE_BYTES..),
    ))
}

/// Bytes right behind those of every member of this score.
fn after_score(score: f64) -> Vec<u8> {
    score_bits(score).saturating_add(1).to_be_bytes().to_vec()
}

impl ScoreRange {
    pub(super) fn ranks(&self) -> RankRange {
        let at = |score: f64| score_bits(score).to_be_bytes().to_vec();
        let start = match self.min {
            ScoreBound::Included(score) => at(score),
            ScoreBound::Excluded(score) => after_score(score),
        };
        let end = match self.max {
            ScoreBound::Included(score) => after_score(score),
            ScoreBound::Excluded(score) => at(score),
        };
        (start, end)
    }
}

impl LexRange<'_> {
    /// The range among the members of this score.
    pub(super) fn ranks(&self, score: f64) -> RankRange {
        (self.min.rank(score, false), self.max.rank(score, true))
    }
}

impl LexBound<'_> {
    fn rank(&self, score: f64, is_end: bool) -> Vec<u8> {
        let (name, is_after) = match self {
            LexBound::First => return rank_bytes(score, b""),
            LexBound::Last => return after_score(score),
            LexBound::Included(name) => (name, is_end),
            LexBound::Excluded(name) => (name, !is_end),
        };
        let mut out = rank_bytes(score, name);
        if is_after {
            out.push(0);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_sort_as_scores_do() {
        let scores = [
            f64::NEG_INFINITY,
            -1e300,
            -1.5,
            -0.0,
            f64::MIN_POSITIVE,
            1.0,
            1e300,
            f64::INFINITY,
        ];
        for pair in scores.windows(2) {
            assert!(score_bits(pair[0]) < score_bits(pair[1]), "{pair:?}");
        }
        for score in scores {
            assert_eq!(score_of_bits(score_bits(score)), score);
        }
        assert_eq!(score_bits(0.0), score_bits(-0.0));
    }

    #[test]
    fn ends_of_ranges_lie_beside_what_they_name() {
        let range = ScoreRange {
            min: ScoreBound::Excluded(1.0),
            max: ScoreBound::Included(2.0),
        };
        let (start, end) = range.ranks();
        assert!(rank_bytes(1.0, b"\xff\xff") < start);
        assert!(rank_bytes(2.0, b"\xff\xff") < end);
        let range = LexRange {
            min: LexBound::Included(b"b"),
            max: LexBound::Excluded(b"d"),
        };
        let (start, end) = range.ranks(0.0);
        assert!(rank_bytes(0.0, b"a\xff") < start && start <= rank_bytes(0.0, b"b"));
        assert!(rank_bytes(0.0, b"c\xff") < end && end <= rank_bytes(0.0, b"d"));
    }
}
