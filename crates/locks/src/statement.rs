//! What an owner runs, and, while others wait for it, when it changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::Instant;

use crate::sync::Mutex;

/// Changes of statement kept of one owner while others wait for it. Past it the oldest is
/// forgotten and its time counts for the statement after it.
const CHANGES_MAX: usize = 64;

/// A statement of an owner.
#[derive(Debug, Clone, Default)]
pub(crate) struct Statement {
    /// What runs, or ran last.
    pub(crate) text: Option<Arc<str>>,
    /// Nothing runs: the owner is idle in its transaction.
    pub(crate) is_idle: bool,
}

/// The present statement and those before it that someone may still be charged for.
#[derive(Debug, Default)]
pub(crate) struct Statements {
    /// Number of queues that charge their waits to this owner.
    charged: AtomicU32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    now: Statement,
    /// Earlier statements and when each ended; kept only while `charged`.
    before: Vec<(Instant, Option<Arc<str>>)>,
}

impl Statements {
    pub(crate) fn set(&self, text: Option<Arc<str>>) {
        let mut state = self.state.lock();
        let Some(text) = text else {
            state.now.is_idle = true;
            return;
        };
        let before = state.now.text.replace(text);
        state.now.is_idle = false;
        if self.charged.load(Ordering::Relaxed) > 0 {
            if state.before.len() == CHANGES_MAX {
                state.before.remove(0);
            }
            state.before.push((Instant::now(), before));
        }
    }

    pub(crate) fn current(&self) -> Statement {
        self.state.lock().now.clone()
    }

    /// From now on changes are remembered.
    pub(crate) fn charge(&self) {
        self.charged.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn discharge(&self) {
        let mut state = self.state.lock();
        if self.charged.fetch_sub(1, Ordering::Relaxed) == 1 {
            state.before.clear();
        }
    }

    /// Calls `add` with every statement that ran between the two instants, and for how many
    /// nanoseconds. The parts sum to the whole.
    pub(crate) fn split(
        &self,
        from: Instant,
        to: Instant,
        mut add: impl FnMut(&Option<Arc<str>>, u64),
    ) {
        let state = self.state.lock();
        let mut at = from;
        for (ended, text) in &state.before {
            let ended = (*ended).min(to);
            if ended > at {
                add(text, nanos(at, ended));
                at = ended;
            }
        }
        if to > at {
            add(&state.now.text, nanos(at, to));
        }
    }
}

fn nanos(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_nanos()).unwrap_or(u64::MAX)
}
