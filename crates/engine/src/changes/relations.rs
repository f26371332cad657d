//! Which relation a stored key belongs to, by the definitions of its time, and who may read it.
//!
//! A key begins with the number of a storage. The definitions are those of now, for a start; then
//! the log's own records of definitions keep them in step with the commits that are read.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use tessera_catalog::{Catalog, Model, TableDef, UserDef};
use tessera_tables::Table;
use tessera_types::{RelationId, Report, codes};

use super::{RELATIONS_MAX, SchemaAction};

/// A relation as it was when a change was made.
#[derive(Debug)]
pub struct Followed {
    def: Arc<TableDef>,
    table: OnceLock<Table>,
}

impl Followed {
    fn new(def: Arc<TableDef>) -> Arc<Followed> {
        Arc::new(Followed {
            def,
            table: OnceLock::new(),
        })
    }

    /// Its definition.
    pub fn def(&self) -> &TableDef {
        &self.def
    }

    /// What it holds.
    pub fn model(&self) -> Model {
        self.def.model
    }

    /// Its name with its schema.
    pub fn name(&self) -> String {
        format!("{}.{}", self.def.schema, self.def.name)
    }

    /// For reading rows.
    pub(super) fn table(&self) -> &Table {
        self.table.get_or_init(|| Table::new(self.def.clone()))
    }
}

/// What one reader knows and wants.
pub(super) struct Relations {
    catalog: Arc<Catalog>,
    user: Arc<UserDef>,
    by_storage: HashMap<RelationId, Arc<Followed>>,
    by_id: HashMap<RelationId, Arc<Followed>>,
    /// Names and ids of those that are wanted; everything if there are none.
    wanted: Vec<(String, Option<RelationId>)>,
    models: Vec<Model>,
}

impl Relations {
    pub(super) fn new(
        catalog: &Arc<Catalog>,
        user: &Arc<UserDef>,
        names: &[String],
        models: &[Model],
    ) -> Result<Relations, Report> {
        if names.len() > RELATIONS_MAX {
            return Err(Report::error(
                codes::PROGRAM_LIMIT_EXCEEDED,
                format!("at most {RELATIONS_MAX} relations can be named"),
            ));
        }
        let state = catalog.state();
        let mut relations = Relations {
            catalog: Arc::clone(catalog),
            user: Arc::clone(user),
            by_storage: HashMap::new(),
            by_id: HashMap::new(),
            wanted: Vec::new(),
            models: models.to_vec(),
        };
        for def in state.tables() {
            relations.learn(Followed::new(Arc::clone(def)));
        }
        for name in names {
            let (schema, table) = name.split_once('.').unwrap_or(("public", name));
            let found = state.relation(schema, table);
            let id = found.as_ref().map(|relation| relation.id());
            let Some(followed) = id.and_then(|id| relations.by_id.get(&id)) else {
                return Err(Report::error(
                    codes::UNDEFINED_TABLE,
                    format!("relation \"{name}\" does not exist"),
                ));
            };
            if !relations.may_read(followed) {
                return Err(Report::error(
                    codes::INSUFFICIENT_PRIVILEGE,
                    format!(
                        "permission denied for {} {table}",
                        followed.def.model.noun()
                    ),
                ));
            }
            relations.wanted.push((format!("{schema}.{table}"), id));
        }
        Ok(relations)
    }

    fn learn(&mut self, followed: Arc<Followed>) {
        self.by_storage
            .insert(followed.def.storage, Arc::clone(&followed));
        self.by_id.insert(followed.def.id, followed);
    }

    /// Looks who the user is now; 28000 if he is none any more.
    pub(super) fn refresh_user(&mut self) -> Result<(), Report> {
        let state = self.catalog.state();
        match state.user_by_oid(self.user.oid).filter(|user| user.login) {
            Some(user) => {
                self.user = Arc::clone(user);
                Ok(())
            }
            None => Err(Report::fatal(
                codes::INVALID_AUTHORIZATION_SPECIFICATION,
                "the user does not exist any more or may not log in",
            )),
        }
    }

    /// Ownership, until grants exist. Of a relation that is gone the last owner counts.
    fn may_read(&self, followed: &Followed) -> bool {
        if self.user.admin {
            return true;
        }
        let state = self.catalog.state();
        let now = state.table(followed.def.id).map(|def| def.owner);
        now.unwrap_or(followed.def.owner) == self.user.oid
    }

    fn is_wanted(&self, followed: &Followed) -> bool {
        let def = &followed.def;
        let by_model = self.models.is_empty() || self.models.contains(&def.model);
        let by_name = self.wanted.is_empty()
            || self.wanted.iter().any(|(name, id)| {
                *id == Some(def.id)
                    || name.split_once('.') == Some((def.schema.as_str(), def.name.as_str()))
            });
        by_model && by_name
    }

    /// The relation of a key in the space of rows, if the reader gets its changes.
    pub(super) fn of_key(&self, key: &[u8]) -> Option<&Arc<Followed>> {
        let (storage, _) = key.split_first_chunk()?;
        let storage = RelationId(u32::from_be_bytes(*storage));
        let followed = self.by_storage.get(&storage)?;
        (self.is_wanted(followed) && self.may_read(followed)).then_some(followed)
    }

    /// A definition was written; what that means, if the reader gets to hear of it.
    pub(super) fn define(&mut self, def: TableDef) -> Option<(Arc<Followed>, SchemaAction)> {
        let before = self.by_id.get(&def.id);
        let action = match before {
            // Known from now, when this commit is of the past: then it may well be its creation.
            Some(before) if before.def.version < def.version => {
                if before.def.storage == def.storage {
                    SchemaAction::Alter
                } else {
                    SchemaAction::Truncate
                }
            }
            Some(_) if def.version.0 > FIRST_VERSION => SchemaAction::Alter,
            _ => SchemaAction::Create,
        };
        let followed = Followed::new(Arc::new(def));
        self.learn(Arc::clone(&followed));
        self.audible(followed, action)
    }

    /// A relation was dropped.
    pub(super) fn forget(&mut self, id: RelationId) -> Option<(Arc<Followed>, SchemaAction)> {
        // Its storage stays known: the rest of the commit may have written to it.
        let followed = self.by_id.remove(&id)?;
        self.audible(followed, SchemaAction::Drop)
    }

    fn audible(
        &self,
        followed: Arc<Followed>,
        action: SchemaAction,
    ) -> Option<(Arc<Followed>, SchemaAction)> {
        let is_audible = self.is_wanted(&followed) && self.may_read(&followed);
        is_audible.then_some((followed, action))
    }
}

/// Version of a definition that was not changed since it was made.
const FIRST_VERSION: u64 = 1;
