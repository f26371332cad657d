//! Routes, and what every answer has in common.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tessera_telemetry::labels::{HttpCode, HttpMethod, Route};
use tessera_telemetry::{CorrelationId, Exposition, metrics, render};

use crate::health::{HealthSource, Status};
use crate::host;
use crate::problem::Problem;

/// Longest request body. No route takes one yet.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;

const CORRELATION_HEADER: HeaderName = HeaderName::from_static("x-correlation-id");

/// On every answer: nothing is cached, sniffed, framed or loaded from elsewhere.
const COMMON_HEADERS: [(HeaderName, &str); 4] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; frame-ancestors 'none'",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
];

#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) health: Arc<dyn HealthSource>,
    pub(crate) host_names: Arc<[String]>,
}

pub(crate) fn router(shared: Shared) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/health/startup", get(startup))
        .route("/metrics", get(exposition))
        .route("/api/v1/version", get(version))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path only answers GET and HEAD",
            )
        })
        .layer(from_fn_with_state(shared.clone(), guard))
        .with_state(shared)
}

/// Measures, and checks what is checked for all routes.
async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = route_of(request.uri().path());
    let method = method_of(request.method());
    let id = CorrelationId::next();
    tracing::debug!(correlation_id = %id, method = %request.method(), route = route.as_str());
    let mut response = match admit(&shared, request).await {
        Ok(request) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in COMMON_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
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
async fn admit(shared: &Shared, request: Request) -> Result<Request, Problem> {
    let headers = request.headers();
    let authority = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    let authority = match authority {
        Some(authority) => authority.to_owned(),
        None => single(headers, header::HOST)?.ok_or(NO_HOST)?.to_owned(),
    };
    if !host::is_ours(&authority, &shared.host_names) {
        return Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "this host name is not served here; see http_host_names in the configuration",
        ));
    }
    if let Some(origin) = single(headers, header::ORIGIN)?
        && !host::is_same_origin(origin, &authority)
    {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "requests of other origins are refused",
        ));
    }
    let announced = single(headers, header::CONTENT_LENGTH)?;
    let announced = announced.and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > BODY_BYTES_MAX as u64) {
        return Err(TOO_LARGE);
    }
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_BYTES_MAX).await.map_err(|error| {
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = cause {
            // The limiter's own error type is not public; its text is all there is.
            if error.to_string() == "length limit exceeded" {
                return TOO_LARGE;
            }
            cause = error.source();
        }
        Problem::new(StatusCode::BAD_REQUEST, "the body is malformed")
    })?;
    Ok(Request::from_parts(parts, Body::from(body)))
}

const NO_HOST: Problem = Problem {
    status: StatusCode::BAD_REQUEST,
    detail: "the Host header is missing",
};
const TOO_LARGE: Problem = Problem {
    status: StatusCode::PAYLOAD_TOO_LARGE,
    detail: "the body is too large",
};

/// The value of a header that may occur once.
fn single(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "a header occurs more than once",
        ));
    }
    let text = first.map(HeaderValue::to_str).transpose();
    text.map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "a header is not plain text"))
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

async fn index() -> Response {
    const PAGE: &str = concat!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">",
        "<title>Tessera</title></head>\n<body>\n<h1>Tessera ",
        env!("CARGO_PKG_VERSION"),
        "</h1>\n<p>This server speaks SQL on its PostgreSQL port; this port tells how it is.</p>\n",
        "<ul>\n<li><a href=\"/health/ready\">Ready?</a></li>\n",
        "<li><a href=\"/metrics\">Metrics</a></li>\n",
        "<li><a href=\"/api/v1/version\">Version</a></li>\n</ul>\n</body>\n</html>\n"
    );
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE).into_response()
}

fn route_of(path: &str) -> Route {
    match path {
        "/" => Route::Index,
        "/health/live" => Route::Live,
        "/health/ready" => Route::Ready,
        "/health/startup" => Route::Startup,
        "/metrics" => Route::Metrics,
        "/api/v1/version" => Route::Version,
        _ => Route::Other,
    }
}

fn method_of(method: &Method) -> HttpMethod {
    match *method {
        Method::GET => HttpMethod::Get,
        Method::HEAD => HttpMethod::Head,
        Method::POST => HttpMethod::Post,
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
