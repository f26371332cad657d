//! Keys: one value, a walk over keys, many operations at once.
//!
//! # Map
//! - `one`: the key of a path; `values`: values of all types as JSON.
//! - `walk`: key spaces and pages of their keys.
//! - `batch`: operations on many keys, all or none.

pub(super) mod batch;
pub(super) mod one;
mod values;
pub(super) mod walk;

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use tessera_engine::Report;
use tessera_engine::keyvalue::{KeyInfo, UnixMillis};
use tessera_types::codes;
use utoipa::ToSchema;

use super::input;
use crate::problem::Problem;
use values::Content;

/// What a key is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyAnswer {
    /// The key, if it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The key as base64, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    /// `string`, `hash`, `list`, `set`, `zset` or `stream`.
    r#type: &'static str,
    /// The value if all of it is UTF-8: a string, an object for hashes, an array for lists and
    /// sets, `[{"member", "score"}]` for sorted sets, `[{"id", "fields": [[name, value]]}]` for
    /// streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value)]
    value: Option<Value>,
    /// The value if it is not: in the same shape, every text in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value)]
    value_base64: Option<Value>,
    /// For `cursor`, if the value has more elements than this answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
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
    fn of(info: &KeyInfo, value: Option<&Content>, now: UnixMillis) -> KeyAnswer {
        let (key, key_base64) = text_or_base64(&info.key);
        let (value, value_base64) = value.map_or((None, None), Content::to_json);
        KeyAnswer {
            key,
            key_base64,
            r#type: info.value_type.name(),
            value,
            value_base64,
            next: None,
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

/// A value of another type is a state to deal with, not a wrong request.
fn conflict(report: Report) -> Problem {
    let is_type = report.code == codes::DATATYPE_MISMATCH;
    let mut problem = Problem::from(report);
    if is_type {
        problem.status = StatusCode::CONFLICT;
    }
    problem
}
