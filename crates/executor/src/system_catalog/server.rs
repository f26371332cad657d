//! The server as a whole: databases, settings, tablespaces, languages, locks.

use std::collections::HashMap;

use tessera_locks::Resource;
use tessera_types::{Report, TxnId, Value};

use super::rows::{MakeRows, Rows, flag, oid, opt_text, text};
use crate::context::StatementContext;
use crate::executor::Executor;

type Made = Result<Vec<Vec<Value>>, Report>;

const OWNER: u32 = tessera_catalog::BOOTSTRAP_USER_OID;
/// Oid of the one database.
pub(super) const DATABASE_OID: u32 = 5;
/// Oid of the one tablespace.
const DEFAULT_TABLESPACE: u32 = 1663;
/// Number of the encoding UTF8.
pub(super) const UTF8: i32 = 6;

/// Rows of the tables in this file.
pub(super) fn rows_of(name: &str) -> Option<MakeRows> {
    Some(match name {
        "pg_database" => pg_database,
        "pg_settings" => pg_settings,
        "pg_tablespace" => pg_tablespace,
        "pg_language" => pg_language,
        "pg_locks" => pg_locks,
        "pg_stat_activity" => pg_stat_activity,
        _ => return None,
    })
}

fn pg_database(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_database")?;
    rows.add([
        ("oid", oid(DATABASE_OID)),
        ("datname", text(&*context.session.database)),
        ("datdba", oid(OWNER)),
        ("encoding", Value::Integer(UTF8)),
        ("datlocprovider", text("c")),
        ("datistemplate", flag(false)),
        ("datallowconn", flag(true)),
        ("datconnlimit", Value::Integer(-1)),
        ("datfrozenxid", oid(0)),
        ("datminmxid", oid(0)),
        ("dattablespace", oid(DEFAULT_TABLESPACE)),
        ("datcollate", text("C")),
        ("datctype", text("C.UTF-8")),
    ]);
    Ok(rows.finish())
}

fn pg_settings(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_settings")?;
    for setting in context.session.settings.list() {
        let source = if setting.value == setting.default {
            "default"
        } else {
            "session"
        };
        rows.add([
            ("name", text(setting.name.as_str())),
            ("setting", text(setting.value.as_str())),
            ("unit", opt_text(setting.unit)),
            ("category", text("Settings")),
            ("short_desc", text(setting.description)),
            ("context", text("user")),
            ("vartype", text(setting.kind)),
            ("source", text(source)),
            ("boot_val", text(setting.default.as_str())),
            ("reset_val", text(setting.default.as_str())),
            ("pending_restart", flag(false)),
        ]);
    }
    Ok(rows.finish())
}

fn pg_tablespace(_: &Executor, _: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_tablespace")?;
    for (number, name) in [(DEFAULT_TABLESPACE, "pg_default"), (1664, "pg_global")] {
        rows.add([
            ("oid", oid(number)),
            ("spcname", text(name)),
            ("spcowner", oid(OWNER)),
        ]);
    }
    Ok(rows.finish())
}

fn pg_language(_: &Executor, _: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_language")?;
    rows.add([
        ("oid", oid(super::procedures::INTERNAL_LANGUAGE)),
        ("lanname", text("internal")),
        ("lanowner", oid(OWNER)),
        ("lanispl", flag(false)),
        ("lanpltrusted", flag(false)),
        ("lanplcallfoid", oid(0)),
        ("laninline", oid(0)),
        ("lanvalidator", oid(0)),
    ]);
    Ok(rows.finish())
}

/// The sessions. Statements of others are shown to administrators only.
fn pg_stat_activity(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_stat_activity")?;
    let session = &context.session;
    let Some(server) = session.state.server.get() else {
        return Ok(rows.finish());
    };
    let is_admin = session
        .catalog
        .user(&session.user)
        .is_some_and(|user| user.admin);
    let time = |micros: Option<i64>| micros.map_or(Value::Null, Value::TimestampTz);
    for found in server.list() {
        let user_oid = session.catalog.user(&found.user).map(|user| user.oid);
        let may_see = is_admin || *found.user == *session.user;
        let query = if may_see {
            found.query.as_str()
        } else {
            "<insufficient privilege>"
        };
        rows.add([
            ("datid", oid(DATABASE_OID)),
            ("datname", text(&*session.database)),
            ("pid", Value::Integer(found.process_id)),
            ("usesysid", user_oid.map_or(Value::Null, oid)),
            ("usename", text(found.user.as_str())),
            ("application_name", text(found.application_name.as_str())),
            (
                "client_addr",
                opt_text(found.peer.map(|peer| peer.ip().to_string())),
            ),
            (
                "client_port",
                found
                    .peer
                    .map_or(Value::Null, |p| Value::Integer(i32::from(p.port()))),
            ),
            ("backend_start", Value::TimestampTz(found.started_at)),
            ("xact_start", time(found.transaction_started_at)),
            ("query_start", time(found.statement_started_at)),
            ("state_change", Value::TimestampTz(found.state_changed_at)),
            ("state", text(found.state)),
            ("query", text(query)),
            ("backend_type", text("client backend")),
        ]);
    }
    Ok(rows.finish())
}

/// Our modes in PostgreSQL's words, as near as they come.
fn mode_name(mode: tessera_locks::Mode, is_row: bool) -> &'static str {
    use tessera_locks::Mode;
    match (mode, is_row) {
        (Mode::IS, _) => "AccessShareLock",
        (Mode::IX, _) => "RowExclusiveLock",
        (Mode::S, true) => "RowShareLock",
        (Mode::S, false) => "ShareLock",
        (Mode::SIX, _) => "ShareRowExclusiveLock",
        (Mode::U, _) => "ShareUpdateExclusiveLock",
        (Mode::X, true) => "ExclusiveLock",
        (Mode::X, false) => "AccessExclusiveLock",
    }
}

fn pg_locks(executor: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_locks")?;
    let processes = processes(context);
    let now = context.statement_micros;
    for lock in executor.transactions().locks().snapshot() {
        let is_row = matches!(lock.resource, Resource::Row(..) | Resource::Range(..));
        let relation = lock.resource.relation().map_or(Value::Null, |id| oid(id.0));
        let kind = match lock.resource {
            Resource::Database => "database",
            Resource::Relation(_) => "relation",
            Resource::Range(..) | Resource::Row(..) => "tuple",
            Resource::Advisory(..) => "advisory",
        };
        let process = processes.get(&lock.txn);
        let (class, object, part) = match lock.resource {
            Resource::Advisory(space, key) => (
                oid((key >> 32) as u32),
                oid(key as u32),
                Value::SmallInt(space as i16),
            ),
            _ => (Value::Null, Value::Null, Value::Null),
        };
        rows.add([
            ("locktype", text(kind)),
            ("database", oid(DATABASE_OID)),
            ("relation", relation),
            ("classid", class),
            ("objid", object),
            ("objsubid", part),
            ("virtualtransaction", text(lock.txn.to_string())),
            (
                "pid",
                process.map_or(Value::Null, |pid| Value::Integer(*pid)),
            ),
            ("mode", text(mode_name(lock.mode, is_row))),
            ("granted", flag(lock.granted)),
            (
                "waitstart",
                lock.waited.map_or(Value::Null, |waited| {
                    Value::TimestampTz(now.saturating_sub(waited.as_micros() as i64))
                }),
            ),
            ("fastpath", flag(lock.fast)),
        ]);
    }
    Ok(rows.finish())
}

/// The session of each transaction that is in one.
pub(super) fn processes(context: &StatementContext) -> HashMap<TxnId, i32> {
    let sessions = context
        .session
        .state
        .server
        .get()
        .map_or_else(Vec::new, |server| server.list());
    let owners = sessions.iter().flat_map(|session| {
        let owners = [session.transaction, session.advisory_owner];
        owners.map(|owner| Some((owner?, session.process_id)))
    });
    owners.flatten().collect()
}
