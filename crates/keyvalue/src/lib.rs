//! The meaning of the key-value model: key spaces, types of values, times to live, exact counts.
//!
//! Commands mean what the documentation of Redis 7 says they mean; each method names its command.
//! <https://redis.io/commands/>
//!
//! # Use
//! A [`Space`] is opened once per relation. Each command is a statement of a transaction
//! (`Transaction::start_statement`):
//! - [`Reader`]`::new(&space, view, now)` reads a view, `txn.view()` in a transaction or
//!   `transactions.view()` without one, and takes no locks;
//! - [`Writer`]`::new(&space, &txn, now)` reads what is newest under the X locks of the keys that it
//!   writes, and keeps the locks until the transaction ends. A method that fails may have written
//!   already: undo the statement by dropping its guard.
//!
//! The time is an argument ([`UnixMillis::now`] of the environment's clock). What has expired by then
//! is not there. `Writer::reclaim` is for a background task.
//!
//! # Map
//! - `space`: [`Space`]: opening, counts, prefixes. `counters`, `prefixes`: how counts are exact.
//! - `reader`, `writer`: one view; one statement; how a record is locked, stored, removed.
//! - `layout`: bytes of keys. `record`: bytes of a key's record. `rows`: walks over scans.
//! - `keys`: DEL, EXISTS, TYPE, TTL, EXPIRE, PERSIST, RENAME, COPY, MOVE, RANDOMKEY, OBJECT ENCODING,
//!   FLUSHDB. `scan`: SCAN, KEYS. `sort`: SORT. `glob`: patterns. `reclaim`: background work.
//! - `strings`, `counting`: GET, SET, MGET, MSET, GETEX, GETDEL, APPEND, SETRANGE, GETRANGE,
//!   INCRBY, INCRBYFLOAT. `lcs`: LCS. `bitmap`, `bitfield`: SETBIT, BITCOUNT, BITPOS, BITOP,
//!   BITFIELD. `hyperloglog`: PFADD, PFCOUNT, PFMERGE.
//! - `hash`: HSET and its kin. `list`: LPUSH and its kin. `set`: SADD and its kin.
//! - `zset`: ZADD and its kin. `geo`: GEOADD and its kin.
//! - `stream`: XADD and its kin, consumer groups.
//! - `changes`: what a stored change means, for those who follow them.
//! - `waiting`: [`KeyWaiter`], for BLPOP and its kin. WATCH is `Writer::is_changed_since`.
//! - `number`, `time`, `error`: text of numbers; moments; what callers are told.
//!
//! # Invariants
//! 1. Whoever writes a key, or anything below it, holds the X lock of its record, read the newest
//!    record under it, and writes the record again.
//! 2. A key has one record. What is below it lies under the record's generation, which no other
//!    record has or ever had; so a deleted key's elements are out of sight at once.
//! 3. A collection has elements, or its key does not exist; streams may be empty.
//! 4. Counts of a space and of its prefixes change exactly when a commit becomes visible, and
//!    two writers of different keys never wait for each other because of them.
//! 5. Every record that expires has one entry in the index of expiries, and no other entry exists.
//!
//! # Not here
//! Protocols and their spelling of errors; the names of key spaces (the catalog's); time-outs of who
//! waits; publish and subscribe; the other models.

mod bitfield;
mod bitmap;
mod changes;
mod counters;
mod counting;
mod error;
mod geo;
mod glob;
mod hash;
mod hyperloglog;
mod keys;
mod layout;
mod lcs;
mod list;
mod names;
mod number;
mod prefixes;
mod reader;
mod reclaim;
mod record;
mod rows;
mod scan;
mod set;
mod sort;
mod space;
mod stream;
mod strings;
mod time;
mod waiting;
mod writer;
mod zset;

pub use bitfield::{FieldOperation, FieldOverflow, FieldType};
pub use bitmap::{BitOperation, BitRange, BitUnit};
pub use changes::{KeyFacts, key_of_change};
pub use error::{KeyValueError, Result};
pub use geo::{GeoCenter, GeoMatch, GeoOrder, GeoSearch, GeoShape, Position};
pub use glob::glob_matches;
pub use keys::{ExpireCondition, KeyInfo};
pub use layout::{
    ELEMENT_BYTES_MAX, GROUP_BYTES_MAX, KEY_BYTES_MAX, MEMBER_BYTES_MAX, STRING_BYTES_MAX,
    key_of_stored, stored_key, whole_range,
};
pub use lcs::{Lcs, LcsMatch};
pub use list::{End, LposOptions, Side};
pub use names::RANDOM_REPEATS_MAX;
pub use number::{format_score, parse_float, parse_integer};
pub use prefixes::{Footprint, PrefixFootprint};
pub use reader::Reader;
pub use reclaim::{ReclaimLimits, Reclaimed};
pub use record::ValueType;
pub use scan::{KeyPage, SCAN_COUNT_DEFAULT, ScanSpec};
pub use set::SetOperation;
pub use sort::SortSpec;
pub use space::{Space, SpaceOptions};
pub use stream::{
    AddId, Autoclaimed, Claim, ClaimOptions, ConsumerInfo, Fields, GroupInfo, GroupStart,
    PendingEntry, PendingSummary, ReadFrom, ReadGroup, StreamEntry, StreamId, StreamInfo,
    StreamRange, Trim, TrimTo, XaddOptions,
};
pub use strings::{GetExpiry, SetCondition, SetExpiry, SetOptions, SetOutcome};
pub use time::{Expire, TimeToLive, UnixMillis};
pub use waiting::KeyWaiter;
pub use writer::Writer;
pub use zset::{
    Aggregate, LexBound, LexRange, RangeBy, RangeSpec, ScoreBound, ScoreComparison, ScoreRange,
    Scored, ZaddOptions, ZaddOutcome, ZsetOperation,
};
