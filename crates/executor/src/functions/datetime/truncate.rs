//! `date_trunc`, `date_bin` and the justify functions.

use tessera_planner::functions::FunctionRegistry;
use tessera_types::SqlType::{Interval, Text, Timestamp, TimestampTz};
use tessera_types::datetime::{self, Civil, MICROS_PER_DAY};
use tessera_types::{Report, SqlType, TimeZone, Value, codes};

use super::super::kernel::{RowResult, function};
use super::field::{Unit, unsupported};
use super::{is_infinite, out_of_range, stable};

/// Adds them.
pub(super) fn register(r: &mut FunctionRegistry) {
    function(r, "date_trunc", [Text, Timestamp], Timestamp, |row| {
        truncate(row.text(0), row.micros(1), &Timestamp).map(Value::Timestamp)
    });
    stable(r, "date_trunc", [Text, TimestampTz], TimestampTz, |row| {
        truncate_in_zone(row.text(0), row.micros(1), &row.format().time_zone)
    });
    function(
        r,
        "date_trunc",
        [Text, TimestampTz, Text],
        TimestampTz,
        |row| {
            truncate_in_zone(
                row.text(0),
                row.micros(1),
                &row.text(2).parse::<TimeZone>()?,
            )
        },
    );
    function(r, "date_trunc", [Text, Interval], Interval, |row| {
        truncate_interval(row.text(0), row.interval(1))
    });
    for ty in [Timestamp, TimestampTz] {
        let zoned = ty == TimestampTz;
        function(
            r,
            "date_bin",
            [Interval, ty.clone(), ty.clone()],
            ty,
            move |row| {
                let binned = bin(row.interval(0), row.micros(1), row.micros(2))?;
                Ok(if zoned {
                    Value::TimestampTz(binned)
                } else {
                    Value::Timestamp(binned)
                })
            },
        );
    }
    function(r, "justify_hours", [Interval], Interval, |row| {
        justify(row.interval(0), true, false)
    });
    function(r, "justify_days", [Interval], Interval, |row| {
        justify(row.interval(0), false, true)
    });
    function(r, "justify_interval", [Interval], Interval, |row| {
        justify(row.interval(0), true, true)
    });
}

fn truncate(unit: &str, micros: i64, ty: &SqlType) -> Result<i64, Report> {
    let parsed = Unit::parse(unit, ty)?;
    if is_infinite(micros) {
        return Ok(micros);
    }
    let civil = Civil::from_micros(micros);
    let step = match parsed {
        Unit::Microseconds => 1,
        Unit::Milliseconds => 1_000,
        Unit::Second => datetime::MICROS_PER_SECOND,
        Unit::Minute => datetime::MICROS_PER_MINUTE,
        Unit::Hour => datetime::MICROS_PER_HOUR,
        Unit::Day => MICROS_PER_DAY,
        _ => 0,
    };
    if step > 0 {
        return Ok(micros - micros.rem_euclid(step));
    }
    let year = civil.year;
    let first = |year: i32| (year, 1);
    let (year, month) = match parsed {
        Unit::Week => {
            let days = micros.div_euclid(MICROS_PER_DAY);
            let monday = days - (days + 3).rem_euclid(7);
            return Ok(monday * MICROS_PER_DAY);
        }
        Unit::Month => (year, civil.month),
        Unit::Quarter => (year, (civil.month - 1) / 3 * 3 + 1),
        Unit::Year => first(year),
        Unit::Decade => first(if year > 0 {
            year / 10 * 10
        } else {
            -((8 - (year - 1)) / 10) * 10
        }),
        Unit::Century => first(if year > 0 {
            (year + 99) / 100 * 100 - 99
        } else {
            -((99 - (year - 1)) / 100) * 100 + 1
        }),
        Unit::Millennium => first(if year > 0 {
            (year + 999) / 1000 * 1000 - 999
        } else {
            -((999 - (year - 1)) / 1000) * 1000 + 1
        }),
        _ => return Err(unsupported(unit, ty)),
    };
    Civil {
        year,
        month,
        day: 1,
        ..Civil::default()
    }
    .to_micros()
    .ok_or_else(|| out_of_range("timestamp"))
}

fn truncate_in_zone(unit: &str, micros: i64, zone: &TimeZone) -> RowResult {
    let local = datetime::utc_to_local(micros, zone).ok_or_else(|| out_of_range("timestamp"))?;
    let cut = truncate(unit, local, &TimestampTz)?;
    let keeps_offset = matches!(
        Unit::parse(unit, &TimestampTz)?,
        Unit::Microseconds | Unit::Milliseconds | Unit::Second | Unit::Minute | Unit::Hour
    );
    // Within the hour the offset stays; else that of the new local time counts.
    let utc = if keeps_offset {
        Some(micros - (local - cut))
    } else {
        datetime::local_to_utc(cut, zone)
    };
    utc.map(Value::TimestampTz)
        .ok_or_else(|| out_of_range("timestamp"))
}

fn truncate_interval(unit: &str, interval: tessera_types::Interval) -> RowResult {
    let mut cut = interval;
    let months_of = |months: i32| (interval.months / months * months, 0, 0);
    let time_of = |step: i64| {
        (
            interval.months,
            interval.days,
            interval.micros / step * step,
        )
    };
    (cut.months, cut.days, cut.micros) = match Unit::parse(unit, &Interval)? {
        Unit::Microseconds => time_of(1),
        Unit::Milliseconds => time_of(1_000),
        Unit::Second => time_of(datetime::MICROS_PER_SECOND),
        Unit::Minute => time_of(datetime::MICROS_PER_MINUTE),
        Unit::Hour => time_of(datetime::MICROS_PER_HOUR),
        Unit::Day => (interval.months, interval.days, 0),
        Unit::Month => months_of(1),
        Unit::Quarter => months_of(3),
        Unit::Year => months_of(12),
        Unit::Decade => months_of(120),
        Unit::Century => months_of(1_200),
        Unit::Millennium => months_of(12_000),
        Unit::Week => {
            return Err(
                unsupported(unit, &Interval).with_detail("Months usually have fractional weeks.")
            );
        }
        _ => return Err(unsupported(unit, &Interval)),
    };
    Ok(Value::Interval(cut))
}

fn bin(stride: tessera_types::Interval, micros: i64, origin: i64) -> Result<i64, Report> {
    let fault = |message: &str| Report::error(codes::DATETIME_FIELD_OVERFLOW, message);
    if is_infinite(micros) {
        return Ok(micros);
    }
    if is_infinite(origin) {
        return Err(fault("origin out of range"));
    }
    if stride.months != 0 {
        return Err(Report::unsupported(
            "timestamps cannot be binned into intervals containing months or years",
        ));
    }
    let step = i64::from(stride.days)
        .checked_mul(MICROS_PER_DAY)
        .and_then(|days| days.checked_add(stride.micros))
        .ok_or_else(|| fault("interval out of range"))?;
    if step <= 0 {
        return Err(fault("stride must be greater than zero"));
    }
    let difference = micros
        .checked_sub(origin)
        .ok_or_else(|| fault("interval out of range"))?;
    origin
        .checked_add(difference - difference.rem_euclid(step))
        .ok_or_else(|| out_of_range("timestamp"))
}

/// Days of 24 hours out of the time, months of 30 days out of the days; then one sign for all.
fn justify(interval: tessera_types::Interval, hours: bool, days: bool) -> RowResult {
    let overflow = || out_of_range("interval");
    let (mut m, mut d, mut t) = (
        i64::from(interval.months),
        i64::from(interval.days),
        interval.micros,
    );
    if hours {
        d += t / MICROS_PER_DAY;
        t %= MICROS_PER_DAY;
    }
    if days {
        m += d / 30;
        d %= 30;
    }
    if days {
        if m > 0 && (d < 0 || (d == 0 && t < 0 && hours)) {
            d += 30;
            m -= 1;
        } else if m < 0 && (d > 0 || (d == 0 && t > 0 && hours)) {
            d -= 30;
            m += 1;
        }
    }
    if hours {
        if d > 0 && t < 0 {
            t += MICROS_PER_DAY;
            d -= 1;
        } else if d < 0 && t > 0 {
            t -= MICROS_PER_DAY;
            d += 1;
        }
    }
    Ok(Value::Interval(tessera_types::Interval {
        months: i32::try_from(m).map_err(|_| overflow())?,
        days: i32::try_from(d).map_err(|_| overflow())?,
        micros: t,
    }))
}
