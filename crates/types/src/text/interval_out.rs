//! Text output of intervals, after `EncodeInterval` (src/backend/utils/adt/datetime.c).

use std::io::Write as _;

use super::date_out::write_fraction;
use crate::context::IntervalStyle;
use crate::interval::Interval;

/// The parts as they are printed; all clock parts have one sign.
#[derive(Clone, Copy)]
struct Parts {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    micro: i64,
}

impl Parts {
    fn of(interval: &Interval) -> Parts {
        let (months, micros) = (i64::from(interval.months), interval.micros);
        Parts {
            year: months / 12,
            month: months % 12,
            day: i64::from(interval.days),
            hour: micros / 3_600_000_000,
            minute: micros / 60_000_000 % 60,
            second: micros / 1_000_000 % 60,
            micro: micros % 1_000_000,
        }
    }

    fn negated(self) -> Parts {
        Parts {
            year: -self.year,
            month: -self.month,
            day: -self.day,
            hour: -self.hour,
            minute: -self.minute,
            second: -self.second,
            micro: -self.micro,
        }
    }

    fn clock(&self) -> [i64; 4] {
        [self.hour, self.minute, self.second, self.micro]
    }

    fn clock_is_negative(&self) -> bool {
        self.clock().iter().any(|part| *part < 0)
    }

    fn has_clock(&self) -> bool {
        self.clock().iter().any(|part| *part != 0)
    }
}

pub(super) fn write_interval(interval: &Interval, style: IntervalStyle, out: &mut Vec<u8>) {
    let parts = Parts::of(interval);
    match style {
        IntervalStyle::Postgres => write_postgres(&parts, out),
        IntervalStyle::PostgresVerbose => write_verbose(&parts, out),
        IntervalStyle::SqlStandard => write_sql(parts, out),
        IntervalStyle::Iso8601 => write_iso(&parts, out),
    }
}

fn fraction(micro: i64, out: &mut Vec<u8>) {
    write_fraction(u32::try_from(micro.unsigned_abs()).unwrap_or(0), out);
}

fn write_postgres(parts: &Parts, out: &mut Vec<u8>) {
    let start = out.len();
    let mut before_negative = false;
    for (value, unit) in [
        (parts.year, "year"),
        (parts.month, "mon"),
        (parts.day, "day"),
    ] {
        if value == 0 {
            continue;
        }
        let space = if out.len() == start { "" } else { " " };
        let plus = if before_negative && value > 0 {
            "+"
        } else {
            ""
        };
        let plural = if value == 1 { "" } else { "s" };
        // Writing to a Vec cannot fail, here and below.
        let _ = write!(out, "{space}{plus}{value} {unit}{plural}");
        before_negative = value < 0;
    }
    if out.len() == start || parts.has_clock() {
        let space = if out.len() == start { "" } else { " " };
        let sign = if parts.clock_is_negative() {
            "-"
        } else if before_negative {
            "+"
        } else {
            ""
        };
        let _ = write!(
            out,
            "{space}{sign}{:02}:{:02}:{:02}",
            parts.hour.unsigned_abs(),
            parts.minute.unsigned_abs(),
            parts.second.unsigned_abs()
        );
        fraction(parts.micro, out);
    }
}

fn write_verbose(parts: &Parts, out: &mut Vec<u8>) {
    out.push(b'@');
    let mut is_zero = true;
    let mut ago = false;
    let units = [
        (parts.year, "year"),
        (parts.month, "mon"),
        (parts.day, "day"),
        (parts.hour, "hour"),
        (parts.minute, "min"),
    ];
    for (value, unit) in units {
        if value == 0 {
            continue;
        }
        if is_zero {
            ago = value < 0;
        }
        let shown = if ago { -value } else { value };
        let plural = if shown == 1 { "" } else { "s" };
        let _ = write!(out, " {shown} {unit}{plural}");
        is_zero = false;
    }
    if parts.second != 0 || parts.micro != 0 {
        let negative = parts.second < 0 || parts.micro < 0;
        out.push(b' ');
        if is_zero {
            ago = negative;
        } else if negative != ago {
            out.push(b'-');
        }
        let _ = write!(out, "{}", parts.second.unsigned_abs());
        fraction(parts.micro, out);
        let one = parts.second.unsigned_abs() == 1 && parts.micro == 0;
        let _ = write!(out, " sec{}", if one { "" } else { "s" });
        is_zero = false;
    }
    if is_zero {
        out.extend_from_slice(b" 0");
    }
    if ago {
        out.extend_from_slice(b" ago");
    }
}

fn write_sql(parts: Parts, out: &mut Vec<u8>) {
    let all = [
        parts.year,
        parts.month,
        parts.day,
        parts.hour,
        parts.minute,
        parts.second,
        parts.micro,
    ];
    let has_negative = all.iter().any(|part| *part < 0);
    let has_positive = all.iter().any(|part| *part > 0);
    let has_year_month = parts.year != 0 || parts.month != 0;
    let has_day_time = parts.day != 0 || parts.has_clock();
    let plain = !(has_negative && has_positive || has_year_month && has_day_time);
    if !has_negative && !has_positive {
        out.push(b'0');
        return;
    }
    if !plain {
        let sign = |negative: bool| if negative { '-' } else { '+' };
        let _ = write!(
            out,
            "{}{}-{} {}{} {}{}:{:02}:{:02}",
            sign(parts.year < 0 || parts.month < 0),
            parts.year.unsigned_abs(),
            parts.month.unsigned_abs(),
            sign(parts.day < 0),
            parts.day.unsigned_abs(),
            sign(parts.clock_is_negative()),
            parts.hour.unsigned_abs(),
            parts.minute.unsigned_abs(),
            parts.second.unsigned_abs()
        );
        fraction(parts.micro, out);
        return;
    }
    let parts = if has_negative {
        out.push(b'-');
        parts.negated()
    } else {
        parts
    };
    if has_year_month {
        let _ = write!(out, "{}-{}", parts.year, parts.month);
        return;
    }
    if parts.day != 0 {
        let _ = write!(out, "{} ", parts.day);
    }
    let _ = write!(
        out,
        "{}:{:02}:{:02}",
        parts.hour, parts.minute, parts.second
    );
    fraction(parts.micro, out);
}

fn write_iso(parts: &Parts, out: &mut Vec<u8>) {
    if parts.year == 0 && parts.month == 0 && parts.day == 0 && !parts.has_clock() {
        out.extend_from_slice(b"PT0S");
        return;
    }
    out.push(b'P');
    let part = |value: i64, unit: char, out: &mut Vec<u8>| {
        if value != 0 {
            let _ = write!(out, "{value}{unit}");
        }
    };
    part(parts.year, 'Y', out);
    part(parts.month, 'M', out);
    part(parts.day, 'D', out);
    if parts.has_clock() {
        out.push(b'T');
    }
    part(parts.hour, 'H', out);
    part(parts.minute, 'M', out);
    if parts.second != 0 || parts.micro != 0 {
        if parts.second < 0 || parts.micro < 0 {
            out.push(b'-');
        }
        let _ = write!(out, "{}", parts.second.unsigned_abs());
        fraction(parts.micro, out);
        out.push(b'S');
    }
}
