//! Every command, once: what checks, help and documentation are made from.
//!
//! - `rows`: the table itself. `lookup`: a name's row. `keys`: which arguments are keys.
//! - `describe`: COMMAND and its kin. `page`: the reference page.

mod describe;
mod keys;
mod lookup;
mod page;
mod rows;

pub(crate) use describe::{count, describe, docs, get_keys, info, list};
pub(crate) use lookup::{Found, find};
pub use page::{reference_page, supported_commands};
pub(crate) use rows::{Command, ROWS};

/// What a command is about; the sections of Redis's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Strings,
    Generic,
    Hashes,
    Lists,
    Sets,
    SortedSets,
    Bitmaps,
    HyperLogLogs,
    Geo,
    Streams,
    PubSub,
    Transactions,
    Connection,
    Server,
    Scripting,
    Cluster,
}

impl Group {
    /// In the order of the reference page.
    pub(crate) const ALL: [Group; 16] = [
        Group::Strings,
        Group::Generic,
        Group::Hashes,
        Group::Lists,
        Group::Sets,
        Group::SortedSets,
        Group::Bitmaps,
        Group::HyperLogLogs,
        Group::Geo,
        Group::Streams,
        Group::PubSub,
        Group::Transactions,
        Group::Connection,
        Group::Server,
        Group::Scripting,
        Group::Cluster,
    ];

    /// The word of COMMAND DOCS.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Group::Strings => "string",
            Group::Generic => "generic",
            Group::Hashes => "hash",
            Group::Lists => "list",
            Group::Sets => "set",
            Group::SortedSets => "sorted-set",
            Group::Bitmaps => "bitmap",
            Group::HyperLogLogs => "hyperloglog",
            Group::Geo => "geo",
            Group::Streams => "stream",
            Group::PubSub => "pubsub",
            Group::Transactions => "transactions",
            Group::Connection => "connection",
            Group::Server => "server",
            Group::Scripting => "scripting",
            Group::Cluster => "cluster",
        }
    }

    /// The heading of the reference page.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Group::Strings => "Strings",
            Group::Generic => "Keys",
            Group::Hashes => "Hashes",
            Group::Lists => "Lists",
            Group::Sets => "Sets",
            Group::SortedSets => "Sorted sets",
            Group::Bitmaps => "Bitmaps",
            Group::HyperLogLogs => "HyperLogLog",
            Group::Geo => "Geospatial indexes",
            Group::Streams => "Streams",
            Group::PubSub => "Publish and subscribe",
            Group::Transactions => "Transactions",
            Group::Connection => "Connection",
            Group::Server => "Server",
            Group::Scripting => "Scripts and functions",
            Group::Cluster => "Cluster",
        }
    }
}

/// How a command is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Reads a space, as one view shows it.
    Read,
    /// Writes a space, in a transaction.
    Write,
    /// Writes or reads a space, and may wait until there is something.
    Block,
    /// Concerns session or server.
    Local,
    /// Is answered with an error.
    Refused,
}

/// Which arguments are keys. Places count from the command's name, which is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    None,
    /// From `first` to `last` (counted from the end if negative), every `step`-th.
    Range {
        first: usize,
        last: i8,
        step: usize,
    },
    /// Their number is at a place, they follow; `target` is one more, at place 1.
    Counted {
        at: usize,
        target: bool,
    },
    /// As many behind STREAMS as there are ids.
    Streams,
    /// Place 1, and what follows STORE or STOREDIST.
    Store,
}

/// Whether a command works as in Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Support {
    Yes,
    /// But for what is said.
    Partly(&'static str),
    /// Why.
    No(&'static str),
}

/// One command, or a subcommand (`config|get`).
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) command: Command,
    pub(crate) name: &'static str,
    pub(crate) group: Group,
    /// Number of arguments, the name included; at least so many if negative.
    pub(crate) arity: i8,
    pub(crate) class: Class,
    pub(crate) flags: u8,
    pub(crate) keys: Keys,
    pub(crate) since: &'static str,
    pub(crate) support: Support,
    pub(crate) summary: &'static str,
}

/// Takes constant time, or nearly.
pub(crate) const FAST: u8 = 1;
/// Allowed before login.
pub(crate) const NO_AUTH: u8 = 2;
/// Allowed while a RESP2 client has subscriptions.
pub(crate) const SUBSCRIBED: u8 = 4;
/// Is done at once within MULTI, not queued.
pub(crate) const AT_ONCE: u8 = 8;
/// Not allowed within MULTI.
pub(crate) const NO_MULTI: u8 = 16;
/// Its subcommands have rows of their own.
pub(crate) const CONTAINER: u8 = 32;
/// Neither reads nor writes data: need not wait for earlier commands of a pipeline.
pub(crate) const APART: u8 = 64;
/// Reads only, though it may block.
pub(crate) const READS: u8 = 128;

impl Row {
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether so many arguments, the name included, are right.
    pub(crate) fn accepts(&self, arguments: usize) -> bool {
        let wanted = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 {
            arguments >= wanted
        } else {
            arguments == wanted
        }
    }

    pub(crate) fn writes(&self) -> bool {
        match self.class {
            Class::Write => true,
            Class::Block => !self.has(READS),
            Class::Read | Class::Local | Class::Refused => false,
        }
    }
}
