//! What executing a statement gives: rows, a command tag, or a copy in either direction.

use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::{Stream, StreamExt};
use tessera_planner::ColumnInfo;
use tessera_types::{Report, Value, ValueRef};

use crate::arrow_values::ColumnReader;
use crate::copy::{CopyIn, CopyOut};

/// What a statement gave.
pub enum Outcome {
    /// Rows, and a tag at their end.
    Rows(RowStream),
    /// No rows.
    Command(CommandTag),
    /// COPY … FROM STDIN waits for data.
    CopyIn(CopyIn),
    /// COPY … TO STDOUT gives data.
    CopyOut(CopyOut),
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::Rows(_) => "Rows",
            Outcome::Command(_) => "Command",
            Outcome::CopyIn(_) => "CopyIn",
            Outcome::CopyOut(_) => "CopyOut",
        })
    }
}

/// The end of a command: `INSERT 0 5`, `CREATE TABLE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandTag {
    /// Verb, such as `INSERT`.
    pub verb: Cow<'static, str>,
    /// Rows concerned, for verbs that count.
    pub rows: Option<u64>,
}

impl CommandTag {
    /// A tag without a count.
    pub fn new(verb: impl Into<Cow<'static, str>>) -> CommandTag {
        CommandTag {
            verb: verb.into(),
            rows: None,
        }
    }

    /// A tag with a count.
    pub fn counted(verb: impl Into<Cow<'static, str>>, rows: u64) -> CommandTag {
        CommandTag {
            verb: verb.into(),
            rows: Some(rows),
        }
    }
}

impl fmt::Display for CommandTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rows {
            Some(rows) if self.verb == "INSERT" => write!(f, "INSERT 0 {rows}"),
            Some(rows) => write!(f, "{} {rows}", self.verb),
            None => f.write_str(&self.verb),
        }
    }
}

/// Rows in batches. Dropping it ends the query.
pub struct RowStream {
    columns: Arc<[ColumnInfo]>,
    verb: Cow<'static, str>,
    batches: Batches,
}

enum Batches {
    /// All rows are here: the short path and DML with RETURNING. No task, no boxing.
    Ready(Option<RowBatch>),
    Stream(Pin<Box<dyn Stream<Item = Result<RowBatch, Report>> + Send>>),
}

impl RowStream {
    /// Rows that are all here already.
    pub fn ready(
        columns: Arc<[ColumnInfo]>,
        verb: impl Into<Cow<'static, str>>,
        batch: RowBatch,
    ) -> RowStream {
        RowStream {
            columns,
            verb: verb.into(),
            batches: Batches::Ready(Some(batch)),
        }
    }

    /// Rows that come as they are computed.
    pub fn streamed(
        columns: Arc<[ColumnInfo]>,
        verb: impl Into<Cow<'static, str>>,
        stream: impl Stream<Item = Result<RowBatch, Report>> + Send + 'static,
    ) -> RowStream {
        RowStream {
            columns,
            verb: verb.into(),
            batches: Batches::Stream(Box::pin(stream)),
        }
    }

    /// The columns of every batch.
    pub fn columns(&self) -> &Arc<[ColumnInfo]> {
        &self.columns
    }

    /// The next rows; `None` at the end. After an error there is nothing more.
    pub async fn next(&mut self) -> Option<Result<RowBatch, Report>> {
        match &mut self.batches {
            Batches::Ready(batch) => batch.take().map(Ok),
            Batches::Stream(stream) => stream.next().await,
        }
    }

    /// All rows are here already: `next` will not wait.
    pub fn is_ready(&self) -> bool {
        matches!(self.batches, Batches::Ready(_))
    }

    /// The tag for the end, when so many rows were returned.
    pub fn tag(&self, rows: u64) -> CommandTag {
        CommandTag::counted(self.verb.clone(), rows)
    }

    /// All rows as values. For tests, small internal queries and embedded use.
    pub async fn collect(mut self) -> Result<Vec<Vec<Value>>, Report> {
        let mut rows = Vec::new();
        while let Some(batch) = self.next().await {
            let batch = batch?;
            for row in 0..batch.rows() {
                rows.push(
                    (0..batch.columns())
                        .map(|c| batch.value(row, c).to_owned())
                        .collect(),
                );
            }
        }
        Ok(rows)
    }
}

/// Some rows.
#[derive(Clone)]
pub struct RowBatch(Rows);

#[derive(Clone)]
enum Rows {
    Values {
        rows: Vec<Vec<Value>>,
        columns: usize,
    },
    Arrow {
        rows: usize,
        columns: Vec<ColumnReader>,
    },
}

impl RowBatch {
    /// Rows as values.
    pub fn from_values(rows: Vec<Vec<Value>>, columns: usize) -> RowBatch {
        RowBatch(Rows::Values { rows, columns })
    }

    /// Rows of an Arrow batch, whose columns are of these SQL types.
    pub fn from_arrow(batch: &RecordBatch, columns: &[ColumnInfo]) -> Result<RowBatch, Report> {
        let readers = batch
            .columns()
            .iter()
            .zip(columns)
            .map(|(array, column)| ColumnReader::new(array, &column.sql_type))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(RowBatch(Rows::Arrow {
            rows: batch.num_rows(),
            columns: readers,
        }))
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        match &self.0 {
            Rows::Values { rows, .. } => rows.len(),
            Rows::Arrow { rows, .. } => *rows,
        }
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        match &self.0 {
            Rows::Values { columns, .. } => *columns,
            Rows::Arrow { columns, .. } => columns.len(),
        }
    }

    /// One value. Indexes are below `rows()` and `columns()`.
    pub fn value(&self, row: usize, column: usize) -> ValueRef<'_> {
        match &self.0 {
            Rows::Values { rows, .. } => rows[row][column].as_ref(),
            Rows::Arrow { columns, .. } => columns[column].value(row),
        }
    }

    /// About how many bytes its values take. Looks at every value.
    pub(crate) fn memory_bytes(&self) -> usize {
        let row_bytes = |row| {
            let values = (0..self.columns()).map(|column| self.value(row, column).to_owned());
            values.map(|value| value.memory_bytes()).sum::<usize>()
        };
        (0..self.rows()).map(row_bytes).sum()
    }
}
