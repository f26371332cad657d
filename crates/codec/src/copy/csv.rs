//! COPY's csv format.

use super::decoder::{Fields, Progress, Step};
use super::error::{CopyError, shorten};
use super::options::CsvOptions;

/// Reads one row, perhaps of several lines, from the start of `bytes`.
pub(super) fn step(
    bytes: &[u8],
    finished: bool,
    options: &CsvOptions,
    progress: &mut Progress,
    fields: &mut Fields,
    line: u64,
) -> Result<Step, CopyError> {
    let Some((end, length)) = row_end(bytes, finished, options, progress) else {
        return Ok(Step::More);
    };
    let row = &bytes[..end];
    if row == b"\\." {
        return Ok(Step::End(length));
    }
    if progress.in_quotes {
        return Err(CopyError::Format {
            message: "unterminated CSV quoted field".to_owned(),
            hint: None,
            line,
            shown: Some(shorten(row)),
        });
    }
    split(row, options, fields);
    Ok(Step::Row(length))
}

/// Where the row ends, and where the next one begins. Newlines inside quotes are data.
fn row_end(
    bytes: &[u8],
    finished: bool,
    options: &CsvOptions,
    progress: &mut Progress,
) -> Option<(usize, usize)> {
    let separate_escape = options.escape != options.quote;
    let mut at = progress.scanned;
    while at < bytes.len() {
        let byte = bytes[at];
        if progress.escaped {
            progress.escaped = false;
            at += 1;
            continue;
        }
        if separate_escape && progress.in_quotes && byte == options.escape {
            progress.escaped = true;
        } else if byte == options.quote {
            // A doubled quote leaves and enters again, which comes to the same.
            progress.in_quotes = !progress.in_quotes;
        } else if !progress.in_quotes {
            match byte {
                b'\n' => return Some((at, at + 1)),
                b'\r' => match bytes.get(at + 1) {
                    Some(b'\n') => return Some((at, at + 2)),
                    Some(_) => return Some((at, at + 1)),
                    None if finished => return Some((at, at + 1)),
                    None => {
                        progress.scanned = at;
                        return None;
                    }
                },
                _ => {}
            }
        }
        at += 1;
    }
    progress.scanned = at;
    finished.then_some((at, at))
}

fn split(row: &[u8], options: &CsvOptions, fields: &mut Fields) {
    if !row.contains(&options.quote) {
        let mut start = 0;
        for part in row.split(|byte| *byte == options.delimiter) {
            let end = start + part.len();
            let index = fields.bounds.len();
            fields
                .bounds
                .push((!is_null(part, false, index, options)).then_some((start, end)));
            start = end + 1;
        }
        return;
    }
    fields.is_copy = true;
    let mut at = 0;
    loop {
        let start = fields.copied.len();
        let mut quoted = false;
        let mut in_quotes = false;
        while at < row.len() {
            let byte = row[at];
            if in_quotes {
                let next = row.get(at + 1).copied();
                let escapes = byte == options.escape
                    && next.is_some_and(|next| next == options.quote || next == options.escape);
                if escapes {
                    fields.copied.push(next.unwrap_or(byte));
                    at += 1;
                } else if byte == options.quote {
                    in_quotes = false;
                } else {
                    fields.copied.push(byte);
                }
            } else if byte == options.quote {
                in_quotes = true;
                quoted = true;
            } else if byte == options.delimiter {
                break;
            } else {
                fields.copied.push(byte);
            }
            at += 1;
        }
        let index = fields.bounds.len();
        if is_null(&fields.copied[start..], quoted, index, options) {
            fields.copied.truncate(start);
            fields.bounds.push(None);
        } else {
            fields.bounds.push(Some((start, fields.copied.len())));
        }
        if at >= row.len() {
            return;
        }
        at += 1;
    }
}

fn is_null(field: &[u8], quoted: bool, index: usize, options: &CsvOptions) -> bool {
    let listed = |list: &[bool]| list.get(index).copied().unwrap_or(false);
    if field != options.null.as_bytes() {
        return false;
    }
    if quoted {
        listed(&options.force_null)
    } else {
        !listed(&options.force_not_null)
    }
}
