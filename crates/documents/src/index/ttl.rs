//! When a document expires.

use chrono::{DateTime, SecondsFormat, Utc};
use tessera_codec::json::JsonRef;

use crate::error::Result;
use crate::path::Reached;

/// First byte of an expiry in an entry.
const EXPIRY: u8 = 0x10;

/// Microseconds since 1970 at which a document expires: `seconds` after the earliest date among
/// the values and the elements of arrays. A date is an RFC 3339 text or a number of milliseconds
/// since 1970; anything else is none.
pub(super) fn expiry(reached: &Reached<'_>, seconds: u32) -> Result<Option<i64>> {
    let mut earliest: Option<i64> = None;
    let mut add = |value: &JsonRef<'_>| {
        if let Some(instant) = instant(value) {
            earliest = Some(earliest.map_or(instant, |earliest| earliest.min(instant)));
        }
    };
    for value in reached.values.iter().flatten() {
        add(value);
        if let JsonRef::Array(array) = value {
            for element in array.iter() {
                add(&element?);
            }
        }
    }
    Ok(earliest.and_then(|date| date.checked_add(i64::from(seconds) * 1_000_000)))
}

fn instant(value: &JsonRef<'_>) -> Option<i64> {
    match value {
        JsonRef::String(text) => {
            let date = DateTime::parse_from_rfc3339(text).ok()?;
            Some(date.timestamp_micros())
        }
        JsonRef::Number(millis) => millis.to_i64()?.checked_mul(1_000),
        _ => None,
    }
}

/// Appends an expiry as entries have it.
pub(super) fn encode(expiry: i64, out: &mut Vec<u8>) {
    out.push(EXPIRY);
    out.extend_from_slice(&(expiry ^ i64::MIN).to_be_bytes());
}

/// RFC 3339 in UTC with milliseconds.
pub(crate) fn format_instant(unix_micros: i64) -> String {
    DateTime::<Utc>::from_timestamp_micros(unix_micros)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}
