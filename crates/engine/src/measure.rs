//! Counts statements and transactions, and how long they take.

use std::sync::Arc;
use std::time::Duration;

use tessera_environment::Clock;
use tessera_planner::Statement;
use tessera_telemetry::labels::{
    CancelReason, Isolation, Outcome, Path, StatementKind, TxnOutcome,
};
use tessera_telemetry::metrics;
use tessera_types::{Report, codes};

/// One running statement. It is counted when this is dropped: after its last row.
pub(crate) struct Measured {
    clock: Arc<dyn Clock>,
    started: Duration,
    kind: StatementKind,
    path: Path,
    outcome: Outcome,
}

impl Measured {
    pub(crate) fn begin(clock: &Arc<dyn Clock>, statement: &Statement, is_short: bool) -> Measured {
        metrics().statements_active.add(1);
        Measured {
            started: clock.monotonic(),
            clock: clock.clone(),
            kind: kind_of(statement),
            path: if is_short {
                Path::Fast
            } else {
                Path::Vectorized
            },
            outcome: Outcome::Ok,
        }
    }

    /// The statement failed.
    pub(crate) fn failed(&mut self, report: &Report) {
        self.outcome = Outcome::Error;
        let reason = match report.code {
            codes::ADMIN_SHUTDOWN => CancelReason::Shutdown,
            codes::QUERY_CANCELED if report.message.ends_with("timeout") => CancelReason::Timeout,
            codes::QUERY_CANCELED => CancelReason::Client,
            _ => return,
        };
        metrics().statements_cancelled.with(reason).increment();
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let metrics = metrics();
        metrics.statements_active.add(-1);
        metrics
            .statements
            .with((self.kind, self.path, self.outcome))
            .increment();
        let took = self.clock.monotonic().saturating_sub(self.started);
        metrics
            .statement_duration
            .with((self.kind, self.path))
            .record(took);
    }
}

fn kind_of(statement: &Statement) -> StatementKind {
    match statement {
        Statement::Query(_) => StatementKind::Select,
        Statement::Write(_) => match statement.verb() {
            "INSERT" => StatementKind::Insert,
            "UPDATE" => StatementKind::Update,
            "DELETE" => StatementKind::Delete,
            _ => StatementKind::Other,
        },
        Statement::Copy(_) => StatementKind::Copy,
        Statement::Ddl(_) | Statement::Model(_) | Statement::CreateTableAs(_) => StatementKind::Ddl,
        Statement::Transaction(_) => StatementKind::Transaction,
        Statement::Setting(_) => StatementKind::Setting,
        _ => StatementKind::Other,
    }
}

/// A transaction ended.
pub(crate) fn transaction_ended(
    outcome: TxnOutcome,
    isolation: tessera_transactions::Isolation,
    took_micros: i64,
) {
    let isolation = match isolation {
        tessera_transactions::Isolation::ReadCommitted => Isolation::ReadCommitted,
        tessera_transactions::Isolation::RepeatableRead => Isolation::RepeatableRead,
        tessera_transactions::Isolation::Serializable => Isolation::Serializable,
    };
    metrics().txn_total.with((outcome, isolation)).increment();
    let took = Duration::from_micros(u64::try_from(took_micros).unwrap_or(0));
    metrics().txn_duration.with(outcome).record(took);
}
