//! Template patterns: `to_char`, `to_date`, `to_timestamp`, `to_number`.
//!
//! After src/backend/utils/adt/formatting.c. `dates` formats and reads dates, `numbers` formats
//! numbers and `number_in` reads them.

mod dates;
mod number_in;
mod numbers;

use tessera_planner::functions::FunctionRegistry;

/// Adds them.
pub(super) fn register(r: &mut FunctionRegistry) {
    dates::register(r);
    numbers::register(r);
}
