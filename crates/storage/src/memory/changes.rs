//! Commits of the memory engine, kept in memory for those who follow them, as many as fit.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tessera_types::Version;

use crate::batch::Write;
use crate::changes::{ChangeItem, ChangeReader, Reach, Wake, Watching, folded};
use crate::error::StoreError;
use crate::memory::Inner;
use crate::range::KeySpace;
use crate::store::Key;

/// The newest commits.
#[derive(Default)]
pub(crate) struct Ring {
    commits: VecDeque<(Version, Arc<[ChangeItem]>)>,
    bytes: usize,
    /// Commits after this version are there.
    oldest: Version,
}

impl Ring {
    pub(crate) fn new(newest: Version) -> Ring {
        Ring {
            oldest: newest,
            ..Ring::default()
        }
    }

    pub(crate) fn push(&mut self, version: Version, items: Vec<ChangeItem>, bytes_max: usize) {
        self.bytes += size(&items);
        self.commits.push_back((version, items.into()));
        while self.bytes > bytes_max
            && let Some((version, items)) = self.commits.pop_front()
        {
            self.bytes -= size(&items);
            self.oldest = version;
        }
    }

    pub(crate) fn oldest(&self) -> Version {
        self.oldest
    }

    /// The first commit after a version.
    fn after(&self, version: Version) -> Result<Option<(Version, Arc<[ChangeItem]>)>, StoreError> {
        if version < self.oldest {
            return Err(StoreError::ChangesCut {
                after: version,
                oldest: self.oldest,
            });
        }
        let at = self.commits.partition_point(|(known, _)| *known <= version);
        Ok(self.commits.get(at).cloned())
    }
}

fn size(items: &[ChangeItem]) -> usize {
    items.iter().map(ChangeItem::bytes).sum()
}

/// The writes of runs, oldest first, and of the batch, as one: sorted, each key once.
pub(crate) fn merged(
    parts: impl Iterator<Item = (KeySpace, Key, Write)>,
) -> impl Iterator<Item = (KeySpace, Key, Write)> {
    let mut all: BTreeMap<(KeySpace, Key), (Write, Write)> = BTreeMap::new();
    for (space, key, write) in parts {
        all.entry((space, key))
            .and_modify(|(_, newest)| newest.clone_from(&write))
            .or_insert_with(|| (write.clone(), write));
    }
    all.into_iter()
        .filter_map(|((space, key), (oldest, newest))| Some((space, key, folded(&oldest, newest)?)))
}

pub(crate) struct MemoryChanges {
    inner: Arc<Inner>,
    reach: Reach,
    position: Version,
    /// The commit under way, and how many of its pieces were given.
    open: Option<(Version, Arc<[ChangeItem]>, usize)>,
    wake: Arc<Wake>,
    _watching: Watching,
}

impl MemoryChanges {
    pub(crate) fn open(
        inner: &Arc<Inner>,
        after: Version,
        reach: Reach,
    ) -> Result<MemoryChanges, StoreError> {
        inner.ring.lock().after(after)?;
        let wake = Arc::new(Wake::default());
        Ok(MemoryChanges {
            reach,
            position: after,
            open: None,
            _watching: inner.watch(wake.clone()),
            wake,
            inner: inner.clone(),
        })
    }

    fn limit(&self) -> Version {
        match self.reach {
            Reach::Visible => self.inner.newest(),
            Reach::Durable => self.inner.durable(),
        }
    }
}

impl ChangeReader for MemoryChanges {
    fn next_items(&mut self, bytes_max: usize) -> Result<Vec<ChangeItem>, StoreError> {
        let mut items = Vec::new();
        let mut bytes = 0;
        while bytes < bytes_max {
            let Some((version, commit, at)) = &mut self.open else {
                let next = self.inner.ring.lock().after(self.position)?;
                match next.filter(|(version, _)| *version <= self.limit()) {
                    Some((version, commit)) => self.open = Some((version, commit, 0)),
                    None => break,
                }
                continue;
            };
            let item = commit[*at].clone();
            *at += 1;
            if *at == commit.len() {
                self.position = *version;
                self.open = None;
            }
            bytes += item.bytes();
            items.push(item);
        }
        Ok(items)
    }

    fn changed(&mut self) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            loop {
                if self.open.is_some() || self.position < self.limit() {
                    return Ok(());
                }
                if self.inner.is_closed() {
                    return Err(StoreError::Unavailable {
                        reason: "the store is closed",
                    });
                }
                self.wake.notify.notified().await;
            }
        }
        .boxed()
    }
}

/// Shared between commits and readers.
pub(crate) type SharedRing = Mutex<Ring>;
