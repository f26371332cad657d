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
use futures::{StreamExt as _, stream};
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

mod arrow;
pub(super) mod values;

use arrow::ArrowStream;

/// Bytes of an answer that is not streamed.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Settings of one request.
const SETTINGS_MAX: usize = 32;
/// Characters of a statement's id.
const ID_BYTES_MAX: usize = 64;
/// Bytes of randomness in an id that the server gives.
const ID_BYTES: usize = 12;

const NDJSON: &str = "application/x-ndjson";
/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One JSON object.
    Whole,
    /// JSON, line by line.
    Lines,
    Arrow,
}

impl Form {
    fn of(headers: &HeaderMap) -> Form {
        if input::prefers(headers, arrow::MEDIA_TYPE) {
            Form::Arrow
        } else if input::prefers(headers, NDJSON) {
            Form::Lines
        } else {
            Form::Whole
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Form::Whole => "application/json",
            Form::Lines => NDJSON,
            Form::Arrow => arrow::MEDIA_TYPE,
        }
    }

    fn answer(self, body: Body) -> Response {
        ([(header::CONTENT_TYPE, self.media_type())], body).into_response()
    }
}

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
    #[schema(value_type = Vec<Value>)]
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
    #[schema(value_type = Option<Vec<Vec<Value>>>)]
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

/// Runs a statement. Whole results are JSON; with `Accept: application/x-ndjson`, or
/// `application/vnd.apache.arrow.stream`, rows come as they are computed. A transaction over several statements is begun at `/api/v1/transactions`.
#[utoipa::path(post, path = "/api/v1/sql", tag = "sql", request_body = SqlRequest,
    responses((status = 200, content((SqlAnswer = "application/json"), (String = "application/x-ndjson"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"))),
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
    let form = Form::of(&headers);
    let mut response = match work.session.execute(&prepared, &params).await? {
        Outcome::Empty => work.command("", form).await?,
        Outcome::Command(tag) => work.command(&tag.to_string(), form).await?,
        Outcome::Rows(rows) if form == Form::Whole => work.whole(rows).await?,
        Outcome::Rows(rows) => streamed(work, rows, form).await?,
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

    async fn command(mut self, tag: &str, form: Form) -> Result<Response, Problem> {
        self.finish().await?;
        if form == Form::Arrow {
            return Ok(form.answer(Body::from(ArrowStream::command(tag)?)));
        }
        let mut text = json!({ "tag": tag, "notices": self.notices() }).to_string();
        if form == Form::Lines {
            text.push('\n');
        }
        Ok(form.answer(Body::from(text)))
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
        Ok(Form::Whole.answer(Body::from(out)))
    }
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
    /// There was not even a first row.
    is_at_end: bool,
    /// Absent for lines of JSON.
    arrow: Option<ArrowStream>,
}

/// Answers once the first rows are there, so that what fails at once has its status.
async fn streamed(mut work: Work, mut rows: Rows, form: Form) -> Result<Response, Problem> {
    let first = work.session.next_rows(&mut rows).await?;
    let columns = rows.columns().clone();
    let arrow = match form {
        Form::Arrow => Some(ArrowStream::new(&columns)?),
        Form::Whole | Form::Lines => None,
    };
    let mut streaming = Streaming {
        work,
        rows: Some(rows),
        is_at_end: first.is_none(),
        first,
        columns,
        count: 0,
        arrow,
    };
    let begin = streaming.begin()?;
    let pieces = stream::unfold(streaming, |mut streaming| async move {
        let piece = streaming.piece().await?;
        Some((piece, streaming))
    });
    let pieces = stream::iter([Ok(begin)]).chain(pieces);
    Ok(form.answer(Body::from_stream(pieces)))
}

/// A stream of a format that has no place for errors ends before its end.
#[derive(Debug, thiserror::Error)]
#[error("the statement failed on the way")]
struct CutOff;

impl Streaming {
    /// The columns and the first rows.
    fn begin(&mut self) -> Result<Bytes, Report> {
        let mut out = Vec::new();
        if self.arrow.is_none() {
            out.extend_from_slice(b"{\"columns\":");
            out.extend_from_slice(columns_of(&self.columns).to_string().as_bytes());
            out.extend_from_slice(b"}\n");
        }
        match self.first.take() {
            Some(batch) => self.write(&mut out, &batch)?,
            None => {
                if let Some(arrow) = &mut self.arrow {
                    out = arrow.take();
                }
            }
        }
        Ok(out.into())
    }

    /// The next rows; none at the end.
    async fn piece(&mut self) -> Option<Result<Bytes, CutOff>> {
        let mut out = Vec::new();
        let rows = self.rows.as_mut()?;
        let next = if self.is_at_end {
            Ok(None)
        } else {
            self.work.session.next_rows(rows).await
        };
        let ended = match next {
            Ok(Some(batch)) => match self.write(&mut out, &batch) {
                Ok(()) => return Some(Ok(out.into())),
                Err(report) => {
                    self.work.session.fail();
                    Err(report)
                }
            },
            Ok(None) => {
                let tag = rows.tag(self.count).to_string();
                self.rows = None;
                self.work.finish().await.map(|()| tag)
            }
            Err(report) => Err(report),
        };
        self.rows = None;
        if let Some(arrow) = &mut self.arrow {
            let ended = ended.and_then(|_| arrow.finish());
            return Some(match ended {
                Ok(()) => Ok(arrow.take().into()),
                Err(report) => {
                    let correlation_id = &self.work.caller.correlation_id;
                    tracing::info!(%correlation_id, error = %report.message, "a stream of rows was cut off");
                    Err(CutOff)
                }
            });
        }
        let last = match ended {
            Ok(tag) => json!({ "tag": tag, "notices": self.work.notices() }),
            Err(report) => {
                let problem = Problem::from(report);
                json!({ "error": problem.to_value(Some(&self.work.caller.correlation_id)) })
            }
        };
        out.extend_from_slice(last.to_string().as_bytes());
        out.push(b'\n');
        Some(Ok(out.into()))
    }

    fn write(&mut self, out: &mut Vec<u8>, batch: &RowBatch) -> Result<(), Report> {
        let format = self.work.session.format().clone();
        if let Some(arrow) = &mut self.arrow {
            arrow.write(batch, &format)?;
            *out = arrow.take();
        } else {
            for row in 0..batch.rows() {
                values::write_row(out, batch, row, &self.columns, &format);
                out.push(b'\n');
            }
        }
        self.count += batch.rows() as u64;
        Ok(())
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
