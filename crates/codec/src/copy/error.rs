//! Why COPY data was refused, and where.

use tessera_types::{Report, Retry, SqlState, ValueError, codes};

/// Longest part of a line or value that is repeated in an error.
const SHOWN_BYTES_MAX: usize = 100;

/// A fault in COPY data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The data does not have the format.
    #[error("{message}")]
    Format {
        message: String,
        hint: Option<&'static str>,
        /// Line (text, csv) or row (binary), from 1.
        line: u64,
        /// The line, shortened; None where it would not help.
        shown: Option<String>,
    },
    /// A field is not a value of its column's type.
    #[error("{source}")]
    Value {
        #[source]
        source: ValueError,
        line: u64,
        column: String,
        /// The field, shortened; None for binary data.
        shown: Option<String>,
    },
    /// A line is longer than the limit.
    #[error("line {line} is longer than {bytes_max} bytes")]
    LineTooLong { line: u64, bytes_max: usize },
}

impl CopyError {
    /// SQLSTATE and retry class.
    pub fn code(&self) -> (SqlState, Retry) {
        match self {
            CopyError::Format { .. } => (codes::BAD_COPY_FILE_FORMAT, Retry::Never),
            CopyError::Value { source, .. } => source.code(),
            CopyError::LineTooLong { .. } => (codes::PROGRAM_LIMIT_EXCEEDED, Retry::Never),
        }
    }

    /// What a client sees; the context names the table and the line as PostgreSQL does.
    pub fn report(&self, table: &str) -> Report {
        match self {
            CopyError::Format {
                message,
                hint,
                line,
                shown,
            } => {
                let mut report = Report::error(self.code().0, message.clone());
                report.hint = hint.map(str::to_owned);
                report.context = Some(match shown {
                    Some(shown) => format!("COPY {table}, line {line}: \"{shown}\""),
                    None => format!("COPY {table}, line {line}"),
                });
                report
            }
            CopyError::Value {
                source,
                line,
                column,
                shown,
            } => {
                let report = source.report();
                let place = format!("COPY {table}, line {line}, column {column}");
                let place = match shown {
                    Some(shown) => format!("{place}: \"{shown}\""),
                    None => place,
                };
                // The value's own context, such as a place inside JSON, comes first.
                let context = match &report.context {
                    Some(inner) => format!("{inner}\n{place}"),
                    None => place,
                };
                report.with_context(context)
            }
            CopyError::LineTooLong { line, .. } => Report::error(self.code().0, self.to_string())
                .with_context(format!("COPY {table}, line {line}")),
        }
    }
}

/// A text for an error message, cut between characters.
pub(super) fn shorten(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES_MAX * 4)]).into_owned();
    if text.len() <= SHOWN_BYTES_MAX && bytes.len() <= SHOWN_BYTES_MAX {
        return text;
    }
    let mut end = SHOWN_BYTES_MAX.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", &text[..end])
}
