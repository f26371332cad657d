//! The table of a write at run time: its lock, and whether the plan still fits.

use std::sync::Arc;
use std::time::Instant;

use tessera_catalog::TableDef;
use tessera_locks::{LockOptions, Mode, Resource, Wait};
use tessera_planner::{LockStrength, LockWait};
use tessera_tables::{Table, Writer};
use tessera_types::{RelationId, Report, codes};

use crate::context::StatementContext;
use crate::executor::Executor;

/// How a statement waits for locks.
pub(crate) fn lock_options(context: &StatementContext) -> LockOptions {
    LockOptions {
        wait: Wait::Block,
        deadline: context
            .session
            .lock_patience(context.txn.manager().locks())
            .map(|timeout| Instant::now() + timeout),
    }
}

/// The mode of a row's lock: PostgreSQL's four strengths, which conflict as its table 13.3 says.
pub(crate) fn row_mode(strength: LockStrength) -> Mode {
    match strength {
        LockStrength::KeyShare => Mode::IS,
        LockStrength::Share => Mode::S,
        LockStrength::NoKeyUpdate => Mode::SIX,
        LockStrength::Update => Mode::X,
    }
}

/// What to do when a row is not free.
pub(crate) fn wait_of(wait: LockWait) -> Wait {
    match wait {
        LockWait::Block => Wait::Block,
        LockWait::NoWait => Wait::NoWait,
        LockWait::SkipLocked => Wait::SkipLocked,
    }
}

/// Locks a relation for a statement, ending the wait when the statement is cancelled.
pub(crate) async fn lock_relation(
    context: &StatementContext,
    relation: RelationId,
    mode: Mode,
) -> Result<(), Report> {
    let options = lock_options(context);
    let lock = context
        .txn
        .lock(Resource::Relation(relation), mode, &options);
    cancellable(context, async {
        lock.await.map_err(|error| error.report())
    })
    .await?;
    Ok(())
}

/// Ends early with 57014 when the statement is cancelled.
pub(crate) async fn cancellable<T>(
    context: &StatementContext,
    work: impl Future<Output = Result<T, Report>>,
) -> Result<T, Report> {
    let mut work = std::pin::pin!(work);
    // Most work is done at once; only a wait needs the second branch.
    let cancelled = std::pin::pin!(context.cancel.cancelled());
    match futures::future::select(&mut work, cancelled).await {
        futures::future::Either::Left((result, _)) => result,
        futures::future::Either::Right(((), _)) => {
            context.check_cancelled()?;
            Err(Report::internal("cancelled without a cancel request"))
        }
    }
}

/// Locks the table for writing rows and makes sure that the plan was made for its present form.
pub(crate) async fn open<'a>(
    executor: &'a Executor,
    context: &'a StatementContext,
    table: &'a Table,
) -> Result<Writer<'a>, Report> {
    lock_to_write(executor, context, table.def()).await?;
    Ok(Writer::new(
        &context.txn,
        table,
        &executor.writes().row_ids,
        lock_options(context),
    ))
}

/// The lock and the check of [`open`], for a relation of any model.
pub(crate) async fn lock_to_write(
    executor: &Executor,
    context: &StatementContext,
    table: &Arc<TableDef>,
) -> Result<(), Report> {
    if context.txn.is_read_only() {
        return Err(read_only());
    }
    lock_relation(context, table.id, Mode::IX).await?;
    check_current(executor, context, table)
}

fn read_only() -> Report {
    Report::error(
        codes::READ_ONLY_SQL_TRANSACTION,
        "cannot execute a write in a read-only transaction",
    )
}

/// Rows that a statement must have added or removed to be counted at once; the rest is counted
/// by ANALYZE.
const ROWS_NOTED_MIN: u64 = 64;

/// Counts rows that the commit will add, for estimates.
pub(crate) fn note_rows(
    executor: &Executor,
    context: &StatementContext,
    table: RelationId,
    change: i64,
) {
    if change.unsigned_abs() >= ROWS_NOTED_MIN {
        let counter = executor.catalog().row_counter(table);
        context.txn.on_publish(Box::new(move |_| counter(change)));
    }
}

/// A definition may have changed while the lock was waited for.
pub(crate) fn check_current(
    executor: &Executor,
    context: &StatementContext,
    table: &Arc<TableDef>,
) -> Result<(), Report> {
    let state = executor.catalog().state_for(&context.txn);
    match state.table(table.id) {
        Some(now) if now.version == table.version => {
            let snapshot = context.view()?.version();
            Ok(executor
                .catalog()
                .check_snapshot(&context.txn, now, snapshot)?)
        }
        Some(_) => Err(Report::error(
            codes::SERIALIZATION_FAILURE,
            format!(
                "definition of table \"{}\" was changed by a concurrent transaction",
                table.name
            ),
        )
        .with_hint("Run the statement again.")),
        None => Err(Report::error(
            codes::UNDEFINED_TABLE,
            format!("relation \"{}\" does not exist", table.name),
        )),
    }
}
