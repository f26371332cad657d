//! Whose fault a queue's waits are, moment by moment.
//!
//! All waiters of a queue wait, through the ones before them, for the holder that is in the way
//! of the first one. So the queue keeps one running account of time per blocking statement; a
//! waiter notes where the account stood when it came, and is charged the difference when it
//! leaves. That is exact for every event, and costs a waiter the number of blocking statements,
//! not the number of holders that came and went.

use std::sync::Arc;

use smallvec::SmallVec;
use tokio::time::Instant;

use crate::owner::OwnerInfo;

/// Blocking statements told apart in one queue; the time of further ones counts as other.
const BLAME_STATEMENTS_MAX: usize = 32;
/// What those are called.
pub(crate) const OTHER: &str = "(other)";

/// Nanoseconds per blocking statement. Only ever extended, so an earlier state is a prefix.
pub(crate) type Account = SmallVec<[(Option<Arc<str>>, u64); 2]>;

/// The running account of a queue.
#[derive(Debug)]
pub(crate) struct Blame {
    since: Instant,
    blocker: Option<Arc<OwnerInfo>>,
    account: Account,
}

impl Blame {
    pub(crate) fn new(now: Instant) -> Blame {
        Blame {
            since: now,
            blocker: None,
            account: Account::new(),
        }
    }

    pub(crate) fn blocker(&self) -> Option<&Arc<OwnerInfo>> {
        self.blocker.as_ref()
    }

    /// The account as it stands at this instant.
    pub(crate) fn settle(&mut self, now: Instant) -> &Account {
        let now = now.max(self.since);
        let (since, account) = (self.since, &mut self.account);
        match &self.blocker {
            Some(blocker) => blocker
                .statements
                .split(since, now, |text, nanos| charge(account, text, nanos)),
            None => {
                let nanos = now.saturating_duration_since(since).as_nanos() as u64;
                charge(account, &None, nanos);
            }
        }
        self.since = now;
        &self.account
    }

    /// From now on the time is charged to another owner.
    pub(crate) fn turn_to(&mut self, blocker: Option<&Arc<OwnerInfo>>, now: Instant) {
        let same = match (&self.blocker, blocker) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        if same {
            return;
        }
        self.settle(now);
        if let Some(next) = blocker {
            next.statements.charge();
        }
        if let Some(last) = std::mem::replace(&mut self.blocker, blocker.cloned()) {
            last.statements.discharge();
        }
    }
}

impl Drop for Blame {
    fn drop(&mut self) {
        if let Some(last) = &self.blocker {
            last.statements.discharge();
        }
    }
}

fn charge(account: &mut Account, text: &Option<Arc<str>>, nanos: u64) {
    if nanos == 0 {
        return;
    }
    if let Some((_, sum)) = account.iter_mut().find(|(known, _)| is_same(known, text)) {
        *sum += nanos;
        return;
    }
    if account.len() < BLAME_STATEMENTS_MAX {
        account.push((text.clone(), nanos));
        return;
    }
    let other = Some(Arc::from(OTHER));
    match account.iter_mut().find(|(known, _)| is_same(known, &other)) {
        Some((_, sum)) => *sum += nanos,
        None => account.push((other, nanos)),
    }
}

fn is_same(a: &Option<Arc<str>>, b: &Option<Arc<str>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
        (None, None) => true,
        _ => false,
    }
}

/// What was added to the account since it stood at `base`.
pub(crate) fn difference(account: &Account, base: &Account) -> Account {
    account
        .iter()
        .enumerate()
        .map(|(at, (text, sum))| {
            let before = base.get(at).map_or(0, |(_, before)| *before);
            (text.clone(), sum - before)
        })
        .filter(|(_, nanos)| *nanos > 0)
        .collect()
}
