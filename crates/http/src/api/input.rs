//! What requests bring: JSON bodies, queries, segments of the path, media types.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tessera_codec::json::{JsonError, JsonErrorKind};
use tessera_types::codes;

use crate::problem::Problem;
use crate::router::{Shared, single};

/// Parses a body strictly: 400 with the place of what is wrong.
pub(super) fn value(body: &[u8]) -> Result<Value, Problem> {
    tessera_codec::json::parse(body).map_err(|error| json_problem(&error))
}

/// A problem about a text that is not JSON, or beyond a limit of ours.
pub(super) fn json_problem(error: &JsonError) -> Problem {
    let status = match error.kind {
        JsonErrorKind::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::BAD_REQUEST,
    };
    let (code, retry) = error.code();
    let mut problem = Problem::new(status, error.to_string())
        .with("code", code.as_str())
        .with("retry", retry.as_str());
    if let Some(position) = &error.position {
        problem = problem
            .with("line", position.line as u64)
            .with("column", position.column as u64)
            .with("offset", position.offset as u64);
    }
    problem
}

/// A body as a type.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    from_value(value(body)?)
}

/// The same; an empty body is the default.
pub(super) fn json_or_default<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, Problem> {
    if body.is_empty() {
        return Ok(T::default());
    }
    json(body)
}

pub(super) fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    serde_json::from_value(value).map_err(|error| {
        Problem::bad_request(format!("the body is not what is expected: {error}"))
            .with("code", codes::INVALID_PARAMETER_VALUE.as_str())
    })
}

/// The media type of the body in lower case, without parameters; empty if it is not said.
pub(super) fn content_type(headers: &HeaderMap) -> Result<String, Problem> {
    let text = single(headers, &header::CONTENT_TYPE)?.unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default();
    Ok(essence.trim().to_ascii_lowercase())
}

/// Refuses a body that is said to be something else than JSON.
pub(super) fn expect_json(headers: &HeaderMap) -> Result<(), Problem> {
    match content_type(headers)?.as_str() {
        "" | "application/json" => Ok(()),
        _ => Err(unsupported_media_type("application/json")),
    }
}

/// 415.
pub(super) fn unsupported_media_type(expected: &str) -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!("the body must be of type {expected}"),
    )
}

/// Whether the client would rather have this type than another one; `Accept` with `*/*`, or none,
/// does not say so.
pub(super) fn prefers(headers: &HeaderMap, media_type: &str) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    accepted.filter_map(|text| text.to_str().ok()).any(|text| {
        let mut types = text.split(',');
        types.any(|part| {
            let essence = part.split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case(media_type)
        })
    })
}

/// Segments of the path, decoded; 400 as a problem when they are no UTF-8.
pub(super) struct Segments<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Shared> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Segments(value)),
            Err(_) => Err(Problem::bad_request(
                "the path is not percent-encoded UTF-8",
            )),
        }
    }
}

/// The query part; 400 as a problem when something in it is wrong.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Shared> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Params(value)),
            Err(rejection) => Err(Problem::bad_request(rejection.body_text())),
        }
    }
}

/// Bytes from base64, of either alphabet.
pub(super) fn base64(text: &str) -> Result<Vec<u8>, Problem> {
    let plain = text.trim_end_matches('=');
    URL_SAFE_NO_PAD
        .decode(plain)
        .or_else(|_| STANDARD.decode(text))
        .map_err(|_| Problem::bad_request("a text is not base64"))
}

/// Base64 that can stand in a URL.
pub(super) fn to_base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A page's size: what is asked for, within its bounds.
pub(super) fn limit(asked: Option<u64>, default: usize, max: usize) -> Result<usize, Problem> {
    match asked {
        None => Ok(default),
        Some(asked) => match usize::try_from(asked) {
            Ok(limit) if (1..=max).contains(&limit) => Ok(limit),
            _ => Err(Problem::bad_request(format!(
                "limit is between 1 and {max}"
            ))),
        },
    }
}
