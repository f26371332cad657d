//! Evaluates scalars on one row. The only place where the short path computes.
//!
//! # Invariants
//! 1. Three-valued logic, overflow and division errors are PostgreSQL's.
//! 2. No allocation for expressions over numbers.

use std::cmp::Ordering;

use tessera_planner::short_path::scalar::{
    Arithmetic, ArithmeticOp, Cast, CompareOp, Function, Like, NumberKind, Scalar,
};
use tessera_types::{
    CastKind, Decimal, FormatContext, RelationId, Report, SqlType, Value, ValueRef, codes, coerce,
    text,
};

use super::pattern;

/// Where column values come from.
pub(crate) trait Columns {
    /// The value at a position that the binder has checked.
    fn column(&self, at: usize) -> ValueRef<'_>;
}

impl Columns for [Value] {
    fn column(&self, at: usize) -> ValueRef<'_> {
        self.get(at).map_or(ValueRef::Null, Value::as_ref)
    }
}

impl Columns for Vec<Value> {
    fn column(&self, at: usize) -> ValueRef<'_> {
        self.as_slice().column(at)
    }
}

/// A row of no columns.
pub(crate) struct NoColumns;

impl Columns for NoColumns {
    fn column(&self, _: usize) -> ValueRef<'_> {
        ValueRef::Null
    }
}

/// Two rows side by side: the existing row and `excluded`.
pub(crate) struct SideBySide<'a> {
    pub(crate) left: &'a [Value],
    pub(crate) right: &'a [Value],
}

impl Columns for SideBySide<'_> {
    fn column(&self, at: usize) -> ValueRef<'_> {
        match at.checked_sub(self.left.len()) {
            None => self.left.column(at),
            Some(at) => self.right.column(at),
        }
    }
}

/// What an expression may ask of its statement.
pub(crate) trait Surroundings {
    /// Parameter values.
    fn params(&self) -> &[Value];
    /// Formats and time zone.
    fn format(&self) -> &FormatContext;
    /// `now()` in microseconds since 1970.
    fn transaction_micros(&self) -> i64;
    /// The clock in microseconds since 1970.
    fn clock_micros(&self) -> i64;
    /// Name of the session's user.
    fn user(&self) -> &str;
    /// `nextval`.
    fn next_value(&self, sequence: RelationId) -> Result<i64, Report>;
    /// Random bytes of a uuid.
    fn random_uuid(&self) -> [u8; 16];
}

/// The value of `scalar` on `row`.
pub(crate) fn evaluate<C, S>(scalar: &Scalar, row: &C, around: &S) -> Result<Value, Report>
where
    C: Columns + ?Sized,
    S: Surroundings + ?Sized,
{
    match scalar {
        Scalar::Column(at) => Ok(row.column(*at).to_owned()),
        Scalar::Param(at) => Ok(around.params().get(*at).cloned().unwrap_or(Value::Null)),
        Scalar::Literal(value) => Ok(value.clone()),
        Scalar::Cast(cast) => cast_value(cast, row, around),
        Scalar::Arithmetic(node) => arithmetic(node, row, around),
        Scalar::Negate(input, kind) => {
            let zero = zero_of(*kind);
            compute(
                ArithmeticOp::Subtract,
                *kind,
                zero,
                evaluate(input, row, around)?,
            )
        }
        Scalar::Compare(_)
        | Scalar::And(_)
        | Scalar::Or(_)
        | Scalar::Not(_)
        | Scalar::IsNull { .. }
        | Scalar::IsTruth { .. }
        | Scalar::IsDistinct { .. }
        | Scalar::InList { .. }
        | Scalar::Like(_) => Ok(truth(scalar, row, around)?.map_or(Value::Null, Value::Boolean)),
        Scalar::Case { whens, otherwise } => {
            for (condition, result) in whens {
                if truth(condition, row, around)? == Some(true) {
                    return evaluate(result, row, around);
                }
            }
            evaluate(otherwise, row, around)
        }
        Scalar::Call(function, args) => call(*function, args, row, around),
    }
}

/// The truth of a boolean expression; `None` is unknown.
pub(crate) fn truth<C, S>(scalar: &Scalar, row: &C, around: &S) -> Result<Option<bool>, Report>
where
    C: Columns + ?Sized,
    S: Surroundings + ?Sized,
{
    Ok(match scalar {
        Scalar::Compare(node) => {
            let order = with_value(&node.left, row, around, |left| {
                with_value(&node.right, row, around, |right| {
                    Ok(compare(&left, &right, node.blank_padded))
                })
            })?;
            order.map(|order| holds(node.op, order))
        }
        Scalar::And(parts) => {
            let mut unknown = false;
            for part in parts {
                match truth(part, row, around)? {
                    Some(false) => return Ok(Some(false)),
                    Some(true) => {}
                    None => unknown = true,
                }
            }
            (!unknown).then_some(true)
        }
        Scalar::Or(parts) => {
            let mut unknown = false;
            for part in parts {
                match truth(part, row, around)? {
                    Some(true) => return Ok(Some(true)),
                    Some(false) => {}
                    None => unknown = true,
                }
            }
            (!unknown).then_some(false)
        }
        Scalar::Not(input) => truth(input, row, around)?.map(|truth| !truth),
        Scalar::IsNull { input, negated } => {
            let is_null = with_value(input, row, around, |value| Ok(value.is_null()))?;
            Some(is_null != *negated)
        }
        Scalar::IsTruth {
            input,
            truth: wanted,
            negated,
        } => Some((truth(input, row, around)? == *wanted) != *negated),
        Scalar::IsDistinct {
            left,
            right,
            negated,
        } => {
            let same = with_value(left, row, around, |left| {
                with_value(right, row, around, |right| {
                    Ok(match (left.is_null(), right.is_null()) {
                        (true, true) => true,
                        (false, false) => compare(&left, &right, false) == Some(Ordering::Equal),
                        _ => false,
                    })
                })
            })?;
            Some(same == *negated)
        }
        Scalar::InList {
            input,
            list,
            negated,
        } => {
            let found = with_value(input, row, around, |value| {
                if value.is_null() {
                    return Ok(None);
                }
                let mut unknown = false;
                for item in list {
                    let order =
                        with_value(item, row, around, |item| Ok(compare(&value, &item, false)))?;
                    match order {
                        Some(Ordering::Equal) => return Ok(Some(true)),
                        Some(_) => {}
                        None => unknown = true,
                    }
                }
                Ok((!unknown).then_some(false))
            })?;
            found.map(|found| found != *negated)
        }
        Scalar::Like(like) => like_truth(like, row, around)?,
        other => match evaluate(other, row, around)? {
            Value::Boolean(value) => Some(value),
            Value::Null => None,
            _ => return Err(Report::internal("a condition is not boolean")),
        },
    })
}

/// Hands an operand over without copying it where it is a column, parameter or constant.
fn with_value<C, S, T>(
    scalar: &Scalar,
    row: &C,
    around: &S,
    take: impl FnOnce(ValueRef<'_>) -> Result<T, Report>,
) -> Result<T, Report>
where
    C: Columns + ?Sized,
    S: Surroundings + ?Sized,
{
    match scalar {
        Scalar::Column(at) => take(row.column(*at)),
        Scalar::Param(at) => take(
            around
                .params()
                .get(*at)
                .map_or(ValueRef::Null, Value::as_ref),
        ),
        Scalar::Literal(value) => take(value.as_ref()),
        other => take(evaluate(other, row, around)?.as_ref()),
    }
}

fn holds(op: CompareOp, order: Ordering) -> bool {
    match op {
        CompareOp::Eq => order.is_eq(),
        CompareOp::NotEq => order.is_ne(),
        CompareOp::Lt => order.is_lt(),
        CompareOp::LtEq => order.is_le(),
        CompareOp::Gt => order.is_gt(),
        CompareOp::GtEq => order.is_ge(),
    }
}

/// Order of two values of one family; `None` when one is null.
pub(crate) fn compare(
    left: &ValueRef<'_>,
    right: &ValueRef<'_>,
    blank_padded: bool,
) -> Option<Ordering> {
    if left.is_null() || right.is_null() {
        return None;
    }
    if let (Some(left), Some(right)) = (integer(left), integer(right)) {
        return Some(left.cmp(&right));
    }
    if let (ValueRef::Text(left), ValueRef::Text(right)) = (left, right) {
        let (left, right) = if blank_padded {
            (left.trim_end_matches(' '), right.trim_end_matches(' '))
        } else {
            (*left, *right)
        };
        return Some(left.as_bytes().cmp(right.as_bytes()));
    }
    Some(left.to_owned().cmp_sql(&right.to_owned()))
}

fn integer(value: &ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::SmallInt(n) => Some(i64::from(*n)),
        ValueRef::Integer(n) => Some(i64::from(*n)),
        ValueRef::BigInt(n) => Some(*n),
        _ => None,
    }
}

fn cast_value<C, S>(cast: &Cast, row: &C, around: &S) -> Result<Value, Report>
where
    C: Columns + ?Sized,
    S: Surroundings + ?Sized,
{
    let value = evaluate(&cast.input, row, around)?;
    if value.is_null() {
        return Ok(Value::Null);
    }
    let kind = if cast.explicit {
        CastKind::Explicit
    } else {
        CastKind::Assignment
    };
    convert(value, &cast.from, &cast.to, kind, around.format())
}

/// A conversion between SQL types; the text of an untyped literal is read by the target's rules.
pub(crate) fn convert(
    value: Value,
    from: &SqlType,
    to: &SqlType,
    kind: CastKind,
    format: &FormatContext,
) -> Result<Value, Report> {
    match (&value, from) {
        (Value::Null, _) => Ok(Value::Null),
        (Value::Text(input), SqlType::Unknown) => {
            let base = to.base();
            let parsed = text::parse(&base, input, format).map_err(|error| error.report())?;
            coerce::to_column(parsed, &base, to, kind, format).map_err(|error| error.report())
        }
        _ => coerce::to_column(value, from, to, kind, format).map_err(|error| error.report()),
    }
}

fn arithmetic<C, S>(node: &Arithmetic, row: &C, around: &S) -> Result<Value, Report>
where
    C: Columns + ?Sized,
    S: Surroundings + ?Sized,
{
    let left = evaluate(&node.left, row, around)?;
    let right = evaluate(&node.right, row, around)?;
    compute(node.op, node.kind, left, right)
}

fn zero_of(kind: NumberKind) -> Value {
    match kind {
        NumberKind::SmallInt => Value::SmallInt(0),
        NumberKind::Integer => Value::Integer(0),
        NumberKind::BigInt => Value::BigInt(0),
        NumberKind::Numeric => Value::Numeric(Decimal {
            unscaled: 0,
            scale: 0,
        }),
        NumberKind::Real => Value::Real(-0.0),
        NumberKind::Double => Value::Double(-0.0),
    }
}

macro_rules! integer_arithmetic {
    ($op:expr, $left:expr, $right:expr, $wrap:expr, $name:literal) => {{
        let (left, right) = ($left, $right);
        let result = match $op {
            ArithmeticOp::Add => left.checked_add(right),
            ArithmeticOp::Subtract => left.checked_sub(right),
            ArithmeticOp::Multiply => left.checked_mul(right),
            ArithmeticOp::Divide | ArithmeticOp::Modulo if right == 0 => {
                return Err(division_by_zero());
            }
            ArithmeticOp::Divide => left.checked_div(right),
            // The smallest number modulo -1 is 0, though the quotient overflows.
            ArithmeticOp::Modulo => Some(left.checked_rem(right).unwrap_or(0)),
        };
        result.map($wrap).ok_or_else(|| out_of_range($name))
    }};
}

fn compute(op: ArithmeticOp, kind: NumberKind, left: Value, right: Value) -> Result<Value, Report> {
    match (left, right) {
        (Value::Null, _) | (_, Value::Null) => Ok(Value::Null),
        (Value::SmallInt(a), Value::SmallInt(b)) => {
            integer_arithmetic!(op, a, b, Value::SmallInt, "smallint")
        }
        (Value::Integer(a), Value::Integer(b)) => {
            integer_arithmetic!(op, a, b, Value::Integer, "integer")
        }
        (Value::BigInt(a), Value::BigInt(b)) => {
            integer_arithmetic!(op, a, b, Value::BigInt, "bigint")
        }
        (Value::Real(a), Value::Real(b)) => {
            let result = float(op, f64::from(a), f64::from(b))? as f32;
            check_float(result.is_infinite(), a.is_infinite() || b.is_infinite())?;
            let vanished = result == 0.0 && a != 0.0 && b != 0.0 && !b.is_infinite();
            if vanished && matches!(op, ArithmeticOp::Multiply | ArithmeticOp::Divide) {
                return Err(underflow());
            }
            Ok(Value::Real(result))
        }
        (Value::Double(a), Value::Double(b)) => {
            let result = float(op, a, b)?;
            check_float(result.is_infinite(), a.is_infinite() || b.is_infinite())?;
            let vanished = result == 0.0 && a != 0.0 && b != 0.0 && !b.is_infinite();
            if vanished && matches!(op, ArithmeticOp::Multiply | ArithmeticOp::Divide) {
                return Err(underflow());
            }
            Ok(Value::Double(result))
        }
        (Value::Numeric(a), Value::Numeric(b)) => {
            let result = match op {
                ArithmeticOp::Add => a.checked_add(b),
                ArithmeticOp::Subtract => a.checked_sub(b),
                _ => return Err(Report::internal("numeric products are not computed here")),
            };
            result.map(Value::Numeric).ok_or_else(|| {
                Report::error(
                    codes::NUMERIC_VALUE_OUT_OF_RANGE,
                    "value overflows numeric format",
                )
            })
        }
        _ => Err(Report::internal(format!(
            "operands of {kind:?} arithmetic are of another type"
        ))),
    }
}

fn float(op: ArithmeticOp, a: f64, b: f64) -> Result<f64, Report> {
    Ok(match op {
        ArithmeticOp::Add => a + b,
        ArithmeticOp::Subtract => a - b,
        ArithmeticOp::Multiply => a * b,
        ArithmeticOp::Divide if b == 0.0 && !a.is_nan() => return Err(division_by_zero()),
        ArithmeticOp::Divide => a / b,
        ArithmeticOp::Modulo => return Err(Report::internal("floats have no modulo")),
    })
}

fn check_float(overflowed: bool, was_infinite: bool) -> Result<(), Report> {
    if overflowed && !was_infinite {
        return Err(Report::error(
            codes::NUMERIC_VALUE_OUT_OF_RANGE,
            "value out of range: overflow",
        ));
    }
    Ok(())
}

fn underflow() -> Report {
    Report::error(
        codes::NUMERIC_VALUE_OUT_OF_RANGE,
        "value out of range: underflow",
    )
}

fn division_by_zero() -> Report {
    Report::error(codes::DIVISION_BY_ZERO, "division by zero")
}

fn out_of_range(type_name: &str) -> Report {
    Report::error(
        codes::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("{type_name} out of range"),
    )
}

fn like_truth<C, S>(like: &Like, row: &C, around: &S) -> Result<Option<bool>, Report>
where
    C: Columns + ?Sized,
    S: Surroundings + ?Sized,
{
    with_value(&like.input, row, around, |input| {
        with_value(&like.pattern, row, around, |wanted| {
            let (ValueRef::Text(input), ValueRef::Text(wanted)) = (&input, &wanted) else {
                return Ok(None);
            };
            let matched = if like.case_insensitive {
                pattern::matches(&input.to_lowercase(), &wanted.to_lowercase(), like.escape)?
            } else {
                pattern::matches(input, wanted, like.escape)?
            };
            Ok(Some(matched != like.negated))
        })
    })
}

fn call<C, S>(function: Function, args: &[Scalar], row: &C, around: &S) -> Result<Value, Report>
where
    C: Columns + ?Sized,
    S: Surroundings + ?Sized,
{
    match function {
        Function::Coalesce => {
            for arg in args {
                let value = evaluate(arg, row, around)?;
                if !value.is_null() {
                    return Ok(value);
                }
            }
            Ok(Value::Null)
        }
        Function::NullIf => {
            let [left, right] = args else {
                return Err(wrong_arguments());
            };
            let (left, right) = (evaluate(left, row, around)?, evaluate(right, row, around)?);
            if compare(&left.as_ref(), &right.as_ref(), false) == Some(Ordering::Equal) {
                return Ok(Value::Null);
            }
            Ok(left)
        }
        Function::Greatest | Function::Least => {
            let wanted = if function == Function::Greatest {
                Ordering::Greater
            } else {
                Ordering::Less
            };
            let mut best = Value::Null;
            for arg in args {
                let value = evaluate(arg, row, around)?;
                let better = compare(&value.as_ref(), &best.as_ref(), false) == Some(wanted);
                if !value.is_null() && (best.is_null() || better) {
                    best = value;
                }
            }
            Ok(best)
        }
        Function::Abs => match one(args, row, around)? {
            Value::SmallInt(n) => n
                .checked_abs()
                .map(Value::SmallInt)
                .ok_or_else(|| out_of_range("smallint")),
            Value::Integer(n) => n
                .checked_abs()
                .map(Value::Integer)
                .ok_or_else(|| out_of_range("integer")),
            Value::BigInt(n) => n
                .checked_abs()
                .map(Value::BigInt)
                .ok_or_else(|| out_of_range("bigint")),
            Value::Numeric(n) => Ok(Value::Numeric(n.abs())),
            Value::Real(n) => Ok(Value::Real(n.abs())),
            Value::Double(n) => Ok(Value::Double(n.abs())),
            Value::Null => Ok(Value::Null),
            _ => Err(wrong_arguments()),
        },
        Function::Lower | Function::Upper | Function::Length | Function::OctetLength => {
            text_function(function, one(args, row, around)?)
        }
        Function::Concat => {
            let [left, right] = args else {
                return Err(wrong_arguments());
            };
            match (evaluate(left, row, around)?, evaluate(right, row, around)?) {
                (Value::Null, _) | (_, Value::Null) => Ok(Value::Null),
                (Value::Text(left), Value::Text(right)) => {
                    let mut both = String::with_capacity(left.len() + right.len());
                    both.push_str(&left);
                    both.push_str(&right);
                    Ok(Value::text(both))
                }
                _ => Err(wrong_arguments()),
            }
        }
        Function::Now => Ok(Value::TimestampTz(around.transaction_micros())),
        Function::ClockTimestamp => Ok(Value::TimestampTz(around.clock_micros())),
        Function::CurrentDate => from_now(SqlType::Date, around),
        Function::LocalTimestamp => from_now(SqlType::Timestamp, around),
        Function::GenRandomUuid => Ok(Value::Uuid(around.random_uuid())),
        Function::CurrentUser => Ok(Value::text(around.user())),
        Function::NextVal => match one(args, row, around)? {
            Value::Oid(oid) => around.next_value(RelationId(oid)).map(Value::BigInt),
            _ => Err(wrong_arguments()),
        },
    }
}

fn from_now<S: Surroundings + ?Sized>(to: SqlType, around: &S) -> Result<Value, Report> {
    let now = Value::TimestampTz(around.transaction_micros());
    convert(
        now,
        &SqlType::TimestampTz,
        &to,
        CastKind::Explicit,
        around.format(),
    )
}

fn one<C, S>(args: &[Scalar], row: &C, around: &S) -> Result<Value, Report>
where
    C: Columns + ?Sized,
    S: Surroundings + ?Sized,
{
    match args {
        [arg] => evaluate(arg, row, around),
        _ => Err(wrong_arguments()),
    }
}

fn text_function(function: Function, arg: Value) -> Result<Value, Report> {
    let count = |n: usize| {
        i32::try_from(n)
            .map(Value::Integer)
            .map_err(|_| out_of_range("integer"))
    };
    match (function, arg) {
        (_, Value::Null) => Ok(Value::Null),
        (Function::Lower, Value::Text(text)) => Ok(Value::text(text.to_lowercase())),
        (Function::Upper, Value::Text(text)) => Ok(Value::text(text.to_uppercase())),
        (Function::Length, Value::Text(text)) => count(text.chars().count()),
        (Function::OctetLength, Value::Text(text)) => count(text.len()),
        _ => Err(wrong_arguments()),
    }
}

fn wrong_arguments() -> Report {
    Report::internal("arguments of a short-path function are not what the binder checked")
}

#[cfg(test)]
mod tests {
    use tessera_planner::short_path::bind::{Binder, ParamTypes, Scope};
    use tessera_types::{FormatContext, RelationId, Report, Value, text};

    use super::{NoColumns, Surroundings, evaluate};

    struct Here(FormatContext);

    impl Surroundings for Here {
        fn params(&self) -> &[Value] {
            &[]
        }
        fn format(&self) -> &FormatContext {
            &self.0
        }
        fn transaction_micros(&self) -> i64 {
            86_400_000_000
        }
        fn clock_micros(&self) -> i64 {
            0
        }
        fn user(&self) -> &str {
            "somebody"
        }
        fn next_value(&self, _: RelationId) -> Result<i64, Report> {
            Ok(1)
        }
        fn random_uuid(&self) -> [u8; 16] {
            [0; 16]
        }
    }

    /// The result as text, `NULL`, or the error's SQLSTATE.
    fn result(sql: &str) -> String {
        let expr = tessera_planner::parse_expression(sql).expect("an expression");
        let mut params = ParamTypes::default();
        let typed = match Binder::new(Scope::empty(), &mut params).bind(&expr, None) {
            Ok(typed) => typed,
            Err(_) => return "unbound".to_owned(),
        };
        let here = Here(FormatContext::default());
        match evaluate(&typed.scalar, &NoColumns, &here) {
            Ok(Value::Null) => "NULL".to_owned(),
            Ok(value) => {
                let mut out = Vec::new();
                text::write(value.as_ref(), &typed.sql_type, &here.0, &mut out);
                String::from_utf8(out).expect("text")
            }
            Err(report) => report.code.as_str().to_owned(),
        }
    }

    #[test]
    fn results_and_errors_are_those_of_postgresql() {
        for (sql, expected) in [
            ("1 + 2 * 3", "7"),
            ("7 / 2", "3"),
            ("-7 / 2", "-3"),
            ("-7 % 3", "-1"),
            ("2147483647 + 1", "22003"),
            ("2147483647::bigint + 1", "2147483648"),
            ("9223372036854775807 + 1", "22003"),
            ("32767::smallint + 1::smallint", "22003"),
            ("(-2147483647 - 1) / -1", "22003"),
            ("(-2147483647 - 1) % -1", "0"),
            ("1 / 0", "22012"),
            ("1 % 0", "22012"),
            ("1.0::double precision / 0", "22012"),
            ("'1e308'::double precision * 10::double precision", "22003"),
            ("0.1 + 0.2", "0.3"),
            ("1.50 + 1", "2.50"),
            ("- 2147483648", "-2147483648"),
            ("null = null", "NULL"),
            ("null is null", "t"),
            ("1 = null or true", "t"),
            ("1 = null and false", "f"),
            ("1 = null and true", "NULL"),
            ("not (1 = null)", "NULL"),
            ("null is distinct from 1", "t"),
            ("1 is not distinct from 1", "t"),
            ("1 in (2, null)", "NULL"),
            ("1 in (1, null)", "t"),
            ("1 not in (2, 3)", "t"),
            ("2 between 1 and 3", "t"),
            ("'abc' like 'a%'", "t"),
            ("'ABC' ilike 'a%'", "t"),
            ("'a' || 'b' || null", "NULL"),
            ("'a' || 'b'", "ab"),
            ("length('äöü')", "3"),
            ("octet_length('äöü')", "6"),
            ("coalesce(null, 2, 3)", "2"),
            ("nullif(1, 1)", "NULL"),
            ("greatest(1, null, 3)", "3"),
            ("least(1, null, 3)", "1"),
            ("abs(-5)", "5"),
            ("case when 1 > 2 then 'a' else 'b' end", "b"),
            ("case 2 when 1 then 'a' when 2 then 'b' end", "b"),
            ("case 3 when 1 then 'a' end", "NULL"),
            ("2.5::integer", "3"),
            ("3.5::double precision::integer", "4"),
            ("'12'::integer + 1", "13"),
            ("'abc'::varchar(2)", "ab"),
            ("300::smallint", "300"),
            ("40000::smallint", "22003"),
            ("(1 = 1) is true", "t"),
            ("current_date", "1970-01-02"),
            ("current_user", "somebody"),
        ] {
            assert_eq!(result(sql), expected, "{sql}");
        }
    }
}
