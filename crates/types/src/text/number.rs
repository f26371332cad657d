//! Text of numbers.

use std::io::Write as _;

use super::trim;
use crate::error::ValueError;

/// `[space] [sign] digits [space]`
pub(super) fn parse_integer<T: TryFrom<i64>>(text: &str, type_name: &str) -> Result<T, ValueError> {
    let out_of_range = || ValueError::TextOutOfRange {
        type_name: type_name.to_owned(),
        input: text.to_owned(),
    };
    let bytes = trim(text).as_bytes();
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(ValueError::text(type_name, text));
    }
    let mut value: i64 = 0;
    for digit in digits {
        // Counting down reaches the smallest number, which has no positive partner.
        value = value
            .checked_mul(10)
            .and_then(|value| value.checked_sub(i64::from(digit - b'0')))
            .ok_or_else(out_of_range)?;
    }
    let value = if negative {
        value
    } else {
        value.checked_neg().ok_or_else(out_of_range)?
    };
    T::try_from(value).map_err(|_| out_of_range())
}

/// As C's `strtoul`: a minus counts down from 2^32.
pub(super) fn parse_oid(text: &str) -> Result<u32, ValueError> {
    let wide: i64 = parse_integer(text, "oid")?;
    let limit = i64::from(u32::MAX);
    match u32::try_from(wide) {
        Ok(oid) => Ok(oid),
        Err(_) if wide < 0 && wide >= -limit => {
            u32::try_from(wide + limit + 1).map_err(|_| ValueError::text("oid", text))
        }
        Err(_) => Err(ValueError::TextOutOfRange {
            type_name: "oid".to_owned(),
            input: text.to_owned(),
        }),
    }
}

pub(super) fn write_integer(value: i64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        // Below ten, so the cast keeps the value.
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

pub(super) fn parse_double(text: &str) -> Result<f64, ValueError> {
    let word = trim(text);
    if let Some(special) = special_float(word) {
        return Ok(special);
    }
    check_float_syntax(word, text, "double precision")?;
    let value: f64 = word
        .parse()
        .map_err(|_| ValueError::text("double precision", text))?;
    if value.is_infinite() || (value == 0.0 && has_nonzero_digit(word)) {
        return Err(float_out_of_range(text, "double precision"));
    }
    Ok(value)
}

pub(super) fn parse_real(text: &str) -> Result<f32, ValueError> {
    let word = trim(text);
    if let Some(special) = special_float(word) {
        // The infinities and NaN keep their meaning in any width.
        return Ok(special as f32);
    }
    check_float_syntax(word, text, "real")?;
    let value: f32 = word.parse().map_err(|_| ValueError::text("real", text))?;
    if value.is_infinite() || (value == 0.0 && has_nonzero_digit(word)) {
        return Err(float_out_of_range(text, "real"));
    }
    Ok(value)
}

fn float_out_of_range(text: &str, type_name: &str) -> ValueError {
    ValueError::FloatOutOfRange {
        type_name: type_name.to_owned(),
        input: trim(text).to_owned(),
    }
}

fn special_float(word: &str) -> Option<f64> {
    let (negative, name) = match word.as_bytes().first()? {
        b'-' => (true, &word[1..]),
        b'+' => (false, &word[1..]),
        _ => (false, word),
    };
    if name.eq_ignore_ascii_case("infinity") || name.eq_ignore_ascii_case("inf") {
        return Some(if negative {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        });
    }
    name.eq_ignore_ascii_case("nan").then_some(f64::NAN)
}

/// Rust's parser takes a few words (`inf`, `nan`) that must not get here; the rest agrees with C.
fn check_float_syntax(word: &str, text: &str, type_name: &str) -> Result<(), ValueError> {
    let allowed =
        |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
    if !word.is_empty() && word.bytes().all(allowed) {
        return Ok(());
    }
    Err(ValueError::text(type_name, text))
}

fn has_nonzero_digit(word: &str) -> bool {
    let mantissa = word.split(['e', 'E']).next().unwrap_or("");
    mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'))
}

pub(super) fn write_double(value: f64, extra_float_digits: i32, out: &mut Vec<u8>) {
    if write_special(value, out) {
        return;
    }
    if extra_float_digits > 0 {
        write_digits(&format!("{value:e}"), 15, out);
    } else {
        let precision = usize::try_from(15 + extra_float_digits.max(-14)).unwrap_or(1);
        write_general(&format!("{value:.*e}", precision - 1), precision, out);
    }
}

pub(super) fn write_real(value: f32, extra_float_digits: i32, out: &mut Vec<u8>) {
    if write_special(f64::from(value), out) {
        return;
    }
    if extra_float_digits > 0 {
        write_digits(&format!("{value:e}"), 6, out);
    } else {
        let precision = usize::try_from(6 + extra_float_digits.max(-5)).unwrap_or(1);
        write_general(&format!("{value:.*e}", precision - 1), precision, out);
    }
}

fn write_special(value: f64, out: &mut Vec<u8>) -> bool {
    let word: &[u8] = if value.is_nan() {
        b"NaN"
    } else if value == f64::INFINITY {
        b"Infinity"
    } else if value == f64::NEG_INFINITY {
        b"-Infinity"
    } else {
        return false;
    };
    out.extend_from_slice(word);
    true
}

/// C's `%.*g`: as [`write_digits`], after dropping zeros at the end.
fn write_general(scientific: &str, precision: usize, out: &mut Vec<u8>) {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let mantissa = if mantissa.contains('.') {
        mantissa.trim_end_matches('0').trim_end_matches('.')
    } else {
        mantissa
    };
    let digits_max = i32::try_from(precision).unwrap_or(15);
    write_digits(&format!("{mantissa}e{exponent}"), digits_max, out);
}

/// Lays out `d.ddde±x`: plain while the exponent is in -4 … `exponent_limit` - 1, else with exponent.
fn write_digits(scientific: &str, exponent_limit: i32, out: &mut Vec<u8>) {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let unsigned = mantissa.strip_prefix('-').unwrap_or(mantissa);
    if unsigned.len() != mantissa.len() {
        out.push(b'-');
    }
    if exponent < -4 || exponent >= exponent_limit {
        out.extend_from_slice(unsigned.as_bytes());
        let sign = if exponent < 0 { '-' } else { '+' };
        // Writing to a Vec cannot fail.
        let _ = write!(out, "e{sign}{:02}", exponent.unsigned_abs());
        return;
    }
    let digits: Vec<u8> = unsigned.bytes().filter(u8::is_ascii_digit).collect();
    match usize::try_from(exponent) {
        Ok(exponent) => {
            let whole = exponent + 1;
            if digits.len() <= whole {
                out.extend_from_slice(&digits);
                out.resize(out.len() + whole - digits.len(), b'0');
            } else {
                out.extend_from_slice(&digits[..whole]);
                out.push(b'.');
                out.extend_from_slice(&digits[whole..]);
            }
        }
        Err(_) => {
            out.extend_from_slice(b"0.");
            let zeros = usize::try_from(-exponent - 1).unwrap_or(0);
            out.resize(out.len() + zeros, b'0');
            out.extend_from_slice(&digits);
        }
    }
}
