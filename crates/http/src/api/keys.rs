//! Keys: one value, a walk over keys, many operations at once.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tessera_engine::Report;
use tessera_engine::keyvalue::{
    Expire, ExpireCondition, GetExpiry, KeyInfo, KeyValueError, ScanSpec, SetCondition, SetExpiry,
    SetOptions, UnixMillis, ValueType,
};
use tessera_types::codes;
use utoipa::{IntoParams, ToSchema};

use super::caller::Caller;
use super::etag::{Conditions, quoted, tag_of};
use super::input::{self, Params, Segments};
use crate::problem::Problem;

/// Operations of one batch.
const BATCH_MAX: usize = 10_000;
/// Keys of a page when nothing is said, and at most.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1_000;

/// How the key of the path is written.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum KeyEncoding {
    /// Percent-encoded UTF-8.
    #[default]
    Text,
    /// URL-safe base64, for keys that are not UTF-8.
    Base64,
}

/// Parameters of requests for one key.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct KeyParams {
    /// How the key of the path is written.
    #[param(inline)]
    encoding: KeyEncoding,
}

/// Parameters of a write of one key.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct PutParams {
    /// How the key of the path is written.
    #[param(inline)]
    encoding: KeyEncoding,
    /// Milliseconds until the key expires; without it, it does not.
    ttl: Option<i64>,
    /// Leave the time to live as it is.
    keep_ttl: bool,
}

/// Parameters of a walk over keys.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct ScanParams {
    /// Only keys that begin so.
    prefix: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Keys to look at, 1 to 1000; 100 by default. Pages may be shorter.
    limit: Option<u64>,
}

/// What a key is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeyAnswer {
    /// The key, if it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The key as base64, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    /// `string`, `hash`, `list`, `set`, `zset` or `stream`.
    r#type: &'static str,
    /// The value of a string that is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// The value of a string that is not, as base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    /// Milliseconds until it expires; absent if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    /// Elements; absent for strings.
    #[serde(skip_serializing_if = "Option::is_none")]
    elements: Option<u64>,
    /// Bytes of the value.
    bytes: u64,
}

impl KeyAnswer {
    fn of(info: &KeyInfo, value: Option<&[u8]>, now: UnixMillis) -> KeyAnswer {
        let (key, key_base64) = text_or_base64(&info.key);
        let (value, value_base64) = value.map_or((None, None), text_or_base64);
        KeyAnswer {
            key,
            key_base64,
            r#type: info.value_type.name(),
            value,
            value_base64,
            ttl: info.expires.map(|at| at.0.saturating_sub(now.0)),
            elements: info.elements,
            bytes: info.bytes,
        }
    }
}

fn text_or_base64(bytes: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(input::to_base64(bytes))),
    }
}

/// One page of a walk.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ScanAnswer {
    /// Keys in the order of their bytes. Values are here only if they are small.
    keys: Vec<KeyAnswer>,
    /// For `cursor`; null at the end.
    next: Option<String>,
}

/// A key space.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SpaceAnswer {
    name: String,
    owner: String,
    /// Keys now.
    keys: u64,
    /// Those of them that expire.
    expiring: u64,
    /// Bytes of keys and values.
    bytes: u64,
}

/// The key spaces.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SpacesAnswer {
    spaces: Vec<SpaceAnswer>,
}

fn key_bytes(key: String, encoding: KeyEncoding) -> Result<Vec<u8>, Problem> {
    match encoding {
        KeyEncoding::Text => Ok(key.into_bytes()),
        KeyEncoding::Base64 => input::base64(&key),
    }
}

fn no_such_key() -> Problem {
    Report::error(codes::NO_DATA, "there is no such key").into()
}

/// A value of another type is a state to deal with, not a wrong request.
fn conflict(report: Report) -> Problem {
    let is_type = report.code == codes::DATATYPE_MISMATCH;
    let mut problem = Problem::from(report);
    if is_type {
        problem.status = StatusCode::CONFLICT;
    }
    problem
}

/// Lists the key spaces of the user, with their exact sizes.
#[utoipa::path(get, path = "/api/v1/keys", tag = "keys",
    responses((status = 200, body = SpacesAnswer)))]
pub(super) async fn list_spaces(caller: Caller) -> Result<Json<SpacesAnswer>, Problem> {
    let list = caller.client.list_key_spaces().await?;
    let spaces = list.into_iter().map(|space| SpaceAnswer {
        name: space.name,
        owner: space.owner,
        keys: space.footprint.keys,
        expiring: space.footprint.expiring,
        bytes: space.footprint.bytes,
    });
    Ok(Json(SpacesAnswer {
        spaces: spaces.collect(),
    }))
}

/// Walks over the keys of a key space. A key that is there all the time is met exactly once.
#[utoipa::path(get, path = "/api/v1/keys/{space}", tag = "keys",
    params(("space" = String, Path), ScanParams),
    responses((status = 200, body = ScanAnswer)))]
pub(super) async fn scan(
    caller: Caller,
    Segments(space): Segments<String>,
    Params(params): Params<ScanParams>,
) -> Result<Json<ScanAnswer>, Problem> {
    let limit = input::limit(params.limit, PAGE_DEFAULT, PAGE_MAX)?;
    let after = params.cursor.as_deref().map(input::base64).transpose()?;
    let pattern = params.prefix.as_deref().map(prefix_pattern);
    let (client, space) = (&caller.client, space.as_str());
    let (after, pattern) = (after.as_deref(), pattern.as_deref());
    let page = client
        .run(&caller.read("walk over keys"), move |txn| async move {
            let Some(space) = client.space(&txn, space).await? else {
                return Ok(None);
            };
            let view = txn.view();
            let spec = ScanSpec {
                pattern,
                value_type: None,
                count: Some(limit),
            };
            let reader = client.key_reader(&space, &view);
            Ok(Some(reader.scan_keys(after, &spec).await?))
        })
        .await?
        .unwrap_or_default();
    let now = client.now();
    let keys = page.keys.iter();
    let keys = keys.map(|info| KeyAnswer::of(info, info.small_value.as_deref(), now));
    Ok(Json(ScanAnswer {
        keys: keys.collect(),
        next: page.next.map(|key| input::to_base64(&key)),
    }))
}

/// A pattern that means exactly the prefix.
fn prefix_pattern(prefix: &str) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(prefix.len() + 1);
    for byte in prefix.bytes() {
        if matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\' | b'^') {
            pattern.push(b'\\');
        }
        pattern.push(byte);
    }
    pattern.push(b'*');
    pattern
}

/// Drops a key space with all its keys.
#[utoipa::path(delete, path = "/api/v1/keys/{space}", tag = "keys",
    params(("space" = String, Path)),
    responses((status = 204, description = "It is gone"), (status = 404, description = "There is none")))]
pub(super) async fn drop_space(
    caller: Caller,
    Segments(space): Segments<String>,
) -> Result<StatusCode, Problem> {
    let call = caller.write("drop a key space");
    if caller.client.drop_key_space(&call, &space).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    let message = format!("key space \"{space}\" does not exist");
    Err(Report::error(codes::UNDEFINED_TABLE, message).into())
}

/// Reads a key. The bytes of a string, or with `Accept: application/json` what the key is.
#[utoipa::path(get, path = "/api/v1/keys/{space}/{key}", tag = "keys",
    params(("space" = String, Path), ("key" = String, Path), KeyParams,
        ("If-None-Match" = Option<String>, Header, description = "304 if the value has this tag")),
    responses((status = 200, content((Vec<u8> = "application/octet-stream"),
            (KeyAnswer = "application/json"))),
        (status = 304, description = "Not changed"), (status = 404, description = "No such key"),
        (status = 409, description = "It holds no string; ask for JSON")))]
pub(super) async fn get_key(
    caller: Caller,
    Segments((space, key)): Segments<(String, String)>,
    Params(params): Params<KeyParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let conditions = Conditions::of(&headers)?;
    let key = key_bytes(key, params.encoding)?;
    let (client, space, key) = (&caller.client, space.as_str(), key.as_slice());
    let found = client
        .run(&caller.read("read a key"), move |txn| async move {
            let Some(space) = client.space(&txn, space).await? else {
                return Ok(None);
            };
            let view = txn.view();
            let reader = client.key_reader(&space, &view);
            let Some(info) = reader.info(key).await? else {
                return Ok(None);
            };
            let value = match info.value_type {
                ValueType::String => reader.get(key).await?,
                _ => None,
            };
            Ok(Some((info, value)))
        })
        .await?;
    let (info, value) = found.ok_or_else(no_such_key)?;
    let now = client.now();
    let tag = value.as_deref().map(tag_of);
    if conditions.is_known(tag.as_deref()) {
        return Ok(tagged(StatusCode::NOT_MODIFIED.into_response(), tag));
    }
    let wants_json = input::prefers(&headers, "application/json");
    let mut response = match value {
        Some(value) if !wants_json => {
            let media_type = [(header::CONTENT_TYPE, "application/octet-stream")];
            (media_type, Body::from(value)).into_response()
        }
        None if !wants_json => {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                format!(
                    "the key holds a {}; ask for application/json",
                    info.value_type.name()
                ),
            )
            .with("code", codes::DATATYPE_MISMATCH.as_str()));
        }
        value => Json(KeyAnswer::of(&info, value.as_deref(), now)).into_response(),
    };
    if let Some(expires) = info.expires {
        let ttl = HeaderValue::from(expires.0.saturating_sub(now.0));
        response.headers_mut().insert("tessera-ttl", ttl);
    }
    Ok(tagged(response, tag))
}

fn tagged(mut response: Response, tag: Option<String>) -> Response {
    if let Some(tag) = tag {
        response.headers_mut().insert(header::ETAG, quoted(&tag));
    }
    response
}

/// Writes a key: the body is the value, whatever its type. `If-Match` and `If-None-Match` make it
/// a compare-and-set.
#[utoipa::path(put, path = "/api/v1/keys/{space}/{key}", tag = "keys",
    params(("space" = String, Path), ("key" = String, Path), PutParams,
        ("If-Match" = Option<String>, Header, description = "Write only over this value, or * for any"),
        ("If-None-Match" = Option<String>, Header, description = "*: write only if there is nothing")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 201, description = "It is new"), (status = 204, description = "It is written"),
        (status = 412, description = "What is stored is not what the condition asks for")))]
pub(super) async fn put_key(
    caller: Caller,
    Segments((space, key)): Segments<(String, String)>,
    Params(params): Params<PutParams>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let conditions = Conditions::of(&headers)?;
    let expiry = match (params.ttl, params.keep_ttl) {
        (None, false) => SetExpiry::Clear,
        (None, true) => SetExpiry::Keep,
        (Some(millis), false) => SetExpiry::Expire(Expire::InMillis(millis)),
        (Some(_), true) => return Err(Problem::bad_request("ttl and keep_ttl exclude each other")),
    };
    let key = key_bytes(key, params.encoding)?;
    let (client, space, key) = (&caller.client, space.as_str(), key.as_slice());
    let (body, conditions) = (&body, &conditions);
    let written = client
        .run(&caller.write("write a key"), move |txn| async move {
            let space = client.space_to_write(&txn, space).await?;
            let writer = client.key_writer(&space, &txn);
            let fresh = SetOptions {
                condition: SetCondition::IfAbsent,
                expiry,
                get: false,
            };
            if conditions.is_empty() {
                // Most writes do not care; whether it was there is found out on the way.
                if writer.set(key, body, fresh).await?.is_set {
                    return Ok(Put::Created);
                }
            } else {
                // Reads what is newest, under the key's lock.
                let old = writer.getex(key, GetExpiry::Keep).await?;
                let tag = old.as_deref().map(tag_of);
                if !conditions.allow_write(tag.as_deref()) {
                    return Ok(Put::Refused);
                }
                if old.is_none() {
                    writer.set(key, body, fresh).await?;
                    return Ok(Put::Created);
                }
            }
            let options = SetOptions {
                condition: SetCondition::Always,
                ..fresh
            };
            writer.set(key, body, options).await?;
            Ok(Put::Replaced)
        })
        .await
        .map_err(conflict)?;
    let status = match written {
        Put::Created => StatusCode::CREATED,
        Put::Replaced => StatusCode::NO_CONTENT,
        Put::Refused => return Err(Problem::precondition()),
    };
    Ok(tagged(status.into_response(), Some(tag_of(body))))
}

/// What became of a write.
#[derive(Clone, Copy)]
enum Put {
    Created,
    Replaced,
    Refused,
}

/// Deletes a key of any type.
#[utoipa::path(delete, path = "/api/v1/keys/{space}/{key}", tag = "keys",
    params(("space" = String, Path), ("key" = String, Path), KeyParams,
        ("If-Match" = Option<String>, Header, description = "Delete only this value")),
    responses((status = 204, description = "It is gone"), (status = 404, description = "No such key"),
        (status = 412, description = "It holds something else")))]
pub(super) async fn delete_key(
    caller: Caller,
    Segments((space, key)): Segments<(String, String)>,
    Params(params): Params<KeyParams>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let conditions = Conditions::of(&headers)?;
    let key = key_bytes(key, params.encoding)?;
    let (client, space, key) = (&caller.client, space.as_str(), key.as_slice());
    let conditions = &conditions;
    let deleted = client
        .run(&caller.write("delete a key"), move |txn| async move {
            let Some(space) = client.space(&txn, space).await? else {
                return Ok(Some(0));
            };
            let writer = client.key_writer(&space, &txn);
            if !conditions.is_empty() {
                let old = writer.getex(key, GetExpiry::Keep).await?;
                if !conditions.allow_write(old.as_deref().map(tag_of).as_deref()) {
                    return Ok(None);
                }
            }
            Ok(Some(writer.del(&[key]).await?))
        })
        .await
        .map_err(conflict)?;
    match deleted {
        None => Err(Problem::precondition()),
        Some(0) => Err(no_such_key()),
        Some(_) => Ok(StatusCode::NO_CONTENT),
    }
}

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
pub(super) struct BatchOperation {
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
pub(super) struct BatchRequest {
    operations: Vec<BatchOperation>,
}

/// One result per operation.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BatchAnswer {
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
pub(super) async fn batch(
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_meant_letter_by_letter() {
        for (prefix, key, matches) in [
            ("a*", "a*b", true),
            ("a*", "abc", false),
            ("[x]", "[x]y", true),
            ("a\\", "a\\b", true),
            ("?", "?", true),
            ("?", "a", false),
        ] {
            let pattern = prefix_pattern(prefix);
            let got = tessera_engine::keyvalue::glob_matches(&pattern, key.as_bytes());
            assert_eq!(got, matches, "{prefix} {key}");
        }
    }
}
