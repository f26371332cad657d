//! COPY TO STDOUT.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::sql::sqlparser::ast;
use tessera_catalog::Relation;
use tessera_codec::copy::{CopyEncoder, CopyFormat};
use tessera_planner::ddl::relation_name;
use tessera_planner::dml::column_positions;
use tessera_planner::{ColumnInfo, Parsed, Statement};
use tessera_storage::Snapshot;
use tessera_tables::{RowScan, ScanSpec, Table, rows_range};
use tessera_types::{FormatContext, Report, SqlType, ValueRef, codes};

use crate::context::{SessionContext, StatementContext};
use crate::dml::expr::Compiler;
use crate::dml::insert::prepare_query;
use crate::executor::Executor;
use crate::outcome::{Outcome, RowStream};
use crate::query::{self, PreparedQuery};

use super::options::Options;

/// Bytes that one piece of output has at least, but for the last one.
const PIECE_BYTES: usize = 64 << 10;

/// A planned COPY TO.
pub(crate) struct CopyTo {
    source: Source,
    format: CopyFormat,
    names: Vec<String>,
    types: Arc<[SqlType]>,
}

enum Source {
    /// The rows of a table, in key order.
    Table {
        table: Arc<Table>,
        columns: Arc<[usize]>,
    },
    Query(Box<PreparedQuery>),
}

impl CopyTo {
    pub(super) fn plan(
        executor: &Executor,
        session: &Arc<SessionContext>,
        source: &ast::CopySource,
        options: Options,
    ) -> Result<CopyTo, Report> {
        let mut params = Vec::new();
        let mut compiler = Compiler {
            executor,
            session,
            params: &mut params,
            scalars_only: false,
            with: None,
        };
        let (source, names, types) = match source {
            ast::CopySource::Query(query) => of_query(&mut compiler, query)?,
            ast::CopySource::Table {
                table_name,
                columns,
            } => {
                let name = relation_name(table_name)?;
                let is_system = matches!(
                    name.schema.as_deref(),
                    Some("pg_catalog" | "information_schema")
                );
                let relation = if is_system {
                    None
                } else {
                    Some(compiler.names().relation(&name)?)
                };
                match relation {
                    Some(Relation::Table(def)) => {
                        tessera_catalog::refusal::check_is_rows(&def)?;
                        let positions = column_positions(&def, columns)?;
                        let names = positions.iter().map(|at| def.columns[*at].name.clone());
                        let types = positions.iter().map(|at| def.columns[*at].sql_type.clone());
                        let (names, types) = (names.collect(), types.collect());
                        let table = executor.writes().table(&def);
                        (
                            Source::Table {
                                table,
                                columns: positions.into(),
                            },
                            names,
                            types,
                        )
                    }
                    Some(Relation::View(view)) => {
                        return Err(Report::error(
                            codes::WRONG_OBJECT_TYPE,
                            format!("cannot copy from view \"{}\"", view.name),
                        )
                        .with_hint("Try the COPY (SELECT ...) TO variant."));
                    }
                    Some(other) => {
                        return Err(Report::error(
                            codes::WRONG_OBJECT_TYPE,
                            format!("cannot copy from {} \"{}\"", other.kind(), other.name()),
                        ));
                    }
                    None => {
                        let list = match columns.as_slice() {
                            [] => "*".to_owned(),
                            list => list
                                .iter()
                                .map(ToString::to_string)
                                .collect::<Vec<_>>()
                                .join(", "),
                        };
                        let parsed =
                            tessera_planner::parse(&format!("SELECT {list} FROM {table_name}"))?;
                        let Some(Parsed {
                            statement: Statement::Query(query),
                            ..
                        }) = parsed.first()
                        else {
                            return Err(Report::internal("a SELECT is not a query"));
                        };
                        of_query(&mut compiler, query)?
                    }
                }
            }
        };
        let format = options.format_for(&names)?;
        Ok(CopyTo {
            source,
            format,
            names,
            types,
        })
    }
}

fn of_query(
    compiler: &mut Compiler<'_>,
    query: &ast::Query,
) -> Result<(Source, Vec<String>, Arc<[SqlType]>), Report> {
    let prepared = prepare_query(compiler, query)?;
    if !compiler.params.is_empty() {
        return Err(Report::error(
            codes::UNDEFINED_PARAMETER,
            "COPY cannot contain parameters",
        ));
    }
    let columns: &Arc<[ColumnInfo]> = prepared.columns();
    let names = columns.iter().map(|column| column.name.clone()).collect();
    let types = columns
        .iter()
        .map(|column| column.sql_type.clone())
        .collect();
    Ok((Source::Query(Box::new(prepared)), names, types))
}

/// A running COPY TO: gives data in pieces.
pub struct CopyOut {
    context: StatementContext,
    format: Arc<FormatContext>,
    is_binary: bool,
    types: Arc<[SqlType]>,
    encoder: CopyEncoder,
    rows: Rows,
    count: u64,
    stage: Stage,
}

enum Rows {
    Table {
        scan: RowScan,
        table: Arc<Table>,
        columns: Arc<[usize]>,
    },
    Query(RowStream),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    Rows,
    Over,
}

impl CopyOut {
    pub(super) async fn start(
        executor: &Executor,
        plan: &CopyTo,
        context: &StatementContext,
    ) -> Result<CopyOut, Report> {
        let rows = match &plan.source {
            Source::Table { table, columns } => {
                let view: Arc<dyn Snapshot> = context.view()?.clone();
                let scan = RowScan::new(view, rows_range(table), ScanSpec::default());
                Rows::Table {
                    scan,
                    table: Arc::clone(table),
                    columns: Arc::clone(columns),
                }
            }
            Source::Query(query) => match query::execute(executor, query, context).await? {
                Outcome::Rows(stream) => Rows::Query(stream),
                _ => return Err(Report::internal("the query of COPY gave no rows")),
            },
        };
        Ok(CopyOut {
            context: context.clone(),
            format: Arc::clone(&context.session.format),
            is_binary: plan.format == CopyFormat::Binary,
            types: Arc::clone(&plan.types),
            encoder: CopyEncoder::new(plan.format.clone(), plan.names.clone()),
            rows,
            count: 0,
            stage: Stage::Header,
        })
    }

    /// Whether the data is in the binary format.
    pub fn is_binary(&self) -> bool {
        self.is_binary
    }

    /// Number of columns in the data.
    pub fn columns(&self) -> usize {
        self.types.len()
    }

    /// Rows given so far.
    pub fn rows(&self) -> u64 {
        self.count
    }

    /// The next piece of data; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes, Report>> {
        let mut out = Vec::with_capacity(PIECE_BYTES + (PIECE_BYTES >> 2));
        while self.stage != Stage::Over && out.len() < PIECE_BYTES {
            if let Err(report) = self.step(&mut out).await {
                self.stage = Stage::Over;
                return Some(Err(report));
            }
        }
        if out.is_empty() {
            None
        } else {
            Some(Ok(Bytes::from(out)))
        }
    }

    async fn step(&mut self, out: &mut Vec<u8>) -> Result<(), Report> {
        if self.stage == Stage::Header {
            self.encoder.header(out);
            self.stage = Stage::Rows;
        }
        self.context.check_cancelled()?;
        let types = &self.types;
        match &mut self.rows {
            Rows::Table {
                scan,
                table,
                columns,
            } => {
                if let Some(batch) = scan.next_batch().await? {
                    self.count += batch.len() as u64;
                    let mut values: Vec<ValueRef<'_>> = Vec::with_capacity(columns.len());
                    for stored in &batch {
                        let row = table.read(&stored.value)?;
                        values.clear();
                        for at in columns.iter() {
                            values.push(row.get(*at)?);
                        }
                        let pairs = values.drain(..).zip(types.iter());
                        self.encoder.row(pairs, &self.format, out);
                    }
                    return Ok(());
                }
            }
            Rows::Query(stream) => {
                if let Some(batch) = stream.next().await {
                    let batch = batch?;
                    self.count += batch.rows() as u64;
                    for at in 0..batch.rows() {
                        let values = (0..batch.columns()).map(|column| batch.value(at, column));
                        self.encoder
                            .row(values.zip(types.iter()), &self.format, out);
                    }
                    return Ok(());
                }
            }
        }
        self.encoder.trailer(out);
        self.stage = Stage::Over;
        Ok(())
    }
}
