//! Chooses the way to the rows from the conjuncts of a WHERE clause: a point or a short range.
//!
//! # Invariants
//! 1. The access path gives a superset of the rows that the whole filter accepts, so the executor
//!    evaluates the filter on every row and the choice cannot change an answer.
//! 2. `ordered_by` is reported only when every row of the range comes in that order.

use tessera_catalog::{IndexColumn, IndexDef, TableDef};
use tessera_types::{RelationId, SqlType};

use super::scalar::{CompareOp, Scalar};

/// How the rows of one table are found.
#[derive(Debug, Clone, PartialEq)]
pub enum Access {
    /// At most one row, by the whole key of the primary key or of a unique index.
    Point {
        /// The index; it is the primary key when equal to the table's.
        index: RelationId,
        /// Value of every key column.
        key: Vec<KeyValue>,
    },
    /// A range of the primary key or an index.
    Range {
        /// The index; it is the primary key when equal to the table's.
        index: RelationId,
        /// Values of the leading key columns.
        equal: Vec<KeyValue>,
        /// Bounds of the next key column: value, and whether it is included.
        lower: Option<(KeyValue, bool)>,
        /// Upper bound of the next key column.
        upper: Option<(KeyValue, bool)>,
        /// From the end to the start.
        reverse: bool,
    },
    /// Every row.
    Full,
}

/// A key column's value, computed once per execution.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyValue {
    /// Expression without columns.
    pub scalar: Scalar,
    /// The column's type, to which the value is brought; a value that does not fit matches nothing.
    pub sql_type: SqlType,
}

/// One comparison of a column with something that is fixed during the statement.
struct Condition<'a> {
    column: usize,
    op: CompareOp,
    value: &'a Scalar,
}

/// An ORDER BY term on a column: position, descending, nulls first.
pub type OrderTerm = (usize, bool, bool);

/// What the choice is made from.
pub struct Wanted<'a> {
    /// The table.
    pub table: &'a TableDef,
    /// The bound WHERE clause.
    pub filter: Option<&'a Scalar>,
    /// The wanted order; empty for none.
    pub order: &'a [OrderTerm],
    /// Whether only the first rows are wanted.
    pub limited: bool,
}

/// The best short access path, or `None` when only a scan of everything would do.
pub fn choose(wanted: &Wanted<'_>) -> Option<Access> {
    let mut conditions = Vec::new();
    if let Some(filter) = wanted.filter {
        collect(filter, &mut conditions);
    }
    let mut best: Option<(usize, Access)> = None;
    for index in &wanted.table.indexes {
        let Some((score, access)) = path_by(wanted, index, &conditions) else {
            continue;
        };
        // The primary key comes first and wins a tie: it needs no second read.
        if best.as_ref().is_none_or(|(so_far, _)| score > *so_far) {
            best = Some((score, access));
        }
    }
    best.map(|(_, access)| access)
}

fn collect<'a>(filter: &'a Scalar, conditions: &mut Vec<Condition<'a>>) {
    match filter {
        Scalar::And(parts) => parts.iter().for_each(|part| collect(part, conditions)),
        Scalar::Compare(node) if node.op != CompareOp::NotEq => {
            let fixed = |scalar: &Scalar| scalar.is_row_free() && !scalar.is_volatile();
            match (&node.left, &node.right) {
                (Scalar::Column(column), value) if fixed(value) => {
                    conditions.push(Condition {
                        column: *column,
                        op: node.op,
                        value,
                    });
                }
                (value, Scalar::Column(column)) if fixed(value) => {
                    conditions.push(Condition {
                        column: *column,
                        op: node.op.flipped(),
                        value,
                    });
                }
                _ => {}
            }
        }
        _ => {}
    }
}

fn path_by(
    wanted: &Wanted<'_>,
    index: &IndexDef,
    conditions: &[Condition<'_>],
) -> Option<(usize, Access)> {
    let table = wanted.table;
    let key_value = |column: usize, scalar: &Scalar| KeyValue {
        scalar: scalar.clone(),
        sql_type: table.columns[column].sql_type.clone(),
    };
    let mut equal = Vec::new();
    for part in &index.columns {
        let column = table.position(part.column)?;
        let found = conditions
            .iter()
            .find(|c| c.column == column && c.op == CompareOp::Eq);
        let Some(found) = found else { break };
        equal.push(key_value(column, found.value));
    }
    if equal.len() == index.columns.len() && index.unique {
        let score = 1_000 + equal.len();
        return Some((
            score,
            Access::Point {
                index: index.id,
                key: equal,
            },
        ));
    }
    let (mut lower, mut upper) = (None, None);
    if let Some(next) = index.columns.get(equal.len()) {
        let column = table.position(next.column)?;
        // Padding makes the order of `char(n)` values differ from the order of their bounds.
        if !matches!(table.columns[column].sql_type, SqlType::Char(_)) {
            for condition in conditions.iter().filter(|c| c.column == column) {
                let value = || key_value(column, condition.value);
                match condition.op {
                    CompareOp::Gt | CompareOp::GtEq if lower.is_none() => {
                        lower = Some((value(), condition.op == CompareOp::GtEq));
                    }
                    CompareOp::Lt | CompareOp::LtEq if upper.is_none() => {
                        upper = Some((value(), condition.op == CompareOp::LtEq));
                    }
                    _ => {}
                }
            }
        }
    }
    let reverse = direction(wanted, index, equal.len())?;
    let bounds = usize::from(lower.is_some()) + usize::from(upper.is_some());
    // One open end is short only when few rows are wanted.
    let is_short = !equal.is_empty() || bounds == 2 || wanted.limited;
    if !is_short
        || (equal.is_empty() && bounds == 0 && wanted.order.is_empty() && wanted.filter.is_some())
    {
        return None;
    }
    let score = equal.len() * 10 + bounds * 4 + usize::from(!wanted.order.is_empty());
    Some((
        score,
        Access::Range {
            index: index.id,
            equal,
            lower,
            upper,
            reverse,
        },
    ))
}

/// Whether the index, behind `skip` fixed columns, gives the wanted order: forward, backward, or
/// not at all.
fn direction(wanted: &Wanted<'_>, index: &IndexDef, skip: usize) -> Option<bool> {
    let fixed: Vec<u16> = index.columns[..skip]
        .iter()
        .map(|part| part.column)
        .collect();
    let mut rest = index.columns[skip..].iter();
    let mut reverse: Option<bool> = None;
    for &(column, descending, nulls_first) in wanted.order {
        let id = wanted.table.columns[column].id;
        if fixed.contains(&id) {
            continue;
        }
        let part = rest.next()?;
        let term = term_direction(part, id, descending, nulls_first, wanted.table)?;
        if *reverse.get_or_insert(term) != term {
            return None;
        }
    }
    Some(reverse.unwrap_or(false))
}

fn term_direction(
    part: &IndexColumn,
    id: u16,
    descending: bool,
    nulls_first: bool,
    table: &TableDef,
) -> Option<bool> {
    if part.column != id {
        return None;
    }
    let not_null = table.column_by_id(id)?.not_null;
    let reverse = part.descending != descending;
    let nulls_match = (part.nulls_first != nulls_first) == reverse;
    (not_null || nulls_match).then_some(reverse)
}
