//! Keys and documents for the front doors: who asks, in which transaction, of which relation.
//!
//! # Map
//! - `client`: [`Client`], one user's way in; runs work in a transaction and repeats what lost.
//! - `held`: transactions that wait between the requests of a client, by token.
//! - `names`: names of key spaces and collections, and who may use them.
//! - `key_spaces`: key spaces: made when first written to, opened once per process.
//! - `collections`: collections and their indexes; definitions ready to use.
//! - `pins`: snapshots that wait between the pages of a client.
//! - `password`: plain passwords, without a hundred milliseconds for each request.
//! - `reclaim`: what has expired is removed in the background; idle transactions end.
//!
//! # Invariants
//! 1. Work on a relation holds an intention lock on it, and the relation was there after the lock
//!    was granted. So DROP waits for it, and nothing is written to storage that is gone.
//! 2. A key space is opened once per relation and process: its counts are in memory.
//! 3. A failed call leaves none of its writes behind, whatever transaction it ran in.
//! 4. Everything that is kept between calls has a bound.
//!
//! # Not here
//! The meaning of the data (`keyvalue`, `documents`), wire formats.

mod client;
mod collections;
mod held;
mod key_spaces;
mod names;
mod password;
mod pins;
mod reclaim;

use std::sync::Arc;
use std::time::Duration;

use tessera_catalog::Catalog;
use tessera_documents::Proposals;
use tessera_transactions::Transactions;
use tessera_types::Report;

pub use client::{Call, Client};
pub use collections::{CollectionInfo, IndexSpec};
pub use held::{BeginOptions, Joined};
pub use key_spaces::{KeySpaceInfo, REDIS_DATABASES, database_name};
pub use pins::{PIN_AGE_MAX, PIN_IDLE_MAX, PINS_MAX, PINS_PER_USER_MAX, Pinned};

use crate::engine::Engine;
use crate::settings::{Effective, SessionSettings};
use collections::Collections;
use held::Held;
use key_spaces::KeySpaces;
use password::Passwords;
use pins::Pins;
pub(crate) use reclaim::{RECLAIM_INTERVAL, expire_idle, reclaim};

/// What all clients of an engine share.
pub(crate) struct Models {
    transactions: Arc<Transactions>,
    catalog: Arc<Catalog>,
    spaces: KeySpaces,
    collections: Collections,
    held: Held,
    pins: Pins,
    passwords: Passwords,
    proposals: Proposals,
    /// The server's defaults: time-outs, durability, isolation.
    defaults: Arc<Effective>,
}

impl Models {
    pub(crate) fn new(
        catalog: &Arc<Catalog>,
        setting_defaults: &[(String, String)],
    ) -> Result<Arc<Models>, Report> {
        let settings = SessionSettings::new(Arc::from(""), setting_defaults, &[])?;
        let transactions = catalog.transactions();
        Ok(Arc::new(Models {
            passwords: Passwords::new(&transactions.environment().random),
            transactions: Arc::clone(transactions),
            catalog: Arc::clone(catalog),
            spaces: KeySpaces::default(),
            collections: Collections::default(),
            held: Held::default(),
            pins: Pins::default(),
            proposals: Proposals::new(),
            defaults: settings.effective(),
        }))
    }

    /// Ends the transactions and snapshots that wait for their clients, and lets no transaction
    /// begin.
    pub(crate) fn shut_down(&self) {
        self.held.close();
        self.pins.close();
    }

    /// Time that a transaction may wait for its client.
    fn idle_limit(&self) -> Option<Duration> {
        self.defaults.idle_in_transaction_timeout
    }
}

impl Engine {
    /// The transactions of the engine, for doors that keep some of their own.
    pub fn transaction_manager(&self) -> &Arc<Transactions> {
        &self.shared.transactions
    }
}
