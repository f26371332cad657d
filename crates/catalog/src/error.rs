//! Why the catalog refused, and PostgreSQL's words for it.

use tessera_storage::StoreError;
use tessera_transactions::TransactionError;
use tessera_types::{Report, Retry, SqlState, codes};

/// An error of the catalog.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// The transaction below failed: locks, store, limits.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// The statement is wrong or not allowed; the report says why, in PostgreSQL's words.
    #[error("{0}")]
    Refused(Report),
    /// A stored definition cannot be read.
    #[error("stored catalog entry {key} cannot be read: {reason}")]
    Damaged {
        /// Kind and id of the entry.
        key: String,
        /// What does not fit.
        reason: String,
    },
    /// A stored definition was written by a newer release.
    #[error("catalog entry format {found} is not known, this release knows formats up to {known}")]
    Format {
        /// The entry's format.
        found: u32,
        /// The newest known one.
        known: u32,
    },
}

impl CatalogError {
    /// SQLSTATE and retry class. No `_` arm: a new variant must answer here.
    pub fn code(&self) -> (SqlState, Retry) {
        match self {
            CatalogError::Transaction(error) => error.code(),
            CatalogError::Refused(report) => (report.code, report.retry()),
            CatalogError::Damaged { .. } => (codes::DATA_CORRUPTED, Retry::Never),
            CatalogError::Format { .. } => (codes::FEATURE_NOT_SUPPORTED, Retry::Never),
        }
    }

    /// What a client is told.
    pub fn report(&self) -> Report {
        match self {
            CatalogError::Transaction(error) => error.report(),
            CatalogError::Refused(report) => report.clone(),
            CatalogError::Damaged { .. } | CatalogError::Format { .. } => {
                Report::error(self.code().0, self.to_string())
            }
        }
    }
}

impl From<StoreError> for CatalogError {
    fn from(error: StoreError) -> Self {
        CatalogError::Transaction(error.into())
    }
}

impl From<Report> for CatalogError {
    fn from(report: Report) -> Self {
        CatalogError::Refused(report)
    }
}

impl From<CatalogError> for Report {
    fn from(error: CatalogError) -> Report {
        error.report()
    }
}
