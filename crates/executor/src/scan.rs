//! Tables as DataFusion sources.
//!
//! # Invariants
//! 1. A plan holds no snapshot: the view comes from the statement in the task's configuration.
//! 2. Every filter is evaluated again above the scan, so an access path may give too much.
//! 3. Rows come in key order within a partition, and partitions are disjoint and ascending.

mod exec;
mod models;
mod system;

use std::any::Any;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Result, Statistics};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use tessera_catalog::TableStatistics;
use tessera_planner::arrow_types::field_of;
use tessera_tables::Table;
use tessera_types::SqlType;

use crate::access::{self, Access};
pub(crate) use exec::TableScanExec;
pub(crate) use models::{ModelAccess, ModelScanExec, ModelTable, records};
pub(crate) use system::{SystemScanExec, SystemSource};

/// Name of the hidden column that holds a row's key.
pub(crate) const ROW_KEY: &str = "tessera.row_key";

/// Rows assumed for a table that was never counted.
const ROWS_UNKNOWN: f64 = 1_000.0;

/// Rows that one more partition should be worth.
const PARTITION_ROWS_MIN: f64 = 20_000.0;

/// A stored table.
#[derive(Debug)]
pub(crate) struct RowTable {
    pub(crate) table: Arc<Table>,
    schema: SchemaRef,
    rows: f64,
    statistics: Option<Arc<TableStatistics>>,
}

impl RowTable {
    /// A table with an estimate of its rows.
    pub(crate) fn new(
        table: Arc<Table>,
        rows: Option<f64>,
        statistics: Option<Arc<TableStatistics>>,
    ) -> RowTable {
        let mut fields: Vec<Field> = table
            .def()
            .columns
            .iter()
            .map(|column| field_of(&column.name, &column.sql_type, !column.not_null))
            .collect();
        fields.push(field_of(ROW_KEY, &SqlType::Bytea, false));
        RowTable {
            table,
            schema: Arc::new(Schema::new(fields)),
            rows: rows.unwrap_or(ROWS_UNKNOWN).max(1.0),
            statistics,
        }
    }
}

#[async_trait]
impl TableProvider for RowTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| {
                if access::is_useful(&self.table, filter) {
                    TableProviderFilterPushDown::Inexact
                } else {
                    TableProviderFilterPushDown::Unsupported
                }
            })
            .collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(statistics_of(
            &self.table,
            self.rows,
            self.statistics.as_deref(),
            &self.schema,
        ))
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let projection = projection.unwrap_or(&all).clone();
        let mut chosen =
            access::choose(&self.table, filters, self.rows, self.statistics.as_deref());
        if matches!(
            chosen.access,
            Access::Table | Access::Ranges { index: None, .. }
        ) {
            chosen.read_filter = access::read_filter(&self.table, filters);
        }
        let partitions = match &chosen.access {
            Access::Table if limit.is_none() => {
                let wanted = (chosen.rows / PARTITION_ROWS_MIN).ceil().max(1.0);
                (wanted as usize).min(state.config().target_partitions())
            }
            _ => 1,
        };
        let schema = Arc::new(self.schema.project(&projection)?);
        let statistics = statistics_of(
            &self.table,
            chosen.rows,
            self.statistics.as_deref(),
            &self.schema,
        )
        .project(Some(&projection));
        Ok(Arc::new(TableScanExec::new(
            self.table.clone(),
            schema,
            projection,
            chosen,
            partitions,
            limit,
            statistics,
        )))
    }
}

/// Estimates in DataFusion's form.
fn statistics_of(
    table: &Table,
    rows: f64,
    known: Option<&TableStatistics>,
    schema: &Schema,
) -> Statistics {
    let rows = rows.max(1.0);
    let mut columns: Vec<ColumnStatistics> = schema
        .fields()
        .iter()
        .map(|_| ColumnStatistics::new_unknown())
        .collect();
    let unique = match table.key_positions() {
        [only] => Some(*only),
        _ => None,
    };
    for (i, column) in table.def().columns.iter().enumerate() {
        if unique == Some(i) {
            columns[i].distinct_count = Precision::Inexact(rows as usize);
        } else if let Some(found) = known.and_then(|known| known.columns.get(&column.id)) {
            columns[i].distinct_count =
                Precision::Inexact(found.distinct.clamp(1.0, rows) as usize);
            columns[i].null_count = Precision::Inexact((found.null_fraction * rows) as usize);
        }
    }
    Statistics {
        num_rows: Precision::Inexact(rows as usize),
        total_byte_size: Precision::Absent,
        column_statistics: columns,
    }
}

// The binder and EXPLAIN look through a source to the table behind it.
const _: fn() = || {
    fn is_any<T: Any>() {}
    is_any::<RowTable>();
};
