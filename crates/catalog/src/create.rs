//! CREATE: schemas, tables, indexes, views, sequences.

use std::sync::Arc;

use tessera_locks::Mode;
use tessera_transactions::Transaction;
use tessera_types::{RelationId, Report, SqlType, Version, codes};

use crate::catalog::{Catalog, Edit};
use crate::check;
use crate::definition::{
    CheckDef, ColumnDef, ConstraintId, Identity, IndexColumn, IndexDef, Model, ObjectVersion,
    OwnedBy, SchemaDef, SequenceDef, TableDef, ViewDef,
};
use crate::error::CatalogError;
use crate::names::{choose_name, join_columns, truncate_name};
use crate::refusal;
use crate::spec::{
    ColumnSource, ColumnSpec, ConstraintSpec, IndexSpec, SequenceChange, SequenceSpec, TableSpec,
    ViewSpec,
};
use crate::state::{CatalogState, Relation};

impl Catalog {
    /// CREATE SCHEMA. The caller deals with IF NOT EXISTS.
    pub async fn create_schema(
        &self,
        txn: &Transaction,
        name: &str,
        owner: u32,
    ) -> Result<Arc<SchemaDef>, CatalogError> {
        let name = truncate_name(name);
        self.lock_schema_name(txn, &name, Mode::X).await?;
        if self.state_for(txn).has_schema(&name) {
            return Err(refusal::schema_exists(&name).into());
        }
        if name.starts_with("pg_") {
            return Err(refusal::reserved_schema_name(&name).into());
        }
        let oid = self.next_oid().await?;
        let schema = SchemaDef {
            oid,
            name: name.into_owned(),
            owner,
            comment: None,
        };
        let mut edit = Edit::default();
        edit.put_schema(schema.clone());
        self.apply(txn, edit)?;
        Ok(Arc::new(schema))
    }

    /// CREATE TABLE. The caller deals with IF NOT EXISTS.
    pub async fn create_table(
        &self,
        txn: &Transaction,
        spec: TableSpec,
    ) -> Result<Arc<TableDef>, CatalogError> {
        check::check_schema_is_writable(&spec.schema, &spec.name)?;
        self.create_relation(txn, spec, Model::Rows, serde_json::Value::Null, Vec::new())
            .await
    }

    /// A relation with columns, of any model. The caller has checked that it may be in the schema.
    pub(crate) async fn create_relation(
        &self,
        txn: &Transaction,
        spec: TableSpec,
        model: Model,
        options: serde_json::Value,
        parts: Vec<RelationId>,
    ) -> Result<Arc<TableDef>, CatalogError> {
        let name = truncate_name(&spec.name).into_owned();
        self.lock_free_name(txn, &spec.schema, &name).await?;
        check::check_column_count(spec.columns.len())?;
        let id = self.next_id().await?;
        let mut table = TableDef {
            id,
            storage: id,
            schema: spec.schema,
            name,
            version: ObjectVersion(1),
            model,
            options,
            parts,
            columns: Vec::new(),
            dropped: Vec::new(),
            next_column: 1,
            primary_key: None,
            indexes: Vec::new(),
            checks: Vec::new(),
            owner: spec.owner,
            comment: None,
            published_at: Version::ZERO,
        };
        let mut edit = Edit::default();
        let mut taken = vec![table.name.clone()];
        for column in spec.columns {
            if table.column(&truncate_name(&column.name)).is_some() {
                return Err(refusal::column_twice(&column.name).into());
            }
            self.add_column(txn, &mut table, column, &mut edit, &mut taken)
                .await?;
        }
        // The primary key first, so that its index stands first.
        let (keys, others): (Vec<_>, Vec<_>) = spec
            .constraints
            .into_iter()
            .partition(|c| matches!(c, ConstraintSpec::PrimaryKey { .. }));
        for constraint in keys.into_iter().chain(others) {
            self.add_constraint(txn, &mut table, constraint, &mut taken)
                .await?;
        }
        let table = edit.put_table(table);
        self.apply(txn, edit)?;
        Ok(table)
    }

    /// CREATE INDEX: the definition only; the caller fills the index in the same transaction.
    ///
    /// Answers the table with the index, and the index. Others can neither read nor write the
    /// table until the transaction ends.
    pub async fn create_index(
        &self,
        txn: &Transaction,
        spec: IndexSpec,
    ) -> Result<(Arc<TableDef>, Arc<IndexDef>), CatalogError> {
        let table = self.lock_table(txn, spec.table).await?;
        let mut table = TableDef::clone(&table);
        let names: Vec<String> = spec
            .columns
            .iter()
            .map(|c| truncate_name(&c.column).into_owned())
            .collect();
        let numbers = check::key_columns(&table, &names, None)?;
        let name = match spec.name {
            Some(name) => {
                let name = truncate_name(&name).into_owned();
                self.lock_new_relation(txn, &table.schema, &name).await?;
                name
            }
            None => {
                let columns = join_columns(names.iter().map(String::as_str));
                self.choose_relation_name(txn, &table.schema, &table.name, &columns, "idx", &[])
                    .await?
            }
        };
        let id = self.next_id().await?;
        let columns = numbers
            .into_iter()
            .zip(&spec.columns)
            .map(|(column, c)| IndexColumn {
                column,
                descending: c.descending,
                nulls_first: c.nulls_first.unwrap_or(c.descending),
            })
            .collect();
        let index = Arc::new(IndexDef {
            id,
            storage: id,
            name,
            columns,
            unique: spec.unique,
            primary: false,
            constraint: None,
            nulls_not_distinct: spec.nulls_not_distinct,
            comment: None,
        });
        table.indexes.push(Arc::clone(&index));
        table.version.0 += 1;
        let mut edit = Edit::default();
        let table = edit.put_table(table);
        self.apply(txn, edit)?;
        Ok((table, index))
    }

    /// CREATE [OR REPLACE] VIEW.
    pub async fn create_view(
        &self,
        txn: &Transaction,
        spec: ViewSpec,
    ) -> Result<Arc<ViewDef>, CatalogError> {
        let name = truncate_name(&spec.name).into_owned();
        check::check_schema_is_writable(&spec.schema, &name)?;
        self.lock_relation_name(txn, &spec.schema, &name).await?;
        let state = self.state_for(txn);
        self.check_schema_exists(&state, &spec.schema)?;
        for (at, column) in spec.columns.iter().enumerate() {
            if spec.columns[..at]
                .iter()
                .any(|other| other.name == column.name)
            {
                return Err(refusal::column_twice(&column.name).into());
            }
        }
        let existing = state.relation(&spec.schema, &name);
        let (id, version, comment) = match existing {
            None => (self.next_id().await?, ObjectVersion(1), None),
            Some(_) if !spec.replace => return Err(refusal::relation_exists(&name).into()),
            Some(Relation::View(old)) => {
                let Relation::View(old) = self.lock_relation(txn, old.id).await? else {
                    return Err(refusal::wrong_kind(&name, "a view").into());
                };
                check_replacement(&old, &spec)?;
                (
                    old.id,
                    ObjectVersion(old.version.0 + 1),
                    old.comment.clone(),
                )
            }
            Some(_) => return Err(refusal::wrong_kind(&name, "a view").into()),
        };
        // Keeps what the view reads in place until it is committed.
        for relation in &spec.depends_on {
            if check::is_system(*relation) {
                continue;
            }
            self.lock_relation_shared(txn, *relation).await?;
        }
        let mut edit = Edit::default();
        let view = edit.put_view(ViewDef {
            id,
            schema: spec.schema,
            name,
            version,
            sql: spec.sql,
            columns: spec.columns,
            depends_on: spec.depends_on,
            depends_on_columns: spec.depends_on_columns,
            owner: spec.owner,
            comment,
            published_at: Version::ZERO,
        });
        self.apply(txn, edit)?;
        Ok(view)
    }

    /// CREATE SEQUENCE. The caller deals with IF NOT EXISTS.
    pub async fn create_sequence(
        &self,
        txn: &Transaction,
        spec: SequenceSpec,
    ) -> Result<Arc<SequenceDef>, CatalogError> {
        let name = truncate_name(&spec.name).into_owned();
        self.lock_new_relation(txn, &spec.schema, &name).await?;
        let owned_by = match &spec.owned_by {
            None => None,
            Some((table, column)) => {
                let table = self.lock_table(txn, *table).await?;
                let found = table
                    .column(column)
                    .ok_or_else(|| refusal::no_such_column(&table.name, column))?;
                Some(OwnedBy {
                    table: table.id,
                    column: found.id,
                    identity: false,
                })
            }
        };
        let options = check::sequence_options(&spec.options, None, SqlType::BigInt)?;
        let mut edit = Edit::default();
        let sequence = edit.put_sequence(SequenceDef {
            id: self.next_id().await?,
            schema: spec.schema,
            name,
            version: ObjectVersion(1),
            options,
            owned_by,
            owner: spec.owner,
            comment: None,
        });
        self.apply(txn, edit)?;
        Ok(sequence)
    }

    /// Locks the name of a relation to be made, and checks that it is free.
    pub(crate) async fn lock_new_relation(
        &self,
        txn: &Transaction,
        schema: &str,
        name: &str,
    ) -> Result<(), CatalogError> {
        check::check_schema_is_writable(schema, name)?;
        self.lock_free_name(txn, schema, name).await
    }

    async fn lock_free_name(
        &self,
        txn: &Transaction,
        schema: &str,
        name: &str,
    ) -> Result<(), CatalogError> {
        self.lock_relation_name(txn, schema, name).await?;
        let state = self.state_for(txn);
        self.check_schema_exists(&state, schema)?;
        if state.relation(schema, name).is_some() {
            return Err(refusal::relation_exists(name).into());
        }
        Ok(())
    }

    fn check_schema_exists(&self, state: &CatalogState, schema: &str) -> Result<(), CatalogError> {
        if state.schema(schema).is_none() {
            return Err(refusal::no_such_schema(schema).into());
        }
        Ok(())
    }

    /// Makes a name for an index or sequence and locks it.
    pub(crate) async fn choose_relation_name(
        &self,
        txn: &Transaction,
        schema: &str,
        first: &str,
        second: &str,
        label: &str,
        taken: &[String],
    ) -> Result<String, CatalogError> {
        loop {
            let state = self.state_for(txn);
            let name = choose_name(first, second, label, |name| {
                state.relation(schema, name).is_some() || taken.iter().any(|other| other == name)
            });
            self.lock_relation_name(txn, schema, &name).await?;
            // Somebody may have taken it while we waited for the lock.
            if self.state_for(txn).relation(schema, &name).is_none() {
                return Ok(name);
            }
        }
    }

    /// Adds a column, with its sequence if it has one. `taken`: names this statement gave so far.
    pub(crate) async fn add_column(
        &self,
        txn: &Transaction,
        table: &mut TableDef,
        spec: ColumnSpec,
        edit: &mut Edit,
        taken: &mut Vec<String>,
    ) -> Result<(), CatalogError> {
        let name = truncate_name(&spec.name).into_owned();
        check::check_column(&name, &spec.sql_type)?;
        check::check_column_count(usize::from(table.next_column))?;
        let id = table.next_column;
        table.next_column += 1;
        let mut column = ColumnDef {
            id,
            name,
            sql_type: spec.sql_type,
            not_null: spec.not_null,
            default: spec.default,
            identity: None,
            generated: None,
            missing: spec.missing,
            comment: None,
        };
        match spec.source {
            ColumnSource::Plain => {}
            ColumnSource::Generated(sql) => {
                if column.default.is_some() {
                    let message = format!(
                        "both default and generation expression specified for column \"{}\" of \
                         table \"{}\"",
                        column.name, table.name
                    );
                    return Err(Report::error(codes::SYNTAX_ERROR, message).into());
                }
                column.generated = Some(sql);
            }
            ColumnSource::Serial => {
                let options = SequenceChange::default();
                let sequence = self
                    .add_owned_sequence(txn, table, &column, options, false, edit, taken)
                    .await?;
                column.default = Some(check::nextval_default(
                    "public",
                    &table.schema,
                    &sequence.name,
                ));
                column.not_null = true;
            }
            ColumnSource::Identity { always, options } => {
                if column.default.is_some() {
                    let message = format!(
                        "both default and identity specified for column \"{}\" of table \"{}\"",
                        column.name, table.name
                    );
                    return Err(Report::error(codes::SYNTAX_ERROR, message).into());
                }
                let sequence = self
                    .add_owned_sequence(txn, table, &column, options, true, edit, taken)
                    .await?;
                column.identity = Some(Identity {
                    always,
                    sequence: sequence.id,
                });
                column.not_null = true;
            }
        }
        table.columns.push(column);
        Ok(())
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one call per column source, all parts differ"
    )]
    pub(crate) async fn add_owned_sequence(
        &self,
        txn: &Transaction,
        table: &TableDef,
        column: &ColumnDef,
        options: SequenceChange,
        identity: bool,
        edit: &mut Edit,
        taken: &mut Vec<String>,
    ) -> Result<Arc<SequenceDef>, CatalogError> {
        if !column.sql_type.is_integer() {
            let message = "identity column type must be smallint, integer, or bigint";
            return Err(Report::error(codes::INVALID_PARAMETER_VALUE, message).into());
        }
        let name = self
            .choose_relation_name(txn, &table.schema, &table.name, &column.name, "seq", taken)
            .await?;
        taken.push(name.clone());
        let options = check::sequence_options(&options, None, column.sql_type.clone())?;
        Ok(edit.put_sequence(SequenceDef {
            id: self.next_id().await?,
            schema: table.schema.clone(),
            name,
            version: ObjectVersion(1),
            options,
            owned_by: Some(OwnedBy {
                table: table.id,
                column: column.id,
                identity,
            }),
            owner: table.owner,
            comment: None,
        }))
    }

    /// Adds a constraint, with its index if it needs one.
    pub(crate) async fn add_constraint(
        &self,
        txn: &Transaction,
        table: &mut TableDef,
        spec: ConstraintSpec,
        taken: &mut Vec<String>,
    ) -> Result<(), CatalogError> {
        match spec {
            ConstraintSpec::PrimaryKey { name, columns } => {
                if table.primary_key.is_some() {
                    return Err(refusal::second_primary_key(&table.name).into());
                }
                let columns = truncated(columns);
                let numbers = check::key_columns(table, &columns, Some("primary key"))?;
                for column in &mut table.columns {
                    column.not_null |= numbers.contains(&column.id);
                }
                let id = self
                    .add_constraint_index(txn, table, name, &columns, &numbers, taken, true, false)
                    .await?;
                table.primary_key = Some(id);
                Ok(())
            }
            ConstraintSpec::Unique {
                name,
                columns,
                nulls_not_distinct,
            } => {
                let columns = truncated(columns);
                let numbers = check::key_columns(table, &columns, Some("unique"))?;
                self.add_constraint_index(
                    txn,
                    table,
                    name,
                    &columns,
                    &numbers,
                    taken,
                    false,
                    nulls_not_distinct,
                )
                .await?;
                Ok(())
            }
            ConstraintSpec::Check { name, sql, columns } => {
                let is_taken = |name: &str| constraint_names(table).any(|other| other == name);
                let name = match name {
                    Some(name) => {
                        let name = truncate_name(&name).into_owned();
                        if is_taken(&name) {
                            return Err(refusal::constraint_exists(&table.name, &name).into());
                        }
                        name
                    }
                    None => {
                        let column = match columns.as_slice() {
                            [one] => one.as_str(),
                            _ => "",
                        };
                        choose_name(&table.name, column, "check", is_taken)
                    }
                };
                let id = ConstraintId(self.next_oid().await?);
                table.checks.push(CheckDef { id, name, sql });
                Ok(())
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "two callers in this file")]
    async fn add_constraint_index(
        &self,
        txn: &Transaction,
        table: &mut TableDef,
        name: Option<String>,
        columns: &[String],
        numbers: &[u16],
        taken: &mut Vec<String>,
        primary: bool,
        nulls_not_distinct: bool,
    ) -> Result<RelationId, CatalogError> {
        let name = match name {
            Some(name) => {
                let name = truncate_name(&name).into_owned();
                if constraint_names(table).any(|other| other == name) {
                    return Err(refusal::constraint_exists(&table.name, &name).into());
                }
                if taken.contains(&name) {
                    return Err(refusal::relation_exists(&name).into());
                }
                self.lock_new_relation(txn, &table.schema, &name).await?;
                name
            }
            None => {
                let (columns, label) = if primary {
                    (String::new(), "pkey")
                } else {
                    (join_columns(columns.iter().map(String::as_str)), "key")
                };
                self.choose_relation_name(txn, &table.schema, &table.name, &columns, label, taken)
                    .await?
            }
        };
        taken.push(name.clone());
        let id = self.next_id().await?;
        let constraint = Some(ConstraintId(self.next_oid().await?));
        let columns = numbers
            .iter()
            .map(|column| IndexColumn {
                column: *column,
                descending: false,
                nulls_first: false,
            })
            .collect();
        let index = Arc::new(IndexDef {
            id,
            storage: id,
            name,
            columns,
            unique: true,
            primary,
            constraint,
            nulls_not_distinct,
            comment: None,
        });
        let at = if primary { 0 } else { table.indexes.len() };
        table.indexes.insert(at, index);
        Ok(id)
    }
}

/// Names of all constraints of a table.
pub(crate) fn constraint_names(table: &TableDef) -> impl Iterator<Item = &str> {
    let of_indexes = table
        .indexes
        .iter()
        .filter_map(|index| index.constraint_name());
    of_indexes.chain(table.checks.iter().map(|check| check.name.as_str()))
}

fn truncated(names: Vec<String>) -> Vec<String> {
    names
        .iter()
        .map(|name| truncate_name(name).into_owned())
        .collect()
}

/// A new query for a view may only add columns at the end.
fn check_replacement(old: &ViewDef, new: &ViewSpec) -> Result<(), Report> {
    let invalid = |message: String| Report::error(codes::INVALID_TABLE_DEFINITION, message);
    if new.columns.len() < old.columns.len() {
        return Err(invalid("cannot drop columns from view".to_owned()));
    }
    for (old, new) in old.columns.iter().zip(&new.columns) {
        if old.name != new.name {
            return Err(invalid(format!(
                "cannot change name of view column \"{}\" to \"{}\"",
                old.name, new.name
            ))
            .with_hint(
                "Use ALTER VIEW ... RENAME COLUMN ... to change name of view column instead.",
            ));
        }
        if old.sql_type != new.sql_type {
            return Err(invalid(format!(
                "cannot change data type of view column \"{}\" from {} to {}",
                old.name,
                old.sql_type.name(),
                new.sql_type.name()
            )));
        }
    }
    Ok(())
}
