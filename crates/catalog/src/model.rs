//! Key spaces and collections: relations whose storage other crates give a meaning to.
//!
//! To the catalog each is a table with a fixed set of columns, by which SQL sees it, and
//! properties that it keeps without looking into them. Its keys lie under its own id, in both of
//! the spaces for rows and for indexes; indexes of its own lie under further ids, the `parts`.
//! Both are destroyed when it is dropped.
//!
//! # Not here
//! What the properties mean (`documents`), what is stored (`keyvalue`, `documents`).

use std::sync::Arc;

use serde_json::Value;
use tessera_storage::{Durability, Mode as StoreMode};
use tessera_transactions::Transaction;
use tessera_types::{RelationId, SqlType};

use crate::catalog::{BOOTSTRAP_USER_OID, Catalog, Edit, KEY_SPACES_SCHEMA_OID};
use crate::check;
use crate::definition::{Model, SchemaDef, TableDef};
use crate::error::CatalogError;
use crate::refusal;
use crate::spec::{ColumnSpec, ConstraintSpec, TableSpec};
use crate::state::{KEY_SPACES_SCHEMA, Relation};

impl Catalog {
    /// Makes a key space, in the schema `kv`.
    pub async fn create_key_space(
        &self,
        txn: &Transaction,
        name: &str,
        owner: u32,
    ) -> Result<Arc<TableDef>, CatalogError> {
        let spec = TableSpec {
            schema: KEY_SPACES_SCHEMA.to_owned(),
            name: name.to_owned(),
            columns: vec![
                ColumnSpec::new("key", SqlType::Text).not_null(),
                ColumnSpec::new("value", SqlType::Text),
                ColumnSpec::new("type", SqlType::Text).not_null(),
                ColumnSpec::new("ttl", SqlType::BigInt),
                ColumnSpec::new("size", SqlType::BigInt).not_null(),
            ],
            constraints: vec![key_of("key")],
            owner,
        };
        self.create_relation(txn, spec, Model::KeySpace, Value::Null, Vec::new())
            .await
    }

    /// Makes a collection with properties and the storage of its indexes
    /// (see [`Catalog::new_part`]).
    pub async fn create_collection(
        &self,
        txn: &Transaction,
        schema: &str,
        name: &str,
        options: Value,
        parts: Vec<RelationId>,
        owner: u32,
    ) -> Result<Arc<TableDef>, CatalogError> {
        check::check_schema_is_writable(schema, name)?;
        let spec = TableSpec {
            schema: schema.to_owned(),
            name: name.to_owned(),
            columns: vec![
                ColumnSpec::new("id", SqlType::Text).not_null(),
                ColumnSpec::new("doc", SqlType::Jsonb).not_null(),
                ColumnSpec::new("version", SqlType::BigInt).not_null(),
            ],
            constraints: vec![key_of("id")],
            owner,
        };
        self.create_relation(txn, spec, Model::Collection, options, parts)
            .await
    }

    /// An id for the storage of an index.
    pub async fn new_part(&self) -> Result<RelationId, CatalogError> {
        self.next_id().await
    }

    /// Gives a collection other properties. Nobody else reads or writes it until the transaction
    /// ends. Storage that is not among `parts` any more becomes garbage.
    pub async fn set_collection_options(
        &self,
        txn: &Transaction,
        id: RelationId,
        options: Value,
        parts: Vec<RelationId>,
    ) -> Result<Arc<TableDef>, CatalogError> {
        let table = self.lock_model(txn, id, Model::Collection).await?;
        let mut table = TableDef::clone(&table);
        let mut edit = Edit::default();
        for part in &table.parts {
            if !parts.contains(part) {
                edit.add_garbage(*part, true);
            }
        }
        table.options = options;
        table.parts = parts;
        table.version.0 += 1;
        let table = edit.put_table(table);
        self.apply(txn, edit)?;
        Ok(table)
    }

    /// Locks a relation of that model against everything else and answers its newest definition.
    pub async fn lock_model(
        &self,
        txn: &Transaction,
        id: RelationId,
        model: Model,
    ) -> Result<Arc<TableDef>, CatalogError> {
        match self.lock_relation(txn, id).await? {
            Relation::Table(table) if table.model == model => Ok(table),
            other => {
                let wanted = format!("a {}", model.noun());
                Err(refusal::wrong_kind(other.name(), &wanted).into())
            }
        }
    }

    /// Makes the schema `kv` where an earlier release has not.
    pub(crate) async fn ensure_key_spaces_schema(&self) -> Result<(), CatalogError> {
        let exists = self.state().schema(KEY_SPACES_SCHEMA).is_some();
        if exists || self.transactions.store().mode() != StoreMode::ReadWrite {
            return Ok(());
        }
        let txn = self.begin_internal(Durability::Durable);
        let mut edit = Edit::default();
        edit.put_schema(SchemaDef {
            oid: KEY_SPACES_SCHEMA_OID,
            name: KEY_SPACES_SCHEMA.to_owned(),
            owner: BOOTSTRAP_USER_OID,
            comment: Some("key spaces".to_owned()),
        });
        self.apply(&txn, edit)?;
        txn.commit().await?;
        Ok(())
    }
}

fn key_of(column: &str) -> ConstraintSpec {
    ConstraintSpec::PrimaryKey {
        name: None,
        columns: vec![column.to_owned()],
    }
}
