//! DataFusion's errors as reports with an SQLSTATE.

use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError};
use tessera_types::{Report, codes};

/// Wraps a report so that it travels through DataFusion unchanged.
pub fn external(report: Report) -> DataFusionError {
    DataFusionError::External(Box::new(report))
}

/// What a client should see of an error that came out of DataFusion.
pub fn report_of(error: DataFusionError) -> Report {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Report>() {
            Ok(report) => *report,
            Err(inner) => match inner.downcast::<DataFusionError>() {
                Ok(inner) => report_of(*inner),
                Err(inner) => match inner.downcast::<ArrowError>() {
                    Ok(inner) => report_of_arrow(*inner),
                    Err(inner) => Report::internal(inner.to_string()),
                },
            },
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            report_of(*inner)
        }
        DataFusionError::Shared(inner) => report_of_shared(&inner),
        DataFusionError::ArrowError(inner, _) => report_of_arrow(*inner),
        DataFusionError::Collection(mut all) if !all.is_empty() => report_of(all.swap_remove(0)),
        other => report_of_shared(&other),
    }
}

/// As [`report_of`], for an error that others hold too.
fn report_of_shared(error: &DataFusionError) -> Report {
    match error {
        DataFusionError::External(inner) => {
            if let Some(report) = inner.downcast_ref::<Report>() {
                report.clone()
            } else if let Some(inner) = inner.downcast_ref::<DataFusionError>() {
                report_of_shared(inner)
            } else {
                Report::internal(inner.to_string())
            }
        }
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            report_of_shared(inner)
        }
        DataFusionError::Shared(inner) => report_of_shared(inner),
        DataFusionError::Collection(all) if !all.is_empty() => report_of_shared(&all[0]),
        DataFusionError::ArrowError(inner, _) => report_of_arrow_ref(inner),
        DataFusionError::ResourcesExhausted(text) => out_of_memory(text),
        DataFusionError::SchemaError(schema, _) => schema_report(schema),
        DataFusionError::NotImplemented(text) => Report::unsupported(format!(
            "this form of query is not supported: {}",
            first_line(text)
        )),
        DataFusionError::Plan(text) => Report::unsupported(format!(
            "this form of query is not supported: {}",
            first_line(text)
        )),
        DataFusionError::Execution(text) => execution_report(text),
        DataFusionError::IoError(inner) if inner.kind() == std::io::ErrorKind::StorageFull => {
            Report::error(
                codes::DISK_FULL,
                "no space left for temporary files of a query",
            )
        }
        DataFusionError::IoError(inner) => Report::error(
            codes::IO_ERROR,
            format!("temporary file of a query: {inner}"),
        ),
        other => Report::internal(first_line(&other.to_string()).to_owned()),
    }
}

fn report_of_arrow(error: ArrowError) -> Report {
    match error {
        ArrowError::ExternalError(inner) => report_of(DataFusionError::External(inner)),
        other => report_of_arrow_ref(&other),
    }
}

fn report_of_arrow_ref(error: &ArrowError) -> Report {
    match error {
        ArrowError::DivideByZero => division_by_zero(),
        ArrowError::ArithmeticOverflow(_) => {
            Report::error(codes::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow")
        }
        ArrowError::ExternalError(inner) => {
            if let Some(report) = inner.downcast_ref::<Report>() {
                report.clone()
            } else if let Some(inner) = inner.downcast_ref::<DataFusionError>() {
                report_of_shared(inner)
            } else {
                Report::internal(inner.to_string())
            }
        }
        ArrowError::InvalidArgumentError(text) if text.contains("too large to store") => {
            Report::error(codes::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow")
        }
        ArrowError::MemoryError(text) => out_of_memory(text),
        ArrowError::CastError(text) => Report::error(
            codes::NUMERIC_VALUE_OUT_OF_RANGE,
            first_line(text).to_owned(),
        ),
        other => Report::internal(first_line(&other.to_string()).to_owned()),
    }
}

/// `division by zero`, 22012.
pub fn division_by_zero() -> Report {
    Report::error(codes::DIVISION_BY_ZERO, "division by zero")
}

/// The query's memory limit was reached, 53200.
fn out_of_memory(text: &str) -> Report {
    Report::error(codes::OUT_OF_MEMORY, "out of memory for this query")
        .with_detail(first_line(text).to_owned())
        .with_hint("Raise the query memory limit, or make the query touch less at once.")
}

fn schema_report(error: &SchemaError) -> Report {
    match error {
        SchemaError::FieldNotFound { field, .. } => Report::error(
            codes::UNDEFINED_COLUMN,
            format!("column \"{}\" does not exist", field.flat_name()),
        ),
        SchemaError::AmbiguousReference { field } => Report::error(
            codes::AMBIGUOUS_COLUMN,
            format!("column reference \"{}\" is ambiguous", field.name),
        ),
        other => Report::internal(other.to_string()),
    }
}

fn execution_report(text: &str) -> Report {
    if text.contains("more than one row") {
        return Report::error(
            codes::CARDINALITY_VIOLATION,
            "more than one row returned by a subquery used as an expression",
        );
    }
    if text.contains("ivide by zero") {
        return division_by_zero();
    }
    Report::internal(first_line(text).to_owned())
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
