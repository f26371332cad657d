//! Why a document was not written, or a query not answered.

use tessera_codec::CodecError;
use tessera_codec::json::JsonError;
use tessera_storage::StoreError;
use tessera_transactions::TransactionError;
use tessera_types::{Report, Retry, SqlState, codes};

/// Result of this crate.
pub type Result<T> = std::result::Result<T, DocumentError>;

/// One violation of a JSON Schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaViolation {
    /// JSON Pointer (RFC 6901) to the value in the document; empty for the document itself.
    pub instance_path: String,
    /// The keyword of the schema that failed, such as `minimum`.
    pub keyword: String,
    /// What is wrong.
    pub message: String,
}

/// An error of the document model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// No document has this id.
    #[error("collection \"{collection}\" has no document with the id \"{id}\"")]
    NotFound {
        /// The collection.
        collection: String,
        /// The id.
        id: String,
    },
    /// A document has this id already.
    #[error("collection \"{collection}\" already has a document with the id \"{id}\"")]
    DuplicateId {
        /// The collection.
        collection: String,
        /// The id.
        id: String,
    },
    /// Another document has this value of a unique index.
    #[error("duplicate value violates unique index \"{index}\" of collection \"{collection}\"")]
    Duplicate {
        /// The collection.
        collection: String,
        /// The index.
        index: String,
        /// Its paths, `a.b, c`.
        paths: String,
        /// The values as JSON, `1, "x"`.
        values: String,
    },
    /// The document has another version than the caller expects.
    #[error("document \"{id}\" has version {found}, not {expected}")]
    VersionMismatch {
        /// The id.
        id: String,
        /// What the caller gave.
        expected: u64,
        /// What is stored.
        found: u64,
    },
    /// An id that no document may have.
    #[error("invalid document id: {reason}")]
    InvalidId {
        /// Why.
        reason: String,
    },
    /// A document that is not an object.
    #[error("a document must be a JSON object, not {found}")]
    NotAnObject {
        /// The kind of value found.
        found: &'static str,
    },
    /// The document does not follow the collection's schema.
    #[error("document violates the schema of collection \"{collection}\"")]
    Schema {
        /// The collection.
        collection: String,
        /// At most [`crate::VIOLATIONS_MAX`], in the schema's order.
        violations: Vec<SchemaViolation>,
    },
    /// A schema, an index or a collection that cannot be.
    #[error("invalid {what}: {reason}")]
    InvalidDefinition {
        /// What is defined.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A filter, pipeline, projection, patch or update that is not understood.
    #[error("invalid {what} at \"{place}\": {reason}")]
    Invalid {
        /// `filter`, `update`, `JSON Patch` and so on.
        what: &'static str,
        /// The operator or path that is wrong.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// Something that MongoDB or a standard has and this server has not.
    #[error("{what} \"{name}\" is not supported")]
    Unsupported {
        /// `filter operator` and so on.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// An update or patch does not fit the document.
    #[error("cannot apply {operation} at \"{path}\": {reason}")]
    NotApplicable {
        /// The operator.
        operation: String,
        /// The path or JSON Pointer.
        path: String,
        /// Why not.
        reason: String,
    },
    /// The `test` operation of a JSON Patch failed.
    #[error("the test at \"{path}\" failed")]
    TestFailed {
        /// JSON Pointer.
        path: String,
    },
    /// Arithmetic left the range of numbers.
    #[error("number out of range in {operation}")]
    NumberOutOfRange {
        /// The operator.
        operation: String,
    },
    /// A regular expression that the engine does not take.
    #[error("invalid regular expression: {reason}")]
    Regex {
        /// Why.
        reason: String,
    },
    /// A page token that is damaged or belongs to another query.
    #[error("the page token does not belong to this query")]
    InvalidToken,
    /// A named limit is exceeded.
    #[error("{what} is above the limit of {limit}")]
    Limit {
        /// What.
        what: &'static str,
        /// The limit, in the unit that the name implies.
        limit: usize,
    },
    /// There is no such index.
    #[error("index \"{index}\" of collection \"{collection}\" does not exist")]
    NoSuchIndex {
        /// The collection.
        collection: String,
        /// The index.
        index: String,
    },
    /// A collection named by a pipeline is not there.
    #[error("collection \"{collection}\" does not exist")]
    NoSuchCollection {
        /// The collection.
        collection: String,
    },
    /// An index entry whose document is not there, or the reverse: damage or a bug.
    #[error("index \"{index}\" does not match its collection")]
    IndexMismatch {
        /// The index.
        index: String,
    },
    /// A text or tree that is not a document.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Bytes that are not what they should be.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The transaction refused.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
}

impl DocumentError {
    /// SQLSTATE and retry class. No `_` arm: a new variant must answer here.
    pub fn code(&self) -> (SqlState, Retry) {
        let code = match self {
            DocumentError::NotFound { .. } => codes::NO_DATA,
            DocumentError::DuplicateId { .. } | DocumentError::Duplicate { .. } => {
                codes::UNIQUE_VIOLATION
            }
            // Not 40001: running the same again cannot help.
            DocumentError::VersionMismatch { .. } => codes::OBJECT_NOT_IN_PREREQUISITE_STATE,
            DocumentError::InvalidId { .. }
            | DocumentError::Invalid { .. }
            | DocumentError::InvalidToken => codes::INVALID_PARAMETER_VALUE,
            DocumentError::NotAnObject { .. } => codes::DATATYPE_MISMATCH,
            DocumentError::Schema { .. } => codes::CHECK_VIOLATION,
            DocumentError::InvalidDefinition { .. } => codes::INVALID_OBJECT_DEFINITION,
            DocumentError::Unsupported { .. } => codes::FEATURE_NOT_SUPPORTED,
            DocumentError::NotApplicable { .. } | DocumentError::TestFailed { .. } => {
                codes::DATA_EXCEPTION
            }
            DocumentError::NumberOutOfRange { .. } => codes::NUMERIC_VALUE_OUT_OF_RANGE,
            DocumentError::Regex { .. } => codes::INVALID_REGULAR_EXPRESSION,
            DocumentError::Limit { .. } => codes::PROGRAM_LIMIT_EXCEEDED,
            DocumentError::NoSuchIndex { .. } => codes::UNDEFINED_OBJECT,
            DocumentError::NoSuchCollection { .. } => codes::UNDEFINED_TABLE,
            DocumentError::IndexMismatch { .. } => codes::INDEX_CORRUPTED,
            DocumentError::Json(error) => return error.code(),
            DocumentError::Codec(error) => return error.code(),
            DocumentError::Store(error) => return error.code(),
            DocumentError::Transaction(error) => return error.code(),
        };
        (code, code.retry())
    }

    /// What a client sees.
    pub fn report(&self) -> Report {
        let report = Report::error(self.code().0, self.to_string());
        match self {
            DocumentError::Duplicate {
                index,
                paths,
                values,
                ..
            } => report
                .with_detail(format!("Key ({paths})=({values}) already exists."))
                .with_constraint(index),
            DocumentError::Schema { violations, .. } => {
                let lines = violations.iter().map(|violation| {
                    let SchemaViolation {
                        instance_path,
                        keyword,
                        message,
                    } = violation;
                    format!("\"{instance_path}\" ({keyword}): {message}")
                });
                report.with_detail(lines.collect::<Vec<_>>().join("\n"))
            }
            DocumentError::VersionMismatch { .. } => {
                report.with_hint("Read the document again and apply the change to what it is now.")
            }
            DocumentError::IndexMismatch { .. } => {
                report.with_hint("Drop the index and create it anew.")
            }
            DocumentError::Json(error) => error.report(),
            DocumentError::Codec(error) => error.report(),
            DocumentError::Store(error) => error.report(),
            DocumentError::Transaction(error) => error.report(),
            _ => report,
        }
    }

    /// Whether the error is about this one document or request, so that a bulk write may go on.
    pub(crate) fn is_about_one_document(&self) -> bool {
        !matches!(
            self,
            DocumentError::Codec(_)
                | DocumentError::Store(_)
                | DocumentError::Transaction(_)
                | DocumentError::IndexMismatch { .. }
        )
    }

    pub(crate) fn invalid(
        what: &'static str,
        place: impl Into<String>,
        reason: impl Into<String>,
    ) -> DocumentError {
        DocumentError::Invalid {
            what,
            place: place.into(),
            reason: reason.into(),
        }
    }

    pub(crate) fn unsupported(what: &'static str, name: impl Into<String>) -> DocumentError {
        DocumentError::Unsupported {
            what,
            name: name.into(),
        }
    }

    pub(crate) fn definition(what: &'static str, reason: impl Into<String>) -> DocumentError {
        DocumentError::InvalidDefinition {
            what,
            reason: reason.into(),
        }
    }
}

impl From<DocumentError> for Report {
    fn from(error: DocumentError) -> Report {
        error.report()
    }
}
