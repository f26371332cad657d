//! Gives back what nobody can see any more: expired keys, and elements of former generations.
//!
//! Called again and again by a background task, each time in a transaction of its own (READ
//! COMMITTED, origin system), which then commits. Keys that others hold are passed over. Correctness
//! never depends on when this runs.

use tessera_locks::{LockOptions, Mode, Wait};
use tessera_storage::KeySpace;
use tessera_transactions::RowLock;

use crate::error::{Result, malformed};
use crate::layout::{
    expired_range, garbage_key, garbage_range, generation_range, parse_expiry_key,
    parse_garbage_key,
};
use crate::writer::Writer;

/// How much one call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReclaimLimits {
    /// Expired keys looked at.
    pub keys_max: usize,
    /// Elements deleted.
    pub elements_max: usize,
}

impl Default for ReclaimLimits {
    fn default() -> ReclaimLimits {
        ReclaimLimits {
            keys_max: 1_000,
            elements_max: 10_000,
        }
    }
}

/// What one call did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Expired keys removed.
    pub keys: u64,
    /// Elements removed.
    pub elements: u64,
    /// Keys or generations that other transactions have locked.
    pub skipped: u64,
    /// A limit was reached, so there may be more to do at once. Who finds nothing but skipped keys
    /// should wait all the same.
    pub has_more: bool,
}

impl Writer<'_> {
    /// Removes expired keys, oldest first, and unreachable elements, up to the limits.
    pub async fn reclaim(&self, limits: ReclaimLimits) -> Result<Reclaimed> {
        let mut done = Reclaimed::default();
        self.reclaim_expired(limits.keys_max, &mut done).await?;
        self.reclaim_elements(limits.elements_max, &mut done)
            .await?;
        Ok(done)
    }

    async fn reclaim_expired(&self, keys_max: usize, done: &mut Reclaimed) -> Result<()> {
        let range = expired_range(self.space.relation(), self.now);
        let entries = self.some_keys(KeySpace::Indexes, range, keys_max).await?;
        done.has_more |= entries.len() >= keys_max;
        for entry in entries {
            let (_, key) =
                parse_expiry_key(&entry).ok_or_else(|| malformed("entry of the expiry index"))?;
            let Some(mut locked) = self.lock_if_free(&key).await? else {
                done.skipped += 1;
                continue;
            };
            // It may have got another time to live before the lock was granted.
            if !locked.is_expired(self.now) {
                continue;
            }
            self.remove(&mut locked).await?;
            done.keys += 1;
        }
        Ok(())
    }

    async fn reclaim_elements(&self, elements_max: usize, done: &mut Reclaimed) -> Result<()> {
        let relation = self.space.relation();
        let mut room = elements_max;
        let lists = garbage_range(relation);
        let entries = self.some_keys(KeySpace::Indexes, lists, elements_max);
        let entries = entries.await?;
        done.has_more |= entries.len() >= elements_max;
        for entry in entries {
            if room == 0 {
                done.has_more = true;
                return Ok(());
            }
            let generation =
                parse_garbage_key(&entry).ok_or_else(|| malformed("list of generations"))?;
            let options = LockOptions {
                wait: Wait::SkipLocked,
                deadline: None,
            };
            // Two reclaimers share the work, not one generation.
            let lock = self
                .txn
                .lock_row(relation, KeySpace::Indexes, &entry, Mode::X, &options)
                .await?;
            if lock == RowLock::Skipped {
                done.skipped += 1;
                continue;
            }
            let range = generation_range(relation, generation);
            let keys = self.some_keys(KeySpace::Rows, range, room).await?;
            let is_whole = keys.len() < room;
            room -= keys.len();
            done.elements += keys.len() as u64;
            for key in keys {
                self.delete(key)?;
            }
            if is_whole {
                let entry = garbage_key(relation, generation);
                self.txn.delete(KeySpace::Indexes, entry)?;
            } else {
                done.has_more = true;
            }
        }
        Ok(())
    }
}
