//! The way of a batch: admit, check, give it a version, wait for the log, publish.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::FutureExt;
use futures::channel::oneshot;
use tessera_types::{TxnId, Version};

use crate::batch::{CommitOutcome, Durability, Publish, WriteBatch};
use crate::embedded::conditions::Conditions;
use crate::embedded::core::Core;
use crate::embedded::history::Sequenced;
use crate::embedded::publish::Slot;
use crate::embedded::record;
use crate::embedded::run::{CommittedRun, RunFile};
use crate::embedded::validate::Validation;
use crate::embedded::views::{Additions, Destroyed};
use crate::error::StoreError;
use crate::limits::check_batch;
use crate::range::{KeyRange, KeySpace};

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
        .and_then(|()| core.watch(submit(&core, batch, before_publish)))
    {
        Ok(ticket) => ticket,
        Err(error) => {
            if matches!(
                error,
                StoreError::Conflict { .. } | StoreError::SerializationFailure { .. }
            ) {
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
        let _in_order = core.sequencer.lock();
        let version = core.enqueue(payload)?;
        let destroyed = Destroyed {
            version,
            space,
            range,
        };
        core.sequencer.add_destroyed(&destroyed);
        core.sequencer.history().push(|| Sequenced {
            version,
            txn: TxnId::default(),
            writes: Arc::default(),
            runs: Vec::new(),
            destroyed: Some(destroyed.clone()),
        });
        core.publisher.push(Slot {
            version,
            txn: TxnId::default(),
            durable: false,
            accepted: false,
            writes: Arc::default(),
            additions: Additions {
                runs: Vec::new(),
                destroyed: Some(destroyed),
            },
            before_publish: None,
            notices: Vec::new(),
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
    let payload = record::encode_commit(&record::Commit {
        txn: batch.txn,
        origin: batch.origin,
        unix_micros: core.env.clock.unix_micros(),
        runs: &references,
        writes: &batch.writes,
        notices: &batch.notices,
    });
    // Reads of the base, and long looks through memory, happen before the lock; under it only
    // what came later is looked at.
    let checked = Conditions::check(core, &batch)?;
    let mut validated = match &batch.reads {
        Some(reads) if !reads.is_empty() => Some(Validation::begin(core, reads)?),
        _ => None,
    };
    let durable = batch.durability == Durability::Durable;
    let (answer, receiver) = oneshot::channel();
    let version = {
        let _in_order = core.sequencer.lock();
        checked.recheck(core, &batch)?;
        if let Some(validation) = &mut validated {
            validation.finish()?;
        }
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
        core.sequencer.add_runs(version, &runs);
        let writes = Arc::new(batch.writes);
        core.sequencer.history().push(|| Sequenced {
            version,
            txn: batch.txn,
            writes: writes.clone(),
            runs: runs.clone(),
            destroyed: None,
        });
        let committed = runs
            .into_iter()
            .map(|file| Arc::new(CommittedRun { version, file }));
        core.publisher.push(Slot {
            version,
            txn: batch.txn,
            durable,
            accepted: false,
            writes,
            additions: Additions {
                runs: committed.collect(),
                destroyed: None,
            },
            before_publish,
            notices: batch.notices,
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
