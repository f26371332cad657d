//! Memory of queries: a limit for each, and one budget for all.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool, MemoryReservation};

/// What all running queries hold together.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    used: AtomicUsize,
    bytes_max: usize,
}

impl MemoryBudget {
    /// A budget of so many bytes.
    pub(crate) fn new(bytes_max: usize) -> Arc<MemoryBudget> {
        Arc::new(MemoryBudget {
            used: AtomicUsize::new(0),
            bytes_max,
        })
    }

    /// Bytes held now.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn try_take(&self, bytes: usize) -> bool {
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= self.bytes_max)
            })
            .is_ok()
    }
}

/// The memory of one query. An operator that gets no more spills to disk, or fails with 53200.
#[derive(Debug)]
pub(crate) struct QueryMemory {
    budget: Arc<MemoryBudget>,
    used: AtomicUsize,
    bytes_max: usize,
}

impl QueryMemory {
    /// Memory for one query.
    pub(crate) fn new(budget: &Arc<MemoryBudget>, bytes_max: usize) -> Arc<QueryMemory> {
        let budget = budget.clone();
        Arc::new(QueryMemory {
            budget,
            used: AtomicUsize::new(0),
            bytes_max,
        })
    }
}

impl MemoryPool for QueryMemory {
    fn name(&self) -> &str {
        "query"
    }

    fn grow(&self, _: &MemoryReservation, additional: usize) {
        // Operators use this for what they hold already and cannot give back.
        self.budget.used.fetch_add(additional, Ordering::Relaxed);
        self.used.fetch_add(additional, Ordering::Relaxed);
    }

    fn shrink(&self, _: &MemoryReservation, shrink: usize) {
        self.budget.used.fetch_sub(shrink, Ordering::Relaxed);
        self.used.fetch_sub(shrink, Ordering::Relaxed);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(additional)
                    .filter(|sum| *sum <= self.bytes_max)
            });
        let what = reservation.consumer().name();
        if let Err(used) = taken {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "{what} wanted {additional} bytes more; the query holds {used} of {} bytes",
                self.bytes_max
            )));
        }
        if !self.budget.try_take(additional) {
            self.used.fetch_sub(additional, Ordering::Relaxed);
            return Err(DataFusionError::ResourcesExhausted(format!(
                "{what} wanted {additional} bytes more; all queries hold {} of {} bytes",
                self.budget.used(),
                self.budget.bytes_max
            )));
        }
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes_max)
    }
}

impl fmt::Display for QueryMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "query memory: {} of {} bytes",
            self.reserved(),
            self.bytes_max
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::execution::memory_pool::MemoryConsumer;

    #[test]
    fn neither_a_query_nor_all_of_them_pass_their_limit() {
        let budget = MemoryBudget::new(100);
        let pools: Vec<Arc<dyn MemoryPool>> =
            vec![QueryMemory::new(&budget, 80), QueryMemory::new(&budget, 80)];
        let first = MemoryConsumer::new("first").register(&pools[0]);
        let second = MemoryConsumer::new("second").register(&pools[1]);
        assert!(first.try_grow(81).is_err());
        assert!(first.try_grow(70).is_ok());
        assert!(second.try_grow(40).is_err());
        assert!(second.try_grow(30).is_ok());
        drop(first);
        assert!(second.try_grow(40).is_ok());
        drop(second);
        assert_eq!(budget.used(), 0);
    }
}
