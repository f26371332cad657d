//! `Idempotency-Key`: a POST or PATCH that is sent again gets the first one's answer.
//!
//! Answers are remembered in memory, of this server only, for [`KEPT_FOR`]. A request with a key
//! goes on when its client is gone, so that the client can come back for the answer. What is not
//! remembered: answers with 5xx, 401, 409 and 429, after which the request may be tried anew, and
//! answers that are streamed or larger than [`ANSWER_BYTES_MAX`].

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tessera_tasks::TaskGroup;

use super::caller::Caller;
use crate::body::BODY_BYTES_MAX;
use crate::problem::{self, Problem};
use crate::router::single;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer is an earlier one.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Bytes of a key.
const KEY_BYTES_MAX: usize = 255;
/// Answers remembered.
const ANSWERS_MAX: usize = 10_000;
/// Bytes of all of them.
const BYTES_MAX: usize = 32 << 20;
/// Bytes of one.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// For so long.
const KEPT_FOR: Duration = Duration::from_secs(600);

/// A key belongs to its user.
type Key = (String, String);

/// Answers by key.
#[derive(Default)]
pub(super) struct Answers {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    by_key: HashMap<Key, Entry>,
    /// Keys of finished entries, oldest first; some may be gone or have been made anew.
    oldest: VecDeque<(Key, Instant)>,
    bytes: usize,
}

struct Entry {
    /// Method, path and body.
    fingerprint: [u8; 32],
    answer: Option<Kept>,
}

#[derive(Clone)]
struct Kept {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    since: Instant,
}

impl Kept {
    fn response(&self) -> Response {
        let mut response = Response::new(Body::from(self.body.clone()));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        let replayed = HeaderValue::from_static("true");
        response.headers_mut().insert(REPLAYED, replayed);
        response
    }
}

/// The key of a request, if it has one and may be repeated by it.
pub(super) fn key_of(request: &Request) -> Result<Option<String>, Problem> {
    let Some(key) = single(request.headers(), &KEY)? else {
        return Ok(None);
    };
    if !matches!(*request.method(), Method::POST | Method::PATCH) {
        // The others may be repeated anyway.
        return Ok(None);
    }
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(Problem::bad_request(format!(
            "an Idempotency-Key has 1 to {KEY_BYTES_MAX} bytes"
        )));
    }
    Ok(Some(key.to_owned()))
}

impl Inner {
    fn forget(&mut self, key: &Key) {
        if let Some(Entry {
            answer: Some(kept), ..
        }) = self.by_key.remove(key)
        {
            self.bytes = self.bytes.saturating_sub(kept.body.len());
        }
    }

    /// Makes room by age, number and bytes.
    fn trim(&mut self, now: Instant) {
        while let Some((key, since)) = self.oldest.front() {
            let is_over = now.saturating_duration_since(*since) >= KEPT_FOR;
            if !is_over && self.oldest.len() <= ANSWERS_MAX && self.bytes <= BYTES_MAX {
                return;
            }
            let same = self.by_key.get(key).and_then(|entry| entry.answer.as_ref());
            let is_there = same.is_some_and(|kept| kept.since == *since);
            let key = key.clone();
            self.oldest.pop_front();
            if is_there {
                self.forget(&key);
            }
        }
    }
}

/// Gives the key back unless an answer was kept, however the request ends.
struct InProgress {
    answers: Arc<Answers>,
    key: Key,
}

impl Drop for InProgress {
    fn drop(&mut self) {
        let mut inner = self.answers.inner.lock();
        let entry = inner.by_key.get(&self.key);
        if entry.is_some_and(|entry| entry.answer.is_none()) {
            inner.forget(&self.key);
        }
    }
}

impl Answers {
    /// Runs a request by its key, or gives the answer that is there.
    pub(super) async fn answer(
        self: &Arc<Self>,
        key: String,
        request: Request,
        next: Next,
        detached: &TaskGroup,
    ) -> Result<Response, Problem> {
        let Some(caller) = request.extensions().get::<Caller>().cloned() else {
            return Ok(next.run(request).await);
        };
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, BODY_BYTES_MAX).await;
        let body = body.map_err(|_| Problem::bad_request("the body is malformed"))?;
        let mut hasher = Sha256::new();
        for part in [
            parts.method.as_str().as_bytes(),
            parts.uri.to_string().as_bytes(),
            caller.transaction.as_deref().unwrap_or_default().as_bytes(),
            &body,
        ] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        let fingerprint: [u8; 32] = hasher.finalize().into();
        let key = (caller.client.user().to_owned(), key);
        if let Some(kept) = self.begin(&key, fingerprint, Instant::now())? {
            return Ok(kept.response());
        }
        let progress = InProgress {
            answers: Arc::clone(self),
            key,
        };
        let id = caller.correlation_id;
        let request = Request::from_parts(parts, Body::from(body));
        let work = async move {
            let response = problem::finish(next.run(request).await, &id);
            keep(&progress, response).await
        };
        let work = detached.spawn("request with a key", work).map_err(|_| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many requests with an Idempotency-Key at one time",
            )
        })?;
        work.await.unwrap_or_else(|_| {
            Err(Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the request was interrupted",
            ))
        })
    }

    /// Takes a key; the answer if there is one already.
    fn begin(
        &self,
        key: &Key,
        fingerprint: [u8; 32],
        now: Instant,
    ) -> Result<Option<Kept>, Problem> {
        let mut inner = self.inner.lock();
        inner.trim(now);
        match inner.by_key.get(key) {
            Some(entry) if entry.fingerprint != fingerprint => Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "this Idempotency-Key was used for another request",
            )),
            Some(Entry {
                answer: Some(kept), ..
            }) => Ok(Some(kept.clone())),
            Some(_) => Err(Problem::new(
                StatusCode::CONFLICT,
                "the request with this Idempotency-Key is still at work",
            )),
            None => {
                let entry = Entry {
                    fingerprint,
                    answer: None,
                };
                inner.by_key.insert(key.clone(), entry);
                Ok(None)
            }
        }
    }
}

/// Remembers an answer that is final and small, and gives it on.
async fn keep(progress: &InProgress, response: Response) -> Result<Response, Problem> {
    let is_final = !response.status().is_server_error()
        && !matches!(
            response.status(),
            StatusCode::UNAUTHORIZED | StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS
        );
    let size = response.body().size_hint().exact();
    let is_small = size.is_some_and(|bytes| bytes <= ANSWER_BYTES_MAX as u64);
    if !is_final || !is_small {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, ANSWER_BYTES_MAX).await;
    let body = body.map_err(|_| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the answer was interrupted",
        )
    })?;
    let mut headers = parts.headers.clone();
    headers.remove(header::DATE);
    let since = Instant::now();
    {
        let mut inner = progress.answers.inner.lock();
        if let Some(entry) = inner.by_key.get_mut(&progress.key) {
            entry.answer = Some(Kept {
                status: parts.status,
                headers,
                body: body.clone(),
                since,
            });
            inner.bytes += body.len();
            inner.oldest.push_back((progress.key.clone(), since));
        }
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        ("anna".to_owned(), name.to_owned())
    }

    #[tokio::test]
    async fn a_key_gives_the_first_answer_and_only_for_the_same_request() {
        let answers = Arc::<Answers>::default();
        let now = Instant::now();
        assert!(answers.begin(&key("a"), [1; 32], now).unwrap().is_none());
        let busy = answers.begin(&key("a"), [1; 32], now).err().unwrap();
        assert_eq!(busy.status, StatusCode::CONFLICT);
        let other = answers.begin(&key("a"), [2; 32], now).err().unwrap();
        assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
        let progress = InProgress {
            answers: answers.clone(),
            key: key("a"),
        };
        let response = Response::new(Body::from("done"));
        keep(&progress, response).await.unwrap();
        drop(progress);
        let kept = answers.begin(&key("a"), [1; 32], now).unwrap().unwrap();
        assert_eq!(kept.body, "done");
        let later = Instant::now() + KEPT_FOR;
        assert!(answers.begin(&key("a"), [2; 32], later).unwrap().is_none());
    }

    #[tokio::test]
    async fn a_request_that_failed_or_was_dropped_may_be_tried_again() {
        let answers = Arc::<Answers>::default();
        let now = Instant::now();
        for _ in 0..2 {
            assert!(answers.begin(&key("a"), [1; 32], now).unwrap().is_none());
            let progress = InProgress {
                answers: answers.clone(),
                key: key("a"),
            };
            let mut response = Response::new(Body::from("x"));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            keep(&progress, response).await.unwrap();
        }
    }
}
