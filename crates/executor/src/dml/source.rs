//! The rows that an UPDATE or DELETE is about: found by key or range, or by a query.

use std::sync::Arc;

use tessera_codec::key::Order;
use tessera_planner::short_path::access::{Access, KeyValue};
use tessera_planner::short_path::scalar::Scalar;
use tessera_storage::{KeyRange, ReadFilter, Snapshot};
use tessera_tables::{
    Bounds, Index, IndexScan, RowScan, ScanSpec, Stored, Table, get, get_by_index, key_range,
    rows_range,
};
use tessera_transactions::TxnView;
use tessera_types::{CastKind, FormatContext, RelationId, Report, SqlType, Value};

use crate::context::StatementContext;
use crate::short_path::eval::{NoColumns, Surroundings, evaluate, truth};

/// Rows found by an access path, in batches.
pub(crate) enum Rows {
    One(Option<Stored>),
    Table(RowScan),
    Index(IndexScan),
}

impl Rows {
    /// Opens an access path.
    pub(crate) async fn open<S: Surroundings>(
        view: &Arc<TxnView>,
        table: &Arc<Table>,
        access: &Access,
        rows_wanted: Option<usize>,
        around: &S,
    ) -> Result<Rows, Report> {
        // Rows may fail the filter, so this only sizes the batches.
        let bytes_max = rows_wanted.map(|rows| rows.saturating_mul(256).clamp(4 << 10, 256 << 10));
        let spec = ScanSpec {
            reverse: false,
            row_limit: None,
            bytes_max,
        };
        Ok(match access {
            Access::Full => {
                let view: Arc<dyn Snapshot> = view.clone();
                Rows::Table(RowScan::new(view, rows_range(table), spec))
            }
            Access::Point { index, key } => {
                Rows::One(point(view, table, *index, key, around).await?)
            }
            Access::Range {
                index,
                equal,
                lower,
                upper,
                reverse,
            } => {
                let spec = ScanSpec {
                    reverse: *reverse,
                    ..spec
                };
                let Some(bounds) = bounds(equal, lower.as_ref(), upper.as_ref(), around)? else {
                    return Ok(Rows::One(None));
                };
                let view: Arc<dyn Snapshot> = view.clone();
                match range_of(table, *index, &bounds)? {
                    (range, None) => Rows::Table(RowScan::new(view, range, spec)),
                    (range, Some(index)) => {
                        Rows::Index(IndexScan::new(view, table, index, range, spec))
                    }
                }
            }
        })
    }

    /// The next rows; `None` at the end.
    pub(crate) async fn next_batch(&mut self) -> Result<Option<Vec<Stored>>, Report> {
        Ok(match self {
            Rows::One(row) => row.take().map(|row| vec![row]),
            Rows::Table(scan) => scan.next_batch().await?,
            Rows::Index(scan) => scan.next_batch().await?,
        })
    }
}

/// The view for rows of which only those that pass the filter are wanted: to a serializable
/// transaction, changes of others do not matter.
pub(crate) fn refined(
    context: &StatementContext,
    table: &Arc<Table>,
    access: &Access,
    filter: Option<&Scalar>,
) -> Result<Arc<TxnView>, Report> {
    let view = context.view()?;
    let reads_rows = match access {
        Access::Full => true,
        Access::Range { index, .. } => table.def().primary_key == Some(*index),
        Access::Point { .. } => false,
    };
    let filter = filter.filter(|filter| reads_rows && !filter.is_volatile());
    let Some(filter) = filter.filter(|_| view.records_reads()) else {
        return Ok(view.clone());
    };
    let (filter, table, at) = (filter.clone(), table.clone(), Fixed::of(context));
    let passes = move |row: Option<&[u8]>| {
        // What cannot be read or evaluated is for the statement to stumble on.
        row.is_some_and(|row| match table.read(row) {
            Ok(row) => !matches!(truth(&filter, &row, &at), Ok(Some(false) | None)),
            Err(_) => true,
        })
    };
    Ok(view.refined(ReadFilter::new(move |_, old, new| {
        passes(old) || passes(new)
    })))
}

/// What a filter needs of its statement, to be evaluated after it.
struct Fixed {
    params: Arc<[Value]>,
    format: Arc<FormatContext>,
    user: Arc<str>,
    transaction_micros: i64,
    statement_micros: i64,
}

impl Fixed {
    fn of(context: &StatementContext) -> Fixed {
        Fixed {
            params: context.params.clone(),
            format: context.session.format.clone(),
            user: context.session.user.clone(),
            transaction_micros: context.transaction_micros,
            statement_micros: context.statement_micros,
        }
    }
}

impl Surroundings for Fixed {
    fn params(&self) -> &[Value] {
        &self.params
    }

    fn format(&self) -> &FormatContext {
        &self.format
    }

    fn transaction_micros(&self) -> i64 {
        self.transaction_micros
    }

    fn clock_micros(&self) -> i64 {
        self.statement_micros
    }

    fn user(&self) -> &str {
        &self.user
    }

    fn next_value(&self, _: RelationId) -> Result<i64, Report> {
        Err(Report::internal("a filter of rows changes a sequence"))
    }

    fn random_uuid(&self) -> [u8; 16] {
        [0; 16]
    }
}

/// The row of a point access.
pub(crate) async fn point<S: Surroundings>(
    view: &Arc<TxnView>,
    table: &Arc<Table>,
    index: RelationId,
    key: &[KeyValue],
    around: &S,
) -> Result<Option<Stored>, Report> {
    let mut values = Vec::with_capacity(key.len());
    for part in key {
        match key_value(part, around)? {
            Fit::Value(value) => values.push(value),
            Fit::Null | Fit::Below | Fit::Above | Fit::Nothing => return Ok(None),
        }
    }
    if table.def().primary_key == Some(index) {
        let key = table.key_of_values(&values)?;
        return Ok(get(&**view, &key).await?);
    }
    let Some(index) = table.index(index) else {
        return Err(Report::internal("the plan's index is gone"));
    };
    Ok(get_by_index(&**view, table, index, &values).await?)
}

fn range_of<'t>(
    table: &'t Table,
    index: RelationId,
    bounds: &Bounds,
) -> Result<(KeyRange, Option<&'t Index>), Report> {
    if table.def().primary_key == Some(index) {
        return Ok((
            key_range(table.def().storage, table.key_orders(), bounds),
            None,
        ));
    }
    let Some(index) = table.index(index) else {
        return Err(Report::internal("the plan's index is gone"));
    };
    let orders: &[Order] = &index.orders;
    Ok((key_range(index.def.storage, orders, bounds), Some(index)))
}

/// How a value fits a column's type.
enum Fit {
    Value(Value),
    /// NULL: equal to nothing, above and below nothing.
    Null,
    /// Smaller than every value of the type.
    Below,
    /// Greater than every value of the type.
    Above,
    /// Equal to no value of the type.
    Nothing,
}

fn bounds<S: Surroundings>(
    equal: &[KeyValue],
    lower: Option<&(KeyValue, bool)>,
    upper: Option<&(KeyValue, bool)>,
    around: &S,
) -> Result<Option<Bounds>, Report> {
    let mut bounds = Bounds::default();
    for part in equal {
        match key_value(part, around)? {
            Fit::Value(value) => bounds.equal.push(value),
            Fit::Null | Fit::Below | Fit::Above | Fit::Nothing => return Ok(None),
        }
    }
    if let Some((part, included)) = lower {
        match key_value(part, around)? {
            Fit::Value(value) => bounds.lower = Some((value, *included)),
            Fit::Below => {}
            Fit::Null | Fit::Above | Fit::Nothing => return Ok(None),
        }
    }
    if let Some((part, included)) = upper {
        match key_value(part, around)? {
            Fit::Value(value) => bounds.upper = Some((value, *included)),
            Fit::Above => {}
            Fit::Null | Fit::Below | Fit::Nothing => return Ok(None),
        }
    }
    Ok(Some(bounds))
}

fn key_value<S: Surroundings>(part: &KeyValue, around: &S) -> Result<Fit, Report> {
    let value = evaluate(&part.scalar, &NoColumns, around)?;
    let integer = |low: i64, high: i64, make: fn(i64) -> Value| match value.as_i64() {
        Some(n) if n < low => Fit::Below,
        Some(n) if n > high => Fit::Above,
        Some(n) => Fit::Value(make(n)),
        None => Fit::Nothing,
    };
    Ok(match (&value, &part.sql_type) {
        (Value::Null, _) => Fit::Null,
        (_, SqlType::SmallInt) => integer(i16::MIN.into(), i16::MAX.into(), |n| {
            Value::SmallInt(n as i16)
        }),
        (_, SqlType::Integer) => integer(i32::MIN.into(), i32::MAX.into(), |n| {
            Value::Integer(n as i32)
        }),
        (_, SqlType::BigInt) => integer(i64::MIN, i64::MAX, Value::BigInt),
        (Value::Text(text), SqlType::Char(length)) => {
            let wanted = usize::try_from(*length).unwrap_or(usize::MAX);
            let trimmed = text.trim_end_matches(' ');
            let characters = trimmed.chars().count();
            if *length == 0 {
                return Ok(Fit::Value(Value::text(trimmed)));
            }
            if characters > wanted {
                return Ok(Fit::Nothing);
            }
            let mut padded = String::with_capacity(trimmed.len() + wanted - characters);
            padded.push_str(trimmed);
            padded.extend(std::iter::repeat_n(' ', wanted - characters));
            Fit::Value(Value::text(padded))
        }
        _ => Fit::Value(value),
    })
}

/// Casts a value that a query gave to a column's type.
pub(crate) fn assign(
    value: Value,
    from: &SqlType,
    to: &SqlType,
    around: &impl Surroundings,
) -> Result<Value, Report> {
    crate::short_path::eval::convert(value, from, to, CastKind::Assignment, around.format())
}
