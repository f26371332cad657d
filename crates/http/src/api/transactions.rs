//! Transactions over several requests.

use axum::Json;
use axum::body::Bytes;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tessera_engine::Isolation;
use tessera_engine::models::BeginOptions;
use utoipa::ToSchema;

use super::caller::Caller;
use super::input::{self, Segments};
use crate::problem::Problem;

/// An isolation level.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Level {
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

/// How a transaction begins; what is not said is the server's default.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BeginRequest {
    /// What it sees of others.
    isolation: Option<Level>,
    /// Refuse writes.
    read_only: bool,
    /// Whether the commit waits for the disk.
    durable: Option<bool>,
}

/// An open transaction.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BeginAnswer {
    /// For the header `Tessera-Transaction`, or `SET tessera.join` in SQL, of the same user.
    token: String,
}

/// Begins a transaction. It ends by commit, by rollback, or by itself when it was idle for
/// `idle_in_transaction_session_timeout`.
#[utoipa::path(post, path = "/api/v1/transactions", tag = "transactions",
    request_body = Option<BeginRequest>,
    responses((status = 201, body = BeginAnswer),
        (status = 429, description = "Too many transactions are open")))]
pub(super) async fn begin(
    caller: Caller,
    body: Bytes,
) -> Result<(StatusCode, Json<BeginAnswer>), Problem> {
    let request: BeginRequest = input::json_or_default(&body)?;
    let isolation = request.isolation.map(|level| match level {
        Level::ReadCommitted => Isolation::ReadCommitted,
        Level::RepeatableRead => Isolation::RepeatableRead,
        Level::Serializable => Isolation::Serializable,
    });
    let token = caller.client.begin(BeginOptions {
        isolation,
        read_only: request.read_only,
        durable: request.durable,
    })?;
    Ok((StatusCode::CREATED, Json(BeginAnswer { token })))
}

/// Commits a transaction. It is over, whatever the answer is.
#[utoipa::path(post, path = "/api/v1/transactions/{token}/commit", tag = "transactions",
    params(("token" = String, Path)),
    responses((status = 204, description = "Committed, and on disk if it is durable"),
        (status = 404, description = "There is no such transaction of this user"),
        (status = 409, description = "It lost a conflict, or a statement of it had")))]
pub(super) async fn commit(
    caller: Caller,
    Segments(token): Segments<String>,
) -> Result<StatusCode, Problem> {
    caller.client.commit_held(&token).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Rolls a transaction back.
#[utoipa::path(post, path = "/api/v1/transactions/{token}/rollback", tag = "transactions",
    params(("token" = String, Path)),
    responses((status = 204, description = "Nothing of it took effect"),
        (status = 404, description = "There is no such transaction of this user")))]
pub(super) async fn roll_back(
    caller: Caller,
    Segments(token): Segments<String>,
) -> Result<StatusCode, Problem> {
    caller.client.roll_back_held(&token)?;
    Ok(StatusCode::NO_CONTENT)
}
