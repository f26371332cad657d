//! Collections and their indexes.

use axum::Json;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tessera_engine::Report;
use tessera_engine::models::{CollectionInfo, IndexSpec};
use tessera_types::codes;
use utoipa::{IntoParams, ToSchema};

use crate::api::caller::Caller;
use crate::api::input::{self, Params, Segments};
use crate::problem::Problem;

/// A collection.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CollectionAnswer {
    /// Schema.
    schema: String,
    /// Name in the schema.
    name: String,
    owner: String,
    /// `{"indexes": [...], "schema": {...}, "id_policy": "any"}`.
    #[schema(value_type = Object)]
    options: Value,
    /// Indexes that would have answered queries which read every document, most wanted first;
    /// seen since the server started.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    proposals: Vec<Value>,
}

impl CollectionAnswer {
    fn of(info: CollectionInfo) -> CollectionAnswer {
        CollectionAnswer {
            schema: info.schema,
            name: info.name,
            owner: info.owner,
            options: info.options,
            proposals: Vec::new(),
        }
    }
}

/// The collections.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CollectionsAnswer {
    collections: Vec<CollectionAnswer>,
}

/// A collection to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CollectionRequest {
    /// `orders` in the schema `public`, or `app.orders`.
    name: String,
    /// Each `{"name", "fields": [{"path", "descending"}], "unique", "sparse", "partial"}` or
    /// `{"name", "ttl": {"path", "after_seconds"}}`.
    #[schema(value_type = Option<Vec<Object>>)]
    indexes: Option<Value>,
    /// JSON Schema (2020-12) that every document follows.
    #[schema(value_type = Option<Object>)]
    schema: Option<Value>,
    /// Who gives ids: `any` (default), `client` or `server`.
    #[schema(value_type = Option<String>)]
    id_policy: Option<Value>,
}

/// An index to be made.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct IndexRequest {
    /// Name, unique in the collection.
    name: String,
    /// `fields`, `unique`, `sparse` and `partial`; or `ttl`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    options: Map<String, Value>,
}

/// Which index to drop.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct IndexParams {
    /// Name of the index.
    name: String,
}

/// Lists the collections of the user.
#[utoipa::path(get, path = "/api/v1/documents", tag = "documents",
    responses((status = 200, body = CollectionsAnswer)))]
pub(crate) async fn list(caller: Caller) -> Result<Json<CollectionsAnswer>, Problem> {
    let call = caller.read("list collections");
    let list = caller.client.list_collections(&call).await?;
    let collections = list.into_iter().map(CollectionAnswer::of).collect();
    Ok(Json(CollectionsAnswer { collections }))
}

/// Makes a collection.
#[utoipa::path(post, path = "/api/v1/documents", tag = "documents", request_body = CollectionRequest,
    responses((status = 201, body = CollectionAnswer),
        (status = 409, description = "There is a relation of that name")))]
pub(crate) async fn create(
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    input::expect_json(&headers)?;
    let request: CollectionRequest = input::json(&body)?;
    let mut options = Map::new();
    for (member, value) in [
        ("indexes", request.indexes),
        ("schema", request.schema),
        ("id_policy", request.id_policy),
    ] {
        if let Some(value) = value {
            options.insert(member.to_owned(), value);
        }
    }
    let call = caller.write("create a collection");
    let creating = caller
        .client
        .create_collection(&call, &request.name, &options);
    let info = creating.await?;
    let location = format!("/api/v1/documents/{}.{}", info.schema, info.name);
    let answer = Json(CollectionAnswer::of(info));
    let mut response = (StatusCode::CREATED, answer).into_response();
    if let Ok(location) = location.parse() {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Describes a collection.
#[utoipa::path(get, path = "/api/v1/documents/{collection}", tag = "documents",
    params(("collection" = String, Path)),
    responses((status = 200, body = CollectionAnswer), (status = 404, description = "There is none")))]
pub(crate) async fn describe(
    caller: Caller,
    Segments(name): Segments<String>,
) -> Result<Json<CollectionAnswer>, Problem> {
    let client = &caller.client;
    let call = caller.read("describe a collection");
    let info = client.describe_collection(&call, &name).await?;
    let mut answer = CollectionAnswer::of(info);
    let call = caller.read("describe a collection");
    let name = name.as_str();
    let id = client
        .run(&call, move |txn| async move {
            let collection = client.collection(&txn, name).await?;
            Ok(collection.def().id)
        })
        .await?;
    let proposals = client.proposals().list().into_iter();
    let proposals = proposals.filter(|proposal| proposal.collection == id);
    answer.proposals = proposals
        .map(|proposal| {
            let fields = proposal.paths.iter();
            let fields = fields
                .map(|(path, descending)| json!({"path": path, "descending": descending}))
                .collect::<Vec<_>>();
            json!({"fields": fields, "times": proposal.times, "scanned": proposal.scanned})
        })
        .collect();
    Ok(Json(answer))
}

/// Drops a collection with all its documents.
#[utoipa::path(delete, path = "/api/v1/documents/{collection}", tag = "documents",
    params(("collection" = String, Path)),
    responses((status = 204, description = "It is gone"), (status = 404, description = "There is none")))]
pub(crate) async fn drop_collection(
    caller: Caller,
    Segments(name): Segments<String>,
) -> Result<StatusCode, Problem> {
    let call = caller.write("drop a collection");
    if caller.client.drop_collection(&call, &name).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    let message = format!("collection \"{name}\" does not exist");
    Err(Report::error(codes::UNDEFINED_TABLE, message).into())
}

/// Adds an index and fills it. The collection waits meanwhile.
#[utoipa::path(post, path = "/api/v1/documents:index/{collection}", tag = "documents",
    params(("collection" = String, Path)), request_body = IndexRequest,
    responses((status = 201, body = CollectionAnswer),
        (status = 409, description = "There is one of that name, or documents violate a unique one")))]
pub(crate) async fn create_index(
    caller: Caller,
    Segments(name): Segments<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<CollectionAnswer>), Problem> {
    input::expect_json(&headers)?;
    let request: IndexRequest = input::json(&body)?;
    let spec = IndexSpec {
        name: request.name,
        options: request.options,
    };
    let call = caller.write("create an index");
    let creating = caller.client.create_document_index(&call, &name, &spec);
    let answer = CollectionAnswer::of(creating.await?);
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Drops an index.
#[utoipa::path(delete, path = "/api/v1/documents:index/{collection}", tag = "documents",
    params(("collection" = String, Path), IndexParams),
    responses((status = 204, description = "It is gone"), (status = 404, description = "There is none")))]
pub(crate) async fn drop_index(
    caller: Caller,
    Segments(name): Segments<String>,
    Params(params): Params<IndexParams>,
) -> Result<StatusCode, Problem> {
    let call = caller.write("drop an index");
    let dropping = caller
        .client
        .drop_document_index(&call, &name, &params.name);
    if dropping.await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    let message = format!("index \"{}\" of \"{name}\" does not exist", params.name);
    Err(Report::error(codes::UNDEFINED_OBJECT, message).into())
}
