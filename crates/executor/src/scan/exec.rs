//! Reads rows of a table straight into Arrow arrays.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, BinaryViewBuilder, RecordBatch, RecordBatchOptions};
use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use tessera_codec::key::Order;
use tessera_planner::errors::external;
use tessera_storage::{KeyRange, KeySpace};
use tessera_tables::{IndexScan, RowScan, ScanSpec, Stored, Table, get, rows_range};
use tessera_transactions::TxnView;
use tessera_types::{Report, SqlType};
use tokio_util::sync::CancellationToken;

use crate::access::{Access, Chosen};
use crate::arrow_values::ArrayWriter;
use crate::context::StatementExtension;

/// Identifies scans within a statement, for the ranges they share over partitions.
static SCANS: AtomicU64 = AtomicU64::new(0);

/// Reads a table by its rows, its key or one of its indexes.
pub(crate) struct TableScanExec {
    id: u64,
    table: Arc<Table>,
    schema: SchemaRef,
    projection: Vec<usize>,
    chosen: Chosen,
    partitions: usize,
    limit: Option<usize>,
    statistics: Statistics,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl TableScanExec {
    pub(crate) fn new(
        table: Arc<Table>,
        schema: SchemaRef,
        projection: Vec<usize>,
        chosen: Chosen,
        partitions: usize,
        limit: Option<usize>,
        statistics: Statistics,
    ) -> TableScanExec {
        let equivalence = match ordering(&table, &schema, &projection, &chosen) {
            Some(ordering) => EquivalenceProperties::new_with_orderings(schema.clone(), [ordering]),
            None => EquivalenceProperties::new(schema.clone()),
        };
        let properties = PlanProperties::new(
            equivalence,
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        TableScanExec {
            id: SCANS.fetch_add(1, Ordering::Relaxed),
            table,
            schema,
            projection,
            chosen,
            partitions,
            limit,
            statistics,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// The table, for EXPLAIN.
    pub(crate) fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The access path, for EXPLAIN.
    pub(crate) fn chosen(&self) -> &Chosen {
        &self.chosen
    }

    /// Rows to read at most, for EXPLAIN.
    pub(crate) fn limit(&self) -> Option<usize> {
        self.limit
    }

    /// The part of the table that a partition reads.
    fn part(
        &self,
        partition: usize,
        extension: &StatementExtension,
        view: &TxnView,
    ) -> Option<KeyRange> {
        let whole = rows_range(&self.table);
        if self.partitions == 1 {
            return Some(whole);
        }
        let mut ranges = extension.ranges.lock();
        let parts = ranges
            .entry(self.id)
            .or_insert_with(|| Arc::from(view.partitions(KeySpace::Rows, &whole, self.partitions)));
        parts.get(partition).cloned()
    }
}

/// The order of the rows, as far as its columns are in the projection.
fn ordering(
    table: &Table,
    schema: &SchemaRef,
    projection: &[usize],
    chosen: &Chosen,
) -> Option<Vec<PhysicalSortExpr>> {
    let (positions, orders): (&[usize], &[Order]) = match &chosen.access {
        Access::Nothing => return None,
        Access::Table => (table.key_positions(), table.key_orders()),
        Access::Keys(_) => return None,
        Access::Ranges { index: None, .. } => (table.key_positions(), table.key_orders()),
        Access::Ranges {
            index: Some(index), ..
        } => {
            let index = table.index(*index)?;
            (&index.positions, &index.orders)
        }
    };
    let mut keys = Vec::new();
    for (position, order) in positions.iter().zip(orders) {
        let Some(at) = projection.iter().position(|p| p == position) else {
            break;
        };
        if !orders_alike(&table.def().columns[*position].sql_type) {
            break;
        }
        keys.push(PhysicalSortExpr::new(
            Arc::new(Column::new(schema.field(at).name(), at)),
            SortOptions {
                descending: order.descending,
                nulls_first: order.nulls_first,
            },
        ));
    }
    (!keys.is_empty()).then_some(keys)
}

/// Whether Arrow orders values of the type as keys do.
fn orders_alike(sql_type: &SqlType) -> bool {
    matches!(
        sql_type,
        SqlType::SmallInt
            | SqlType::Integer
            | SqlType::BigInt
            | SqlType::Text
            | SqlType::Varchar(_)
            | SqlType::Date
            | SqlType::Time
            | SqlType::Timestamp
            | SqlType::TimestampTz
            | SqlType::Uuid
            | SqlType::Boolean
            | SqlType::Bytea
            | SqlType::Numeric(Some(_))
    )
}

impl fmt::Debug for TableScanExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "TableScanExec({}, {:?})",
            self.table.def().name,
            self.chosen.access
        )
    }
}

impl DisplayAs for TableScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TableScanExec: table={}", self.table.def().name)?;
        if let Some(condition) = &self.chosen.condition {
            write!(f, ", {condition}")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for TableScanExec {
    fn name(&self) -> &'static str {
        "TableScanExec"
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
        Ok(Arc::new(TableScanExec::new(
            self.table.clone(),
            self.schema.clone(),
            self.projection.clone(),
            self.chosen.clone(),
            self.partitions,
            self.limit,
            self.statistics.clone(),
        )))
    }

    fn execute(
        &self,
        partition: usize,
        task: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let extension = StatementExtension::of(task.session_config().options())
            .ok_or_else(|| external(Report::internal("a scan outside of a statement")))?;
        let view = extension.statement.view_of(self.table.id());
        let view = view.map_err(external)?;
        let view = match &self.chosen.read_filter {
            Some(filter) => view.refined(filter.clone()),
            None => view.clone(),
        };
        let source = match &self.chosen.access {
            Access::Nothing => Source::Keys(Vec::new().into_iter()),
            Access::Keys(keys) => Source::Keys(keys.to_vec().into_iter()),
            Access::Table => match self.part(partition, extension, &view) {
                Some(range) => Source::Ranges(None, vec![range].into_iter()),
                None => Source::Keys(Vec::new().into_iter()),
            },
            Access::Ranges { index, ranges } => Source::Ranges(*index, ranges.to_vec().into_iter()),
        };
        let reader = Reader {
            table: self.table.clone(),
            schema: self.schema.clone(),
            projection: self.projection.clone(),
            view,
            source,
            open: None,
            waiting: Vec::new().into_iter(),
            left: self.limit.unwrap_or(usize::MAX),
            batch_rows: task.session_config().batch_size().max(1),
            cancel: extension.statement.cancel.clone(),
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        let stream = futures::stream::try_unfold(reader, |mut reader| async move {
            let batch = reader.next_batch().await.map_err(external)?;
            Ok(batch.map(|batch| (batch, reader)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema.clone(),
            stream,
        )))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn partition_statistics(&self, _: Option<usize>) -> Result<Arc<Statistics>> {
        Ok(Arc::new(self.statistics.clone()))
    }
}

/// Where rows come from, one after the other.
enum Source {
    Keys(std::vec::IntoIter<tessera_storage::Key>),
    Ranges(
        Option<tessera_types::RelationId>,
        std::vec::IntoIter<KeyRange>,
    ),
}

/// A range that is read now.
enum Open {
    Rows(RowScan),
    Index(IndexScan),
}

/// Reads one partition.
struct Reader {
    table: Arc<Table>,
    schema: SchemaRef,
    projection: Vec<usize>,
    view: Arc<TxnView>,
    source: Source,
    open: Option<Open>,
    waiting: std::vec::IntoIter<Stored>,
    left: usize,
    batch_rows: usize,
    cancel: CancellationToken,
    metrics: BaselineMetrics,
}

impl Reader {
    /// The next batch; `None` at the end.
    async fn next_batch(&mut self) -> std::result::Result<Option<RecordBatch>, Report> {
        let mut writers: Vec<Writer> = self
            .projection
            .iter()
            .map(|position| match self.table.def().columns.get(*position) {
                Some(column) => Writer::Column(*position, ArrayWriter::new(&column.sql_type, 0)),
                None => Writer::Key(BinaryViewBuilder::new()),
            })
            .collect();
        let time = self.metrics.elapsed_compute().clone();
        let _timer = time.timer();
        let mut rows = 0;
        while rows < self.batch_rows && self.left > 0 {
            let Some(stored) = self.next_row().await? else {
                break;
            };
            let view = self
                .table
                .read(&stored.value)
                .map_err(|error| error.report())?;
            for writer in &mut writers {
                match writer {
                    Writer::Column(position, writer) => {
                        writer.push(view.get(*position).map_err(|error| error.report())?)?;
                    }
                    Writer::Key(writer) => writer.append_value(&stored.key),
                }
            }
            rows += 1;
            self.left -= 1;
        }
        if rows == 0 {
            self.metrics.done();
            return Ok(None);
        }
        self.metrics.record_output(rows);
        let arrays: Vec<ArrayRef> = writers.into_iter().map(Writer::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map(Some)
            .map_err(|error| Report::internal(error.to_string()))
    }

    /// The next stored row; `None` at the end.
    async fn next_row(&mut self) -> std::result::Result<Option<Stored>, Report> {
        loop {
            if let Some(row) = self.waiting.next() {
                return Ok(Some(row));
            }
            if self.cancel.is_cancelled() {
                return Err(Report::error(
                    tessera_types::codes::QUERY_CANCELED,
                    "canceling statement due to user request",
                ));
            }
            if let Some(open) = &mut self.open {
                let batch = match open {
                    Open::Rows(scan) => scan.next_batch().await,
                    Open::Index(scan) => scan.next_batch().await,
                };
                match batch.map_err(|error| error.report())? {
                    Some(batch) => self.waiting = batch.into_iter(),
                    None => self.open = None,
                }
                continue;
            }
            match &mut self.source {
                Source::Keys(keys) => {
                    let Some(key) = keys.next() else {
                        return Ok(None);
                    };
                    let found = get(self.view.as_ref(), &key).await;
                    if let Some(stored) = found.map_err(|error| error.report())? {
                        return Ok(Some(stored));
                    }
                }
                Source::Ranges(index, ranges) => {
                    let Some(range) = ranges.next() else {
                        return Ok(None);
                    };
                    let row_limit = (self.left < usize::MAX).then_some(self.left);
                    let spec = ScanSpec {
                        reverse: false,
                        row_limit,
                        bytes_max: None,
                    };
                    let view: Arc<dyn tessera_storage::Snapshot> = self.view.clone();
                    self.open = Some(match index {
                        None => Open::Rows(RowScan::new(view, range, spec)),
                        Some(index) => {
                            let index = self
                                .table
                                .index(*index)
                                .ok_or_else(|| Report::internal("an index left the table"))?;
                            Open::Index(IndexScan::new(view, &self.table, index, range, spec))
                        }
                    });
                }
            }
        }
    }
}

/// Builds one output column.
enum Writer {
    Column(usize, ArrayWriter),
    Key(BinaryViewBuilder),
}

impl Writer {
    fn finish(self) -> ArrayRef {
        match self {
            Writer::Column(_, writer) => writer.finish(),
            Writer::Key(mut writer) => Arc::new(writer.finish()),
        }
    }
}
