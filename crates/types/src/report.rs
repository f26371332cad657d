//! What a client is told: the fields of PostgreSQL's error and notice messages.

use std::any::Any;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::codes::{self, SqlState};

/// Whether, and how much of, the work is worth doing again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The same request fails again.
    Never,
    /// The statement alone may be repeated.
    Statement,
    /// The whole transaction must be repeated.
    Transaction,
    /// After some time, when a resource is free again.
    Later,
}

impl Retry {
    /// The word used in documentation and in HTTP answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Retry::Never => "never",
            Retry::Statement => "statement",
            Retry::Transaction => "transaction",
            Retry::Later => "later",
        }
    }
}

/// PostgreSQL's message levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The statement failed.
    Error,
    /// The session ends.
    Fatal,
    /// The server ends.
    Panic,
    /// Not an error, but probably not wanted.
    Warning,
    /// Worth knowing.
    Notice,
    /// Asked for by the user.
    Info,
    /// For developers.
    Debug,
    /// For the administrator.
    Log,
}

impl Severity {
    /// The word of the wire protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
            Severity::Panic => "PANIC",
            Severity::Warning => "WARNING",
            Severity::Notice => "NOTICE",
            Severity::Info => "INFO",
            Severity::Debug => "DEBUG",
            Severity::Log => "LOG",
        }
    }
}

/// An error or a notice as the client sees it. One word wide, so results stay small.
#[derive(Clone, PartialEq, Eq)]
pub struct Report(Box<ReportFields>);

/// The fields of a [`Report`], reached through `Deref`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportFields {
    /// How bad it is.
    pub severity: Severity,
    /// What it is, for programs.
    pub code: SqlState,
    /// What it is, for people: one sentence, no full stop.
    pub message: String,
    /// More about this case.
    pub detail: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where in the query text: a character index from 1.
    pub position: Option<u32>,
    /// Where in a larger job, such as `COPY t, line 3`.
    pub context: Option<String>,
    /// Schema of the object concerned.
    pub schema: Option<String>,
    /// Table concerned.
    pub table: Option<String>,
    /// Column concerned.
    pub column: Option<String>,
    /// Data type concerned.
    pub data_type: Option<String>,
    /// Constraint violated.
    pub constraint: Option<String>,
    /// Facts of a lock conflict, deadlock or serialization failure for programs, as JSON.
    pub facts: Option<String>,
    /// What happened, for a layer of ours that can put names to it. Never sent.
    pub cause: Option<Cause>,
}

/// The error behind a report, in the form that its own layer gave it.
#[derive(Clone)]
pub struct Cause(Arc<dyn Any + Send + Sync>);

impl Cause {
    /// The error, if it is one of this type.
    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

/// Two reports are compared by what is sent.
impl PartialEq for Cause {
    fn eq(&self, _: &Cause) -> bool {
        true
    }
}

impl Eq for Cause {}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cause")
    }
}

impl Report {
    /// A report of any severity.
    pub fn new(severity: Severity, code: SqlState, message: impl Into<String>) -> Report {
        Report(Box::new(ReportFields {
            severity,
            code,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            context: None,
            schema: None,
            table: None,
            column: None,
            data_type: None,
            constraint: None,
            facts: None,
            cause: None,
        }))
    }

    /// The statement failed.
    pub fn error(code: SqlState, message: impl Into<String>) -> Report {
        Report::new(Severity::Error, code, message)
    }

    /// The session ends.
    pub fn fatal(code: SqlState, message: impl Into<String>) -> Report {
        Report::new(Severity::Fatal, code, message)
    }

    /// Worth knowing; not an error.
    pub fn notice(message: impl Into<String>) -> Report {
        Report::new(Severity::Notice, codes::SUCCESSFUL_COMPLETION, message)
    }

    /// Probably not wanted; not an error.
    pub fn warning(code: SqlState, message: impl Into<String>) -> Report {
        Report::new(Severity::Warning, code, message)
    }

    /// A feature that is known and not built: 0A000.
    pub fn unsupported(message: impl Into<String>) -> Report {
        Report::error(codes::FEATURE_NOT_SUPPORTED, message)
    }

    /// A broken promise inside the server: XX000.
    pub fn internal(message: impl Into<String>) -> Report {
        Report::error(codes::INTERNAL_ERROR, message)
    }

    /// Sets the severity.
    pub fn with_severity(mut self, severity: Severity) -> Report {
        self.0.severity = severity;
        self
    }

    /// Adds more about this case.
    pub fn with_detail(mut self, detail: impl Into<String>) -> Report {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds what to do about it.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Report {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the place in the query text, a character index from 1.
    pub fn at(mut self, position: u32) -> Report {
        self.0.position = Some(position);
        self
    }

    /// Adds the place in a larger job.
    pub fn with_context(mut self, context: impl Into<String>) -> Report {
        self.0.context = Some(context.into());
        self
    }

    /// Names the table concerned.
    pub fn with_table(mut self, schema: impl Into<String>, table: impl Into<String>) -> Report {
        self.0.schema = Some(schema.into());
        self.0.table = Some(table.into());
        self
    }

    /// Names the schema concerned.
    pub fn with_schema(mut self, schema: impl Into<String>) -> Report {
        self.0.schema = Some(schema.into());
        self
    }

    /// Names the column concerned.
    pub fn with_column(mut self, column: impl Into<String>) -> Report {
        self.0.column = Some(column.into());
        self
    }

    /// Names the data type concerned.
    pub fn with_data_type(mut self, data_type: impl Into<String>) -> Report {
        self.0.data_type = Some(data_type.into());
        self
    }

    /// Names the constraint violated.
    pub fn with_constraint(mut self, constraint: impl Into<String>) -> Report {
        self.0.constraint = Some(constraint.into());
        self
    }

    /// Keeps the error behind the report.
    pub fn with_cause(mut self, cause: impl Any + Send + Sync) -> Report {
        self.0.cause = Some(Cause(Arc::new(cause)));
        self
    }

    /// The retry class of the report's code.
    pub fn retry(&self) -> Retry {
        self.code.retry()
    }
}

impl Deref for Report {
    type Target = ReportFields;

    fn deref(&self) -> &ReportFields {
        &self.0
    }
}

impl DerefMut for Report {
    fn deref_mut(&mut self) -> &mut ReportFields {
        &mut self.0
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Report");
        out.field("severity", &self.severity)
            .field("code", &self.code);
        out.field("message", &self.message);
        for (name, value) in [
            ("detail", &self.detail),
            ("hint", &self.hint),
            ("context", &self.context),
            ("schema", &self.schema),
            ("table", &self.table),
            ("column", &self.column),
            ("data_type", &self.data_type),
            ("constraint", &self.constraint),
        ] {
            if let Some(value) = value {
                out.field(name, value);
            }
        }
        if let Some(position) = self.position {
            out.field("position", &position);
        }
        out.finish()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Report {}
