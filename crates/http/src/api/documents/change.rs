//! Changes and deletions of all documents that match a filter.

use axum::Json;
use axum::body::Bytes;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tessera_engine::Report;
use tessera_engine::documents::{Change, Update};
use utoipa::ToSchema;

use super::{failed, filter};
use crate::api::caller::Caller;
use crate::api::input::{self, Segments};
use crate::problem::Problem;

/// A change of many documents, in one statement.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateRequest {
    /// Which documents; required, `{}` for all.
    #[schema(value_type = Object)]
    filter: Value,
    /// Update operators, `{"$set": {"a": 1}}`.
    #[schema(value_type = Object)]
    update: Value,
    /// At most so many.
    limit: Option<u64>,
}

/// How many documents were met.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UpdateAnswer {
    matched: u64,
    changed: u64,
}

/// A deletion of many documents, in one statement.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteRequest {
    /// Which documents; required, `{}` for all.
    #[schema(value_type = Object)]
    filter: Value,
    /// At most so many.
    limit: Option<u64>,
}

/// How many documents are gone.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeleteAnswer {
    deleted: u64,
}

/// Changes all documents that match, all or none.
#[utoipa::path(post, path = "/api/v1/documents:update/{collection}", tag = "documents",
    params(("collection" = String, Path)), request_body = UpdateRequest,
    responses((status = 200, body = UpdateAnswer), (status = 404, description = "No such collection"),
        (status = 422, description = "A document would not follow the schema")))]
pub(crate) async fn update(
    caller: Caller,
    Segments(name): Segments<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<UpdateAnswer>, Problem> {
    input::expect_json(&headers)?;
    let request: UpdateRequest = input::json(&body)?;
    let filter = filter(Some(&request.filter))?;
    let update = Update::parse(&request.update).map_err(|error| failed(Report::from(error)))?;
    let change = Change::Update(update);
    let (client, name, filter, change) = (&caller.client, name.as_str(), &filter, &change);
    let limit = request.limit;
    let counts = client
        .run(&caller.write("change documents"), move |txn| async move {
            let collection = client.collection(&txn, name).await?;
            let changing = collection.modify_where(&txn, filter, change, limit);
            Ok(changing.await?)
        })
        .await
        .map_err(failed)?;
    Ok(Json(UpdateAnswer {
        matched: counts.matched,
        changed: counts.changed,
    }))
}

/// Deletes all documents that match.
#[utoipa::path(post, path = "/api/v1/documents:delete/{collection}", tag = "documents",
    params(("collection" = String, Path)), request_body = DeleteRequest,
    responses((status = 200, body = DeleteAnswer), (status = 404, description = "No such collection")))]
pub(crate) async fn delete(
    caller: Caller,
    Segments(name): Segments<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<DeleteAnswer>, Problem> {
    input::expect_json(&headers)?;
    let request: DeleteRequest = input::json(&body)?;
    let filter = filter(Some(&request.filter))?;
    let (client, name, filter) = (&caller.client, name.as_str(), &filter);
    let limit = request.limit;
    let deleted = client
        .run(&caller.write("delete documents"), move |txn| async move {
            let collection = client.collection(&txn, name).await?;
            Ok(collection.delete_where(&txn, filter, limit).await?)
        })
        .await?;
    Ok(Json(DeleteAnswer { deleted }))
}
