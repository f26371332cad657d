//! What a caller asks the DDL verbs for: names as the user wrote them, defaults not filled in.
//!
//! # Not here
//! Parsing of SQL text (`planner`), checks (`create`, `alter`), stored forms (`definition`).

use tessera_types::{RelationId, SqlType, Value};

use crate::definition::ViewColumn;

/// CREATE TABLE.
#[derive(Debug, Clone, Default)]
pub struct TableSpec {
    /// Schema; must exist.
    pub schema: String,
    /// Name of the table.
    pub name: String,
    /// Columns in order.
    pub columns: Vec<ColumnSpec>,
    /// Constraints of columns and of the table.
    pub constraints: Vec<ConstraintSpec>,
    /// Oid of the owning user.
    pub owner: u32,
}

/// One column of CREATE TABLE or ALTER TABLE … ADD COLUMN.
#[derive(Debug, Clone)]
pub struct ColumnSpec {
    /// Name.
    pub name: String,
    /// Type.
    pub sql_type: SqlType,
    /// NOT NULL was written (a primary key adds it by itself).
    pub not_null: bool,
    /// DEFAULT expression as SQL text.
    pub default: Option<String>,
    /// Where the values come from when it is not a plain column.
    pub source: ColumnSource,
    /// For ADD COLUMN: value of the column in the rows that exist (the evaluated default).
    pub missing: Option<Value>,
}

/// Where a column's values come from.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum ColumnSource {
    /// The statement, or the default.
    #[default]
    Plain,
    /// `serial`, `bigserial`, `smallserial`: an owned sequence and a default of `nextval`.
    Serial,
    /// `GENERATED { ALWAYS | BY DEFAULT } AS IDENTITY`.
    Identity {
        /// ALWAYS instead of BY DEFAULT.
        always: bool,
        /// Sequence options in parentheses.
        options: SequenceChange,
    },
    /// `GENERATED ALWAYS AS (…) STORED`: the expression as SQL text.
    Generated(String),
}

impl ColumnSpec {
    /// A nullable column without default.
    pub fn new(name: impl Into<String>, sql_type: SqlType) -> Self {
        ColumnSpec {
            name: name.into(),
            sql_type,
            not_null: false,
            default: None,
            source: ColumnSource::Plain,
            missing: None,
        }
    }

    /// The same column with NOT NULL.
    #[must_use]
    pub fn not_null(mut self) -> Self {
        self.not_null = true;
        self
    }
}

/// A constraint of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum ConstraintSpec {
    /// PRIMARY KEY.
    PrimaryKey {
        /// Name, or `None` to have one made.
        name: Option<String>,
        /// Key columns.
        columns: Vec<String>,
    },
    /// UNIQUE.
    Unique {
        /// Name, or `None` to have one made.
        name: Option<String>,
        /// Key columns.
        columns: Vec<String>,
        /// NULLs count as equal.
        nulls_not_distinct: bool,
    },
    /// CHECK.
    Check {
        /// Name, or `None` to have one made.
        name: Option<String>,
        /// The condition as SQL text.
        sql: String,
        /// Columns in it; with exactly one, the made name contains it.
        columns: Vec<String>,
    },
}

/// CREATE INDEX.
#[derive(Debug, Clone)]
pub struct IndexSpec {
    /// The table.
    pub table: RelationId,
    /// Name, or `None` to have one made.
    pub name: Option<String>,
    /// Key columns.
    pub columns: Vec<IndexColumnSpec>,
    /// UNIQUE.
    pub unique: bool,
    /// NULLs count as equal.
    pub nulls_not_distinct: bool,
}

/// One key column of CREATE INDEX.
#[derive(Debug, Clone)]
pub struct IndexColumnSpec {
    /// Name of the column.
    pub column: String,
    /// DESC.
    pub descending: bool,
    /// NULLS FIRST or LAST, or `None` for the default of the direction.
    pub nulls_first: Option<bool>,
}

/// CREATE VIEW.
#[derive(Debug, Clone)]
pub struct ViewSpec {
    /// Schema; must exist.
    pub schema: String,
    /// Name.
    pub name: String,
    /// The query, relations qualified.
    pub sql: String,
    /// Names and types of the columns.
    pub columns: Vec<ViewColumn>,
    /// Relations that the query reads.
    pub depends_on: Vec<RelationId>,
    /// Columns that the query reads; may be left empty for a relation that is read whole.
    pub depends_on_columns: Vec<(RelationId, u16)>,
    /// Oid of the owning user.
    pub owner: u32,
    /// OR REPLACE.
    pub replace: bool,
}

/// CREATE SEQUENCE.
#[derive(Debug, Clone)]
pub struct SequenceSpec {
    /// Schema; must exist.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Options that were written.
    pub options: SequenceChange,
    /// OWNED BY table and column name.
    pub owned_by: Option<(RelationId, String)>,
    /// Oid of the owning user.
    pub owner: u32,
}

/// Sequence options that were written; the others keep their value or get their default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SequenceChange {
    /// AS type.
    pub sql_type: Option<SqlType>,
    /// START WITH.
    pub start: Option<i64>,
    /// INCREMENT BY.
    pub increment: Option<i64>,
    /// MINVALUE (`Some(None)`: NO MINVALUE).
    pub min: Option<Option<i64>>,
    /// MAXVALUE (`Some(None)`: NO MAXVALUE).
    pub max: Option<Option<i64>>,
    /// CACHE.
    pub cache: Option<i64>,
    /// CYCLE or NO CYCLE.
    pub cycle: Option<bool>,
    /// RESTART (`Some(None)`: at the start value).
    pub restart: Option<Option<i64>>,
}

/// One action of ALTER TABLE. Several may be given; all or none take effect.
#[derive(Debug, Clone)]
pub enum AlterTable {
    /// ADD COLUMN.
    AddColumn {
        /// The column.
        column: Box<ColumnSpec>,
        /// Its inline constraints.
        constraints: Vec<ConstraintSpec>,
        /// Do nothing when it exists.
        if_not_exists: bool,
    },
    /// DROP COLUMN.
    DropColumn {
        /// Name of the column.
        name: String,
        /// Do nothing when it does not exist.
        if_exists: bool,
        /// Drop what depends on it, too.
        cascade: bool,
    },
    /// RENAME COLUMN.
    RenameColumn {
        /// Present name.
        from: String,
        /// New name.
        to: String,
    },
    /// RENAME TO.
    Rename {
        /// New name.
        to: String,
    },
    /// SET SCHEMA.
    SetSchema {
        /// The new schema.
        schema: String,
    },
    /// ALTER COLUMN … SET DEFAULT or DROP DEFAULT.
    SetDefault {
        /// Name of the column.
        column: String,
        /// SQL text, or `None` to drop.
        default: Option<String>,
    },
    /// ALTER COLUMN … SET NOT NULL or DROP NOT NULL. The caller has checked the rows.
    SetNotNull {
        /// Name of the column.
        column: String,
        /// SET instead of DROP.
        not_null: bool,
    },
    /// ALTER COLUMN … TYPE. The caller rewrites the rows in the same transaction.
    SetType {
        /// Name of the column.
        column: String,
        /// The new type.
        sql_type: SqlType,
    },
    /// ADD CONSTRAINT. The caller has checked the rows, and fills a new index.
    AddConstraint(ConstraintSpec),
    /// DROP CONSTRAINT.
    DropConstraint {
        /// Name of the constraint.
        name: String,
        /// Do nothing when it does not exist.
        if_exists: bool,
        /// Drop what depends on it, too.
        cascade: bool,
    },
    /// RENAME CONSTRAINT.
    RenameConstraint {
        /// Present name.
        from: String,
        /// New name.
        to: String,
    },
    /// ALTER COLUMN … ADD GENERATED … AS IDENTITY.
    AddIdentity {
        /// Name of the column.
        column: String,
        /// ALWAYS instead of BY DEFAULT.
        always: bool,
        /// Sequence options.
        options: SequenceChange,
    },
    /// ALTER COLUMN … DROP IDENTITY.
    DropIdentity {
        /// Name of the column.
        column: String,
        /// Do nothing when it is no identity column.
        if_exists: bool,
    },
    /// OWNER TO: oid of the new owner.
    SetOwner(u32),
}

/// What a COMMENT ON statement is about.
#[derive(Debug, Clone, PartialEq)]
pub enum CommentTarget {
    /// A schema, by name.
    Schema(String),
    /// A table, view, sequence or index.
    Relation(RelationId),
    /// A column of a table or view.
    Column(RelationId, String),
    /// A user or role, by name.
    User(String),
}

/// CREATE USER or ALTER USER; `None` leaves a property as it is (or at its default).
#[derive(Debug, Clone, Default)]
pub struct UserSpec {
    /// Name.
    pub name: String,
    /// SCRAM verifier; `Some(None)` removes the password.
    pub verifier: Option<Option<String>>,
    /// SUPERUSER.
    pub admin: Option<bool>,
    /// LOGIN.
    pub login: Option<bool>,
    /// RENAME TO.
    pub rename: Option<String>,
}

/// RESTRICT or CASCADE, and IF EXISTS is the caller's business (it looks the object up).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DropBehavior {
    /// Refuse when something depends on the object.
    #[default]
    Restrict,
    /// Drop what depends on it, too.
    Cascade,
}
