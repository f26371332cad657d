//! Schema objects with version ids, users, sequences and statistics.
//!
//! # Map
//! - `definition`: what is stored: tables, indexes, views, sequences, schemas, users.
//! - `spec`: what callers ask the verbs for.
//! - `state`: [`CatalogState`], one immutable version of everything, and look-ups in it.
//! - `catalog`: [`Catalog`]: opening, the present state, publishing.
//! - `overlay`: DDL of one transaction before its commit.
//! - `model`: key spaces and collections as relations.
//! - `create`, `alter`, `drop`, `comment`, `user`: the verbs; `check`: what they check.
//! - `sequence`: values of sequences; `storage`: truncation and garbage; `statistics`: estimates.
//! - `record`, `form`: the stored form; `names`: identifiers; [`refusal`]: PostgreSQL's texts.
//!
//! # Invariants
//! 1. A state never changes; a definition never changes. What changes gets a new version.
//! 2. The stored records and the committed state change together: a verb's changes become
//!    visible by the same commit that makes its records durable.
//! 3. A relation is changed under its X lock, and a name is taken or given up under a lock on
//!    the name. Users of a relation hold at least IS on it while they depend on its definition.
//! 4. Undoing a statement or savepoint undoes its DDL.
//! 5. An oid is never used twice, also across crashes and rollbacks.
//!
//! # Not here
//! SQL text (`planner`), rows (`tables`), `pg_catalog` views (`executor`), passwords in clear.

mod alter;
mod catalog;
mod check;
mod comment;
mod create;
mod definition;
mod drop;
mod error;
mod form;
mod model;
mod names;
mod overlay;
mod record;
pub mod refusal;
mod sequence;
mod spec;
mod state;
mod statistics;
mod storage;
mod user;

pub use catalog::{BOOTSTRAP_USER_OID, Catalog, KEY_SPACES_SCHEMA_OID, PUBLIC_SCHEMA_OID};
pub use check::{COLUMNS_MAX, INDEX_COLUMNS_MAX};
pub use definition::{
    CheckDef, ColumnDef, ColumnStatistics, ConstraintId, DroppedColumn, Identity, IndexColumn,
    IndexDef, Model, ObjectVersion, OwnedBy, SchemaDef, SequenceDef, SequenceOptions, TableDef,
    TableStatistics, UserDef, ViewColumn, ViewDef,
};
pub use error::CatalogError;
pub use names::{NAME_BYTES_MAX, quote_name, truncate_name};
pub use record::EntryChange;
pub use sequence::Position;
pub use spec::{
    AlterTable, ColumnSource, ColumnSpec, CommentTarget, ConstraintSpec, DropBehavior,
    IndexColumnSpec, IndexSpec, SequenceChange, SequenceSpec, TableSpec, UserSpec, ViewSpec,
};
pub use state::{CatalogState, KEY_SPACES_SCHEMA, Relation, SYSTEM_SCHEMAS};
