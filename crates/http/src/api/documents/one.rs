//! The document of an id.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;
use tessera_engine::documents::{
    Change, Collection, Document, DocumentId, Expected, JsonPatch, Update, Written,
};
use tessera_engine::{Report, Transaction};
use tessera_types::codes;
use utoipa::IntoParams;

use super::{WrittenAnswer, document_id, failed};
use crate::api::caller::Caller;
use crate::api::etag::{Conditions, quoted};
use crate::api::input::{self, Params, Segments};
use crate::problem::Problem;

const MERGE_PATCH: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const OPERATORS: &str = "application/vnd.tessera.update+json";

/// The content types of `PATCH` (RFC 5789).
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// Parameters of a change of one document.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct PatchParams {
    /// Make the document, by applying the change to an empty one, if it is not there.
    upsert: bool,
}

fn tag_of(document: &Document) -> String {
    document.version().to_string()
}

/// The tag of the newest version, under the document's lock; none if there is no document.
async fn locked_tag(
    collection: &Collection,
    txn: &Transaction,
    id: &DocumentId,
) -> Result<Option<String>, Report> {
    // A change that makes no difference takes the lock and reads the newest version.
    let nothing = Change::MergePatch(Value::Object(serde_json::Map::new()));
    match collection.modify(txn, id, &nothing, Expected::Any).await {
        Ok(found) => Ok(Some(tag_of(found.document()))),
        Err(error) if error.code().0 == codes::NO_DATA => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn no_such_document(name: &str, id: &str) -> Problem {
    let message = format!("collection \"{name}\" has no document with the id \"{id}\"");
    Report::error(codes::NO_DATA, message).into()
}

/// Reads a document.
#[utoipa::path(get, path = "/api/v1/documents/{collection}/{id}", tag = "documents",
    params(("collection" = String, Path), ("id" = String, Path),
        ("If-None-Match" = Option<String>, Header, description = "304 if it has this version")),
    responses((status = 200, body = serde_json::Value, description = "The body, without the id"),
        (status = 304, description = "Not changed"), (status = 404, description = "No such document")))]
pub(crate) async fn get(
    caller: Caller,
    Segments((name, id)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let conditions = Conditions::of(&headers)?;
    let key = document_id(&id)?;
    let (client, name, key) = (&caller.client, name.as_str(), &key);
    let found = client
        .run(&caller.read("read a document"), move |txn| async move {
            let collection = client.collection(&txn, name).await?;
            let view = txn.view();
            Ok(collection.get(&*view, key).await?)
        })
        .await?;
    let document = found.ok_or_else(|| no_such_document(name, &id))?;
    let tag = tag_of(&document);
    let mut response = if conditions.is_known(Some(&tag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let text = document.to_text().map_err(Report::from)?;
        let media_type = [(header::CONTENT_TYPE, "application/json")];
        (media_type, Body::from(text)).into_response()
    };
    response.headers_mut().insert(header::ETAG, quoted(&tag));
    Ok(response)
}

fn written(written: &Written) -> Response {
    let status = match written {
        Written::Inserted(_) => StatusCode::CREATED,
        _ => StatusCode::OK,
    };
    let tag = quoted(&tag_of(written.document()));
    let mut response = (status, Json(WrittenAnswer::of(written))).into_response();
    response.headers_mut().insert(header::ETAG, tag);
    response
}

/// How a change is done.
#[derive(Clone, Copy)]
enum How {
    /// Whether it is there or not.
    Upsert,
    /// Only if it is there.
    Modify,
}

/// Changes a document under its lock, if its state is what the conditions ask for.
async fn change(
    caller: &Caller,
    name: &str,
    id: &str,
    conditions: &Conditions,
    change: &Change,
    how: How,
) -> Result<Response, Problem> {
    let key = document_id(id)?;
    let (client, key) = (&caller.client, &key);
    let result = client
        .run(&caller.write("change a document"), move |txn| async move {
            let collection = client.collection(&txn, name).await?;
            if !conditions.is_empty() {
                // The lock is kept, so what is found stays so.
                let tag = locked_tag(&collection, &txn, key).await?;
                if !conditions.allow_write(tag.as_deref()) {
                    return Ok(None);
                }
            }
            let written = match how {
                How::Upsert => collection.upsert(&txn, key, change).await?,
                How::Modify => {
                    let modifying = collection.modify(&txn, key, change, Expected::Any);
                    modifying.await?
                }
            };
            Ok(Some(written))
        })
        .await
        .map_err(failed)?;
    result
        .map(|result| written(&result))
        .ok_or_else(Problem::precondition)
}

/// Replaces a document, or makes it.
#[utoipa::path(put, path = "/api/v1/documents/{collection}/{id}", tag = "documents",
    params(("collection" = String, Path), ("id" = String, Path),
        ("If-Match" = Option<String>, Header, description = "Only this version, or * for any"),
        ("If-None-Match" = Option<String>, Header, description = "*: only if there is none")),
    request_body = serde_json::Value,
    responses((status = 201, body = WrittenAnswer, description = "It is new"),
        (status = 200, body = WrittenAnswer), (status = 412, description = "It has another version"),
        (status = 422, description = "It does not follow the schema")))]
pub(crate) async fn put(
    caller: Caller,
    Segments((name, id)): Segments<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    input::expect_json(&headers)?;
    let conditions = Conditions::of(&headers)?;
    let body = Change::Replace(input::value(&body)?);
    change(&caller, &name, &id, &conditions, &body, How::Upsert).await
}

/// Changes parts of a document: JSON Merge Patch (RFC 7396), JSON Patch (RFC 6902), or update
/// operators such as `{"$inc": {"n": 1}}`, by the content type.
#[utoipa::path(patch, path = "/api/v1/documents/{collection}/{id}", tag = "documents",
    params(("collection" = String, Path), ("id" = String, Path), PatchParams,
        ("If-Match" = Option<String>, Header, description = "Only this version, or * for any")),
    request_body(content((serde_json::Value = "application/merge-patch+json"),
        (serde_json::Value = "application/json-patch+json"),
        (serde_json::Value = "application/vnd.tessera.update+json"))),
    responses((status = 200, body = WrittenAnswer),
        (status = 201, body = WrittenAnswer, description = "It is new, by `upsert`"),
        (status = 404, description = "No such document"),
        (status = 412, description = "It has another version"),
        (status = 415, description = "None of these content types")))]
pub(crate) async fn patch(
    caller: Caller,
    Segments((name, id)): Segments<(String, String)>,
    Params(params): Params<PatchParams>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let conditions = Conditions::of(&headers)?;
    let parse = |error| Problem::from(Report::from(error));
    let body = match input::content_type(&headers)?.as_str() {
        MERGE_PATCH => Change::MergePatch(input::value(&body)?),
        JSON_PATCH => Change::JsonPatch(JsonPatch::parse(&input::value(&body)?).map_err(parse)?),
        OPERATORS => Change::Update(Update::parse(&input::value(&body)?).map_err(parse)?),
        _ => {
            let accepted = format!("{MERGE_PATCH}, {JSON_PATCH}, {OPERATORS}");
            let problem = input::unsupported_media_type(&accepted);
            return Err(match HeaderValue::from_str(&accepted) {
                Ok(accepted) => problem.with_header(ACCEPT_PATCH, accepted),
                Err(_) => problem,
            });
        }
    };
    let how = if params.upsert {
        How::Upsert
    } else {
        How::Modify
    };
    change(&caller, &name, &id, &conditions, &body, how).await
}

/// Deletes a document.
#[utoipa::path(delete, path = "/api/v1/documents/{collection}/{id}", tag = "documents",
    params(("collection" = String, Path), ("id" = String, Path),
        ("If-Match" = Option<String>, Header, description = "Only this version")),
    responses((status = 204, description = "It is gone"), (status = 404, description = "No such document"),
        (status = 412, description = "It has another version")))]
pub(crate) async fn delete(
    caller: Caller,
    Segments((name, id)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let conditions = Conditions::of(&headers)?;
    let key = document_id(&id)?;
    let (client, name, key, conditions) = (&caller.client, name.as_str(), &key, &conditions);
    let deleted = client
        .run(&caller.write("delete a document"), move |txn| async move {
            let collection = client.collection(&txn, name).await?;
            if conditions.is_empty() {
                collection.delete(&txn, key, Expected::Any).await?;
                return Ok(true);
            }
            let tag = locked_tag(&collection, &txn, key).await?;
            if !conditions.allow_write(tag.as_deref()) {
                return Ok(false);
            }
            collection.delete(&txn, key, Expected::Any).await?;
            Ok(true)
        })
        .await?;
    if deleted {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::precondition())
    }
}
