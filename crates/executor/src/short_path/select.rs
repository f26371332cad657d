//! SELECT of one table by key or short range, or of no table.

use std::sync::Arc;

use tessera_planner::ColumnInfo;
use tessera_planner::short_path::ShortSelect;
use tessera_planner::short_path::access::Access;
use tessera_planner::short_path::scalar::Scalar;
use tessera_tables::{Locked, RowView, Stored, Table, Writer};
use tessera_types::{Report, Value, ValueRef, codes};

use crate::context::StatementContext;
use crate::dml::expr::Around;
use crate::dml::source::{Rows, point, refined};
use crate::dml::target::{self, row_mode, wait_of};
use crate::executor::Executor;
use crate::outcome::{Outcome, RowBatch, RowStream};

use super::describe_access;
use super::eval::{Columns, NoColumns, evaluate, truth};

/// Rows that are gathered before the result becomes a stream.
const READY_ROWS_MAX: usize = 1_000;

/// A planned SELECT.
pub(crate) struct Select {
    plan: ShortSelect,
    table: Option<Arc<Table>>,
    columns: Arc<[ColumnInfo]>,
}

impl Columns for RowView<'_> {
    fn column(&self, at: usize) -> ValueRef<'_> {
        // A row that cannot be decoded was refused by `check`.
        self.get(at).unwrap_or_default()
    }
}

impl Select {
    pub(crate) fn new(executor: &Executor, plan: ShortSelect) -> Select {
        let table = plan
            .table
            .as_ref()
            .map(|(def, _)| executor.writes().table(def));
        let columns = plan.columns.clone().into();
        Select {
            plan,
            table,
            columns,
        }
    }

    pub(crate) fn columns(&self) -> &Arc<[ColumnInfo]> {
        &self.columns
    }

    /// Text for EXPLAIN.
    pub(crate) fn describe(&self) -> String {
        let Some((table, access)) = &self.plan.table else {
            return "Result".to_owned();
        };
        let locks = self.plan.locking.map_or_else(String::new, |locking| {
            format!(", locking {}", locking.strength.words().to_lowercase())
        });
        format!("{}{locks}", describe_access(table, access))
    }

    /// The result row of a stored row, unless the filter refuses it.
    fn project<C: Columns + ?Sized>(
        &self,
        row: &C,
        around: &Around<'_>,
    ) -> Result<Option<Vec<Value>>, Report> {
        if let Some(filter) = &self.plan.filter
            && truth(filter, row, around)? != Some(true)
        {
            return Ok(None);
        }
        let mut values = Vec::with_capacity(self.plan.projection.len());
        for item in &self.plan.projection {
            values.push(match item {
                Scalar::Column(at) => row.column(*at).to_owned(),
                other => evaluate(other, row, around)?,
            });
        }
        Ok(Some(values))
    }

    fn project_stored(
        &self,
        table: &Table,
        stored: &Stored,
        around: &Around<'_>,
    ) -> Result<Option<Vec<Value>>, Report> {
        self.project(&table.read(&stored.value)?, around)
    }

    fn ready(&self, rows: Vec<Vec<Value>>) -> Outcome {
        let columns = Arc::clone(&self.columns);
        let batch = RowBatch::from_values(rows, columns.len());
        Outcome::Rows(RowStream::ready(columns, "SELECT", batch))
    }
}

/// Runs it.
pub(crate) async fn execute(
    executor: &Executor,
    select: &Arc<Select>,
    context: &StatementContext,
) -> Result<Outcome, Report> {
    let around = Around::new(executor, context);
    let (Some((_, access)), Some(table)) = (&select.plan.table, &select.table) else {
        let row = select.project(&NoColumns, &around)?;
        return Ok(select.ready(row.into_iter().collect()));
    };
    let is_plain = select.plan.locking.is_none()
        && select.plan.limit.is_none()
        && select.plan.offset.is_none();
    if let (Access::Point { index, key }, true) = (access, is_plain) {
        let found = point(context.view()?, table, *index, key, &around).await?;
        let row = match found {
            Some(stored) => select.project_stored(table, &stored, &around)?,
            None => None,
        };
        return Ok(select.ready(row.into_iter().collect()));
    }
    let skip = count(select.plan.offset.as_ref(), "OFFSET", &around)?.unwrap_or(0);
    let left = count(select.plan.limit.as_ref(), "LIMIT", &around)?.unwrap_or(u64::MAX);
    let wanted = usize::try_from(skip.saturating_add(left))
        .ok()
        .filter(|n| *n < 1_000_000);
    let writer = match select.plan.locking {
        Some(_) => Some(target::open(executor, context, table).await?),
        None => None,
    };
    let view = refined(context, table, access, select.plan.filter.as_ref())?;
    let rows = Rows::open(&view, table, access, wanted, &around).await?;
    let mut walk = Walk { skip, left, rows };
    let mut ready = Vec::new();
    while let Some(mut batch) = walk
        .next(select, table, writer.as_ref(), context, &around)
        .await?
    {
        ready.append(&mut batch);
        // Locks are taken before the statement ends, so a locking query is never a stream.
        if ready.len() > READY_ROWS_MAX && writer.is_none() {
            return Ok(stream(
                executor,
                select,
                Arc::clone(table),
                context,
                walk,
                ready,
            ));
        }
    }
    Ok(select.ready(ready))
}

/// A scan with LIMIT and OFFSET under way.
struct Walk {
    skip: u64,
    left: u64,
    rows: Rows,
}

impl Walk {
    /// The next result rows, perhaps none; `None` at the end.
    async fn next(
        &mut self,
        select: &Select,
        table: &Table,
        writer: Option<&Writer<'_>>,
        context: &StatementContext,
        around: &Around<'_>,
    ) -> Result<Option<Vec<Vec<Value>>>, Report> {
        context.check_cancelled()?;
        if self.left == 0 {
            return Ok(None);
        }
        let Some(batch) = self.rows.next_batch().await? else {
            return Ok(None);
        };
        let mut out = Vec::with_capacity(batch.len());
        for stored in batch {
            let Some(mut values) = select.project_stored(table, &stored, around)? else {
                continue;
            };
            if let (Some(writer), Some(locking)) = (writer, select.plan.locking) {
                let lock = writer.lock_row(
                    &stored.key,
                    row_mode(locking.strength),
                    wait_of(locking.wait),
                );
                match target::cancellable(context, async { Ok(lock.await?) }).await? {
                    Locked::Unchanged => {}
                    Locked::Gone | Locked::Skipped => continue,
                    Locked::Changed(newest) => {
                        match select.project_stored(table, &newest, around)? {
                            Some(now) => values = now,
                            None => continue,
                        }
                    }
                }
            }
            if self.skip > 0 {
                self.skip -= 1;
                continue;
            }
            out.push(values);
            self.left -= 1;
            if self.left == 0 {
                break;
            }
        }
        Ok(Some(out))
    }
}

fn stream(
    executor: &Executor,
    select: &Arc<Select>,
    table: Arc<Table>,
    context: &StatementContext,
    walk: Walk,
    first: Vec<Vec<Value>>,
) -> Outcome {
    struct State {
        executor: Executor,
        select: Arc<Select>,
        table: Arc<Table>,
        context: StatementContext,
        walk: Walk,
        first: Option<Vec<Vec<Value>>>,
        is_over: bool,
    }
    let state = State {
        executor: executor.clone(),
        select: Arc::clone(select),
        table,
        context: context.clone(),
        walk,
        first: Some(first),
        is_over: false,
    };
    let width = select.columns.len();
    let batches = futures::stream::unfold(state, move |mut state| async move {
        if state.is_over {
            return None;
        }
        if let Some(first) = state.first.take() {
            return Some((Ok(RowBatch::from_values(first, width)), state));
        }
        let around = Around::new(&state.executor, &state.context);
        let next = state
            .walk
            .next(&state.select, &state.table, None, &state.context, &around)
            .await;
        drop(around);
        match next {
            Ok(Some(rows)) => Some((Ok(RowBatch::from_values(rows, width)), state)),
            Ok(None) => None,
            Err(report) => {
                state.is_over = true;
                Some((Err(report), state))
            }
        }
    });
    Outcome::Rows(RowStream::streamed(
        Arc::clone(&select.columns),
        "SELECT",
        batches,
    ))
}

/// The value of LIMIT or OFFSET; NULL means none.
fn count(
    scalar: Option<&Scalar>,
    clause: &str,
    around: &Around<'_>,
) -> Result<Option<u64>, Report> {
    let Some(scalar) = scalar else {
        return Ok(None);
    };
    let value = evaluate(scalar, &NoColumns, around)?;
    let Some(number) = value.as_i64() else {
        return Ok(None);
    };
    u64::try_from(number).map(Some).map_err(|_| {
        let code = if clause == "LIMIT" {
            codes::INVALID_ROW_COUNT_IN_LIMIT_CLAUSE
        } else {
            codes::INVALID_ROW_COUNT_IN_RESULT_OFFSET_CLAUSE
        };
        Report::error(code, format!("{clause} must not be negative"))
    })
}
