//! Which part of a table a filter needs: keys, key ranges, an index, or all of it.
//!
//! Filters are conjunctions of comparisons between a column and a constant. For the primary key
//! and each index, the leading columns with equality (or a short list) make up prefixes, and the
//! next column may have limits. The cheapest by estimated rows wins; a row found through an
//! index costs more than one that is scanned.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{Expr, Operator};
use tessera_catalog::TableStatistics;
use tessera_codec::key::Order;
use tessera_planner::arrow_types::data_type_of;
use tessera_planner::by_value::argument_of;
use tessera_planner::scalar;
use tessera_storage::{Key, KeyRange, ReadFilter};
use tessera_tables::{Bounds, Table, key_range};
use tessera_types::{RelationId, SqlType, Value};

use crate::operators::in_set;
use crate::scan::ROW_KEY;

/// Combinations of list values in one access path.
const RANGES_MAX: usize = 10_000;

/// What reading a row through an index costs, against scanning one.
const INDEX_ROW_COST: f64 = 4.0;

/// What opening one range costs.
const RANGE_COST: f64 = 3.0;

/// Share of rows that an equality keeps when nothing is known.
const EQUAL_SHARE: f64 = 0.005;

/// Share of rows that one limit keeps.
const LIMIT_SHARE: f64 = 0.3;

/// Share of rows that a lower and an upper limit keep.
const BOTH_LIMITS_SHARE: f64 = 0.05;

/// How a table is read.
#[derive(Debug, Clone)]
pub(crate) enum Access {
    /// The filter excludes every row.
    Nothing,
    /// All rows.
    Table,
    /// Rows of these keys.
    Keys(Arc<[Key]>),
    /// Ranges of the primary key (`None`) or of an index, ascending and disjoint.
    Ranges {
        index: Option<RelationId>,
        ranges: Arc<[KeyRange]>,
    },
}

/// The access path of a scan.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    pub(crate) access: Access,
    /// Estimated rows that it gives.
    pub(crate) rows: f64,
    /// Name of the index, or of the primary key.
    pub(crate) index_name: Option<String>,
    /// The conditions that it makes use of, for EXPLAIN.
    pub(crate) condition: Option<String>,
    /// Which changes of rows may matter to a serializable reader, when not all do.
    pub(crate) read_filter: Option<ReadFilter>,
}

/// Whether a filter may help to choose: it compares one column with constants.
///
/// A parameter of a subquery counts as a constant: it is one when the scan is planned.
pub(crate) fn is_useful(table: &Table, filter: &Expr) -> bool {
    let assumed = filter.clone().transform_up(|expr| match &expr {
        Expr::Placeholder(placeholder) => {
            let value = match &placeholder.field {
                Some(field) => ScalarValue::new_default(field.data_type())?,
                None => return Ok(Transformed::no(expr)),
            };
            Ok(Transformed::yes(Expr::Literal(value, None)))
        }
        _ => Ok(Transformed::no(expr)),
    });
    assumed.is_ok_and(|assumed| condition(table, &assumed.data).is_some())
}

/// Chooses an access path for a conjunction of filters.
pub(crate) fn choose(
    table: &Table,
    filters: &[Expr],
    rows: f64,
    statistics: Option<&TableStatistics>,
) -> Chosen {
    let conditions: Vec<Condition> = filters
        .iter()
        .flat_map(split)
        .filter_map(|filter| condition(table, filter))
        .collect();
    if conditions
        .iter()
        .any(|c| matches!(&c.test, Test::In(values) if values.is_empty()))
    {
        return Chosen {
            access: Access::Nothing,
            rows: 0.0,
            index_name: None,
            condition: Some("never".to_owned()),
            read_filter: None,
        };
    }
    let all = Chosen {
        access: Access::Table,
        rows,
        index_name: None,
        condition: None,
        read_filter: None,
    };
    if let Some(chosen) = by_row_key(&conditions) {
        return chosen;
    }
    let mut best = all;
    let mut best_cost = rows;
    if let Some(primary) = table.def().primary_key_index() {
        let path = Path {
            index: None,
            name: &primary.name,
            storage: table.def().storage,
            positions: table.key_positions(),
            orders: table.key_orders(),
            unique: true,
        };
        consider(
            table,
            &path,
            &conditions,
            rows,
            statistics,
            &mut best,
            &mut best_cost,
        );
    }
    for index in table.indexes() {
        let path = Path {
            index: Some(index.def.id),
            name: &index.def.name,
            storage: index.def.storage,
            positions: &index.positions,
            orders: &index.orders,
            unique: index.def.unique,
        };
        consider(
            table,
            &path,
            &conditions,
            rows,
            statistics,
            &mut best,
            &mut best_cost,
        );
    }
    best
}

/// Tells a serializable reader of rows which changes may matter: those of rows that pass all the
/// tests of the filters before the change or after it. `None` if all rows do.
pub(crate) fn read_filter(table: &Arc<Table>, filters: &[Expr]) -> Option<ReadFilter> {
    let width = table.def().columns.len();
    let conditions: Vec<Condition> = filters
        .iter()
        .flat_map(split)
        .filter_map(|filter| condition(table, filter))
        .filter(|condition| condition.column < width)
        .collect();
    if conditions.is_empty() {
        return None;
    }
    let table = Arc::clone(table);
    let passes = move |row: Option<&[u8]>| {
        // What cannot be read is for the reader to stumble on.
        row.is_some_and(|row| match table.read(row) {
            Ok(row) => conditions.iter().all(|c| {
                row.get(c.column)
                    .map_or(true, |v| c.test.passes(&v.to_owned()))
            }),
            Err(_) => true,
        })
    };
    Some(ReadFilter::new(move |_, old, new| {
        passes(old) || passes(new)
    }))
}

/// One test of one column.
struct Condition {
    /// Position of the column; the table's width for the row key.
    column: usize,
    test: Test,
    text: String,
}

enum Test {
    /// Equal to one of these; sorted, without NULLs and repetitions.
    In(Vec<Value>),
    Lower(Value, bool),
    Upper(Value, bool),
}

impl Test {
    /// Whether a row with this value passes; NULL passes no test.
    fn passes(&self, value: &Value) -> bool {
        if matches!(value, Value::Null) {
            return false;
        }
        match self {
            Test::In(values) => values
                .binary_search_by(|listed| listed.cmp_sql(value))
                .is_ok(),
            Test::Lower(limit, included) => {
                let order = value.cmp_sql(limit);
                order == Ordering::Greater || *included && order == Ordering::Equal
            }
            Test::Upper(limit, included) => {
                let order = value.cmp_sql(limit);
                order == Ordering::Less || *included && order == Ordering::Equal
            }
        }
    }
}

/// The parts of a conjunction.
fn split(expr: &Expr) -> Vec<&Expr> {
    datafusion::logical_expr::utils::split_conjunction(expr)
}

/// The filter as a test of one column.
fn condition(table: &Table, filter: &Expr) -> Option<Condition> {
    let (expr, test) = match filter {
        Expr::BinaryExpr(binary) => {
            let (left, right) = (argument_of(&binary.left), argument_of(&binary.right));
            let (column, literal, op) = match (left, right) {
                (column @ Expr::Column(_), Expr::Literal(value, _)) => (column, value, binary.op),
                (Expr::Literal(value, _), column @ Expr::Column(_)) => {
                    (column, value, binary.op.swap()?)
                }
                _ => return None,
            };
            let (_, sql_type) = column_of(table, column)?;
            if literal.is_null() {
                return test_text(table, column, Test::In(Vec::new()), filter);
            }
            let value = value_of(literal, &sql_type)?;
            let test = match op {
                Operator::Eq => Test::In(vec![value]),
                Operator::Lt => Test::Upper(value, false),
                Operator::LtEq => Test::Upper(value, true),
                Operator::Gt => Test::Lower(value, false),
                Operator::GtEq => Test::Lower(value, true),
                _ => return None,
            };
            (column, test)
        }
        Expr::InList(list) if !list.negated => {
            let column = argument_of(&list.expr);
            let (_, sql_type) = column_of(table, column)?;
            let literals: Option<Vec<&ScalarValue>> = list
                .list
                .iter()
                .map(|item| match item {
                    Expr::Literal(value, _) => Some(value),
                    _ => None,
                })
                .collect();
            (column, values_test(literals?.into_iter(), &sql_type)?)
        }
        Expr::ScalarFunction(call) => {
            let set = in_set::values_of(&call.func)?;
            let [column] = call.args.as_slice() else {
                return None;
            };
            let column = argument_of(column);
            let (_, sql_type) = column_of(table, column)?;
            (column, values_test(set.iter(), &sql_type)?)
        }
        _ => return None,
    };
    test_text(table, expr, test, filter)
}

fn test_text(table: &Table, column: &Expr, test: Test, filter: &Expr) -> Option<Condition> {
    let (position, _) = column_of(table, column)?;
    Some(Condition {
        column: position,
        test,
        text: crate::explain::expression_text(filter),
    })
}

/// A list as sorted values.
fn values_test<'a>(
    literals: impl Iterator<Item = &'a ScalarValue>,
    sql_type: &SqlType,
) -> Option<Test> {
    let mut values = Vec::new();
    for literal in literals.filter(|literal| !literal.is_null()) {
        values.push(value_of(literal, sql_type)?);
    }
    values.sort_by(Value::cmp_sql);
    values.dedup_by(|a, b| a.cmp_sql(b) == Ordering::Equal);
    Some(Test::In(values))
}

/// Position and type of a column of the table.
fn column_of(table: &Table, expr: &Expr) -> Option<(usize, SqlType)> {
    let Expr::Column(column) = expr else {
        return None;
    };
    if column.name == ROW_KEY {
        return Some((table.def().columns.len(), SqlType::Bytea));
    }
    let position = table
        .def()
        .columns
        .iter()
        .position(|c| c.name == column.name)?;
    Some((position, table.def().columns[position].sql_type.clone()))
}

/// A literal as a value of the column's type, when it has that type exactly.
fn value_of(literal: &ScalarValue, sql_type: &SqlType) -> Option<Value> {
    let wanted = data_type_of(sql_type);
    let same = literal.data_type() == wanted;
    if !same && !matches!(sql_type, SqlType::Numeric(_)) {
        return None;
    }
    scalar::from_scalar(literal, sql_type).ok()
}

/// `row_key = '\x…'`: one row.
fn by_row_key(conditions: &[Condition]) -> Option<Chosen> {
    conditions.iter().find_map(|condition| {
        let Test::In(values) = &condition.test else {
            return None;
        };
        let keys: Option<Vec<Key>> = values
            .iter()
            .map(|value| match value {
                Value::Bytea(bytes) if condition.text.contains(ROW_KEY) => {
                    Some(Key::copy_from_slice(bytes))
                }
                _ => None,
            })
            .collect();
        let keys = keys?;
        Some(Chosen {
            rows: keys.len() as f64,
            access: Access::Keys(keys.into()),
            index_name: None,
            condition: Some("row key".to_owned()),
            read_filter: None,
        })
    })
}

/// A key that can be read by ranges.
struct Path<'a> {
    index: Option<RelationId>,
    name: &'a str,
    storage: RelationId,
    positions: &'a [usize],
    orders: &'a [Order],
    unique: bool,
}

fn consider(
    table: &Table,
    path: &Path<'_>,
    conditions: &[Condition],
    rows: f64,
    statistics: Option<&TableStatistics>,
    best: &mut Chosen,
    best_cost: &mut f64,
) {
    let mut prefixes: Vec<Vec<Value>> = vec![Vec::new()];
    let mut texts: Vec<&str> = Vec::new();
    let mut share = 1.0;
    let mut equal_columns = 0;
    let mut lower: Option<(Value, bool)> = None;
    let mut upper: Option<(Value, bool)> = None;
    for (depth, position) in path.positions.iter().enumerate() {
        let of_column = || conditions.iter().filter(|c| c.column == *position);
        let equal = of_column().find_map(|c| match &c.test {
            Test::In(values) if prefixes.len() * values.len() <= RANGES_MAX => {
                Some((values, &c.text))
            }
            _ => None,
        });
        if let Some((values, text)) = equal {
            prefixes = prefixes
                .iter()
                .flat_map(|prefix| {
                    values.iter().map(move |value| {
                        let mut longer = prefix.clone();
                        longer.push(value.clone());
                        longer
                    })
                })
                .collect();
            texts.push(text);
            share *= values.len() as f64 * equal_share(table, *position, rows, statistics);
            equal_columns = depth + 1;
            continue;
        }
        for c in of_column() {
            match &c.test {
                Test::Lower(value, included) => {
                    let tighter = lower.as_ref().is_none_or(|(v, i)| match value.cmp_sql(v) {
                        Ordering::Greater => true,
                        Ordering::Equal => *i && !included,
                        Ordering::Less => false,
                    });
                    if tighter {
                        lower = Some((value.clone(), *included));
                    }
                    texts.push(&c.text);
                }
                Test::Upper(value, included) => {
                    let tighter = upper.as_ref().is_none_or(|(v, i)| match value.cmp_sql(v) {
                        Ordering::Less => true,
                        Ordering::Equal => *i && !included,
                        Ordering::Greater => false,
                    });
                    if tighter {
                        upper = Some((value.clone(), *included));
                    }
                    texts.push(&c.text);
                }
                Test::In(_) => {}
            }
        }
        break;
    }
    if texts.is_empty() {
        return;
    }
    share *= match (&lower, &upper) {
        (Some(_), Some(_)) => BOTH_LIMITS_SHARE,
        (None, None) => 1.0,
        _ => LIMIT_SHARE,
    };
    let count = prefixes.len() as f64;
    let mut found = (rows * share).min(rows);
    if path.unique && equal_columns == path.positions.len() {
        found = found.min(count);
    }
    let row_cost = if path.index.is_some() {
        INDEX_ROW_COST
    } else {
        1.0
    };
    let cost = count * RANGE_COST + found * row_cost;
    if cost >= *best_cost && !(path.unique && equal_columns == path.positions.len() && count < 2.0)
    {
        return;
    }
    let mut ranges: Vec<KeyRange> = prefixes
        .into_iter()
        .map(|equal| {
            let bounds = Bounds {
                equal,
                lower: lower.clone(),
                upper: upper.clone(),
            };
            key_range(path.storage, path.orders, &bounds)
        })
        .collect();
    // Lists come in value order; a descending column turns it round.
    ranges.sort_by(|a, b| start_of(a).cmp(start_of(b)));
    *best_cost = cost;
    *best = Chosen {
        access: Access::Ranges {
            index: path.index,
            ranges: ranges.into(),
        },
        rows: found.max(if count < 2.0 { 1.0 } else { count.min(rows) }),
        index_name: Some(path.name.to_owned()),
        condition: Some(texts.join(" AND ")),
        read_filter: None,
    };
}

fn start_of(range: &KeyRange) -> &[u8] {
    match &range.start {
        std::ops::Bound::Included(key) | std::ops::Bound::Excluded(key) => key,
        std::ops::Bound::Unbounded => &[],
    }
}

/// Share of the rows that have one given value in a column.
fn equal_share(
    table: &Table,
    position: usize,
    rows: f64,
    statistics: Option<&TableStatistics>,
) -> f64 {
    if table.key_positions() == [position] {
        return 1.0 / rows.max(1.0);
    }
    let id = table.def().columns[position].id;
    match statistics.and_then(|known| known.columns.get(&id)) {
        Some(column) if column.distinct >= 1.0 => 1.0 / column.distinct.min(rows.max(1.0)),
        _ => EQUAL_SHARE.max(1.0 / rows.max(1.0)).min(1.0),
    }
}
