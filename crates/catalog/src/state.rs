//! One version of the whole catalog, immutable and shared.

use std::collections::BTreeMap;
use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashMap;
use tessera_types::{RelationId, Version};

use crate::definition::{IndexDef, SchemaDef, SequenceDef, TableDef, UserDef, ViewDef};

/// Schemas that exist without being stored.
pub const SYSTEM_SCHEMAS: [&str; 3] = ["pg_catalog", "information_schema", "tessera"];

/// Name of the stored schema that holds the key spaces, and nothing else.
pub const KEY_SPACES_SCHEMA: &str = "kv";

/// Anything that shares the name space of tables.
#[derive(Debug, Clone)]
pub enum Relation {
    /// A table.
    Table(Arc<TableDef>),
    /// A view.
    View(Arc<ViewDef>),
    /// A sequence.
    Sequence(Arc<SequenceDef>),
    /// An index, with its table.
    Index(Arc<TableDef>, Arc<IndexDef>),
}

impl Relation {
    /// Its id.
    pub fn id(&self) -> RelationId {
        match self {
            Relation::Table(table) => table.id,
            Relation::View(view) => view.id,
            Relation::Sequence(sequence) => sequence.id,
            Relation::Index(_, index) => index.id,
        }
    }

    /// Its schema.
    pub fn schema(&self) -> &str {
        match self {
            Relation::Table(table) | Relation::Index(table, _) => &table.schema,
            Relation::View(view) => &view.schema,
            Relation::Sequence(sequence) => &sequence.schema,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Relation::Table(table) => &table.name,
            Relation::View(view) => &view.name,
            Relation::Sequence(sequence) => &sequence.name,
            Relation::Index(_, index) => &index.name,
        }
    }

    /// Oid of its owner.
    pub fn owner(&self) -> u32 {
        match self {
            Relation::Table(table) | Relation::Index(table, _) => table.owner,
            Relation::View(view) => view.owner,
            Relation::Sequence(sequence) => sequence.owner,
        }
    }

    /// The word for it in messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Relation::Table(table) => table.model.noun(),
            Relation::View(_) => "view",
            Relation::Sequence(_) => "sequence",
            Relation::Index(..) => "index",
        }
    }

    /// Text set by COMMENT ON.
    pub fn comment(&self) -> Option<&str> {
        match self {
            Relation::Table(table) => table.comment.as_deref(),
            Relation::View(view) => view.comment.as_deref(),
            Relation::Sequence(sequence) => sequence.comment.as_deref(),
            Relation::Index(_, index) => index.comment.as_deref(),
        }
    }
}

/// One version of the catalog.
#[derive(Debug, Clone, Default)]
pub struct CatalogState {
    version: u64,
    schemas: BTreeMap<String, Arc<SchemaDef>>,
    relations: HashMap<RelationId, Relation, RandomState>,
    names: HashMap<String, Arc<BTreeMap<String, RelationId>>, RandomState>,
    users: BTreeMap<String, Arc<UserDef>>,
}

/// One step from a state to the next.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    PutSchema(Arc<SchemaDef>),
    DropSchema(String),
    PutTable(Arc<TableDef>),
    PutView(Arc<ViewDef>),
    PutSequence(Arc<SequenceDef>),
    DropRelation(RelationId),
    PutUser(Arc<UserDef>),
    DropUser(String),
}

impl CatalogState {
    /// Identifies this content: two states with the same version are the same, for caches.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The stored schema of that name.
    pub fn schema(&self, name: &str) -> Option<&Arc<SchemaDef>> {
        self.schemas.get(name)
    }

    /// Whether a schema of that name exists, stored or built in.
    pub fn has_schema(&self, name: &str) -> bool {
        self.schemas.contains_key(name) || SYSTEM_SCHEMAS.contains(&name)
    }

    /// Stored schemas by name.
    pub fn schemas(&self) -> impl Iterator<Item = &Arc<SchemaDef>> {
        self.schemas.values()
    }

    /// The relation of that schema and name.
    pub fn relation(&self, schema: &str, name: &str) -> Option<Relation> {
        let id = self.names.get(schema)?.get(name)?;
        self.relations.get(id).cloned()
    }

    /// The relation of that id.
    pub fn relation_by_id(&self, id: RelationId) -> Option<Relation> {
        self.relations.get(&id).cloned()
    }

    /// Looks a name up: in its schema, or along the search path.
    ///
    /// Relations of the built-in schemas are not here; the caller looks for them first, unless
    /// the path names `pg_catalog` at a later place.
    pub fn resolve(
        &self,
        search_path: &[String],
        schema: Option<&str>,
        name: &str,
    ) -> Option<Relation> {
        match schema {
            Some(schema) => self.relation(schema, name),
            None => search_path
                .iter()
                .find_map(|schema| self.relation(schema, name)),
        }
    }

    /// The first schema of the path that exists: where new relations go.
    pub fn creation_schema<'a>(&self, search_path: &'a [String]) -> Option<&'a str> {
        search_path
            .iter()
            .find(|schema| self.schemas.contains_key(*schema))
            .map(String::as_str)
    }

    /// The table of that id.
    pub fn table(&self, id: RelationId) -> Option<&Arc<TableDef>> {
        match self.relations.get(&id)? {
            Relation::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The index of that id, with its table.
    pub fn index(&self, id: RelationId) -> Option<(&Arc<TableDef>, &Arc<IndexDef>)> {
        match self.relations.get(&id)? {
            Relation::Index(table, index) => Some((table, index)),
            _ => None,
        }
    }

    /// The view of that id.
    pub fn view(&self, id: RelationId) -> Option<&Arc<ViewDef>> {
        match self.relations.get(&id)? {
            Relation::View(view) => Some(view),
            _ => None,
        }
    }

    /// The sequence of that id.
    pub fn sequence(&self, id: RelationId) -> Option<&Arc<SequenceDef>> {
        match self.relations.get(&id)? {
            Relation::Sequence(sequence) => Some(sequence),
            _ => None,
        }
    }

    /// Everything in one schema, by name.
    pub fn relations_in<'a>(&'a self, schema: &str) -> impl Iterator<Item = &'a Relation> {
        let names = self.names.get(schema).map(|names| names.values());
        names
            .into_iter()
            .flatten()
            .filter_map(|id| self.relations.get(id))
    }

    /// Everything, by id.
    pub fn relations(&self) -> Vec<&Relation> {
        let mut all: Vec<&Relation> = self.relations.values().collect();
        all.sort_by_key(|relation| relation.id());
        all
    }

    /// All tables, by id.
    pub fn tables(&self) -> Vec<&Arc<TableDef>> {
        let mut all: Vec<_> = self
            .relations
            .values()
            .filter_map(|relation| match relation {
                Relation::Table(table) => Some(table),
                _ => None,
            })
            .collect();
        all.sort_by_key(|table| table.id);
        all
    }

    /// All views, by id.
    pub fn views(&self) -> Vec<&Arc<ViewDef>> {
        let mut all: Vec<_> = self
            .relations
            .values()
            .filter_map(|relation| match relation {
                Relation::View(view) => Some(view),
                _ => None,
            })
            .collect();
        all.sort_by_key(|view| view.id);
        all
    }

    /// All sequences, by id.
    pub fn sequences(&self) -> Vec<&Arc<SequenceDef>> {
        let mut all: Vec<_> = self
            .relations
            .values()
            .filter_map(|relation| match relation {
                Relation::Sequence(sequence) => Some(sequence),
                _ => None,
            })
            .collect();
        all.sort_by_key(|sequence| sequence.id);
        all
    }

    /// Sequences owned by a table's columns.
    pub fn owned_sequences(&self, table: RelationId) -> Vec<&Arc<SequenceDef>> {
        let mut all = self.sequences();
        all.retain(|sequence| sequence.owned_by.is_some_and(|owner| owner.table == table));
        all
    }

    /// Views that read the relation directly.
    pub fn dependents(&self, id: RelationId) -> Vec<&Arc<ViewDef>> {
        let mut all = self.views();
        all.retain(|view| view.depends_on.contains(&id));
        all
    }

    /// The user of that name.
    pub fn user(&self, name: &str) -> Option<&Arc<UserDef>> {
        self.users.get(name)
    }

    /// The user of that oid.
    pub fn user_by_oid(&self, oid: u32) -> Option<&Arc<UserDef>> {
        self.users.values().find(|user| user.oid == oid)
    }

    /// All users, by name.
    pub fn users(&self) -> impl Iterator<Item = &Arc<UserDef>> {
        self.users.values()
    }

    /// The state after the changes. Definitions get `published_at` when it is given.
    pub(crate) fn with_changes(
        &self,
        version: u64,
        changes: &[Change],
        published_at: Option<Version>,
    ) -> CatalogState {
        let mut next = self.clone();
        next.version = version;
        for change in changes {
            next.apply(change, published_at);
        }
        next
    }

    fn apply(&mut self, change: &Change, published_at: Option<Version>) {
        match change {
            Change::PutSchema(schema) => {
                // A rename comes as drop and put; the relations inside are put again as well.
                self.names.entry(schema.name.clone()).or_default();
                self.schemas.insert(schema.name.clone(), Arc::clone(schema));
            }
            Change::DropSchema(name) => {
                self.schemas.remove(name);
                self.names.remove(name);
            }
            Change::PutTable(table) => {
                self.remove_relation(table.id);
                let mut table = Arc::clone(table);
                if let Some(version) = published_at {
                    Arc::make_mut(&mut table).published_at = version;
                }
                for index in &table.indexes {
                    let relation = Relation::Index(Arc::clone(&table), Arc::clone(index));
                    self.insert_relation(relation);
                }
                self.insert_relation(Relation::Table(table));
            }
            Change::PutView(view) => {
                self.remove_relation(view.id);
                let mut view = Arc::clone(view);
                if let Some(version) = published_at {
                    Arc::make_mut(&mut view).published_at = version;
                }
                self.insert_relation(Relation::View(view));
            }
            Change::PutSequence(sequence) => {
                self.remove_relation(sequence.id);
                self.insert_relation(Relation::Sequence(Arc::clone(sequence)));
            }
            Change::DropRelation(id) => self.remove_relation(*id),
            Change::PutUser(user) => {
                self.users.retain(|_, other| other.oid != user.oid);
                self.users.insert(user.name.clone(), Arc::clone(user));
            }
            Change::DropUser(name) => {
                self.users.remove(name);
            }
        }
    }

    fn insert_relation(&mut self, relation: Relation) {
        let (id, name) = (relation.id(), relation.name().to_owned());
        let names = self.names.entry(relation.schema().to_owned()).or_default();
        Arc::make_mut(names).insert(name, id);
        self.relations.insert(id, relation);
    }

    fn remove_relation(&mut self, id: RelationId) {
        let Some(relation) = self.relations.remove(&id) else {
            return;
        };
        self.remove_name(&relation);
        if let Relation::Table(table) = &relation {
            for index in &table.indexes {
                if let Some(index) = self.relations.remove(&index.id) {
                    self.remove_name(&index);
                }
            }
        }
    }

    fn remove_name(&mut self, relation: &Relation) {
        if let Some(names) = self.names.get_mut(relation.schema()) {
            Arc::make_mut(names).remove(relation.name());
        }
    }
}
