//! What the catalog stores: schemas, tables, indexes, views, sequences and users.
//!
//! Plain data, shared behind `Arc` and never changed in place: a DDL verb makes a new
//! definition with a higher `version`. Everything that is kept on disk derives `serde`;
//! the envelope and its format number are in `record`.
//!
//! # Not here
//! How a definition is checked (`create`, `alter`, `drop`), found (`state`) or kept (`record`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tessera_types::{RelationId, SqlType, Value, Version};

use crate::form::{sql_type_form, value_form};

/// Version of one object's definition; it grows with every change of that object.
///
/// Plans and cached decoders are keyed by `(RelationId, ObjectVersion)`: a stale one is never
/// found.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
pub struct ObjectVersion(pub u64);

/// A name space for relations, such as `public`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaDef {
    /// Object id; also the row's oid in `pg_namespace`.
    pub oid: u32,
    /// Name, unique in the database.
    pub name: String,
    /// Oid of the owning user.
    pub owner: u32,
    /// Text set by `COMMENT ON SCHEMA`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// What a relation with columns holds, and so which crate gives its storage a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// Rows of a table.
    #[default]
    Rows,
    /// Keys with values of several types and times to live.
    KeySpace,
    /// JSON documents.
    Collection,
}

impl Model {
    /// The word for such a relation in messages.
    pub fn noun(self) -> &'static str {
        match self {
            Model::Rows => "table",
            Model::KeySpace => "key space",
            Model::Collection => "collection",
        }
    }

    /// Whether it is a table of rows; for records of releases that knew nothing else.
    pub fn is_rows(&self) -> bool {
        *self == Model::Rows
    }
}

/// One table with its columns, indexes and constraints; or a key space or collection, with the
/// columns by which SQL sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TableDef {
    /// Object id, stable over renames and changes.
    pub id: RelationId,
    /// Prefix of the table's row keys: equals `id` until a TRUNCATE gives the table fresh storage.
    pub storage: RelationId,
    /// Name of the schema that holds the table.
    pub schema: String,
    /// Name, unique among the relations of the schema.
    pub name: String,
    /// Version of this definition.
    pub version: ObjectVersion,
    /// What it holds.
    #[serde(default, skip_serializing_if = "Model::is_rows")]
    pub model: Model,
    /// Properties that the model gives a meaning to; null for a table of rows.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub options: serde_json::Value,
    /// Storage of the model's own indexes, destroyed with the relation. `options` says what each
    /// is for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<RelationId>,
    /// Live columns in the order of their numbers. Numbers of dropped columns are not reused.
    pub columns: Vec<ColumnDef>,
    /// Columns that were dropped: stored rows may still have their slots.
    #[serde(default)]
    pub dropped: Vec<DroppedColumn>,
    /// Number that the next added column gets.
    pub next_column: u16,
    /// Index that is the primary key, if there is one; also listed in `indexes`.
    pub primary_key: Option<RelationId>,
    /// All indexes, the primary key's first, then by id.
    pub indexes: Vec<Arc<IndexDef>>,
    /// CHECK constraints.
    pub checks: Vec<CheckDef>,
    /// Oid of the owning user.
    pub owner: u32,
    /// Text set by `COMMENT ON TABLE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Commit that published this definition; `Version::ZERO` while it is uncommitted or for
    /// definitions read when the database was opened.
    #[serde(skip)]
    pub published_at: Version,
}

/// One column of a table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ColumnDef {
    /// Column number (`attnum`): 1-based, never reused in the table.
    pub id: u16,
    /// Name, unique in the table.
    pub name: String,
    /// Declared type.
    #[serde(with = "sql_type_form")]
    pub sql_type: SqlType,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// DEFAULT expression as SQL text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Set for `GENERATED … AS IDENTITY`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Set for `GENERATED ALWAYS AS (expression) STORED`: the expression as SQL text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated: Option<String>,
    /// Value of this column in rows written before the column was added.
    ///
    /// `None` means NULL; so ADD COLUMN with a constant default rewrites no row.
    #[serde(with = "value_form", default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Value>,
    /// Text set by `COMMENT ON COLUMN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// A column that is gone, but whose values may still be in stored rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedColumn {
    /// Its number.
    pub id: u16,
    /// Its type, which stored rows need to be read past it.
    #[serde(with = "sql_type_form")]
    pub sql_type: SqlType,
}

/// An identity column's rule and its sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// `GENERATED ALWAYS` (an explicit value is refused) instead of `BY DEFAULT`.
    pub always: bool,
    /// The sequence that gives the values.
    pub sequence: RelationId,
}

/// One index, which may back a PRIMARY KEY or UNIQUE constraint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexDef {
    /// Object id.
    pub id: RelationId,
    /// Prefix of the index's keys: equals `id` until the table is truncated.
    pub storage: RelationId,
    /// Name, unique among the relations of the table's schema.
    pub name: String,
    /// Key columns, most significant first.
    pub columns: Vec<IndexColumn>,
    /// Whether two rows may not have the same key.
    pub unique: bool,
    /// Whether this is the primary key.
    pub primary: bool,
    /// The constraint this index backs, if it was made by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraint: Option<ConstraintId>,
    /// `UNIQUE NULLS NOT DISTINCT`: NULLs count as equal.
    #[serde(default)]
    pub nulls_not_distinct: bool,
    /// Text set by `COMMENT ON INDEX`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

impl IndexDef {
    /// Name of the constraint this index backs; constraint and index share their name.
    pub fn constraint_name(&self) -> Option<&str> {
        self.constraint.map(|_| self.name.as_str())
    }
}

/// Oid of a constraint in `pg_constraint`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConstraintId(pub u32);

/// One column of an index key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexColumn {
    /// The table's column number.
    pub column: u16,
    /// Largest first.
    #[serde(default)]
    pub descending: bool,
    /// NULLs before other values. PostgreSQL's default is `descending`.
    #[serde(default)]
    pub nulls_first: bool,
}

/// A CHECK constraint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckDef {
    /// Object id.
    pub id: ConstraintId,
    /// Name, unique among the table's constraints.
    pub name: String,
    /// The condition as SQL text, without `CHECK ( )`.
    pub sql: String,
}

/// A stored query.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ViewDef {
    /// Object id.
    pub id: RelationId,
    /// Name of the schema.
    pub schema: String,
    /// Name, unique among the relations of the schema.
    pub name: String,
    /// Version of this definition.
    pub version: ObjectVersion,
    /// The query as SQL text, every relation in it qualified by its schema.
    pub sql: String,
    /// Names and types of the columns.
    pub columns: Vec<ViewColumn>,
    /// Relations that the query reads. They cannot be dropped without the view.
    pub depends_on: Vec<RelationId>,
    /// Columns that the query reads; a relation without any entry here is read whole.
    #[serde(default)]
    pub depends_on_columns: Vec<(RelationId, u16)>,
    /// Oid of the owning user.
    pub owner: u32,
    /// Text set by `COMMENT ON VIEW`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Commit that published this definition.
    #[serde(skip)]
    pub published_at: Version,
}

/// One column of a view.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ViewColumn {
    /// Name.
    pub name: String,
    /// Type.
    #[serde(with = "sql_type_form")]
    pub sql_type: SqlType,
    /// Text set by `COMMENT ON COLUMN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// A number generator. Its values are not transactional.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SequenceDef {
    /// Object id.
    pub id: RelationId,
    /// Name of the schema.
    pub schema: String,
    /// Name, unique among the relations of the schema.
    pub name: String,
    /// Version of this definition.
    pub version: ObjectVersion,
    /// Range and steps.
    pub options: SequenceOptions,
    /// Column whose drop drops the sequence too.
    pub owned_by: Option<OwnedBy>,
    /// Oid of the owning user.
    pub owner: u32,
    /// Text set by `COMMENT ON SEQUENCE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// The column that owns a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedBy {
    /// The table.
    pub table: RelationId,
    /// Its column.
    pub column: u16,
    /// The sequence belongs to an identity column and cannot be dropped alone.
    pub identity: bool,
}

/// Type, range and steps of a sequence, complete (defaults filled in).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceOptions {
    /// `SmallInt`, `Integer` or `BigInt`.
    #[serde(with = "sql_type_form")]
    pub sql_type: SqlType,
    /// First value.
    pub start: i64,
    /// Step, not zero; may be negative.
    pub increment: i64,
    /// Smallest value.
    pub min: i64,
    /// Largest value.
    pub max: i64,
    /// Values that a session may take at once (`CACHE`).
    pub cache: i64,
    /// Begin again after the last value.
    pub cycle: bool,
}

/// A user who may log in, or a role that may not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserDef {
    /// Object id; also the row's oid in `pg_authid`.
    pub oid: u32,
    /// Name, unique in the database.
    pub name: String,
    /// SCRAM-SHA-256 verifier in PostgreSQL's text form; `None` means no password log-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verifier: Option<String>,
    /// May do everything.
    pub admin: bool,
    /// May log in.
    pub login: bool,
    /// Text set by `COMMENT ON ROLE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// What `ANALYZE` found in one table.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TableStatistics {
    /// Estimated number of rows.
    pub rows: f64,
    /// Estimated bytes of the rows.
    pub bytes: u64,
    /// When, in microseconds since 1970; 0 for never.
    pub analyzed_at: i64,
    /// Per column number.
    #[serde(default)]
    pub columns: std::collections::BTreeMap<u16, ColumnStatistics>,
}

/// What `ANALYZE` found in one column.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ColumnStatistics {
    /// Share of NULLs, 0 to 1.
    pub null_fraction: f64,
    /// Estimated number of different values.
    pub distinct: f64,
    /// Mean bytes of a value.
    pub width: f64,
}

impl TableDef {
    /// The live column of that name.
    pub fn column(&self, name: &str) -> Option<&ColumnDef> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Position of a column number among the live columns.
    pub fn position(&self, column: u16) -> Option<usize> {
        // Live columns are sorted by number.
        self.columns.binary_search_by_key(&column, |c| c.id).ok()
    }

    /// The live column of that number.
    pub fn column_by_id(&self, column: u16) -> Option<&ColumnDef> {
        self.position(column).map(|at| &self.columns[at])
    }

    /// The index that is the primary key.
    pub fn primary_key_index(&self) -> Option<&Arc<IndexDef>> {
        let id = self.primary_key?;
        self.indexes.iter().find(|index| index.id == id)
    }

    /// Indexes apart from the primary key's.
    pub fn secondary_indexes(&self) -> impl Iterator<Item = &Arc<IndexDef>> {
        self.indexes
            .iter()
            .filter(|index| Some(index.id) != self.primary_key)
    }

    /// The index of that id.
    pub fn index(&self, id: RelationId) -> Option<&Arc<IndexDef>> {
        self.indexes.iter().find(|index| index.id == id)
    }

    /// Names of an index's key columns, in key order.
    pub fn index_column_names<'a>(&'a self, index: &'a IndexDef) -> impl Iterator<Item = &'a str> {
        index
            .columns
            .iter()
            .filter_map(|c| self.column_by_id(c.column))
            .map(|c| c.name.as_str())
    }
}

impl ViewDef {
    /// Whether the query reads the column.
    pub fn reads_column(&self, relation: RelationId, column: u16) -> bool {
        let mut columns = self
            .depends_on_columns
            .iter()
            .filter(|(id, _)| *id == relation)
            .peekable();
        self.depends_on.contains(&relation)
            && (columns.peek().is_none() || columns.any(|(_, id)| *id == column))
    }
}
