//! Commands of many connections on one busy key, run by one of them.
//!
//! A lock is kept until its transaction is on disk. If every connection took its turn at it, a key
//! could be written once per sync. So who finds a key's lock taken and others waiting for it hands
//! its command to the first of those, which runs all of them, one statement each, in the
//! transaction that gets the lock next. They share its log record and its sync.
//! (Flat combining: Hendler, Incze, Shavit, Tzafrir, SPAA 2010.)
//!
//! # Invariants
//! 1. Only commands of one user in one space on one key meet, so it does not matter who runs them.
//! 2. A command is run by its leader, or handed back by dropping its sender before anything of it
//!    is committed; never both.
//! 3. A leader that goes away before the end of its turn hands everything back.

use std::sync::Arc;

use ahash::RandomState;
use bytes::Bytes;
use futures::channel::oneshot;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tessera_types::RelationId;

use super::Hub;
use crate::fault::Result;
use crate::request::Request;
use crate::table::Row;

/// Commands that one leader takes along.
const FOLLOWERS_MAX: usize = 256;
/// Independent parts.
const SHARDS: usize = 16;

/// What commands must have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) user: Arc<str>,
    pub(crate) relation: RelationId,
    pub(crate) database: Option<u32>,
    pub(crate) key: Bytes,
}

/// A command that somebody else is to run.
pub(crate) struct Follower {
    pub(crate) row: &'static Row,
    pub(crate) request: Request,
    pub(crate) is_resp3: bool,
    pub(crate) answer: oneshot::Sender<Result<Vec<u8>>>,
}

/// What a command is at its place.
pub(crate) enum Role {
    /// It waits for the lock, and then runs all that came meanwhile.
    Leader(Seat),
    /// It waits for its answer; without one, it was handed back.
    Follower(oneshot::Receiver<Result<Vec<u8>>>),
}

/// The commands that wait for a leader.
pub(crate) struct Combining {
    shards: Box<[Mutex<HashMap<Place, Vec<Follower>, RandomState>>]>,
    hasher: RandomState,
}

impl Default for Combining {
    fn default() -> Combining {
        Combining {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl Combining {
    fn shard(&self, place: &Place) -> &Mutex<HashMap<Place, Vec<Follower>, RandomState>> {
        &self.shards[self.hasher.hash_one(place) as usize % SHARDS]
    }
}

impl Hub {
    /// Gives a command its role: the first at its place leads. `None` if the leader has as many
    /// followers as it takes.
    pub(crate) fn take_part(
        self: &Arc<Hub>,
        place: &Place,
        row: &'static Row,
        request: &Request,
        is_resp3: bool,
    ) -> Option<Role> {
        let mut shard = self.combining.shard(place).lock();
        let Some(followers) = shard.get_mut(place) else {
            shard.insert(place.clone(), Vec::new());
            return Some(Role::Leader(Seat {
                hub: Arc::clone(self),
                place: Some(place.clone()),
            }));
        };
        if followers.len() >= FOLLOWERS_MAX {
            return None;
        }
        let (answer, receiver) = oneshot::channel();
        followers.push(Follower {
            row,
            // A small request must not hold on to the buffer it came in.
            request: request.detached(),
            is_resp3,
            answer,
        });
        Some(Role::Follower(receiver))
    }
}

/// The lead at a place; dropped, everything is handed back.
pub(crate) struct Seat {
    hub: Arc<Hub>,
    place: Option<Place>,
}

impl Seat {
    /// Ends the lead and takes the commands that came; who comes next leads anew.
    pub(crate) fn close(mut self) -> Vec<Follower> {
        self.leave()
    }

    fn leave(&mut self) -> Vec<Follower> {
        let Some(place) = self.place.take() else {
            return Vec::new();
        };
        let mut shard = self.hub.combining.shard(&place).lock();
        shard.remove(&place).unwrap_or_default()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        drop(self.leave());
    }
}
