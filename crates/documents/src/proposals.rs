//! Filters that no index answered: what indexes would help.

use std::collections::HashMap;

use parking_lot::Mutex;
use tessera_types::RelationId;

use crate::collection::Collection;
use crate::filter::Filter;
use crate::order::Sort;
use crate::query::Found;

/// Shapes that are remembered; the least scanned one makes room.
pub const PROPOSALS_MAX: usize = 256;

/// An index that would have answered queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The collection.
    pub collection: RelationId,
    /// Paths of the index: first those compared for equality, then those of the sort or of
    /// ranges; with whether they descend.
    pub paths: Vec<(String, bool)>,
    /// Queries that read every document.
    pub times: u64,
    /// Documents that they read.
    pub scanned: u64,
}

/// The shape of a query: collection and paths, without values.
type Shape = (RelationId, Vec<(String, bool)>);

/// Counts full scans by the shape of their query. Shared by all sessions; in memory only.
#[derive(Debug, Default)]
pub struct Proposals {
    seen: Mutex<HashMap<Shape, (u64, u64)>>,
}

impl Proposals {
    /// Nothing seen yet.
    pub fn new() -> Proposals {
        Proposals::default()
    }

    /// Notes a query that was answered, if it read every document although it has a filter or a
    /// sort that an index could serve.
    pub fn note(&self, found: &Found) {
        if found.was_full_scan() {
            let (collection, filter, sort) = found.asked();
            self.add(collection, filter, sort, found.examined());
        }
    }

    fn add(&self, collection: &Collection, filter: &Filter, sort: &Sort, scanned: u64) {
        let shape = filter.shape();
        let mut paths: Vec<(String, bool)> = shape
            .equal
            .iter()
            .map(|path| (path.clone(), false))
            .collect();
        let sorted = sort.fields.iter().filter(|field| !field.path.is_id());
        paths.extend(
            sorted
                .map(|field| (field.path.as_str().to_owned(), field.descending))
                .filter(|(path, _)| !shape.equal.contains(path)),
        );
        if sort.is_empty() {
            paths.extend(
                shape
                    .ranges
                    .iter()
                    .take(1)
                    .map(|path| (path.clone(), false)),
            );
        }
        paths.truncate(crate::definition::INDEX_FIELDS_MAX);
        if paths.is_empty() {
            return;
        }
        let key = (collection.def().id, paths);
        let mut seen = self.seen.lock();
        if seen.len() >= PROPOSALS_MAX && !seen.contains_key(&key) {
            let least = seen
                .iter()
                .min_by_key(|(_, (_, scanned))| *scanned)
                .map(|(key, _)| key.clone());
            if let Some(least) = least {
                seen.remove(&least);
            }
        }
        let (times, total) = seen.entry(key).or_default();
        *times += 1;
        *total = total.saturating_add(scanned);
    }

    /// What was seen, most scanned first.
    pub fn list(&self) -> Vec<Proposal> {
        let mut list: Vec<Proposal> = self
            .seen
            .lock()
            .iter()
            .map(|((collection, paths), (times, scanned))| Proposal {
                collection: *collection,
                paths: paths.clone(),
                times: *times,
                scanned: *scanned,
            })
            .collect();
        list.sort_by(|a, b| (b.scanned, b.times, &a.paths).cmp(&(a.scanned, a.times, &b.paths)));
        list
    }

    /// Forgets what was seen of a collection, after an index was made or it was dropped.
    pub fn forget(&self, collection: RelationId) {
        self.seen.lock().retain(|(id, _), _| *id != collection);
    }
}
