//! Whole queries: WITH, set operations, VALUES, ORDER BY and LIMIT around them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::{Column, DFSchema};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr::{ScalarFunction, Sort};
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, Values, lit,
};
use sqlparser::ast::{self, SetExpr, SetOperator, SetQuantifier};
use tessera_types::{CastKind, Report, SqlType, codes};

use super::call::sort_key;
use super::locks::not_allowed;
use super::names::fold;
use super::select::{column_of, unique_name};
use super::{Binder, BoundQuery, Cte, OutputColumn, Scope, Typed, unqualified_schema};
use crate::errors::report_of;
use crate::parse::row_lock;

impl Binder<'_> {
    /// Binds a query with all its clauses.
    pub(super) fn query(
        &mut self,
        query: &ast::Query,
        keep_unknown: bool,
    ) -> Result<BoundQuery, Report> {
        if query.for_clause.is_some()
            || query.settings.is_some()
            || query.format_clause.is_some()
            || !query.pipe_operators.is_empty()
        {
            return Err(Report::error(
                codes::SYNTAX_ERROR,
                "syntax error at end of query",
            ));
        }
        self.ctes.push(HashMap::new());
        let depth = self.ctes.len();
        let bound = self.query_inner(query, keep_unknown);
        self.ctes.truncate(depth - 1);
        bound
    }

    fn query_inner(
        &mut self,
        query: &ast::Query,
        keep_unknown: bool,
    ) -> Result<BoundQuery, Report> {
        if let Some(with) = &query.with {
            self.with(with)?;
        }
        let order_by = order_by_of(query)?;
        let mut bound = match query.body.as_ref() {
            SetExpr::Select(select) => self.select(select, order_by, keep_unknown, &query.locks)?,
            body => {
                if let Some(clause) = query.locks.first() {
                    return Err(not_allowed(
                        row_lock(clause).strength.words(),
                        "UNION/INTERSECT/EXCEPT or VALUES",
                    ));
                }
                let bound = self.set_expr(body, keep_unknown)?;
                self.order(bound, order_by)?
            }
        };
        self.limit(query, &mut bound)?;
        Ok(bound)
    }

    fn with(&mut self, with: &ast::With) -> Result<(), Report> {
        for cte in &with.cte_tables {
            let name = fold(&cte.alias.name);
            if self
                .ctes
                .last()
                .is_some_and(|ctes| ctes.contains_key(&name))
            {
                return Err(Report::error(
                    codes::DUPLICATE_ALIAS,
                    format!("WITH query name \"{name}\" specified more than once"),
                ));
            }
            let windows = std::mem::take(&mut self.windows);
            let bound = if with.recursive && mentions(&cte.query, &name) {
                self.recursive(cte, &name)
            } else {
                self.query(&cte.query, false)
            };
            self.windows = windows;
            let mut bound = bound?;
            rename(&mut bound.columns, &cte.alias, &name)?;
            let ctes = self
                .ctes
                .last_mut()
                .ok_or_else(|| Report::internal("WITH without a query"))?;
            ctes.insert(
                name,
                Cte {
                    bound: Arc::new(bound),
                },
            );
        }
        Ok(())
    }

    /// `WITH RECURSIVE name AS (start UNION [ALL] step)`.
    fn recursive(&mut self, cte: &ast::Cte, name: &str) -> Result<BoundQuery, Report> {
        let SetExpr::SetOperation {
            op: SetOperator::Union,
            left,
            right,
            set_quantifier,
        } = cte.query.body.as_ref()
        else {
            return Err(Report::error(
                codes::INVALID_RECURSION,
                format!(
                    "recursive query \"{name}\" does not have the form non-recursive-term UNION [ALL] recursive-term"
                ),
            ));
        };
        if cte.query.order_by.is_some() || cte.query.limit_clause.is_some() {
            return Err(Report::unsupported(
                "ORDER BY or LIMIT in a recursive query is not implemented",
            ));
        }
        if let Some(with) = &cte.query.with {
            self.with(with)?;
        }
        let mut start = self.set_expr(left, false)?;
        rename(&mut start.columns, &cte.alias, name)?;
        // The work table's columns are nullable: later rounds may bring NULLs.
        let mut used = HashSet::new();
        let mut exprs = Vec::with_capacity(start.columns.len());
        let mut fields = Vec::with_capacity(start.columns.len());
        for column in &mut start.columns {
            let unique = unique_name(&column.name, &mut used);
            let typed = typed_of(column);
            fields.push(typed.field(&unique));
            exprs.push(self.described(typed, &unique));
            column.column = unique;
            column.origin = None;
        }
        let start_plan = LogicalPlanBuilder::from(start.plan)
            .project(exprs)
            .and_then(|b| b.build())
            .map_err(report_of)?;
        let table = self.fresh_qualifier(name);
        let schema = Arc::new(Schema::new(fields));
        let source = self.environment.work_table(&table, schema)?;
        let work = LogicalPlanBuilder::scan(table.as_str(), source, None)
            .and_then(|b| {
                let columns: Vec<Expr> = start
                    .columns
                    .iter()
                    .map(|c| {
                        let inner = Column::new(Some(table.as_str()), &c.column);
                        Expr::Column(inner).alias(&c.column)
                    })
                    .collect();
                b.project(columns)
            })
            .and_then(|b| b.build())
            .map_err(report_of)?;
        let own = BoundQuery {
            plan: work,
            columns: start.columns.clone(),
        };
        self.ctes.push(HashMap::from([(
            name.to_owned(),
            Cte {
                bound: Arc::new(own),
            },
        )]));
        let step = self.set_expr(right, true);
        self.ctes.pop();
        let step = step?;
        if step.columns.len() != start.columns.len() {
            return Err(columns_differ("UNION"));
        }
        let mut exprs = Vec::with_capacity(step.columns.len());
        for (i, (column, wanted)) in step.columns.iter().zip(&start.columns).enumerate() {
            let typed = typed_of(column);
            let from = typed.sql_type.clone();
            if !crate::functions::coercion::casts_implicitly(&from, &wanted.sql_type) {
                return Err(Report::error(
                    codes::DATATYPE_MISMATCH,
                    format!(
                        "recursive query \"{name}\" column {} has type {} in non-recursive term but type {} overall",
                        i + 1,
                        wanted.sql_type.name(),
                        from.name()
                    ),
                )
                .with_hint("Cast the output of the non-recursive term to the correct type."));
            }
            let typed = self.coerce(typed, &wanted.sql_type, CastKind::Implicit)?;
            let typed = Self::in_data_type(typed, &wanted.data_type);
            let typed = Typed {
                sql_type: wanted.sql_type.clone(),
                ..typed
            };
            exprs.push(self.described(typed, &wanted.column));
        }
        let step = LogicalPlanBuilder::from(step.plan)
            .project(exprs)
            .and_then(|b| b.build())
            .map_err(report_of)?;
        let distinct = !is_all(set_quantifier);
        let plan = LogicalPlanBuilder::from(start_plan)
            .to_recursive_query(table, step, distinct)
            .and_then(|b| b.build())
            .map_err(report_of)?;
        Ok(BoundQuery {
            plan,
            columns: start.columns,
        })
    }

    /// The expression under a name, its field saying its SQL type: both terms of a recursive
    /// query must have the same fields.
    fn described(&self, typed: Typed, name: &str) -> Expr {
        let function = self.environment.described(typed.field(name));
        Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![typed.expr])).alias(name)
    }

    /// The body of a query without its ORDER BY.
    fn set_expr(&mut self, body: &SetExpr, keep_unknown: bool) -> Result<BoundQuery, Report> {
        stacker::maybe_grow(128 << 10, 2 << 20, || match body {
            SetExpr::Select(select) => self.select(select, &[], keep_unknown, &[]),
            SetExpr::Query(query) => self.query(query, keep_unknown),
            SetExpr::Values(values) => self.values(values, keep_unknown),
            SetExpr::SetOperation {
                left,
                op,
                set_quantifier,
                right,
            } => {
                let left = self.set_expr(left, true)?;
                let right = self.set_expr(right, true)?;
                self.set_operation(left, *op, is_all(set_quantifier), right)
            }
            SetExpr::Table(table) => Err(Report::unsupported(format!(
                "TABLE {} inside another query",
                table.table_name.as_deref().unwrap_or_default()
            ))),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                Err(Report::unsupported("a writing statement inside a query"))
            }
        })
    }

    fn set_operation(
        &mut self,
        left: BoundQuery,
        op: SetOperator,
        all: bool,
        right: BoundQuery,
    ) -> Result<BoundQuery, Report> {
        let word = match op {
            SetOperator::Union => "UNION",
            SetOperator::Intersect => "INTERSECT",
            SetOperator::Except | SetOperator::Minus => "EXCEPT",
        };
        if left.columns.len() != right.columns.len() {
            return Err(columns_differ(word));
        }
        let mut columns = Vec::with_capacity(left.columns.len());
        let (mut left_exprs, mut right_exprs) = (Vec::new(), Vec::new());
        let mut used = HashSet::new();
        for (l, r) in left.columns.iter().zip(&right.columns) {
            let (pair, sql_type, data_type) = self.unify(vec![typed_of(l), typed_of(r)], word)?;
            let mut pair = pair.into_iter();
            let (Some(l_typed), Some(r_typed)) = (pair.next(), pair.next()) else {
                return Err(Report::internal("two columns went in"));
            };
            let column = unique_name(&l.name, &mut used);
            left_exprs.push(l_typed.expr.alias(&column));
            right_exprs.push(r_typed.expr.alias(&column));
            columns.push(OutputColumn {
                name: l.name.clone(),
                column,
                sql_type,
                data_type,
                origin: None,
            });
        }
        let left = LogicalPlanBuilder::from(left.plan)
            .project(left_exprs)
            .map_err(report_of)?;
        let right = LogicalPlanBuilder::from(right.plan)
            .project(right_exprs)
            .map_err(report_of)?;
        let plan = match op {
            SetOperator::Union => {
                let right = right.build().map_err(report_of)?;
                let union = if all {
                    left.union(right)
                } else {
                    left.union_distinct(right)
                };
                union.and_then(|b| b.build()).map_err(report_of)?
            }
            _ => intersect_or_except(left, right, op == SetOperator::Intersect, all, &columns)?,
        };
        Ok(BoundQuery { plan, columns })
    }

    fn values(&mut self, values: &ast::Values, keep_unknown: bool) -> Result<BoundQuery, Report> {
        let width = values.rows.first().map_or(0, |row| row.content.len());
        if width == 0 {
            return Err(Report::error(
                codes::SYNTAX_ERROR,
                "VALUES needs at least one column",
            ));
        }
        let scope = Scope::default();
        let mut by_column: Vec<Vec<Typed>> = vec![Vec::with_capacity(values.rows.len()); width];
        for row in &values.rows {
            if row.content.len() != width {
                return Err(Report::error(
                    codes::SYNTAX_ERROR,
                    "VALUES lists must all be the same length",
                ));
            }
            for (column, expr) in by_column.iter_mut().zip(&row.content) {
                let typed = self.expr(expr, &scope)?;
                self.no_aggregates(&typed, "VALUES", expr)?;
                column.push(typed);
            }
        }
        let mut columns = Vec::with_capacity(width);
        let mut fields = Vec::with_capacity(width);
        let mut cast = Vec::with_capacity(width);
        for (i, all) in by_column.into_iter().enumerate() {
            let untyped = keep_unknown
                && all
                    .iter()
                    .all(|t| t.sql_type == SqlType::Unknown && matches!(t.expr, Expr::Literal(..)));
            let (all, sql_type, data_type) = if untyped {
                (all, SqlType::Unknown, arrow::datatypes::DataType::Utf8)
            } else {
                self.unify(all, "VALUES")?
            };
            let name = format!("column{}", i + 1);
            let typed = Typed {
                expr: lit(true),
                sql_type: sql_type.clone(),
                data_type: data_type.clone(),
                origin: None,
            };
            fields.push(typed.field(&name));
            cast.push(
                all.into_iter()
                    .map(|t| Self::in_data_type(t, &data_type).expr)
                    .collect::<Vec<_>>(),
            );
            columns.push(OutputColumn {
                column: name.clone(),
                name,
                sql_type,
                data_type,
                origin: None,
            });
        }
        let mut waiting: Vec<_> = cast.into_iter().map(Vec::into_iter).collect();
        let rows: Vec<Vec<Expr>> = (0..values.rows.len())
            .map(|_| waiting.iter_mut().filter_map(Iterator::next).collect())
            .collect();
        let schema: DFSchema = unqualified_schema(fields)?;
        let plain = rows.iter().flatten().all(is_plain);
        let plan = if plain {
            LogicalPlan::Values(Values {
                schema: Arc::new(schema),
                values: rows,
            })
        } else {
            values_as_union(rows, &columns)?
        };
        Ok(BoundQuery { plan, columns })
    }

    /// ORDER BY over a set operation: output columns by name or number.
    fn order(
        &mut self,
        bound: BoundQuery,
        order_by: &[ast::OrderByExpr],
    ) -> Result<BoundQuery, Report> {
        if order_by.is_empty() {
            return Ok(bound);
        }
        let mut keys: Vec<Sort> = Vec::with_capacity(order_by.len());
        for item in order_by {
            let at = match &item.expr {
                ast::Expr::Value(value) => match &value.value {
                    ast::Value::Number(digits, _) => digits
                        .parse::<usize>()
                        .ok()
                        .filter(|n| *n >= 1 && *n <= bound.columns.len())
                        .map(|n| n - 1),
                    _ => None,
                },
                ast::Expr::Identifier(ident) => {
                    let name = fold(ident);
                    let found = bound.columns.iter().position(|column| column.name == name);
                    if found.is_none() {
                        return Err(self.at_expr(
                            Report::error(
                                codes::UNDEFINED_COLUMN,
                                format!("column \"{name}\" does not exist"),
                            ),
                            &item.expr,
                        ));
                    }
                    found
                }
                _ => None,
            };
            let Some(at) = at else {
                return Err(self.at_expr(
                    Report::unsupported("invalid UNION/INTERSECT/EXCEPT ORDER BY clause")
                        .with_detail(
                            "Only result column names can be used, not expressions or functions.",
                        )
                        .with_hint(
                            "Add the expression/function to every SELECT, or move the UNION into a FROM clause.",
                        ),
                    &item.expr,
                ));
            };
            let typed = self.order_key(typed_of(&bound.columns[at]), &item.expr)?;
            keys.push(sort_key(typed.expr, &item.options));
        }
        let plan = LogicalPlanBuilder::from(bound.plan)
            .sort(keys)
            .and_then(|b| b.build())
            .map_err(report_of)?;
        Ok(BoundQuery { plan, ..bound })
    }

    fn limit(&mut self, query: &ast::Query, bound: &mut BoundQuery) -> Result<(), Report> {
        let (mut fetch, mut skip) = (None, None);
        match &query.limit_clause {
            None => {}
            Some(ast::LimitClause::LimitOffset {
                limit,
                offset,
                limit_by,
            }) => {
                if !limit_by.is_empty() {
                    return Err(Report::error(
                        codes::SYNTAX_ERROR,
                        "syntax error at or near \"BY\"",
                    ));
                }
                if let Some(limit) = limit {
                    fetch = self.row_count(limit, "LIMIT")?;
                }
                if let Some(offset) = offset {
                    skip = self.row_count(&offset.value, "OFFSET")?;
                }
            }
            Some(ast::LimitClause::OffsetCommaLimit { .. }) => {
                return Err(Report::error(
                    codes::SYNTAX_ERROR,
                    "LIMIT #,# syntax is not supported",
                )
                .with_hint("Use separate LIMIT and OFFSET clauses."));
            }
        }
        if let Some(clause) = &query.fetch {
            if clause.with_ties || clause.percent {
                return Err(Report::unsupported(
                    "FETCH FIRST … WITH TIES or PERCENT is not supported",
                ));
            }
            fetch = match &clause.quantity {
                Some(quantity) => self.row_count(quantity, "LIMIT")?,
                None => Some(lit(1_i64)),
            };
        }
        if fetch.is_none() && skip.is_none() {
            return Ok(());
        }
        let plan = std::mem::take(&mut bound.plan);
        bound.plan = LogicalPlanBuilder::from(plan)
            .limit_by_expr(skip, fetch)
            .and_then(|b| b.build())
            .map_err(report_of)?;
        Ok(())
    }

    /// A row count; NULL means no limit.
    fn row_count(&mut self, expr: &ast::Expr, clause: &str) -> Result<Option<Expr>, Report> {
        let typed = self.expr(expr, &Scope::default())?;
        if !is_plain(&typed.expr) {
            return Err(Report::unsupported(format!("a subquery in {clause}")));
        }
        let typed = self.coerce(typed, &SqlType::BigInt, CastKind::Assignment)?;
        match &typed.expr {
            Expr::Literal(value, _) if value.is_null() => Ok(None),
            Expr::Literal(datafusion::common::ScalarValue::Int64(Some(rows)), _) if *rows < 0 => {
                Err(negative_row_count(clause))
            }
            _ => Ok(Some(typed.expr)),
        }
    }
}

/// 2201W or 2201X.
pub(super) fn negative_row_count(clause: &str) -> Report {
    let code = if clause == "LIMIT" {
        codes::INVALID_ROW_COUNT_IN_LIMIT_CLAUSE
    } else {
        codes::INVALID_ROW_COUNT_IN_RESULT_OFFSET_CLAUSE
    };
    Report::error(code, format!("{clause} must not be negative"))
}

/// INTERSECT and EXCEPT. With ALL, equal rows are numbered first, so that each counts once.
fn intersect_or_except(
    left: LogicalPlanBuilder,
    right: LogicalPlanBuilder,
    intersect: bool,
    all: bool,
    columns: &[OutputColumn],
) -> Result<LogicalPlan, Report> {
    let numbered = |side: LogicalPlanBuilder| -> Result<LogicalPlan, Report> {
        if !all {
            return side.build().map_err(report_of);
        }
        let keys: Vec<Expr> = columns
            .iter()
            .map(|c| column_of(c.column.clone()))
            .collect();
        let number = row_number()
            .partition_by(keys.clone())
            .build()
            .map_err(report_of)?;
        let name = number.schema_name().to_string();
        let mut exprs = keys;
        exprs.push(column_of(name).alias(ROW_NUMBER));
        side.window(vec![number])
            .and_then(|b| b.project(exprs))
            .and_then(|b| b.build())
            .map_err(report_of)
    };
    let (left, right) = (numbered(left)?, numbered(right)?);
    let plan = if intersect {
        LogicalPlanBuilder::intersect(left, right, false)
    } else {
        LogicalPlanBuilder::except(left, right, false)
    }
    .map_err(report_of)?;
    // The join may qualify its sides: take the columns by position, and drop the number.
    let exprs: Vec<Expr> = plan
        .schema()
        .columns()
        .into_iter()
        .zip(columns)
        .map(|(found, column)| Expr::Column(found).alias(&column.column))
        .collect();
    LogicalPlanBuilder::from(plan)
        .project(exprs)
        .and_then(|b| b.build())
        .map_err(report_of)
}

/// Name of the helper column of INTERSECT ALL and EXCEPT ALL.
const ROW_NUMBER: &str = "number among equals";

/// VALUES whose rows hold subqueries: each row a SELECT of its own.
fn values_as_union(rows: Vec<Vec<Expr>>, columns: &[OutputColumn]) -> Result<LogicalPlan, Report> {
    let mut union: Option<LogicalPlanBuilder> = None;
    for row in rows {
        let exprs: Vec<Expr> = row
            .into_iter()
            .zip(columns)
            .map(|(expr, column)| expr.alias(&column.column))
            .collect();
        let one = LogicalPlanBuilder::empty(true)
            .project(exprs)
            .map_err(report_of)?;
        union = Some(match union {
            None => one,
            Some(before) => {
                let one = one.build().map_err(report_of)?;
                before.union(one).map_err(report_of)?
            }
        });
    }
    union
        .ok_or_else(|| Report::internal("VALUES has rows"))?
        .build()
        .map_err(report_of)
}

/// Whether an expression can stand in a `Values` node.
fn is_plain(expr: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    !expr
        .exists(|inner| {
            Ok(matches!(
                inner,
                Expr::ScalarSubquery(_)
                    | Expr::InSubquery(_)
                    | Expr::Exists(_)
                    | Expr::SetComparison(_)
                    | Expr::OuterReferenceColumn(..)
            ))
        })
        .unwrap_or(true)
}

/// A query's column as an expression over its plan.
fn typed_of(column: &OutputColumn) -> Typed {
    Typed {
        expr: column_of(column.column.clone()),
        sql_type: column.sql_type.clone(),
        data_type: column.data_type.clone(),
        origin: None,
    }
}

fn columns_differ(word: &str) -> Report {
    Report::error(
        codes::SYNTAX_ERROR,
        format!("each {word} query must have the same number of columns"),
    )
}

fn is_all(quantifier: &SetQuantifier) -> bool {
    matches!(quantifier, SetQuantifier::All | SetQuantifier::AllByName)
}

fn order_by_of(query: &ast::Query) -> Result<&[ast::OrderByExpr], Report> {
    match &query.order_by {
        None => Ok(&[]),
        Some(order_by) => match &order_by.kind {
            ast::OrderByKind::Expressions(exprs) => Ok(exprs),
            ast::OrderByKind::All(_) => Err(Report::error(
                codes::SYNTAX_ERROR,
                "syntax error at or near \"ALL\"",
            )),
        },
    }
}

/// Gives columns the names of `WITH t(a, b)`.
fn rename(columns: &mut [OutputColumn], alias: &ast::TableAlias, name: &str) -> Result<(), Report> {
    if alias.columns.len() > columns.len() {
        return Err(Report::error(
            codes::INVALID_COLUMN_REFERENCE,
            format!(
                "WITH query \"{name}\" has {} columns available but {} columns specified",
                columns.len(),
                alias.columns.len()
            ),
        ));
    }
    for (column, alias) in columns.iter_mut().zip(&alias.columns) {
        column.name = fold(&alias.name);
    }
    Ok(())
}

/// Whether a WITH query reads itself.
fn mentions(query: &ast::Query, name: &str) -> bool {
    use std::ops::ControlFlow;
    ast::visit_relations(query, |relation| {
        let own = relation.0.len() == 1
            && relation.0[0]
                .as_ident()
                .is_some_and(|ident| fold(ident) == name);
        if own {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
    .is_break()
}
