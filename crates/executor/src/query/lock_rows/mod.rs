//! Row locks of a query: FOR UPDATE and its kin, wherever in a statement they stand.
//!
//! # Map
//! - `node`: [`LockRows`], the logical node. It stands above the sort of its SELECT and below
//!   LIMIT, as in PostgreSQL: a row that LIMIT does not want is not locked.
//! - `exec`: the operator: locks row after row, and looks again at those that have changed.
//!
//! # Invariants
//! 1. No row leaves the operator that is not locked.
//! 2. A row that was changed since the statement's snapshot is given in its newest version, if
//!    that still belongs to the result (READ COMMITTED), or ends the statement with 40001.
//! 3. All rows are locked before the statement ends: a query with this node is run to its end.
//!
//! # Not here
//! Which relations a clause means (the binder), waiting (`locks`).

mod exec;
mod node;

pub(crate) use exec::LockRowsExec;
pub(crate) use node::LockRows;
