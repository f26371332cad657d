//! A key space: its relation, its counts, and the numbers for new generations.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hashbrown::HashMap;
use tessera_storage::{Key, KeySpace};
use tessera_transactions::{Transaction, Transactions, TxnView};
use tessera_types::{RelationId, TxnId};

use crate::counters::Counters;
use crate::error::{Result, malformed};
use crate::layout::{
    Generation, expired_range, key_of_record, parse_expiry_key, record_key, records_range,
};
use crate::prefixes::{Delta, Footprint, Known, PrefixFootprint, PrefixTree};
use crate::record::Record;
use crate::rows::{Rows, Walk};
use crate::scan::Cursors;
use crate::time::UnixMillis;

/// How often a count is taken again because commits came between; then it is answered as it is.
const COUNT_ATTEMPTS_MAX: usize = 64;

/// Properties of a key space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceOptions {
    /// Ends the levels of a key.
    pub separator: u8,
    /// Prefixes that are counted all the time; further ones are counted by a scan when asked for.
    pub prefixes_max: usize,
}

impl Default for SpaceOptions {
    fn default() -> SpaceOptions {
        SpaceOptions {
            separator: b':',
            prefixes_max: 100_000,
        }
    }
}

/// A key space (a Redis database, or a named one). Cheap to share; one per relation and process.
#[derive(Debug)]
pub struct Space {
    relation: RelationId,
    options: SpaceOptions,
    transactions: Arc<Transactions>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) cursors: Cursors,
    /// Makes generations of one transaction differ.
    next_generation: AtomicU32,
}

impl Space {
    /// Opens a key space and counts its keys (one scan of the records, not of what is below them).
    /// Nobody may write to it until this is done.
    pub async fn open(
        transactions: &Arc<Transactions>,
        relation: RelationId,
        options: SpaceOptions,
    ) -> Result<Arc<Space>> {
        let mut tree = PrefixTree::new(options.separator, options.prefixes_max);
        let view = transactions.view();
        let range = records_range(relation, b"");
        let mut rows = Rows::new(&view, KeySpace::Rows, range, Walk::ALL.options());
        while let Some((record_key, value)) = rows.next().await? {
            let key = key_of_record(&record_key);
            tree.apply(&key, footprint_of(&key, &Record::decode(&value)?));
        }
        Ok(Arc::new(Space {
            relation,
            options,
            transactions: Arc::clone(transactions),
            counters: Arc::new(Counters::new(tree)),
            cursors: Cursors::default(),
            next_generation: AtomicU32::new(0),
        }))
    }

    /// The relation that its keys are stored and locked under.
    pub fn relation(&self) -> RelationId {
        self.relation
    }

    /// What it was opened with.
    pub fn options(&self) -> &SpaceOptions {
        &self.options
    }

    /// The transactions that it is written in.
    pub fn transactions(&self) -> &Arc<Transactions> {
        &self.transactions
    }

    pub(crate) fn fresh_generation(&self, txn: TxnId) -> Generation {
        Generation::new(txn, self.next_generation.fetch_add(1, Ordering::Relaxed))
    }

    /// Keys and bytes of the whole space now (DBSIZE): what is committed, and what `txn` itself has
    /// written. Keys that have expired do not count, reclaimed or not.
    ///
    /// Costs nothing but a look at the keys that have expired and are not reclaimed yet.
    pub async fn footprint(&self, txn: Option<&Transaction>, now: UnixMillis) -> Result<Footprint> {
        self.prefix_footprint(b"", txn, now).await
    }

    /// Keys and bytes below a prefix. Costs as little for prefixes that end with the separator;
    /// others are counted by a scan of the records that begin with it.
    pub async fn prefix_footprint(
        &self,
        prefix: &[u8],
        txn: Option<&Transaction>,
        now: UnixMillis,
    ) -> Result<Footprint> {
        let (known, view, is_stable) = self.at_one_moment(txn, |c| c.known(prefix)).await;
        match known {
            Known::Exactly(footprint) if is_stable => {
                self.living(footprint, &view, prefix, txn, now).await
            }
            Known::Exactly(_) | Known::No => self.scan_footprint(prefix, txn, now).await,
        }
    }

    /// The prefixes one level below `parent` (empty, or ending with the separator), those with most
    /// committed keys first, at most `limit`; and whether these are all there are.
    pub async fn prefixes(
        &self,
        parent: &[u8],
        limit: usize,
        now: UnixMillis,
    ) -> Result<(Vec<PrefixFootprint>, bool)> {
        let ((mut children, mut is_whole), view, _) =
            self.at_one_moment(None, |c| c.children(parent)).await;
        let places: HashMap<Vec<u8>, usize> = (children.iter().enumerate())
            .map(|(at, child)| (child.prefix.clone(), at))
            .collect();
        let mut expired = self.expired(&view, now);
        while let Some((key, record)) = expired.next().await? {
            let below = key.strip_prefix(parent);
            let end = below.and_then(|below| memchr(self.options.separator, below));
            let child = end.and_then(|end| key.get(..=parent.len() + end));
            if let Some(at) = child.and_then(|child| places.get(child)) {
                let gone = footprint_of(&key, &record).negated();
                children[*at].footprint.apply(gone);
            }
        }
        children.retain(|child| child.footprint.keys > 0);
        children.sort_by(|a, b| {
            (b.footprint.keys.cmp(&a.footprint.keys)).then_with(|| a.prefix.cmp(&b.prefix))
        });
        if children.len() > limit {
            children.truncate(limit);
            is_whole = false;
        }
        Ok((children, is_whole))
    }

    /// Reads counts together with a view of the same moment; whether that worked.
    async fn at_one_moment<T>(
        &self,
        txn: Option<&Transaction>,
        read: impl Fn(&Counters) -> T,
    ) -> (T, Arc<TxnView>, bool) {
        let mut attempts = 0;
        loop {
            let before = self.counters.version();
            let counts = read(&self.counters);
            let view = self.newest(txn);
            let is_stable = self.counters.version() == before && view.version() >= before;
            attempts += 1;
            if is_stable || attempts == COUNT_ATTEMPTS_MAX {
                return (counts, view, is_stable);
            }
            // A commit is just becoming visible.
            tokio::task::yield_now().await;
        }
    }

    /// Stored keys that have expired.
    fn expired(&self, view: &Arc<TxnView>, now: UnixMillis) -> Expired {
        let range = expired_range(self.relation, now);
        Expired {
            relation: self.relation,
            view: Arc::clone(view),
            rows: Rows::new(view, KeySpace::Indexes, range, Walk::KEYS.options()),
        }
    }

    /// Everything committed by now, and the transaction's own writes. Counts are no part of what a
    /// serializable transaction has read.
    fn newest(&self, txn: Option<&Transaction>) -> Arc<TxnView> {
        match txn {
            Some(txn) => txn.newest_view_unrecorded(),
            None => self.transactions.view(),
        }
    }

    /// Takes what has expired out of a count, and adds what the transaction itself has done.
    async fn living(
        &self,
        mut footprint: Footprint,
        view: &Arc<TxnView>,
        prefix: &[u8],
        txn: Option<&Transaction>,
        now: UnixMillis,
    ) -> Result<Footprint> {
        if let Some(txn) = txn {
            footprint.apply(self.counters.pending(txn.id(), prefix));
        }
        let mut expired = self.expired(view, now);
        while let Some((key, record)) = expired.next().await? {
            if key.starts_with(prefix) {
                footprint.apply(footprint_of(&key, &record).negated());
            }
        }
        Ok(footprint)
    }

    async fn scan_footprint(
        &self,
        prefix: &[u8],
        txn: Option<&Transaction>,
        now: UnixMillis,
    ) -> Result<Footprint> {
        let mut footprint = Footprint::default();
        let view = self.newest(txn);
        let range = records_range(self.relation, prefix);
        let mut rows = Rows::new(&view, KeySpace::Rows, range, Walk::ALL.options());
        while let Some((record_key, value)) = rows.next().await? {
            let record = Record::decode(&value)?;
            if !record.is_expired(now) {
                footprint.apply(footprint_of(&key_of_record(&record_key), &record));
            }
        }
        Ok(footprint)
    }
}

/// A walk over stored keys that have expired.
struct Expired {
    relation: RelationId,
    view: Arc<TxnView>,
    rows: Rows,
}

impl Expired {
    async fn next(&mut self) -> Result<Option<(Key, Record)>> {
        while let Some((entry, _)) = self.rows.next().await? {
            let (_, key) =
                parse_expiry_key(&entry).ok_or_else(|| malformed("entry of the expiry index"))?;
            let record_key = record_key(self.relation, &key);
            if let Some(value) = self.view.get(KeySpace::Rows, &record_key).await? {
                return Ok(Some((key, Record::decode(&value)?)));
            }
        }
        Ok(None)
    }
}

fn memchr(wanted: u8, bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == wanted)
}

/// What a stored record adds to the counts.
pub(crate) fn footprint_of(key: &[u8], record: &Record) -> Delta {
    // Both are far below 2^63.
    let bytes = (key.len() as u64).saturating_add(record.body.bytes());
    Delta {
        keys: 1,
        expiring: i64::from(record.expires.is_some()),
        bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
    }
}
