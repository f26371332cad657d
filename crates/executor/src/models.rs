//! Key spaces and collections as the executor meets them: who opens them, what the catalog keeps.
//!
//! The catalog keeps what the document crate calls a definition, without the id and the name,
//! which are the relation's own. The storage of each index is one of the relation's parts.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::{Map, Value, json};
use tessera_catalog::TableDef;
use tessera_documents::{Collection, CollectionDef, DocumentError};
use tessera_keyvalue::Space;
use tessera_types::{RelationId, Report};

/// Opens key spaces and collections for statements. The engine does: it keeps the counts of key
/// spaces, and collections ready to use.
pub trait OpenModels: Send + Sync {
    /// The space of a relation.
    fn space<'a>(&'a self, table: &'a TableDef) -> BoxFuture<'a, Result<Arc<Space>, Report>>;

    /// The collection of a relation.
    fn collection(&self, table: &Arc<TableDef>) -> Result<Arc<Collection>, Report>;
}

/// The definition that a relation's options are.
pub fn collection_definition(table: &TableDef) -> Result<CollectionDef, DocumentError> {
    let mut options = match &table.options {
        Value::Object(options) => options.clone(),
        _ => Map::new(),
    };
    options.insert("id".to_owned(), json!(table.id.0));
    options.insert("name".to_owned(), json!(table.name));
    CollectionDef::from_value(&Value::Object(options))
}

/// What the catalog keeps of a definition: options, and the storage of its indexes.
pub fn collection_options(def: &CollectionDef) -> (Value, Vec<RelationId>) {
    let mut options = def.to_value();
    if let Value::Object(options) = &mut options {
        options.shift_remove("id");
        options.shift_remove("name");
    }
    let parts = def.indexes.iter().map(|index| index.id).collect();
    (options, parts)
}
