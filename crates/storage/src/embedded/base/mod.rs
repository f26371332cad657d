//! The base: the state of all keys as of the last checkpoint, on disk, in bulk.
//!
//! Nothing is written to the base but sorted streams, one per key space and checkpoint, followed
//! by the version that the base then has. The log covers everything up to that last step, so a
//! base that stopped half way through is repaired by the replay that follows.
//!
//! # Map
//! - `lsm`: on `fjall`, for real data.
//! - `simulated`: on the files of the environment, for tests that cut the power.

mod lsm;
mod simulated;

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use tessera_environment::Environment;
use tessera_types::Version;

use crate::embedded::options::{BaseKind, EmbeddedOptions};
use crate::error::StoreError;
use crate::range::{KeyRange, KeySpace};
use crate::store::{Key, Row, Val};
use lsm::LsmBase;
use simulated::SimulatedBase;

/// Bytes of a key that interpolation between two keys looks at.
const INTERPOLATED_BYTES: usize = 8;

/// A change on its way into the base; no value means the key is removed.
pub(crate) type Change = Result<(Key, Option<Val>), StoreError>;

/// Rows of a range, forwards or backwards.
pub(crate) type BaseRows = Box<dyn Iterator<Item = Result<Row, StoreError>> + Send>;

/// A place for the state of all keys. Only the checkpoint writes to it.
pub(crate) trait Base: Send + Sync {
    /// The version recorded last; zero for a new base.
    fn checkpoint(&self) -> Result<Version, StoreError>;

    /// Writes changes of one space in key order, each key once. Durable on return.
    fn ingest(
        &self,
        space: KeySpace,
        changes: &mut dyn Iterator<Item = Change>,
    ) -> Result<(), StoreError>;

    /// Records that the base now holds exactly the commits up to `version`. Durable on return.
    fn record(&self, version: Version) -> Result<(), StoreError>;

    /// The present state, unchanging.
    fn view(&self) -> Arc<dyn BaseView>;

    /// Does what keeps reading fast. May take long; `stop` says when to end early.
    fn settle(&self, stop: &dyn Fn() -> bool) -> Result<(), StoreError>;

    /// Gives disk space back where many rows were deleted. May take as long as writing what is left;
    /// what it does is in proportion to the deletions since it did so last. Whether files were
    /// replaced: they go with the next call when the views from before it are gone.
    fn give_back(&self) -> Result<bool, StoreError>;

    /// Bytes on disk.
    fn bytes(&self) -> u64;

    /// Reads every file of a space by itself; the errors name the files that are damaged.
    fn damaged_files(&self, space: KeySpace) -> Vec<StoreError>;

    /// An error if the base has stopped working and only a restart helps.
    fn health(&self) -> Result<(), StoreError>;
}

/// An unchanging state of the base.
pub(crate) trait BaseView: Send + Sync {
    fn get(&self, space: KeySpace, key: &[u8]) -> Result<Option<Val>, StoreError>;

    /// The rows of a range that is not empty by its bounds.
    fn rows(&self, space: KeySpace, range: &KeyRange, reverse: bool) -> BaseRows;
}

/// Opens or makes the base in `dir`.
pub(crate) fn open(
    env: &Environment,
    dir: &Path,
    options: &EmbeddedOptions,
) -> Result<Arc<dyn Base>, StoreError> {
    Ok(match options.base {
        BaseKind::Lsm => Arc::new(LsmBase::open(dir, options)?),
        BaseKind::Simulated => Arc::new(SimulatedBase::open(env, dir)?),
    })
}

/// At most `count - 1` ascending keys between `first` and `last`, to cut a range in equal parts.
///
/// Exact for evenly spread fixed-width keys such as integers; only uneven for others.
pub(crate) fn interpolate(first: &[u8], last: &[u8], count: usize) -> Vec<Key> {
    let shared = first.iter().zip(last).take_while(|(a, b)| a == b).count();
    let number = |key: &[u8]| {
        let mut bytes = [0; INTERPOLATED_BYTES];
        let rest = &key[shared..];
        let len = rest.len().min(INTERPOLATED_BYTES);
        bytes[..len].copy_from_slice(&rest[..len]);
        u64::from_be_bytes(bytes)
    };
    let (low, high) = (number(first), number(last));
    let mut keys: Vec<Key> = Vec::new();
    for part in 1..count {
        let step = u128::from(high.saturating_sub(low)) * part as u128 / count as u128;
        let mut key = first[..shared].to_vec();
        key.extend((low + step as u64).to_be_bytes());
        if keys.last().is_none_or(|last| *last < key) {
            keys.push(Key::from(key));
        }
    }
    keys
}

/// The form in which both bases take bounds.
pub(crate) fn owned_bounds(range: &KeyRange) -> (Bound<Key>, Bound<Key>) {
    (range.start.clone(), range.end.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpolation_cuts_integer_keys_evenly() {
        let key = |n: u32| [&b"tbl"[..], &n.to_be_bytes()].concat();
        let keys = interpolate(&key(0), &key(1_000_000), 4);
        let range = KeyRange::prefix(b"tbl");
        let parts = range.split_at(keys);
        assert_eq!(parts.len(), 4);
        for part in &parts {
            let rows = (0..1_000_000)
                .step_by(1_000)
                .filter(|n| part.contains(&key(*n)))
                .count();
            assert!((249..=251).contains(&rows), "{rows}");
        }
        assert!(interpolate(b"same", b"same", 3).len() <= 2);
        assert!(interpolate(b"a", b"abc", 9).is_sorted());
    }
}
