//! Point and short-range statements on the store directly, without DataFusion.
//!
//! # Map
//! - `select`: SELECT by key or short range, with FOR UPDATE and FOR SHARE.
//! - `eval`: scalars on rows; `pattern`: LIKE.
//!
//! # Invariants
//! 1. `SET tessera.short_path = off` changes no answer.
//! 2. A point read takes no lock, no task switch, and allocates only its result.
//!
//! # Not here
//! What qualifies (`planner::short_path`), writes (`dml`, which are short when every expression
//! of theirs is a scalar and their rows are found by key or range).

pub(crate) mod eval;
mod pattern;
mod select;

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use tessera_planner::ColumnInfo;
use tessera_planner::dml::Names;
use tessera_planner::short_path::access::Access;
use tessera_planner::short_path::bind::{ParamTypes, Unbound};
use tessera_planner::short_path::plan_select;
use tessera_types::{Report, SqlType};

use crate::context::{SessionContext, StatementContext};
use crate::dml::expr::Compiler;
use crate::dml::{self, PreparedWrite, ReturnedColumns};
use crate::executor::Executor;
use crate::explain::PlanNode;
use crate::outcome::Outcome;

use select::Select;

/// A statement that takes the short path.
pub(crate) enum ShortPlan {
    Select(Arc<Select>),
    Write(Box<PreparedWrite>),
}

/// A short plan for the query, if it has the right form. Errors are for what is certainly wrong;
/// in doubt give `None`, and the general path reports it.
pub(crate) fn plan_query(
    executor: &Executor,
    query: &ast::Query,
    session: &Arc<SessionContext>,
    params: &mut Vec<Option<SqlType>>,
) -> Result<Option<(ShortPlan, Arc<[ColumnInfo]>)>, Report> {
    if !session.short_path {
        return Ok(None);
    }
    let names = Names {
        catalog: &session.catalog,
        search_path: &session.search_path,
    };
    let lookup = |name: &ast::ObjectName| names.table_if_any(name);
    let mut types = ParamTypes::new(params);
    let plan = match plan_select(query, &lookup, &mut types) {
        Ok(plan) => plan,
        Err(Unbound::Unsupported) => return Ok(None),
        Err(Unbound::Error(report)) => return Err(*report),
    };
    if types.finish().is_none() {
        return Ok(None);
    }
    *params = types.into_inner();
    let select = Select::new(executor, plan);
    let columns = select.columns().clone();
    Ok(Some((ShortPlan::Select(Arc::new(select)), columns)))
}

/// A short plan for a write, if it has the right form.
pub(crate) fn plan_write(
    executor: &Executor,
    write: &ast::Statement,
    session: &Arc<SessionContext>,
    params: &mut Vec<Option<SqlType>>,
) -> Result<Option<(ShortPlan, ReturnedColumns)>, Report> {
    if !session.short_path {
        return Ok(None);
    }
    let mut types = params.clone();
    let mut compiler = Compiler {
        executor,
        session,
        params: &mut types,
        scalars_only: true,
        with: None,
    };
    // The general path reports errors, so that both word them alike.
    let Ok(Some(plan)) = dml::plan(&mut compiler, write) else {
        return Ok(None);
    };
    let is_short = match &plan {
        PreparedWrite::Insert(_) => true,
        PreparedWrite::Change(change) => !matches!(change.access(), None | Some(Access::Full)),
        PreparedWrite::Model(_) | PreparedWrite::Truncate(_) | PreparedWrite::With(_) => false,
    };
    if !is_short || types.iter().any(Option::is_none) {
        return Ok(None);
    }
    *params = types;
    let columns = plan.columns();
    Ok(Some((ShortPlan::Write(Box::new(plan)), columns)))
}

/// Runs it.
pub(crate) async fn execute(
    executor: &Executor,
    plan: &ShortPlan,
    context: &StatementContext,
) -> Result<Outcome, Report> {
    match plan {
        ShortPlan::Select(select) => select::execute(executor, select, context).await,
        ShortPlan::Write(write) => dml::execute(executor, write, context).await,
    }
}

/// The plan for EXPLAIN.
pub(crate) fn explain(plan: &ShortPlan) -> PlanNode {
    match plan {
        ShortPlan::Select(select) => PlanNode::new(&format!("Short Path: {}", select.describe())),
        ShortPlan::Write(write) => {
            let path = match &**write {
                PreparedWrite::Change(change) => change
                    .access()
                    .map(|access| describe_access(change.table.def(), access)),
                _ => None,
            };
            let text = match path {
                Some(path) => format!("Short Path: {}, {path}", write.describe()),
                None => format!("Short Path: {}", write.describe()),
            };
            PlanNode::new(&text)
        }
    }
}

/// `Point Get on t using t_pkey`.
pub(crate) fn describe_access(table: &tessera_catalog::TableDef, access: &Access) -> String {
    let index = |id| table.index(id).map_or("", |index| index.name.as_str());
    match access {
        Access::Point { index: id, .. } => {
            format!("Point Get on {} using {}", table.name, index(*id))
        }
        Access::Range {
            index: id, reverse, ..
        } => {
            let direction = if *reverse { " backward" } else { "" };
            format!(
                "Range Scan{direction} on {} using {}",
                table.name,
                index(*id)
            )
        }
        Access::Full => format!("Scan on {}", table.name),
    }
}
