//! Queries over a database in memory, with PostgreSQL 15's answers.

mod copy;
mod definitions;
mod harness;
mod limits;
mod plans;
mod select;
mod tpch;
mod types;
mod writes;
