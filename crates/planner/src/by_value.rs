//! Makes comparisons of unconstrained numerics ignore the display scale: 1.5 = 1.50.
//!
//! The mantissas of equal numbers differ in what they show (see [`crate::decimals`]). This rule
//! wraps such operands in [`function`] wherever values are compared: by operators, in `IN` and
//! `CASE`, as keys of joins, orders, windows and groups, and for duplicates. A group shows the
//! shortest form of its key.
//!
//! # Invariants
//! 1. Names and types of every node's columns stay as they were.
//! 2. Plans without unconstrained numerics stay as they were.
//!
//! # Not here
//! Functions that compare by themselves: they read numbers, which compare by value.

mod function;

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::functions_aggregate::min_max::min_udaf;
use datafusion::logical_expr::expr::{
    AggregateFunction, Between, BinaryExpr, Case, InList, InSubquery, ScalarFunction,
    SetComparison, Sort, WindowFunction,
};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{grouping_set_to_exprlist, merge_schema};
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, ExprSchemable, GroupingSet, LogicalPlan, Operator, Projection,
    Subquery, WindowFrameBound, col, when,
};
use datafusion::optimizer::AnalyzerRule;

use crate::arrow_types::NUMERIC_ANY;
pub(crate) use function::shown;
pub use function::{argument_of, in_set_values};
use function::{compared, compared_scalar};

/// Name of the function that tells whether a value is one of many constants.
pub const IN_SET: &str = "in_set";

/// The rule.
#[derive(Debug, Default)]
pub struct CompareByValue;

impl AnalyzerRule for CompareByValue {
    fn name(&self) -> &str {
        "compare_by_value"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(rewrite_plan)?.data)
    }
}

/// The same for one expression over a row.
pub fn expression(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    Ok(rewrite_expr(expr, schema)?.data)
}

/// Whether values of the type show more than they are worth.
fn has_display_scale(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) => has_display_scale(item.data_type()),
        other => *other == NUMERIC_ANY,
    }
}

fn is_numeric(expr: &Expr, schema: &DFSchema) -> Result<bool> {
    Ok(has_display_scale(&expr.get_type(schema)?))
}

/// What is compared for an expression: itself, or its value without display scale.
fn key(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    if is_numeric(&expr, schema)? {
        compared(expr)
    } else {
        Ok(expr)
    }
}

fn keys(exprs: Vec<Expr>, schema: &DFSchema) -> Result<Vec<Expr>> {
    exprs.into_iter().map(|expr| key(expr, schema)).collect()
}

fn boxed_key(expr: Box<Expr>, schema: &DFSchema) -> Result<Box<Expr>> {
    key(*expr, schema).map(Box::new)
}

fn sort_keys(sorts: Vec<Sort>, schema: &DFSchema) -> Result<Vec<Sort>> {
    let key_of = |sort: Sort| {
        Ok(Sort {
            expr: key(sort.expr, schema)?,
            ..sort
        })
    };
    sorts.into_iter().map(key_of).collect()
}

fn rewrite_plan(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = &plan {
        let source = scan.source.schema();
        schema.merge(&DFSchema::try_from_qualified_schema(
            scan.table_name.clone(),
            &source,
        )?);
    }
    // A sort's expressions have no name that anybody sees.
    let is_sort = matches!(plan, LogicalPlan::Sort(_));
    let names = NamePreserver::new(&plan);
    let rewritten = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let expr = rewrite_expr(expr, &schema)?;
        Ok(if is_sort {
            expr
        } else {
            expr.update_data(|expr| name.restore(expr))
        })
    })?;
    let changed = rewritten.transformed;
    let plan = match rewritten.data {
        LogicalPlan::Sort(mut sort) => {
            sort.expr = sort_keys(sort.expr, &schema)?;
            LogicalPlan::Sort(sort)
        }
        LogicalPlan::Join(mut join) => {
            let (left, right) = (join.left.schema().clone(), join.right.schema().clone());
            let pair = |(l, r)| Ok((key(l, &left)?, key(r, &right)?));
            join.on = join.on.into_iter().map(pair).collect::<Result<_>>()?;
            LogicalPlan::Join(join)
        }
        LogicalPlan::Aggregate(aggregate) => group_by_value(aggregate)?,
        LogicalPlan::Distinct(Distinct::All(input)) => distinct(input)?,
        LogicalPlan::Distinct(Distinct::On(mut on)) => {
            on.on_expr = keys(on.on_expr, &schema)?;
            on.sort_expr = on
                .sort_expr
                .map(|sorts| sort_keys(sorts, &schema))
                .transpose()?;
            LogicalPlan::Distinct(Distinct::On(on))
        }
        plan if changed => plan.recompute_schema()?,
        plan => plan,
    };
    Ok(Transformed::yes(plan))
}

/// Wraps what the nodes of an expression compare.
fn rewrite_expr(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| rewrite_node(expr, schema))
}

fn rewrite_node(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let expr = match expr {
        Expr::BinaryExpr(node) if compares(node.op) && is_numeric(&node.left, schema)? => {
            Expr::BinaryExpr(BinaryExpr {
                left: boxed_key(node.left, schema)?,
                op: node.op,
                right: boxed_key(node.right, schema)?,
            })
        }
        Expr::Between(node) if is_numeric(&node.expr, schema)? => Expr::Between(Between {
            expr: boxed_key(node.expr, schema)?,
            low: boxed_key(node.low, schema)?,
            high: boxed_key(node.high, schema)?,
            ..node
        }),
        Expr::InList(node) if is_numeric(&node.expr, schema)? => Expr::InList(InList {
            expr: boxed_key(node.expr, schema)?,
            list: keys(node.list, schema)?,
            ..node
        }),
        Expr::ScalarFunction(call)
            if call.name() == IN_SET
                && call.args.len() == 1
                && is_numeric(&call.args[0], schema)? =>
        {
            Expr::ScalarFunction(ScalarFunction {
                args: keys(call.args, schema)?,
                ..call
            })
        }
        Expr::Case(Case {
            expr: Some(subject),
            when_then_expr,
            else_expr,
        }) if is_numeric(&subject, schema)? => {
            let arm = |(when, then)| Ok((boxed_key(when, schema)?, then));
            Expr::Case(Case {
                expr: Some(boxed_key(subject, schema)?),
                when_then_expr: when_then_expr.into_iter().map(arm).collect::<Result<_>>()?,
                else_expr,
            })
        }
        Expr::InSubquery(node) if is_numeric(&node.expr, schema)? => Expr::InSubquery(InSubquery {
            expr: boxed_key(node.expr, schema)?,
            subquery: first_column_by_value(node.subquery)?,
            ..node
        }),
        Expr::SetComparison(node) if is_numeric(&node.expr, schema)? => {
            Expr::SetComparison(SetComparison {
                expr: boxed_key(node.expr, schema)?,
                subquery: first_column_by_value(node.subquery)?,
                ..node
            })
        }
        Expr::AggregateFunction(mut call) if counts_distinct(&call) => {
            call.params.args = keys(call.params.args, schema)?;
            Expr::AggregateFunction(call)
        }
        Expr::WindowFunction(call) => {
            let before = call.clone();
            let call = window_keys(call, schema)?;
            if call == before {
                return Ok(Transformed::no(Expr::WindowFunction(call)));
            }
            Expr::WindowFunction(call)
        }
        other => return Ok(Transformed::no(other)),
    };
    Ok(Transformed::yes(expr))
}

fn compares(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

fn counts_distinct(call: &AggregateFunction) -> bool {
    call.params.distinct && call.func.name() == "count"
}

fn window_keys(mut call: Box<WindowFunction>, schema: &DFSchema) -> Result<Box<WindowFunction>> {
    let params = &mut call.params;
    params.partition_by = keys(std::mem::take(&mut params.partition_by), schema)?;
    params.order_by = sort_keys(std::mem::take(&mut params.order_by), schema)?;
    let frame = &mut params.window_frame;
    for bound in [&mut frame.start_bound, &mut frame.end_bound] {
        if let WindowFrameBound::Preceding(value) | WindowFrameBound::Following(value) = bound {
            *value = compared_scalar(std::mem::replace(value, ScalarValue::Null))?;
        }
    }
    Ok(call)
}

/// The subquery with its first column, the one that is compared, without display scale.
fn first_column_by_value(subquery: Subquery) -> Result<Subquery> {
    let schema = subquery.subquery.schema().clone();
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (index, (relation, field)) in schema.iter().enumerate() {
        let column = Expr::Column((relation, field).into());
        columns.push(if index == 0 && has_display_scale(field.data_type()) {
            compared(column)?.alias_qualified(relation.cloned(), field.name())
        } else {
            column
        });
    }
    let projection = Projection::try_new(columns, subquery.subquery.clone())?;
    Ok(subquery.with_plan(Arc::new(LogicalPlan::Projection(projection))))
}

fn distinct(input: Arc<LogicalPlan>) -> Result<LogicalPlan> {
    let schema = input.schema().clone();
    if !schema
        .fields()
        .iter()
        .any(|field| has_display_scale(field.data_type()))
    {
        return Ok(LogicalPlan::Distinct(Distinct::All(input)));
    }
    let columns = schema.iter().map(|column| Expr::Column(column.into()));
    group_by_value(Aggregate::try_new(input, columns.collect(), Vec::new())?)
}

/// Groups by values, and shows the shortest form of each key: the smallest mantissa.
fn group_by_value(aggregate: Aggregate) -> Result<LogicalPlan> {
    let source = aggregate.input.schema().clone();
    let originals: Vec<Expr> = grouping_set_to_exprlist(&aggregate.group_expr)?
        .into_iter()
        .cloned()
        .collect();
    let mut numeric = Vec::with_capacity(originals.len());
    for expr in &originals {
        numeric.push(is_numeric(expr, &source)?);
    }
    if !numeric.contains(&true) {
        return Ok(LogicalPlan::Aggregate(aggregate));
    }
    let before = aggregate.schema.clone();
    let group_key = |expr: Expr| key(expr.unalias(), &source);
    let set = |exprs: Vec<Expr>| exprs.into_iter().map(group_key).collect::<Result<Vec<_>>>();
    let group_expr = aggregate
        .group_expr
        .into_iter()
        .map(|expr| match expr {
            Expr::GroupingSet(GroupingSet::Rollup(exprs)) => {
                Ok(Expr::GroupingSet(GroupingSet::Rollup(set(exprs)?)))
            }
            Expr::GroupingSet(GroupingSet::Cube(exprs)) => {
                Ok(Expr::GroupingSet(GroupingSet::Cube(set(exprs)?)))
            }
            Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => {
                let sets = sets.into_iter().map(set).collect::<Result<_>>()?;
                Ok(Expr::GroupingSet(GroupingSet::GroupingSets(sets)))
            }
            expr if is_numeric(&expr, &source)? => group_key(expr),
            expr => Ok(expr),
        })
        .collect::<Result<Vec<_>>>()?;
    let mut aggr_expr = aggregate.aggr_expr;
    let mut shown = vec![None; originals.len()];
    for (index, expr) in originals.into_iter().enumerate() {
        if numeric[index] {
            let name = format!("shown_{index}");
            aggr_expr.push(min_udaf().call(vec![expr.unalias()]).alias(&name));
            shown[index] = Some(name);
        }
    }
    let grouped = Aggregate::try_new(aggregate.input, group_expr, aggr_expr)?;
    let mut columns = Vec::with_capacity(before.fields().len());
    let after = grouped.schema.clone();
    for ((index, (relation, field)), now) in before.iter().enumerate().zip(after.iter()) {
        let column = Expr::Column(now.into());
        let column = match shown.get(index).and_then(Option::as_ref) {
            // A key that is not part of a grouping set is NULL, whatever the group shows.
            Some(name) => when(column.is_not_null(), col(name)).end()?,
            None => column,
        };
        columns.push(column.alias_qualified(relation.cloned(), field.name()));
    }
    let input = Arc::new(LogicalPlan::Aggregate(grouped));
    Ok(LogicalPlan::Projection(Projection::try_new(
        columns, input,
    )?))
}
