//! Text input of dates, times and timestamps.
//!
//! ISO forms take a short path. Everything else follows PostgreSQL's `ParseDateTime` and
//! `DecodeDateTime` (src/backend/utils/adt/datetime.c): split into fields, then give each a meaning.

use crate::context::{DateOrder, FormatContext};
use crate::datetime::{self, Civil, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_SECOND};
use crate::error::ValueError;
use crate::zone::{self, TimeZone};

/// PostgreSQL refuses longer inputs too (MAXDATELEN), and so bounds the work.
const INPUT_BYTES_MAX: usize = 128;
/// Years of one or two digits below this are in the 2000s.
const TWO_DIGIT_YEAR_PIVOT: i32 = 70;

pub(super) fn parse_date(text: &str, ctx: &FormatContext) -> Result<i32, ValueError> {
    if let Some((year, month, day)) = iso_date(text.as_bytes()) {
        return date_value(year, month, day, text);
    }
    match decode(text, ctx, Want::Date).map_err(|fault| fault.error("date", text))? {
        Decoded::Infinity => Ok(datetime::DATE_INFINITY),
        Decoded::NegativeInfinity => Ok(datetime::DATE_NEGATIVE_INFINITY),
        Decoded::Moment {
            date: Some((year, month, day)),
            ..
        } => date_value(year, month, day, text),
        Decoded::Moment { .. } => Err(Fault::Format.error("date", text)),
    }
}

pub(super) fn parse_time(text: &str, ctx: &FormatContext) -> Result<i64, ValueError> {
    match decode(text, ctx, Want::Time).map_err(|fault| fault.error("time", text))? {
        Decoded::Moment {
            time: Some(micros), ..
        } => Ok(micros),
        _ => Err(Fault::Format.error("time", text)),
    }
}

pub(super) fn parse_timestamp(text: &str, ctx: &FormatContext) -> Result<i64, ValueError> {
    if let Some((micros, None)) = iso_timestamp(text.as_bytes()) {
        return Ok(micros);
    }
    match decode(text, ctx, Want::Timestamp).map_err(|fault| fault.error("timestamp", text))? {
        Decoded::Infinity => Ok(datetime::TIMESTAMP_INFINITY),
        Decoded::NegativeInfinity => Ok(datetime::TIMESTAMP_NEGATIVE_INFINITY),
        // A zone in the text is read and ignored, as the type has none.
        Decoded::Moment {
            date: Some(date),
            time,
            ..
        } => local_micros(date, time, text),
        Decoded::Moment { .. } => Err(Fault::Format.error("timestamp", text)),
    }
}

pub(super) fn parse_timestamptz(text: &str, ctx: &FormatContext) -> Result<i64, ValueError> {
    const NAME: &str = "timestamp with time zone";
    if let Some((local, offset)) = iso_timestamp(text.as_bytes()) {
        let seconds = offset.unwrap_or_else(|| ctx.time_zone.offset_at_local(local));
        let micros = local - i64::from(seconds) * MICROS_PER_SECOND;
        if datetime::timestamp_in_range(micros) {
            return Ok(micros);
        }
    }
    match decode(text, ctx, Want::Timestamp).map_err(|fault| fault.error(NAME, text))? {
        Decoded::Infinity => Ok(datetime::TIMESTAMP_INFINITY),
        Decoded::NegativeInfinity => Ok(datetime::TIMESTAMP_NEGATIVE_INFINITY),
        Decoded::Moment {
            date: Some(date),
            time,
            zone,
        } => {
            let local = local_micros(date, time, text)?;
            let zone = zone.unwrap_or(ctx.time_zone);
            datetime::local_to_utc(local, &zone).ok_or_else(|| out_of_range("timestamp", text))
        }
        Decoded::Moment { .. } => Err(Fault::Format.error(NAME, text)),
    }
}

fn date_value(year: i32, month: u32, day: u32, text: &str) -> Result<i32, ValueError> {
    let days = datetime::days_from_civil(year, month, day);
    match i32::try_from(days) {
        Ok(value) if datetime::date_in_range(days) => Ok(value),
        _ => Err(out_of_range("date", text)),
    }
}

fn local_micros(
    (year, month, day): (i32, u32, u32),
    time: Option<i64>,
    text: &str,
) -> Result<i64, ValueError> {
    datetime::days_from_civil(year, month, day)
        .checked_mul(MICROS_PER_DAY)
        .and_then(|days| days.checked_add(time.unwrap_or(0)))
        .filter(|micros| datetime::timestamp_in_range(*micros))
        .ok_or_else(|| out_of_range("timestamp", text))
}

fn out_of_range(what: &str, text: &str) -> ValueError {
    ValueError::DatetimeRange {
        what: what.to_owned(),
        input: text.to_owned(),
    }
}

// ---- ISO short path ---------------------------------------------------------------------------

fn two(bytes: &[u8]) -> Option<u32> {
    match bytes {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some(u32::from(a - b'0') * 10 + u32::from(b - b'0')),
        _ => None,
    }
}

/// Exactly `YYYY-MM-DD`, and a day that exists.
fn iso_date(bytes: &[u8]) -> Option<(i32, u32, u32)> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *bytes else {
        return None;
    };
    let year = two(&[y1, y2])? * 100 + two(&[y3, y4])?;
    let (month, day) = (two(&[m1, m2])?, two(&[d1, d2])?);
    let year = i32::try_from(year).ok()?;
    let valid = year > 0
        && (1..=12).contains(&month)
        && day >= 1
        && day <= datetime::days_in_month(year, month);
    valid.then_some((year, month, day))
}

/// `YYYY-MM-DD HH:MM:SS[.ffffff][±HH[:MM]]`: local microseconds and the offset in seconds.
fn iso_timestamp(bytes: &[u8]) -> Option<(i64, Option<i32>)> {
    if bytes.len() < 19
        || !matches!(bytes[10], b' ' | b'T')
        || bytes[13] != b':'
        || bytes[16] != b':'
    {
        return None;
    }
    let (year, month, day) = iso_date(&bytes[..10])?;
    let (hour, minute, second) = (
        two(&bytes[11..13])?,
        two(&bytes[14..16])?,
        two(&bytes[17..19])?,
    );
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut rest = &bytes[19..];
    let mut micro = 0;
    if let [b'.', fraction @ ..] = rest {
        let digits = fraction
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if digits > 6 {
            return None;
        }
        for index in 0..6 {
            micro = micro * 10
                + fraction
                    .get(index)
                    .filter(|_| index < digits)
                    .map_or(0, |d| u32::from(d - b'0'));
        }
        rest = &fraction[digits..];
    }
    let offset = match rest {
        [] => None,
        [b'Z'] => Some(0),
        [sign @ (b'+' | b'-'), tail @ ..] => {
            let seconds = match tail {
                [a, b] => two(&[*a, *b])? * 3600,
                [a, b, b':', c, d] => {
                    two(&[*a, *b])? * 3600 + two(&[*c, *d]).filter(|m| *m < 60)? * 60
                }
                _ => return None,
            };
            let seconds = i32::try_from(seconds)
                .ok()
                .filter(|seconds| *seconds < 16 * 3600)?;
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => return None,
    };
    let micros = Civil {
        year,
        month,
        day,
        hour,
        minute,
        second,
        micro,
    }
    .to_micros()?;
    Some((micros, offset))
}

// ---- general path -----------------------------------------------------------------------------

#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    Date,
    Time,
    Timestamp,
}

/// Why a text was not understood; becomes an error once type and text are known.
#[derive(Clone, Debug)]
enum Fault {
    Format,
    Field,
    /// A month or day out of range: perhaps another DateStyle was meant
    MonthOrDay,
    Displacement,
    UnknownZone(String),
}

impl Fault {
    fn error(self, type_name: &str, input: &str) -> ValueError {
        let input = input.to_owned();
        match self {
            Fault::Format => ValueError::InvalidDatetime {
                type_name: type_name.to_owned(),
                input,
            },
            Fault::Field => ValueError::DatetimeField { input, hint: None },
            Fault::MonthOrDay => ValueError::DatetimeField {
                input,
                hint: Some("Perhaps you need a different \"datestyle\" setting.".to_owned()),
            },
            Fault::Displacement => ValueError::ZoneDisplacement { input },
            Fault::UnknownZone(name) => ValueError::UnknownTimeZone { name },
        }
    }
}

/// Year, month, day.
type Date = (i32, u32, u32);

enum Decoded {
    Infinity,
    NegativeInfinity,
    Moment {
        date: Option<(i32, u32, u32)>,
        time: Option<i64>,
        zone: Option<TimeZone>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    Date,
    Time,
    Zone,
    Word,
    /// A word with a sign before it: `-infinity`
    Special,
}

#[derive(Debug)]
struct Field {
    kind: Kind,
    text: String,
}

/// PostgreSQL's `ParseDateTime`.
fn split(text: &str) -> Result<Vec<Field>, Fault> {
    let bytes = text.as_bytes();
    if bytes.len() > INPUT_BYTES_MAX || !text.is_ascii() {
        return Err(Fault::Format);
    }
    let mut fields = Vec::new();
    let mut at = 0;
    let take = |at: &mut usize, accept: &dyn Fn(u8) -> bool| {
        let start = *at;
        while *at < bytes.len() && accept(bytes[*at]) {
            *at += 1;
        }
        start..*at
    };
    while at < bytes.len() {
        let start = at;
        let kind = match bytes[at] {
            b if b.is_ascii_whitespace() || b == 0x0b => {
                at += 1;
                continue;
            }
            b'0'..=b'9' => {
                take(&mut at, &|b| b.is_ascii_digit());
                match bytes.get(at) {
                    Some(b':') => {
                        take(&mut at, &|b| b.is_ascii_digit() || b == b':' || b == b'.');
                        Kind::Time
                    }
                    Some(&delimiter @ (b'-' | b'/' | b'.')) => {
                        at += 1;
                        if bytes.get(at).is_some_and(u8::is_ascii_digit) {
                            take(&mut at, &|b| b.is_ascii_digit());
                            if bytes.get(at) == Some(&delimiter) {
                                take(&mut at, &|b| b.is_ascii_digit() || b == delimiter);
                                Kind::Date
                            } else if delimiter == b'.' {
                                Kind::Number
                            } else {
                                Kind::Date
                            }
                        } else {
                            take(&mut at, &|b| b.is_ascii_alphanumeric() || b == delimiter);
                            Kind::Date
                        }
                    }
                    _ => Kind::Number,
                }
            }
            b'.' => {
                at += 1;
                take(&mut at, &|b| b.is_ascii_digit());
                Kind::Number
            }
            b if b.is_ascii_alphabetic() => {
                take(&mut at, &|b| b.is_ascii_alphabetic());
                let mut kind = Kind::Word;
                if matches!(bytes.get(at), Some(b'-' | b'/' | b'.' | b'_'))
                    && bytes.get(at + 1).is_some_and(u8::is_ascii_alphanumeric)
                {
                    take(&mut at, &|b| {
                        b.is_ascii_alphanumeric() || matches!(b, b'-' | b'/' | b'.' | b'_' | b'+')
                    });
                    kind = Kind::Date;
                }
                kind
            }
            b'+' | b'-' => {
                at += 1;
                take(&mut at, &|b| b.is_ascii_whitespace());
                match bytes.get(at) {
                    Some(b) if b.is_ascii_digit() => {
                        take(&mut at, &|b| b.is_ascii_digit() || b == b':' || b == b'.');
                        Kind::Zone
                    }
                    Some(b) if b.is_ascii_alphabetic() => {
                        take(&mut at, &|b| b.is_ascii_alphabetic());
                        Kind::Special
                    }
                    _ => return Err(Fault::Format),
                }
            }
            b if b.is_ascii_punctuation() => {
                at += 1;
                continue;
            }
            _ => return Err(Fault::Format),
        };
        let text: String = text[start..at]
            .chars()
            .filter(|c| !c.is_ascii_whitespace())
            .collect();
        fields.push(Field {
            kind,
            text: text.to_ascii_lowercase(),
        });
    }
    Ok(fields)
}

/// What has been found out so far.
#[derive(Default)]
struct State {
    year: Option<i32>,
    month: Option<i32>,
    day: Option<i32>,
    day_of_year: Option<i32>,
    julian: Option<i64>,
    two_digit_year: bool,
    text_month: bool,
    before_christ: bool,
    era_given: bool,
    time: Option<Clock>,
    pm: Option<bool>,
    zone: Option<TimeZone>,
    daylight: bool,
}

#[derive(Clone, Copy)]
struct Clock {
    hour: i64,
    minute: i64,
    second: i64,
    micro: i64,
}

fn decode(text: &str, ctx: &FormatContext, want: Want) -> Result<Decoded, Fault> {
    let fields = split(text)?;
    if fields.is_empty() {
        return Err(Fault::Format);
    }
    let mut state = State::default();
    // A whole date from a word such as `today`, already in its final form.
    let mut fixed: Option<(Date, Option<i64>, Option<TimeZone>)> = None;
    let mut julian_next = false;
    let mut time_next = false;
    for (index, field) in fields.iter().enumerate() {
        let text = field.text.as_str();
        match field.kind {
            Kind::Time => state.set_clock(clock(text)?)?,
            Kind::Zone => {
                // A bare sign and digits after a date is an offset too.
                let offset = zone::parse_offset(text).ok_or(Fault::Displacement)?;
                state.set_zone(TimeZone::Fixed(offset))?;
            }
            Kind::Special => {
                return match text {
                    "-infinity" if fields.len() == 1 && want != Want::Time => {
                        Ok(Decoded::NegativeInfinity)
                    }
                    "+infinity" if fields.len() == 1 && want != Want::Time => Ok(Decoded::Infinity),
                    _ => Err(Fault::Format),
                };
            }
            Kind::Date => {
                if state.date_complete() || text.starts_with(|c: char| c.is_ascii_alphabetic()) {
                    if let Some(zone) = TimeZone::from_name(text) {
                        state.set_zone(zone)?;
                        continue;
                    }
                    if time_next && let Some(sign) = text.find('-') {
                        state.number_field(&text[..sign], true)?;
                        let offset =
                            zone::parse_offset(&text[sign..]).ok_or(Fault::Displacement)?;
                        state.set_zone(TimeZone::Fixed(offset))?;
                        continue;
                    }
                    if state.date_complete() || text.contains('_') {
                        return Err(Fault::UnknownZone(text.to_owned()));
                    }
                }
                if state.time.is_some() {
                    return Err(Fault::Format);
                }
                state.date_field(text, ctx.date_style.order)?;
            }
            Kind::Number => {
                if std::mem::take(&mut julian_next) {
                    let whole = text.split('.').next().unwrap_or("");
                    let day: i64 = whole.parse().map_err(|_| Fault::Field)?;
                    state.julian = Some(day);
                    if let Some((_, fraction)) = text.split_once('.') {
                        let fraction: f64 =
                            format!("0.{fraction}").parse().map_err(|_| Fault::Format)?;
                        // Below one day, so the cast keeps the value.
                        let micros = (fraction * MICROS_PER_DAY as f64).round() as i64;
                        state.set_clock(Clock {
                            hour: 0,
                            minute: 0,
                            second: 0,
                            micro: micros,
                        })?;
                    }
                    continue;
                }
                let whole = text.split('.').next().unwrap_or("").len();
                let has_point = text.contains('.');
                if std::mem::take(&mut time_next)
                    || (want == Want::Time && !state.any_date() && text.len() >= 4)
                {
                    state.number_field(text, true)?;
                } else if has_point && !state.any_date() {
                    state.date_field(text, ctx.date_style.order)?;
                } else if (has_point && whole > 2)
                    || (text.len() >= 6 && (!state.any_date() || state.time.is_none()))
                {
                    state.number_field(text, state.date_complete())?;
                } else {
                    state.number(text, ctx.date_style.order)?;
                }
            }
            Kind::Word => match text {
                "t" if index > 0 || want == Want::Time => time_next = true,
                "j" | "jd" | "julian" => julian_next = true,
                "now" => {
                    let local = datetime::utc_to_local(ctx.now_micros, &ctx.time_zone)
                        .ok_or(Fault::Field)?;
                    let civil = Civil::from_micros(local);
                    let offset = ctx.time_zone.offset_at_utc(ctx.now_micros);
                    let zone = Some(TimeZone::Fixed(offset));
                    fixed = Some((
                        (civil.year, civil.month, civil.day),
                        Some(civil.time_micros()),
                        zone,
                    ));
                }
                "today" | "tomorrow" | "yesterday" => {
                    let local = datetime::utc_to_local(ctx.now_micros, &ctx.time_zone)
                        .ok_or(Fault::Field)?;
                    let shift = match text {
                        "tomorrow" => 1,
                        "yesterday" => -1,
                        _ => 0,
                    };
                    let date = datetime::civil_from_days(local.div_euclid(MICROS_PER_DAY) + shift);
                    fixed = Some((date, None, None));
                }
                "epoch" if want != Want::Time => {
                    fixed = Some(((1970, 1, 1), Some(0), Some(TimeZone::UTC)));
                }
                "allballs" => {
                    state.set_clock(Clock {
                        hour: 0,
                        minute: 0,
                        second: 0,
                        micro: 0,
                    })?;
                    state.set_zone(TimeZone::UTC)?;
                }
                "infinity" | "inf" if fields.len() == 1 && want != Want::Time => {
                    return Ok(Decoded::Infinity);
                }
                "am" | "pm" => {
                    if state.pm.replace(text == "pm").is_some() {
                        return Err(Fault::Format);
                    }
                }
                "ad" | "bc" | "ce" | "bce" => {
                    if std::mem::replace(&mut state.era_given, true) {
                        return Err(Fault::Format);
                    }
                    state.before_christ = text.starts_with('b');
                }
                "at" | "on" => {}
                "dst" => state.daylight = true,
                word => {
                    if let Some(month) = month_number(word) {
                        state.set_text_month(month)?;
                    } else if is_weekday(word) {
                        // Said for people; the date decides.
                    } else if let Some(seconds) = zone::abbreviation_seconds(word) {
                        state.set_zone(TimeZone::Fixed(seconds))?;
                    } else if let Some(zone) = TimeZone::from_name(word) {
                        state.set_zone(zone)?;
                    } else {
                        return Err(Fault::Format);
                    }
                }
            },
        }
    }
    if julian_next {
        return Err(Fault::Format);
    }
    if let Some((date, time, zone)) = fixed {
        if state.any_date() {
            return Err(Fault::Format);
        }
        let time = match state.finish_clock()? {
            Some(time) => Some(time),
            None => time,
        };
        return Ok(Decoded::Moment {
            date: Some(date),
            time,
            zone: state.zone.or(zone),
        });
    }
    let time = state.finish_clock()?;
    let date = state.finish_date()?;
    if date.is_none() && want != Want::Time
        || state.zone.is_some() && time.is_none() && want == Want::Time
    {
        return Err(Fault::Format);
    }
    let zone = match (state.zone, state.daylight) {
        (Some(TimeZone::Fixed(seconds)), true) => Some(TimeZone::Fixed(seconds + 3600)),
        (zone, _) => zone,
    };
    Ok(Decoded::Moment { date, time, zone })
}

impl State {
    fn any_date(&self) -> bool {
        self.year.is_some() || self.month.is_some() || self.day.is_some() || self.julian.is_some()
    }

    fn date_complete(&self) -> bool {
        self.julian.is_some()
            || self.day_of_year.is_some()
            || (self.year.is_some() && self.month.is_some() && self.day.is_some())
    }

    fn set_clock(&mut self, clock: Clock) -> Result<(), Fault> {
        if self.time.replace(clock).is_some() {
            Err(Fault::Format)
        } else {
            Ok(())
        }
    }

    fn set_zone(&mut self, zone: TimeZone) -> Result<(), Fault> {
        if self.zone.replace(zone).is_some() {
            Err(Fault::Format)
        } else {
            Ok(())
        }
    }

    fn set_text_month(&mut self, month: i32) -> Result<(), Fault> {
        // `08 Jan 1999`: in MDY order the 8 was taken for a month.
        if let (Some(number), false, None) = (self.month, self.text_month, self.day) {
            self.day = Some(number);
        } else if self.month.is_some() {
            return Err(Fault::Format);
        }
        self.month = Some(month);
        self.text_month = true;
        Ok(())
    }

    /// PostgreSQL's `DecodeDate`: parts between delimiters, names first, then numbers in order.
    fn date_field(&mut self, text: &str, order: DateOrder) -> Result<(), Fault> {
        let parts: Vec<&str> = text
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|part| !part.is_empty())
            .collect();
        if parts.len() > 3 {
            return Err(Fault::Format);
        }
        for part in &parts {
            if part.starts_with(|c: char| c.is_ascii_alphabetic()) {
                self.set_text_month(month_number(part).ok_or(Fault::Format)?)?;
            }
        }
        for part in &parts {
            if part.starts_with(|c: char| c.is_ascii_digit()) {
                if !part.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(Fault::Format);
                }
                self.number(part, order)?;
            }
        }
        Ok(())
    }

    /// PostgreSQL's `DecodeNumber`: one number whose place in the date decides what it is.
    fn number(&mut self, text: &str, order: DateOrder) -> Result<(), Fault> {
        let (digits, fraction) = text
            .split_once('.')
            .map_or((text, None), |(a, b)| (a, Some(b)));
        if fraction.is_some() {
            return self.number_field(text, true);
        }
        let value: i32 = digits.parse().map_err(|_| Fault::Field)?;
        let length = digits.len();
        if length == 3
            && self.year.is_some()
            && self.month.is_none()
            && self.day.is_none()
            && (1..=366).contains(&value)
        {
            self.day_of_year = Some(value);
            return Ok(());
        }
        let mut year_set = false;
        match (
            self.year.is_some(),
            self.month.is_some(),
            self.day.is_some(),
        ) {
            (false, false, false) => {
                if length >= 3 || order == DateOrder::Ymd {
                    self.year = Some(value);
                    year_set = true;
                } else if order == DateOrder::Dmy {
                    self.day = Some(value);
                } else {
                    self.month = Some(value);
                }
            }
            (true, false, false) | (false, false, true) => self.month = Some(value),
            (false, true, false) => {
                if self.text_month && (length >= 3 || order == DateOrder::Ymd) {
                    self.year = Some(value);
                    year_set = true;
                } else {
                    self.day = Some(value);
                }
            }
            (true, true, false) => {
                if self.text_month && length >= 3 && self.two_digit_year {
                    self.day = self.year;
                    self.year = Some(value);
                    self.two_digit_year = false;
                } else {
                    self.day = Some(value);
                }
            }
            (false, true, true) => {
                self.year = Some(value);
                year_set = true;
            }
            (true, true, true) => return self.number_field(text, true),
            (true, false, true) => return Err(Fault::Format),
        }
        if year_set {
            self.two_digit_year = length <= 2;
        }
        Ok(())
    }

    /// PostgreSQL's `DecodeNumberField`: digits run together, `yyyymmdd` or `hhmmss[.f]`.
    fn number_field(&mut self, text: &str, date_done: bool) -> Result<(), Fault> {
        let (digits, fraction) = text
            .split_once('.')
            .map_or((text, None), |(a, b)| (a, Some(b)));
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Fault::Format);
        }
        let part =
            |from: usize, to: usize| digits[from..to].parse::<i32>().map_err(|_| Fault::Field);
        let length = digits.len();
        if fraction.is_none() && !date_done && length >= 6 {
            self.day = Some(part(length - 2, length)?);
            self.month = Some(part(length - 4, length - 2)?);
            self.year = Some(part(0, length - 4)?);
            self.two_digit_year = length == 6;
            return Ok(());
        }
        let micro = fraction.map_or(Ok(0), fraction_micros)?;
        let (hour, minute, second) = match length {
            6 => (part(0, 2)?, part(2, 4)?, part(4, 6)?),
            4 => (part(0, 2)?, part(2, 4)?, 0),
            _ => return Err(Fault::Format),
        };
        self.set_clock(Clock {
            hour: hour.into(),
            minute: minute.into(),
            second: second.into(),
            micro,
        })
    }

    fn finish_clock(&self) -> Result<Option<i64>, Fault> {
        let Some(mut clock) = self.time else {
            return if self.pm.is_some() {
                Err(Fault::Format)
            } else {
                Ok(None)
            };
        };
        if let Some(pm) = self.pm {
            if clock.hour > 12 {
                return Err(Fault::Field);
            }
            if pm && clock.hour != 12 {
                clock.hour += 12;
            } else if !pm && clock.hour == 12 {
                clock.hour = 0;
            }
        }
        let micros = clock.hour * MICROS_PER_HOUR
            + clock.minute * datetime::MICROS_PER_MINUTE
            + clock.second * MICROS_PER_SECOND
            + clock.micro;
        if clock.hour > 24 || clock.minute > 59 || clock.second > 60 || micros > MICROS_PER_DAY {
            return Err(Fault::Field);
        }
        Ok(Some(micros))
    }

    /// PostgreSQL's `ValidateDate`.
    fn finish_date(&self) -> Result<Option<(i32, u32, u32)>, Fault> {
        if let Some(julian) = self.julian {
            let days = julian - i64::from(-datetime::DATE_MIN);
            if !datetime::date_in_range(days) {
                return Err(Fault::Field);
            }
            return Ok(Some(datetime::civil_from_days(days)));
        }
        if !self.any_date() {
            return if self.era_given {
                Err(Fault::Format)
            } else {
                Ok(None)
            };
        }
        let mut year = self.year.ok_or(Fault::Format)?;
        if self.before_christ {
            if year <= 0 {
                return Err(Fault::Field);
            }
            year = 1 - year;
        } else if self.two_digit_year {
            year += if year < TWO_DIGIT_YEAR_PIVOT {
                2000
            } else {
                1900
            };
        } else if year <= 0 {
            return Err(Fault::Field);
        }
        if !(-4_800..=5_900_000).contains(&year) {
            return Err(Fault::Field);
        }
        if let Some(day_of_year) = self.day_of_year {
            let days = datetime::days_from_civil(year, 1, 1) + i64::from(day_of_year) - 1;
            let date = datetime::civil_from_days(days);
            return if date.0 == year {
                Ok(Some(date))
            } else {
                Err(Fault::Field)
            };
        }
        let (month, day) = (
            self.month.ok_or(Fault::Format)?,
            self.day.ok_or(Fault::Format)?,
        );
        let (Ok(month), Ok(day)) = (u32::try_from(month), u32::try_from(day)) else {
            return Err(Fault::MonthOrDay);
        };
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return Err(Fault::MonthOrDay);
        }
        if day > datetime::days_in_month(year, month) {
            return Err(Fault::Field);
        }
        Ok(Some((year, month, day)))
    }
}

/// `h:m[:s[.f]]`
fn clock(text: &str) -> Result<Clock, Fault> {
    let (whole, fraction) = text
        .split_once('.')
        .map_or((text, None), |(a, b)| (a, Some(b)));
    let mut parts = whole.split(':');
    let mut number = || -> Result<Option<i64>, Fault> {
        match parts.next() {
            None => Ok(None),
            // Nothing after the last colon counts as zero.
            Some("") => Ok(Some(0)),
            Some(part) => part.parse().map(Some).map_err(|_| Fault::Field),
        }
    };
    let hour = number()?.ok_or(Fault::Format)?;
    let minute = number()?.ok_or(Fault::Format)?;
    let second = number()?;
    if number()?.is_some() || (second.is_none() && fraction.is_some()) {
        return Err(Fault::Format);
    }
    let micro = fraction.map_or(Ok(0), fraction_micros)?;
    let second = second.unwrap_or(0);
    if hour > 10_000 || minute > 59 || second > 60 {
        return Err(Fault::Field);
    }
    Ok(Clock {
        hour,
        minute,
        second,
        micro,
    })
}

/// Digits after the point of a second, rounded to microseconds as C's `rint` does; may give a whole
/// second.
pub(super) fn parse_fraction_micros(digits: &str) -> Option<i64> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: f64 = format!("0.{digits}0").parse().ok()?;
    // At most a million, so the cast keeps the value.
    Some((fraction * 1e6).round_ties_even() as i64)
}

fn fraction_micros(digits: &str) -> Result<i64, Fault> {
    parse_fraction_micros(digits).ok_or(Fault::Format)
}

fn month_number(word: &str) -> Option<i32> {
    let position = datetime::MONTHS
        .iter()
        .position(|name| name.eq_ignore_ascii_case(word) || name[..3].eq_ignore_ascii_case(word));
    if word == "sept" {
        return Some(9);
    }
    position.and_then(|index| i32::try_from(index + 1).ok())
}

fn is_weekday(word: &str) -> bool {
    matches!(word, "tues" | "wednes" | "weds" | "thur" | "thurs")
        || datetime::WEEKDAYS
            .iter()
            .any(|name| name.eq_ignore_ascii_case(word) || name[..3].eq_ignore_ascii_case(word))
}
