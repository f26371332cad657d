//! Why a row was not written or read.

use tessera_codec::CodecError;
use tessera_storage::StoreError;
use tessera_transactions::TransactionError;
use tessera_types::{Report, Retry, SqlState, codes};

/// Result of this crate.
pub type Result<T> = std::result::Result<T, TableError>;

/// An error of the row model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// Another row has this key.
    #[error("duplicate key value violates unique constraint \"{constraint}\"")]
    Duplicate {
        /// Schema of the table.
        schema: String,
        /// The table.
        table: String,
        /// The index or constraint.
        constraint: String,
        /// `(a, b)=(1, 2)`.
        key: String,
    },
    /// A unique index cannot be made over these rows.
    #[error("could not create unique index \"{index}\"")]
    DuplicateInBuild {
        /// Schema of the table.
        schema: String,
        /// The table.
        table: String,
        /// The index.
        index: String,
        /// `(a, b)=(1, 2)`.
        key: String,
    },
    /// NULL in a NOT NULL column.
    #[error(
        "null value in column \"{column}\" of relation \"{table}\" violates not-null constraint"
    )]
    NotNull {
        /// Schema of the table.
        schema: String,
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The row as PostgreSQL prints it.
        row: String,
    },
    /// Existing rows have NULL in a column that shall be NOT NULL.
    #[error("column \"{column}\" of relation \"{table}\" contains null values")]
    ContainsNull {
        /// Schema of the table.
        schema: String,
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A key that is too long for an index.
    #[error("index row size {bytes} exceeds maximum {bytes_max} for index \"{index}\"")]
    KeyTooLarge {
        /// The index.
        index: String,
        /// Bytes of the key.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// An index entry whose row is not there, or the reverse: damage or a bug.
    #[error("index \"{index}\" does not match its table")]
    IndexMismatch {
        /// The index.
        index: String,
    },
    /// Whatever the caller checks on each row during a rewrite.
    #[error("{0}")]
    Check(Report),
    /// Bytes that are not a row.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The transaction refused.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
}

impl TableError {
    /// SQLSTATE and retry class. No `_` arm: a new variant must answer here.
    pub fn code(&self) -> (SqlState, Retry) {
        match self {
            TableError::Duplicate { .. } | TableError::DuplicateInBuild { .. } => {
                (codes::UNIQUE_VIOLATION, Retry::Never)
            }
            TableError::NotNull { .. } | TableError::ContainsNull { .. } => {
                (codes::NOT_NULL_VIOLATION, Retry::Never)
            }
            TableError::KeyTooLarge { .. } => (codes::PROGRAM_LIMIT_EXCEEDED, Retry::Never),
            TableError::IndexMismatch { .. } => (codes::INDEX_CORRUPTED, Retry::Never),
            TableError::Check(report) => (report.code, report.code.retry()),
            TableError::Codec(error) => error.code(),
            TableError::Store(error) => error.code(),
            TableError::Transaction(error) => error.code(),
        }
    }

    /// What a client sees, in PostgreSQL's words.
    pub fn report(&self) -> Report {
        let report = Report::error(self.code().0, self.to_string());
        match self {
            TableError::Duplicate {
                schema,
                table,
                constraint,
                key,
            } => {
                let mut report = report
                    .with_detail(format!("Key {key} already exists."))
                    .with_table(schema, table);
                report.constraint = Some(constraint.clone());
                report
            }
            TableError::DuplicateInBuild {
                schema,
                table,
                index,
                key,
            } => {
                let mut report = report
                    .with_detail(format!("Key {key} is duplicated."))
                    .with_table(schema, table);
                report.constraint = Some(index.clone());
                report
            }
            TableError::NotNull {
                schema,
                table,
                column,
                row,
            } => report
                .with_detail(format!("Failing row contains {row}."))
                .with_table(schema, table)
                .with_column(column),
            TableError::ContainsNull {
                schema,
                table,
                column,
            } => report.with_table(schema, table).with_column(column),
            TableError::KeyTooLarge { .. } => report
                .with_hint("Values of this size cannot be indexed; index a hash of them instead."),
            TableError::IndexMismatch { .. } => {
                report.with_hint("Make the index anew with DROP INDEX and CREATE INDEX.")
            }
            TableError::Check(report) => report.clone(),
            TableError::Codec(error) => error.report(),
            TableError::Store(error) => error.report(),
            TableError::Transaction(error) => error.report(),
        }
    }
}

impl From<TableError> for Report {
    fn from(error: TableError) -> Report {
        error.report()
    }
}
