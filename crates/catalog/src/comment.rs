//! COMMENT ON.

use std::sync::Arc;

use tessera_transactions::Transaction;

use crate::catalog::{Catalog, Edit};
use crate::definition::{SchemaDef, SequenceDef, TableDef, UserDef, ViewDef};
use crate::error::CatalogError;
use crate::refusal;
use crate::spec::CommentTarget;
use crate::state::Relation;

impl Catalog {
    /// Sets or removes the comment of an object.
    pub async fn comment(
        &self,
        txn: &Transaction,
        target: CommentTarget,
        comment: Option<String>,
    ) -> Result<(), CatalogError> {
        // An empty comment is none, as in PostgreSQL.
        let comment = comment.filter(|comment| !comment.is_empty());
        let mut edit = Edit::default();
        let state = self.state_for(txn);
        match target {
            CommentTarget::Schema(name) => {
                let schema = state
                    .schema(&name)
                    .ok_or_else(|| refusal::no_such_schema(&name))?;
                edit.put_schema(SchemaDef {
                    comment,
                    ..SchemaDef::clone(schema)
                });
            }
            CommentTarget::User(name) => {
                let user = state
                    .user(&name)
                    .ok_or_else(|| refusal::no_such_role(&name))?;
                edit.put_user(UserDef {
                    comment,
                    ..UserDef::clone(user)
                });
            }
            CommentTarget::Relation(id) => {
                let table = state.index(id).map_or(id, |(table, _)| table.id);
                match self.lock_relation(txn, table).await? {
                    Relation::Table(table) => {
                        let mut table = TableDef::clone(&table);
                        match table.indexes.iter_mut().find(|index| index.id == id) {
                            Some(index) => Arc::make_mut(index).comment = comment,
                            None => table.comment = comment,
                        }
                        edit.put_table(table);
                    }
                    Relation::View(view) => {
                        edit.put_view(ViewDef {
                            comment,
                            ..ViewDef::clone(&view)
                        });
                    }
                    Relation::Sequence(sequence) => {
                        edit.put_sequence(SequenceDef {
                            comment,
                            ..SequenceDef::clone(&sequence)
                        });
                    }
                    Relation::Index(..) => {}
                }
            }
            CommentTarget::Column(id, name) => match self.lock_relation(txn, id).await? {
                Relation::Table(table) => {
                    let mut table = TableDef::clone(&table);
                    let column = table
                        .columns
                        .iter_mut()
                        .find(|column| column.name == name)
                        .ok_or_else(|| refusal::no_such_column(&table.name, &name))?;
                    column.comment = comment;
                    edit.put_table(table);
                }
                Relation::View(view) => {
                    let mut view = ViewDef::clone(&view);
                    let column = view
                        .columns
                        .iter_mut()
                        .find(|column| column.name == name)
                        .ok_or_else(|| refusal::no_such_column(&view.name, &name))?;
                    column.comment = comment;
                    edit.put_view(view);
                }
                other => {
                    return Err(refusal::wrong_kind(other.name(), "a table or view").into());
                }
            },
        }
        self.apply(txn, edit)
    }
}
