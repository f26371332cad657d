//! COPY's binary format: a signature, rows of counted fields, a trailer of -1.

use super::decoder::{Fields, Step};
use super::error::CopyError;

pub(super) const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// A count that ends the data.
pub(super) const TRAILER: i16 = -1;
/// Flag bits that change the format; we know none of them.
const CRITICAL_FLAGS: u32 = 0xffff_0000;
const HAS_OIDS: u32 = 1 << 16;
/// The extension of the header may not be longer; none is in use.
const EXTENSION_BYTES_MAX: u32 = 1 << 20;

fn fault(message: impl Into<String>, line: u64) -> CopyError {
    CopyError::Format {
        message: message.into(),
        hint: None,
        line,
        shown: None,
    }
}

pub(super) fn no_signature() -> CopyError {
    fault("COPY file signature not recognized", 0)
}

/// Length of the header; None when more bytes are needed.
pub(super) fn header(bytes: &[u8], finished: bool) -> Result<Option<usize>, CopyError> {
    let compared = bytes.len().min(SIGNATURE.len());
    if bytes[..compared] != SIGNATURE[..compared] {
        return Err(no_signature());
    }
    let missing = |what: &str| {
        if finished {
            Err(fault(
                format!("invalid COPY file header (missing {what})"),
                0,
            ))
        } else {
            Ok(None)
        }
    };
    if bytes.len() < SIGNATURE.len() {
        return if finished {
            Err(no_signature())
        } else {
            Ok(None)
        };
    }
    let rest = &bytes[SIGNATURE.len()..];
    let Some((flags, rest)) = rest.split_first_chunk::<4>() else {
        return missing("flags");
    };
    let flags = u32::from_be_bytes(*flags);
    if flags & HAS_OIDS != 0 {
        return Err(fault("invalid COPY file header (WITH OIDS)", 0));
    }
    if flags & CRITICAL_FLAGS != 0 {
        return Err(fault("unrecognized critical flags in COPY file header", 0));
    }
    let Some((length, rest)) = rest.split_first_chunk::<4>() else {
        return missing("length");
    };
    let length = u32::from_be_bytes(*length);
    if length > EXTENSION_BYTES_MAX {
        return Err(fault("invalid COPY file header (wrong length)", 0));
    }
    // At most EXTENSION_BYTES_MAX.
    let length = length as usize;
    if rest.len() < length {
        return missing("extension");
    }
    Ok(Some(SIGNATURE.len() + 8 + length))
}

/// Reads one row from the start of `bytes`.
pub(super) fn step(
    bytes: &[u8],
    finished: bool,
    columns: usize,
    fields: &mut Fields,
    line: u64,
) -> Result<Step, CopyError> {
    let more = || {
        if finished {
            Err(fault("unexpected EOF in COPY data", line))
        } else {
            Ok(Step::More)
        }
    };
    let Some((count, _)) = bytes.split_first_chunk::<2>() else {
        return more();
    };
    let count = i16::from_be_bytes(*count);
    if count == TRAILER {
        return match bytes.len() {
            2 => Ok(Step::End(2)),
            _ => Err(fault("received copy data after EOF marker", line)),
        };
    }
    if usize::try_from(count).ok() != Some(columns) {
        return Err(fault(
            format!("row field count is {count}, expected {columns}"),
            line,
        ));
    }
    let mut at = 2;
    for _ in 0..columns {
        let Some(length) = bytes.get(at..at + 4) else {
            return more();
        };
        let length = i32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        at += 4;
        if length == -1 {
            fields.bounds.push(None);
            continue;
        }
        let length = usize::try_from(length).map_err(|_| fault("invalid field size", line))?;
        let end = at + length;
        if end > bytes.len() {
            return more();
        }
        fields.bounds.push(Some((at, end)));
        at = end;
    }
    Ok(Step::Row(at))
}
