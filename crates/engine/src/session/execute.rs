//! Running one statement; cancelling and timeouts; rows and COPY.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use tessera_executor::{CommandTag, RowBatch, RowStream, StatementContext, Written};
use tessera_planner::{ColumnInfo, Parsed, Statement};
use tessera_telemetry::metrics;
use tessera_transactions::Transaction;
use tessera_types::{Report, SqlType, Value, codes};
use tokio::time::Instant;

use super::Session;
use super::statement::{Body, Plan, PreparedStatement};
use crate::activity::StopReason;
use crate::measure::Measured;

/// How often a statement that lost a conflict is run again.
const RETRIES_MAX: u32 = 5;

/// What running a statement gave.
pub enum Outcome {
    /// There was nothing to run.
    Empty,
    /// No rows.
    Command(CommandTag),
    /// Rows; ask for them by [`Session::next_rows`].
    Rows(Rows),
    /// COPY … FROM STDIN waits for data.
    CopyIn(CopyIn),
    /// COPY … TO STDOUT gives data.
    CopyOut(CopyOut),
}

impl Outcome {
    /// Whether nothing more is read for it.
    fn is_complete(&self) -> bool {
        match self {
            Outcome::Command(_) => true,
            Outcome::Rows(rows) => rows.stream.is_ready(),
            Outcome::Empty | Outcome::CopyIn(_) | Outcome::CopyOut(_) => false,
        }
    }

    pub(super) fn command(tag: &'static str) -> Outcome {
        Outcome::Command(CommandTag::new(tag))
    }

    /// One column of text, as SHOW answers.
    pub(super) fn texts(column: &str, verb: &'static str, values: Vec<String>) -> Outcome {
        let columns = text_columns(&[column]);
        let rows = values
            .into_iter()
            .map(|value| vec![Value::text(value)])
            .collect();
        Outcome::values(columns, verb, rows)
    }

    pub(super) fn values(
        columns: Arc<[ColumnInfo]>,
        verb: &'static str,
        rows: Vec<Vec<Value>>,
    ) -> Outcome {
        let batch = RowBatch::from_values(rows, columns.len());
        Outcome::Rows(Rows::new(
            RowStream::ready(columns, verb, batch),
            false,
            None,
        ))
    }
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Outcome::Empty => f.write_str("Empty"),
            Outcome::Command(tag) => write!(f, "Command({tag})"),
            Outcome::Rows(_) => f.write_str("Rows"),
            Outcome::CopyIn(_) => f.write_str("CopyIn"),
            Outcome::CopyOut(_) => f.write_str("CopyOut"),
        }
    }
}

/// 25006 in PostgreSQL's words; the transaction itself refuses what gets past this.
fn check_reads_only(statement: &Statement) -> Result<(), Report> {
    match statement {
        Statement::Write(_)
        | Statement::Ddl(_)
        | Statement::Model(_)
        | Statement::CreateTableAs(_) => Err(Report::error(
            codes::READ_ONLY_SQL_TRANSACTION,
            format!(
                "cannot execute {} in a read-only transaction",
                statement.verb()
            ),
        )),
        _ => Ok(()),
    }
}

/// Columns of type text, of the session's own statements.
pub(super) fn text_columns(names: &[&str]) -> Arc<[ColumnInfo]> {
    names
        .iter()
        .map(|name| ColumnInfo {
            name: (*name).to_owned(),
            sql_type: SqlType::Text,
            table: None,
            column: 0,
        })
        .collect()
}

/// Rows that are still to come. Dropping it ends the query.
pub struct Rows {
    stream: RowStream,
    /// Whether the tag tells the number of rows.
    counted: bool,
    measured: Option<Measured>,
}

impl Rows {
    pub(super) fn new(stream: RowStream, counted: bool, measured: Option<Measured>) -> Rows {
        Rows {
            stream,
            counted,
            measured,
        }
    }

    /// The columns of every batch.
    pub fn columns(&self) -> &Arc<[ColumnInfo]> {
        self.stream.columns()
    }

    /// The tag for the end, when so many rows were returned.
    pub fn tag(&self, rows: u64) -> CommandTag {
        let tag = self.stream.tag(rows);
        if self.counted {
            tag
        } else {
            CommandTag { rows: None, ..tag }
        }
    }
}

/// A running COPY … FROM STDIN.
pub struct CopyIn {
    copy: tessera_executor::CopyIn,
    measured: Measured,
}

impl CopyIn {
    /// Whether the data is in binary format, and how many columns it has.
    pub fn format(&self) -> (bool, usize) {
        (self.copy.is_binary(), self.copy.columns())
    }
}

/// A running COPY … TO STDOUT.
pub struct CopyOut {
    copy: tessera_executor::CopyOut,
    measured: Measured,
}

impl CopyOut {
    /// Whether the data is in binary format, and how many columns it has.
    pub fn format(&self) -> (bool, usize) {
        (self.copy.is_binary(), self.copy.columns())
    }
}

/// What a running statement is stopped by.
enum Interruption {
    Timeout,
    Cancelled,
}

impl Session {
    /// The next statement is the last before the end of the batch: when it is a transaction of
    /// its own, it is committed with it, and may be run again when it lost a conflict.
    pub fn expect_end_of_batch(&mut self) {
        self.ends_batch = true;
    }

    /// Runs a prepared statement. `params` are of the types that it says.
    ///
    /// A statement that began its transaction and loses a conflict (40001, 40P01) is run again,
    /// a few times at most: nothing of it was answered yet. After an error the transaction is
    /// where [`Session::fail`] leaves it.
    pub async fn execute(
        &mut self,
        statement: &Arc<PreparedStatement>,
        params: &Arc<[Value]>,
    ) -> Result<Outcome, Report> {
        let is_own_transaction = self.is_between_transactions();
        let commits = std::mem::take(&mut self.ends_batch) && is_own_transaction;
        let mut retries = 0;
        self.times_victim = 0;
        loop {
            let mut result = self.try_execute(statement, params).await;
            if commits && result.as_ref().is_ok_and(Outcome::is_complete) {
                // Boxed, because keeping a cursor's rows at a commit runs its query.
                if let Err(report) = Box::pin(self.commit_implicit()).await {
                    result = Err(report);
                }
            }
            let Err(report) = result else {
                return result;
            };
            self.fail();
            let lost = matches!(
                report.code,
                codes::SERIALIZATION_FAILURE | codes::DEADLOCK_DETECTED
            );
            if !is_own_transaction || !lost || retries == RETRIES_MAX {
                return Err(report);
            }
            retries += 1;
            self.times_victim = retries;
            // What the lost attempt had to say is said again.
            self.notices.take();
            metrics().statement_retries.increment();
        }
    }

    async fn try_execute(
        &mut self,
        statement: &Arc<PreparedStatement>,
        params: &Arc<[Value]>,
    ) -> Result<Outcome, Report> {
        match &statement.body {
            Body::Plan(plan) => self.execute_plan(plan, &statement.text, params).await,
            Body::Empty => Ok(Outcome::Empty),
            Body::Declare { declare, query } => {
                self.check_not_failed()?;
                self.declare(declare, query, params)
            }
            Body::Role(role) => {
                self.check_not_failed()?;
                self.start(&statement.text)?;
                self.execute_role(role).await
            }
            Body::Session(parsed) => self.execute_session(parsed, statement).await,
        }
    }

    async fn execute_session(
        &mut self,
        parsed: &Arc<Parsed>,
        statement: &PreparedStatement,
    ) -> Result<Outcome, Report> {
        self.start(&statement.text)?;
        if let Statement::Transaction(control) = &parsed.statement {
            return self.control_transaction(control).await;
        }
        self.check_not_failed()?;
        self.begin_implicit();
        // EXECUTE and FETCH come back here.
        Box::pin(self.control(parsed)).await
    }

    async fn execute_plan(
        &mut self,
        plan: &Plan,
        text: &Arc<str>,
        params: &Arc<[Value]>,
    ) -> Result<Outcome, Report> {
        self.check_not_failed()?;
        let now = self.now();
        let txn = self.ensure_transaction(now)?;
        if txn.is_read_only() {
            check_reads_only(plan.statement())?;
        }
        let session = self.context();
        let prepared = self.current_plan(plan, &session)?;
        self.check_privileges(plan, &session)?;
        self.begin_deadline();
        self.active = true;
        let started_at = self.transaction.started_at();
        let context = StatementContext {
            session,
            cancel: self.entry.begin(text, now, Some(txn.id()), started_at),
            txn,
            params: params.clone(),
            transaction_micros: started_at,
            statement_micros: now,
            notices: self.notices.clone(),
            view: None,
            newest: None,
            written: Written::default(),
            in_block: self.in_block(),
        };
        let executor = self.engine.shared.executor.clone();
        let clock = &self.engine.shared.environment.clock;
        let mut measured =
            Measured::begin(clock, &prepared.parsed.statement, prepared.is_short_path());
        let outcome = match self.guarded(executor.execute(&prepared, &context)).await {
            Ok(outcome) => outcome,
            Err(report) => {
                measured.failed(&report);
                return Err(report);
            }
        };
        Ok(match outcome {
            tessera_executor::Outcome::Command(tag) => Outcome::Command(tag),
            tessera_executor::Outcome::Rows(stream) => {
                let counted = !matches!(prepared.parsed.statement, Statement::Explain(_));
                Outcome::Rows(Rows::new(stream, counted, Some(measured)))
            }
            tessera_executor::Outcome::CopyIn(copy) => Outcome::CopyIn(CopyIn { copy, measured }),
            tessera_executor::Outcome::CopyOut(copy) => {
                Outcome::CopyOut(CopyOut { copy, measured })
            }
        })
    }

    /// The next rows; `None` at the end.
    pub async fn next_rows(&mut self, rows: &mut Rows) -> Result<Option<RowBatch>, Report> {
        let next = async { rows.stream.next().await.transpose() };
        let result = self.guarded(next).await;
        if let Err(report) = &result {
            if let Some(measured) = &mut rows.measured {
                measured.failed(report);
            }
            self.fail();
        }
        result
    }

    /// Data of a COPY FROM, in pieces of any size.
    pub async fn copy_push(&mut self, copy: &mut CopyIn, data: Bytes) -> Result<(), Report> {
        // The client's pace is not the statement's: its timeout counts from here.
        self.begin_deadline();
        let result = self.guarded(copy.copy.push(data)).await;
        if let Err(report) = &result {
            copy.measured.failed(report);
            self.fail();
        }
        result
    }

    /// The end of the data.
    pub async fn copy_finish(&mut self, copy: CopyIn) -> Result<CommandTag, Report> {
        self.begin_deadline();
        let CopyIn { copy, mut measured } = copy;
        let result = self.guarded(copy.finish()).await;
        if let Err(report) = &result {
            measured.failed(report);
            self.fail();
        }
        result
    }

    /// The client gives up; gives the error to answer.
    pub fn copy_fail(&mut self, copy: CopyIn, message: &str) -> Report {
        drop(copy);
        self.fail();
        Report::error(
            codes::QUERY_CANCELED,
            format!("COPY from stdin failed: {message}"),
        )
    }

    /// The next data of a COPY TO; `None` at the end.
    pub async fn copy_next(&mut self, copy: &mut CopyOut) -> Result<Option<Bytes>, Report> {
        let next = async { copy.copy.next().await.transpose() };
        let result = self.guarded(next).await;
        if let Err(report) = &result {
            copy.measured.failed(report);
            self.fail();
        }
        result
    }

    /// The tag at the end of a COPY TO.
    pub fn copy_tag(&self, copy: &CopyOut) -> CommandTag {
        CommandTag::counted("COPY", copy.copy.rows())
    }

    /// Tells the world that a statement of the session itself begins.
    pub(super) fn start(&mut self, text: &Arc<str>) -> Result<(), Report> {
        let now = self.now();
        let started_at = match self.transaction.started_at() {
            0 => now,
            started_at => started_at,
        };
        self.begin_deadline();
        self.active = true;
        let txn = self.txn().map(Transaction::id);
        if self.entry.begin(text, now, txn, started_at).is_cancelled() {
            return Err(self.interrupted(Interruption::Cancelled));
        }
        Ok(())
    }

    fn begin_deadline(&mut self) {
        self.deadline = self
            .effective
            .statement_timeout
            .map(|limit| Instant::now() + limit);
    }

    /// Runs work of a statement until it is done, cancelled, or out of time.
    ///
    /// Work that does not wait costs nothing extra: only when its first poll is pending are a
    /// timer and the cancel token looked at.
    pub(super) async fn guarded<T>(
        &mut self,
        work: impl Future<Output = Result<T, Report>>,
    ) -> Result<T, Report> {
        let mut work = pin!(work);
        let first = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await;
        let result = match first {
            Poll::Ready(result) => result,
            Poll::Pending => {
                let token = self.entry.token();
                let timeout = async {
                    match self.deadline {
                        Some(deadline) => tokio::time::sleep_until(deadline).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    result = &mut work => result,
                    () = token.cancelled() => Err(self.interrupted(Interruption::Cancelled)),
                    () = timeout => Err(self.interrupted(Interruption::Timeout)),
                }
            }
        };
        // The executor sees the token, too, but does not know who fired it.
        result.map_err(|report| match report.code {
            codes::QUERY_CANCELED if self.entry.reason() == StopReason::Terminate => {
                Session::termination_report()
            }
            _ => self.explain(report),
        })
    }

    /// Names instead of numbers in what a conflict's loser is told.
    pub(super) fn explain(&self, report: Report) -> Report {
        if report.cause.is_none() {
            return report;
        }
        let shared = &self.engine.shared;
        let catalog = shared.catalog.state();
        tessera_executor::explain(&shared.executor, &catalog, self.txn(), report)
    }

    fn interrupted(&self, by: Interruption) -> Report {
        // Work that runs on other threads ends, too.
        self.entry.stop_statement();
        match by {
            Interruption::Timeout => Report::error(
                codes::QUERY_CANCELED,
                "canceling statement due to statement timeout",
            ),
            Interruption::Cancelled if self.entry.reason() == StopReason::Terminate => {
                Session::termination_report()
            }
            Interruption::Cancelled => Report::error(
                codes::QUERY_CANCELED,
                "canceling statement due to user request",
            ),
        }
    }
}
