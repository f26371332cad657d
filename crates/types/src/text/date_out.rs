//! Text output of dates, times and timestamps in the four date styles.

use std::io::Write as _;

use crate::context::{DateOrder, DateStyleFormat, FormatContext};
use crate::datetime::{self, Civil};
use crate::zone::{self, TimeZone};

pub(super) fn write_date(days: i32, ctx: &FormatContext, out: &mut Vec<u8>) {
    match days {
        datetime::DATE_INFINITY => out.extend_from_slice(b"infinity"),
        datetime::DATE_NEGATIVE_INFINITY => out.extend_from_slice(b"-infinity"),
        days => {
            let (year, month, day) = datetime::civil_from_days(i64::from(days));
            let civil = Civil {
                year,
                month,
                day,
                ..Civil::default()
            };
            write_calendar(&civil, ctx, out);
            write_era(year, out);
        }
    }
}

pub(super) fn write_timestamp(micros: i64, ctx: &FormatContext, out: &mut Vec<u8>) {
    if !write_infinity(micros, out) {
        write_moment(&Civil::from_micros(micros), None, micros, ctx, out);
    }
}

pub(super) fn write_timestamptz(micros: i64, ctx: &FormatContext, out: &mut Vec<u8>) {
    if !write_infinity(micros, out) {
        let offset = ctx.time_zone.offset_at_utc(micros);
        let local = micros.saturating_add(i64::from(offset) * datetime::MICROS_PER_SECOND);
        write_moment(&Civil::from_micros(local), Some(offset), micros, ctx, out);
    }
}

fn write_infinity(micros: i64, out: &mut Vec<u8>) -> bool {
    match micros {
        datetime::TIMESTAMP_INFINITY => out.extend_from_slice(b"infinity"),
        datetime::TIMESTAMP_NEGATIVE_INFINITY => out.extend_from_slice(b"-infinity"),
        _ => return false,
    }
    true
}

/// `HH:MM:SS[.ffffff]` of microseconds since midnight, without zeros at the end.
pub fn write_time_of_day(micros: i64, out: &mut Vec<u8>) {
    let (hour, minute, second, micro) = datetime::split_time(micros);
    write_clock(hour, minute, second, micro, out);
}

fn write_clock(hour: u32, minute: u32, second: u32, micro: u32, out: &mut Vec<u8>) {
    write_two(hour, out);
    out.push(b':');
    write_two(minute, out);
    out.push(b':');
    write_two(second, out);
    write_fraction(micro, out);
}

/// `.ffffff` without zeros at the end; nothing for zero.
pub(super) fn write_fraction(micro: u32, out: &mut Vec<u8>) {
    if micro == 0 {
        return;
    }
    let digits = format!(".{micro:06}");
    out.extend_from_slice(digits.trim_end_matches('0').as_bytes());
}

fn write_two(value: u32, out: &mut Vec<u8>) {
    match u8::try_from(value) {
        Ok(value) if value < 100 => out.extend_from_slice(&[b'0' + value / 10, b'0' + value % 10]),
        _ => out.extend_from_slice(value.to_string().as_bytes()),
    }
}

fn write_year(year: i32, out: &mut Vec<u8>) {
    let shown = if year > 0 {
        i64::from(year)
    } else {
        1 - i64::from(year)
    };
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{shown:04}");
}

fn write_era(year: i32, out: &mut Vec<u8>) {
    if year <= 0 {
        out.extend_from_slice(b" BC");
    }
}

/// Year, month and day in the order and with the separator of the style.
fn write_calendar(civil: &Civil, ctx: &FormatContext, out: &mut Vec<u8>) {
    let style = ctx.date_style;
    let day_first = style.order == DateOrder::Dmy;
    let separator = match style.format {
        DateStyleFormat::Iso => {
            write_year(civil.year, out);
            out.push(b'-');
            write_two(civil.month, out);
            out.push(b'-');
            write_two(civil.day, out);
            return;
        }
        DateStyleFormat::Sql => b'/',
        DateStyleFormat::Postgres => b'-',
        DateStyleFormat::German => b'.',
    };
    let day_first = day_first || style.format == DateStyleFormat::German;
    let (first, second) = if day_first {
        (civil.day, civil.month)
    } else {
        (civil.month, civil.day)
    };
    write_two(first, out);
    out.push(separator);
    write_two(second, out);
    out.push(separator);
    write_year(civil.year, out);
}

fn write_moment(
    civil: &Civil,
    offset: Option<i32>,
    utc: i64,
    ctx: &FormatContext,
    out: &mut Vec<u8>,
) {
    let clock =
        |out: &mut Vec<u8>| write_clock(civil.hour, civil.minute, civil.second, civil.micro, out);
    match ctx.date_style.format {
        DateStyleFormat::Iso => {
            write_calendar(civil, ctx, out);
            out.push(b' ');
            clock(out);
            if let Some(offset) = offset {
                zone::write_offset(offset, out);
            }
        }
        DateStyleFormat::Sql | DateStyleFormat::German => {
            write_calendar(civil, ctx, out);
            out.push(b' ');
            clock(out);
            write_abbreviation(offset, utc, ctx, out);
        }
        DateStyleFormat::Postgres => {
            let days = datetime::days_from_civil(civil.year, civil.month, civil.day);
            let weekday = usize::try_from(datetime::weekday(days)).unwrap_or(0);
            let month = usize::try_from(civil.month).unwrap_or(1).clamp(1, 12) - 1;
            let (weekday, month) = (
                &datetime::WEEKDAYS[weekday][..3],
                &datetime::MONTHS[month][..3],
            );
            let _ = if ctx.date_style.order == DateOrder::Dmy {
                write!(out, "{weekday} {:02} {month} ", civil.day)
            } else {
                write!(out, "{weekday} {month} {:02} ", civil.day)
            };
            clock(out);
            out.push(b' ');
            write_year(civil.year, out);
            write_abbreviation(offset, utc, ctx, out);
        }
    }
    write_era(civil.year, out);
}

fn write_abbreviation(offset: Option<i32>, utc: i64, ctx: &FormatContext, out: &mut Vec<u8>) {
    let Some(offset) = offset else { return };
    let abbreviation = ctx.time_zone.abbreviation_at(utc);
    let is_name = abbreviation.starts_with(|c: char| c.is_ascii_alphabetic());
    if is_name && matches!(ctx.time_zone, TimeZone::Named(_)) {
        out.push(b' ');
        out.extend_from_slice(abbreviation.as_bytes());
    } else {
        if ctx.date_style.format == DateStyleFormat::Postgres {
            out.push(b' ');
        }
        zone::write_offset(offset, out);
    }
}
