//! INSERT of keys and documents.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use tessera_catalog::TableDef;
use tessera_planner::dml::plan_insert;
use tessera_storage::Key;
use tessera_tables::Row;
use tessera_types::{Report, SqlType, Value, codes};

use crate::context::StatementContext;
use crate::dml::expr::{Around, BoundExpr, Compiler, RowScope};
use crate::dml::insert::{BoundConflict, Cell, Conflict, Source, plan_conflict, plan_source};
use crate::dml::returning::{Returning, project};
use crate::dml::source::assign;
use crate::executor::Executor;
use crate::outcome::Outcome;
use crate::query::{self, PreparedQuery};

use super::store::{Inserted, Store};
use super::{computed_always, is_computed, outcome};

/// A planned INSERT.
pub(crate) struct ModelInsert {
    pub(super) table: Arc<TableDef>,
    /// Columns given by the source, in its order.
    targets: Vec<usize>,
    source: Source,
    conflict: Option<Conflict>,
    pub(super) returning: Option<Returning>,
}

impl ModelInsert {
    pub(super) fn plan(
        compiler: &mut Compiler<'_>,
        insert: &ast::Insert,
    ) -> Result<ModelInsert, Report> {
        let mut statement = plan_insert(insert, compiler.names())?;
        if statement.overriding.is_some() {
            return Err(Report::unsupported(format!(
                "OVERRIDING is not supported for \"{}\"",
                statement.table.name
            )));
        }
        let incomplete = || Report::internal("a write was not planned");
        let source = plan_source(compiler, &mut statement, !insert.columns.is_empty())?;
        let source = source.ok_or_else(incomplete)?;
        check_given(&statement.table, &statement.targets, &source)?;
        let conflict = plan_conflict(compiler, &statement)?.ok_or_else(incomplete)?;
        if let Some(conflict) = &conflict {
            for column in conflict.assigned() {
                if is_computed(&statement.table, column) {
                    return Err(computed_always(&statement.table.columns[column], "update"));
                }
            }
        }
        let scope = RowScope::of(&statement.table, statement.alias.clone());
        let returning = match statement.returning {
            None => None,
            Some(items) => Returning::compile(compiler, items, &scope)?,
        };
        Ok(ModelInsert {
            targets: statement.targets,
            source,
            conflict,
            returning,
            table: statement.table,
        })
    }

    pub(super) fn query(&self) -> Option<&PreparedQuery> {
        match &self.source {
            Source::Query(query) => Some(query),
            Source::Rows(..) => None,
        }
    }

    pub(super) async fn execute(
        &self,
        executor: &Executor,
        context: &StatementContext,
    ) -> Result<Outcome, Report> {
        let store = Store::open(executor, context, &self.table).await?;
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
            store,
            conflict,
            returning,
            around: &around,
            inserted: 0,
            attempted: 0,
            touched: HashSet::new(),
            results: Vec::new(),
        };
        match &self.source {
            Source::Rows(rows, _) => run.insert_cells(executor, context, rows).await?,
            Source::Query(query) => run.insert_query(executor, context, query).await?,
        }
        let (inserted, results) = (run.inserted, run.results);
        Ok(outcome(
            "INSERT",
            inserted,
            self.returning.as_ref(),
            results,
        ))
    }
}

/// 428C9 for values given to columns that the model computes.
fn check_given(table: &TableDef, targets: &[usize], source: &Source) -> Result<(), Report> {
    for (at, target) in targets.iter().enumerate() {
        let only_defaults = match source {
            Source::Rows(rows, _) => rows
                .iter()
                .all(|row| row.get(at).is_none_or(|cell| matches!(cell, Cell::Default))),
            Source::Query(_) => false,
        };
        if is_computed(table, *target) && !only_defaults {
            return Err(computed_always(&table.columns[*target], "insert"));
        }
    }
    Ok(())
}

/// The key or the id.
fn name_of(row: &Row) -> String {
    row[0].as_str().unwrap_or_default().to_owned()
}

/// One execution.
struct Run<'a> {
    plan: &'a ModelInsert,
    store: Store<'a>,
    conflict: Option<BoundConflict<'a>>,
    returning: Option<Vec<BoundExpr<'a>>>,
    around: &'a Around<'a>,
    inserted: u64,
    attempted: u64,
    /// Records that ON CONFLICT DO UPDATE may not meet again.
    touched: HashSet<String>,
    results: Vec<Vec<Value>>,
}

impl Run<'_> {
    async fn insert_cells(
        &mut self,
        executor: &Executor,
        context: &StatementContext,
        rows: &[Vec<Cell>],
    ) -> Result<(), Report> {
        let width = self.plan.table.columns.len();
        for cells in rows {
            let mut row = vec![Value::Null; width];
            let mut given = vec![false; width];
            for (cell, target) in cells.iter().zip(&self.plan.targets) {
                if let Cell::Expr(expr) = cell {
                    let mut wanted = Vec::new();
                    expr.sequences(&mut wanted);
                    self.around.take(&wanted).await?;
                    row[*target] = expr.bind(executor, context)?.value(&[], self.around)?;
                    given[*target] = true;
                }
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
        let types: Vec<SqlType> = query.columns().iter().map(|c| c.sql_type.clone()).collect();
        let width = self.plan.table.columns.len();
        let mut given = vec![false; width];
        for target in &self.plan.targets {
            given[*target] = true;
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
                    let to = &self.plan.table.columns[*target].sql_type;
                    row[*target] = assign(value, &types[source], to, self.around)?;
                }
                self.insert_row(context, row, &given).await?;
            }
        }
        Ok(())
    }

    async fn insert_row(
        &mut self,
        context: &StatementContext,
        row: Row,
        given: &[bool],
    ) -> Result<(), Report> {
        self.attempted += 1;
        if self.attempted % 1_024 == 0 {
            context.check_cancelled()?;
        }
        let row = match self.store.insert(&row, given).await? {
            Inserted::Row(stored) => {
                if self.conflict.is_some() {
                    self.touched.insert(name_of(&stored));
                }
                stored
            }
            Inserted::Duplicate(report) => match &self.conflict {
                Some(conflict) if conflict.skips_any() => return Ok(()),
                _ => return Err(report),
            },
            Inserted::Exists(key) => match self.meet(&key, &row).await? {
                Some(updated) => updated,
                None => return Ok(()),
            },
        };
        self.inserted += 1;
        if let Some(returning) = &self.returning {
            self.results.push(project(returning, &row, self.around)?);
        }
        Ok(())
    }

    /// ON CONFLICT with a record that is there: its row after DO UPDATE, or `None`.
    async fn meet(&mut self, key: &Key, proposed: &Row) -> Result<Option<Row>, Report> {
        let Some(conflict) = &self.conflict else {
            return Err(self.store.exists(&proposed[0]));
        };
        // One that this transaction's snapshot does not show is 40001 above READ COMMITTED.
        self.store.lock(key).await?;
        let Some(assignments) = conflict.updates() else {
            return Ok(None);
        };
        let Some(old) = self.store.newest(key).await? else {
            return Err(Report::internal("a record in conflict is not there"));
        };
        if self.touched.contains(&name_of(&old)) {
            return Err(Report::error(
                codes::CARDINALITY_VIOLATION,
                "ON CONFLICT DO UPDATE command cannot affect row a second time",
            )
            .with_hint(
                "Ensure that no rows proposed for insertion within the same command have \
                 duplicate constrained values.",
            ));
        }
        if let Some(filter) = &conflict.filter
            && filter.value_beside(&old, proposed, self.around)? != Value::Boolean(true)
        {
            return Ok(None);
        }
        let mut new = old.clone();
        let mut assigned = Vec::with_capacity(assignments.len());
        for (column, expr) in assignments {
            new[*column] = match expr {
                Some(expr) => expr.value_beside(&old, proposed, self.around)?,
                None => Value::Null,
            };
            assigned.push(*column);
        }
        let row = self.store.update(key, &old, &new, &assigned).await?;
        self.touched.insert(name_of(&row));
        Ok(Some(row))
    }
}
