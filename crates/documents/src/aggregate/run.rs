//! A pipeline at work: batches are pulled from a query and pushed through the stages.

use std::sync::Arc;

use serde_json::{Map, Value};
use tessera_codec::json::{JsonBuf, JsonRef};
use tessera_storage::Snapshot;

use super::group::Groups;
use super::{AGGREGATE_BYTES_MAX, Pipeline, Stage};
use crate::collection::Collection;
use crate::document::{Document, ID_FIELD, Subject};
use crate::error::{DocumentError, Result};
use crate::filter::Filter;
use crate::order::Sort;
use crate::path::Path;
use crate::query::{Found, Query};
use crate::update::place;

/// Finds the collections that a pipeline names; also the place to check who may read them.
pub trait Collections: Send + Sync {
    /// The collection of that name.
    fn collection(&self, name: &str) -> Result<Arc<Collection>>;
}

/// For pipelines without `$lookup`.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCollections;

impl Collections for NoCollections {
    fn collection(&self, name: &str) -> Result<Arc<Collection>> {
        Err(DocumentError::NoSuchCollection {
            collection: name.to_owned(),
        })
    }
}

/// The bytes that stages may still hold.
#[derive(Debug)]
pub(super) struct Budget {
    left: usize,
}

impl Budget {
    pub(super) fn take(&mut self, bytes: usize) -> Result<()> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(DocumentError::Limit {
                what: "the memory of an aggregation in bytes",
                limit: AGGREGATE_BYTES_MAX,
            }),
        }
    }

    pub(super) fn give(&mut self, bytes: usize) {
        self.left = self.left.saturating_add(bytes);
    }
}

/// About how many bytes a tree takes in memory.
pub(super) fn size(value: &Value) -> usize {
    const NODE_BYTES: usize = 72;
    match value {
        Value::Null | Value::Bool(_) => NODE_BYTES,
        Value::Number(number) => NODE_BYTES + number.as_str().len(),
        Value::String(text) => NODE_BYTES + text.len(),
        Value::Array(elements) => NODE_BYTES + elements.iter().map(size).sum::<usize>(),
        Value::Object(pairs) => {
            let pairs = pairs.iter();
            let bytes = pairs.map(|(key, value)| NODE_BYTES + key.len() + size(value));
            NODE_BYTES + bytes.sum::<usize>()
        }
    }
}

/// The documents that a pipeline gives, in batches.
pub struct Aggregated {
    source: Found,
    view: Arc<dyn Snapshot>,
    stages: Vec<Running>,
    budget: Budget,
    is_over: bool,
}

/// A stage with what it has seen.
enum Running {
    /// Documents pass one by one.
    Each(Stage),
    Group(Stage, Groups),
    Sort(Sort, Vec<(Vec<u8>, Value)>),
    /// How many are left.
    Limit(u64),
    Skip(u64),
    Count(String, u64),
    Lookup {
        from: Arc<Collection>,
        local: Path,
        foreign: Path,
        into: Path,
    },
}

impl Collection {
    /// Begins to run a pipeline over the documents of `view`.
    pub async fn aggregate(
        self: &Arc<Self>,
        view: Arc<dyn Snapshot>,
        pipeline: &Pipeline,
        collections: &dyn Collections,
    ) -> Result<Aggregated> {
        let (query, used) = query_of(pipeline);
        let stages = pipeline.stages[used..]
            .iter()
            .map(|stage| Running::new(stage, collections))
            .collect::<Result<_>>()?;
        Ok(Aggregated {
            source: self.find(Arc::clone(&view), &query).await?,
            view,
            stages,
            budget: Budget {
                left: AGGREGATE_BYTES_MAX,
            },
            is_over: false,
        })
    }

    /// How the query at the front of a pipeline would be answered.
    pub async fn explain_pipeline(
        &self,
        view: &dyn Snapshot,
        pipeline: &Pipeline,
    ) -> Result<crate::query::Explain> {
        self.explain(view, &query_of(pipeline).0).await
    }
}

/// The query that the first stages are, and how many they are.
fn query_of(pipeline: &Pipeline) -> (Query, usize) {
    let mut stages = pipeline.stages.iter().peekable();
    let mut query = Query::new(Filter::all());
    let mut used = 0;
    if let Some(Stage::Match(filter)) = stages.peek() {
        query.filter = filter.clone();
        stages.next();
        used += 1;
    }
    if let Some(Stage::Sort(sort)) = stages.peek() {
        query.sort = sort.clone();
        stages.next();
        used += 1;
    }
    if let Some(Stage::Limit(limit)) = stages.peek() {
        query.limit = usize::try_from(*limit).ok();
        used += usize::from(query.limit.is_some());
    }
    (query, used)
}

impl Aggregated {
    /// The next documents, never none; `None` at the end.
    pub async fn next_batch(&mut self) -> Result<Option<Vec<Value>>> {
        while !self.is_over {
            let is_full = self
                .stages
                .iter()
                .any(|stage| matches!(stage, Running::Limit(0)));
            let batch = match is_full {
                true => None,
                false => self.source.next_batch().await?,
            };
            let out = match batch {
                Some(documents) => {
                    let values = documents.iter().map(with_id).collect::<Result<_>>()?;
                    self.push(values).await?
                }
                None => {
                    self.is_over = true;
                    self.finish().await?
                }
            };
            if !out.is_empty() {
                return Ok(Some(out));
            }
        }
        Ok(None)
    }

    /// All documents of the rest.
    pub async fn collect(mut self) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        while let Some(mut batch) = self.next_batch().await? {
            all.append(&mut batch);
        }
        Ok(all)
    }

    async fn push(&mut self, mut values: Vec<Value>) -> Result<Vec<Value>> {
        for stage in &mut self.stages {
            if values.is_empty() {
                break;
            }
            values = stage.push(values, &self.view, &mut self.budget).await?;
        }
        Ok(values)
    }

    async fn finish(&mut self) -> Result<Vec<Value>> {
        let mut values = Vec::new();
        for stage in &mut self.stages {
            if !values.is_empty() {
                values = stage.push(values, &self.view, &mut self.budget).await?;
            }
            values.append(&mut stage.finish()?);
        }
        Ok(values)
    }
}

/// A document as stages see it.
fn with_id(document: &Document) -> Result<Value> {
    let mut out = Map::new();
    out.insert(
        ID_FIELD.to_owned(),
        Value::String(document.id().to_string()),
    );
    if let Value::Object(mut body) = document.to_value()? {
        out.append(&mut body);
    }
    Ok(Value::Object(out))
}

impl Running {
    fn new(stage: &Stage, collections: &dyn Collections) -> Result<Running> {
        Ok(match stage {
            Stage::Group { .. } => Running::Group(stage.clone(), Groups::default()),
            Stage::Sort(sort) => Running::Sort(sort.clone(), Vec::new()),
            Stage::Limit(limit) => Running::Limit(*limit),
            Stage::Skip(skip) => Running::Skip(*skip),
            Stage::Count(field) => Running::Count(field.clone(), 0),
            Stage::Lookup {
                from,
                local,
                foreign,
                into,
            } => Running::Lookup {
                from: collections.collection(from)?,
                local: local.clone(),
                foreign: foreign.clone(),
                into: into.clone(),
            },
            stage => Running::Each(stage.clone()),
        })
    }

    async fn push(
        &mut self,
        mut values: Vec<Value>,
        view: &Arc<dyn Snapshot>,
        budget: &mut Budget,
    ) -> Result<Vec<Value>> {
        match self {
            Running::Each(stage) => each(stage, values),
            Running::Group(stage, groups) => {
                if let Stage::Group { id, fields } = stage {
                    for value in &values {
                        groups.add(value, id, fields, budget)?;
                    }
                }
                Ok(Vec::new())
            }
            Running::Sort(sort, sorted) => {
                for value in values {
                    let body = JsonBuf::from_value(&value)?;
                    let key = sort.field_key(&Subject {
                        id: None,
                        body: body.view()?,
                    })?;
                    budget.take(size(&value) + key.len())?;
                    sorted.push((key, value));
                }
                Ok(Vec::new())
            }
            Running::Limit(left) => {
                values.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= values.len() as u64;
                Ok(values)
            }
            Running::Skip(left) => {
                let count = values
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                values.drain(..count);
                *left -= count as u64;
                Ok(values)
            }
            Running::Count(_, count) => {
                *count += values.len() as u64;
                Ok(Vec::new())
            }
            Running::Lookup {
                from,
                local,
                foreign,
                into,
            } => {
                let mut held = 0;
                for value in &mut values {
                    let found = look_up(from, view, value, local, foreign, budget, &mut held);
                    let found = found.await?;
                    set(value, into, Value::Array(found))?;
                }
                // The next stage takes over what it keeps.
                budget.give(held);
                Ok(values)
            }
        }
    }

    fn finish(&mut self) -> Result<Vec<Value>> {
        match self {
            Running::Group(Stage::Group { fields, .. }, groups) => groups.finish(fields),
            Running::Sort(_, sorted) => {
                let mut sorted = std::mem::take(sorted);
                // Stable: equal documents stay in their order.
                sorted.sort_by(|a, b| a.0.cmp(&b.0));
                Ok(sorted.into_iter().map(|(_, value)| value).collect())
            }
            Running::Count(field, count) if *count > 0 => {
                let mut pairs = Map::new();
                pairs.insert(field.clone(), (*count).into());
                Ok(vec![Value::Object(pairs)])
            }
            _ => Ok(Vec::new()),
        }
    }
}

fn set(document: &mut Value, path: &Path, value: Value) -> Result<()> {
    match place::make(document, path) {
        Ok(place) => {
            *place = value;
            Ok(())
        }
        Err(reason) => Err(DocumentError::NotApplicable {
            operation: "a field of a pipeline".to_owned(),
            path: path.as_str().to_owned(),
            reason: reason.to_owned(),
        }),
    }
}

fn each(stage: &Stage, values: Vec<Value>) -> Result<Vec<Value>> {
    let mut out = Vec::with_capacity(values.len());
    for mut value in values {
        match stage {
            Stage::Match(filter) => {
                let body = JsonBuf::from_value(&value)?;
                let subject = Subject {
                    id: None,
                    body: body.view()?,
                };
                if filter.matches_subject(&subject)? {
                    out.push(value);
                }
            }
            Stage::Project {
                projection,
                computed,
            } => {
                let mut projected = projection.apply_with_id(&value);
                for (path, expression) in computed {
                    if let Some(found) = expression.evaluate(&value)? {
                        set(&mut projected, path, found)?;
                    }
                }
                out.push(projected);
            }
            Stage::AddFields(fields) => {
                let mut added = Vec::with_capacity(fields.len());
                for (path, expression) in fields {
                    added.push((path, expression.evaluate(&value)?));
                }
                for (path, found) in added {
                    if let Some(found) = found {
                        set(&mut value, path, found)?;
                    }
                }
                out.push(value);
            }
            Stage::ReplaceRoot(expression) => match expression.evaluate(&value)? {
                Some(root @ Value::Object(_)) => out.push(root),
                _ => {
                    return Err(DocumentError::NotApplicable {
                        operation: "$replaceRoot".to_owned(),
                        path: String::new(),
                        reason: "the new root is not an object".to_owned(),
                    });
                }
            },
            Stage::Unwind {
                path,
                index_field,
                keeps_empty,
            } => unwind(value, path, index_field.as_ref(), *keeps_empty, &mut out)?,
            // Stages with a state of their own.
            Stage::Group { .. }
            | Stage::Sort(_)
            | Stage::Limit(_)
            | Stage::Skip(_)
            | Stage::Lookup { .. }
            | Stage::Count(_) => out.push(value),
        }
    }
    Ok(out)
}

fn unwind(
    mut value: Value,
    path: &Path,
    index_field: Option<&Path>,
    keeps_empty: bool,
    out: &mut Vec<Value>,
) -> Result<()> {
    let elements = match place::get(&value, path) {
        Some(Value::Array(elements)) if !elements.is_empty() => elements.clone(),
        None | Some(Value::Null | Value::Array(_)) => {
            if keeps_empty {
                if place::get(&value, path).is_some_and(Value::is_array) {
                    place::take(&mut value, path);
                }
                if let Some(field) = index_field {
                    set(&mut value, field, Value::Null)?;
                }
                out.push(value);
            }
            return Ok(());
        }
        // A single value is like an array of it, without an index.
        Some(_) => {
            if let Some(field) = index_field {
                set(&mut value, field, Value::Null)?;
            }
            out.push(value);
            return Ok(());
        }
    };
    // So that copies do not carry the whole array.
    set(&mut value, path, Value::Null)?;
    for (index, element) in elements.into_iter().enumerate() {
        let mut copy = value.clone();
        set(&mut copy, path, element)?;
        if let Some(field) = index_field {
            set(&mut copy, field, index.into())?;
        }
        out.push(copy);
    }
    Ok(())
}

/// The documents of `from` whose field equals the local one, or one of its elements.
async fn look_up(
    from: &Arc<Collection>,
    view: &Arc<dyn Snapshot>,
    document: &Value,
    local: &Path,
    foreign: &Path,
    budget: &mut Budget,
    held: &mut usize,
) -> Result<Vec<Value>> {
    let body = JsonBuf::from_value(document)?;
    let reached = local.reach(&Subject {
        id: None,
        body: body.view()?,
    })?;
    let mut wanted = Vec::new();
    for value in &reached.values {
        match value {
            // A missing field is like null.
            None => wanted.push(Value::Null),
            Some(JsonRef::Array(array)) => {
                for element in array.iter() {
                    wanted.push(element?.to_value()?);
                }
            }
            Some(value) => wanted.push(value.to_value()?),
        }
    }
    let mut choice = Map::new();
    choice.insert("$in".to_owned(), Value::Array(wanted));
    let mut filter = Map::new();
    filter.insert(foreign.as_str().to_owned(), Value::Object(choice));
    let query = Query::new(Filter::parse(&Value::Object(filter))?);
    let mut found = from.find(Arc::clone(view), &query).await?;
    let mut out = Vec::new();
    while let Some(batch) = found.next_batch().await? {
        for document in &batch {
            let value = with_id(document)?;
            budget.take(size(&value))?;
            *held += size(&value);
            out.push(value);
        }
    }
    Ok(out)
}
