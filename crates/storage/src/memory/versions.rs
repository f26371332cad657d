//! One key space of the memory engine: keys in order, each with its versions, newest first.

use std::collections::BTreeMap;
use std::ops::Bound;

use smallvec::SmallVec;
use tessera_types::Version;

use crate::live::LiveVersions;
use crate::range::KeyRange;
use crate::store::{Key, Val};

/// Estimated bytes of a key in the map beside its own bytes and those of its values.
const KEY_OVERHEAD_BYTES: u64 = 96;

/// A value (or its absence) and since when it holds.
type Entry = (Version, Option<Val>);

/// Versions of one key, newest first, never empty.
type Chain = SmallVec<[Entry; 1]>;

#[derive(Debug, Default)]
pub(crate) struct Versions {
    chains: BTreeMap<Key, Chain>,
}

impl Versions {
    pub(crate) const fn new() -> Versions {
        Versions {
            chains: BTreeMap::new(),
        }
    }

    /// The value that a snapshot at `at` sees.
    pub(crate) fn get(&self, key: &[u8], at: Version) -> Option<Val> {
        visible(self.chains.get(key)?, at).cloned()
    }

    /// The rows that a snapshot at `at` sees, in order, until `take` says no.
    pub(crate) fn scan(
        &self,
        range: &KeyRange,
        at: Version,
        reverse: bool,
        mut take: impl FnMut(&Key, &Val) -> bool,
    ) {
        if range.is_empty() {
            return;
        }
        let rows = self
            .chains
            .range::<[u8], (Bound<&[u8]>, Bound<&[u8]>)>(range.as_bounds());
        let mut visit = |(key, chain): (&Key, &Chain)| match visible(chain, at) {
            Some(value) => take(key, value),
            None => true,
        };
        if reverse {
            rows.rev().all(&mut visit);
        } else {
            let mut rows = rows;
            rows.all(&mut visit);
        }
    }

    /// The keys that a snapshot at `at` sees.
    pub(crate) fn keys(&self, range: &KeyRange, at: Version) -> Vec<Key> {
        let mut keys = Vec::new();
        self.scan(range, at, false, |key, _| {
            keys.push(key.clone());
            true
        });
        keys
    }

    /// The newest version of the key in `since..=newest`, `since` left out.
    pub(crate) fn changed_since(
        &self,
        key: &[u8],
        since: Version,
        newest: Version,
    ) -> Option<Version> {
        changed(self.chains.get(key)?, since, newest)
    }

    /// The versions after `since` of the keys of a range, in key order.
    pub(crate) fn changes(
        &self,
        range: &KeyRange,
        since: Version,
    ) -> impl Iterator<Item = (&Key, Version, Option<&Val>)> {
        // A range without keys must not reach the map, which refuses it.
        let range = (!range.is_empty()).then(|| range.as_bounds());
        let chains = range.map(|bounds| {
            self.chains
                .range::<[u8], (Bound<&[u8]>, Bound<&[u8]>)>(bounds)
        });
        chains.into_iter().flatten().flat_map(move |(key, chain)| {
            let newer = chain
                .iter()
                .take_while(move |(version, _)| *version > since);
            newer.map(move |(version, value)| (key, *version, value.as_ref()))
        })
    }

    pub(crate) fn range_changed_since(
        &self,
        range: &KeyRange,
        since: Version,
        newest: Version,
    ) -> bool {
        !range.is_empty()
            && self
                .chains
                .range::<[u8], (Bound<&[u8]>, Bound<&[u8]>)>(range.as_bounds())
                .any(|(_, chain)| changed(chain, since, newest).is_some())
    }

    /// Adds the newest version of a key, or replaces it when it is of the same commit. Says
    /// whether the key now has something that will be garbage.
    pub(crate) fn insert(
        &mut self,
        key: Key,
        version: Version,
        value: Option<Val>,
        live: &LiveVersions,
    ) -> bool {
        let chain = self.chains.entry(key).or_default();
        match chain.first_mut() {
            Some((newest, old)) if *newest == version => *old = value,
            _ => chain.insert(0, (version, value)),
        }
        // Everything behind the second entry was replaced before this commit.
        retain_visible(chain, 1, live);
        chain.len() > 1 || chain[0].1.is_none()
    }

    /// Drops the versions of a key that nobody can see any more, and the key when nothing is left.
    /// Says whether garbage may be left for later.
    pub(crate) fn prune(&mut self, key: &Key, newest: Version, live: &LiveVersions) -> bool {
        let Some(chain) = self.chains.get_mut(key) else {
            return false;
        };
        if chain[0].0 <= newest {
            retain_visible(chain, 0, live);
        }
        let oldest = live.oldest().unwrap_or(newest);
        if chain.len() == 1 && chain[0].1.is_none() && chain[0].0 <= oldest {
            self.chains.remove(key);
            return false;
        }
        chain.len() > 1 || chain[0].1.is_none()
    }

    /// What a snapshot at `at` sees, as a map of its own.
    pub(crate) fn as_of(&self, at: Version) -> Versions {
        let mut chains = BTreeMap::new();
        for (key, chain) in &self.chains {
            let entry = chain.iter().find(|(version, _)| *version <= at);
            if let Some(entry) = entry.filter(|(_, value)| value.is_some()) {
                chains.insert(key.clone(), Chain::from_iter([entry.clone()]));
            }
        }
        Versions { chains }
    }

    /// Keys, versions, estimated bytes.
    pub(crate) fn sizes(&self) -> (u64, u64, u64) {
        self.chains
            .iter()
            .fold((0, 0, 0), |(keys, versions, bytes), (key, chain)| {
                let values: usize = chain
                    .iter()
                    .map(|(_, v)| v.as_ref().map_or(0, Val::len))
                    .sum();
                let chain_bytes = (key.len() + values) as u64 + KEY_OVERHEAD_BYTES;
                (keys + 1, versions + chain.len() as u64, bytes + chain_bytes)
            })
    }
}

fn visible(chain: &Chain, at: Version) -> Option<&Val> {
    chain.iter().find(|(version, _)| *version <= at)?.1.as_ref()
}

fn changed(chain: &Chain, since: Version, newest: Version) -> Option<Version> {
    let versions = chain.iter().map(|(version, _)| *version);
    let mut seen = versions.filter(|version| *version <= newest);
    seen.next().filter(|version| *version > since)
}

/// Keeps the first `keep + 1` entries and of the others those that a live snapshot sees.
fn retain_visible(chain: &mut Chain, keep: usize, live: &LiveVersions) {
    let mut replaced_at = Version::MAX;
    let mut index = 0;
    chain.retain(|(version, _)| {
        let keeps = index <= keep || live.any_within(*version, replaced_at);
        replaced_at = *version;
        index += 1;
        keeps
    });
}
