//! DROP, TRUNCATE and COMMENT.

use tessera_catalog::{CommentTarget, DropBehavior, Relation, refusal};
use tessera_planner::ddl::{CommentOn, DropKind, RelationName};
use tessera_types::{RelationId, Report, codes};

use super::Run;

impl Run<'_> {
    pub(super) async fn drop_objects(
        &self,
        kind: DropKind,
        if_exists: bool,
        names: &[RelationName],
        cascade: bool,
    ) -> Result<(), Report> {
        let behavior = behavior_of(cascade);
        let mut ids = Vec::with_capacity(names.len());
        for name in names {
            if kind == DropKind::Schema {
                self.drop_schema(&name.name, if_exists, behavior).await?;
                continue;
            }
            let Some(relation) = self.find(&self.state(), name) else {
                if kind == DropKind::Index && self.drop_document_index(name).await? {
                    continue;
                }
                self.missing(kind, name, if_exists)?;
                continue;
            };
            let fits = matches!(
                (kind, &relation),
                (DropKind::Table, Relation::Table(_))
                    | (DropKind::View, Relation::View(_))
                    | (DropKind::Sequence, Relation::Sequence(_))
                    | (DropKind::Index, Relation::Index(..))
            );
            if !fits {
                return Err(wrong_kind(kind, &relation));
            }
            if !ids.contains(&relation.id()) {
                ids.push(relation.id());
            }
        }
        self.drop_relations(&ids, cascade).await
    }

    /// Drops relations, all at once: they may depend on each other.
    pub(super) async fn drop_relations(
        &self,
        ids: &[RelationId],
        cascade: bool,
    ) -> Result<(), Report> {
        if !ids.is_empty() {
            let dropped = self
                .catalog()
                .drop_relations(&self.context.txn, ids, behavior_of(cascade))
                .await?;
            self.note_cascade(&dropped);
        }
        Ok(())
    }

    fn note_cascade(&self, dropped: &[String]) {
        if let Some(notice) = refusal::cascade_notice(dropped) {
            self.context.notices.push(notice);
        }
    }

    fn missing(&self, kind: DropKind, name: &RelationName, if_exists: bool) -> Result<(), Report> {
        let code = match kind {
            DropKind::Index => codes::UNDEFINED_OBJECT,
            _ => codes::UNDEFINED_TABLE,
        };
        if let Some(schema) = &name.schema
            && !self.state().has_schema(schema)
        {
            if if_exists {
                self.notice(
                    codes::INVALID_SCHEMA_NAME,
                    format!("schema \"{schema}\" does not exist, skipping"),
                );
                return Ok(());
            }
            return Err(Report::error(
                codes::INVALID_SCHEMA_NAME,
                format!("schema \"{schema}\" does not exist"),
            ));
        }
        let text = format!("{} \"{}\" does not exist", kind.word(), name.name);
        if if_exists {
            self.notice(code, format!("{text}, skipping"));
            return Ok(());
        }
        Err(Report::error(code, text))
    }

    async fn drop_schema(
        &self,
        name: &str,
        if_exists: bool,
        behavior: DropBehavior,
    ) -> Result<(), Report> {
        if if_exists && !self.state().has_schema(name) {
            self.notice(
                codes::INVALID_SCHEMA_NAME,
                format!("schema \"{name}\" does not exist, skipping"),
            );
            return Ok(());
        }
        let dropped = self
            .catalog()
            .drop_schema(&self.context.txn, name, behavior)
            .await?;
        self.note_cascade(&dropped);
        Ok(())
    }

    pub(super) async fn truncate(
        &self,
        names: &[RelationName],
        restart_identity: bool,
    ) -> Result<(), Report> {
        for name in names {
            let table = match self.relation(name)? {
                Relation::Table(table) => table,
                other => {
                    return Err(Report::error(
                        codes::WRONG_OBJECT_TYPE,
                        format!("\"{}\" is not a table", other.name()),
                    ));
                }
            };
            if !table.model.is_rows() {
                self.truncate_model(&table).await?;
                continue;
            }
            let txn = &self.context.txn;
            self.catalog().truncate_storage(txn, table.id).await?;
            if restart_identity {
                let state = self.state();
                for sequence in state.owned_sequences(table.id) {
                    self.catalog().restart_sequence(txn, sequence, None).await?;
                }
            }
        }
        Ok(())
    }

    pub(super) async fn comment(&self, on: &CommentOn, text: Option<String>) -> Result<(), Report> {
        let target = match on {
            CommentOn::Schema(name) => CommentTarget::Schema(name.clone()),
            CommentOn::User(name) => CommentTarget::User(name.clone()),
            CommentOn::Relation(name) => CommentTarget::Relation(self.relation(name)?.id()),
            CommentOn::Column(relation, column) => {
                CommentTarget::Column(self.relation(relation)?.id(), column.clone())
            }
        };
        self.catalog()
            .comment(&self.context.txn, target, text)
            .await?;
        Ok(())
    }
}

fn behavior_of(cascade: bool) -> DropBehavior {
    if cascade {
        DropBehavior::Cascade
    } else {
        DropBehavior::Restrict
    }
}

fn wrong_kind(kind: DropKind, relation: &Relation) -> Report {
    let article = if kind == DropKind::Index { "an" } else { "a" };
    let found = relation.kind();
    let found_article = if found == "index" { "an" } else { "a" };
    Report::error(
        codes::WRONG_OBJECT_TYPE,
        format!("\"{}\" is not {article} {}", relation.name(), kind.word()),
    )
    .with_hint(format!(
        "Use DROP {} to remove {found_article} {found}.",
        found.to_uppercase()
    ))
}
