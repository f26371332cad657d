//! The key of a path: read, written, deleted.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tessera_engine::Report;
use tessera_engine::keyvalue::{
    Expire, ExpireCondition, GetExpiry, SetCondition, SetExpiry, SetOptions, ValueType,
};
use tessera_types::codes;
use utoipa::{IntoParams, ToSchema};

use super::values::{self, Content, Part, TypedValue};
use super::{KeyAnswer, conflict};
use crate::api::caller::Caller;
use crate::api::etag::{Conditions, quoted, tag_of};
use crate::api::input::{self, Params, Segments};
use crate::problem::Problem;

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
pub(crate) struct KeyParams {
    /// How the key of the path is written.
    #[param(inline)]
    encoding: KeyEncoding,
}

/// Parameters of a read of one key.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct GetParams {
    /// How the key of the path is written.
    #[param(inline)]
    encoding: KeyEncoding,
    /// As JSON: elements of one answer, 1 to 10000; 1000 by default. Hashes and sets may give some
    /// more or less, and elements that are long make it fewer.
    limit: Option<u64>,
    /// As JSON: `next` of the answer before.
    cursor: Option<String>,
}

/// Parameters of a write of one key.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct PutParams {
    /// How the key of the path is written.
    #[param(inline)]
    encoding: KeyEncoding,
    /// Milliseconds until the key expires; without it, it does not.
    ttl: Option<i64>,
    /// Leave the time to live as it is.
    keep_ttl: bool,
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

/// Reads a key. The bytes of a string, or with `Accept: application/json` what the key is and its
/// value, of any type.
#[utoipa::path(get, path = "/api/v1/keys/{space}/{key}", tag = "keys",
    params(("space" = String, Path), ("key" = String, Path), GetParams,
        ("If-None-Match" = Option<String>, Header, description = "304 if the value has this tag")),
    responses((status = 200, content((Vec<u8> = "application/octet-stream"),
            (KeyAnswer = "application/json"))),
        (status = 304, description = "Not changed"), (status = 404, description = "No such key"),
        (status = 409, description = "It holds no string; ask for JSON")))]
pub(crate) async fn get_key(
    caller: Caller,
    Segments((space, key)): Segments<(String, String)>,
    Params(params): Params<GetParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let conditions = Conditions::of(&headers)?;
    let wants_json = input::prefers(&headers, "application/json");
    let key = key_bytes(key, params.encoding)?;
    let part = &Part::new(params.limit, params.cursor)?;
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
            let is_wanted = wants_json || info.value_type == ValueType::String;
            let content = if is_wanted {
                values::read(&reader, &info, part).await?
            } else {
                None
            };
            Ok(Some((info, content)))
        })
        .await?;
    let (info, content) = found.ok_or_else(no_such_key)?;
    let (content, next) = content.unzip();
    let now = client.now();
    let tag = match &content {
        Some(Content::String(value)) => Some(tag_of(value)),
        _ => None,
    };
    if conditions.is_known(tag.as_deref()) {
        return Ok(tagged(StatusCode::NOT_MODIFIED.into_response(), tag));
    }
    let mut response = match content {
        Some(Content::String(value)) if !wants_json => {
            let media_type = [(header::CONTENT_TYPE, "application/octet-stream")];
            (media_type, Body::from(value)).into_response()
        }
        _ if !wants_json => {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                format!(
                    "the key holds a {}; ask for application/json",
                    info.value_type.name()
                ),
            )
            .with("code", codes::DATATYPE_MISMATCH.as_str()));
        }
        content => {
            let mut answer = KeyAnswer::of(&info, content.as_ref(), now);
            answer.next = next.flatten();
            Json(answer).into_response()
        }
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

/// Writes a key: the body is the value, whatever its media type. `If-Match` and `If-None-Match`
/// make it a compare-and-set. A body of `application/vnd.tessera.value+json` is a value with its
/// type, `{"type": "hash", "value": {"a": "1"}}`, which replaces what is there.
#[utoipa::path(put, path = "/api/v1/keys/{space}/{key}", tag = "keys",
    params(("space" = String, Path), ("key" = String, Path), PutParams,
        ("If-Match" = Option<String>, Header, description = "Write only over this value, or * for any"),
        ("If-None-Match" = Option<String>, Header, description = "*: write only if there is nothing")),
    request_body(content((Vec<u8> = "application/octet-stream"),
        (TypedValue = "application/vnd.tessera.value+json"))),
    responses((status = 201, description = "It is new"), (status = 204, description = "It is written"),
        (status = 412, description = "What is stored is not what the condition asks for")))]
pub(crate) async fn put_key(
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
    if input::content_type(&headers)? == values::TYPED {
        let typed: TypedValue = input::json(&body)?;
        let content = typed.content()?;
        let written = put_typed(&caller, space, key, &content, &conditions, expiry).await?;
        return written.status().map(IntoResponse::into_response);
    }
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
    let status = written.status()?;
    Ok(tagged(status.into_response(), Some(tag_of(body))))
}

/// Replaces whatever a key holds by a value of any type.
async fn put_typed(
    caller: &Caller,
    space: &str,
    key: &[u8],
    content: &Content,
    conditions: &Conditions,
    expiry: SetExpiry,
) -> Result<Put, Problem> {
    let expire = match expiry {
        SetExpiry::Clear => None,
        SetExpiry::Expire(expire) => Some(expire),
        SetExpiry::Keep => {
            return Err(Problem::bad_request(
                "keep_ttl is for values that are sent as bytes",
            ));
        }
    };
    let condition = match conditions.presence() {
        Some(condition) => condition,
        None => {
            return Err(Problem::bad_request(
                "the conditions of a value with its type are If-Match: * and If-None-Match: *",
            ));
        }
    };
    let client = &caller.client;
    let call = caller.write("write a key");
    let written = client.run(&call, move |txn| async move {
        let space = client.space_to_write(&txn, space).await?;
        let writer = client.key_writer(&space, &txn);
        if condition != SetCondition::Always {
            // Takes the key's lock and looks at what is newest, whatever its type.
            let options = SetOptions {
                condition,
                ..SetOptions::default()
            };
            if !writer.set(key, b"", options).await?.is_set {
                return Ok(Put::Refused);
            }
        }
        let was_there = writer.del(&[key]).await? > 0 && condition != SetCondition::IfAbsent;
        content.write(&writer, key).await?;
        if let Some(expire) = expire {
            writer
                .expire(key, expire, ExpireCondition::default())
                .await?;
        }
        Ok(if was_there {
            Put::Replaced
        } else {
            Put::Created
        })
    });
    written.await.map_err(conflict)
}

/// What became of a write.
#[derive(Clone, Copy)]
enum Put {
    Created,
    Replaced,
    Refused,
}

impl Put {
    fn status(self) -> Result<StatusCode, Problem> {
        match self {
            Put::Created => Ok(StatusCode::CREATED),
            Put::Replaced => Ok(StatusCode::NO_CONTENT),
            Put::Refused => Err(Problem::precondition()),
        }
    }
}

/// Deletes a key of any type.
#[utoipa::path(delete, path = "/api/v1/keys/{space}/{key}", tag = "keys",
    params(("space" = String, Path), ("key" = String, Path), KeyParams,
        ("If-Match" = Option<String>, Header, description = "Delete only this value")),
    responses((status = 204, description = "It is gone"), (status = 404, description = "No such key"),
        (status = 412, description = "It holds something else")))]
pub(crate) async fn delete_key(
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
