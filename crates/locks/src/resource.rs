//! What can be locked. Resources form a tree: the database, its relations, their rows. Advisory
//! locks stand beside it.

use std::fmt;

use tessera_types::RelationId;

/// Something that can be locked. Small and `Copy`; rows and ranges are named by a hash, so two
/// rows may share a lock. That costs a needless wait, never a missed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// Everything.
    Database,
    /// A table, index, view or sequence.
    Relation(RelationId),
    /// A key range of a relation, named by the caller.
    Range(RelationId, u64),
    /// A row or index key, named by the hash of its key.
    Row(RelationId, u64),
    /// What an application means by (space, key); has no parent and protects no data.
    Advisory(u64, u64),
}

impl Resource {
    /// The resource that must be held in an intention mode before this one is granted.
    pub fn parent(self) -> Option<Resource> {
        match self {
            Resource::Database | Resource::Advisory(..) => None,
            Resource::Relation(_) => Some(Resource::Database),
            Resource::Range(relation, _) | Resource::Row(relation, _) => {
                Some(Resource::Relation(relation))
            }
        }
    }

    /// The relation that the resource is or belongs to.
    pub fn relation(self) -> Option<RelationId> {
        match self {
            Resource::Database | Resource::Advisory(..) => None,
            Resource::Relation(relation)
            | Resource::Range(relation, _)
            | Resource::Row(relation, _) => Some(relation),
        }
    }

    /// Whether intention modes on it have a meaning: there are resources below.
    pub(crate) fn has_children(self) -> bool {
        matches!(self, Resource::Database | Resource::Relation(_))
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Resource::Database => write!(f, "database"),
            Resource::Relation(relation) => write!(f, "relation {}", relation.0),
            Resource::Range(relation, range) => {
                write!(f, "range {range:016x} of relation {}", relation.0)
            }
            Resource::Row(relation, hash) => {
                write!(f, "row {hash:016x} of relation {}", relation.0)
            }
            Resource::Advisory(space, key) => write!(f, "advisory lock {space}/{key}"),
        }
    }
}
