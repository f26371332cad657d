//! Collections and their indexes: made, changed, dropped in transactions; ready to use, cached.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tessera_catalog::{CatalogState, Model, TableDef};
use tessera_documents::{Collection, CollectionDef, DocumentError, IndexDef};
use tessera_executor::{collection_definition, collection_options};
use tessera_transactions::Transaction;
use tessera_types::{RelationId, Report, codes};

use super::Models;
use super::client::{Call, Client};
use super::key_spaces::owner_name;
use super::names::{check_may, collection_name, find};

/// Collections made ready by definition; those of dropped relations are forgotten at the next
/// look.
#[derive(Default)]
pub(super) struct Collections {
    ready: Mutex<HashMap<RelationId, Ready>>,
}

struct Ready {
    def: Arc<TableDef>,
    collection: Arc<Collection>,
}

/// A collection, for lists.
#[derive(Clone, Debug)]
pub struct CollectionInfo {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Name of the owner.
    pub owner: String,
    /// `{"indexes": [...], "schema": {...}, "id_policy": "any"}`, without the ids of storage.
    pub options: Value,
}

/// An index to be made: a name, and `{"fields": [...], "unique", "sparse", "partial"}` or
/// `{"ttl": {"path", "after_seconds"}}`.
#[derive(Clone, Debug)]
pub struct IndexSpec {
    /// Name, unique in the collection.
    pub name: String,
    /// What it holds; an object.
    pub options: Map<String, Value>,
}

/// Options as users see them: storage is nobody's business.
fn shown(options: &Value) -> Value {
    let mut options = options.clone();
    if let Some(Value::Array(indexes)) = options.get_mut("indexes") {
        for index in indexes {
            if let Value::Object(index) = index {
                index.shift_remove("id");
            }
        }
    }
    options
}

impl Models {
    /// A definition ready to use. Definitions are told apart by their address, for one that was
    /// rolled back may have had the version of a later one.
    pub(super) fn ready(&self, table: &Arc<TableDef>) -> Result<Arc<Collection>, Report> {
        if let Some(ready) = self.collections.ready.lock().get(&table.id)
            && Arc::ptr_eq(&ready.def, table)
        {
            return Ok(Arc::clone(&ready.collection));
        }
        // Outside of the lock: a schema takes a while to compile.
        let collection = Collection::new(collection_definition(table)?)?;
        let state = self.catalog.state();
        let is_committed = state
            .table(table.id)
            .is_some_and(|committed| Arc::ptr_eq(committed, table));
        if is_committed {
            let mut ready = self.collections.ready.lock();
            if !ready.contains_key(&table.id) {
                ready.retain(|id, _| state.table(*id).is_some());
            }
            ready.insert(
                table.id,
                Ready {
                    def: Arc::clone(table),
                    collection: Arc::clone(&collection),
                },
            );
        }
        Ok(collection)
    }

    /// The committed collections that may have a TTL index, ready to use.
    pub(super) fn expiring_collections(&self) -> Vec<Arc<Collection>> {
        let state = self.catalog.state();
        let tables = state.tables().into_iter();
        tables
            .filter(|table| table.model == Model::Collection && !table.parts.is_empty())
            .filter_map(|table| self.ready(table).ok())
            .collect()
    }
}

impl Client {
    /// The collection of that name (`orders`, `app.orders`) as a statement of `txn` uses it: as
    /// defined now, until the transaction ends.
    ///
    /// # Errors
    /// 42P01 when there is none, 42809 for other relations, 42501 for those of others.
    pub async fn collection(
        &self,
        txn: &Transaction,
        text: &str,
    ) -> Result<Arc<Collection>, Report> {
        let (schema, name) = collection_name(text)?;
        let models = self.models();
        let found = models.lock_named(txn, &self.user, schema, name).await?;
        models.ready(&collection_of(found, text)?)
    }

    /// Finds collections by name for a pipeline of `txn` (`$lookup`).
    pub fn collections<'a>(
        &'a self,
        txn: &'a Transaction,
    ) -> impl tessera_documents::Collections + 'a {
        Lookup { client: self, txn }
    }

    /// Makes a collection: `options` is `{"indexes": [...], "schema": {...}, "id_policy": "any"}`,
    /// all of it optional. The user who makes it owns it.
    ///
    /// # Errors
    /// 42P07 when there is a relation of that name; 42P17 for definitions that cannot be.
    pub async fn create_collection(
        &self,
        call: &Call,
        text: &str,
        options: &Map<String, Value>,
    ) -> Result<CollectionInfo, Report> {
        let (schema, name) = collection_name(text)?;
        let models = self.models();
        let catalog = &models.catalog;
        self.run(call, move |txn| async move {
            let mut options = options.clone();
            if let Some(Value::Array(indexes)) = options.get_mut("indexes") {
                for index in indexes {
                    let Value::Object(index) = index else {
                        continue;
                    };
                    let part = catalog.new_part().await?;
                    refuse_id(index)?;
                    index.insert("id".to_owned(), json!(part.0));
                }
            }
            refuse_id(&options)?;
            // Its own id is the catalog's to give; any does for checking the rest.
            options.insert("id".to_owned(), json!(0));
            options.insert("name".to_owned(), json!(name));
            let def = CollectionDef::from_value(&Value::Object(options))?;
            Collection::new(def.clone())?;
            let (options, parts) = collection_options(&def);
            let owner = self.user.oid;
            let table = catalog
                .create_collection(&txn, schema, name, options, parts, owner)
                .await?;
            Ok(info(&catalog.state_for(&txn), &table))
        })
        .await
    }

    /// Drops a collection with its documents; whether there was one.
    pub async fn drop_collection(&self, call: &Call, text: &str) -> Result<bool, Report> {
        let (schema, name) = collection_name(text)?;
        let dropped = self.drop_model(call, schema, name, Model::Collection);
        dropped.await
    }

    /// Describes one collection.
    pub async fn describe_collection(
        &self,
        call: &Call,
        text: &str,
    ) -> Result<CollectionInfo, Report> {
        let (schema, name) = collection_name(text)?;
        let catalog = &self.models().catalog;
        self.run(call, move |txn| async move {
            let state = catalog.state_for(&txn);
            let table = collection_of(find(&state, schema, name), text)?;
            check_may(&self.user, &table)?;
            Ok(info(&state, &table))
        })
        .await
    }

    /// The collections that the user may read, by schema and name.
    pub async fn list_collections(&self, call: &Call) -> Result<Vec<CollectionInfo>, Report> {
        let catalog = &self.models().catalog;
        self.run(call, move |txn| async move {
            let state = catalog.state_for(&txn);
            let mut list: Vec<CollectionInfo> = state
                .tables()
                .into_iter()
                .filter(|table| table.model == Model::Collection)
                .filter(|table| check_may(&self.user, table).is_ok())
                .map(|table| info(&state, table))
                .collect();
            list.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
            Ok(list)
        })
        .await
    }

    /// Adds an index and fills it. Nobody else reads or writes the collection meanwhile.
    ///
    /// # Errors
    /// 42710 when there is one of that name; 23505 when documents violate a unique one.
    pub async fn create_document_index(
        &self,
        call: &Call,
        text: &str,
        spec: &IndexSpec,
    ) -> Result<CollectionInfo, Report> {
        let models = self.models();
        let catalog = &models.catalog;
        self.run(call, move |txn| async move {
            let (table, mut def) = self.lock_collection(&txn, text).await?;
            if def.indexes.iter().any(|index| index.name == spec.name) {
                return Err(Report::error(
                    codes::DUPLICATE_OBJECT,
                    format!("index \"{}\" of \"{text}\" already exists", spec.name),
                ));
            }
            let mut index = spec.options.clone();
            refuse_id(&index)?;
            index.insert("id".to_owned(), json!(catalog.new_part().await?.0));
            index.insert("name".to_owned(), json!(spec.name));
            def.indexes
                .push(IndexDef::from_value(&Value::Object(index))?);
            let collection = Collection::new(def.clone())?;
            let (options, parts) = collection_options(&def);
            let table = catalog
                .set_collection_options(&txn, table.id, options, parts)
                .await?;
            let mut build = collection.build_index(&txn, &spec.name)?;
            while build.next_batch().await?.is_some() {}
            models.proposals.forget(table.id);
            Ok(info(&catalog.state_for(&txn), &table))
        })
        .await
    }

    /// Drops an index of a collection; whether there was one.
    pub async fn drop_document_index(
        &self,
        call: &Call,
        text: &str,
        index: &str,
    ) -> Result<bool, Report> {
        let catalog = &self.models().catalog;
        self.run(call, move |txn| async move {
            let (table, mut def) = self.lock_collection(&txn, text).await?;
            let before = def.indexes.len();
            def.indexes.retain(|known| known.name != index);
            if def.indexes.len() == before {
                return Ok(false);
            }
            let (options, parts) = collection_options(&def);
            catalog
                .set_collection_options(&txn, table.id, options, parts)
                .await?;
            Ok(true)
        })
        .await
    }

    /// Locks a collection for a change of its definition.
    async fn lock_collection(
        &self,
        txn: &Transaction,
        text: &str,
    ) -> Result<(Arc<TableDef>, CollectionDef), Report> {
        let (schema, name) = collection_name(text)?;
        let catalog = &self.models().catalog;
        let table = collection_of(find(&catalog.state_for(txn), schema, name), text)?;
        check_may(&self.user, &table)?;
        let table = catalog.lock_model(txn, table.id, Model::Collection).await?;
        let def = collection_definition(&table)?;
        Ok((table, def))
    }
}

/// Collections as a pipeline finds them.
struct Lookup<'a> {
    client: &'a Client,
    txn: &'a Transaction,
}

impl tessera_documents::Collections for Lookup<'_> {
    fn collection(&self, text: &str) -> tessera_documents::Result<Arc<Collection>> {
        let missing = || DocumentError::NoSuchCollection {
            collection: text.to_owned(),
        };
        // The caller has locked them by `Client::collection`, which checked names and rights.
        let (schema, name) = collection_name(text).map_err(|_| missing())?;
        let models = self.client.models();
        let found = find(&models.catalog.state_for(self.txn), schema, name);
        let table = found.filter(|table| table.model == Model::Collection);
        let table = table.filter(|table| check_may(&self.client.user, table).is_ok());
        let table = table.ok_or_else(missing)?;
        models.ready(&table).map_err(|_| missing())
    }
}

/// The id of storage is the server's.
fn refuse_id(options: &Map<String, Value>) -> Result<(), Report> {
    if options.contains_key("id") {
        return Err(Report::error(
            codes::INVALID_OBJECT_DEFINITION,
            "invalid definition: \"id\" is not known",
        ));
    }
    Ok(())
}

fn collection_of(found: Option<Arc<TableDef>>, text: &str) -> Result<Arc<TableDef>, Report> {
    match found {
        Some(table) if table.model == Model::Collection => Ok(table),
        Some(table) => Err(Report::error(
            codes::WRONG_OBJECT_TYPE,
            format!("\"{text}\" is a {}, not a collection", table.model.noun()),
        )),
        None => Err(Report::error(
            codes::UNDEFINED_TABLE,
            format!("collection \"{text}\" does not exist"),
        )),
    }
}

fn info(state: &CatalogState, table: &TableDef) -> CollectionInfo {
    CollectionInfo {
        schema: table.schema.clone(),
        name: table.name.clone(),
        owner: owner_name(state, table.owner),
        options: shown(&table.options),
    }
}
