//! Writes of a pipeline that share one transaction, and so one log record.
//!
//! # Invariants
//! 1. Each command is a statement of its own: one that fails is undone alone, and is answered
//!    as it would be without the others.
//! 2. The transaction waits for a lock only as long as it has none. Where a later one is not free,
//!    the group is committed first; so groups are in no deadlock, whatever keys they write.
//! 3. READ COMMITTED only: there, nothing but a store that takes no writes refuses a commit. Then
//!    each command is run again by itself, and has a fate of its own.
//! 4. A group ends with what has arrived: it never waits for its client.

use tessera_transactions::{Isolation, Transaction};

use crate::flight::{Answer, Member, Members};
use crate::request::Request;
use crate::session::{Commit, Hashes};
use crate::table::Row;

/// Commands of one group.
const COMMANDS_MAX: usize = 128;
/// Bytes of their requests.
const BYTES_MAX: usize = 1 << 20;

/// Commands that are done and not committed.
pub(crate) struct Group {
    txn: Transaction,
    keys: Hashes,
    members: Members,
    bytes: usize,
}

impl Group {
    /// A group of a transaction that has just begun; none if its level does not allow groups.
    pub(crate) fn new(txn: Transaction) -> Option<Group> {
        if txn.isolation() != Isolation::ReadCommitted {
            return None;
        }
        Some(Group {
            txn,
            keys: Hashes::new(),
            members: Members::new(),
            bytes: 0,
        })
    }

    pub(crate) fn txn(&self) -> &Transaction {
        &self.txn
    }

    /// Whether it has no command yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether a command of it writes the key.
    pub(crate) fn writes(&self, key: u64) -> bool {
        self.keys.contains(&key)
    }

    /// From now on there may be locks.
    pub(crate) fn stop_waiting(&self) {
        self.txn.set_never_waits(true);
    }

    /// Counts a command that is done.
    pub(crate) fn add(
        &mut self,
        keys: impl IntoIterator<Item = u64>,
        answer: Option<Answer>,
        row: &'static Row,
        request: Request,
    ) {
        for key in keys {
            if self.keys.last() != Some(&key) {
                self.keys.push(key);
            }
        }
        self.bytes += request.bytes_len();
        self.members.push(Member {
            answer,
            shared: Some((row, request)),
        });
    }

    pub(crate) fn is_full(&self) -> bool {
        self.members.len() >= COMMANDS_MAX || self.bytes >= BYTES_MAX
    }

    /// The commit of all of them, and what depends on it.
    pub(crate) fn into_commit(self) -> (Commit, Members) {
        (Commit::of(self.txn, self.keys), self.members)
    }
}
