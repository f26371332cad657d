//! The short path's half of planning: statements that run on the store without DataFusion.
//!
//! # Map
//! - `scalar`: typed expressions over one row.
//! - `bind`: SQL expressions to scalars; `literal`, `call`, `coercion`: its parts.
//! - `access`: WHERE and ORDER BY to a point or a short range.
//! - `select`: SELECT on one table.
//!
//! # Invariants
//! 1. A plan here answers exactly as the general plan of the same statement.
//! 2. Planning allocates no more than the plan: it runs for every simple statement.
//!
//! # Not here
//! INSERT, UPDATE, DELETE (`dml`, which binds with the same tools), execution (`executor`).

pub mod access;
pub mod bind;
mod call;
mod coercion;
mod literal;
pub mod scalar;
mod select;
#[cfg(test)]
mod tests;

pub use select::{RowLocking, ShortSelect, bind_item, column_info, plain_table, plan_select};
