//! COPY FROM STDIN and TO STDOUT.
//!
//! # Map
//! - `options`: the WITH list, old and new spelling, to a format of `codec::copy`.
//! - `from`: rows in; `to`: rows out.
//!
//! # Invariants
//! 1. Memory does not depend on the number of rows: input is decoded as it comes, own writes
//!    spill to the store's runs, output is made as it is taken.
//! 2. A COPY FROM that does not reach its end leaves nothing: it is a statement of its own, ended
//!    by `finish`.
//!
//! # Not here
//! Files and programs of the server (refused), the formats (`codec::copy`).

mod from;
mod options;
mod to;

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use tessera_planner::Parsed;
use tessera_types::{Report, codes};

use crate::context::{SessionContext, StatementContext};
use crate::executor::Executor;
use crate::outcome::Outcome;

pub use from::CopyIn;
pub use to::CopyOut;

use from::CopyFrom;
use to::CopyTo;

/// A COPY with its names resolved.
pub(crate) enum PreparedCopy {
    From(Arc<CopyFrom>),
    To(Box<CopyTo>),
}

/// Resolves names and options.
pub(crate) fn prepare(
    executor: &Executor,
    _parsed: &Arc<Parsed>,
    copy: &ast::Statement,
    session: &Arc<SessionContext>,
) -> Result<PreparedCopy, Report> {
    let ast::Statement::Copy {
        source,
        to,
        target,
        options,
        legacy_options,
        values,
    } = copy
    else {
        return Err(Report::internal("not a COPY"));
    };
    if !values.is_empty() {
        return Err(Report::error(
            codes::SYNTAX_ERROR,
            "COPY data must not follow in the statement",
        ));
    }
    match target {
        ast::CopyTarget::Stdin | ast::CopyTarget::Stdout => {}
        ast::CopyTarget::File { .. } => {
            return Err(Report::error(
                codes::INSUFFICIENT_PRIVILEGE,
                "COPY to or from a file of the server is not allowed",
            )
            .with_hint("Use COPY with STDIN or STDOUT, such as psql's \\copy does."));
        }
        ast::CopyTarget::Program { .. } => {
            return Err(Report::error(
                codes::INSUFFICIENT_PRIVILEGE,
                "COPY to or from a program is not allowed",
            )
            .with_hint("Use COPY with STDIN or STDOUT, such as psql's \\copy does."));
        }
    }
    let options = options::read(options, legacy_options)?;
    if *to {
        let plan = CopyTo::plan(executor, session, source, options)?;
        return Ok(PreparedCopy::To(Box::new(plan)));
    }
    let plan = CopyFrom::plan(executor, session, source, options)?;
    Ok(PreparedCopy::From(Arc::new(plan)))
}

/// Starts it.
pub(crate) async fn execute(
    executor: &Executor,
    copy: &PreparedCopy,
    context: &StatementContext,
) -> Result<Outcome, Report> {
    match copy {
        PreparedCopy::From(plan) => {
            let copy = CopyIn::start(executor, plan, context).await?;
            Ok(Outcome::CopyIn(copy))
        }
        PreparedCopy::To(plan) => Ok(Outcome::CopyOut(
            CopyOut::start(executor, plan, context).await?,
        )),
    }
}
