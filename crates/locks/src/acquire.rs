//! How a request is granted: at once if it can be, by way of the queue if not.
//!
//! # The fast path
//! IS and IX never conflict with each other, so on the database and on relations, where they are
//! what everybody holds, they need no queue: they stand in the owner's own list. Whoever asks for
//! another mode there first raises a flag, which sends newcomers to the queue, and then walks all
//! owners and puts what they hold into the queue. An owner looks at the flag while it holds its
//! own mutex, which the walk takes as well: either it sees the flag, or the walk sees its lock.
//! This is the fast path of PostgreSQL's lock manager (src/backend/storage/lmgr/README), with one
//! list per transaction and no limit on its length.

use std::sync::Arc;

use tessera_types::RelationId;

use crate::held::{Grip, Held};
use crate::manager::{Grant, LockManager, LockOptions, Request, Wait};
use crate::measure;
use crate::mode::Mode;
use crate::owner::{Owner, OwnerInfo};
use crate::queue::Requested;
use crate::report::LockError;
use crate::resource::Resource;
use crate::table::Raised;

/// Result of one try.
enum Attempt<'a> {
    /// Granted; the number is that of the relation's rows locked one by one.
    Granted(Grant, usize),
    /// Not granted. A flag that was raised stays up until the request stands in the queue.
    Blocked {
        before: Option<Mode>,
        wanted: Mode,
        raised: Option<Raised<'a>>,
    },
}

impl LockManager {
    /// Acquires a lock and, where they are missing, the intention locks above it.
    ///
    /// Dropping the future at any time leaves no trace of the request itself; parents stay.
    pub async fn lock(&self, owner: &Owner, request: &Request<'_>) -> Result<Grant, LockError> {
        match self.try_at_once(&owner.info, request.resource, request.mode) {
            Some((grant, rows)) if rows < self.options.escalate_rows => Ok(grant),
            Some((grant, rows)) => {
                self.escalate_if_many(owner, request.resource, rows).await?;
                Ok(grant)
            }
            None => self.lock_in_turn(owner, request).await,
        }
    }

    /// The whole way down in one go, under the owner's mutex. `None` if any step needs more.
    fn try_at_once(
        &self,
        owner: &Arc<OwnerInfo>,
        resource: Resource,
        mode: Mode,
    ) -> Option<(Grant, usize)> {
        let mut held = owner.held.lock();
        let parent = resource.parent();
        let above = parent.and_then(Resource::parent);
        let (own, parent_own, above_own) = if held.steps.is_empty() {
            (None, None, None)
        } else {
            let grip = |resource: Option<Resource>| held.grip_of(resource?);
            (grip(Some(resource)), grip(parent), grip(above))
        };
        let covers = |own: Option<Grip>| own.is_some_and(|own| own.mode.covers_child(mode));
        if own.is_some_and(|own| own.mode.covers(mode)) || covers(parent_own) || covers(above_own) {
            return Some((Grant::Held, 0));
        }
        self.enlist(&mut held, owner);
        for (above, own) in [(above, above_own), (parent, parent_own)] {
            if let Some(above) = above
                && !self.intend(&mut held, above, own, mode.intention())
            {
                return None;
            }
        }
        if resource.has_children() {
            let is_granted = mode.is_intention() && self.intend(&mut held, resource, own, mode);
            return is_granted.then_some((Grant::Immediate, 0));
        }
        let before = own.map(|own| own.mode);
        match self.table().request(owner, resource, before, mode) {
            Requested::Granted { now } => {
                held.granted[mode as usize] += 1;
                let grip = Grip {
                    mode: now,
                    fast: false,
                };
                Some((Grant::Immediate, held.record(resource, before, grip)))
            }
            Requested::MustWait { .. } => None,
        }
    }

    /// Grants an intention mode on a parent by the fast path, if that is possible.
    fn intend(&self, held: &mut Held, resource: Resource, own: Option<Grip>, mode: Mode) -> bool {
        if own.is_some_and(|own| own.mode.covers(mode)) {
            return true;
        }
        if own.is_some_and(|own| !own.fast) || !self.table().is_weak(resource) {
            return false;
        }
        let before = own.map(|own| own.mode);
        let now = before.map_or(mode, |before| before.join(mode));
        held.granted[mode as usize] += 1;
        let grip = Grip {
            mode: now,
            fast: true,
        };
        held.record(resource, before, grip);
        true
    }

    /// An owner is listed before it first looks at a flag.
    fn enlist(&self, held: &mut Held, owner: &Arc<OwnerInfo>) {
        if !held.is_listed() {
            held.enlist(self.registry().enlist(owner));
        }
    }

    /// Step by step, waiting where need be.
    async fn lock_in_turn(&self, owner: &Owner, request: &Request<'_>) -> Result<Grant, LockError> {
        // Whoever skips locked rows still waits for a locked table, as PostgreSQL does.
        let above_options = match request.options.wait {
            Wait::SkipLocked => LockOptions {
                wait: Wait::Block,
                ..request.options
            },
            Wait::Block | Wait::NoWait => request.options,
        };
        let parent = request.resource.parent();
        let mut waited = false;
        for above in [parent.and_then(Resource::parent), parent]
            .into_iter()
            .flatten()
        {
            let above = Request {
                resource: above,
                mode: request.mode.intention(),
                key: None,
                options: above_options,
            };
            waited |= self.lock_alone(owner, &above).await? == Grant::AfterWait;
        }
        let grant = self.lock_alone(owner, request).await?;
        // What the resource protects may have changed while we waited above it.
        Ok(match grant {
            Grant::Immediate if waited => Grant::AfterWait,
            other => other,
        })
    }

    /// One resource, whose parents are held.
    pub(crate) async fn lock_alone(
        &self,
        owner: &Owner,
        request: &Request<'_>,
    ) -> Result<Grant, LockError> {
        let (resource, mode) = (request.resource, request.mode);
        let (before, wanted, raised) = match self.try_now(&owner.info, resource, mode)? {
            Attempt::Granted(grant, rows) => {
                self.escalate_if_many(owner, resource, rows).await?;
                return Ok(grant);
            }
            Attempt::Blocked {
                before,
                wanted,
                raised,
            } => (before, wanted, raised),
        };
        match request.options.wait {
            Wait::SkipLocked => {
                measure::refused(mode);
                Ok(Grant::Skipped)
            }
            Wait::NoWait => {
                measure::refused(mode);
                let refused =
                    self.refused(&owner.info, resource, (before, wanted), request.key, None);
                Err(LockError::NotAvailable { refused })
            }
            Wait::Block => {
                let deadline = request.options.deadline;
                let waiting = self.begin_wait(owner, request, before, wanted, raised)?;
                let rows = self.wait(waiting, deadline).await?;
                Box::pin(self.escalate_if_many(owner, resource, rows)).await?;
                Ok(Grant::AfterWait)
            }
        }
    }

    /// One try without waiting.
    fn try_now(
        &self,
        owner: &Arc<OwnerInfo>,
        resource: Resource,
        mode: Mode,
    ) -> Result<Attempt<'_>, LockError> {
        let mut held = owner.held.lock();
        let own = held.mode_of(resource);
        if own.is_some_and(|own| own.covers(mode)) || held.is_covered(resource, mode) {
            return Ok(Attempt::Granted(Grant::Held, 0));
        }
        if let Some(parent) = resource.parent()
            && !held
                .mode_of(parent)
                .is_some_and(|held| held.covers(mode.intention()))
        {
            return Err(LockError::ParentNotHeld { resource, mode });
        }
        self.enlist(&mut held, owner);
        let mut raised = None;
        if resource.has_children() {
            if mode.is_intention() {
                let grip = held.grip_of(resource);
                if self.intend(&mut held, resource, grip, mode) {
                    return Ok(Attempt::Granted(Grant::Immediate, 0));
                }
                self.make_known(&mut held, owner, resource);
            } else {
                // The walk takes each owner's mutex, so nobody may hold one meanwhile.
                drop(held);
                raised = Some(self.gather(resource));
                held = owner.held.lock();
            }
        }
        let before = held.mode_of(resource);
        Ok(match self.table().request(owner, resource, before, mode) {
            Requested::Granted { now } => {
                held.granted[mode as usize] += 1;
                let grip = Grip {
                    mode: now,
                    fast: false,
                };
                Attempt::Granted(Grant::Immediate, held.record(resource, before, grip))
            }
            Requested::MustWait { wanted } => Attempt::Blocked {
                before,
                wanted,
                raised,
            },
        })
    }

    /// Puts what the fast path has granted on the resource into its queue, and keeps newcomers
    /// off the fast path while the answer lives.
    fn gather(&self, resource: Resource) -> Raised<'_> {
        let raised = self.table().raise(resource);
        self.registry().for_each(|owner| {
            let mut held = owner.held.lock();
            self.make_known(&mut held, owner, resource);
        });
        raised
    }

    fn make_known(&self, held: &mut Held, owner: &Arc<OwnerInfo>, resource: Resource) {
        if let Some(mode) = held.take_fast(resource) {
            self.table()
                .edit(resource, |queue, _| queue.adopt(Arc::clone(owner), mode));
        }
    }

    /// Replaces many row locks by one on the relation.
    async fn escalate_if_many(
        &self,
        owner: &Owner,
        resource: Resource,
        rows: usize,
    ) -> Result<(), LockError> {
        let Resource::Row(relation, _) = resource else {
            return Ok(());
        };
        if rows < self.options.escalate_rows || !rows.is_multiple_of(self.options.escalate_rows) {
            return Ok(());
        }
        let parent = Resource::Relation(relation);
        // Written rows were announced with IX, read ones with IS.
        let covering = match owner.mode_of(parent) {
            Some(Mode::IS | Mode::S) => Mode::S,
            _ => Mode::X,
        };
        match self.try_now(&owner.info, parent, covering)? {
            Attempt::Granted(..) => {}
            Attempt::Blocked { .. } if rows < self.options.escalate_rows_max => return Ok(()),
            Attempt::Blocked {
                before,
                wanted,
                raised,
            } => {
                let request = Request {
                    resource: parent,
                    mode: covering,
                    key: None,
                    options: LockOptions::default(),
                };
                let waiting = self.begin_wait(owner, &request, before, wanted, raised)?;
                self.wait(waiting, None).await?;
            }
        }
        self.drop_covered_rows(owner, relation);
        Ok(())
    }

    fn drop_covered_rows(&self, owner: &Owner, relation: RelationId) {
        let mut held = owner.info.held.lock();
        let Some(covering) = held.mode_of(Resource::Relation(relation)) else {
            return;
        };
        let rows = held.escalate(relation, covering);
        measure::escalated();
        for row in rows {
            self.table().lower(&owner.info, row, None);
        }
    }
}
