//! Arguments as numbers, options and bounds.

pub(crate) use tessera_keyvalue::parse_float;
use tessera_keyvalue::{
    Expire, LexBound, LexRange, ScanSpec, ScoreBound, ScoreRange, SetExpiry, ValueType,
    parse_integer,
};

use crate::fault::{Fault, NOT_A_FLOAT, NOT_AN_INTEGER, NOT_POSITIVE, Result, SYNTAX};
use crate::request::Request;

pub(crate) fn integer(text: &[u8]) -> Result<i64> {
    parse_integer(text).ok_or(NOT_AN_INTEGER)
}

/// An integer that is not negative.
pub(crate) fn positive(text: &[u8]) -> Result<u64> {
    u64::try_from(parse_integer(text).ok_or(NOT_POSITIVE)?).map_err(|_| NOT_POSITIVE)
}

/// A number, also infinite; not NaN.
pub(crate) fn float(text: &[u8]) -> Result<f64> {
    parse_float(text).ok_or(NOT_A_FLOAT)
}

/// Seconds, with a fraction, that a blocking command waits; none for ever.
pub(crate) fn block_seconds(text: &[u8]) -> Result<Option<std::time::Duration>> {
    let seconds =
        parse_float(text).ok_or(Fault::Static("ERR timeout is not a float or out of range"))?;
    if seconds < 0.0 {
        return Err(Fault::Static("ERR timeout is negative"));
    }
    if seconds == 0.0 {
        return Ok(None);
    }
    std::time::Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| duration.as_millis() <= i64::MAX as u128)
        .map(Some)
        .ok_or(Fault::Static("ERR timeout is out of range"))
}

/// Reads arguments one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    request: &'a Request,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(request: &'a Request, at: usize) -> Cursor<'a> {
        Cursor { request, at }
    }

    /// Place of the next argument.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Number of arguments that are left.
    pub(crate) fn left(&self) -> usize {
        self.request.len().saturating_sub(self.at)
    }

    pub(crate) fn next(&mut self) -> Option<&'a [u8]> {
        if self.left() == 0 {
            return None;
        }
        self.at += 1;
        Some(self.request.arg(self.at - 1))
    }

    /// The argument that must follow.
    pub(crate) fn need(&mut self) -> Result<&'a [u8]> {
        self.next().ok_or(SYNTAX)
    }

    /// Goes past the next argument if it is this word.
    pub(crate) fn take(&mut self, word: &str) -> bool {
        let is_it = self.request.is(self.at, word);
        self.at += usize::from(is_it);
        is_it
    }

    /// Nothing may follow.
    pub(crate) fn end(&self) -> Result<()> {
        if self.left() == 0 {
            Ok(())
        } else {
            Err(SYNTAX)
        }
    }
}

/// Units of an expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Millis,
}

/// EX, PX, EXAT, PXAT and their argument, if the next option is one of them. An overflow is an
/// invalid expire time, as the model reports it.
pub(crate) fn expiry_option(options: &mut Cursor<'_>) -> Result<Option<Expire>> {
    let (unit, is_moment) = if options.take("EX") {
        (Unit::Seconds, false)
    } else if options.take("PX") {
        (Unit::Millis, false)
    } else if options.take("EXAT") {
        (Unit::Seconds, true)
    } else if options.take("PXAT") {
        (Unit::Millis, true)
    } else {
        return Ok(None);
    };
    let value = integer(options.need()?)?;
    expire(value, unit, is_moment).map(Some)
}

pub(crate) fn expire(value: i64, unit: Unit, is_moment: bool) -> Result<Expire> {
    let millis = match unit {
        Unit::Millis => Some(value),
        Unit::Seconds => value.checked_mul(1_000),
    };
    let millis = millis.ok_or(Fault::KeyValue(
        tessera_keyvalue::KeyValueError::InvalidExpire,
    ))?;
    Ok(if is_moment {
        Expire::AtMillis(millis)
    } else {
        Expire::InMillis(millis)
    })
}

/// The same for SET, where only one of them may be given.
pub(crate) fn set_expiry(options: &mut Cursor<'_>, expiry: &mut SetExpiry) -> Result<bool> {
    let found = if options.take("KEEPTTL") {
        SetExpiry::Keep
    } else {
        match expiry_option(options)? {
            Some(expire) => SetExpiry::Expire(expire),
            None => return Ok(false),
        }
    };
    let is_again = found == SetExpiry::Keep && *expiry == SetExpiry::Keep;
    if *expiry != SetExpiry::Clear && !is_again {
        return Err(SYNTAX);
    }
    *expiry = found;
    Ok(true)
}

/// MATCH, COUNT and, for SCAN, TYPE; none if no key can have the type.
pub(crate) fn scan_options<'a>(
    mut options: Cursor<'a>,
    with_type: bool,
) -> Result<Option<ScanSpec<'a>>> {
    let mut spec = ScanSpec::default();
    let mut is_known_type = true;
    while options.left() > 0 {
        if options.take("MATCH") {
            spec.pattern = Some(options.need()?);
        } else if options.take("COUNT") {
            let count = integer(options.need()?)?;
            if count < 1 {
                return Err(SYNTAX);
            }
            spec.count = usize::try_from(count).ok();
        } else if with_type && options.take("TYPE") {
            spec.value_type = ValueType::from_name(options.need()?);
            is_known_type = spec.value_type.is_some();
        } else {
            return Err(SYNTAX);
        }
    }
    // No key has a type that does not exist.
    Ok(is_known_type.then_some(spec))
}

pub(crate) fn scan_cursor(text: &[u8]) -> Result<u64> {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(Fault::Static("ERR invalid cursor"))
}

/// Keys that follow their number: `numkeys key ...`. The place behind them, too.
pub(crate) fn counted_keys(
    request: &Request,
    at: usize,
    not_positive: &'static str,
) -> Result<(usize, usize)> {
    let count = parse_integer(request.arg(at))
        .filter(|count| *count > 0)
        .ok_or(Fault::Static(not_positive))?;
    let start = at + 1;
    usize::try_from(count)
        .ok()
        .and_then(|count| start.checked_add(count))
        .filter(|end| *end <= request.len())
        .map(|end| (start, end))
        .ok_or(SYNTAX)
}

fn score_bound(text: &[u8]) -> Option<ScoreBound> {
    match text {
        [b'(', score @ ..] => parse_float(score).map(ScoreBound::Excluded),
        score => parse_float(score).map(ScoreBound::Included),
    }
}

pub(crate) fn score_range(min: &[u8], max: &[u8]) -> Result<ScoreRange> {
    match (score_bound(min), score_bound(max)) {
        (Some(min), Some(max)) => Ok(ScoreRange { min, max }),
        _ => Err(Fault::Static("ERR min or max is not a float")),
    }
}

fn lex_bound(text: &[u8]) -> Option<LexBound<'_>> {
    match text {
        b"-" => Some(LexBound::First),
        b"+" => Some(LexBound::Last),
        [b'[', name @ ..] => Some(LexBound::Included(name)),
        [b'(', name @ ..] => Some(LexBound::Excluded(name)),
        _ => None,
    }
}

pub(crate) fn lex_range<'a>(min: &'a [u8], max: &'a [u8]) -> Result<LexRange<'a>> {
    match (lex_bound(min), lex_bound(max)) {
        (Some(min), Some(max)) => Ok(LexRange { min, max }),
        _ => Err(Fault::Static("ERR min or max not valid string range item")),
    }
}
