//! UPDATE and DELETE of keys and documents: a query finds the rows and computes new values.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use tessera_catalog::TableDef;
use tessera_planner::dml::{SetValue, plan_delete, plan_update};
use tessera_storage::Key;
use tessera_tables::Row;
use tessera_transactions::RowLock;
use tessera_types::{Report, Value};

use crate::context::StatementContext;
use crate::dml::change::{compile_returning, foreign};
use crate::dml::expr::{Around, BoundExpr, Compiler, RowScope};
use crate::dml::found::{FoundByQuery, FoundRow};
use crate::dml::returning::{Returning, project};
use crate::executor::Executor;
use crate::outcome::Outcome;
use crate::query::PreparedQuery;

use super::store::Store;
use super::{computed_always, is_computed, outcome};

/// A planned UPDATE or DELETE.
pub(crate) struct ModelChange {
    table: Arc<TableDef>,
    found: FoundByQuery,
    /// Columns that get new values; `None` for DELETE.
    assigned: Option<Vec<usize>>,
    pub(super) returning: Option<Returning>,
}

impl ModelChange {
    pub(super) fn plan_update(
        compiler: &mut Compiler<'_>,
        update: &ast::Update,
    ) -> Result<ModelChange, Report> {
        let statement = plan_update(update, compiler.names())?;
        let table = &statement.table;
        let mut assigned = Vec::with_capacity(statement.assignments.len());
        for assignment in &statement.assignments {
            let is_default = matches!(assignment.value, SetValue::Default);
            if !is_computed(table, assignment.column) {
                assigned.push(assignment.column);
            } else if !is_default {
                let column = &table.columns[assignment.column];
                return Err(computed_always(column, "update"));
            }
        }
        let alias = statement.alias.as_deref();
        let found = FoundByQuery::plan(
            compiler,
            table,
            alias,
            &statement.assignments,
            statement.from,
            statement.filter,
            foreign(statement.returning, table, alias),
        )?;
        let mut scope = RowScope::of(table, statement.alias.clone());
        scope.others.clone_from(&found.others);
        let returning = compile_returning(compiler, statement.returning, &scope)?;
        Ok(ModelChange {
            table: Arc::clone(table),
            found,
            assigned: Some(assigned),
            returning: returning.flatten(),
        })
    }

    pub(super) fn plan_delete(
        compiler: &mut Compiler<'_>,
        delete: &ast::Delete,
    ) -> Result<ModelChange, Report> {
        let statement = plan_delete(delete, compiler.names())?;
        let table = &statement.table;
        let alias = statement.alias.as_deref();
        let found = FoundByQuery::plan(
            compiler,
            table,
            alias,
            &[],
            statement.using,
            statement.filter,
            foreign(statement.returning, table, alias),
        )?;
        let mut scope = RowScope::of(table, statement.alias.clone());
        scope.others.clone_from(&found.others);
        let returning = compile_returning(compiler, statement.returning, &scope)?;
        Ok(ModelChange {
            table: Arc::clone(table),
            found,
            assigned: None,
            returning: returning.flatten(),
        })
    }

    pub(super) fn query(&self) -> &PreparedQuery {
        self.found.query()
    }

    pub(super) fn describe(&self) -> String {
        let verb = match self.assigned {
            Some(_) => "Update",
            None => "Delete",
        };
        format!("{verb} on {}", self.table.name)
    }

    pub(super) async fn execute(
        &self,
        executor: &Executor,
        context: &StatementContext,
    ) -> Result<Outcome, Report> {
        let store = Store::open(executor, context, &self.table).await?;
        let around = Around::new(executor, context);
        let returning = match &self.returning {
            None => None,
            Some(returning) => Some(returning.bind(executor, context)?),
        };
        let mut run = Run {
            plan: self,
            store,
            around: &around,
            returning,
            changed: 0,
            results: Vec::new(),
        };
        run.change_all(executor, context).await?;
        let verb = match self.assigned {
            Some(_) => "UPDATE",
            None => "DELETE",
        };
        Ok(outcome(
            verb,
            run.changed,
            self.returning.as_ref(),
            run.results,
        ))
    }
}

/// One execution.
struct Run<'a> {
    plan: &'a ModelChange,
    store: Store<'a>,
    around: &'a Around<'a>,
    returning: Option<Vec<BoundExpr<'a>>>,
    changed: u64,
    results: Vec<Vec<Value>>,
}

impl Run<'_> {
    async fn change_all(
        &mut self,
        executor: &Executor,
        context: &StatementContext,
    ) -> Result<(), Report> {
        let plan = self.plan;
        // A row that several rows of the FROM list match is changed once, by the first.
        let mut done: HashSet<Key> = HashSet::new();
        let mut found = plan.found.run(executor, context).await?;
        while let Some(batch) = found.next_batch(&plan.table, self.around).await? {
            for row in batch {
                context.check_cancelled()?;
                if !done.insert(row.key.clone()) {
                    continue;
                }
                let key = row.key.clone();
                let (old, row) = match self.store.lock(&key).await? {
                    RowLock::Skipped => continue,
                    RowLock::Unchanged => {
                        let view = context.view()?.clone();
                        (self.store.row(view, &key).await?, Some(row))
                    }
                    RowLock::Changed => {
                        let again = plan
                            .found
                            .run_for(executor, context, &plan.table, &key, self.around)
                            .await?;
                        (self.store.newest(&key).await?, again)
                    }
                };
                // Gone, expired, or no longer one that is meant.
                if let (Some(old), Some(row)) = (old, row) {
                    self.change(&key, old, row).await?;
                }
            }
        }
        Ok(())
    }

    async fn change(&mut self, key: &Key, old: Row, found: FoundRow) -> Result<(), Report> {
        let mut row = match &self.plan.assigned {
            None => {
                self.store.delete(key).await?;
                old
            }
            Some(assigned) => {
                let mut new = old.clone();
                for column in assigned {
                    // DEFAULT, unless the query has computed a value.
                    new[*column] = Value::Null;
                }
                for (column, value) in found.values {
                    new[column] = value;
                }
                self.store.update(key, &old, &new, assigned).await?
            }
        };
        self.changed += 1;
        if let Some(returning) = &self.returning {
            row.extend(found.others);
            self.results.push(project(returning, &row, self.around)?);
        }
        Ok(())
    }
}
