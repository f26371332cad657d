//! The one ordered durable log of committed transactions: append, group commit, replay, cut.
//!
//! # Map
//! - `format`: the bytes of a segment; pure, no files.
//! - `segment`: names, creation and headers of segment files.
//! - `scan`: reads segments, tells a torn end from damage.
//! - `state`: the queue, who waits for what, and what became of each version; pure decisions.
//! - `writer`: the one thread that writes, syncs and moves on to the next segment.
//! - `reader`: follows the log while it is written.
//! - `prepare`: makes the next segment ahead of time.
//! - `log`: the handle that ties these together.
//!
//! # Invariants
//! 1. Records are in the file in the order of their versions; each names its predecessor.
//! 2. `wait(version, true)` succeeds only after a sync that covers the record succeeded.
//! 3. After a write or sync failed for any reason but a full disk, nothing is acknowledged again.
//! 4. A segment gets its final name only when its header is durable, and is written only after
//!    the segment before it is durable in full. So only the last segment can be torn.
//! 5. A version that was refused (`DiskFull`) is never replayed.
//!
//! # Not here
//! What a record means; when to cut (storage decides, after a checkpoint).
//!
//! The file format is described in `docs/internals/log-format.md`.

mod error;
mod format;
mod log;
mod options;
mod prepare;
mod reader;
mod scan;
mod segment;
mod state;
mod writer;

pub use error::LogError;
pub use log::{Log, LogHealth, Segment, Wait};
pub use options::LogOptions;
pub use reader::{LogReader, LogRecord};
pub use scan::{LogScan, Replay, scan, verify};
