//! The typed DDL statements.

use sqlparser::ast::{Expr, Query};
use tessera_catalog::{AlterTable, ColumnSpec, ConstraintSpec, IndexColumnSpec, SequenceChange};
use tessera_types::{Report, SqlType};

/// A relation as it was written: folded, perhaps with its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationName {
    /// Schema, when it was written.
    pub schema: Option<String>,
    /// Name.
    pub name: String,
}

impl std::fmt::Display for RelationName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// A statement that changes the schema, or that only maintains it.
#[derive(Debug, Clone)]
pub enum DdlStatement {
    /// CREATE TABLE.
    CreateTable(Box<CreateTable>),
    /// CREATE TABLE … AS.
    CreateTableAs(Box<CreateTableAs>),
    /// ALTER TABLE.
    AlterTable {
        /// The table.
        table: RelationName,
        /// Only a notice when it does not exist.
        if_exists: bool,
        /// Actions in order.
        actions: Vec<AlterAction>,
    },
    /// CREATE INDEX.
    CreateIndex(CreateIndex),
    /// ALTER INDEX … RENAME TO.
    RenameIndex {
        /// The index.
        index: RelationName,
        /// New name.
        to: String,
    },
    /// CREATE VIEW.
    CreateView(Box<CreateView>),
    /// CREATE SCHEMA.
    CreateSchema {
        /// Name.
        name: String,
        /// Only a notice when it exists.
        if_not_exists: bool,
    },
    /// ALTER SCHEMA … RENAME TO.
    RenameSchema {
        /// Present name.
        from: String,
        /// New name.
        to: String,
    },
    /// CREATE SEQUENCE.
    CreateSequence(CreateSequence),
    /// DROP of any kind of object.
    Drop {
        /// What is dropped.
        kind: DropKind,
        /// Only a notice for what does not exist.
        if_exists: bool,
        /// The objects; a schema has no schema part.
        names: Vec<RelationName>,
        /// Drop what depends on them, too.
        cascade: bool,
    },
    /// TRUNCATE.
    Truncate {
        /// The tables.
        tables: Vec<RelationName>,
        /// RESTART IDENTITY.
        restart_identity: bool,
    },
    /// COMMENT ON.
    Comment {
        /// What it is about.
        on: CommentOn,
        /// The text, or `None` to remove it.
        text: Option<String>,
    },
    /// VACUUM, ANALYZE, and what else only maintains: checked for existence, then done.
    Maintenance {
        /// Command tag.
        verb: &'static str,
        /// Tables named.
        tables: Vec<RelationName>,
    },
}

/// Object of COMMENT ON, names not yet looked up.
#[derive(Debug, Clone)]
pub enum CommentOn {
    /// Schema by name.
    Schema(String),
    /// Table, view, sequence or index.
    Relation(RelationName),
    /// Column of a table or view.
    Column(RelationName, String),
    /// User or role.
    User(String),
}

/// What DROP drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropKind {
    /// DROP TABLE.
    Table,
    /// DROP INDEX.
    Index,
    /// DROP VIEW.
    View,
    /// DROP SEQUENCE.
    Sequence,
    /// DROP SCHEMA.
    Schema,
}

impl DropKind {
    /// The word in messages and command tags.
    pub fn word(self) -> &'static str {
        match self {
            DropKind::Table => "table",
            DropKind::Index => "index",
            DropKind::View => "view",
            DropKind::Sequence => "sequence",
            DropKind::Schema => "schema",
        }
    }
}

/// CREATE TABLE.
#[derive(Debug, Clone)]
pub struct CreateTable {
    /// Name.
    pub name: RelationName,
    /// Only a notice when it exists.
    pub if_not_exists: bool,
    /// Columns in order.
    pub columns: Vec<ColumnSpec>,
    /// Constraints of columns and table.
    pub constraints: Vec<ConstraintSpec>,
    /// `LIKE` source, whose columns come first.
    pub like: Option<CreateTableLike>,
}

/// `CREATE TABLE t (LIKE source …)`.
#[derive(Debug, Clone)]
pub struct CreateTableLike {
    /// The table whose columns are taken.
    pub source: RelationName,
    /// INCLUDING DEFAULTS.
    pub defaults: bool,
}

/// CREATE TABLE … AS query.
#[derive(Debug, Clone)]
pub struct CreateTableAs {
    /// Name.
    pub name: RelationName,
    /// Only a notice when it exists.
    pub if_not_exists: bool,
    /// Names for the first columns, instead of the query's.
    pub columns: Vec<String>,
    /// The query.
    pub query: Box<Query>,
}

/// CREATE INDEX.
#[derive(Debug, Clone)]
pub struct CreateIndex {
    /// Name, or `None` to have one made.
    pub name: Option<String>,
    /// The table.
    pub table: RelationName,
    /// Only a notice when the name exists.
    pub if_not_exists: bool,
    /// What it is on, in order: columns of a table, paths of a collection's documents.
    pub keys: Vec<IndexKey>,
    /// WHERE.
    pub predicate: Option<Box<Expr>>,
    /// UNIQUE.
    pub unique: bool,
    /// NULLs count as equal.
    pub nulls_not_distinct: bool,
}

/// One key of an index.
#[derive(Debug, Clone)]
pub struct IndexKey {
    /// A column or an expression.
    pub expr: Expr,
    /// DESC.
    pub descending: bool,
    /// NULLS FIRST or LAST, when it was written.
    pub nulls_first: Option<bool>,
}

impl CreateIndex {
    /// The keys as columns of a table.
    ///
    /// # Errors
    /// 0A000 for expressions and for conditions.
    pub fn columns(&self) -> Result<Vec<IndexColumnSpec>, Report> {
        if self.predicate.is_some() {
            return Err(Report::unsupported("partial indexes are not supported"));
        }
        let columns = self.keys.iter().map(|key| match &key.expr {
            Expr::Identifier(ident) => Ok(IndexColumnSpec {
                column: crate::short_path::bind::folded(ident),
                descending: key.descending,
                nulls_first: key.nulls_first,
            }),
            _ => Err(Report::unsupported(
                "indexes on expressions are not supported",
            )),
        });
        columns.collect()
    }
}

/// CREATE VIEW.
#[derive(Debug, Clone)]
pub struct CreateView {
    /// Name.
    pub name: RelationName,
    /// OR REPLACE.
    pub replace: bool,
    /// Only a notice when it exists.
    pub if_not_exists: bool,
    /// Names for the first columns, instead of the query's.
    pub columns: Vec<String>,
    /// The query.
    pub query: Box<Query>,
}

/// CREATE SEQUENCE.
#[derive(Debug, Clone)]
pub struct CreateSequence {
    /// Name.
    pub name: RelationName,
    /// Only a notice when it exists.
    pub if_not_exists: bool,
    /// Options that were written.
    pub options: SequenceChange,
    /// OWNED BY table and column.
    pub owned_by: Option<(RelationName, String)>,
}

/// One action of ALTER TABLE.
#[derive(Debug, Clone)]
pub enum AlterAction {
    /// Done by the catalog, perhaps after a check or rewrite of the rows.
    Catalog(Box<AlterTable>),
    /// ALTER COLUMN … TYPE, with the rewrite of the rows.
    SetType {
        /// Name of the column.
        column: String,
        /// The new type.
        sql_type: SqlType,
        /// USING.
        using: Option<Box<Expr>>,
    },
    /// OWNER TO, by name.
    OwnerTo(String),
    /// Accepted and without effect here (storage parameters).
    Nothing,
}
