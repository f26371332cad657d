//! Keys, documents, SQL and transactions over HTTP.
//!
//! # Map
//! - `caller`: who asks and in which transaction: Basic, Bearer, trust, `Tessera-Transaction`.
//! - `tokens`: bearer tokens.
//! - `idempotency`: answers remembered by `Idempotency-Key`.
//! - `input`: strict JSON bodies, queries, path segments, media types.
//! - `etag`: entity tags and their conditions.
//! - `pages`: walks over many pages, each from one snapshot.
//! - `keys`, `documents`, `sql`, `transactions`: the resources.
//! - `changes`: what is committed, as a stream of events.
//! - `openapi`: their description, made from the code.
//!
//! # Invariants
//! 1. A handler is one call of the facade: one statement, in a transaction of its own or in the
//!    one that the request names.
//! 2. JSON is parsed by `tessera_codec::json` only, which refuses what is not JSON, with a place.
//! 3. What is kept between requests is bounded and forgotten: tokens, answers, failures.

mod caller;
mod changes;
mod documents;
mod etag;
mod idempotency;
mod input;
mod keys;
mod openapi;
mod pages;
mod sql;
mod tokens;
mod transactions;

use std::sync::{Arc, OnceLock};

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tessera_engine::{Engine, Throttle};
use tessera_tasks::TaskGroup;
use tokio::sync::Semaphore;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::body::Bodies;
use crate::problem::Problem;
use crate::router::Shared;
use idempotency::Answers;
use sql::Running;
use tokens::Tokens;

pub use openapi::openapi_text;

/// Failed logins of one address in a minute before it is not heard any more.
const FAILURES_MAX: u32 = 10;

/// How the routes to data are opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct ApiOptions {
    /// Everybody is who he says he is, and the administrator if he says nothing: for ports that
    /// only the machine itself reaches.
    pub trust: bool,
}

/// What the routes to data share.
pub(crate) struct Api {
    opened: OnceLock<(Engine, ApiOptions)>,
    pub(crate) bodies: Bodies,
    tokens: Tokens,
    throttle: Throttle,
    answers: Arc<Answers>,
    running: Arc<Running>,
    /// Change streams that may be opened.
    streams: Arc<Semaphore>,
    /// Requests that go on when their client is gone.
    detached: TaskGroup,
}

impl Api {
    pub(crate) fn new(detached: TaskGroup) -> Api {
        Api {
            opened: OnceLock::new(),
            bodies: Bodies::default(),
            tokens: Tokens::default(),
            throttle: Throttle::new(FAILURES_MAX),
            answers: Arc::default(),
            running: Arc::default(),
            streams: Arc::new(Semaphore::new(changes::STREAMS_MAX)),
            detached,
        }
    }

    pub(crate) fn open(&self, engine: Engine, options: ApiOptions) {
        // The first one counts.
        let _ = self.opened.set((engine, options));
    }

    fn engine(&self) -> Result<&(Engine, ApiOptions), Problem> {
        self.opened
            .get()
            .ok_or_else(|| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the server is starting"))
    }

    /// Answers a request for data.
    pub(crate) async fn answer(&self, request: Request, next: Next) -> Response {
        match idempotency::key_of(&request) {
            Ok(None) => next.run(request).await,
            Ok(Some(key)) => {
                let answering = self.answers.answer(key, request, next, &self.detached);
                answering.await.unwrap_or_else(IntoResponse::into_response)
            }
            Err(problem) => problem.into_response(),
        }
    }
}

/// The routes to data, and their description.
pub(crate) fn routes() -> (axum::Router<Shared>, utoipa::openapi::OpenApi) {
    let (router, mut api) = OpenApiRouter::with_openapi(openapi::document())
        .routes(routes!(keys::walk::list_spaces))
        .routes(routes!(keys::walk::scan, keys::walk::drop_space))
        .routes(routes!(keys::batch::batch))
        .routes(routes!(
            keys::one::get_key,
            keys::one::put_key,
            keys::one::delete_key
        ))
        .routes(routes!(
            documents::collections::list,
            documents::collections::create
        ))
        .routes(routes!(
            documents::collections::describe,
            documents::collections::drop_collection,
            documents::insert::insert
        ))
        .routes(routes!(
            documents::collections::create_index,
            documents::collections::drop_index
        ))
        .routes(routes!(
            documents::one::get,
            documents::one::put,
            documents::one::patch,
            documents::one::delete
        ))
        .routes(routes!(documents::query::query))
        .routes(routes!(documents::query::count))
        .routes(routes!(documents::query::aggregate))
        .routes(routes!(documents::query::explain))
        .routes(routes!(documents::change::update))
        .routes(routes!(documents::change::delete))
        .routes(routes!(sql::run))
        .routes(routes!(sql::cancel))
        .routes(routes!(transactions::begin))
        .routes(routes!(transactions::commit))
        .routes(routes!(transactions::roll_back))
        .routes(routes!(changes::follow))
        .routes(routes!(tokens::mint, tokens::revoke))
        .split_for_parts();
    openapi::put_verbs_behind(&mut api);
    openapi::describe_errors(&mut api);
    (router, api)
}
