//! What the binder asks of the catalog and the session.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::common::ScalarValue;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{LogicalPlan, ScalarUDF, TableSource};
use tessera_catalog as catalog;
use tessera_planner::Statement;
use tessera_planner::bind::{
    BindEnvironment, Relation, RowLockTarget, TableColumn, TableRelation, ViewRelation,
};
use tessera_planner::functions::{FunctionRegistry, SetOverload};
use tessera_types::{FormatContext, Report, SqlType, codes};

use super::lock_rows::LockRows;
use crate::context::SessionContext;
use crate::executor::Executor;
use crate::scan::{ModelTable, ROW_KEY, RowTable, SystemSource};
use crate::system_catalog::{SystemTable, sequence_table};

/// Catalog and session as the binder sees them.
pub(crate) struct BindingEnvironment<'a> {
    executor: &'a Executor,
    session: &'a Arc<SessionContext>,
}

impl<'a> BindingEnvironment<'a> {
    /// For one statement of a session.
    pub(crate) fn new(executor: &'a Executor, session: &'a Arc<SessionContext>) -> Self {
        BindingEnvironment { executor, session }
    }

    fn system(&self, schema: &str, name: &str) -> Option<Relation> {
        let table = self.executor.system_tables().get(schema, name)?.clone();
        Some(computed(table))
    }

    fn table(&self, def: &Arc<catalog::TableDef>) -> Relation {
        let table = self.executor.writes().table(def);
        let rows = self.executor.catalog().row_estimate(def.id);
        let mut seen = HashSet::new();
        let mut columns: Vec<TableColumn> = def
            .columns
            .iter()
            .map(|column| {
                seen.insert(column.name.clone());
                TableColumn {
                    name: column.name.clone(),
                    sql_type: column.sql_type.clone(),
                    number: i16::try_from(column.id).unwrap_or(0),
                    hidden: false,
                }
            })
            .collect();
        columns.push(TableColumn {
            name: ROW_KEY.to_owned(),
            sql_type: SqlType::Bytea,
            number: 0,
            hidden: true,
        });
        let key = table.key_positions().to_vec();
        let statistics = self.executor.catalog().statistics(def.id);
        Relation::Table(TableRelation {
            id: def.id,
            schema: def.schema.clone(),
            columns,
            source: provider_as_source(Arc::new(RowTable::new(table, rows, statistics))),
            primary_key: (!key.is_empty()).then_some(key),
        })
    }

    fn view(&self, def: &Arc<catalog::ViewDef>) -> Result<Relation, Report> {
        let parsed = tessera_planner::parse(&def.sql)?;
        let Some(Statement::Query(query)) = parsed.into_iter().next().map(|p| p.statement) else {
            return Err(Report::internal(format!(
                "view {} is not a query",
                def.name
            )));
        };
        Ok(Relation::View(ViewRelation {
            id: def.id,
            schema: def.schema.clone(),
            query,
            columns: def
                .columns
                .iter()
                .map(|c| (c.name.clone(), c.sql_type.clone()))
                .collect(),
        }))
    }
}

/// A key space or a collection.
fn model(def: &Arc<catalog::TableDef>, executor: &Executor) -> Relation {
    let columns = def.columns.iter().map(|column| TableColumn {
        name: column.name.clone(),
        sql_type: column.sql_type.clone(),
        number: i16::try_from(column.id).unwrap_or(0),
        hidden: false,
    });
    let row_key = TableColumn {
        name: ROW_KEY.to_owned(),
        sql_type: SqlType::Bytea,
        number: 0,
        hidden: true,
    };
    let source = ModelTable::new(def.clone(), executor.clone());
    Relation::Table(TableRelation {
        id: def.id,
        schema: def.schema.clone(),
        columns: columns.chain([row_key]).collect(),
        source: provider_as_source(Arc::new(source)),
        primary_key: Some(vec![0]),
    })
}

/// A relation whose rows are made when it is read.
fn computed(table: Arc<SystemTable>) -> Relation {
    let columns = table
        .columns
        .iter()
        .enumerate()
        .map(|(i, (name, sql_type))| TableColumn {
            name: name.clone().into_owned(),
            sql_type: sql_type.clone(),
            number: i16::try_from(i + 1).unwrap_or(0),
            hidden: false,
        })
        .collect();
    Relation::Table(TableRelation {
        id: table.id,
        schema: table.schema.to_owned(),
        columns,
        source: provider_as_source(Arc::new(SystemSource::new(table))),
        primary_key: None,
    })
}

impl BindEnvironment for BindingEnvironment<'_> {
    fn relation(&self, schema: Option<&str>, name: &str) -> Result<Option<Relation>, Report> {
        if schema.is_none()
            && let Some(table) = self.session.written.find(name)
        {
            if table.columns.is_empty() {
                return Err(Report::unsupported(format!(
                    "WITH query \"{name}\" does not have a RETURNING clause"
                )));
            }
            return Ok(Some(computed(table.clone())));
        }
        let schema_or_system = schema.unwrap_or("pg_catalog");
        if let Some(found) = self.system(schema_or_system, name) {
            return Ok(Some(found));
        }
        let state = &self.session.catalog;
        let found = match state.resolve(&self.session.search_path, schema, name) {
            Some(found) => found,
            None => {
                let listed = schema.is_none()
                    && self
                        .session
                        .search_path
                        .iter()
                        .any(|s| s == "information_schema");
                return Ok(if listed {
                    self.system("information_schema", name)
                } else {
                    None
                });
            }
        };
        match &found {
            catalog::Relation::Table(def) => {
                if def.model.is_rows() {
                    Ok(Some(self.table(def)))
                } else {
                    Ok(Some(model(def, self.executor)))
                }
            }
            catalog::Relation::View(def) => self.view(def).map(Some),
            catalog::Relation::Sequence(def) => Ok(Some(computed(sequence_table(def)))),
            other => Err(Report::error(
                codes::WRONG_OBJECT_TYPE,
                format!("cannot open relation \"{}\"", other.name()),
            )
            .with_detail(format!(
                "This operation is not supported for {}s.",
                other.kind()
            ))),
        }
    }

    fn registry(&self) -> &FunctionRegistry {
        self.executor.registry()
    }

    fn format(&self) -> &FormatContext {
        &self.session.format
    }

    fn list_function(
        &self,
        set: &Arc<SetOverload>,
        types: &[SqlType],
        ordinality: bool,
    ) -> Arc<ScalarUDF> {
        crate::operators::sets::list_function(set, types, ordinality)
    }

    fn in_set(&self, data_type: &DataType, values: Vec<ScalarValue>) -> Arc<ScalarUDF> {
        crate::operators::in_set::function(data_type, values)
    }

    fn described(&self, field: FieldRef) -> Arc<ScalarUDF> {
        super::described::function(field)
    }

    fn lock_rows(&self, input: LogicalPlan, targets: Vec<RowLockTarget>) -> LogicalPlan {
        LockRows { input, targets }.into_plan()
    }

    fn work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>, Report> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(
            name, schema,
        ))))
    }
}
