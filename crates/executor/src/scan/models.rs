//! Key spaces and collections as DataFusion sources, read only.
//!
//! A key space gives its keys with type, time to live and size; the value of a string is its text
//! (NULL where that is not UTF-8), other types have none. A collection gives ids, documents and
//! versions. Both are read in the statement's snapshot.
//!
//! # Not here
//! Writing them by SQL; use of a collection's indexes.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::future::BoxFuture;
use tessera_catalog::{Model, TableDef};
use tessera_documents::{Collection, CollectionDef, DocumentScan};
use tessera_keyvalue::{KeyInfo, Reader, ScanSpec, Space, UnixMillis, ValueType};
use tessera_planner::arrow_types::field_of;
use tessera_planner::errors::external;
use tessera_storage::Snapshot;
use tessera_transactions::TxnView;
use tessera_types::{Report, Value, json};
use tokio_util::sync::CancellationToken;

use super::system::batch_of;
use crate::context::StatementExtension;

/// Keys read in one step.
const KEYS_PER_STEP: usize = 1_000;

/// Opens key spaces for queries; the engine does, for it keeps their counts.
pub trait KeySpaces: Send + Sync {
    /// The space of a relation.
    fn open<'a>(
        &'a self,
        table: &'a TableDef,
    ) -> BoxFuture<'a, std::result::Result<Arc<Space>, Report>>;
}

/// A key space or a collection.
#[derive(Debug)]
pub(crate) struct ModelTable {
    def: Arc<TableDef>,
    schema: SchemaRef,
}

impl ModelTable {
    pub(crate) fn new(def: Arc<TableDef>) -> ModelTable {
        let columns = def.columns.iter();
        let fields = columns.map(|c| field_of(&c.name, &c.sql_type, !c.not_null));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        ModelTable { def, schema }
    }
}

#[async_trait]
impl TableProvider for ModelTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let projection = projection.unwrap_or(&all).clone();
        let schema = Arc::new(self.schema.project(&projection)?);
        Ok(Arc::new(ModelScanExec {
            def: self.def.clone(),
            properties: Arc::new(PlanProperties::new(
                EquivalenceProperties::new(schema.clone()),
                Partitioning::UnknownPartitioning(1),
                EmissionType::Incremental,
                Boundedness::Bounded,
            )),
            projection,
            schema,
        }))
    }
}

/// Reads a key space or a collection.
pub(crate) struct ModelScanExec {
    def: Arc<TableDef>,
    projection: Vec<usize>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl ModelScanExec {
    /// What is read, for EXPLAIN.
    pub(crate) fn relation(&self) -> &TableDef {
        &self.def
    }
}

impl fmt::Debug for ModelScanExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModelScanExec({})", self.def.name)
    }
}

impl DisplayAs for ModelScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModelScanExec: {}.{}", self.def.schema, self.def.name)
    }
}

impl ExecutionPlan for ModelScanExec {
    fn name(&self) -> &'static str {
        "ModelScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _: usize, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let extension = StatementExtension::of(task.session_config().options())
            .ok_or_else(|| external(Report::internal("a scan outside of a statement")))?;
        let view = extension.statement.view_of(self.def.id);
        let view = view.map_err(external)?.clone();
        let source = match self.def.model {
            Model::Collection => {
                let def = CollectionDef::new(self.def.id, self.def.name.as_str());
                let collection = Collection::new(def).map_err(|error| external(error.report()))?;
                let view: Arc<dyn Snapshot> = view;
                Source::Documents(collection.scan(view))
            }
            _ => Source::Unopened(view),
        };
        let rows = Rows {
            def: self.def.clone(),
            source,
            spaces: extension.executor.key_spaces(),
            now: UnixMillis(
                u64::try_from(extension.statement.statement_micros / 1_000).unwrap_or(0),
            ),
            cancel: extension.statement.cancel.clone(),
        };
        let (schema, projection) = (self.schema.clone(), self.projection.clone());
        let stream = futures::stream::try_unfold(rows, move |mut rows| {
            let (schema, projection) = (schema.clone(), projection.clone());
            async move {
                let Some(values) = rows.next_batch().await.map_err(external)? else {
                    return Ok(None);
                };
                let column = |at: usize| {
                    let column = &rows.def.columns[at];
                    (column.name.as_str(), &column.sql_type)
                };
                let batch = batch_of(&rows.def.name, &column, &projection, &schema, &values);
                Ok(Some((batch.map_err(external)?, rows)))
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema.clone(),
            stream,
        )))
    }
}

/// Where the next rows come from.
enum Source {
    /// A key space that is not open yet.
    Unopened(Arc<TxnView>),
    Keys {
        space: Arc<Space>,
        view: Arc<TxnView>,
        after: Option<Bytes>,
    },
    Documents(DocumentScan),
    End,
}

struct Rows {
    def: Arc<TableDef>,
    source: Source,
    spaces: Option<Arc<dyn KeySpaces>>,
    now: UnixMillis,
    cancel: CancellationToken,
}

impl Rows {
    /// The next rows; `None` at the end.
    async fn next_batch(&mut self) -> std::result::Result<Option<Vec<Vec<Value>>>, Report> {
        loop {
            if self.cancel.is_cancelled() {
                return Err(Report::error(
                    tessera_types::codes::QUERY_CANCELED,
                    "canceling statement due to user request",
                ));
            }
            match std::mem::replace(&mut self.source, Source::End) {
                Source::End => return Ok(None),
                Source::Unopened(view) => {
                    let spaces = self
                        .spaces
                        .as_ref()
                        .ok_or_else(|| Report::internal("nobody opens key spaces"))?;
                    let space = spaces.open(&self.def).await?;
                    self.source = Source::Keys {
                        space,
                        view,
                        after: None,
                    };
                }
                Source::Keys { space, view, after } => {
                    let reader = Reader::new(&space, view.clone(), self.now);
                    let spec = ScanSpec {
                        count: Some(KEYS_PER_STEP),
                        ..ScanSpec::default()
                    };
                    let page = reader.scan_keys(after.as_deref(), &spec).await;
                    let page = page.map_err(|error| error.report())?;
                    let mut rows = Vec::with_capacity(page.keys.len());
                    for info in &page.keys {
                        rows.push(row_of_key(&reader, info, self.now).await?);
                    }
                    if let Some(next) = page.next {
                        self.source = Source::Keys {
                            space,
                            view,
                            after: Some(next),
                        };
                    }
                    if !rows.is_empty() {
                        return Ok(Some(rows));
                    }
                }
                Source::Documents(mut scan) => {
                    let batch = scan.next_batch().await.map_err(|error| error.report())?;
                    let Some(batch) = batch else {
                        return Ok(None);
                    };
                    self.source = Source::Documents(scan);
                    let mut rows = Vec::with_capacity(batch.len());
                    for document in &batch {
                        let text = document.to_text().map_err(|error| error.report())?;
                        let text = json::normalize(&text).map_err(|error| error.report())?;
                        rows.push(vec![
                            Value::text(document.id().as_str()),
                            Value::Json(text.into()),
                            number(document.version()),
                        ]);
                    }
                    return Ok(Some(rows));
                }
            }
        }
    }
}

async fn row_of_key(
    reader: &Reader<'_>,
    info: &KeyInfo,
    now: UnixMillis,
) -> std::result::Result<Vec<Value>, Report> {
    let value = match (&info.small_value, info.value_type) {
        (Some(value), _) => Some(value.clone()),
        (None, ValueType::String) => {
            let value = reader.get(&info.key).await;
            value.map_err(|error| error.report())?
        }
        (None, _) => None,
    };
    let value = value
        .as_deref()
        .and_then(|value| std::str::from_utf8(value).ok());
    Ok(vec![
        Value::text(&*String::from_utf8_lossy(&info.key)),
        value.map_or(Value::Null, Value::text),
        Value::text(info.value_type.name()),
        info.expires
            .map_or(Value::Null, |at| number(at.0.saturating_sub(now.0))),
        number(info.bytes),
    ])
}

fn number(n: u64) -> Value {
    Value::BigInt(i64::try_from(n).unwrap_or(i64::MAX))
}
