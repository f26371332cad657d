//! Text input of intervals: PostgreSQL's units, SQL's `1-2 3 4:05:06`, ISO 8601's `P1Y2M3DT4H5M6S`.
//!
//! Follows `DecodeInterval` and `DecodeISO8601Interval` (src/backend/utils/adt/datetime.c).

use super::date_in::parse_fraction_micros;
use super::trim;
use crate::context::IntervalStyle;
use crate::datetime::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND};
use crate::error::ValueError;
use crate::interval::Interval;

/// As for dates: bounds the work.
const INPUT_BYTES_MAX: usize = 256;

/// Reads an interval; the style decides what a leading minus means for `-1-2 3 4:05:06`.
pub fn parse_interval(text: &str, style: IntervalStyle) -> Result<Interval, ValueError> {
    let result = if text.len() > INPUT_BYTES_MAX || !text.is_ascii() {
        Err(Fault::Format)
    } else if trim(text).starts_with('P') {
        iso_8601(trim(text))
    } else {
        units(text, style)
    };
    result.map_err(|fault| match fault {
        Fault::Format => ValueError::InvalidDatetime {
            type_name: "interval".to_owned(),
            input: text.to_owned(),
        },
        Fault::Overflow => ValueError::IntervalField {
            input: text.to_owned(),
        },
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Format,
    Overflow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
    Decade,
    Century,
    Millennium,
}

impl Unit {
    fn from_word(word: &str) -> Option<Unit> {
        Some(match word {
            "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecond" | "microseconds"
            | "microsecon" => Unit::Microsecond,
            "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecond" | "milliseconds"
            | "millisecon" => Unit::Millisecond,
            "s" | "sec" | "secs" | "second" | "seconds" => Unit::Second,
            "m" | "min" | "mins" | "minute" | "minutes" => Unit::Minute,
            "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Hour,
            "d" | "day" | "days" => Unit::Day,
            "w" | "week" | "weeks" => Unit::Week,
            "mon" | "mons" | "month" | "months" => Unit::Month,
            "y" | "yr" | "yrs" | "year" | "years" => Unit::Year,
            "dec" | "decs" | "decade" | "decades" => Unit::Decade,
            "c" | "cent" | "century" | "centuries" => Unit::Century,
            "mil" | "mils" | "millennia" | "millennium" => Unit::Millennium,
            _ => return None,
        })
    }
}

/// A signed number: the whole part and the fraction in (-1, 1), of the same sign.
#[derive(Clone, Copy, Debug)]
struct Amount {
    whole: i64,
    fraction: f64,
}

/// The sum so far, wide enough that single additions are checked only once at the end.
#[derive(Default)]
struct Sum {
    months: i64,
    days: i64,
    micros: i128,
    seen: u32,
}

impl Sum {
    fn add(&mut self, amount: Amount, unit: Unit) -> Result<(), Fault> {
        let Amount { whole, fraction } = amount;
        let times = |factor: i64| whole.checked_mul(factor).ok_or(Fault::Overflow);
        let micros = |factor: i64| {
            // Rounded once, to whole microseconds; the fraction is below one unit.
            i128::from(whole) * i128::from(factor)
                + (fraction * factor as f64).round_ties_even() as i128
        };
        match unit {
            Unit::Microsecond => {
                self.micros += i128::from(whole) + fraction.round_ties_even() as i128
            }
            Unit::Millisecond => self.micros += micros(1_000),
            Unit::Second => self.micros += micros(MICROS_PER_SECOND),
            Unit::Minute => self.micros += micros(MICROS_PER_MINUTE),
            Unit::Hour => self.micros += micros(MICROS_PER_HOUR),
            Unit::Day => {
                self.add_days(whole)?;
                self.micros += (fraction * MICROS_PER_DAY as f64).round_ties_even() as i128;
            }
            Unit::Week => {
                self.add_days(times(7)?)?;
                self.add_day_fraction(fraction * 7.0)?;
            }
            Unit::Month => {
                self.add_months(whole)?;
                self.add_day_fraction(fraction * 30.0)?;
            }
            Unit::Year => self.add_years(whole, fraction, 1)?,
            Unit::Decade => self.add_years(whole, fraction, 10)?,
            Unit::Century => self.add_years(whole, fraction, 100)?,
            Unit::Millennium => self.add_years(whole, fraction, 1000)?,
        }
        Ok(())
    }

    fn add_years(&mut self, whole: i64, fraction: f64, years: i64) -> Result<(), Fault> {
        let months = whole.checked_mul(years * 12).ok_or(Fault::Overflow)?;
        // A fraction of a millennium is below 12,000 months.
        let part = (fraction * (years * 12) as f64).round_ties_even() as i64;
        self.add_months(months.checked_add(part).ok_or(Fault::Overflow)?)
    }

    fn add_months(&mut self, months: i64) -> Result<(), Fault> {
        self.months = self.months.checked_add(months).ok_or(Fault::Overflow)?;
        Ok(())
    }

    fn add_days(&mut self, days: i64) -> Result<(), Fault> {
        self.days = self.days.checked_add(days).ok_or(Fault::Overflow)?;
        Ok(())
    }

    fn add_day_fraction(&mut self, days: f64) -> Result<(), Fault> {
        let whole = days.trunc();
        self.add_days(whole as i64)?;
        self.micros += ((days - whole) * MICROS_PER_DAY as f64).round_ties_even() as i128;
        Ok(())
    }

    /// Each unit may be given once; `bits` are the fields that a part covers.
    fn mark(&mut self, bits: u32) -> Result<(), Fault> {
        if self.seen & bits != 0 {
            return Err(Fault::Format);
        }
        self.seen |= bits;
        Ok(())
    }

    fn finish(self, negate: bool) -> Result<Interval, Fault> {
        let sign = if negate { -1 } else { 1 };
        Ok(Interval {
            months: i32::try_from(self.months.checked_mul(sign).ok_or(Fault::Overflow)?)
                .map_err(|_| Fault::Overflow)?,
            days: i32::try_from(self.days.checked_mul(sign).ok_or(Fault::Overflow)?)
                .map_err(|_| Fault::Overflow)?,
            micros: i64::try_from(self.micros * i128::from(sign)).map_err(|_| Fault::Overflow)?,
        })
    }
}

fn bit(unit: Unit) -> u32 {
    1 << (unit as u32)
}

const CLOCK_BITS: u32 =
    1 << (Unit::Hour as u32) | 1 << (Unit::Minute as u32) | 1 << (Unit::Second as u32);
const YEAR_MONTH_BITS: u32 = 1 << (Unit::Year as u32) | 1 << (Unit::Month as u32);

fn units(text: &str, style: IntervalStyle) -> Result<Interval, Fault> {
    let mut tokens = tokens(&text.to_ascii_lowercase())?;
    let count = tokens.len();
    tokens.retain(|token| token != "ago");
    let ago = tokens.len() < count;
    if tokens.is_empty() {
        return Err(Fault::Format);
    }
    // In the SQL style a leading minus, and no other sign, is for the whole.
    let signed = |token: &String| token.starts_with(['+', '-']);
    let minus_for_all = style == IntervalStyle::SqlStandard
        && tokens[0].starts_with('-')
        && !tokens[1..].iter().any(signed);
    let mut sum = Sum::default();
    // From the end, as a unit follows its number.
    let mut unit: Option<Unit> = None;
    let mut unit_used = true;
    for (index, token) in tokens.iter().enumerate().rev() {
        let negative = token.starts_with('-') || (minus_for_all && index > 0);
        let body = token.trim_start_matches(['+', '-']);
        if body.starts_with(|c: char| c.is_ascii_alphabetic()) {
            if !unit_used || signed(token) {
                return Err(Fault::Format);
            }
            unit = Some(Unit::from_word(body).ok_or(Fault::Format)?);
            unit_used = false;
            continue;
        }
        if body.contains(':') {
            if !unit_used {
                return Err(Fault::Format);
            }
            sum.mark(CLOCK_BITS)?;
            let micros = clock(body)?;
            sum.micros += i128::from(if negative { -micros } else { micros });
            unit = Some(Unit::Day);
            continue;
        }
        if let Some((years, months)) = body.split_once('-') {
            if !unit_used {
                return Err(Fault::Format);
            }
            let number = |part: &str| -> Result<i64, Fault> {
                if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(Fault::Format);
                }
                part.parse().map_err(|_| Fault::Overflow)
            };
            let (years, months) = (number(years)?, number(months)?);
            if months >= 12 {
                return Err(Fault::Overflow);
            }
            sum.mark(YEAR_MONTH_BITS)?;
            let total = years
                .checked_mul(12)
                .and_then(|m| m.checked_add(months))
                .ok_or(Fault::Overflow)?;
            sum.add_months(if negative { -total } else { total })?;
            unit = None;
            unit_used = true;
            continue;
        }
        let unit_of_number = unit.take().unwrap_or(Unit::Second);
        unit_used = true;
        sum.mark(bit(unit_of_number))?;
        sum.add(amount(body, negative)?, unit_of_number)?;
    }
    if !unit_used || sum.seen == 0 {
        return Err(Fault::Format);
    }
    sum.finish(ago)
}

/// Signed numbers, clocks, year-month pairs, words; numbers and words may touch (`1h`).
fn tokens(text: &str) -> Result<Vec<String>, Fault> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b if b.is_ascii_whitespace() || b == 0x0b || matches!(b, b'@' | b',') => {
                at += 1;
                continue;
            }
            b'+' | b'-' => {
                at += 1;
                while at < bytes.len() && bytes[at].is_ascii_whitespace() {
                    at += 1;
                }
                if !bytes
                    .get(at)
                    .is_some_and(|b| b.is_ascii_digit() || *b == b'.')
                {
                    return Err(Fault::Format);
                }
                at = number_end(bytes, at);
            }
            b'0'..=b'9' | b'.' => at = number_end(bytes, at),
            b if b.is_ascii_alphabetic() => {
                while at < bytes.len() && bytes[at].is_ascii_alphabetic() {
                    at += 1;
                }
            }
            _ => return Err(Fault::Format),
        }
        tokens.push(
            text[start..at]
                .chars()
                .filter(|c| !c.is_ascii_whitespace())
                .collect(),
        );
    }
    Ok(tokens)
}

fn number_end(bytes: &[u8], mut at: usize) -> usize {
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    while digit(at) || matches!(bytes.get(at), Some(b'.' | b':')) {
        at += 1;
    }
    // `1-2` is years and months, `1 -2` is not.
    if bytes.get(at) == Some(&b'-') && digit(at + 1) {
        at += 1;
        while digit(at) {
            at += 1;
        }
    }
    at
}

/// `h:m`, `h:m:s[.f]` or `m:s.f`, without sign.
fn clock(text: &str) -> Result<i64, Fault> {
    let (whole, fraction) = text
        .split_once('.')
        .map_or((text, None), |(a, b)| (a, Some(b)));
    let numbers: Vec<i64> = whole
        .split(':')
        .map(|part| {
            if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
                return Err(Fault::Format);
            }
            part.parse().map_err(|_| Fault::Overflow)
        })
        .collect::<Result<_, _>>()?;
    let micro = fraction
        .map_or(Some(0), parse_fraction_micros)
        .ok_or(Fault::Format)?;
    let (hour, minute, second) = match (numbers.as_slice(), fraction) {
        ([minute, second], Some(_)) => (0, *minute, *second),
        ([hour, minute], None) => (*hour, *minute, 0),
        ([hour, minute, second], _) => (*hour, *minute, *second),
        _ => return Err(Fault::Format),
    };
    if minute > 59 || second > 60 {
        return Err(Fault::Overflow);
    }
    hour.checked_mul(MICROS_PER_HOUR)
        .and_then(|sum| {
            sum.checked_add(minute * MICROS_PER_MINUTE + second * MICROS_PER_SECOND + micro)
        })
        .ok_or(Fault::Overflow)
}

/// `[digits][.digits]`
fn amount(text: &str, negative: bool) -> Result<Amount, Fault> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return Err(Fault::Format);
    }
    let whole: i64 = if whole.is_empty() {
        0
    } else {
        whole.parse().map_err(|_| Fault::Overflow)?
    };
    let fraction: f64 = if fraction.is_empty() {
        0.0
    } else {
        format!("0.{fraction}").parse().map_err(|_| Fault::Format)?
    };
    let sign = if negative { -1 } else { 1 };
    Ok(Amount {
        whole: whole * sign,
        fraction: fraction * sign as f64,
    })
}

/// `P1Y2M3W4DT5H6M7.8S`, `P0001-02-03T04:05:06`, `P00010203T040506`.
fn iso_8601(text: &str) -> Result<Interval, Fault> {
    let mut rest = &text[1..];
    if rest.is_empty() {
        return Err(Fault::Format);
    }
    let mut sum = Sum::default();
    let mut date_part = true;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('T') {
            if !date_part || after.is_empty() {
                return Err(Fault::Format);
            }
            date_part = false;
            rest = after;
            continue;
        }
        let end = rest
            .find(|c: char| !(c.is_ascii_digit() || matches!(c, '+' | '-' | '.')))
            .unwrap_or(rest.len());
        let designator = rest[end..].chars().next();
        let number = &rest[..end];
        match designator {
            Some(c) if c.is_ascii_alphabetic() && c != 'T' => {
                let unit = match (date_part, c) {
                    (true, 'Y') => Unit::Year,
                    (true, 'M') => Unit::Month,
                    (true, 'W') => Unit::Week,
                    (true, 'D') => Unit::Day,
                    (false, 'H') => Unit::Hour,
                    (false, 'M') => Unit::Minute,
                    (false, 'S') => Unit::Second,
                    _ => return Err(Fault::Format),
                };
                let body = number.trim_start_matches(['+', '-']);
                if number.len() - body.len() > 1 {
                    return Err(Fault::Format);
                }
                sum.add(amount(body, number.starts_with('-'))?, unit)?;
                rest = &rest[end + 1..];
            }
            _ => {
                rest = alternative(rest, date_part, &mut sum)?;
            }
        }
    }
    sum.finish(false)
}

/// The formats without unit letters: a date part up to `T`, or a time part up to the end.
fn alternative<'a>(text: &'a str, date_part: bool, sum: &mut Sum) -> Result<&'a str, Fault> {
    let end = if date_part {
        text.find('T').unwrap_or(text.len())
    } else {
        text.len()
    };
    let (part, rest) = text.split_at(end);
    let digits = |part: &str| -> Result<i64, Fault> {
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Fault::Format);
        }
        part.parse().map_err(|_| Fault::Overflow)
    };
    if date_part {
        let parts: Vec<&str> = if part.contains('-') {
            part.split('-').collect()
        } else if part.len() == 8 {
            vec![&part[..4], &part[4..6], &part[6..]]
        } else {
            return Err(Fault::Format);
        };
        if parts.len() > 3 {
            return Err(Fault::Format);
        }
        for (part, unit) in parts.iter().zip([Unit::Year, Unit::Month, Unit::Day]) {
            sum.add(
                Amount {
                    whole: digits(part)?,
                    fraction: 0.0,
                },
                unit,
            )?;
        }
    } else {
        let clock_text = if part.contains(':') {
            part.to_owned()
        } else if part.len() >= 6 {
            format!("{}:{}:{}", &part[..2], &part[2..4], &part[4..])
        } else {
            return Err(Fault::Format);
        };
        sum.micros += i128::from(clock(&clock_text)?);
    }
    Ok(rest)
}
