//! Integers and floating-point numbers as text, read and written as Redis does.

/// Digits behind the point in the answers of INCRBYFLOAT (`%.17Lf`).
const FRACTION_DIGITS: usize = 17;
/// 10 to the power of [`FRACTION_DIGITS`].
const FRACTION_SCALE: i128 = 100_000_000_000_000_000;
/// Digits before the point that leave room in 128 bits for the fraction and one addition.
const INTEGER_DIGITS_MAX: usize = 19;

/// Multiples of 10^-17 below this leave room for one addition.
const DECIMAL_MAX: u128 = 1 << 125;

/// Whole numbers below this are written as such (2 to the power of 52).
const WHOLE_MAX: f64 = 4_503_599_627_370_496.0;

/// An integer of 64 bits in its one spelling: no sign but a minus, no leading zeros, no spaces
/// (`string2ll`).
#[inline]
pub fn parse_integer(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [] => return None,
        [b'0'] if !is_negative => return Some(0),
        [b'1'..=b'9', ..] => {}
        _ => return None,
    }
    if digits.len() > INTEGER_DIGITS_MAX {
        return None;
    }
    let mut value: i64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        let digit = i64::from(digit - b'0');
        value = value.checked_mul(10)?;
        // Towards the sign, so that the smallest number fits.
        value = if is_negative {
            value.checked_sub(digit)?
        } else {
            value.checked_add(digit)?
        };
    }
    Some(value)
}

/// A floating-point number, also "inf" and "-inf"; not "nan", no spaces, not too large for 64 bits.
pub fn parse_float(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    if text.is_empty() || text.len() > 256 {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    let is_named = || text.bytes().any(|byte| byte.eq_ignore_ascii_case(&b'n'));
    (!value.is_nan() && (value.is_finite() || is_named())).then_some(value)
}

/// A decimal number as a multiple of 10^-17, if it fits.
fn parse_decimal(text: &[u8]) -> Option<i128> {
    let is_exponent = |byte: &u8| byte.eq_ignore_ascii_case(&b'e');
    let Some(at) = text.iter().position(is_exponent) else {
        return parse_plain(text);
    };
    let exponent = std::str::from_utf8(&text[at + 1..]).ok()?;
    let exponent: i32 = exponent.parse().ok()?;
    let value = parse_plain(&text[..at])?;
    let scale = 10_i128.checked_pow(exponent.unsigned_abs())?;
    if exponent < 0 {
        // What has more digits than there is room for is not exact.
        return (value % scale == 0).then_some(value / scale);
    }
    let value = value.checked_mul(scale)?;
    (value.unsigned_abs() < DECIMAL_MAX).then_some(value)
}

/// The same without an exponent.
fn parse_plain(text: &[u8]) -> Option<i128> {
    let (is_negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let point = rest.iter().position(|byte| *byte == b'.');
    let (integer, fraction) = match point {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, &b""[..]),
    };
    let is_in_range = integer.len() <= INTEGER_DIGITS_MAX && fraction.len() <= FRACTION_DIGITS;
    if !is_in_range || integer.len() + fraction.len() == 0 {
        return None;
    }
    let mut value: i128 = 0;
    let zeros = std::iter::repeat_n(&b'0', FRACTION_DIGITS - fraction.len());
    for digit in integer.iter().chain(fraction).chain(zeros) {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i128::from(digit - b'0');
    }
    Some(if is_negative { -value } else { value })
}

/// The sum of two numbers given as text, as INCRBYFLOAT and HINCRBYFLOAT answer it: at most 17
/// digits behind the point, no zeros at the end, no exponent. None if it is not finite.
///
/// Redis adds in `long double`. Decimal numbers of usual size are added exactly here, so that 0.1
/// and 0.2 make 0.3 as they do there; others in 64 bits.
pub(crate) fn add_floats(a: &[u8], b: &[u8]) -> Option<String> {
    if let (Some(a), Some(b)) = (parse_decimal(a), parse_decimal(b)) {
        return Some(format_decimal(a + b));
    }
    let sum = parse_float(a)? + parse_float(b)?;
    if !sum.is_finite() {
        return None;
    }
    let text = format!("{sum:.FRACTION_DIGITS$}");
    Some(without_zeros(&text))
}

fn format_decimal(value: i128) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let value = value.unsigned_abs();
    let scale = FRACTION_SCALE.unsigned_abs();
    let text = format!("{sign}{}.{:017}", value / scale, value % scale);
    without_zeros(&text)
}

fn without_zeros(text: &str) -> String {
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    };
    // As Redis does it.
    if text == "-0" { "0" } else { text }.to_owned()
}

/// A score as text: the shortest that reads back as the same number, with Redis's rules for when
/// to write an exponent ("3", "0.1", "1e+20", "inf").
pub fn format_score(score: f64) -> String {
    if score.is_infinite() {
        return if score > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if score.is_nan() {
        return "nan".to_owned();
    }
    if score == 0.0 {
        return if score.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    if score.fract() == 0.0 && score.abs() < WHOLE_MAX {
        return format!("{score:.0}");
    }
    // Digits and exponent of the shortest form: d.ddde±x.
    let text = format!("{:e}", score.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let sign = if score < 0.0 { "-" } else { "" };
    let count = i32::try_from(digits.len()).unwrap_or(0);
    // The number is digits * 10^shift.
    let shift = exponent - count + 1;
    if shift >= 0 && exponent < count + 7 {
        let zeros = "0".repeat(usize::try_from(shift).unwrap_or(0));
        return format!("{sign}{digits}{zeros}");
    }
    if shift < 0 && (shift > -7 || exponent.abs() < 4) {
        return match usize::try_from(count + shift) {
            Ok(offset) if offset > 0 => {
                format!("{sign}{}.{}", &digits[..offset], &digits[offset..])
            }
            _ => {
                let zeros = "0".repeat(usize::try_from(-(count + shift)).unwrap_or(0));
                format!("{sign}0.{zeros}{digits}")
            }
        };
    }
    let point = if count > 1 { "." } else { "" };
    let direction = if exponent < 0 { '-' } else { '+' };
    format!(
        "{sign}{}{point}{}e{direction}{}",
        &digits[..1],
        &digits[1..],
        exponent.abs()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_one_spelling() {
        for (text, value) in [
            ("0", 0),
            ("-1", -1),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(parse_integer(text.as_bytes()), Some(value));
        }
        for text in [
            "",
            "-",
            "+1",
            "01",
            "-0",
            " 1",
            "1 ",
            "1.0",
            "9223372036854775808",
            "-9223372036854775809",
            "12345678901234567890123",
        ] {
            assert_eq!(parse_integer(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn decimals_are_added_exactly() {
        for (a, b, sum) in [
            ("0.1", "0.2", "0.3"),
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("3", "-3", "0"),
            ("-1.5", "0.25", "-1.25"),
            ("0", "1e-7", "0.0000001"),
            ("1", "+.5", "1.5"),
        ] {
            assert_eq!(add_floats(a.as_bytes(), b.as_bytes()).as_deref(), Some(sum));
        }
        assert_eq!(add_floats(b"1e308", b"1e308"), None);
        assert_eq!(add_floats(b"x", b"1"), None);
    }

    #[test]
    fn scores_are_written_as_redis_writes_them() {
        for (score, text) in [
            (3.0, "3"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (1e20, "1e+20"),
            (1e-7, "1e-7"),
            (1.5e-9, "1.5e-9"),
            (123_456_789.0, "123456789"),
            (1e8, "100000000"),
            (17_179_869_184.0, "17179869184"),
            (2.345_678_901_234_567, "2.345678901234567"),
            (f64::NEG_INFINITY, "-inf"),
            (0.0, "0"),
        ] {
            assert_eq!(format_score(score), text);
        }
    }
}
