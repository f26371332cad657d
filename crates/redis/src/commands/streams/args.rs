//! Ids, ranges, and how streams are trimmed.

use tessera_keyvalue::{AddId, StreamId, StreamRange, Trim, TrimTo, parse_integer};

use crate::args::{Cursor, integer};
use crate::fault::{Fault, Result, SYNTAX};
use crate::request::Request;
use crate::table::Command;

/// `5-3`, or `5` for `5-0`.
pub(super) fn id(text: &[u8]) -> Result<StreamId> {
    Ok(StreamId::parse(text, 0)?)
}

pub(super) fn ids(request: &Request, at: usize) -> Result<Vec<StreamId>> {
    (at..request.len()).map(|at| id(request.arg(at))).collect()
}

/// `*`, `5-*`, `5-3`, `5`
pub(super) fn add_id(text: &[u8]) -> Result<AddId> {
    if text == b"*" {
        return Ok(AddId::Auto);
    }
    match text.strip_suffix(b"-*") {
        Some(millis) => {
            let bad = Fault::KeyValue(tessera_keyvalue::KeyValueError::InvalidStreamId);
            let millis = parse_integer(millis).and_then(|millis| u64::try_from(millis).ok());
            millis.map(AddId::AutoSequence).ok_or(bad)
        }
        None => Ok(AddId::Exact(id(text)?)),
    }
}

/// A range by its ends: `-`, `+`, ids, `(` before an id for "without it"; none if it is empty.
pub(super) fn range(start: &[u8], end: &[u8]) -> Result<Option<StreamRange>> {
    let start = match start {
        b"-" => Some(StreamId::MIN),
        b"+" => Some(StreamId::MAX),
        [b'(', text @ ..] => Some(
            StreamId::parse(text, 0)?
                .next()
                .ok_or(Fault::Static("ERR invalid start ID for the interval"))?,
        ),
        text => Some(StreamId::parse(text, 0)?),
    };
    let end = match end {
        b"-" => Some(StreamId::MIN),
        b"+" => Some(StreamId::MAX),
        [b'(', text @ ..] => Some(
            StreamId::parse(text, u64::MAX)?
                .previous()
                .ok_or(Fault::Static("ERR invalid end ID for the interval"))?,
        ),
        text => Some(StreamId::parse(text, u64::MAX)?),
    };
    Ok(start
        .zip(end)
        .filter(|(start, end)| start <= end)
        .map(|(start, end)| StreamRange { start, end }))
}

/// `[COUNT n]`; a negative count is 0.
pub(super) fn count(options: &mut Cursor<'_>) -> Result<Option<u64>> {
    if !options.take("COUNT") {
        return Ok(None);
    }
    let count = integer(options.need()?)?;
    Ok(Some(u64::try_from(count).unwrap_or(0)))
}

/// `MAXLEN | MINID [= | ~] n [LIMIT n]`, if that follows.
pub(super) fn trim(options: &mut Cursor<'_>) -> Result<Option<Trim>> {
    let by_length = options.take("MAXLEN");
    if !by_length && !options.take("MINID") {
        return Ok(None);
    }
    let is_rough = options.take("~");
    if !is_rough {
        options.take("=");
    }
    let threshold = options.need()?;
    let to = if by_length {
        let length = integer(threshold)?;
        TrimTo::Length(
            u64::try_from(length)
                .map_err(|_| Fault::Static("ERR The MAXLEN argument must be >= 0."))?,
        )
    } else {
        TrimTo::Id(id(threshold)?)
    };
    let mut limit = None;
    if options.take("MAXLEN") || options.take("MINID") {
        return Err(Fault::Static(
            "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
        ));
    }
    if options.take("LIMIT") {
        if !is_rough {
            return Err(Fault::Static(
                "ERR syntax error, LIMIT cannot be used without the special ~ option",
            ));
        }
        let count = integer(options.need()?)?;
        let count = u64::try_from(count)
            .map_err(|_| Fault::Static("ERR The LIMIT argument must be >= 0."))?;
        // 0 means no limit.
        limit = (count > 0).then_some(count);
    }
    Ok(Some(Trim { to, limit }))
}

/// A start of a group: `$` or an id.
pub(super) fn group_start(text: &[u8]) -> Result<tessera_keyvalue::GroupStart> {
    Ok(match text {
        b"$" => tessera_keyvalue::GroupStart::Newest,
        text => tessera_keyvalue::GroupStart::Id(id(text)?),
    })
}

/// `[ENTRIESREAD n]`, where -1 means not known.
pub(super) fn entries_read(options: &mut Cursor<'_>) -> Result<Option<u64>> {
    let count = integer(options.need()?)?;
    if count < -1 {
        return Err(Fault::Static(
            "ERR value for ENTRIESREAD must be positive or -1",
        ));
    }
    Ok(u64::try_from(count).ok())
}

/// Milliseconds of idleness; negative ones are 0.
pub(super) fn idle_millis(text: &[u8], command: Command) -> Result<u64> {
    let millis = parse_integer(text).ok_or(Fault::Static(match command {
        Command::Xautoclaim => "ERR Invalid min-idle-time argument for XAUTOCLAIM",
        _ => "ERR Invalid min-idle-time argument for XCLAIM",
    }))?;
    Ok(u64::try_from(millis).unwrap_or(0))
}

/// Nothing else may follow.
pub(super) fn no_more(options: &Cursor<'_>) -> Result<()> {
    if options.left() == 0 {
        Ok(())
    } else {
        Err(SYNTAX)
    }
}
