//! The meaning of the document model: collections of JSON documents with ids and versions.
//!
//! # Map
//! - `definition`: [`CollectionDef`], [`IndexDef`]: what a collection is, as data.
//! - `collection`: [`Collection`], a definition ready to use; get, scan, building an index, check.
//! - `document`: [`Document`], [`DocumentId`]; bytes of stored documents.
//! - `write`: insert, change, delete, bulk writes, changes by filter, reclaiming what has expired.
//! - `update`: MongoDB's update operators; `patch`: JSON Patch and JSON Merge Patch.
//! - `schema`: JSON Schema 2020-12.
//! - `path`: dotted paths; `filter`: MongoDB's filter language; `jsonpath`: RFC 9535.
//! - `order`: the order of values, [`Sort`].
//! - `index`: entries of secondary indexes and their maintenance.
//! - `query`: [`Query`]: choice of an index, sort, pages, projection, [`Explain`].
//! - `aggregate`: [`Pipeline`]: documents through stages, in bounded memory.
//! - `proposals`: [`Proposals`]: filters that no index answered.
//!
//! # Invariants
//! 1. At every commit an index holds exactly the entries of the documents that are there.
//! 2. An index never changes an answer: it gives a superset of the documents, in the order asked
//!    for or in none, and the filter decides on each.
//! 3. A document is changed only under its lock, on its newest version; it gets a greater version.
//! 4. A document that is refused has left no write.
//! 5. Nothing holds a whole collection in memory; every bound has a name, `*_MAX`.
//!
//! # How it is used
//! Writers begin a statement of their transaction, call methods of [`Collection`], and finish the
//! statement or undo it on an error. Readers hand in a view: that of a transaction, or
//! `Transactions::view`. Bodies come and go as `serde_json::Value`; parse text with
//! `tessera_codec::json::parse`, which is strict where `serde_json` is not.
//!
//! # Not here
//! Names and grants of collections (catalog), locks of whole collections, HTTP, SQL. The id is not
//! stored in the body; filters, sorts and pipelines see it as `_id`.

mod aggregate;
mod collection;
mod definition;
mod document;
mod error;
mod filter;
mod index;
mod jsonpath;
mod number;
mod order;
mod patch;
mod path;
mod proposals;
mod query;
mod schema;
mod update;
mod write;

pub use aggregate::{
    AGGREGATE_BYTES_MAX, Aggregated, Collections, EXPRESSION_DEPTH_MAX, NoCollections, Pipeline,
    STAGES_MAX,
};
pub use collection::{Collection, DocumentScan, IndexBuild};
pub use definition::{
    CollectionDef, CollectionOptions, INDEX_FIELDS_MAX, INDEXES_MAX, IdPolicy, IndexDef,
    IndexField, IndexKind,
};
pub use document::{Document, DocumentId, ID_BYTES_MAX, ID_FIELD};
pub use error::{DocumentError, Result, SchemaViolation};
pub use filter::{
    FILTER_DEPTH_MAX, FILTER_NODES_MAX, FILTER_VALUES_MAX, Filter, REGEX_BYTES_MAX,
    REGEX_COMPILED_BYTES_MAX,
};
pub use index::{INDEX_ENTRIES_MAX, INDEX_KEY_BYTES_MAX, INDEX_VALUE_BYTES_MAX};
pub use jsonpath::{
    JSONPATH_BYTES_MAX, JSONPATH_DEPTH_MAX, JSONPATH_DESCENDANTS_MAX, JsonPath, JsonPathNode,
};
pub use order::{SORT_FIELDS_MAX, Sort};
pub use patch::{JsonPatch, PATCH_OPERATIONS_MAX, merge_patch};
pub use path::{PATH_BYTES_MAX, PATH_SEGMENTS_MAX, Path};
pub use proposals::{PROPOSALS_MAX, Proposal, Proposals};
pub use query::{
    Explain, Found, PROJECTION_PATHS_MAX, Projection, Query, SORT_BYTES_MAX, TOKEN_BYTES_MAX, Way,
};
pub use schema::VIOLATIONS_MAX;
pub use update::{ARRAY_GROWTH_MAX, UPDATE_PATHS_MAX, Update, UpdateContext};
pub use write::{BULK_MAX, BulkOrder, BulkWrite, Change, Expected, UpdateCounts, Written};
