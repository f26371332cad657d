//! Documents: collections and their indexes, single documents, inserts, queries, changes by filter.
//!
//! # Map
//! - `collections`: list, create, describe, drop; indexes.
//! - `insert`: one document or many; `one`: the document of an id.
//! - `query`: find, count, aggregate, explain; `change`: update and delete by filter.

pub(super) mod change;
pub(super) mod collections;
pub(super) mod insert;
pub(super) mod one;
pub(super) mod query;

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use tessera_engine::Report;
use tessera_engine::documents::{Document, DocumentId, Filter, Written};
use tessera_types::codes;
use utoipa::ToSchema;

use crate::problem::Problem;

/// Bytes of the documents in one answer; a page ends there.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// A document with its id and version.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DocumentAnswer {
    id: String,
    /// The text of its `ETag`; greater after every change.
    version: u64,
    /// The body, without the id.
    #[schema(value_type = Object)]
    document: Value,
}

impl DocumentAnswer {
    fn of(document: &Document) -> Result<DocumentAnswer, Report> {
        Ok(DocumentAnswer {
            id: document.id().to_string(),
            version: document.version(),
            document: document.to_value()?,
        })
    }
}

/// What became of one document.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WrittenAnswer {
    id: String,
    version: u64,
    /// `inserted`, `changed`, `unchanged` or `deleted`.
    outcome: &'static str,
}

impl WrittenAnswer {
    fn of(written: &Written) -> WrittenAnswer {
        let outcome = match written {
            Written::Inserted(_) => "inserted",
            Written::Changed(_) => "changed",
            Written::Unchanged(_) => "unchanged",
            Written::Deleted(_) => "deleted",
        };
        let document = written.document();
        WrittenAnswer {
            id: document.id().to_string(),
            version: document.version(),
            outcome,
        }
    }
}

fn document_id(text: &str) -> Result<DocumentId, Problem> {
    DocumentId::new(text).map_err(|error| Report::from(error).into())
}

/// A filter; everything if it is not given.
fn filter(value: Option<&Value>) -> Result<Filter, Problem> {
    match value {
        None => Ok(Filter::all()),
        Some(value) => Filter::parse(value).map_err(|error| Report::from(error).into()),
    }
}

/// A version that is not the expected one fails the request's condition.
fn failed(report: Report) -> Problem {
    let is_version = report.code == codes::OBJECT_NOT_IN_PREREQUISITE_STATE;
    let mut problem = Problem::from(report);
    if is_version {
        problem.status = StatusCode::PRECONDITION_FAILED;
    }
    problem
}
