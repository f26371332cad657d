//! `extract` and `date_part`: one field of a date, time or interval.

use tessera_planner::decimals::numeric_overflow;
use tessera_planner::functions::FunctionRegistry;
use tessera_types::SqlType::{Date, Double, Interval, Numeric, Text, Time, Timestamp, TimestampTz};
use tessera_types::datetime::{self, Civil, MICROS_PER_DAY, MICROS_PER_SECOND};
use tessera_types::{Decimal, Report, SqlType, Value, ValueRef, codes};

use super::super::kernel::{Row, RowResult, invalid};
use super::{is_infinite, out_of_range, stable};

/// A field that can be taken out, or that a value can be cut to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Microseconds,
    Milliseconds,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    Dow,
    IsoDow,
    Doy,
    IsoYear,
    Epoch,
    Julian,
    Timezone,
    TimezoneHour,
    TimezoneMinute,
}

impl Unit {
    pub(super) fn parse(text: &str, ty: &SqlType) -> Result<Unit, Report> {
        let word = text.to_ascii_lowercase();
        Ok(match word.as_str() {
            "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecond" | "microseconds" => {
                Unit::Microseconds
            }
            "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecond" | "milliseconds" => {
                Unit::Milliseconds
            }
            "s" | "sec" | "secs" | "second" | "seconds" => Unit::Second,
            "m" | "min" | "mins" | "minute" | "minutes" => Unit::Minute,
            "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Hour,
            "d" | "day" | "days" => Unit::Day,
            "w" | "week" | "weeks" => Unit::Week,
            "mon" | "mons" | "month" | "months" => Unit::Month,
            "qtr" | "quarter" => Unit::Quarter,
            "y" | "yr" | "yrs" | "year" | "years" => Unit::Year,
            "dec" | "decs" | "decade" | "decades" => Unit::Decade,
            "c" | "cent" | "century" | "centuries" => Unit::Century,
            "mil" | "mils" | "millennia" | "millennium" => Unit::Millennium,
            "dow" => Unit::Dow,
            "isodow" => Unit::IsoDow,
            "doy" => Unit::Doy,
            "isoyear" => Unit::IsoYear,
            "epoch" => Unit::Epoch,
            "j" | "jd" | "julian" => Unit::Julian,
            "timezone" => Unit::Timezone,
            "timezone_h" | "timezone_hour" => Unit::TimezoneHour,
            "timezone_m" | "timezone_minute" => Unit::TimezoneMinute,
            _ => {
                return Err(invalid(format!(
                    "unit \"{word}\" not recognized for type {ty}"
                )));
            }
        })
    }
}

pub(super) fn unsupported(unit: &str, ty: &SqlType) -> Report {
    Report::error(
        codes::FEATURE_NOT_SUPPORTED,
        format!(
            "unit \"{}\" not supported for type {ty}",
            unit.to_ascii_lowercase()
        ),
    )
}

/// Adds them.
pub(super) fn register(r: &mut FunctionRegistry) {
    for ty in [Date, Time, Timestamp, TimestampTz, Interval] {
        stable(
            r,
            "extract",
            [Text, ty.clone()],
            Numeric(None),
            |row| match field(row)? {
                Some(Field::Exact(value)) => Ok(Value::Numeric(value)),
                // Our numeric has no infinity.
                Some(Field::Infinite(_)) => Err(numeric_overflow()),
                None => Ok(Value::Null),
            },
        );
        if ty == Date {
            // As in PostgreSQL, where it is a SQL function over timestamp.
            stable(r, "date_part", [Text, ty], Double, date_part);
        } else {
            stable(r, "date_part", [Text, ty], Double, date_part);
        }
    }
}

fn date_part(row: &Row<'_>) -> RowResult {
    Ok(match field(row)? {
        Some(Field::Exact(value)) => Value::Double(value.to_f64()),
        Some(Field::Infinite(value)) => Value::Double(value),
        None => Value::Null,
    })
}

enum Field {
    Exact(Decimal),
    Infinite(f64),
}

fn whole(value: i64) -> Result<Option<Field>, Report> {
    Ok(Some(Field::Exact(Decimal::from(value))))
}

fn scaled(value: i64, scale: u8) -> Result<Option<Field>, Report> {
    Ok(Some(Field::Exact(Decimal {
        unscaled: i128::from(value),
        scale,
    })))
}

fn field(row: &Row<'_>) -> Result<Option<Field>, Report> {
    let name = row.text(0);
    match row.value(1) {
        ValueRef::Date(days) => {
            let micros = match *days {
                datetime::DATE_INFINITY => datetime::TIMESTAMP_INFINITY,
                datetime::DATE_NEGATIVE_INFINITY => datetime::TIMESTAMP_NEGATIVE_INFINITY,
                days => {
                    let unit = Unit::parse(name, &Date)?;
                    if is_clock(unit) {
                        return Err(unsupported(name, &Date));
                    }
                    let (year, month, day) = datetime::civil_from_days(i64::from(days));
                    let civil = Civil {
                        year,
                        month,
                        day,
                        ..Civil::default()
                    };
                    return match unit {
                        Unit::Epoch => whole(i64::from(days) * 86_400),
                        Unit::Julian => whole(i64::from(days) - i64::from(datetime::DATE_MIN)),
                        unit => calendar(unit, &civil, i64::from(days)),
                    };
                }
            };
            moment(name, micros, None, &Date)
        }
        ValueRef::Timestamp(micros) => moment(name, *micros, None, &Timestamp),
        ValueRef::TimestampTz(micros) => {
            let zone = row.format().time_zone;
            moment(
                name,
                *micros,
                Some(zone.offset_at_utc(*micros)),
                &TimestampTz,
            )
        }
        ValueRef::Time(micros) => time(name, *micros),
        ValueRef::Interval(interval) => span(name, interval),
        _ => Ok(None),
    }
}

fn is_clock(unit: Unit) -> bool {
    use Unit::{
        Hour, Microseconds, Milliseconds, Minute, Second, Timezone, TimezoneHour, TimezoneMinute,
    };
    matches!(
        unit,
        Microseconds
            | Milliseconds
            | Second
            | Minute
            | Hour
            | Timezone
            | TimezoneHour
            | TimezoneMinute
    )
}

/// A field of a timestamp; `offset` is that of a timestamptz in the session's zone, in seconds.
fn moment(
    name: &str,
    micros: i64,
    offset: Option<i32>,
    ty: &SqlType,
) -> Result<Option<Field>, Report> {
    let unit = Unit::parse(name, ty)?;
    if is_infinite(micros) {
        use Unit::{Century, Decade, Epoch, IsoYear, Julian, Millennium, Year};
        let grows = matches!(
            unit,
            Year | Decade | Century | Millennium | IsoYear | Epoch | Julian
        );
        let value = if micros > 0 {
            f64::INFINITY
        } else {
            f64::NEG_INFINITY
        };
        return Ok(grows.then_some(Field::Infinite(value)));
    }
    let seconds = i64::from(offset.unwrap_or(0));
    match (unit, offset) {
        (Unit::Timezone, Some(_)) => return whole(seconds),
        (Unit::TimezoneHour, Some(_)) => return whole(seconds / 3600),
        (Unit::TimezoneMinute, Some(_)) => return whole(seconds % 3600 / 60),
        (Unit::Timezone | Unit::TimezoneHour | Unit::TimezoneMinute, None) => {
            return Err(unsupported(name, ty));
        }
        (Unit::Epoch, _) => return scaled(micros, 6),
        _ => {}
    }
    let local = micros
        .checked_add(seconds * MICROS_PER_SECOND)
        .ok_or_else(|| out_of_range("timestamp"))?;
    let civil = Civil::from_micros(local);
    let days = local.div_euclid(MICROS_PER_DAY);
    if unit == Unit::Julian {
        let day = Decimal::from(days - i64::from(datetime::DATE_MIN));
        let part = Decimal::from(civil.time_micros())
            .checked_div(Decimal::from(MICROS_PER_DAY))
            .map_err(|error| error.report())?;
        let sum = day.checked_add(part).ok_or_else(numeric_overflow)?;
        return Ok(Some(Field::Exact(sum)));
    }
    match clock(unit, civil.time_micros())? {
        Some(field) => Ok(Some(field)),
        None => calendar(unit, &civil, days),
    }
}

fn clock(unit: Unit, micros: i64) -> Result<Option<Field>, Report> {
    match unit {
        Unit::Microseconds => whole(micros % datetime::MICROS_PER_MINUTE),
        Unit::Milliseconds => scaled(micros % datetime::MICROS_PER_MINUTE, 3),
        Unit::Second => scaled(micros % datetime::MICROS_PER_MINUTE, 6),
        Unit::Minute => whole(micros / datetime::MICROS_PER_MINUTE % 60),
        Unit::Hour => whole(micros / datetime::MICROS_PER_HOUR),
        _ => Ok(None),
    }
}

fn calendar(unit: Unit, civil: &Civil, days: i64) -> Result<Option<Field>, Report> {
    let year = i64::from(civil.year);
    // There is no year zero: what counts as 0 inside is 1 BC.
    let shown = |year: i64| if year > 0 { year } else { year - 1 };
    let (iso_year, iso_week) = datetime::iso_week(days);
    match unit {
        Unit::Day => whole(civil.day.into()),
        Unit::Month => whole(civil.month.into()),
        Unit::Quarter => whole(i64::from((civil.month - 1) / 3 + 1)),
        Unit::Year => whole(shown(year)),
        Unit::Decade => whole(if year >= 0 {
            year / 10
        } else {
            -((8 - (year - 1)) / 10)
        }),
        Unit::Century => whole(if year > 0 {
            (year + 99) / 100
        } else {
            -((99 - (year - 1)) / 100)
        }),
        Unit::Millennium => whole(if year > 0 {
            (year + 999) / 1000
        } else {
            -((999 - (year - 1)) / 1000)
        }),
        Unit::Week => whole(iso_week.into()),
        Unit::IsoYear => whole(shown(iso_year.into())),
        Unit::Dow => whole(datetime::weekday(days).into()),
        Unit::IsoDow => whole(match datetime::weekday(days) {
            0 => 7,
            day => i64::from(day),
        }),
        Unit::Doy => whole(datetime::day_of_year(civil.year, civil.month, civil.day).into()),
        _ => Ok(None),
    }
}

fn time(name: &str, micros: i64) -> Result<Option<Field>, Report> {
    let unit = Unit::parse(name, &Time)?;
    if unit == Unit::Epoch {
        return scaled(micros, 6);
    }
    clock(unit, micros)?
        .map(Some)
        .ok_or_else(|| unsupported(name, &Time))
}

fn span(name: &str, interval: &tessera_types::Interval) -> Result<Option<Field>, Report> {
    let (months, days, micros) = (
        i64::from(interval.months),
        i64::from(interval.days),
        interval.micros,
    );
    match Unit::parse(name, &Interval)? {
        Unit::Epoch => {
            // A year is 365.25 days, a month 30.
            let quarter_days = months / 12 * 1461 + (months % 12 * 30 + days) * 4;
            let unscaled =
                i128::from(quarter_days) * i128::from(MICROS_PER_DAY / 4) + i128::from(micros);
            Ok(Some(Field::Exact(Decimal { unscaled, scale: 6 })))
        }
        Unit::Millennium => whole(months / 12 / 1000),
        Unit::Century => whole(months / 12 / 100),
        Unit::Decade => whole(months / 12 / 10),
        Unit::Year => whole(months / 12),
        Unit::Quarter => whole(months % 12 / 3 + 1),
        Unit::Month => whole(months % 12),
        Unit::Day => whole(days),
        unit => clock(unit, micros)?
            .map(Some)
            .ok_or_else(|| unsupported(name, &Interval)),
    }
}
