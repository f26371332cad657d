//! The schema `tessera`: what PostgreSQL has no place for.

use tessera_locks::Resource;
use tessera_types::{Report, SqlType, Value};

use super::rows::{MakeRows, Rows, array, flag, int4, int8, oid, opt_text, text};
use crate::context::StatementContext;
use crate::executor::Executor;

type Made = Result<Vec<Vec<Value>>, Report>;

/// Rows of the views in this file.
pub(super) fn rows_of(name: &str) -> Option<MakeRows> {
    Some(match name {
        "locks" => locks,
        "transactions" => transactions,
        "tables" => tables,
        "storage" => storage,
        _ => return None,
    })
}

fn locks(executor: &Executor, _: &StatementContext) -> Made {
    let mut rows = Rows::new("tessera", "locks")?;
    for lock in executor.transactions().locks().snapshot() {
        let waited = lock
            .waited
            .map_or(Value::Null, |waited| int8(waited.as_millis() as u64));
        let blockers = lock.blocked_by.iter().map(|txn| int8(txn.0));
        let kind = match lock.resource {
            Resource::Database => "database".to_owned(),
            Resource::Relation(_) => "relation".to_owned(),
            Resource::Range(_, range) => format!("range {range:016x}"),
            Resource::Row(_, hash) => format!("row {hash:016x}"),
            Resource::Advisory(space, key) => format!("advisory {space}/{key}"),
        };
        rows.add([
            ("transaction", int8(lock.txn.0)),
            ("resource", text(kind)),
            (
                "relation",
                lock.resource.relation().map_or(Value::Null, |id| oid(id.0)),
            ),
            ("mode", text(lock.mode.name())),
            ("granted", flag(lock.granted)),
            ("waited_ms", waited),
            ("blocked_by", array(SqlType::BigInt, blockers)),
            ("statement", opt_text(lock.statement.as_deref())),
        ]);
    }
    Ok(rows.finish())
}

fn transactions(executor: &Executor, _: &StatementContext) -> Made {
    let mut rows = Rows::new("tessera", "transactions")?;
    for txn in executor.transactions().active() {
        rows.add([
            ("transaction", int8(txn.id.0)),
            ("isolation", text(txn.isolation.as_str())),
            ("read_only", flag(txn.read_only)),
            ("started", Value::TimestampTz(txn.started_at)),
            (
                "snapshot",
                txn.snapshot.map_or(Value::Null, |version| int8(version.0)),
            ),
            ("statement", opt_text(txn.statement.as_deref())),
            ("locks", int8(txn.locks as u64)),
            ("write_bytes", int8(txn.write_bytes as u64)),
            ("savepoints", int8(txn.savepoints as u64)),
            ("failed", flag(txn.is_failed)),
        ]);
    }
    Ok(rows.finish())
}

fn tables(executor: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("tessera", "tables")?;
    for table in context.session.catalog.tables() {
        let estimate = executor.catalog().row_estimate(table.id);
        rows.add([
            ("relation", oid(table.id.0)),
            ("schema_name", text(table.schema.as_str())),
            ("table_name", text(table.name.as_str())),
            ("storage", int8(u64::from(table.storage.0))),
            ("definition_version", int8(table.version.0)),
            (
                "estimated_rows",
                estimate.map_or(Value::Null, Value::Double),
            ),
            ("indexes", int4(table.indexes.len())),
        ]);
    }
    Ok(rows.finish())
}

fn storage(executor: &Executor, _: &StatementContext) -> Made {
    let mut rows = Rows::new("tessera", "storage")?;
    let found = executor.transactions().store().statistics();
    for (name, value) in [
        ("newest version", found.newest.0),
        ("checkpointed version", found.checkpointed.0),
        ("oldest snapshot", found.snapshots.oldest.0),
        ("live snapshots", found.snapshots.live),
        ("expired snapshots", found.snapshots.expired_total),
        ("recent keys", found.recent_keys),
        ("recent versions", found.recent_versions),
        ("recent bytes", found.recent_bytes),
        ("log bytes", found.log_bytes),
        ("base bytes", found.base_bytes),
        ("checkpoints", found.checkpoints_total),
        ("commits", found.commits_total),
        ("conflicts", found.conflicts_total),
    ] {
        rows.add([("name", text(name)), ("value", int8(value))]);
    }
    Ok(rows.finish())
}
