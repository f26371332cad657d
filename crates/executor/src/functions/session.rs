//! Functions that ask the session: who and where it is, its settings, its sequences.

use futures::executor::block_on;
use tessera_catalog::{Relation, SequenceDef};
use tessera_planner::functions::{Argument, FunctionRegistry, Returns, Scalar};
use tessera_types::SqlType::{
    BigInt, Boolean, Integer, Name, Regclass, Regtype, Text, TimestampTz,
};
use tessera_types::{RelationId, Report, SqlType, Value, ValueRef, codes};

use std::sync::Arc;

use super::kernel::{Row, RowResult, lenient, per_row, strict};
use crate::context::{SessionContext, catalog_of};
use crate::system_catalog::names::parse_path;

/// Clients compare this with versions of PostgreSQL that they know.
const POSTGRES_VERSION: &str = "15.0";

/// Adds them.
pub(super) fn register(r: &mut FunctionRegistry) {
    identity(r);
    settings(r);
    sequences(r);
}

fn stable(
    r: &mut FunctionRegistry,
    name: &str,
    returns: SqlType,
    body: impl Fn(&SessionContext) -> Value + Send + Sync + 'static,
) {
    let kernel = lenient(move |row: &Row<'_>| Ok(body(&row.statement()?.session)));
    r.scalar(Scalar::new(name, [], Returns::Exact(returns), kernel).stable());
}

fn identity(r: &mut FunctionRegistry) {
    for name in ["current_user", "current_role", "user"] {
        stable(r, name, Name, |session| Value::from(&*session.user));
    }
    stable(r, "session_user", Name, |session| {
        Value::from(&*session.session_user)
    });
    for name in ["current_database", "current_catalog"] {
        stable(r, name, Name, |session| Value::from(&*session.database));
    }
    stable(r, "current_schema", Name, |session| {
        let exists = |name: &&String| session.catalog.schema(name).is_some();
        session
            .search_path
            .iter()
            .find(exists)
            .map_or(Value::Null, |name| Value::from(name.as_str()))
    });
    stable(r, "pg_backend_pid", Integer, |session| {
        Value::Integer(session.process_id)
    });
    stable(r, "version", Text, |_| {
        Value::from(format!(
            "PostgreSQL {POSTGRES_VERSION} (Tessera {})",
            env!("CARGO_PKG_VERSION")
        ))
    });
    stable(r, "pg_client_encoding", Name, |_| Value::from("UTF8"));
    for name in ["pg_is_in_recovery", "pg_is_wal_replay_paused"] {
        stable(r, name, Boolean, |_| Value::Boolean(false));
    }
    stable(r, "pg_my_temp_schema", SqlType::Oid, |_| Value::Oid(0));
    for name in ["inet_server_addr", "inet_client_addr"] {
        stable(r, name, Text, |_| Value::Null);
    }
    for name in ["inet_server_port", "inet_client_port"] {
        stable(r, name, Integer, |_| Value::Null);
    }
    // When the server began is not known here; the statement's own start is never later.
    stable(r, "pg_conf_load_time", TimestampTz, |_| Value::Null);
    let kernel = lenient(|row: &Row<'_>| Ok(Value::Oid(row.sql_type(0).oid())));
    r.scalar(
        Scalar::new(
            "pg_typeof",
            [Argument::Any],
            Returns::Exact(Regtype),
            kernel,
        )
        .stable(),
    );
}

fn settings(r: &mut FunctionRegistry) {
    let kernel = strict(|row: &Row<'_>| {
        let name = row.text(0);
        match row.statement()?.session.settings.get(name) {
            Some(value) => Ok(Value::from(value)),
            None if row.len() > 1 && row.boolean(1) => Ok(Value::Null),
            None => Err(Report::error(
                codes::UNDEFINED_OBJECT,
                format!("unrecognized configuration parameter \"{name}\""),
            )),
        }
    });
    let arguments = [Argument::Exact(Text), Argument::Exact(Boolean)];
    r.scalar(
        Scalar::new("current_setting", arguments, Returns::Exact(Text), kernel)
            .stable()
            .optional(1),
    );
    let kernel = per_row(|row: &Row<'_>| {
        if row.is_null(0) || row.is_null(2) {
            return Ok(Value::Null);
        }
        let settings = &row.statement()?.session.settings;
        settings.set(row.text(0), row.text(1), row.boolean(2))?;
        Ok(settings.get(row.text(0)).map_or(Value::Null, Value::from))
    });
    let arguments = [Text, Text, Boolean].map(Argument::Exact);
    r.scalar(Scalar::new("set_config", arguments, Returns::Exact(Text), kernel).volatile());
}

/// The sequence that an argument of type text or regclass names.
fn sequence(row: &Row<'_>) -> Result<Arc<SequenceDef>, Report> {
    let session = &row.statement()?.session;
    let (found, shown) = match row.value(0) {
        ValueRef::Oid(oid) => (
            session.catalog.relation_by_id(RelationId(*oid)),
            oid.to_string(),
        ),
        _ => {
            let text = row.text(0);
            let path = parse_path(text)?;
            let found = match path.as_slice() {
                [name] => session.catalog.resolve(&session.search_path, None, name),
                [schema, name] => session
                    .catalog
                    .resolve(&session.search_path, Some(schema), name),
                _ => None,
            };
            (found, text.to_owned())
        }
    };
    match found {
        Some(Relation::Sequence(sequence)) => Ok(sequence),
        Some(other) => Err(Report::error(
            codes::WRONG_OBJECT_TYPE,
            format!("\"{}\" is not a sequence", other.name()),
        )),
        None => Err(Report::error(
            codes::UNDEFINED_TABLE,
            format!("relation \"{shown}\" does not exist"),
        )),
    }
}

fn sequences(r: &mut FunctionRegistry) {
    for argument in [Text, Regclass] {
        let one = || [Argument::Exact(argument.clone())];
        let volatile = |name: &str, body: fn(&Row<'_>) -> RowResult| {
            let body = move |row: &Row<'_>| {
                if row.values().iter().any(ValueRef::is_null) {
                    Ok(Value::Null)
                } else {
                    body(row)
                }
            };
            Scalar::new(name, one(), Returns::Exact(BigInt), per_row(body)).volatile()
        };
        r.scalar(volatile("nextval", |row| {
            let sequence = sequence(row)?;
            let statement = row.statement()?;
            let catalog = catalog_of(row.options())?;
            let next = match catalog
                .try_next_value(&sequence)
                .map_err(|error| error.report())?
            {
                Some(value) => value,
                // The block of numbers is used up: reserving the next one waits for the log only.
                None => block_on(catalog.next_value(&sequence)).map_err(|error| error.report())?,
            };
            let mut state = statement.session.state.sequences.lock();
            state.values.insert(sequence.id, next);
            state.last = Some(sequence.id);
            Ok(Value::BigInt(next))
        }));
        r.scalar(volatile("currval", |row| {
            let sequence = sequence(row)?;
            let state = row.statement()?.session.state.sequences.lock();
            state
                .values
                .get(&sequence.id)
                .map(|value| Value::BigInt(*value))
                .ok_or_else(|| {
                    Report::error(
                        codes::OBJECT_NOT_IN_PREREQUISITE_STATE,
                        format!(
                            "currval of sequence \"{}\" is not yet defined in this session",
                            sequence.name
                        ),
                    )
                })
        }));
        let body = |row: &Row<'_>| {
            if row.values().iter().any(ValueRef::is_null) {
                return Ok(Value::Null);
            }
            let sequence = sequence(row)?;
            let is_called = row.len() < 3 || row.boolean(2);
            let catalog = catalog_of(row.options())?;
            block_on(catalog.set_value(&sequence, row.integer(1), is_called))
                .map_err(|error| error.report())?;
            if is_called {
                let mut state = row.statement()?.session.state.sequences.lock();
                state.values.insert(sequence.id, row.integer(1));
                state.last = Some(sequence.id);
            }
            Ok(Value::BigInt(row.integer(1)))
        };
        let arguments = [argument.clone(), BigInt, Boolean].map(Argument::Exact);
        r.scalar(
            Scalar::new("setval", arguments, Returns::Exact(BigInt), per_row(body))
                .volatile()
                .optional(1),
        );
    }
    let body = |row: &Row<'_>| {
        let state = row.statement()?.session.state.sequences.lock();
        let last = state.last.and_then(|id| state.values.get(&id));
        last.map(|value| Value::BigInt(*value)).ok_or_else(|| {
            Report::error(
                codes::OBJECT_NOT_IN_PREREQUISITE_STATE,
                "lastval is not yet defined in this session",
            )
        })
    };
    r.scalar(Scalar::new("lastval", [], Returns::Exact(BigInt), per_row(body)).volatile());
}
