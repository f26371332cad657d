//! Arithmetic of dates, times, timestamps and intervals.

use tessera_codec::key::{Order, encode_value};
use tessera_planner::functions::{Argument, FunctionRegistry, Returns, Scalar};
use tessera_types::{
    Decimal, FormatContext, Interval, Report, SqlType, Value, ValueRef, codes, datetime,
};

use super::rows::{evaluate, strict};
use crate::context::StatementExtension;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

pub(super) fn register(registry: &mut FunctionRegistry) {
    dates(registry);
    timestamps(registry);
    intervals(registry);
}

fn out_of_range(what: &str) -> Report {
    Report::error(
        codes::DATETIME_FIELD_OVERFLOW,
        format!("{what} out of range"),
    )
}

/// Adds an infix operator.
fn infix(
    registry: &mut FunctionRegistry,
    symbol: &str,
    left: SqlType,
    right: SqlType,
    returns: SqlType,
    function: fn(ValueRef<'_>, ValueRef<'_>) -> Result<Value, Report>,
) {
    registry.operator(strict(
        symbol,
        &[left, right],
        returns,
        move |values| match values {
            [left, right] => function(left.clone(), right.clone()),
            _ => Err(Report::internal("an infix operator takes two arguments")),
        },
    ));
}

fn mismatch() -> Report {
    Report::internal("an operator got values of other types than it asked for")
}

fn dates(registry: &mut FunctionRegistry) {
    use SqlType::{Date, Integer, Interval as IntervalType, Time, Timestamp};
    infix(registry, "+", Date, Integer, Date, |a, b| match (a, b) {
        (ValueRef::Date(d), ValueRef::Integer(n)) => add_days(d, i64::from(n)),
        _ => Err(mismatch()),
    });
    infix(registry, "+", Integer, Date, Date, |a, b| match (a, b) {
        (ValueRef::Integer(n), ValueRef::Date(d)) => add_days(d, i64::from(n)),
        _ => Err(mismatch()),
    });
    infix(registry, "-", Date, Integer, Date, |a, b| match (a, b) {
        (ValueRef::Date(d), ValueRef::Integer(n)) => add_days(d, -i64::from(n)),
        _ => Err(mismatch()),
    });
    infix(registry, "-", Date, Date, Integer, |a, b| match (a, b) {
        (ValueRef::Date(a), ValueRef::Date(b)) => {
            if is_infinite_date(a) || is_infinite_date(b) {
                return Err(Report::error(
                    codes::DATETIME_FIELD_OVERFLOW,
                    "cannot subtract infinite dates",
                ));
            }
            a.checked_sub(b)
                .map(Value::Integer)
                .ok_or_else(|| out_of_range("integer"))
        }
        _ => Err(mismatch()),
    });
    infix(
        registry,
        "+",
        Date,
        IntervalType,
        Timestamp,
        |a, b| match (a, b) {
            (ValueRef::Date(d), ValueRef::Interval(i)) => {
                add(date_start(d)?, i).map(Value::Timestamp)
            }
            _ => Err(mismatch()),
        },
    );
    infix(
        registry,
        "+",
        IntervalType,
        Date,
        Timestamp,
        |a, b| match (a, b) {
            (ValueRef::Interval(i), ValueRef::Date(d)) => {
                add(date_start(d)?, i).map(Value::Timestamp)
            }
            _ => Err(mismatch()),
        },
    );
    infix(
        registry,
        "-",
        Date,
        IntervalType,
        Timestamp,
        |a, b| match (a, b) {
            (ValueRef::Date(d), ValueRef::Interval(i)) => {
                add(date_start(d)?, negate(i)?).map(Value::Timestamp)
            }
            _ => Err(mismatch()),
        },
    );
    infix(registry, "+", Date, Time, Timestamp, |a, b| match (a, b) {
        (ValueRef::Date(d), ValueRef::Time(t)) => at_time(d, t),
        _ => Err(mismatch()),
    });
    infix(registry, "+", Time, Date, Timestamp, |a, b| match (a, b) {
        (ValueRef::Time(t), ValueRef::Date(d)) => at_time(d, t),
        _ => Err(mismatch()),
    });
}

fn at_time(date: i32, time: i64) -> Result<Value, Report> {
    let start = date_start(date)?;
    if is_infinite(start) {
        return Ok(Value::Timestamp(start));
    }
    start
        .checked_add(time)
        .map(Value::Timestamp)
        .ok_or_else(|| out_of_range("timestamp"))
}

fn is_infinite_date(date: i32) -> bool {
    date == i32::MAX || date == i32::MIN
}

fn is_infinite(micros: i64) -> bool {
    micros == i64::MAX || micros == i64::MIN
}

fn add_days(date: i32, days: i64) -> Result<Value, Report> {
    if is_infinite_date(date) {
        return Ok(Value::Date(date));
    }
    let sum = i64::from(date) + days;
    i32::try_from(sum)
        .ok()
        .filter(|_| datetime::date_in_range(sum))
        .map(Value::Date)
        .ok_or_else(|| out_of_range("date"))
}

/// Midnight of a date.
fn date_start(date: i32) -> Result<i64, Report> {
    match date {
        i32::MAX => Ok(i64::MAX),
        i32::MIN => Ok(i64::MIN),
        date => i64::from(date)
            .checked_mul(DAY)
            .filter(|micros| datetime::timestamp_in_range(*micros))
            .ok_or_else(|| {
                Report::error(
                    codes::DATETIME_FIELD_OVERFLOW,
                    "date out of range for timestamp",
                )
            }),
    }
}

fn negate(interval: Interval) -> Result<Interval, Report> {
    interval
        .checked_neg()
        .ok_or_else(|| out_of_range("interval"))
}

fn add(micros: i64, interval: Interval) -> Result<i64, Report> {
    if is_infinite(micros) {
        return Ok(micros);
    }
    datetime::add_interval(micros, interval).ok_or_else(|| out_of_range("timestamp"))
}

fn timestamps(registry: &mut FunctionRegistry) {
    use SqlType::{Interval as IntervalType, Time, Timestamp, TimestampTz};
    infix(
        registry,
        "+",
        Timestamp,
        IntervalType,
        Timestamp,
        |a, b| match (a, b) {
            (ValueRef::Timestamp(t), ValueRef::Interval(i)) => add(t, i).map(Value::Timestamp),
            _ => Err(mismatch()),
        },
    );
    infix(
        registry,
        "+",
        IntervalType,
        Timestamp,
        Timestamp,
        |a, b| match (a, b) {
            (ValueRef::Interval(i), ValueRef::Timestamp(t)) => add(t, i).map(Value::Timestamp),
            _ => Err(mismatch()),
        },
    );
    infix(
        registry,
        "-",
        Timestamp,
        IntervalType,
        Timestamp,
        |a, b| match (a, b) {
            (ValueRef::Timestamp(t), ValueRef::Interval(i)) => {
                add(t, negate(i)?).map(Value::Timestamp)
            }
            _ => Err(mismatch()),
        },
    );
    infix(
        registry,
        "-",
        Timestamp,
        Timestamp,
        IntervalType,
        |a, b| match (a, b) {
            (ValueRef::Timestamp(a), ValueRef::Timestamp(b)) => difference(a, b),
            _ => Err(mismatch()),
        },
    );
    infix(
        registry,
        "-",
        TimestampTz,
        TimestampTz,
        IntervalType,
        |a, b| match (a, b) {
            (ValueRef::TimestampTz(a), ValueRef::TimestampTz(b)) => difference(a, b),
            _ => Err(mismatch()),
        },
    );
    infix(registry, "-", Time, Time, IntervalType, |a, b| {
        match (a, b) {
            (ValueRef::Time(a), ValueRef::Time(b)) => Ok(Value::Interval(Interval {
                months: 0,
                days: 0,
                micros: a - b,
            })),
            _ => Err(mismatch()),
        }
    });
    infix(registry, "+", Time, IntervalType, Time, |a, b| {
        match (a, b) {
            (ValueRef::Time(t), ValueRef::Interval(i)) => Ok(clock(t, i.micros)),
            _ => Err(mismatch()),
        }
    });
    infix(registry, "+", IntervalType, Time, Time, |a, b| {
        match (a, b) {
            (ValueRef::Interval(i), ValueRef::Time(t)) => Ok(clock(t, i.micros)),
            _ => Err(mismatch()),
        }
    });
    infix(registry, "-", Time, IntervalType, Time, |a, b| {
        match (a, b) {
            (ValueRef::Time(t), ValueRef::Interval(i)) => {
                Ok(clock(t, (i.micros % DAY).wrapping_neg()))
            }
            _ => Err(mismatch()),
        }
    });
    // A day may have 23 or 25 hours in the session's time zone.
    zoned(
        registry,
        "+",
        [TimestampTz, IntervalType],
        |values, format| match values {
            [ValueRef::TimestampTz(t), ValueRef::Interval(i)] => add_zoned(*t, *i, format),
            _ => Err(mismatch()),
        },
    );
    zoned(
        registry,
        "+",
        [IntervalType, TimestampTz],
        |values, format| match values {
            [ValueRef::Interval(i), ValueRef::TimestampTz(t)] => add_zoned(*t, *i, format),
            _ => Err(mismatch()),
        },
    );
    zoned(
        registry,
        "-",
        [TimestampTz, IntervalType],
        |values, format| match values {
            [ValueRef::TimestampTz(t), ValueRef::Interval(i)] => add_zoned(*t, negate(*i)?, format),
            _ => Err(mismatch()),
        },
    );
}

fn zoned(
    registry: &mut FunctionRegistry,
    symbol: &str,
    arguments: [SqlType; 2],
    function: fn(&[ValueRef<'_>], &FormatContext) -> Result<Value, Report>,
) {
    let arguments = arguments.map(Argument::Exact);
    let returns = Returns::Exact(SqlType::TimestampTz);
    let scalar = Scalar::new(symbol, arguments, returns, move |args| {
        let format = match StatementExtension::of(&args.config_options) {
            Some(extension) => *extension.statement.session.format,
            None => FormatContext::default(),
        };
        evaluate(&args, |values| {
            if values.iter().any(ValueRef::is_null) {
                return Ok(Value::Null);
            }
            function(values, &format)
        })
    });
    registry.operator(scalar.stable());
}

fn add_zoned(micros: i64, interval: Interval, format: &FormatContext) -> Result<Value, Report> {
    if is_infinite(micros) {
        return Ok(Value::TimestampTz(micros));
    }
    datetime::add_interval_in_zone(micros, interval, &format.time_zone)
        .map(Value::TimestampTz)
        .ok_or_else(|| out_of_range("timestamp"))
}

/// Days and time between two moments.
fn difference(a: i64, b: i64) -> Result<Value, Report> {
    if is_infinite(a) || is_infinite(b) {
        return Err(Report::error(
            codes::DATETIME_FIELD_OVERFLOW,
            "cannot subtract infinite timestamps",
        ));
    }
    let micros = a.checked_sub(b).ok_or_else(|| out_of_range("interval"))?;
    let days = i32::try_from(micros / DAY).map_err(|_| out_of_range("interval"))?;
    Ok(Value::Interval(Interval {
        months: 0,
        days,
        micros: micros % DAY,
    }))
}

/// A time of day, moved round the clock.
fn clock(time: i64, by: i64) -> Value {
    Value::Time((time + by % DAY).rem_euclid(DAY))
}

fn intervals(registry: &mut FunctionRegistry) {
    use SqlType::{Double, Interval as IntervalType};
    infix(
        registry,
        "+",
        IntervalType,
        IntervalType,
        IntervalType,
        |a, b| match (a, b) {
            (ValueRef::Interval(a), ValueRef::Interval(b)) => a
                .checked_add(b)
                .map(Value::Interval)
                .ok_or_else(|| out_of_range("interval")),
            _ => Err(mismatch()),
        },
    );
    infix(
        registry,
        "-",
        IntervalType,
        IntervalType,
        IntervalType,
        |a, b| match (a, b) {
            (ValueRef::Interval(a), ValueRef::Interval(b)) => {
                let b = negate(b)?;
                a.checked_add(b)
                    .map(Value::Interval)
                    .ok_or_else(|| out_of_range("interval"))
            }
            _ => Err(mismatch()),
        },
    );
    infix(
        registry,
        "*",
        IntervalType,
        Double,
        IntervalType,
        |a, b| match (a, b) {
            (ValueRef::Interval(i), ValueRef::Double(x)) => scale(i, x).map(Value::Interval),
            _ => Err(mismatch()),
        },
    );
    infix(
        registry,
        "*",
        Double,
        IntervalType,
        IntervalType,
        |a, b| match (a, b) {
            (ValueRef::Double(x), ValueRef::Interval(i)) => scale(i, x).map(Value::Interval),
            _ => Err(mismatch()),
        },
    );
    infix(
        registry,
        "/",
        IntervalType,
        Double,
        IntervalType,
        |a, b| match (a, b) {
            (ValueRef::Interval(_), ValueRef::Double(x)) if x == 0.0 => {
                Err(tessera_planner::errors::division_by_zero())
            }
            (ValueRef::Interval(i), ValueRef::Double(x)) => scale(i, 1.0 / x).map(Value::Interval),
            _ => Err(mismatch()),
        },
    );
    registry.operator(strict(
        "-",
        &[IntervalType],
        IntervalType,
        |values| match values {
            [ValueRef::Interval(i)] => negate(*i).map(Value::Interval),
            _ => Err(mismatch()),
        },
    ));
    // What jsonb is compared by: 1 equals 1.0, and an object is more than an array.
    registry.operator(strict(
        "jsonb_key",
        &[SqlType::Jsonb],
        SqlType::Bytea,
        |values| match values {
            [value @ ValueRef::Json(_)] => {
                let mut key = Vec::new();
                encode_value(value.clone(), Order::ASCENDING, &mut key);
                Ok(Value::from(key))
            }
            _ => Err(mismatch()),
        },
    ));
    let key = SqlType::Numeric(Some((38, 0)));
    registry.operator(strict(
        "interval_key",
        &[IntervalType],
        key,
        |values| match values {
            [ValueRef::Interval(i)] => Ok(Value::Numeric(Decimal {
                unscaled: i.comparison_micros(),
                scale: 0,
            })),
            _ => Err(mismatch()),
        },
    ));
}

/// An interval times a number: fractions of months go to days, of days to time.
fn scale(interval: Interval, factor: f64) -> Result<Interval, Report> {
    let whole = |x: f64| -> Result<i32, Report> {
        if x.is_finite() && x.abs() <= f64::from(i32::MAX) {
            Ok(x as i32)
        } else {
            Err(out_of_range("interval"))
        }
    };
    let months = f64::from(interval.months) * factor;
    let days = f64::from(interval.days) * factor;
    let month_days = round_micro((months - months.trunc()) * 30.0);
    let mut seconds =
        round_micro((days - days.trunc() + month_days - month_days.trunc()) * 86_400.0);
    let mut day_carry = 0.0;
    if seconds.abs() >= 86_400.0 {
        day_carry = (seconds / 86_400.0).trunc();
        seconds -= day_carry * 86_400.0;
    }
    let total_days = days.trunc() + month_days.trunc() + day_carry;
    let micros = (interval.micros as f64 * factor + seconds * 1_000_000.0).round();
    if !micros.is_finite() || micros.abs() >= 9.2e18 {
        return Err(out_of_range("interval"));
    }
    Ok(Interval {
        months: whole(months)?,
        days: whole(total_days)?,
        micros: micros as i64,
    })
}

/// To microseconds, so that 0.1 * 30 is 3 days.
fn round_micro(x: f64) -> f64 {
    (x * 1_000_000.0).round() / 1_000_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_of_intervals_carry_down() {
        let month = Interval {
            months: 1,
            days: 0,
            micros: 0,
        };
        let half = scale(month, 0.5).expect("in range");
        assert_eq!((half.months, half.days, half.micros), (0, 15, 0));
        let day = Interval {
            months: 0,
            days: 1,
            micros: 0,
        };
        let third = scale(day, 1.5).expect("in range");
        assert_eq!((third.days, third.micros), (1, DAY / 2));
    }
}
