//! Background work of the models: expired keys and documents, idle transactions.

use std::time::{Duration, Instant};

use tessera_documents::{Collection, IndexKind};
use tessera_keyvalue::{ReclaimLimits, Space, UnixMillis, Writer};
use tessera_storage::{Durability, Origin};
use tessera_transactions::{Transaction, TransactionOptions};
use tessera_types::{Report, codes};

use super::Models;

/// Time between two looks for what has expired.
pub(crate) const RECLAIM_INTERVAL: Duration = Duration::from_secs(1);
/// Documents removed by one transaction.
const DOCUMENTS_MAX: usize = 1_000;
/// Transactions per space or index at one look; the rest waits for the next one.
const ROUNDS_MAX: usize = 32;

impl Models {
    fn begin_system(&self) -> Transaction {
        self.transactions.begin(TransactionOptions {
            // What is lost in a crash is found expired again.
            durability: Durability::Buffered,
            origin: Origin::System,
            ..TransactionOptions::default()
        })
    }

    async fn reclaim_space(&self, space: &Space) -> Result<(), Report> {
        for _ in 0..ROUNDS_MAX {
            let txn = self.begin_system();
            let guard = txn.start_statement().await?;
            let now = UnixMillis::now(&*self.transactions.environment().clock);
            let writer = Writer::new(space, &txn, now);
            let done = writer.reclaim(ReclaimLimits::default()).await?;
            guard.finish();
            txn.commit().await?;
            if !done.has_more || done.keys + done.elements == 0 {
                break;
            }
        }
        Ok(())
    }

    async fn reclaim_index(&self, collection: &Collection, index: &str) -> Result<(), Report> {
        for _ in 0..ROUNDS_MAX {
            let txn = self.begin_system();
            let guard = txn.start_statement().await?;
            let now = self.transactions.environment().clock.unix_micros();
            let count = collection
                .reclaim_expired(&txn, index, now, DOCUMENTS_MAX)
                .await?;
            guard.finish();
            txn.commit().await?;
            if count < DOCUMENTS_MAX {
                break;
            }
        }
        Ok(())
    }
}

/// Rolls back transactions, and gives up snapshots, whose clients stayed away for too long.
pub(crate) fn expire_idle(models: &Models) {
    models.pins.expire(Instant::now());
    if let Some(limit) = models.idle_limit() {
        let expired = models.held.expire(limit, Instant::now());
        if expired > 0 {
            tracing::info!(expired, "idle transactions were rolled back");
        }
    }
}

/// Removes what has expired from the open key spaces and the collections with a TTL index.
pub(crate) async fn reclaim(models: &Models) -> Result<(), Report> {
    for space in models.open_spaces() {
        pass_over(models.reclaim_space(&space).await)?;
    }
    for collection in models.expiring_collections() {
        for index in &collection.def().indexes {
            if let IndexKind::Ttl { .. } = index.kind {
                pass_over(models.reclaim_index(&collection, &index.name).await)?;
            }
        }
    }
    Ok(())
}

/// Who is in the way has the right of way: the next look comes soon.
fn pass_over(result: Result<(), Report>) -> Result<(), Report> {
    match result {
        Err(report)
            if !matches!(
                report.code,
                codes::SERIALIZATION_FAILURE
                    | codes::DEADLOCK_DETECTED
                    | codes::LOCK_NOT_AVAILABLE
                    | codes::READ_ONLY_SQL_TRANSACTION
            ) =>
        {
            Err(report)
        }
        _ => Ok(()),
    }
}
