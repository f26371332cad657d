//! Key spaces and collections as DataFusion sources.
//!
//! A key space gives its keys with type, time to live and size; the value of a string is its text
//! (NULL where that is not UTF-8). A collection gives ids, documents and versions. Both are read in
//! the statement's snapshot. A hidden column names the record in the store.
//!
//! # Map
//! - `access`: which records a filter needs; `paths`: conditions on documents as candidates.
//! - `exec`: reads them; `records`: as rows.

mod access;
mod exec;
mod paths;
pub(crate) mod records;

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use tessera_catalog::{Model, TableDef};
use tessera_planner::arrow_types::field_of;
use tessera_planner::errors::external;
use tessera_types::SqlType;

use super::ROW_KEY;
use crate::executor::Executor;
pub(crate) use access::ModelAccess;
pub(crate) use exec::ModelScanExec;

/// A key space or a collection.
pub(crate) struct ModelTable {
    def: Arc<TableDef>,
    schema: SchemaRef,
    executor: Executor,
}

impl ModelTable {
    pub(crate) fn new(def: Arc<TableDef>, executor: Executor) -> ModelTable {
        let columns = def.columns.iter();
        let mut fields: Vec<_> = columns
            .map(|c| field_of(&c.name, &c.sql_type, !c.not_null))
            .collect();
        fields.push(field_of(ROW_KEY, &SqlType::Bytea, false));
        ModelTable {
            schema: Arc::new(Schema::new(fields)),
            def,
            executor,
        }
    }
}

impl std::fmt::Debug for ModelTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ModelTable({})", self.def.name)
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

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| {
            if access::is_useful(&self.def, filter) {
                TableProviderFilterPushDown::Inexact
            } else {
                TableProviderFilterPushDown::Unsupported
            }
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let projection = projection.unwrap_or(&all).clone();
        let schema = Arc::new(self.schema.project(&projection)?);
        let collection = match self.def.model {
            Model::Collection => Some(self.executor.collection(&self.def).map_err(external)?),
            _ => None,
        };
        let chosen = access::choose(&self.def, collection.as_deref(), filters);
        Ok(Arc::new(ModelScanExec::new(
            self.def.clone(),
            chosen,
            projection,
            schema,
        )))
    }
}
