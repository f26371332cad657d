//! Operators: comparison by common types, everything else by the registry.

use arrow::datatypes::DataType;
use datafusion::logical_expr::expr::{BinaryExpr, ScalarFunction};
use datafusion::logical_expr::{Expr, Operator};
use sqlparser::ast::{self, BinaryOperator};
use tessera_types::{CastKind, Report, SqlType, Value, codes};

use super::coerce::{cast_to, literal, unify_decimals, unify_shown};
use super::{Binder, Scope, Typed};
use crate::functions::coercion::{Category, casts_implicitly, category, common_type, same_base};

/// The comparison that a symbol stands for.
pub(super) fn comparison(symbol: &str) -> Option<Operator> {
    Some(match symbol {
        "=" => Operator::Eq,
        "<>" | "!=" => Operator::NotEq,
        "<" => Operator::Lt,
        "<=" => Operator::LtEq,
        ">" => Operator::Gt,
        ">=" => Operator::GtEq,
        _ => return None,
    })
}

/// An operator's symbol as PostgreSQL writes it; `OPERATOR(pg_catalog.~)` too.
pub(super) fn symbol_of(op: &BinaryOperator) -> String {
    match op {
        BinaryOperator::PGCustomBinaryOperator(parts) => parts.last().cloned().unwrap_or_default(),
        BinaryOperator::Custom(symbol) => symbol.clone(),
        BinaryOperator::NotEq => "<>".to_owned(),
        BinaryOperator::PGBitwiseXor => "#".to_owned(),
        BinaryOperator::PGExp => "^".to_owned(),
        BinaryOperator::PGOverlap => "&&".to_owned(),
        other => other.to_string(),
    }
}

impl Binder<'_> {
    /// `left op right`, both bound already.
    pub(super) fn binary(
        &mut self,
        symbol: &str,
        left: Typed,
        right: Typed,
    ) -> Result<Typed, Report> {
        if let Some(op) = comparison(symbol) {
            return self.compare(op, symbol, left, right);
        }
        match symbol {
            "~~" => return self.like(left, right, false, false),
            "!~~" => return self.like(left, right, true, false),
            "~~*" => return self.like(left, right, false, true),
            "!~~*" => return self.like(left, right, true, true),
            _ => {}
        }
        self.operator(symbol, vec![left, right])
    }

    /// A comparison in the common type of both sides.
    pub(super) fn compare(
        &mut self,
        op: Operator,
        symbol: &str,
        left: Typed,
        right: Typed,
    ) -> Result<Typed, Report> {
        let (left, right) = self.comparable(symbol, left, right)?;
        let expr = Expr::BinaryExpr(BinaryExpr::new(
            Box::new(left.expr),
            op,
            Box::new(right.expr),
        ));
        Ok(Typed::new(expr, SqlType::Boolean))
    }

    /// Both sides in the type in which they are compared.
    pub(super) fn comparable(
        &mut self,
        symbol: &str,
        left: Typed,
        right: Typed,
    ) -> Result<(Typed, Typed), Report> {
        let target = compare_type(&left.sql_type, &right.sql_type)
            .filter(is_comparable)
            .ok_or_else(|| no_operator(symbol, &left.sql_type, &right.sql_type))?;
        // `char(3)_column = 'ab'`: pad the literal instead of trimming the column.
        if let (SqlType::Char(n), true) = (&left.sql_type, right.is_literal()) {
            let n = *n;
            return Ok((left, self.padded(right, n)?));
        }
        if let (SqlType::Char(n), true) = (&right.sql_type, left.is_literal()) {
            let n = *n;
            return Ok((self.padded(left, n)?, right));
        }
        let left = self.coerce(left, &target, CastKind::Implicit)?;
        let right = self.coerce(right, &target, CastKind::Implicit)?;
        let (left, right) = match (&left.sql_type, &right.sql_type) {
            (SqlType::Interval, SqlType::Interval) => {
                (self.interval_key(left)?, self.interval_key(right)?)
            }
            (SqlType::Jsonb, SqlType::Jsonb) => (self.jsonb_key(left)?, self.jsonb_key(right)?),
            _ => (left, right),
        };
        let mut both = unify_decimals(vec![left, right]);
        let right = both
            .pop()
            .ok_or_else(|| Report::internal("two sides went in"))?;
        let left = both
            .pop()
            .ok_or_else(|| Report::internal("two sides went in"))?;
        Ok((left, right))
    }

    /// A literal padded with blanks to the length of a `char(n)`; trailing blanks do not count.
    fn padded(&mut self, typed: Typed, length: u32) -> Result<Typed, Report> {
        let typed = self.coerce(typed, &SqlType::Text, CastKind::Implicit)?;
        let Expr::Literal(value, _) = &typed.expr else {
            return Ok(typed);
        };
        let Ok(Value::Text(content)) = crate::scalar::from_scalar(value, &SqlType::Text) else {
            return Ok(typed);
        };
        let trimmed = content.trim_end_matches(' ');
        let missing = (length as usize).saturating_sub(trimmed.chars().count());
        literal(
            &Value::text(format!("{trimmed}{}", " ".repeat(missing))),
            &SqlType::Text,
        )
    }

    /// Intervals compare by their length: a month is 30 days, a day 24 hours.
    pub(super) fn interval_key(&mut self, typed: Typed) -> Result<Typed, Report> {
        self.operator("interval_key", vec![typed])
    }

    /// `jsonb` compares by what it says, not by how its numbers are written.
    pub(super) fn jsonb_key(&mut self, typed: Typed) -> Result<Typed, Report> {
        self.operator("jsonb_key", vec![typed])
    }

    /// An operator of the registry.
    pub(super) fn operator(
        &mut self,
        symbol: &str,
        arguments: Vec<Typed>,
    ) -> Result<Typed, Report> {
        let given: Vec<SqlType> = arguments.iter().map(|a| a.sql_type.clone()).collect();
        let registry = self.environment.registry();
        let chosen = crate::functions::choose_operator(registry.operators(symbol), &given);
        let chosen = chosen.map_err(|_| match given.as_slice() {
            [left, right] => no_operator(symbol, left, right),
            [only] => Report::error(
                codes::UNDEFINED_FUNCTION,
                format!("operator does not exist: {symbol} {}", only.base_name()),
            )
            .with_hint(NO_OPERATOR_HINT),
            _ => Report::internal(format!("operator {symbol} is not built")),
        })?;
        self.scalar_call(&chosen, arguments)
    }

    /// AND and OR of conditions, however many.
    pub(super) fn logic(
        &mut self,
        left: Typed,
        op: Operator,
        right: Typed,
    ) -> Result<Typed, Report> {
        let expr = Expr::BinaryExpr(BinaryExpr::new(
            Box::new(left.expr),
            op,
            Box::new(right.expr),
        ));
        Ok(Typed::new(expr, SqlType::Boolean))
    }

    /// LIKE without an ESCAPE clause.
    pub(super) fn like(
        &mut self,
        value: Typed,
        pattern: Typed,
        negated: bool,
        insensitive: bool,
    ) -> Result<Typed, Report> {
        for side in [&value, &pattern] {
            if !matches!(
                category(&side.sql_type),
                Category::String | Category::Unknown
            ) {
                let symbol = match (negated, insensitive) {
                    (false, false) => "~~",
                    (true, false) => "!~~",
                    (false, true) => "~~*",
                    (true, true) => "!~~*",
                };
                return Err(no_operator(symbol, &value.sql_type, &pattern.sql_type));
            }
        }
        let value = self.coerce_text(value)?;
        let pattern = self.coerce_text(pattern)?;
        let expr = Expr::Like(datafusion::logical_expr::Like::new(
            negated,
            Box::new(value.expr),
            Box::new(pattern.expr),
            None,
            insensitive,
        ));
        Ok(Typed::new(expr, SqlType::Boolean))
    }

    /// As text; `char(n)` keeps its padding, as LIKE sees it.
    fn coerce_text(&mut self, typed: Typed) -> Result<Typed, Report> {
        if matches!(typed.sql_type, SqlType::Char(_)) {
            return Ok(Typed {
                sql_type: SqlType::Text,
                ..typed
            });
        }
        self.coerce(typed, &SqlType::Text, CastKind::Implicit)
    }

    /// Calls the chosen overload with its arguments cast.
    pub(super) fn scalar_call(
        &mut self,
        chosen: &crate::functions::Chosen<std::sync::Arc<crate::functions::ScalarOverload>>,
        arguments: Vec<Typed>,
    ) -> Result<Typed, Report> {
        let mut cast = Vec::with_capacity(arguments.len());
        for (argument, sql_type) in arguments.into_iter().zip(&chosen.argument_types) {
            cast.push(self.coerce(argument, sql_type, CastKind::Implicit)?);
        }
        let overload = &chosen.overload;
        // Polymorphic arguments that are decimals must agree in their Arrow type too.
        if chosen
            .element
            .as_ref()
            .is_some_and(|e| matches!(e, SqlType::Numeric(_)))
        {
            cast = unify_shown(cast)?;
        }
        let fields: Vec<_> = cast.iter().map(|typed| typed.field("")).collect();
        let field = crate::functions::result_field(
            &overload.name,
            &overload.arguments,
            &overload.returns,
            &fields,
        )
        .map_err(crate::errors::report_of)?;
        let sql_type = chosen
            .result_type(&overload.returns)
            .unwrap_or_else(|| crate::arrow_types::sql_type_of(&field));
        let arguments: Vec<Expr> = cast.into_iter().map(|typed| typed.expr).collect();
        Ok(Typed {
            expr: Expr::ScalarFunction(ScalarFunction::new_udf(overload.udf.clone(), arguments)),
            sql_type,
            data_type: field.data_type().clone(),
            origin: None,
        })
    }

    /// `(a, b) op (c, d)`.
    pub(super) fn row_compare(
        &mut self,
        symbol: &str,
        left: &[ast::Expr],
        right: &[ast::Expr],
        scope: &Scope,
    ) -> Result<Typed, Report> {
        if left.len() != right.len() {
            return Err(Report::error(
                codes::SYNTAX_ERROR,
                "unequal number of entries in row expressions",
            ));
        }
        let mut pairs = Vec::with_capacity(left.len());
        for (l, r) in left.iter().zip(right) {
            pairs.push((self.expr(l, scope)?, self.expr(r, scope)?));
        }
        self.row_pairs(symbol, pairs)
    }

    /// Compares rows given as pairs of their columns.
    pub(super) fn row_pairs(
        &mut self,
        symbol: &str,
        pairs: Vec<(Typed, Typed)>,
    ) -> Result<Typed, Report> {
        if symbol.eq_ignore_ascii_case("overlaps") {
            return self.overlaps(pairs);
        }
        let Some(op) = comparison(symbol) else {
            return Err(Report::unsupported(format!(
                "rows cannot be compared by {symbol}"
            )));
        };
        let mut result: Option<Typed> = None;
        match op {
            Operator::Eq | Operator::NotEq => {
                let joined = if op == Operator::Eq {
                    Operator::And
                } else {
                    Operator::Or
                };
                for (l, r) in pairs {
                    let one = self.compare(op, symbol, l, r)?;
                    result = Some(match result {
                        None => one,
                        Some(before) => self.logic(before, joined, one)?,
                    });
                }
            }
            _ => {
                // a < c OR (a = c AND (b < d …)): from the last column to the first.
                let strict = if matches!(op, Operator::Lt | Operator::LtEq) {
                    "<"
                } else {
                    ">"
                };
                for (l, r) in pairs.into_iter().rev() {
                    result = Some(match result {
                        None => self.compare(op, symbol, l, r)?,
                        Some(rest) => {
                            let strict_op = comparison(strict).unwrap_or(op);
                            let less = self.compare(strict_op, strict, l.clone(), r.clone())?;
                            let equal = self.compare(Operator::Eq, "=", l, r)?;
                            let rest = self.logic(equal, Operator::And, rest)?;
                            self.logic(less, Operator::Or, rest)?
                        }
                    });
                }
            }
        }
        result
            .ok_or_else(|| Report::error(codes::SYNTAX_ERROR, "cannot compare rows of zero length"))
    }

    /// `(start, end) OVERLAPS (start, end)`, where an end may be a length.
    fn overlaps(&mut self, pairs: Vec<(Typed, Typed)>) -> Result<Typed, Report> {
        let [(start, other_start), (end, other_end)] = pairs.as_slice() else {
            return Err(Report::error(
                codes::SYNTAX_ERROR,
                "wrong number of parameters on one side of OVERLAPS expression",
            ));
        };
        let mut arguments = Vec::new();
        for (start, end) in [(start, end), (other_start, other_end)] {
            let end = match end.sql_type {
                SqlType::Interval => self.operator("+", vec![start.clone(), end.clone()])?,
                _ => end.clone(),
            };
            arguments.extend([start.clone(), end]);
        }
        self.call("overlaps", arguments)
    }

    /// Text in which `format` or a cast expects it, for keyword arguments.
    pub(super) fn text_literal(&self, content: &str) -> Typed {
        super::coerce::literal_of(
            datafusion::common::ScalarValue::Utf8View(Some(content.to_owned())),
            SqlType::Text,
        )
    }

    /// The expression in an Arrow type, its SQL type unchanged.
    pub(super) fn in_data_type(typed: Typed, data_type: &DataType) -> Typed {
        let sql_type = typed.sql_type.clone();
        cast_to(typed, sql_type, data_type.clone())
    }
}

const NO_OPERATOR_HINT: &str = "No operator matches the given name and argument types. You might need to add explicit type casts.";

/// 42883 for an infix operator.
pub(super) fn no_operator(symbol: &str, left: &SqlType, right: &SqlType) -> Report {
    Report::error(
        codes::UNDEFINED_FUNCTION,
        format!(
            "operator does not exist: {} {symbol} {}",
            left.base_name(),
            right.base_name()
        ),
    )
    .with_hint(NO_OPERATOR_HINT)
}

/// The type in which two types are compared.
fn compare_type(left: &SqlType, right: &SqlType) -> Option<SqlType> {
    let char_to_text = |t: &SqlType| match t {
        SqlType::Char(_) | SqlType::Varchar(_) | SqlType::Name => SqlType::Text,
        other => other.clone(),
    };
    if let (SqlType::Char(a), SqlType::Char(b)) = (left, right)
        && a == b
    {
        return Some(left.clone());
    }
    match (left, right) {
        (SqlType::Unknown, SqlType::Unknown) => Some(SqlType::Text),
        (SqlType::Unknown, known) | (known, SqlType::Unknown) => Some(match known {
            SqlType::Numeric(_) => SqlType::Numeric(None),
            other => char_to_text(other),
        }),
        (SqlType::Numeric(_), SqlType::Numeric(_)) => Some(SqlType::Numeric(None)),
        // PostgreSQL compares a real with a numeric as double precision.
        (SqlType::Real, SqlType::Numeric(_)) | (SqlType::Numeric(_), SqlType::Real) => {
            Some(SqlType::Double)
        }
        (SqlType::Real, b) if b.is_number() && *b != SqlType::Real => Some(SqlType::Double),
        (a, SqlType::Real) if a.is_number() && *a != SqlType::Real => Some(SqlType::Double),
        (a, b) if a.is_oid_like() && b.is_oid_like() => Some(SqlType::Oid),
        (a, b) if a.is_integer() && b.is_oid_like() => Some(SqlType::Oid),
        (a, b) if a.is_oid_like() && b.is_integer() => Some(SqlType::Oid),
        (a, b) => {
            let (a, b) = (char_to_text(a), char_to_text(b));
            if same_base(&a, &b) {
                return Some(a);
            }
            if let (SqlType::Array(x), SqlType::Array(y)) = (&a, &b) {
                return compare_type(x, y)
                    .filter(|element| same_base(element, x) && same_base(element, y))
                    .map(|element| SqlType::Array(Box::new(element)));
            }
            if a == SqlType::InternalChar || b == SqlType::InternalChar {
                return (category(&a) == Category::String || category(&b) == Category::String)
                    .then_some(SqlType::Text);
            }
            let common = common_type([&a, &b]).ok()?;
            (casts_implicitly(&a, &common) && casts_implicitly(&b, &common)).then_some(common)
        }
    }
}

/// Whether values of the type have an order.
fn is_comparable(sql_type: &SqlType) -> bool {
    match sql_type {
        SqlType::Json | SqlType::Void | SqlType::Record => false,
        SqlType::Array(element) => is_comparable(element),
        _ => true,
    }
}
