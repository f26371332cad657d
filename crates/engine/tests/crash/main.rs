//! Power cut on a simulated disk: under SQL, transfers over several tables with indexes, DDL,
//! spilled transactions and checkpoints; over all models, orders in a key, a document and a row.

#![expect(clippy::unwrap_used, reason = "a test ends where something fails")]

mod mixed;
mod power_loss;
