//! COPY FROM STDIN.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::sql::sqlparser::ast;
use tessera_codec::copy::{CopyDecoder, CopyFormat, CopyRow};
use tessera_planner::dml::column_positions;
use tessera_tables::{OnConflict, Row, Table, Writer, WriterState};
use tessera_transactions::StatementGuard;
use tessera_types::{FormatContext, Report, SqlType, Value, codes};

use crate::context::{SessionContext, StatementContext};
use crate::dml::expr::{Around, Compiler};
use crate::dml::insert::generated_always;
use crate::dml::rules::{BoundRules, RowRules};
use crate::dml::target;
use crate::executor::Executor;
use crate::outcome::CommandTag;

use super::options::Options;

/// Rows after which the whole table is locked if nobody else uses it: from there on rows need
/// neither locks nor, in ascending order, a look whether their keys are taken.
const ROWS_FOR_TABLE_LOCK: u64 = 1_000;
/// Rows between two looks at the cancel token.
const ROWS_PER_CHECK: u64 = 1_024;

/// A planned COPY FROM.
pub(crate) struct CopyFrom {
    table: Arc<Table>,
    /// Positions of the copied columns, in the order of the data.
    columns: Vec<usize>,
    /// Positions of the other columns, which get their default.
    others: Vec<usize>,
    format: CopyFormat,
    rules: Arc<RowRules>,
}

impl CopyFrom {
    pub(super) fn plan(
        executor: &Executor,
        session: &Arc<SessionContext>,
        source: &ast::CopySource,
        options: Options,
    ) -> Result<CopyFrom, Report> {
        let ast::CopySource::Table {
            table_name,
            columns,
        } = source
        else {
            return Err(Report::error(
                codes::SYNTAX_ERROR,
                "COPY FROM takes a table",
            ));
        };
        let mut params = Vec::new();
        let mut compiler = Compiler {
            executor,
            session,
            params: &mut params,
            scalars_only: false,
            with: None,
        };
        let def = compiler.names().target(table_name, "copy to")?;
        let Some(rules) = executor.writes().rules(&mut compiler, &def)? else {
            return Err(Report::internal("the rules of a table were not compiled"));
        };
        let mut positions = column_positions(&def, columns)?;
        if columns.is_empty() {
            positions.retain(|at| !rules.is_generated(*at));
        } else if let Some(at) = positions.iter().find(|at| rules.is_generated(**at)) {
            return Err(generated_always(&def.columns[*at], false, "insert"));
        }
        let names: Vec<String> = positions
            .iter()
            .map(|at| def.columns[*at].name.clone())
            .collect();
        let format = options.format_for(&names)?;
        let others = (0..def.columns.len())
            .filter(|at| !positions.contains(at) && !rules.is_generated(*at))
            .collect();
        let table = executor.writes().table(&def);
        Ok(CopyFrom {
            table,
            columns: positions,
            others,
            format,
            rules,
        })
    }

    fn decoder(&self) -> CopyDecoder {
        let def = self.table.def();
        let names = self
            .columns
            .iter()
            .map(|at| def.columns[*at].name.clone())
            .collect();
        CopyDecoder::new(self.format.clone(), names)
    }
}

/// A running COPY FROM: takes data in pieces of any size.
///
/// Dropped before [`CopyIn::finish`] it undoes everything it wrote.
pub struct CopyIn {
    executor: Executor,
    plan: Arc<CopyFrom>,
    context: StatementContext,
    decoder: CopyDecoder,
    state: Option<WriterState>,
    /// The statement of its own; begun with the first data, when the executor's has ended.
    guard: Option<StatementGuard>,
    rows: u64,
}

impl CopyIn {
    pub(super) async fn start(
        executor: &Executor,
        plan: &Arc<CopyFrom>,
        context: &StatementContext,
    ) -> Result<CopyIn, Report> {
        let writer = target::open(executor, context, &plan.table).await?;
        let state = Some(writer.suspend());
        Ok(CopyIn {
            executor: executor.clone(),
            plan: Arc::clone(plan),
            context: context.clone(),
            decoder: plan.decoder(),
            state,
            guard: None,
            rows: 0,
        })
    }

    /// Whether the data is in the binary format.
    pub fn is_binary(&self) -> bool {
        self.plan.format == CopyFormat::Binary
    }

    /// Number of columns in the data.
    pub fn columns(&self) -> usize {
        self.plan.columns.len()
    }

    /// Takes some bytes and inserts the rows that are complete.
    pub async fn push(&mut self, data: Bytes) -> Result<(), Report> {
        self.decoder.feed(&data);
        self.drain().await
    }

    /// Inserts the rest and ends the statement.
    pub async fn finish(mut self) -> Result<CommandTag, Report> {
        self.decoder.finish();
        self.drain().await?;
        if let Some(guard) = self.guard.take() {
            let rows = i64::try_from(self.rows).unwrap_or(i64::MAX);
            target::note_rows(&self.executor, &self.context, self.plan.table.id(), rows);
            guard.finish();
        }
        Ok(CommandTag::counted("COPY", self.rows))
    }

    async fn drain(&mut self) -> Result<(), Report> {
        if self.guard.is_none() {
            let guard = self
                .context
                .txn
                .start_statement()
                .await
                .map_err(|e| e.report())?;
            self.guard = Some(guard);
            self.context.view = Some(self.context.txn.view());
        }
        let plan = Arc::clone(&self.plan);
        let locks = target::lock_options(&self.context);
        let state = self.state.take().unwrap_or_default();
        let row_ids = &self.executor.writes().row_ids;
        let mut load = Load {
            plan: &plan,
            context: &self.context,
            writer: Writer::resume(&self.context.txn, &plan.table, row_ids, locks, state),
            rules: plan.rules.bind(&self.executor, &self.context)?,
            around: Around::new(&self.executor, &self.context),
            format: &self.context.session.format,
            rows: &mut self.rows,
        };
        load.run(&mut self.decoder).await?;
        self.state = Some(load.writer.suspend());
        Ok(())
    }
}

/// The insertion of what one piece of data holds.
struct Load<'a> {
    plan: &'a CopyFrom,
    context: &'a StatementContext,
    writer: Writer<'a>,
    rules: BoundRules<'a>,
    around: Around<'a>,
    format: &'a FormatContext,
    rows: &'a mut u64,
}

impl Load<'_> {
    async fn run(&mut self, decoder: &mut CopyDecoder) -> Result<(), Report> {
        let def = self.plan.table.def();
        let width = def.columns.len();
        loop {
            let mut row = match decoder.next_row() {
                Ok(Some(fields)) => self.decode(&fields, width)?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(error.report(&def.name)),
            };
            for at in &self.plan.others {
                row[*at] = self.rules.default(*at, &self.around).await?;
            }
            self.insert(row)
                .await
                .map_err(|report| self.placed(report, decoder.line()))?;
        }
    }

    fn decode(&self, fields: &CopyRow<'_>, width: usize) -> Result<Row, Report> {
        let def = self.plan.table.def();
        let mut row = vec![Value::Null; width];
        for (field, at) in self.plan.columns.iter().enumerate() {
            let sql_type = &def.columns[*at].sql_type;
            // The commonest case first; the type's input function reads all others.
            row[*at] = match (sql_type, self.plan.format != CopyFormat::Binary) {
                (SqlType::Integer, true) => match fields.field(field).and_then(small_integer) {
                    Some(number) => Value::Integer(number),
                    None => self.decode_field(fields, field, sql_type)?,
                },
                _ => self.decode_field(fields, field, sql_type)?,
            };
        }
        Ok(row)
    }

    fn decode_field(
        &self,
        fields: &CopyRow<'_>,
        field: usize,
        sql_type: &SqlType,
    ) -> Result<Value, Report> {
        fields
            .value(field, sql_type, self.format)
            .map_err(|error| error.report(&self.plan.table.def().name))
    }

    async fn insert(&mut self, mut row: Row) -> Result<(), Report> {
        *self.rows += 1;
        if *self.rows % ROWS_PER_CHECK == 0 {
            self.context.check_cancelled()?;
        }
        if *self.rows == ROWS_FOR_TABLE_LOCK {
            self.writer.try_exclusive().await?;
        }
        self.rules
            .complete(&self.plan.table, &mut row, &self.around)?;
        if self.writer.is_exclusive() {
            // Nothing is waited for but the disk.
            self.writer.insert(&row, OnConflict::Error).await?;
            return Ok(());
        }
        let insert = self.writer.insert(&row, OnConflict::Error);
        target::cancellable(self.context, async { Ok(insert.await?) }).await?;
        Ok(())
    }

    fn placed(&self, report: Report, line: u64) -> Report {
        if report.context.is_some() {
            return report;
        }
        let place = format!("COPY {}, line {line}", self.plan.table.def().name);
        report.with_context(place)
    }
}

/// An integer of at most nine plain digits.
fn small_integer(field: &[u8]) -> Option<i32> {
    let (is_negative, digits) = match field {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    let mut number = 0_i32;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + i32::from(digit - b'0');
    }
    Some(if is_negative { -number } else { number })
}
