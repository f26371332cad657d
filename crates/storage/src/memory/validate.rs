//! Whether what a transaction read is still so. The caller holds the lock that orders commits, so
//! everything sequenced is published.

use tessera_types::Version;

use crate::error::StoreError;
use crate::memory::Inner;
use crate::range::KeySpace;
use crate::reads::{Change, ReadSet};
use crate::store::{Key, Val};

/// Refuses reads that were changed since.
pub(crate) fn validate(inner: &Inner, reads: &ReadSet) -> Result<(), StoreError> {
    let newest = inner.newest();
    let failure = |space: KeySpace, key: &Key, version: Version| {
        Err(StoreError::SerializationFailure {
            space,
            key: key.clone(),
            snapshot: reads.version(),
            version,
            writer: None,
        })
    };
    let mut suspects: Vec<(usize, Key, Version, Option<Val>)> = Vec::new();
    {
        let spaces = inner.spaces.read();
        for read in &reads.keys {
            let versions = &spaces[read.space.index()];
            if let Some(version) = versions.changed_since(&read.key, read.since, newest) {
                return failure(read.space, &read.key, version);
            }
        }
        for read in &reads.ranges {
            let versions = &spaces[read.space.index()];
            let range = read.to_key_range();
            if let Some((key, version, _)) = versions.changes(&range, read.since).next() {
                return failure(read.space, key, version);
            }
        }
        for (at, refined) in reads.refined.iter().enumerate() {
            let versions = &spaces[refined.range.space.index()];
            let range = refined.range.to_key_range();
            let changes = versions.changes(&range, refined.range.since);
            suspects.extend(changes.map(|(k, version, v)| (at, k.clone(), version, v.cloned())));
        }
    }
    // Filters ask the snapshot for old values, which takes the lock on the spaces again.
    for (at, key, version, value) in suspects {
        let refined = &reads.refined[at];
        let space = refined.range.space;
        let change = Change {
            space,
            key: &key,
            version,
            value: value.as_deref(),
        };
        if reads.matters(refined, change)? {
            return failure(space, &key, version);
        }
    }
    Ok(())
}
