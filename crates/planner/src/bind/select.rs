//! One SELECT: its items, WHERE, GROUP BY, HAVING, windows, DISTINCT and ORDER BY.
//!
//! Everything is bound over the FROM clause first, aggregates and windows in place; then the
//! plan is built from the bottom up, and at each step what the step computes is replaced by the
//! column that now holds it.

use std::collections::HashSet;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, UnnestOptions};
use datafusion::logical_expr::expr::{GroupingSet, Sort};
use datafusion::logical_expr::utils::{find_aggregate_exprs, find_window_exprs};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use sqlparser::ast::Spanned;
use sqlparser::ast::{self, GroupByExpr, SelectItem, SelectItemQualifiedWildcardKind};
use tessera_types::{Report, codes};

use super::call::sort_key;
use super::expr::strip;
use super::locks::{RowLockTarget, not_allowed};
use super::names::{fold, output_name};
use super::outer::Grouped;
use super::{Binder, BoundQuery, OutputColumn, Scope, Typed};
use crate::errors::report_of;

/// Columns of one SELECT list: PostgreSQL's limit.
const COLUMNS_MAX: usize = 1_664;

/// Grouping sets of one query: PostgreSQL's limit.
const GROUPING_SETS_MAX: usize = 4_096;

/// One output column, bound.
struct Item {
    name: String,
    typed: Typed,
}

/// One ORDER BY key: an output column, or something of its own.
struct Key {
    target: Target,
    options: ast::OrderByOptions,
}

enum Target {
    Item(usize),
    Hidden(Typed),
}

/// What is done with the projected rows: positions of DISTINCT ON and ORDER BY, and row locks.
struct Order<'a> {
    on: &'a [usize],
    sort: &'a [(usize, ast::OrderByOptions)],
    targets: Vec<RowLockTarget>,
}

/// FROM and WHERE, bound, and whose rows are locked.
struct Source<'a> {
    plan: LogicalPlan,
    scope: &'a Scope,
    targets: Vec<RowLockTarget>,
}

/// GROUP BY, bound.
struct Grouping {
    /// Every grouped expression once.
    exprs: Vec<Expr>,
    /// The sets, when GROUPING SETS, ROLLUP or CUBE were used.
    sets: Option<Vec<Vec<Expr>>>,
}

impl Binder<'_> {
    /// Binds a SELECT with the ORDER BY that belongs to it.
    pub(super) fn select(
        &mut self,
        select: &ast::Select,
        order_by: &[ast::OrderByExpr],
        keep_unknown: bool,
        locks: &[ast::LockClause],
    ) -> Result<BoundQuery, Report> {
        check_supported(select)?;
        let around = std::mem::replace(&mut self.locks, locks.to_vec());
        let from = self.from_clause(&select.from);
        self.locks = around;
        let (mut plan, scope) = from?;
        let targets = self.lock_targets(locks, select, &scope)?;
        if let Some(condition) = &select.selection {
            let typed = self.condition(condition, &scope, "WHERE")?;
            self.no_aggregates(&typed, "WHERE", condition)?;
            plan = LogicalPlanBuilder::from(plan)
                .filter(typed.expr)
                .and_then(|b| b.build())
                .map_err(report_of)?;
        }
        self.push_windows(&select.named_window)?;
        let source = Source {
            plan,
            scope: &scope,
            targets,
        };
        let bound = self.select_over(select, order_by, keep_unknown, source);
        self.windows.pop();
        bound
    }

    fn push_windows(&mut self, named: &[ast::NamedWindowDefinition]) -> Result<(), Report> {
        let mut windows = std::collections::HashMap::new();
        for ast::NamedWindowDefinition(name, window) in named {
            let spec = match window {
                ast::NamedWindowExpr::WindowSpec(spec) => match &spec.window_name {
                    Some(base) => {
                        let mut merged: ast::WindowSpec = windows
                            .get(&fold(base))
                            .cloned()
                            .ok_or_else(|| no_window(base))?;
                        if !spec.order_by.is_empty() {
                            merged.order_by.clone_from(&spec.order_by);
                        }
                        merged.window_frame.clone_from(&spec.window_frame);
                        merged
                    }
                    None => spec.clone(),
                },
                ast::NamedWindowExpr::NamedWindow(base) => windows
                    .get(&fold(base))
                    .cloned()
                    .ok_or_else(|| no_window(base))?,
            };
            if windows.insert(fold(name), spec).is_some() {
                return Err(Report::error(
                    codes::WINDOWING_ERROR,
                    format!("window \"{}\" is already defined", fold(name)),
                ));
            }
        }
        self.windows.push(windows);
        Ok(())
    }

    fn select_over(
        &mut self,
        select: &ast::Select,
        order_by: &[ast::OrderByExpr],
        keep_unknown: bool,
        source: Source<'_>,
    ) -> Result<BoundQuery, Report> {
        let Source {
            mut plan,
            scope,
            targets,
        } = source;
        let mut items = self.items(&select.projection, scope, keep_unknown)?;
        let grouping = self.grouping(&select.group_by, &items, select, scope)?;
        let mut having = match &select.having {
            Some(condition) => Some(self.condition(condition, scope, "HAVING")?.expr),
            None => None,
        };
        let mut keys = self.keys(order_by, &items, scope)?;
        let distinct_on = match &select.distinct {
            Some(ast::Distinct::On(exprs)) => {
                let mut on = Vec::with_capacity(exprs.len());
                for expr in exprs {
                    on.push(self.target(expr, &items, scope, "DISTINCT ON")?);
                }
                on
            }
            _ => Vec::new(),
        };
        let mut hidden: Vec<Expr> = Vec::new();
        let mut hide = |target: Target, items: &[Item]| match target {
            Target::Item(i) => i,
            Target::Hidden(typed) => {
                let at = hidden.iter().position(|expr| *expr == typed.expr);
                items.len()
                    + at.unwrap_or_else(|| {
                        hidden.push(typed.expr);
                        hidden.len() - 1
                    })
            }
        };
        let on: Vec<usize> = distinct_on
            .into_iter()
            .map(|target| hide(target, &items))
            .collect();
        let sort: Vec<(usize, ast::OrderByOptions)> = keys
            .drain(..)
            .map(|key| (hide(key.target, &items), key.options))
            .collect();
        if matches!(select.distinct, Some(ast::Distinct::Distinct)) && !hidden.is_empty() {
            return Err(Report::error(
                codes::INVALID_COLUMN_REFERENCE,
                "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
            ));
        }

        // All expressions that the steps below rewrite: items, hidden keys, HAVING.
        let visible = items.len();
        let mut exprs: Vec<Expr> = items.iter().map(|item| item.typed.expr.clone()).collect();
        exprs.append(&mut hidden);
        let aggregates = find_aggregate_exprs(exprs.iter().chain(&having));
        if !aggregates.is_empty()
            || having.is_some()
            || !grouping.exprs.is_empty()
            || grouping.sets.is_some()
        {
            if let Some(target) = targets.first() {
                return Err(not_allowed(target.strength.words(), "aggregate functions"));
            }
            if let Some(condition) = having.take() {
                exprs.push(condition);
            }
            plan = self.aggregate(plan, grouping, aggregates, &mut exprs, scope, select)?;
            if exprs.len() > visible && select.having.is_some() {
                let condition = exprs
                    .pop()
                    .ok_or_else(|| Report::internal("HAVING was put there"))?;
                plan = LogicalPlanBuilder::from(plan)
                    .filter(condition)
                    .and_then(|b| b.build())
                    .map_err(report_of)?;
            }
        }
        let windows = find_window_exprs(exprs.iter());
        if !windows.is_empty() {
            if let Some(target) = targets.first() {
                return Err(not_allowed(target.strength.words(), "window functions"));
            }
            let map: Vec<(Expr, Expr)> = windows
                .iter()
                .map(|window| (window.clone(), column_of(window.schema_name().to_string())))
                .collect();
            plan = LogicalPlanBuilder::window_plan(plan, windows).map_err(report_of)?;
            replace(&mut exprs, &map)?;
        }
        exprs.extend(targets.iter().map(|target| target.key.clone()));
        plan = expand_sets(plan, &mut exprs)?;
        let order = Order {
            on: &on,
            sort: &sort,
            targets,
        };
        self.project(select, plan, &mut items, exprs, order)
    }

    /// The SELECT list.
    fn items(
        &mut self,
        projection: &[SelectItem],
        scope: &Scope,
        keep_unknown: bool,
    ) -> Result<Vec<Item>, Report> {
        let mut items = Vec::with_capacity(projection.len());
        for item in projection {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    items.push(Item {
                        name: output_name(expr),
                        typed: self.item(expr, scope, keep_unknown)?,
                    });
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    items.push(Item {
                        name: fold(alias),
                        typed: self.item(expr, scope, keep_unknown)?,
                    });
                }
                SelectItem::Wildcard(options) => {
                    check_wildcard(options)?;
                    if scope.relations.is_empty() {
                        return Err(Report::error(
                            codes::SYNTAX_ERROR,
                            "SELECT * with no tables specified is not valid",
                        ));
                    }
                    items.extend(scope.star().map(|field| Item {
                        name: field.name.clone(),
                        typed: field.typed.clone(),
                    }));
                }
                SelectItem::QualifiedWildcard(kind, options) => {
                    check_wildcard(options)?;
                    let SelectItemQualifiedWildcardKind::ObjectName(name) = kind else {
                        return Err(Report::unsupported("expansion of a row expression"));
                    };
                    let (schema, table) = super::object_name(name)?;
                    let relation = scope.relation(schema.as_deref(), &table).ok_or_else(|| {
                        self.at(
                            Report::error(
                                codes::UNDEFINED_TABLE,
                                format!("missing FROM-clause entry for table \"{table}\""),
                            ),
                            name.span(),
                        )
                    })?;
                    items.extend(relation.fields.iter().filter(|field| !field.hidden).map(
                        |field| Item {
                            name: field.name.clone(),
                            typed: field.typed.clone(),
                        },
                    ));
                }
                SelectItem::ExprWithAliases { .. } => {
                    return Err(Report::error(
                        codes::SYNTAX_ERROR,
                        "one alias for each column",
                    ));
                }
            }
        }
        if items.len() > COLUMNS_MAX {
            return Err(Report::error(
                codes::TOO_MANY_COLUMNS,
                format!("target lists can have at most {COLUMNS_MAX} entries"),
            ));
        }
        Ok(items)
    }

    fn item(
        &mut self,
        expr: &ast::Expr,
        scope: &Scope,
        keep_unknown: bool,
    ) -> Result<Typed, Report> {
        let before = std::mem::replace(&mut self.sets_allowed, true);
        let typed = self.expr(expr, scope);
        self.sets_allowed = before;
        let typed = typed?;
        if keep_unknown && matches!(typed.expr, Expr::Literal(..)) {
            Ok(typed)
        } else {
            self.settle(typed)
        }
    }

    /// GROUP BY.
    fn grouping(
        &mut self,
        group_by: &GroupByExpr,
        items: &[Item],
        select: &ast::Select,
        scope: &Scope,
    ) -> Result<Grouping, Report> {
        let GroupByExpr::Expressions(written, modifiers) = group_by else {
            return Err(Report::error(
                codes::SYNTAX_ERROR,
                "GROUP BY ALL is not SQL",
            ));
        };
        if !modifiers.is_empty() {
            return Err(Report::error(
                codes::SYNTAX_ERROR,
                "use GROUP BY ROLLUP (…) or CUBE (…)",
            ));
        }
        let mut sets: Vec<Vec<Expr>> = vec![Vec::new()];
        let mut any_sets = false;
        for expr in written {
            let alternatives = match strip(expr) {
                ast::Expr::Rollup(groups) => {
                    any_sets = true;
                    let groups = self.groups(groups, items, scope)?;
                    (0..=groups.len())
                        .rev()
                        .map(|n| groups[..n].concat())
                        .collect()
                }
                ast::Expr::Cube(groups) => {
                    any_sets = true;
                    let groups = self.groups(groups, items, scope)?;
                    if groups.len() > 12 {
                        return Err(Report::error(
                            codes::TOO_MANY_COLUMNS,
                            "CUBE is limited to 12 elements",
                        ));
                    }
                    (0..1_usize << groups.len())
                        .rev()
                        .map(|mask| {
                            let chosen = groups.iter().enumerate();
                            chosen
                                .filter(|(i, _)| mask >> (groups.len() - 1 - i) & 1 == 1)
                                .flat_map(|(_, group)| group.clone())
                                .collect()
                        })
                        .collect()
                }
                ast::Expr::GroupingSets(groups) => {
                    any_sets = true;
                    self.groups(groups, items, scope)?
                }
                ast::Expr::Tuple(exprs) => {
                    let mut group = Vec::new();
                    for expr in exprs {
                        group.push(self.group_expr(expr, items, scope)?);
                    }
                    vec![group]
                }
                expr => vec![vec![self.group_expr(expr, items, scope)?]],
            };
            sets = sets
                .iter()
                .flat_map(|before| {
                    alternatives
                        .iter()
                        .map(move |more: &Vec<Expr>| [before.clone(), more.clone()].concat())
                })
                .collect();
            if sets.len() > GROUPING_SETS_MAX {
                return Err(Report::error(
                    codes::STATEMENT_TOO_COMPLEX,
                    format!("too many grouping sets present (maximum {GROUPING_SETS_MAX})"),
                ));
            }
        }
        for set in &mut sets {
            let mut seen = HashSet::new();
            set.retain(|expr| seen.insert(expr.clone()));
        }
        let mut exprs: Vec<Expr> = Vec::new();
        for expr in sets.iter().flatten() {
            if !exprs.contains(expr) {
                exprs.push(expr.clone());
            }
        }
        if !find_aggregate_exprs(exprs.iter()).is_empty() {
            return Err(self.at(
                Report::error(
                    codes::GROUPING_ERROR,
                    "aggregate functions are not allowed in GROUP BY",
                ),
                select.group_by.span(),
            ));
        }
        Ok(Grouping {
            exprs,
            sets: any_sets.then_some(sets),
        })
    }

    fn groups(
        &mut self,
        groups: &[Vec<ast::Expr>],
        items: &[Item],
        scope: &Scope,
    ) -> Result<Vec<Vec<Expr>>, Report> {
        let mut all = Vec::with_capacity(groups.len());
        for group in groups {
            let mut exprs = Vec::with_capacity(group.len());
            for expr in group {
                match strip(expr) {
                    ast::Expr::Tuple(inner) => {
                        for expr in inner {
                            exprs.push(self.group_expr(expr, items, scope)?);
                        }
                    }
                    expr => exprs.push(self.group_expr(expr, items, scope)?),
                }
            }
            all.push(exprs);
        }
        Ok(all)
    }

    /// One grouped expression: a column of FROM, else an output column by name or number.
    fn group_expr(
        &mut self,
        expr: &ast::Expr,
        items: &[Item],
        scope: &Scope,
    ) -> Result<Expr, Report> {
        if let Some(i) =
            ordinal(expr, items.len(), "GROUP BY").map_err(|r| self.at_expr(r, expr))?
        {
            return Ok(items[i].typed.expr.clone());
        }
        if let ast::Expr::Identifier(ident) = expr {
            let name = fold(ident);
            if scope.find(&name)?.is_none() {
                let mut named = items.iter().filter(|item| item.name == name);
                if let Some(item) = named.next() {
                    return Ok(item.typed.expr.clone());
                }
            }
        }
        let typed = self.expr(expr, scope)?;
        Ok(self.settle(typed)?.expr)
    }

    fn keys(
        &mut self,
        order_by: &[ast::OrderByExpr],
        items: &[Item],
        scope: &Scope,
    ) -> Result<Vec<Key>, Report> {
        let mut keys = Vec::with_capacity(order_by.len());
        for item in order_by {
            let target = self.target(&item.expr, items, scope, "ORDER BY")?;
            let target = match target {
                Target::Item(i) => {
                    let typed = self.order_key(items[i].typed.clone(), &item.expr)?;
                    if typed.expr == items[i].typed.expr {
                        Target::Item(i)
                    } else {
                        Target::Hidden(typed)
                    }
                }
                Target::Hidden(typed) => {
                    let typed = self.order_key(typed, &item.expr)?;
                    Target::Hidden(typed)
                }
            };
            keys.push(Key {
                target,
                options: item.options,
            });
        }
        Ok(keys)
    }

    /// What ORDER BY or DISTINCT ON means: an output column by number or name first.
    fn target(
        &mut self,
        expr: &ast::Expr,
        items: &[Item],
        scope: &Scope,
        clause: &str,
    ) -> Result<Target, Report> {
        if let Some(i) = ordinal(expr, items.len(), clause).map_err(|r| self.at_expr(r, expr))? {
            return Ok(Target::Item(i));
        }
        if let ast::Expr::Identifier(ident) = expr {
            let name = fold(ident);
            let named: Vec<usize> = (0..items.len())
                .filter(|i| items[*i].name == name)
                .collect();
            match named.as_slice() {
                [] => {}
                [first, rest @ ..] => {
                    if rest
                        .iter()
                        .any(|i| items[*i].typed.expr != items[*first].typed.expr)
                    {
                        return Err(self.at_expr(
                            Report::error(
                                codes::AMBIGUOUS_COLUMN,
                                format!("{clause} \"{name}\" is ambiguous"),
                            ),
                            expr,
                        ));
                    }
                    return Ok(Target::Item(*first));
                }
            }
        }
        let typed = self.expr(expr, scope)?;
        let typed = self.settle(typed)?;
        match items.iter().position(|item| item.typed.expr == typed.expr) {
            Some(i) => Ok(Target::Item(i)),
            None => Ok(Target::Hidden(typed)),
        }
    }

    /// The aggregation step.
    fn aggregate(
        &mut self,
        plan: LogicalPlan,
        mut grouping: Grouping,
        aggregates: Vec<Expr>,
        exprs: &mut [Expr],
        scope: &Scope,
        select: &ast::Select,
    ) -> Result<LogicalPlan, Report> {
        if grouping.sets.is_none() {
            add_dependent_columns(&mut grouping.exprs, exprs, scope);
        }
        let mut used = HashSet::new();
        let mut map: Vec<(Expr, Expr)> = Vec::new();
        let mut name_of = |expr: &Expr, prefix: &str| {
            let natural = expr.schema_name().to_string();
            if used.insert(natural.clone()) {
                (natural, false)
            } else {
                let name = format!("{prefix}{}", used.len());
                used.insert(name.clone());
                (name, true)
            }
        };
        let mut group_exprs = Vec::with_capacity(grouping.exprs.len());
        for expr in &grouping.exprs {
            if let Expr::Column(column) = expr {
                used_column(&mut name_of, expr);
                map.push((expr.clone(), Expr::Column(column.clone())));
                group_exprs.push(expr.clone());
                continue;
            }
            let (name, alias) = name_of(expr, "group ");
            map.push((expr.clone(), column_of(name.clone())));
            group_exprs.push(if alias {
                expr.clone().alias(name)
            } else {
                expr.clone()
            });
        }
        let groups = map.len();
        let mut aggregate_exprs = Vec::with_capacity(aggregates.len());
        for expr in aggregates {
            if reads_outside_only(&expr) {
                return Err(Report::unsupported(
                    "an aggregate function of an outer query's columns inside a subquery",
                ));
            }
            let (name, alias) = name_of(&expr, "aggregate ");
            map.push((expr.clone(), column_of(name.clone())));
            aggregate_exprs.push(if alias { expr.alias(name) } else { expr });
        }
        if let Some(sets) = grouping.sets {
            if !group_exprs.is_empty() {
                group_exprs = vec![Expr::GroupingSet(GroupingSet::GroupingSets(sets))];
            }
        }
        if group_exprs.is_empty() && aggregate_exprs.is_empty() {
            // HAVING alone: one group of everything.
            let count = self.call_count_star()?;
            aggregate_exprs.push(count);
        }
        let plan = LogicalPlanBuilder::from(plan)
            .aggregate(group_exprs, aggregate_exprs)
            .and_then(|b| b.build())
            .map_err(report_of)?;
        replace(exprs, &map)?;
        let grouped = Grouped {
            scope,
            map: &map[..groups],
        };
        for expr in exprs.iter_mut() {
            let taken = std::mem::take(expr);
            *expr = grouped.expression(taken).map_err(report_of)?;
        }
        for expr in exprs.iter() {
            for column in expr.column_refs() {
                if !plan.schema().has_column(column) {
                    return Err(self.ungrouped(column, scope, select));
                }
            }
        }
        Ok(plan)
    }

    fn call_count_star(&mut self) -> Result<Expr, Report> {
        let overload = self
            .environment
            .registry()
            .aggregates("count")
            .iter()
            .find(|overload| overload.arguments.is_empty())
            .cloned()
            .ok_or_else(|| Report::internal("count(*) is not registered"))?;
        Ok(Expr::AggregateFunction(
            datafusion::logical_expr::expr::AggregateFunction::new_udf(
                overload.udf.clone(),
                vec![super::expr::count_star_argument().expr],
                false,
                None,
                vec![],
                None,
            ),
        ))
    }

    /// 42803 with the column as the user wrote it.
    fn ungrouped(&self, column: &Column, scope: &Scope, select: &ast::Select) -> Report {
        let wanted = Expr::Column(column.clone());
        let found = scope.relations.iter().find_map(|relation| {
            let field = relation
                .fields
                .iter()
                .find(|field| field.typed.expr == wanted)?;
            Some(format!("{}.{}", relation.name, field.name))
        });
        let shown = found.unwrap_or_else(|| column.flat_name());
        let name = shown.rsplit('.').next().unwrap_or_default().to_owned();
        let report = Report::error(
            codes::GROUPING_ERROR,
            format!(
                "column \"{shown}\" must appear in the GROUP BY clause or be used in an aggregate function"
            ),
        );
        // The first mention of the name in the SELECT list is the place.
        let span = select.projection.iter().find_map(|item| match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }
                if expr.to_string().to_lowercase().contains(&name) =>
            {
                Some(expr.span())
            }
            _ => None,
        });
        match span {
            Some(span) => self.at(report, span),
            None => report,
        }
    }

    /// The SELECT list itself, DISTINCT, ORDER BY.
    fn project(
        &mut self,
        select: &ast::Select,
        plan: LogicalPlan,
        items: &mut Vec<Item>,
        exprs: Vec<Expr>,
        order: Order<'_>,
    ) -> Result<BoundQuery, Report> {
        let Order {
            on,
            sort,
            mut targets,
        } = order;
        let mut used = HashSet::new();
        let mut names = Vec::with_capacity(exprs.len());
        for (i, _) in exprs.iter().enumerate() {
            let wanted = items.get(i).map_or("sort", |item| item.name.as_str());
            // Turning a subquery into a join puts its output beside the columns it is made of:
            // the names must differ.
            if self.outer.is_empty() {
                names.push(unique_name(wanted, &mut used));
            } else {
                names.push(unique_name(&format!("{wanted}'"), &mut used));
            }
        }
        let projected: Vec<Expr> = exprs
            .into_iter()
            .zip(&names)
            .map(|(expr, name)| expr.alias(name))
            .collect();
        let mut builder = LogicalPlanBuilder::from(plan)
            .project(projected)
            .map_err(report_of)?;
        let keys: Vec<Sort> = sort
            .iter()
            .map(|(i, options)| sort_key(column_of(names[*i].clone()), options))
            .collect();
        match &select.distinct {
            Some(ast::Distinct::Distinct) => builder = builder.distinct().map_err(report_of)?,
            Some(ast::Distinct::On(_)) => {
                let on: Vec<Expr> = on.iter().map(|i| column_of(names[*i].clone())).collect();
                let first: Vec<&Expr> = keys.iter().take(on.len()).map(|key| &key.expr).collect();
                if !keys.is_empty() && !first.iter().all(|key| on.contains(key)) {
                    return Err(Report::error(
                        codes::INVALID_COLUMN_REFERENCE,
                        "SELECT DISTINCT ON expressions must match initial ORDER BY expressions",
                    ));
                }
                // DataFusion wants the ON expressions in the order of the keys.
                let mut ordered: Vec<Expr> = first.into_iter().cloned().collect();
                ordered.extend(
                    on.iter()
                        .filter(|expr| !ordered.contains(expr))
                        .cloned()
                        .collect::<Vec<_>>(),
                );
                let all = names.iter().map(|name| column_of(name.clone())).collect();
                let keys = (!keys.is_empty()).then(|| keys.clone());
                builder = builder.distinct_on(ordered, all, keys).map_err(report_of)?;
            }
            _ => {}
        }
        if !keys.is_empty() {
            builder = builder.sort(keys).map_err(report_of)?;
        }
        if !targets.is_empty() {
            // The keys are the last columns.
            let keys = &names[names.len() - targets.len()..];
            for (target, name) in targets.iter_mut().zip(keys) {
                target.key = column_of(name.clone());
            }
            let sorted = builder.build().map_err(report_of)?;
            builder = LogicalPlanBuilder::from(self.environment.lock_rows(sorted, targets));
        }
        if names.len() > items.len() {
            let kept = names[..items.len()]
                .iter()
                .map(|name| column_of(name.clone()));
            builder = builder
                .project(kept.collect::<Vec<_>>())
                .map_err(report_of)?;
        }
        let plan = builder.build().map_err(report_of)?;
        let columns = items
            .drain(..)
            .zip(names)
            .map(|(item, column)| OutputColumn {
                name: item.name,
                column,
                sql_type: item.typed.sql_type,
                data_type: item.typed.data_type,
                origin: item.typed.origin,
            })
            .collect();
        Ok(BoundQuery { plan, columns })
    }
}

fn is_subquery(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_)
    )
}

/// Whether an aggregate belongs to a query around this one: its arguments are all from there.
fn reads_outside_only(aggregate: &Expr) -> bool {
    aggregate.contains_outer() && aggregate.column_refs().is_empty()
}

/// A name not used yet.
pub(super) fn unique_name(wanted: &str, used: &mut HashSet<String>) -> String {
    if used.insert(wanted.to_owned()) {
        return wanted.to_owned();
    }
    let mut n = 2;
    loop {
        let name = format!("{wanted}#{n}");
        if used.insert(name.clone()) {
            return name;
        }
        n += 1;
    }
}

pub(super) fn column_of(name: String) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

/// Marks a grouped column's name as used.
fn used_column(name_of: &mut impl FnMut(&Expr, &str) -> (String, bool), expr: &Expr) {
    let _ = name_of(expr, "");
}

/// Replaces what a step has computed by its columns.
fn replace(exprs: &mut [Expr], map: &[(Expr, Expr)]) -> Result<(), Report> {
    for expr in exprs {
        let taken = std::mem::take(expr);
        *expr = taken
            .transform_down(|expr| match map.iter().find(|(from, _)| *from == expr) {
                Some((_, to)) => Ok(Transformed::new(to.clone(), true, TreeNodeRecursion::Jump)),
                None => Ok(Transformed::no(expr)),
            })
            .map_err(report_of)?
            .data;
    }
    Ok(())
}

/// Groups by all columns of a table whose primary key is grouped: they depend on it.
fn add_dependent_columns(group: &mut Vec<Expr>, exprs: &[Expr], scope: &Scope) {
    let mut wanted: Vec<Expr> = Vec::new();
    for relation in &scope.relations {
        let Some(key) = &relation.key else { continue };
        let grouped = |i: &usize| {
            relation
                .fields
                .get(*i)
                .is_some_and(|field| group.contains(&field.typed.expr))
        };
        if key.is_empty() || !key.iter().all(grouped) {
            continue;
        }
        for field in relation.fields.iter().filter(|field| !field.hidden) {
            // A subquery may read any of them.
            let used = exprs.iter().any(|expr| {
                expr.exists(|inner| Ok(*inner == field.typed.expr || is_subquery(inner)))
                    .unwrap_or(false)
            });
            if used && !group.contains(&field.typed.expr) && !wanted.contains(&field.typed.expr) {
                wanted.push(field.typed.expr.clone());
            }
        }
    }
    group.extend(wanted);
}

/// Expands set-returning functions of the SELECT list: their rows run in lockstep.
fn expand_sets(plan: LogicalPlan, exprs: &mut [Expr]) -> Result<LogicalPlan, Report> {
    let mut sets: Vec<Expr> = Vec::new();
    for expr in exprs.iter() {
        expr.apply(|inner| {
            if matches!(inner, Expr::Unnest(_)) && !sets.contains(inner) {
                sets.push(inner.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .map_err(report_of)?;
    }
    if sets.is_empty() {
        return Ok(plan);
    }
    let mut projected: Vec<Expr> = plan
        .schema()
        .columns()
        .into_iter()
        .map(Expr::Column)
        .collect();
    let mut map = Vec::with_capacity(sets.len());
    let mut columns = Vec::with_capacity(sets.len());
    for (i, set) in sets.into_iter().enumerate() {
        let Expr::Unnest(unnest) = &set else { continue };
        let name = format!("set {i}");
        projected.push(unnest.expr.as_ref().clone().alias(&name));
        columns.push(Column::new_unqualified(&name));
        map.push((set, column_of(name)));
    }
    let before = projected.len() - columns.len();
    let plan = LogicalPlanBuilder::from(plan)
        .project(projected)
        .and_then(|b| {
            let options = UnnestOptions::new().with_preserve_nulls(false);
            b.unnest_columns_with_options(columns, options)
        })
        .and_then(|b| b.build())
        .map_err(report_of)?;
    for ((_, to), column) in map
        .iter_mut()
        .zip(plan.schema().columns().into_iter().skip(before))
    {
        *to = Expr::Column(column);
    }
    replace(exprs, &map)?;
    Ok(plan)
}

/// `ORDER BY 2`.
fn ordinal(expr: &ast::Expr, count: usize, clause: &str) -> Result<Option<usize>, Report> {
    let ast::Expr::Value(value) = expr else {
        return Ok(None);
    };
    match &value.value {
        ast::Value::Number(digits, _) => match digits.parse::<usize>() {
            Ok(n) if (1..=count).contains(&n) => Ok(Some(n - 1)),
            Ok(n) => Err(Report::error(
                codes::INVALID_COLUMN_REFERENCE,
                format!("{clause} position {n} is not in select list"),
            )),
            Err(_) => Err(Report::error(
                codes::SYNTAX_ERROR,
                format!("non-integer constant in {clause}"),
            )),
        },
        ast::Value::SingleQuotedString(_) | ast::Value::Boolean(_) if clause != "DISTINCT ON" => {
            Err(Report::error(
                codes::SYNTAX_ERROR,
                format!("non-integer constant in {clause}"),
            ))
        }
        _ => Ok(None),
    }
}

fn no_window(name: &ast::Ident) -> Report {
    Report::error(
        codes::UNDEFINED_OBJECT,
        format!("window \"{}\" does not exist", fold(name)),
    )
}

fn check_wildcard(options: &ast::WildcardAdditionalOptions) -> Result<(), Report> {
    if options.opt_except.is_some()
        || options.opt_exclude.is_some()
        || options.opt_ilike.is_some()
        || options.opt_rename.is_some()
        || options.opt_replace.is_some()
    {
        return Err(Report::error(codes::SYNTAX_ERROR, "syntax error after *"));
    }
    Ok(())
}

fn check_supported(select: &ast::Select) -> Result<(), Report> {
    let foreign = [
        (select.top.is_some(), "TOP"),
        (!select.lateral_views.is_empty(), "LATERAL VIEW"),
        (select.prewhere.is_some(), "PREWHERE"),
        (!select.connect_by.is_empty(), "CONNECT BY"),
        (!select.cluster_by.is_empty(), "CLUSTER BY"),
        (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
        (!select.sort_by.is_empty(), "SORT BY"),
        (select.qualify.is_some(), "QUALIFY"),
        (select.exclude.is_some(), "EXCLUDE"),
        (select.value_table_mode.is_some(), "AS VALUE"),
    ];
    match foreign.iter().find(|(found, _)| *found) {
        Some((_, clause)) => Err(Report::error(
            codes::SYNTAX_ERROR,
            format!("syntax error at or near \"{clause}\""),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_names_stay_unique() {
        let mut used = HashSet::new();
        let names: Vec<String> = ["a", "a", "a#2", "a"]
            .iter()
            .map(|name| unique_name(name, &mut used))
            .collect();
        assert_eq!(names, ["a", "a#2", "a#2#2", "a#3"]);
    }

    #[test]
    fn ordinals_are_numbers_in_range() {
        let number = |n: &str| ast::Expr::Value(ast::Value::Number(n.into(), false).into());
        assert_eq!(
            ordinal(&number("2"), 2, "ORDER BY").expect("in range"),
            Some(1)
        );
        assert!(ordinal(&number("3"), 2, "ORDER BY").is_err());
        assert!(ordinal(&number("1.5"), 2, "ORDER BY").is_err());
    }
}
