//! The list of owners that may hold locks the lock table does not know (those of the fast path).
//!
//! It is written by each owner twice in its life, into a stripe chosen by thread, and read only
//! when a strong mode is asked for or a view wants everything.

use std::sync::Arc;

use crate::measure;
use crate::mode::MODE_COUNT;
use crate::owner::OwnerInfo;
use crate::sync::{Mutex, REGISTRY_STRIPES};

/// Grants that a stripe gathers before the metrics get them.
const GRANTED_MAX: u64 = 1_024;

/// Keeps what two threads write off one cache line (and its neighbour, which is fetched along).
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

/// All owners that have locked something and are not dropped.
#[derive(Debug)]
pub(crate) struct Registry {
    stripes: Box<[Arc<Stripe>]>,
}

type Stripe = Padded<Mutex<Members>>;

#[derive(Debug, Default)]
struct Members {
    slots: Vec<Option<Arc<OwnerInfo>>>,
    free: Vec<usize>,
    /// Grants without a wait, by mode, that the metrics have not got yet.
    granted: [u64; MODE_COUNT],
}

/// An owner's place in the list; dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Membership {
    stripe: Arc<Stripe>,
    slot: usize,
}

impl Registry {
    pub(crate) fn new() -> Registry {
        Registry {
            stripes: (0..REGISTRY_STRIPES).map(|_| Arc::default()).collect(),
        }
    }

    pub(crate) fn enlist(&self, owner: &Arc<OwnerInfo>) -> Membership {
        let stripe = &self.stripes[stripe_of_this_thread()];
        let mut members = stripe.0.lock();
        let entry = Some(Arc::clone(owner));
        let slot = match members.free.pop() {
            Some(slot) => {
                members.slots[slot] = entry;
                slot
            }
            None => {
                members.slots.push(entry);
                members.slots.len() - 1
            }
        };
        drop(members);
        Membership {
            stripe: Arc::clone(stripe),
            slot,
        }
    }

    /// Calls `visit` with every owner, outside the list's mutexes.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&Arc<OwnerInfo>)) {
        for stripe in &self.stripes {
            let owners: Vec<_> = stripe.0.lock().slots.iter().flatten().cloned().collect();
            owners.iter().for_each(&mut visit);
        }
    }

    /// Takes the counts of grants that have gathered.
    pub(crate) fn take_granted(&self) -> [u64; MODE_COUNT] {
        let mut sum = [0; MODE_COUNT];
        for stripe in &self.stripes {
            let granted = std::mem::take(&mut stripe.0.lock().granted);
            for (sum, granted) in sum.iter_mut().zip(granted) {
                *sum += granted;
            }
        }
        sum
    }
}

impl Membership {
    /// Moves an owner's counts of grants to its stripe.
    pub(crate) fn count(&self, granted: &mut [u64; MODE_COUNT]) {
        let mut members = self.stripe.0.lock();
        for (sum, granted) in members.granted.iter_mut().zip(granted.iter_mut()) {
            *sum += std::mem::take(granted);
        }
        if members.granted.iter().sum::<u64>() >= GRANTED_MAX {
            measure::granted_at_once(&std::mem::take(&mut members.granted));
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let owner = {
            let mut members = self.stripe.0.lock();
            members.free.push(self.slot);
            members.slots[self.slot].take()
        };
        drop(owner);
    }
}

/// Threads have different stripes, as a rule: the address of a thread's own variable tells them
/// apart without any state.
fn stripe_of_this_thread() -> usize {
    thread_local!(static HERE: u8 = const { 0 });
    let address = HERE.with(|here| std::ptr::from_ref(here) as usize as u64);
    (address.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58) as usize % REGISTRY_STRIPES
}
