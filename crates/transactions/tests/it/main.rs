//! Transactions over both engines.

#![expect(clippy::unwrap_used, reason = "a test ends where something fails")]

mod anomalies;
mod commit;
mod list_append;
mod model;
mod own_scans;
mod serializable;
mod world;
