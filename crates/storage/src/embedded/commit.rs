//! The way of a batch: admit, check, give it a version, wait for the log, publish.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::FutureExt;
use futures::channel::oneshot;
use parking_lot::Mutex;
use tessera_types::{TxnId, Version};

use crate::batch::{CommitOutcome, Durability, Publish, WriteBatch};
use crate::embedded::core::Core;
use crate::embedded::publish::Slot;
use crate::embedded::record;
use crate::embedded::run::{CommittedRun, RunFile};
use crate::embedded::snapshot::{EmbeddedSnapshot, exists_in};
use crate::embedded::views::{Additions, Destroyed};
use crate::error::{Conflict, StoreError};
use crate::limits::check_batch;
use crate::range::{KeyRange, KeySpace};
use crate::store::Key;

/// Gives out versions. Conditions are checked and writes enter memory under its lock, so a later
/// batch sees every earlier one, published or not.
#[derive(Default)]
pub(crate) struct Sequencer {
    lock: Mutex<()>,
    /// Runs of commits that are not published yet.
    pending_runs: Mutex<VecDeque<(Version, Arc<RunFile>)>>,
}

impl Sequencer {
    /// The runs of this commit are published, or never will be.
    pub(crate) fn forget_runs(&self, version: Version) {
        self.pending_runs
            .lock()
            .retain(|(pending, _)| *pending != version);
    }

    fn pending_runs(&self) -> Vec<(Version, Arc<RunFile>)> {
        self.pending_runs.lock().iter().cloned().collect()
    }
}

/// Commits a batch.
pub(crate) async fn commit(
    core: Arc<Core>,
    batch: WriteBatch,
    before_publish: Option<Publish>,
) -> CommitOutcome {
    if batch.is_trivial() && before_publish.is_none() {
        return CommitOutcome::Committed(core.views.newest());
    }
    let admitted = async {
        core.check_writable()?;
        check_batch(&core.capabilities, &batch)?;
        core.pressure.admit(&core).await?;
        core.check_space(batch.bytes() as u64)
    };
    let ticket = match admitted
        .await
        .and_then(|()| submit(&core, batch, before_publish))
    {
        Ok(ticket) => ticket,
        Err(error) => {
            if matches!(error, StoreError::Conflict { .. }) {
                core.counters.conflicts.fetch_add(1, Ordering::Relaxed);
            }
            return CommitOutcome::Aborted(error);
        }
    };
    ticket.finish().await
}

/// Empties a range.
pub(crate) fn destroy_range(
    core: &Arc<Core>,
    space: KeySpace,
    range: KeyRange,
) -> Result<(), StoreError> {
    core.check_writable()?;
    let payload = record::encode_destroy(space, &range);
    let (answer, receiver) = oneshot::channel();
    let version = {
        let _in_order = core.sequencer.lock.lock();
        let version = core.enqueue(payload)?;
        let destroyed = Some(Destroyed {
            version,
            space,
            range,
        });
        core.publisher.push(Slot {
            version,
            txn: TxnId::default(),
            durable: false,
            accepted: false,
            writes: Vec::new(),
            additions: Additions {
                runs: Vec::new(),
                destroyed,
            },
            before_publish: None,
            answer,
        });
        version
    };
    // Nearly always done at once; what is left is done by the finisher.
    let txn = TxnId::default();
    let core = core.clone();
    let ticket = Ticket {
        core,
        version,
        txn,
        durable: false,
        receiver,
        is_known: false,
    };
    let _ = ticket.finish().now_or_never();
    Ok(())
}

/// Gives the batch its version and its place in the log.
fn submit(
    core: &Arc<Core>,
    batch: WriteBatch,
    before_publish: Option<Publish>,
) -> Result<Ticket, StoreError> {
    let runs = find_runs(core, &batch)?;
    let references: Vec<_> = runs.iter().map(|run| run.reference()).collect();
    let payload = record::encode_commit(batch.txn, batch.origin, &references, &batch.writes);
    // Reads of the base happen before the lock; under it only what came later is looked at.
    let checked = Conditions::check(core, &batch)?;
    let durable = batch.durability == Durability::Durable;
    let (answer, receiver) = oneshot::channel();
    let version = {
        let _in_order = core.sequencer.lock.lock();
        checked.recheck(core, &batch)?;
        runs.iter().for_each(|run| run.keep());
        let version = match core.enqueue(payload) {
            Ok(version) => version,
            Err(error) => {
                runs.iter().for_each(|run| run.discard());
                return Err(error);
            }
        };
        for (space, key, write) in &batch.writes {
            core.recent
                .insert(*space, key, version, write.value().cloned(), &core.views);
        }
        if !runs.is_empty() {
            let mut pending = core.sequencer.pending_runs.lock();
            pending.extend(runs.iter().map(|run| (version, run.clone())));
        }
        let committed = runs
            .into_iter()
            .map(|file| Arc::new(CommittedRun { version, file }));
        core.publisher.push(Slot {
            version,
            txn: batch.txn,
            durable,
            accepted: false,
            writes: batch.writes,
            additions: Additions {
                runs: committed.collect(),
                destroyed: None,
            },
            before_publish,
            answer,
        });
        version
    };
    fail::fail_point!("storage::commit::after_enqueue");
    let core = core.clone();
    Ok(Ticket {
        core,
        version,
        txn: batch.txn,
        durable,
        receiver,
        is_known: false,
    })
}

fn find_runs(core: &Core, batch: &WriteBatch) -> Result<Vec<Arc<RunFile>>, StoreError> {
    let missing = StoreError::Unavailable {
        reason: "a run of the batch is not there",
    };
    let find = |id: &_| core.runs.find(*id).ok_or_else(|| missing.clone());
    batch.runs.iter().map(find).collect()
}

/// A commit that has its version. Dropping it does not stop the commit.
struct Ticket {
    core: Arc<Core>,
    version: Version,
    txn: TxnId,
    durable: bool,
    receiver: oneshot::Receiver<CommitOutcome>,
    /// The log's answer has arrived; whoever publishes comes by this commit by itself.
    is_known: bool,
}

impl Ticket {
    async fn finish(mut self) -> CommitOutcome {
        let Some(log) = &self.core.log else {
            return CommitOutcome::Unknown(self.txn);
        };
        let answer = log.wait(self.version, self.durable).await;
        fail::fail_point!("storage::commit::after_durable");
        if !self.durable && answer.is_ok() {
            self.core.publisher.accept(self.version);
        }
        self.is_known = true;
        self.core.publisher.advance(&self.core);
        match (&mut self.receiver).await {
            Ok(outcome) => outcome,
            Err(oneshot::Canceled) => CommitOutcome::Unknown(self.txn),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.is_known {
            self.core
                .finisher
                .finish(&self.core, self.version, self.durable);
        }
    }
}

/// The conditions of a batch, as they stood at a snapshot.
struct Conditions {
    /// Held until the check under the lock, so that nothing it needs is forgotten.
    snapshot: Option<EmbeddedSnapshot>,
    /// For each key of `must_not_exist`: whether it existed.
    existed: Vec<bool>,
}

impl Conditions {
    fn check(core: &Arc<Core>, batch: &WriteBatch) -> Result<Conditions, StoreError> {
        if batch.must_not_exist.is_empty() {
            return Ok(Conditions {
                snapshot: None,
                existed: Vec::new(),
            });
        }
        let snapshot = EmbeddedSnapshot::open(core);
        let exists = |(space, key): &(KeySpace, Key)| Ok(snapshot.read(*space, key)?.is_some());
        let existed = batch
            .must_not_exist
            .iter()
            .map(exists)
            .collect::<Result<_, StoreError>>()?;
        Ok(Conditions {
            snapshot: Some(snapshot),
            existed,
        })
    }

    /// Under the sequencer's lock: with everything that came after the snapshot.
    fn recheck(&self, core: &Core, batch: &WriteBatch) -> Result<(), StoreError> {
        if self.existed.is_empty() && batch.must_be_unchanged.is_empty() {
            return Ok(());
        }
        let pending = core.sequencer.pending_runs();
        let conflict = |kind, space: &KeySpace, key: &Key| {
            Err(StoreError::Conflict {
                kind,
                space: *space,
                key: key.clone(),
            })
        };
        if let Some(snapshot) = &self.snapshot {
            use crate::store::Snapshot;
            let since = snapshot.version();
            for ((space, key), existed) in batch.must_not_exist.iter().zip(&self.existed) {
                let newer = newest_after(core, &pending, *space, key, since)?;
                if newer.map_or(*existed, |(_, exists)| exists) {
                    return conflict(Conflict::Exists, space, key);
                }
            }
        }
        for (space, key, since) in &batch.must_be_unchanged {
            if newest_after(core, &pending, *space, key, *since)?.is_some() {
                return conflict(Conflict::Changed, space, key);
            }
        }
        Ok(())
    }
}

/// The newest change of a key after `since`, published or not, and whether the key exists in it.
fn newest_after(
    core: &Core,
    pending: &[(Version, Arc<RunFile>)],
    space: KeySpace,
    key: &[u8],
    since: Version,
) -> Result<Option<(Version, bool)>, StoreError> {
    let mut newest = core
        .recent
        .head(space, key)
        .filter(|(version, _)| *version > since);
    let (published, is_destroyed) = {
        let state = core.views.lock();
        let is_destroyed = state.destroyed_since(space, since, |range| range.contains(key));
        (state.runs_changed_since(since), is_destroyed)
    };
    if is_destroyed && newest.is_none() {
        newest = Some((since.next(), false));
    }
    let published = published.iter().map(|run| (run.version, &run.file));
    // Of one commit's runs the later one counts, so both lists are read newest first.
    let pending = pending.iter().rev().map(|(version, run)| (*version, run));
    for (version, run) in published.chain(pending) {
        let is_newer = version > since && newest.is_none_or(|(newest, _)| version > newest);
        if is_newer && let Some(write) = run.get(space, key)? {
            newest = Some((version, exists_in(&write)));
        }
    }
    Ok(newest)
}
