//! What one transaction holds, in the order it got it.

use std::fmt;
use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashMap;
use parking_lot::Mutex;
use smallvec::SmallVec;
use tessera_types::{RelationId, TxnId};

use crate::mode::Mode;
use crate::resource::Resource;

/// Up to this many grants are searched one after the other; more are found through a map.
const LINEAR_SEARCH_MAX: usize = 12;

/// A transaction in the eyes of the lock manager. Holding one costs nothing until it locks.
///
/// Dropping it does not release anything: [`crate::LockManager::release_all`] does.
#[derive(Debug)]
pub struct Owner {
    pub(crate) info: Arc<OwnerInfo>,
    pub(crate) held: Mutex<Held>,
}

/// The part that holders and waiters of a queue point to.
pub(crate) struct OwnerInfo {
    pub(crate) txn: TxnId,
    /// The statement that runs now, for the errors of others.
    statement: Mutex<Option<Arc<str>>>,
}

/// A point in the order of an owner's grants, to release back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub(crate) u64);

/// One step: the owner got `now` on `resource`, where it held `before`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// Ordinal among the owner's steps; never reused, so that marks survive an escalation.
    pub(crate) ordinal: u64,
    pub(crate) resource: Resource,
    pub(crate) before: Option<Mode>,
    pub(crate) now: Mode,
}

/// Grants of one owner.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Every grant and upgrade in order; the last step of a resource is what is held.
    pub(crate) steps: SmallVec<[Step; 4]>,
    /// Resource to mode, once there are too many steps to search.
    index: Option<Box<HashMap<Resource, Mode, RandomState>>>,
    /// Row locks per relation, for escalation.
    rows: SmallVec<[(RelationId, usize); 2]>,
    next_ordinal: u64,
}

impl Owner {
    /// An owner for the transaction. Every transaction has exactly one.
    pub fn new(txn: TxnId) -> Self {
        Owner {
            info: Arc::new(OwnerInfo {
                txn,
                statement: Mutex::new(None),
            }),
            held: Mutex::new(Held::default()),
        }
    }

    /// The transaction.
    pub fn txn(&self) -> TxnId {
        self.info.txn
    }

    /// Remembers the statement that runs now; errors of other transactions show it.
    pub fn set_statement(&self, statement: Option<Arc<str>>) {
        *self.info.statement.lock() = statement;
    }

    /// The present point in the order of grants.
    pub fn mark(&self) -> Mark {
        Mark(self.held.lock().next_ordinal)
    }

    /// The mode held on exactly this resource.
    pub fn mode_of(&self, resource: Resource) -> Option<Mode> {
        self.held.lock().mode_of(resource)
    }

    /// Number of resources held.
    pub fn held_count(&self) -> usize {
        let held = self.held.lock();
        match &held.index {
            Some(index) => index.len(),
            None => held
                .steps
                .iter()
                .filter(|step| step.before.is_none())
                .count(),
        }
    }
}

impl OwnerInfo {
    pub(crate) fn statement(&self) -> Option<Arc<str>> {
        self.statement.lock().clone()
    }
}

impl fmt::Debug for OwnerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnerInfo({})", self.txn)
    }
}

impl Held {
    pub(crate) fn mode_of(&self, resource: Resource) -> Option<Mode> {
        match &self.index {
            Some(index) => index.get(&resource).copied(),
            None => self
                .steps
                .iter()
                .rev()
                .find(|s| s.resource == resource)
                .map(|s| s.now),
        }
    }

    /// Whether a lock on the parent already allows `mode` on the resource.
    pub(crate) fn is_covered(&self, resource: Resource, mode: Mode) -> bool {
        let mut above = resource.parent();
        while let Some(parent) = above {
            if self
                .mode_of(parent)
                .is_some_and(|held| held.covers_child(mode))
            {
                return true;
            }
            above = parent.parent();
        }
        false
    }

    /// Records a grant. Returns how many rows of its relation are now locked one by one.
    pub(crate) fn record(&mut self, resource: Resource, before: Option<Mode>, now: Mode) -> usize {
        self.steps.push(Step {
            ordinal: self.next_ordinal,
            resource,
            before,
            now,
        });
        self.next_ordinal += 1;
        match &mut self.index {
            Some(index) => {
                index.insert(resource, now);
            }
            None if self.steps.len() > LINEAR_SEARCH_MAX => {
                let index = self
                    .steps
                    .iter()
                    .map(|step| (step.resource, step.now))
                    .collect();
                self.index = Some(Box::new(index));
            }
            None => {}
        }
        let (Resource::Row(relation, _), None) = (resource, before) else {
            return 0;
        };
        match self.rows.iter_mut().find(|(id, _)| *id == relation) {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => {
                self.rows.push((relation, 1));
                1
            }
        }
    }

    /// Takes back the last step, if it came after the mark.
    pub(crate) fn pop_after(&mut self, mark: Mark) -> Option<Step> {
        self.steps.last().filter(|step| step.ordinal >= mark.0)?;
        let step = self.steps.pop()?;
        if let Some(index) = &mut self.index {
            match step.before {
                Some(before) => {
                    index.insert(step.resource, before);
                }
                None => {
                    index.remove(&step.resource);
                }
            }
        }
        if let (Resource::Row(relation, _), None) = (step.resource, step.before)
            && let Some((_, count)) = self.rows.iter_mut().find(|(id, _)| *id == relation)
        {
            *count -= 1;
        }
        Some(step)
    }

    /// Takes everything out.
    pub(crate) fn take_all(&mut self) -> SmallVec<[Step; 4]> {
        self.index = None;
        self.rows.clear();
        std::mem::take(&mut self.steps)
    }

    /// The relation is now held in `covering`, which replaces its row locks: takes them out.
    ///
    /// The stronger lock takes the place of the relation's first step. So a release back to a
    /// mark never gives up what rows locked before the mark need.
    pub(crate) fn escalate(&mut self, relation: RelationId, covering: Mode) -> Vec<Resource> {
        let parent = Resource::Relation(relation);
        let mut taken = Vec::new();
        self.steps.retain(|step| {
            if step.resource == parent {
                step.now = covering;
                return step.before.is_none();
            }
            let replaced = matches!(step.resource, Resource::Row(id, _) if id == relation);
            if replaced && step.before.is_none() {
                taken.push(step.resource);
            }
            !replaced
        });
        self.rows.retain(|(id, _)| *id != relation);
        if let Some(index) = &mut self.index {
            for resource in &taken {
                index.remove(resource);
            }
            index.insert(parent, covering);
        }
        taken
    }
}
