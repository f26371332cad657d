//! Answers for the tuples that were seen, within a limit of bytes.

use std::collections::HashMap;

use datafusion::execution::memory_pool::MemoryReservation;

/// Bytes of answers that one operator keeps.
const MEMO_BYTES_MAX: usize = 64 << 20;

/// What an entry costs beside its key and its answer.
const ENTRY_BYTES: usize = 96;

/// Answers by the tuple they belong to.
pub(super) struct Memo<A> {
    answers: HashMap<Box<[u8]>, A>,
    bytes: usize,
    reservation: MemoryReservation,
    enabled: bool,
}

impl<A: Clone> Memo<A> {
    /// Empty; a disabled one forgets everything.
    pub(super) fn new(reservation: MemoryReservation, enabled: bool) -> Memo<A> {
        Memo {
            answers: HashMap::new(),
            bytes: 0,
            reservation,
            enabled,
        }
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&A> {
        self.answers.get(key)
    }

    /// Keeps an answer. Where there is no room, the answers so far make some.
    pub(super) fn keep(&mut self, key: &[u8], answer: A, answer_bytes: usize) {
        let bytes = answer_bytes + key.len() + ENTRY_BYTES;
        if !self.enabled || bytes > MEMO_BYTES_MAX {
            return;
        }
        if self.bytes + bytes > MEMO_BYTES_MAX || self.reservation.try_grow(bytes).is_err() {
            self.answers.clear();
            self.reservation.free();
            self.bytes = 0;
            if self.reservation.try_grow(bytes).is_err() {
                return;
            }
        }
        self.bytes += bytes;
        self.answers.insert(key.into(), answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::memory::{MemoryBudget, QueryMemory};
    use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool};
    use std::sync::Arc;

    #[test]
    fn a_full_memo_starts_again_and_gives_its_memory_back() {
        let budget = MemoryBudget::new(1_000);
        let pool: Arc<dyn MemoryPool> = QueryMemory::new(&budget, 1_000);
        let mut memo = Memo::new(MemoryConsumer::new("memo").register(&pool), true);
        memo.keep(b"1", "one", 500);
        assert_eq!(memo.get(b"1"), Some(&"one"));
        memo.keep(b"2", "two", 500);
        assert_eq!(memo.get(b"1"), None);
        assert_eq!(memo.get(b"2"), Some(&"two"));
        memo.keep(b"3", "too large", 2_000);
        assert_eq!(memo.get(b"3"), None);
        drop(memo);
        assert_eq!(budget.used(), 0);
    }
}
