//! ALTER TABLE, with what it asks of the rows that exist.
//!
//! | change | existing rows |
//! |---|---|
//! | ADD COLUMN with a constant default | none: the value is kept in the definition |
//! | ADD COLUMN with a volatile default, serial, identity, generated | rewritten |
//! | TYPE | rewritten |
//! | ADD or DROP PRIMARY KEY | rewritten, as the key orders the rows |
//! | ADD UNIQUE | read once, into the new index |
//! | SET NOT NULL, ADD CHECK | read once |

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::Expr;
use tessera_catalog::{AlterTable, ColumnSource, ColumnSpec, ConstraintSpec, Relation, TableDef};
use tessera_planner::ddl::{AlterAction, RelationName};
use tessera_tables::{
    Index, Rebuild, RowScan, ScanSpec, Table, TableError, build_index, check_not_null, rows_range,
};
use tessera_types::{CastKind, Report, SqlType, Value, codes, coerce};

use crate::dml::expr::{Around, Compiler, RowExpr, RowScope, Wanted};
use crate::short_path::eval::convert;

use super::Run;
use super::create::check_key_type;
use super::view_text::pin_sequences;

/// How a rewrite makes a new row of an old one.
enum Transform {
    /// As it is.
    Same,
    /// The last column gets its default.
    Default(usize),
    /// One column is converted.
    Convert {
        column: usize,
        from: SqlType,
        to: SqlType,
        using: Option<RowExpr>,
    },
}

impl Run<'_> {
    pub(super) async fn alter_table(
        &self,
        name: &RelationName,
        if_exists: bool,
        actions: &[AlterAction],
    ) -> Result<(), Report> {
        let Some(relation) = self.find(&self.state(), name) else {
            if if_exists {
                self.notice(
                    codes::UNDEFINED_TABLE,
                    format!("relation \"{}\" does not exist, skipping", name.name),
                );
                return Ok(());
            }
            return self.relation(name).map(|_| ());
        };
        let mut table = match relation {
            Relation::Table(table) => table,
            other => return self.alter_other(&other, actions).await,
        };
        for action in actions {
            table = self.alter_one(&table, action).await?;
        }
        Ok(())
    }

    /// ALTER TABLE is accepted for renaming views, sequences and indexes, too.
    async fn alter_other(
        &self,
        relation: &Relation,
        actions: &[AlterAction],
    ) -> Result<(), Report> {
        for action in actions {
            match action {
                AlterAction::Catalog(action) => match &**action {
                    AlterTable::Rename { to } => {
                        self.catalog()
                            .rename_relation(&self.context.txn, relation.id(), to)
                            .await?;
                    }
                    _ => {
                        return Err(Report::error(
                            codes::WRONG_OBJECT_TYPE,
                            format!("\"{}\" is not a table", relation.name()),
                        ));
                    }
                },
                AlterAction::Nothing => {}
                _ => {
                    return Err(Report::unsupported(format!(
                        "this ALTER of a {} is not supported",
                        relation.kind()
                    )));
                }
            }
        }
        Ok(())
    }

    async fn alter_one(
        &self,
        table: &Arc<TableDef>,
        action: &AlterAction,
    ) -> Result<Arc<TableDef>, Report> {
        match action {
            AlterAction::Nothing => Ok(Arc::clone(table)),
            AlterAction::OwnerTo(owner) => {
                let state = self.state();
                let Some(user) = state.user(owner) else {
                    return Err(Report::error(
                        codes::UNDEFINED_OBJECT,
                        format!("role \"{owner}\" does not exist"),
                    ));
                };
                self.verb(table, AlterTable::SetOwner(user.oid)).await
            }
            AlterAction::SetType {
                column,
                sql_type,
                using,
            } => {
                self.set_type(table, column, sql_type, using.as_deref())
                    .await
            }
            AlterAction::Catalog(action) => match &**action {
                AlterTable::AddColumn {
                    column,
                    constraints,
                    if_not_exists,
                } => {
                    self.add_column(table, column, constraints, *if_not_exists)
                        .await
                }
                AlterTable::SetNotNull {
                    column,
                    not_null: true,
                } => {
                    let altered = self.verb(table, (**action).clone()).await?;
                    let prepared = self.executor.writes().table(&altered);
                    if let Some(at) = altered.columns.iter().position(|c| c.name == *column) {
                        check_not_null(&self.context.txn, &prepared, at).await?;
                    }
                    Ok(altered)
                }
                AlterTable::AddConstraint(constraint) => {
                    check_key_columns(table, constraint)?;
                    let altered = self.verb(table, (**action).clone()).await?;
                    self.settle(table, altered, Transform::Same).await
                }
                AlterTable::DropConstraint {
                    name,
                    if_exists: true,
                    ..
                } if !has_constraint(table, name) => {
                    self.notice(
                        codes::UNDEFINED_OBJECT,
                        format!(
                            "constraint \"{name}\" of relation \"{}\" does not exist, skipping",
                            table.name
                        ),
                    );
                    Ok(Arc::clone(table))
                }
                AlterTable::DropColumn {
                    name,
                    if_exists: true,
                    ..
                } if table.column(name).is_none() => {
                    self.notice(
                        codes::UNDEFINED_COLUMN,
                        format!(
                            "column \"{name}\" of relation \"{}\" does not exist, skipping",
                            table.name
                        ),
                    );
                    Ok(Arc::clone(table))
                }
                AlterTable::SetDefault { column, default } => {
                    let default = match default {
                        Some(sql) => Some(pin_sequences(sql, &self.session())?),
                        None => None,
                    };
                    let action = AlterTable::SetDefault {
                        column: column.clone(),
                        default,
                    };
                    let altered = self.verb(table, action).await?;
                    self.check_rules(&altered)?;
                    Ok(altered)
                }
                other => {
                    let altered = self.verb(table, other.clone()).await?;
                    self.settle(table, altered, Transform::Same).await
                }
            },
        }
    }

    async fn verb(&self, table: &TableDef, action: AlterTable) -> Result<Arc<TableDef>, Report> {
        Ok(self
            .catalog()
            .alter_table(&self.context.txn, table.id, vec![action])
            .await?)
    }

    /// Brings the rows in line with a changed definition: new indexes are filled, new checks
    /// hold, and the rows are rewritten when their keys or values changed.
    async fn settle(
        &self,
        before: &Arc<TableDef>,
        after: Arc<TableDef>,
        transform: Transform,
    ) -> Result<Arc<TableDef>, Report> {
        let rewrite =
            before.primary_key != after.primary_key || !matches!(transform, Transform::Same);
        let after = if rewrite {
            let fresh = self
                .catalog()
                .truncate_storage(&self.context.txn, after.id)
                .await?;
            self.rewrite(before, &after, &fresh, transform).await?;
            fresh
        } else {
            let table = self.executor.writes().table(&after);
            for index in table.indexes() {
                if before.index(index.def.id).is_none() {
                    let index = Index::new(&after, &index.def);
                    build_index(&self.context.txn, &table, &index).await?;
                }
            }
            after
        };
        self.check_rows(before, &after).await?;
        Ok(after)
    }

    async fn rewrite(
        &self,
        before: &Arc<TableDef>,
        between: &Arc<TableDef>,
        fresh: &Arc<TableDef>,
        transform: Transform,
    ) -> Result<(), Report> {
        let txn = &self.context.txn;
        let old = Table::new(Arc::clone(before));
        let new = self.executor.writes().table(fresh);
        // A default may take values of a sequence that this statement has made.
        let context = self.present();
        let around = Around::new(self.executor, &context);
        let rules = self.rules(between)?;
        let bound = rules.bind(self.executor, &context)?;
        let using = match &transform {
            Transform::Convert {
                using: Some(using), ..
            } => Some(using.bind(self.executor, &context)?),
            _ => None,
        };
        // By column number, as columns may have been added.
        let sources: Vec<Option<usize>> = fresh
            .columns
            .iter()
            .map(|column| before.position(column.id))
            .collect();
        let mut rebuild = Rebuild::new(txn, &new);
        let mut scan = RowScan::new(txn.newest_view(), rows_range(&old), ScanSpec::default());
        while let Some(batch) = scan.next_batch().await? {
            self.context.check_cancelled()?;
            for stored in batch {
                let old_row = old.decode(&stored.value)?;
                let mut row: Vec<Value> = sources
                    .iter()
                    .map(|source| source.map_or(Value::Null, |at| old_row[at].clone()))
                    .collect();
                match &transform {
                    Transform::Same => {}
                    Transform::Default(column) => {
                        row[*column] = bound.default(*column, &around).await?;
                    }
                    Transform::Convert {
                        column, from, to, ..
                    } => {
                        row[*column] = match &using {
                            Some(using) => using.value(&old_row, &around)?,
                            None => {
                                let value = std::mem::take(&mut row[*column]);
                                let format = &self.context.session.format;
                                convert(value, from, to, CastKind::Assignment, format)?
                            }
                        };
                    }
                }
                bound.complete(&new, &mut row, &around)?;
                rebuild.add(&row).await.map_err(contains_null)?;
            }
        }
        rebuild.finish().await?;
        // Rows got numbers without the counter.
        self.executor.writes().row_ids.forget(fresh.storage);
        Ok(())
    }

    /// Checks added constraints on the rows that exist.
    async fn check_rows(&self, before: &TableDef, after: &Arc<TableDef>) -> Result<(), Report> {
        let rules = self.rules(after)?;
        let added = |name: &str| !before.checks.iter().any(|check| check.name == name);
        if !after.checks.iter().any(|check| added(&check.name)) {
            return Ok(());
        }
        let context = self.present();
        let around = Around::new(self.executor, &context);
        let bound = rules.bind(self.executor, &context)?;
        let table = self.executor.writes().table(after);
        let txn = &self.context.txn;
        let mut scan = RowScan::new(txn.newest_view(), rows_range(&table), ScanSpec::default());
        while let Some(batch) = scan.next_batch().await? {
            self.context.check_cancelled()?;
            for stored in batch {
                let row = table.decode(&stored.value)?;
                if let Some(name) = bound.violated(&row, &added, &around)? {
                    let mut report = Report::error(
                        codes::CHECK_VIOLATION,
                        format!(
                            "check constraint \"{name}\" of relation \"{}\" is violated by some row",
                            after.name
                        ),
                    )
                    .with_table(&after.schema, &after.name);
                    report.constraint = Some(name.to_owned());
                    return Err(report);
                }
            }
        }
        Ok(())
    }

    async fn add_column(
        &self,
        table: &Arc<TableDef>,
        column: &ColumnSpec,
        constraints: &[ConstraintSpec],
        if_not_exists: bool,
    ) -> Result<Arc<TableDef>, Report> {
        if if_not_exists && table.column(&column.name).is_some() {
            self.notice(
                codes::DUPLICATE_COLUMN,
                format!(
                    "column \"{}\" of relation \"{}\" already exists, skipping",
                    column.name, table.name
                ),
            );
            return Ok(Arc::clone(table));
        }
        let mut column = column.clone();
        let mut needs_rewrite = !matches!(column.source, ColumnSource::Plain);
        if let Some(default) = &column.default {
            column.default = Some(pin_sequences(default, &self.session())?);
        }
        if let Some(default) = &column.default {
            match self.constant_default(&column, default)? {
                Some(value) => column.missing = Some(value).filter(|value| !value.is_null()),
                None => needs_rewrite = true,
            }
        }
        let name = column.name.clone();
        let refuses_null = column.not_null && column.missing.is_none() && !needs_rewrite;
        let action = AlterTable::AddColumn {
            column: Box::new(column),
            constraints: constraints.to_vec(),
            if_not_exists,
        };
        let altered = self.verb(table, action).await?;
        let at = altered.columns.iter().position(|c| c.name == name);
        let transform = match at {
            Some(at) if needs_rewrite => Transform::Default(at),
            _ => Transform::Same,
        };
        if let (Some(at), true) = (at, refuses_null) {
            let prepared = Table::new(Arc::clone(&altered));
            check_not_null(&self.context.txn, &prepared, at).await?;
        }
        self.settle(table, altered, transform).await
    }

    /// The value of a default that is the same for every row; `None` when it is not.
    fn constant_default(&self, column: &ColumnSpec, sql: &str) -> Result<Option<Value>, Report> {
        let expr = tessera_planner::parse_expression(sql)?;
        let def = tessera_catalog::ColumnDef {
            id: 1,
            name: column.name.clone(),
            sql_type: column.sql_type.clone(),
            not_null: false,
            default: None,
            identity: None,
            generated: None,
            missing: None,
            comment: None,
        };
        let session = self.session();
        let mut params = Vec::new();
        let mut compiler = Compiler {
            executor: self.executor,
            session: &session,
            params: &mut params,
            scalars_only: false,
            with: None,
        };
        let compiled = compiler.compile(&expr, None, Wanted::Column(&def))?;
        match compiled {
            Some(RowExpr::Scalar(scalar)) if !scalar.is_volatile() => {
                let around = Around::new(self.executor, self.context);
                crate::short_path::eval::evaluate(
                    &scalar,
                    &crate::short_path::eval::NoColumns,
                    &around,
                )
                .map(Some)
            }
            Some(RowExpr::Compiled(compiled)) => Ok(compiled.constant()),
            _ => Ok(None),
        }
    }

    async fn set_type(
        &self,
        table: &Arc<TableDef>,
        column: &str,
        to: &SqlType,
        using: Option<&Expr>,
    ) -> Result<Arc<TableDef>, Report> {
        let action = AlterTable::SetType {
            column: column.to_owned(),
            sql_type: to.clone(),
        };
        let Some(at) = table.columns.iter().position(|c| c.name == column) else {
            return self.verb(table, action).await;
        };
        let from = table.columns[at].sql_type.clone();
        let mut wanted = table.columns[at].clone();
        wanted.sql_type = to.clone();
        let using = match using {
            None => {
                let can =
                    from.base() == to.base() || coerce::exists(&from, to, CastKind::Assignment);
                if !can {
                    return Err(Report::error(
                        codes::DATATYPE_MISMATCH,
                        format!(
                            "column \"{column}\" cannot be cast automatically to type {}",
                            to.base_name()
                        ),
                    )
                    .with_hint(format!(
                        "You might need to specify \"USING {column}::{}\".",
                        to.name()
                    )));
                }
                None
            }
            Some(expr) => {
                let session = self.session();
                let mut params = Vec::new();
                let mut compiler = Compiler {
                    executor: self.executor,
                    session: &session,
                    params: &mut params,
                    scalars_only: false,
                    with: None,
                };
                let scope = RowScope::of(table, None);
                compiler.compile(expr, Some(&scope), Wanted::Column(&wanted))?
            }
        };
        let altered = self.verb(table, action).await?;
        let transform = Transform::Convert {
            column: at,
            from,
            to: to.clone(),
            using,
        };
        self.settle(table, altered, transform).await
    }

    pub(super) async fn rename_index(&self, index: &RelationName, to: &str) -> Result<(), Report> {
        match self.relation(index)? {
            Relation::Index(_, index) => {
                self.catalog()
                    .rename_relation(&self.context.txn, index.id, to)
                    .await?;
                Ok(())
            }
            other => Err(Report::error(
                codes::WRONG_OBJECT_TYPE,
                format!("\"{}\" is not an index", other.name()),
            )),
        }
    }
}

fn check_key_columns(table: &TableDef, constraint: &ConstraintSpec) -> Result<(), Report> {
    let (ConstraintSpec::PrimaryKey { columns, .. } | ConstraintSpec::Unique { columns, .. }) =
        constraint
    else {
        return Ok(());
    };
    for name in columns {
        if let Some(column) = table.column(name) {
            check_key_type(&column.sql_type)?;
        }
    }
    Ok(())
}

fn has_constraint(table: &TableDef, name: &str) -> bool {
    table.checks.iter().any(|check| check.name == name)
        || table
            .indexes
            .iter()
            .any(|index| index.constraint_name() == Some(name))
}

/// During a rewrite the row is an old one, so the column is to blame and not the row.
fn contains_null(error: TableError) -> Report {
    match error {
        TableError::NotNull {
            schema,
            table,
            column,
            ..
        } => TableError::ContainsNull {
            schema,
            table,
            column,
        }
        .report(),
        other => other.report(),
    }
}
