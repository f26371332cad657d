//! The change stream as server-sent events.
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html>
//!
//! An event is a change; its id is the cursor behind it, which browsers and client libraries send as
//! `Last-Event-ID` when they connect again. While nothing happens, a comment comes now and then, with
//! the id of how far the stream has got. The log is read as fast as the client takes the events.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tessera_engine::changes::{
    Change, ChangeKind, ChangeStream, ChangesFrom, ChangesRequest, ColumnValue, Followed, Model,
    What,
};
use tessera_engine::keyvalue::KeyFacts;
use tessera_engine::{Report, Value as SqlValue};
use tessera_types::datetime::Civil;
use tessera_types::{FormatContext, SqlType, codes};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;

use super::caller::Caller;
use super::input::{self, Params};
use super::sql::values;
use crate::problem::Problem;
use crate::router::{Shared, single};

/// Streams at one time.
pub(super) const STREAMS_MAX: usize = 64;
/// Time between two signs of life while nothing happens.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Milliseconds that clients wait before they connect again.
const RETRY_MS: u64 = 1_000;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What to follow, from where.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct ChangesParams {
    /// `now` (the default) or `oldest`: the oldest change that is kept.
    from: Option<String>,
    /// The id of an event: go on behind it. The header `Last-Event-ID`, which clients send by
    /// themselves when they connect again, counts before it.
    cursor: Option<String>,
    /// Names of tables, key spaces and collections, separated by commas, such as
    /// `orders,kv.db0`; all that the user may read if it is not said.
    relation: Option<String>,
    /// `rows`, `keys` or `documents`, separated by commas.
    model: Option<String>,
}

/// Follows what is committed, over all models, in the order of the commits: events `insert`,
/// `update`, `delete`, `schema`, and `commit` when a transaction is complete. The data of an event
/// is a JSON object, its id the cursor to go on from.
#[utoipa::path(get, path = "/api/v1/changes", tag = "changes",
    params(ChangesParams,
        ("Last-Event-ID" = Option<String>, Header, description = "Go on behind this event")),
    responses((status = 200, description = "Events, without end",
            content((String = "text/event-stream"))),
        (status = 400, description = "The cursor is not one of this database"),
        (status = 403, description = "A relation of somebody else"),
        (status = 404, description = "No such relation"),
        (status = 410, description = "The changes behind the cursor are not kept any more"),
        (status = 429, description = "Too many streams are open")))]
pub(super) async fn follow(
    State(shared): State<Shared>,
    caller: Caller,
    Params(params): Params<ChangesParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let request = request_of(&params, single(&headers, &LAST_EVENT_ID)?)?;
    let permit = Arc::clone(&shared.api.streams).try_acquire_owned();
    let permit = permit.map_err(|_| {
        Report::error(
            codes::CONFIGURATION_LIMIT_EXCEEDED,
            format!("too many change streams are open (at most {STREAMS_MAX})"),
        )
    })?;
    let changes = caller.client.changes(&request).map_err(problem)?;
    let first = first_frame(&changes);
    let events = Events {
        changes,
        first: Some(first),
        stop: shared.api.detached.token(),
        is_over: false,
        // Not the caller's place: the request's body is long done with.
        _permit: permit,
    };
    let body = Body::from_stream(stream::unfold(events, Events::step));
    Ok(([(header::CONTENT_TYPE, "text/event-stream")], body).into_response())
}

fn request_of(params: &ChangesParams, last_id: Option<&str>) -> Result<ChangesRequest, Problem> {
    let bad =
        |text: String| -> Problem { Report::error(codes::INVALID_PARAMETER_VALUE, text).into() };
    let cursor = last_id
        .filter(|id| !id.is_empty())
        .or(params.cursor.as_deref());
    let from = match (cursor, params.from.as_deref()) {
        (Some(cursor), _) => ChangesFrom::Cursor(cursor.to_owned()),
        (None, None | Some("now")) => ChangesFrom::Now,
        (None, Some("oldest")) => ChangesFrom::Oldest,
        (None, Some(_)) => return Err(bad("from is now or oldest".to_owned())),
    };
    let parts = |list: &Option<String>| -> Vec<String> {
        let list = list.as_deref().unwrap_or_default();
        let parts = list.split(',').map(str::trim);
        let parts = parts.filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    };
    let models = parts(&params.model).into_iter().map(|model| {
        Ok(match model.as_str() {
            "rows" => Model::Rows,
            "keys" => Model::KeySpace,
            "documents" => Model::Collection,
            _ => return Err(bad("model is rows, keys or documents".to_owned())),
        })
    });
    Ok(ChangesRequest {
        from,
        models: models.collect::<Result<_, Problem>>()?,
        relations: parts(&params.relation),
    })
}

/// What is not kept any more is gone, not in conflict.
fn problem(report: Report) -> Problem {
    let is_gone = report.code == codes::SNAPSHOT_TOO_OLD;
    let mut problem = Problem::from(report);
    if is_gone {
        problem.status = StatusCode::GONE;
    }
    problem
}

/// A stream on its way to a client.
struct Events {
    changes: ChangeStream,
    first: Option<Bytes>,
    stop: CancellationToken,
    is_over: bool,
    _permit: OwnedSemaphorePermit,
}

type Step = Option<(Result<Bytes, std::convert::Infallible>, Events)>;

impl Events {
    /// The next piece of the answer.
    async fn step(mut self) -> Step {
        if let Some(first) = self.first.take() {
            return Some((Ok(first), self));
        }
        if self.is_over {
            return None;
        }
        let next = tokio::select! {
            biased;
            () = self.stop.cancelled() => return None,
            next = tokio::time::timeout(HEARTBEAT, self.changes.next()) => next,
        };
        let frame = match next {
            Ok(Ok(change)) => event(&change),
            Err(_) => heartbeat(&self.changes),
            Ok(Err(report)) if report.code == codes::CANNOT_CONNECT_NOW => return None,
            Ok(Err(report)) => {
                self.is_over = true;
                format!("event: error\ndata: {}\n\n", problem(report).body())
            }
        };
        Some((Ok(Bytes::from(frame)), self))
    }
}

/// Clients learn at once where they are, so that they lose nothing if they are cut off before the
/// first event.
fn first_frame(changes: &ChangeStream) -> Bytes {
    Bytes::from(format!("retry: {RETRY_MS}\n{}", heartbeat(changes)))
}

fn heartbeat(changes: &ChangeStream) -> String {
    match changes.cursor() {
        // An id without data moves the client's last id, and is no event.
        Some(cursor) => format!(":\nid: {cursor}\n\n"),
        None => ":\n\n".to_owned(),
    }
}

fn event(change: &Change) -> String {
    let mut data = Map::new();
    let name = match &change.what {
        What::Row {
            relation,
            kind,
            key,
            row,
        } => {
            start(&mut data, relation, *kind);
            data.insert("key".into(), columns(key));
            let value = row.as_ref().map(|row| row_object(relation, row));
            data.insert("value".into(), value.into());
            kind.as_str()
        }
        What::Key {
            relation,
            kind,
            key,
            facts,
        } => {
            start(&mut data, relation, *kind);
            put_bytes(&mut data, "key", key);
            if let Some(facts) = facts {
                put_facts(&mut data, facts);
            }
            kind.as_str()
        }
        What::Document {
            relation,
            kind,
            id,
            document,
        } => {
            start(&mut data, relation, *kind);
            data.insert("key".into(), id.as_str().into());
            let value = document.as_ref().and_then(|document| {
                data.insert("document_version".into(), document.version().into());
                document.to_value().ok()
            });
            data.insert("value".into(), value.into());
            kind.as_str()
        }
        What::Schema { relation, action } => {
            data.insert("relation".into(), relation.name().into());
            data.insert("model".into(), model_name(relation.model()).into());
            data.insert("action".into(), action.as_str().into());
            let columns = relation.def().columns.iter();
            let columns = columns
                .map(|column| json!({ "name": column.name, "type": column.sql_type.name() }));
            data.insert("columns".into(), columns.collect());
            "schema"
        }
        What::Commit { changes } => {
            data.insert("changes".into(), (*changes).into());
            "commit"
        }
    };
    data.insert("version".into(), change.version.0.into());
    if let Some(micros) = change.unix_micros {
        data.insert("time".into(), time(micros).into());
    }
    // JSON text has no line breaks outside of strings here, and none within them.
    let data = Value::Object(data);
    format!("id: {}\nevent: {name}\ndata: {data}\n\n", change.cursor)
}

fn start(data: &mut Map<String, Value>, relation: &Followed, kind: ChangeKind) {
    data.insert("relation".into(), relation.name().into());
    data.insert("model".into(), model_name(relation.model()).into());
    data.insert("kind".into(), kind.as_str().into());
}

fn model_name(model: Model) -> &'static str {
    match model {
        Model::Rows => "rows",
        Model::KeySpace => "keys",
        Model::Collection => "documents",
    }
}

fn columns(values: &[ColumnValue]) -> Value {
    let mut object = Map::new();
    for column in values {
        let value = sql_value(&column.value, &column.sql_type);
        object.insert(column.name.clone(), value);
    }
    Value::Object(object)
}

fn row_object(relation: &Followed, row: &[SqlValue]) -> Value {
    let mut object = Map::new();
    for (column, value) in relation.def().columns.iter().zip(row) {
        object.insert(column.name.clone(), sql_value(value, &column.sql_type));
    }
    Value::Object(object)
}

/// As `/sql` shows it.
fn sql_value(value: &SqlValue, sql_type: &SqlType) -> Value {
    let mut text = Vec::new();
    values::write(
        &mut text,
        value.as_ref(),
        sql_type,
        &FormatContext::default(),
    );
    match tessera_codec::json::parse(&text) {
        Ok(value) => value,
        // A stored `json` may hold what our strict parser refuses, such as a key twice.
        Err(_) => String::from_utf8_lossy(&text).into_owned().into(),
    }
}

fn put_facts(data: &mut Map<String, Value>, facts: &KeyFacts) {
    data.insert("type".into(), facts.value_type.name().into());
    if let Some(value) = &facts.value {
        put_bytes(data, "value", value);
    }
    if let Some(expires) = facts.expires {
        data.insert("expires_unix_ms".into(), expires.0.into());
    }
    if let Some(count) = facts.count {
        data.insert("elements".into(), count.into());
    }
    data.insert("bytes".into(), facts.bytes.into());
}

/// Text, or base64 under another name.
fn put_bytes(data: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => data.insert(name.into(), text.into()),
        Err(_) => data.insert(format!("{name}_base64"), input::to_base64(bytes).into()),
    };
}

/// RFC 3339.
fn time(unix_micros: i64) -> String {
    let at = Civil::from_micros(unix_micros);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
        at.year, at.month, at.day, at.hour, at.minute, at.second, at.micro
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(params: ChangesParams, last_id: Option<&str>) -> Result<ChangesRequest, u16> {
        request_of(&params, last_id).map_err(|problem| problem.status.as_u16())
    }

    #[test]
    fn the_last_event_counts_before_the_cursor_and_that_before_from() {
        let params = || ChangesParams {
            from: Some("oldest".to_owned()),
            cursor: Some("c".to_owned()),
            ..ChangesParams::default()
        };
        let cursor = |text: &str| ChangesFrom::Cursor(text.to_owned());
        let from = |last| parsed(params(), last).map(|request| request.from);
        assert_eq!(from(Some("last")), Ok(cursor("last")));
        assert_eq!(from(Some("")), Ok(cursor("c")));
        assert_eq!(from(None), Ok(cursor("c")));
        let oldest = ChangesParams {
            cursor: None,
            ..params()
        };
        assert_eq!(
            parsed(oldest, None).map(|r| r.from),
            Ok(ChangesFrom::Oldest)
        );
    }

    #[test]
    fn lists_are_cut_at_commas_and_unknown_words_are_refused() {
        let params = |model: &str, from: &str| ChangesParams {
            relation: Some("a, kv.db0,".to_owned()),
            model: Some(model.to_owned()),
            from: Some(from.to_owned()),
            ..ChangesParams::default()
        };
        let request = parsed(params("rows,keys", "now"), None);
        let request = request.map(|request| (request.relations, request.models));
        let names = vec!["a".to_owned(), "kv.db0".to_owned()];
        assert_eq!(request, Ok((names, vec![Model::Rows, Model::KeySpace])));
        assert_eq!(parsed(params("graphs", "now"), None).err(), Some(400));
        assert_eq!(parsed(params("rows", "yesterday"), None).err(), Some(400));
    }

    #[test]
    fn times_are_written_as_rfc_3339() {
        assert_eq!(time(1_700_000_000_000_001), "2023-11-14T22:13:20.000001Z");
    }
}
