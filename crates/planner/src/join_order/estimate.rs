//! Rough sizes of plans: what a filter keeps, how many different values a column has.

use std::collections::HashMap;

use datafusion::common::Column;
use datafusion::common::stats::Precision;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, Operator, TableScan};

/// Share of rows that an equality with a constant keeps.
const EQUAL_SHARE: f64 = 0.02;

/// Share of rows that a comparison keeps.
const RANGE_SHARE: f64 = 0.3;

/// Share of rows that LIKE keeps.
const LIKE_SHARE: f64 = 0.1;

/// Share of rows that any other condition keeps.
pub(super) const OTHER_SHARE: f64 = 0.3;

/// Rows of something that says nothing about itself.
const UNKNOWN_ROWS: f64 = 1_000.0;

/// What is known about the columns of one relation.
#[derive(Debug, Default)]
pub(super) struct Estimates {
    /// Rows before any filter.
    pub(super) base_rows: f64,
    distinct: HashMap<Column, f64>,
}

impl Estimates {
    /// Looks into a relation, through filters, projections of columns and aliases.
    pub(super) fn of(plan: &LogicalPlan) -> Estimates {
        match plan {
            LogicalPlan::TableScan(scan) => Estimates::of_scan(scan),
            LogicalPlan::Filter(filter) => Estimates::of(&filter.input),
            LogicalPlan::Projection(projection) => {
                let inner = Estimates::of(&projection.input);
                let names = projection.schema.columns();
                let distinct = projection
                    .expr
                    .iter()
                    .zip(names)
                    .filter_map(|(expr, name)| {
                        let mut expr = expr;
                        while let Expr::Alias(alias) = expr {
                            expr = &alias.expr;
                        }
                        let Expr::Column(column) = expr else {
                            return None;
                        };
                        Some((name, inner.distinct(column)?))
                    })
                    .collect();
                Estimates {
                    base_rows: inner.base_rows,
                    distinct,
                }
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let inner = Estimates::of(&alias.input);
                let pairs = alias
                    .input
                    .schema()
                    .columns()
                    .into_iter()
                    .zip(alias.schema.columns());
                let distinct = pairs
                    .filter_map(|(inside, outside)| Some((outside, inner.distinct(&inside)?)))
                    .collect();
                Estimates {
                    base_rows: inner.base_rows,
                    distinct,
                }
            }
            LogicalPlan::Aggregate(aggregate) => {
                let rows = rows_of(plan);
                let mut distinct = HashMap::new();
                if let [only] = aggregate.group_expr.as_slice()
                    && let Some(column) = aggregate.schema.columns().into_iter().next()
                    && !matches!(only, Expr::GroupingSet(_))
                {
                    distinct.insert(column, rows);
                }
                Estimates {
                    base_rows: rows,
                    distinct,
                }
            }
            other => Estimates {
                base_rows: rows_of(other),
                distinct: HashMap::new(),
            },
        }
    }

    fn of_scan(scan: &TableScan) -> Estimates {
        let mut estimates = Estimates {
            base_rows: UNKNOWN_ROWS,
            distinct: HashMap::new(),
        };
        let Some(statistics) = source_as_provider(&scan.source)
            .ok()
            .and_then(|provider| provider.statistics())
        else {
            return estimates;
        };
        if let Some(rows) = known(&statistics.num_rows) {
            estimates.base_rows = rows.max(1.0);
        }
        let schema = scan.source.schema();
        for (field, column) in schema.fields().iter().zip(&statistics.column_statistics) {
            if let Some(distinct) = known(&column.distinct_count) {
                let name = Column::new(Some(scan.table_name.clone()), field.name());
                estimates.distinct.insert(name, distinct.max(1.0));
            }
        }
        estimates
    }

    /// Different values of a column, before any filter.
    pub(super) fn distinct(&self, column: &Column) -> Option<f64> {
        self.distinct.get(column).copied()
    }
}

fn known(value: &Precision<usize>) -> Option<f64> {
    match value {
        Precision::Exact(value) | Precision::Inexact(value) => Some(*value as f64),
        Precision::Absent => None,
    }
}

/// Estimated rows of a plan.
pub(super) fn rows_of(plan: &LogicalPlan) -> f64 {
    match plan {
        LogicalPlan::TableScan(scan) => {
            // Filters that the scan only uses to choose an access path stay in a node above it.
            let rows = Estimates::of_scan(scan).base_rows;
            scan.fetch.map_or(rows, |fetch| rows.min(fetch as f64))
        }
        LogicalPlan::Filter(filter) => {
            let estimates = Estimates::of(&filter.input);
            let share: f64 = split_conjunction(&filter.predicate)
                .into_iter()
                .map(|condition| share_of(condition, &estimates))
                .product();
            (rows_of(&filter.input) * share).max(1.0)
        }
        LogicalPlan::Projection(projection) => rows_of(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => rows_of(&alias.input),
        LogicalPlan::Sort(sort) => {
            let rows = rows_of(&sort.input);
            sort.fetch.map_or(rows, |fetch| rows.min(fetch as f64))
        }
        LogicalPlan::Aggregate(aggregate) => {
            let input = rows_of(&aggregate.input);
            if aggregate.group_expr.is_empty() {
                return 1.0;
            }
            let estimates = Estimates::of(&aggregate.input);
            let groups: f64 = aggregate
                .group_expr
                .iter()
                .map(|expr| match expr {
                    Expr::Column(column) => estimates.distinct(column).unwrap_or(input.powf(0.7)),
                    _ => input.powf(0.5),
                })
                .product();
            groups.min(input).max(1.0)
        }
        LogicalPlan::Distinct(distinct) => (rows_of(distinct.input()) * 0.5).max(1.0),
        LogicalPlan::Limit(limit) => {
            let rows = rows_of(&limit.input);
            match limit.fetch.as_deref() {
                Some(Expr::Literal(value, _)) => match value {
                    datafusion::common::ScalarValue::Int64(Some(fetch)) => rows.min(*fetch as f64),
                    _ => rows,
                },
                _ => rows,
            }
        }
        LogicalPlan::Union(union) => union.inputs.iter().map(|input| rows_of(input)).sum(),
        LogicalPlan::Values(values) => values.values.len() as f64,
        LogicalPlan::EmptyRelation(_) => 1.0,
        LogicalPlan::Join(join) => {
            let (left, right) = (rows_of(&join.left), rows_of(&join.right));
            match join.join_type {
                JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => left * 0.5,
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => right * 0.5,
                JoinType::Left => left.max(right),
                JoinType::Right => right.max(left),
                JoinType::Full => left + right,
                JoinType::Inner if join.on.is_empty() && join.filter.is_none() => left * right,
                JoinType::Inner => left.max(right),
            }
        }
        other => match other.inputs().as_slice() {
            [only] => rows_of(only),
            _ => UNKNOWN_ROWS,
        },
    }
}

/// Share of the rows that one condition keeps.
fn share_of(condition: &Expr, estimates: &Estimates) -> f64 {
    match condition {
        Expr::BinaryExpr(binary) => match binary.op {
            Operator::Eq => {
                let column = match (binary.left.as_ref(), binary.right.as_ref()) {
                    (Expr::Column(column), _) | (_, Expr::Column(column)) => Some(column),
                    _ => None,
                };
                column
                    .and_then(|column| estimates.distinct(column))
                    .map_or(EQUAL_SHARE, |distinct| 1.0 / distinct)
            }
            Operator::NotEq => 1.0 - EQUAL_SHARE,
            Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => RANGE_SHARE,
            Operator::And => share_of(&binary.left, estimates) * share_of(&binary.right, estimates),
            Operator::Or => {
                let (a, b) = (
                    share_of(&binary.left, estimates),
                    share_of(&binary.right, estimates),
                );
                a + b - a * b
            }
            _ => OTHER_SHARE,
        },
        Expr::Not(inner) => 1.0 - share_of(inner, estimates),
        Expr::InList(list) => {
            let one = match list.expr.as_ref() {
                Expr::Column(column) => estimates
                    .distinct(column)
                    .map_or(EQUAL_SHARE, |distinct| 1.0 / distinct),
                _ => EQUAL_SHARE,
            };
            let share = (one * list.list.len() as f64).min(1.0);
            if list.negated { 1.0 - share } else { share }
        }
        Expr::Like(like) => {
            if like.negated {
                1.0 - LIKE_SHARE
            } else {
                LIKE_SHARE
            }
        }
        Expr::IsNull(_) => 0.05,
        Expr::IsNotNull(_) => 0.95,
        _ => OTHER_SHARE,
    }
}
