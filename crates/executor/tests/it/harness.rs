//! A database in memory under the executor: no sessions, no protocol.

use std::sync::Arc;
use std::time::Duration;

use tessera_catalog::Catalog;
use tessera_environment::Environment;
use tessera_executor::{
    Executor, ExecutorOptions, Notices, Outcome, SessionContext, SettingRow, Settings,
    StatementContext,
};
use tessera_locks::{LockManager, LockManagerOptions};
use tessera_planner::Statement;
use tessera_storage::open_memory;
use tessera_transactions::{TransactionOptions, Transactions, TransactionsOptions};
use tessera_types::{FormatContext, Report, SqlType, Value, text};
use tokio_util::sync::CancellationToken;

/// Longest time that one statement of a test may take.
const STATEMENT_MAX: Duration = Duration::from_secs(120);

/// A database and one session of it.
pub(crate) struct Db {
    pub(crate) executor: Executor,
    transactions: Arc<Transactions>,
    catalog: Arc<Catalog>,
    pub(crate) short_path: bool,
}

/// Settings that no test changes.
struct NoSettings;

impl Settings for NoSettings {
    fn get(&self, _: &str) -> Option<String> {
        None
    }

    fn set(&self, name: &str, _: &str, _: bool) -> Result<(), Report> {
        Err(Report::unsupported(format!("setting {name}")))
    }

    fn list(&self) -> Vec<SettingRow> {
        Vec::new()
    }
}

impl Db {
    /// An empty database.
    pub(crate) async fn new() -> Db {
        Db::with_options(ExecutorOptions {
            parallelism: 2,
            ..ExecutorOptions::default()
        })
        .await
    }

    pub(crate) async fn with_options(options: ExecutorOptions) -> Db {
        let environment = Environment::real();
        let locks = Arc::new(LockManager::new(LockManagerOptions::default()));
        let transactions = Transactions::new(
            open_memory(),
            locks,
            environment,
            TransactionsOptions::default(),
        );
        let catalog = Catalog::open(transactions.clone())
            .await
            .expect("the catalog opens");
        let executor = Executor::new(options, catalog.clone(), transactions.clone())
            .expect("the executor starts");
        Db {
            executor,
            transactions,
            catalog,
            short_path: false,
        }
    }

    /// Runs every statement of a text in a transaction of its own.
    pub(crate) async fn run(&self, sql: &str) -> Result<Vec<Vec<String>>, Report> {
        let mut rows = Vec::new();
        for parsed in tessera_planner::parse(sql)? {
            let statement = self.one(parsed, &[]);
            rows = tokio::time::timeout(STATEMENT_MAX, statement)
                .await
                .expect("in time")?;
        }
        Ok(rows)
    }

    /// Runs one statement with parameters.
    pub(crate) async fn query(
        &self,
        sql: &str,
        params: &[Value],
    ) -> Result<Vec<Vec<String>>, Report> {
        let parsed = tessera_planner::parse(sql)?.remove(0);
        self.one(parsed, params).await
    }

    /// Names and types of a statement's columns.
    pub(crate) fn columns(&self, sql: &str) -> Result<Vec<(String, String)>, Report> {
        let parsed = tessera_planner::parse(sql)?.remove(0);
        let txn = self.transactions.begin(TransactionOptions::default());
        let session = self.session(&txn);
        let prepared = self.executor.prepare(&Arc::new(parsed), &session, &[])?;
        let columns = prepared.columns.as_deref().unwrap_or_default();
        let named = columns
            .iter()
            .map(|c| (c.name.clone(), c.sql_type.name().to_string()));
        Ok(named.collect())
    }

    /// Types of a statement's parameters.
    pub(crate) fn params(&self, sql: &str) -> Result<Vec<SqlType>, Report> {
        let parsed = tessera_planner::parse(sql)?.remove(0);
        let txn = self.transactions.begin(TransactionOptions::default());
        let session = self.session(&txn);
        Ok(self
            .executor
            .prepare(&Arc::new(parsed), &session, &[])?
            .params)
    }

    fn session(&self, txn: &tessera_transactions::Transaction) -> Arc<SessionContext> {
        Arc::new(SessionContext {
            catalog: self.catalog.state_for(txn),
            search_path: Arc::from(["public".to_owned()]),
            session_user: "admin".into(),
            user: "admin".into(),
            database: "tessera".into(),
            process_id: 1,
            format: Arc::new(FormatContext::default()),
            settings: Arc::new(NoSettings),
            short_path: self.short_path,
            query_memory_bytes_max: None,
            lock_timeout: None,
            adaptive_lock_timeout: false,
            state: Arc::default(),
            written: Default::default(),
        })
    }

    async fn one(
        &self,
        parsed: tessera_planner::Parsed,
        params: &[Value],
    ) -> Result<Vec<Vec<String>>, Report> {
        assert!(
            !matches!(
                parsed.statement,
                Statement::Transaction(_) | Statement::Setting(_)
            ),
            "there is no session here"
        );
        let txn = self.transactions.begin(TransactionOptions::default());
        let session = self.session(&txn);
        let result = self.in_txn(parsed, params, &txn, &session).await;
        match &result {
            Ok(_) => {
                txn.commit().await.map_err(|error| error.report())?;
            }
            Err(_) => txn.rollback(),
        }
        result
    }

    async fn in_txn(
        &self,
        parsed: tessera_planner::Parsed,
        params: &[Value],
        txn: &tessera_transactions::Transaction,
        session: &Arc<SessionContext>,
    ) -> Result<Vec<Vec<String>>, Report> {
        let prepared = self.executor.prepare(&Arc::new(parsed), session, &[])?;
        let context = self.context(session, txn, params);
        match self.executor.execute(&prepared, &context).await? {
            Outcome::Rows(stream) => {
                let columns = stream.columns().clone();
                let rows = stream.collect().await?;
                Ok(rows
                    .iter()
                    .map(|row| {
                        row.iter()
                            .zip(columns.iter())
                            .map(|(v, c)| shown(v, &c.sql_type))
                            .collect()
                    })
                    .collect())
            }
            Outcome::Command(tag) => Ok(vec![vec![tag.to_string()]]),
            _ => Ok(Vec::new()),
        }
    }

    /// Runs COPY … FROM STDIN with this data in pieces of `piece` bytes; gives the tag.
    pub(crate) async fn copy_in(
        &self,
        sql: &str,
        data: &[u8],
        piece: usize,
    ) -> Result<String, Report> {
        let (txn, outcome) = self.start(sql).await?;
        let Outcome::CopyIn(mut copy) = outcome else {
            panic!("{sql} takes no data")
        };
        for part in data.chunks(piece) {
            copy.push(bytes::Bytes::copy_from_slice(part)).await?;
        }
        let tag = copy.finish().await?;
        txn.commit().await.map_err(|error| error.report())?;
        Ok(tag.to_string())
    }

    /// Runs COPY … TO STDOUT; gives the data.
    pub(crate) async fn copy_out(&self, sql: &str) -> Result<Vec<u8>, Report> {
        let (_txn, outcome) = self.start(sql).await?;
        let Outcome::CopyOut(mut copy) = outcome else {
            panic!("{sql} gives no data")
        };
        let mut data = Vec::new();
        while let Some(piece) = copy.next().await {
            data.extend_from_slice(&piece?);
        }
        Ok(data)
    }

    async fn start(
        &self,
        sql: &str,
    ) -> Result<(tessera_transactions::Transaction, Outcome), Report> {
        let parsed = tessera_planner::parse(sql)?.remove(0);
        let txn = self.transactions.begin(TransactionOptions::default());
        let session = self.session(&txn);
        let prepared = self.executor.prepare(&Arc::new(parsed), &session, &[])?;
        let context = StatementContext {
            session,
            txn: txn.clone(),
            params: [].into(),
            cancel: CancellationToken::new(),
            transaction_micros: 0,
            statement_micros: 0,
            notices: Arc::new(Notices::default()),
            view: None,
            newest: None,
            written: Default::default(),
            in_block: false,
        };
        let outcome = self.executor.execute(&prepared, &context).await?;
        Ok((txn, outcome))
    }

    /// Compares every index of a table with its rows.
    pub(crate) async fn check_indexes(&self, name: &str) {
        let state = self.catalog.state();
        let id = state
            .relation("public", name)
            .expect("the table is there")
            .id();
        let table = tessera_tables::Table::new(state.table(id).expect("it is a table").clone());
        let view: Arc<dyn tessera_storage::Snapshot> = self.transactions.view();
        tessera_tables::check_table(&view, &table)
            .await
            .expect("indexes match the rows");
    }

    /// Loads comma-separated lines into a table.
    pub(crate) async fn copy_csv(&self, table: &str, lines: &[String]) -> Result<(), Report> {
        let sql = format!("COPY {table} FROM STDIN WITH (FORMAT csv)");
        let parsed = tessera_planner::parse(&sql)?.remove(0);
        let txn = self.transactions.begin(TransactionOptions::default());
        let session = self.session(&txn);
        let prepared = self.executor.prepare(&Arc::new(parsed), &session, &[])?;
        let context = self.context(&session, &txn, &[]);
        let Outcome::CopyIn(mut copy) = self.executor.execute(&prepared, &context).await? else {
            return Err(Report::internal("COPY FROM STDIN waits for data"));
        };
        for chunk in lines.chunks(500) {
            let mut text = chunk.join("\n");
            text.push('\n');
            copy.push(text.into()).await?;
        }
        copy.finish().await?;
        txn.commit().await.map_err(|error| error.report())?;
        Ok(())
    }

    fn context(
        &self,
        session: &Arc<SessionContext>,
        txn: &tessera_transactions::Transaction,
        params: &[Value],
    ) -> StatementContext {
        StatementContext {
            session: session.clone(),
            txn: txn.clone(),
            params: params.into(),
            cancel: CancellationToken::new(),
            transaction_micros: 0,
            statement_micros: 0,
            notices: Arc::new(Notices::default()),
            view: None,
            newest: None,
            written: Default::default(),
            in_block: false,
        }
    }

    /// Runs a statement and compares its rows, each written as `a|b`, `∅` for NULL.
    pub(crate) async fn check(&self, sql: &str, expected: &[&str]) {
        let rows = match self.run(sql).await {
            Ok(rows) => rows,
            Err(report) => panic!("{sql}\n{report:?}"),
        };
        let rows: Vec<String> = rows.iter().map(|row| row.join("|")).collect();
        assert_eq!(rows, expected, "{sql}");
    }

    /// Runs a statement that must fail with this code and message.
    pub(crate) async fn fails(&self, sql: &str, code: &str, message: &str) {
        match self.run(sql).await {
            Ok(rows) => panic!("{sql} gave {rows:?}"),
            Err(report) => {
                let found = (report.code.as_str().to_owned(), report.message.clone());
                assert_eq!(found, (code.to_owned(), message.to_owned()), "{sql}");
            }
        }
    }
}

fn shown(value: &Value, sql_type: &SqlType) -> String {
    if value.is_null() {
        return "∅".to_owned();
    }
    let mut out = Vec::new();
    text::write(
        value.as_ref(),
        sql_type,
        &FormatContext::default(),
        &mut out,
    );
    String::from_utf8(out).expect("text is UTF-8")
}
