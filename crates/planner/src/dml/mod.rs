//! INSERT, UPDATE, DELETE: from the parser's tree to targets, assignments and sources.
//!
//! # Map
//! - `target`: finds the table that is written, and its columns by name.
//! - `statement`: the statements, names of the target resolved.
//!
//! # Invariants
//! 1. Expressions stay as the parser gave them: who executes decides how they are evaluated.
//! 2. Nothing of a clause is dropped silently: what is not understood is refused with 0A000.
//!
//! # Not here
//! Expressions (`short_path::bind`, `bind`), execution (`executor::dml`).

mod statement;
mod target;

pub use statement::{
    Assignment, ConflictAction, ConflictArbiter, ConflictClause, DeleteStatement, InsertSource,
    InsertStatement, Overriding, SetValue, UpdateStatement, column_positions, plan_delete,
    plan_insert, plan_update,
};
pub use target::{Names, is_default};
