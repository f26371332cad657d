//! Finding documents: pages, counts, pipelines, and how they would be answered.

use axum::Json;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tessera_engine::Report;
use tessera_engine::documents::{
    Document, Explain, JsonPath, Pipeline, Projection, Query, Sort, Way,
};
use tessera_engine::models::Pinned;
use tessera_types::codes;
use utoipa::ToSchema;

use super::{ANSWER_BYTES_MAX, DocumentAnswer, filter};
use crate::api::caller::Caller;
use crate::api::input::{self, Segments};
use crate::api::pages::{self, Page};
use crate::problem::Problem;

/// Documents of a page when nothing is said, and at most.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 10_000;
/// Documents that a page may leave out.
const SKIP_MAX: u64 = 1_000_000;

/// Which documents, in which order, which part of them.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct QueryRequest {
    /// MongoDB's filter language; all documents by default.
    #[schema(value_type = Option<Object>)]
    filter: Option<Value>,
    /// A JSONPath query (RFC 9535): only documents in which it selects something, and what it
    /// selects instead of the documents.
    jsonpath: Option<String>,
    /// `{"a.b": 1, "c": -1}`.
    #[schema(value_type = Option<Object>)]
    sort: Option<Value>,
    /// `{"a": 1, "b.c": 1}` or `{"a": 0}`.
    #[schema(value_type = Option<Object>)]
    projection: Option<Value>,
    /// Documents of a page, 1 to 10000; 100 by default.
    limit: Option<u64>,
    /// Documents to leave out at the start.
    skip: u64,
    /// `next` of the page before, with the same filter and sort.
    page: Option<String>,
    /// Whether all pages show the state of the first; true by default. The snapshot is kept for 60
    /// seconds from page to page, 10 minutes in all; later pages are answered with 410.
    snapshot: Option<bool>,
}

/// A page.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueryAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    documents: Option<Vec<DocumentAnswer>>,
    /// With `jsonpath`: `{"id", "path", "value"}` for each selected node.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    nodes: Option<Vec<Value>>,
    /// For `page`; null at the end.
    next: Option<String>,
    /// Documents that were looked at.
    examined: u64,
}

/// Number of documents.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CountAnswer {
    count: u64,
}

/// A pipeline.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AggregateRequest {
    /// `[{"$match": {...}}, {"$group": {...}}, ...]`.
    #[schema(value_type = Vec<Object>)]
    pipeline: Value,
}

/// What a pipeline gives.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AggregateAnswer {
    #[schema(value_type = Vec<Object>)]
    results: Vec<Value>,
}

/// How a query would be answered.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExplainAnswer {
    /// `nothing`, `ids`, `index` or `full_scan`.
    way: &'static str,
    /// Name of the index.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<String>,
    /// Paths of the index that are looked up.
    #[serde(skip_serializing_if = "Option::is_none")]
    paths: Option<Vec<String>>,
    /// Ranges of the index, or ids, that are read.
    #[serde(skip_serializing_if = "Option::is_none")]
    ranges: Option<usize>,
    /// From the end.
    reverse: bool,
    /// Whether the documents are sorted in memory.
    sorts_in_memory: bool,
    /// The same in one line.
    text: String,
}

impl ExplainAnswer {
    fn of(explain: &Explain) -> ExplainAnswer {
        let mut answer = ExplainAnswer {
            way: "nothing",
            index: None,
            paths: None,
            ranges: None,
            reverse: false,
            sorts_in_memory: explain.sorts_in_memory,
            text: explain.to_string(),
        };
        match &explain.way {
            Way::Nothing => {}
            Way::Ids { count } => {
                answer.way = "ids";
                answer.ranges = Some(*count);
            }
            Way::Index {
                name,
                paths,
                ranges,
                reverse,
            } => {
                answer.way = "index";
                answer.index = Some(name.clone());
                answer.paths = Some(paths.clone());
                answer.ranges = Some(*ranges);
                answer.reverse = *reverse;
            }
            Way::FullScan { reverse } => {
                answer.way = "full_scan";
                answer.reverse = *reverse;
            }
        }
        answer
    }
}

/// A request ready to run.
struct Asked {
    query: Query,
    nodes: Option<JsonPath>,
    page: Page,
}

impl QueryRequest {
    fn parse(self, caller: &Caller) -> Result<Asked, Problem> {
        let parsed = |error| Problem::from(Report::from(error));
        let nodes = self.jsonpath.as_deref().map(JsonPath::parse);
        let nodes = nodes.transpose().map_err(parsed)?;
        let wanted = match (self.filter, &self.jsonpath) {
            (filter, None) => filter,
            (None, Some(path)) => Some(json!({ "$jsonPath": path })),
            (Some(filter), Some(path)) => Some(json!({ "$and": [filter, { "$jsonPath": path }] })),
        };
        if self.skip > SKIP_MAX {
            return Err(Problem::bad_request(format!(
                "skip is at most {SKIP_MAX}; use pages"
            )));
        }
        let mut query = Query::new(filter(wanted.as_ref())?);
        if let Some(sort) = &self.sort {
            query.sort = Sort::parse(sort).map_err(parsed)?;
        }
        let projection = self.projection.as_ref().map(Projection::parse);
        query.projection = projection.transpose().map_err(parsed)?;
        query.limit = Some(input::limit(self.limit, PAGE_DEFAULT, PAGE_MAX)?);
        query.skip = usize::try_from(self.skip).unwrap_or(usize::MAX);
        query.paging = true;
        let snapshot = self.snapshot.unwrap_or(true);
        let page = Page::of(caller, self.page.as_deref(), snapshot)?;
        query.after.clone_from(&page.place);
        Ok(Asked { query, nodes, page })
    }
}

/// Finds documents, a page at a time. All pages show the state of the first one, unless `snapshot`
/// is false: then what was before is not given again, whatever was written in between. Inside of a
/// transaction its isolation level decides.
#[utoipa::path(post, path = "/api/v1/documents:query/{collection}", tag = "documents",
    params(("collection" = String, Path)), request_body = QueryRequest,
    responses((status = 200, body = QueryAnswer), (status = 404, description = "No such collection"),
        (status = 410, description = "The snapshot of the pages is not kept any more"),
        (status = 413, description = "The page, or its sort, is too large")))]
pub(crate) async fn query(
    caller: Caller,
    Segments(name): Segments<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<QueryAnswer>, Problem> {
    input::expect_json(&headers)?;
    let asked = input::json_or_default::<QueryRequest>(&body)?.parse(&caller)?;
    let Asked { query, nodes, page } = asked;
    let (client, name, query, nodes) = (&caller.client, name.as_str(), &query, nodes.as_ref());
    let pinned = page.pinned();
    let now = client.now();
    let (mut answer, first) = client
        .run(&caller.read("query documents"), move |txn| async move {
            let collection = client.collection(&txn, name).await?;
            let view = match pinned {
                Some(pinned) => {
                    pinned.check(&collection)?;
                    pinned.view()
                }
                None => txn.view(),
            };
            let first = Pinned::new(view.clone(), now, &collection);
            let mut found = collection.find(view, query).await?;
            let mut answer = QueryAnswer {
                documents: None,
                nodes: None,
                next: None,
                examined: 0,
            };
            let mut bytes = 0;
            while let Some(batch) = found.next_batch().await? {
                for document in &batch {
                    bytes += answer.add(document, nodes)?;
                    if bytes > ANSWER_BYTES_MAX {
                        return Err(too_large());
                    }
                }
            }
            if nodes.is_some() {
                answer.nodes.get_or_insert_default();
            } else {
                answer.documents.get_or_insert_default();
            }
            answer.next = found.token()?;
            answer.examined = found.examined();
            client.proposals().note(&found);
            Ok((answer, first))
        })
        .await
        .map_err(pages::failed)?;
    answer.next = page.next(client, answer.next.take(), Some(first));
    Ok(Json(answer))
}

impl QueryAnswer {
    /// Adds a document, or what is selected in it; about how many bytes that are.
    fn add(&mut self, document: &Document, nodes: Option<&JsonPath>) -> Result<usize, Report> {
        let Some(path) = nodes else {
            let answer = DocumentAnswer::of(document)?;
            let bytes = size(&answer.document);
            self.documents.get_or_insert_default().push(answer);
            return Ok(bytes);
        };
        let body = document.to_value()?;
        let id = document.id().as_str();
        let mut bytes = 0;
        let all = self.nodes.get_or_insert_default();
        for node in path.nodes(&body) {
            let node = json!({ "id": id, "path": node.path, "value": node.value });
            bytes += size(&node);
            // Nodes may overlap: many times the document.
            if bytes > ANSWER_BYTES_MAX {
                return Err(too_large());
            }
            all.push(node);
        }
        Ok(bytes)
    }
}

fn too_large() -> Report {
    Report::error(
        codes::PROGRAM_LIMIT_EXCEEDED,
        format!("the answer is above the limit of {ANSWER_BYTES_MAX} bytes"),
    )
    .with_hint("Ask for fewer documents, or for parts of them by a projection.")
}

/// Counts documents that match `filter`.
#[utoipa::path(post, path = "/api/v1/documents:count/{collection}", tag = "documents",
    params(("collection" = String, Path)), request_body = QueryRequest,
    responses((status = 200, body = CountAnswer), (status = 404, description = "No such collection")))]
pub(crate) async fn count(
    caller: Caller,
    Segments(name): Segments<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<CountAnswer>, Problem> {
    input::expect_json(&headers)?;
    let asked = input::json_or_default::<QueryRequest>(&body)?.parse(&caller)?;
    let (client, name, filter) = (&caller.client, name.as_str(), &asked.query.filter);
    let count = client
        .run(&caller.read("count documents"), move |txn| async move {
            let collection = client.collection(&txn, name).await?;
            Ok(collection.count(txn.view(), filter).await?)
        })
        .await?;
    Ok(Json(CountAnswer { count }))
}

/// Runs an aggregation pipeline.
#[utoipa::path(post, path = "/api/v1/documents:aggregate/{collection}", tag = "documents",
    params(("collection" = String, Path)), request_body = AggregateRequest,
    responses((status = 200, body = AggregateAnswer), (status = 404, description = "No such collection"),
        (status = 400, description = "A stage or operator that is not here"),
        (status = 413, description = "Too many bytes are held or answered")))]
pub(crate) async fn aggregate(
    caller: Caller,
    Segments(name): Segments<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<AggregateAnswer>, Problem> {
    input::expect_json(&headers)?;
    let request: AggregateRequest = input::json(&body)?;
    let pipeline =
        Pipeline::parse(&request.pipeline).map_err(|error| Problem::from(Report::from(error)))?;
    let (client, name, pipeline) = (&caller.client, name.as_str(), &pipeline);
    let results = client
        .run(&caller.read("aggregate documents"), move |txn| async move {
            let collection = client.collection(&txn, name).await?;
            for other in pipeline.collections() {
                client.collection(&txn, other).await?;
            }
            let others = client.collections(&txn);
            let mut running = collection.aggregate(txn.view(), pipeline, &others).await?;
            let mut results = Vec::new();
            let mut bytes = 0;
            while let Some(batch) = running.next_batch().await? {
                for value in batch {
                    bytes += size(&value);
                    if bytes > ANSWER_BYTES_MAX {
                        return Err(too_large());
                    }
                    results.push(value);
                }
            }
            Ok(results)
        })
        .await?;
    Ok(Json(AggregateAnswer { results }))
}

/// About how many bytes a value has as text.
fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(number) => number.as_str().len(),
        Value::String(text) => text.len() + 2,
        Value::Array(elements) => elements.iter().map(size).sum::<usize>() + elements.len() + 2,
        Value::Object(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| key.len() + size(value) + 4);
            pairs.sum::<usize>() + 2
        }
    }
}

/// Tells how a query would be answered, without running it.
#[utoipa::path(post, path = "/api/v1/documents:explain/{collection}", tag = "documents",
    params(("collection" = String, Path)), request_body = QueryRequest,
    responses((status = 200, body = ExplainAnswer), (status = 404, description = "No such collection")))]
pub(crate) async fn explain(
    caller: Caller,
    Segments(name): Segments<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<ExplainAnswer>), Problem> {
    input::expect_json(&headers)?;
    let asked = input::json_or_default::<QueryRequest>(&body)?.parse(&caller)?;
    let (client, name, query) = (&caller.client, name.as_str(), &asked.query);
    let explain = client
        .run(&caller.read("explain a query"), move |txn| async move {
            let collection = client.collection(&txn, name).await?;
            let view = txn.view();
            Ok(collection.explain(&*view, query).await?)
        })
        .await?;
    Ok((StatusCode::OK, Json(ExplainAnswer::of(&explain))))
}
