//! Snapshots that wait between the pages of a client, by token.
//!
//! A walk over many pages shows one state when each page is read from the snapshot of the first.
//! A kept snapshot costs the versions that it can see, so it is given up when its client stays
//! away, when it is old, and when the same user asks for too many others: then the walk begins
//! anew. Relations are not locked meanwhile; a page of one that was changed or dropped is refused.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tessera_keyvalue::UnixMillis;
use tessera_transactions::TxnView;
use tessera_types::{Report, codes};

use super::client::Client;

/// Snapshots that are kept at one time.
pub const PINS_MAX: usize = 1_024;
/// The same, of one user.
pub const PINS_PER_USER_MAX: usize = 64;
/// Time between two pages.
pub const PIN_IDLE_MAX: Duration = Duration::from_secs(60);
/// Time from the first page to the last.
pub const PIN_AGE_MAX: Duration = Duration::from_secs(600);
/// Bytes of randomness in a token.
const TOKEN_BYTES: usize = 12;

/// What pages are read from.
#[derive(Clone)]
pub struct Pinned {
    view: Arc<TxnView>,
    now: UnixMillis,
    /// What is walked over, as it was defined; holding it keeps its address from being used again.
    of: Arc<dyn Any + Send + Sync>,
}

impl Pinned {
    /// The view that a first page was read from, and the collection or key space.
    pub fn new<T: Any + Send + Sync>(view: Arc<TxnView>, now: UnixMillis, of: &Arc<T>) -> Pinned {
        Pinned {
            view,
            now,
            of: Arc::clone(of) as _,
        }
    }

    /// The view.
    pub fn view(&self) -> Arc<TxnView> {
        Arc::clone(&self.view)
    }

    /// The moment that decides what has expired.
    pub fn now(&self) -> UnixMillis {
        self.now
    }

    /// Makes sure that `of` is what the pages are of, as it was then.
    ///
    /// # Errors
    /// 72000 when it was changed or made anew.
    pub fn check<T: Any + Send + Sync>(&self, of: &Arc<T>) -> Result<(), Report> {
        if std::ptr::addr_eq(Arc::as_ptr(&self.of), Arc::as_ptr(of)) {
            return Ok(());
        }
        Err(Pinned::gone())
    }

    /// 72000.
    pub fn gone() -> Report {
        Report::error(
            codes::SNAPSHOT_TOO_OLD,
            "the snapshot that these pages are read from is gone",
        )
        .with_detail(format!(
            "It is kept for {} seconds from page to page and {} in all, unless what is walked over \
             is changed or too many others are asked for.",
            PIN_IDLE_MAX.as_secs(),
            PIN_AGE_MAX.as_secs()
        ))
        .with_hint("Begin again with the first page.")
    }
}

impl std::fmt::Debug for Pinned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pinned({:?})", self.view.version())
    }
}

struct Pin {
    pinned: Pinned,
    /// Oid of the user.
    owner: u32,
    since: Instant,
    used_at: Instant,
}

/// The kept snapshots.
#[derive(Default)]
pub(super) struct Pins {
    by_token: Mutex<HashMap<String, Pin>>,
}

impl Pins {
    fn add(&self, token: String, pinned: Pinned, owner: u32, now: Instant) {
        let mut all = self.by_token.lock();
        let mine = all.values().filter(|pin| pin.owner == owner).count();
        // Whoever fills the places gives up his own first.
        if mine >= PINS_PER_USER_MAX {
            forget_oldest(&mut all, |pin| pin.owner == owner);
        } else if all.len() >= PINS_MAX {
            forget_oldest(&mut all, |_| true);
        }
        let pin = Pin {
            pinned,
            owner,
            since: now,
            used_at: now,
        };
        all.insert(token, pin);
    }

    fn find(&self, token: &str, owner: u32, now: Instant) -> Option<Pinned> {
        let mut all = self.by_token.lock();
        let pin = all.get_mut(token)?;
        if pin.owner != owner || is_over(pin, now) {
            return None;
        }
        pin.used_at = now;
        Some(pin.pinned.clone())
    }

    fn remove(&self, token: &str, owner: u32) {
        let mut all = self.by_token.lock();
        if all.get(token).is_some_and(|pin| pin.owner == owner) {
            all.remove(token);
        }
    }

    /// Gives up those whose time is over; how many.
    pub(super) fn expire(&self, now: Instant) -> usize {
        let mut all = self.by_token.lock();
        let before = all.len();
        all.retain(|_, pin| !is_over(pin, now));
        before - all.len()
    }

    pub(super) fn close(&self) {
        self.by_token.lock().clear();
    }
}

fn is_over(pin: &Pin, now: Instant) -> bool {
    now.saturating_duration_since(pin.used_at) >= PIN_IDLE_MAX
        || now.saturating_duration_since(pin.since) >= PIN_AGE_MAX
}

fn forget_oldest(all: &mut HashMap<String, Pin>, may: impl Fn(&Pin) -> bool) {
    let candidates = all.iter().filter(|(_, pin)| may(pin));
    let oldest = candidates.min_by_key(|(_, pin)| pin.used_at);
    if let Some(token) = oldest.map(|(token, _)| token.clone()) {
        all.remove(&token);
    }
}

impl Client {
    /// Keeps what a first page was read from; the token for [`Client::pinned`].
    pub fn pin(&self, pinned: Pinned) -> String {
        let mut bytes = [0; TOKEN_BYTES];
        self.environment().random.fill(&mut bytes);
        let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let pins = &self.models().pins;
        pins.add(token.clone(), pinned, self.user.oid, Instant::now());
        token
    }

    /// What the pages of a token are read from.
    ///
    /// # Errors
    /// 72000 when it is not kept any more, or never was, or by another user.
    pub fn pinned(&self, token: &str) -> Result<Pinned, Report> {
        let pins = &self.models().pins;
        let found = pins.find(token, self.user.oid, Instant::now());
        found.ok_or_else(Pinned::gone)
    }

    /// Gives a snapshot up before its time.
    pub fn unpin(&self, token: &str) {
        self.models().pins.remove(token, self.user.oid);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]
mod tests {
    use super::*;
    use crate::{Engine, EngineOptions};

    async fn pinned() -> (Engine, Pinned) {
        let engine = Engine::open(EngineOptions::memory()).await.unwrap();
        let view = engine.transaction_manager().view();
        let pinned = Pinned::new(view, UnixMillis(0), &Arc::new(1_u8));
        (engine, pinned)
    }

    #[tokio::test]
    async fn a_snapshot_is_its_users_until_it_is_idle_or_old() {
        let (engine, pinned) = pinned().await;
        let pins = Pins::default();
        let start = Instant::now();
        pins.add("a".to_owned(), pinned, 1, start);
        assert!(pins.find("a", 2, start).is_none());
        let mut now = start;
        while now + PIN_IDLE_MAX / 2 < start + PIN_AGE_MAX {
            now += PIN_IDLE_MAX / 2;
            assert!(pins.find("a", 1, now).is_some());
            assert_eq!(pins.expire(now), 0);
        }
        assert!(pins.find("a", 1, start + PIN_AGE_MAX).is_none(), "old");
        assert!(pins.find("a", 1, now + PIN_IDLE_MAX).is_none(), "idle");
        assert_eq!(pins.expire(now + PIN_IDLE_MAX), 1);
        engine.close().await.unwrap();
    }

    #[tokio::test]
    async fn who_asks_for_too_many_loses_his_own_oldest() {
        let (engine, pinned) = pinned().await;
        let pins = Pins::default();
        let start = Instant::now();
        pins.add("other".to_owned(), pinned.clone(), 2, start);
        for number in 0..=PINS_PER_USER_MAX {
            let now = start + Duration::from_millis(1 + number as u64);
            pins.add(number.to_string(), pinned.clone(), 1, now);
        }
        let now = start + Duration::from_secs(1);
        assert!(pins.find("0", 1, now).is_none());
        assert!(pins.find("1", 1, now).is_some());
        assert!(pins.find("other", 2, now).is_some());
        for user in 3..40 {
            for number in 0..PINS_PER_USER_MAX {
                pins.add(format!("{user}/{number}"), pinned.clone(), user, now);
            }
        }
        assert_eq!(pins.by_token.lock().len(), PINS_MAX);
        pins.remove("1", 2);
        pins.close();
        assert_eq!(pins.expire(now), 0);
        engine.close().await.unwrap();
    }

    #[tokio::test]
    async fn pages_of_something_else_are_refused() {
        let (engine, _) = pinned().await;
        let of = Arc::new(1_u8);
        let pinned = Pinned::new(engine.transaction_manager().view(), UnixMillis(0), &of);
        assert!(pinned.check(&of).is_ok());
        let refused = pinned.check(&Arc::new(1_u8)).unwrap_err();
        assert_eq!(refused.code, codes::SNAPSHOT_TOO_OLD);
        engine.close().await.unwrap();
    }
}
