//! A running plan: on the query runtime if there is one, ended by cancel or by being dropped.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::{Stream, StreamExt};
use tessera_planner::ColumnInfo;
use tessera_planner::errors::report_of;
use tessera_types::{Report, codes};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Run;
use crate::outcome::RowBatch;

/// Batches that wait for a slow reader.
const BATCHES_WAITING_MAX: usize = 2;

/// What is run.
pub(super) enum Planned {
    /// Still to be optimized and planned.
    Logical(LogicalPlan),
    /// Ready.
    Physical(Arc<dyn ExecutionPlan>),
}

/// Runs a plan; rows come as they are computed.
pub(super) fn run(
    run: Run,
    plan: Planned,
    columns: Arc<[ColumnInfo]>,
) -> impl Stream<Item = Result<RowBatch, Report>> + Send + 'static {
    let (sender, receiver) = mpsc::channel(BATCHES_WAITING_MAX);
    let runtime = run.executor.options().runtime.clone();
    let runtime = runtime.or_else(|| tokio::runtime::Handle::try_current().ok());
    let task = runtime.map(|runtime| {
        let work = produce(run, plan, sender);
        AbortOnDrop(runtime.spawn(work))
    });
    futures::stream::unfold(
        (receiver, columns, task),
        |(mut receiver, columns, task)| async {
            let batch: Result<RecordBatch, Report> = receiver.recv().await?;
            let rows = batch.and_then(|batch| RowBatch::from_arrow(&batch, &columns));
            Some((rows, (receiver, columns, task)))
        },
    )
}

/// Plans, executes, and hands over every batch.
async fn produce(run: Run, plan: Planned, sender: mpsc::Sender<Result<RecordBatch, Report>>) {
    let cancel = run.statement.cancel.clone();
    let started = async {
        let plan = match plan {
            Planned::Logical(logical) => run.plan(logical).await?,
            Planned::Physical(plan) => plan,
        };
        execute_stream(plan, run.task()).map_err(report_of)
    };
    let mut stream = match or_cancelled(&cancel, started).await {
        Ok(stream) => stream,
        Err(report) => {
            // A reader that has gone needs no answer.
            let _ = sender.send(Err(report)).await;
            return;
        }
    };
    loop {
        let next = async { Ok(stream.next().await) };
        let batch = match or_cancelled(&cancel, next).await {
            Ok(None) => return,
            Ok(Some(batch)) => batch.map_err(report_of),
            Err(report) => Err(report),
        };
        let failed = batch.is_err();
        if sender.send(batch).await.is_err() || failed {
            return;
        }
    }
}

/// The future's result, unless the statement is cancelled first.
async fn or_cancelled<T>(
    cancel: &CancellationToken,
    future: impl Future<Output = Result<T, Report>>,
) -> Result<T, Report> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(cancelled()),
        result = future => result,
    }
}

/// 57014.
pub(crate) fn cancelled() -> Report {
    Report::error(
        codes::QUERY_CANCELED,
        "canceling statement due to user request",
    )
}

/// Ends a task whose reader has gone.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
