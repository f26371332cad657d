//! Documents along a way, batch by batch, before the filter.

use std::collections::VecDeque;
use std::sync::Arc;

use tessera_storage::{Key, KeyRange, KeySpace, Row, Scan, ScanOptions, Snapshot};

use crate::collection::Collection;
use crate::document::{Document, DocumentId, document_key};
use crate::error::{DocumentError, Result};
use crate::query::plan::{Access, Plan};

/// Documents read by id at once.
pub(super) const BATCH_DOCUMENTS_MAX: usize = 256;
/// As many at first: an answer may need no more. Each batch after it has twice as many.
const BATCH_DOCUMENTS_FIRST: usize = 32;

/// A reader of candidates.
pub(crate) struct Source {
    collection: Arc<Collection>,
    view: Arc<dyn Snapshot>,
    state: State,
    /// Documents read so far.
    examined: u64,
}

enum State {
    Rows(Box<dyn Scan>),
    Ids(VecDeque<DocumentId>),
    Index(IndexState),
}

struct IndexState {
    index: usize,
    /// Those not yet read.
    ranges: VecDeque<KeyRange>,
    /// All, to know the first entry of a document among them.
    all: Vec<KeyRange>,
    scan: Option<Box<dyn Scan>>,
    /// Entries whose documents were not read yet.
    pending: VecDeque<Row>,
    /// How many are read next.
    batch: usize,
    reverse: bool,
    repeats: bool,
}

impl Source {
    pub(crate) fn new(
        collection: &Arc<Collection>,
        view: Arc<dyn Snapshot>,
        plan: &Plan,
    ) -> Source {
        let state = match &plan.access {
            Access::Ids(ids) => State::Ids(ids.iter().cloned().collect()),
            Access::Rows { range, reverse } => State::Rows(Arc::clone(&view).scan(
                KeySpace::Rows,
                range.clone(),
                ScanOptions {
                    reverse: *reverse,
                    ..ScanOptions::default()
                },
            )),
            Access::Index {
                index,
                ranges,
                reverse,
                repeats,
                ..
            } => State::Index(IndexState {
                index: *index,
                ranges: ranges.iter().cloned().collect(),
                all: if *repeats { ranges.clone() } else { Vec::new() },
                scan: None,
                pending: VecDeque::new(),
                batch: BATCH_DOCUMENTS_FIRST,
                reverse: *reverse,
                repeats: *repeats,
            }),
        };
        Source {
            collection: Arc::clone(collection),
            view,
            state,
            examined: 0,
        }
    }

    /// Documents read so far.
    pub(crate) fn examined(&self) -> u64 {
        self.examined
    }

    /// The next candidates, perhaps none; `None` at the end.
    pub(crate) async fn next_batch(&mut self) -> Result<Option<Vec<Document>>> {
        let batch = match &mut self.state {
            State::Rows(scan) => match scan.next_batch().await? {
                None => return Ok(None),
                Some(rows) => rows
                    .into_iter()
                    .map(|(key, value)| Document::from_stored(&key, value))
                    .collect::<Result<Vec<_>>>()?,
            },
            State::Ids(ids) => {
                if ids.is_empty() {
                    return Ok(None);
                }
                let count = ids.len().min(BATCH_DOCUMENTS_MAX);
                let ids: Vec<DocumentId> = ids.drain(..count).collect();
                let found = read(&self.collection, &*self.view, &ids).await?;
                found.into_iter().flatten().collect()
            }
            State::Index(state) => {
                let Some(entries) = state.next_entries(&self.collection, &self.view).await? else {
                    return Ok(None);
                };
                state
                    .documents(&self.collection, &*self.view, entries)
                    .await?
            }
        };
        self.examined += batch.len() as u64;
        Ok(Some(batch))
    }
}

/// The documents of several ids, in their order.
async fn read(
    collection: &Collection,
    view: &dyn Snapshot,
    ids: &[DocumentId],
) -> Result<Vec<Option<Document>>> {
    let storage = collection.def().id;
    let keys: Vec<(KeySpace, Key)> = ids
        .iter()
        .map(|id| (KeySpace::Rows, document_key(storage, id.as_str())))
        .collect();
    let values = view.get_many(&keys).await?;
    keys.iter()
        .zip(values)
        .map(|((_, key), value)| {
            value
                .map(|value| Document::from_stored(key, value))
                .transpose()
        })
        .collect()
}

impl IndexState {
    async fn next_entries(
        &mut self,
        collection: &Collection,
        view: &Arc<dyn Snapshot>,
    ) -> Result<Option<Vec<Row>>> {
        // Short ranges are gathered, so that their documents are read together.
        while self.pending.len() < self.batch {
            let scan = match &mut self.scan {
                Some(scan) => scan,
                None => {
                    let Some(range) = self.ranges.pop_front() else {
                        break;
                    };
                    debug_assert!(!collection.indexes().is_empty(), "the plan names an index");
                    let options = ScanOptions {
                        reverse: self.reverse,
                        bytes_max: 16 * 1024,
                        ..ScanOptions::default()
                    };
                    let scan = Arc::clone(view).scan(KeySpace::Indexes, range, options);
                    self.scan.insert(scan)
                }
            };
            match scan.next_batch().await? {
                None => self.scan = None,
                Some(rows) => self.pending.extend(rows),
            }
        }
        let count = self.pending.len().min(self.batch);
        self.batch = (self.batch * 2).min(BATCH_DOCUMENTS_MAX);
        Ok((count > 0).then(|| self.pending.drain(..count).collect()))
    }

    /// `&mut`, for a scan under way cannot be shared.
    async fn documents(
        &mut self,
        collection: &Collection,
        view: &dyn Snapshot,
        entries: Vec<Row>,
    ) -> Result<Vec<Document>> {
        let index = &collection.indexes()[self.index];
        let mut ids = Vec::with_capacity(entries.len());
        for (key, value) in &entries {
            ids.push(index.id_of(key, value)?);
        }
        let found = read(collection, view, &ids).await?;
        let mut documents = Vec::with_capacity(found.len());
        for (document, (key, _)) in found.into_iter().zip(&entries) {
            let document = document.ok_or_else(|| DocumentError::IndexMismatch {
                index: index.name().to_owned(),
            })?;
            if !self.repeats || self.is_first(collection, &document, key)? {
                documents.push(document);
            }
        }
        Ok(documents)
    }

    /// Of several entries of a document in the ranges only the first one read counts, so nothing
    /// has to be remembered.
    fn is_first(&self, collection: &Collection, document: &Document, key: &Key) -> Result<bool> {
        let index = &collection.indexes()[self.index];
        let set = index.entries(&document.subject()?, document.id().as_str())?;
        let place = |key: &Key| self.all.iter().position(|range| range.contains(key));
        let mut first: Option<(usize, &Key)> = None;
        for entry in &set.entries {
            let Some(at) = place(&entry.key) else {
                continue;
            };
            let is_earlier = first.is_none_or(|(range, key)| match at.cmp(&range) {
                std::cmp::Ordering::Equal if self.reverse => entry.key > *key,
                std::cmp::Ordering::Equal => entry.key < *key,
                order => order.is_lt(),
            });
            if is_earlier {
                first = Some((at, &entry.key));
            }
        }
        Ok(first.is_some_and(|(_, first)| first == key))
    }
}
