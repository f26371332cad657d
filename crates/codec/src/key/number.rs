//! Numbers in key order: floats by their bits, decimals by sign, exponent and digits.

use tessera_types::Decimal;

use super::decode::Input;
use crate::CodecError;

const NEGATIVE: u8 = 0x40;
const ZERO: u8 = 0x80;
const POSITIVE: u8 = 0xc0;

/// Added to the exponent so that it is never negative.
const EXPONENT_BIAS: i32 = 0x4000_0000;

/// Bits in the order of the numbers: -0 is 0, every NaN is the same and the greatest.
pub(super) fn double_bits(value: f64) -> u64 {
    let value = if value.is_nan() {
        f64::NAN.abs()
    } else if value == 0.0 {
        0.0
    } else {
        value
    };
    let bits = value.to_bits();
    if bits >> 63 == 1 {
        !bits
    } else {
        bits | (1 << 63)
    }
}

pub(super) fn double_from_bits(bits: u64) -> f64 {
    f64::from_bits(if bits >> 63 == 1 {
        bits & !(1 << 63)
    } else {
        !bits
    })
}

pub(super) fn real_bits(value: f32) -> u32 {
    let value = if value.is_nan() {
        f32::NAN.abs()
    } else if value == 0.0 {
        0.0
    } else {
        value
    };
    let bits = value.to_bits();
    if bits >> 31 == 1 {
        !bits
    } else {
        bits | (1 << 31)
    }
}

pub(super) fn real_from_bits(bits: u32) -> f32 {
    f32::from_bits(if bits >> 31 == 1 {
        bits & !(1 << 31)
    } else {
        !bits
    })
}

pub(super) fn encode_decimal(value: Decimal, out: &mut Vec<u8>) {
    let normal = value.normalize();
    let digits = normal.unscaled.unsigned_abs().to_string();
    // At most 38 digits and a scale of at most 38.
    let exponent = i32::try_from(digits.len()).unwrap_or(0) - i32::from(normal.scale);
    encode_digits(normal.unscaled < 0, exponent, digits.as_bytes(), out);
}

/// A number of any length in full decimal form, as JSON has them.
pub(super) fn encode_text(number: &str, out: &mut Vec<u8>) {
    let number = tessera_types::json::trim_number(number);
    let (negative, unsigned) = match number.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, number.as_str()),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let leading = digits.iter().take_while(|digit| **digit == b'0').count();
    // Texts are limited to a gigabyte, so both fit.
    let exponent = i32::try_from(whole.len()).unwrap_or(0) - i32::try_from(leading).unwrap_or(0);
    encode_digits(negative, exponent, &digits[leading..], out);
}

/// `0.digits * 10^exponent`, digits in ASCII without zeros in front.
pub(super) fn encode_digits(negative: bool, exponent: i32, digits: &[u8], out: &mut Vec<u8>) {
    let kept = digits
        .iter()
        .rposition(|digit| *digit != b'0')
        .map_or(0, |last| last + 1);
    let digits = &digits[..kept];
    if digits.is_empty() {
        out.push(ZERO);
        return;
    }
    out.push(if negative { NEGATIVE } else { POSITIVE });
    let start = out.len();
    out.extend_from_slice(&(exponent + EXPONENT_BIAS).to_be_bytes()[..]);
    // A digit is a nibble from 1 to 10; a nibble of 0 ends, so fewer digits sort first.
    for pair in digits.chunks(2) {
        let nibble = |digit: Option<&u8>| digit.map_or(0, |digit| digit - b'0' + 1);
        out.push((nibble(pair.first()) << 4) | nibble(pair.get(1)));
    }
    if digits.len().is_multiple_of(2) {
        out.push(0);
    }
    if negative {
        for byte in &mut out[start..] {
            *byte = !*byte;
        }
    }
}

/// The number as decimal text.
pub(super) fn decode_text(input: &mut Input<'_>) -> Result<String, CodecError> {
    const MALFORMED: CodecError = CodecError::Malformed {
        what: "number in a key",
    };
    let negative = match input.byte()? {
        ZERO => return Ok("0".to_owned()),
        NEGATIVE => true,
        POSITIVE => false,
        _ => return Err(MALFORMED),
    };
    let mask = if negative { u8::MAX } else { 0 };
    let exponent =
        i32::from_be_bytes(input.take::<4>()?.map(|byte| byte ^ mask)).wrapping_sub(EXPONENT_BIAS);
    let mut digits = String::new();
    'digits: loop {
        let byte = input.byte()? ^ mask;
        for nibble in [byte >> 4, byte & 15] {
            match nibble {
                0 => break 'digits,
                1..=10 => digits.push(char::from(b'0' + nibble - 1)),
                _ => return Err(MALFORMED),
            }
        }
    }
    // Damaged exponents must not become gigabytes of zeros.
    if exponent.unsigned_abs() > 1_000_000 || digits.is_empty() {
        return Err(MALFORMED);
    }
    let sign = if negative { "-" } else { "" };
    let length = i32::try_from(digits.len()).map_err(|_| MALFORMED)?;
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    Ok(if exponent <= 0 {
        format!("{sign}0.{}{digits}", zeros(-exponent))
    } else if exponent >= length {
        format!("{sign}{digits}{}", zeros(exponent - length))
    } else {
        let (whole, fraction) = digits.split_at(usize::try_from(exponent).unwrap_or(0));
        format!("{sign}{whole}.{fraction}")
    })
}
