//! CREATE, ALTER, DROP, COMMENT, CREATE TABLE AS, TRUNCATE, ANALYZE and other upkeep.
//!
//! # Map
//! - `create`: tables, indexes, views, schemas, sequences; `create_as`: CREATE TABLE AS.
//! - `alter`: ALTER TABLE, with the checks and rewrites of existing rows.
//! - `models`: collections and key spaces; `document_index`: CREATE INDEX on a collection.
//! - `remove`: DROP, TRUNCATE, COMMENT; `analyze`: statistics.
//! - `view_text`: a view's query with its relations qualified.
//!
//! # Invariants
//! 1. The catalog's verb comes first: it takes the relation's lock, and only then rows are looked
//!    at. What a check of the rows refuses is undone with the statement.
//! 2. Names are looked up in the catalog as the transaction sees it now, not as when the
//!    statement was prepared.

mod alter;
mod analyze;
mod create;
mod create_as;
mod document_index;
mod models;
mod remove;
mod view_text;

use std::sync::Arc;

use tessera_catalog::{CatalogState, Relation};
use tessera_planner::ddl::{DdlStatement, RelationName, plan_ddl, relation_name};
use tessera_planner::dml::Names;
use tessera_planner::statement::{Maintenance, ModelDdl};
use tessera_planner::{Parsed, Statement};
use tessera_types::{Report, SqlType, codes};

use crate::context::{SessionContext, StatementContext};
use crate::executor::Executor;
use crate::outcome::{CommandTag, Outcome};

use create_as::PreparedCreateAs;

/// A checked definition statement.
pub(crate) enum PreparedDdl {
    Plain {
        statement: Box<DdlStatement>,
        verb: &'static str,
    },
    CreateAs(Box<PreparedCreateAs>),
    Maintenance(Maintenance),
    Model {
        statement: Arc<ModelDdl>,
        verb: &'static str,
    },
}

/// Checks the statement as far as it can be before it runs.
pub(crate) fn prepare(
    executor: &Executor,
    parsed: &Arc<Parsed>,
    session: &Arc<SessionContext>,
    params: &mut Vec<Option<SqlType>>,
) -> Result<PreparedDdl, Report> {
    let verb = parsed.statement.verb();
    match &parsed.statement {
        Statement::Maintenance(maintenance) => Ok(PreparedDdl::Maintenance(maintenance.clone())),
        Statement::Model(statement) => Ok(PreparedDdl::Model {
            statement: Arc::clone(statement),
            verb,
        }),
        Statement::CreateTableAs(statement) => {
            let prepared = create_as::prepare(executor, statement, session, params)?;
            Ok(PreparedDdl::CreateAs(Box::new(prepared)))
        }
        Statement::Ddl(statement) | Statement::Write(statement) => match plan_ddl(statement)? {
            Some(DdlStatement::CreateTableAs(_)) | None => {
                Err(Report::unsupported(format!("{verb} is not supported")))
            }
            Some(statement) => Ok(PreparedDdl::Plain {
                statement: Box::new(statement),
                verb,
            }),
        },
        _ => Err(Report::internal("not a definition statement")),
    }
}

/// Runs it.
pub(crate) async fn execute(
    executor: &Executor,
    ddl: &PreparedDdl,
    context: &StatementContext,
) -> Result<Outcome, Report> {
    let run = Run { executor, context };
    let (statement, verb) = match ddl {
        PreparedDdl::Maintenance(maintenance) => return run.maintain(maintenance).await,
        PreparedDdl::CreateAs(create) => return run.create_as(create).await,
        PreparedDdl::Model { statement, verb } => {
            run.check_writable(verb)?;
            run.model(statement).await?;
            return Ok(Outcome::Command(CommandTag::new(*verb)));
        }
        PreparedDdl::Plain { statement, verb } => (&**statement, *verb),
    };
    run.check_writable(verb)?;
    match statement {
        DdlStatement::CreateTable(create) => run.create_table(create).await?,
        DdlStatement::CreateIndex(create) => run.create_index(create).await?,
        DdlStatement::CreateView(create) => run.create_view(create).await?,
        DdlStatement::CreateSchema {
            name,
            if_not_exists,
        } => {
            run.create_schema(name, *if_not_exists).await?;
        }
        DdlStatement::CreateSequence(create) => run.create_sequence(create).await?,
        DdlStatement::RenameIndex { index, to } => run.rename_index(index, to).await?,
        DdlStatement::RenameSchema { from, to } => {
            run.catalog().rename_schema(&context.txn, from, to).await?;
        }
        DdlStatement::AlterTable {
            table,
            if_exists,
            actions,
        } => {
            run.alter_table(table, *if_exists, actions).await?;
        }
        DdlStatement::Drop {
            kind,
            if_exists,
            names,
            cascade,
        } => {
            run.drop_objects(*kind, *if_exists, names, *cascade).await?;
        }
        DdlStatement::Truncate {
            tables,
            restart_identity,
        } => {
            run.truncate(tables, *restart_identity).await?;
        }
        DdlStatement::Comment { on, text } => run.comment(on, text.clone()).await?,
        DdlStatement::CreateTableAs(_) | DdlStatement::Maintenance { .. } => {
            return Err(Report::internal("planned as another kind of statement"));
        }
    }
    Ok(Outcome::Command(CommandTag::new(verb)))
}

/// One execution.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    executor: &'a Executor,
    context: &'a StatementContext,
}

impl<'a> Run<'a> {
    fn catalog(&self) -> &'a tessera_catalog::Catalog {
        self.executor.catalog()
    }

    fn check_writable(&self, verb: &str) -> Result<(), Report> {
        if self.context.txn.is_read_only() {
            return Err(Report::error(
                codes::READ_ONLY_SQL_TRANSACTION,
                format!("cannot execute {verb} in a read-only transaction"),
            ));
        }
        Ok(())
    }

    /// The catalog as the transaction sees it now.
    fn state(&self) -> Arc<CatalogState> {
        self.executor.catalog().state_for(&self.context.txn)
    }

    /// The session over the present catalog, for compiling expressions of new definitions.
    fn session(&self) -> Arc<SessionContext> {
        let mut session = SessionContext::clone(&self.context.session);
        session.catalog = self.state();
        Arc::new(session)
    }

    /// The statement over the present catalog, for evaluating such expressions.
    fn present(&self) -> StatementContext {
        let mut context = self.context.clone();
        context.session = self.session();
        context
    }

    fn owner(&self) -> u32 {
        let user = self
            .context
            .session
            .catalog
            .user(&self.context.session.user);
        // Oid 10 is the user of the first start.
        user.map_or(10, |user| user.oid)
    }

    fn find(&self, state: &CatalogState, name: &RelationName) -> Option<Relation> {
        state.resolve(
            &self.context.session.search_path,
            name.schema.as_deref(),
            &name.name,
        )
    }

    fn relation(&self, name: &RelationName) -> Result<Relation, Report> {
        let state = self.state();
        let search_path = &self.context.session.search_path;
        Names {
            catalog: &state,
            search_path,
        }
        .relation(name)
    }

    /// Schema and name of an object to be made.
    fn new_name(&self, name: &RelationName) -> Result<(String, String), Report> {
        if let Some(schema) = &name.schema {
            return Ok((schema.clone(), name.name.clone()));
        }
        let state = self.state();
        match state.creation_schema(&self.context.session.search_path) {
            Some(schema) => Ok((schema.to_owned(), name.name.clone())),
            None => Err(Report::error(
                codes::INVALID_SCHEMA_NAME,
                "no schema has been selected to create in",
            )),
        }
    }

    fn notice(&self, code: tessera_types::SqlState, message: String) {
        let mut notice = Report::notice(message);
        notice.code = code;
        self.context.notices.push(notice);
    }

    async fn maintain(&self, maintenance: &Maintenance) -> Result<Outcome, Report> {
        let (verb, names, analyze) = match maintenance {
            Maintenance::Analyze(names) => ("ANALYZE", names.as_slice(), true),
            Maintenance::Vacuum { tables, analyze } => ("VACUUM", tables.as_slice(), *analyze),
            Maintenance::Checkpoint => {
                let store = self.executor.transactions().store();
                store.checkpoint().await.map_err(|error| error.report())?;
                return Ok(Outcome::Command(CommandTag::new("CHECKPOINT")));
            }
            Maintenance::Reindex => ("REINDEX", &[][..], false),
        };
        let mut tables = Vec::new();
        for name in names {
            match self.relation(&relation_name(name)?)? {
                Relation::Table(table) => tables.push(table),
                other => self.notice(
                    codes::WARNING,
                    format!("skipping \"{}\" --- cannot vacuum non-tables", other.name()),
                ),
            }
        }
        if analyze {
            if names.is_empty() {
                tables = self.state().tables().into_iter().cloned().collect();
            }
            for table in &tables {
                self.analyze(table).await?;
            }
        }
        Ok(Outcome::Command(CommandTag::new(verb)))
    }
}
