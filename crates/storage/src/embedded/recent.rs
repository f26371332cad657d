//! Committed versions in memory: the newest state of every key changed since the checkpoint, and
//! what live snapshots still see of older states.
//!
//! A key has one node with a short chain of versions, newest first. Points find the node through
//! a sharded hash table; ranges through an ordered tree, which is touched only when a key comes or
//! goes. So rewriting a hot key costs one hash look-up and pushes one entry, and the entry that
//! nobody sees any more is dropped in the same step.
//!
//! # Invariants
//! 1. A node is in the tree exactly while it is in its hash shard, but for moments in which the
//!    shard is write-locked.
//! 2. Chains are written only under the shard's lock (shared), removed under it (exclusive).
//! 3. Locks are taken in the order shard, tree, chain, views.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use hashbrown::HashTable;
use parking_lot::{Mutex, RwLock};
use smallvec::SmallVec;
use tessera_types::Version;

use crate::embedded::merge::Item;
use crate::embedded::views::Views;
use crate::range::{KeyRange, KeySpace};
use crate::store::{Key, Val};

/// Hash shards per key space; a power of two.
const SHARDS: usize = 64;
/// Keys up to this length live inside the node and the tree.
const KEY_INLINE_BYTES: usize = 24;
/// Estimated bytes of a node, its table slot and its place in the tree.
const NODE_BYTES: u64 = 224;
/// Estimated bytes of one more version.
const ENTRY_BYTES: u64 = 48;
/// Nodes visited by a sweep or a validation per hold of the tree's lock.
const SWEEP_CHUNK: usize = 512;

type ShortKey = SmallVec<[u8; KEY_INLINE_BYTES]>;
type Chain = SmallVec<[Entry; 1]>;
type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// What a key became in a commit.
#[derive(Debug, Clone)]
struct Entry {
    version: Version,
    value: Option<Val>,
}

struct Node {
    hash: u64,
    key: ShortKey,
    chain: Mutex<Chain>,
}

struct Space {
    shards: Box<[RwLock<HashTable<Arc<Node>>>]>,
    ordered: RwLock<BTreeMap<ShortKey, Arc<Node>>>,
}

/// All versions in memory.
pub(crate) struct Recent {
    spaces: [Space; KeySpace::COUNT],
    hasher: RandomState,
    keys: AtomicU64,
    versions: AtomicU64,
    bytes: AtomicU64,
}

/// How much is in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RecentSizes {
    pub(crate) keys: u64,
    pub(crate) versions: u64,
    pub(crate) bytes: u64,
}

impl Recent {
    pub(crate) fn new() -> Recent {
        Recent {
            spaces: std::array::from_fn(|_| Space {
                shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
                ordered: RwLock::default(),
            }),
            hasher: RandomState::new(),
            keys: AtomicU64::new(0),
            versions: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    pub(crate) fn sizes(&self) -> RecentSizes {
        RecentSizes {
            keys: self.keys.load(Ordering::Relaxed),
            versions: self.versions.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Adds the newest version of a key. Not seen before `views` publishes it.
    pub(crate) fn insert(
        &self,
        space: KeySpace,
        key: &[u8],
        version: Version,
        value: Option<Val>,
        views: &Views,
    ) {
        let hash = self.hasher.hash_one(key);
        let space = &self.spaces[space.index()];
        let shard = space.shard(hash);
        let entry = Entry { version, value };
        {
            let table = shard.read();
            if let Some(node) = table.find(hash, |node| node.key.as_slice() == key) {
                self.push(node, entry, views);
                return;
            }
        }
        let mut table = shard.write();
        if let Some(node) = table.find(hash, |node| node.key.as_slice() == key) {
            self.push(node, entry, views);
            return;
        }
        self.keys.fetch_add(1, Ordering::Relaxed);
        self.account(1, NODE_BYTES + key.len() as u64 + entry.bytes(), 0);
        let key = ShortKey::from_slice(key);
        let chain = Mutex::new(Chain::from_iter([entry]));
        let node = Arc::new(Node {
            hash,
            key: key.clone(),
            chain,
        });
        table.insert_unique(hash, node.clone(), |node| node.hash);
        space.ordered.write().insert(key, node);
    }

    fn push(&self, node: &Node, entry: Entry, views: &Views) {
        let mut chain = node.chain.lock();
        self.account(1, entry.bytes(), 0);
        debug_assert!(
            chain
                .first()
                .is_none_or(|head| head.version < entry.version),
            "in order"
        );
        chain.insert(0, entry);
        if chain.len() > 1 {
            self.prune(&mut chain, views);
        }
    }

    /// Drops the versions that no snapshot, live or still to come, can see.
    fn prune(&self, chain: &mut Chain, views: &Views) {
        let state = views.lock();
        let newest = views.newest();
        let mut replaced_at = None;
        chain.retain(|entry| {
            let keep = match replaced_at {
                // Not yet replaced by a visible version.
                None => true,
                Some(replaced_at) => state.any_live_within(entry.version, replaced_at),
            };
            if entry.version <= newest {
                replaced_at = Some(entry.version);
            }
            if !keep {
                self.account(-1, 0, entry.bytes());
            }
            keep
        });
    }

    /// Takes back a version that will never be published.
    pub(crate) fn withdraw(&self, space: KeySpace, key: &[u8], version: Version) {
        let hash = self.hasher.hash_one(key);
        let space = &self.spaces[space.index()];
        let mut table = space.shard(hash).write();
        let Ok(found) = table.find_entry(hash, |node| node.key.as_slice() == key) else {
            return;
        };
        let mut chain = found.get().chain.lock();
        chain.retain(|entry| {
            let keep = entry.version != version;
            if !keep {
                self.account(-1, 0, entry.bytes());
            }
            keep
        });
        let is_empty = chain.is_empty();
        drop(chain);
        if is_empty {
            let (node, _) = found.remove();
            self.forget(space, &node);
        }
    }

    /// What a snapshot at `at` over a base of `base` sees in memory; `None` if the base has it.
    pub(crate) fn get(
        &self,
        space: KeySpace,
        key: &[u8],
        base: Version,
        at: Version,
    ) -> Option<(Version, Option<Val>)> {
        self.with_chain(space, key, |chain| {
            let entry = chain.iter().find(|entry| entry.version <= at)?;
            (entry.version > base).then(|| (entry.version, entry.value.clone()))
        })?
    }

    /// The newest version of a key, published or not, and whether the key exists in it.
    pub(crate) fn head(&self, space: KeySpace, key: &[u8]) -> Option<(Version, bool)> {
        self.with_chain(space, key, |chain| {
            chain
                .first()
                .map(|entry| (entry.version, entry.value.is_some()))
        })?
    }

    /// The newest version of the key in `since..=newest`, `since` left out.
    pub(crate) fn changed_since(
        &self,
        space: KeySpace,
        key: &[u8],
        since: Version,
        newest: Version,
    ) -> Option<Version> {
        self.with_chain(space, key, |chain| changed(chain, since, newest))?
    }

    pub(crate) fn range_changed_since(
        &self,
        space: KeySpace,
        range: &KeyRange,
        since: Version,
        newest: Version,
    ) -> bool {
        if range.is_empty() {
            return false;
        }
        let ordered = self.spaces[space.index()].ordered.read();
        let mut nodes = ordered.range::<[u8], Bounds<'_>>(range.as_bounds());
        nodes.any(|(_, node)| changed(&node.chain.lock(), since, newest).is_some())
    }

    /// Shows `visit` the versions after `since`, published or not, of the keys of a range, until
    /// it answers. No lock is held while it runs.
    pub(crate) fn find_change<T>(
        &self,
        space: KeySpace,
        range: &KeyRange,
        since: Version,
        mut visit: impl FnMut(&[u8], Version, Option<&Val>) -> Option<T>,
    ) -> Option<T> {
        let mut rest = Some(range.clone()).filter(|range| !range.is_empty());
        while let Some(range) = rest.take() {
            let mut changed: Vec<(ShortKey, Chain)> = Vec::new();
            {
                let ordered = self.spaces[space.index()].ordered.read();
                let nodes = ordered.range::<[u8], Bounds<'_>>(range.as_bounds());
                for (at, (key, node)) in nodes.take(SWEEP_CHUNK).enumerate() {
                    let chain = node.chain.lock();
                    let newer = chain.iter().take_while(|entry| entry.version > since);
                    let newer = Chain::from_iter(newer.cloned());
                    if !newer.is_empty() {
                        changed.push((key.clone(), newer));
                    }
                    if at + 1 == SWEEP_CHUNK {
                        rest = Some(range.after(Key::copy_from_slice(key)));
                    }
                }
            }
            rest = rest.filter(|rest| !rest.is_empty());
            for (key, chain) in &changed {
                for entry in chain {
                    if let Some(answer) = visit(key, entry.version, entry.value.as_ref()) {
                        return Some(answer);
                    }
                }
            }
        }
        None
    }

    fn with_chain<T>(
        &self,
        space: KeySpace,
        key: &[u8],
        read: impl FnOnce(&Chain) -> T,
    ) -> Option<T> {
        let hash = self.hasher.hash_one(key);
        let table = self.spaces[space.index()].shard(hash).read();
        let node = table.find(hash, |node| node.key.as_slice() == key)?;
        let chain = node.chain.lock();
        Some(read(&chain))
    }

    /// Collects what a snapshot at `at` over a base of `base` sees in memory, deletes included,
    /// from at most `nodes_max` nodes. Returns what is left of the range, if anything.
    pub(crate) fn collect(
        &self,
        space: KeySpace,
        range: &KeyRange,
        reverse: bool,
        (base, at): (Version, Version),
        nodes_max: usize,
        out: &mut Vec<Item>,
    ) -> Option<KeyRange> {
        if range.is_empty() {
            return None;
        }
        let ordered = self.spaces[space.index()].ordered.read();
        let mut nodes = ordered.range::<[u8], Bounds<'_>>(range.as_bounds());
        let mut last = None;
        for _ in 0..nodes_max {
            let node = if reverse {
                nodes.next_back()
            } else {
                nodes.next()
            };
            let (key, node) = node?;
            let chain = node.chain.lock();
            let visible = chain.iter().find(|entry| entry.version <= at);
            if let Some(entry) = visible.filter(|entry| entry.version > base) {
                let (version, value) = (entry.version, entry.value.clone());
                drop(chain);
                out.push(Item {
                    key: Key::copy_from_slice(key),
                    version,
                    value,
                });
            }
            last = Some(key);
        }
        let last = Key::copy_from_slice(last?);
        Some(if reverse {
            range.before(last)
        } else {
            range.after(last)
        })
    }

    /// Whether anything at all is in memory for a space.
    pub(crate) fn is_space_empty(&self, space: KeySpace) -> bool {
        self.spaces[space.index()].ordered.read().is_empty()
    }

    /// Drops what no snapshot sees in memory any more; every base view, old or new, is at `floor`
    /// or later.
    pub(crate) fn sweep(&self, floor: Version, views: &Views) {
        for space in &self.spaces {
            let mut start: Bound<ShortKey> = Bound::Unbounded;
            loop {
                let chunk = space.nodes_from(&start, SWEEP_CHUNK);
                let Some(last) = chunk.last() else { break };
                start = Bound::Excluded(last.key.clone());
                for node in &chunk {
                    if self.sweep_node(node, floor, views) {
                        self.remove_if_in_base(space, node, floor);
                    }
                }
            }
        }
    }

    /// Shortens one chain; whether the base has all of it.
    fn sweep_node(&self, node: &Node, floor: Version, views: &Views) -> bool {
        let mut chain = node.chain.lock();
        if chain.len() > 1 {
            self.prune(&mut chain, views);
        }
        while chain.len() > 1 && chain.last().is_some_and(|entry| entry.version <= floor) {
            if let Some(entry) = chain.pop() {
                self.account(-1, 0, entry.bytes());
            }
        }
        if chain.len() > 1 {
            chain.shrink_to_fit();
        }
        chain.first().is_none_or(|head| head.version <= floor)
    }

    fn remove_if_in_base(&self, space: &Space, node: &Arc<Node>, floor: Version) {
        let mut table = space.shard(node.hash).write();
        let Ok(found) = table.find_entry(node.hash, |other| Arc::ptr_eq(other, node)) else {
            return;
        };
        // Nobody pushes while the shard is locked; look again, a push may have been quicker.
        if node
            .chain
            .lock()
            .first()
            .is_none_or(|head| head.version <= floor)
        {
            found.remove();
            self.forget(space, node);
        }
    }

    /// Takes a node, already out of its shard, out of the tree and the accounts.
    fn forget(&self, space: &Space, node: &Node) {
        space.ordered.write().remove(node.key.as_slice());
        let chain = node.chain.lock();
        let entries: u64 = chain.iter().map(Entry::bytes).sum();
        self.keys.fetch_sub(1, Ordering::Relaxed);
        let versions = -(chain.len() as i64);
        self.account(versions, 0, NODE_BYTES + node.key.len() as u64 + entries);
    }

    fn account(&self, versions: i64, added: u64, removed: u64) {
        self.versions.fetch_add(versions as u64, Ordering::Relaxed);
        self.bytes
            .fetch_add(added.wrapping_sub(removed), Ordering::Relaxed);
    }
}

impl Space {
    fn shard(&self, hash: u64) -> &RwLock<HashTable<Arc<Node>>> {
        // The table uses the low bits for places and the top seven for tags.
        &self.shards[(hash >> 40) as usize % SHARDS]
    }

    fn nodes_from(&self, start: &Bound<ShortKey>, count: usize) -> Vec<Arc<Node>> {
        let start = match start {
            Bound::Included(key) => Bound::Included(key.as_slice()),
            Bound::Excluded(key) => Bound::Excluded(key.as_slice()),
            Bound::Unbounded => Bound::Unbounded,
        };
        let ordered = self.ordered.read();
        let nodes = ordered.range::<[u8], Bounds<'_>>((start, Bound::Unbounded));
        nodes.take(count).map(|(_, node)| node.clone()).collect()
    }
}

impl Entry {
    fn bytes(&self) -> u64 {
        ENTRY_BYTES + self.value.as_ref().map_or(0, Val::len) as u64
    }
}

fn changed(chain: &Chain, since: Version, newest: Version) -> Option<Version> {
    let versions = chain.iter().map(|entry| entry.version);
    let mut seen = versions.filter(|version| *version <= newest);
    seen.next().filter(|version| *version > since)
}

#[cfg(test)]
mod tests;
