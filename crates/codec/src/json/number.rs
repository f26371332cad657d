//! Numbers that keep their digits.

use std::cmp::Ordering;

use super::{EXPONENT_MAX, NUMBER_BYTES_MAX};

/// A number of a document.
#[derive(Clone, Copy, Debug)]
pub enum NumberRef<'a> {
    /// An integer in its shortest spelling.
    Int(i64),
    /// A number in the spelling that Rust gives its nearest `f64`: the decimal number, not the
    /// binary one, is meant.
    Float(f64),
    /// Any other spelling.
    Decimal(&'a str),
}

/// `0.digits * 10^exponent`; no digits for zero, no zeros at either end.
pub(crate) struct Digits {
    pub(crate) negative: bool,
    pub(crate) exponent: i32,
    pub(crate) digits: Vec<u8>,
}

impl<'a> NumberRef<'a> {
    /// The most compact form of a JSON number's text.
    pub(crate) fn classify(text: &'a str) -> NumberRef<'a> {
        if let Ok(value) = text.parse::<i64>()
            && text != "-0"
        {
            return NumberRef::Int(value);
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() && has_spelling(value, text) => NumberRef::Float(value),
            _ => NumberRef::Decimal(text),
        }
    }

    /// As it was written.
    pub fn write(&self, out: &mut String) {
        use std::fmt::Write;
        // Writing into a string does not fail.
        let _ = match self {
            NumberRef::Int(value) => write!(out, "{value}"),
            NumberRef::Float(value) => write!(out, "{value:?}"),
            NumberRef::Decimal(text) => out.write_str(text),
        };
    }

    /// As it was written.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    /// The nearest `f64`; infinite beyond its range.
    pub fn to_f64(&self) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "the nearest is asked for")]
            NumberRef::Int(value) => *value as f64,
            NumberRef::Float(value) => *value,
            NumberRef::Decimal(text) => text.parse().unwrap_or(f64::NAN),
        }
    }

    /// The number, when it is a whole one of 64 bits in any spelling.
    pub fn to_i64(&self) -> Option<i64> {
        if let NumberRef::Int(value) = self {
            return Some(*value);
        }
        let Digits {
            negative,
            exponent,
            digits,
        } = self.digits();
        let count = i32::try_from(digits.len()).ok()?;
        if digits.is_empty() {
            return Some(0);
        }
        if exponent < count || exponent > 19 {
            return None;
        }
        let mut value: i128 = 0;
        for at in 0..exponent {
            let digit = usize::try_from(at).ok().and_then(|at| digits.get(at));
            value = value * 10 + i128::from(digit.map_or(0, |digit| digit - b'0'));
        }
        i64::try_from(if negative { -value } else { value }).ok()
    }

    /// By value, exactly.
    pub fn compare(&self, other: &NumberRef<'_>) -> Ordering {
        match (self, other) {
            (NumberRef::Int(a), NumberRef::Int(b)) => a.cmp(b),
            // The shortest spellings of two floats are in the floats' order.
            (NumberRef::Float(a), NumberRef::Float(b)) => {
                a.partial_cmp(b).unwrap_or(Ordering::Equal)
            }
            _ => self.digits().compare(&other.digits()),
        }
    }

    pub(crate) fn digits(&self) -> Digits {
        match self {
            NumberRef::Decimal(text) => Digits::of(text),
            NumberRef::Int(_) => Digits::of(&self.to_text()),
            NumberRef::Float(value) => Digits::of(&format!("{value:e}")),
        }
    }
}

impl Digits {
    fn of(text: &str) -> Digits {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, text),
        };
        let (mantissa, power) = match unsigned.find(['e', 'E']) {
            Some(at) => (
                &unsigned[..at],
                unsigned[at + 1..].parse::<i32>().unwrap_or(0),
            ),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let leading = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..leading);
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() {
            return Digits {
                negative: false,
                exponent: 0,
                digits,
            };
        }
        // Texts are limited, so all of them fit.
        let point = |count: usize| i32::try_from(count).unwrap_or(i32::MAX / 4);
        Digits {
            negative,
            exponent: power
                .saturating_add(point(whole.len()))
                .saturating_sub(point(leading)),
            digits,
        }
    }

    fn compare(&self, other: &Digits) -> Ordering {
        let sign = |digits: &Digits| match (digits.digits.is_empty(), digits.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let order = sign(self).cmp(&sign(other));
        if order.is_ne() {
            return order;
        }
        let sizes = self
            .exponent
            .cmp(&other.exponent)
            .then_with(|| self.digits.cmp(&other.digits));
        if self.negative {
            sizes.reverse()
        } else {
            sizes
        }
    }
}

/// Whether Rust spells a float like this, but for the plus of an exponent.
fn has_spelling(value: f64, text: &str) -> bool {
    let spelling = format!("{value:?}");
    spelling == text || text.contains("e+") && spelling == text.replacen("e+", "e", 1)
}

/// Length of the JSON number at the start of `bytes`; `None` if there is none, or if what follows
/// it would go on with it.
pub(super) fn scan(bytes: &[u8]) -> Option<usize> {
    let digits_at = |at: usize| {
        bytes[at.min(bytes.len())..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    };
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    let whole = digits_at(at);
    if whole == 0 || (whole > 1 && bytes[at] == b'0') {
        return None;
    }
    at += whole;
    if bytes.get(at) == Some(&b'.') {
        let fraction = digits_at(at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let power = digits_at(at + 1 + sign);
        if power == 0 {
            return None;
        }
        at += 1 + sign + power;
    }
    Some(at)
}

/// Whether a JSON number's text is short enough and its exponent small enough.
pub(super) fn is_in_limits(text: &str) -> bool {
    if text.len() > NUMBER_BYTES_MAX {
        return false;
    }
    match text.find(['e', 'E']) {
        None => true,
        Some(at) => text[at + 1..]
            .parse::<i64>()
            .is_ok_and(|power| power.abs() <= EXPONENT_MAX),
    }
}
