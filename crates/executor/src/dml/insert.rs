//! INSERT.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use tessera_planner::dml::{
    ConflictAction, ConflictArbiter, InsertSource, InsertStatement, Overriding, SetValue,
    is_default, plan_insert,
};
use tessera_planner::{Parsed, Statement};
use tessera_storage::Key;
use tessera_tables::{Arbiter, Inserted, OnConflict, Row, Table, Writer};
use tessera_types::{CastKind, RelationId, Report, SqlType, Value, codes, coerce};

use crate::context::StatementContext;
use crate::executor::Executor;
use crate::outcome::{CommandTag, Outcome, RowBatch, RowStream};
use crate::query::{self, PreparedQuery};

use super::expr::{Around, BoundExpr, Compiler, RowExpr, RowScope, Wanted};
use super::returning::{Returning, project};
use super::rules::{BoundRules, RowRules};
use super::source::assign;
use super::target;

/// Rows after which a statement tries to lock the whole table instead of row after row.
const ROWS_FOR_TABLE_LOCK: u64 = 10_000;

/// A planned INSERT.
pub(crate) struct Insert {
    pub(crate) table: Arc<Table>,
    /// Columns given by the source, in its order.
    targets: Vec<usize>,
    /// Those of them whose values are ignored (OVERRIDING USER VALUE).
    ignored: Vec<usize>,
    source: Source,
    rules: Arc<RowRules>,
    conflict: Option<Conflict>,
    pub(crate) returning: Option<Returning>,
}

pub(super) enum Source {
    /// Cells in the order of `targets`; the second half lists sequences a row takes values of.
    Rows(Vec<Vec<Cell>>, Vec<RelationId>),
    Query(Box<PreparedQuery>),
}

pub(super) enum Cell {
    Expr(RowExpr),
    Default,
}

pub(super) struct Conflict {
    arbiter: Arbiter,
    /// `None`: DO NOTHING.
    update: Option<ConflictUpdate>,
}

struct ConflictUpdate {
    assignments: Vec<(usize, Cell)>,
    filter: Option<RowExpr>,
}

impl Insert {
    /// Plans the statement; `Ok(None)` only when scalars alone are wanted and do not do.
    pub(crate) fn plan(
        compiler: &mut Compiler<'_>,
        insert: &ast::Insert,
    ) -> Result<Option<Insert>, Report> {
        let mut statement = plan_insert(insert, compiler.names())?;
        let table = compiler.executor.writes().table(&statement.table);
        let Some(rules) = compiler
            .executor
            .writes()
            .rules(compiler, &statement.table)?
        else {
            return Ok(None);
        };
        let Some(source) = plan_source(compiler, &mut statement, !insert.columns.is_empty())?
        else {
            return Ok(None);
        };
        check_given(&statement, &source, &rules)?;
        let identity = |at: &usize| statement.table.columns[*at].identity.is_some();
        let ignored = match statement.overriding {
            Some(Overriding::User) => statement.targets.iter().copied().filter(identity).collect(),
            _ => Vec::new(),
        };
        let Some(conflict) = plan_conflict(compiler, &statement)? else {
            return Ok(None);
        };
        let scope = RowScope::of(&statement.table, statement.alias.clone());
        let returning = match statement.returning {
            None => None,
            Some(items) => match Returning::compile(compiler, items, &scope)? {
                None => return Ok(None),
                some => some,
            },
        };
        Ok(Some(Insert {
            table,
            targets: statement.targets,
            ignored,
            source,
            rules,
            conflict,
            returning,
        }))
    }

    /// Runs it.
    pub(crate) async fn execute(
        &self,
        executor: &Executor,
        context: &StatementContext,
    ) -> Result<Outcome, Report> {
        let writer = target::open(executor, context, &self.table).await?;
        let around = Around::new(executor, context);
        let conflict = match &self.conflict {
            None => None,
            Some(conflict) => Some(conflict.bind(executor, context)?),
        };
        let returning = match &self.returning {
            None => None,
            Some(returning) => Some(returning.bind(executor, context)?),
        };
        let mut run = Run {
            plan: self,
            writer,
            rules: self.rules.bind(executor, context)?,
            conflict,
            returning,
            around: &around,
            inserted: 0,
            attempted: 0,
            touched: HashSet::new(),
            results: Vec::new(),
        };
        match &self.source {
            Source::Rows(rows, sequences) => {
                run.insert_cells(executor, context, rows, sequences).await?;
            }
            Source::Query(query) => run.insert_query(executor, context, query).await?,
        }
        target::note_rows(executor, context, self.table.id(), run.inserted as i64);
        let (inserted, results) = (run.inserted, run.results);
        Ok(match &self.returning {
            None => Outcome::Command(CommandTag::counted("INSERT", inserted)),
            Some(returning) => {
                let columns = returning.columns.clone();
                let batch = RowBatch::from_values(results, columns.len());
                Outcome::Rows(RowStream::ready(columns, "INSERT", batch))
            }
        })
    }

    /// Text for EXPLAIN.
    pub(crate) fn describe(&self) -> String {
        format!("Insert on {}", self.table.def().name)
    }

    /// The query that gives the rows.
    pub(crate) fn query(&self) -> Option<&PreparedQuery> {
        match &self.source {
            Source::Query(query) => Some(query),
            Source::Rows(..) => None,
        }
    }
}

pub(super) fn plan_source(
    compiler: &mut Compiler<'_>,
    statement: &mut InsertStatement<'_>,
    listed: bool,
) -> Result<Option<Source>, Report> {
    let rows = match &statement.source {
        InsertSource::Defaults => return Ok(Some(Source::Rows(vec![Vec::new()], Vec::new()))),
        InsertSource::Rows(rows) => rows,
        InsertSource::Query(query) => {
            if compiler.scalars_only {
                return Ok(None);
            }
            let prepared = prepare_query(compiler, query)?;
            let columns = prepared.columns().clone();
            statement.fit_query(columns.len(), listed)?;
            for (column, target) in columns.iter().zip(&statement.targets) {
                check_assignable(&statement.table.columns[*target], &column.sql_type)?;
            }
            return Ok(Some(Source::Query(Box::new(prepared))));
        }
    };
    let mut planned = Vec::with_capacity(rows.len());
    let mut sequences = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let mut cells = Vec::with_capacity(row.len());
        for (expr, target) in row.iter().zip(&statement.targets) {
            if is_default(expr) {
                cells.push(Cell::Default);
                continue;
            }
            let column = &statement.table.columns[*target];
            match compiler.compile(expr, None, Wanted::Column(column)) {
                Ok(Some(expr)) => {
                    if at == 0 {
                        expr.sequences(&mut sequences);
                    }
                    cells.push(Cell::Expr(expr));
                }
                Ok(None) => return Ok(None),
                // A subquery among the values: the whole list is a query.
                Err(_)
                    if has_subquery(rows) && !rows.iter().any(|row| row.iter().any(is_default)) =>
                {
                    return query_of_rows(compiler, statement, rows);
                }
                Err(report) => return Err(report),
            }
        }
        planned.push(cells);
    }
    if planned.len() > 1 {
        // Rows may differ in what they take; each is asked anew.
        sequences.clear();
    }
    Ok(Some(Source::Rows(planned, sequences)))
}

fn has_subquery(rows: &[&[ast::Expr]]) -> bool {
    rows.iter().flat_map(|row| row.iter()).any(|expr| {
        let found = ast::visit_expressions(expr, |node: &ast::Expr| match node {
            ast::Expr::Subquery(_) | ast::Expr::Exists { .. } | ast::Expr::InSubquery { .. } => {
                std::ops::ControlFlow::Break(())
            }
            _ => std::ops::ControlFlow::Continue(()),
        });
        found.is_break()
    })
}

fn query_of_rows(
    compiler: &mut Compiler<'_>,
    statement: &InsertStatement<'_>,
    rows: &[&[ast::Expr]],
) -> Result<Option<Source>, Report> {
    let text: Vec<String> = rows
        .iter()
        .map(|row| {
            let cells: Vec<String> = row.iter().map(ToString::to_string).collect();
            format!("({})", cells.join(", "))
        })
        .collect();
    let parsed = tessera_planner::parse(&format!("VALUES {}", text.join(", ")))?;
    let Some(Parsed {
        statement: Statement::Query(query),
        ..
    }) = parsed.into_iter().next()
    else {
        return Err(Report::internal("a list of values is not a query"));
    };
    let prepared = prepare_query(compiler, &query)?;
    for (column, target) in prepared.columns().iter().zip(&statement.targets) {
        check_assignable(&statement.table.columns[*target], &column.sql_type)?;
    }
    Ok(Some(Source::Query(Box::new(prepared))))
}

/// Plans a query that is part of a write.
pub(crate) fn prepare_query(
    compiler: &mut Compiler<'_>,
    query: &ast::Query,
) -> Result<PreparedQuery, Report> {
    let query = Arc::new(query.clone());
    let parsed = Arc::new(Parsed {
        text: query.to_string().into(),
        statement: Statement::Query(Arc::clone(&query)),
        offset: 0,
        lines: Arc::from([]),
        notices: Vec::new(),
    });
    query::prepare(
        compiler.executor,
        &parsed,
        &query,
        compiler.session,
        compiler.params,
    )
}

/// 42804 unless a value of the query's type can be stored in the column.
pub(crate) fn check_assignable(
    column: &tessera_catalog::ColumnDef,
    from: &SqlType,
) -> Result<(), Report> {
    let to = &column.sql_type;
    if from.base() == to.base()
        || matches!(from, SqlType::Unknown)
        || coerce::exists(from, to, CastKind::Assignment)
    {
        return Ok(());
    }
    Err(Report::error(
        codes::DATATYPE_MISMATCH,
        format!(
            "column \"{}\" is of type {} but expression is of type {}",
            column.name,
            to.base_name(),
            from.base_name()
        ),
    )
    .with_hint("You will need to rewrite or cast the expression."))
}

/// 428C9 for values given to columns that make their own.
fn check_given(
    statement: &InsertStatement<'_>,
    source: &Source,
    rules: &RowRules,
) -> Result<(), Report> {
    for (at, target) in statement.targets.iter().enumerate() {
        let column = &statement.table.columns[*target];
        let always = column.identity.is_some_and(|identity| identity.always)
            && statement.overriding.is_none();
        if !always && !rules.is_generated(*target) {
            continue;
        }
        let only_defaults = match source {
            Source::Rows(rows, _) => rows
                .iter()
                .all(|row| row.get(at).is_none_or(|cell| matches!(cell, Cell::Default))),
            Source::Query(_) => false,
        };
        if !only_defaults {
            return Err(generated_always(column, always, "insert"));
        }
    }
    Ok(())
}

/// 428C9 in PostgreSQL's words.
pub(crate) fn generated_always(
    column: &tessera_catalog::ColumnDef,
    is_identity: bool,
    verb: &str,
) -> Report {
    let message = match verb {
        "insert" => format!(
            "cannot insert a non-DEFAULT value into column \"{}\"",
            column.name
        ),
        _ => format!("column \"{}\" can only be updated to DEFAULT", column.name),
    };
    let report = Report::error(codes::GENERATED_ALWAYS, message);
    if is_identity {
        let report = report.with_detail(format!(
            "Column \"{}\" is an identity column defined as GENERATED ALWAYS.",
            column.name
        ));
        match verb {
            "insert" => report.with_hint("Use OVERRIDING SYSTEM VALUE to override."),
            _ => report,
        }
    } else {
        report.with_detail(format!("Column \"{}\" is a generated column.", column.name))
    }
}

#[expect(
    clippy::option_option,
    reason = "outer: scalars did not do; inner: no clause"
)]
pub(super) fn plan_conflict(
    compiler: &mut Compiler<'_>,
    statement: &InsertStatement<'_>,
) -> Result<Option<Option<Conflict>>, Report> {
    let Some(clause) = &statement.on_conflict else {
        return Ok(Some(None));
    };
    let arbiter = match clause.arbiter {
        ConflictArbiter::Any => Arbiter::Any,
        ConflictArbiter::Index(index) => Arbiter::Index(index),
    };
    let ConflictAction::Update {
        assignments,
        filter,
    } = &clause.action
    else {
        return Ok(Some(Some(Conflict {
            arbiter,
            update: None,
        })));
    };
    let scope = RowScope {
        table: &statement.table,
        alias: statement.alias.clone(),
        with_excluded: true,
        others: Vec::new(),
    };
    let mut planned = Vec::with_capacity(assignments.len());
    for assignment in assignments {
        let column = &statement.table.columns[assignment.column];
        let cell = match assignment.value {
            SetValue::Default => Cell::Default,
            SetValue::Expr(expr) => {
                match compiler.compile(expr, Some(&scope), Wanted::Column(column))? {
                    Some(expr) => Cell::Expr(expr),
                    None => return Ok(None),
                }
            }
        };
        planned.push((assignment.column, cell));
    }
    let filter = match filter {
        None => None,
        Some(filter) => {
            match compiler.compile(filter, Some(&scope), Wanted::Condition("WHERE"))? {
                None => return Ok(None),
                some => some,
            }
        }
    };
    let update = Some(ConflictUpdate {
        assignments: planned,
        filter,
    });
    Ok(Some(Some(Conflict { arbiter, update })))
}

pub(super) struct BoundConflict<'a> {
    on_conflict: OnConflict,
    assignments: Vec<(usize, Option<BoundExpr<'a>>)>,
    pub(super) filter: Option<BoundExpr<'a>>,
}

impl<'a> BoundConflict<'a> {
    /// DO NOTHING, whichever key is met.
    pub(super) fn skips_any(&self) -> bool {
        matches!(self.on_conflict, OnConflict::DoNothing(Arbiter::Any))
    }

    /// The assignments of DO UPDATE; `None` is DEFAULT.
    pub(super) fn updates(&self) -> Option<&[(usize, Option<BoundExpr<'a>>)]> {
        match self.on_conflict {
            OnConflict::Report(_) => Some(&self.assignments),
            _ => None,
        }
    }
}

impl Conflict {
    /// Columns that DO UPDATE assigns.
    pub(super) fn assigned(&self) -> Vec<usize> {
        let update = self.update.iter();
        update
            .flat_map(|update| update.assignments.iter().map(|(column, _)| *column))
            .collect()
    }

    pub(super) fn bind<'a>(
        &'a self,
        executor: &Executor,
        context: &StatementContext,
    ) -> Result<BoundConflict<'a>, Report> {
        let Some(update) = &self.update else {
            return Ok(BoundConflict {
                on_conflict: OnConflict::DoNothing(self.arbiter),
                assignments: Vec::new(),
                filter: None,
            });
        };
        let mut assignments = Vec::with_capacity(update.assignments.len());
        for (column, cell) in &update.assignments {
            let expr = match cell {
                Cell::Default => None,
                Cell::Expr(expr) => Some(expr.bind(executor, context)?),
            };
            assignments.push((*column, expr));
        }
        let filter = update
            .filter
            .as_ref()
            .map(|filter| filter.bind(executor, context))
            .transpose()?;
        Ok(BoundConflict {
            on_conflict: OnConflict::Report(self.arbiter),
            assignments,
            filter,
        })
    }
}

/// One execution.
struct Run<'a> {
    plan: &'a Insert,
    writer: Writer<'a>,
    rules: BoundRules<'a>,
    conflict: Option<BoundConflict<'a>>,
    returning: Option<Vec<BoundExpr<'a>>>,
    around: &'a Around<'a>,
    inserted: u64,
    attempted: u64,
    /// Rows that ON CONFLICT DO UPDATE may not meet again.
    touched: HashSet<Key>,
    results: Vec<Vec<Value>>,
}

impl Run<'_> {
    async fn insert_cells(
        &mut self,
        executor: &Executor,
        context: &StatementContext,
        rows: &[Vec<Cell>],
        sequences: &[RelationId],
    ) -> Result<(), Report> {
        let width = self.plan.table.def().columns.len();
        for cells in rows {
            let mut row = vec![Value::Null; width];
            let mut given = vec![false; width];
            if rows.len() == 1 {
                self.around.take(sequences).await?;
            }
            for (cell, target) in cells.iter().zip(&self.plan.targets) {
                if let Cell::Expr(expr) = cell {
                    if rows.len() > 1 {
                        let mut wanted = Vec::new();
                        expr.sequences(&mut wanted);
                        self.around.take(&wanted).await?;
                    }
                    row[*target] = expr.bind(executor, context)?.value(&[], self.around)?;
                    given[*target] = true;
                }
            }
            for at in &self.plan.ignored {
                given[*at] = false;
            }
            self.insert_row(context, row, &given).await?;
        }
        Ok(())
    }

    async fn insert_query(
        &mut self,
        executor: &Executor,
        context: &StatementContext,
        query: &PreparedQuery,
    ) -> Result<(), Report> {
        let columns = query.columns().clone();
        let width = self.plan.table.def().columns.len();
        let mut given = vec![false; width];
        for target in &self.plan.targets {
            given[*target] = !self.plan.ignored.contains(target);
        }
        let Outcome::Rows(mut stream) = query::execute(executor, query, context).await? else {
            return Err(Report::internal("the query of an INSERT gave no rows"));
        };
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            for at in 0..batch.rows() {
                let mut row = vec![Value::Null; width];
                for (source, target) in self.plan.targets.iter().enumerate() {
                    let value = batch.value(at, source).to_owned();
                    let to = &self.plan.table.def().columns[*target].sql_type;
                    let from = &columns[source].sql_type;
                    let same = from == to && !matches!(to, SqlType::Char(_) | SqlType::Varchar(_));
                    row[*target] = if same {
                        value
                    } else {
                        assign(value, from, to, self.around)?
                    };
                }
                self.insert_row(context, row, &given).await?;
            }
        }
        Ok(())
    }

    /// Completes and inserts one row.
    async fn insert_row(
        &mut self,
        context: &StatementContext,
        mut row: Row,
        given: &[bool],
    ) -> Result<(), Report> {
        self.attempted += 1;
        if self.attempted % 1_024 == 0 {
            context.check_cancelled()?;
        }
        if self.attempted == ROWS_FOR_TABLE_LOCK && self.conflict.is_none() {
            self.writer.try_exclusive().await?;
        }
        for (at, given) in given.iter().enumerate() {
            if !given && !self.plan.rules.is_generated(at) {
                row[at] = self.rules.default(at, self.around).await?;
            }
        }
        self.rules
            .complete(&self.plan.table, &mut row, self.around)?;
        let on_conflict = self
            .conflict
            .as_ref()
            .map_or(OnConflict::Error, |c| c.on_conflict);
        let inserted = target::cancellable(context, async {
            Ok(self.writer.insert(&row, on_conflict).await?)
        })
        .await?;
        match inserted {
            Inserted::Skipped => return Ok(()),
            Inserted::Stored(stored) => {
                if matches!(on_conflict, OnConflict::Report(_)) {
                    self.touched.insert(stored.key);
                }
            }
            Inserted::Conflict(existing) => match self.update_existing(existing, &row).await? {
                Some(updated) => row = updated,
                None => return Ok(()),
            },
        }
        self.inserted += 1;
        if let Some(returning) = &self.returning {
            self.results.push(project(returning, &row, self.around)?);
        }
        Ok(())
    }

    /// DO UPDATE: the row as it is afterwards, or `None` when its WHERE is not true.
    async fn update_existing(
        &mut self,
        existing: tessera_tables::Stored,
        proposed: &[Value],
    ) -> Result<Option<Row>, Report> {
        let table = &self.plan.table;
        let Some(conflict) = &self.conflict else {
            return Err(Report::internal("a conflict without a clause for it"));
        };
        if self.touched.contains(&existing.key) {
            return Err(Report::error(
                codes::CARDINALITY_VIOLATION,
                "ON CONFLICT DO UPDATE command cannot affect row a second time",
            )
            .with_hint(
                "Ensure that no rows proposed for insertion within the same command have \
                 duplicate constrained values.",
            ));
        }
        let old = table.decode(&existing.value)?;
        if let Some(filter) = &conflict.filter
            && filter.value_beside(&old, proposed, self.around)? != Value::Boolean(true)
        {
            return Ok(None);
        }
        let mut new = old.clone();
        for (column, expr) in &conflict.assignments {
            new[*column] = match expr {
                Some(expr) => expr.value_beside(&old, proposed, self.around)?,
                None => self.rules.default(*column, self.around).await?,
            };
        }
        self.rules.complete(table, &mut new, self.around)?;
        let stored = self.writer.update(&existing, &old, &new).await?;
        self.touched.insert(stored.key);
        Ok(Some(new))
    }
}
