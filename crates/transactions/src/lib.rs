//! Transactions over a `Store`: begin, read, write, lock, savepoint, commit, roll back.
//!
//! # Map
//! - `manager`: [`Transactions`]: begins transactions, knows the active ones, lets others join.
//! - `transaction`: [`Transaction`]: the handle; statements, savepoints, hooks.
//! - `write`, `lock`, `commit`: the three things a transaction does to the world, one file each.
//! - `view`: [`TxnView`]: what a statement reads, a snapshot merged with own writes.
//! - `merge`: the merge of a scan with own writes; `own_scan`: those in memory, piece by piece.
//! - `reads`, `intervals`, `tracked`: what a serializable transaction has read, in bounded memory.
//! - `writers`: who committed lately, for errors that name the other side.
//! - `buffer`: own writes, by key and command, in memory and in runs of the store.
//! - `options`, `error`: what callers say and what they are told.
//!
//! # Invariants
//! 1. A view never changes: it reads one snapshot and the own writes of earlier commands.
//! 2. A row is written only under its X lock, taken before its newest version is read. So the
//!    store's commit finds no conflict, and the first updater wins.
//! 3. Order at commit: durable, hooks of dependents, visible, locks released, answered.
//! 4. What came after a savepoint, or in a statement that failed, leaves neither writes nor
//!    hooks behind.
//! 5. A serializable transaction that wrote commits only if all it read is still so.
//! 6. A commit whose fate is unknown is reported as such; it is not repeated here.
//!
//! # Not here
//! Models (tables, catalog), time-outs of statements (`engine`), how a store keeps data.

mod buffer;
mod commit;
mod error;
mod intervals;
mod lock;
mod manager;
mod merge;
mod options;
mod own_scan;
mod reads;
mod tracked;
mod transaction;
mod view;
mod write;
mod writers;

pub use error::{ConflictingWrite, TransactionError};
pub use lock::RowLock;
pub use manager::{ActiveTransaction, Transactions};
pub use options::{Isolation, TransactionOptions, TransactionsOptions};
pub use transaction::{NOTICE_BYTES_MAX, NOTICES_MAX, StatementGuard, Status, Transaction};
pub use view::TxnView;
