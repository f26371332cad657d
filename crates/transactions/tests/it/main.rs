//! Transactions over both engines.

mod anomalies;
mod commit;
mod model;
mod world;
