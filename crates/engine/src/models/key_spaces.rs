//! Key spaces: made when first written to, opened once per relation and process.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tessera_catalog::{DropBehavior, KEY_SPACES_SCHEMA, Model, TableDef};
use tessera_documents::Collection;
use tessera_keyvalue::{Footprint, Reader, Space, SpaceOptions, Writer};
use tessera_transactions::{Transaction, TxnView};
use tessera_types::{RelationId, Report, codes};
use tokio::sync::OnceCell;

use super::Models;
use super::client::{Call, Client};
use super::names::{check_may, check_name, find};
use crate::engine::Engine;

/// Databases that Redis clients select by number: `db0` to `db15`.
pub const REDIS_DATABASES: u32 = 16;

/// Name of the key space behind a Redis database.
pub fn database_name(number: u32) -> String {
    format!("db{number}")
}

impl Engine {
    /// The number of the Redis database that is stored under a relation.
    pub fn database_number(&self, relation: RelationId) -> Option<u32> {
        let state = self.shared.catalog.state();
        let table = state.table(relation)?;
        if table.model != Model::KeySpace || table.schema != KEY_SPACES_SCHEMA {
            return None;
        }
        let number = table.name.strip_prefix("db")?.parse().ok()?;
        (number < REDIS_DATABASES && database_name(number) == table.name).then_some(number)
    }
}

/// A key space that somebody opens, and others wait for.
type Opening = Arc<OnceCell<Arc<Space>>>;

/// Key spaces opened so far. Those whose relation is gone are forgotten at the next look.
#[derive(Default)]
pub(super) struct KeySpaces {
    open: Mutex<HashMap<RelationId, Opening>>,
}

/// A key space, for lists.
#[derive(Clone, Debug)]
pub struct KeySpaceInfo {
    /// Name.
    pub name: String,
    /// Name of the owner.
    pub owner: String,
    /// Keys and bytes now.
    pub footprint: Footprint,
}

impl Models {
    /// The space of a relation, opened by whoever asks first. Others wait for that: nobody may
    /// write while the keys are counted.
    pub(super) async fn open_space(&self, table: &TableDef) -> Result<Arc<Space>, Report> {
        let cell = {
            let mut open = self.spaces.open.lock();
            if !open.contains_key(&table.id) {
                let state = self.catalog.state();
                open.retain(|id, _| state.table(*id).is_some());
            }
            Arc::clone(open.entry(table.id).or_default())
        };
        let opening = Space::open(&self.transactions, table.id, SpaceOptions::default());
        let space = cell.get_or_try_init(|| opening).await?;
        Ok(Arc::clone(space))
    }

    /// Spaces that are open, with their relations still there.
    pub(super) fn open_spaces(&self) -> Vec<Arc<Space>> {
        let state = self.catalog.state();
        let open = self.spaces.open.lock();
        open.iter()
            .filter(|(id, _)| state.table(**id).is_some())
            .filter_map(|(_, cell)| cell.get().cloned())
            .collect()
    }
}

impl tessera_executor::OpenModels for Models {
    fn space<'a>(&'a self, table: &'a TableDef) -> BoxFuture<'a, Result<Arc<Space>, Report>> {
        Box::pin(self.open_space(table))
    }

    fn collection(&self, table: &Arc<TableDef>) -> Result<Arc<Collection>, Report> {
        self.ready(table)
    }
}

impl Engine {
    /// Whether an open key space is there still. Who holds a lock in it, and was told so after
    /// that, may count on it until the lock is given back.
    pub fn has_key_space(&self, space: &Space) -> bool {
        let state = self.shared.catalog.state();
        state.table(space.relation()).is_some()
    }
}

impl Client {
    /// The key space of that name as a statement of `txn` uses it: there until the transaction
    /// ends. `None` if nobody has written to it yet.
    pub async fn space(&self, txn: &Transaction, name: &str) -> Result<Option<Arc<Space>>, Report> {
        check_name(name, "key space")?;
        let models = self.models();
        let found = models.lock_named(txn, &self.user, KEY_SPACES_SCHEMA, name);
        match found.await? {
            Some(table) => models.open_space(&table).await.map(Some),
            None => Ok(None),
        }
    }

    /// The same for a statement that writes: the key space is made if it is not there, by a
    /// transaction of its own, so an empty one stays when `txn` is rolled back.
    pub async fn space_to_write(
        &self,
        txn: &Transaction,
        name: &str,
    ) -> Result<Arc<Space>, Report> {
        loop {
            if let Some(space) = self.space(txn, name).await? {
                return Ok(space);
            }
            self.ensure_key_space(name).await?;
        }
    }

    /// A reader of a key space as the statement of `txn` sees it.
    pub fn key_reader<'a>(&self, space: &'a Space, view: &'a Arc<TxnView>) -> Reader<'a> {
        Reader::new(space, Arc::clone(view), self.now())
    }

    /// A writer of a key space within the statement of `txn`.
    pub fn key_writer<'a>(&self, space: &'a Space, txn: &'a Transaction) -> Writer<'a> {
        Writer::new(space, txn, self.now())
    }

    /// Makes a key space unless it is there; the user who makes it owns it. Commits by itself.
    ///
    /// # Errors
    /// 42602 and 42622 for names that cannot be; 42501 when another user owns it.
    pub async fn ensure_key_space(&self, name: &str) -> Result<(), Report> {
        check_name(name, "key space")?;
        let catalog = &self.models().catalog;
        let owner = self.user.oid;
        let what = Call::write("make a key space", None);
        let made = self
            .run(&what, move |txn| async move {
                if let Some(table) = find(&catalog.state_for(&txn), KEY_SPACES_SCHEMA, name) {
                    return check_may(&self.user, &table);
                }
                catalog.create_key_space(&txn, name, owner).await?;
                Ok(())
            })
            .await;
        match made {
            // Somebody else was faster.
            Err(report) if report.code == codes::DUPLICATE_TABLE => Ok(()),
            other => other,
        }
    }

    /// Drops a key space with all its keys; whether there was one.
    pub async fn drop_key_space(&self, call: &Call, name: &str) -> Result<bool, Report> {
        check_name(name, "key space")?;
        self.drop_model(call, KEY_SPACES_SCHEMA, name, Model::KeySpace)
            .await
    }

    /// Drops a relation of a model, unless views read it.
    pub(super) async fn drop_model(
        &self,
        call: &Call,
        schema: &str,
        name: &str,
        model: Model,
    ) -> Result<bool, Report> {
        let catalog = &self.models().catalog;
        self.run(call, move |txn| async move {
            let found = find(&catalog.state_for(&txn), schema, name);
            let Some(table) = found.filter(|table| table.model == model) else {
                return Ok(false);
            };
            check_may(&self.user, &table)?;
            let table = catalog.lock_model(&txn, table.id, model).await?;
            catalog
                .drop_relation(&txn, table.id, DropBehavior::Restrict)
                .await?;
            Ok(true)
        })
        .await
    }

    /// The key spaces that the user may read, with their sizes now.
    pub async fn list_key_spaces(&self) -> Result<Vec<KeySpaceInfo>, Report> {
        let models = self.models();
        let state = models.catalog.state();
        let mut list = Vec::new();
        for table in state.tables() {
            if table.model != Model::KeySpace || check_may(&self.user, table).is_err() {
                continue;
            }
            let space = models.open_space(table).await?;
            list.push(KeySpaceInfo {
                name: table.name.clone(),
                owner: owner_name(&state, table.owner),
                footprint: space.footprint(None, self.now()).await?,
            });
        }
        list.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(list)
    }

    /// Opens a key space outside of any statement, for callers that keep it: made if it is not
    /// there. They lock keys by the space's own methods; a DROP ends what they see.
    pub async fn open_space(&self, name: &str) -> Result<Arc<Space>, Report> {
        self.ensure_key_space(name).await?;
        let models = self.models();
        let found = find(&models.catalog.state(), KEY_SPACES_SCHEMA, name);
        match found {
            Some(table) => {
                check_may(&self.user, &table)?;
                models.open_space(&table).await
            }
            None => Err(Report::error(
                codes::UNDEFINED_TABLE,
                format!("key space \"{name}\" was dropped"),
            )),
        }
    }

    /// Name of a key space that is open.
    pub fn space_name(&self, space: &Space) -> Option<String> {
        let state = self.models().catalog.state();
        state
            .table(space.relation())
            .map(|table| table.name.clone())
    }
}

pub(super) fn owner_name(state: &tessera_catalog::CatalogState, oid: u32) -> String {
    let user = state.user_by_oid(oid);
    user.map_or_else(|| oid.to_string(), |user| user.name.clone())
}
