//! Calendar arithmetic on plain integers: days and microseconds since 1970-01-01, proleptic Gregorian.
//!
//! Years are astronomical (year 0 is 1 BC), as PostgreSQL counts inside. Timestamps end in the year
//! 294247: later ones, which PostgreSQL keeps up to 294276, do not fit 64 bits counted from 1970.

use crate::interval::Interval;

/// A day count that means `infinity`.
pub const DATE_INFINITY: i32 = i32::MAX;
/// A day count that means `-infinity`.
pub const DATE_NEGATIVE_INFINITY: i32 = i32::MIN;
/// A microsecond count that means `infinity`.
pub const TIMESTAMP_INFINITY: i64 = i64::MAX;
/// A microsecond count that means `-infinity`.
pub const TIMESTAMP_NEGATIVE_INFINITY: i64 = i64::MIN;

/// 4714-11-24 BC, the Julian day 0.
pub const DATE_MIN: i32 = -2_440_588;
/// 5874897-12-31
pub const DATE_MAX: i32 = 2_145_042_905;
/// 4714-11-24 00:00:00 BC
pub const TIMESTAMP_MIN: i64 = DATE_MIN as i64 * MICROS_PER_DAY;
/// The last moment of a whole microsecond below `infinity`.
pub const TIMESTAMP_MAX: i64 = i64::MAX - 1;

/// Microseconds of a second.
pub const MICROS_PER_SECOND: i64 = 1_000_000;
/// Microseconds of a minute.
pub const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
/// Microseconds of an hour.
pub const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;
/// Microseconds of a day of 24 hours.
pub const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;
/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL's binary format begins.
pub const POSTGRES_EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
pub const POSTGRES_EPOCH_MICROS: i64 = POSTGRES_EPOCH_DAYS as i64 * MICROS_PER_DAY;

/// Month names, January first.
pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// Day names, Sunday first.
pub const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// A moment as a calendar and a clock show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Civil {
    /// Astronomical year: 0 is 1 BC.
    pub year: i32,
    /// 1 to 12
    pub month: u32,
    /// 1 to 31
    pub day: u32,
    /// 0 to 23
    pub hour: u32,
    /// 0 to 59
    pub minute: u32,
    /// 0 to 59
    pub second: u32,
    /// 0 to 999,999
    pub micro: u32,
}

impl Civil {
    /// Splits microseconds since 1970 (not an infinity).
    pub fn from_micros(micros: i64) -> Civil {
        let days = micros.div_euclid(MICROS_PER_DAY);
        let (year, month, day) = civil_from_days(days);
        let time = micros.rem_euclid(MICROS_PER_DAY);
        let (hour, minute, second, micro) = split_time(time);
        Civil {
            year,
            month,
            day,
            hour,
            minute,
            second,
            micro,
        }
    }

    /// Microseconds since 1970; None out of a timestamp's range.
    pub fn to_micros(&self) -> Option<i64> {
        let days = days_from_civil(self.year, self.month, self.day);
        let time = time_micros(self.hour, self.minute, self.second, self.micro);
        let micros = days.checked_mul(MICROS_PER_DAY)?.checked_add(time)?;
        timestamp_in_range(micros).then_some(micros)
    }

    /// Microseconds since midnight.
    pub fn time_micros(&self) -> i64 {
        time_micros(self.hour, self.minute, self.second, self.micro)
    }
}

/// Whether a finite timestamp is one that is supported.
pub fn timestamp_in_range(micros: i64) -> bool {
    (TIMESTAMP_MIN..=TIMESTAMP_MAX).contains(&micros)
}

/// Whether a finite day count is one that is supported.
pub fn date_in_range(days: i64) -> bool {
    (i64::from(DATE_MIN)..=i64::from(DATE_MAX)).contains(&days)
}

/// Microseconds since midnight.
pub fn time_micros(hour: u32, minute: u32, second: u32, micro: u32) -> i64 {
    i64::from(hour) * MICROS_PER_HOUR
        + i64::from(minute) * MICROS_PER_MINUTE
        + i64::from(second) * MICROS_PER_SECOND
        + i64::from(micro)
}

/// Hour, minute, second, microsecond of a time of day (0 to 24:00).
pub fn split_time(micros: i64) -> (u32, u32, u32, u32) {
    let part = |value: i64| u32::try_from(value).unwrap_or(0);
    (
        part(micros / MICROS_PER_HOUR),
        part(micros / MICROS_PER_MINUTE % 60),
        part(micros / MICROS_PER_SECOND % 60),
        part(micros % MICROS_PER_SECOND),
    )
}

/// Whether February has 29 days.
pub fn is_leap_year(year: i32) -> bool {
    year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
}

/// Days of a month (1 to 12).
pub fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap_year(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
pub fn days_from_civil(year: i32, month: u32, day: u32) -> i64 {
    let year = i64::from(year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a day count (same source).
pub fn civil_from_days(days: i64) -> (i32, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let small = |value: i64| u32::try_from(value).unwrap_or(1);
    (
        i32::try_from(year).unwrap_or(i32::MAX),
        small(month),
        small(day),
    )
}

/// Day of the week, Sunday is 0.
pub fn weekday(days: i64) -> u32 {
    u32::try_from((days + 4).rem_euclid(7)).unwrap_or(0)
}

/// Day of the year, from 1.
pub fn day_of_year(year: i32, month: u32, day: u32) -> u32 {
    u32::try_from(days_from_civil(year, month, day) - days_from_civil(year, 1, 1) + 1).unwrap_or(1)
}

/// ISO 8601 year and week of a day.
pub fn iso_week(days: i64) -> (i32, u32) {
    // The week belongs to the year of its Thursday.
    let monday = days - (days + 3).rem_euclid(7);
    let (year, _, _) = civil_from_days(monday + 3);
    let first = days_from_civil(year, 1, 4);
    let first_monday = first - (first + 3).rem_euclid(7);
    (
        year,
        u32::try_from((monday - first_monday) / 7 + 1).unwrap_or(1),
    )
}

/// The Monday of an ISO week.
pub fn days_from_iso_week(year: i32, week: i32) -> i64 {
    let first = days_from_civil(year, 1, 4);
    first - (first + 3).rem_euclid(7) + (i64::from(week) - 1) * 7
}

/// `timestamp + interval`: months first (the day is cut to the month's length), then days, then time.
/// None out of range; infinities stay.
pub fn add_interval(micros: i64, interval: Interval) -> Option<i64> {
    if micros == TIMESTAMP_INFINITY || micros == TIMESTAMP_NEGATIVE_INFINITY {
        return Some(micros);
    }
    let mut days = micros.div_euclid(MICROS_PER_DAY);
    let time = micros.rem_euclid(MICROS_PER_DAY);
    if interval.months != 0 {
        days = add_months(days, interval.months)?;
    }
    days = days.checked_add(i64::from(interval.days))?;
    let sum = days
        .checked_mul(MICROS_PER_DAY)?
        .checked_add(time)?
        .checked_add(interval.micros)?;
    timestamp_in_range(sum).then_some(sum)
}

/// A day count plus months; the day is cut to the month's length.
pub fn add_months(days: i64, months: i32) -> Option<i64> {
    let (year, month, day) = civil_from_days(days);
    let total = i64::from(year) * 12 + i64::from(month) - 1 + i64::from(months);
    let year = i32::try_from(total.div_euclid(12)).ok()?;
    let month = u32::try_from(total.rem_euclid(12)).ok()? + 1;
    if !(-4_800..=5_900_000).contains(&year) {
        return None;
    }
    Some(days_from_civil(
        year,
        month,
        day.min(days_in_month(year, month)),
    ))
}

/// `timestamptz + interval`: months and days by the local calendar, time as elapsed time.
pub fn add_interval_in_zone(
    micros: i64,
    interval: Interval,
    zone: &crate::TimeZone,
) -> Option<i64> {
    if micros == TIMESTAMP_INFINITY || micros == TIMESTAMP_NEGATIVE_INFINITY {
        return Some(micros);
    }
    let mut moment = micros;
    if interval.months != 0 || interval.days != 0 {
        let local = utc_to_local(moment, zone)?;
        let calendar = Interval {
            months: interval.months,
            days: interval.days,
            micros: 0,
        };
        moment = local_to_utc(add_interval(local, calendar)?, zone)?;
    }
    let sum = moment.checked_add(interval.micros)?;
    timestamp_in_range(sum).then_some(sum)
}

/// The local clock of a zone at a moment; infinities stay, None out of range.
pub fn utc_to_local(micros: i64, zone: &crate::TimeZone) -> Option<i64> {
    if micros == TIMESTAMP_INFINITY || micros == TIMESTAMP_NEGATIVE_INFINITY {
        return Some(micros);
    }
    micros.checked_add(i64::from(zone.offset_at_utc(micros)) * MICROS_PER_SECOND)
}

/// The moment at which a zone's clock shows a local time; infinities stay, None out of range.
pub fn local_to_utc(micros: i64, zone: &crate::TimeZone) -> Option<i64> {
    if micros == TIMESTAMP_INFINITY || micros == TIMESTAMP_NEGATIVE_INFINITY {
        return Some(micros);
    }
    let utc = micros.checked_sub(i64::from(zone.offset_at_local(micros)) * MICROS_PER_SECOND)?;
    timestamp_in_range(utc).then_some(utc)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_days() {
        assert_eq!(days_from_civil(1970, 1, 1), 0);
        assert_eq!(days_from_civil(2000, 1, 1), i64::from(POSTGRES_EPOCH_DAYS));
        assert_eq!(days_from_civil(-4713, 11, 24), i64::from(DATE_MIN));
        assert_eq!(days_from_civil(5_874_897, 12, 31), i64::from(DATE_MAX));
        assert_eq!(weekday(0), 4);
        assert_eq!(iso_week(days_from_civil(2021, 1, 3)), (2020, 53));
        assert_eq!(iso_week(days_from_civil(2024, 12, 30)), (2025, 1));
        assert_eq!(
            add_months(days_from_civil(2024, 1, 31), 1),
            Some(days_from_civil(2024, 2, 29))
        );
    }

    proptest! {
        #[test]
        fn days_and_civil_are_inverse(days in i64::from(DATE_MIN)..=i64::from(DATE_MAX)) {
            let (year, month, day) = civil_from_days(days);
            prop_assert!(day >= 1 && day <= days_in_month(year, month));
            prop_assert_eq!(days_from_civil(year, month, day), days);
            let (iso_year, week) = iso_week(days);
            let monday = days_from_iso_week(iso_year, i32::try_from(week).expect("small"));
            prop_assert!((monday..monday + 7).contains(&days));
        }

        #[test]
        fn micros_and_civil_are_inverse(micros in TIMESTAMP_MIN..=TIMESTAMP_MAX) {
            prop_assert_eq!(Civil::from_micros(micros).to_micros(), Some(micros));
        }
    }
}
