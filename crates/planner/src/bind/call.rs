//! Function calls: scalar, aggregate, window and set-returning.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::functions::core as df_core;
use datafusion::logical_expr::expr::{
    AggregateFunction, AggregateFunctionParams, NullTreatment, ScalarFunction, Sort, Unnest,
    WindowFunction, WindowFunctionParams,
};
use datafusion::logical_expr::{
    Expr, LogicalPlan, Operator, WindowFrame, WindowFrameBound, WindowFrameUnits,
    WindowFunctionDefinition,
};
use sqlparser::ast;
use tessera_types::{CastKind, Report, SqlType, Value, codes};

use super::coerce::{literal, unify_shown};
use super::expr::count_star_argument;
use super::names::fold;
use super::operators::no_operator;
use super::{Binder, Scope, Typed, parameters};
use crate::arrow_types::{data_type_of, sql_type_of};
use crate::errors::report_of;
use crate::functions::{AggregateOverload, Chosen, NoChoice, SetColumns, choose, describe};

/// Arguments of one call: PostgreSQL's limit.
const ARGUMENTS_MAX: usize = 100;

const NO_FUNCTION_HINT: &str = "No function matches the given name and argument types. You might need to add explicit type casts.";

impl Binder<'_> {
    /// A call as written.
    pub(super) fn function(
        &mut self,
        function: &ast::Function,
        scope: &Scope,
    ) -> Result<Typed, Report> {
        let (schema, name) = super::object_name(&function.name)?;
        if schema
            .as_deref()
            .is_some_and(|s| !matches!(s, "pg_catalog" | "information_schema" | "public"))
        {
            let schema = schema.unwrap_or_default();
            return Err(Report::error(
                codes::UNDEFINED_FUNCTION,
                format!("function {schema}.{name} does not exist"),
            ));
        }
        let list = match &function.args {
            ast::FunctionArguments::None => None,
            ast::FunctionArguments::List(list) => Some(list),
            ast::FunctionArguments::Subquery(query) if name == "array" => {
                return self.array_subquery(query, scope);
            }
            ast::FunctionArguments::Subquery(_) => {
                return Err(Report::error(
                    codes::SYNTAX_ERROR,
                    "a subquery needs parentheses",
                ));
            }
        };
        let mut star = false;
        let mut arguments = Vec::new();
        let mut by_name = Vec::new();
        for argument in list.iter().flat_map(|list| &list.args) {
            match argument {
                ast::FunctionArg::Unnamed(_) if !by_name.is_empty() => {
                    return Err(Report::error(
                        codes::SYNTAX_ERROR,
                        "positional argument cannot follow named argument",
                    ));
                }
                ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Wildcard) => star = true,
                ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => {
                    arguments.push(self.argument(expr, scope)?);
                }
                ast::FunctionArg::Unnamed(_) => {
                    return Err(Report::unsupported("a row as a function's argument"));
                }
                ast::FunctionArg::Named {
                    name: parameter,
                    arg: ast::FunctionArgExpr::Expr(expr),
                    ..
                } => {
                    let argument = self.argument(expr, scope)?;
                    by_name.push((fold(parameter), argument));
                }
                ast::FunctionArg::ExprNamed {
                    name: ast::Expr::Identifier(parameter),
                    arg: ast::FunctionArgExpr::Expr(expr),
                    ..
                } => {
                    let argument = self.argument(expr, scope)?;
                    by_name.push((fold(parameter), argument));
                }
                ast::FunctionArg::Named { .. } | ast::FunctionArg::ExprNamed { .. } => {
                    return Err(Report::unsupported("a row as a function's argument"));
                }
            }
        }
        if !by_name.is_empty() {
            arguments = parameters::in_order(&name, arguments, by_name)?;
        }
        if arguments.len() > ARGUMENTS_MAX {
            return Err(Report::error(
                codes::TOO_MANY_ARGUMENTS,
                format!("cannot pass more than {ARGUMENTS_MAX} arguments to a function"),
            ));
        }
        let distinct = list.is_some_and(|list| {
            list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct)
        });
        let call = Call {
            name: &name,
            function,
            list,
            star,
            distinct,
        };
        if function.over.is_some() {
            return self.window_call(&call, arguments, scope);
        }
        if name == "grouping" {
            return grouping(arguments);
        }
        let registry = self.environment.registry();
        if !registry.aggregates(&name).is_empty() {
            return self.aggregate_call(&call, arguments, scope);
        }
        if star || distinct || function.filter.is_some() || !function.within_group.is_empty() {
            if registry.scalars(&name).is_empty() {
                return Err(self.no_function(&name, &arguments, NoChoice::None));
            }
            return Err(Report::error(
                codes::WRONG_OBJECT_TYPE,
                format!("{name} is not an aggregate function"),
            ));
        }
        if !registry.windows(&name).is_empty() {
            return Err(Report::error(
                codes::WRONG_OBJECT_TYPE,
                format!("window function {name} requires an OVER clause"),
            ));
        }
        self.call(&name, arguments)
    }

    fn argument(&mut self, expr: &ast::Expr, scope: &Scope) -> Result<Typed, Report> {
        // Sets are expanded at the outermost level of a SELECT item only.
        let sets = self.sets_allowed;
        let typed = self.expr(expr, scope);
        self.sets_allowed = sets;
        typed
    }

    /// A scalar function, a set-returning one, or one of the forms that the binder knows.
    pub(super) fn call(&mut self, name: &str, arguments: Vec<Typed>) -> Result<Typed, Report> {
        if let Some(built_in) = self.built_in(name, &arguments)? {
            return Ok(built_in);
        }
        let given: Vec<SqlType> = arguments.iter().map(|a| a.sql_type.clone()).collect();
        let registry = self.environment.registry();
        if !registry.sets(name).is_empty() {
            return self.set_call(name, arguments);
        }
        self.changes_settings |= name == "set_config";
        let overloads = match name {
            // Not before the statement runs, where it could see what the statement sets.
            "current_setting" if self.changes_settings => registry.operators(name),
            _ => registry.scalars(name),
        };
        match choose(overloads, &given) {
            Ok(chosen) => self.scalar_call(&chosen, arguments),
            Err(reason) => {
                // `float8(x)`, `text(x)`: a cast written as a call.
                if let [argument] = arguments.as_slice()
                    && let Ok(to) = SqlType::from_name(name)
                    && (argument.sql_type == SqlType::Unknown
                        || self.can_cast(&argument.sql_type, &to, CastKind::Explicit))
                {
                    return self.coerce(argument.clone(), &to, CastKind::Explicit);
                }
                Err(self.no_function(name, &arguments, reason))
            }
        }
    }

    fn no_function(&self, name: &str, arguments: &[Typed], reason: NoChoice) -> Report {
        let types: Vec<SqlType> = arguments.iter().map(|a| a.sql_type.clone()).collect();
        match reason {
            NoChoice::None => Report::error(
                codes::UNDEFINED_FUNCTION,
                format!("function {} does not exist", describe(name, &types)),
            )
            .with_hint(NO_FUNCTION_HINT),
            NoChoice::Ambiguous => Report::error(
                codes::AMBIGUOUS_FUNCTION,
                format!("function {} is not unique", describe(name, &types)),
            )
            .with_hint(
                "Could not choose a best candidate function. You might need to add explicit type casts.",
            ),
        }
    }

    /// COALESCE, NULLIF, GREATEST, LEAST: their arguments unify as in CASE.
    fn built_in(&mut self, name: &str, arguments: &[Typed]) -> Result<Option<Typed>, Report> {
        let udf = match name {
            "coalesce" => df_core::coalesce(),
            "greatest" => df_core::greatest(),
            "least" => df_core::least(),
            "nullif" => return self.null_if(arguments).map(Some),
            _ => return Ok(None),
        };
        if arguments.is_empty() {
            return Err(Report::error(
                codes::SYNTAX_ERROR,
                format!("{name} needs an argument"),
            ));
        }
        let (arguments, sql_type, data_type) =
            self.unify(arguments.to_vec(), &name.to_uppercase())?;
        if let [only] = arguments.as_slice() {
            return Ok(Some(only.clone()));
        }
        let compared_otherwise = matches!(
            sql_type,
            SqlType::Numeric(_) | SqlType::Interval | SqlType::Array(_) | SqlType::Char(_)
        );
        let own = self.environment.registry().operators(name);
        let udf = match own.first() {
            Some(own) if compared_otherwise => own.udf.clone(),
            _ => udf,
        };
        let arguments = arguments.into_iter().map(|typed| typed.expr).collect();
        Ok(Some(Typed {
            expr: Expr::ScalarFunction(ScalarFunction::new_udf(udf, arguments)),
            sql_type,
            data_type,
            origin: None,
        }))
    }

    fn null_if(&mut self, arguments: &[Typed]) -> Result<Typed, Report> {
        let [value, other] = arguments else {
            return Err(Report::error(
                codes::SYNTAX_ERROR,
                "NULLIF needs two arguments",
            ));
        };
        let value = match (&value.sql_type, &other.sql_type) {
            (SqlType::Unknown, SqlType::Unknown) => self.settle(value.clone())?,
            (SqlType::Unknown, known) => {
                self.coerce(value.clone(), &known.clone(), CastKind::Implicit)?
            }
            _ => value.clone(),
        };
        let equal = self.compare(Operator::Eq, "=", value.clone(), other.clone())?;
        let sql_type = value.sql_type.clone();
        let data_type = value.data_type.clone();
        let null = ScalarValue::try_from(&data_type).map_err(report_of)?;
        let case = datafusion::logical_expr::expr::Case::new(
            None,
            vec![(Box::new(equal.expr), Box::new(Expr::Literal(null, None)))],
            Some(Box::new(value.expr)),
        );
        Ok(Typed {
            expr: Expr::Case(case),
            sql_type,
            data_type,
            origin: None,
        })
    }

    /// A set-returning function in a SELECT list: one row for each of its rows.
    fn set_call(&mut self, name: &str, arguments: Vec<Typed>) -> Result<Typed, Report> {
        if !self.sets_allowed {
            return Err(Report::unsupported(format!(
                "set-returning function {name} is allowed in FROM and in a SELECT list only"
            )));
        }
        let (list, columns) = self.set_list(name, arguments, false)?;
        let [(_, element)] = columns.as_slice() else {
            return Err(Report::unsupported(format!(
                "function {name} returns several columns: use it in FROM"
            )));
        };
        Ok(Typed {
            expr: Expr::Unnest(Unnest::new(list)),
            sql_type: element.sql_type.clone(),
            data_type: element.data_type.clone(),
            origin: None,
        })
    }

    /// The list of a set-returning function's rows, and its columns.
    pub(super) fn set_list(
        &mut self,
        name: &str,
        arguments: Vec<Typed>,
        ordinality: bool,
    ) -> Result<(Expr, Vec<(String, Typed)>), Report> {
        let given: Vec<SqlType> = arguments.iter().map(|a| a.sql_type.clone()).collect();
        let registry = self.environment.registry();
        let chosen = choose(registry.sets(name), &given)
            .map_err(|reason| self.no_function(name, &arguments, reason))?;
        let mut cast = Vec::with_capacity(arguments.len());
        for (argument, sql_type) in arguments.into_iter().zip(&chosen.argument_types) {
            cast.push(self.coerce(argument, sql_type, CastKind::Implicit)?);
        }
        let nothing = || Expr::Literal(ScalarValue::Null, None);
        let mut columns: Vec<(String, Typed)> = match &chosen.overload.columns {
            SetColumns::One(returns) => {
                let sql_type = chosen.result_type(returns).unwrap_or(SqlType::Text);
                vec![(name.to_owned(), Typed::new(nothing(), sql_type))]
            }
            SetColumns::Record(columns) => columns
                .iter()
                .map(|(name, t)| (name.clone(), Typed::new(nothing(), t.clone())))
                .collect(),
        };
        // Unnesting an array needs no function, and decimals keep their scale.
        if name == "unnest" && !ordinality && cast.len() == 1 {
            if let Some(argument) = cast.pop() {
                if let arrow::datatypes::DataType::List(item) = &argument.data_type {
                    columns[0].1.data_type = item.data_type().clone();
                }
                return Ok((argument.expr, columns));
            }
        }
        if ordinality {
            columns.push((
                "ordinality".to_owned(),
                Typed::new(nothing(), SqlType::BigInt),
            ));
        }
        let types: Vec<SqlType> = columns.iter().map(|(_, t)| t.sql_type.clone()).collect();
        let udf = self
            .environment
            .list_function(&chosen.overload, &types, ordinality);
        let arguments = cast.into_iter().map(|typed| typed.expr).collect();
        Ok((
            Expr::ScalarFunction(ScalarFunction::new_udf(udf, arguments)),
            columns,
        ))
    }

    fn aggregate_call(
        &mut self,
        call: &Call<'_>,
        arguments: Vec<Typed>,
        scope: &Scope,
    ) -> Result<Typed, Report> {
        let filter = match &call.function.filter {
            Some(filter) => Some(Box::new(self.condition(filter, scope, "FILTER")?.expr)),
            None => None,
        };
        let within = &call.function.within_group;
        let mut ordered = Vec::new();
        for item in within {
            let typed = self.expr(&item.expr, scope)?;
            ordered.push(self.settle(typed)?);
        }
        let direct = arguments.len();
        let mut arguments = arguments;
        if !within.is_empty() {
            let mut all = ordered.clone();
            all.extend(arguments);
            arguments = all;
        }
        let (chosen, mut arguments) = self.choose_aggregate(call, arguments)?;
        refuse_array_of_arrays(call.name, &arguments)?;
        if chosen.overload.ordered_set && within.is_empty() {
            return Err(Report::error(
                codes::WRONG_OBJECT_TYPE,
                format!(
                    "WITHIN GROUP is required for ordered-set aggregate {}",
                    call.name
                ),
            ));
        }
        let order_by = if within.is_empty() && call.distinct && call.order_by().is_empty() {
            distinct_order(call.name, &arguments)
        } else if within.is_empty() {
            let keys = self.sort_keys(call.order_by(), scope)?;
            if keys.is_empty() && keeps_order(call.name) {
                scope.order.clone()
            } else {
                keys
            }
        } else {
            let mut keys = Vec::new();
            for (item, typed) in within
                .iter()
                .zip(arguments.iter().take(arguments.len() - direct))
            {
                keys.push(sort_key(typed.expr.clone(), &item.options));
            }
            keys
        };
        let (sql_type, data_type) = self.aggregate_type(&chosen, &arguments)?;
        if arguments.is_empty() {
            arguments.push(count_star_argument());
        }
        let params = AggregateFunctionParams {
            args: arguments.into_iter().map(|typed| typed.expr).collect(),
            distinct: call.distinct,
            filter,
            order_by,
            null_treatment: None,
        };
        self.no_nested(&params.args, call.name)?;
        let expr = Expr::AggregateFunction(AggregateFunction {
            func: chosen.overload.udf.clone(),
            params,
        });
        Ok(Typed {
            expr,
            sql_type,
            data_type,
            origin: None,
        })
    }

    fn no_nested(&self, arguments: &[Expr], name: &str) -> Result<(), Report> {
        if !datafusion::logical_expr::utils::find_aggregate_exprs(arguments).is_empty() {
            return Err(Report::error(
                codes::GROUPING_ERROR,
                "aggregate function calls cannot be nested",
            ));
        }
        if !datafusion::logical_expr::utils::find_window_exprs(arguments).is_empty() {
            return Err(Report::error(
                codes::GROUPING_ERROR,
                format!("aggregate function calls cannot contain window function calls: {name}"),
            ));
        }
        Ok(())
    }

    fn choose_aggregate(
        &mut self,
        call: &Call<'_>,
        arguments: Vec<Typed>,
    ) -> Result<(Chosen<Arc<AggregateOverload>>, Vec<Typed>), Report> {
        let given: Vec<SqlType> = arguments.iter().map(|a| a.sql_type.clone()).collect();
        let registry = self.environment.registry();
        if !call.star && arguments.is_empty() && call.name == "count" {
            return Err(Report::error(
                codes::WRONG_OBJECT_TYPE,
                "count(*) must be used to call a parameterless aggregate function",
            ));
        }
        let chosen = choose(registry.aggregates(call.name), &given)
            .map_err(|reason| self.no_function(call.name, &arguments, reason))?;
        let mut cast = Vec::with_capacity(arguments.len());
        for (argument, sql_type) in arguments.into_iter().zip(&chosen.argument_types) {
            cast.push(
                self.coerce(argument, sql_type, CastKind::Implicit)?
                    .detached(),
            );
        }
        Ok((chosen, cast))
    }

    /// The result's types as the aggregate itself says them; the SQL type as the overload does.
    fn aggregate_type(
        &self,
        chosen: &Chosen<Arc<AggregateOverload>>,
        arguments: &[Typed],
    ) -> Result<(SqlType, arrow::datatypes::DataType), Report> {
        let fields: Vec<_> = if arguments.is_empty() {
            vec![count_star_argument().field("")]
        } else {
            arguments.iter().map(|typed| typed.field("")).collect()
        };
        let field = chosen
            .overload
            .udf
            .return_field(&fields)
            .map_err(report_of)?;
        let sql_type = chosen
            .result_type(&chosen.overload.returns)
            .unwrap_or_else(|| sql_type_of(&field));
        Ok((sql_type, field.data_type().clone()))
    }

    fn window_call(
        &mut self,
        call: &Call<'_>,
        arguments: Vec<Typed>,
        scope: &Scope,
    ) -> Result<Typed, Report> {
        let registry = self.environment.registry();
        let (fun, arguments, sql_type, data_type) = if registry.windows(call.name).is_empty() {
            if registry.aggregates(call.name).is_empty() {
                if registry.scalars(call.name).is_empty() {
                    return Err(self.no_function(call.name, &arguments, NoChoice::None));
                }
                return Err(Report::error(
                    codes::WRONG_OBJECT_TYPE,
                    format!(
                        "OVER specified, but {} is not a window function nor an aggregate function",
                        call.name
                    ),
                ));
            }
            if call.distinct {
                return Err(Report::unsupported(
                    "DISTINCT is not implemented for window functions",
                ));
            }
            let (chosen, mut arguments) = self.choose_aggregate(call, arguments)?;
            refuse_array_of_arrays(call.name, &arguments)?;
            let (sql_type, data_type) = self.aggregate_type(&chosen, &arguments)?;
            if arguments.is_empty() {
                arguments.push(count_star_argument());
            }
            let fun = WindowFunctionDefinition::AggregateUDF(chosen.overload.udf.clone());
            (fun, arguments, sql_type, data_type)
        } else {
            let given: Vec<SqlType> = arguments.iter().map(|a| a.sql_type.clone()).collect();
            let chosen = choose(registry.windows(call.name), &given)
                .map_err(|reason| self.no_function(call.name, &arguments, reason))?;
            let mut cast = Vec::with_capacity(arguments.len());
            for (argument, sql_type) in arguments.into_iter().zip(&chosen.argument_types) {
                cast.push(
                    self.coerce(argument, sql_type, CastKind::Implicit)?
                        .detached(),
                );
            }
            let sql_type = chosen
                .result_type(&chosen.overload.returns)
                .unwrap_or(SqlType::BigInt);
            check_row_number(call.name, &cast)?;
            // A default value shows its own digits, not those of the column.
            if matches!(chosen.element, Some(SqlType::Numeric(_))) && cast.len() > 2 {
                let default = cast.pop();
                let offset = cast.pop();
                cast.extend(default);
                cast = unify_shown(cast)?;
                cast.splice(1..1, offset);
            }
            let data_type = match cast.first() {
                Some(first) if sql_type == first.sql_type => first.data_type.clone(),
                _ => data_type_of(&sql_type),
            };
            let fun = WindowFunctionDefinition::WindowUDF(chosen.overload.udf.clone());
            (fun, cast, sql_type, data_type)
        };
        let filter = match &call.function.filter {
            Some(filter) => Some(Box::new(self.condition(filter, scope, "FILTER")?.expr)),
            None => None,
        };
        let spec = self.window_spec(call.function)?;
        let mut partition_by = Vec::new();
        for expr in &spec.partition_by {
            let typed = self.expr(expr, scope)?;
            partition_by.push(self.settle(typed)?.expr);
        }
        let order_by = self.sort_keys(&spec.order_by, scope)?;
        let window_frame = self.frame(spec.window_frame.as_ref(), !order_by.is_empty(), scope)?;
        let null_treatment = call.null_treatment();
        let expr = Expr::WindowFunction(Box::new(WindowFunction {
            fun,
            params: WindowFunctionParams {
                args: arguments.into_iter().map(|typed| typed.expr).collect(),
                partition_by,
                order_by,
                window_frame,
                filter,
                null_treatment,
                distinct: false,
            },
        }));
        Ok(Typed {
            expr,
            sql_type,
            data_type,
            origin: None,
        })
    }

    /// The window of a call: written there, or named in the WINDOW clause and added to.
    fn window_spec(&self, function: &ast::Function) -> Result<ast::WindowSpec, Report> {
        let missing = |name: &str| {
            Report::error(
                codes::UNDEFINED_OBJECT,
                format!("window \"{name}\" does not exist"),
            )
        };
        let named = |name: &ast::Ident| {
            let name = fold(name);
            let windows = self.windows.last();
            windows
                .and_then(|all| all.get(&name))
                .cloned()
                .ok_or_else(|| missing(&name))
        };
        match &function.over {
            Some(ast::WindowType::NamedWindow(name)) => named(name),
            Some(ast::WindowType::WindowSpec(spec)) => match &spec.window_name {
                Some(name) => {
                    let mut base = named(name)?;
                    if !spec.partition_by.is_empty() {
                        return Err(Report::error(
                            codes::WINDOWING_ERROR,
                            format!(
                                "cannot override PARTITION BY clause of window \"{}\"",
                                fold(name)
                            ),
                        ));
                    }
                    if !spec.order_by.is_empty() {
                        base.order_by.clone_from(&spec.order_by);
                    }
                    base.window_frame.clone_from(&spec.window_frame);
                    Ok(base)
                }
                None => Ok(spec.clone()),
            },
            None => Err(Report::internal("a window call without OVER")),
        }
    }

    fn frame(
        &mut self,
        frame: Option<&ast::WindowFrame>,
        ordered: bool,
        scope: &Scope,
    ) -> Result<WindowFrame, Report> {
        let Some(frame) = frame else {
            return Ok(WindowFrame::new(ordered.then_some(false)));
        };
        let units = match frame.units {
            ast::WindowFrameUnits::Rows => WindowFrameUnits::Rows,
            ast::WindowFrameUnits::Range => WindowFrameUnits::Range,
            ast::WindowFrameUnits::Groups => WindowFrameUnits::Groups,
        };
        let start = self.frame_bound(&frame.start_bound, units, scope)?;
        let end = match &frame.end_bound {
            Some(bound) => self.frame_bound(bound, units, scope)?,
            None => WindowFrameBound::CurrentRow,
        };
        if let WindowFrameBound::Following(value) = &start
            && value.is_null()
        {
            return Err(Report::error(
                codes::WINDOWING_ERROR,
                "frame start cannot be UNBOUNDED FOLLOWING",
            ));
        }
        if let WindowFrameBound::Preceding(value) = &end
            && value.is_null()
        {
            return Err(Report::error(
                codes::WINDOWING_ERROR,
                "frame end cannot be UNBOUNDED PRECEDING",
            ));
        }
        Ok(WindowFrame::new_bounds(units, start, end))
    }

    fn frame_bound(
        &mut self,
        bound: &ast::WindowFrameBound,
        units: WindowFrameUnits,
        scope: &Scope,
    ) -> Result<WindowFrameBound, Report> {
        Ok(match bound {
            ast::WindowFrameBound::CurrentRow => WindowFrameBound::CurrentRow,
            ast::WindowFrameBound::Preceding(value) => {
                WindowFrameBound::Preceding(self.frame_offset(value.as_deref(), units, scope)?)
            }
            ast::WindowFrameBound::Following(value) => {
                WindowFrameBound::Following(self.frame_offset(value.as_deref(), units, scope)?)
            }
        })
    }

    fn frame_offset(
        &mut self,
        value: Option<&ast::Expr>,
        units: WindowFrameUnits,
        scope: &Scope,
    ) -> Result<ScalarValue, Report> {
        let rows = units != WindowFrameUnits::Range;
        let Some(value) = value else {
            return Ok(if rows {
                ScalarValue::UInt64(None)
            } else {
                ScalarValue::Null
            });
        };
        let typed = self.expr(value, scope)?;
        let typed = if rows {
            self.coerce(typed, &SqlType::BigInt, CastKind::Implicit)?
        } else {
            typed
        };
        let Expr::Literal(offset, _) = typed.expr else {
            return Err(Report::unsupported(
                "a window frame's offset must be a constant",
            ));
        };
        if !rows {
            // DataFusion reads the offset in the type of the ordered column.
            return Ok(match offset {
                ScalarValue::IntervalMonthDayNano(_) | ScalarValue::Utf8(_) => offset,
                other => ScalarValue::Utf8(Some(other.to_string())),
            });
        }
        match offset {
            ScalarValue::Int64(Some(rows)) if rows >= 0 => {
                Ok(ScalarValue::UInt64(Some(rows as u64)))
            }
            ScalarValue::Int64(Some(_)) => Err(Report::error(
                codes::INVALID_PRECEDING_OR_FOLLOWING_SIZE,
                "frame starting offset must not be negative",
            )),
            _ => Err(Report::error(
                codes::INVALID_PRECEDING_OR_FOLLOWING_SIZE,
                "frame starting offset must not be null",
            )),
        }
    }

    /// ORDER BY keys of a window or an aggregate.
    fn sort_keys(
        &mut self,
        items: &[ast::OrderByExpr],
        scope: &Scope,
    ) -> Result<Vec<Sort>, Report> {
        let mut keys = Vec::with_capacity(items.len());
        for item in items {
            let typed = self.expr(&item.expr, scope)?;
            let typed = self.settle(typed)?;
            let typed = self.order_key(typed, &item.expr)?;
            keys.push(sort_key(typed.expr, &item.options));
        }
        Ok(keys)
    }

    /// An expression as something to sort by.
    pub(super) fn order_key(&mut self, typed: Typed, expr: &ast::Expr) -> Result<Typed, Report> {
        match &typed.sql_type {
            SqlType::Interval => self.interval_key(typed),
            SqlType::Jsonb => self.jsonb_key(typed),
            SqlType::Json => Err(self.at_expr(
                Report::error(
                    codes::UNDEFINED_FUNCTION,
                    "could not identify an ordering operator for type json",
                )
                .with_hint("Use an explicit ordering operator or modify the query."),
                expr,
            )),
            _ => Ok(typed),
        }
    }

    /// `ARRAY(SELECT …)`.
    fn array_subquery(&mut self, query: &ast::Query, scope: &Scope) -> Result<Typed, Report> {
        let (subquery, bound) = self.subquery(query, scope)?;
        let [column] = bound.columns.as_slice() else {
            return Err(Report::error(
                codes::SYNTAX_ERROR,
                "subquery must return only one column",
            ));
        };
        let item = Typed {
            expr: Expr::Column(datafusion::common::Column::new_unqualified(&column.column)),
            sql_type: column.sql_type.clone(),
            data_type: column.data_type.clone(),
            origin: None,
        };
        let given = [column.sql_type.clone()];
        let chosen = choose(self.environment.registry().aggregates("array_agg"), &given)
            .map_err(|_| no_operator("ARRAY", &given[0], &given[0]))?;
        let (_, data_type) = self.aggregate_type(&chosen, std::slice::from_ref(&item))?;
        let sql_type = column.sql_type.clone().array_of();
        // An aggregate has no order of its own: the subquery's becomes the aggregate's.
        let (plan, order_by) = with_order(subquery.subquery.as_ref().clone());
        let aggregate = Expr::AggregateFunction(AggregateFunction::new_udf(
            chosen.overload.udf.clone(),
            vec![item.expr],
            false,
            None,
            order_by,
            None,
        ));
        let plan = datafusion::logical_expr::LogicalPlanBuilder::from(plan)
            .aggregate(Vec::<Expr>::new(), vec![aggregate.alias("array")])
            .and_then(|builder| builder.build())
            .map_err(report_of)?;
        let inner = Typed {
            expr: Expr::ScalarSubquery(datafusion::logical_expr::Subquery {
                subquery: Arc::new(plan),
                ..subquery
            }),
            sql_type: sql_type.clone(),
            data_type,
            origin: None,
        };
        let empty = tessera_types::ArrayValue::from_elements(column.sql_type.clone(), Vec::new());
        let empty = literal(&Value::Array(Box::new(empty)), &sql_type)?;
        let arguments = vec![inner.expr, empty.expr];
        Ok(Typed {
            expr: Expr::ScalarFunction(ScalarFunction::new_udf(df_core::coalesce(), arguments)),
            sql_type,
            data_type: inner.data_type,
            origin: None,
        })
    }
}

/// A call as written, apart from its arguments' types.
struct Call<'a> {
    name: &'a str,
    function: &'a ast::Function,
    list: Option<&'a ast::FunctionArgumentList>,
    star: bool,
    distinct: bool,
}

impl Call<'_> {
    fn order_by(&self) -> &[ast::OrderByExpr] {
        let clauses = self
            .list
            .map(|list| list.clauses.as_slice())
            .unwrap_or_default();
        clauses
            .iter()
            .find_map(|clause| match clause {
                ast::FunctionArgumentClause::OrderBy(items) => Some(items.as_slice()),
                _ => None,
            })
            .unwrap_or_default()
    }

    fn null_treatment(&self) -> Option<NullTreatment> {
        let written = self.function.null_treatment.or_else(|| {
            self.list?.clauses.iter().find_map(|clause| match clause {
                ast::FunctionArgumentClause::IgnoreOrRespectNulls(t) => Some(*t),
                _ => None,
            })
        });
        written.map(|treatment| match treatment {
            ast::NullTreatment::IgnoreNulls => NullTreatment::IgnoreNulls,
            ast::NullTreatment::RespectNulls => NullTreatment::RespectNulls,
        })
    }
}

/// Whether an aggregate shows the order of its input. Without ORDER BY it keeps the one of an
/// ordered subquery, <https://www.postgresql.org/docs/15/functions-aggregate.html>.
fn keeps_order(name: &str) -> bool {
    matches!(
        name,
        "array_agg"
            | "string_agg"
            | "json_agg"
            | "jsonb_agg"
            | "json_object_agg"
            | "jsonb_object_agg"
    )
}

/// The order in which PostgreSQL hands the rows of `f(DISTINCT …)` over: it sorts to find
/// duplicates. It also keeps DataFusion from finding them by grouping, which compares numbers
/// with their display scale. `count` minds neither.
fn distinct_order(name: &str, arguments: &[Typed]) -> Vec<Sort> {
    if name == "count" {
        return Vec::new();
    }
    let ascending = |typed: &Typed| Sort::new(typed.expr.clone(), true, false);
    arguments
        .iter()
        .filter(|typed| !typed.is_literal())
        .map(ascending)
        .collect()
}

/// `array_agg` of arrays would have several dimensions.
fn refuse_array_of_arrays(name: &str, arguments: &[Typed]) -> Result<(), Report> {
    let of_arrays = arguments
        .first()
        .is_some_and(|typed| matches!(typed.sql_type, SqlType::Array(_)));
    if name == "array_agg" && of_arrays {
        return Err(Report::unsupported(
            "arrays of several dimensions cannot be built here",
        ));
    }
    Ok(())
}

/// The constant of `ntile(n)` and `nth_value(x, n)` is at least 1.
fn check_row_number(name: &str, arguments: &[Typed]) -> Result<(), Report> {
    let (code, number) = match name {
        "ntile" => (codes::INVALID_ARGUMENT_FOR_NTILE, arguments.first()),
        "nth_value" => (codes::INVALID_ARGUMENT_FOR_NTH_VALUE, arguments.get(1)),
        _ => return Ok(()),
    };
    match number.map(|typed| &typed.expr) {
        Some(Expr::Literal(ScalarValue::Int64(Some(..=0)), _)) => Err(Report::error(
            code,
            format!("argument of {name} must be greater than zero"),
        )),
        _ => Ok(()),
    }
}

/// GROUPING: which of the grouped expressions a row's set leaves out.
fn grouping(arguments: Vec<Typed>) -> Result<Typed, Report> {
    if arguments.is_empty() || arguments.len() > 31 {
        return Err(Report::error(
            codes::TOO_MANY_ARGUMENTS,
            "GROUPING must have fewer than 32 arguments",
        ));
    }
    let expr = Expr::AggregateFunction(AggregateFunction::new_udf(
        datafusion::functions_aggregate::grouping::grouping_udaf(),
        arguments.into_iter().map(|typed| typed.expr).collect(),
        false,
        None,
        vec![],
        None,
    ));
    Ok(Typed::new(expr, SqlType::Integer))
}

/// A plan and the order of its rows, over columns that the plan still has.
pub(super) fn with_order(plan: LogicalPlan) -> (LogicalPlan, Vec<Sort>) {
    match plan {
        LogicalPlan::Sort(sort) => {
            let keys = sort.expr.clone();
            (LogicalPlan::Sort(sort), keys)
        }
        // The projection only drops the columns that were sorted by.
        LogicalPlan::Projection(projection)
            if matches!(projection.input.as_ref(), LogicalPlan::Sort(_)) =>
        {
            with_order(projection.input.as_ref().clone())
        }
        LogicalPlan::Limit(limit) => {
            let (input, keys) = with_order(limit.input.as_ref().clone());
            let limit = datafusion::logical_expr::Limit {
                input: Arc::new(input),
                ..limit
            };
            (LogicalPlan::Limit(limit), keys)
        }
        other => (other, Vec::new()),
    }
}

/// A sort key; NULLs last going up and first going down, as PostgreSQL has it.
pub(super) fn sort_key(expr: Expr, options: &ast::OrderByOptions) -> Sort {
    let ascending = options.asc.unwrap_or(true);
    Sort::new(expr, ascending, options.nulls_first.unwrap_or(!ascending))
}
