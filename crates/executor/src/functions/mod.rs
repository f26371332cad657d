//! PostgreSQL's scalar, aggregate, window and set-returning functions.
//!
//! Also the operators of json, arrays and bit strings (`->`, `->>`, `@>`, `&&`, …), registered
//! by their symbol; arithmetic, `||`, patterns, comparison and casts are in `operators`.
//!
//! # Map
//! - `kernel`: a function over one row of values as a kernel over arrays.
//! - `text`, `regex`, `math`, `datetime`, `template` (to_char and kin), `json`, `array`, `general`, `session`:
//!   one family each, as functions over values.
//! - `degrees`: trigonometry in degrees. `exact`: roots, powers and logarithms of decimals.
//! - `sets`: functions that give rows. `window`, `aggregate`: the rest.
//!
//! # Invariants
//! 1. Types are decided by the overload, never by a kernel.
//! 2. No argument makes a kernel panic, loop without end, or allocate more than [`TEXT_BYTES_MAX`].

mod aggregate;
mod array;
mod datetime;
mod degrees;
mod exact;
mod general;
mod json;
mod kernel;
mod math;
mod regex;
mod session;
mod sets;
mod template;
mod text;
mod window;

use tessera_planner::functions::FunctionRegistry;

/// Texts that a function makes may not be longer; PostgreSQL's limit is one gigabyte.
const TEXT_BYTES_MAX: usize = 256 << 20;

/// Adds all of them.
pub(crate) fn register(registry: &mut FunctionRegistry) {
    text::register(registry);
    regex::register(registry);
    math::register(registry);
    degrees::register(registry);
    datetime::register(registry);
    template::register(registry);
    json::register(registry);
    array::register(registry);
    general::register(registry);
    session::register(registry);
    sets::register(registry);
    aggregate::register(registry);
    window::register(registry);
}
