//! One client's statements and transactions.

use tessera_types::{FormatContext, Report, Value};

use crate::result::ResultSet;

/// Where a session is between two messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// No transaction block.
    Idle,
    /// Inside a block.
    InTransaction,
    /// Inside a block whose statement failed.
    Failed,
}

/// One row of `pg_stat_activity`.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// Number of the session, `pid` in PostgreSQL's views.
    pub process_id: i32,
    /// User name.
    pub user: String,
    /// `application_name`.
    pub application_name: String,
    /// Address of the client.
    pub peer: Option<std::net::SocketAddr>,
    /// Which door.
    pub protocol: &'static str,
    /// When the session began, microseconds since 1970.
    pub started_at: i64,
    /// When the transaction began.
    pub transaction_started_at: Option<i64>,
    /// When the running or last statement began.
    pub statement_started_at: Option<i64>,
    /// When `state` changed.
    pub state_changed_at: i64,
    /// `active`, `idle`, `idle in transaction`, `idle in transaction (aborted)`.
    pub state: &'static str,
    /// Text of the running or last statement.
    pub query: String,
}

/// Cancels what a session is running; may be kept and used by other tasks.
#[derive(Clone, Debug)]
pub struct CancelHandle {}

impl CancelHandle {
    /// Asks the running statement to stop with 57014. Does nothing when none is running.
    pub fn cancel(&self) {
        todo!()
    }
}

/// One client's connection to the engine.
pub struct Session {
    _private: (),
}

impl Session {
    /// Runs a text of one or more statements as one simple-query message: one implicit
    /// transaction unless the text says otherwise. Answers with one result per statement.
    pub async fn run(&mut self, _sql: &str) -> Result<Vec<ResultSet>, Report> {
        todo!()
    }

    /// Runs one statement with parameters, in a transaction of its own unless one is open.
    pub async fn query(&mut self, _sql: &str, _params: &[Value]) -> Result<ResultSet, Report> {
        todo!()
    }

    /// Where the session is.
    pub fn status(&self) -> TransactionStatus {
        todo!()
    }

    /// For cancelling from another task.
    pub fn cancel_handle(&self) -> CancelHandle {
        todo!()
    }

    /// Notices and warnings since the last call.
    pub fn take_notices(&mut self) -> Vec<Report> {
        todo!()
    }

    /// How values turn into text under the session's settings.
    pub fn format(&self) -> FormatContext {
        todo!()
    }

    /// Ends the session: rolls back what is open. Dropping it does the same.
    pub async fn close(self) {}
}
