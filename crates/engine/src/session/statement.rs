//! Texts to prepared statements; named ones; the cache of simple statements.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use tessera_executor::{Prepared, SessionContext};
use tessera_planner::statement::{Declare, Transaction as Control};
use tessera_planner::{ColumnInfo, Parsed, RelationName, Statement, relation_names};
use tessera_types::{FormatContext, Report, SqlType, Value, codes, text};

use super::Session;
use crate::fingerprint::{self, Fingerprint};
use crate::privileges;
use crate::role_statement::{self, RoleStatement};

/// Prepared statements of one session.
const STATEMENTS_MAX: usize = 10_000;
/// Longest text whose plan is kept for the next Parse of it.
const CACHED_TEXT_BYTES_MAX: usize = 8_192;
/// Statements kept in the cache of simple statements.
const SIMPLE_ENTRIES_MAX: usize = 256;

/// One statement of a text, not yet resolved.
#[derive(Clone, Debug)]
pub struct SourceStatement {
    pub(super) body: SourceBody,
}

#[derive(Clone, Debug)]
pub(super) enum SourceBody {
    Parsed(Arc<Parsed>),
    Role(Arc<RoleStatement>),
}

impl SourceStatement {
    /// The command tag's verb, such as `SELECT`.
    pub fn verb(&self) -> &'static str {
        match &self.body {
            SourceBody::Parsed(parsed) => parsed.statement.verb(),
            SourceBody::Role(role) => role.verb(),
        }
    }

    /// Whether it can end a failed transaction block.
    fn ends_failed_block(&self) -> bool {
        matches!(&self.body, SourceBody::Parsed(parsed) if matches!(
            parsed.statement,
            Statement::Transaction(
                Control::Commit { .. } | Control::Rollback { .. } | Control::RollbackTo(_)
            )
        ))
    }
}

/// A statement with names and types resolved, ready to run any number of times.
pub struct PreparedStatement {
    pub(super) body: Body,
    /// What `pg_stat_activity` shows.
    pub(super) text: Arc<str>,
    params: Vec<SqlType>,
    columns: Option<Arc<[ColumnInfo]>>,
}

pub(super) enum Body {
    /// Nothing but space and comments.
    Empty,
    /// Run by the executor.
    Plan(Plan),
    /// Run by the session.
    Session(Arc<Parsed>),
    /// DECLARE, with its query.
    Declare {
        declare: Arc<Declare>,
        query: Arc<PreparedStatement>,
    },
    /// About users.
    Role(Arc<RoleStatement>),
}

/// A plan that is made again when the catalog has changed.
pub(super) struct Plan {
    parsed: Arc<Parsed>,
    /// What an ordinary user must have the right to; not looked at for administrators.
    relations: Vec<RelationName>,
    given_types: Vec<Option<SqlType>>,
    current: RwLock<Planned>,
}

impl Plan {
    pub(super) fn statement(&self) -> &Statement {
        &self.parsed.statement
    }
}

#[derive(Clone)]
struct Planned {
    prepared: Arc<Prepared>,
    /// What it was made under.
    catalog_version: u64,
    search_path: Arc<[String]>,
    format: Arc<FormatContext>,
    short_path: bool,
}

impl Planned {
    fn fits(&self, context: &SessionContext) -> bool {
        self.catalog_version == context.catalog.version()
            && self.short_path == context.short_path
            && (Arc::ptr_eq(&self.format, &context.format) || self.format == context.format)
            && (Arc::ptr_eq(&self.search_path, &context.search_path)
                || self.search_path == context.search_path)
    }
}

impl PreparedStatement {
    /// Types of the parameters.
    pub fn params(&self) -> &[SqlType] {
        &self.params
    }

    /// Columns of the result; `None` when it returns no rows.
    pub fn columns(&self) -> Option<&Arc<[ColumnInfo]>> {
        self.columns.as_ref()
    }

    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        matches!(self.body, Body::Empty)
    }

    /// Whether running it when a failed block is open makes sense.
    pub(super) fn ends_failed_block(&self) -> bool {
        matches!(&self.body, Body::Session(parsed) if matches!(
            parsed.statement,
            Statement::Transaction(
                Control::Commit { .. } | Control::Rollback { .. } | Control::RollbackTo(_)
            )
        ))
    }

    fn empty() -> PreparedStatement {
        PreparedStatement {
            body: Body::Empty,
            text: Arc::from(""),
            params: Vec::new(),
            columns: None,
        }
    }
}

impl std::fmt::Debug for PreparedStatement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PreparedStatement")
            .field("text", &self.text)
            .field("params", &self.params)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Cuts a text into its statements. Empty ones are left out.
    ///
    /// # Errors
    /// 42601 with a position, 54001 for texts nested too deeply.
    pub fn split(&self, sql: &str) -> Result<Vec<SourceStatement>, Report> {
        let _took = tessera_telemetry::metrics().parse_duration.start();
        if !role_statement::may_contain(sql) {
            let parsed = tessera_planner::parse(sql)?;
            return Ok(parsed
                .into_iter()
                .map(|parsed| self.source(parsed))
                .collect());
        }
        let mut statements = Vec::new();
        for (start, part) in role_statement::split(sql) {
            if let Some(role) = role_statement::parse(part) {
                let role = role.map_err(|report| shifted(report, sql, start))?;
                statements.push(SourceStatement {
                    body: SourceBody::Role(Arc::new(role)),
                });
                continue;
            }
            let parsed = tessera_planner::parse(part);
            let parsed = parsed.map_err(|report| shifted(report, sql, start))?;
            let before = characters(sql, start);
            statements.extend(parsed.into_iter().map(|mut parsed| {
                parsed.offset = parsed.offset.saturating_add(before);
                self.source(parsed)
            }));
        }
        Ok(statements)
    }

    fn source(&self, mut parsed: Parsed) -> SourceStatement {
        for notice in parsed.notices.drain(..) {
            self.notice(notice);
        }
        SourceStatement {
            body: SourceBody::Parsed(Arc::new(parsed)),
        }
    }

    /// Resolves names and types of a statement; `None` is the empty one. `types` are those that
    /// the client declared for parameters.
    pub fn prepare(
        &mut self,
        statement: Option<&SourceStatement>,
        types: &[Option<SqlType>],
    ) -> Result<Arc<PreparedStatement>, Report> {
        let result = self.try_prepare(statement, types);
        if result.is_err() {
            self.fail();
        }
        result
    }

    /// Prepares a text of at most one statement, as the extended protocol does. Drivers that do
    /// not name their statements send the same texts again and again: those are planned once.
    ///
    /// # Errors
    /// As `split` and `prepare`; 42601 for several statements.
    pub fn parse(
        &mut self,
        sql: &str,
        types: &[Option<SqlType>],
    ) -> Result<Arc<PreparedStatement>, Report> {
        let key = (sql.len() <= CACHED_TEXT_BYTES_MAX).then(|| parse_key(sql, types));
        if let Some(key) = &key
            && let Some(Some(known)) = self.simple.get(key)
            && self.is_current(&known)
        {
            self.check_runnable(&known)?;
            return Ok(known);
        }
        let statements = self.split(sql)?;
        if statements.len() > 1 {
            return Err(Report::error(
                codes::SYNTAX_ERROR,
                "cannot insert multiple commands into a prepared statement",
            ));
        }
        let statement = self.prepare(statements.first(), types)?;
        if let (Some(key), Body::Plan(plan)) = (key, &statement.body)
            && matches!(
                plan.parsed.statement,
                Statement::Query(_) | Statement::Write(_)
            )
        {
            self.simple.insert(key, Some(statement.clone()));
        }
        Ok(statement)
    }

    /// Whether a cached statement may be used as it is.
    fn is_current(&mut self, statement: &PreparedStatement) -> bool {
        match &statement.body {
            Body::Plan(plan) => {
                let context = self.context();
                plan.current.read().fits(&context)
            }
            _ => false,
        }
    }

    /// 25P02 when a failed block waits for its end and this statement is not it.
    pub fn check_runnable(&mut self, statement: &PreparedStatement) -> Result<(), Report> {
        if statement.ends_failed_block() || statement.is_empty() {
            return Ok(());
        }
        self.check_not_failed()
    }

    fn try_prepare(
        &mut self,
        statement: Option<&SourceStatement>,
        types: &[Option<SqlType>],
    ) -> Result<Arc<PreparedStatement>, Report> {
        let Some(statement) = statement else {
            return Ok(Arc::new(PreparedStatement::empty()));
        };
        if !statement.ends_failed_block() {
            self.check_not_failed()?;
        }
        let parsed = match &statement.body {
            SourceBody::Parsed(parsed) => parsed,
            SourceBody::Role(role) => {
                return Ok(Arc::new(PreparedStatement {
                    text: Arc::from(role.verb()),
                    body: Body::Role(role.clone()),
                    params: Vec::new(),
                    columns: None,
                }));
            }
        };
        self.prepare_parsed(parsed, types)
    }

    pub(super) fn prepare_parsed(
        &mut self,
        parsed: &Arc<Parsed>,
        types: &[Option<SqlType>],
    ) -> Result<Arc<PreparedStatement>, Report> {
        let prepared = match &parsed.statement {
            Statement::Query(_)
            | Statement::Write(_)
            | Statement::Copy(_)
            | Statement::Ddl(_)
            | Statement::Model(_)
            | Statement::CreateTableAs(_)
            | Statement::Explain(_) => return self.plan(parsed, types),
            Statement::Maintenance(maintenance) if !super::control::is_own(maintenance) => {
                return self.plan(parsed, types);
            }
            Statement::Declare(declare) => {
                let query = self.prepare_parsed(&Arc::new(declare.query.clone()), types)?;
                PreparedStatement {
                    params: query.params.clone(),
                    columns: None,
                    text: parsed.text.clone(),
                    body: Body::Declare {
                        declare: declare.clone(),
                        query,
                    },
                }
            }
            other => PreparedStatement {
                columns: self.columns_of_session_statement(other)?,
                params: Vec::new(),
                text: parsed.text.clone(),
                body: Body::Session(parsed.clone()),
            },
        };
        Ok(Arc::new(prepared))
    }

    fn plan(
        &mut self,
        parsed: &Arc<Parsed>,
        types: &[Option<SqlType>],
    ) -> Result<Arc<PreparedStatement>, Report> {
        let _took = tessera_telemetry::metrics().plan_duration.start();
        let context = self.context();
        if !self.is_admin() {
            let relations = relation_names(&parsed.statement);
            privileges::check(&self.user, &parsed.statement, &relations, &context)?;
        }
        let planned = self.plan_now(parsed, types, &context)?;
        let prepared = &planned.prepared;
        Ok(Arc::new(PreparedStatement {
            text: parsed.text.clone(),
            params: prepared.params.clone(),
            columns: prepared.columns.clone(),
            body: Body::Plan(Plan {
                relations: match self.is_admin() {
                    true => Vec::new(),
                    false => relation_names(&parsed.statement),
                },
                parsed: parsed.clone(),
                given_types: types.to_vec(),
                current: RwLock::new(planned),
            }),
        }))
    }

    fn plan_now(
        &self,
        parsed: &Arc<Parsed>,
        types: &[Option<SqlType>],
        context: &Arc<SessionContext>,
    ) -> Result<Planned, Report> {
        Ok(Planned {
            prepared: Arc::new(
                self.engine
                    .shared
                    .executor
                    .prepare(parsed, context, types)?,
            ),
            catalog_version: context.catalog.version(),
            search_path: context.search_path.clone(),
            format: context.format.clone(),
            short_path: context.short_path,
        })
    }

    /// 42501 when the user may not run it, by the catalog as it is now.
    pub(super) fn check_privileges(
        &self,
        plan: &Plan,
        context: &SessionContext,
    ) -> Result<(), Report> {
        if self.is_admin() {
            return Ok(());
        }
        privileges::check(&self.user, &plan.parsed.statement, &plan.relations, context)
    }

    /// The plan for the catalog as it is now.
    ///
    /// # Errors
    /// 0A000 when the statement would now return other columns than it was prepared with.
    pub(super) fn current_plan(
        &self,
        plan: &Plan,
        context: &Arc<SessionContext>,
    ) -> Result<Arc<Prepared>, Report> {
        {
            let current = plan.current.read();
            if current.fits(context) {
                return Ok(current.prepared.clone());
            }
        }
        let planned = self.plan_now(&plan.parsed, &plan.given_types, context)?;
        let mut current = plan.current.write();
        if current.prepared.columns != planned.prepared.columns
            || current.prepared.params != planned.prepared.params
        {
            return Err(Report::error(
                codes::FEATURE_NOT_SUPPORTED,
                "cached plan must not change result type",
            ));
        }
        *current = planned;
        Ok(current.prepared.clone())
    }

    /// Keeps a statement under a name; the empty name is the protocol's unnamed statement, which
    /// the next one replaces.
    ///
    /// # Errors
    /// 42P05 when the name is taken, 53400 when the session has too many.
    pub fn store_statement(
        &mut self,
        name: &str,
        statement: Arc<PreparedStatement>,
    ) -> Result<(), Report> {
        if name.is_empty() {
            self.unnamed_statement = Some(statement);
            return Ok(());
        }
        self.check_statement_name(name)?;
        self.statements.insert(name.to_owned(), statement);
        Ok(())
    }

    /// Whether a statement may be kept under this name.
    pub fn check_statement_name(&self, name: &str) -> Result<(), Report> {
        if self.statements.contains_key(name) {
            return Err(Report::error(
                codes::DUPLICATE_PREPARED_STATEMENT,
                format!("prepared statement \"{name}\" already exists"),
            ));
        }
        if self.statements.len() >= STATEMENTS_MAX {
            return Err(Report::error(
                codes::CONFIGURATION_LIMIT_EXCEEDED,
                format!("a session may have at most {STATEMENTS_MAX} prepared statements"),
            )
            .with_hint("DEALLOCATE statements that are no longer used."));
        }
        Ok(())
    }

    /// A statement by name.
    ///
    /// # Errors
    /// 26000.
    pub fn statement(&self, name: &str) -> Result<&Arc<PreparedStatement>, Report> {
        let found = if name.is_empty() {
            self.unnamed_statement.as_ref()
        } else {
            self.statements.get(name)
        };
        found.ok_or_else(|| {
            let message = if name.is_empty() {
                "unnamed prepared statement does not exist".to_owned()
            } else {
                format!("prepared statement \"{name}\" does not exist")
            };
            Report::error(codes::INVALID_SQL_STATEMENT_NAME, message)
        })
    }

    /// Forgets a statement, if there is one of that name.
    pub fn close_statement(&mut self, name: &str) -> bool {
        if name.is_empty() {
            self.unnamed_statement.take().is_some()
        } else {
            self.statements.remove(name).is_some()
        }
    }

    /// Forgets all named statements.
    pub(super) fn close_statements(&mut self) {
        self.statements.clear();
    }

    /// A plan and parameters for a text that differs from an earlier one only in its literals;
    /// `None` when the text has to be taken the long way.
    pub fn recognize(&mut self, sql: &str) -> Option<(Arc<PreparedStatement>, Arc<[Value]>)> {
        if self.status() == super::TransactionStatus::Failed {
            return None;
        }
        let found = fingerprint::of(sql)?;
        let statement = match self.simple.get(&found.key) {
            Some(Some(known)) if self.is_current(&known) => known,
            Some(None) => return None,
            _ => self.learn(&found)?,
        };
        let mut values = found.values;
        for (value, wanted) in values.iter_mut().zip(&statement.params) {
            if let Value::Text(literal) = value
                && *wanted != SqlType::Text
            {
                // A literal that its type does not read is reported by the long way, which knows
                // its position.
                *value = text::parse(wanted, literal, &self.effective.format).ok()?;
            }
        }
        if values.len() != statement.params.len() {
            return None;
        }
        Some((statement, values.into()))
    }

    /// Plans the text with parameters in place of its literals, and keeps the plan when it is a
    /// short one: only there are the two forms known to mean the same.
    fn learn(&mut self, found: &Fingerprint) -> Option<Arc<PreparedStatement>> {
        self.refresh_settings();
        if !self.effective.short_path {
            return None;
        }
        let statement = tessera_planner::parse(found.text())
            .ok()
            .filter(|parsed| parsed.len() == 1)
            .and_then(|mut parsed| parsed.pop())
            .and_then(|parsed| self.plan(&Arc::new(parsed), &found.types()).ok())
            .filter(|statement| match &statement.body {
                Body::Plan(plan) => plan.current.read().prepared.is_short_path(),
                _ => false,
            });
        self.simple.insert(found.key.clone(), statement.clone());
        statement
    }

    pub(super) fn forget_plans(&mut self) {
        self.simple = SimpleCache::default();
    }
}

/// The cache of simple statements: two generations; what is used moves to the young one, the old
/// one is dropped when the young one is full. That is least-recently-used, nearly, without a list.
#[derive(Default)]
pub(super) struct SimpleCache {
    young: HashMap<String, Option<Arc<PreparedStatement>>, ahash::RandomState>,
    old: HashMap<String, Option<Arc<PreparedStatement>>, ahash::RandomState>,
}

impl SimpleCache {
    /// `Some(None)`: known to need the long way.
    fn get(&mut self, key: &str) -> Option<Option<Arc<PreparedStatement>>> {
        if let Some(found) = self.young.get(key) {
            return Some(found.clone());
        }
        let (key, found) = self.old.remove_entry(key)?;
        self.insert(key, found.clone());
        Some(found)
    }

    fn insert(&mut self, key: String, statement: Option<Arc<PreparedStatement>>) {
        if self.young.len() >= SIMPLE_ENTRIES_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, statement);
    }
}

/// The cache's key of a Parse; no fingerprint begins with this character.
fn parse_key(sql: &str, types: &[Option<SqlType>]) -> String {
    let mut key = String::with_capacity(sql.len() + 8 * types.len() + 2);
    key.push('P');
    for sql_type in types {
        key.push_str(&sql_type.as_ref().map_or(0, SqlType::oid).to_string());
        key.push(',');
    }
    key.push(':');
    key.push_str(sql);
    key
}

/// Characters before a byte offset.
fn characters(text: &str, bytes: usize) -> u32 {
    u32::try_from(text[..bytes].chars().count()).unwrap_or(u32::MAX)
}

/// An error of a part of the text, placed in the whole.
fn shifted(mut report: Report, sql: &str, start: usize) -> Report {
    if let Some(position) = report.position {
        report.position = Some(position.saturating_add(characters(sql, start)));
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_keeps_what_is_used_and_stays_small() {
        let mut cache = SimpleCache::default();
        for n in 0..10 * SIMPLE_ENTRIES_MAX {
            cache.insert(n.to_string(), None);
            assert!(cache.get("0").is_some(), "used every time, lost at {n}");
            assert!(cache.young.len() + cache.old.len() <= SIMPLE_ENTRIES_MAX);
        }
        assert!(cache.get("1").is_none());
    }
}
