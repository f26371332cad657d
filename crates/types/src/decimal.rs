//! Exact decimal numbers of at most 38 digits, with PostgreSQL's rounding and scale rules.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use crate::error::ValueError;

/// Digits a `numeric` may have, before and after the point together.
pub const DECIMAL_DIGITS_MAX: u8 = 38;

/// Digits after the point that arithmetic and texts give: what an unconstrained column can hold.
pub const DECIMAL_SCALE_MAX: u8 = 36;

/// The smallest number that has too many digits.
const UNSCALED_LIMIT: u128 = 10u128.pow(38);

/// PostgreSQL computes quotients to at least this many significant digits.
const QUOTIENT_DIGITS_MIN: i32 = 16;

/// `unscaled / 10^scale`. The scale is also how many digits are shown after the point.
///
/// Numbers compare and hash by value: 1.5 equals 1.50.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decimal {
    /// All digits, as an integer; below 10^38 in size.
    pub unscaled: i128,
    /// Digits after the point, at most 38.
    pub scale: u8,
}

impl Decimal {
    /// Zero without digits after the point.
    pub const ZERO: Decimal = Decimal {
        unscaled: 0,
        scale: 0,
    };

    /// From parts; None when there are more than 38 digits or the scale is above 38.
    pub fn new(unscaled: i128, scale: u8) -> Option<Decimal> {
        (unscaled.unsigned_abs() < UNSCALED_LIMIT && scale <= DECIMAL_DIGITS_MAX)
            .then_some(Decimal { unscaled, scale })
    }

    /// Without zeros at the end of the fraction.
    pub fn normalize(self) -> Decimal {
        let Decimal {
            mut unscaled,
            mut scale,
        } = self;
        if unscaled == 0 {
            return Decimal::ZERO;
        }
        while scale > 0 && unscaled % 10 == 0 {
            unscaled /= 10;
            scale -= 1;
        }
        Decimal { unscaled, scale }
    }

    /// Whether the number is zero.
    pub fn is_zero(self) -> bool {
        self.unscaled == 0
    }

    /// Digits of the unscaled number; 0 for zero.
    pub fn digits(self) -> u8 {
        digits_of(self.unscaled.unsigned_abs())
    }

    /// Rounds half away from zero to `scale` digits after the point, or adds zeros up to it.
    /// None when the result has more than 38 digits.
    pub fn rescale(self, scale: u8) -> Option<Decimal> {
        match scale.cmp(&self.scale) {
            Ordering::Equal => Decimal::new(self.unscaled, scale),
            Ordering::Greater => {
                let factor = power_of_ten(scale - self.scale)?;
                Decimal::new(
                    self.unscaled.checked_mul(i128::try_from(factor).ok()?)?,
                    scale,
                )
            }
            Ordering::Less => {
                let Some(divisor) = power_of_ten(self.scale - scale) else {
                    return Some(Decimal { unscaled: 0, scale });
                };
                let divisor = i128::try_from(divisor).ok()?;
                let (quotient, rest) = (self.unscaled / divisor, self.unscaled % divisor);
                let up = rest.unsigned_abs() >= divisor.unsigned_abs() - rest.unsigned_abs();
                let step = if up { self.unscaled.signum() } else { 0 };
                Decimal::new(quotient + step, scale)
            }
        }
    }

    /// `round(self, places)`: half away from zero; negative places round before the point.
    pub fn round(self, places: i32) -> Option<Decimal> {
        if places >= 0 {
            return self.rescale(u8::try_from(places).ok()?);
        }
        let integer_places = places.unsigned_abs();
        // One digit is decided by the whole rest, so round from the full number in one step.
        let drop = u32::from(self.scale).checked_add(integer_places)?;
        let Some(divisor) = u8::try_from(drop).ok().and_then(power_of_ten) else {
            return Some(Decimal::ZERO);
        };
        let magnitude = self.unscaled.unsigned_abs();
        let (quotient, rest) = (magnitude / divisor, magnitude % divisor);
        let quotient = quotient + u128::from(rest >= divisor - rest);
        let factor = power_of_ten(u8::try_from(integer_places).ok()?)?;
        let unscaled = i128::try_from(quotient.checked_mul(factor)?).ok()?;
        Decimal::new(unscaled * self.unscaled.signum(), 0)
    }

    /// `trunc(self, places)`: towards zero.
    pub fn trunc(self, places: i32) -> Option<Decimal> {
        if places >= 0 {
            let places = u8::try_from(places).ok()?;
            if places >= self.scale {
                return self.rescale(places);
            }
            let divisor = i128::try_from(power_of_ten(self.scale - places)?).ok()?;
            return Some(Decimal {
                unscaled: self.unscaled / divisor,
                scale: places,
            });
        }
        let drop = u32::from(self.scale).checked_add(places.unsigned_abs())?;
        let Some(divisor) = u8::try_from(drop).ok().and_then(power_of_ten) else {
            return Some(Decimal::ZERO);
        };
        let divisor = i128::try_from(divisor).ok()?;
        let factor =
            i128::try_from(power_of_ten(u8::try_from(places.unsigned_abs()).ok()?)?).ok()?;
        Decimal::new((self.unscaled / divisor).checked_mul(factor)?, 0)
    }

    /// The greatest integer not above.
    pub fn floor(self) -> Option<Decimal> {
        let whole = self.trunc(0)?;
        let below = self.unscaled < 0 && whole != self;
        Decimal::new(whole.unscaled - i128::from(below), 0)
    }

    /// The smallest integer not below.
    pub fn ceil(self) -> Option<Decimal> {
        let whole = self.trunc(0)?;
        let above = self.unscaled > 0 && whole != self;
        Decimal::new(whole.unscaled + i128::from(above), 0)
    }

    /// The sum, with the larger of both scales, cut (with rounding) where 38 digits need it.
    pub fn checked_add(self, other: Decimal) -> Option<Decimal> {
        let sum_at = |scale| {
            let (a, b) = (self.rescale(scale)?, other.rescale(scale)?);
            Decimal::new(a.unscaled.checked_add(b.unscaled)?, scale)
        };
        let scale = self.scale.max(other.scale);
        (0..=scale).rev().find_map(sum_at)
    }

    /// The difference, with the larger of both scales, cut as a sum is.
    pub fn checked_sub(self, other: Decimal) -> Option<Decimal> {
        self.checked_add(-other)
    }

    /// The product; its scale is the sum of both, cut (with rounding) where 38 digits need it.
    pub fn checked_mul(self, other: Decimal) -> Option<Decimal> {
        let negative = (self.unscaled < 0) != (other.unscaled < 0);
        let (mut high, mut low) =
            wide_mul(self.unscaled.unsigned_abs(), other.unscaled.unsigned_abs());
        let mut scale = self.scale + other.scale;
        // How many digits must go: found by dividing until the rest fits.
        let mut drop = scale.saturating_sub(DECIMAL_SCALE_MAX);
        loop {
            let divisor = power_of_ten(drop)?;
            if let Some((quotient, rest)) = wide_div(high, low, divisor) {
                let rounded = quotient + u128::from(drop > 0 && rest >= divisor - rest);
                if rounded < UNSCALED_LIMIT {
                    (high, low) = (0, rounded);
                    scale -= drop;
                    break;
                }
            }
            if drop >= scale {
                return None;
            }
            drop += 1;
        }
        debug_assert_eq!(high, 0, "the loop ends with a quotient of one word");
        let unscaled = i128::try_from(low).ok()?;
        Decimal::new(if negative { -unscaled } else { unscaled }, scale)
    }

    /// The quotient with PostgreSQL's scale (at least 16 significant digits, at least both scales).
    pub fn checked_div(self, other: Decimal) -> Result<Decimal, ValueError> {
        let mut scale = self.quotient_scale(other);
        if other.is_zero() {
            return Err(ValueError::DivisionByZero);
        }
        // Where 38 digits cannot hold PostgreSQL's scale, digits after the point give way.
        loop {
            if let Some(quotient) = self.div_to_scale(other, scale) {
                return Ok(quotient);
            }
            if scale == 0 {
                return Err(ValueError::NumericUnsupported {
                    message: "value overflows numeric format".to_owned(),
                });
            }
            scale -= 1;
        }
    }

    /// The quotient rounded half away from zero to `scale`; None when it does not fit or `other` is 0.
    pub fn div_to_scale(self, other: Decimal, scale: u8) -> Option<Decimal> {
        if other.is_zero() {
            return None;
        }
        let negative = (self.unscaled < 0) != (other.unscaled < 0);
        let shift = i32::from(scale) + i32::from(other.scale) - i32::from(self.scale);
        let mut divisor = other.unscaled.unsigned_abs();
        let mut wide = (0u128, self.unscaled.unsigned_abs());
        if shift >= 0 {
            let mut left = u8::try_from(shift).ok()?;
            while left > 0 {
                let step = left.min(DECIMAL_DIGITS_MAX);
                let factor = power_of_ten(step)?;
                let (carry, low) = wide_mul(wide.1, factor);
                wide = (wide.0.checked_mul(factor)?.checked_add(carry)?, low);
                left -= step;
            }
        } else {
            divisor = divisor.checked_mul(power_of_ten(u8::try_from(-shift).ok()?)?)?;
        }
        let (quotient, rest) = wide_div(wide.0, wide.1, divisor)?;
        let rounded = quotient.checked_add(u128::from(rest >= divisor - rest))?;
        let unscaled = i128::try_from(rounded).ok()?;
        Decimal::new(if negative { -unscaled } else { unscaled }, scale)
    }

    /// PostgreSQL's `select_div_scale`: digits are counted in groups of four.
    fn quotient_scale(self, other: Decimal) -> u8 {
        let (weight_a, first_a) = self.leading_group();
        let (weight_b, first_b) = other.leading_group();
        let mut weight = weight_a - weight_b;
        if first_a <= first_b {
            weight -= 1;
        }
        let scale = (QUOTIENT_DIGITS_MIN - weight * 4)
            .max(i32::from(self.scale))
            .max(i32::from(other.scale))
            .max(0);
        u8::try_from(scale)
            .unwrap_or(DECIMAL_SCALE_MAX)
            .min(DECIMAL_SCALE_MAX)
    }

    /// Weight (power of 10,000) and value of the first nonzero group of four digits.
    fn leading_group(self) -> (i32, u128) {
        if self.is_zero() {
            return (0, 0);
        }
        // The exponent of ten of the leading digit.
        let exponent = i32::from(self.digits()) - 1 - i32::from(self.scale);
        let weight = exponent.div_euclid(4);
        let group_digits = u8::try_from(exponent.rem_euclid(4) + 1).unwrap_or(1);
        let magnitude = self.unscaled.unsigned_abs();
        let group = match self.digits().checked_sub(group_digits) {
            Some(drop) => magnitude / power_of_ten(drop).unwrap_or(1),
            None => magnitude * power_of_ten(group_digits - self.digits()).unwrap_or(1),
        };
        (weight, group)
    }

    /// The remainder, with the sign of `self`.
    pub fn checked_rem(self, other: Decimal) -> Result<Decimal, ValueError> {
        if other.is_zero() {
            return Err(ValueError::DivisionByZero);
        }
        let scale = self.scale.max(other.scale);
        let overflow = || ValueError::NumericUnsupported {
            message: "value overflows numeric format".to_owned(),
        };
        let a = self.rescale(scale).ok_or_else(overflow)?;
        match other.rescale(scale) {
            Some(b) => Decimal::new(a.unscaled % b.unscaled, scale).ok_or_else(overflow),
            // The divisor is larger than anything `a` can be.
            None => Ok(a),
        }
    }

    /// The size without the sign.
    pub fn abs(self) -> Decimal {
        Decimal {
            unscaled: self.unscaled.abs(),
            scale: self.scale,
        }
    }

    /// The nearest double.
    pub fn to_f64(self) -> f64 {
        // Small numbers divide exactly rounded; the rest goes through text, which rounds once.
        let Decimal { unscaled, scale } = self.normalize();
        if unscaled.unsigned_abs() < (1 << 53) && scale <= 22 {
            let divisor = 10f64.powi(i32::from(scale));
            return unscaled as f64 / divisor;
        }
        format!("{unscaled}e-{scale}").parse().unwrap_or(f64::NAN)
    }

    /// From a double as PostgreSQL casts it: 15 significant digits. None for NaN, infinities and
    /// numbers beyond 38 digits.
    pub fn from_f64(value: f64) -> Option<Decimal> {
        Decimal::from_float_digits(value, 15)
    }

    /// From a real as PostgreSQL casts it: 6 significant digits.
    pub fn from_f32(value: f32) -> Option<Decimal> {
        Decimal::from_float_digits(f64::from(value), 6)
    }

    fn from_float_digits(value: f64, digits: usize) -> Option<Decimal> {
        if !value.is_finite() {
            return None;
        }
        let text = format!("{value:.precision$e}", precision = digits - 1);
        parse(&text).ok().map(Decimal::normalize)
    }

    /// The integer nearest, half away from zero; None when it does not fit.
    pub fn to_i64(self) -> Option<i64> {
        i64::try_from(self.rescale(0)?.unscaled).ok()
    }

    /// Writes all digits up to the scale: `-12.50`.
    pub fn write(self, out: &mut Vec<u8>) {
        let digits = self.unscaled.unsigned_abs().to_string();
        if self.unscaled < 0 {
            out.push(b'-');
        }
        let scale = usize::from(self.scale);
        if scale == 0 {
            out.extend_from_slice(digits.as_bytes());
        } else if digits.len() > scale {
            let (whole, fraction) = digits.as_bytes().split_at(digits.len() - scale);
            out.extend_from_slice(whole);
            out.push(b'.');
            out.extend_from_slice(fraction);
        } else {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + scale - digits.len(), b'0');
            out.extend_from_slice(digits.as_bytes());
        }
    }
}

/// Why a text is not a decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecimalError {
    Syntax,
    /// `NaN` or an infinity, which our `numeric` does not have
    Special,
    /// More than 38 digits before the point
    Overflow,
}

/// Reads digits, point and exponent. Digits after the point beyond 36, or that do not fit into 38
/// together with those before it, are rounded.
pub(crate) fn parse(text: &str) -> Result<Decimal, DecimalError> {
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    for special in ["nan", "infinity", "inf"] {
        if unsigned.eq_ignore_ascii_case(special) {
            return Err(DecimalError::Special);
        }
    }
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], parse_exponent(&unsigned[at + 1..])?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return Err(DecimalError::Syntax);
    }
    if !whole
        .bytes()
        .chain(fraction.bytes())
        .all(|byte| byte.is_ascii_digit())
    {
        return Err(DecimalError::Syntax);
    }
    let digits = whole
        .bytes()
        .chain(fraction.bytes())
        .map(|byte| byte - b'0');
    let fraction_digits = i64::try_from(fraction.len()).map_err(|_| DecimalError::Overflow)?;
    from_digits(negative, digits, fraction_digits - exponent)
}

fn parse_exponent(text: &str) -> Result<i64, DecimalError> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DecimalError::Syntax);
    }
    match text.parse::<i64>() {
        Ok(exponent) if exponent.abs() <= 100_000 => Ok(exponent),
        _ => Err(DecimalError::Overflow),
    }
}

/// Digits, first one first, with `scale` of them (may be negative) after the point.
pub(crate) fn from_digits(
    negative: bool,
    digits: impl Iterator<Item = u8>,
    scale: i64,
) -> Result<Decimal, DecimalError> {
    let mut value: u128 = 0;
    let mut dropped = 0i64;
    let mut round_up = None;
    for digit in digits {
        let next = value.checked_mul(10).map(|value| value + u128::from(digit));
        match next {
            Some(next) if next < UNSCALED_LIMIT && dropped == 0 => value = next,
            _ => {
                dropped += 1;
                round_up.get_or_insert(digit >= 5);
            }
        }
    }
    let mut scale = scale - dropped;
    let mut carry = round_up == Some(true);
    if scale < 0 {
        // Zeros before the point: needed in full. Dropped digits mean it cannot fit.
        if value == 0 && !carry {
            return Ok(Decimal::ZERO);
        }
        let zeros = u8::try_from(-scale).map_err(|_| DecimalError::Overflow)?;
        let factor = power_of_ten(zeros).ok_or(DecimalError::Overflow)?;
        value = value.checked_mul(factor).ok_or(DecimalError::Overflow)?;
        if dropped > 0 {
            return Err(DecimalError::Overflow);
        }
        scale = 0;
    }
    // Too many digits after the point: round from here, half away from zero.
    while scale > i64::from(DECIMAL_SCALE_MAX) {
        if value == 0 {
            scale = i64::from(DECIMAL_SCALE_MAX);
            carry = false;
            break;
        }
        carry = value % 10 >= 5;
        value /= 10;
        scale -= 1;
    }
    value += u128::from(carry);
    if value >= UNSCALED_LIMIT {
        if scale == 0 {
            return Err(DecimalError::Overflow);
        }
        // Only 10^38 itself can be here, after a carry.
        value /= 10;
        scale -= 1;
    }
    let unscaled = i128::try_from(value).map_err(|_| DecimalError::Overflow)?;
    let scale = u8::try_from(scale).map_err(|_| DecimalError::Overflow)?;
    Decimal::new(if negative { -unscaled } else { unscaled }, scale).ok_or(DecimalError::Overflow)
}

pub(crate) fn power_of_ten(exponent: u8) -> Option<u128> {
    10u128.checked_pow(u32::from(exponent))
}

fn digits_of(magnitude: u128) -> u8 {
    // At most 39, so the cast keeps the value.
    magnitude.checked_ilog10().map_or(0, |log| log as u8 + 1)
}

/// The product as (high, low) words.
fn wide_mul(a: u128, b: u128) -> (u128, u128) {
    const MASK: u128 = u64::MAX as u128;
    let (a_high, a_low) = (a >> 64, a & MASK);
    let (b_high, b_low) = (b >> 64, b & MASK);
    let low = a_low * b_low;
    let middle = a_high * b_low + (low >> 64);
    let middle_two = a_low * b_high + (middle & MASK);
    let high = a_high * b_high + (middle >> 64) + (middle_two >> 64);
    (high, (middle_two << 64) | (low & MASK))
}

/// Quotient and remainder; None when the quotient does not fit one word.
fn wide_div(high: u128, low: u128, divisor: u128) -> Option<(u128, u128)> {
    if divisor == 0 || high >= divisor {
        return None;
    }
    if high == 0 {
        return Some((low / divisor, low % divisor));
    }
    let (mut rest, mut quotient) = (high, 0u128);
    for bit in (0..128).rev() {
        let carry = rest >> 127;
        rest = (rest << 1) | ((low >> bit) & 1);
        quotient <<= 1;
        if carry == 1 || rest >= divisor {
            rest = rest.wrapping_sub(divisor);
            quotient |= 1;
        }
    }
    Some((quotient, rest))
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Decimal {
        Decimal {
            unscaled: i128::from(value),
            scale: 0,
        }
    }
}

impl From<i32> for Decimal {
    fn from(value: i32) -> Decimal {
        Decimal {
            unscaled: i128::from(value),
            scale: 0,
        }
    }
}

impl std::ops::Neg for Decimal {
    type Output = Decimal;

    fn neg(self) -> Decimal {
        Decimal {
            unscaled: -self.unscaled,
            scale: self.scale,
        }
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Decimal) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Decimal) -> Ordering {
        if self.scale == other.scale {
            return self.unscaled.cmp(&other.unscaled);
        }
        let signs = self.unscaled.signum().cmp(&other.unscaled.signum());
        if signs.is_ne() {
            return signs;
        }
        let scale = self.scale.max(other.scale);
        let wide = |number: &Decimal| {
            let factor = power_of_ten(scale - number.scale).unwrap_or(UNSCALED_LIMIT);
            wide_mul(number.unscaled.unsigned_abs(), factor)
        };
        let order = wide(self).cmp(&wide(other));
        if self.unscaled < 0 {
            order.reverse()
        } else {
            order
        }
    }
}

impl Hash for Decimal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let normal = self.normalize();
        normal.unscaled.hash(state);
        normal.scale.hash(state);
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::with_capacity(48);
        self.write(&mut out);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

impl FromStr for Decimal {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Decimal, ValueError> {
        parse(text).map_err(|error| match error {
            DecimalError::Syntax => ValueError::text("numeric", text),
            DecimalError::Special => ValueError::NumericUnsupported {
                message: "numeric cannot hold NaN or infinity here".to_owned(),
            },
            DecimalError::Overflow => ValueError::NumericUnsupported {
                message: format!(
                    "value overflows numeric format (at most {DECIMAL_DIGITS_MAX} digits)"
                ),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().expect(text)
    }

    #[test]
    fn text_keeps_the_scale() {
        for text in [
            "0",
            "0.00",
            "-1.50",
            "12345678901234567890123456789012345678",
            "0.0001",
        ] {
            assert_eq!(decimal(text).to_string(), text);
        }
        assert_eq!(decimal(" +.5 ").to_string(), "0.5");
        assert_eq!(decimal("5.").to_string(), "5");
        assert_eq!(decimal("1.5e3").to_string(), "1500");
        assert_eq!(decimal("1.5e-3").to_string(), "0.0015");
        assert_eq!(decimal("0e100").to_string(), "0");
        assert_eq!(decimal("123.4e1").to_string(), "1234");
    }

    #[test]
    fn malformed_or_too_large_texts_are_refused() {
        for text in [
            "",
            ".",
            "e5",
            "1e",
            "1.2.3",
            "--1",
            "1 2",
            "NaN",
            "Infinity",
            "1e39",
            "1e-999999999",
        ] {
            assert!(text.parse::<Decimal>().is_err(), "{text}");
        }
        assert!("1".repeat(39).parse::<Decimal>().is_err());
    }

    #[test]
    fn fractions_beyond_36_digits_are_rounded() {
        let long = format!("0.{}", "6".repeat(50));
        assert_eq!(decimal(&long).to_string(), format!("0.{}7", "6".repeat(35)));
        assert_eq!(decimal(&format!("0.{}", "9".repeat(50))), decimal("1"));
    }

    #[test]
    fn rounding_is_half_away_from_zero() {
        assert_eq!(decimal("2.5").round(0), Some(decimal("3")));
        assert_eq!(decimal("-2.5").round(0), Some(decimal("-3")));
        assert_eq!(decimal("1250").round(-2), Some(decimal("1300")));
        assert_eq!(decimal("1249.99").round(-2), Some(decimal("1200")));
        assert_eq!(decimal("-1.99").trunc(1), Some(decimal("-1.9")));
        assert_eq!(decimal("1299").trunc(-2), Some(decimal("1200")));
        assert_eq!(decimal("-1.5").floor(), Some(decimal("-2")));
        assert_eq!(decimal("-1.5").ceil(), Some(decimal("-1")));
    }

    #[test]
    fn quotients_have_postgresqls_scale() {
        let check = |a: &str, b: &str, expected: &str| {
            assert_eq!(
                decimal(a)
                    .checked_div(decimal(b))
                    .expect("quotient")
                    .to_string(),
                expected
            );
        };
        check("1", "3", "0.33333333333333333333");
        check("10", "3", "3.3333333333333333");
        check("100000", "3", "33333.333333333333");
        check("1", "7000", "0.00014285714285714286");
        check("6", "2", "3.0000000000000000");
        check("1.5", "0.00002", "75000.000000000000");
        assert_eq!(
            decimal("1").checked_div(Decimal::ZERO),
            Err(ValueError::DivisionByZero)
        );
    }

    #[test]
    fn products_beyond_38_digits_lose_fraction_digits_only() {
        let a = decimal("12345678901234567890.1234567890");
        assert!(a.checked_mul(a).is_none());
        let b = decimal("1.00000000000000000000000000000000001");
        assert_eq!(
            b.checked_mul(b).map(|p| p.to_string()),
            Some("1.000000000000000000000000000000000020".into())
        );
    }

    proptest! {
        #[test]
        fn text_round_trips(unscaled in -(10i128.pow(38) - 1)..10i128.pow(38), scale in 0u8..=DECIMAL_SCALE_MAX) {
            let number = Decimal { unscaled, scale };
            let again: Decimal = number.to_string().parse().expect("own output");
            prop_assert_eq!((again.unscaled, again.scale), (unscaled, scale));
        }

        #[test]
        fn order_and_sum_agree_with_integers(a in any::<i64>(), b in any::<i64>(), sa in 0u8..8, sb in 0u8..8) {
            let (x, y) = (Decimal { unscaled: a.into(), scale: sa }, Decimal { unscaled: b.into(), scale: sb });
            let (wide_x, wide_y) = (i128::from(a) * 10i128.pow(u32::from(8 - sa)), i128::from(b) * 10i128.pow(u32::from(8 - sb)));
            prop_assert_eq!(x.cmp(&y), wide_x.cmp(&wide_y));
            let sum = x.checked_add(y).and_then(|sum| sum.rescale(8)).expect("fits");
            prop_assert_eq!(sum.unscaled, wide_x + wide_y);
        }

        #[test]
        fn wide_division_undoes_wide_multiplication(a in any::<u128>(), b in 1..u128::MAX) {
            let (high, low) = wide_mul(a, b);
            prop_assert_eq!(wide_div(high, low, b), Some((a, 0)));
        }
    }
}
