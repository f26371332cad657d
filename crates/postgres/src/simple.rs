//! The simple query protocol: one message, one or more statements, one implicit transaction.

use std::sync::Arc;

use tessera_engine::{CommandTag, Outcome, PreparedStatement, Rows, Value};

use crate::backend;
use crate::connection::{Connection, End, Fault, drive};
use crate::frontend::Fields;
use crate::values::{self, RowFormat};

/// Rows encoded before the output buffer's size is looked at.
const ROWS_PER_STEP: usize = 256;

impl Connection {
    /// Query. Always ends with ReadyForQuery.
    pub(crate) async fn simple_query(&mut self, body: &[u8]) -> Result<(), End> {
        match self.statements(body).await {
            Ok(()) => {}
            Err(Fault::End(end)) => return Err(end),
            Err(Fault::Report(report)) => {
                self.answer_error(&report);
                // Nothing is left to commit; this only ends the batch.
                let _ = drive(&mut self.wire, &self.signals, self.session.end_of_batch()).await?;
            }
        }
        self.put_ready();
        Ok(())
    }

    async fn statements(&mut self, body: &[u8]) -> Result<(), Fault> {
        let mut fields = Fields::new(body);
        let sql = fields.text()?;
        fields.end()?;
        if let Some((statement, params)) = self.session.recognize(sql) {
            return self.statement(&statement, &params, true).await;
        }
        let sources = self.session.split(sql)?;
        if sources.is_empty() {
            backend::empty_query(&mut self.wire.out);
            drive(&mut self.wire, &self.signals, self.session.end_of_batch()).await??;
            return Ok(());
        }
        let params: Arc<[Value]> = Arc::from([]);
        for (at, source) in sources.iter().enumerate() {
            let statement = self.session.prepare(Some(source), &[])?;
            self.statement(&statement, &params, at + 1 == sources.len())
                .await?;
        }
        Ok(())
    }

    /// Runs one statement and answers it. The last one's transaction is committed before its
    /// CommandComplete: the client must not be told what may still fail.
    async fn statement(
        &mut self,
        statement: &Arc<PreparedStatement>,
        params: &Arc<[Value]>,
        is_last: bool,
    ) -> Result<(), Fault> {
        if is_last {
            self.session.expect_end_of_batch();
        }
        let executing = self.session.execute(statement, params);
        let outcome = drive(&mut self.wire, &self.signals, executing).await??;
        let tag = match outcome {
            Outcome::Empty => None,
            Outcome::Command(tag) => Some(tag),
            Outcome::Rows(rows) => Some(self.all_rows(rows).await?),
            Outcome::CopyIn(copy) => Some(self.copy_in(copy).await?),
            Outcome::CopyOut(copy) => Some(self.copy_out(copy).await?),
        };
        if is_last {
            drive(&mut self.wire, &self.signals, self.session.end_of_batch()).await??;
        }
        self.put_notices();
        match tag {
            Some(tag) => backend::command_complete(&mut self.wire.out, &tag),
            None => backend::empty_query(&mut self.wire.out),
        }
        Ok(())
    }

    async fn all_rows(&mut self, mut rows: Rows) -> Result<CommandTag, Fault> {
        let columns = rows.columns().clone();
        values::describe(&mut self.wire.out, &columns, &[]);
        let context = self.session.format().clone();
        let names = self.session.oid_names(&columns);
        let format = RowFormat {
            columns: &columns,
            formats: &[],
            context: &context,
            names,
        };
        let mut count = 0;
        loop {
            let next = self.session.next_rows(&mut rows);
            let Some(batch) = drive(&mut self.wire, &self.signals, next).await?? else {
                break;
            };
            count += batch.rows() as u64;
            let mut at = 0;
            while at < batch.rows() {
                let end = batch.rows().min(at + ROWS_PER_STEP);
                values::rows(&mut self.wire.out, &batch, at..end, &format)?;
                at = end;
                self.wire.flush_if_full().await?;
            }
        }
        Ok(rows.tag(count))
    }
}
