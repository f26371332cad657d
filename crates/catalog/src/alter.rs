//! ALTER: tables, names, schemas, sequences.

use std::sync::Arc;

use tessera_locks::Mode;
use tessera_transactions::Transaction;
use tessera_types::{RelationId, Report, SqlType, codes};

use crate::catalog::{Catalog, Edit};
use crate::check;
use crate::create::constraint_names;
use crate::definition::{
    DroppedColumn, Identity, IndexDef, ObjectVersion, SchemaDef, SequenceDef, TableDef, ViewDef,
};
use crate::error::CatalogError;
use crate::names::truncate_name;
use crate::refusal;
use crate::spec::{AlterTable, SequenceChange};
use crate::state::{CatalogState, KEY_SPACES_SCHEMA, Relation};

impl Catalog {
    /// ALTER TABLE: all actions or none. Answers the new definition.
    ///
    /// Only the definition changes. The caller has checked rows where an action says so, and
    /// rewrites rows and fills indexes in the same transaction.
    pub async fn alter_table(
        &self,
        txn: &Transaction,
        id: RelationId,
        actions: Vec<AlterTable>,
    ) -> Result<Arc<TableDef>, CatalogError> {
        let old = self.lock_table(txn, id).await?;
        let mut table = TableDef::clone(&old);
        let mut edit = Edit::default();
        let mut taken = Vec::new();
        for action in actions {
            self.alter_once(txn, &mut table, action, &mut edit, &mut taken)
                .await?;
        }
        table.version.0 += 1;
        let table = edit.put_table(table);
        self.apply(txn, edit)?;
        Ok(table)
    }

    async fn alter_once(
        &self,
        txn: &Transaction,
        table: &mut TableDef,
        action: AlterTable,
        edit: &mut Edit,
        taken: &mut Vec<String>,
    ) -> Result<(), CatalogError> {
        match action {
            AlterTable::AddColumn {
                column,
                constraints,
                if_not_exists,
            } => {
                if table.column(&truncate_name(&column.name)).is_some() {
                    if if_not_exists {
                        return Ok(());
                    }
                    return Err(refusal::column_exists(&table.name, &column.name).into());
                }
                self.add_column(txn, table, *column, edit, taken).await?;
                for constraint in constraints {
                    self.add_constraint(txn, table, constraint, taken).await?;
                }
            }
            AlterTable::DropColumn {
                name,
                if_exists,
                cascade,
            } => {
                self.drop_column(txn, table, &name, if_exists, cascade, edit)
                    .await?;
            }
            AlterTable::RenameColumn { from, to } => {
                let to = truncate_name(&to).into_owned();
                let id = find_column(table, &from)?;
                check::check_column(&to, &SqlType::Text)?;
                if table.column(&to).is_some() {
                    return Err(refusal::column_exists(&table.name, &to).into());
                }
                refuse_if_in_expressions(table, &from)?;
                refuse_if_viewed(&self.state_for(txn), table, Some(id), "rename")?;
                edit_column(table, id)?.name = to;
            }
            AlterTable::Rename { to } => {
                let to = truncate_name(&to).into_owned();
                self.lock_new_relation(txn, &table.schema, &to).await?;
                refuse_if_viewed(&self.state_for(txn), table, None, "rename")?;
                table.name = to;
            }
            AlterTable::SetSchema { schema } => {
                self.move_table(txn, table, schema, edit).await?;
            }
            AlterTable::SetDefault { column, default } => {
                let id = find_column(table, &column)?;
                let table_name = table.name.clone();
                let column = edit_column(table, id)?;
                let kind = match (&column.identity, &column.generated) {
                    (Some(_), _) => Some("an identity column"),
                    (_, Some(_)) => Some("a generated column"),
                    _ => None,
                };
                if let Some(kind) = kind {
                    let message = format!(
                        "column \"{}\" of relation \"{table_name}\" is {kind}",
                        column.name
                    );
                    return Err(Report::error(codes::SYNTAX_ERROR, message).into());
                }
                column.default = default;
            }
            AlterTable::SetNotNull { column, not_null } => {
                set_not_null(table, &column, not_null)?;
            }
            AlterTable::SetType { column, sql_type } => {
                let id = find_column(table, &column)?;
                check::check_column(&column, &sql_type)?;
                refuse_if_viewed(&self.state_for(txn), table, Some(id), "alter type of")?;
                let column = edit_column(table, id)?;
                // Rows are rewritten, so no row lacks the column afterwards.
                column.missing = None;
                column.sql_type = sql_type;
            }
            AlterTable::AddConstraint(spec) => {
                self.add_constraint(txn, table, spec, taken).await?;
            }
            AlterTable::DropConstraint {
                name,
                if_exists,
                cascade: _,
            } => {
                drop_constraint(table, &name, if_exists, edit)?;
            }
            AlterTable::RenameConstraint { from, to } => {
                self.rename_constraint(txn, table, &from, &to).await?;
            }
            AlterTable::AddIdentity {
                column,
                always,
                options,
            } => {
                let id = find_column(table, &column)?;
                let found = edit_column(table, id)?.clone();
                let refused = if found.identity.is_some() {
                    Some("is already an identity column")
                } else if found.default.is_some() {
                    Some("already has a default value")
                } else if !found.not_null {
                    Some("must be declared NOT NULL before identity can be added")
                } else {
                    None
                };
                if let Some(refused) = refused {
                    let message = format!(
                        "column \"{column}\" of relation \"{}\" {refused}",
                        table.name
                    );
                    let code = codes::OBJECT_NOT_IN_PREREQUISITE_STATE;
                    return Err(Report::error(code, message).into());
                }
                let sequence = self
                    .add_owned_sequence(txn, table, &found, options, true, edit, taken)
                    .await?;
                edit_column(table, id)?.identity = Some(Identity {
                    always,
                    sequence: sequence.id,
                });
            }
            AlterTable::DropIdentity { column, if_exists } => {
                let id = find_column(table, &column)?;
                let Some(identity) = edit_column(table, id)?.identity.take() else {
                    if if_exists {
                        return Ok(());
                    }
                    let message = format!(
                        "column \"{column}\" of relation \"{}\" is not an identity column",
                        table.name
                    );
                    let code = codes::OBJECT_NOT_IN_PREREQUISITE_STATE;
                    return Err(Report::error(code, message).into());
                };
                if let Some(sequence) = self.state_for(txn).sequence(identity.sequence) {
                    edit.drop_relation(&Relation::Sequence(Arc::clone(sequence)));
                }
            }
            AlterTable::SetOwner(owner) => table.owner = owner,
        }
        Ok(())
    }

    async fn drop_column(
        &self,
        txn: &Transaction,
        table: &mut TableDef,
        name: &str,
        if_exists: bool,
        cascade: bool,
        edit: &mut Edit,
    ) -> Result<(), CatalogError> {
        let Some(column) = table.column(name).cloned() else {
            if if_exists {
                return Ok(());
            }
            return Err(refusal::no_such_column(&table.name, name).into());
        };
        let state = self.state_for(txn);
        let views = self
            .lock_views_above(txn, &state, table.id, Some(column.id))
            .await?;
        let expressions: Vec<String> = expressions_with(table, name)
            .map(|what| format!("{what} depends on {}", check::describe_column(table, name)))
            .collect();
        let is_used = !views.is_empty() || !expressions.is_empty();
        if is_used && !cascade {
            let object = check::describe_column(table, name);
            let mut dependents: Vec<String> = views
                .iter()
                .map(|view| format!("view {} depends on {object}", view.name))
                .collect();
            dependents.extend(expressions);
            return Err(refusal::has_dependents(&object, &dependents).into());
        }
        for view in views {
            edit.drop_relation(&Relation::View(view));
        }
        for sequence in state.owned_sequences(table.id) {
            if sequence
                .owned_by
                .is_some_and(|owner| owner.column == column.id)
            {
                edit.drop_relation(&Relation::Sequence(Arc::clone(sequence)));
            }
        }
        let uses = |index: &Arc<IndexDef>| index.columns.iter().any(|c| c.column == column.id);
        for index in table.indexes.iter().filter(|index| uses(index)) {
            edit.add_garbage(index.storage, true);
            if table.primary_key == Some(index.id) {
                table.primary_key = None;
            }
        }
        table.indexes.retain(|index| !uses(index));
        table.checks.retain(|check| !mentions(&check.sql, name));
        for other in &mut table.columns {
            if other
                .generated
                .as_deref()
                .is_some_and(|sql| mentions(sql, name))
            {
                other.generated = None;
            }
        }
        table.columns.retain(|other| other.id != column.id);
        table.dropped.push(DroppedColumn {
            id: column.id,
            sql_type: column.sql_type,
        });
        Ok(())
    }

    async fn move_table(
        &self,
        txn: &Transaction,
        table: &mut TableDef,
        schema: String,
        edit: &mut Edit,
    ) -> Result<(), CatalogError> {
        if schema == table.schema {
            return Ok(());
        }
        self.lock_new_relation(txn, &schema, &table.name).await?;
        let state = self.state_for(txn);
        refuse_if_viewed(&state, table, None, "move")?;
        for index in &table.indexes {
            self.lock_new_relation(txn, &schema, &index.name).await?;
        }
        for sequence in state.owned_sequences(table.id) {
            self.lock_new_relation(txn, &schema, &sequence.name).await?;
            let mut sequence = SequenceDef::clone(sequence);
            replace_in_defaults(table, &sequence, &schema, &sequence.name.clone());
            sequence.schema.clone_from(&schema);
            sequence.version.0 += 1;
            edit.put_sequence(sequence);
        }
        table.schema = schema;
        Ok(())
    }

    async fn rename_constraint(
        &self,
        txn: &Transaction,
        table: &mut TableDef,
        from: &str,
        to: &str,
    ) -> Result<(), CatalogError> {
        let to = truncate_name(to).into_owned();
        if constraint_names(table).any(|name| name == to) {
            return Err(refusal::constraint_exists(&table.name, &to).into());
        }
        if let Some(check) = table.checks.iter_mut().find(|check| check.name == from) {
            check.name = to;
            return Ok(());
        }
        let at = table
            .indexes
            .iter()
            .position(|index| index.constraint_name() == Some(from))
            .ok_or_else(|| refusal::no_such_constraint(&table.name, from))?;
        self.lock_new_relation(txn, &table.schema, &to).await?;
        Arc::make_mut(&mut table.indexes[at]).name = to;
        Ok(())
    }

    /// ALTER … RENAME TO of any relation.
    pub async fn rename_relation(
        &self,
        txn: &Transaction,
        id: RelationId,
        to: &str,
    ) -> Result<(), CatalogError> {
        let to = truncate_name(to).into_owned();
        let state = self.state_for(txn);
        let table_id = match state.index(id) {
            Some((table, _)) => table.id,
            None => id,
        };
        let relation = self.lock_relation(txn, table_id).await?;
        let mut edit = Edit::default();
        match relation {
            Relation::Table(table) if table_id != id => {
                let mut table = TableDef::clone(&table);
                self.lock_new_relation(txn, &table.schema, &to).await?;
                if let Some(index) = table.indexes.iter_mut().find(|index| index.id == id) {
                    Arc::make_mut(index).name = to;
                }
                table.version.0 += 1;
                edit.put_table(table);
            }
            Relation::Table(table) => {
                self.alter_table(txn, table.id, vec![AlterTable::Rename { to }])
                    .await?;
                return Ok(());
            }
            Relation::View(view) => {
                self.lock_new_relation(txn, &view.schema, &to).await?;
                let above = self.state_for(txn);
                refuse_if_view_viewed(&above, &view, "rename")?;
                let mut view = ViewDef::clone(&view);
                view.name = to;
                view.version.0 += 1;
                edit.put_view(view);
            }
            Relation::Sequence(sequence) => {
                self.lock_new_relation(txn, &sequence.schema, &to).await?;
                let mut new = SequenceDef::clone(&sequence);
                for table in self.state_for(txn).tables() {
                    let mut table = TableDef::clone(table);
                    if replace_in_defaults(&mut table, &sequence, &sequence.schema, &to) {
                        table.version.0 += 1;
                        edit.put_table(table);
                    }
                }
                new.name = to;
                new.version.0 += 1;
                edit.put_sequence(new);
            }
            Relation::Index(..) => {
                return Err(refusal::wrong_kind(&to, "a table").into());
            }
        }
        self.apply(txn, edit)
    }

    /// ALTER SCHEMA … RENAME TO.
    pub async fn rename_schema(
        &self,
        txn: &Transaction,
        from: &str,
        to: &str,
    ) -> Result<(), CatalogError> {
        let to = truncate_name(to).into_owned();
        self.lock_schema_name(txn, from, Mode::X).await?;
        self.lock_schema_name(txn, &to, Mode::X).await?;
        let state = self.state_for(txn);
        let schema = state
            .schema(from)
            .ok_or_else(|| refusal::no_such_schema(from))?;
        if state.has_schema(&to) {
            return Err(refusal::schema_exists(&to).into());
        }
        if from == KEY_SPACES_SCHEMA {
            let message = format!("cannot rename schema {from}: the database system needs it");
            return Err(Report::error(codes::DEPENDENT_OBJECTS_STILL_EXIST, message).into());
        }
        if to.starts_with("pg_") {
            return Err(refusal::reserved_schema_name(&to).into());
        }
        let inside: Vec<Relation> = state.relations_in(from).cloned().collect();
        if let Some(view) = state.views().into_iter().find(|view| {
            view.depends_on
                .iter()
                .any(|id| inside.iter().any(|relation| relation.id() == *id))
        }) {
            return Err(not_below_view("rename schema", from, &view.name).into());
        }
        let mut edit = Edit::default();
        edit.drop_schema(schema);
        edit.put_schema(SchemaDef {
            name: to.clone(),
            ..SchemaDef::clone(schema)
        });
        for relation in inside {
            if !matches!(relation, Relation::Index(..)) {
                self.lock_relation(txn, relation.id()).await?;
            }
            match relation {
                Relation::Table(table) => {
                    let mut table = TableDef::clone(&table);
                    for sequence in state.owned_sequences(table.id) {
                        replace_in_defaults(&mut table, sequence, &to, &sequence.name);
                    }
                    table.schema.clone_from(&to);
                    table.version.0 += 1;
                    edit.put_table(table);
                }
                Relation::View(view) => {
                    let version = ObjectVersion(view.version.0 + 1);
                    edit.put_view(ViewDef {
                        schema: to.clone(),
                        version,
                        ..ViewDef::clone(&view)
                    });
                }
                Relation::Sequence(sequence) => {
                    let version = ObjectVersion(sequence.version.0 + 1);
                    edit.put_sequence(SequenceDef {
                        schema: to.clone(),
                        version,
                        ..SequenceDef::clone(&sequence)
                    });
                }
                Relation::Index(..) => {}
            }
        }
        self.apply(txn, edit)
    }

    /// ALTER SEQUENCE.
    pub async fn alter_sequence(
        &self,
        txn: &Transaction,
        id: RelationId,
        change: SequenceChange,
    ) -> Result<Arc<SequenceDef>, CatalogError> {
        let Relation::Sequence(old) = self.lock_relation(txn, id).await? else {
            let message = format!("relation with id {id} is not a sequence");
            return Err(Report::error(codes::WRONG_OBJECT_TYPE, message).into());
        };
        let options = check::sequence_options(&change, Some(&old.options), SqlType::BigInt)?;
        let mut sequence = SequenceDef::clone(&old);
        sequence.options = options;
        sequence.version.0 += 1;
        let mut edit = Edit::default();
        let sequence = edit.put_sequence(sequence);
        self.apply(txn, edit)?;
        // Values that were reserved by the old rules are given back.
        let position = self.sequence_position(&sequence).await?;
        match change.restart {
            Some(at) => self.restart_sequence(txn, &sequence, at).await?,
            None => self.restart_at_position(txn, &sequence, position).await?,
        }
        Ok(sequence)
    }
}

fn find_column(table: &TableDef, name: &str) -> Result<u16, Report> {
    table
        .column(name)
        .map(|column| column.id)
        .ok_or_else(|| refusal::no_such_column(&table.name, name))
}

fn edit_column(table: &mut TableDef, id: u16) -> Result<&mut crate::definition::ColumnDef, Report> {
    let at = table
        .position(id)
        .ok_or_else(|| Report::internal("a column vanished"))?;
    Ok(&mut table.columns[at])
}

fn set_not_null(table: &mut TableDef, name: &str, not_null: bool) -> Result<(), Report> {
    let id = find_column(table, name)?;
    if !not_null {
        let in_key = table
            .primary_key_index()
            .is_some_and(|key| key.columns.iter().any(|column| column.column == id));
        if in_key {
            let message = format!("column \"{name}\" is in a primary key");
            return Err(Report::error(codes::INVALID_TABLE_DEFINITION, message));
        }
        if edit_column(table, id)?.identity.is_some() {
            let message = format!(
                "column \"{name}\" of relation \"{}\" is an identity column",
                table.name
            );
            return Err(Report::error(codes::SYNTAX_ERROR, message));
        }
    }
    edit_column(table, id)?.not_null = not_null;
    Ok(())
}

fn drop_constraint(
    table: &mut TableDef,
    name: &str,
    if_exists: bool,
    edit: &mut Edit,
) -> Result<(), Report> {
    if let Some(at) = table.checks.iter().position(|check| check.name == name) {
        table.checks.remove(at);
        return Ok(());
    }
    let found = table
        .indexes
        .iter()
        .position(|index| index.constraint_name() == Some(name));
    let Some(at) = found else {
        return if if_exists {
            Ok(())
        } else {
            Err(refusal::no_such_constraint(&table.name, name))
        };
    };
    let index = table.indexes.remove(at);
    if table.primary_key == Some(index.id) {
        table.primary_key = None;
    }
    edit.add_garbage(index.storage, true);
    Ok(())
}

/// Views keep their query as text with names in it, so the names below them must stay.
fn refuse_if_viewed(
    state: &CatalogState,
    table: &TableDef,
    column: Option<u16>,
    verb: &str,
) -> Result<(), Report> {
    let reads = |view: &&Arc<ViewDef>| column.is_none_or(|id| view.reads_column(table.id, id));
    match state.dependents(table.id).into_iter().find(reads) {
        None => Ok(()),
        Some(view) => {
            let what = match column {
                Some(_) => format!("{verb} a column of"),
                None => verb.to_owned(),
            };
            Err(not_below_view(&what, &table.name, &view.name))
        }
    }
}

fn refuse_if_view_viewed(state: &CatalogState, view: &ViewDef, verb: &str) -> Result<(), Report> {
    match state.dependents(view.id).first() {
        None => Ok(()),
        Some(above) => Err(not_below_view(verb, &view.name, &above.name)),
    }
}

fn not_below_view(what: &str, name: &str, view: &str) -> Report {
    Report::unsupported(format!(
        "cannot {what} \"{name}\" because view {view} uses it"
    ))
    .with_hint("Drop the view, make the change, and create the view again.")
}

/// CHECK and generated expressions are text with names in it, too.
fn refuse_if_in_expressions(table: &TableDef, column: &str) -> Result<(), Report> {
    match expressions_with(table, column).next() {
        None => Ok(()),
        Some(what) => {
            let message = format!("cannot rename column \"{column}\" because {what} uses it");
            Err(Report::unsupported(message)
                .with_hint("Drop the constraint, rename the column, and add the constraint again."))
        }
    }
}

/// Constraints and generated columns whose expression mentions the column.
fn expressions_with<'a>(table: &'a TableDef, column: &'a str) -> impl Iterator<Item = String> + 'a {
    let checks = table
        .checks
        .iter()
        .filter(move |check| mentions(&check.sql, column))
        .map(|check| format!("constraint {} on table {}", check.name, table.name));
    let generated = table
        .columns
        .iter()
        .filter(move |other| {
            other
                .generated
                .as_deref()
                .is_some_and(|sql| mentions(sql, column))
        })
        .map(|other| check::describe_column(table, &other.name));
    checks.chain(generated)
}

/// Whether an expression contains the name as a word. May say yes for a word in a string.
fn mentions(sql: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    sql.match_indices(name).any(|(at, _)| {
        !sql[..at].chars().next_back().is_some_and(is_word)
            && !sql[at + name.len()..].chars().next().is_some_and(is_word)
    })
}

/// Puts the new name of a sequence into the defaults that use it. Says whether any did.
fn replace_in_defaults(table: &mut TableDef, old: &SequenceDef, schema: &str, name: &str) -> bool {
    let new = check::nextval_default("public", schema, name);
    let mut changed = false;
    for column in &mut table.columns {
        let uses = column
            .default
            .as_deref()
            .is_some_and(|sql| check::default_uses_sequence(sql, &old.schema, &old.name));
        if uses {
            column.default = Some(new.clone());
            changed = true;
        }
    }
    changed
}
