//! Newtypes for the ids that cross crate borders.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Oids below this one belong to the system; user objects are numbered from here.
const FIRST_USER_ID: u32 = 16_384;

/// A table, index, view or sequence; equals its PostgreSQL oid.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct RelationId(pub u32);

impl RelationId {
    /// The smallest id a user object may have.
    pub const FIRST_USER: RelationId = RelationId(FIRST_USER_ID);

    /// Whether the relation was made by a user (and not by the system).
    pub fn is_user(self) -> bool {
        self.0 >= FIRST_USER_ID
    }
}

impl fmt::Display for RelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A transaction, unique in the life of a data directory.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TxnId(pub u64);

impl fmt::Display for TxnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A commit's place in the one order of all commits. Opaque: only comparing it has a meaning.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Version(pub u64);

impl Version {
    /// Before the first commit.
    pub const ZERO: Version = Version(0);
    /// After every commit.
    pub const MAX: Version = Version(u64::MAX);

    /// The version right after this one.
    pub fn next(self) -> Version {
        Version(self.0.saturating_add(1))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
