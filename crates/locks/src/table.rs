//! Where the queues are: partitions without a shared mutex, shards within them.
//!
//! Each relation has a partition of its own, found through a table that only ever grows: no
//! mutex and no write that other relations share. `RELATIONS_MAX` bounds it; relations past it
//! share partitions, which costs needless contention and nothing else.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};

use ahash::RandomState;
use hashbrown::HashTable;
use tessera_types::RelationId;
use tokio::time::Instant;

use crate::mode::Mode;
use crate::owner::OwnerInfo;
use crate::pace::Pace;
use crate::queue::{Holder, Queue, Requested};
use crate::registry::Padded;
use crate::resource::Resource;
use crate::sync::{AtomicU32, Mutex, Ordering, TABLE_SHARDS};

/// Relations with a partition of their own.
const RELATIONS_MAX: usize = 4096;
/// Places looked at before a relation shares the partition at its first one.
const PROBES_MAX: usize = 8;
/// Queues that a shard keeps for the next contention.
const SPARE_QUEUES_MAX: usize = 4;

/// All queues of one lock manager.
#[derive(Debug)]
pub(crate) struct Table {
    database: Partition,
    advisory: Partition,
    relations: Box<[RelationSlot]>,
    hasher: RandomState,
    pub(crate) is_profiling: AtomicBool,
    pub(crate) pace: Pace,
}

#[derive(Debug, Default)]
struct RelationSlot {
    /// Relation id + 1; 0 while free. Never changes back.
    tag: AtomicU64,
    partition: OnceLock<Box<Partition>>,
}

/// Queues of one relation and of what is below it.
#[derive(Debug)]
pub(crate) struct Partition {
    /// Strong modes held on a parent (database, relation) of this partition, requests for one
    /// that are being decided, and waiters. While it is 0, intention modes need no queue.
    strong: Padded<AtomicU32>,
    shards: Box<[Padded<Mutex<Shard>>]>,
}

#[derive(Debug, Default)]
struct Shard {
    slots: HashTable<(Resource, Slot)>,
    #[expect(clippy::vec_box, reason = "the box itself is what is reused")]
    spare: Vec<Box<Queue>>,
}

/// What a resource in use has: one holder, as a rule.
#[derive(Debug)]
enum Slot {
    One(Holder),
    Many(Box<Queue>),
}

/// Keeps intention modes off the fast path while it lives.
#[derive(Debug)]
pub(crate) struct Raised<'a>(&'a Partition);

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.strong.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Table {
    pub(crate) fn new(pace: Pace) -> Table {
        Table {
            database: Partition::new(1),
            advisory: Partition::new(TABLE_SHARDS),
            relations: (0..RELATIONS_MAX)
                .map(|_| RelationSlot::default())
                .collect(),
            hasher: RandomState::new(),
            is_profiling: AtomicBool::new(false),
            pace,
        }
    }

    pub(crate) fn partition(&self, resource: Resource) -> &Partition {
        match resource {
            Resource::Database => &self.database,
            Resource::Advisory(..) => &self.advisory,
            Resource::Relation(relation)
            | Resource::Range(relation, _)
            | Resource::Row(relation, _) => self.partition_of(relation),
        }
    }

    fn partition_of(&self, relation: RelationId) -> &Partition {
        let tag = u64::from(relation.0) + 1;
        let home = (tag.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 52) as usize;
        let mut found = home % RELATIONS_MAX;
        for probe in 0..PROBES_MAX {
            let at = (home + probe) % RELATIONS_MAX;
            let slot = &self.relations[at].tag;
            let mut present = slot.load(Ordering::Acquire);
            if present == 0 {
                present = match slot.compare_exchange(0, tag, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => tag,
                    Err(other) => other,
                };
            }
            if present == tag {
                found = at;
                break;
            }
        }
        self.relations[found]
            .partition
            .get_or_init(|| Box::new(Partition::new(TABLE_SHARDS)))
    }

    fn hash(&self, resource: Resource) -> u64 {
        self.hasher.hash_one(resource)
    }

    /// Keeps intention modes on the resource off the fast path until the guard is dropped.
    pub(crate) fn raise(&self, resource: Resource) -> Raised<'_> {
        let partition = self.partition(resource);
        partition.strong.0.fetch_add(1, Ordering::SeqCst);
        Raised(partition)
    }

    /// Whether intention modes on the resource need no queue now. The answer stays right for the
    /// caller's owner while its `held` mutex is held: whoever raises asks for that mutex next.
    pub(crate) fn is_weak(&self, resource: Resource) -> bool {
        self.partition(resource).strong.0.load(Ordering::SeqCst) == 0
    }

    /// Asks for `mode` beside the `before` that the owner holds. Never waits.
    pub(crate) fn request(
        &self,
        owner: &Arc<OwnerInfo>,
        resource: Resource,
        before: Option<Mode>,
        mode: Mode,
    ) -> Requested {
        if resource.has_children() {
            return self.edit(resource, |queue, _| queue.request(owner, before, mode));
        }
        let hash = self.hash(resource);
        let mut shard = self.partition(resource).shard(hash).lock();
        let Some((_, slot)) = shard.slots.find_mut(hash, |(key, _)| *key == resource) else {
            let holder = Holder::new(owner, mode);
            let rehash = |entry: &(Resource, Slot)| self.hash(entry.0);
            shard
                .slots
                .insert_unique(hash, (resource, Slot::One(holder)), rehash);
            return Requested::Granted { now: mode };
        };
        match slot {
            Slot::One(holder) => {
                if let Some(requested) = holder.request(owner, before, mode) {
                    return requested;
                }
            }
            Slot::Many(queue) => return queue.request(owner, before, mode),
        }
        shard.edit(
            hash,
            resource,
            None,
            |queue| queue.request(owner, before, mode),
            &self.hasher,
        )
    }

    /// Sets what the owner holds to `to`, or releases it, and wakes whom that lets in.
    pub(crate) fn lower(&self, owner: &Arc<OwnerInfo>, resource: Resource, to: Option<Mode>) {
        if !resource.has_children() {
            let hash = self.hash(resource);
            let mut shard = self.partition(resource).shard(hash).lock();
            let Ok(mut entry) = shard.slots.find_entry(hash, |(key, _)| *key == resource) else {
                return;
            };
            if let Slot::One(holder) = &mut entry.get_mut().1 {
                if !Arc::ptr_eq(&holder.owner, owner) {
                    return;
                }
                match to {
                    Some(mode) => holder.mode = mode,
                    None => drop(entry.remove()),
                }
                return;
            }
        }
        self.edit(resource, |queue, now| {
            queue.lower(owner, to, now);
            queue.settle(now);
        });
    }

    /// Changes the queue of a resource, which is made for it if need be, and keeps account of
    /// strong modes, of blame and of empty queues.
    pub(crate) fn edit<R>(
        &self,
        resource: Resource,
        change: impl FnOnce(&mut Queue, Instant) -> R,
    ) -> R {
        let hash = self.hash(resource);
        let partition = self.partition(resource);
        let strong = resource.has_children().then_some(&partition.strong.0);
        let is_profiling = self.is_profiling.load(Ordering::Relaxed);
        let mut shard = partition.shard(hash).lock();
        let change = |queue: &mut Queue| {
            // Read under the mutex, so that time does not go back from one change to the next.
            let now = Instant::now();
            let result = change(queue, now);
            queue.blame(is_profiling, now);
            if let Some(hold) = queue.ended_hold.take() {
                self.pace.held(hold);
            }
            result
        };
        shard.edit(hash, resource, strong, change, &self.hasher)
    }

    /// Looks at the queues of all resources, one shard after the other.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(Resource, &[Holder], Option<&Queue>)) {
        for shard in self.shards() {
            for (resource, slot) in &shard.lock().slots {
                match slot {
                    Slot::One(holder) => visit(*resource, std::slice::from_ref(holder), None),
                    Slot::Many(queue) => visit(*resource, queue.holders(), Some(queue)),
                }
            }
        }
    }

    /// Looks at one resource.
    pub(crate) fn look<R>(
        &self,
        resource: Resource,
        visit: impl FnOnce(&[Holder], Option<&Queue>) -> R,
    ) -> R {
        let hash = self.hash(resource);
        let shard = self.partition(resource).shard(hash).lock();
        match shard.slots.find(hash, |(key, _)| *key == resource) {
            None => visit(&[], None),
            Some((_, Slot::One(holder))) => visit(std::slice::from_ref(holder), None),
            Some((_, Slot::Many(queue))) => visit(queue.holders(), Some(queue)),
        }
    }

    /// Number of resources that have a queue or a holder here.
    pub(crate) fn len(&self) -> usize {
        self.shards().map(|shard| shard.lock().slots.len()).sum()
    }

    fn shards(&self) -> impl Iterator<Item = &Mutex<Shard>> {
        let relations = self
            .relations
            .iter()
            .filter_map(|slot| slot.partition.get());
        [&self.database, &self.advisory]
            .into_iter()
            .chain(relations.map(|partition| &**partition))
            .flat_map(|partition| partition.shards.iter().map(|shard| &shard.0))
    }
}

impl Partition {
    fn new(shards: usize) -> Partition {
        Partition {
            strong: Padded(AtomicU32::new(0)),
            shards: (0..shards).map(|_| Padded::default()).collect(),
        }
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        // The table inside uses the lowest and the highest bits.
        &self.shards[(hash >> 32) as usize % self.shards.len()].0
    }
}

impl Shard {
    fn edit<R>(
        &mut self,
        hash: u64,
        resource: Resource,
        strong: Option<&AtomicU32>,
        change: impl FnOnce(&mut Queue) -> R,
        hasher: &RandomState,
    ) -> R {
        let spare = &mut self.spare;
        let mut entry = self
            .slots
            .entry(
                hash,
                |(key, _)| *key == resource,
                |(key, _)| hasher.hash_one(key),
            )
            .or_insert_with(|| (resource, Slot::Many(spare.pop().unwrap_or_default())));
        let slot = &mut entry.get_mut().1;
        if let Slot::One(_) = slot {
            let queue = Slot::Many(spare.pop().unwrap_or_default());
            if let Slot::One(holder) = std::mem::replace(slot, queue)
                && let Slot::Many(queue) = slot
            {
                queue.adopt(holder.owner, holder.mode);
            }
        }
        let Slot::Many(queue) = slot else {
            unreachable!("replaced above");
        };
        let before = queue.strong();
        let result = change(queue);
        if let Some(strong) = strong {
            match queue.strong().cmp(&before) {
                std::cmp::Ordering::Greater => {
                    strong.fetch_add(queue.strong() - before, Ordering::SeqCst);
                }
                std::cmp::Ordering::Less => {
                    strong.fetch_sub(before - queue.strong(), Ordering::SeqCst);
                }
                std::cmp::Ordering::Equal => {}
            }
        }
        if queue.is_empty()
            && let ((_, Slot::Many(queue)), _) = entry.remove()
            && self.spare.len() < SPARE_QUEUES_MAX
        {
            self.spare.push(queue);
        }
        result
    }
}
