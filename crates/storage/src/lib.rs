//! The `Store` trait (ordered keys, snapshots, atomic commit) and its engines.
//!
//! # Map
//! - `store`: the traits [`Store`], [`Snapshot`], [`Scan`], [`Run`], [`RunWriter`].
//! - `batch`: what is committed: [`WriteBatch`] and its outcome.
//! - `reads`: what a serializable commit was based on: [`ReadSet`].
//! - `changes`: commits read again in their order: [`ChangeReader`], [`Watcher`], [`Notice`].
//! - `range`: [`KeySpace`], [`KeyRange`]; `deferred`: answers that are usually there at once.
//! - `live`: which versions live snapshots can still see.
//! - `memory`: the engine that is a model: one ordered map, no files, faults on demand.
//! - `embedded`: the engine for data that matters: log, recent, base, run files, checkpoint.
//! - `directory`: format version, lock file, clean-shutdown mark of a data directory.
//! - `check`: offline integrity check of a data directory.
//!
//! # Invariants
//! 1. A batch is visible whole or not at all, and never before it is as durable as it asked.
//! 2. Versions become visible in their order; a snapshot never changes.
//! 3. What a live snapshot can see is kept, or the snapshot ends with `SnapshotTooOld`; it never
//!    gives a wrong answer.
//! 4. A batch with reads commits only if nothing of them changed before its own version.
//! 5. A commit whose fate is not known is answered `Unknown`, never retried here.
//! 6. Damage is an error with a place; nothing damaged is skipped.
//!
//! # Not here
//! Transactions, locks, uniqueness of columns (`tessera-transactions` and above), meaning of
//! keys and values, networks.

mod batch;
mod capabilities;
mod changes;
mod check;
mod deferred;
mod directory;
mod embedded;
mod error;
mod limits;
mod live;
mod memory;
mod range;
mod reads;
mod statistics;
mod store;

pub use batch::{CommitOutcome, Durability, Origin, Publish, Write, WriteBatch};
pub use capabilities::Capabilities;
pub use changes::{ChangeItem, ChangeReader, ChangeWindow, Notice, Reach, Watcher, Watching};
pub use check::{Finding, IntegrityReport, check, check_with};
pub use deferred::Deferred;
pub use directory::FORMAT;
pub use embedded::{BaseKind, EmbeddedOptions, open_embedded};
pub use error::{Conflict, StoreError};
pub use memory::{MemoryControl, MemoryOptions, open_memory, open_memory_with};
pub use range::{KeyRange, KeySpace, prefix_end};
pub use reads::{
    REFINED_RANGES_MAX, ReadFilter, ReadKey, ReadRange, ReadSet, RefinedRange, successor,
};
pub use statistics::{SnapshotStatistics, StoreStatistics};
pub use store::{
    Key, Mode, Row, Run, RunEntry, RunId, RunScan, RunWriter, Scan, ScanOptions, Snapshot, Store,
    Val,
};
