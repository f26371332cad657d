//! Arithmetic on JSON numbers: exact decimals of up to 38 digits, or an error.

use serde_json::{Number, Value};
use tessera_types::{DECIMAL_SCALE_MAX, Decimal};

use crate::error::{DocumentError, Result};

/// Digits behind the point that a quotient has at least, where it does not end before.
const QUOTIENT_SCALE: u8 = 20;

/// The decimal value of a number; `None` beyond 38 digits.
pub(crate) fn decimal(value: &Value) -> Option<Decimal> {
    match value {
        Value::Number(number) => number.to_string().parse().ok(),
        _ => None,
    }
}

/// A decimal as a JSON number, without zeros at the end of the fraction.
pub(crate) fn number(decimal: Decimal) -> Value {
    let decimal = decimal.normalize();
    match decimal.to_i64() {
        Some(whole) if decimal.scale == 0 => Value::Number(whole.into()),
        _ => {
            // A decimal prints as digits, a point and digits, which JSON takes.
            let parsed = decimal.to_string().parse::<Number>();
            parsed.map_or(Value::Null, Value::Number)
        }
    }
}

/// The operations that two numbers have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    /// The remainder has the sign of the dividend.
    Modulo,
}

/// `a op b`; both are numbers.
pub(crate) fn calculate(
    operation: &str,
    arithmetic: Arithmetic,
    a: &Value,
    b: &Value,
) -> Result<Value> {
    let out_of_range = || DocumentError::NumberOutOfRange {
        operation: operation.to_owned(),
    };
    let (Some(x), Some(y)) = (decimal(a), decimal(b)) else {
        return Err(out_of_range());
    };
    if matches!(arithmetic, Arithmetic::Divide | Arithmetic::Modulo) && y.is_zero() {
        return Err(DocumentError::NotApplicable {
            operation: operation.to_owned(),
            path: String::new(),
            reason: "division by zero".to_owned(),
        });
    }
    let result = match arithmetic {
        Arithmetic::Add => x.checked_add(y),
        Arithmetic::Subtract => x.checked_sub(y),
        Arithmetic::Multiply => x.checked_mul(y),
        Arithmetic::Divide => quotient(x, y),
        Arithmetic::Modulo => x.checked_rem(y).ok(),
    };
    result.map(number).ok_or_else(out_of_range)
}

/// A quotient, rounded to at least 20 digits behind the point unless the number is too large.
pub(crate) fn quotient(a: Decimal, b: Decimal) -> Option<Decimal> {
    let wanted = QUOTIENT_SCALE
        .max(a.scale)
        .max(b.scale)
        .min(DECIMAL_SCALE_MAX);
    let scales = (0..=wanted).rev();
    scales
        .into_iter()
        .find_map(|scale| a.div_to_scale(b, scale))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(a: &str, arithmetic: Arithmetic, b: &str, expected: &str) {
        let parse = |text: &str| tessera_codec::json::parse(text.as_bytes()).unwrap();
        let result = calculate("test", arithmetic, &parse(a), &parse(b));
        assert_eq!(
            result.unwrap().to_string(),
            expected,
            "{a} {arithmetic:?} {b}"
        );
    }

    #[test]
    fn arithmetic_is_decimal() {
        check("0.1", Arithmetic::Add, "0.2", "0.3");
        check("1e2", Arithmetic::Add, "1", "101");
        check(
            "9223372036854775807",
            Arithmetic::Add,
            "1",
            "9223372036854775808",
        );
        check("1.50", Arithmetic::Multiply, "2", "3");
        check("1", Arithmetic::Divide, "4", "0.25");
        check("2", Arithmetic::Divide, "3", "0.66666666666666666667");
        check("-7", Arithmetic::Modulo, "4", "-3");
        check("1", Arithmetic::Subtract, "3", "-2");
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let big = tessera_codec::json::parse(b"1e400").unwrap();
        assert!(calculate("$inc", Arithmetic::Add, &big, &json!(1)).is_err());
        assert!(calculate("$divide", Arithmetic::Divide, &json!(1), &json!(0)).is_err());
    }
}
