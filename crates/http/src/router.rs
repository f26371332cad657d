//! Routes, and what every request and every answer has in common.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::uri::{PathAndQuery, Uri};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tessera_telemetry::labels::{HttpCode, HttpMethod, Route};
use tessera_telemetry::{CorrelationId, Exposition, metrics, render};

use crate::api::{self, Api};
use crate::body::{self, BODY_BYTES_MAX};
use crate::health::{HealthSource, Status};
use crate::host;
use crate::problem::{self, Problem};
use crate::swagger;

/// Longest body of a request for anything but data.
const SMALL_BODY_BYTES_MAX: usize = 64 << 10;

const CORRELATION_HEADER: HeaderName = HeaderName::from_static("x-correlation-id");

/// Path of everything about data.
const API: &str = "/api/v1/";
/// Path of the change stream.
const CHANGES: &str = "/api/v1/changes";

/// On every answer that does not know better: nothing is cached, sniffed, framed or loaded from
/// elsewhere.
const COMMON_HEADERS: [(HeaderName, &str); 4] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; frame-ancestors 'none'",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) health: Arc<dyn HealthSource>,
    pub(crate) host_names: Arc<[String]>,
    pub(crate) api: Arc<Api>,
}

pub(crate) fn router(shared: Shared) -> Router {
    let (data, _) = api::routes();
    Router::new()
        .route("/", get(index))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/health/startup", get(startup))
        .route("/metrics", get(exposition))
        .route("/api/v1/version", get(version))
        .route("/api/v1/openapi.json", get(openapi))
        .route("/api/v1/docs", get(swagger::page))
        .route("/api/v1/docs/{file}", get(swagger::file))
        .merge(data)
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path does not answer this method",
            )
        })
        .layer(from_fn_with_state(shared.clone(), guard))
        .with_state(shared)
}

/// The request for the path that the router knows: `/api/v1/documents/orders:query` is
/// `/api/v1/documents:query/orders` there, because a router cannot cut a segment.
pub(crate) fn rewritten(mut request: Request) -> Request {
    if let Some(uri) = rewritten_uri(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

fn rewritten_uri(uri: &Uri) -> Option<Uri> {
    let rest = uri.path().strip_prefix(API)?;
    let (kind, name) = rest.split_once('/')?;
    let (name, verb) = name.rsplit_once(':')?;
    if !matches!(kind, "keys" | "documents") || name.contains('/') || verb.contains('/') {
        return None;
    }
    let query = uri
        .query()
        .map_or_else(String::new, |query| format!("?{query}"));
    let path = format!("{API}{kind}:{verb}/{name}{query}");
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    Uri::from_parts(parts).ok()
}

/// Measures, and checks what is checked for all routes.
async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = route_of(request.uri().path());
    let method = method_of(request.method());
    let id = CorrelationId::next().to_string();
    tracing::debug!(correlation_id = %id, method = %request.method(), route = route.as_str());
    let response = match admit(&shared, request, &id).await {
        Ok(request) if is_data(request.uri().path()) => shared.api.answer(request, next).await,
        Ok(request) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let mut response = problem::finish(response, &id);
    let headers = response.headers_mut();
    for (name, value) in COMMON_HEADERS {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(CORRELATION_HEADER, id);
    }
    let metrics = metrics();
    metrics
        .http_requests
        .with((route, method, code_of(response.status())))
        .increment();
    metrics
        .http_request_duration
        .with(route)
        .record(started.elapsed());
    response
}

/// The request with its body taken in, or why it is refused.
async fn admit(shared: &Shared, request: Request, id: &str) -> Result<Request, Problem> {
    let headers = request.headers();
    let authority = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    let authority = match authority {
        Some(authority) => authority.to_owned(),
        None => single(headers, &header::HOST)?
            .ok_or_else(|| Problem::bad_request("the Host header is missing"))?
            .to_owned(),
    };
    if !host::is_ours(&authority, &shared.host_names) {
        return Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "this host name is not served here; see http_host_names in the configuration",
        ));
    }
    if let Some(origin) = single(headers, &header::ORIGIN)?
        && !host::is_same_origin(origin, &authority)
    {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "requests of other origins are refused",
        ));
    }
    let is_data = is_data(request.uri().path());
    let (mut parts, body) = request.into_parts();
    // Before the body is taken in, which may be large.
    let caller = if is_data {
        Some(shared.api.caller(&parts, id).await?)
    } else {
        None
    };
    let bytes_max = if is_data {
        BODY_BYTES_MAX
    } else {
        SMALL_BODY_BYTES_MAX
    };
    let taken = body::take(&parts.headers, body, bytes_max, &shared.api.bodies).await?;
    if let Some(caller) = caller {
        parts.extensions.insert(caller.with_place(taken.place));
    }
    Ok(Request::from_parts(parts, Body::from(taken.bytes)))
}

/// The value of a header that may occur once.
pub(crate) fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Problem::bad_request("a header occurs more than once"));
    }
    let text = first.map(HeaderValue::to_str).transpose();
    text.map_err(|_| Problem::bad_request("a header is not plain text"))
}

fn health(status: &Status) -> Response {
    let code = match status {
        Status::Pass | Status::Warn(_) => StatusCode::OK,
        Status::Fail(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let body = serde_json::json!({ "status": status.as_str() }).to_string();
    (
        code,
        [(header::CONTENT_TYPE, "application/health+json")],
        body,
    )
        .into_response()
}

/// Answering at all is the whole proof.
async fn live() -> Response {
    health(&Status::Pass)
}

async fn ready(State(shared): State<Shared>) -> Response {
    health(&shared.health.ready())
}

async fn startup(State(shared): State<Shared>) -> Response {
    health(&shared.health.started())
}

async fn exposition(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let health = &metrics().health_status;
    health.set("ready", shared.health.ready().ratio());
    health.set("startup", shared.health.started().ratio());
    let accepted = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    let open = accepted.is_some_and(|accepted| accepted.contains("application/openmetrics-text"));
    let exposition = if open {
        Exposition::OpenMetrics
    } else {
        Exposition::Prometheus
    };
    (
        [(header::CONTENT_TYPE, exposition.content_type())],
        render(exposition),
    )
        .into_response()
}

async fn version() -> Response {
    let body = serde_json::json!({ "name": "tessera", "version": env!("CARGO_PKG_VERSION") });
    (
        [(header::CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response()
}

/// What the routes to data take and answer; the same for everybody, so no login is needed.
async fn openapi() -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        api::openapi_text(),
    )
        .into_response()
}

async fn index() -> Response {
    const PAGE: &str = concat!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">",
        "<title>Tessera</title></head>\n<body>\n<h1>Tessera ",
        env!("CARGO_PKG_VERSION"),
        "</h1>\n<p>This server speaks SQL on its PostgreSQL port; this port tells how it is, ",
        "and has keys, documents and SQL under <code>/api/v1</code>.</p>\n",
        "<ul>\n<li><a href=\"/health/ready\">Ready?</a></li>\n",
        "<li><a href=\"/metrics\">Metrics</a></li>\n",
        "<li><a href=\"/api/v1/version\">Version</a></li>\n",
        "<li><a href=\"/api/v1/docs\">API, to read and try</a></li>\n",
        "<li><a href=\"/api/v1/openapi.json\">OpenAPI</a></li>\n</ul>\n</body>\n</html>\n"
    );
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE).into_response()
}

fn route_of(path: &str) -> Route {
    if let Some(rest) = path.strip_prefix(API) {
        let end = rest.find(['/', ':']).unwrap_or(rest.len());
        return match &rest[..end] {
            "version" => Route::Version,
            "openapi.json" | "docs" => Route::OpenApi,
            "keys" => Route::Keys,
            "documents" => Route::Documents,
            "sql" => Route::Sql,
            "transactions" => Route::Transactions,
            "tokens" => Route::Tokens,
            _ => Route::Other,
        };
    }
    match path {
        "/" => Route::Index,
        "/health/live" => Route::Live,
        "/health/ready" => Route::Ready,
        "/health/startup" => Route::Startup,
        "/metrics" => Route::Metrics,
        _ => Route::Other,
    }
}

/// Whether a path needs a login.
fn is_data(path: &str) -> bool {
    // The metrics count it with the other routes.
    path == CHANGES
        || matches!(
            route_of(path),
            Route::Keys | Route::Documents | Route::Sql | Route::Transactions | Route::Tokens
        )
}

fn method_of(method: &Method) -> HttpMethod {
    match *method {
        Method::GET => HttpMethod::Get,
        Method::HEAD => HttpMethod::Head,
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        Method::PATCH => HttpMethod::Patch,
        Method::DELETE => HttpMethod::Delete,
        _ => HttpMethod::Other,
    }
}

fn code_of(status: StatusCode) -> HttpCode {
    match status.as_u16() {
        0..300 => HttpCode::Success,
        300..400 => HttpCode::Redirect,
        400..500 => HttpCode::Client,
        _ => HttpCode::Server,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_behind_a_name_moves_to_the_front() {
        for (from, to) in [
            ("/api/v1/keys/db0:batch", Some("/api/v1/keys:batch/db0")),
            (
                "/api/v1/documents/app.orders:query?x=1",
                Some("/api/v1/documents:query/app.orders?x=1"),
            ),
            ("/api/v1/keys/db0/a:b", None),
            ("/api/v1/sql/a:b", None),
            ("/api/v1/keys/db0", None),
            ("/metrics", None),
        ] {
            let uri: Uri = from.parse().expect("a path");
            let got = rewritten_uri(&uri).map(|uri| uri.to_string());
            assert_eq!(got.as_deref(), to, "{from}");
        }
    }
}
