//! What one owner holds, in the order it got it.
//!
//! Intention locks that the fast path granted stand only here (`fast`); everything else stands in
//! the lock table too. The mutex around this is taken before a shard's, everywhere.

use ahash::RandomState;
use hashbrown::HashMap;
use smallvec::SmallVec;
use tessera_types::RelationId;

use crate::mode::{MODE_COUNT, Mode};
use crate::owner::Mark;
use crate::registry::Membership;
use crate::resource::Resource;

/// Up to this many grants are searched one after the other; more are found through a map.
const LINEAR_SEARCH_MAX: usize = 12;

/// One step: the owner got `now` on `resource`, where it held `before`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// Ordinal among the owner's steps; never reused, so that marks survive an escalation.
    pub(crate) ordinal: u64,
    pub(crate) resource: Resource,
    pub(crate) before: Option<Mode>,
    pub(crate) now: Mode,
    /// Granted by the fast path: the lock table does not know.
    pub(crate) fast: bool,
}

/// What is held on one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grip {
    pub(crate) mode: Mode,
    pub(crate) fast: bool,
}

/// Grants of one owner.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Every grant and upgrade in order; the last step of a resource is what is held.
    pub(crate) steps: SmallVec<[Step; 4]>,
    /// Resource to what is held, once there are too many steps to search.
    index: Option<Box<HashMap<Resource, Grip, RandomState>>>,
    /// Row locks per relation, for escalation.
    rows: SmallVec<[(RelationId, usize); 2]>,
    next_ordinal: u64,
    /// Grants without a wait, by mode, not yet handed to the metrics.
    pub(crate) granted: [u64; MODE_COUNT],
    /// Where the owner is listed, from its first lock on.
    member: Option<Membership>,
}

impl Held {
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.next_ordinal)
    }

    pub(crate) fn count(&self) -> usize {
        match &self.index {
            Some(index) => index.len(),
            None => self
                .steps
                .iter()
                .filter(|step| step.before.is_none())
                .count(),
        }
    }

    pub(crate) fn is_listed(&self) -> bool {
        self.member.is_some()
    }

    pub(crate) fn enlist(&mut self, member: Membership) {
        self.member = Some(member);
    }

    /// Hands the counts of grants over.
    pub(crate) fn count_granted(&mut self) {
        if let Some(member) = &self.member {
            member.count(&mut self.granted);
        }
    }

    /// Takes the owner off the list, by dropping what is returned after the mutex is free.
    pub(crate) fn leave(&mut self) -> Option<Membership> {
        self.count_granted();
        self.member.take()
    }

    pub(crate) fn mode_of(&self, resource: Resource) -> Option<Mode> {
        self.grip_of(resource).map(|grip| grip.mode)
    }

    pub(crate) fn grip_of(&self, resource: Resource) -> Option<Grip> {
        match &self.index {
            Some(index) => index.get(&resource).copied(),
            None => self
                .steps
                .iter()
                .rev()
                .find(|step| step.resource == resource)
                .map(|step| Grip {
                    mode: step.now,
                    fast: step.fast,
                }),
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
    pub(crate) fn record(&mut self, resource: Resource, before: Option<Mode>, now: Grip) -> usize {
        self.steps.push(Step {
            ordinal: self.next_ordinal,
            resource,
            before,
            now: now.mode,
            fast: now.fast,
        });
        self.next_ordinal += 1;
        match &mut self.index {
            Some(index) => {
                index.insert(resource, now);
            }
            None if self.steps.len() > LINEAR_SEARCH_MAX => self.build_index(),
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

    #[cold]
    fn build_index(&mut self) {
        let grip = |step: &Step| Grip {
            mode: step.now,
            fast: step.fast,
        };
        let index = self.steps.iter().map(|step| (step.resource, grip(step)));
        self.index = Some(Box::new(index.collect()));
    }

    /// What the fast path granted on the resource, which the caller now puts into the lock table.
    pub(crate) fn take_fast(&mut self, resource: Resource) -> Option<Mode> {
        let grip = self.grip_of(resource).filter(|grip| grip.fast)?;
        for step in self
            .steps
            .iter_mut()
            .filter(|step| step.resource == resource)
        {
            step.fast = false;
        }
        if let Some(grip) = self
            .index
            .as_mut()
            .and_then(|index| index.get_mut(&resource))
        {
            grip.fast = false;
        }
        Some(grip.mode)
    }

    /// What the fast path granted and is still held.
    pub(crate) fn fast(&self) -> impl Iterator<Item = (Resource, Mode)> {
        self.steps
            .iter()
            .filter(|step| step.fast && step.before.is_none())
            .filter_map(|step| Some((step.resource, self.mode_of(step.resource)?)))
    }

    /// Takes back the last step, if it came after the mark.
    pub(crate) fn pop_after(&mut self, mark: Mark) -> Option<Step> {
        self.steps.last().filter(|step| step.ordinal >= mark.0)?;
        let step = self.steps.pop()?;
        if let Some(index) = &mut self.index {
            match step.before {
                Some(mode) => {
                    let fast = step.fast;
                    index.insert(step.resource, Grip { mode, fast });
                }
                None => {
                    index.remove(&step.resource);
                }
            }
        }
        if step.before.is_none() {
            self.uncount(step.resource);
        }
        Some(step)
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.index = None;
        self.rows.clear();
        self.steps.clear();
    }

    /// Takes out all steps of one resource. Returns what was held.
    pub(crate) fn remove(&mut self, resource: Resource) -> Option<Grip> {
        let grip = self.grip_of(resource)?;
        self.steps.retain(|step| step.resource != resource);
        if let Some(index) = &mut self.index {
            index.remove(&resource);
        }
        self.uncount(resource);
        Some(grip)
    }

    fn uncount(&mut self, resource: Resource) {
        if let Resource::Row(relation, _) = resource
            && let Some((_, count)) = self.rows.iter_mut().find(|(id, _)| *id == relation)
        {
            *count -= 1;
        }
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
            let grip = Grip {
                mode: covering,
                fast: false,
            };
            index.insert(parent, grip);
        }
        taken
    }
}
