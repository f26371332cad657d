//! Time zones: names of the IANA database, or a fixed offset.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime, Offset, TimeZone as _};

/// Offsets beyond this many seconds are refused, as PostgreSQL does.
const OFFSET_SECONDS_MAX: i32 = 16 * 3600 - 1;

/// How UTC becomes local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeZone {
    /// A zone of the IANA database.
    Named(chrono_tz::Tz),
    /// Seconds east of Greenwich.
    Fixed(i32),
}

impl TimeZone {
    /// Coordinated universal time.
    pub const UTC: TimeZone = TimeZone::Named(chrono_tz::Tz::UTC);

    /// Reads what `SET TIME ZONE` and `AT TIME ZONE` accept: an IANA name (any case), an offset
    /// such as `+02:00` (ISO sign in literals, POSIX sign in zone names as PostgreSQL does), `Z`.
    pub fn from_name(name: &str) -> Option<TimeZone> {
        let name = name.trim();
        if name.eq_ignore_ascii_case("z") || name.eq_ignore_ascii_case("zulu") {
            return Some(TimeZone::UTC);
        }
        let known = chrono_tz::TZ_VARIANTS
            .iter()
            .find(|zone| zone.name().eq_ignore_ascii_case(name));
        if let Some(zone) = known {
            return Some(TimeZone::Named(*zone));
        }
        // A POSIX specification: optional letters, then an offset counted west of Greenwich.
        let letters = name.bytes().take_while(u8::is_ascii_alphabetic).count();
        let offset = &name[letters..];
        if offset.is_empty() || !offset.is_ascii() {
            return abbreviation_seconds(name).map(TimeZone::Fixed);
        }
        let bracketed = name.strip_prefix('<').and_then(|rest| rest.split_once('>'));
        let offset = bracketed.map_or(offset, |(_, offset)| offset);
        parse_offset(offset).map(|seconds| TimeZone::Fixed(-seconds))
    }

    /// Seconds east of Greenwich at a moment given in microseconds since 1970, UTC.
    pub fn offset_at_utc(&self, micros: i64) -> i32 {
        match self {
            TimeZone::Fixed(seconds) => *seconds,
            TimeZone::Named(chrono_tz::Tz::UTC) => 0,
            TimeZone::Named(zone) => match naive(micros) {
                Some(naive) => zone
                    .offset_from_utc_datetime(&naive)
                    .fix()
                    .local_minus_utc(),
                None => 0,
            },
        }
    }

    /// Seconds east of Greenwich at a local time given in microseconds since 1970.
    ///
    /// A time that the clocks skip or repeat takes the offset before the change (skipped) or the
    /// standard one, the later moment (repeated), as PostgreSQL does.
    pub fn offset_at_local(&self, micros: i64) -> i32 {
        match self {
            TimeZone::Fixed(seconds) => *seconds,
            TimeZone::Named(chrono_tz::Tz::UTC) => 0,
            TimeZone::Named(zone) => {
                let Some(local) = naive(micros) else { return 0 };
                match zone.offset_from_local_datetime(&local) {
                    chrono::LocalResult::Single(offset) => offset.fix().local_minus_utc(),
                    chrono::LocalResult::Ambiguous(first, second) => first
                        .fix()
                        .local_minus_utc()
                        .min(second.fix().local_minus_utc()),
                    chrono::LocalResult::None => {
                        let day = 86_400_000_000;
                        self.offset_at_utc(micros.saturating_sub(day))
                    }
                }
            }
        }
    }

    /// The zone's abbreviation at a moment, such as `CET`, or its offset where it has none.
    pub fn abbreviation_at(&self, micros: i64) -> String {
        match self {
            TimeZone::Named(zone) => match naive(micros) {
                Some(naive) => zone.offset_from_utc_datetime(&naive).to_string(),
                None => zone.name().to_owned(),
            },
            TimeZone::Fixed(_) => {
                let mut out = Vec::new();
                write_offset(self.offset_at_utc(micros), &mut out);
                String::from_utf8_lossy(&out).into_owned()
            }
        }
    }
}

impl Default for TimeZone {
    fn default() -> TimeZone {
        TimeZone::UTC
    }
}

impl FromStr for TimeZone {
    type Err = crate::ValueError;

    fn from_str(name: &str) -> Result<TimeZone, crate::ValueError> {
        TimeZone::from_name(name).ok_or_else(|| crate::ValueError::UnknownTimeZone {
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for TimeZone {
    /// As `SHOW TimeZone` prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TimeZone::Named(zone) => f.write_str(zone.name()),
            TimeZone::Fixed(seconds) => {
                let mut plain = Vec::new();
                write_offset(*seconds, &mut plain);
                let mut posix = Vec::new();
                write_offset(-*seconds, &mut posix);
                write!(
                    f,
                    "<{}>{}",
                    String::from_utf8_lossy(&plain),
                    String::from_utf8_lossy(&posix)
                )
            }
        }
    }
}

/// Abbreviations that PostgreSQL's default table knows and that the IANA names lack.
pub(crate) fn abbreviation_seconds(name: &str) -> Option<i32> {
    let hours = match name.to_ascii_uppercase().as_str() {
        "UTC" | "GMT" | "UT" | "Z" | "ZULU" | "WET" => 0,
        "BST" | "CET" | "MET" | "WEST" => 1,
        "CEST" | "EET" | "SAST" | "MEST" => 2,
        "EEST" | "MSK" => 3,
        "MSD" => 4,
        "JST" | "KST" => 9,
        "AEST" => 10,
        "AEDT" => 11,
        "NZST" => 12,
        "NZDT" => 13,
        "AST" | "EDT" => -4,
        "EST" | "CDT" => -5,
        "CST" | "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" | "AKDT" => -8,
        "AKST" => -9,
        "HST" => -10,
        "ADT" => -3,
        _ => return None,
    };
    Some(hours * 3600)
}

/// `+02`, `-0530`, `+05:30`, `+05:30:15`; None when malformed or out of range.
pub(crate) fn parse_offset(text: &str) -> Option<i32> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        b'0'..=b'9' => (1, text),
        _ => return None,
    };
    let all_digits =
        |s: &str| !s.is_empty() && s.len() <= 2 && s.bytes().all(|b| b.is_ascii_digit());
    let (hours, minutes, seconds) = if digits.contains(':') {
        let mut parts = digits.split(':');
        let (hours, minutes) = (parts.next()?, parts.next()?);
        let seconds = parts.next().unwrap_or("0");
        if parts.next().is_some()
            || ![hours, minutes, seconds]
                .iter()
                .all(|part| all_digits(part))
        {
            return None;
        }
        (
            hours.parse::<i32>().ok()?,
            minutes.parse::<i32>().ok()?,
            seconds.parse::<i32>().ok()?,
        )
    } else {
        if digits.is_empty() || digits.len() > 6 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let number: i32 = digits.parse().ok()?;
        match digits.len() {
            1 | 2 => (number, 0, 0),
            3 | 4 => (number / 100, number % 100, 0),
            _ => (number / 10_000, number / 100 % 100, number % 100),
        }
    };
    let total = hours * 3600 + minutes * 60 + seconds;
    (minutes < 60 && seconds < 60 && total <= OFFSET_SECONDS_MAX).then_some(sign * total)
}

/// `+02`, `+05:30`, `-00:00:15`: as short as PostgreSQL prints it.
pub(crate) fn write_offset(seconds: i32, out: &mut Vec<u8>) {
    use std::io::Write as _;
    let sign = if seconds < 0 { '-' } else { '+' };
    let absolute = seconds.unsigned_abs();
    let (hours, minutes, rest) = (absolute / 3600, absolute / 60 % 60, absolute % 60);
    // Writing to a Vec cannot fail.
    let _ = if rest != 0 {
        write!(out, "{sign}{hours:02}:{minutes:02}:{rest:02}")
    } else if minutes != 0 {
        write!(out, "{sign}{hours:02}:{minutes:02}")
    } else {
        write!(out, "{sign}{hours:02}")
    };
}

fn naive(micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|moment| moment.naive_utc())
}
