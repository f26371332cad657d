//! Rows of an UPDATE or DELETE that a query finds: FROM, USING, subqueries.
//!
//! The statement becomes `SELECT target.key, new values … FROM target, others WHERE …`; the
//! hidden column [`ROW_KEY`] names the row.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, Expr, TableWithJoins};
use tessera_catalog::TableDef;
use tessera_planner::dml::{Assignment, SetValue};
use tessera_planner::{Parsed, Statement};
use tessera_storage::Key;
use tessera_types::{Report, SqlType, Value, ValueRef};

use crate::context::StatementContext;
use crate::executor::Executor;
use crate::outcome::{Outcome, RowStream};
use crate::query::{self, PreparedQuery};
use crate::scan::ROW_KEY;

use super::expr::{Around, Compiler};
use super::insert::check_assignable;
use super::source::assign;

/// The planned query.
pub(crate) struct FoundByQuery {
    query: PreparedQuery,
    /// Position and type of each column that the query computes a value for.
    computed: Vec<(usize, SqlType)>,
    /// Columns of other relations that RETURNING names: qualifier, name, type.
    pub(crate) others: Vec<(Option<String>, String, SqlType)>,
    /// The query's text, for looking at one row again.
    text: String,
    has_filter: bool,
    relation: String,
    given_params: Vec<Option<SqlType>>,
}

/// A row that was found, with its new values.
pub(crate) struct FoundRow {
    pub(crate) key: Key,
    pub(crate) values: Vec<(usize, Value)>,
    /// Values of the columns in `FoundByQuery::others`.
    pub(crate) others: Vec<Value>,
}

/// Rows as the query gives them.
pub(crate) struct FoundRows<'a> {
    stream: RowStream,
    plan: &'a FoundByQuery,
}

impl FoundByQuery {
    /// Plans the query.
    pub(crate) fn plan(
        compiler: &mut Compiler<'_>,
        table: &Arc<TableDef>,
        alias: Option<&str>,
        assignments: &[Assignment<'_>],
        others: &[TableWithJoins],
        filter: Option<&Expr>,
        returned: Vec<(Option<String>, String)>,
    ) -> Result<FoundByQuery, Report> {
        let relation = quoted(alias.unwrap_or(&table.name));
        let mut items = vec![format!("{relation}.{}", quoted(ROW_KEY))];
        let mut targets = Vec::new();
        for assignment in assignments {
            if let SetValue::Expr(expr) = assignment.value {
                items.push(value_of(expr, &table.columns[assignment.column].sql_type));
                targets.push(assignment.column);
            }
        }
        for (qualifier, name) in &returned {
            items.push(match qualifier {
                Some(qualifier) => format!("{}.{}", quoted(qualifier), quoted(name)),
                None => quoted(name),
            });
        }
        let mut from = format!("{}.{}", quoted(&table.schema), quoted(&table.name));
        if alias.is_some() {
            from = format!("{from} AS {relation}");
        }
        for other in others {
            from = format!("{from}, {other}");
        }
        let with = compiler.with.as_deref().unwrap_or_default();
        let mut text = format!("{with} SELECT {} FROM {from}", items.join(", "));
        if let Some(filter) = filter {
            text = format!("{text} WHERE ({filter})");
        }
        let query = prepare_text(compiler, &text)?;
        let mut computed = Vec::with_capacity(targets.len());
        let mut found = query.columns().iter().skip(1);
        for target in targets {
            let Some(column) = found.next() else { break };
            check_assignable(&table.columns[target], &column.sql_type)?;
            computed.push((target, column.sql_type.clone()));
        }
        let others = returned
            .into_iter()
            .zip(found)
            .map(|((qualifier, name), column)| (qualifier, name, column.sql_type.clone()))
            .collect();
        Ok(FoundByQuery {
            query,
            computed,
            others,
            text,
            has_filter: filter.is_some(),
            relation,
            given_params: compiler.params.clone(),
        })
    }

    /// The query, for EXPLAIN.
    pub(crate) fn query(&self) -> &PreparedQuery {
        &self.query
    }

    /// Runs it.
    pub(crate) async fn run(
        &self,
        executor: &Executor,
        context: &StatementContext,
    ) -> Result<FoundRows<'_>, Report> {
        match query::execute(executor, &self.query, context).await? {
            Outcome::Rows(stream) => Ok(FoundRows { stream, plan: self }),
            _ => Err(Report::internal("the query of a write gave no rows")),
        }
    }

    /// Looks again at one row, whose key is locked: its new values, or `None` when WHERE does not
    /// hold for its newest version.
    pub(crate) async fn run_for(
        &self,
        executor: &Executor,
        context: &StatementContext,
        table: &TableDef,
        key: &Key,
        around: &Around<'_>,
    ) -> Result<Option<FoundRow>, Report> {
        let joint = if self.has_filter { "AND" } else { "WHERE" };
        let bytes: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!(
            "{} {joint} {}.{} = '\\x{bytes}'::bytea",
            self.text,
            self.relation,
            quoted(ROW_KEY),
        );
        let mut params = self.given_params.clone();
        let mut compiler = Compiler {
            executor,
            session: &context.session,
            params: &mut params,
            scalars_only: false,
            with: None,
        };
        let query = prepare_text(&mut compiler, &text)?;
        let now = context.looking_again(vec![table.id]);
        let Outcome::Rows(stream) = Box::pin(query::execute(executor, &query, &now)).await? else {
            return Err(Report::internal("the query of a write gave no rows"));
        };
        let mut rows = FoundRows { stream, plan: self };
        let batch = rows.next_batch(table, around).await?;
        Ok(batch.and_then(|batch| batch.into_iter().next()))
    }
}

impl FoundRows<'_> {
    /// The next rows; `None` at the end.
    pub(crate) async fn next_batch(
        &mut self,
        table: &TableDef,
        around: &Around<'_>,
    ) -> Result<Option<Vec<FoundRow>>, Report> {
        loop {
            let Some(batch) = self.stream.next().await else {
                return Ok(None);
            };
            let batch = batch?;
            let mut rows = Vec::with_capacity(batch.rows());
            for at in 0..batch.rows() {
                // NULL where an outer join found no row of the target.
                let ValueRef::Bytea(key) = batch.value(at, 0) else {
                    continue;
                };
                let mut values = Vec::with_capacity(self.plan.computed.len());
                for (i, (target, from)) in self.plan.computed.iter().enumerate() {
                    let to = &table.columns[*target].sql_type;
                    let value = batch.value(at, i + 1).to_owned();
                    values.push((*target, assign(value, from, to, around)?));
                }
                let first = 1 + self.plan.computed.len();
                let others = (first..batch.columns()).map(|c| batch.value(at, c).to_owned());
                let others = others.collect();
                rows.push(FoundRow {
                    key: Key::copy_from_slice(key),
                    values,
                    others,
                });
            }
            if !rows.is_empty() {
                return Ok(Some(rows));
            }
        }
    }
}

/// The text of a value. What has no type of its own gets that of its column here, because in the
/// select list of a query it would be text.
fn value_of(expr: &Expr, sql_type: &SqlType) -> String {
    let mut inner = expr;
    while let Expr::Nested(nested) = inner {
        inner = nested;
    }
    let is_untyped = match inner {
        Expr::Value(value) => matches!(
            &value.value,
            ast::Value::SingleQuotedString(_)
                | ast::Value::EscapedStringLiteral(_)
                | ast::Value::UnicodeStringLiteral(_)
                | ast::Value::DollarQuotedString(_)
                | ast::Value::Placeholder(_)
                | ast::Value::Null
        ),
        _ => false,
    };
    // A cast to a length would cut what an assignment refuses.
    match sql_type {
        SqlType::Char(_) | SqlType::Varchar(_) => expr.to_string(),
        _ if is_untyped => format!("CAST({expr} AS {})", sql_type.name()),
        _ => expr.to_string(),
    }
}

fn prepare_text(compiler: &mut Compiler<'_>, text: &str) -> Result<PreparedQuery, Report> {
    let parsed = tessera_planner::parse(text)?;
    let Some(Parsed {
        statement: Statement::Query(query),
        ..
    }) = parsed.first()
    else {
        return Err(Report::internal("the query of a write is not a query"));
    };
    let query = Arc::clone(query);
    let parsed = Arc::new(Parsed {
        statement: Statement::Query(Arc::clone(&query)),
        text: text.into(),
        offset: 0,
        lines: Arc::from([]),
        notices: Vec::new(),
    });
    let mut report = query::prepare(
        compiler.executor,
        &parsed,
        &query,
        compiler.session,
        compiler.params,
    );
    if let Err(report) = &mut report {
        // Positions are of the rewritten text.
        report.position = None;
    }
    report
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
