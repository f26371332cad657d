//! The catalog over a store in memory.

mod ddl;
mod names;
mod sequences;
mod world;
