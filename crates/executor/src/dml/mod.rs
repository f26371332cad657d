//! INSERT, UPDATE, DELETE, MERGE, TRUNCATE.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use tessera_planner::{ColumnInfo, Parsed};
use tessera_types::{Report, SqlType};

use crate::context::{SessionContext, StatementContext};
use crate::executor::Executor;
use crate::outcome::Outcome;

/// A write with its names and types resolved.
pub(crate) struct PreparedWrite;

/// Resolves names and types; fills in `params`. The columns are those of RETURNING.
#[expect(clippy::type_complexity, reason = "a pair of two named things")]
pub(crate) fn prepare(
    _executor: &Executor,
    _parsed: &Arc<Parsed>,
    _write: &ast::Statement,
    _session: &Arc<SessionContext>,
    _params: &mut Vec<Option<SqlType>>,
) -> Result<(PreparedWrite, Option<Arc<[ColumnInfo]>>), Report> {
    Err(Report::unsupported("writing is not supported"))
}

/// Runs it.
pub(crate) async fn execute(
    _executor: &Executor,
    _write: &PreparedWrite,
    _context: &StatementContext,
) -> Result<Outcome, Report> {
    Err(Report::unsupported("writing is not supported"))
}
