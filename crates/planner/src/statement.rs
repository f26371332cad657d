//! The kinds of statements, sorted by who executes them.
//!
//! `Query`, `Write`, `Ddl`, `Copy` and `Explain` go to the executor. The rest is about the
//! session (transactions, settings, prepared statements, cursors) and belongs to the engine.

use std::sync::Arc;

use sqlparser::ast;
use tessera_types::{RelationId, Report, SqlType};

/// One statement of a text.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// What it says.
    pub statement: Statement,
    /// Its own text, without the separating semicolon and surrounding space.
    pub text: Arc<str>,
    /// Where `text` begins in the whole text: characters before it.
    pub offset: u32,
    /// Characters before each line of the whole text, to which positions in errors refer.
    pub lines: Arc<[u32]>,
    /// What the client should hear although nothing is wrong.
    pub notices: Vec<Report>,
}

/// A statement by kind.
#[derive(Debug, Clone)]
pub enum Statement {
    /// SELECT, VALUES, TABLE, WITH … SELECT.
    Query(Arc<ast::Query>),
    /// INSERT, UPDATE, DELETE, MERGE, TRUNCATE.
    Write(Arc<ast::Statement>),
    /// COPY in all directions.
    Copy(Arc<ast::Statement>),
    /// CREATE, ALTER, DROP, COMMENT, GRANT, REVOKE, and everything else that `sqlparser` reads.
    Ddl(Arc<ast::Statement>),
    /// CREATE and DROP of collections and key spaces.
    Model(Arc<ModelDdl>),
    /// `CREATE TABLE name AS query` and `SELECT … INTO name`, which is the same thing.
    CreateTableAs(Arc<ast::Statement>),
    /// EXPLAIN.
    Explain(Arc<Explain>),
    /// BEGIN, COMMIT, ROLLBACK, SAVEPOINT and their kin.
    Transaction(Transaction),
    /// SET, SHOW, RESET.
    Setting(Setting),
    /// `PREPARE name (types) AS statement`.
    Prepare(Arc<Prepare>),
    /// `EXECUTE name (arguments)`.
    Execute(Arc<Execute>),
    /// `DEALLOCATE name`, or all with `None`.
    Deallocate(Option<String>),
    /// `DECLARE name CURSOR FOR query`.
    Declare(Arc<Declare>),
    /// FETCH and MOVE.
    Fetch(Fetch),
    /// `CLOSE name`, or all with `None`.
    Close(Option<String>),
    /// DISCARD.
    Discard(Discard),
    /// LISTEN channel.
    Listen(String),
    /// UNLISTEN channel, or all with `None`.
    Unlisten(Option<String>),
    /// NOTIFY channel with a payload.
    Notify {
        channel: String,
        payload: Option<String>,
    },
    /// LOCK TABLE.
    Lock(Arc<LockTables>),
    /// ANALYZE, VACUUM, CHECKPOINT, REINDEX, CLUSTER: upkeep.
    Maintenance(Maintenance),
}

/// EXPLAIN's options and the statement it is about.
#[derive(Debug, Clone)]
pub struct Explain {
    /// Run the statement and report times and row counts.
    pub analyze: bool,
    /// Show output columns and qualified names.
    pub verbose: bool,
    /// Show cost estimates.
    pub costs: bool,
    /// With ANALYZE: show times.
    pub timing: bool,
    /// Print a summary line.
    pub summary: Option<bool>,
    /// Text or JSON.
    pub format: ExplainFormat,
    /// The statement.
    pub statement: Box<Parsed>,
}

/// CREATE and DROP of what is not a table of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelDdl {
    /// CREATE COLLECTION.
    CreateCollection {
        /// Name.
        name: crate::ddl::RelationName,
        /// Only a notice when it exists.
        if_not_exists: bool,
        /// WITH.
        settings: CollectionSettings,
    },
    /// CREATE KEY SPACE.
    CreateKeySpace {
        /// Name.
        name: crate::ddl::RelationName,
        /// Only a notice when it exists.
        if_not_exists: bool,
    },
    /// DROP COLLECTION, DROP KEY SPACE.
    Drop {
        /// Which of the two.
        kind: ModelKind,
        /// What is dropped.
        names: Vec<crate::ddl::RelationName>,
        /// Only a notice for what does not exist.
        if_exists: bool,
        /// Drop views over them, too.
        cascade: bool,
    },
}

/// The models that are not tables of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelKind {
    /// Collections of documents.
    Collection,
    /// Key spaces.
    KeySpace,
}

impl ModelKind {
    /// The words for it.
    pub fn words(self) -> &'static str {
        match self {
            ModelKind::Collection => "collection",
            ModelKind::KeySpace => "key space",
        }
    }
}

/// WITH of CREATE COLLECTION: values, and where they stand in the text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectionSettings {
    /// `any`, `client` or `server`.
    pub id_policy: Option<(String, u32)>,
    /// A JSON Schema.
    pub schema: Option<(String, u32)>,
    /// Dotted path of a date by which documents expire.
    pub ttl_field: Option<(String, u32)>,
    /// How long after that date.
    pub ttl_seconds: Option<u32>,
}

/// How EXPLAIN prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExplainFormat {
    /// One line per row.
    #[default]
    Text,
    /// One JSON array.
    Json,
}

/// Transaction control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transaction {
    /// BEGIN, START TRANSACTION; modes as written.
    Begin(TransactionModes),
    /// COMMIT, END; `chain` starts the next one at once.
    Commit { chain: bool },
    /// ROLLBACK, ABORT.
    Rollback { chain: bool },
    /// SAVEPOINT name.
    Savepoint(String),
    /// ROLLBACK TO name.
    RollbackTo(String),
    /// RELEASE name.
    Release(String),
    /// SET TRANSACTION modes.
    Set(TransactionModes),
    /// SET SESSION CHARACTERISTICS AS TRANSACTION modes.
    SetDefault(TransactionModes),
}

/// Modes of BEGIN and SET TRANSACTION; `None` = not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransactionModes {
    /// ISOLATION LEVEL.
    pub isolation: Option<IsolationLevel>,
    /// READ ONLY (`true`) or READ WRITE (`false`).
    pub read_only: Option<bool>,
    /// DEFERRABLE (accepted; has no effect below SERIALIZABLE).
    pub deferrable: Option<bool>,
}

/// SQL's isolation levels as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsolationLevel {
    /// READ UNCOMMITTED: runs as READ COMMITTED.
    ReadUncommitted,
    /// READ COMMITTED.
    ReadCommitted,
    /// REPEATABLE READ.
    RepeatableRead,
    /// SERIALIZABLE.
    Serializable,
}

/// SET, SHOW, RESET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// `SET [SESSION | LOCAL] name = values`; several values are a list, as in `search_path`.
    Set {
        name: String,
        values: SettingValue,
        local: bool,
    },
    /// `SHOW name`.
    Show(String),
    /// `SHOW ALL`.
    ShowAll,
    /// `RESET name`.
    Reset(String),
    /// `RESET ALL`.
    ResetAll,
}

/// The right side of SET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingValue {
    /// `SET name TO DEFAULT`.
    Default,
    /// One or more values, quotes removed; a bare identifier is folded to lower case.
    Values(Vec<String>),
}

/// PREPARE.
#[derive(Debug, Clone)]
pub struct Prepare {
    /// Name of the prepared statement.
    pub name: String,
    /// Declared parameter types; `None` for `unknown`.
    pub types: Vec<Option<SqlType>>,
    /// The statement.
    pub statement: Parsed,
}

/// EXECUTE.
#[derive(Debug, Clone)]
pub struct Execute {
    /// Name of the prepared statement.
    pub name: String,
    /// Arguments: constant expressions, evaluated and cast by the executor.
    pub arguments: Vec<ast::Expr>,
}

/// DECLARE … CURSOR.
#[derive(Debug, Clone)]
pub struct Declare {
    /// Name of the cursor.
    pub name: String,
    /// BINARY.
    pub binary: bool,
    /// `Some(true)` for SCROLL, `Some(false)` for NO SCROLL.
    pub scroll: Option<bool>,
    /// WITH HOLD.
    pub hold: bool,
    /// The query.
    pub query: Parsed,
}

/// FETCH and MOVE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Name of the cursor.
    pub cursor: String,
    /// How far.
    pub direction: FetchDirection,
    /// MOVE: only move, return nothing.
    pub move_only: bool,
}

/// Direction and count of FETCH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchDirection {
    /// FORWARD n, NEXT, or a bare count; `None` = ALL.
    Forward(Option<i64>),
    /// BACKWARD n, PRIOR; `None` = ALL.
    Backward(Option<i64>),
    /// FIRST (1), LAST (-1) and ABSOLUTE n.
    Absolute(i64),
    /// RELATIVE n.
    Relative(i64),
}

/// DISCARD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discard {
    /// Everything.
    All,
    /// Cached plans.
    Plans,
    /// Sequence state of the session.
    Sequences,
    /// Temporary tables.
    Temp,
}

/// LOCK TABLE.
#[derive(Debug, Clone)]
pub struct LockTables {
    /// Tables in the order written.
    pub tables: Vec<ast::ObjectName>,
    /// Mode in upper case, such as `ACCESS EXCLUSIVE` (the default).
    pub mode: String,
    /// NOWAIT.
    pub no_wait: bool,
}

/// Upkeep statements.
#[derive(Debug, Clone)]
pub enum Maintenance {
    /// ANALYZE of some tables, or of all.
    Analyze(Vec<ast::ObjectName>),
    /// VACUUM of some tables, or of all; `analyze` as said.
    Vacuum {
        tables: Vec<ast::ObjectName>,
        analyze: bool,
    },
    /// CHECKPOINT.
    Checkpoint,
    /// REINDEX, CLUSTER: nothing to do in this storage.
    Reindex,
}

/// One column of a result, as RowDescription needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnInfo {
    /// Name as PostgreSQL would choose it.
    pub name: String,
    /// Type, with its modifier.
    pub sql_type: SqlType,
    /// The table whose column this is, if it is one unchanged.
    pub table: Option<RelationId>,
    /// The column's number in that table, else 0.
    pub column: i16,
}

impl Statement {
    /// Whether the statement can return rows at all. A `Write` may, with RETURNING.
    pub fn is_query(&self) -> bool {
        matches!(self, Statement::Query(_) | Statement::Explain(_))
    }

    /// The command tag's verb, such as `SELECT` or `CREATE TABLE`.
    pub fn verb(&self) -> &'static str {
        match self {
            Statement::Query(_) => "SELECT",
            Statement::Write(statement)
            | Statement::Copy(statement)
            | Statement::Ddl(statement) => verb_of(statement),
            Statement::CreateTableAs(_) => "SELECT",
            Statement::Model(model) => match &**model {
                ModelDdl::CreateCollection { .. } => "CREATE COLLECTION",
                ModelDdl::CreateKeySpace { .. } => "CREATE KEY SPACE",
                ModelDdl::Drop {
                    kind: ModelKind::Collection,
                    ..
                } => "DROP COLLECTION",
                ModelDdl::Drop { .. } => "DROP KEY SPACE",
            },
            Statement::Explain(_) => "EXPLAIN",
            Statement::Transaction(control) => match control {
                Transaction::Begin(_) => "BEGIN",
                Transaction::Commit { .. } => "COMMIT",
                Transaction::Rollback { .. } | Transaction::RollbackTo(_) => "ROLLBACK",
                Transaction::Savepoint(_) => "SAVEPOINT",
                Transaction::Release(_) => "RELEASE",
                Transaction::Set(_) | Transaction::SetDefault(_) => "SET",
            },
            Statement::Setting(Setting::Set { .. }) => "SET",
            Statement::Setting(Setting::Show(_) | Setting::ShowAll) => "SHOW",
            Statement::Setting(Setting::Reset(_) | Setting::ResetAll) => "RESET",
            Statement::Prepare(_) => "PREPARE",
            Statement::Execute(_) => "EXECUTE",
            Statement::Deallocate(Some(_)) => "DEALLOCATE",
            Statement::Deallocate(None) => "DEALLOCATE ALL",
            Statement::Declare(_) => "DECLARE CURSOR",
            Statement::Fetch(fetch) if fetch.move_only => "MOVE",
            Statement::Fetch(_) => "FETCH",
            Statement::Close(Some(_)) => "CLOSE CURSOR",
            Statement::Close(None) => "CLOSE CURSOR ALL",
            Statement::Discard(Discard::All) => "DISCARD ALL",
            Statement::Discard(Discard::Plans) => "DISCARD PLANS",
            Statement::Discard(Discard::Sequences) => "DISCARD SEQUENCES",
            Statement::Discard(Discard::Temp) => "DISCARD TEMP",
            Statement::Listen(_) => "LISTEN",
            Statement::Unlisten(_) => "UNLISTEN",
            Statement::Notify { .. } => "NOTIFY",
            Statement::Lock(_) => "LOCK TABLE",
            Statement::Maintenance(Maintenance::Analyze(_)) => "ANALYZE",
            Statement::Maintenance(Maintenance::Vacuum { .. }) => "VACUUM",
            Statement::Maintenance(Maintenance::Checkpoint) => "CHECKPOINT",
            Statement::Maintenance(Maintenance::Reindex) => "REINDEX",
        }
    }
}

/// Command verb of a statement that `sqlparser` read.
fn verb_of(statement: &ast::Statement) -> &'static str {
    use ast::Statement as S;
    match statement {
        S::Query(query) => match query.body.as_ref() {
            ast::SetExpr::Insert(inner)
            | ast::SetExpr::Update(inner)
            | ast::SetExpr::Delete(inner)
            | ast::SetExpr::Merge(inner) => verb_of(inner),
            _ => "SELECT",
        },
        S::Insert(_) => "INSERT",
        S::Update(_) => "UPDATE",
        S::Delete(_) => "DELETE",
        S::Merge(_) => "MERGE",
        S::Truncate(_) => "TRUNCATE TABLE",
        S::Copy { .. } => "COPY",
        S::CreateTable(_) => "CREATE TABLE",
        S::CreateView(view) if view.materialized => "CREATE MATERIALIZED VIEW",
        S::CreateView(_) => "CREATE VIEW",
        S::CreateIndex(_) => "CREATE INDEX",
        S::CreateSchema { .. } => "CREATE SCHEMA",
        S::CreateSequence { .. } => "CREATE SEQUENCE",
        S::CreateDatabase { .. } => "CREATE DATABASE",
        S::CreateRole(_) | S::CreateUser(_) => "CREATE ROLE",
        S::CreateExtension(_) => "CREATE EXTENSION",
        S::CreateFunction(_) => "CREATE FUNCTION",
        S::CreateTrigger(_) => "CREATE TRIGGER",
        S::CreateType { .. } => "CREATE TYPE",
        S::CreateDomain(_) => "CREATE DOMAIN",
        S::AlterTable(_) => "ALTER TABLE",
        S::AlterSchema(_) => "ALTER SCHEMA",
        S::AlterIndex { .. } => "ALTER INDEX",
        S::AlterView { .. } => "ALTER VIEW",
        S::AlterRole { .. } | S::AlterUser(_) => "ALTER ROLE",
        S::Drop { object_type, .. } => match object_type {
            ast::ObjectType::Table => "DROP TABLE",
            ast::ObjectType::View => "DROP VIEW",
            ast::ObjectType::MaterializedView => "DROP MATERIALIZED VIEW",
            ast::ObjectType::Index => "DROP INDEX",
            ast::ObjectType::Schema => "DROP SCHEMA",
            ast::ObjectType::Database => "DROP DATABASE",
            ast::ObjectType::Role | ast::ObjectType::User => "DROP ROLE",
            ast::ObjectType::Sequence => "DROP SEQUENCE",
            ast::ObjectType::Type => "DROP TYPE",
            _ => "DROP",
        },
        S::DropFunction(_) => "DROP FUNCTION",
        S::DropExtension(_) => "DROP EXTENSION",
        S::Comment { .. } => "COMMENT",
        S::Grant(_) => "GRANT",
        S::Revoke(_) => "REVOKE",
        S::Call(_) => "CALL",
        _ => "UTILITY",
    }
}
