//! The schema `tessera`: what PostgreSQL has no place for.

use tessera_tasks::TaskState;
use tessera_types::{Report, Value};

use super::rows::{MakeRows, Rows, flag, int4, int8, oid, opt_text, text};
use crate::context::StatementContext;
use crate::executor::Executor;

type Made = Result<Vec<Vec<Value>>, Report>;

/// Rows of the views in this file.
pub(super) fn rows_of(name: &str) -> Option<MakeRows> {
    Some(match name {
        "transactions" => transactions,
        "tables" => tables,
        "storage" => storage,
        "tasks" => tasks,
        _ => return None,
    })
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

/// Every background task of the process, oldest first.
fn tasks(_: &Executor, _: &StatementContext) -> Made {
    let mut rows = Rows::new("tessera", "tasks")?;
    for task in tessera_tasks::snapshot() {
        let state = match task.state {
            TaskState::Running => "running",
            TaskState::Pausing => "pausing",
            TaskState::Stopping => "stopping",
        };
        rows.add([
            ("task_group", text(task.group)),
            ("owner", text(task.owner)),
            ("name", text(task.name)),
            ("state", text(state)),
            ("age_ms", int8(task.age.as_millis() as u64)),
            ("restarts", int8(u64::from(task.restarts))),
        ]);
    }
    Ok(rows.finish())
}
