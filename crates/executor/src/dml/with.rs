//! WITH queries that write: `WITH moved AS (DELETE … RETURNING …) INSERT …`.
//!
//! # Method
//! Each writing query runs once, to its end, in the order written, whether or not somebody reads
//! it. Its RETURNING rows are all that the rest of the statement sees of it: they are a relation
//! of computed rows under its name. All parts read the statement's snapshot, so none sees what
//! another wrote.
//!
//! Source: <https://www.postgresql.org/docs/15/queries-with.html#QUERIES-WITH-MODIFYING>.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, SetExpr};
use tessera_planner::bind::fold;
use tessera_types::{RelationId, Report, Value, codes};

use super::expr::Compiler;
use super::insert::prepare_query;
use super::{PreparedWrite, ReturnedColumns};
use crate::context::{SessionContext, StatementContext, WrittenRows, WrittenTables};
use crate::executor::Executor;
use crate::outcome::Outcome;
use crate::query::{self, PreparedQuery};
use crate::system_catalog::SystemTable;

/// A statement whose WITH clause writes.
pub(crate) struct WithWrites {
    parts: Vec<PreparedWrite>,
    tables: WrittenTables,
    main: Main,
}

/// What stands behind the WITH clause.
enum Main {
    Query(Box<PreparedQuery>),
    Write(Box<PreparedWrite>),
}

/// Whether a body writes.
pub(super) fn writes(body: &SetExpr) -> bool {
    matches!(
        body,
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_)
    )
}

impl WithWrites {
    /// Plans the statement; `None` when no WITH query writes.
    pub(super) fn plan(
        compiler: &mut Compiler<'_>,
        query: &ast::Query,
    ) -> Result<Option<WithWrites>, Report> {
        let Some(with) = &query.with else {
            return Ok(None);
        };
        if !with.cte_tables.iter().any(|cte| writes(&cte.query.body)) {
            return Ok(None);
        }
        let mut plain = ast::With {
            cte_tables: Vec::new(),
            ..with.clone()
        };
        let mut parts = Vec::new();
        let mut tables = WrittenTables::default();
        for cte in &with.cte_tables {
            if !writes(&cte.query.body) {
                plain.cte_tables.push(cte.clone());
                continue;
            }
            let mut before = plain.clone();
            let own = cte.query.with.iter().flat_map(|with| &with.cte_tables);
            before.cte_tables.extend(own.cloned());
            let part = plan_write(compiler, with_clause(&cte.query, before), &tables)?;
            let table = table_of(parts.len(), cte, part.columns())?;
            tables.push(table);
            parts.push(part);
        }
        let main = if writes(&query.body) {
            let write = plan_write(compiler, with_clause(query, plain), &tables)?;
            Main::Write(Box::new(write))
        } else {
            let query = with_clause(query, plain);
            let session = compiler.session.with_written(&tables);
            let query = prepare_query(&mut within(compiler, &session), &query)?;
            Main::Query(Box::new(query))
        };
        Ok(Some(WithWrites {
            parts,
            tables,
            main,
        }))
    }

    pub(super) fn columns(&self) -> ReturnedColumns {
        match &self.main {
            Main::Query(query) => Some(query.columns().clone()),
            Main::Write(write) => write.columns(),
        }
    }

    /// The last query, for EXPLAIN.
    pub(super) fn query(&self) -> Option<&PreparedQuery> {
        match &self.main {
            Main::Query(query) => Some(query),
            Main::Write(write) => write.query(),
        }
    }

    /// First line of EXPLAIN.
    pub(super) fn describe(&self) -> String {
        let parts: Vec<String> = self.parts.iter().map(PreparedWrite::describe).collect();
        let first = parts.join(", ");
        match &self.main {
            Main::Query(_) => format!("With {first}"),
            Main::Write(write) => format!("With {first}: {}", write.describe()),
        }
    }

    /// Runs all parts.
    pub(super) async fn execute(
        &self,
        executor: &Executor,
        context: &StatementContext,
    ) -> Result<Outcome, Report> {
        let mut context = StatementContext {
            session: context.session.with_written(&self.tables),
            ..context.clone()
        };
        let bytes_max = context
            .session
            .query_memory_bytes_max
            .unwrap_or(executor.options().query_memory_bytes_max);
        let mut bytes_left = bytes_max;
        for part in &self.parts {
            let outcome = Box::pin(super::execute(executor, part, &context)).await?;
            let rows = all_rows(outcome, &mut bytes_left).await?;
            context.written.push(rows);
        }
        match &self.main {
            Main::Query(query) => query::execute(executor, query, &context).await,
            Main::Write(write) => Box::pin(super::execute(executor, write, &context)).await,
        }
    }
}

fn within<'a>(compiler: &'a mut Compiler<'_>, session: &'a Arc<SessionContext>) -> Compiler<'a> {
    Compiler {
        executor: compiler.executor,
        session,
        params: &mut *compiler.params,
        scalars_only: false,
        with: None,
    }
}

/// Plans a query whose body writes.
fn plan_write(
    compiler: &mut Compiler<'_>,
    query: ast::Query,
    tables: &WrittenTables,
) -> Result<PreparedWrite, Report> {
    let statement = match (&query.with, query.body.as_ref()) {
        (
            None,
            SetExpr::Insert(write)
            | SetExpr::Update(write)
            | SetExpr::Delete(write)
            | SetExpr::Merge(write),
        ) => write.clone(),
        _ => ast::Statement::Query(Box::new(query)),
    };
    let session = compiler.session.with_written(tables);
    super::plan(&mut within(compiler, &session), &statement)?
        .ok_or_else(|| Report::internal("a write was not planned"))
}

/// The query with these WITH queries instead of its own.
fn with_clause(query: &ast::Query, with: ast::With) -> ast::Query {
    ast::Query {
        with: (!with.cte_tables.is_empty()).then_some(with),
        ..query.clone()
    }
}

/// The relation of a part's RETURNING rows.
fn table_of(
    at: usize,
    cte: &ast::Cte,
    columns: ReturnedColumns,
) -> Result<Arc<SystemTable>, Report> {
    let name = fold(&cte.alias.name);
    let columns = columns.as_deref().unwrap_or_default();
    let aliases = &cte.alias.columns;
    if aliases.len() > columns.len() {
        return Err(Report::error(
            codes::INVALID_COLUMN_REFERENCE,
            format!(
                "WITH query \"{name}\" has {} columns available but {} columns specified",
                columns.len(),
                aliases.len()
            ),
        ));
    }
    let mut aliases = aliases.iter().map(|alias| fold(&alias.name));
    let columns = columns
        .iter()
        .map(|column| {
            let name = aliases.next().unwrap_or_else(|| column.name.clone());
            (Cow::Owned(name), column.sql_type.clone())
        })
        .collect();
    Ok(Arc::new(SystemTable {
        schema: String::new(),
        name,
        id: RelationId(0),
        columns,
        rows: Arc::new(move |_, context| Ok(context.written.of(at))),
    }))
}

/// All rows of a finished part, within what memory is left to the statement.
async fn all_rows(outcome: Outcome, bytes_left: &mut usize) -> Result<WrittenRows, Report> {
    let Outcome::Rows(mut stream) = outcome else {
        return Ok(WrittenRows::default());
    };
    let mut rows: Vec<Vec<Value>> = Vec::new();
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        *bytes_left = bytes_left
            .checked_sub(batch.memory_bytes())
            .ok_or_else(too_many_rows)?;
        for row in 0..batch.rows() {
            let values = (0..batch.columns()).map(|column| batch.value(row, column).to_owned());
            rows.push(values.collect());
        }
    }
    Ok(rows.into())
}

fn too_many_rows() -> Report {
    Report::error(
        codes::OUT_OF_MEMORY,
        "the rows that the WITH queries of one statement return take more memory than it may have",
    )
    .with_hint("Return fewer columns or rows, or raise tessera.query_memory.")
}
