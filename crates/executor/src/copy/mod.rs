//! COPY FROM and TO.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use tessera_planner::Parsed;
use tessera_types::Report;

use crate::context::{SessionContext, StatementContext};
use crate::executor::Executor;
use crate::outcome::Outcome;

/// A running COPY FROM.
pub struct CopyIn;

/// A running COPY TO.
pub struct CopyOut;

/// A COPY with its names resolved.
pub(crate) struct PreparedCopy;

/// Resolves names and options.
pub(crate) fn prepare(
    _executor: &Executor,
    _parsed: &Arc<Parsed>,
    _copy: &ast::Statement,
    _session: &Arc<SessionContext>,
) -> Result<PreparedCopy, Report> {
    Err(Report::unsupported("COPY is not supported"))
}

/// Starts it.
pub(crate) async fn execute(
    _executor: &Executor,
    _copy: &PreparedCopy,
    _context: &StatementContext,
) -> Result<Outcome, Report> {
    Err(Report::unsupported("COPY is not supported"))
}
