//! Apply: a subquery that no join can replace, executed for what the rows outside give it.
//!
//! # Map
//! - `node`: [`Apply`], the logical node.
//! - `substitute`: values into the expressions of a plan.
//! - `planner`: the node to its operator.
//! - `exec`: the operator: arguments, memo, output.
//! - `subplan`: one execution of the subquery for one tuple of values.
//! - `memo`: answers already known, within a limit of bytes.
//! - `compare`: `x op ANY (rows)` and `x op ALL (rows)`.
//!
//! # Invariants
//! 1. The subquery is optimized once; what differs from tuple to tuple are literals in the
//!    place of parameters, so scans choose their access path for each tuple.
//! 2. A tuple of values is executed once, unless the subquery holds a volatile function or the
//!    memo is full.
//! 3. Rows for which the guard does not hold execute nothing.

mod compare;
mod exec;
mod memo;
mod node;
mod planner;
mod subplan;
mod substitute;

pub(crate) use exec::ApplyExec;
pub(crate) use node::{Apply, Mode, Parameter, truth_column};
pub(crate) use planner::Planner;
pub(crate) use subplan::more_than_one_row;
pub(crate) use substitute::map_expressions_deep;
