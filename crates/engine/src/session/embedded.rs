//! Whole results, for programs without a protocol.

use std::sync::Arc;

use tessera_executor::CommandTag;
use tessera_types::{CastKind, Report, Value, codes, coerce};

use super::Session;
use super::execute::{Outcome, Rows};
use super::statement::PreparedStatement;
use crate::result::ResultSet;

impl Session {
    /// Runs a text of one or more statements as one simple-query message: one implicit
    /// transaction unless the text says otherwise. Answers with one result per statement.
    pub async fn run(&mut self, sql: &str) -> Result<Vec<ResultSet>, Report> {
        let result = self.run_batch(sql).await;
        if result.is_err() {
            self.fail();
        }
        let ended = self.end_of_batch().await;
        let results = result?;
        ended?;
        Ok(results)
    }

    async fn run_batch(&mut self, sql: &str) -> Result<Vec<ResultSet>, Report> {
        let mut results = Vec::new();
        let params: Arc<[Value]> = Arc::from([]);
        let sources = self.split(sql)?;
        for (at, source) in sources.iter().enumerate() {
            let statement = self.prepare(Some(source), &[])?;
            if at + 1 == sources.len() {
                self.expect_end_of_batch();
            }
            results.push(self.result_of(&statement, &params).await?);
        }
        Ok(results)
    }

    /// Runs one statement with parameters, in a transaction of its own unless one is open.
    pub async fn query(&mut self, sql: &str, params: &[Value]) -> Result<ResultSet, Report> {
        let result = self.run_one(sql, params).await;
        if result.is_err() {
            self.fail();
        }
        let ended = self.end_of_batch().await;
        let result = result?;
        ended?;
        Ok(result)
    }

    async fn run_one(&mut self, sql: &str, params: &[Value]) -> Result<ResultSet, Report> {
        let sources = self.split(sql)?;
        if sources.len() > 1 {
            return Err(Report::error(
                codes::SYNTAX_ERROR,
                "cannot insert multiple commands into a prepared statement",
            ));
        }
        let statement = self.prepare(sources.first(), &[])?;
        let params = self.coerced(&statement, params)?;
        self.expect_end_of_batch();
        self.result_of(&statement, &params).await
    }

    /// Values of the program's types as values of the types that the statement wants.
    fn coerced(
        &self,
        statement: &PreparedStatement,
        params: &[Value],
    ) -> Result<Arc<[Value]>, Report> {
        let wanted = statement.params();
        if wanted.len() != params.len() {
            return Err(Report::error(
                codes::UNDEFINED_PARAMETER,
                format!(
                    "the statement has {} parameters, {} given",
                    wanted.len(),
                    params.len()
                ),
            ));
        }
        let coerced: Result<Vec<Value>, Report> = params
            .iter()
            .zip(wanted)
            .map(|(value, wanted)| {
                let from = value.natural_type();
                coerce::to_column(
                    value.clone(),
                    &from,
                    wanted,
                    CastKind::Assignment,
                    self.format(),
                )
                .map_err(|error| error.report())
            })
            .collect();
        Ok(coerced?.into())
    }

    async fn result_of(
        &mut self,
        statement: &Arc<PreparedStatement>,
        params: &Arc<[Value]>,
    ) -> Result<ResultSet, Report> {
        match self.execute(statement, params).await? {
            Outcome::Empty => Ok(self.result(CommandTag::new(""))),
            Outcome::Command(tag) => Ok(self.result(tag)),
            Outcome::Rows(rows) => self.collect(rows).await,
            Outcome::CopyIn(_) | Outcome::CopyOut(_) => {
                self.fail();
                Err(Report::unsupported(
                    "COPY needs a protocol that carries its data",
                ))
            }
        }
    }

    async fn collect(&mut self, mut rows: Rows) -> Result<ResultSet, Report> {
        let mut collected = Vec::new();
        while let Some(batch) = self.next_rows(&mut rows).await? {
            for row in 0..batch.rows() {
                collected.push(
                    (0..batch.columns())
                        .map(|column| batch.value(row, column).to_owned())
                        .collect(),
                );
            }
        }
        let columns = rows
            .columns()
            .iter()
            .map(|column| (column.name.clone(), column.sql_type.clone()))
            .collect();
        let mut result = self.result(rows.tag(collected.len() as u64));
        result.columns = columns;
        result.rows = collected;
        Ok(result)
    }

    fn result(&self, tag: CommandTag) -> ResultSet {
        ResultSet {
            columns: Vec::new(),
            rows: Vec::new(),
            tag: tag.to_string(),
            format: **self.format(),
        }
    }
}
