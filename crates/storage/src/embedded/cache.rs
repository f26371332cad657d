//! Rows read from the base, kept in memory for the next reader.
//!
//! The cache speaks for one checkpoint at a time: views of another one pass it by. A checkpoint
//! first makes the cache speak for the new state, which nobody reads yet, and then drops the rows
//! that changed. Eviction is by the clock algorithm (Corbató, 1968): one bit per row.

use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use hashbrown::HashTable;
use parking_lot::Mutex;
use smallvec::SmallVec;
use tessera_types::Version;

use crate::range::KeySpace;
use crate::store::Val;

/// Independent parts; a power of two.
const SHARDS: usize = 16;
/// Estimated bytes of a slot beside its key and value.
const SLOT_BYTES: u64 = 128;
/// A row larger than this share of a shard is not cached.
const ROW_SHARE: u64 = 8;

type ShortKey = SmallVec<[u8; 24]>;

/// Bounded cache of rows of the base.
pub(crate) struct RowCache {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    /// The checkpoint of the base whose rows are here.
    checkpoint: AtomicU64,
    shard_bytes_max: u64,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Default)]
struct Shard {
    places: HashTable<u32>,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    hand: usize,
    bytes: u64,
}

struct Slot {
    hash: u64,
    space: KeySpace,
    key: ShortKey,
    value: Val,
    is_recent: bool,
}

impl RowCache {
    pub(crate) fn new(bytes_max: u64, checkpoint: Version) -> RowCache {
        RowCache {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            checkpoint: AtomicU64::new(checkpoint.0),
            shard_bytes_max: bytes_max / SHARDS as u64,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Name of a row for `switch`.
    pub(crate) fn hash(&self, space: KeySpace, key: &[u8]) -> u64 {
        self.hasher.hash_one((space as u8, key))
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        &self.shards[(hash >> 40) as usize % SHARDS]
    }

    fn speaks_for(&self, checkpoint: Version) -> bool {
        self.checkpoint.load(Ordering::Acquire) == checkpoint.0
    }

    /// The value of a row in the base as of `checkpoint`, if it is known here.
    pub(crate) fn get(&self, space: KeySpace, key: &[u8], checkpoint: Version) -> Option<Val> {
        if self.shard_bytes_max == 0 || !self.speaks_for(checkpoint) {
            return None;
        }
        let hash = self.hash(space, key);
        let mut shard = self.shard(hash).lock();
        let found = shard
            .find(hash, space, key)
            .filter(|_| self.speaks_for(checkpoint));
        let Some(at) = found else {
            drop(shard);
            self.misses.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let slot = shard.slots[at as usize].as_mut()?;
        slot.is_recent = true;
        let value = slot.value.clone();
        drop(shard);
        self.hits.fetch_add(1, Ordering::Relaxed);
        Some(value)
    }

    /// Remembers a row read from the base as of `checkpoint`. The value is copied, so that it does
    /// not keep a whole block alive.
    pub(crate) fn put(&self, space: KeySpace, key: &[u8], checkpoint: Version, value: &Val) {
        let bytes = SLOT_BYTES + (key.len() + value.len()) as u64;
        if bytes > self.shard_bytes_max / ROW_SHARE {
            return;
        }
        let hash = self.hash(space, key);
        let value = Val::copy_from_slice(value);
        let slot = Slot {
            hash,
            space,
            key: ShortKey::from_slice(key),
            value,
            is_recent: false,
        };
        let mut shard = self.shard(hash).lock();
        // Asked under the lock: `switch` visits every shard after it changed the checkpoint.
        if !self.speaks_for(checkpoint) || shard.find(hash, space, key).is_some() {
            return;
        }
        while shard.bytes + bytes > self.shard_bytes_max && shard.evict() {}
        shard.insert(slot);
    }

    /// Speaks for `checkpoint` from now on. `changed` names the rows that differ from the state
    /// before; without it, all may.
    pub(crate) fn switch(&self, checkpoint: Version, changed: Option<&[u64]>) {
        self.checkpoint.store(checkpoint.0, Ordering::Release);
        match changed {
            None => {
                for shard in &self.shards {
                    *shard.lock() = Shard::default();
                }
            }
            Some(changed) => {
                // Every shard is locked once, so that a `put` under way is over.
                for shard in &self.shards {
                    drop(shard.lock());
                }
                for hash in changed {
                    self.shard(*hash).lock().remove_all(*hash);
                }
            }
        }
    }

    /// Rows, bytes, hits, misses.
    pub(crate) fn statistics(&self) -> (u64, u64, u64, u64) {
        let (rows, bytes) = self.shards.iter().fold((0, 0), |(rows, bytes), shard| {
            let shard = shard.lock();
            (rows + shard.places.len() as u64, bytes + shard.bytes)
        });
        (
            rows,
            bytes,
            self.hits.load(Ordering::Relaxed),
            self.misses.load(Ordering::Relaxed),
        )
    }
}

impl Shard {
    fn find(&self, hash: u64, space: KeySpace, key: &[u8]) -> Option<u32> {
        let is_it = |at: &u32| {
            let slot = self.slots[*at as usize].as_ref();
            slot.is_some_and(|slot| slot.space == space && slot.key.as_slice() == key)
        };
        self.places.find(hash, is_it).copied()
    }

    fn insert(&mut self, slot: Slot) {
        self.bytes += slot.bytes();
        let hash = slot.hash;
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.slots.push(None);
                (self.slots.len() - 1) as u32
            }
        };
        self.slots[at as usize] = Some(slot);
        let slots = &self.slots;
        let hash_of = |at: &u32| slots[*at as usize].as_ref().map_or(0, |slot| slot.hash);
        self.places.insert_unique(hash, at, hash_of);
    }

    fn remove(&mut self, at: u32) {
        let Some(slot) = self.slots[at as usize].take() else {
            return;
        };
        self.bytes -= slot.bytes();
        if let Ok(found) = self.places.find_entry(slot.hash, |other| *other == at) {
            found.remove();
        }
        self.free.push(at);
    }

    fn remove_all(&mut self, hash: u64) {
        let is_it = |slots: &[Option<Slot>], at: u32| {
            slots[at as usize]
                .as_ref()
                .is_some_and(|slot| slot.hash == hash)
        };
        while let Some(at) = self
            .places
            .find(hash, |at| is_it(&self.slots, *at))
            .copied()
        {
            self.remove(at);
        }
    }

    /// Gives up one row that was not read lately; whether there was one.
    fn evict(&mut self) -> bool {
        // After one round every bit is cleared, so the second one finds a row.
        for _ in 0..2 * self.slots.len() {
            let at = self.hand;
            self.hand = (self.hand + 1) % self.slots.len();
            match &mut self.slots[at] {
                Some(slot) if slot.is_recent => slot.is_recent = false,
                Some(_) => {
                    self.remove(at as u32);
                    return true;
                }
                None => {}
            }
        }
        false
    }
}

impl Slot {
    fn bytes(&self) -> u64 {
        SLOT_BYTES + (self.key.len() + self.value.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: KeySpace = KeySpace::Rows;

    fn key(n: u32) -> [u8; 4] {
        n.to_be_bytes()
    }

    #[test]
    fn only_the_changed_rows_go_at_a_checkpoint() {
        let cache = RowCache::new(1 << 20, Version(1));
        for n in 0..10 {
            cache.put(ROWS, &key(n), Version(1), &Val::from_static(b"old"));
        }
        cache.switch(Version(2), Some(&[cache.hash(ROWS, &key(3))]));
        assert_eq!(cache.get(ROWS, &key(3), Version(2)), None);
        assert_eq!(
            cache.get(ROWS, &key(4), Version(2)),
            Some(Val::from_static(b"old"))
        );
        // A reader of the old view neither reads nor fills.
        assert_eq!(cache.get(ROWS, &key(4), Version(1)), None);
        cache.put(ROWS, &key(3), Version(1), &Val::from_static(b"old"));
        assert_eq!(cache.get(ROWS, &key(3), Version(2)), None);
    }

    #[test]
    fn the_bound_holds_and_rows_in_use_stay() {
        let cache = RowCache::new(64 << 10, Version(1));
        let value = Val::from(vec![7; 100]);
        cache.put(ROWS, &key(0), Version(1), &value);
        for n in 1..10_000 {
            cache.put(ROWS, &key(n), Version(1), &value);
            assert!(cache.get(ROWS, &key(0), Version(1)).is_some(), "after {n}");
        }
        let (rows, bytes, ..) = cache.statistics();
        assert!(
            bytes <= 64 << 10 && rows > 100,
            "{rows} rows, {bytes} bytes"
        );
    }

    #[test]
    fn a_cache_of_no_bytes_is_off() {
        let cache = RowCache::new(0, Version(1));
        cache.put(ROWS, b"k", Version(1), &Val::from_static(b"v"));
        assert_eq!(cache.get(ROWS, b"k", Version(1)), None);
    }
}
