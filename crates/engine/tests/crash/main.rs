//! Power cut under SQL: transfers over several tables, with indexes, DDL, spilled transactions and
//! checkpoints, on a simulated disk.

#![expect(clippy::unwrap_used, reason = "a test ends where something fails")]

mod power_loss;
