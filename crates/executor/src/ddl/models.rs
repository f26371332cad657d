//! CREATE and DROP of collections and key spaces, and the indexes of collections.
//!
//! What they are is the documents' and keys' own business: a definition is checked by the document
//! crate before the catalog keeps it, and an index is filled in the statement that makes it.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::{Map, Value as Json, json};
use tessera_catalog::{KEY_SPACES_SCHEMA, Model, Relation, TableDef, refusal};
use tessera_documents::{Collection, CollectionDef, Expected, IndexDef};
use tessera_keyvalue::{UnixMillis, Writer};
use tessera_planner::ddl::{CreateIndex, RelationName};
use tessera_planner::statement::{CollectionSettings, ModelDdl, ModelKind};
use tessera_types::{Report, codes};

use super::{Run, document_index};
use crate::models::{collection_definition, collection_options};

impl Run<'_> {
    /// Runs a statement about them. Futures of this module stand behind pointers, for those of the
    /// callers are deep enough.
    pub(super) fn model<'f>(
        &'f self,
        statement: &'f ModelDdl,
    ) -> BoxFuture<'f, Result<(), Report>> {
        Box::pin(self.run_model(statement))
    }

    async fn run_model(&self, statement: &ModelDdl) -> Result<(), Report> {
        match statement {
            ModelDdl::CreateCollection {
                name,
                if_not_exists,
                settings,
            } => self.create_collection(name, *if_not_exists, settings).await,
            ModelDdl::CreateKeySpace {
                name,
                if_not_exists,
            } => self.create_key_space(name, *if_not_exists).await,
            ModelDdl::Drop {
                kind,
                names,
                if_exists,
                cascade,
            } => self.drop_models(*kind, names, *if_exists, *cascade).await,
        }
    }

    async fn create_collection(
        &self,
        name: &RelationName,
        if_not_exists: bool,
        settings: &CollectionSettings,
    ) -> Result<(), Report> {
        if self.is_taken(name, if_not_exists)? {
            return Ok(());
        }
        let (schema, name) = self.new_name(name)?;
        check_name(&name, "collection")?;
        let mut options = Map::new();
        // Its own id is the catalog's to give; any does for checking the rest.
        options.insert("id".to_owned(), json!(0));
        options.insert("name".to_owned(), json!(name));
        if let Some((policy, at)) = &settings.id_policy {
            if !matches!(policy.as_str(), "any" | "client" | "server") {
                let message = format!("invalid value for option \"id_policy\": \"{policy}\"");
                return Err(Report::error(codes::INVALID_PARAMETER_VALUE, message)
                    .with_hint("It is any, client or server.")
                    .at(*at));
            }
            options.insert("id_policy".to_owned(), json!(policy));
        }
        if let Some((text, at)) = &settings.schema {
            let schema = tessera_codec::json::parse(text.as_bytes());
            let schema = schema.map_err(|error| error.report().at(*at))?;
            options.insert("schema".to_owned(), schema);
        }
        match (&settings.ttl_field, settings.ttl_seconds) {
            (Some((field, _)), seconds) => {
                let part = self.catalog().new_part().await?;
                let ttl = json!({"path": field, "after_seconds": seconds.unwrap_or(0)});
                let index = json!({"id": part.0, "name": format!("{name}_ttl"), "ttl": ttl});
                options.insert("indexes".to_owned(), json!([index]));
            }
            (None, Some(_)) => {
                return Err(Report::error(
                    codes::INVALID_PARAMETER_VALUE,
                    "ttl_seconds needs ttl_field",
                ));
            }
            (None, None) => {}
        }
        let def = CollectionDef::from_value(&Json::Object(options))?;
        Collection::new(def.clone())?;
        let (options, parts) = collection_options(&def);
        let txn = &self.context.txn;
        self.catalog()
            .create_collection(txn, &schema, &name, options, parts, self.owner())
            .await?;
        Ok(())
    }

    async fn create_key_space(
        &self,
        name: &RelationName,
        if_not_exists: bool,
    ) -> Result<(), Report> {
        let name = key_space_name(name)?;
        check_name(&name.name, "key space")?;
        if self.is_taken(&name, if_not_exists)? {
            return Ok(());
        }
        let txn = &self.context.txn;
        self.catalog()
            .create_key_space(txn, &name.name, self.owner())
            .await?;
        Ok(())
    }

    async fn drop_models(
        &self,
        kind: ModelKind,
        names: &[RelationName],
        if_exists: bool,
        cascade: bool,
    ) -> Result<(), Report> {
        let wanted = match kind {
            ModelKind::Collection => Model::Collection,
            ModelKind::KeySpace => Model::KeySpace,
        };
        let mut ids = Vec::with_capacity(names.len());
        for name in names {
            let name = match kind {
                ModelKind::Collection => name.clone(),
                ModelKind::KeySpace => key_space_name(name)?,
            };
            match self.find(&self.state(), &name) {
                Some(Relation::Table(table)) if table.model == wanted => {
                    if !ids.contains(&table.id) {
                        ids.push(table.id);
                    }
                }
                Some(other) => {
                    let wanted = format!("a {}", kind.words());
                    return Err(
                        refusal::wrong_kind(other.name(), &wanted).with_hint(format!(
                            "Use DROP {} to remove it.",
                            other.kind().to_uppercase()
                        )),
                    );
                }
                None => {
                    let text = format!("{} \"{}\" does not exist", kind.words(), name.name);
                    if !if_exists {
                        return Err(Report::error(codes::UNDEFINED_TABLE, text));
                    }
                    self.notice(codes::UNDEFINED_TABLE, format!("{text}, skipping"));
                }
            }
        }
        self.drop_relations(&ids, cascade).await
    }

    /// Removes every key or document. Takes as long as there are any: each of them is removed by
    /// the rules of its model, with all that hangs on it.
    pub(super) fn truncate_model<'f>(
        &'f self,
        table: &'f Arc<TableDef>,
    ) -> BoxFuture<'f, Result<(), Report>> {
        Box::pin(self.remove_all(table))
    }

    async fn remove_all(&self, table: &Arc<TableDef>) -> Result<(), Report> {
        let txn = &self.context.txn;
        let table = self
            .catalog()
            .lock_model(txn, table.id, table.model)
            .await?;
        if table.model == Model::KeySpace {
            let space = self.executor.space(&table).await?;
            let now = UnixMillis::now(&*txn.manager().environment().clock);
            let cleared = Writer::new(&space, txn, now).clear().await;
            cleared.map_err(|error| error.report())?;
            return Ok(());
        }
        let collection = self.executor.collection(&table)?;
        let mut scan = collection.scan(txn.newest_view());
        while let Some(batch) = scan.next_batch().await? {
            self.context.check_cancelled()?;
            for document in batch {
                collection.delete(txn, document.id(), Expected::Any).await?;
            }
        }
        Ok(())
    }

    /// CREATE INDEX on a collection. Nobody else reads or writes it meanwhile.
    pub(super) fn create_document_index<'f>(
        &'f self,
        table: &'f Arc<TableDef>,
        create: &'f CreateIndex,
    ) -> BoxFuture<'f, Result<(), Report>> {
        Box::pin(self.make_index(table, create))
    }

    async fn make_index(&self, table: &Arc<TableDef>, create: &CreateIndex) -> Result<(), Report> {
        let mut options = document_index::options_of(create)?;
        let table = self
            .catalog()
            .lock_model(&self.context.txn, table.id, Model::Collection)
            .await?;
        let mut def = collection_definition(&table)?;
        let is_taken = |name: &str| {
            self.state().relation(&table.schema, name).is_some()
                || self.document_index(&table.schema, name).is_some()
        };
        let name = match &create.name {
            Some(name) if is_taken(name) => {
                if create.if_not_exists {
                    self.notice(
                        codes::DUPLICATE_TABLE,
                        format!("relation \"{name}\" already exists, skipping"),
                    );
                    return Ok(());
                }
                return Err(refusal::relation_exists(name));
            }
            Some(name) => name.clone(),
            None => {
                let base = document_index::name_of(&table.name, &options);
                let mut name = base.clone();
                let mut number = 0;
                while is_taken(&name) {
                    number += 1;
                    name = format!("{base}{number}");
                }
                name
            }
        };
        let part = self.catalog().new_part().await?;
        options.insert("id".to_owned(), json!(part.0));
        options.insert("name".to_owned(), json!(name));
        def.indexes
            .push(IndexDef::from_value(&Json::Object(options))?);
        let collection = Collection::new(def.clone())?;
        let (options, parts) = collection_options(&def);
        let txn = &self.context.txn;
        self.catalog()
            .set_collection_options(txn, table.id, options, parts)
            .await?;
        let mut build = collection.build_index(txn, &name)?;
        while build.next_batch().await?.is_some() {
            self.context.check_cancelled()?;
        }
        Ok(())
    }

    /// Drops the index of a collection that has this name; false if there is none.
    ///
    /// # Errors
    /// 42P09 when several collections have one; 42501 for those of others.
    pub(super) fn drop_document_index<'f>(
        &'f self,
        name: &'f RelationName,
    ) -> BoxFuture<'f, Result<bool, Report>> {
        Box::pin(self.remove_index(name))
    }

    async fn remove_index(&self, name: &RelationName) -> Result<bool, Report> {
        let schemas: Vec<String> = match &name.schema {
            Some(schema) => vec![schema.clone()],
            None => self.context.session.search_path.to_vec(),
        };
        let found = schemas
            .iter()
            .find_map(|schema| self.document_index(schema, &name.name));
        let Some(mut tables) = found else {
            return Ok(false);
        };
        let Some(table) = tables.pop() else {
            return Ok(false);
        };
        if !tables.is_empty() {
            return Err(Report::error(
                codes::AMBIGUOUS_ALIAS,
                format!("several collections have an index \"{}\"", name.name),
            )
            .with_hint("Drop it through /api/v1/documents, which names the collection."));
        }
        self.check_owner(&table)?;
        let txn = &self.context.txn;
        let table = self
            .catalog()
            .lock_model(txn, table.id, Model::Collection)
            .await?;
        let mut def = collection_definition(&table)?;
        def.indexes.retain(|index| index.name != name.name);
        let (options, parts) = collection_options(&def);
        self.catalog()
            .set_collection_options(txn, table.id, options, parts)
            .await?;
        Ok(true)
    }

    /// The collections of a schema that have an index of that name; none is `None`.
    fn document_index(&self, schema: &str, name: &str) -> Option<Vec<Arc<TableDef>>> {
        let state = self.state();
        let has_index = |table: &TableDef| {
            let indexes = table.options.get("indexes").and_then(Json::as_array);
            indexes.is_some_and(|indexes| {
                indexes
                    .iter()
                    .any(|index| index.get("name").and_then(Json::as_str) == Some(name))
            })
        };
        let tables: Vec<Arc<TableDef>> = state
            .tables()
            .into_iter()
            .filter(|table| table.model == Model::Collection && table.schema == schema)
            .filter(|table| has_index(table))
            .cloned()
            .collect();
        (!tables.is_empty()).then_some(tables)
    }

    /// The statement names an index, so the check of its relations has not met the collection.
    fn check_owner(&self, table: &TableDef) -> Result<(), Report> {
        let state = self.state();
        let user = state.user(&self.context.session.user);
        match user {
            Some(user) if !user.admin && user.oid != table.owner => Err(Report::error(
                codes::INSUFFICIENT_PRIVILEGE,
                format!("must be owner of collection {}", table.name),
            )),
            _ => Ok(()),
        }
    }
}

/// Key spaces lie in their own schema, whether it is written or not.
fn key_space_name(name: &RelationName) -> Result<RelationName, Report> {
    match name.schema.as_deref() {
        None | Some(KEY_SPACES_SCHEMA) => Ok(RelationName {
            schema: Some(KEY_SPACES_SCHEMA.to_owned()),
            name: name.name.clone(),
        }),
        Some(schema) => Err(Report::error(
            codes::INVALID_SCHEMA_NAME,
            format!("a key space cannot be in the schema \"{schema}\""),
        )
        .with_hint(format!("Key spaces are in the schema {KEY_SPACES_SCHEMA}."))),
    }
}

/// Names that the other doors can say, too.
fn check_name(name: &str, kind: &str) -> Result<(), Report> {
    if name
        .chars()
        .any(|c| c.is_control() || matches!(c, '.' | '/' | ':'))
    {
        return Err(Report::error(
            codes::INVALID_NAME,
            format!("a {kind}'s name has no dot, slash, colon or control character"),
        ));
    }
    Ok(())
}
