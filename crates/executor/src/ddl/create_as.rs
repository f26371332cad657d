//! CREATE TABLE AS and SELECT INTO.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use tessera_catalog::{ColumnSpec, TableSpec};
use tessera_planner::ddl::{CreateTableAs, DdlStatement, plan_ddl, relation_name};
use tessera_tables::{OnConflict, Writer};
use tessera_types::{Report, SqlType, codes};

use crate::context::SessionContext;
use crate::dml::expr::Compiler;
use crate::dml::insert::prepare_query;
use crate::dml::target::lock_options;
use crate::executor::Executor;
use crate::outcome::{CommandTag, Outcome};
use crate::query::{self, PreparedQuery};

use super::Run;
use super::create::settled;

/// A planned CREATE TABLE AS.
pub(crate) struct PreparedCreateAs {
    create: CreateTableAs,
    query: PreparedQuery,
}

pub(super) fn prepare(
    executor: &Executor,
    statement: &ast::Statement,
    session: &Arc<SessionContext>,
    params: &mut Vec<Option<SqlType>>,
) -> Result<PreparedCreateAs, Report> {
    let create = match statement {
        ast::Statement::Query(query) => select_into(query)?,
        other => match plan_ddl(other)? {
            Some(DdlStatement::CreateTableAs(create)) => *create,
            _ => return Err(Report::internal("not a CREATE TABLE AS")),
        },
    };
    let mut compiler = Compiler {
        executor,
        session,
        params,
        scalars_only: false,
        with: None,
    };
    let query = prepare_query(&mut compiler, &create.query)?;
    if create.columns.len() > query.columns().len() {
        return Err(Report::error(
            codes::SYNTAX_ERROR,
            "too many column names were specified",
        ));
    }
    Ok(PreparedCreateAs { create, query })
}

/// `SELECT … INTO name …` is CREATE TABLE AS.
fn select_into(query: &ast::Query) -> Result<CreateTableAs, Report> {
    let mut query = query.clone();
    let ast::SetExpr::Select(select) = &mut *query.body else {
        return Err(Report::internal("INTO without SELECT"));
    };
    let Some(into) = select.into.take() else {
        return Err(Report::internal("INTO without a name"));
    };
    if into.temporary {
        return Err(Report::unsupported("temporary tables are not supported"));
    }
    Ok(CreateTableAs {
        name: relation_name(&into.name)?,
        if_not_exists: false,
        columns: Vec::new(),
        query: Box::new(query),
    })
}

impl Run<'_> {
    pub(super) async fn create_as(&self, prepared: &PreparedCreateAs) -> Result<Outcome, Report> {
        let create = &prepared.create;
        if self.context.txn.is_read_only() {
            return Err(Report::error(
                codes::READ_ONLY_SQL_TRANSACTION,
                "cannot execute CREATE TABLE AS in a read-only transaction",
            ));
        }
        if self.is_taken(&create.name, create.if_not_exists)? {
            return Ok(Outcome::Command(CommandTag::new("CREATE TABLE AS")));
        }
        let (schema, name) = self.new_name(&create.name)?;
        let columns = prepared.query.columns();
        let columns = columns
            .iter()
            .enumerate()
            .map(|(at, column)| {
                let name = create.columns.get(at).unwrap_or(&column.name);
                ColumnSpec::new(name.clone(), settled(&column.sql_type))
            })
            .collect();
        let spec = TableSpec {
            schema,
            name,
            columns,
            constraints: Vec::new(),
            owner: self.owner(),
        };
        let def = self.catalog().create_table(&self.context.txn, spec).await?;
        let table = self.executor.writes().table(&def);
        let row_ids = &self.executor.writes().row_ids;
        let mut writer = Writer::new(
            &self.context.txn,
            &table,
            row_ids,
            lock_options(self.context),
        );
        // The table is new, so nobody else holds its lock.
        writer.try_exclusive().await?;
        let Outcome::Rows(mut rows) =
            query::execute(self.executor, &prepared.query, self.context).await?
        else {
            return Err(Report::internal(
                "the query of CREATE TABLE AS gave no rows",
            ));
        };
        let mut count = 0;
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            self.context.check_cancelled()?;
            for at in 0..batch.rows() {
                let row: Vec<_> = (0..batch.columns())
                    .map(|c| batch.value(at, c).to_owned())
                    .collect();
                writer.insert(&row, OnConflict::Error).await?;
            }
            count += batch.rows() as u64;
        }
        Ok(Outcome::Command(CommandTag::counted("SELECT", count)))
    }
}
