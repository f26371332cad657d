//! COPY's text format: a line per row, backslash escapes, `\.` as the end.

use super::decoder::{Fields, Progress, Step};
use super::options::TextOptions;

/// Reads one line from the start of `bytes`.
pub(super) fn step(
    bytes: &[u8],
    finished: bool,
    options: &TextOptions,
    progress: &mut Progress,
    fields: &mut Fields,
) -> Step {
    let Some((end, length)) = line_end(bytes, finished, progress) else {
        return Step::More;
    };
    let line = &bytes[..end];
    if line == b"\\." {
        return Step::End(length);
    }
    split(line, options, fields);
    Step::Row(length)
}

/// Where the line ends, and where the next one begins.
fn line_end(bytes: &[u8], finished: bool, progress: &mut Progress) -> Option<(usize, usize)> {
    let mut at = progress.scanned;
    while at < bytes.len() {
        let byte = bytes[at];
        if progress.escaped {
            // An escaped newline is data.
            progress.escaped = false;
        } else {
            match byte {
                b'\\' => progress.escaped = true,
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

fn split(line: &[u8], options: &TextOptions, fields: &mut Fields) {
    let null = options.null.as_bytes();
    if !line.contains(&b'\\') {
        let mut start = 0;
        for part in line.split(|byte| *byte == options.delimiter) {
            let end = start + part.len();
            fields.bounds.push((part != null).then_some((start, end)));
            start = end + 1;
        }
        return;
    }
    fields.is_copy = true;
    let mut at = 0;
    loop {
        let raw_start = at;
        let start = fields.copied.len();
        while at < line.len() && line[at] != options.delimiter {
            let byte = line[at];
            at += 1;
            if byte == b'\\' && at < line.len() {
                at += unescape(&line[at..], &mut fields.copied);
            } else {
                fields.copied.push(byte);
            }
        }
        // NULL is recognised by how the field is written.
        if &line[raw_start..at] == null {
            fields.copied.truncate(start);
            fields.bounds.push(None);
        } else {
            fields.bounds.push(Some((start, fields.copied.len())));
        }
        if at >= line.len() {
            return;
        }
        at += 1;
    }
}

/// Writes what stands after a backslash means; how many bytes it took.
fn unescape(bytes: &[u8], out: &mut Vec<u8>) -> usize {
    match bytes[0] {
        b'b' => out.push(0x08),
        b'f' => out.push(0x0c),
        b'n' => out.push(b'\n'),
        b'r' => out.push(b'\r'),
        b't' => out.push(b'\t'),
        b'v' => out.push(0x0b),
        b'0'..=b'7' => {
            let digits = bytes
                .iter()
                .take(3)
                .take_while(|byte| matches!(byte, b'0'..=b'7'))
                .count();
            let value = bytes[..digits]
                .iter()
                .fold(0u32, |sum, digit| sum * 8 + u32::from(digit - b'0'));
            // As PostgreSQL: only the low eight bits.
            out.push((value & 0xff) as u8);
            return digits;
        }
        b'x' => {
            let digits = bytes[1..]
                .iter()
                .take(2)
                .take_while(|byte| byte.is_ascii_hexdigit())
                .count();
            if digits == 0 {
                out.push(b'x');
                return 1;
            }
            let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0);
            let value = bytes[1..=digits]
                .iter()
                .fold(0, |sum, byte| sum * 16 + digit(*byte));
            out.push((value & 0xff) as u8);
            return 1 + digits;
        }
        other => out.push(other),
    }
    1
}
