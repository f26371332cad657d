//! Many operations on the keys of a space, all or none.

use axum::Json;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tessera_engine::Report;
use tessera_engine::keyvalue::{
    Expire, ExpireCondition, KeyValueError, SetCondition, SetExpiry, SetOptions,
};
use utoipa::ToSchema;

use super::{conflict, text_or_base64};
use crate::api::caller::Caller;
use crate::api::input::{self, Segments};
use crate::problem::Problem;

/// Operations of one batch.
const BATCH_MAX: usize = 10_000;

/// What one operation of a batch does.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum BatchVerb {
    Get,
    Set,
    Delete,
    /// Sets the time to live: `ttl`, or none.
    Expire,
    /// Adds `by`, 1 by default, to an integer.
    Increment,
}

/// A condition of `set`.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Presence {
    Absent,
    Present,
}

/// One operation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchOperation {
    op: BatchVerb,
    /// The key; or `key_base64`.
    key: Option<String>,
    key_base64: Option<String>,
    /// The value of `set`; or `value_base64`.
    value: Option<String>,
    value_base64: Option<String>,
    /// Milliseconds until it expires.
    ttl: Option<i64>,
    /// Only if the key is, or is not, there.
    r#if: Option<Presence>,
    by: Option<i64>,
}

/// Operations on keys of one space.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchRequest {
    operations: Vec<BatchOperation>,
}

/// One result per operation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchAnswer {
    /// `{"value"}` or `{"value_base64"}` or `{"value": null}` for get, `{"set": true}` for set,
    /// `{"deleted": true}`, `{"expires": true}`, `{"value": 5}` for increment.
    #[schema(value_type = Vec<Object>)]
    results: Vec<Value>,
}

/// An operation ready to run.
struct Step {
    verb: BatchVerb,
    key: Vec<u8>,
    value: Vec<u8>,
    ttl: Option<i64>,
    condition: SetCondition,
    by: i64,
}

impl Step {
    fn new(operation: BatchOperation) -> Result<Step, Problem> {
        let key = bytes_of(operation.key, operation.key_base64)?;
        let value = bytes_of(operation.value, operation.value_base64)?;
        let wants_value = matches!(operation.op, BatchVerb::Set);
        let takes_ttl = matches!(operation.op, BatchVerb::Set | BatchVerb::Expire);
        if wants_value != value.is_some() {
            return Err(Problem::bad_request("set, and nothing else, takes a value"));
        }
        if (operation.ttl.is_some() && !takes_ttl)
            || (operation.r#if.is_some() && !wants_value)
            || (operation.by.is_some() && !matches!(operation.op, BatchVerb::Increment))
        {
            return Err(Problem::bad_request("a member does not fit the operation"));
        }
        Ok(Step {
            verb: operation.op,
            key: key.ok_or_else(|| Problem::bad_request("an operation needs a key"))?,
            value: value.unwrap_or_default(),
            ttl: operation.ttl,
            condition: match operation.r#if {
                None => SetCondition::Always,
                Some(Presence::Absent) => SetCondition::IfAbsent,
                Some(Presence::Present) => SetCondition::IfPresent,
            },
            by: operation.by.unwrap_or(1),
        })
    }

    fn writes(&self) -> bool {
        !matches!(self.verb, BatchVerb::Get)
    }
}

fn bytes_of(text: Option<String>, base64: Option<String>) -> Result<Option<Vec<u8>>, Problem> {
    match (text, base64) {
        (None, None) => Ok(None),
        (Some(text), None) => Ok(Some(text.into_bytes())),
        (None, Some(text)) => input::base64(&text).map(Some),
        (Some(_), Some(_)) => Err(Problem::bad_request("a text is given as text or as base64")),
    }
}

/// Runs operations in their order, all or none. An operation sees those before it.
#[utoipa::path(post, path = "/api/v1/keys:batch/{space}", tag = "keys",
    params(("space" = String, Path)), request_body = BatchRequest,
    responses((status = 200, body = BatchAnswer),
        (status = 409, description = "An operation met a value of another type; nothing was done")))]
pub(crate) async fn batch(
    caller: Caller,
    Segments(space): Segments<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<BatchAnswer>, Problem> {
    input::expect_json(&headers)?;
    let request: BatchRequest = input::json(&body)?;
    if request.operations.len() > BATCH_MAX {
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a batch has at most {BATCH_MAX} operations"),
        ));
    }
    let steps = request.operations.into_iter().enumerate();
    let steps: Vec<Step> = steps
        .map(|(at, operation)| {
            Step::new(operation)
                .map_err(|problem| problem.with("path", format!("/operations/{at}")))
        })
        .collect::<Result<_, _>>()?;
    let call = if steps.iter().any(Step::writes) {
        caller.write("a batch of keys")
    } else {
        caller.read("a batch of keys")
    };
    let (client, space, steps) = (&caller.client, space.as_str(), &steps);
    let read_only = call.read_only;
    let results = client
        .run(&call, move |txn| async move {
            let space = if read_only {
                client.space(&txn, space).await?
            } else {
                Some(client.space_to_write(&txn, space).await?)
            };
            let Some(space) = space else {
                return Ok(vec![json!({ "value": null }); steps.len()]);
            };
            let mut results = Vec::with_capacity(steps.len());
            for (at, step) in steps.iter().enumerate() {
                let result = run_step(client, &space, &txn, step).await;
                results.push(result.map_err(|error| {
                    Report::from(error).with_context(format!("/operations/{at}"))
                })?);
            }
            Ok(results)
        })
        .await
        .map_err(|report| {
            let path = report.context.clone();
            let problem = conflict(report);
            match path {
                Some(path) if path.starts_with('/') => problem.with("path", path),
                _ => problem,
            }
        })?;
    Ok(Json(BatchAnswer { results }))
}

async fn run_step(
    client: &tessera_engine::models::Client,
    space: &tessera_engine::keyvalue::Space,
    txn: &tessera_engine::Transaction,
    step: &Step,
) -> Result<Value, KeyValueError> {
    let key = step.key.as_slice();
    let writer = client.key_writer(space, txn);
    Ok(match step.verb {
        BatchVerb::Get => {
            // Operations before it are part of what it sees.
            let view = txn.newest_view();
            let value = client.key_reader(space, &view).get(key).await?;
            match value.as_deref().map(text_or_base64) {
                None => json!({ "value": null }),
                Some((Some(text), _)) => json!({ "value": text }),
                Some((None, base64)) => json!({ "value_base64": base64 }),
            }
        }
        BatchVerb::Set => {
            let options = SetOptions {
                condition: step.condition,
                expiry: match step.ttl {
                    None => SetExpiry::Clear,
                    Some(millis) => SetExpiry::Expire(Expire::InMillis(millis)),
                },
                get: false,
            };
            let outcome = writer.set(key, &step.value, options).await?;
            json!({ "set": outcome.is_set })
        }
        BatchVerb::Delete => json!({ "deleted": writer.del(&[key]).await? > 0 }),
        BatchVerb::Expire => {
            let is_done = match step.ttl {
                Some(millis) => {
                    let expire = Expire::InMillis(millis);
                    writer
                        .expire(key, expire, ExpireCondition::default())
                        .await?
                }
                None => writer.persist(key).await?,
            };
            json!({ "expires": is_done && step.ttl.is_some() })
        }
        BatchVerb::Increment => json!({ "value": writer.incr_by(key, step.by).await? }),
    })
}
