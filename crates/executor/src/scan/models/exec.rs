//! Reads records of a key space or a collection.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use tessera_catalog::{Model, TableDef};
use tessera_documents::{Collection, DocumentScan, Filter, Found, Query};
use tessera_keyvalue::{KeyInfo, Reader, ScanSpec, Space, UnixMillis, key_of_stored, stored_key};
use tessera_planner::errors::external;
use tessera_storage::{Key, Snapshot};
use tessera_transactions::TxnView;
use tessera_types::{Report, SqlType, Value};
use tokio_util::sync::CancellationToken;

use super::access::{ChosenModel, ModelAccess};
use super::records::{self, KeyColumns};
use crate::context::StatementExtension;
use crate::executor::Executor;
use crate::scan::ROW_KEY;
use crate::scan::system::batch_of;

/// Keys read in one step.
const KEYS_PER_STEP: usize = 1_000;

/// Reads a key space or a collection.
pub(crate) struct ModelScanExec {
    def: Arc<TableDef>,
    chosen: ChosenModel,
    projection: Vec<usize>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ModelScanExec {
    pub(super) fn new(
        def: Arc<TableDef>,
        chosen: ChosenModel,
        projection: Vec<usize>,
        schema: SchemaRef,
    ) -> ModelScanExec {
        ModelScanExec {
            def,
            chosen,
            projection,
            properties: Arc::new(PlanProperties::new(
                EquivalenceProperties::new(schema.clone()),
                Partitioning::UnknownPartitioning(1),
                EmissionType::Incremental,
                Boundedness::Bounded,
            )),
            schema,
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// What is read, for EXPLAIN.
    pub(crate) fn relation(&self) -> &TableDef {
        &self.def
    }

    /// The access, for EXPLAIN.
    pub(crate) fn chosen(&self) -> &ChosenModel {
        &self.chosen
    }
}

impl fmt::Debug for ModelScanExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ModelScanExec({}, {:?})",
            self.def.name, self.chosen.access
        )
    }
}

impl DisplayAs for ModelScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModelScanExec: {}.{}", self.def.schema, self.def.name)?;
        if let Some(condition) = &self.chosen.condition {
            write!(f, ", {condition}")?;
        }
        Ok(())
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

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        // Counters are of one execution.
        Ok(Arc::new(ModelScanExec::new(
            self.def.clone(),
            self.chosen.clone(),
            self.projection.clone(),
            self.schema.clone(),
        )))
    }

    fn execute(
        &self,
        partition: usize,
        task: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let extension = StatementExtension::of(task.session_config().options())
            .ok_or_else(|| external(Report::internal("a scan outside of a statement")))?;
        let view = extension.statement.view_of(self.def.id);
        let view = view.map_err(external)?.clone();
        let rows = Rows {
            relation: Relation {
                def: self.def.clone(),
                access: self.chosen.access.clone(),
                executor: extension.executor.clone(),
            },
            columns: KeyColumns {
                value: self.projection.contains(&1),
            },
            source: Source::Unopened(view),
            now: UnixMillis(
                u64::try_from(extension.statement.statement_micros / 1_000).unwrap_or(0),
            ),
            cancel: extension.statement.cancel.clone(),
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        let (schema, projection) = (self.schema.clone(), self.projection.clone());
        let stream = futures::stream::try_unfold(rows, move |mut rows| {
            let (schema, projection) = (schema.clone(), projection.clone());
            async move {
                let Some(values) = rows.next_batch().await.map_err(external)? else {
                    rows.metrics.done();
                    return Ok(None);
                };
                rows.metrics.record_output(values.len());
                let column = |at: usize| match rows.relation.def.columns.get(at) {
                    Some(column) => (column.name.as_str(), &column.sql_type),
                    None => (ROW_KEY, &SqlType::Bytea),
                };
                let batch = batch_of(
                    &rows.relation.def.name,
                    &column,
                    &projection,
                    &schema,
                    &values,
                );
                Ok(Some((batch.map_err(external)?, rows)))
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema.clone(),
            stream,
        )))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// Where the next rows come from.
enum Source {
    /// Not open yet.
    Unopened(Arc<TxnView>),
    /// Keys by name.
    Keys {
        space: Arc<Space>,
        view: Arc<TxnView>,
        keys: std::vec::IntoIter<Bytes>,
    },
    /// Keys between two bounds.
    KeysBetween {
        space: Arc<Space>,
        view: Arc<TxnView>,
        lower: Bound<Bytes>,
        upper: Bound<Bytes>,
    },
    Documents(DocumentScan),
    Found(Box<Found>),
    /// Documents that were found before.
    Stored {
        collection: Arc<Collection>,
        view: Arc<TxnView>,
        keys: std::vec::IntoIter<Bytes>,
    },
    End,
}

/// What is read. Apart from [`Rows`], which cannot be shared between threads.
struct Relation {
    def: Arc<TableDef>,
    access: ModelAccess,
    executor: Executor,
}

struct Rows {
    relation: Relation,
    columns: KeyColumns,
    source: Source,
    now: UnixMillis,
    cancel: CancellationToken,
    metrics: BaselineMetrics,
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
            let rows = match std::mem::replace(&mut self.source, Source::End) {
                Source::End => return Ok(None),
                Source::Unopened(view) => {
                    self.source = self.relation.open(view).await?;
                    continue;
                }
                Source::Keys {
                    space,
                    view,
                    mut keys,
                } => {
                    let reader = Reader::new(&space, view.clone(), self.now);
                    let mut rows = Vec::new();
                    for key in keys.by_ref().take(KEYS_PER_STEP) {
                        if let Some(info) = reader.info(&key).await.map_err(|e| e.report())? {
                            rows.push(row_of_key(&space, &reader, &info, self.columns).await?);
                        }
                    }
                    if keys.len() > 0 {
                        self.source = Source::Keys { space, view, keys };
                    }
                    rows
                }
                Source::KeysBetween {
                    space,
                    view,
                    lower,
                    upper,
                } => {
                    let reader = Reader::new(&space, view.clone(), self.now);
                    let spec = ScanSpec {
                        count: Some(KEYS_PER_STEP),
                        ..ScanSpec::default()
                    };
                    let (from, to) = (slice(&lower), slice(&upper));
                    let page = reader.scan_keys_between(from, to, &spec).await;
                    let page = page.map_err(|error| error.report())?;
                    let mut rows = Vec::with_capacity(page.keys.len());
                    for info in &page.keys {
                        rows.push(row_of_key(&space, &reader, info, self.columns).await?);
                    }
                    if let Some(next) = page.next {
                        self.source = Source::KeysBetween {
                            space,
                            view,
                            lower: Bound::Excluded(next),
                            upper,
                        };
                    }
                    rows
                }
                Source::Documents(mut scan) => {
                    let batch = scan.next_batch().await.map_err(|error| error.report())?;
                    let Some(batch) = batch else {
                        return Ok(None);
                    };
                    self.source = Source::Documents(scan);
                    self.rows_of_documents(&batch)?
                }
                Source::Found(mut found) => {
                    let batch = found.next_batch().await.map_err(|error| error.report())?;
                    let Some(batch) = batch else {
                        return Ok(None);
                    };
                    self.source = Source::Found(found);
                    self.rows_of_documents(&batch)?
                }
                Source::Stored {
                    collection,
                    view,
                    mut keys,
                } => {
                    let mut found = Vec::new();
                    for key in keys.by_ref().take(KEYS_PER_STEP) {
                        let id = Collection::id_of_stored(&key).map_err(|e| e.report())?;
                        let document = collection.get(&*view, &id).await;
                        found.extend(document.map_err(|error| error.report())?);
                    }
                    if keys.len() > 0 {
                        self.source = Source::Stored {
                            collection,
                            view,
                            keys,
                        };
                    }
                    self.rows_of_documents(&found)?
                }
            };
            if !rows.is_empty() {
                return Ok(Some(rows));
            }
        }
    }

    fn rows_of_documents(
        &self,
        documents: &[tessera_documents::Document],
    ) -> std::result::Result<Vec<Vec<Value>>, Report> {
        let mut rows = Vec::with_capacity(documents.len());
        for document in documents {
            // The second column of both models is the one that costs something.
            let mut row = records::document_row(document, self.columns.value)?;
            let key = records::stored_document_key(&self.relation.def, document.id());
            row.push(Value::from(key));
            rows.push(row);
        }
        Ok(rows)
    }
}

impl Relation {
    async fn open(&self, view: Arc<TxnView>) -> std::result::Result<Source, Report> {
        if matches!(self.access, ModelAccess::Nothing) {
            return Ok(Source::End);
        }
        if self.def.model == Model::Collection {
            let collection = self.executor.collection(&self.def)?;
            return self.open_collection(collection, view).await;
        }
        let space = self.executor.space(&self.def).await?;
        Ok(match &self.access {
            ModelAccess::Keys(keys) => Source::Keys {
                space,
                view,
                keys: keys.to_vec().into_iter(),
            },
            ModelAccess::Stored(keys) => {
                let keys: Vec<Bytes> = keys.iter().map(|key| key_of_stored(&key.clone())).collect();
                Source::Keys {
                    space,
                    view,
                    keys: keys.into_iter(),
                }
            }
            ModelAccess::KeysBetween(lower, upper) => Source::KeysBetween {
                space,
                view,
                lower: lower.clone(),
                upper: upper.clone(),
            },
            _ => Source::KeysBetween {
                space,
                view,
                lower: Bound::Unbounded,
                upper: Bound::Unbounded,
            },
        })
    }

    async fn open_collection(
        &self,
        collection: Arc<Collection>,
        view: Arc<TxnView>,
    ) -> std::result::Result<Source, Report> {
        let snapshot: Arc<dyn Snapshot> = view.clone();
        let find = async |filter: &Filter, index: Option<&str>| {
            let query = Query::new(filter.clone());
            let found = collection.find_along(snapshot.clone(), &query, index).await;
            found.map(|found| Source::Found(Box::new(found)))
        };
        let source = match &self.access {
            ModelAccess::Ids(filter) | ModelAccess::Matching(filter) => find(filter, None).await,
            ModelAccess::Index(filter, name) => find(filter, Some(name)).await,
            ModelAccess::Stored(keys) => Ok(Source::Stored {
                collection,
                view,
                keys: keys.to_vec().into_iter(),
            }),
            _ => Ok(Source::Documents(collection.scan(snapshot))),
        };
        source.map_err(|error| error.report())
    }
}

async fn row_of_key(
    space: &Space,
    reader: &Reader<'_>,
    info: &KeyInfo,
    columns: KeyColumns,
) -> std::result::Result<Vec<Value>, Report> {
    let mut row = records::key_row(reader, info, columns).await?;
    let key: Key = stored_key(space.relation(), &info.key);
    row.push(Value::from(key.to_vec()));
    Ok(row)
}

fn slice(bound: &Bound<Bytes>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(key) => Bound::Included(key),
        Bound::Excluded(key) => Bound::Excluded(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}
