//! Bearer tokens: made for whoever is logged in, kept as hashes, gone after a while.
//!
//! They live in memory: a restart ends them all.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::caller::Caller;
use super::input;
use crate::problem::Problem;
use crate::router::Shared;

/// Tokens at one time.
const TOKENS_MAX: usize = 10_000;
/// Of one user.
const TOKENS_PER_USER_MAX: usize = 100;
/// Life of a token when nothing is said.
const LIFE_DEFAULT: Duration = Duration::from_secs(3_600);
/// Longest life.
const LIFE_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Bytes of randomness.
const TOKEN_BYTES: usize = 32;

type Hash = [u8; 32];

/// The tokens of a server.
#[derive(Default)]
pub(super) struct Tokens {
    by_hash: Mutex<HashMap<Hash, Token>>,
}

struct Token {
    user: String,
    until: Instant,
}

fn hash(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

impl Tokens {
    /// Whose token it is. The look-up is by hash, so its time tells nothing about the token.
    pub(super) fn user(&self, token: &str, now: Instant) -> Option<String> {
        let tokens = self.by_hash.lock();
        let found = tokens.get(&hash(token)).filter(|token| token.until > now)?;
        Some(found.user.clone())
    }

    fn add(&self, token: &str, user: &str, until: Instant, now: Instant) -> Result<(), Problem> {
        let mut tokens = self.by_hash.lock();
        if tokens.len() >= TOKENS_MAX {
            tokens.retain(|_, token| token.until > now);
        }
        let mine = tokens.values();
        let mine = mine.filter(|token| token.user == user && token.until > now);
        if tokens.len() >= TOKENS_MAX || mine.count() >= TOKENS_PER_USER_MAX {
            return Err(Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too many tokens are valid at one time",
            ));
        }
        let user = user.to_owned();
        tokens.insert(hash(token), Token { user, until });
        Ok(())
    }

    fn remove(&self, token: &str) -> bool {
        self.by_hash.lock().remove(&hash(token)).is_some()
    }
}

/// What a token is asked for with.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TokenRequest {
    /// Seconds that the token is to be valid, at most 2592000 (30 days); 3600 by default.
    expires_in: Option<u64>,
}

/// A new token; it is shown once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenAnswer {
    /// For `Authorization: Bearer`.
    token: String,
    /// Seconds that it is valid.
    expires_in: u64,
}

/// Makes a bearer token for the user who asks, who must have logged in by a password.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", request_body = Option<TokenRequest>,
    responses((status = 201, body = TokenAnswer), (status = 401, description = "Not logged in")))]
pub(super) async fn mint(
    State(shared): State<Shared>,
    caller: Caller,
    body: Bytes,
) -> Result<(StatusCode, Json<TokenAnswer>), Problem> {
    if caller.bearer.is_some() {
        // Else a stolen token could live for ever.
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "a token is made with a password, not with another token",
        ));
    }
    let request: TokenRequest = input::json_or_default(&body)?;
    let life = request.expires_in.map_or(LIFE_DEFAULT, Duration::from_secs);
    if life.is_zero() || life > LIFE_MAX {
        return Err(Problem::bad_request(format!(
            "expires_in is between 1 and {} seconds",
            LIFE_MAX.as_secs()
        )));
    }
    let mut bytes = [0; TOKEN_BYTES];
    caller.client.environment().random.fill(&mut bytes);
    let token = format!("tsr_{}", URL_SAFE_NO_PAD.encode(bytes));
    let now = Instant::now();
    let tokens = &shared.api.tokens;
    tokens.add(&token, caller.client.user(), now + life, now)?;
    let answer = TokenAnswer {
        token,
        expires_in: life.as_secs(),
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Ends the token that the request was sent with.
#[utoipa::path(delete, path = "/api/v1/tokens", tag = "tokens",
    responses((status = 204, description = "It is not valid any more"),
        (status = 400, description = "The request was not sent with a token")))]
pub(super) async fn revoke(
    State(shared): State<Shared>,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    let Some(token) = &caller.bearer else {
        return Err(Problem::bad_request(
            "the request was not sent with a token",
        ));
    };
    shared.api.tokens.remove(token);
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]
mod tests {
    use super::*;

    #[test]
    fn a_token_ends_at_its_time_and_when_it_is_revoked() {
        let tokens = Tokens::default();
        let now = Instant::now();
        let until = now + Duration::from_secs(10);
        tokens.add("a", "anna", until, now).unwrap();
        assert_eq!(tokens.user("a", now).as_deref(), Some("anna"));
        assert_eq!(tokens.user("b", now), None);
        assert_eq!(tokens.user("a", until), None);
        assert!(tokens.remove("a") && !tokens.remove("a"));
    }

    #[test]
    fn one_user_cannot_take_all_places() {
        let tokens = Tokens::default();
        let now = Instant::now();
        let until = now + Duration::from_secs(10);
        for number in 0..TOKENS_PER_USER_MAX {
            tokens.add(&number.to_string(), "anna", until, now).unwrap();
        }
        assert!(tokens.add("one more", "anna", until, now).is_err());
        tokens.add("other", "bert", until, now).unwrap();
        tokens
            .add("later", "anna", until + LIFE_MAX, until)
            .unwrap();
    }
}
