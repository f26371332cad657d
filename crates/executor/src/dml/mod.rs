//! INSERT, UPDATE, DELETE, TRUNCATE.
//!
//! # Map
//! - `expr`: expressions of writes, as scalars or compiled by DataFusion.
//! - `rules`: defaults, generated columns, checks of a table; `returning`: RETURNING.
//! - `insert`: INSERT with ON CONFLICT; `change`: UPDATE and DELETE.
//! - `models`: the same on key spaces and collections.
//! - `with`: WITH queries that write.
//! - `source`: rows by key and range; `found`: rows by a query.
//! - `target`: the lock of the table, waits that end with the statement.
//! - `cache`: tables and rules prepared once per definition.
//!
//! # Invariants
//! 1. A table is locked in IX mode, and its definition compared with the plan's, before a row of
//!    it is read for writing.
//! 2. Rows are read through the statement's view, so a statement never sees its own writes.
//! 3. Evaluation order is PostgreSQL's: defaults, generated columns, NOT NULL, CHECK, unique keys.
//!
//! # Not here
//! Keys, locks of rows, indexes (`tables`); undoing a failed statement (the executor's guard).

pub(crate) mod cache;
pub(crate) mod change;
pub(crate) mod expr;
mod found;
pub(crate) mod insert;
mod models;
pub(crate) mod returning;
pub(crate) mod rules;
pub(crate) mod source;
pub(crate) mod target;
mod with;

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use tessera_planner::{ColumnInfo, Parsed};
use tessera_types::{Report, SqlType};

use crate::context::{SessionContext, StatementContext};
use crate::ddl;
use crate::executor::Executor;
use crate::outcome::Outcome;
use crate::query::PreparedQuery;

use change::Change;
use expr::Compiler;
use insert::Insert;
use models::ModelWrite;
use with::WithWrites;

/// A write with its names and types resolved.
pub(crate) enum PreparedWrite {
    Insert(Box<Insert>),
    Change(Box<Change>),
    Model(Box<ModelWrite>),
    Truncate(Box<ddl::PreparedDdl>),
    With(Box<WithWrites>),
}

/// Result columns, when there is a RETURNING clause.
pub(crate) type ReturnedColumns = Option<Arc<[ColumnInfo]>>;

/// Resolves names and types; fills in `params`. The columns are those of RETURNING.
pub(crate) fn prepare(
    executor: &Executor,
    parsed: &Arc<Parsed>,
    write: &ast::Statement,
    session: &Arc<SessionContext>,
    params: &mut Vec<Option<SqlType>>,
) -> Result<(PreparedWrite, ReturnedColumns), Report> {
    if let ast::Statement::Truncate(_) = write {
        let ddl = ddl::prepare(executor, parsed, session, params)?;
        return Ok((PreparedWrite::Truncate(Box::new(ddl)), None));
    }
    let mut compiler = Compiler {
        executor,
        session,
        params,
        scalars_only: false,
        with: None,
    };
    let plan = plan(&mut compiler, write)?;
    let plan = plan.ok_or_else(|| Report::internal("a write was not planned"))?;
    let columns = plan.columns();
    Ok((plan, columns))
}

/// Plans a write; `Ok(None)` only when the compiler wants scalars alone and they do not do.
pub(crate) fn plan(
    compiler: &mut Compiler<'_>,
    write: &ast::Statement,
) -> Result<Option<PreparedWrite>, Report> {
    if models::is_meant(compiler, write) {
        if compiler.scalars_only {
            return Ok(None);
        }
        let model = models::plan(compiler, write)?;
        return Ok(Some(PreparedWrite::Model(Box::new(model))));
    }
    Ok(match write {
        ast::Statement::Insert(insert) => {
            Insert::plan(compiler, insert)?.map(|plan| PreparedWrite::Insert(Box::new(plan)))
        }
        ast::Statement::Update(update) => {
            Change::plan_update(compiler, update)?.map(|plan| PreparedWrite::Change(Box::new(plan)))
        }
        ast::Statement::Delete(delete) => {
            Change::plan_delete(compiler, delete)?.map(|plan| PreparedWrite::Change(Box::new(plan)))
        }
        _ if compiler.scalars_only => None,
        ast::Statement::Merge(_) => return Err(Report::unsupported("MERGE is not supported yet")),
        ast::Statement::Query(query) => {
            if let Some(all) = WithWrites::plan(compiler, query)? {
                return Ok(Some(PreparedWrite::With(Box::new(all))));
            }
            let (inner, with) = behind_with(query)?;
            compiler.with = with;
            return plan(compiler, &inner);
        }
        other => return Err(Report::unsupported(format!("not supported: {other}"))),
    })
}

/// `WITH … INSERT`, `UPDATE` or `DELETE`: the write, and the text of the WITH clause for the
/// queries in it. An INSERT takes the clause into its own query.
fn behind_with(query: &ast::Query) -> Result<(ast::Statement, Option<String>), Report> {
    let refused = || Report::unsupported("this form of a statement behind WITH is not supported");
    let Some(with) = &query.with else {
        return Err(refused());
    };
    match &*query.body {
        ast::SetExpr::Insert(ast::Statement::Insert(insert)) => {
            let mut insert = insert.clone();
            let Some(source) = &mut insert.source else {
                return Err(refused());
            };
            match &mut source.with {
                None => source.with = Some(with.clone()),
                // The inner names hide the outer ones, which come first.
                Some(inner) => {
                    inner.recursive |= with.recursive;
                    let own = std::mem::take(&mut inner.cte_tables);
                    inner.cte_tables = with.cte_tables.iter().cloned().chain(own).collect();
                }
            }
            Ok((ast::Statement::Insert(insert), None))
        }
        ast::SetExpr::Update(inner @ ast::Statement::Update(_))
        | ast::SetExpr::Delete(inner @ ast::Statement::Delete(_)) => {
            Ok((inner.clone(), Some(with.to_string())))
        }
        _ => Err(refused()),
    }
}

impl PreparedWrite {
    /// Columns of RETURNING.
    pub(crate) fn columns(&self) -> ReturnedColumns {
        let returning = match self {
            PreparedWrite::Insert(insert) => insert.returning.as_ref(),
            PreparedWrite::Change(change) => change.returning.as_ref(),
            PreparedWrite::Model(model) => return model.columns(),
            PreparedWrite::Truncate(_) => None,
            PreparedWrite::With(all) => return all.columns(),
        };
        returning.map(|returning| returning.columns.clone())
    }

    /// The query that gives or finds the rows, for EXPLAIN.
    pub(crate) fn query(&self) -> Option<&PreparedQuery> {
        match self {
            PreparedWrite::Insert(insert) => insert.query(),
            PreparedWrite::Change(change) => change.query(),
            PreparedWrite::Model(model) => model.query(),
            PreparedWrite::Truncate(_) => None,
            PreparedWrite::With(all) => all.query(),
        }
    }

    /// First line of EXPLAIN.
    pub(crate) fn describe(&self) -> String {
        match self {
            PreparedWrite::Insert(insert) => insert.describe(),
            PreparedWrite::Change(change) => change.describe(),
            PreparedWrite::Model(model) => model.describe(),
            PreparedWrite::Truncate(_) => "Truncate".to_owned(),
            PreparedWrite::With(all) => all.describe(),
        }
    }
}

/// Runs it.
pub(crate) async fn execute(
    executor: &Executor,
    write: &PreparedWrite,
    context: &StatementContext,
) -> Result<Outcome, Report> {
    match write {
        PreparedWrite::Insert(insert) => insert.execute(executor, context).await,
        PreparedWrite::Change(change) => change.execute(executor, context).await,
        PreparedWrite::Model(model) => model.execute(executor, context).await,
        PreparedWrite::Truncate(ddl) => ddl::execute(executor, ddl, context).await,
        PreparedWrite::With(all) => all.execute(executor, context).await,
    }
}
