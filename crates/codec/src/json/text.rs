//! RFC 8259 text to a tree. Recursive with a limit on depth.

use serde_json::{Map, Number, Value};
use tessera_types::{Report, Retry, SqlState, codes};

use super::number;
use super::{DEPTH_MAX, DOCUMENT_BYTES_MAX, EXPONENT_MAX, NUMBER_BYTES_MAX};

/// Where in a text something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Bytes before it.
    pub offset: usize,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonErrorKind {
    /// The text does not follow the grammar.
    Syntax {
        /// What was expected or found.
        message: &'static str,
    },
    /// A `\u` escape that is half of a surrogate pair.
    LoneSurrogate,
    /// Not UTF-8.
    Utf8,
    /// Nested deeper than [`DEPTH_MAX`].
    TooDeep,
    /// Larger than [`DOCUMENT_BYTES_MAX`].
    TooLarge {
        /// Bytes of the text, or of its binary form.
        bytes: usize,
    },
    /// A number beyond [`NUMBER_BYTES_MAX`] or [`EXPONENT_MAX`].
    NumberTooLarge,
}

/// Why a text or a tree is not a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// What is wrong.
    pub kind: JsonErrorKind,
    /// Where, for texts.
    pub position: Option<Position>,
}

impl std::fmt::Display for JsonError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kind {
            JsonErrorKind::Syntax { message } => write!(f, "invalid JSON: {message}")?,
            JsonErrorKind::LoneSurrogate => {
                f.write_str("invalid JSON: \\u escape of a lone surrogate")?;
            }
            JsonErrorKind::Utf8 => f.write_str("invalid JSON: not UTF-8")?,
            JsonErrorKind::TooDeep => {
                write!(f, "JSON is nested deeper than {DEPTH_MAX} levels")?;
            }
            JsonErrorKind::TooLarge { bytes } => write!(
                f,
                "document of {bytes} bytes is above the limit of {DOCUMENT_BYTES_MAX}"
            )?,
            JsonErrorKind::NumberTooLarge => write!(
                f,
                "number has more than {NUMBER_BYTES_MAX} digits or an exponent beyond {EXPONENT_MAX}"
            )?,
        }
        match self.position {
            Some(Position {
                offset,
                line,
                column,
            }) => write!(f, " at line {line} column {column} (byte {offset})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for JsonError {}

impl JsonError {
    /// SQLSTATE and retry class.
    pub fn code(&self) -> (SqlState, Retry) {
        let code = match self.kind {
            JsonErrorKind::Syntax { .. } | JsonErrorKind::LoneSurrogate => codes::INVALID_JSON_TEXT,
            JsonErrorKind::Utf8 => codes::CHARACTER_NOT_IN_REPERTOIRE,
            JsonErrorKind::TooDeep => codes::STATEMENT_TOO_COMPLEX,
            JsonErrorKind::TooLarge { .. } => codes::PROGRAM_LIMIT_EXCEEDED,
            JsonErrorKind::NumberTooLarge => codes::NUMERIC_VALUE_OUT_OF_RANGE,
        };
        (code, code.retry())
    }

    /// What a client sees.
    pub fn report(&self) -> Report {
        Report::error(self.code().0, self.to_string())
    }

    pub(super) fn nowhere(kind: JsonErrorKind) -> JsonError {
        JsonError {
            kind,
            position: None,
        }
    }
}

/// Parses a text. Of equal keys in one object the last one counts.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(JsonError::nowhere(JsonErrorKind::TooLarge {
            bytes: bytes.len(),
        }));
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let offset = error.valid_up_to();
            let position = std::str::from_utf8(&bytes[..offset])
                .ok()
                .map(|valid| position_in(valid, offset));
            return Err(JsonError {
                kind: JsonErrorKind::Utf8,
                position,
            });
        }
    };
    let mut parser = Parser { text, at: 0 };
    parser.document().map_err(|kind| JsonError {
        kind,
        position: Some(position_in(text, parser.at)),
    })
}

fn position_in(text: &str, offset: usize) -> Position {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Position {
        offset: end,
        line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}

/// `at` stays where an error is.
struct Parser<'a> {
    text: &'a str,
    at: usize,
}

type Parsed<T> = Result<T, JsonErrorKind>;

fn expected(message: &'static str) -> JsonErrorKind {
    JsonErrorKind::Syntax { message }
}

impl Parser<'_> {
    fn document(&mut self) -> Parsed<Value> {
        let value = self.value(0)?;
        self.skip_space();
        match self.peek() {
            None => Ok(value),
            Some(_) => Err(expected("text after the document")),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn value(&mut self, depth: usize) -> Parsed<Value> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Value::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(_) => Err(expected("expected a value")),
            None => Err(expected("the text ends where a value is expected")),
        }
    }

    fn word(&mut self, word: &'static str, value: Value) -> Parsed<Value> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(value);
        }
        Err(expected("expected true, false or null"))
    }

    fn number(&mut self) -> Parsed<Value> {
        let start = self.at;
        let length = number::scan(&self.text.as_bytes()[start..])
            .ok_or(expected("a number that JSON does not have"))?;
        let text = &self.text[start..start + length];
        if !number::is_in_limits(text) {
            return Err(JsonErrorKind::NumberTooLarge);
        }
        self.at += length;
        let number = match text.parse::<i64>() {
            Ok(value) if text != "-0" => Number::from(value),
            _ => text
                .parse::<Number>()
                .map_err(|_| expected("a number that JSON does not have"))?,
        };
        Ok(Value::Number(number))
    }

    fn array(&mut self, depth: usize) -> Parsed<Value> {
        if depth == DEPTH_MAX {
            return Err(JsonErrorKind::TooDeep);
        }
        self.at += 1;
        let mut elements = Vec::new();
        self.skip_space();
        if self.take(b']') {
            return Ok(Value::Array(elements));
        }
        loop {
            elements.push(self.value(depth + 1)?);
            self.skip_space();
            if self.take(b']') {
                return Ok(Value::Array(elements));
            }
            if !self.take(b',') {
                return Err(expected("expected a comma or ]"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Parsed<Value> {
        if depth == DEPTH_MAX {
            return Err(JsonErrorKind::TooDeep);
        }
        self.at += 1;
        let mut pairs = Map::new();
        self.skip_space();
        if self.take(b'}') {
            return Ok(Value::Object(pairs));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(expected("expected a key in double quotes"));
            }
            let key = self.string()?;
            self.skip_space();
            if !self.take(b':') {
                return Err(expected("expected a colon"));
            }
            let value = self.value(depth + 1)?;
            pairs.insert(key, value);
            self.skip_space();
            if self.take(b'}') {
                return Ok(Value::Object(pairs));
            }
            if !self.take(b',') {
                return Err(expected("expected a comma or }"));
            }
        }
    }

    /// After the opening quote has been seen.
    fn string(&mut self) -> Parsed<String> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            let Some(run) = rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))
            else {
                self.at = self.text.len();
                return Err(expected("a string without an end"));
            };
            out.push_str(&self.text[self.at..self.at + run]);
            self.at += run;
            match rest[run] {
                b'"' => {
                    self.at += 1;
                    return Ok(out);
                }
                b'\\' => out.push(self.escape()?),
                _ => return Err(expected("a control character in a string")),
            }
        }
    }

    fn escape(&mut self) -> Parsed<char> {
        let simple = match self.text.as_bytes().get(self.at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(expected("an escape that JSON does not have")),
        };
        self.at += 2;
        Ok(simple)
    }

    fn unicode_escape(&mut self) -> Parsed<char> {
        let first = self.hex_at(self.at + 2)?;
        if let Some(c) = char::from_u32(first) {
            self.at += 6;
            return Ok(c);
        }
        let follows = self.text.as_bytes().get(self.at + 6..self.at + 8) == Some(br"\u");
        if !(0xd800..0xdc00).contains(&first) || !follows {
            return Err(JsonErrorKind::LoneSurrogate);
        }
        let second = self.hex_at(self.at + 8)?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(JsonErrorKind::LoneSurrogate);
        }
        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        self.at += 12;
        char::from_u32(code).ok_or(JsonErrorKind::LoneSurrogate)
    }

    fn hex_at(&self, at: usize) -> Parsed<u32> {
        let digits = self.text.as_bytes().get(at..at + 4);
        digits
            .and_then(|digits| {
                digits.iter().try_fold(0, |code, digit| {
                    Some(code * 16 + char::from(*digit).to_digit(16)?)
                })
            })
            .ok_or(expected("expected four hexadecimal digits"))
    }
}
