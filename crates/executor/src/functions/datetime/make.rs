//! Dates, times and intervals from their parts.

use tessera_planner::functions::{Argument, FunctionRegistry, Returns, Scalar};
use tessera_types::SqlType::{Date, Double, Integer, Interval, Text, Time, Timestamp, TimestampTz};
use tessera_types::datetime::{
    self, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND,
};
use tessera_types::{Report, TimeZone, Value, codes};

use super::super::kernel::{Row, RowResult, function, strict};
use super::{out_of_range, stable};

/// Adds them.
pub(super) fn register(r: &mut FunctionRegistry) {
    function(r, "make_date", [Integer, Integer, Integer], Date, |row| {
        let days = date(row)?;
        i32::try_from(days)
            .map(Value::Date)
            .map_err(|_| out_of_range("date"))
    });
    function(r, "make_time", [Integer, Integer, Double], Time, |row| {
        time(row, 0).map(Value::Time)
    });
    let parts = || [Integer, Integer, Integer, Integer, Integer, Double];
    function(r, "make_timestamp", parts(), Timestamp, |row| {
        timestamp(row).map(Value::Timestamp)
    });
    stable(r, "make_timestamptz", parts(), TimestampTz, |row| {
        zoned(row, row.format().time_zone)
    });
    let [a, b, c, d, e, f] = parts();
    function(
        r,
        "make_timestamptz",
        [a, b, c, d, e, f, Text],
        TimestampTz,
        |row| zoned(row, row.text(6).parse::<TimeZone>()?),
    );
    let arguments =
        [Integer, Integer, Integer, Integer, Integer, Integer, Double].map(Argument::Exact);
    r.scalar(
        Scalar::new(
            "make_interval",
            arguments,
            Returns::Exact(Interval),
            strict(interval),
        )
        .optional(7),
    );
    function(r, "to_timestamp", [Double], TimestampTz, |row| {
        let seconds = row.double(0);
        if seconds.is_nan() {
            return Err(Report::error(
                codes::DATETIME_FIELD_OVERFLOW,
                "timestamp cannot be NaN",
            ));
        }
        if seconds.is_infinite() {
            let infinity = if seconds > 0.0 {
                datetime::TIMESTAMP_INFINITY
            } else {
                datetime::TIMESTAMP_NEGATIVE_INFINITY
            };
            return Ok(Value::TimestampTz(infinity));
        }
        let micros = (seconds * 1e6).round_ties_even();
        let fits = micros.abs() < 9.2e18 && datetime::timestamp_in_range(micros as i64);
        if fits {
            Ok(Value::TimestampTz(micros as i64))
        } else {
            Err(Report::error(
                codes::DATETIME_FIELD_OVERFLOW,
                format!("timestamp out of range: \"{seconds}\""),
            ))
        }
    });
}

fn date(row: &Row<'_>) -> Result<i64, Report> {
    let (year, month, day) = (row.integer(0), row.integer(1), row.integer(2));
    let fault = || {
        Report::error(
            codes::DATETIME_FIELD_OVERFLOW,
            format!("date field value out of range: {year}-{month:02}-{day:02}"),
        )
    };
    // Negative years are BC; there is no year zero.
    let astronomical = match year {
        0 => return Err(fault()),
        year if year < 0 => year + 1,
        year => year,
    };
    let year = i32::try_from(astronomical).map_err(|_| fault())?;
    let month = u32::try_from(month)
        .ok()
        .filter(|month| (1..=12).contains(month))
        .ok_or_else(fault)?;
    let day = u32::try_from(day)
        .ok()
        .filter(|day| (1..=datetime::days_in_month(year, month)).contains(day));
    let days = datetime::days_from_civil(year, month, day.ok_or_else(fault)?);
    if datetime::date_in_range(days) {
        Ok(days)
    } else {
        Err(fault())
    }
}

fn time(row: &Row<'_>, first: usize) -> Result<i64, Report> {
    let (hour, minute, second) = (
        row.integer(first),
        row.integer(first + 1),
        row.double(first + 2),
    );
    let fault = || {
        Report::error(
            codes::DATETIME_FIELD_OVERFLOW,
            format!("time field value out of range: {hour}:{minute:02}:{second:02}"),
        )
    };
    if !(0..=24).contains(&hour) || !(0..=59).contains(&minute) || !(0.0..=60.0).contains(&second) {
        return Err(fault());
    }
    let micros = hour * MICROS_PER_HOUR
        + minute * MICROS_PER_MINUTE
        + (second * 1e6).round_ties_even() as i64;
    if micros > MICROS_PER_DAY {
        Err(fault())
    } else {
        Ok(micros)
    }
}

fn timestamp(row: &Row<'_>) -> Result<i64, Report> {
    let micros = date(row)?
        .checked_mul(MICROS_PER_DAY)
        .and_then(|days| days.checked_add(time(row, 3).ok()?));
    time(row, 3)?;
    micros
        .filter(|micros| datetime::timestamp_in_range(*micros))
        .ok_or_else(|| out_of_range("timestamp"))
}

fn zoned(row: &Row<'_>, zone: TimeZone) -> RowResult {
    let utc = datetime::local_to_utc(timestamp(row)?, &zone);
    utc.map(Value::TimestampTz)
        .ok_or_else(|| out_of_range("timestamp"))
}

fn interval(row: &Row<'_>) -> RowResult {
    let overflow = || out_of_range("interval");
    let months = row.integer(0) * 12 + row.integer(1);
    let days = row.integer(2) * 7 + row.integer(3);
    let seconds = row.double(6);
    if !seconds.is_finite() || seconds.abs() > 1e12 {
        return Err(overflow());
    }
    let micros = row.integer(4) * MICROS_PER_HOUR
        + row.integer(5) * MICROS_PER_MINUTE
        + (seconds * MICROS_PER_SECOND as f64).round_ties_even() as i64;
    Ok(Value::Interval(tessera_types::Interval {
        months: i32::try_from(months).map_err(|_| overflow())?,
        days: i32::try_from(days).map_err(|_| overflow())?,
        micros,
    }))
}
