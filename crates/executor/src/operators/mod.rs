//! Operators and casts with PostgreSQL's results: overflow is an error, division by zero too.
//!
//! # Map
//! - `arithmetic`: + - * / % ^ and bits of numbers; `numeric`: decimals of any width.
//! - `datetime`: dates, times and intervals.
//! - `text`: `||`, LIKE with ESCAPE, SIMILAR TO, regular expressions.
//! - `array`: construction, subscripts, `op ANY (array)`.
//! - `cast`: casts that DataFusion does differently.
//! - `in_set`: membership in many constants; `sets`: set-returning functions as lists.
//! - `rows`: operators computed value by value.

mod arithmetic;
mod array;
pub(crate) mod cast;
mod datetime;
pub(crate) mod in_set;
mod numeric;
pub(crate) mod rows;
pub(crate) mod sets;
pub(crate) mod text;

use std::sync::Arc;

use tessera_planner::functions::FunctionRegistry;

/// Adds all of them.
pub(crate) fn register(registry: &mut FunctionRegistry) {
    arithmetic::register(registry);
    numeric::register(registry);
    datetime::register(registry);
    text::register(registry);
    array::register(registry);
    registry.set_cast_factory(Arc::new(cast::function));
}
