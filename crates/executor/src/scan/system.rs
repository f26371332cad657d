//! A system table as a DataFusion source: its rows are made when it is read.

use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
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
use tessera_planner::arrow_types::field_of;
use tessera_planner::errors::external;
use tessera_types::{Report, SqlType, Value};

use crate::arrow_values::ArrayWriter;
use crate::context::StatementExtension;
use crate::system_catalog::SystemTable;

/// A system table.
pub(crate) struct SystemSource {
    table: Arc<SystemTable>,
    schema: SchemaRef,
}

impl SystemSource {
    /// The source of a system table.
    pub(crate) fn new(table: Arc<SystemTable>) -> SystemSource {
        let fields: Vec<_> = table
            .columns
            .iter()
            .map(|(name, sql_type)| field_of(name.as_ref(), sql_type, true))
            .collect();
        SystemSource {
            table,
            schema: Arc::new(Schema::new(fields)),
        }
    }
}

impl fmt::Debug for SystemSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SystemSource({}.{})", self.table.schema, self.table.name)
    }
}

#[async_trait]
impl TableProvider for SystemSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
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
        Ok(Arc::new(SystemScanExec {
            table: self.table.clone(),
            properties: Arc::new(PlanProperties::new(
                EquivalenceProperties::new(schema.clone()),
                Partitioning::UnknownPartitioning(1),
                EmissionType::Final,
                Boundedness::Bounded,
            )),
            projection,
            schema,
        }))
    }
}

/// Reads a system table.
pub(crate) struct SystemScanExec {
    table: Arc<SystemTable>,
    projection: Vec<usize>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl SystemScanExec {
    /// Name for EXPLAIN.
    pub(crate) fn relation(&self) -> &str {
        &self.table.name
    }

    fn batch(&self, rows: &[Vec<Value>]) -> std::result::Result<RecordBatch, Report> {
        let column = |at: usize| {
            let (name, sql_type) = &self.table.columns[at];
            (name.as_ref(), sql_type)
        };
        batch_of(
            &self.table.name,
            &column,
            &self.projection,
            &self.schema,
            rows,
        )
    }
}

/// Rows of values as a batch of the projected columns; `column` gives name and type.
pub(super) fn batch_of<'a>(
    table: &str,
    column: &dyn Fn(usize) -> (&'a str, &'a SqlType),
    projection: &[usize],
    schema: &SchemaRef,
    rows: &[Vec<Value>],
) -> std::result::Result<RecordBatch, Report> {
    let mut columns = Vec::with_capacity(projection.len());
    for position in projection {
        let (name, sql_type) = column(*position);
        let mut writer = ArrayWriter::new(sql_type, rows.len());
        for row in rows {
            let value = row.get(*position).unwrap_or(&Value::Null);
            writer
                .push(value.as_ref())
                .map_err(|report| report.with_context(format!("column {name} of {table}")))?;
        }
        columns.push(writer.finish());
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .map_err(|error| Report::internal(error.to_string()))
}

impl fmt::Debug for SystemScanExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SystemScanExec({})", self.table.name)
    }
}

impl DisplayAs for SystemScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SystemScanExec: {}.{}",
            self.table.schema, self.table.name
        )
    }
}

impl ExecutionPlan for SystemScanExec {
    fn name(&self) -> &'static str {
        "SystemScanExec"
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
        let rows =
            (self.table.rows)(&extension.executor, &extension.statement).map_err(external)?;
        let batch_rows = task.session_config().batch_size().max(1);
        let batches: Vec<Result<RecordBatch>> = rows
            .chunks(batch_rows)
            .map(|rows| self.batch(rows).map_err(external))
            .collect();
        let stream = futures::stream::iter(batches);
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema.clone(),
            stream,
        )))
    }
}
