//! Locks, waits, deadlocks and the wait profile: `tessera.locks` and its kin, and the functions
//! that go with them.
//!
//! Statements in these views come without literals: they are masked before they are kept.

use std::time::Duration;

use tessera_catalog::CatalogState;
use tessera_locks::{Resource, WaitOutcome};
use tessera_planner::functions::FunctionRegistry;
use tessera_types::{Report, SqlType, Value, codes};
use tokio::time::Instant;

use super::functions::{Call, Strictness, add, int8_of, row_function};
use super::rows::{MakeRows, Rows, array, flag, int8, oid, opt_text, text};
use super::server::processes;
use crate::conflict::{key_name, resource_name};
use crate::context::StatementContext;
use crate::executor::Executor;

type Made = Result<Vec<Vec<Value>>, Report>;

/// Rows of the views in this file.
pub(super) fn rows_of(name: &str) -> Option<MakeRows> {
    Some(match name {
        "locks" => locks,
        "lock_waits" => lock_waits,
        "recent_lock_waits" => recent_lock_waits,
        "deadlocks" => deadlocks,
        "lock_profile" => lock_profile,
        _ => return None,
    })
}

/// What is held and waited for.
fn locks(executor: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("tessera", "locks")?;
    let processes = processes(context);
    for lock in executor.transactions().locks().snapshot() {
        let blockers = lock.blocked_by.iter().map(|txn| int8(txn.0));
        rows.add([
            ("transaction", int8(lock.txn.0)),
            ("pid", process(processes.get(&lock.txn))),
            ("resource", text(kind_of(lock.resource))),
            ("relation", relation_of(lock.resource)),
            ("mode", text(lock.mode.name())),
            ("granted", flag(lock.granted)),
            ("fast_path", flag(lock.fast)),
            ("waited_ms", lock.waited.map_or(Value::Null, millis)),
            ("blocked_by", array(SqlType::BigInt, blockers)),
            ("statement", opt_text(lock.statement.as_deref())),
        ]);
    }
    Ok(rows.finish())
}

/// Who waits for whom: one row for each pair. Costs as much as there are waiters, not locks.
fn lock_waits(executor: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("tessera", "lock_waits")?;
    let processes = processes(context);
    let catalog = &context.session.catalog;
    for wait in executor.transactions().locks().waits() {
        let key = wait.key.as_deref();
        for blocker in &wait.blockers {
            let does = match (blocker.granted, blocker.is_idle) {
                (true, true) => "holds, idle in transaction",
                (true, false) => "holds",
                (false, _) => "waits before",
            };
            rows.add([
                ("pid", process(processes.get(&wait.txn))),
                ("transaction", int8(wait.txn.0)),
                ("statement", opt_text(wait.statement.as_deref())),
                ("relation", relation_of(wait.resource)),
                (
                    "resource",
                    text(resource_name(executor, catalog, wait.resource, key)),
                ),
                (
                    "key",
                    opt_text(key_name(executor, catalog, wait.resource, key)),
                ),
                ("mode", text(wait.mode.name())),
                ("held_mode", opt_text(wait.held.map(|mode| mode.name()))),
                ("waited_ms", millis(wait.waited)),
                ("transaction_age_ms", millis(wait.age)),
                ("ahead", int8(wait.ahead as u64)),
                ("blocking_pid", process(processes.get(&blocker.txn))),
                ("blocking_transaction", int8(blocker.txn.0)),
                ("blocking_mode", text(blocker.mode.name())),
                ("blocking_does", text(does)),
                ("blocking_age_ms", millis(blocker.age)),
                ("blocking_statement", opt_text(blocker.statement.as_deref())),
            ]);
        }
    }
    Ok(rows.finish())
}

/// The last waits that have ended, newest last.
fn recent_lock_waits(executor: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("tessera", "recent_lock_waits")?;
    let clock = Clock::of(context);
    let catalog = &context.session.catalog;
    for wait in executor.transactions().locks().recent_waits() {
        let outcome = match wait.outcome {
            WaitOutcome::Granted => "granted",
            WaitOutcome::Timeout => "timeout",
            WaitOutcome::Deadlock => "deadlock",
            WaitOutcome::Cancelled => "cancelled",
        };
        let key = wait.key.as_deref();
        rows.add([
            ("ended", clock.time(wait.ended)),
            ("outcome", text(outcome)),
            ("waited_us", micros(wait.waited)),
            ("transaction", int8(wait.txn.0)),
            ("statement", opt_text(wait.statement.as_deref())),
            ("relation", relation_of(wait.resource)),
            (
                "key",
                opt_text(key_name(executor, catalog, wait.resource, key)),
            ),
            ("mode", text(wait.mode.name())),
            (
                "blocking_transaction",
                wait.blocker.map_or(Value::Null, |txn| int8(txn.0)),
            ),
            (
                "blocking_mode",
                opt_text(wait.blocker_mode.map(|mode| mode.name())),
            ),
            (
                "blocking_statement",
                opt_text(wait.blocker_statement.as_deref()),
            ),
        ]);
    }
    Ok(rows.finish())
}

/// The last deadlocks: one row for each transaction of the cycle, the victim first.
fn deadlocks(executor: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("tessera", "deadlocks")?;
    let clock = Clock::of(context);
    let catalog = &context.session.catalog;
    let found = executor.transactions().locks().recent_deadlocks();
    for (number, deadlock) in found.iter().enumerate() {
        for (at, member) in deadlock.cycle.iter().enumerate() {
            let key = member.key.as_deref();
            rows.add([
                ("deadlock", int8(number as u64 + 1)),
                ("found", clock.time(deadlock.found)),
                ("position", int8(at as u64 + 1)),
                ("victim", flag(at == 0)),
                ("transaction", int8(member.txn.0)),
                ("statement", opt_text(member.statement.as_deref())),
                ("relation", relation_of(member.resource)),
                (
                    "key",
                    opt_text(key_name(executor, catalog, member.resource, key)),
                ),
                ("mode", text(member.mode.name())),
                ("held_mode", opt_text(member.held.map(|mode| mode.name()))),
                ("waited_us", micros(member.waited)),
                ("rows_written", int8(member.work)),
                ("locks", int8(member.locks as u64)),
                ("priority", Value::SmallInt(i16::from(member.priority))),
                ("restarts", int8(u64::from(member.restarts))),
            ]);
        }
    }
    Ok(rows.finish())
}

/// Where the time of waits went, the most expensive first.
fn lock_profile(executor: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("tessera", "lock_profile")?;
    let catalog = &context.session.catalog;
    for leaf in executor.transactions().locks().profile() {
        let key = leaf.key.as_deref();
        let named = leaf
            .resource
            .and_then(|resource| key_name(executor, catalog, resource, key));
        rows.add([
            ("statement", opt_text(leaf.waiting.as_deref())),
            ("relation", leaf.resource.map_or(Value::Null, relation_of)),
            ("key", opt_text(named)),
            ("blocking_statement", opt_text(leaf.blocking.as_deref())),
            ("waits", int8(leaf.count)),
            ("waited_us", micros(leaf.total)),
        ]);
    }
    Ok(rows.finish())
}

/// Adds the functions.
pub(super) fn register(registry: &mut FunctionRegistry) {
    use SqlType::{Boolean, Integer, Text, Void};
    let mut function = |scalar| add(registry, scalar);
    let strict = Strictness::Strict;
    let pids = SqlType::Array(Box::new(Integer));
    function(row_function("pg_blocking_pids", &[Integer], pids, strict, blocking_pids).volatile());
    function(
        row_function(
            "tessera_profile_locks",
            &[Boolean],
            Void,
            strict,
            |call, on| {
                let is_on = matches!(on, [Value::Boolean(true)]);
                for_administrators(call)?;
                call.executor.transactions().locks().set_profiling(is_on);
                Ok(text(""))
            },
        )
        .volatile(),
    );
    function(
        row_function(
            "tessera_reset_lock_profile",
            &[],
            Void,
            strict,
            |call, _| {
                for_administrators(call)?;
                call.executor.transactions().locks().reset_profile();
                Ok(text(""))
            },
        )
        .volatile(),
    );
    function(
        row_function(
            "tessera_folded_lock_profile",
            &[],
            Text,
            strict,
            |call, _| {
                let catalog = &call.statement.session.catalog;
                let name =
                    |resource, key: Option<&[u8]>| frames(call.executor, catalog, resource, key);
                let folded = call.executor.transactions().locks().folded_with(&name);
                Ok(text(folded))
            },
        )
        .volatile(),
    );
}

/// Sessions in whose way a session waits: those that hold what it wants, or stand before it.
fn blocking_pids(call: &Call<'_>, arguments: &[Value]) -> Result<Value, Report> {
    let wanted = arguments.first().map_or(0, int8_of);
    let processes = processes(call.statement);
    let mut pids: Vec<i32> = Vec::new();
    for wait in call.executor.transactions().locks().waits() {
        if processes.get(&wait.txn).map(|pid| i64::from(*pid)) != Some(wanted) {
            continue;
        }
        let blockers = wait.blockers.iter();
        pids.extend(blockers.filter_map(|blocker| processes.get(&blocker.txn)));
    }
    pids.sort_unstable();
    pids.dedup();
    Ok(array(
        SqlType::Integer,
        pids.into_iter().map(Value::Integer),
    ))
}

fn for_administrators(call: &Call<'_>) -> Result<(), Report> {
    let session = &call.statement.session;
    let user = session.catalog.user(&session.user);
    if user.is_some_and(|user| user.admin) {
        return Ok(());
    }
    Err(Report::error(
        codes::INSUFFICIENT_PRIVILEGE,
        "permission denied: only administrators may change the profile of locks",
    ))
}

fn frames(
    executor: &Executor,
    catalog: &CatalogState,
    resource: Resource,
    key: Option<&[u8]>,
) -> [String; 2] {
    let relation = match resource.relation().and_then(|id| catalog.table(id)) {
        Some(table) => format!("{}.{}", table.schema, table.name),
        None => kind_of(resource),
    };
    let key = key_name(executor, catalog, resource, key);
    [relation, key.unwrap_or_else(|| kind_of(resource))]
}

fn kind_of(resource: Resource) -> String {
    match resource {
        Resource::Database => "database".to_owned(),
        Resource::Relation(_) => "relation".to_owned(),
        Resource::Range(_, range) => format!("range {range:016x}"),
        Resource::Row(_, hash) => format!("row {hash:016x}"),
        Resource::Advisory(space, key) => format!("advisory {space}/{key}"),
    }
}

fn relation_of(resource: Resource) -> Value {
    resource.relation().map_or(Value::Null, |id| oid(id.0))
}

fn process(pid: Option<&i32>) -> Value {
    pid.map_or(Value::Null, |pid| Value::Integer(*pid))
}

fn millis(duration: Duration) -> Value {
    int8(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn micros(duration: Duration) -> Value {
    int8(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

/// Turns instants into times of day.
struct Clock {
    now: Instant,
    now_micros: i64,
}

impl Clock {
    fn of(context: &StatementContext) -> Clock {
        Clock {
            now: Instant::now(),
            now_micros: context.statement_micros,
        }
    }

    fn time(&self, at: Instant) -> Value {
        let ago = self.now.saturating_duration_since(at).as_micros();
        let ago = i64::try_from(ago).unwrap_or(i64::MAX);
        Value::TimestampTz(self.now_micros.saturating_sub(ago))
    }
}
