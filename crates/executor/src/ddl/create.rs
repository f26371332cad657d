//! CREATE of tables, indexes, views, schemas and sequences.

use std::sync::Arc;

use tessera_catalog::{
    ColumnSpec, IndexSpec, Model, Relation, SequenceSpec, TableDef, TableSpec, ViewColumn, ViewSpec,
};
use tessera_planner::ddl::{CreateIndex, CreateSequence, CreateTable, CreateView, RelationName};
use tessera_planner::{Parsed, Statement};
use tessera_tables::{Index, build_index};
use tessera_types::{Report, SqlType, codes};

use crate::dml::expr::Compiler;
use crate::dml::rules::RowRules;
use crate::query;

use super::Run;
use super::view_text::{pin_sequences, qualify};

impl Run<'_> {
    /// Whether the name is taken and that is no error; then the client is told.
    pub(super) fn is_taken(
        &self,
        name: &RelationName,
        if_not_exists: bool,
    ) -> Result<bool, Report> {
        if !if_not_exists {
            return Ok(false);
        }
        let (schema, name) = self.new_name(name)?;
        if self.state().relation(&schema, &name).is_none() {
            return Ok(false);
        }
        self.notice(
            codes::DUPLICATE_TABLE,
            format!("relation \"{name}\" already exists, skipping"),
        );
        Ok(true)
    }

    pub(super) async fn create_table(&self, create: &CreateTable) -> Result<(), Report> {
        if self.is_taken(&create.name, create.if_not_exists)? {
            return Ok(());
        }
        let (schema, name) = self.new_name(&create.name)?;
        let mut columns = Vec::new();
        if let Some(like) = &create.like {
            let Relation::Table(source) = self.relation(&like.source)? else {
                return Err(Report::unsupported("LIKE takes a table"));
            };
            for column in &source.columns {
                let mut spec = ColumnSpec::new(column.name.clone(), column.sql_type.clone());
                spec.not_null = column.not_null;
                if like.defaults {
                    spec.default = column.default.clone();
                }
                columns.push(spec);
            }
        }
        let session = self.session();
        for column in &create.columns {
            let mut column = column.clone();
            if let Some(default) = &column.default {
                column.default = Some(pin_sequences(default, &session)?);
            }
            columns.push(column);
        }
        let spec = TableSpec {
            schema,
            name,
            columns,
            constraints: create.constraints.clone(),
            owner: self.owner(),
        };
        let table = self.catalog().create_table(&self.context.txn, spec).await?;
        self.check_rules(&table)
    }

    /// Refuses defaults, generated columns and checks that do not fit the table.
    pub(super) fn check_rules(&self, table: &Arc<TableDef>) -> Result<(), Report> {
        self.rules(table).map(|_| ())
    }

    pub(super) fn rules(&self, table: &Arc<TableDef>) -> Result<RowRules, Report> {
        let session = self.session();
        let mut params = Vec::new();
        let mut compiler = Compiler {
            executor: self.executor,
            session: &session,
            params: &mut params,
            scalars_only: false,
            with: None,
        };
        let rules = RowRules::compile(&mut compiler, table)?;
        if !params.is_empty() {
            return Err(Report::error(
                codes::UNDEFINED_PARAMETER,
                "a definition cannot contain parameters",
            ));
        }
        rules.ok_or_else(|| Report::internal("the rules of a table were not compiled"))
    }

    pub(super) async fn create_index(&self, create: &CreateIndex) -> Result<(), Report> {
        let Relation::Table(table) = self.relation(&create.table)? else {
            return Err(Report::error(
                codes::WRONG_OBJECT_TYPE,
                format!("cannot create index on relation \"{}\"", create.table.name),
            ));
        };
        if let Some(name) = &create.name
            && create.if_not_exists
            && self.state().relation(&table.schema, name).is_some()
        {
            self.notice(
                codes::DUPLICATE_TABLE,
                format!("relation \"{name}\" already exists, skipping"),
            );
            return Ok(());
        }
        match table.model {
            Model::Rows => {}
            Model::Collection => return self.create_document_index(&table, create).await,
            Model::KeySpace => {
                return Err(Report::error(
                    codes::WRONG_OBJECT_TYPE,
                    format!("cannot create index on key space \"{}\"", table.name),
                )
                .with_detail("Its keys are in order already."));
            }
        }
        let columns = create.columns()?;
        for column in &columns {
            if let Some(found) = table.column(&column.column) {
                check_key_type(&found.sql_type)?;
            }
        }
        let spec = IndexSpec {
            table: table.id,
            name: create.name.clone(),
            columns,
            unique: create.unique,
            nulls_not_distinct: create.nulls_not_distinct,
        };
        let (table, index) = self.catalog().create_index(&self.context.txn, spec).await?;
        let index = Index::new(&table, &index);
        let table = self.executor.writes().table(&table);
        build_index(&self.context.txn, &table, &index).await?;
        Ok(())
    }

    pub(super) async fn create_view(&self, create: &CreateView) -> Result<(), Report> {
        if self.is_taken(&create.name, create.if_not_exists)? {
            return Ok(());
        }
        let (schema, name) = self.new_name(&create.name)?;
        let session = self.session();
        let mut text = create.query.clone();
        let depends_on = qualify(&mut text, &session)?;
        let query = Arc::new((*create.query).clone());
        let parsed = Arc::new(Parsed {
            statement: Statement::Query(Arc::clone(&query)),
            text: query.to_string().into(),
            offset: 0,
            lines: Arc::from([]),
            notices: Vec::new(),
        });
        let mut params = Vec::new();
        let prepared = query::prepare(self.executor, &parsed, &query, &session, &mut params)?;
        if !params.is_empty() {
            return Err(Report::error(
                codes::UNDEFINED_PARAMETER,
                "a view cannot contain parameters",
            ));
        }
        let found = prepared.columns();
        if create.columns.len() > found.len() {
            return Err(Report::error(
                codes::SYNTAX_ERROR,
                "CREATE VIEW specifies more column names than columns",
            ));
        }
        let columns = found
            .iter()
            .enumerate()
            .map(|(at, column)| ViewColumn {
                name: create.columns.get(at).unwrap_or(&column.name).clone(),
                sql_type: settled(&column.sql_type),
                comment: None,
            })
            .collect();
        let spec = ViewSpec {
            schema,
            name,
            sql: text.to_string(),
            columns,
            depends_on,
            depends_on_columns: Vec::new(),
            owner: self.owner(),
            replace: create.replace,
        };
        self.catalog().create_view(&self.context.txn, spec).await?;
        Ok(())
    }

    pub(super) async fn create_schema(
        &self,
        name: &str,
        if_not_exists: bool,
    ) -> Result<(), Report> {
        if if_not_exists && self.state().has_schema(name) {
            self.notice(
                codes::DUPLICATE_SCHEMA,
                format!("schema \"{name}\" already exists, skipping"),
            );
            return Ok(());
        }
        self.catalog()
            .create_schema(&self.context.txn, name, self.owner())
            .await?;
        Ok(())
    }

    pub(super) async fn create_sequence(&self, create: &CreateSequence) -> Result<(), Report> {
        if self.is_taken(&create.name, create.if_not_exists)? {
            return Ok(());
        }
        let (schema, name) = self.new_name(&create.name)?;
        let owned_by = match &create.owned_by {
            None => None,
            Some((table, column)) => Some((self.relation(table)?.id(), column.clone())),
        };
        let spec = SequenceSpec {
            schema,
            name,
            options: create.options.clone(),
            owned_by,
            owner: self.owner(),
        };
        self.catalog()
            .create_sequence(&self.context.txn, spec)
            .await?;
        Ok(())
    }
}

/// The type of a stored column that was made from a query's.
pub(super) fn settled(sql_type: &SqlType) -> SqlType {
    match sql_type {
        SqlType::Unknown => SqlType::Text,
        other => other.clone(),
    }
}

/// 42704 for types that have no order.
pub(super) fn check_key_type(sql_type: &SqlType) -> Result<(), Report> {
    match sql_type {
        SqlType::Json | SqlType::Record | SqlType::Void => Err(Report::error(
            codes::UNDEFINED_OBJECT,
            format!(
                "data type {} has no default operator class for access method \"btree\"",
                sql_type.name()
            ),
        )
        .with_hint("You must specify an operator class for the index or define a default operator class for the data type.")),
        _ => Ok(()),
    }
}
