//! SQL: one statement per request, its rows as one answer or as they come.
//!
//! A request is a session of its own: settings of the request hold for it alone. With
//! `Tessera-Transaction` the session takes part in that transaction.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tessera_engine::{
    CancelHandle, ColumnInfo, Outcome, Report, RowBatch, Rows, Session, SessionOptions,
    TransactionStatus,
};
use tessera_types::codes;
use utoipa::ToSchema;

use super::caller::Caller;
use super::input::{self, Segments};
use crate::problem::Problem;
use crate::router::Shared;

mod values;

/// Bytes of an answer that is not streamed.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Settings of one request.
const SETTINGS_MAX: usize = 32;
/// Characters of a statement's id.
const ID_BYTES_MAX: usize = 64;
/// Bytes of randomness in an id that the server gives.
const ID_BYTES: usize = 12;

const NDJSON: &str = "application/x-ndjson";
/// Names the running statement, for cancelling it.
const STATEMENT: HeaderName = HeaderName::from_static("tessera-statement");

/// A statement to run.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SqlRequest {
    /// One statement, with `$1`, `$2`, … for parameters.
    statement: String,
    /// Values of the parameters. Strings are read as the parameter's type; numbers, booleans and
    /// null stand for themselves, objects for `json`, arrays for arrays or `json`.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    parameters: Vec<Value>,
    /// Session settings for this request, such as `search_path`.
    #[serde(default)]
    #[schema(value_type = Object)]
    settings: Map<String, Value>,
    /// Milliseconds that it may run.
    timeout: Option<u64>,
    /// A name of the client's choice for cancelling it: letters, digits, `-` and `_`.
    id: Option<String>,
}

/// A column of a result.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ColumnAnswer {
    name: String,
    /// Its SQL type.
    r#type: String,
}

/// A whole result. As NDJSON: a line with `columns`, a line per row (an array), and a line with
/// `tag`, or with `error` if it failed on the way.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SqlAnswer {
    /// Absent if the statement returns no rows.
    columns: Option<Vec<ColumnAnswer>>,
    /// Integers, `numeric`, floats and booleans as such, `json` as it is, the rest as text.
    #[schema(value_type = Vec<Vec<Object>>)]
    rows: Option<Vec<Vec<Value>>>,
    /// PostgreSQL's command tag, `INSERT 0 1`.
    tag: String,
    /// Notices and warnings.
    notices: Vec<String>,
}

/// Statements at work, by user and id.
#[derive(Default)]
pub(super) struct Running {
    by_id: Mutex<HashMap<(String, String), CancelHandle>>,
}

/// Keeps a statement listed while it runs. Sessions bound how many there are.
struct Listed {
    running: Arc<Running>,
    key: (String, String),
}

impl Running {
    fn add(
        self: &Arc<Self>,
        key: (String, String),
        handle: CancelHandle,
    ) -> Result<Listed, Problem> {
        let mut all = self.by_id.lock();
        if all.contains_key(&key) {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "a statement with this id is running",
            ));
        }
        all.insert(key.clone(), handle);
        Ok(Listed {
            running: Arc::clone(self),
            key,
        })
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.running.by_id.lock().remove(&self.key);
    }
}

/// A session with its statement.
struct Work {
    session: Session,
    /// Kept to the end: a joined transaction is not idle until then.
    caller: Caller,
    _listed: Listed,
}

/// Runs a statement. Whole results are JSON; with `Accept: application/x-ndjson` rows come as they
/// are computed. A transaction over several statements is begun at `/api/v1/transactions`.
#[utoipa::path(post, path = "/api/v1/sql", tag = "sql", request_body = SqlRequest,
    responses((status = 200, content((SqlAnswer = "application/json"), (String = "application/x-ndjson"))),
        (status = 400, description = "Not a statement; `position` says where"),
        (status = 409, description = "It lost a conflict, or was cancelled"),
        (status = 504, description = "It ran out of time")))]
pub(super) async fn run(
    State(shared): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    input::expect_json(&headers)?;
    let request: SqlRequest = input::json(&body)?;
    let id = statement_id(&caller, request.id)?;
    let engine = caller.client.engine();
    let session = engine
        .connect(SessionOptions {
            user: caller.client.user().to_owned(),
            peer: caller.peer.map(|peer| peer.0),
            protocol: "http",
            settings: settings(request.settings, request.timeout)?,
            ..SessionOptions::default()
        })
        .await?;
    let key = (caller.client.user().to_owned(), id.clone());
    let listed = shared.api.running.add(key, session.cancel_handle())?;
    let mut work = Work {
        session,
        caller,
        _listed: listed,
    };
    if let Some(token) = &work.caller.transaction {
        work.session.join_transaction(token)?;
    }
    let prepared = work.session.parse(&request.statement, &[])?;
    let format = work.session.format().clone();
    let params = values::parameters(&request.parameters, prepared.params(), &format)?;
    work.session.expect_end_of_batch();
    let streams = input::prefers(&headers, NDJSON);
    let mut response = match work.session.execute(&prepared, &params).await? {
        Outcome::Empty => work.command("", streams).await?,
        Outcome::Command(tag) => work.command(&tag.to_string(), streams).await?,
        Outcome::Rows(rows) if streams => streamed(work, rows).await?,
        Outcome::Rows(rows) => work.whole(rows).await?,
        Outcome::CopyIn(_) | Outcome::CopyOut(_) => {
            return Err(Report::unsupported("COPY is not part of this protocol").into());
        }
    };
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(STATEMENT, id);
    }
    Ok(response)
}

fn statement_id(caller: &Caller, asked: Option<String>) -> Result<String, Problem> {
    let Some(id) = asked else {
        let mut bytes = [0; ID_BYTES];
        caller.client.environment().random.fill(&mut bytes);
        return Ok(input::to_base64(&bytes));
    };
    let is_fine = (1..=ID_BYTES_MAX).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if is_fine {
        return Ok(id);
    }
    Err(Problem::bad_request(format!(
        "an id has 1 to {ID_BYTES_MAX} letters, digits, - and _"
    )))
}

fn settings(
    given: Map<String, Value>,
    timeout: Option<u64>,
) -> Result<Vec<(String, String)>, Problem> {
    if given.len() > SETTINGS_MAX {
        return Err(Problem::bad_request(format!(
            "a request has at most {SETTINGS_MAX} settings"
        )));
    }
    let mut settings = Vec::with_capacity(given.len() + 1);
    for (name, value) in given {
        let value = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(value) => if value { "on" } else { "off" }.to_owned(),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                return Err(Problem::bad_request(
                    "a setting is a string, a number, true or false",
                ));
            }
        };
        settings.push((name, value));
    }
    if let Some(timeout) = timeout {
        settings.push(("statement_timeout".to_owned(), timeout.to_string()));
    }
    Ok(settings)
}

impl Work {
    /// Commits what the statement did, before anybody hears of it.
    async fn finish(&mut self) -> Result<(), Report> {
        self.session.end_of_batch().await?;
        if self.caller.transaction.is_none() && self.session.status() != TransactionStatus::Idle {
            // It ends with this session.
            return Err(Report::unsupported(
                "a transaction cannot be left open by a statement over HTTP",
            )
            .with_hint("Begin it by POST /api/v1/transactions."));
        }
        Ok(())
    }

    fn notices(&mut self) -> Vec<Value> {
        let notices = self.session.take_notices();
        let notices = notices.into_iter();
        notices
            .map(|notice| Value::from(notice.message.clone()))
            .collect()
    }

    async fn command(mut self, tag: &str, streams: bool) -> Result<Response, Problem> {
        self.finish().await?;
        let mut text = json!({ "tag": tag, "notices": self.notices() }).to_string();
        if streams {
            text.push('\n');
        }
        Ok(answer(streams, Body::from(text)))
    }

    async fn whole(mut self, mut rows: Rows) -> Result<Response, Problem> {
        let columns = rows.columns().clone();
        let format = self.session.format().clone();
        let mut out = Vec::new();
        out.extend_from_slice(b"{\"columns\":");
        out.extend_from_slice(columns_of(&columns).to_string().as_bytes());
        out.extend_from_slice(b",\"rows\":[");
        let mut count = 0;
        while let Some(batch) = self.session.next_rows(&mut rows).await? {
            for row in 0..batch.rows() {
                if count > 0 {
                    out.push(b',');
                }
                values::write_row(&mut out, &batch, row, &columns, &format);
                count += 1;
                if out.len() > ANSWER_BYTES_MAX {
                    self.session.fail();
                    return Err(Report::error(
                        codes::PROGRAM_LIMIT_EXCEEDED,
                        format!("the answer is above the limit of {ANSWER_BYTES_MAX} bytes"),
                    )
                    .with_hint("Ask for application/x-ndjson, which is streamed.")
                    .into());
                }
            }
        }
        let tag = rows.tag(count).to_string();
        drop(rows);
        self.finish().await?;
        out.extend_from_slice(b"],\"tag\":");
        out.extend_from_slice(Value::from(tag).to_string().as_bytes());
        out.extend_from_slice(b",\"notices\":");
        out.extend_from_slice(Value::from(self.notices()).to_string().as_bytes());
        out.push(b'}');
        Ok(answer(false, Body::from(out)))
    }
}

fn answer(streams: bool, body: Body) -> Response {
    let media_type = if streams { NDJSON } else { "application/json" };
    ([(header::CONTENT_TYPE, media_type)], body).into_response()
}

fn columns_of(columns: &[ColumnInfo]) -> Value {
    let columns = columns.iter();
    let columns =
        columns.map(|column| json!({ "name": column.name, "type": column.sql_type.name() }));
    columns.collect()
}

/// Rows on their way.
struct Streaming {
    work: Work,
    rows: Option<Rows>,
    /// Rows that are here already; none at the very end of the rows.
    first: Option<RowBatch>,
    columns: Arc<[ColumnInfo]>,
    count: u64,
    has_begun: bool,
    /// There was not even a first row.
    is_at_end: bool,
}

/// Answers once the first rows are there, so that what fails at once has its status.
async fn streamed(mut work: Work, mut rows: Rows) -> Result<Response, Problem> {
    let first = work.session.next_rows(&mut rows).await?;
    let columns = rows.columns().clone();
    let streaming = Streaming {
        work,
        rows: Some(rows),
        is_at_end: first.is_none(),
        first,
        columns,
        count: 0,
        has_begun: false,
    };
    let pieces = stream::unfold(streaming, |mut streaming| async move {
        let piece = streaming.piece().await?;
        Some((Ok::<_, std::convert::Infallible>(piece), streaming))
    });
    Ok(answer(true, Body::from_stream(pieces)))
}

impl Streaming {
    /// The next lines; none at the end.
    async fn piece(&mut self) -> Option<Bytes> {
        let mut out = Vec::new();
        if !self.has_begun {
            self.has_begun = true;
            out.extend_from_slice(b"{\"columns\":");
            out.extend_from_slice(columns_of(&self.columns).to_string().as_bytes());
            out.extend_from_slice(b"}\n");
            if let Some(batch) = self.first.take() {
                self.write(&mut out, &batch);
                return Some(out.into());
            }
        }
        let rows = self.rows.as_mut()?;
        let next = if self.is_at_end {
            Ok(None)
        } else {
            self.work.session.next_rows(rows).await
        };
        let ended = match next {
            Ok(Some(batch)) => {
                self.write(&mut out, &batch);
                return Some(out.into());
            }
            Ok(None) => {
                let tag = rows.tag(self.count).to_string();
                self.rows = None;
                self.work.finish().await.map(|()| tag)
            }
            Err(report) => Err(report),
        };
        self.rows = None;
        let last = match ended {
            Ok(tag) => json!({ "tag": tag, "notices": self.work.notices() }),
            Err(report) => {
                let problem = Problem::from(report);
                json!({ "error": problem.to_value(Some(&self.work.caller.correlation_id)) })
            }
        };
        out.extend_from_slice(last.to_string().as_bytes());
        out.push(b'\n');
        Some(out.into())
    }

    fn write(&mut self, out: &mut Vec<u8>, batch: &RowBatch) {
        let format = self.work.session.format().clone();
        for row in 0..batch.rows() {
            values::write_row(out, batch, row, &self.columns, &format);
            out.push(b'\n');
        }
        self.count += batch.rows() as u64;
    }
}

/// Cancels a running statement of the same user.
#[utoipa::path(delete, path = "/api/v1/sql/{id}", tag = "sql", params(("id" = String, Path)),
    responses((status = 202, description = "It was asked to stop"),
        (status = 404, description = "No such statement is running")))]
pub(super) async fn cancel(
    State(shared): State<Shared>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<StatusCode, Problem> {
    let key = (caller.client.user().to_owned(), id);
    let handle = shared.api.running.by_id.lock().get(&key).cloned();
    match handle {
        Some(handle) => {
            handle.cancel();
            Ok(StatusCode::ACCEPTED)
        }
        None => Err(Report::error(codes::NO_DATA, "no statement with this id is running").into()),
    }
}
