//! Bounds that a slip in the fast path would break: no wait, no growth, no object per row.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tessera_locks::{LockManager, LockManagerOptions, LockOptions, Mode, Owner, Resource};
use tessera_types::{RelationId, TxnId};

#[test]
fn a_million_rows_leave_few_lock_objects() {
    let locks = LockManager::new(LockManagerOptions::default());
    let owner = Owner::new(TxnId(1));
    let relation = RelationId(1);
    let mut most = 0;
    for row in 0..1_000_000 {
        let resource = Resource::Row(relation, row);
        let options = LockOptions::default();
        let mut future = pin!(locks.acquire_with_parents(&owner, resource, Mode::X, &options));
        let Poll::Ready(result) = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        else {
            panic!("a free lock was waited for");
        };
        result.unwrap();
        if row % 10_000 == 0 {
            most = most.max(locks.resource_count());
        }
    }
    assert!(
        most <= LockManagerOptions::default().escalate_rows + 2,
        "{most}"
    );
    assert_eq!(owner.held_count(), 2, "database and relation");
    locks.release_all(&owner);
    assert_eq!(locks.resource_count(), 0);
}
