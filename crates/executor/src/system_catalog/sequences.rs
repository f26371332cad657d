//! `nextval`, `currval`, `setval`, `lastval`.

use std::future::Future;
use std::sync::Arc;

use tessera_catalog::{CatalogError, Position, SequenceDef, refusal};
use tessera_planner::functions::FunctionRegistry;
use tessera_types::{RelationId, Report, SqlType, Value, codes};

use super::functions::{Call, Strictness, add, int8_of, oid_of, row_function};
use super::names;
use super::relations::SEQUENCE_COLUMNS;
use super::tables::SystemTable;
use crate::executor::Executor;

/// Adds the functions.
pub(super) fn register(registry: &mut FunctionRegistry) {
    use SqlType::{BigInt, Boolean, Regclass};
    add(
        registry,
        row_function("nextval", &[Regclass], BigInt, Strictness::Strict, next).volatile(),
    );
    add(
        registry,
        row_function("currval", &[Regclass], BigInt, Strictness::Strict, current).volatile(),
    );
    add(
        registry,
        row_function("lastval", &[], BigInt, Strictness::Strict, last).volatile(),
    );
    add(
        registry,
        row_function(
            "setval",
            &[Regclass, BigInt, Boolean],
            BigInt,
            Strictness::Strict,
            set,
        )
        .optional(1)
        .volatile(),
    );
    add(
        registry,
        row_function(
            "pg_sequence_last_value",
            &[Regclass],
            BigInt,
            Strictness::Strict,
            last_value_of,
        )
        .volatile(),
    );
}

/// Where a sequence stands.
pub(super) fn position(executor: &Executor, sequence: &SequenceDef) -> Result<Position, Report> {
    wait_for(executor.catalog().sequence_position(sequence)).map_err(|error| error.report())
}

/// A sequence read as a table: one row that says where it stands.
pub(crate) fn table_of(sequence: &Arc<SequenceDef>) -> Arc<SystemTable> {
    let def = Arc::clone(sequence);
    Arc::new(SystemTable {
        schema: sequence.schema.clone(),
        name: sequence.name.clone(),
        id: sequence.id,
        columns: SEQUENCE_COLUMNS
            .iter()
            .map(|(name, sql_type)| ((*name).into(), sql_type.clone()))
            .collect(),
        rows: Arc::new(move |executor, _| {
            let position = position(executor, &def)?;
            let last = Value::BigInt(position.last_value);
            Ok(vec![vec![
                last,
                Value::BigInt(0),
                Value::Boolean(position.is_called),
            ]])
        }),
    })
}

fn sequence(call: &Call<'_>, id: u32) -> Result<Arc<SequenceDef>, Report> {
    let id = RelationId(id);
    // The transaction's own state: the sequence may be made by the same transaction.
    let state = call.executor.catalog().state_for(&call.statement.txn);
    state.sequence(id).cloned().ok_or_else(|| {
        if names::relation_exists(&state, id) {
            let name = names::output(
                &call.statement.session,
                call.registry(),
                &SqlType::Regclass,
                id.0,
            );
            return refusal::wrong_kind(&name, "a sequence");
        }
        Report::error(
            codes::UNDEFINED_TABLE,
            format!("relation with OID {id} does not exist"),
        )
    })
}

fn check_writable(call: &Call<'_>, function: &str) -> Result<(), Report> {
    if !call.statement.txn.is_read_only() {
        return Ok(());
    }
    let message = format!("cannot execute {function}() in a read-only transaction");
    Err(Report::error(codes::READ_ONLY_SQL_TRANSACTION, message))
}

fn next(call: &Call<'_>, arguments: &[Value]) -> Result<Value, Report> {
    check_writable(call, "nextval")?;
    let sequence = sequence(call, oid_of(&arguments[0]))?;
    let catalog = call.executor.catalog();
    let value = match catalog
        .try_next_value(&sequence)
        .map_err(|error| error.report())?
    {
        Some(value) => value,
        None => wait_for(catalog.next_value(&sequence)).map_err(|error| error.report())?,
    };
    remember(call, sequence.id, value);
    Ok(Value::BigInt(value))
}

fn remember(call: &Call<'_>, id: RelationId, value: i64) {
    let mut known = call.statement.session.state.sequences.lock();
    known.values.insert(id, value);
    known.last = Some(id);
}

fn current(call: &Call<'_>, arguments: &[Value]) -> Result<Value, Report> {
    let sequence = sequence(call, oid_of(&arguments[0]))?;
    let known = call.statement.session.state.sequences.lock();
    known
        .values
        .get(&sequence.id)
        .map(|value| Value::BigInt(*value))
        .ok_or_else(|| refusal::currval_undefined(&sequence.name))
}

fn last(call: &Call<'_>, _: &[Value]) -> Result<Value, Report> {
    let known = call.statement.session.state.sequences.lock();
    known
        .last
        .and_then(|id| known.values.get(&id))
        .map(|value| Value::BigInt(*value))
        .ok_or_else(refusal::lastval_undefined)
}

fn set(call: &Call<'_>, arguments: &[Value]) -> Result<Value, Report> {
    check_writable(call, "setval")?;
    let sequence = sequence(call, oid_of(&arguments[0]))?;
    let value = int8_of(&arguments[1]);
    let is_called = !matches!(arguments.get(2), Some(Value::Boolean(false)));
    wait_for(
        call.executor
            .catalog()
            .set_value(&sequence, value, is_called),
    )
    .map_err(|error| error.report())?;
    if is_called {
        let mut known = call.statement.session.state.sequences.lock();
        known.values.insert(sequence.id, value);
    }
    Ok(Value::BigInt(value))
}

fn last_value_of(call: &Call<'_>, arguments: &[Value]) -> Result<Value, Report> {
    let sequence = sequence(call, oid_of(&arguments[0]))?;
    let position = position(call.executor, &sequence)?;
    Ok(if position.is_called {
        Value::BigInt(position.last_value)
    } else {
        Value::Null
    })
}

/// Waits inside a function, which cannot be asynchronous. Rare: values are reserved in blocks.
/// The commit that is waited for is made by the store's own thread.
fn wait_for<T>(work: impl Future<Output = Result<T, CatalogError>>) -> Result<T, CatalogError> {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current() {
        Ok(runtime) if runtime.runtime_flavor() == RuntimeFlavor::MultiThread => {
            tokio::task::block_in_place(|| runtime.block_on(work))
        }
        _ => futures::executor::block_on(work),
    }
}
