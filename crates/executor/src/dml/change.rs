//! UPDATE and DELETE.
//!
//! # Rows changed meanwhile
//! A row is locked after it was found. If another transaction changed it in between, READ
//! COMMITTED looks at its newest version: WHERE is evaluated again, and SET on that version.
//! Where a query found the row (FROM, USING, subqueries), the query runs again for that row
//! alone. In REPEATABLE READ the lock fails with 40001.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use tessera_locks::{Mode, Wait};
use tessera_planner::LockStrength;
use tessera_planner::dml::{Assignment, SetValue, plan_delete, plan_update};
use tessera_planner::short_path::access::{Access, Wanted as WantedPath, choose};
use tessera_storage::Key;
use tessera_tables::{Locked, Row, Stored, Table, Writer};
use tessera_types::{Report, Value};

use crate::context::StatementContext;
use crate::executor::Executor;
use crate::outcome::{CommandTag, Outcome, RowBatch, RowStream};

use super::expr::{Around, BoundExpr, Compiler, RowExpr, RowScope, Wanted};
use super::found::FoundByQuery;
use super::insert::generated_always;
use super::returning::{Returning, foreign_columns, project};
use super::rules::{BoundRules, RowRules};
use super::source::{Rows, refined};
use super::target::{self, row_mode};

/// Rows after which a statement tries to lock the whole table instead of row after row.
const ROWS_FOR_TABLE_LOCK: u64 = 10_000;

/// A planned UPDATE or DELETE.
pub(crate) struct Change {
    pub(crate) table: Arc<Table>,
    source: Source,
    /// `None`: DELETE.
    update: Option<Update>,
    /// How its rows are locked.
    mode: Mode,
    pub(crate) returning: Option<Returning>,
}

enum Source {
    /// WHERE needs nothing but the row.
    Access {
        access: Access,
        filter: Option<RowExpr>,
    },
    /// A query finds the rows and computes the new values.
    Query(Box<FoundByQuery>),
}

struct Update {
    rules: Arc<RowRules>,
    /// New values; `None` is DEFAULT. With a query, those that it does not compute.
    assignments: Vec<(usize, Option<RowExpr>)>,
}

impl Change {
    /// Plans an UPDATE; `Ok(None)` only when scalars alone are wanted and do not do.
    pub(crate) fn plan_update(
        compiler: &mut Compiler<'_>,
        update: &ast::Update,
    ) -> Result<Option<Change>, Report> {
        let statement = plan_update(update, compiler.names())?;
        let table = compiler.executor.writes().table(&statement.table);
        let Some(rules) = compiler
            .executor
            .writes()
            .rules(compiler, &statement.table)?
        else {
            return Ok(None);
        };
        check_assigned(&statement.table, &statement.assignments, &rules)?;
        let mode = update_mode(&table, &statement.assignments);
        let mut scope = RowScope::of(&statement.table, statement.alias.clone());
        let simple = compiler.with.is_none()
            && statement.from.is_empty()
            && !needs_query(statement.filter)
            && !statement
                .assignments
                .iter()
                .any(|assignment| match assignment.value {
                    SetValue::Expr(expr) => needs_query(Some(expr)),
                    SetValue::Default => false,
                });
        if !simple {
            if compiler.scalars_only {
                return Ok(None);
            }
            let query = FoundByQuery::plan(
                compiler,
                &statement.table,
                statement.alias.as_deref(),
                &statement.assignments,
                statement.from,
                statement.filter,
                foreign(
                    statement.returning,
                    &statement.table,
                    statement.alias.as_deref(),
                ),
            )?;
            scope.others.clone_from(&query.others);
            let returning = compile_returning(compiler, statement.returning, &scope)?;
            let assignments = statement
                .assignments
                .iter()
                .filter(|assignment| matches!(assignment.value, SetValue::Default))
                .map(|assignment| (assignment.column, None))
                .collect();
            return Ok(Some(Change {
                table,
                source: Source::Query(Box::new(query)),
                update: Some(Update { rules, assignments }),
                mode,
                returning: returning.flatten(),
            }));
        }
        let Some(source) = plan_access(compiler, &scope, statement.filter)? else {
            return Ok(None);
        };
        let mut assignments = Vec::with_capacity(statement.assignments.len());
        for assignment in &statement.assignments {
            let column = &statement.table.columns[assignment.column];
            let expr = match assignment.value {
                SetValue::Default => None,
                SetValue::Expr(expr) => {
                    match compiler.compile(expr, Some(&scope), Wanted::Column(column))? {
                        None => return Ok(None),
                        some => some,
                    }
                }
            };
            assignments.push((assignment.column, expr));
        }
        let Some(returning) = compile_returning(compiler, statement.returning, &scope)? else {
            return Ok(None);
        };
        let update = Some(Update { rules, assignments });
        Ok(Some(Change {
            table,
            source,
            update,
            mode,
            returning,
        }))
    }

    /// Plans a DELETE; `Ok(None)` only when scalars alone are wanted and do not do.
    pub(crate) fn plan_delete(
        compiler: &mut Compiler<'_>,
        delete: &ast::Delete,
    ) -> Result<Option<Change>, Report> {
        let statement = plan_delete(delete, compiler.names())?;
        let table = compiler.executor.writes().table(&statement.table);
        let mut scope = RowScope::of(&statement.table, statement.alias.clone());
        let is_simple =
            compiler.with.is_none() && statement.using.is_empty() && !needs_query(statement.filter);
        let source = if is_simple {
            match plan_access(compiler, &scope, statement.filter)? {
                Some(source) => source,
                None => return Ok(None),
            }
        } else if compiler.scalars_only {
            return Ok(None);
        } else {
            let query = FoundByQuery::plan(
                compiler,
                &statement.table,
                statement.alias.as_deref(),
                &[],
                statement.using,
                statement.filter,
                foreign(
                    statement.returning,
                    &statement.table,
                    statement.alias.as_deref(),
                ),
            )?;
            scope.others.clone_from(&query.others);
            Source::Query(Box::new(query))
        };
        let Some(returning) = compile_returning(compiler, statement.returning, &scope)? else {
            return Ok(None);
        };
        Ok(Some(Change {
            table,
            source,
            update: None,
            mode: row_mode(LockStrength::Update),
            returning,
        }))
    }

    /// The access path, unless a query finds the rows.
    pub(crate) fn access(&self) -> Option<&Access> {
        match &self.source {
            Source::Access { access, .. } => Some(access),
            Source::Query(_) => None,
        }
    }

    /// The query that finds the rows.
    pub(crate) fn query(&self) -> Option<&crate::query::PreparedQuery> {
        match &self.source {
            Source::Access { .. } => None,
            Source::Query(query) => Some(query.query()),
        }
    }

    /// Text for EXPLAIN.
    pub(crate) fn describe(&self) -> String {
        let verb = if self.update.is_some() {
            "Update"
        } else {
            "Delete"
        };
        format!("{verb} on {}", self.table.def().name)
    }

    /// Runs it.
    pub(crate) async fn execute(
        &self,
        executor: &Executor,
        context: &StatementContext,
    ) -> Result<Outcome, Report> {
        let writer = target::open(executor, context, &self.table).await?;
        let around = Around::new(executor, context);
        let mut assignments = Vec::new();
        let mut rules = None;
        if let Some(update) = &self.update {
            rules = Some(update.rules.bind(executor, context)?);
            for (column, expr) in &update.assignments {
                let expr = expr
                    .as_ref()
                    .map(|expr| expr.bind(executor, context))
                    .transpose()?;
                assignments.push((*column, expr));
            }
        }
        let returning = match &self.returning {
            None => None,
            Some(returning) => Some(returning.bind(executor, context)?),
        };
        let mut run = Run {
            table: &self.table,
            writer,
            rules,
            assignments,
            mode: self.mode,
            returning,
            around: &around,
            changed: 0,
            results: Vec::new(),
        };
        match &self.source {
            Source::Access { access, filter } => {
                let filter = filter
                    .as_ref()
                    .map(|filter| filter.bind(executor, context))
                    .transpose()?;
                run.change_found(context, access, filter.as_ref()).await?;
            }
            Source::Query(query) => run.change_queried(executor, context, query).await?,
        }
        let verb = if self.update.is_some() {
            "UPDATE"
        } else {
            "DELETE"
        };
        if self.update.is_none() {
            target::note_rows(executor, context, self.table.id(), -(run.changed as i64));
        }
        let (changed, results) = (run.changed, run.results);
        Ok(match &self.returning {
            None => Outcome::Command(CommandTag::counted(verb, changed)),
            Some(returning) => {
                let columns = returning.columns.clone();
                let batch = RowBatch::from_values(results, columns.len());
                Outcome::Rows(RowStream::ready(columns, verb, batch))
            }
        })
    }
}

/// As in PostgreSQL, an UPDATE that leaves all unique keys as they are lets FOR KEY SHARE pass.
fn update_mode(table: &Table, assignments: &[Assignment<'_>]) -> Mode {
    let unique = table.indexes().iter().filter(|index| index.def.unique);
    let mut keys = unique
        .flat_map(|index| &index.positions)
        .chain(table.key_positions());
    let changes_key = keys.any(|key| {
        assignments
            .iter()
            .any(|assignment| assignment.column == *key)
    });
    row_mode(if changes_key {
        LockStrength::Update
    } else {
        LockStrength::NoKeyUpdate
    })
}

pub(super) fn foreign(
    returning: Option<&[ast::SelectItem]>,
    table: &tessera_catalog::TableDef,
    alias: Option<&str>,
) -> Vec<(Option<String>, String)> {
    returning
        .map(|items| foreign_columns(items, table, alias))
        .unwrap_or_default()
}

fn plan_access(
    compiler: &mut Compiler<'_>,
    scope: &RowScope<'_>,
    filter: Option<&ast::Expr>,
) -> Result<Option<Source>, Report> {
    let Some(filter) = filter else {
        return Ok(Some(Source::Access {
            access: Access::Full,
            filter: None,
        }));
    };
    let Some(filter) = compiler.compile(filter, Some(scope), Wanted::Condition("WHERE"))? else {
        return Ok(None);
    };
    let access = match &filter {
        RowExpr::Scalar(scalar) => {
            let wanted = WantedPath {
                table: scope.table,
                filter: Some(scalar),
                order: &[],
                limited: true,
            };
            choose(&wanted)
        }
        RowExpr::Compiled(_) => None,
    };
    let access = access.unwrap_or(Access::Full);
    Ok(Some(Source::Access {
        access,
        filter: Some(filter),
    }))
}

#[expect(
    clippy::option_option,
    reason = "outer: scalars did not do; inner: no clause"
)]
pub(super) fn compile_returning(
    compiler: &mut Compiler<'_>,
    items: Option<&[ast::SelectItem]>,
    scope: &RowScope<'_>,
) -> Result<Option<Option<Returning>>, Report> {
    match items {
        None => Ok(Some(None)),
        Some(items) => Ok(Returning::compile(compiler, items, scope)?.map(Some)),
    }
}

/// Whether an expression needs more than the row: a subquery.
fn needs_query(expr: Option<&ast::Expr>) -> bool {
    let Some(expr) = expr else { return false };
    let found = ast::visit_expressions(expr, |node: &ast::Expr| match node {
        ast::Expr::Subquery(_) | ast::Expr::Exists { .. } | ast::Expr::InSubquery { .. } => {
            std::ops::ControlFlow::Break(())
        }
        _ => std::ops::ControlFlow::Continue(()),
    });
    found.is_break()
}

fn check_assigned(
    table: &tessera_catalog::TableDef,
    assignments: &[Assignment<'_>],
    rules: &RowRules,
) -> Result<(), Report> {
    for assignment in assignments {
        let column = &table.columns[assignment.column];
        let always = column.identity.is_some_and(|identity| identity.always);
        let is_generated = always || rules.is_generated(assignment.column);
        if is_generated && !matches!(assignment.value, SetValue::Default) {
            return Err(generated_always(column, always, "update"));
        }
    }
    Ok(())
}

/// One execution.
struct Run<'a> {
    table: &'a Arc<Table>,
    writer: Writer<'a>,
    /// `None`: DELETE.
    rules: Option<BoundRules<'a>>,
    assignments: Vec<(usize, Option<BoundExpr<'a>>)>,
    mode: Mode,
    returning: Option<Vec<BoundExpr<'a>>>,
    around: &'a Around<'a>,
    changed: u64,
    results: Vec<Vec<Value>>,
}

impl Run<'_> {
    /// Rows found by key, range or scan.
    async fn change_found(
        &mut self,
        context: &StatementContext,
        access: &Access,
        filter: Option<&BoundExpr<'_>>,
    ) -> Result<(), Report> {
        let scalar = filter.and_then(|filter| match filter {
            BoundExpr::Scalar(scalar) => Some(*scalar),
            BoundExpr::Compiled(_) => None,
        });
        let view = refined(context, self.table, access, scalar)?;
        let mut rows = Rows::open(&view, self.table, access, None, self.around).await?;
        let mut seen = 0_u64;
        while let Some(batch) = rows.next_batch().await? {
            for stored in batch {
                seen += 1;
                if seen % 1_024 == 0 {
                    context.check_cancelled()?;
                }
                let row = self.table.decode(&stored.value)?;
                if !self.accepts(filter, &row)? {
                    continue;
                }
                let (stored, row) = match self.lock(context, &stored.key).await? {
                    Locked::Unchanged => (stored, row),
                    Locked::Gone | Locked::Skipped => continue,
                    Locked::Changed(newest) => {
                        let row = self.table.decode(&newest.value)?;
                        if !self.accepts(filter, &row)? {
                            continue;
                        }
                        (newest, row)
                    }
                };
                self.change(&stored, row, &[], Vec::new()).await?;
            }
        }
        Ok(())
    }

    fn accepts(&self, filter: Option<&BoundExpr<'_>>, row: &[Value]) -> Result<bool, Report> {
        match filter {
            None => Ok(true),
            Some(filter) => Ok(filter.truth(row, self.around)? == Some(true)),
        }
    }

    async fn lock(&self, context: &StatementContext, key: &Key) -> Result<Locked, Report> {
        target::cancellable(context, async {
            Ok(self.writer.lock_row(key, self.mode, Wait::Block).await?)
        })
        .await
    }

    /// Rows found by a query.
    async fn change_queried(
        &mut self,
        executor: &Executor,
        context: &StatementContext,
        query: &FoundByQuery,
    ) -> Result<(), Report> {
        // A row that several rows of the FROM list match is changed once, by the first.
        let mut done: HashSet<Key> = HashSet::new();
        let mut found = query.run(executor, context).await?;
        while let Some(batch) = found.next_batch(self.table.def(), self.around).await? {
            for row in batch {
                context.check_cancelled()?;
                if !done.insert(row.key.clone()) {
                    continue;
                }
                let (stored, values, others) = match self.lock(context, &row.key).await? {
                    Locked::Gone | Locked::Skipped => continue,
                    Locked::Unchanged => {
                        let view = context.view()?;
                        match tessera_tables::get(&**view, &row.key).await? {
                            Some(stored) => (stored, row.values, row.others),
                            None => continue,
                        }
                    }
                    Locked::Changed(newest) => {
                        let again = query.run_for(
                            executor,
                            context,
                            self.table.def(),
                            &row.key,
                            self.around,
                        );
                        match again.await? {
                            Some(again) => (newest, again.values, again.others),
                            None => continue,
                        }
                    }
                };
                let old = self.table.decode(&stored.value)?;
                self.change(&stored, old, &values, others).await?;
            }
        }
        Ok(())
    }

    /// Changes one locked row. `computed` holds new values that a query has computed.
    async fn change(
        &mut self,
        stored: &Stored,
        old: Row,
        computed: &[(usize, Value)],
        mut others: Vec<Value>,
    ) -> Result<(), Report> {
        let mut row = match &self.rules {
            None => {
                self.writer.delete(stored, &old).await?;
                old
            }
            Some(rules) => {
                let mut new = old.clone();
                for (column, value) in computed {
                    new[*column] = value.clone();
                }
                for (column, expr) in &self.assignments {
                    new[*column] = match expr {
                        Some(expr) => expr.value(&old, self.around)?,
                        None => rules.default(*column, self.around).await?,
                    };
                }
                rules.complete(self.table, &mut new, self.around)?;
                self.writer.update(stored, &old, &new).await?;
                new
            }
        };
        self.changed += 1;
        if self.changed == ROWS_FOR_TABLE_LOCK {
            self.writer.try_exclusive().await?;
        }
        if let Some(returning) = &self.returning {
            row.append(&mut others);
            self.results.push(project(returning, &row, self.around)?);
        }
        Ok(())
    }
}
