//! To come.

use tessera_planner::functions::FunctionRegistry;

/// Adds them.
pub(super) fn register(_: &mut FunctionRegistry) {}
