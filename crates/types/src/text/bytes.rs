//! Text of `bytea` and `uuid`.

use crate::codes;
use crate::context::ByteaOutput;
use crate::error::ValueError;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// `\x` and hexadecimal digits, or the escape format.
pub(super) fn parse_bytea(text: &str) -> Result<Vec<u8>, ValueError> {
    match text.strip_prefix("\\x") {
        Some(hex) => parse_hex(hex),
        None => parse_escape(text.as_bytes()),
    }
}

fn parse_hex(text: &str) -> Result<Vec<u8>, ValueError> {
    let error = |message: String| ValueError::InvalidBytea {
        message,
        code: codes::INVALID_PARAMETER_VALUE,
    };
    let mut out = Vec::with_capacity(text.len() / 2);
    let mut chars = text.chars();
    while let Some(first) = chars.next() {
        // Blanks are allowed between bytes, not inside.
        if matches!(first, ' ' | '\n' | '\t' | '\r') {
            continue;
        }
        let invalid = |c: char| error(format!("invalid hexadecimal digit: \"{c}\""));
        let high = first.to_digit(16).ok_or_else(|| invalid(first))?;
        let Some(second) = chars.next() else {
            return Err(error(
                "invalid hexadecimal data: odd number of digits".to_owned(),
            ));
        };
        let low = second.to_digit(16).ok_or_else(|| invalid(second))?;
        out.push(u8::try_from(high * 16 + low).unwrap_or(0));
    }
    Ok(out)
}

fn parse_escape(bytes: &[u8]) -> Result<Vec<u8>, ValueError> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        rest = match rest {
            [] => return Ok(out),
            [b'\\', b'\\', rest @ ..] => {
                out.push(b'\\');
                rest
            }
            [
                b'\\',
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                rest @ ..,
            ] => {
                out.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                rest
            }
            [b'\\', ..] => {
                return Err(ValueError::InvalidBytea {
                    message: "invalid input syntax for type bytea".to_owned(),
                    code: codes::INVALID_TEXT_REPRESENTATION,
                });
            }
            [byte, rest @ ..] => {
                out.push(*byte);
                rest
            }
        };
    }
}

pub(super) fn write_bytea(bytes: &[u8], style: ByteaOutput, out: &mut Vec<u8>) {
    match style {
        ByteaOutput::Hex => {
            out.reserve(2 + bytes.len() * 2);
            out.extend_from_slice(b"\\x");
            write_hex(bytes, out);
        }
        ByteaOutput::Escape => {
            for byte in bytes {
                match byte {
                    b'\\' => out.extend_from_slice(b"\\\\"),
                    0x20..=0x7e => out.push(*byte),
                    _ => {
                        let digit = |shift: u8| b'0' + ((byte >> shift) & 7);
                        out.extend_from_slice(&[b'\\', digit(6), digit(3), digit(0)]);
                    }
                }
            }
        }
    }
}

fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.push(HEX[usize::from(byte >> 4)]);
        out.push(HEX[usize::from(byte & 15)]);
    }
}

/// 32 hexadecimal digits; a hyphen may follow every fourth; braces may surround all.
pub(super) fn parse_uuid(text: &str) -> Result<[u8; 16], ValueError> {
    let error = || ValueError::text("uuid", text);
    let inner = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}').ok_or_else(error)?,
        None => text,
    };
    let mut uuid = [0u8; 16];
    let mut digits = 0;
    let mut after_hyphen = true;
    for byte in inner.bytes() {
        if byte == b'-' {
            if after_hyphen || digits % 4 != 0 || digits == 32 {
                return Err(error());
            }
            after_hyphen = true;
            continue;
        }
        let digit = char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok());
        let digit = digit.filter(|_| digits < 32).ok_or_else(error)?;
        uuid[digits / 2] = (uuid[digits / 2] << 4) | digit;
        digits += 1;
        after_hyphen = false;
    }
    if digits == 32 { Ok(uuid) } else { Err(error()) }
}

pub(super) fn write_uuid(uuid: &[u8; 16], out: &mut Vec<u8>) {
    for (index, part) in [
        &uuid[..4],
        &uuid[4..6],
        &uuid[6..8],
        &uuid[8..10],
        &uuid[10..],
    ]
    .iter()
    .enumerate()
    {
        if index > 0 {
            out.push(b'-');
        }
        write_hex(part, out);
    }
}
