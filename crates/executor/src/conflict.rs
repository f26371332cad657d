//! Lock conflicts, deadlocks and serialization failures in the words of the schema.
//!
//! The layers below know numbers: relations, hashes, keys. Here they become names and values, in
//! the error's DETAIL and HINT, and in its facts: one JSON object for programs, which PostgreSQL's
//! clients find as field `J` of the error. `docs/guides/transactions.md` describes it.
//!
//! Statements of others come without their literals: they are masked before they are kept.

use serde_json::{Map, Value as Json, json};
use tessera_catalog::{CatalogState, Model};
use tessera_locks::{CycleMember, LockError, Refused, Resource};
use tessera_tables::Table;
use tessera_transactions::{ConflictingWrite, Transaction};
use tessera_types::{RelationId, Report};

use crate::executor::Executor;

/// Puts names into a report of a conflict; gives any other report back as it is.
pub fn explain(
    executor: &Executor,
    catalog: &CatalogState,
    loser: Option<&Transaction>,
    report: Report,
) -> Report {
    let names = Names { executor, catalog };
    let Some(cause) = report.cause.clone() else {
        return report;
    };
    if let Some(error) = cause.get::<LockError>() {
        return names.lock_error(error, report);
    }
    match cause.get::<ConflictingWrite>() {
        Some(write) => names.lost(write, loser, report),
        None => report,
    }
}

struct Names<'a> {
    executor: &'a Executor,
    catalog: &'a CatalogState,
}

impl Names<'_> {
    fn lock_error(&self, error: &LockError, before: Report) -> Report {
        let name = |resource: Resource, key: Option<&[u8]>| self.resource(resource, key);
        let mut report = error.report_with_keys(&name);
        let (kind, relation, sides) = match error {
            LockError::Deadlock { victim, cycle } => (
                "deadlock",
                cycle.first().and_then(|member| member.resource.relation()),
                cycle
                    .iter()
                    .map(|member| self.member(member, member.txn == *victim))
                    .collect(),
            ),
            LockError::Timeout { refused, waited } => (
                "lock_timeout",
                refused.resource.relation(),
                self.refused(refused, Some(waited.as_millis())),
            ),
            LockError::NotAvailable { refused } => {
                let place = self.resource(refused.resource, refused.key.as_deref());
                let wanted = report.detail.take().unwrap_or_default();
                report.detail = Some(format!("On {place}: {wanted}"));
                report.message = self.not_available(refused.resource);
                (
                    "lock_not_available",
                    refused.resource.relation(),
                    self.refused(refused, None),
                )
            }
            _ => return before,
        };
        report.facts = Some(facts(kind, sides));
        report.context.clone_from(&before.context);
        report.position = before.position;
        self.with_table(report, relation)
    }

    fn member(&self, member: &CycleMember, is_victim: bool) -> Json {
        let mut side = self.side(member.resource, member.key.as_deref());
        side.insert("transaction".into(), json!(member.txn.0));
        side.insert("victim".into(), json!(is_victim));
        side.insert("statement".into(), json!(member.statement.as_deref()));
        side.insert("wants".into(), json!(member.mode.name()));
        side.insert("has".into(), json!(member.held.map(|mode| mode.name())));
        side.insert("blocked_by".into(), json!(member.blocked_by_mode.name()));
        side.insert("waited_ms".into(), millis(member.waited));
        side.insert("age_ms".into(), millis(member.age));
        side.insert("rows_written".into(), json!(member.work));
        side.insert("locks".into(), json!(member.locks));
        side.insert("priority".into(), json!(member.priority));
        Json::Object(side)
    }

    fn refused(&self, refused: &Refused, waited_ms: Option<u128>) -> Vec<Json> {
        let mut own = self.side(refused.resource, refused.key.as_deref());
        own.insert("transaction".into(), json!(refused.txn.0));
        own.insert("statement".into(), json!(refused.statement.as_deref()));
        own.insert("wants".into(), json!(refused.mode.name()));
        own.insert("has".into(), json!(refused.held.map(|mode| mode.name())));
        own.insert("waited_ms".into(), json!(waited_ms.map(|ms| ms as u64)));
        own.insert("age_ms".into(), millis(refused.age));
        let mut sides = vec![Json::Object(own)];
        for blocker in &refused.blockers {
            let mode = if blocker.granted { "has" } else { "wants" };
            sides.push(json!({
                "transaction": blocker.txn.0,
                "statement": blocker.statement.as_deref(),
                (mode): blocker.mode.name(),
                "idle": blocker.is_idle,
                "age_ms": millis(blocker.age),
            }));
        }
        sides
    }

    /// A row that was read or is to be written was changed by one that committed first.
    fn lost(
        &self,
        write: &ConflictingWrite,
        loser: Option<&Transaction>,
        report: Report,
    ) -> Report {
        let relation = self.relation_of_key(&write.key);
        let (place, table) = match relation {
            Some(id) => (
                self.resource(Resource::Row(id, 0), Some(&write.key)),
                self.catalog
                    .table(id)
                    .map(|table| qualified(&table.schema, &table.name)),
            ),
            None => (format!("a key of {}", write.space), None),
        };
        let who = match write.writer {
            Some(writer) => format!("transaction {writer}"),
            None => "a transaction".to_owned(),
        };
        let mut detail = format!(
            "The {place} was changed by {who}, which committed after this transaction took its \
             snapshot."
        );
        if let (Some(writer), Some(statement)) = (write.writer, &write.statement) {
            detail.push_str(&format!("\nTransaction {writer}: {statement}"));
        }
        let hint = "Run the transaction again. Where it often loses, lock the rows it depends on \
                    when it reads them (SELECT ... FOR UPDATE).";
        let key = relation.and_then(|id| self.key(id, &write.key));
        let own = json!({
            "transaction": loser.map(|txn| txn.id().0),
            "victim": true,
            "snapshot": write.snapshot.0,
            "relation": table,
            "key": key,
        });
        let other = json!({
            "transaction": write.writer.map(|writer| writer.0),
            "statement": write.statement.as_deref(),
            "committed": write.version.0,
        });
        let mut report = report.with_detail(detail).with_hint(hint);
        report.facts = Some(facts("serialization_failure", vec![own, other]));
        report.cause = None;
        self.with_table(report, relation)
    }

    fn side(&self, resource: Resource, key: Option<&[u8]>) -> Map<String, Json> {
        let relation = resource.relation();
        let table = relation.and_then(|id| self.catalog.table(id));
        let mut side = Map::new();
        let name = table.map(|table| qualified(&table.schema, &table.name));
        side.insert("relation".into(), json!(name));
        let key = relation
            .zip(key)
            .and_then(|(relation, key)| self.key(relation, key));
        side.insert("key".into(), json!(key));
        side
    }

    /// `row (id)=(1) of table "t"`, `key (key)=(a) of key space "db0"`.
    pub(crate) fn resource(&self, resource: Resource, key: Option<&[u8]>) -> String {
        let Some(id) = resource.relation() else {
            return resource.to_string();
        };
        let Some(table) = self.catalog.table(id) else {
            return resource.to_string();
        };
        let (noun, item) = match table.model {
            Model::Rows => ("table", "row"),
            Model::KeySpace => ("key space", "key"),
            Model::Collection => ("collection", "document"),
        };
        let name = format!("{noun} \"{}\"", table.name);
        match resource {
            Resource::Relation(_) => name,
            _ => match key.and_then(|key| self.key(id, key)) {
                Some(key) => format!("{item} {key} of {name}"),
                None => format!("{item} of {name}"),
            },
        }
    }

    /// In PostgreSQL's words.
    fn not_available(&self, resource: Resource) -> String {
        let table = resource.relation().and_then(|id| self.catalog.table(id));
        let Some(table) = table else {
            return format!("could not obtain lock on {resource}");
        };
        match resource {
            Resource::Relation(_) => {
                format!("could not obtain lock on relation \"{}\"", table.name)
            }
            _ => format!(
                "could not obtain lock on row in relation \"{}\"",
                table.name
            ),
        }
    }

    fn key(&self, relation: RelationId, key: &[u8]) -> Option<String> {
        let def = self.catalog.table(relation)?;
        if !def.model.is_rows() {
            return model_key(def.model, key);
        }
        let table: std::sync::Arc<Table> = self.executor.writes().table(def);
        table.describe_key_bytes(key)
    }

    /// The table whose row or index entry a key is.
    fn relation_of_key(&self, key: &[u8]) -> Option<RelationId> {
        let storage = RelationId(u32::from_be_bytes(*key.first_chunk::<4>()?));
        let owns = |table: &&std::sync::Arc<tessera_catalog::TableDef>| {
            table.storage == storage
                || table.parts.contains(&storage)
                || table.indexes.iter().any(|index| index.storage == storage)
        };
        self.catalog
            .tables()
            .into_iter()
            .find(owns)
            .map(|table| table.id)
    }

    fn with_table(&self, report: Report, relation: Option<RelationId>) -> Report {
        match relation.and_then(|id| self.catalog.table(id)) {
            Some(table) => report.with_table(table.schema.as_str(), table.name.as_str()),
            None => report,
        }
    }
}

/// Keys of records and documents are text behind a prefix of their own.
fn model_key(model: Model, key: &[u8]) -> Option<String> {
    let (column, prefix_bytes) = match model {
        Model::Rows => return None,
        Model::KeySpace => ("key", 5),
        Model::Collection => ("id", 4),
    };
    let name = String::from_utf8_lossy(key.get(prefix_bytes..)?);
    Some(format!("({column})=({name})"))
}

/// `row (id)=(1) of table "t"`, for views.
pub(crate) fn resource_name(
    executor: &Executor,
    catalog: &CatalogState,
    resource: Resource,
    key: Option<&[u8]>,
) -> String {
    Names { executor, catalog }.resource(resource, key)
}

/// A key's columns and values, for views.
pub(crate) fn key_name(
    executor: &Executor,
    catalog: &CatalogState,
    resource: Resource,
    key: Option<&[u8]>,
) -> Option<String> {
    Names { executor, catalog }.key(resource.relation()?, key?)
}

fn facts(kind: &str, transactions: Vec<Json>) -> String {
    json!({ "kind": kind, "transactions": transactions }).to_string()
}

fn millis(duration: std::time::Duration) -> Json {
    json!(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn qualified(schema: &str, name: &str) -> String {
    format!("{schema}.{name}")
}
