//! Expressions.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Column, ScalarValue, Spans};
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::expr::{
    Case, Exists, InList, InSubquery, Placeholder, SetComparison, SetQuantifier,
};
use datafusion::logical_expr::{Expr, LogicalPlan, Operator, Subquery, lit, when};
use sqlparser::ast::{self, Spanned, UnaryOperator};
use sqlparser::tokenizer::Span;
use tessera_types::{CastKind, Report, SqlType, Value, codes, text};

use super::coerce::{literal, literal_of, placeholder, unify_decimals};
use super::names::fold;
use super::operators::{comparison, no_operator, symbol_of};
use super::outer::outer_reference;
use super::{Binder, BoundQuery, Scope, Typed};
use crate::scalar;

/// IN lists longer than this become one function with a set of constants.
const IN_SET_MIN: usize = 100;

/// OR chains longer than this are searched for `x = 1 OR x = 2 …`.
const OR_LIST_MIN: usize = 8;

/// Parameters of one statement: what the wire protocol can count.
const PARAMETERS_MAX: usize = 65_535;

impl Binder<'_> {
    /// Binds an expression; untyped literals stay untyped.
    pub(super) fn expr(&mut self, expr: &ast::Expr, scope: &Scope) -> Result<Typed, Report> {
        // Expressions nest as deep as the parser allowed; a stack segment more costs nothing
        // until it is needed.
        stacker::maybe_grow(128 << 10, 2 << 20, || {
            self.expr_inner(expr, scope)
                .map_err(|report| self.at_expr(report, expr))
        })
    }

    fn expr_inner(&mut self, expr: &ast::Expr, scope: &Scope) -> Result<Typed, Report> {
        use ast::Expr as E;
        let truth_only = std::mem::take(&mut self.truth_only);
        match expr {
            E::Identifier(ident) => self.column(&fold(ident), ident.span, scope),
            E::CompoundIdentifier(parts) => self.qualified_column(parts, scope),
            E::Value(value) => self.value(&value.value),
            E::Nested(inner) => {
                self.truth_only = truth_only;
                self.expr(inner, scope)
            }
            E::BinaryOp {
                left,
                op: op @ (ast::BinaryOperator::And | ast::BinaryOperator::Or),
                right,
            } => self.and_or(left, op, right, truth_only, scope),
            E::BinaryOp { left, op, right } => self.binary_op(left, op, right, scope),
            E::UnaryOp { op, expr } => self.unary_op(*op, expr, scope),
            E::IsNull(inner) => self.null_test(inner, scope, false),
            E::IsNotNull(inner) => self.null_test(inner, scope, true),
            E::IsTrue(e) => self.truth_test(e, scope, "IS TRUE", Expr::IsTrue),
            E::IsNotTrue(e) => self.truth_test(e, scope, "IS NOT TRUE", Expr::IsNotTrue),
            E::IsFalse(e) => self.truth_test(e, scope, "IS FALSE", Expr::IsFalse),
            E::IsNotFalse(e) => self.truth_test(e, scope, "IS NOT FALSE", Expr::IsNotFalse),
            E::IsUnknown(e) => self.truth_test(e, scope, "IS UNKNOWN", Expr::IsUnknown),
            E::IsNotUnknown(e) => self.truth_test(e, scope, "IS NOT UNKNOWN", Expr::IsNotUnknown),
            E::IsDistinctFrom(left, right) => {
                self.distinct_test(left, right, Operator::IsDistinctFrom, scope)
            }
            E::IsNotDistinctFrom(left, right) => {
                self.distinct_test(left, right, Operator::IsNotDistinctFrom, scope)
            }
            E::Between {
                expr,
                negated,
                low,
                high,
            } => self.between(expr, *negated, low, high, scope),
            E::InList {
                expr,
                list,
                negated,
            } => self.in_list(expr, list, *negated, scope),
            E::InSubquery {
                expr,
                subquery,
                negated,
            } => self.in_subquery(expr, subquery, *negated, truth_only, scope),
            E::InUnnest { .. } => Err(Report::error(
                codes::SYNTAX_ERROR,
                "syntax error near UNNEST",
            )),
            E::Like {
                negated,
                any: false,
                expr,
                pattern,
                escape_char,
            } => self.like_expr(expr, pattern, *negated, false, escape_char.as_ref(), scope),
            E::ILike {
                negated,
                any: false,
                expr,
                pattern,
                escape_char,
            } => self.like_expr(expr, pattern, *negated, true, escape_char.as_ref(), scope),
            E::Like {
                negated,
                expr,
                pattern,
                ..
            } => {
                let symbol = if *negated { "!~~" } else { "~~" };
                self.quantified(expr, symbol, pattern, !*negated, scope)
            }
            E::ILike {
                negated,
                expr,
                pattern,
                ..
            } => {
                let symbol = if *negated { "!~~*" } else { "~~*" };
                self.quantified(expr, symbol, pattern, !*negated, scope)
            }
            E::SimilarTo {
                negated,
                expr,
                pattern,
                escape_char,
            } => {
                let value = self.expr(expr, scope)?;
                let pattern = self.expr(pattern, scope)?;
                let escape = match escape_char {
                    Some(value) => self.value(&value.value)?,
                    None => self.text_literal("\\"),
                };
                let similar = self.operator("similar", vec![value, pattern, escape])?;
                Ok(negate(similar, *negated))
            }
            E::AnyOp {
                left,
                compare_op,
                right,
                ..
            } => self.quantified(left, &symbol_of(compare_op), right, true, scope),
            E::AllOp {
                left,
                compare_op,
                right,
            } => self.quantified(left, &symbol_of(compare_op), right, false, scope),
            E::Cast {
                expr,
                data_type,
                array: false,
                ..
            } => self.cast_expr(expr, data_type, scope),
            E::TypedString(typed) => {
                let to = self.sql_type(&typed.data_type)?;
                let content = typed.value.clone().into_string().unwrap_or_default();
                self.coerce(unknown_literal(content), &to, CastKind::Explicit)
            }
            E::Interval(interval) => self.interval(interval),
            E::Case {
                operand,
                conditions,
                else_result,
                ..
            } => self.case(
                operand.as_deref(),
                conditions,
                else_result.as_deref(),
                scope,
            ),
            E::Function(call) if is_row_constructor(&call.name) => {
                Err(Report::unsupported("a row value cannot be used here"))
            }
            E::Function(function) => self.function(function, scope),
            E::Exists { subquery, negated } => {
                let mut subquery = self.subquery(subquery, scope)?.0;
                // What EXISTS selects does not matter; without it, less is carried along.
                let mut plan = subquery.subquery.clone();
                while let LogicalPlan::Projection(projection) = plan.as_ref() {
                    let input = projection.input.clone();
                    plan = input;
                }
                subquery.outer_ref_columns = plan.all_out_ref_exprs();
                subquery.subquery = plan;
                Ok(Typed::new(
                    Expr::Exists(Exists::new(subquery, *negated)),
                    SqlType::Boolean,
                ))
            }
            E::Subquery(query) => self.scalar_subquery(query, scope),
            E::Array(array) => self.array(&array.elem, scope),
            E::CompoundFieldAccess { root, access_chain } => {
                self.field_access(root, access_chain, scope)
            }
            E::Collate { expr, collation } => self.collate(expr, collation, scope),
            E::AtTimeZone {
                timestamp,
                time_zone,
            } => {
                let zone = self.expr(time_zone, scope)?;
                let timestamp = self.expr(timestamp, scope)?;
                self.call("timezone", vec![zone, timestamp])
            }
            E::Extract { field, expr, .. } => {
                let field = self.text_literal(&field.to_string().to_lowercase().replace('\'', ""));
                let value = self.expr(expr, scope)?;
                self.call("extract", vec![field, value])
            }
            E::Ceil { expr, .. } => {
                let value = self.expr(expr, scope)?;
                self.call("ceil", vec![value])
            }
            E::Floor { expr, .. } => {
                let value = self.expr(expr, scope)?;
                self.call("floor", vec![value])
            }
            E::Position { expr, r#in } => {
                let needle = self.expr(expr, scope)?;
                let hay = self.expr(r#in, scope)?;
                self.call("position", vec![hay, needle])
            }
            E::Substring {
                expr,
                substring_from,
                substring_for,
                ..
            } => {
                let mut arguments = vec![self.expr(expr, scope)?];
                match (substring_from, substring_for) {
                    (Some(from), length) => {
                        arguments.push(self.expr(from, scope)?);
                        if let Some(length) = length {
                            arguments.push(self.expr(length, scope)?);
                        }
                    }
                    (None, Some(length)) => {
                        arguments.push(literal(&Value::Integer(1), &SqlType::Integer)?);
                        arguments.push(self.expr(length, scope)?);
                    }
                    (None, None) => {}
                }
                self.call("substring", arguments)
            }
            E::Trim {
                trim_where,
                trim_what,
                expr,
                trim_characters,
            } => {
                let name = match trim_where {
                    Some(ast::TrimWhereField::Leading) => "ltrim",
                    Some(ast::TrimWhereField::Trailing) => "rtrim",
                    _ => "btrim",
                };
                let mut arguments = vec![self.expr(expr, scope)?];
                if let Some(what) = trim_what {
                    arguments.push(self.expr(what, scope)?);
                }
                for what in trim_characters.iter().flatten() {
                    arguments.push(self.expr(what, scope)?);
                }
                self.call(name, arguments)
            }
            E::Overlay {
                expr,
                overlay_what,
                overlay_from,
                overlay_for,
            } => {
                let mut arguments = vec![
                    self.expr(expr, scope)?,
                    self.expr(overlay_what, scope)?,
                    self.expr(overlay_from, scope)?,
                ];
                if let Some(length) = overlay_for {
                    arguments.push(self.expr(length, scope)?);
                }
                self.call("overlay", arguments)
            }
            E::IsNormalized {
                expr,
                form,
                negated,
            } => {
                let form = form.map_or_else(|| "NFC".to_owned(), |form| form.to_string());
                let value = self.expr(expr, scope)?;
                let form = self.text_literal(&form);
                Ok(negate(
                    self.call("is_normalized", vec![value, form])?,
                    *negated,
                ))
            }
            E::Tuple(_) => Err(Report::unsupported("a row value cannot be used here")),
            E::Wildcard(_) | E::QualifiedWildcard(..) => Err(Report::error(
                codes::SYNTAX_ERROR,
                "syntax error at or near \"*\"",
            )),
            E::Prefixed { prefix, value } => {
                // Types before a string, such as `pg_catalog.int4 '1'`, come as a prefix.
                let to = SqlType::from_name(&fold(prefix)).map_err(|error| error.report())?;
                let typed = self.expr(value, scope)?;
                self.coerce(typed, &to, CastKind::Explicit)
            }
            other => {
                let text: String = other.to_string().chars().take(80).collect();
                Err(Report::unsupported(format!(
                    "expression is not supported: {text}"
                )))
            }
        }
    }

    /// Converts a written type.
    pub(super) fn sql_type(&self, data_type: &ast::DataType) -> Result<SqlType, Report> {
        crate::ddl::data_type::sql_type_of(data_type)
    }

    fn value(&mut self, value: &ast::Value) -> Result<Typed, Report> {
        match value {
            ast::Value::Number(digits, _) => number(digits, false),
            ast::Value::SingleQuotedString(s)
            | ast::Value::EscapedStringLiteral(s)
            | ast::Value::UnicodeStringLiteral(s)
            | ast::Value::NationalStringLiteral(s) => Ok(unknown_literal(s.clone())),
            ast::Value::DollarQuotedString(s) => Ok(unknown_literal(s.value.clone())),
            ast::Value::Boolean(b) => literal(&Value::Boolean(*b), &SqlType::Boolean),
            ast::Value::Null => Ok(Typed {
                expr: Expr::Literal(ScalarValue::Utf8(None), None),
                sql_type: SqlType::Unknown,
                data_type: DataType::Utf8,
                origin: None,
            }),
            ast::Value::Placeholder(id) => self.parameter(id),
            ast::Value::HexStringLiteral(_) | ast::Value::SingleQuotedByteStringLiteral(_) => {
                Err(Report::unsupported("bit strings are not supported"))
            }
            other => Err(Report::error(
                codes::SYNTAX_ERROR,
                format!("syntax error at or near \"{other}\""),
            )),
        }
    }

    fn parameter(&mut self, id: &str) -> Result<Typed, Report> {
        let number: usize = id.trim_start_matches('$').parse().unwrap_or(0);
        if number == 0 || number > PARAMETERS_MAX {
            return Err(Report::error(
                codes::UNDEFINED_PARAMETER,
                format!("there is no parameter {id}"),
            ));
        }
        if self.params.len() < number {
            self.params.resize(number, None);
        }
        match &self.params[number - 1] {
            Some(sql_type) => Ok(placeholder(id, &sql_type.clone())),
            None => Ok(Typed {
                expr: Expr::Placeholder(Placeholder::new_with_field(id.to_owned(), None)),
                sql_type: SqlType::Unknown,
                data_type: DataType::Utf8,
                origin: None,
            }),
        }
    }

    /// A column without qualifier: here, or in a query around this one.
    fn column(&mut self, name: &str, span: Span, scope: &Scope) -> Result<Typed, Report> {
        if let Some(found) = scope.find(name).map_err(|r| self.at(r, span))? {
            return Ok(found.clone());
        }
        for outer in self.outer.iter().rev() {
            if let Some(found) = outer.find(name).map_err(|r| self.at(r, span))? {
                return outer_reference(found, outer);
            }
        }
        if let Some(relation) = scope.relation(None, name)
            && relation.fields.len() == 1
        {
            // `generate_series(1, 3) AS n`: the function's name is its column.
            return Ok(relation.fields[0].typed.clone());
        }
        let is_relation = |scope: &Scope| scope.relation(None, name).is_some();
        if is_relation(scope) || self.outer.iter().any(|outer| is_relation(outer)) {
            return Err(Report::unsupported(format!(
                "the whole row of \"{name}\" as a value"
            )));
        }
        if matches!(name, "current_schema" | "current_catalog") {
            // Words of SQL that are called without parentheses.
            let function = name.replace("catalog", "database");
            return self.call(&function, Vec::new());
        }
        Err(self.at(
            Report::error(
                codes::UNDEFINED_COLUMN,
                format!("column \"{name}\" does not exist"),
            ),
            span,
        ))
    }

    fn qualified_column(&mut self, parts: &[ast::Ident], scope: &Scope) -> Result<Typed, Report> {
        let names: Vec<String> = parts.iter().map(fold).collect();
        let span = parts.first().map_or_else(Span::empty, |ident| ident.span);
        let (schema, table, column) = match names.as_slice() {
            [table, column] => (None, table, column),
            [schema, table, column] => (Some(schema.as_str()), table, column),
            [_, schema, table, column] => (Some(schema.as_str()), table, column),
            _ => {
                return Err(Report::error(
                    codes::SYNTAX_ERROR,
                    format!(
                        "improper qualified name (too many dotted names): {}",
                        names.join(".")
                    ),
                ));
            }
        };
        let missing = |binder: &Self| {
            binder.at(
                Report::error(
                    codes::UNDEFINED_COLUMN,
                    format!("column {table}.{column} does not exist"),
                ),
                span,
            )
        };
        if let Some(relation) = scope.relation(schema, table) {
            return match relation.field(column)? {
                Some(field) => Ok(field.typed.clone()),
                None => Err(missing(self)),
            };
        }
        for outer in self.outer.iter().rev() {
            if let Some(relation) = outer.relation(schema, table) {
                return match relation.field(column)? {
                    Some(field) => outer_reference(&field.typed, outer),
                    None => Err(missing(self)),
                };
            }
        }
        let mut report = Report::error(
            codes::UNDEFINED_TABLE,
            format!("missing FROM-clause entry for table \"{table}\""),
        );
        if scope
            .relations
            .iter()
            .any(|r| r.schema.is_none() && r.name.starts_with(table.as_str()))
        {
            report = report.with_hint("Perhaps you meant to reference the table alias.");
        }
        Err(self.at(report, span))
    }

    fn and_or(
        &mut self,
        left: &ast::Expr,
        op: &ast::BinaryOperator,
        right: &ast::Expr,
        truth_only: bool,
        scope: &Scope,
    ) -> Result<Typed, Report> {
        let (op, clause) = if *op == ast::BinaryOperator::And {
            (Operator::And, "AND")
        } else {
            if let Some(list) = self.or_list(left, right, scope)? {
                return Ok(list);
            }
            (Operator::Or, "OR")
        };
        self.truth_only = truth_only;
        let left = self.condition(left, scope, clause)?;
        self.truth_only = truth_only;
        let right = self.condition(right, scope, clause)?;
        self.logic(left, op, right)
    }

    fn binary_op(
        &mut self,
        left: &ast::Expr,
        op: &ast::BinaryOperator,
        right: &ast::Expr,
        scope: &Scope,
    ) -> Result<Typed, Report> {
        let symbol = symbol_of(op);
        if let (Some(l), Some(r)) = (row_of(left), row_of(right)) {
            return self.row_compare(&symbol, &l, &r, scope);
        }
        if let (Some(row), ast::Expr::Subquery(query)) = (row_of(left), strip(right)) {
            return self.row_subquery(&symbol, &row, query, scope);
        }
        let left_typed = self.expr(left, scope)?;
        let right_typed = self.expr(right, scope)?;
        // The position of an operator error is the operator's; the nearest we know is its left end.
        self.binary(&symbol, left_typed, right_typed)
    }

    /// `(a, b) = (SELECT …)`: compares with each column of the one row.
    fn row_subquery(
        &mut self,
        symbol: &str,
        row: &[ast::Expr],
        query: &ast::Query,
        scope: &Scope,
    ) -> Result<Typed, Report> {
        let mut pairs = Vec::with_capacity(row.len());
        for (i, expr) in row.iter().enumerate() {
            let (subquery, bound) = self.subquery(query, scope)?;
            if bound.columns.len() != row.len() {
                return Err(Report::error(
                    codes::SYNTAX_ERROR,
                    if bound.columns.len() > row.len() {
                        "subquery has too many columns"
                    } else {
                        "subquery has too few columns"
                    },
                ));
            }
            let column = &bound.columns[i];
            let plan = datafusion::logical_expr::LogicalPlanBuilder::from(
                subquery.subquery.as_ref().clone(),
            )
            .project(vec![Expr::Column(Column::new_unqualified(&column.column))])
            .and_then(|builder| builder.build())
            .map_err(crate::errors::report_of)?;
            let typed = Typed {
                expr: Expr::ScalarSubquery(Subquery {
                    subquery: Arc::new(plan),
                    ..subquery
                }),
                sql_type: column.sql_type.clone(),
                data_type: column.data_type.clone(),
                origin: None,
            };
            pairs.push((self.expr(expr, scope)?, typed));
        }
        self.row_pairs(symbol, pairs)
    }

    /// `x = 1 OR x = 2 OR …` as one list, when the chain is long and all of it has this form.
    fn or_list(
        &mut self,
        left: &ast::Expr,
        right: &ast::Expr,
        scope: &Scope,
    ) -> Result<Option<Typed>, Report> {
        let mut terms = Vec::new();
        let mut waiting = vec![right, left];
        while let Some(expr) = waiting.pop() {
            match strip(expr) {
                ast::Expr::BinaryOp {
                    left,
                    op: ast::BinaryOperator::Or,
                    right,
                } => {
                    waiting.push(right);
                    waiting.push(left);
                }
                other => terms.push(other),
            }
        }
        if terms.len() < OR_LIST_MIN {
            return Ok(None);
        }
        let mut subject: Option<&ast::Expr> = None;
        let mut values = Vec::with_capacity(terms.len());
        for term in terms {
            let ast::Expr::BinaryOp {
                left,
                op: ast::BinaryOperator::Eq,
                right,
            } = term
            else {
                return Ok(None);
            };
            let is_column = matches!(
                left.as_ref(),
                ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_)
            );
            let is_constant = matches!(right.as_ref(), ast::Expr::Value(_));
            if !is_column || !is_constant || subject.is_some_and(|s| s != left.as_ref()) {
                return Ok(None);
            }
            subject = Some(left);
            values.push(right.as_ref().clone());
        }
        match subject {
            Some(subject) => self.in_list(subject, &values, false, scope).map(Some),
            None => Ok(None),
        }
    }

    fn unary_op(
        &mut self,
        op: UnaryOperator,
        operand: &ast::Expr,
        scope: &Scope,
    ) -> Result<Typed, Report> {
        match op {
            UnaryOperator::Not => {
                let typed = self.condition(operand, scope, "NOT")?;
                Ok(negate(typed, true))
            }
            UnaryOperator::Minus => {
                // -9223372036854775808 is a bigint though its digits alone are not.
                if let ast::Expr::Value(value) = operand
                    && let ast::Value::Number(digits, _) = &value.value
                {
                    return number(digits, true);
                }
                let typed = self.expr(operand, scope)?;
                self.operator("-", vec![typed])
            }
            UnaryOperator::Plus => {
                let typed = self.expr(operand, scope)?;
                self.operator("+", vec![typed])
            }
            other => {
                let typed = self.expr(operand, scope)?;
                self.operator(&other.to_string(), vec![typed])
            }
        }
    }

    fn null_test(
        &mut self,
        operand: &ast::Expr,
        scope: &Scope,
        negated: bool,
    ) -> Result<Typed, Report> {
        let wrap = |expr: Expr| {
            if negated {
                Expr::IsNotNull(Box::new(expr))
            } else {
                Expr::IsNull(Box::new(expr))
            }
        };
        if let Some(row) = row_of(operand) {
            let mut result: Option<Typed> = None;
            for item in row.iter() {
                let typed = self.expr(item, scope)?;
                let one = Typed::new(wrap(typed.expr), SqlType::Boolean);
                result = Some(match result {
                    None => one,
                    Some(before) => self.logic(before, Operator::And, one)?,
                });
            }
            return result.ok_or_else(|| Report::error(codes::SYNTAX_ERROR, "empty row"));
        }
        let typed = self.expr(operand, scope)?;
        let typed = self.settle(typed)?;
        Ok(Typed::new(wrap(typed.expr), SqlType::Boolean))
    }

    fn truth_test(
        &mut self,
        operand: &ast::Expr,
        scope: &Scope,
        clause: &str,
        wrap: fn(Box<Expr>) -> Expr,
    ) -> Result<Typed, Report> {
        let typed = self.condition(operand, scope, clause)?;
        Ok(Typed::new(wrap(Box::new(typed.expr)), SqlType::Boolean))
    }

    fn distinct_test(
        &mut self,
        left: &ast::Expr,
        right: &ast::Expr,
        op: Operator,
        scope: &Scope,
    ) -> Result<Typed, Report> {
        if let (Some(left), Some(right)) = (row_of(left), row_of(right)) {
            if left.len() != right.len() {
                return Err(Report::error(
                    codes::SYNTAX_ERROR,
                    "unequal number of entries in row expressions",
                ));
            }
            // Rows are distinct when a pair of their columns is.
            let joined = if op == Operator::IsDistinctFrom {
                Operator::Or
            } else {
                Operator::And
            };
            let mut result: Option<Typed> = None;
            for (left, right) in left.iter().zip(right.iter()) {
                let one = self.distinct_test(left, right, op, scope)?;
                result = Some(match result {
                    None => one,
                    Some(before) => self.logic(before, joined, one)?,
                });
            }
            return result.ok_or_else(|| Report::error(codes::SYNTAX_ERROR, "empty row"));
        }
        let left = self.expr(left, scope)?;
        let right = self.expr(right, scope)?;
        self.compare(op, "=", left, right)
    }

    /// A condition: boolean, or an untyped literal read as one.
    pub(super) fn condition(
        &mut self,
        expr: &ast::Expr,
        scope: &Scope,
        clause: &str,
    ) -> Result<Typed, Report> {
        // Rows pass these or do not; below AND and OR the clause around them decides.
        self.truth_only = match clause {
            "WHERE" | "HAVING" | "JOIN/ON" | "FILTER" => true,
            "AND" | "OR" => self.truth_only,
            _ => false,
        };
        let typed = self.expr(expr, scope)?;
        if matches!(typed.sql_type, SqlType::Boolean | SqlType::Unknown) {
            return self.coerce(typed, &SqlType::Boolean, CastKind::Implicit);
        }
        Err(self.at_expr(
            Report::error(
                codes::DATATYPE_MISMATCH,
                format!(
                    "argument of {clause} must be type boolean, not type {}",
                    typed.sql_type.base_name()
                ),
            ),
            expr,
        ))
    }

    fn between(
        &mut self,
        operand: &ast::Expr,
        negated: bool,
        low: &ast::Expr,
        high: &ast::Expr,
        scope: &Scope,
    ) -> Result<Typed, Report> {
        let value = self.expr(operand, scope)?;
        let low = self.expr(low, scope)?;
        let high = self.expr(high, scope)?;
        let above = self.compare(Operator::GtEq, ">=", value.clone(), low)?;
        let below = self.compare(Operator::LtEq, "<=", value, high)?;
        let both = self.logic(above, Operator::And, below)?;
        Ok(negate(both, negated))
    }

    fn in_list(
        &mut self,
        operand: &ast::Expr,
        list: &[ast::Expr],
        negated: bool,
        scope: &Scope,
    ) -> Result<Typed, Report> {
        if let Some(row) = row_of(operand) {
            let mut result: Option<Typed> = None;
            for item in list {
                let Some(values) = row_of(item) else {
                    return Err(Report::error(
                        codes::SYNTAX_ERROR,
                        "row expected in IN list",
                    ));
                };
                let one = self.row_compare("=", &row, &values, scope)?;
                result = Some(match result {
                    None => one,
                    Some(before) => self.logic(before, Operator::Or, one)?,
                });
            }
            let any = result.ok_or_else(|| Report::error(codes::SYNTAX_ERROR, "empty IN list"))?;
            return Ok(negate(any, negated));
        }
        let mut subject = self.expr(operand, scope)?;
        let mut items = Vec::with_capacity(list.len());
        for item in list {
            items.push(self.expr(item, scope)?);
        }
        // PostgreSQL compares with each; the common type of all literals is enough here because
        // constants do not lose anything in the wider type.
        let mut values = Vec::with_capacity(items.len());
        let (_, common, _) = {
            let types: Vec<Typed> = items.clone();
            match self.unify(types, "IN") {
                Ok(unified) => unified,
                Err(_) => {
                    let symbol = if negated { "<>" } else { "=" };
                    return Err(no_operator(symbol, &subject.sql_type, &items[0].sql_type));
                }
            }
        };
        let all_literals = items.iter().all(|item| item.sql_type == SqlType::Unknown);
        for item in items {
            let item = if all_literals {
                item
            } else {
                self.coerce(item, &common, CastKind::Implicit)?
            };
            let (left, right) = self.comparable("=", subject.clone(), item)?;
            values.push(right);
            // The widest type that any comparison wanted is the type of all.
            if subject.data_type != left.data_type || subject.sql_type == SqlType::Unknown {
                subject = left;
            }
        }
        let mut all = vec![subject];
        all.extend(values);
        let mut all = unify_decimals(all).into_iter();
        let subject = all
            .next()
            .ok_or_else(|| Report::internal("an IN without operand"))?;
        let data_type = subject.data_type.clone();
        let values: Vec<Typed> = all
            .map(|value| Self::in_data_type(value, &data_type))
            .collect();
        let constants: Option<Vec<ScalarValue>> = values
            .iter()
            .map(|value| match &value.expr {
                Expr::Literal(scalar, _) => Some(scalar.clone()),
                _ => None,
            })
            .collect();
        if let Some(constants) = constants
            && constants.len() >= IN_SET_MIN
        {
            let udf = self.environment.in_set(&data_type, constants);
            let call = Expr::ScalarFunction(
                datafusion::logical_expr::expr::ScalarFunction::new_udf(udf, vec![subject.expr]),
            );
            return Ok(negate(Typed::new(call, SqlType::Boolean), negated));
        }
        let list = values.into_iter().map(|value| value.expr).collect();
        let expr = Expr::InList(InList::new(Box::new(subject.expr), list, negated));
        Ok(Typed::new(expr, SqlType::Boolean))
    }

    /// A subquery bound inside this scope.
    pub(super) fn subquery(
        &mut self,
        query: &ast::Query,
        scope: &Scope,
    ) -> Result<(Subquery, BoundQuery), Report> {
        self.outer.push(Arc::new(scope.clone()));
        let sets = std::mem::replace(&mut self.sets_allowed, false);
        let bound = self.query(query, false);
        self.sets_allowed = sets;
        self.outer.pop();
        let bound = bound?;
        let outer_ref_columns = bound.plan.all_out_ref_exprs();
        let subquery = Subquery {
            subquery: Arc::new(bound.plan.clone()),
            outer_ref_columns,
            spans: Spans::new(),
        };
        Ok((subquery, bound))
    }

    fn one_column<'b>(&self, bound: &'b BoundQuery) -> Result<&'b super::OutputColumn, Report> {
        match bound.columns.as_slice() {
            [column] => Ok(column),
            _ => Err(Report::error(
                codes::SYNTAX_ERROR,
                "subquery must return only one column",
            )),
        }
    }

    fn scalar_subquery(&mut self, query: &ast::Query, scope: &Scope) -> Result<Typed, Report> {
        let (subquery, bound) = self.subquery(query, scope)?;
        let column = self.one_column(&bound)?;
        Ok(Typed {
            sql_type: column.sql_type.clone(),
            data_type: column.data_type.clone(),
            expr: Expr::ScalarSubquery(subquery),
            origin: None,
        })
    }

    fn in_subquery(
        &mut self,
        operand: &ast::Expr,
        query: &ast::Query,
        negated: bool,
        truth_only: bool,
        scope: &Scope,
    ) -> Result<Typed, Report> {
        if let Some(row) = row_of(operand) {
            return self.row_in_subquery(&row, query, negated, truth_only, scope);
        }
        let subject = self.expr(operand, scope)?;
        let (subquery, bound) = self.subquery(query, scope)?;
        if bound.columns.len() > 1 {
            return Err(Report::error(
                codes::SYNTAX_ERROR,
                "subquery has too many columns",
            ));
        }
        let (subject, subquery) = self.comparable_subquery("=", subject, subquery, &bound)?;
        let expr = Expr::InSubquery(InSubquery::new(Box::new(subject.expr), subquery, negated));
        Ok(Typed::new(expr, SqlType::Boolean))
    }

    /// Casts an operand and a subquery's column to the type in which they are compared.
    fn comparable_subquery(
        &mut self,
        symbol: &str,
        subject: Typed,
        subquery: Subquery,
        bound: &BoundQuery,
    ) -> Result<(Typed, Subquery), Report> {
        let column = self.one_column(bound)?;
        let inner = Typed {
            expr: Expr::Column(Column::new_unqualified(&column.column)),
            sql_type: column.sql_type.clone(),
            data_type: column.data_type.clone(),
            origin: None,
        };
        let plain = inner.expr.clone();
        let (subject, inner) = self.comparable(symbol, subject, inner)?;
        if inner.expr == plain {
            return Ok((subject, subquery));
        }
        let plan =
            datafusion::logical_expr::LogicalPlanBuilder::from(subquery.subquery.as_ref().clone())
                .project(vec![inner.expr.alias(&column.column)])
                .and_then(|builder| builder.build())
                .map_err(crate::errors::report_of)?;
        Ok((
            subject,
            Subquery {
                subquery: Arc::new(plan),
                ..subquery
            },
        ))
    }

    /// `(a, b) IN (SELECT c, d …)`: where false and unknown are the same, as EXISTS with the
    /// equalities inside.
    fn row_in_subquery(
        &mut self,
        row: &[ast::Expr],
        query: &ast::Query,
        negated: bool,
        truth_only: bool,
        scope: &Scope,
    ) -> Result<Typed, Report> {
        let mut outer = Vec::with_capacity(row.len());
        for expr in row {
            let typed = self.expr(expr, scope)?;
            outer.push(outer_reference(&typed, scope)?);
        }
        let (_, bound) = self.subquery(query, scope)?;
        if bound.columns.len() != row.len() {
            return Err(Report::error(
                codes::SYNTAX_ERROR,
                "subquery has a different number of columns than the row",
            ));
        }
        let mut filter: Option<Typed> = None;
        for (value, column) in outer.into_iter().zip(&bound.columns) {
            let inner = Typed {
                expr: Expr::Column(Column::new_unqualified(&column.column)),
                sql_type: column.sql_type.clone(),
                data_type: column.data_type.clone(),
                origin: None,
            };
            let one = self.compare(Operator::Eq, "=", inner, value)?;
            filter = Some(match filter {
                None => one,
                Some(before) => self.logic(before, Operator::And, one)?,
            });
        }
        let filter = filter.ok_or_else(|| Report::internal("an empty row"))?;
        if negated || !truth_only {
            return in_rows(bound.plan, filter.expr, negated).map_err(crate::errors::report_of);
        }
        let plan = datafusion::logical_expr::LogicalPlanBuilder::from(bound.plan)
            .filter(filter.expr)
            .and_then(|builder| builder.build())
            .map_err(crate::errors::report_of)?;
        let outer_ref_columns = plan.all_out_ref_exprs();
        let subquery = Subquery {
            subquery: Arc::new(plan),
            outer_ref_columns,
            spans: Spans::new(),
        };
        Ok(Typed::new(
            Expr::Exists(Exists::new(subquery, false)),
            SqlType::Boolean,
        ))
    }

    /// `x op ANY (…)` and `x op ALL (…)` over a subquery or an array.
    fn quantified(
        &mut self,
        left: &ast::Expr,
        symbol: &str,
        right: &ast::Expr,
        any: bool,
        scope: &Scope,
    ) -> Result<Typed, Report> {
        if let ast::Expr::Subquery(query) = strip(right) {
            let subject = self.expr(left, scope)?;
            let (subquery, bound) = self.subquery(query, scope)?;
            self.one_column(&bound)?;
            let Some(op) = comparison(symbol) else {
                return Err(Report::unsupported(format!(
                    "operator {symbol} with ANY or ALL of a subquery"
                )));
            };
            let (subject, subquery) =
                self.comparable_subquery(symbol, subject, subquery, &bound)?;
            let subject = Box::new(subject.expr);
            let expr = match (op, any) {
                (Operator::Eq, true) => Expr::InSubquery(InSubquery::new(subject, subquery, false)),
                (Operator::NotEq, false) => {
                    Expr::InSubquery(InSubquery::new(subject, subquery, true))
                }
                (op, any) => Expr::SetComparison(SetComparison::new(
                    subject,
                    subquery,
                    op,
                    if any {
                        SetQuantifier::Any
                    } else {
                        SetQuantifier::All
                    },
                )),
            };
            return Ok(Typed::new(expr, SqlType::Boolean));
        }
        // An array written out is a list of comparisons: the planner sees more in it.
        if let ast::Expr::Array(array) = strip(right)
            && any
            && symbol == "="
            && !array.elem.is_empty()
            && row_of(left).is_none()
        {
            return self.in_list(left, &array.elem, false, scope);
        }
        let subject = self.expr(left, scope)?;
        let array = self.expr(right, scope)?;
        let element = match &array.sql_type {
            SqlType::Array(element) => (**element).clone(),
            SqlType::Unknown => match &subject.sql_type {
                SqlType::Unknown => SqlType::Text,
                SqlType::Varchar(_) | SqlType::Char(_) | SqlType::Name => SqlType::Text,
                SqlType::Numeric(_) => SqlType::Numeric(None),
                other => other.clone(),
            },
            _ => {
                return Err(Report::error(
                    codes::WRONG_OBJECT_TYPE,
                    "op ANY/ALL (array) requires array on right side",
                ));
            }
        };
        let array = self.coerce(array, &element.clone().array_of(), CastKind::Implicit)?;
        // A constant array is a list too.
        if any
            && symbol == "="
            && let Expr::Literal(value @ ScalarValue::List(_), _) = &array.expr
            && !value.is_null()
        {
            let Value::Array(items) = scalar::from_scalar(value, &array.sql_type)? else {
                return Err(Report::internal("an array literal is an array"));
            };
            let mut values = Vec::with_capacity(items.elements.len());
            for item in &items.elements {
                values.push(literal(item, &element)?);
            }
            return self.in_values(subject, values);
        }
        let probe = Typed::new(Expr::Literal(ScalarValue::Null, None), element);
        let (subject, probe) = if comparison(symbol).is_some() {
            self.comparable(symbol, subject, probe)?
        } else {
            let subject = self.coerce(subject, &SqlType::Text, CastKind::Implicit)?;
            (subject, probe)
        };
        let array = self.coerce(
            array,
            &probe.sql_type.clone().array_of(),
            CastKind::Implicit,
        )?;
        let quantifier = if any { "any" } else { "all" };
        let symbol = if symbol == "!=" { "<>" } else { symbol };
        self.operator(&format!("{quantifier} {symbol}"), vec![subject, array])
    }

    /// `x = ANY (constants)`.
    fn in_values(&mut self, subject: Typed, values: Vec<Typed>) -> Result<Typed, Report> {
        if values.is_empty() {
            return literal(&Value::Boolean(false), &SqlType::Boolean);
        }
        let mut subject = subject;
        let mut cast = Vec::with_capacity(values.len());
        for value in values {
            let (left, right) = self.comparable("=", subject.clone(), value)?;
            subject = left;
            cast.push(right);
        }
        let data_type = subject.data_type.clone();
        let constants: Vec<ScalarValue> = cast
            .into_iter()
            .filter_map(|value| match Self::in_data_type(value, &data_type).expr {
                Expr::Literal(scalar, _) => Some(scalar),
                _ => None,
            })
            .collect();
        if constants.len() >= IN_SET_MIN {
            let udf = self.environment.in_set(&data_type, constants);
            let call = Expr::ScalarFunction(
                datafusion::logical_expr::expr::ScalarFunction::new_udf(udf, vec![subject.expr]),
            );
            return Ok(Typed::new(call, SqlType::Boolean));
        }
        let list = constants
            .into_iter()
            .map(|value| Expr::Literal(value, None))
            .collect();
        let expr = Expr::InList(InList::new(Box::new(subject.expr), list, false));
        Ok(Typed::new(expr, SqlType::Boolean))
    }

    fn like_expr(
        &mut self,
        value: &ast::Expr,
        pattern: &ast::Expr,
        negated: bool,
        insensitive: bool,
        escape: Option<&ast::ValueWithSpan>,
        scope: &Scope,
    ) -> Result<Typed, Report> {
        let value = self.expr(value, scope)?;
        let pattern = self.expr(pattern, scope)?;
        match escape {
            None => self.like(value, pattern, negated, insensitive),
            Some(escape) => {
                let escape = self.value(&escape.value)?;
                let symbol = if insensitive {
                    "ilike escape"
                } else {
                    "like escape"
                };
                let result = self.operator(symbol, vec![value, pattern, escape])?;
                Ok(negate(result, negated))
            }
        }
    }

    fn cast_expr(
        &mut self,
        operand: &ast::Expr,
        data_type: &ast::DataType,
        scope: &Scope,
    ) -> Result<Typed, Report> {
        let to = self.sql_type(data_type)?;
        // ARRAY[] has a type only by its cast.
        if let (ast::Expr::Array(array), SqlType::Array(element)) = (strip(operand), &to)
            && array.elem.is_empty()
        {
            let value = tessera_types::ArrayValue::from_elements((**element).clone(), Vec::new());
            return literal(&Value::Array(Box::new(value)), &to);
        }
        let typed = self.expr(operand, scope)?;
        Ok(self.coerce(typed, &to, CastKind::Explicit)?.detached())
    }

    fn interval(&mut self, interval: &ast::Interval) -> Result<Typed, Report> {
        let ast::Expr::Value(value) = interval.value.as_ref() else {
            return Err(Report::error(
                codes::SYNTAX_ERROR,
                "an interval needs a string",
            ));
        };
        let content = match &value.value {
            ast::Value::SingleQuotedString(s) | ast::Value::EscapedStringLiteral(s) => s.clone(),
            ast::Value::Number(digits, _) => digits.clone(),
            other => other.to_string(),
        };
        // A bare number takes its unit from the field: INTERVAL '90' DAY.
        let field = interval
            .last_field
            .as_ref()
            .or(interval.leading_field.as_ref());
        let bare = content.trim().parse::<f64>().is_ok();
        let content = match field {
            Some(field) if bare => {
                format!("{} {}", content.trim(), field.to_string().to_lowercase())
            }
            _ => content,
        };
        self.coerce(
            unknown_literal(content),
            &SqlType::Interval,
            CastKind::Explicit,
        )
    }

    fn case(
        &mut self,
        operand: Option<&ast::Expr>,
        conditions: &[ast::CaseWhen],
        else_result: Option<&ast::Expr>,
        scope: &Scope,
    ) -> Result<Typed, Report> {
        let operand = operand
            .map(|operand| self.expr(operand, scope))
            .transpose()?;
        let mut whens = Vec::with_capacity(conditions.len());
        let mut results = Vec::with_capacity(conditions.len() + 1);
        for when in conditions {
            let condition = match &operand {
                Some(operand) => {
                    let value = self.expr(&when.condition, scope)?;
                    self.compare(Operator::Eq, "=", operand.clone(), value)?
                }
                None => self.condition(&when.condition, scope, "CASE/WHEN")?,
            };
            whens.push(condition.expr);
            results.push(self.expr(&when.result, scope)?);
        }
        // PostgreSQL looks at ELSE first; the order matters only for the error's text.
        let has_else = else_result.is_some();
        if let Some(result) = else_result {
            results.push(self.expr(result, scope)?);
        }
        let (results, sql_type, data_type) = self.unify(results, "CASE")?;
        let mut results = results.into_iter().map(|typed| Box::new(typed.expr));
        let pairs: Vec<(Box<Expr>, Box<Expr>)> = whens
            .into_iter()
            .map(Box::new)
            .zip(results.by_ref())
            .collect();
        let otherwise = if has_else { results.next() } else { None };
        Ok(Typed {
            expr: Expr::Case(Case::new(None, pairs, otherwise)),
            sql_type,
            data_type,
            origin: None,
        })
    }

    fn array(&mut self, elements: &[ast::Expr], scope: &Scope) -> Result<Typed, Report> {
        if elements.is_empty() {
            return Err(Report::error(
                codes::INDETERMINATE_DATATYPE,
                "cannot determine type of empty array",
            )
            .with_hint("Explicitly cast to the desired type, for example ARRAY[]::integer[]."));
        }
        let mut items = Vec::with_capacity(elements.len());
        for element in elements {
            items.push(self.expr(element, scope)?);
        }
        if items
            .iter()
            .any(|item| matches!(item.sql_type, SqlType::Array(_)))
        {
            return Err(Report::unsupported(
                "arrays of several dimensions cannot be built here",
            ));
        }
        let (items, _, _) = self.unify(items, "ARRAY")?;
        self.operator("ARRAY", items)
    }

    fn field_access(
        &mut self,
        root: &ast::Expr,
        chain: &[ast::AccessExpr],
        scope: &Scope,
    ) -> Result<Typed, Report> {
        // `t.a[1]` comes as root `t` and a dot; join the names first.
        let mut names = Vec::new();
        let mut rest = chain;
        if let ast::Expr::Identifier(ident) = root {
            names.push(ident.clone());
            while let Some(ast::AccessExpr::Dot(ast::Expr::Identifier(ident))) = rest.first() {
                names.push(ident.clone());
                rest = &rest[1..];
            }
        }
        let mut typed = match names.len() {
            0 => self.expr(root, scope)?,
            1 => self.column(&fold(&names[0]), names[0].span, scope)?,
            _ => self.qualified_column(&names, scope)?,
        };
        for access in rest {
            typed = match access {
                ast::AccessExpr::Subscript(ast::Subscript::Index { index }) => {
                    let index = self.expr(index, scope)?;
                    if matches!(typed.sql_type, SqlType::Jsonb) {
                        self.operator("->", vec![typed, index])?
                    } else {
                        let index = self.coerce(index, &SqlType::Integer, CastKind::Assignment)?;
                        self.operator("[]", vec![typed, index])?
                    }
                }
                ast::AccessExpr::Subscript(ast::Subscript::Slice {
                    lower_bound,
                    upper_bound,
                    stride: None,
                }) => {
                    let mut bound = |bound: &Option<ast::Expr>| match bound {
                        Some(bound) => {
                            let typed = self.expr(bound, scope)?;
                            self.coerce(typed, &SqlType::Integer, CastKind::Assignment)
                        }
                        None => literal(&Value::Null, &SqlType::Integer),
                    };
                    let lower = bound(lower_bound)?;
                    let upper = bound(upper_bound)?;
                    self.operator("[:]", vec![typed, lower, upper])?
                }
                _ => {
                    return Err(Report::error(
                        codes::WRONG_OBJECT_TYPE,
                        "column notation .name applied to a value that is not a row",
                    ));
                }
            };
        }
        Ok(typed)
    }

    fn collate(
        &mut self,
        operand: &ast::Expr,
        collation: &ast::ObjectName,
        scope: &Scope,
    ) -> Result<Typed, Report> {
        let (_, name) = super::object_name(collation)?;
        if !matches!(name.as_str(), "default" | "C" | "POSIX" | "ucs_basic") {
            return Err(Report::error(
                codes::UNDEFINED_OBJECT,
                format!("collation \"{name}\" for encoding \"UTF8\" does not exist"),
            )
            .with_hint("Text is ordered by its bytes: use \"C\" or \"default\"."));
        }
        self.expr(operand, scope)
    }

    /// Refuses aggregates and window functions where they make no sense.
    pub(super) fn no_aggregates(
        &self,
        typed: &Typed,
        clause: &str,
        expr: &ast::Expr,
    ) -> Result<(), Report> {
        let span = expr.span();
        let exprs = std::slice::from_ref(&typed.expr);
        if !datafusion::logical_expr::utils::find_aggregate_exprs(exprs).is_empty() {
            return Err(self.at(
                Report::error(
                    codes::GROUPING_ERROR,
                    format!("aggregate functions are not allowed in {clause}"),
                ),
                span,
            ));
        }
        if !datafusion::logical_expr::utils::find_window_exprs(exprs).is_empty() {
            return Err(self.at(
                Report::error(
                    codes::WINDOWING_ERROR,
                    format!("window functions are not allowed in {clause}"),
                ),
                span,
            ));
        }
        Ok(())
    }
}

/// A literal that has no type yet.
pub(super) fn unknown_literal(content: String) -> Typed {
    Typed {
        expr: Expr::Literal(ScalarValue::Utf8(Some(content)), None),
        sql_type: SqlType::Unknown,
        data_type: DataType::Utf8,
        origin: None,
    }
}

/// A number as written: integer if it fits, then bigint, else numeric.
pub(super) fn number(digits: &str, negative: bool) -> Result<Typed, Report> {
    let mut written = String::with_capacity(digits.len() + 1);
    if negative {
        written.push('-');
    }
    written.extend(digits.chars().filter(|c| *c != '_'));
    if let Ok(value) = written.parse::<i32>() {
        return literal(&Value::Integer(value), &SqlType::Integer);
    }
    if let Ok(value) = written.parse::<i64>() {
        return literal(&Value::BigInt(value), &SqlType::BigInt);
    }
    let (value, sql_type) = text::parse_number(&written).map_err(|error| error.report())?;
    literal(&value, &sql_type)
}

/// NOT, if wanted.
pub(super) fn negate(typed: Typed, negated: bool) -> Typed {
    if negated {
        Typed::new(Expr::Not(Box::new(typed.expr)), SqlType::Boolean)
    } else {
        typed
    }
}

/// `row [NOT] IN (plan)`, where `equal` compares the row with one of the plan's: the best match
/// decides, 2 for equal, 1 for unknown, 0 for different.
fn in_rows(plan: LogicalPlan, equal: Expr, negated: bool) -> datafusion::common::Result<Typed> {
    let degree = when(equal.clone().is_true(), lit(2_i64))
        .when(equal.is_null(), lit(1_i64))
        .otherwise(lit(0_i64))?;
    let matched = Expr::Column(Column::new_unqualified("match"));
    let plan = datafusion::logical_expr::LogicalPlanBuilder::from(plan)
        .project(vec![degree.alias("match")])?
        .aggregate(Vec::<Expr>::new(), vec![max(matched).alias("best match")])?
        .build()?;
    let best = Expr::ScalarSubquery(Subquery {
        outer_ref_columns: plan.all_out_ref_exprs(),
        subquery: Arc::new(plan),
        spans: Spans::new(),
    });
    let unknown = Expr::Literal(ScalarValue::Boolean(None), None);
    let is_in = when(best.clone().eq(lit(2_i64)), lit(!negated))
        .when(best.eq(lit(1_i64)), unknown)
        .otherwise(lit(negated))?;
    Ok(Typed::new(is_in, SqlType::Boolean))
}

/// The items of a row: `(a, b)` or `ROW(a, b)`.
fn row_of(expr: &ast::Expr) -> Option<Cow<'_, [ast::Expr]>> {
    match strip(expr) {
        ast::Expr::Tuple(items) => Some(Cow::Borrowed(items)),
        ast::Expr::Function(call) if is_row_constructor(&call.name) => {
            let ast::FunctionArguments::List(list) = &call.args else {
                return None;
            };
            let items = list.args.iter().map(|argument| match argument {
                ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(item)) => Some(item.clone()),
                _ => None,
            });
            items.collect::<Option<Vec<_>>>().map(Cow::Owned)
        }
        _ => None,
    }
}

/// `row` without quotes is a word of SQL, no function.
fn is_row_constructor(name: &ast::ObjectName) -> bool {
    match name.0.as_slice() {
        [part] => part
            .as_ident()
            .is_some_and(|ident| ident.quote_style.is_none() && fold(ident) == "row"),
        _ => false,
    }
}

/// Without parentheses.
pub(super) fn strip(mut expr: &ast::Expr) -> &ast::Expr {
    while let ast::Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

/// `Expr::Literal` of an integer, used for `count(*)`.
pub(super) fn count_star_argument() -> Typed {
    literal_of(ScalarValue::Int64(Some(1)), SqlType::BigInt)
}
