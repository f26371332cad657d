//! The fast path allocates nothing: counted by an allocator that counts per thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tessera_locks::{LockManager, LockOptions, Mode, Owner, Resource};
use tessera_types::{RelationId, TxnId};

thread_local!(static ALLOCATIONS: Cell<u64> = const { Cell::new(0) });

struct Counting;

// SAFETY: everything is passed on to the system's allocator; the count allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const ROUNDS: u64 = 2_000;

#[test]
fn a_free_row_lock_with_its_intention_locks_allocates_nothing() {
    let locks = LockManager::default();
    let owner = Owner::new(TxnId(1));
    let options = LockOptions::default();
    let mut before = 0;
    for round in 0..2 * ROUNDS {
        // The first half makes the relation's partition and its shards' tables. Which shard a row
        // is in changes with every run: that one of 16 is never met has to be out of the question.
        if round == ROUNDS {
            before = ALLOCATIONS.get();
        }
        let row = Resource::Row(RelationId(1), round);
        let mut asked = pin!(locks.acquire_with_parents(&owner, row, Mode::X, &options));
        let context = &mut Context::from_waker(Waker::noop());
        assert!(matches!(asked.as_mut().poll(context), Poll::Ready(Ok(_))));
        locks.release_all(&owner);
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
}
