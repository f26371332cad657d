//! Messages of clients, checked strictly.
//!
//! `pgwire`'s decoders are made for proxies: they replace invalid UTF-8, forgive missing
//! terminators and bytes that are left over, and copy every text. Here those are errors with
//! PostgreSQL's codes, and texts are borrowed from the message.

use tessera_types::{Report, codes};

/// Reads the fields of one message.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

/// Bind.
pub(crate) struct Bind<'a> {
    pub(crate) portal: &'a str,
    pub(crate) statement: &'a str,
    pub(crate) formats: Formats<'a>,
    /// Number of parameters; read them one by one with `next_parameter`.
    pub(crate) parameters: usize,
    pub(crate) fields: Fields<'a>,
}

/// Format codes as they came: two bytes each.
#[derive(Clone, Copy)]
pub(crate) struct Formats<'a>(&'a [u8]);

impl<'a> Formats<'a> {
    pub(crate) fn len(self) -> usize {
        self.0.len() / 2
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = i16> + 'a {
        self.0
            .chunks_exact(2)
            .map(|pair| i16::from_be_bytes([pair[0], pair[1]]))
    }

    /// Whether the value at a place is binary: no codes mean text, one code means all.
    ///
    /// # Errors
    /// 22023 for a code that is neither.
    pub(crate) fn is_binary(self, at: usize) -> Result<bool, Report> {
        let at = if self.len() == 1 { 0 } else { at };
        match self.0.get(2 * at..2 * at + 2) {
            None => Ok(false),
            Some(pair) => match i16::from_be_bytes([pair[0], pair[1]]) {
                0 => Ok(false),
                1 => Ok(true),
                other => Err(unsupported_format(other)),
            },
        }
    }
}

/// 22023.
pub(crate) fn unsupported_format(code: i16) -> Report {
    Report::error(
        codes::INVALID_PARAMETER_VALUE,
        format!("unsupported format code: {code}"),
    )
}

impl<'a> Fields<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Fields<'a> {
        Fields { rest: body }
    }

    /// A text up to its zero byte.
    ///
    /// # Errors
    /// 08P01 without one, 22021 when it is not UTF-8.
    pub(crate) fn text(&mut self) -> Result<&'a str, Report> {
        let end = self
            .rest
            .iter()
            .position(|byte| *byte == 0)
            .ok_or_else(|| Report::error(codes::PROTOCOL_VIOLATION, "invalid string in message"))?;
        let (text, rest) = self.rest.split_at(end);
        self.rest = &rest[1..];
        utf8(text)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Report> {
        let (first, rest) = self.rest.split_first().ok_or_else(too_short)?;
        self.rest = rest;
        Ok(*first)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, Report> {
        let (bytes, rest) = self.rest.split_first_chunk::<2>().ok_or_else(too_short)?;
        self.rest = rest;
        Ok(i16::from_be_bytes(*bytes))
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Report> {
        let (bytes, rest) = self.rest.split_first_chunk::<4>().ok_or_else(too_short)?;
        self.rest = rest;
        Ok(i32::from_be_bytes(*bytes))
    }

    /// A count of things; the protocol's counts are unsigned in practice.
    pub(crate) fn count(&mut self) -> Result<usize, Report> {
        Ok(usize::from(self.i16()? as u16))
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Result<&'a [u8], Report> {
        if length > self.rest.len() {
            return Err(too_short());
        }
        let (bytes, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(bytes)
    }

    fn formats(&mut self) -> Result<Formats<'a>, Report> {
        let count = self.count()?;
        Ok(Formats(self.bytes(2 * count)?))
    }

    /// One parameter of Bind; `None` for NULL.
    pub(crate) fn parameter(&mut self) -> Result<Option<&'a [u8]>, Report> {
        match self.i32()? {
            -1 => Ok(None),
            length => match usize::try_from(length) {
                Ok(length) => Ok(Some(self.bytes(length)?)),
                Err(_) => Err(too_short()),
            },
        }
    }

    /// The formats that a client wants results in; after the parameters.
    pub(crate) fn result_formats(&mut self) -> Result<Formats<'a>, Report> {
        let formats = self.formats()?;
        for code in formats.iter() {
            if code != 0 && code != 1 {
                return Err(unsupported_format(code));
            }
        }
        Ok(formats)
    }

    /// Nothing may be left over.
    pub(crate) fn end(&self) -> Result<(), Report> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(Report::error(
            codes::PROTOCOL_VIOLATION,
            "invalid message format",
        ))
    }
}

impl<'a> Bind<'a> {
    /// Reads a Bind message up to its parameters.
    pub(crate) fn read(body: &'a [u8]) -> Result<Bind<'a>, Report> {
        let mut fields = Fields::new(body);
        let portal = fields.text()?;
        let statement = fields.text()?;
        let formats = fields.formats()?;
        let parameters = fields.count()?;
        if formats.len() > 1 && formats.len() != parameters {
            return Err(Report::error(
                codes::PROTOCOL_VIOLATION,
                format!(
                    "bind message has {} parameter formats but {parameters} parameters",
                    formats.len()
                ),
            ));
        }
        Ok(Bind {
            portal,
            statement,
            formats,
            parameters,
            fields,
        })
    }
}

/// 22021 when bytes are not UTF-8, with the offending ones as PostgreSQL shows them.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, Report> {
    std::str::from_utf8(bytes).map_err(|error| {
        let wrong: Vec<String> = bytes[error.valid_up_to()..]
            .iter()
            .take(error.error_len().unwrap_or(4).max(1))
            .map(|byte| format!("0x{byte:02x}"))
            .collect();
        Report::error(
            codes::CHARACTER_NOT_IN_REPERTOIRE,
            format!(
                "invalid byte sequence for encoding \"UTF8\": {}",
                wrong.join(" ")
            ),
        )
    })
}

fn too_short() -> Report {
    Report::error(
        codes::PROTOCOL_VIOLATION,
        "insufficient data left in message",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code<T>(result: Result<T, Report>) -> String {
        result
            .err()
            .map_or_else(|| "ok".to_owned(), |report| report.code.to_string())
    }

    #[test]
    fn malformed_fields_are_refused_with_postgresql_s_codes() {
        assert_eq!(code(Fields::new(b"abc").text()), "08P01");
        assert_eq!(code(Fields::new(b"\xff\0").text()), "22021");
        assert_eq!(code(Fields::new(b"").byte()), "08P01");
        assert_eq!(code(Fields::new(b"\0").i16()), "08P01");
        assert_eq!(code(Fields::new(&[0, 0, 0, 5, 1]).parameter()), "08P01");
        assert_eq!(
            code(Fields::new(&[0xff, 0xff, 0xff, 0xfe]).parameter()),
            "08P01"
        );
        assert_eq!(
            code(Fields::new(&[0xff, 0xff, 0xff, 0xff]).parameter()),
            "ok"
        );
        assert_eq!(code(Fields::new(&[0, 1, 0, 7]).result_formats()), "22023");
        assert_eq!(code(Fields::new(&[0xff, 0xff]).result_formats()), "08P01");
        assert_eq!(code(Fields::new(b"x").end()), "08P01");
    }

    #[test]
    fn one_format_means_all_and_none_means_text() {
        assert!(!Formats(&[]).is_binary(3).expect("text"));
        assert!(Formats(&[0, 1]).is_binary(3).expect("binary"));
        assert!(!Formats(&[0, 1, 0, 0]).is_binary(1).expect("text"));
        assert_eq!(code(Formats(&[0, 7]).is_binary(0)), "22023");
    }

    #[test]
    fn a_bind_with_too_many_formats_is_refused() {
        // Two formats, one parameter.
        let body = [0, 0, 0, 2, 0, 0, 0, 0, 0, 1];
        assert_eq!(code(Bind::read(&body)), "08P01");
    }
}
