//! DROP: relations and schemas, with what depends on them.

use std::sync::Arc;

use tessera_locks::Mode;
use tessera_transactions::Transaction;
use tessera_types::{RelationId, Report, codes};

use crate::catalog::{Catalog, Edit};
use crate::check;
use crate::definition::{TableDef, ViewDef};
use crate::error::CatalogError;
use crate::refusal;
use crate::spec::DropBehavior;
use crate::state::{CatalogState, KEY_SPACES_SCHEMA, Relation};

/// Views whose drop would be needed are looked for this deep.
const DEPENDENT_VIEWS_MAX: usize = 10_000;

impl Catalog {
    /// DROP TABLE, VIEW, SEQUENCE or INDEX of several relations at once.
    ///
    /// Answers what else was dropped by CASCADE, in words, for `refusal::cascade_notice`.
    pub async fn drop_relations(
        &self,
        txn: &Transaction,
        ids: &[RelationId],
        behavior: DropBehavior,
    ) -> Result<Vec<String>, CatalogError> {
        let mut edit = Edit::default();
        let mut cascaded = Vec::new();
        let mut gone: Vec<RelationId> = ids.to_vec();
        for id in ids {
            let state = self.state_for(txn);
            if let Some((table, _)) = state.index(*id) {
                let table = self.lock_table(txn, table.id).await?;
                self.drop_index(txn, &table, *id)?;
                continue;
            }
            let relation = self.lock_relation(txn, *id).await?;
            let state = self.state_for(txn);
            let object = format!("{} {}", relation.kind(), relation.name());
            let mut dependents = Vec::new();
            for view in self.lock_views_above(txn, &state, *id, None).await? {
                if gone.contains(&view.id) {
                    continue;
                }
                let below = view
                    .depends_on
                    .iter()
                    .filter_map(|id| state.relation_by_id(*id))
                    .find(|below| gone.contains(&below.id()))
                    .map_or_else(|| object.clone(), |b| format!("{} {}", b.kind(), b.name()));
                dependents.push(format!("view {} depends on {below}", view.name));
                cascaded.push(format!("view {}", view.name));
                gone.push(view.id);
                edit.drop_relation(&Relation::View(view));
            }
            if let Relation::Sequence(sequence) = &relation {
                if let Some(owner) = sequence.owned_by.filter(|owner| owner.identity)
                    && let Some(table) = state.table(owner.table)
                {
                    return Err(refuse_identity_sequence(&object, table, owner.column).into());
                }
                self.drop_defaults(
                    txn,
                    &relation,
                    &gone,
                    &mut dependents,
                    &mut cascaded,
                    &mut edit,
                )
                .await?;
            }
            if behavior == DropBehavior::Restrict && !dependents.is_empty() {
                return Err(refusal::has_dependents(&object, &dependents).into());
            }
            if matches!(relation, Relation::Table(_)) {
                for sequence in state.owned_sequences(*id) {
                    edit.drop_relation(&Relation::Sequence(Arc::clone(sequence)));
                    self.forget_at_publish(txn, sequence.id);
                }
            }
            self.forget_at_publish(txn, *id);
            edit.drop_relation(&relation);
        }
        self.apply(txn, edit)?;
        Ok(cascaded)
    }

    /// [`Catalog::drop_relations`] of one.
    pub async fn drop_relation(
        &self,
        txn: &Transaction,
        id: RelationId,
        behavior: DropBehavior,
    ) -> Result<Vec<String>, CatalogError> {
        self.drop_relations(txn, &[id], behavior).await
    }

    /// DROP SCHEMA. Answers what else was dropped by CASCADE.
    pub async fn drop_schema(
        &self,
        txn: &Transaction,
        name: &str,
        behavior: DropBehavior,
    ) -> Result<Vec<String>, CatalogError> {
        self.lock_schema_name(txn, name, Mode::X).await?;
        let state = self.state_for(txn);
        let Some(schema) = state.schema(name).cloned() else {
            if state.has_schema(name) {
                return Err(required_schema(name).into());
            }
            return Err(refusal::no_such_schema(name).into());
        };
        if name == KEY_SPACES_SCHEMA {
            return Err(required_schema(name).into());
        }
        // Indexes and owned sequences go with their tables.
        let inside: Vec<Relation> = state
            .relations_in(name)
            .filter(|relation| match relation {
                Relation::Index(..) => false,
                Relation::Sequence(sequence) => sequence.owned_by.is_none(),
                Relation::Table(_) | Relation::View(_) => true,
            })
            .cloned()
            .collect();
        let describe = |relation: &Relation| format!("{} {}", relation.kind(), relation.name());
        if behavior == DropBehavior::Restrict && !inside.is_empty() {
            let dependents: Vec<String> = inside
                .iter()
                .map(|relation| format!("{} depends on schema {name}", describe(relation)))
                .collect();
            return Err(refusal::has_dependents(&format!("schema {name}"), &dependents).into());
        }
        let ids: Vec<RelationId> = inside.iter().map(Relation::id).collect();
        let mut cascaded: Vec<String> = inside.iter().map(describe).collect();
        cascaded.extend(
            self.drop_relations(txn, &ids, DropBehavior::Cascade)
                .await?,
        );
        let mut edit = Edit::default();
        edit.drop_schema(&schema);
        self.apply(txn, edit)?;
        Ok(cascaded)
    }

    fn drop_index(
        &self,
        txn: &Transaction,
        table: &TableDef,
        id: RelationId,
    ) -> Result<(), CatalogError> {
        let Some(index) = table.index(id) else {
            return Err(refusal::no_such("index", &format!("with id {id}")).into());
        };
        if let Some(constraint) = index.constraint_name() {
            let owner = format!("constraint {constraint} on table {}", table.name);
            let message = format!(
                "cannot drop index {} because {owner} requires it",
                index.name
            );
            let hint = format!("You can drop {owner} instead.");
            let code = codes::DEPENDENT_OBJECTS_STILL_EXIST;
            return Err(Report::error(code, message).with_hint(hint).into());
        }
        let mut edit = Edit::default();
        edit.add_garbage(index.storage, true);
        let mut table = table.clone();
        table.indexes.retain(|index| index.id != id);
        table.version.0 += 1;
        edit.put_table(table);
        self.apply(txn, edit)
    }

    /// Column defaults that use a sequence: named as dependents, and taken away by CASCADE.
    async fn drop_defaults(
        &self,
        txn: &Transaction,
        relation: &Relation,
        gone: &[RelationId],
        dependents: &mut Vec<String>,
        cascaded: &mut Vec<String>,
        edit: &mut Edit,
    ) -> Result<(), CatalogError> {
        for table in self.state_for(txn).tables() {
            if gone.contains(&table.id) {
                continue;
            }
            let uses = |default: &Option<String>| {
                default.as_deref().is_some_and(|sql| {
                    check::default_uses_sequence(sql, relation.schema(), relation.name())
                })
            };
            if !table.columns.iter().any(|column| uses(&column.default)) {
                continue;
            }
            let mut table = TableDef::clone(&*self.lock_table(txn, table.id).await?);
            let table_name = table.name.clone();
            for column in table
                .columns
                .iter_mut()
                .filter(|column| uses(&column.default))
            {
                let what = format!(
                    "default value for column {} of table {table_name}",
                    column.name
                );
                dependents.push(format!("{what} depends on sequence {}", relation.name()));
                cascaded.push(what);
                column.default = None;
            }
            table.version.0 += 1;
            edit.put_table(table);
        }
        Ok(())
    }

    /// All views above a relation, also indirectly, locked; those that read the column, if given.
    pub(crate) async fn lock_views_above(
        &self,
        txn: &Transaction,
        state: &CatalogState,
        id: RelationId,
        column: Option<u16>,
    ) -> Result<Vec<Arc<ViewDef>>, CatalogError> {
        let mut found: Vec<Arc<ViewDef>> = state
            .dependents(id)
            .into_iter()
            .filter(|view| column.is_none_or(|column| view.reads_column(id, column)))
            .cloned()
            .collect();
        let mut at = 0;
        while at < found.len() && found.len() < DEPENDENT_VIEWS_MAX {
            for above in state.dependents(found[at].id) {
                if !found.iter().any(|known| known.id == above.id) {
                    found.push(Arc::clone(above));
                }
            }
            at += 1;
        }
        for view in &found {
            self.lock_relation(txn, view.id).await?;
        }
        Ok(found)
    }

    fn forget_at_publish(&self, txn: &Transaction, id: RelationId) {
        let sequences = Arc::clone(&self.sequences);
        txn.on_publish(Box::new(move |_| sequences.forget(id)));
    }
}

fn required_schema(name: &str) -> Report {
    Report::error(
        codes::DEPENDENT_OBJECTS_STILL_EXIST,
        format!("cannot drop schema {name} because it is required by the database system"),
    )
}

fn refuse_identity_sequence(object: &str, table: &TableDef, column: u16) -> Report {
    let column = table
        .column_by_id(column)
        .map_or("", |column| column.name.as_str());
    let owner = format!("column {column} of table {}", table.name);
    Report::error(
        codes::DEPENDENT_OBJECTS_STILL_EXIST,
        format!("cannot drop {object} because {owner} requires it"),
    )
    .with_hint(format!("You can drop {owner} instead."))
}
