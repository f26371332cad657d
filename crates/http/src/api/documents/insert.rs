//! Inserts: one document, or many with a result for each.

use axum::Json;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tessera_engine::Report;
use tessera_engine::documents::{BULK_MAX, BulkOrder, BulkWrite};
use utoipa::{IntoParams, ToSchema};

use super::{WrittenAnswer, failed};
use crate::api::caller::Caller;
use crate::api::etag::quoted;
use crate::api::input::{self, Params, Segments};
use crate::problem::Problem;

/// How many documents are inserted together.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct InsertParams {
    /// Of many: stop at the first that is refused. Those before it stay.
    ordered: bool,
    /// Of many: all or none.
    atomic: bool,
}

impl Default for InsertParams {
    fn default() -> InsertParams {
        InsertParams {
            ordered: true,
            atomic: false,
        }
    }
}

/// What became of many documents.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkAnswer {
    inserted: usize,
    failed: usize,
    /// In the order of the documents: `{"id", "version", "outcome"}` or `{"error": problem}`.
    /// Shorter than the documents if it stopped.
    #[schema(value_type = Vec<Object>)]
    results: Vec<BulkResult>,
}

/// What became of one of many.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum BulkResult {
    Written(WrittenAnswer),
    Failed {
        /// A problem.
        error: Value,
    },
}

/// Inserts one document (an object) or many (an array, or one object per line as
/// `application/x-ndjson`). An id is the member `_id`, or given by the server.
#[utoipa::path(post, path = "/api/v1/documents/{collection}", tag = "documents",
    params(("collection" = String, Path), InsertParams),
    request_body(content((serde_json::Value = "application/json"), (String = "application/x-ndjson"))),
    responses((status = 201, body = WrittenAnswer, description = "One document"),
        (status = 200, body = BulkAnswer, description = "Many documents"),
        (status = 409, description = "The id, or a value of a unique index, is taken"),
        (status = 422, description = "The document does not follow the schema")))]
pub(crate) async fn insert(
    caller: Caller,
    Segments(name): Segments<String>,
    Params(params): Params<InsertParams>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    match input::content_type(&headers)?.as_str() {
        "" | "application/json" => match input::value(&body)? {
            Value::Array(bodies) => {
                let again = || match input::value(&body)? {
                    Value::Array(bodies) => Ok(bodies),
                    _ => Ok(Vec::new()),
                };
                insert_many(&caller, &name, &params, bodies, again).await
            }
            body => insert_one(&caller, &name, &body).await,
        },
        "application/x-ndjson" | "application/jsonl" => {
            let bodies = lines(&body)?;
            insert_many(&caller, &name, &params, bodies, || lines(&body)).await
        }
        _ => Err(input::unsupported_media_type(
            "application/json or application/x-ndjson",
        )),
    }
}

/// One value per line; empty lines are passed over.
fn lines(body: &[u8]) -> Result<Vec<Value>, Problem> {
    let mut values = Vec::new();
    for (at, line) in body.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        if values.len() == BULK_MAX {
            return Err(too_many());
        }
        let value = tessera_codec::json::parse(line).map_err(|error| {
            // The line that counts is that of the body.
            input::json_problem(&error).with("line", at as u64 + 1)
        })?;
        values.push(value);
    }
    Ok(values)
}

fn too_many() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("at most {BULK_MAX} documents are inserted together"),
    )
}

async fn insert_one(caller: &Caller, name: &str, body: &Value) -> Result<Response, Problem> {
    let client = &caller.client;
    let written = client
        .run(&caller.write("insert a document"), move |txn| async move {
            let collection = client.collection(&txn, name).await?;
            Ok(collection.insert(&txn, None, body.clone()).await?)
        })
        .await
        .map_err(failed)?;
    let answer = WrittenAnswer::of(&written);
    let tag = quoted(&answer.version.to_string());
    let mut response = (StatusCode::CREATED, Json(answer)).into_response();
    response.headers_mut().insert(header::ETAG, tag);
    Ok(response)
}

/// Inserts documents; `again` reads them once more, for when the work lost a conflict: that is
/// rare, and a copy of all of them would be made for nothing.
async fn insert_many(
    caller: &Caller,
    name: &str,
    params: &InsertParams,
    bodies: Vec<Value>,
    again: impl Fn() -> Result<Vec<Value>, Problem> + Send + Sync,
) -> Result<Response, Problem> {
    if bodies.len() > BULK_MAX {
        return Err(too_many());
    }
    let order = if params.ordered || params.atomic {
        BulkOrder::Ordered
    } else {
        BulkOrder::Unordered
    };
    let (client, atomic) = (&caller.client, params.atomic);
    let (first, again) = (&Mutex::new(Some(bodies)), &again);
    let answer = client
        .run(&caller.write("insert documents"), move |txn| async move {
            let collection = client.collection(&txn, name).await?;
            let bodies = first.lock().take();
            let bodies = match bodies {
                Some(bodies) => bodies,
                None => again().map_err(|problem| Report::internal(problem.detail))?,
            };
            let writes = bodies
                .into_iter()
                .map(|body| BulkWrite::Insert { id: None, body });
            let answers = collection.bulk(&txn, writes.collect(), order).await?;
            let mut bulk = BulkAnswer {
                inserted: 0,
                failed: 0,
                results: Vec::with_capacity(answers.len()),
            };
            for (at, answer) in answers.into_iter().enumerate() {
                let result = match answer {
                    Ok(written) => {
                        bulk.inserted += 1;
                        BulkResult::Written(WrittenAnswer::of(&written))
                    }
                    Err(error) if atomic => {
                        let report = Report::from(error);
                        return Err(report.with_context(format!("/{at}")));
                    }
                    Err(error) => {
                        bulk.failed += 1;
                        let error = Problem::from(Report::from(error)).to_value(None);
                        BulkResult::Failed { error }
                    }
                };
                bulk.results.push(result);
            }
            Ok(bulk)
        })
        .await
        .map_err(|report| {
            let path = report.context.clone().filter(|path| path.starts_with('/'));
            let problem = failed(report);
            match path {
                Some(path) => problem.with("path", path),
                None => problem,
            }
        })?;
    Ok(Json(answer).into_response())
}
