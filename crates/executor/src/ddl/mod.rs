//! CREATE, ALTER, DROP, COMMENT, CREATE TABLE AS, ANALYZE and other upkeep.

use std::sync::Arc;

use tessera_planner::Parsed;
use tessera_types::{Report, SqlType};

use crate::context::{SessionContext, StatementContext};
use crate::executor::Executor;
use crate::outcome::Outcome;

/// A checked definition statement.
pub(crate) struct PreparedDdl;

/// Checks the statement as far as it can be before it runs.
pub(crate) fn prepare(
    _executor: &Executor,
    _parsed: &Arc<Parsed>,
    _session: &Arc<SessionContext>,
    _params: &mut Vec<Option<SqlType>>,
) -> Result<PreparedDdl, Report> {
    Err(Report::unsupported("this definition is not supported"))
}

/// Runs it.
pub(crate) async fn execute(
    _executor: &Executor,
    _ddl: &PreparedDdl,
    _context: &StatementContext,
) -> Result<Outcome, Report> {
    Err(Report::unsupported("this definition is not supported"))
}
