//! SQL text to a typed logical plan: parse, bind names and types as PostgreSQL does, estimate.
//!
//! # Map
//! - `parse`: text to statements, with PostgreSQL's error texts and positions.
//! - `statement`: the kinds of statements, by who executes them.
//! - `arrow_types`: which Arrow type carries which SQL type, in both directions.
//! - `functions`: the registry of functions and operators and how an overload is chosen.
//! - `scalar`: SQL values in and out of DataFusion's scalars.
//! - `decimals`: decimals in Arrow, and how an unconstrained `numeric` keeps its display scale.
//! - `by_value`: makes comparisons of such numbers ignore the display scale.
//! - `ddl`, `short_path`: typed definition statements, and the plans of point statements.
//! - `bind`: names, types and clauses of a query to a DataFusion logical plan.
//! - `join_order`: orders inner joins by estimated sizes, which DataFusion does not.
//! - `relations`: the names of relations in a statement.
//! - `errors`: DataFusion's errors as reports with an SQLSTATE.
//!
//! # Invariants
//! 1. Every expression in a bound plan has exactly the types its operator or function wants:
//!    DataFusion's own coercion finds nothing to do, so its rules never decide a result.
//! 2. Nothing here reads rows, waits, or knows a session; a bound plan may be cached for as long
//!    as the catalog version it was bound under.
//! 3. No input makes the parser or the binder overflow the stack.
//!
//! # Not here
//! Kernels of functions and operators, scans, physical plans (all `executor`).

pub mod arrow_types;
pub mod bind;
pub mod by_value;
pub mod ddl;
pub mod decimals;
pub mod dml;
pub mod errors;
pub mod functions;
pub mod join_order;
pub mod parse;
mod relations;
pub mod scalar;
pub mod short_path;
pub mod statement;

pub use parse::{
    LockStrength, LockWait, RowLockClause, mask_literals, parse, parse_expression, parse_type_name,
    row_lock,
};
pub use relations::{RelationName, relation_names};
pub use statement::{ColumnInfo, Parsed, Statement};
