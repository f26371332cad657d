//! DDL: from the parser's tree to statements that say what shall change.
//!
//! # Map
//! - `statement`: the typed statements.
//! - `table`: CREATE TABLE and ALTER TABLE; `object`: everything else.
//! - `data_type`: type names.
//!
//! # Invariants
//! 1. An option that changes the meaning and is not built is refused with 0A000; options that only
//!    advise on storage (`fillfactor`) are checked and dropped.
//! 2. Names are folded here and not again.
//!
//! # Not here
//! Looking names up and changing the catalog (`executor::ddl`).

pub mod data_type;
mod object;
mod statement;
mod table;

pub use object::{plan_ddl, relation_name};
pub use statement::{
    AlterAction, CommentOn, CreateIndex, CreateSequence, CreateTable, CreateTableAs,
    CreateTableLike, CreateView, DdlStatement, DropKind, IndexKey, RelationName,
};
