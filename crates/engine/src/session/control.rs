//! Statements about the session: SET, SHOW, PREPARE, EXECUTE, FETCH, DISCARD, LOCK.

use std::sync::Arc;

use tessera_executor::SessionContext;
use tessera_locks::{LockOptions, Mode, Resource, Wait};
use tessera_planner::statement::{
    Discard, Execute, LockTables, Maintenance, Prepare, Setting, SettingValue,
};
use tessera_planner::{ColumnInfo, Parsed, Statement};
use tessera_types::{Report, SqlType, Value, codes, text};

use super::Session;
use super::execute::{Outcome, text_columns};
use super::transaction::TransactionStatus;
use crate::lexer::{TokenKind, tokens};
use crate::settings::quote_element;

/// Upkeep that the session does itself.
pub(super) fn is_own(maintenance: &Maintenance) -> bool {
    matches!(maintenance, Maintenance::Checkpoint)
}

const TOKEN: &str = "tessera.transaction_token";
const JOIN: &str = "tessera.join";

impl Session {
    /// Columns that a statement of the session returns.
    pub(super) fn columns_of_session_statement(
        &self,
        statement: &Statement,
    ) -> Result<Option<Arc<[ColumnInfo]>>, Report> {
        Ok(match statement {
            Statement::Setting(Setting::Show(name)) => {
                if name == TOKEN {
                    Some(text_columns(&[TOKEN]))
                } else {
                    Some(text_columns(&[&self.settings.show(name)?.0]))
                }
            }
            Statement::Setting(Setting::ShowAll) => {
                Some(text_columns(&["name", "setting", "description"]))
            }
            Statement::Execute(execute) => self.statement(&execute.name)?.columns().cloned(),
            Statement::Fetch(fetch) if !fetch.move_only => {
                self.portal(&fetch.cursor)?.columns().cloned()
            }
            _ => None,
        })
    }

    /// Runs a statement of the session.
    pub(super) async fn control(&mut self, parsed: &Arc<Parsed>) -> Result<Outcome, Report> {
        match &parsed.statement {
            Statement::Setting(setting) => self.setting(setting),
            Statement::Prepare(prepare) => self.prepare_sql(prepare),
            Statement::Execute(execute) => self.execute_sql(execute).await,
            Statement::Deallocate(None) => {
                self.close_statements();
                Ok(Outcome::command("DEALLOCATE ALL"))
            }
            Statement::Deallocate(Some(name)) => {
                self.statement(name)?;
                self.close_statement(name);
                Ok(Outcome::command("DEALLOCATE"))
            }
            Statement::Fetch(fetch) => self.fetch(fetch).await,
            Statement::Close(None) => {
                self.close_portals();
                Ok(Outcome::command("CLOSE CURSOR ALL"))
            }
            Statement::Close(Some(name)) => {
                self.portal(name)?;
                self.close_portal(name);
                Ok(Outcome::command("CLOSE CURSOR"))
            }
            Statement::Discard(discard) => self.discard(*discard),
            Statement::Listen(channel) => self.listen(channel),
            Statement::Unlisten(channel) => self.unlisten(channel.as_deref()),
            Statement::Notify { channel, payload } => self.notify(channel, payload.as_deref()),
            Statement::Lock(lock) => self.lock_tables(lock).await,
            Statement::Maintenance(Maintenance::Checkpoint) => {
                self.require_admin("perform CHECKPOINT")?;
                let engine = self.engine.clone();
                self.guarded(engine.checkpoint()).await?;
                Ok(Outcome::command("CHECKPOINT"))
            }
            other => Err(Report::internal(format!("{} has no owner", other.verb()))),
        }
    }

    pub(super) fn require_admin(&self, what: &str) -> Result<(), Report> {
        if self.user.admin {
            return Ok(());
        }
        Err(Report::error(
            codes::INSUFFICIENT_PRIVILEGE,
            format!("permission denied to {what}"),
        )
        .with_hint("Ask an administrator."))
    }

    fn setting(&mut self, setting: &Setting) -> Result<Outcome, Report> {
        match setting {
            Setting::Set {
                name,
                values,
                local,
            } => {
                self.set(name, values, *local)?;
                Ok(Outcome::command("SET"))
            }
            Setting::Reset(name) => {
                self.set(name, &SettingValue::Default, false)?;
                Ok(Outcome::command("RESET"))
            }
            Setting::ResetAll => {
                self.settings.reset_all();
                Ok(Outcome::command("RESET"))
            }
            Setting::Show(name) if name == TOKEN => {
                let token = self.transaction_token()?;
                Ok(Outcome::texts(TOKEN, "SHOW", vec![token]))
            }
            Setting::Show(name) => {
                let (name, value) = self.settings.show(name)?;
                Ok(Outcome::texts(&name, "SHOW", vec![value]))
            }
            Setting::ShowAll => {
                let rows = self.settings.show_all();
                let rows = rows
                    .into_iter()
                    .map(|(name, value, description)| {
                        vec![
                            Value::text(name),
                            Value::text(value),
                            Value::text(description),
                        ]
                    })
                    .collect();
                let columns = text_columns(&["name", "setting", "description"]);
                Ok(Outcome::values(columns, "SHOW", rows))
            }
        }
    }

    fn set(&mut self, name: &str, values: &SettingValue, local: bool) -> Result<(), Report> {
        let value = match values {
            SettingValue::Default => None,
            SettingValue::Values(values) => Some(joined(name, values)?),
        };
        if local && !self.in_block() {
            self.notice(Report::warning(
                codes::NO_ACTIVE_SQL_TRANSACTION,
                "SET LOCAL can only be used in transaction blocks",
            ));
        }
        match name {
            JOIN => match value.as_deref() {
                None | Some("") => self.leave_transaction(),
                Some(token) => self.join_transaction(token)?,
            },
            "transaction_isolation" | "transaction_read_only" | "transaction_deferrable" => {
                if let Some(value) = &value {
                    self.set_characteristic(name, value)?;
                }
            }
            "session_authorization" | "role" => {
                let same = match value.as_deref() {
                    None | Some("none" | "default") => true,
                    Some(user) => user == self.user.name,
                };
                if !same {
                    return Err(Report::unsupported(
                        "changing the user of a session is not supported",
                    )
                    .with_hint("Connect as that user."));
                }
            }
            _ => {
                self.settings.assign(name, value.as_deref(), local)?;
            }
        }
        Ok(())
    }

    fn prepare_sql(&mut self, prepare: &Prepare) -> Result<Outcome, Report> {
        if prepare.name.is_empty() {
            return Err(Report::error(
                codes::INVALID_SQL_STATEMENT_NAME,
                "invalid statement name: must not be empty",
            ));
        }
        self.check_statement_name(&prepare.name)?;
        let statement =
            self.prepare_parsed(&Arc::new(prepare.statement.clone()), &prepare.types)?;
        self.store_statement(&prepare.name, statement)?;
        Ok(Outcome::command("PREPARE"))
    }

    async fn execute_sql(&mut self, execute: &Execute) -> Result<Outcome, Report> {
        let statement = self.statement(&execute.name)?.clone();
        let wanted = statement.params().to_vec();
        if wanted.len() != execute.arguments.len() {
            return Err(Report::error(
                codes::SYNTAX_ERROR,
                format!(
                    "wrong number of parameters for prepared statement \"{}\"",
                    execute.name
                ),
            )
            .with_detail(format!(
                "Expected {} parameters but got {}.",
                wanted.len(),
                execute.arguments.len()
            )));
        }
        let mut values = Vec::with_capacity(wanted.len());
        for (argument, sql_type) in execute.arguments.iter().zip(&wanted) {
            let argument = argument.to_string();
            values.push(match self.literal(&argument, sql_type) {
                Some(value) => value,
                None => self.evaluate(&argument, sql_type).await?,
            });
        }
        let params: Arc<[Value]> = values.into();
        Box::pin(self.execute(&statement, &params)).await
    }

    /// An argument that is a plain literal of the type wanted.
    fn literal(&self, argument: &str, sql_type: &SqlType) -> Option<Value> {
        let mut scanned = tokens(argument);
        let first = scanned.next()?;
        if scanned.next().is_some() {
            return None;
        }
        let unquoted = match first.kind {
            TokenKind::String => first.text[1..first.text.len() - 1].replace("''", "'"),
            TokenKind::Integer if is_number(sql_type) => first.text.to_owned(),
            _ => return None,
        };
        text::parse(sql_type, &unquoted, &self.effective.format).ok()
    }

    /// Any other constant expression.
    async fn evaluate(&mut self, argument: &str, sql_type: &SqlType) -> Result<Value, Report> {
        let sql = format!("SELECT CAST({argument} AS {})", sql_type.name());
        let statements = self.split(&sql)?;
        let statement = self.prepare(statements.first(), &[])?;
        let params: Arc<[Value]> = Arc::from([]);
        match Box::pin(self.execute(&statement, &params)).await? {
            Outcome::Rows(mut rows) => {
                let mut value = Value::Null;
                while let Some(batch) = self.next_rows(&mut rows).await? {
                    if batch.rows() > 0 {
                        value = batch.value(0, 0).to_owned();
                    }
                }
                Ok(value)
            }
            _ => Err(Report::internal("an expression gave no value")),
        }
    }

    fn discard(&mut self, discard: Discard) -> Result<Outcome, Report> {
        match discard {
            Discard::All => {
                if self.status() != TransactionStatus::Idle || self.txn().is_some() {
                    return Err(Report::error(
                        codes::ACTIVE_SQL_TRANSACTION,
                        "DISCARD ALL cannot run inside a transaction block",
                    ));
                }
                self.close_portals();
                self.close_statements();
                self.settings.reset_all();
                self.settings.commit();
                self.forget_plans();
                *self.state.sequences.lock() = Default::default();
                self.release_advisory_locks();
                self.unlisten_now();
                Ok(Outcome::command("DISCARD ALL"))
            }
            Discard::Plans => {
                self.forget_plans();
                Ok(Outcome::command("DISCARD PLANS"))
            }
            Discard::Sequences => {
                *self.state.sequences.lock() = Default::default();
                Ok(Outcome::command("DISCARD SEQUENCES"))
            }
            // There are no temporary tables.
            Discard::Temp => Ok(Outcome::command("DISCARD TEMP")),
        }
    }

    async fn lock_tables(&mut self, lock: &LockTables) -> Result<Outcome, Report> {
        self.require_block("LOCK TABLE")?;
        let mode = match lock.mode.to_ascii_uppercase().as_str() {
            "ACCESS SHARE" => Mode::IS,
            "ROW SHARE" | "ROW EXCLUSIVE" => Mode::IX,
            "SHARE UPDATE EXCLUSIVE" | "SHARE ROW EXCLUSIVE" => Mode::SIX,
            "SHARE" => Mode::S,
            _ => Mode::X,
        };
        let now = self.now();
        let txn = self.ensure_transaction(now)?;
        let context = self.context();
        for name in &lock.tables {
            let name = name.to_string();
            let id = resolve(&context, &name)?;
            let options = LockOptions {
                wait: if lock.no_wait {
                    Wait::NoWait
                } else {
                    Wait::Block
                },
                deadline: context
                    .lock_patience(self.engine.shared.transactions.locks())
                    .map(|limit| std::time::Instant::now() + limit),
                ..LockOptions::default()
            };
            let locked = async {
                txn.lock(Resource::Relation(id), mode, &options)
                    .await
                    .map_err(|e| e.report())
            };
            self.guarded(locked).await?;
        }
        Ok(Outcome::command("LOCK TABLE"))
    }
}

fn is_number(sql_type: &SqlType) -> bool {
    matches!(
        sql_type,
        SqlType::SmallInt
            | SqlType::Integer
            | SqlType::BigInt
            | SqlType::Real
            | SqlType::Double
            | SqlType::Numeric(_)
            | SqlType::Oid
    )
}

/// The value of SET as one text.
fn joined(name: &str, values: &[String]) -> Result<String, Report> {
    if name == "search_path" {
        let quoted: Vec<String> = values.iter().map(|value| quote_element(value)).collect();
        return Ok(quoted.join(", "));
    }
    match values {
        [value] => Ok(value.clone()),
        [] => Ok(String::new()),
        values if name.eq_ignore_ascii_case("datestyle") => Ok(values.join(", ")),
        _ => Err(Report::error(
            codes::INVALID_PARAMETER_VALUE,
            format!("SET {name} takes only one argument"),
        )),
    }
}

/// The table of a name as SQL writes it.
fn resolve(context: &SessionContext, name: &str) -> Result<tessera_types::RelationId, Report> {
    let parts: Vec<String> = tokens(name)
        .filter_map(|token| match token.kind {
            TokenKind::Word => Some(token.text.to_lowercase()),
            TokenKind::QuotedName => {
                Some(token.text[1..token.text.len() - 1].replace("\"\"", "\""))
            }
            _ => None,
        })
        .collect();
    let (schema, table) = match parts.as_slice() {
        [table] => (None, table.as_str()),
        [schema, table] => (Some(schema.as_str()), table.as_str()),
        _ => {
            return Err(Report::error(
                codes::SYNTAX_ERROR,
                format!("improper name: {name}"),
            ));
        }
    };
    match context.catalog.resolve(&context.search_path, schema, table) {
        Some(relation) => Ok(relation.id()),
        None => Err(Report::error(
            codes::UNDEFINED_TABLE,
            format!("relation \"{name}\" does not exist"),
        )),
    }
}
