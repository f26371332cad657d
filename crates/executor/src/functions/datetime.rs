//! Functions on dates, times and intervals.

mod field;
mod make;
mod truncate;

use tessera_planner::functions::{Argument, FunctionRegistry, Returns, Scalar};
use tessera_types::SqlType::{Date, Interval, Text, Time, Timestamp, TimestampTz};
use tessera_types::datetime::{
    self, Civil, MICROS_PER_DAY, TIMESTAMP_INFINITY, TIMESTAMP_NEGATIVE_INFINITY,
};
use tessera_types::{Report, SqlType, TimeZone, Value, ValueRef, codes};

use super::kernel::{Row, RowResult, function, lenient, strict};

/// Adds them.
pub(super) fn register(registry: &mut FunctionRegistry) {
    clocks(registry);
    zones(registry);
    ages(registry);
    field::register(registry);
    truncate::register(registry);
    make::register(registry);
}

/// 22008
fn out_of_range(what: &str) -> Report {
    Report::error(
        codes::DATETIME_FIELD_OVERFLOW,
        format!("{what} out of range"),
    )
}

fn is_infinite(micros: i64) -> bool {
    micros == TIMESTAMP_INFINITY || micros == TIMESTAMP_NEGATIVE_INFINITY
}

/// A function that reads the session or the clock.
fn stable<const N: usize>(
    registry: &mut FunctionRegistry,
    name: &str,
    arguments: [SqlType; N],
    returns: SqlType,
    body: impl Fn(&Row<'_>) -> RowResult + Send + Sync + 'static,
) {
    let arguments = arguments.into_iter().map(Argument::Exact);
    registry.scalar(Scalar::new(name, arguments, Returns::Exact(returns), strict(body)).stable());
}

fn clocks(r: &mut FunctionRegistry) {
    for name in ["now", "current_timestamp", "transaction_timestamp"] {
        stable(r, name, [], TimestampTz, |row| {
            Ok(Value::TimestampTz(row.statement()?.transaction_micros))
        });
    }
    stable(r, "statement_timestamp", [], TimestampTz, |row| {
        Ok(Value::TimestampTz(row.statement()?.statement_micros))
    });
    let clock = |_: &Row<'_>| Ok(Value::TimestampTz(wall_clock()));
    r.scalar(
        Scalar::new(
            "clock_timestamp",
            [],
            Returns::Exact(TimestampTz),
            lenient(clock),
        )
        .volatile(),
    );
    let local = |row: &Row<'_>| -> Result<i64, Report> {
        let micros = row.statement()?.transaction_micros;
        datetime::utc_to_local(micros, &row.format().time_zone)
            .ok_or_else(|| out_of_range("timestamp"))
    };
    stable(r, "localtimestamp", [], Timestamp, move |row| {
        local(row).map(Value::Timestamp)
    });
    stable(r, "current_date", [], Date, move |row| date_of(local(row)?));
    stable(r, "localtime", [], Time, move |row| {
        Ok(Value::Time(local(row)?.rem_euclid(MICROS_PER_DAY)))
    });
    stable(r, "timeofday", [], Text, |row| {
        let format = tessera_types::FormatContext {
            date_style: tessera_types::DateStyle {
                format: tessera_types::DateStyleFormat::Postgres,
                ..tessera_types::DateStyle::default()
            },
            ..row.format()
        };
        let now = ValueRef::TimestampTz(wall_clock());
        Ok(Value::from(tessera_types::text::to_string(
            now,
            &TimestampTz,
            &format,
        )))
    });
}

/// The time now. The clock of the machine, because the function promises just that.
fn wall_clock() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

fn date_of(local: i64) -> RowResult {
    i32::try_from(local.div_euclid(MICROS_PER_DAY))
        .map(Value::Date)
        .map_err(|_| out_of_range("date"))
}

fn zones(r: &mut FunctionRegistry) {
    let named =
        |row: &Row<'_>| -> Result<TimeZone, Report> { Ok(row.text(0).parse::<TimeZone>()?) };
    let offset = |row: &Row<'_>| -> Result<TimeZone, Report> {
        let interval = row.interval(0);
        if interval.months != 0 || interval.days != 0 {
            let text =
                tessera_types::text::to_string(row.value(0).clone(), &Interval, &row.format());
            return Err(super::kernel::invalid(format!(
                "interval time zone \"{text}\" must not include months or days"
            )));
        }
        let seconds = i32::try_from(interval.micros / datetime::MICROS_PER_SECOND);
        seconds
            .map(TimeZone::Fixed)
            .map_err(|_| out_of_range("interval"))
    };
    let to_utc = |zone: TimeZone, row: &Row<'_>| {
        let utc = datetime::local_to_utc(row.micros(1), &zone);
        utc.map(Value::TimestampTz)
            .ok_or_else(|| out_of_range("timestamp"))
    };
    let to_local = |zone: TimeZone, row: &Row<'_>| {
        let local = datetime::utc_to_local(row.micros(1), &zone);
        local
            .map(Value::Timestamp)
            .ok_or_else(|| out_of_range("timestamp"))
    };
    function(r, "timezone", [Text, Timestamp], TimestampTz, move |row| {
        to_utc(named(row)?, row)
    });
    function(r, "timezone", [Text, TimestampTz], Timestamp, move |row| {
        to_local(named(row)?, row)
    });
    function(
        r,
        "timezone",
        [Interval, Timestamp],
        TimestampTz,
        move |row| to_utc(offset(row)?, row),
    );
    function(
        r,
        "timezone",
        [Interval, TimestampTz],
        Timestamp,
        move |row| to_local(offset(row)?, row),
    );
    for ty in [Date, Timestamp, TimestampTz] {
        function(r, "isfinite", [ty], SqlType::Boolean, |row| {
            Ok(Value::Boolean(match row.value(0) {
                ValueRef::Date(days) => {
                    *days != datetime::DATE_INFINITY && *days != datetime::DATE_NEGATIVE_INFINITY
                }
                _ => !is_infinite(row.micros(0)),
            }))
        });
    }
    function(r, "isfinite", [Interval], SqlType::Boolean, |_| {
        Ok(Value::Boolean(true))
    });
}

fn ages(r: &mut FunctionRegistry) {
    function(r, "age", [Timestamp, Timestamp], Interval, |row| {
        age(row.micros(0), row.micros(1))
    });
    stable(r, "age", [TimestampTz, TimestampTz], Interval, |row| {
        let zone = row.format().time_zone;
        let local = |index| {
            datetime::utc_to_local(row.micros(index), &zone)
                .ok_or_else(|| out_of_range("timestamp"))
        };
        age(local(0)?, local(1)?)
    });
    let today = |row: &Row<'_>| -> Result<i64, Report> {
        let now = row.statement()?.transaction_micros;
        let local = datetime::utc_to_local(now, &row.format().time_zone)
            .ok_or_else(|| out_of_range("timestamp"))?;
        Ok(local - local.rem_euclid(MICROS_PER_DAY))
    };
    stable(r, "age", [Timestamp], Interval, move |row| {
        age(today(row)?, row.micros(0))
    });
    stable(r, "age", [TimestampTz], Interval, move |row| {
        let zone = row.format().time_zone;
        let local = datetime::utc_to_local(row.micros(0), &zone)
            .ok_or_else(|| out_of_range("timestamp"))?;
        age(today(row)?, local)
    });
}

/// PostgreSQL's `timestamp_age`: years, months and days of the calendar between two local times.
fn age(a: i64, b: i64) -> RowResult {
    if is_infinite(a) || is_infinite(b) {
        return Err(out_of_range("interval"));
    }
    let negative = a < b;
    let (later, earlier) = if negative { (b, a) } else { (a, b) };
    let (x, y) = (Civil::from_micros(later), Civil::from_micros(earlier));
    let mut micros = x.time_micros() - y.time_micros();
    let mut days = i64::from(x.day) - i64::from(y.day);
    let mut months =
        (i64::from(x.year) - i64::from(y.year)) * 12 + i64::from(x.month) - i64::from(y.month);
    if micros < 0 {
        micros += MICROS_PER_DAY;
        days -= 1;
    }
    while days < 0 {
        // Days are borrowed from the month of the earlier time; of the later one in a negative age.
        let month = if negative {
            (x.year, x.month)
        } else {
            (y.year, y.month)
        };
        let month = if negative {
            (a_month(a).0, a_month(a).1)
        } else {
            month
        };
        days += i64::from(datetime::days_in_month(month.0, month.1));
        months -= 1;
    }
    let sign = if negative { -1 } else { 1 };
    let narrow = |value: i64| i32::try_from(value * sign).map_err(|_| out_of_range("interval"));
    Ok(Value::Interval(tessera_types::Interval {
        months: narrow(months)?,
        days: narrow(days)?,
        micros: micros * sign,
    }))
}

fn a_month(micros: i64) -> (i32, u32) {
    let civil = Civil::from_micros(micros);
    (civil.year, civil.month)
}
