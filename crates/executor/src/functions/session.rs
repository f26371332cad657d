//! Functions that ask the session: who and where it is, its settings. Sequences are in `system_catalog`.

use tessera_planner::functions::{Argument, FunctionRegistry, Returns, Scalar};
use tessera_types::SqlType::{Boolean, Integer, Name, Regtype, Text, TimestampTz};
use tessera_types::{Report, SqlType, Value, codes};

use super::kernel::{Row, lenient, per_row, strict};
use crate::context::SessionContext;

/// Clients compare this with versions of PostgreSQL that they know.
const POSTGRES_VERSION: &str = "15.0";

/// Adds them.
pub(super) fn register(r: &mut FunctionRegistry) {
    identity(r);
    settings(r);
    transaction_token(r);
}

/// What `SHOW tessera.transaction_token` shows: by this another session joins the transaction, as
/// the same user.
fn transaction_token(r: &mut FunctionRegistry) {
    let kernel = lenient(|row: &Row<'_>| {
        let statement = row.statement()?;
        if !statement.in_block {
            return Err(Report::error(
                codes::NO_ACTIVE_SQL_TRANSACTION,
                "tessera_transaction_token() can only be used in transaction blocks",
            ));
        }
        let session = &statement.session;
        let user = session.catalog.user(&session.session_user);
        let user = user.ok_or_else(|| Report::internal("the session's user is not there"))?;
        Ok(Value::from(format!(
            "{}-{}",
            user.oid,
            statement.txn.token()
        )))
    });
    r.scalar(
        Scalar::new(
            "tessera_transaction_token",
            [],
            Returns::Exact(Text),
            kernel,
        )
        .volatile(),
    );
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
    let current = |row: &Row<'_>| {
        let name = row.text(0);
        match row.statement()?.session.settings.get(name) {
            Some(value) => Ok(Value::from(value)),
            None if row.len() > 1 && row.boolean(1) => Ok(Value::Null),
            None => Err(Report::error(
                codes::UNDEFINED_OBJECT,
                format!("unrecognized configuration parameter \"{name}\""),
            )),
        }
    };
    let arguments = || [Argument::Exact(Text), Argument::Exact(Boolean)];
    let name = "current_setting";
    r.scalar(
        Scalar::new(name, arguments(), Returns::Exact(Text), strict(current))
            .stable()
            .optional(1),
    );
    // Where the statement calls set_config first, it is an operator of the binder's own.
    r.operator(
        Scalar::new(name, arguments(), Returns::Exact(Text), per_row(current))
            .volatile()
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
