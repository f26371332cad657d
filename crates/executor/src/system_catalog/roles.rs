//! Users and roles. Verifiers are shown to administrators only.

use tessera_catalog::UserDef;
use tessera_types::{Report, SqlType, Value};

use super::rows::{MakeRows, Rows, array, flag, oid, opt_text, text};
use crate::context::StatementContext;
use crate::executor::Executor;

type Made = Result<Vec<Vec<Value>>, Report>;

/// Rows of the tables in this file.
pub(super) fn rows_of(name: &str) -> Option<MakeRows> {
    Some(match name {
        "pg_authid" => pg_authid,
        "pg_roles" => pg_roles,
        "pg_user" => pg_user,
        "pg_shadow" => pg_shadow,
        "pg_group" => pg_group,
        _ => return None,
    })
}

fn is_admin(context: &StatementContext) -> bool {
    context
        .session
        .catalog
        .user(&context.session.user)
        .is_some_and(|user| user.admin)
}

fn pg_authid(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_authid")?;
    require_admin(context, "pg_authid")?;
    for user in context.session.catalog.users() {
        rows.add([
            ("oid", oid(user.oid)),
            ("rolname", text(user.name.as_str())),
            ("rolsuper", flag(user.admin)),
            ("rolinherit", flag(true)),
            ("rolcreaterole", flag(user.admin)),
            ("rolcreatedb", flag(user.admin)),
            ("rolcanlogin", flag(user.login)),
            ("rolreplication", flag(false)),
            ("rolbypassrls", flag(user.admin)),
            ("rolconnlimit", Value::Integer(-1)),
            ("rolpassword", opt_text(user.verifier.as_deref())),
        ]);
    }
    Ok(rows.finish())
}

fn require_admin(context: &StatementContext, table: &str) -> Result<(), Report> {
    if is_admin(context) {
        return Ok(());
    }
    let message = format!("permission denied for table {table}");
    Err(Report::error(
        tessera_types::codes::INSUFFICIENT_PRIVILEGE,
        message,
    ))
}

fn pg_roles(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_roles")?;
    for user in context.session.catalog.users() {
        rows.add([
            ("rolname", text(user.name.as_str())),
            ("rolsuper", flag(user.admin)),
            ("rolinherit", flag(true)),
            ("rolcreaterole", flag(user.admin)),
            ("rolcreatedb", flag(user.admin)),
            ("rolcanlogin", flag(user.login)),
            ("rolreplication", flag(false)),
            ("rolconnlimit", Value::Integer(-1)),
            ("rolpassword", text("********")),
            ("rolbypassrls", flag(user.admin)),
            ("oid", oid(user.oid)),
        ]);
    }
    Ok(rows.finish())
}

fn pg_user(_: &Executor, context: &StatementContext) -> Made {
    users(context, "pg_user", |_| text("********"))
}

fn pg_shadow(_: &Executor, context: &StatementContext) -> Made {
    require_admin(context, "pg_shadow")?;
    users(context, "pg_shadow", |user| {
        opt_text(user.verifier.as_deref())
    })
}

fn users(context: &StatementContext, name: &str, password: fn(&UserDef) -> Value) -> Made {
    let mut rows = Rows::new("pg_catalog", name)?;
    for user in context.session.catalog.users().filter(|user| user.login) {
        rows.add([
            ("usename", text(user.name.as_str())),
            ("usesysid", oid(user.oid)),
            ("usecreatedb", flag(user.admin)),
            ("usesuper", flag(user.admin)),
            ("userepl", flag(false)),
            ("usebypassrls", flag(user.admin)),
            ("passwd", password(user)),
        ]);
    }
    Ok(rows.finish())
}

fn pg_group(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_group")?;
    for user in context.session.catalog.users().filter(|user| !user.login) {
        rows.add([
            ("groname", text(user.name.as_str())),
            ("grosysid", oid(user.oid)),
            ("grolist", array(SqlType::Oid, [])),
        ]);
    }
    Ok(rows.finish())
}
