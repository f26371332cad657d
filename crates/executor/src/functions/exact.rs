//! Roots, powers, exponentials and logarithms of decimals, with PostgreSQL's display scales.
//!
//! The scales are those of PostgreSQL's `numeric.c`: at least 16 significant digits, and at least
//! the scales of the arguments. Values are computed with about 36 significant digits.

use arrow::datatypes::i256;
use tessera_planner::decimals::{narrow, numeric_overflow, power_of_ten};
use tessera_types::{DECIMAL_SCALE_MAX, Decimal, Report, codes};

/// PostgreSQL's `NUMERIC_MIN_SIG_DIGITS`.
const SIGNIFICANT_DIGITS_MIN: i32 = 16;
/// Digits after the point of numbers while logarithms and exponentials are summed up.
const FIXED_DIGITS: u8 = 36;
/// Significant digits of a [`Long`].
const LONG_DIGITS: i32 = 38;
/// ln 10 with 36 digits after the point.
const LN_TEN: i128 = 2_302_585_092_994_045_684_017_991_454_684_364_208;
/// log10 of e, as PostgreSQL has it.
const LOG_TEN_OF_E: f64 = 0.434294481903252;

fn clamp_scale(scale: i32) -> u8 {
    scale.clamp(0, i32::from(DECIMAL_SCALE_MAX)) as u8
}

fn wide(value: i128) -> i256 {
    i256::from_i128(value)
}

/// `digits * 10^exponent`, cut to 38 significant digits.
#[derive(Clone, Copy, Debug)]
struct Long {
    digits: i256,
    exponent: i32,
}

impl Long {
    const ONE: Long = Long {
        digits: i256::ONE,
        exponent: 0,
    };

    fn of(number: Decimal) -> Long {
        Long {
            digits: wide(number.unscaled),
            exponent: -i32::from(number.scale),
        }
    }

    /// A number with [`FIXED_DIGITS`] after the point.
    fn of_fixed(fixed: i256) -> Long {
        let long = Long {
            digits: fixed,
            exponent: -i32::from(FIXED_DIGITS),
        };
        long.cut()
    }

    fn cut(self) -> Long {
        let surplus = length(self.digits) - LONG_DIGITS;
        if surplus <= 0 {
            return self;
        }
        Long {
            digits: without_last(self.digits, surplus),
            exponent: self.exponent + surplus,
        }
    }

    fn times(self, other: Long) -> Long {
        let product = Long {
            // Two factors of 38 digits fit.
            digits: self.digits.wrapping_mul(other.digits),
            exponent: self.exponent.saturating_add(other.exponent),
        };
        product.cut()
    }

    fn over(self, other: Long) -> Option<Long> {
        // As many digits as there is room for.
        let room = 75 - length(self.digits);
        let factor = power_of_ten(u8::try_from(room).ok()?)?;
        let quotient = Long {
            digits: self.digits.checked_mul(factor)?.checked_div(other.digits)?,
            exponent: self.exponent - room - other.exponent,
        };
        Some(quotient.cut())
    }

    /// Rounded to a scale, or to as many digits after the point as fit.
    fn at_scale(self, scale: u8) -> Result<Decimal, Report> {
        let shift = self.exponent + i32::from(scale);
        if shift <= 0 {
            return narrow(without_last(self.digits, -shift), scale);
        }
        // The smallest number of digits that still holds the whole part.
        let fits = (0..=scale).rev().find_map(|scale| {
            let shift = u8::try_from(self.exponent + i32::from(scale)).ok()?;
            let value = self.digits.checked_mul(power_of_ten(shift)?)?;
            narrow(value, scale).ok()
        });
        match fits {
            Some(number) => Ok(number),
            None if self.exponent < 0 => narrow(without_last(self.digits, -self.exponent), 0),
            None => Err(numeric_overflow()),
        }
    }

    /// With [`FIXED_DIGITS`] after the point; `None` when it is too large.
    fn to_fixed(self) -> Option<i256> {
        let shift = self.exponent + i32::from(FIXED_DIGITS);
        if shift <= 0 {
            return Some(without_last(self.digits, -shift));
        }
        self.digits
            .checked_mul(power_of_ten(u8::try_from(shift).ok()?)?)
    }
}

/// Decimal digits of an integer; 1 for zero.
fn length(value: i256) -> i32 {
    let magnitude = value.wrapping_abs();
    let mut length = 1;
    while length < 77 && power_of_ten(length as u8).is_some_and(|power| power <= magnitude) {
        length += 1;
    }
    length
}

/// Without the last digits, rounded half away from zero.
fn without_last(value: i256, digits: i32) -> i256 {
    let Some(unit) = u8::try_from(digits).ok().and_then(power_of_ten) else {
        return i256::ZERO;
    };
    let (quotient, rest) = (value.wrapping_div(unit), value.wrapping_rem(unit));
    if rest.wrapping_abs() >= unit.wrapping_sub(rest.wrapping_abs()) && digits > 0 {
        let one = if value < i256::ZERO {
            i256::MINUS_ONE
        } else {
            i256::ONE
        };
        return quotient.wrapping_add(one);
    }
    quotient
}

fn fixed_one() -> i256 {
    wide(10i128.pow(u32::from(FIXED_DIGITS)))
}

fn fixed_times(a: i256, b: i256) -> i256 {
    without_last(a.wrapping_mul(b), i32::from(FIXED_DIGITS))
}

/// ln of a positive number, with [`FIXED_DIGITS`] after the point.
fn fixed_ln(number: Decimal) -> i256 {
    let one = fixed_one();
    // number = mantissa * 10^tens with a mantissa between 0.3 and 3, near which the series is fast.
    let mut tens = i32::from(number.digits()) - i32::from(number.scale);
    let mut shift = i32::from(FIXED_DIGITS) - i32::from(number.digits());
    let scaled = |shift: i32| match u8::try_from(shift) {
        Ok(up) => wide(number.unscaled).wrapping_mul(power_of_ten(up).unwrap_or(i256::ONE)),
        Err(_) => without_last(wide(number.unscaled), -shift),
    };
    let mut mantissa = scaled(shift);
    if mantissa < without_last(one.wrapping_mul(wide(3)), 1) {
        tens -= 1;
        shift += 1;
        mantissa = scaled(shift);
    }
    // ln m = 2 atanh((m - 1) / (m + 1))
    let ratio = mantissa
        .wrapping_sub(one)
        .wrapping_mul(one)
        .wrapping_div(mantissa.wrapping_add(one));
    let square = fixed_times(ratio, ratio);
    let (mut power, mut sum, mut odd) = (ratio, i256::ZERO, 1i128);
    while power != i256::ZERO {
        sum = sum.wrapping_add(power.wrapping_div(wide(odd)));
        power = fixed_times(power, square);
        odd += 2;
    }
    sum.wrapping_mul(wide(2))
        .wrapping_add(wide(LN_TEN).wrapping_mul(wide(i128::from(tens))))
}

/// e to a number with [`FIXED_DIGITS`] after the point.
fn fixed_exp(fixed: i256) -> Long {
    let ln_ten = wide(LN_TEN);
    let tens = without_last_unit(fixed, ln_ten);
    let rest = fixed.wrapping_sub(ln_ten.wrapping_mul(tens));
    let (mut term, mut sum, mut n) = (fixed_one(), i256::ZERO, 1i128);
    while term != i256::ZERO {
        sum = sum.wrapping_add(term);
        term = fixed_times(term, rest).wrapping_div(wide(n));
        n += 1;
    }
    let long = Long::of_fixed(sum);
    let tens = tens.to_i128().and_then(|tens| i32::try_from(tens).ok());
    Long {
        digits: long.digits,
        exponent: long.exponent + tens.unwrap_or(0),
    }
}

/// The nearest whole number of units.
fn without_last_unit(value: i256, unit: i256) -> i256 {
    let half = unit.wrapping_div(wide(2));
    let shifted = if value < i256::ZERO {
        value.wrapping_sub(half)
    } else {
        value.wrapping_add(half)
    };
    shifted.wrapping_div(unit)
}

/// `estimate_ln_dweight`: the decimal weight of a logarithm.
fn ln_weight(number: Decimal) -> i32 {
    let from_one = number.checked_sub(Decimal::from(1i64));
    if let Some(from_one) = from_one
        && from_one.abs()
            <= (Decimal {
                unscaled: 1,
                scale: 1,
            })
    {
        if from_one.is_zero() {
            return 0;
        }
        return i32::from(from_one.digits()) - 1 - i32::from(from_one.scale);
    }
    number.to_f64().ln().abs().log10() as i32
}

fn check_logarithm(number: Decimal) -> Result<(), Report> {
    let what = match number.unscaled.signum() {
        0 => "zero",
        -1 => "a negative number",
        _ => return Ok(()),
    };
    Err(Report::error(
        codes::INVALID_ARGUMENT_FOR_LOG,
        format!("cannot take logarithm of {what}"),
    ))
}

/// `ln(numeric)`.
pub(super) fn ln(number: Decimal) -> Result<Decimal, Report> {
    check_logarithm(number)?;
    let scale = (SIGNIFICANT_DIGITS_MIN - ln_weight(number)).max(i32::from(number.scale));
    Long::of_fixed(fixed_ln(number)).at_scale(clamp_scale(scale))
}

/// `log(base, numeric)`.
pub(super) fn log(base: Decimal, number: Decimal) -> Result<Decimal, Report> {
    check_logarithm(base)?;
    check_logarithm(number)?;
    let weight = ln_weight(number) - ln_weight(base);
    let scale = (SIGNIFICANT_DIGITS_MIN - weight)
        .max(i32::from(base.scale))
        .max(i32::from(number.scale));
    let divisor = fixed_ln(base);
    if divisor == i256::ZERO {
        return Err(Report::error(codes::DIVISION_BY_ZERO, "division by zero"));
    }
    Long::of_fixed(fixed_ln(number))
        .over(Long::of_fixed(divisor))
        .ok_or_else(numeric_overflow)?
        .at_scale(clamp_scale(scale))
}

/// `exp(numeric)`.
pub(super) fn exp(number: Decimal) -> Result<Decimal, Report> {
    let weight = number.to_f64() * LOG_TEN_OF_E;
    if weight > f64::from(LONG_DIGITS) + 1.0 {
        return Err(numeric_overflow());
    }
    let scale = (SIGNIFICANT_DIGITS_MIN - weight.max(-2000.0) as i32).max(number.scale.into());
    let scale = clamp_scale(scale);
    if weight < -2.0 * f64::from(LONG_DIGITS) {
        return Ok(Decimal { unscaled: 0, scale });
    }
    let fixed = Long::of(number).to_fixed().ok_or_else(numeric_overflow)?;
    fixed_exp(fixed).at_scale(scale)
}

/// `power(numeric, numeric)`; the caller has checked the signs.
pub(super) fn power(base: Decimal, exponent: Decimal) -> Result<Decimal, Report> {
    let whole = exponent
        .trunc(0)
        .filter(|whole| *whole == exponent)
        .and_then(Decimal::to_i64)
        .and_then(|whole| i32::try_from(whole).ok());
    if let Some(whole) = whole {
        return whole_power(base, whole);
    }
    if base.is_zero() {
        return Ok(Decimal {
            unscaled: 0,
            scale: SIGNIFICANT_DIGITS_MIN as u8,
        });
    }
    let weight = base.to_f64().abs().ln() * exponent.to_f64() * LOG_TEN_OF_E;
    if weight > f64::from(LONG_DIGITS) + 1.0 {
        return Err(numeric_overflow());
    }
    let scale = (SIGNIFICANT_DIGITS_MIN - weight.max(-2000.0) as i32)
        .max(base.scale.into())
        .max(exponent.scale.into());
    let scale = clamp_scale(scale);
    if weight < -2.0 * f64::from(LONG_DIGITS) {
        return Ok(Decimal { unscaled: 0, scale });
    }
    let logarithm = Long::of_fixed(fixed_ln(base.abs())).times(Long::of(exponent));
    let result = fixed_exp(logarithm.to_fixed().ok_or_else(numeric_overflow)?);
    // An odd whole exponent that is too large for `whole_power` would need the sign.
    result.at_scale(scale)
}

/// `power_var_int`.
fn whole_power(base: Decimal, exponent: i32) -> Result<Decimal, Report> {
    let scale = clamp_scale(SIGNIFICANT_DIGITS_MIN.max(base.scale.into()));
    let long = Long::of(base);
    if base.is_zero() && exponent != 0 {
        return Ok(Decimal { unscaled: 0, scale });
    }
    let weight = base.to_f64().abs().log10() * f64::from(exponent);
    if weight > f64::from(LONG_DIGITS) + 1.0 {
        return Err(numeric_overflow());
    }
    if weight + 1.0 < -f64::from(scale) {
        return Ok(Decimal { unscaled: 0, scale });
    }
    let (mut result, mut square) = (Long::ONE, long);
    let mut left = exponent.unsigned_abs();
    while left > 0 {
        if left & 1 == 1 {
            result = result.times(square);
        }
        left >>= 1;
        if left > 0 {
            square = square.times(square);
        }
    }
    if exponent < 0 {
        result = Long::ONE.over(result).ok_or_else(numeric_overflow)?;
    }
    result.at_scale(scale)
}

/// `sqrt(numeric)`.
pub(super) fn square_root(number: Decimal) -> Result<Decimal, Report> {
    if number.unscaled < 0 {
        return Err(Report::error(
            codes::INVALID_ARGUMENT_FOR_POWER_FUNCTION,
            "cannot take square root of a negative number",
        ));
    }
    // The weight of the first group of four digits.
    let exponent = i32::from(number.digits()) - 1 - i32::from(number.scale);
    let weight = if number.is_zero() {
        0
    } else {
        exponent.div_euclid(4)
    };
    let scale = SIGNIFICANT_DIGITS_MIN - (weight * 2 + 1);
    root_at_scale(number, clamp_scale(scale.max(i32::from(number.scale))))
}

/// The square root of a number that is not negative, rounded to a scale.
pub(super) fn root_at_scale(number: Decimal, scale: u8) -> Result<Decimal, Report> {
    for scale in (0..=scale).rev() {
        let shift = 2 * i32::from(scale) - i32::from(number.scale);
        let square = match u8::try_from(shift) {
            Ok(up) => power_of_ten(up).and_then(|up| wide(number.unscaled).checked_mul(up)),
            Err(_) => Some(without_last(wide(number.unscaled), -shift)),
        };
        let Some(square) = square.filter(|square| length(*square) <= 75) else {
            continue;
        };
        if let Ok(root) = narrow(whole_root(square), scale) {
            return Ok(root);
        }
    }
    Err(numeric_overflow())
}

/// The nearest integer to a square root, by Newton's method from above.
fn whole_root(square: i256) -> i256 {
    if square <= i256::ZERO {
        return i256::ZERO;
    }
    let half_length = (length(square) + 1) / 2;
    let mut root = power_of_ten(half_length as u8).unwrap_or(i256::ONE);
    loop {
        let next = root
            .wrapping_add(square.wrapping_div(root))
            .wrapping_div(wide(2));
        if next >= root {
            break;
        }
        root = next;
    }
    let rest = square.wrapping_sub(root.wrapping_mul(root));
    if rest > root {
        root.wrapping_add(i256::ONE)
    } else {
        root
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Decimal {
        text.parse().expect("a number")
    }

    fn check(found: Result<Decimal, Report>, expected: &str) {
        assert_eq!(found.expect("a result").to_string(), expected);
    }

    #[test]
    fn roots_have_the_digits_that_postgresql_gives() {
        check(square_root(number("2.0")), "1.414213562373095");
        check(square_root(number("144.0")), "12.000000000000000");
        check(square_root(number("0")), "0.000000000000000");
        check(square_root(number("1000000")), "1000.0000000000000");
    }

    #[test]
    fn logarithms_and_exponentials_have_the_digits_that_postgresql_gives() {
        check(ln(number("2.0")), "0.6931471805599453");
        check(exp(number("1.0")), "2.7182818284590452");
        check(exp(number("10.0")), "22026.465794806717");
        check(log(number("2.0"), number("64.0")), "6.0000000000000000");
        check(log(number("10"), number("100.0")), "2.0000000000000000");
    }

    #[test]
    fn powers_have_the_digits_that_postgresql_gives() {
        check(power(number("2.0"), number("3")), "8.0000000000000000");
        check(power(number("2.0"), number("-1")), "0.5000000000000000");
        check(power(number("9.0"), number("0.5")), "3.0000000000000000");
        check(power(number("-2.5"), number("3")), "-15.6250000000000000");
        assert!(power(number("10"), number("39")).is_err());
    }
}
