//! Point and short-range statements on the store directly, without DataFusion.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use tessera_planner::ColumnInfo;
use tessera_types::{Report, SqlType};

use crate::context::{SessionContext, StatementContext};
use crate::executor::Executor;
use crate::explain::PlanNode;
use crate::outcome::Outcome;

/// A statement that takes the short path.
pub(crate) struct ShortPlan;

/// A short plan for the query, if it has the right form. Errors are for what is certainly wrong;
/// in doubt give `None`, and the general path reports it.
#[expect(clippy::type_complexity, reason = "a pair of two named things")]
pub(crate) fn plan_query(
    _executor: &Executor,
    _query: &ast::Query,
    _session: &Arc<SessionContext>,
    _params: &mut Vec<Option<SqlType>>,
) -> Result<Option<(ShortPlan, Arc<[ColumnInfo]>)>, Report> {
    Ok(None)
}

/// A short plan for a write, if it has the right form.
#[expect(clippy::type_complexity, reason = "a pair of two named things")]
pub(crate) fn plan_write(
    _executor: &Executor,
    _write: &ast::Statement,
    _session: &Arc<SessionContext>,
    _params: &mut Vec<Option<SqlType>>,
) -> Result<Option<(ShortPlan, Option<Arc<[ColumnInfo]>>)>, Report> {
    Ok(None)
}

/// Runs it.
pub(crate) async fn execute(
    _executor: &Executor,
    _plan: &ShortPlan,
    _context: &StatementContext,
) -> Result<Outcome, Report> {
    Err(Report::internal("no short plan was made"))
}

/// The plan for EXPLAIN.
pub(crate) fn explain(_plan: &ShortPlan) -> PlanNode {
    PlanNode::new("Short Path")
}
