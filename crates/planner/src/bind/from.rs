//! FROM: tables, views, WITH queries, subqueries, functions and joins.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::common::{Column, ScalarValue, Spans, TableReference, UnnestOptions};
use datafusion::functions::core as df_core;
use datafusion::functions_nested::expr_fn::array_empty;
use datafusion::logical_expr::expr::{ScalarFunction, Sort};
use datafusion::logical_expr::{
    Expr, ExprSchemable, JoinType, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, lit, when,
};
use sqlparser::ast::Spanned;
use sqlparser::ast::{self, JoinConstraint, JoinOperator, TableFactor};
use tessera_types::{Report, codes};

use super::call::with_order;
use super::names::fold;
use super::outer::{deep_references, outer_reference};
use super::scope::{ScopeField, ScopeKind, ScopeRelation};
use super::{
    Binder, BoundQuery, Relation, Scope, TableRelation, Typed, VIEW_NESTING_MAX, ViewRelation,
};
use crate::errors::report_of;

/// A plan and what its columns are called.
pub(super) type FromItem = (LogicalPlan, Scope);

impl Binder<'_> {
    /// The whole FROM clause; without one, a single row of no columns.
    pub(super) fn from_clause(&mut self, from: &[ast::TableWithJoins]) -> Result<FromItem, Report> {
        let mut all: Option<FromItem> = None;
        for item in from {
            let mut current = self.join_factor(all.take(), &item.relation, None)?;
            for join in &item.joins {
                current =
                    self.join_factor(Some(current), &join.relation, Some(&join.join_operator))?;
            }
            all = Some(current);
        }
        match all {
            Some(all) => Ok(all),
            None => {
                let plan = LogicalPlanBuilder::empty(true).build().map_err(report_of)?;
                Ok((plan, Scope::default()))
            }
        }
    }

    /// One more relation, joined to what is left of it.
    ///
    /// A comma binds looser than JOIN: `a, b JOIN c ON …` sees only b and c in its condition in
    /// PostgreSQL. Reading it from left to right accepts a little more and answers the same.
    fn join_factor(
        &mut self,
        left: Option<FromItem>,
        factor: &TableFactor,
        operator: Option<&JoinOperator>,
    ) -> Result<FromItem, Report> {
        let (join_type, constraint) = join_kind(operator)?;
        if let Some(call) = self.function_in_from(factor)? {
            return self.join_function(left, call, join_type, constraint);
        }
        let Some((left_plan, left_scope)) = left else {
            return self.factor(factor, None, JoinType::Inner);
        };
        let (right_plan, right_scope) = self.factor(factor, Some(&left_scope), join_type)?;
        self.join(
            left_plan,
            left_scope,
            right_plan,
            right_scope,
            join_type,
            constraint,
        )
    }

    fn join(
        &mut self,
        left: LogicalPlan,
        left_scope: Scope,
        right: LogicalPlan,
        right_scope: Scope,
        join_type: JoinType,
        constraint: &JoinConstraint,
    ) -> Result<FromItem, Report> {
        let builder = LogicalPlanBuilder::from(left);
        let names = match constraint {
            JoinConstraint::None => {
                let scope = left_scope.join(right_scope)?;
                let plan = builder
                    .cross_join(right)
                    .and_then(|b| b.build())
                    .map_err(report_of)?;
                return Ok((plan, scope));
            }
            JoinConstraint::On(condition) => {
                let scope = left_scope.join(right_scope)?;
                let typed = self.condition(condition, &scope, "JOIN/ON")?;
                self.no_aggregates(&typed, "JOIN conditions", condition)?;
                let plan = builder
                    .join_on(right, join_type, [typed.expr])
                    .and_then(|b| b.build())
                    .map_err(report_of)?;
                return Ok((plan, scope));
            }
            JoinConstraint::Using(names) => names
                .iter()
                .map(|name| super::object_name(name).map(|(_, name)| name))
                .collect::<Result<Vec<_>, _>>()?,
            JoinConstraint::Natural => {
                let right_names: Vec<String> = right_scope.star().map(|f| f.name.clone()).collect();
                left_scope
                    .star()
                    .map(|field| field.name.clone())
                    .filter(|name| right_names.contains(name))
                    .collect()
            }
        };
        self.join_using(builder, left_scope, right, right_scope, join_type, &names)
    }

    fn join_using(
        &mut self,
        left: LogicalPlanBuilder,
        mut left_scope: Scope,
        right: LogicalPlan,
        mut right_scope: Scope,
        join_type: JoinType,
        names: &[String],
    ) -> Result<FromItem, Report> {
        let mut conditions = Vec::with_capacity(names.len());
        let mut merged = Vec::with_capacity(names.len());
        for name in names {
            let missing = |side: &str| {
                Report::error(
                    codes::UNDEFINED_COLUMN,
                    format!(
                        "column \"{name}\" specified in USING clause does not exist in {side} table"
                    ),
                )
            };
            let l = left_scope
                .find(name)?
                .cloned()
                .ok_or_else(|| missing("left"))?;
            let r = right_scope
                .find(name)?
                .cloned()
                .ok_or_else(|| missing("right"))?;
            conditions.push(self.compare(Operator::Eq, "=", l.clone(), r.clone())?.expr);
            let typed = match join_type {
                JoinType::Right => r,
                JoinType::Full => self.call("coalesce", vec![l, r])?,
                _ => l,
            };
            merged.push(ScopeField {
                name: name.clone(),
                typed,
                hidden: false,
                merged_away: false,
            });
            for scope in [&mut left_scope, &mut right_scope] {
                scope.merged.retain(|field| field.name != *name);
                for field in scope
                    .relations
                    .iter_mut()
                    .flat_map(|relation| &mut relation.fields)
                {
                    field.merged_away |= field.name == *name;
                }
            }
        }
        if conditions.is_empty() {
            conditions.push(lit(true));
        }
        let mut scope = left_scope.join(right_scope)?;
        merged.append(&mut scope.merged);
        scope.merged = merged;
        let plan = left
            .join_on(right, join_type, conditions)
            .and_then(|b| b.build())
            .map_err(report_of)?;
        Ok((plan, scope))
    }

    /// One relation. `left` is what LATERAL may see.
    fn factor(
        &mut self,
        factor: &TableFactor,
        left: Option<&Scope>,
        join_type: JoinType,
    ) -> Result<FromItem, Report> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                sample,
                version,
                ..
            } => {
                if sample.is_some() || version.is_some() {
                    return Err(Report::unsupported("TABLESAMPLE is not supported"));
                }
                self.named(name, alias.as_ref())
            }
            TableFactor::Derived {
                lateral,
                subquery,
                alias,
                ..
            } => {
                let left = if *lateral { left } else { None };
                self.derived(subquery, alias.as_ref(), left, join_type)
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias,
            } => {
                let item = self.from_clause(std::slice::from_ref(table_with_joins))?;
                match alias {
                    Some(alias) => self.alias_join(item, alias),
                    None => Ok(item),
                }
            }
            other => {
                let text: String = other.to_string().chars().take(60).collect();
                Err(Report::unsupported(format!(
                    "this form of FROM is not supported: {text}"
                )))
            }
        }
    }

    /// A table, a view or a WITH query.
    fn named(
        &mut self,
        name: &ast::ObjectName,
        alias: Option<&ast::TableAlias>,
    ) -> Result<FromItem, Report> {
        let (schema, table) = super::object_name(name)?;
        if schema.is_none()
            && let Some(cte) = self
                .ctes
                .iter()
                .rev()
                .find_map(|ctes| ctes.get(&table))
                .cloned()
        {
            let bound = cte.bound.as_ref().clone();
            return self.alias_query(bound, &table, alias, None, ScopeKind::Rows);
        }
        let relation = self
            .environment
            .relation(schema.as_deref(), &table)?
            .ok_or_else(|| {
                let shown = match &schema {
                    Some(schema) => format!("{schema}.{table}"),
                    None => table.clone(),
                };
                self.at(
                    Report::error(
                        codes::UNDEFINED_TABLE,
                        format!("relation \"{shown}\" does not exist"),
                    ),
                    name.span(),
                )
            })?;
        match relation {
            Relation::Table(relation) => self.table(relation, &table, alias),
            Relation::View(view) => self.view(view, &table, alias),
        }
    }

    fn table(
        &mut self,
        relation: TableRelation,
        name: &str,
        alias: Option<&ast::TableAlias>,
    ) -> Result<FromItem, Report> {
        let shown = alias.map_or_else(|| name.to_owned(), |alias| fold(&alias.name));
        let qualifier = self.fresh_qualifier(&shown);
        let reference = TableReference::bare(qualifier);
        let schema = relation.source.schema();
        let kind = if relation.columns.iter().any(|column| column.hidden) {
            ScopeKind::Stored(relation.id)
        } else {
            ScopeKind::Rows
        };
        let mut fields = Vec::with_capacity(relation.columns.len());
        for (column, field) in relation.columns.iter().zip(schema.fields()) {
            fields.push(ScopeField {
                name: column.name.clone(),
                typed: Typed {
                    expr: Expr::Column(Column::new(Some(reference.clone()), field.name())),
                    sql_type: column.sql_type.clone(),
                    data_type: field.data_type().clone(),
                    origin: (column.number != 0).then_some((relation.id, column.number)),
                },
                hidden: column.hidden,
                merged_away: false,
            });
        }
        rename(&mut fields, &shown, alias)?;
        let plan = LogicalPlanBuilder::scan(reference, relation.source, None)
            .and_then(|b| b.build())
            .map_err(report_of)?;
        let relation = ScopeRelation {
            name: shown,
            schema: alias.is_none().then_some(relation.schema),
            fields,
            key: relation.primary_key,
            kind,
        };
        Ok((
            plan,
            Scope {
                relations: vec![relation],
                merged: Vec::new(),
                order: Vec::new(),
            },
        ))
    }

    /// A view: its query, bound where nothing of this statement is in reach.
    fn view(
        &mut self,
        view: ViewRelation,
        name: &str,
        alias: Option<&ast::TableAlias>,
    ) -> Result<FromItem, Report> {
        if self.views >= VIEW_NESTING_MAX {
            return Err(Report::error(
                codes::STATEMENT_TOO_COMPLEX,
                format!("views nest more than {VIEW_NESTING_MAX} levels"),
            ));
        }
        let shown = alias.map_or_else(|| name.to_owned(), |alias| fold(&alias.name));
        let query = self.locked_query(&view.query, &shown);
        let outer = std::mem::take(&mut self.outer);
        let ctes = std::mem::take(&mut self.ctes);
        let windows = std::mem::take(&mut self.windows);
        self.views += 1;
        let bound = self.query(&query, false);
        self.views -= 1;
        self.outer = outer;
        self.ctes = ctes;
        self.windows = windows;
        let mut bound = bound?;
        for (i, (column, (name, sql_type))) in
            bound.columns.iter_mut().zip(&view.columns).enumerate()
        {
            column.name.clone_from(name);
            column.sql_type = sql_type.clone();
            column.origin = i16::try_from(i + 1).ok().map(|number| (view.id, number));
        }
        self.alias_query(bound, name, alias, Some(view.schema), ScopeKind::Query)
    }

    fn derived(
        &mut self,
        query: &ast::Query,
        alias: Option<&ast::TableAlias>,
        left: Option<&Scope>,
        join_type: JoinType,
    ) -> Result<FromItem, Report> {
        let Some(alias) = alias else {
            return Err(
                Report::error(codes::SYNTAX_ERROR, "subquery in FROM must have an alias")
                    .with_hint("For example, FROM (SELECT ...) [AS] foo."),
            );
        };
        let windows = std::mem::take(&mut self.windows);
        if let Some(left) = left {
            self.outer.push(Arc::new(left.clone()));
        }
        let (kind, query) = match query.body.as_ref() {
            ast::SetExpr::Values(_) => (ScopeKind::Rows, Cow::Borrowed(query)),
            _ => (
                ScopeKind::Query,
                self.locked_query(query, &fold(&alias.name)),
            ),
        };
        let bound = self.query(&query, false);
        if left.is_some() {
            self.outer.pop();
        }
        self.windows = windows;
        let mut bound = bound?;
        if left.is_some() {
            bound.plan = lateral_plan(bound.plan, join_type)?;
        }
        self.alias_query(bound, "", Some(alias), None, kind)
    }

    /// A bound query as a relation.
    fn alias_query(
        &mut self,
        bound: BoundQuery,
        name: &str,
        alias: Option<&ast::TableAlias>,
        schema: Option<String>,
        kind: ScopeKind,
    ) -> Result<FromItem, Report> {
        let shown = alias.map_or_else(|| name.to_owned(), |alias| fold(&alias.name));
        let qualifier = self.fresh_qualifier(&shown);
        let reference = TableReference::bare(qualifier);
        let mut fields: Vec<ScopeField> = bound
            .columns
            .iter()
            .map(|column| ScopeField {
                name: column.name.clone(),
                typed: Typed {
                    expr: Expr::Column(Column::new(Some(reference.clone()), &column.column)),
                    sql_type: column.sql_type.clone(),
                    data_type: column.data_type.clone(),
                    origin: column.origin,
                },
                hidden: false,
                merged_away: false,
            })
            .collect();
        rename(&mut fields, &shown, alias)?;
        let (plan, order) = ordered_rows(bound.plan, &reference);
        let plan = LogicalPlanBuilder::from(plan)
            .alias(reference)
            .and_then(|b| b.build())
            .map_err(report_of)?;
        let schema = if alias.is_none() { schema } else { None };
        let relation = ScopeRelation {
            name: shown,
            schema,
            fields,
            key: None,
            kind,
        };
        Ok((
            plan,
            Scope {
                relations: vec![relation],
                merged: Vec::new(),
                order,
            },
        ))
    }

    /// `(a JOIN b …) AS x`: the join's columns under one name.
    fn alias_join(&mut self, item: FromItem, alias: &ast::TableAlias) -> Result<FromItem, Report> {
        let (plan, scope) = item;
        let shown = fold(&alias.name);
        let qualifier = self.fresh_qualifier(&shown);
        let reference = TableReference::bare(qualifier);
        let mut exprs = Vec::new();
        let mut fields = Vec::new();
        for (i, field) in scope.star().enumerate() {
            let column = format!("c{i}");
            exprs.push(field.typed.expr.clone().alias(&column));
            let expr = Expr::Column(Column::new(Some(reference.clone()), column));
            fields.push(ScopeField {
                typed: Typed {
                    expr,
                    ..field.typed.clone()
                },
                ..field.clone()
            });
        }
        rename(&mut fields, &shown, Some(alias))?;
        let plan = LogicalPlanBuilder::from(plan)
            .project(exprs)
            .and_then(|b| b.alias(reference))
            .and_then(|b| b.build())
            .map_err(report_of)?;
        let relation = ScopeRelation {
            name: shown,
            schema: None,
            fields,
            key: None,
            kind: ScopeKind::Query,
        };
        Ok((
            plan,
            Scope {
                relations: vec![relation],
                merged: Vec::new(),
                order: Vec::new(),
            },
        ))
    }

    /// The function that a FROM item calls, if it is one.
    fn function_in_from<'f>(
        &self,
        factor: &'f TableFactor,
    ) -> Result<Option<FromCall<'f>>, Report> {
        let expr_of = |argument: &'f ast::FunctionArg| match argument {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr))
            | ast::FunctionArg::Named {
                arg: ast::FunctionArgExpr::Expr(expr),
                ..
            } => Ok(expr),
            _ => Err(Report::unsupported("this form of a function's argument")),
        };
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: Some(args),
                with_ordinality,
                ..
            } => Ok(Some(FromCall {
                name: super::object_name(name)?.1,
                arguments: args.args.iter().map(expr_of).collect::<Result<_, _>>()?,
                alias: alias.as_ref(),
                ordinality: *with_ordinality,
            })),
            TableFactor::Function {
                name,
                args,
                alias,
                with_ordinality,
                ..
            } => Ok(Some(FromCall {
                name: super::object_name(name)?.1,
                arguments: args.iter().map(expr_of).collect::<Result<_, _>>()?,
                alias: alias.as_ref(),
                ordinality: *with_ordinality,
            })),
            TableFactor::UNNEST {
                alias,
                array_exprs,
                with_ordinality,
                ..
            } => Ok(Some(FromCall {
                name: "unnest".to_owned(),
                arguments: array_exprs.iter().collect(),
                alias: alias.as_ref(),
                ordinality: *with_ordinality,
            })),
            // `FROM current_database()` and keywords that are functions.
            _ => Ok(None),
        }
    }

    /// `FROM …, function(arguments)`: one row for each row of the function's set.
    fn join_function(
        &mut self,
        left: Option<FromItem>,
        call: FromCall<'_>,
        join_type: JoinType,
        constraint: &JoinConstraint,
    ) -> Result<FromItem, Report> {
        let empty = Scope::default();
        let left_scope = left.as_ref().map_or(&empty, |(_, scope)| scope);
        let mut arguments = Vec::with_capacity(call.arguments.len());
        for argument in &call.arguments {
            arguments.push(self.expr(argument, left_scope)?);
        }
        let is_set = !self.environment.registry().sets(&call.name).is_empty();
        let reads_left = arguments
            .iter()
            .any(|typed| !typed.expr.column_refs().is_empty());
        match left {
            Some((plan, scope)) if !is_set || reads_left && !unnests(join_type, constraint) => {
                let arguments = arguments
                    .iter()
                    .map(|typed| outer_reference(typed, &scope))
                    .collect::<Result<_, _>>()?;
                let cross = JoinConstraint::None;
                let (right, right_scope) =
                    self.function_rows(None, call, arguments, is_set, JoinType::Inner, &cross)?;
                let right = lateral_plan(right, join_type)?;
                self.join(plan, scope, right, right_scope, join_type, constraint)
            }
            left => self.function_rows(left, call, arguments, is_set, join_type, constraint),
        }
    }

    /// The function's rows, joined to what its arguments read of the left.
    fn function_rows(
        &mut self,
        left: Option<FromItem>,
        call: FromCall<'_>,
        arguments: Vec<Typed>,
        is_set: bool,
        join_type: JoinType,
        constraint: &JoinConstraint,
    ) -> Result<FromItem, Report> {
        if !is_set {
            return self.scalar_in_from(&call, arguments);
        }
        let (list, columns) = self.set_list(&call.name, arguments, call.ordinality)?;
        let lateral = !list.column_refs().is_empty();
        let shown = call
            .alias
            .map_or_else(|| call.name.clone(), |alias| fold(&alias.name));
        let qualifier = self.fresh_qualifier(&shown);
        let reference = TableReference::bare(qualifier);
        let set_column = format!("set of {reference}");
        let (left_item, base, mut kept) = match (left, lateral) {
            (Some((plan, scope)), true) => {
                let kept: Vec<Expr> = plan
                    .schema()
                    .columns()
                    .into_iter()
                    .map(Expr::Column)
                    .collect();
                (Some((None, scope)), plan, kept)
            }
            (left, _) => {
                let base = LogicalPlanBuilder::empty(true).build().map_err(report_of)?;
                (
                    left.map(|(plan, scope)| (Some(plan), scope)),
                    base,
                    Vec::new(),
                )
            }
        };
        let mut first = kept.clone();
        let preserve_nulls = join_type == JoinType::Left;
        let list = if preserve_nulls && lateral {
            // Expanding keeps a row for NULL, but not for a list without items.
            let list_type = list.get_type(base.schema()).map_err(report_of)?;
            let none = ScalarValue::try_from(list_type).map_err(report_of)?;
            when(array_empty(list.clone()), Expr::Literal(none, None))
                .otherwise(list)
                .map_err(report_of)?
        } else {
            list
        };
        first.push(list.alias(&set_column));
        let plan = LogicalPlanBuilder::from(base)
            .project(first)
            .and_then(|b| {
                b.unnest_column_with_options(
                    Column::new_unqualified(&set_column),
                    UnnestOptions::new().with_preserve_nulls(preserve_nulls),
                )
            })
            .and_then(|b| b.build())
            .map_err(report_of)?;
        let unnested = plan
            .schema()
            .columns()
            .pop()
            .map(Expr::Column)
            .ok_or_else(|| Report::internal("unnest keeps its column"))?;
        let single = columns.len() == 1;
        let mut fields = Vec::with_capacity(columns.len());
        for (i, (name, typed)) in columns.iter().enumerate() {
            let value = if single {
                unnested.clone()
            } else {
                let arguments = vec![unnested.clone(), lit(format!("f{i}"))];
                Expr::ScalarFunction(ScalarFunction::new_udf(df_core::get_field(), arguments))
            };
            let column = format!("f{i}");
            kept.push(value.alias_qualified(Some(reference.clone()), &column));
            // A function of one column is called like its alias.
            let name = match (single, call.alias) {
                (true, Some(alias)) if alias.columns.is_empty() => fold(&alias.name),
                _ => name.clone(),
            };
            fields.push(ScopeField {
                name,
                typed: Typed {
                    expr: Expr::Column(Column::new(Some(reference.clone()), column)),
                    ..typed.clone()
                },
                hidden: false,
                merged_away: false,
            });
        }
        rename(&mut fields, &shown, call.alias)?;
        let plan = LogicalPlanBuilder::from(plan)
            .project(kept)
            .and_then(|b| b.build())
            .map_err(report_of)?;
        let scope = Scope {
            relations: vec![ScopeRelation {
                name: shown,
                schema: None,
                fields,
                key: None,
                kind: ScopeKind::Rows,
            }],
            merged: Vec::new(),
            order: Vec::new(),
        };
        match left_item {
            None => Ok((plan, scope)),
            Some((Some(left_plan), left_scope)) => {
                self.join(left_plan, left_scope, plan, scope, join_type, constraint)
            }
            Some((None, left_scope)) => {
                let joined = left_scope.join(scope)?;
                match constraint {
                    JoinConstraint::None => Ok((plan, joined)),
                    JoinConstraint::On(condition) if unnests(join_type, constraint) => {
                        let typed = self.condition(condition, &joined, "JOIN/ON")?;
                        let plan = LogicalPlanBuilder::from(plan)
                            .filter(typed.expr)
                            .and_then(|b| b.build())
                            .map_err(report_of)?;
                        Ok((plan, joined))
                    }
                    _ => Err(Report::unsupported(
                        "this kind of join with a function of the left side's columns",
                    )),
                }
            }
        }
    }

    /// `FROM scalar_function(…)`: one row of one column.
    fn scalar_in_from(
        &mut self,
        call: &FromCall<'_>,
        arguments: Vec<Typed>,
    ) -> Result<FromItem, Report> {
        let typed = self.call(&call.name, arguments)?;
        let typed = self.settle(typed)?;
        let plan = LogicalPlanBuilder::empty(true)
            .project(vec![typed.expr.clone().alias("f0")])
            .and_then(|b| b.build())
            .map_err(report_of)?;
        let bound = BoundQuery {
            plan,
            columns: vec![super::OutputColumn {
                name: call
                    .alias
                    .map_or_else(|| call.name.clone(), |alias| fold(&alias.name)),
                column: "f0".to_owned(),
                sql_type: typed.sql_type,
                data_type: typed.data_type,
                origin: None,
            }],
        };
        self.alias_query(bound, &call.name, call.alias, None, ScopeKind::Rows)
    }
}

/// A plan that may read what is left of it.
fn lateral_plan(plan: LogicalPlan, join_type: JoinType) -> Result<LogicalPlan, Report> {
    let outer_ref_columns = deep_references(&plan)?;
    if outer_ref_columns.is_empty() {
        return Ok(plan);
    }
    if !matches!(join_type, JoinType::Inner | JoinType::Left) {
        return Err(Report::error(
            codes::INVALID_COLUMN_REFERENCE,
            "invalid reference to FROM-clause entry",
        )
        .with_detail("The combining JOIN type must be INNER or LEFT for a LATERAL reference."));
    }
    Ok(LogicalPlan::Subquery(Subquery {
        subquery: Arc::new(plan),
        outer_ref_columns,
        spans: Spans::new(),
    }))
}

/// Whether a join with a function of the left's columns is an expansion of its rows.
fn unnests(join_type: JoinType, constraint: &JoinConstraint) -> bool {
    match constraint {
        JoinConstraint::None => true,
        JoinConstraint::On(condition) => join_type == JoinType::Inner || is_true(condition),
        _ => false,
    }
}

/// A function call in FROM.
struct FromCall<'f> {
    name: String,
    arguments: Vec<&'f ast::Expr>,
    alias: Option<&'f ast::TableAlias>,
    ordinality: bool,
}

/// The kind of join that an operator stands for.
fn join_kind(operator: Option<&JoinOperator>) -> Result<(JoinType, &JoinConstraint), Report> {
    Ok(match operator {
        None => (JoinType::Inner, &JoinConstraint::None),
        Some(JoinOperator::Join(c) | JoinOperator::Inner(c) | JoinOperator::CrossJoin(c)) => {
            (JoinType::Inner, c)
        }
        Some(JoinOperator::Left(c) | JoinOperator::LeftOuter(c)) => (JoinType::Left, c),
        Some(JoinOperator::Right(c) | JoinOperator::RightOuter(c)) => (JoinType::Right, c),
        Some(JoinOperator::FullOuter(c)) => (JoinType::Full, c),
        Some(_) => {
            return Err(Report::error(
                codes::SYNTAX_ERROR,
                "this kind of join does not exist",
            ));
        }
    })
}

/// Gives columns the names of `AS t(a, b)`.
fn rename(
    fields: &mut [ScopeField],
    shown: &str,
    alias: Option<&ast::TableAlias>,
) -> Result<(), Report> {
    let Some(alias) = alias else { return Ok(()) };
    let visible = fields.iter().filter(|field| !field.hidden).count();
    if alias.columns.len() > visible {
        return Err(Report::error(
            codes::INVALID_COLUMN_REFERENCE,
            format!(
                "table \"{shown}\" has {visible} columns available but {} columns specified",
                alias.columns.len()
            ),
        ));
    }
    for (field, column) in fields.iter_mut().filter(|f| !f.hidden).zip(&alias.columns) {
        field.name = fold(&column.name);
    }
    Ok(())
}

fn is_true(expr: &ast::Expr) -> bool {
    matches!(
        super::expr::strip(expr),
        ast::Expr::Value(value) if value.value == ast::Value::Boolean(true)
    )
}

/// A plan and the order of its rows in columns that it will have under the qualifier.
fn ordered_rows(plan: LogicalPlan, qualifier: &TableReference) -> (LogicalPlan, Vec<Sort>) {
    let (with_keys, keys) = with_order(plan.clone());
    let qualified: Option<Vec<Sort>> = keys
        .into_iter()
        .map(|key| match key.expr {
            Expr::Column(column) => {
                let column = Column::new(Some(qualifier.clone()), column.name);
                Some(Sort::new(Expr::Column(column), key.asc, key.nulls_first))
            }
            _ => None,
        })
        .collect();
    match qualified {
        Some(order) if !order.is_empty() => (with_keys, order),
        _ => (plan, Vec::new()),
    }
}
