//! The change stream: what was committed, in its order, over all models.
//!
//! It reads the one log: a commit is given when it is visible and durable, so what was given stays,
//! and a cursor means the same after a crash. Nothing is kept per reader but a piece of a commit.
//!
//! # Map
//! - `cursor`: the position of a reader, as text.
//! - `relations`: which relation a stored key belongs to, by the definitions of its time; who may
//!   read it.
//! - `stream`: [`ChangeStream`]: pieces of commits to [`Change`]s.
//!
//! # Invariants
//! 1. Between two cursors every change of a relation that is followed is given once, in the order
//!    of the commits; within a commit in the order of storage.
//! 2. A user gets changes of relations that he may read now.
//! 3. Elements of a key's value are not told, but their key is: its record changes with them.
//!
//! # Not here
//! Values before the change: the log does not have them. Changes of views, sequences, users. What
//! was written to a relation before it was dropped, truncated or rewritten, for readers that come
//! later: nobody knows its columns any more.

mod cursor;
mod relations;
mod stream;

use std::sync::Arc;

use bytes::Bytes;
use tessera_documents::Document;
use tessera_keyvalue::KeyFacts;
use tessera_tables::Row;
use tessera_types::{SqlType, Value, Version};

pub use relations::Followed;
pub use stream::ChangeStream;
pub use tessera_catalog::Model;

/// Relations that one reader may name.
pub const RELATIONS_MAX: usize = 100;

/// Where to begin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ChangesFrom {
    /// With what is committed from now on.
    #[default]
    Now,
    /// With the oldest change that is kept.
    Oldest,
    /// Behind the change that had this cursor.
    Cursor(String),
}

/// What to follow.
#[derive(Debug, Clone, Default)]
pub struct ChangesRequest {
    /// Where to begin.
    pub from: ChangesFrom,
    /// Names of relations, such as `orders`, `app.orders`, `kv.db0`; all if none.
    pub relations: Vec<String>,
    /// Models; all if none.
    pub models: Vec<Model>,
}

/// What became of a row, key or document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It did not exist before the transaction.
    Insert,
    /// It has another value; or was written by a rewrite of its table.
    Update,
    /// It is gone.
    Delete,
}

impl ChangeKind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            ChangeKind::Insert => "insert",
            ChangeKind::Update => "update",
            ChangeKind::Delete => "delete",
        }
    }
}

/// What became of a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaAction {
    /// It was made.
    Create,
    /// It has another definition or name.
    Alter,
    /// It has new storage: all rows are gone, or follow as updates because the table was rewritten.
    Truncate,
    /// It is gone, with all it held.
    Drop,
}

impl SchemaAction {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            SchemaAction::Create => "create",
            SchemaAction::Alter => "alter",
            SchemaAction::Truncate => "truncate",
            SchemaAction::Drop => "drop",
        }
    }
}

/// A column's name, type and value.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnValue {
    /// Its name.
    pub name: String,
    /// Its type.
    pub sql_type: SqlType,
    /// Its value.
    pub value: Value,
}

/// One change, or a mark between commits.
#[derive(Debug, Clone)]
pub enum What {
    /// A row of a table.
    Row {
        /// The table.
        relation: Arc<Followed>,
        /// What happened.
        kind: ChangeKind,
        /// The columns of the primary key; of a table without one, none.
        key: Vec<ColumnValue>,
        /// The whole row, unless it is gone: one value per column of the table.
        row: Option<Row>,
    },
    /// A key of a key space.
    Key {
        /// The key space.
        relation: Arc<Followed>,
        /// What happened.
        kind: ChangeKind,
        /// The key.
        key: Bytes,
        /// What is there now.
        facts: Option<KeyFacts>,
    },
    /// A document of a collection.
    Document {
        /// The collection.
        relation: Arc<Followed>,
        /// What happened.
        kind: ChangeKind,
        /// The document's id.
        id: String,
        /// The document, unless it is gone.
        document: Option<Document>,
    },
    /// A relation.
    Schema {
        /// The relation, by its new definition, or its last one.
        relation: Arc<Followed>,
        /// What happened.
        action: SchemaAction,
    },
    /// The commit of the changes before it is complete.
    Commit {
        /// How many of its changes were given to this reader.
        changes: u64,
    },
}

/// One change with its place.
#[derive(Debug, Clone)]
pub struct Change {
    /// A reader that begins with this cursor gets what comes after the change.
    pub cursor: String,
    /// The commit.
    pub version: Version,
    /// When it was committed, microseconds since 1970, if the log knows.
    pub unix_micros: Option<i64>,
    /// What changed.
    pub what: What,
}
