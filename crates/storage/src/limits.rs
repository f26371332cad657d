//! Refuses what is over an engine's limits or not in order.

use crate::batch::{Write, WriteBatch};
use crate::capabilities::Capabilities;
use crate::changes::Notice;
use crate::error::StoreError;
use crate::reads::{REFINED_RANGES_MAX, ReadSet};
use crate::store::Key;

/// Refuses a batch over the engine's limits or with writes out of order.
pub(crate) fn check_batch(limits: &Capabilities, batch: &WriteBatch) -> Result<(), StoreError> {
    if batch.writes.len() > limits.batch_writes_max {
        return too_large("the number of writes of a batch", limits.batch_writes_max);
    }
    if batch.runs.len() > limits.batch_runs_max {
        return too_large("the number of runs of a batch", limits.batch_runs_max);
    }
    if let Some(reads) = &batch.reads {
        check_reads(limits, reads)?;
    }
    let mut bytes: usize = batch.notices.iter().map(Notice::bytes).sum();
    for (_, key, write) in &batch.writes {
        check_entry(limits, key, write)?;
        bytes += key.len() + write.value_bytes();
    }
    if bytes > limits.batch_bytes_max {
        return too_large("the size of a batch in bytes", limits.batch_bytes_max);
    }
    if !batch.is_sorted() {
        return Err(StoreError::Unavailable {
            reason: "the writes of the batch are not in order",
        });
    }
    Ok(())
}

fn check_reads(limits: &Capabilities, reads: &ReadSet) -> Result<(), StoreError> {
    if reads.len() > limits.batch_reads_max {
        return too_large("the number of reads of a batch", limits.batch_reads_max);
    }
    if reads.refined.len() > REFINED_RANGES_MAX {
        return too_large(
            "the number of filtered ranges of a batch",
            REFINED_RANGES_MAX,
        );
    }
    if !reads.is_sorted() {
        return Err(StoreError::Unavailable {
            reason: "the reads of the batch are not in order",
        });
    }
    Ok(())
}

/// Refuses a key or a value over the engine's limits, and the empty key.
pub(crate) fn check_entry(
    limits: &Capabilities,
    key: &Key,
    write: &Write,
) -> Result<(), StoreError> {
    if key.is_empty() {
        return Err(StoreError::Unavailable {
            reason: "an empty key",
        });
    }
    if key.len() > limits.key_bytes_max {
        return too_large("the size of a key in bytes", limits.key_bytes_max);
    }
    if write.value_bytes() > limits.value_bytes_max {
        return too_large("the size of a value in bytes", limits.value_bytes_max);
    }
    Ok(())
}

fn too_large(what: &'static str, limit: usize) -> Result<(), StoreError> {
    Err(StoreError::TooLarge {
        what,
        limit: limit as u64,
    })
}
