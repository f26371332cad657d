//! The operator: arguments, memo, output.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, ScalarValue};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan, Operator};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::ReplaceChildrenOptions;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use futures::StreamExt;
use tessera_planner::errors::external;
use tessera_types::Report;

use super::compare::{Comparison, Values};
use super::memo::Memo;
use super::subplan::{Runner, Subplan, in_type};
use super::{Apply, Mode};

/// Executes a subquery for each distinct tuple of its input.
pub(crate) struct ApplyExec {
    input: Arc<dyn ExecutionPlan>,
    subplan: Subplan,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    guard: Option<Arc<dyn PhysicalExpr>>,
    kind: Kind,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// What becomes of an answer.
#[derive(Clone)]
enum Kind {
    Scalar,
    Exists,
    Compare {
        operand: Arc<dyn PhysicalExpr>,
        op: Operator,
        all: bool,
    },
    Rows {
        outer: bool,
    },
}

impl ApplyExec {
    pub(super) fn new(
        apply: &Apply,
        input: Arc<dyn ExecutionPlan>,
        physical: &dyn Fn(&Expr) -> Result<Arc<dyn PhysicalExpr>>,
    ) -> Result<ApplyExec> {
        let arguments = apply
            .parameters
            .iter()
            .map(|parameter| physical(&parameter.argument))
            .collect::<Result<_>>()?;
        let guard = apply.guard.as_ref().map(physical).transpose()?;
        let kind = match &apply.mode {
            Mode::Scalar { .. } => Kind::Scalar,
            Mode::Exists { .. } => Kind::Exists,
            Mode::Compare {
                operand, op, all, ..
            } => Kind::Compare {
                operand: physical(operand)?,
                op: *op,
                all: *all,
            },
            Mode::Rows { outer, .. } => Kind::Rows { outer: *outer },
        };
        let schema: SchemaRef = {
            use datafusion::logical_expr::UserDefinedLogicalNodeCore;
            Arc::new(apply.schema().as_arrow().clone())
        };
        let properties = properties_of(&input, &schema);
        Ok(ApplyExec {
            input,
            subplan: Subplan::of(apply)?,
            arguments,
            guard,
            kind,
            schema,
            properties,
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// The subquery, for EXPLAIN.
    pub(crate) fn subquery(&self) -> &LogicalPlan {
        &self.subplan.plan
    }

    /// The subquery's parameters and what gives them, for EXPLAIN.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = (&str, &dyn PhysicalExpr)> {
        let ids = self.subplan.ids.iter().map(String::as_str);
        ids.zip(self.arguments.iter().map(AsRef::as_ref))
    }

    /// The kind of answer, for EXPLAIN.
    pub(crate) fn kind_text(&self) -> String {
        match &self.kind {
            Kind::Scalar => "scalar".to_owned(),
            Kind::Exists => "exists".to_owned(),
            Kind::Compare { op, all, .. } => {
                format!("{op} {}", if *all { "ALL" } else { "ANY" })
            }
            Kind::Rows { outer: false } => "lateral".to_owned(),
            Kind::Rows { outer: true } => "left lateral".to_owned(),
        }
    }

    /// The operator's input, for EXPLAIN.
    pub(crate) fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    fn all_expressions(&self) -> impl Iterator<Item = &Arc<dyn PhysicalExpr>> {
        let operand = match &self.kind {
            Kind::Compare { operand, .. } => Some(operand),
            _ => None,
        };
        self.arguments.iter().chain(&self.guard).chain(operand)
    }
}

/// Rows come as the input's do, but nothing is known of their order.
fn properties_of(input: &Arc<dyn ExecutionPlan>, schema: &SchemaRef) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(schema.clone()),
        datafusion::physical_plan::Partitioning::UnknownPartitioning(
            input.output_partitioning().partition_count(),
        ),
        input.pipeline_behavior(),
        input.boundedness(),
    ))
}

impl ExecutionPlan for ApplyExec {
    fn name(&self) -> &'static str {
        "ApplyExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for expr in self.all_expressions() {
            if f(expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(input) = children.into_iter().next() else {
            return Err(external(Report::internal("an operator lost its input")));
        };
        Ok(Arc::new(ApplyExec {
            properties: properties_of(&input, &self.schema),
            input,
            subplan: self.subplan.clone(),
            arguments: self.arguments.clone(),
            guard: self.guard.clone(),
            kind: self.kind.clone(),
            schema: self.schema.clone(),
            metrics: ExecutionPlanMetricsSet::new(),
        }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        use datafusion::physical_plan::execution_plan::ChildrenPropertiesMode;
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context.clone())?;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let reserve = |name| MemoryConsumer::new(name).register(context.memory_pool());
        let types: Vec<DataType> = self
            .arguments
            .iter()
            .map(|argument| argument.data_type(input.schema().as_ref()))
            .collect::<Result<_>>()?;
        let keys = RowConverter::new(types.into_iter().map(SortField::new).collect())?;
        let comparison = match &self.kind {
            Kind::Compare { operand, op, all } => {
                let data_type = operand.data_type(input.schema().as_ref())?;
                Some(Comparison::new(*op, *all, &data_type)?)
            }
            _ => None,
        };
        let state = Running {
            arguments: self.arguments.clone(),
            guard: self.guard.clone(),
            kind: self.kind.clone(),
            schema: self.schema.clone(),
            keys,
            comparison,
            memo: Memo::new(reserve("subquery memo"), !self.subplan.is_volatile),
            held: reserve("subquery rows"),
            runner: Runner::new(self.subplan.clone(), context.clone()),
            rows_max: context.session_config().batch_size().max(1),
            input,
            current: None,
            metrics,
        };
        let stream = futures::stream::try_unfold(state, |mut state| async move {
            match state.next().await? {
                Some(batch) => {
                    state.metrics.record_output(batch.num_rows());
                    Ok(Some((batch, state)))
                }
                None => Ok(None),
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

impl DisplayAs for ApplyExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApplyExec: {}", self.kind_text())
    }
}

impl fmt::Debug for ApplyExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApplyExec")
            .field("kind", &self.kind_text())
            .field("input", &self.input)
            .finish_non_exhaustive()
    }
}

/// The answer for one tuple.
#[derive(Clone)]
enum Answer {
    Scalar(ScalarValue),
    Exists(bool),
    Values(Arc<Values>),
    Rows(Arc<[RecordBatch]>),
}

/// One partition at work.
struct Running {
    input: SendableRecordBatchStream,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    guard: Option<Arc<dyn PhysicalExpr>>,
    kind: Kind,
    schema: SchemaRef,
    keys: RowConverter,
    comparison: Option<Comparison>,
    memo: Memo<Answer>,
    /// What is held of a subquery's rows beside the memo.
    held: MemoryReservation,
    runner: Runner,
    rows_max: usize,
    /// A batch whose rows are joined with the subquery's.
    current: Option<Current>,
    metrics: BaselineMetrics,
}

/// An input batch with its arguments.
struct Current {
    batch: RecordBatch,
    arguments: Vec<ArrayRef>,
    /// The tuples as bytes; without arguments there is one tuple for all rows.
    keys: Option<Rows>,
    next: usize,
}

impl Current {
    fn key(&self, row: usize) -> &[u8] {
        match &self.keys {
            Some(keys) => keys.row(row).data(),
            None => &[],
        }
    }
}

impl Running {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if self.current.is_none() {
                let Some(batch) = self.input.next().await else {
                    return Ok(None);
                };
                let batch = batch?;
                if batch.num_rows() == 0 {
                    continue;
                }
                let arguments: Vec<ArrayRef> = self
                    .arguments
                    .iter()
                    .map(|argument| argument.evaluate(&batch)?.into_array(batch.num_rows()))
                    .collect::<Result<_>>()?;
                let keys = match arguments.as_slice() {
                    [] => None,
                    some => Some(self.keys.convert_columns(some)?),
                };
                self.current = Some(Current {
                    batch,
                    arguments,
                    keys,
                    next: 0,
                });
            }
            let Some(current) = self.current.take() else {
                continue;
            };
            if let Kind::Rows { outer } = self.kind {
                if let Some(joined) = self.joined(current, outer).await? {
                    return Ok(Some(joined));
                }
            } else {
                return self.with_column(current).await.map(Some);
            }
        }
    }

    /// The answer for a row's tuple.
    async fn answer(&mut self, current: &Current, row: usize) -> Result<Answer> {
        if let Some(known) = self.memo.get(current.key(row)) {
            return Ok(known.clone());
        }
        let values = current
            .arguments
            .iter()
            .map(|array| ScalarValue::try_from_array(array, row))
            .collect::<Result<Vec<_>>>()?;
        let (answer, bytes) = match &self.kind {
            Kind::Scalar => {
                let value = match self.runner.scalar(&values).await? {
                    Some(value) => value,
                    None => ScalarValue::try_from(self.column_type())?,
                };
                let bytes = value.size();
                (Answer::Scalar(value), bytes)
            }
            Kind::Exists => (Answer::Exists(self.runner.exists(&values).await?), 1),
            Kind::Compare { .. } => {
                let rows = self.runner.rows(&values).await?;
                let Some(comparison) = &self.comparison else {
                    return Err(external(Report::internal("nothing to compare with")));
                };
                let found = comparison.values(&rows)?;
                let bytes = found.bytes();
                self.held.try_resize(bytes)?;
                (Answer::Values(Arc::new(found)), bytes)
            }
            Kind::Rows { .. } => {
                let rows = self.runner.rows(&values).await?;
                let bytes = rows.iter().map(RecordBatch::get_array_memory_size).sum();
                self.held.try_resize(bytes)?;
                (Answer::Rows(rows.into()), bytes)
            }
        };
        self.memo.keep(current.key(row), answer.clone(), bytes);
        Ok(answer)
    }

    fn column_type(&self) -> &DataType {
        let last = self.schema.fields().len().saturating_sub(1);
        self.schema.field(last).data_type()
    }

    /// The batch with one more column.
    async fn with_column(&mut self, current: Current) -> Result<RecordBatch> {
        let rows = current.batch.num_rows();
        let evaluate =
            |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(&current.batch)?.into_array(rows);
        let guard = self.guard.as_ref().map(evaluate).transpose()?;
        let guard: Option<&BooleanArray> = match &guard {
            Some(array) => Some(datafusion::common::cast::as_boolean_array(array)?),
            None => None,
        };
        let operand = match &self.kind {
            Kind::Compare { operand, .. } => Some(evaluate(operand)?),
            _ => None,
        };
        let null = ScalarValue::try_from(self.column_type())?;
        let mut column = Vec::with_capacity(rows);
        for row in 0..rows {
            let holds = guard.is_none_or(|guard| guard.is_valid(row) && guard.value(row));
            if !holds {
                column.push(null.clone());
                continue;
            }
            column.push(match self.answer(&current, row).await? {
                Answer::Scalar(value) => value,
                Answer::Exists(found) => ScalarValue::Boolean(Some(found)),
                Answer::Values(values) => {
                    let (Some(comparison), Some(operand)) = (&self.comparison, &operand) else {
                        return Err(external(Report::internal("nothing to compare")));
                    };
                    let operand = ScalarValue::try_from_array(operand, row)?;
                    ScalarValue::Boolean(comparison.of(&operand, &values)?)
                }
                Answer::Rows(_) => {
                    return Err(external(Report::internal("rows in the place of a value")));
                }
            });
        }
        let column = in_type(&ScalarValue::iter_to_array(column)?, self.column_type())?;
        let mut columns = current.batch.columns().to_vec();
        columns.push(column);
        with_rows(&self.schema, columns, rows)
    }

    /// Rows of the batch beside the subquery's rows, as many as fit one batch; what is left of
    /// the batch stays the current one.
    async fn joined(&mut self, mut current: Current, outer: bool) -> Result<Option<RecordBatch>> {
        let inputs = current.batch.num_columns();
        let right = Arc::new(Schema::new(self.schema.fields()[inputs..].to_vec()));
        let mut from: Vec<u32> = Vec::new();
        let mut parts: Vec<RecordBatch> = Vec::new();
        while current.next < current.batch.num_rows() && from.len() < self.rows_max {
            let row = current.next;
            current.next += 1;
            let Answer::Rows(rows) = self.answer(&current, row).await? else {
                return Err(external(Report::internal("a value in the place of rows")));
            };
            let number = u32::try_from(row).unwrap_or(u32::MAX);
            for part in rows.iter() {
                from.extend(std::iter::repeat_n(number, part.num_rows()));
                let columns = part
                    .columns()
                    .iter()
                    .zip(right.fields())
                    .map(|(column, field)| in_type(column, field.data_type()))
                    .collect::<Result<_>>()?;
                parts.push(with_rows(&right, columns, part.num_rows())?);
            }
            if rows.is_empty() && outer {
                from.push(number);
                let nulls = right
                    .fields()
                    .iter()
                    .map(|field| arrow::array::new_null_array(field.data_type(), 1))
                    .collect();
                parts.push(with_rows(&right, nulls, 1)?);
            }
        }
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        let from = UInt32Array::from(from);
        for column in current.batch.columns() {
            columns.push(take(column, &from, None)?);
        }
        if current.next < current.batch.num_rows() {
            self.current = Some(current);
        }
        if from.is_empty() {
            return Ok(None);
        }
        columns.extend(concat_batches(&right, &parts)?.columns().iter().cloned());
        with_rows(&self.schema, columns, from.len()).map(Some)
    }
}

/// A batch that knows its number of rows even without a column.
fn with_rows(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(
        schema.clone(),
        columns,
        &options,
    )?)
}
