//! Templates of dates, times and intervals.

use tessera_planner::functions::{Argument, FunctionRegistry, Returns, Scalar};
use tessera_types::SqlType::{Date, Interval, Text, Timestamp, TimestampTz};
use tessera_types::datetime::{self, Civil, MICROS_PER_DAY, MONTHS, WEEKDAYS};
use tessera_types::{Report, SqlType, Value, ValueRef, codes};

use super::super::kernel::{Row, RowResult, strict};

const ROMAN: [&str; 12] = [
    "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII",
];

/// Adds them.
pub(super) fn register(r: &mut FunctionRegistry) {
    let mut add =
        |name: &str, first: SqlType, returns: SqlType, body: fn(&Row<'_>) -> RowResult| {
            let arguments = [Argument::Exact(first), Argument::Exact(Text)];
            r.scalar(Scalar::new(name, arguments, Returns::Exact(returns), strict(body)).stable());
        };
    add("to_char", Timestamp, Text, |row| {
        to_char(row, row.micros(0), None)
    });
    add("to_char", TimestampTz, Text, |row| {
        let zone = row.format().time_zone;
        let micros = row.micros(0);
        let local = datetime::utc_to_local(micros, &zone).unwrap_or(micros);
        let shown = (zone.offset_at_utc(micros), zone.abbreviation_at(micros));
        to_char(row, local, Some(shown))
    });
    add("to_char", Interval, Text, |row| {
        let ValueRef::Interval(interval) = row.value(0) else {
            return Ok(Value::Null);
        };
        let clock = interval.micros;
        let moment = Moment {
            year: i64::from(interval.months / 12),
            month: i64::from(interval.months % 12),
            day: i64::from(interval.days),
            hour: clock / datetime::MICROS_PER_HOUR,
            minute: clock / datetime::MICROS_PER_MINUTE % 60,
            second: clock / datetime::MICROS_PER_SECOND % 60,
            micro: clock % datetime::MICROS_PER_SECOND,
            days: None,
            zone: None,
        };
        Ok(Value::from(render(&moment, row.text(1))?))
    });
    add("to_date", Text, Date, |row| {
        let read = parse(row.text(0), row.text(1))?;
        let days = read.days(row.text(0))?;
        i32::try_from(days)
            .map(Value::Date)
            .map_err(|_| out_of_range(row.text(0)))
    });
    add("to_timestamp", Text, TimestampTz, |row| {
        let read = parse(row.text(0), row.text(1))?;
        let local = read
            .days(row.text(0))?
            .checked_mul(MICROS_PER_DAY)
            .and_then(|days| days.checked_add(read.clock(row.text(0)).ok()?));
        read.clock(row.text(0))?;
        let local = local.ok_or_else(|| out_of_range(row.text(0)))?;
        let utc = match read.offset {
            Some(seconds) => local.checked_sub(i64::from(seconds) * datetime::MICROS_PER_SECOND),
            None => datetime::local_to_utc(local, &row.format().time_zone),
        };
        utc.map(Value::TimestampTz)
            .ok_or_else(|| out_of_range(row.text(0)))
    });
}

fn out_of_range(text: &str) -> Report {
    Report::error(
        codes::DATETIME_FIELD_OVERFLOW,
        format!("date/time field value out of range: \"{text}\""),
    )
}

/// What a template prints.
struct Moment {
    /// Astronomical: 0 is 1 BC
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    micro: i64,
    /// Days since 1970; None for an interval
    days: Option<i64>,
    zone: Option<(i32, String)>,
}

fn to_char(row: &Row<'_>, local: i64, zone: Option<(i32, String)>) -> RowResult {
    if local == datetime::TIMESTAMP_INFINITY || local == datetime::TIMESTAMP_NEGATIVE_INFINITY {
        return Ok(Value::Null);
    }
    let civil = Civil::from_micros(local);
    let moment = Moment {
        year: civil.year.into(),
        month: civil.month.into(),
        day: civil.day.into(),
        hour: civil.hour.into(),
        minute: civil.minute.into(),
        second: civil.second.into(),
        micro: civil.micro.into(),
        days: Some(local.div_euclid(MICROS_PER_DAY)),
        zone,
    };
    Ok(Value::from(render(&moment, row.text(1))?))
}

/// Keywords, longest first where one begins another. Case of the first two letters styles names.
const KEYWORDS: &[&str] = &[
    "A.D.", "A.M.", "AD", "AM", "B.C.", "BC", "CC", "DAY", "DDD", "DD", "DY", "D", "FF1", "FF2",
    "FF3", "FF4", "FF5", "FF6", "HH24", "HH12", "HH", "IDDD", "ID", "IW", "IYYY", "IYY", "IY", "I",
    "J", "MI", "MM", "MONTH", "MON", "MS", "OF", "P.M.", "PM", "Q", "RM", "SSSSS", "SSSS", "SS",
    "TZH", "TZM", "TZ", "US", "WW", "W", "Y,YYY", "YYYY", "YYY", "YY", "Y",
];

/// One piece of a template.
enum Piece {
    Literal(char),
    Field {
        keyword: &'static str,
        spelled: String,
        fill: bool,
        ordinal: Option<bool>,
    },
}

fn pieces(template: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = template;
    let starts = |rest: &str, word: &str| {
        rest.get(..word.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(word))
    };
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            // Quoted text is copied; a backslash in it quotes the next character.
            let mut chars = rest.char_indices().skip(1);
            let mut end = rest.len();
            while let Some((at, c)) = chars.next() {
                match c {
                    '"' => {
                        end = at + 1;
                        break;
                    }
                    '\\' => {
                        if let Some((_, c)) = chars.next() {
                            pieces.push(Piece::Literal(c));
                        }
                    }
                    c => pieces.push(Piece::Literal(c)),
                }
            }
            rest = &rest[end..];
            continue;
        }
        let mut fill = false;
        let mut at = rest;
        if starts(at, "FM") {
            fill = true;
            at = &at[2..];
        }
        if starts(at, "TM") && KEYWORDS.iter().any(|word| starts(&at[2..], word)) {
            at = &at[2..];
        }
        if let Some(keyword) = KEYWORDS.iter().find(|word| starts(at, word)) {
            let spelled = at[..keyword.len()].to_owned();
            at = &at[keyword.len()..];
            let ordinal = if at.starts_with("TH") {
                Some(true)
            } else if at.starts_with("th") {
                Some(false)
            } else {
                None
            };
            if ordinal.is_some() {
                at = &at[2..];
            }
            pieces.push(Piece::Field {
                keyword,
                spelled,
                fill,
                ordinal,
            });
            rest = at;
            continue;
        }
        if starts(rest, "FM") || starts(rest, "FX") || starts(rest, "TM") {
            rest = &rest[2..];
            continue;
        }
        if c == '\\' && rest[1..].starts_with('"') {
            pieces.push(Piece::Literal('"'));
            rest = &rest[2..];
            continue;
        }
        pieces.push(Piece::Literal(c));
        rest = &rest[c.len_utf8()..];
    }
    pieces
}

fn render(moment: &Moment, template: &str) -> Result<String, Report> {
    let mut out = String::new();
    for piece in pieces(template) {
        match piece {
            Piece::Literal(c) => out.push(c),
            Piece::Field {
                keyword,
                spelled,
                fill,
                ordinal,
            } => {
                let text = field(moment, keyword, &spelled, fill)?;
                out.push_str(&text);
                if let Some(upper) = ordinal {
                    out.push_str(&ordinal_suffix(&text, upper));
                }
            }
        }
        super::super::kernel::check_length(out.len())?;
    }
    Ok(out)
}

fn ordinal_suffix(number: &str, upper: bool) -> String {
    let digits: Vec<u8> = number.bytes().filter(u8::is_ascii_digit).collect();
    let suffix = match digits.as_slice() {
        [.., b'1', _] => "th",
        [.., b'1'] => "st",
        [.., b'2'] => "nd",
        [.., b'3'] => "rd",
        _ => "th",
    };
    if upper {
        suffix.to_uppercase()
    } else {
        suffix.to_owned()
    }
}

/// A name in the case of its keyword: MONTH, Month, month.
fn styled(name: &str, spelled: &str) -> String {
    let mut chars = spelled.chars();
    match (chars.next(), chars.next()) {
        (Some(first), _) if first.is_ascii_lowercase() => name.to_lowercase(),
        (Some(_), Some(second)) if second.is_ascii_uppercase() => name.to_uppercase(),
        _ => name.to_owned(),
    }
}

fn field(moment: &Moment, keyword: &str, spelled: &str, fill: bool) -> Result<String, Report> {
    let number = |value: i64, width: usize| {
        if fill {
            value.to_string()
        } else if value < 0 {
            format!("-{:0width$}", value.unsigned_abs())
        } else {
            format!("{value:0width$}")
        }
    };
    let invalid_interval = || {
        Report::error(
            codes::INVALID_DATETIME_FORMAT,
            "invalid format specification for an interval value",
        )
        .with_hint("Intervals are not tied to specific calendar dates.")
    };
    let days = || moment.days.ok_or_else(invalid_interval);
    let is_interval = moment.days.is_none();
    let year_shown = if is_interval || moment.year > 0 {
        moment.year
    } else {
        1 - moment.year
    };
    let name_of = |name: &str, width: usize| {
        let styled = styled(name, spelled);
        if fill {
            styled
        } else {
            format!("{styled:width$}")
        }
    };
    let half_day = |dots: bool| {
        let text = match (moment.hour.rem_euclid(24) >= 12, dots) {
            (true, false) => "PM",
            (false, false) => "AM",
            (true, true) => "P.M.",
            (false, true) => "A.M.",
        };
        if spelled.starts_with(|c: char| c.is_ascii_lowercase()) {
            text.to_lowercase()
        } else {
            text.to_owned()
        }
    };
    let era = |dots: bool| {
        let text = match (moment.year <= 0 && !is_interval, dots) {
            (true, false) => "BC",
            (false, false) => "AD",
            (true, true) => "B.C.",
            (false, true) => "A.D.",
        };
        if spelled.starts_with(|c: char| c.is_ascii_lowercase()) {
            text.to_lowercase()
        } else {
            text.to_owned()
        }
    };
    let month_index = usize::try_from(moment.month - 1)
        .ok()
        .filter(|index| *index < 12);
    let iso = || -> Result<(i64, i64), Report> {
        let (year, week) = datetime::iso_week(days()?);
        Ok((i64::from(year), i64::from(week)))
    };
    let day_of_year = || -> Result<i64, Report> {
        let year = i32::try_from(moment.year).map_err(|_| invalid_interval())?;
        Ok(days()? - datetime::days_from_civil(year, 1, 1) + 1)
    };
    let seconds_of_day = moment.hour * 3600 + moment.minute * 60 + moment.second;
    let micro = moment.micro;
    let sub_second = |digits: u32| number(micro / 10i64.pow(6 - digits), digits as usize);
    Ok(match keyword {
        "A.M." | "P.M." => half_day(true),
        "AM" | "PM" => half_day(false),
        "A.D." | "B.C." => era(true),
        "AD" | "BC" => era(false),
        "HH" | "HH12" => number(
            match moment.hour % 12 {
                0 => 12,
                hour => hour,
            },
            2,
        ),
        "HH24" => number(moment.hour, 2),
        "MI" => number(moment.minute, 2),
        "SS" => number(moment.second, 2),
        "MS" | "FF3" => sub_second(3),
        "US" | "FF6" => sub_second(6),
        "FF1" => sub_second(1),
        "FF2" => sub_second(2),
        "FF4" => sub_second(4),
        "FF5" => sub_second(5),
        "SSSS" | "SSSSS" => seconds_of_day.to_string(),
        "TZ" => {
            let zone = moment
                .zone
                .as_ref()
                .map_or(String::new(), |zone| zone.1.clone());
            if spelled.starts_with('t') {
                zone.to_lowercase()
            } else {
                zone.to_uppercase()
            }
        }
        "TZH" => moment.zone.as_ref().map_or(String::new(), |zone| {
            format!(
                "{}{:02}",
                if zone.0 < 0 { '-' } else { '+' },
                zone.0.unsigned_abs() / 3600
            )
        }),
        "TZM" => moment.zone.as_ref().map_or(String::new(), |zone| {
            format!("{:02}", zone.0.unsigned_abs() / 60 % 60)
        }),
        "OF" => moment.zone.as_ref().map_or(String::new(), |zone| {
            let (sign, seconds) = (if zone.0 < 0 { '-' } else { '+' }, zone.0.unsigned_abs());
            match seconds / 60 % 60 {
                0 => format!("{sign}{:02}", seconds / 3600),
                minutes => format!("{sign}{:02}:{minutes:02}", seconds / 3600),
            }
        }),
        "MONTH" => match month_index {
            Some(index) => name_of(MONTHS[index], 9),
            None => String::new(),
        },
        "MON" => match month_index {
            Some(index) => styled(&MONTHS[index][..3], spelled),
            None => String::new(),
        },
        "MM" => number(moment.month, 2),
        "RM" => match month_index {
            Some(index) => name_of_roman(ROMAN[index], spelled, fill),
            None => String::new(),
        },
        "DAY" | "DY" => {
            let index = usize::try_from(datetime::weekday(days()?)).unwrap_or(0);
            if keyword == "DAY" {
                name_of(WEEKDAYS[index], 9)
            } else {
                styled(&WEEKDAYS[index][..3], spelled)
            }
        }
        "DDD" => number(
            if is_interval {
                moment.year * 360 + moment.month * 30 + moment.day
            } else {
                day_of_year()?
            },
            3,
        ),
        "DD" => number(moment.day, 2),
        "D" => (i64::from(datetime::weekday(days()?)) + 1).to_string(),
        "ID" => match datetime::weekday(days()?) {
            0 => "7".to_owned(),
            day => day.to_string(),
        },
        "IDDD" => {
            let (year, _) = iso()?;
            let year = i32::try_from(year).map_err(|_| invalid_interval())?;
            number(days()? - datetime::days_from_iso_week(year, 1) + 1, 3)
        }
        "WW" => number((day_of_year()? - 1) / 7 + 1, 2),
        "IW" => number(iso()?.1, 2),
        "W" => number((moment.day - 1) / 7 + 1, 1),
        "Q" => match moment.month {
            0 => String::new(),
            month => ((month - 1) / 3 + 1).to_string(),
        },
        "J" => (days()? - i64::from(datetime::DATE_MIN)).to_string(),
        "CC" => {
            let century = if is_interval {
                moment.year / 100
            } else if moment.year > 0 {
                (moment.year - 1) / 100 + 1
            } else {
                moment.year / 100 - 1
            };
            number(century, 2)
        }
        "Y,YYY" => format!("{},{:03}", year_shown / 1000, year_shown % 1000),
        "YYYY" => number(year_shown, 4),
        "YYY" => number(year_shown % 1000, 3),
        "YY" => number(year_shown % 100, 2),
        "Y" => (year_shown % 10).to_string(),
        "IYYY" => number(iso()?.0, 4),
        "IYY" => number(iso()?.0 % 1000, 3),
        "IY" => number(iso()?.0 % 100, 2),
        "I" => (iso()?.0 % 10).to_string(),
        _ => String::new(),
    })
}

fn name_of_roman(numeral: &str, spelled: &str, fill: bool) -> String {
    let text = if spelled.starts_with('r') {
        numeral.to_lowercase()
    } else {
        numeral.to_owned()
    };
    if fill { text } else { format!("{text:4}") }
}

// ---- reading ----------------------------------------------------------------------------------

/// What a template found in a text.
#[derive(Default)]
struct Read {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    julian: Option<i64>,
    iso_year: Option<i64>,
    iso_week: Option<i64>,
    iso_day: Option<i64>,
    week: Option<i64>,
    month_week: Option<i64>,
    century: Option<i64>,
    before_christ: bool,
    hour: Option<i64>,
    twelve: bool,
    pm: Option<bool>,
    minute: i64,
    second: i64,
    micro: i64,
    second_of_day: Option<i64>,
    offset: Option<i32>,
}

fn parse(text: &str, template: &str) -> Result<Read, Report> {
    let mut read = Read::default();
    let mut rest = text;
    let all = pieces(template);
    let mut negative_zone = false;
    for (index, piece) in all.iter().enumerate() {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
        let (keyword, fill) = match piece {
            Piece::Literal(c) if c.is_ascii_whitespace() => continue,
            Piece::Literal(c) => {
                // A separator takes any separator, or nothing; a letter takes any character.
                let next = rest.chars().next();
                let separator = |c: char| c.is_ascii_punctuation() && !c.is_ascii_alphanumeric();
                match next {
                    Some(found) if separator(*c) && separator(found) => {
                        rest = &rest[found.len_utf8()..]
                    }
                    Some(found) if !separator(*c) => rest = &rest[found.len_utf8()..],
                    _ => {}
                }
                continue;
            }
            Piece::Field { keyword, fill, .. } => (*keyword, *fill),
        };
        // Digits of a field run on only where a separator, or the end, follows.
        let followed_by_field =
            matches!(all.get(index + 1), Some(Piece::Field { keyword, .. }) if is_numeric(keyword));
        let width = width_of(keyword);
        let number = |rest: &mut &str, signed: bool| -> Result<Option<i64>, Report> {
            let sign_length = usize::from(signed && rest.starts_with(['-', '+']));
            let digits = rest[sign_length..]
                .bytes()
                .take_while(u8::is_ascii_digit)
                .count();
            let taken = if followed_by_field && !fill {
                digits.min(width)
            } else {
                digits
            };
            if taken == 0 {
                if rest.is_empty() {
                    return Ok(None);
                }
                let shown: String = rest.chars().take(width).collect();
                return Err(Report::error(
                    codes::INVALID_DATETIME_FORMAT,
                    format!("invalid value \"{shown}\" for \"{keyword}\""),
                )
                .with_detail("Value must be an integer."));
            }
            let value: i64 = rest[sign_length..sign_length + taken]
                .parse()
                .map_err(|_| out_of_range(text))?;
            let negative = rest.starts_with('-') && sign_length == 1;
            *rest = &rest[sign_length + taken..];
            Ok(Some(if negative { -value } else { value }))
        };
        match keyword {
            "YYYY" | "Y,YYY" => {
                let first = number(&mut rest, true)?;
                read.year = first;
                if keyword == "Y,YYY" && rest.starts_with(',') {
                    let low = rest[1..]
                        .bytes()
                        .take_while(u8::is_ascii_digit)
                        .count()
                        .min(3);
                    let thousand: i64 = rest[1..=low].parse().map_err(|_| out_of_range(text))?;
                    rest = &rest[1 + low..];
                    read.year = first.map(|first| first * 1000 + thousand);
                }
            }
            "YYY" | "YY" | "Y" => {
                let before = rest.len();
                read.year =
                    number(&mut rest, false)?.map(|year| adjust_year(year, before - rest.len()));
            }
            "IYYY" => read.iso_year = number(&mut rest, true)?,
            "IYY" | "IY" | "I" => {
                let before = rest.len();
                read.iso_year =
                    number(&mut rest, false)?.map(|year| adjust_year(year, before - rest.len()));
            }
            "CC" => read.century = number(&mut rest, true)?,
            "MM" => read.month = number(&mut rest, false)?,
            "DD" => read.day = number(&mut rest, false)?,
            "DDD" => read.day_of_year = number(&mut rest, false)?,
            "J" => read.julian = number(&mut rest, false)?,
            "IW" => read.iso_week = number(&mut rest, false)?,
            "ID" => read.iso_day = number(&mut rest, false)?,
            "WW" => read.week = number(&mut rest, false)?,
            "W" => read.month_week = number(&mut rest, false)?,
            "D" | "Q" | "IDDD" => {
                number(&mut rest, false)?;
            }
            "HH24" => read.hour = number(&mut rest, false)?,
            "HH" | "HH12" => {
                read.hour = number(&mut rest, false)?;
                read.twelve = true;
                if read.hour.is_some_and(|hour| !(1..=12).contains(&hour)) {
                    let hour = read.hour.unwrap_or(0);
                    return Err(Report::error(
                        codes::INVALID_DATETIME_FORMAT,
                        format!("hour \"{hour}\" is invalid for the 12-hour clock"),
                    )
                    .with_hint("Use the 24-hour clock, or give an hour between 1 and 12."));
                }
            }
            "MI" => read.minute = number(&mut rest, false)?.unwrap_or(0),
            "SS" => read.second = number(&mut rest, false)?.unwrap_or(0),
            "SSSS" | "SSSSS" => read.second_of_day = number(&mut rest, false)?,
            "MS" | "US" | "FF1" | "FF2" | "FF3" | "FF4" | "FF5" | "FF6" => {
                let before = rest.len();
                let value = number(&mut rest, false)?.unwrap_or(0);
                let digits = u32::try_from(before - rest.len()).unwrap_or(6);
                // `12:34:56.7` with MS is 700 milliseconds.
                read.micro = if digits <= 6 {
                    value * 10i64.pow(6 - digits)
                } else {
                    value / 10i64.pow(digits.min(18) - 6)
                };
            }
            "MONTH" | "MON" => {
                let (index, length) =
                    longest_name(rest, &MONTHS).ok_or_else(|| no_name(rest, keyword))?;
                read.month = Some(index as i64 + 1);
                rest = &rest[length..];
            }
            "RM" => {
                let found = ROMAN.iter().enumerate().rev().find(|(_, numeral)| {
                    rest.get(..numeral.len())
                        .is_some_and(|head| head.eq_ignore_ascii_case(numeral))
                });
                let best = ROMAN
                    .iter()
                    .enumerate()
                    .filter(|(_, numeral)| {
                        rest.get(..numeral.len())
                            .is_some_and(|head| head.eq_ignore_ascii_case(numeral))
                    })
                    .max_by_key(|(_, numeral)| numeral.len())
                    .or(found);
                let (index, numeral) = best.ok_or_else(|| no_name(rest, keyword))?;
                read.month = Some(index as i64 + 1);
                rest = &rest[numeral.len()..];
            }
            "DAY" | "DY" => {
                let (_, length) =
                    longest_name(rest, &WEEKDAYS).ok_or_else(|| no_name(rest, keyword))?;
                rest = &rest[length..];
            }
            "AM" | "PM" | "A.M." | "P.M." => {
                let word = &rest[..rest.len().min(keyword.len())];
                let first = word.chars().next().map(|c| c.to_ascii_lowercase());
                read.pm = match first {
                    Some('a') => Some(false),
                    Some('p') => Some(true),
                    _ => return Err(no_name(rest, keyword)),
                };
                read.twelve = true;
                rest = rest.get(keyword.len()..).unwrap_or("");
            }
            "AD" | "BC" | "A.D." | "B.C." => {
                read.before_christ = rest.starts_with(['b', 'B']);
                rest = rest.get(keyword.len()..).unwrap_or("");
            }
            "TZH" => {
                negative_zone = rest.starts_with('-');
                let hours = number(&mut rest, true)?.unwrap_or(0);
                read.offset = i32::try_from(hours * 3600).ok();
            }
            "TZM" => {
                let minutes = number(&mut rest, false)?.unwrap_or(0);
                let seconds = i32::try_from(minutes * 60).unwrap_or(0);
                let so_far = read.offset.unwrap_or(0);
                read.offset = Some(if negative_zone {
                    so_far - seconds
                } else {
                    so_far + seconds
                });
            }
            _ => {
                return Err(Report::unsupported(format!(
                    "formatting field \"{keyword}\" is only supported in to_char"
                )));
            }
        }
        if let Piece::Field {
            ordinal: Some(_), ..
        } = piece
        {
            rest = rest.get(2..).unwrap_or("");
        }
    }
    Ok(read)
}

fn is_numeric(keyword: &str) -> bool {
    !matches!(
        keyword,
        "MONTH"
            | "MON"
            | "RM"
            | "DAY"
            | "DY"
            | "AM"
            | "PM"
            | "A.M."
            | "P.M."
            | "AD"
            | "BC"
            | "A.D."
            | "B.C."
            | "TZ"
            | "TZH"
            | "OF"
    )
}

fn width_of(keyword: &str) -> usize {
    match keyword {
        "YYYY" | "IYYY" | "Y,YYY" => 4,
        "YYY" | "IYY" | "DDD" | "IDDD" | "MS" | "FF3" => 3,
        "Y" | "I" | "D" | "ID" | "Q" | "W" | "FF1" => 1,
        "US" | "FF6" => 6,
        "FF4" => 4,
        "FF5" | "SSSS" | "SSSSS" => 5,
        "J" => 7,
        _ => 2,
    }
}

/// Years of fewer than four digits are the nearest to 2020.
fn adjust_year(year: i64, digits: usize) -> i64 {
    match digits {
        0..=2 if year < 70 => year + 2000,
        0..=2 => year + 1900,
        3 if (100..520).contains(&year) => year + 2000,
        3 if (520..1000).contains(&year) => year + 1000,
        3 => year + 2000,
        _ => year,
    }
}

/// The full name or its first three letters, whichever is longer.
fn longest_name(text: &str, names: &[&str]) -> Option<(usize, usize)> {
    let begins = |name: &str| {
        text.get(..name.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(name))
    };
    let full = names
        .iter()
        .position(|name| begins(name))
        .map(|index| (index, names[index].len()));
    full.or_else(|| {
        names
            .iter()
            .position(|name| begins(&name[..3]))
            .map(|index| (index, 3))
    })
}

fn no_name(rest: &str, keyword: &str) -> Report {
    let shown: String = rest.chars().take(keyword.len()).collect();
    Report::error(
        codes::INVALID_DATETIME_FORMAT,
        format!("invalid value \"{shown}\" for \"{keyword}\""),
    )
    .with_detail("The given value did not match any of the allowed values for this field.")
}

impl Read {
    /// Days since 1970.
    fn days(&self, text: &str) -> Result<i64, Report> {
        let fault = || out_of_range(text);
        let narrow = |value: i64| {
            i32::try_from(value)
                .ok()
                .filter(|year| (-4_800..=5_900_000).contains(year))
                .ok_or_else(fault)
        };
        if let Some(julian) = self.julian {
            return Ok(julian + i64::from(datetime::DATE_MIN));
        }
        if let Some(year) = self.iso_year {
            let week = self.iso_week.unwrap_or(1);
            if !(1..=53).contains(&week) {
                return Err(fault());
            }
            let monday = datetime::days_from_iso_week(
                narrow(year)?,
                i32::try_from(week).map_err(|_| fault())?,
            );
            return Ok(monday + self.iso_day.unwrap_or(1) - 1);
        }
        let mut year = match (self.year, self.century) {
            (Some(year), _) => year,
            (None, Some(century)) => (century - 1) * 100 + 1,
            // Nothing said: the first year, which PostgreSQL calls 1 BC.
            (None, None) => 0,
        };
        if self.before_christ && self.year.is_some() {
            year = 1 - year;
        } else if year < 0 {
            year += 1;
        }
        let year = narrow(year)?;
        if let Some(day) = self.day_of_year {
            let length = if datetime::is_leap_year(year) {
                366
            } else {
                365
            };
            if !(1..=length).contains(&day) {
                return Err(fault());
            }
            return Ok(datetime::days_from_civil(year, 1, 1) + day - 1);
        }
        if let Some(week) = self.week {
            return Ok(datetime::days_from_civil(year, 1, 1) + (week - 1) * 7);
        }
        let month = self.month.unwrap_or(1);
        let month = u32::try_from(month)
            .ok()
            .filter(|month| (1..=12).contains(month))
            .ok_or_else(fault)?;
        let day = self
            .day
            .or(self.month_week.map(|week| (week - 1) * 7 + 1))
            .unwrap_or(1);
        let last = datetime::days_in_month(year, month);
        let day = u32::try_from(day)
            .ok()
            .filter(|day| (1..=last).contains(day))
            .ok_or_else(fault)?;
        Ok(datetime::days_from_civil(year, month, day))
    }

    /// Microseconds since midnight.
    fn clock(&self, text: &str) -> Result<i64, Report> {
        if let Some(seconds) = self.second_of_day {
            return Ok(seconds.clamp(0, 86_400) * datetime::MICROS_PER_SECOND + self.micro);
        }
        let mut hour = self.hour.unwrap_or(0);
        if self.twelve {
            match self.pm {
                Some(true) if hour < 12 => hour += 12,
                Some(false) if hour == 12 => hour = 0,
                _ => {}
            }
        }
        if !(0..=24).contains(&hour)
            || !(0..60).contains(&self.minute)
            || !(0..=60).contains(&self.second)
        {
            return Err(out_of_range(text));
        }
        Ok(hour * datetime::MICROS_PER_HOUR
            + self.minute * datetime::MICROS_PER_MINUTE
            + self.second * datetime::MICROS_PER_SECOND
            + self.micro)
    }
}
