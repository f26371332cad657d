//! JSON: validation, and `jsonb` as canonical text.
//!
//! A `jsonb` value is kept as the text PostgreSQL prints: keys ordered by length, then bytes; of equal
//! keys the last one stays; `": "` and `", "` between; numbers in full decimal digits.
//! Parsing is recursive with a limit on depth, so input cannot exhaust the stack.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use crate::error::ValueError;

/// Arrays and objects may be nested this deep.
pub const DEPTH_MAX: usize = 1_000;
/// Largest exponent of a number: `1e1000000` would print as a million digits.
const EXPONENT_MAX: i64 = 1_000;

/// A parsed JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// The digits: as written (`json`), or in full decimal form (`jsonb`)
    Number(String),
    /// Without quotes and escapes
    String(String),
    /// In order
    Array(Vec<Json>),
    /// As written (`json`), or ordered without duplicates (`jsonb`)
    Object(Vec<(String, Json)>),
}

/// What a text is parsed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Keep order, duplicates and numbers as they are.
    AsWritten,
    /// Canonical.
    Binary,
}

/// Checks that a text is JSON, as the type `json` does.
pub fn validate(text: &str) -> Result<(), ValueError> {
    let mut parser = Parser::new(text, Form::AsWritten);
    parser.keep_tree = false;
    parser.document().map(drop)
}

/// Parses keeping order, duplicate keys and the spelling of numbers.
pub fn parse(text: &str) -> Result<Json, ValueError> {
    Parser::new(text, Form::AsWritten).document()
}

/// Parses into the canonical form of `jsonb`.
pub fn parse_binary(text: &str) -> Result<Json, ValueError> {
    Parser::new(text, Form::Binary).document()
}

/// The canonical text of `jsonb`.
pub fn normalize(text: &str) -> Result<String, ValueError> {
    let tree = parse_binary(text)?;
    let mut out = String::with_capacity(text.len() + 16);
    tree.write(&mut out);
    Ok(out)
}

/// The order of two `jsonb` texts; texts that are not JSON compare by bytes.
pub fn compare(a: &str, b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    match (parse_binary(a), parse_binary(b)) {
        (Ok(a), Ok(b)) => a.compare(&b),
        _ => a.as_bytes().cmp(b.as_bytes()),
    }
}

pub(crate) fn hash<H: Hasher>(text: &str, state: &mut H) {
    match parse_binary(text) {
        Ok(tree) => tree.hash_into(state),
        Err(_) => text.hash(state),
    }
}

/// The order of keys inside a `jsonb` object.
pub fn compare_keys(a: &str, b: &str) -> Ordering {
    a.len()
        .cmp(&b.len())
        .then_with(|| a.as_bytes().cmp(b.as_bytes()))
}

impl Json {
    /// An object in canonical order; of equal keys the last one stays.
    pub fn object(mut pairs: Vec<(String, Json)>) -> Json {
        // Stable, so the last of equal keys is the last of its run.
        pairs.sort_by(|a, b| compare_keys(&a.0, &b.0));
        let mut kept: Vec<(String, Json)> = Vec::with_capacity(pairs.len());
        for pair in pairs {
            match kept.last_mut() {
                Some(last) if last.0 == pair.0 => *last = pair,
                _ => kept.push(pair),
            }
        }
        Json::Object(kept)
    }

    /// What `jsonb_typeof` says.
    pub fn type_name(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "boolean",
            Json::Number(_) => "number",
            Json::String(_) => "string",
            Json::Array(_) => "array",
            Json::Object(_) => "object",
        }
    }

    /// The value of a key; the last one where a key is written twice.
    pub fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Json::Object(pairs) => pairs
                .iter()
                .rev()
                .find(|pair| pair.0 == key)
                .map(|pair| &pair.1),
            _ => None,
        }
    }

    /// An element of an array; negative indexes count from the end.
    pub fn element(&self, index: i64) -> Option<&Json> {
        match self {
            Json::Array(elements) => {
                let length = i64::try_from(elements.len()).ok()?;
                let index = if index < 0 {
                    index.checked_add(length)?
                } else {
                    index
                };
                elements.get(usize::try_from(index).ok()?)
            }
            _ => None,
        }
    }

    /// Writes as PostgreSQL prints `jsonb`.
    pub fn write(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(true) => out.push_str("true"),
            Json::Bool(false) => out.push_str("false"),
            Json::Number(digits) => out.push_str(digits),
            Json::String(text) => write_string(text, out),
            Json::Array(elements) => {
                out.push('[');
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    element.write(out);
                }
                out.push(']');
            }
            Json::Object(pairs) => {
                out.push('{');
                for (index, (key, value)) in pairs.iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    write_string(key, out);
                    out.push_str(": ");
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// The order of `jsonb_ops`: object > array > boolean > number > string > null; arrays and objects
    /// by their number of elements first; an empty top-level array is smallest.
    pub fn compare(&self, other: &Json) -> Ordering {
        use Json::*;
        match (self, other) {
            // A quirk of PostgreSQL that its documentation keeps.
            (Array(a), b) if a.is_empty() && !matches!(b, Array(_)) => Ordering::Less,
            (a, Array(b)) if b.is_empty() && !matches!(a, Array(_)) => Ordering::Greater,
            _ => self.compare_inner(other),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Json::Null => 0,
            Json::String(_) => 1,
            Json::Number(_) => 2,
            Json::Bool(_) => 3,
            Json::Array(_) => 4,
            Json::Object(_) => 5,
        }
    }

    fn compare_inner(&self, other: &Json) -> Ordering {
        use Json::*;
        match (self, other) {
            (Null, Null) => Ordering::Equal,
            (Bool(a), Bool(b)) => a.cmp(b),
            (Number(a), Number(b)) => compare_numbers(a, b),
            (String(a), String(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Array(a), Array(b)) => a.len().cmp(&b.len()).then_with(|| {
                let pairs = a.iter().zip(b);
                pairs
                    .map(|(a, b)| a.compare_inner(b))
                    .find(|order| order.is_ne())
                    .unwrap_or(Ordering::Equal)
            }),
            (Object(a), Object(b)) => a.len().cmp(&b.len()).then_with(|| {
                let pairs = a.iter().zip(b);
                pairs
                    .map(|(a, b)| {
                        a.0.as_bytes()
                            .cmp(b.0.as_bytes())
                            .then_with(|| a.1.compare_inner(&b.1))
                    })
                    .find(|order| order.is_ne())
                    .unwrap_or(Ordering::Equal)
            }),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }

    fn hash_into<H: Hasher>(&self, state: &mut H) {
        self.rank().hash(state);
        match self {
            Json::Null => {}
            Json::Bool(value) => value.hash(state),
            // 1.0 equals 1.
            Json::Number(digits) => trim_number(digits).hash(state),
            Json::String(text) => text.hash(state),
            Json::Array(elements) => {
                elements.len().hash(state);
                for element in elements {
                    element.hash_into(state);
                }
            }
            Json::Object(pairs) => {
                pairs.len().hash(state);
                for (key, value) in pairs {
                    key.hash(state);
                    value.hash_into(state);
                }
            }
        }
    }
}

impl std::fmt::Display for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = String::new();
        self.write(&mut out);
        f.write_str(&out)
    }
}

/// Writes a string in quotes, with escapes as PostgreSQL's `escape_json`.
pub fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Compares numbers in full decimal form, of any length.
pub fn compare_numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (trim_number(a), trim_number(b));
    let split = |number: &str| {
        let (negative, digits) = match number.strip_prefix('-') {
            Some(digits) => (true, digits.to_owned()),
            None => (false, number.to_owned()),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
        (negative, whole.to_owned(), fraction.to_owned())
    };
    let ((negative_a, whole_a, fraction_a), (negative_b, whole_b, fraction_b)) =
        (split(&a), split(&b));
    if negative_a != negative_b {
        return negative_b.cmp(&negative_a);
    }
    let sizes = whole_a
        .len()
        .cmp(&whole_b.len())
        .then_with(|| whole_a.cmp(&whole_b))
        .then_with(|| fraction_a.cmp(&fraction_b));
    if negative_a { sizes.reverse() } else { sizes }
}

/// Without zeros that do not count, and without the minus of a zero.
pub fn trim_number(digits: &str) -> String {
    let (sign, unsigned) = match digits.strip_prefix('-') {
        Some(unsigned) => ("-", unsigned),
        None => ("", digits),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let fraction = fraction.trim_end_matches('0');
    match (whole, fraction) {
        ("0", "") => "0".to_owned(),
        (whole, "") => format!("{sign}{whole}"),
        (whole, fraction) => format!("{sign}{whole}.{fraction}"),
    }
}

/// A JSON number in full decimal digits, with the scale that PostgreSQL's `numeric` would show.
fn expand_number(text: &str) -> Result<String, ValueError> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        None => {
            let zero =
                text.starts_with('-') && text.bytes().all(|b| matches!(b, b'-' | b'0' | b'.'));
            return Ok(if zero {
                text[1..].to_owned()
            } else {
                text.to_owned()
            });
        }
        Some(at) => (&text[..at], text[at + 1..].parse::<i64>().ok()),
    };
    let exponent = exponent
        .filter(|exponent| exponent.abs() <= EXPONENT_MAX)
        .ok_or_else(|| ValueError::NumericUnsupported {
            message: "value overflows numeric format".to_owned(),
        })?;
    let (sign, unsigned) = match mantissa.strip_prefix('-') {
        Some(unsigned) => ("-", unsigned),
        None => ("", mantissa),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = format!("{whole}{fraction}");
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    let point = length(whole) + exponent;
    let scale = (length(fraction) - exponent).max(0);
    let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
    let (whole, mut fraction) = if point <= 0 {
        ("0".to_owned(), format!("{}{digits}", zeros(-point)))
    } else if point >= length(&digits) {
        (
            format!("{digits}{}", zeros(point - length(&digits))),
            String::new(),
        )
    } else {
        let (a, b) = digits.split_at(usize::try_from(point).unwrap_or(0));
        (a.to_owned(), b.to_owned())
    };
    fraction.truncate(usize::try_from(scale).unwrap_or(0));
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let number = if fraction.is_empty() {
        whole.to_owned()
    } else {
        format!("{whole}.{fraction}")
    };
    let is_zero = number.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    Ok(if is_zero {
        number
    } else {
        format!("{sign}{number}")
    })
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    form: Form,
    keep_tree: bool,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, form: Form) -> Parser<'a> {
        Parser {
            text,
            at: 0,
            form,
            keep_tree: true,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn document(&mut self) -> Result<Json, ValueError> {
        let value = self.value(0)?;
        self.skip_blanks();
        if self.at < self.text.len() {
            return Err(self.expected("end of input"));
        }
        Ok(value)
    }

    /// The token at the current place, as PostgreSQL's lexer would cut it.
    fn token(&self) -> &'a str {
        let rest = &self.text[self.at..];
        let word = |c: char| {
            c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '.') || !c.is_ascii()
        };
        let length = rest.find(|c: char| !word(c)).unwrap_or(rest.len());
        if length > 0 {
            return &rest[..length];
        }
        &rest[..rest.chars().next().map_or(0, char::len_utf8)]
    }

    fn error(&self, detail: String, end: usize) -> ValueError {
        let end = end.min(self.text.len());
        let line = self.text[..self.at.min(end)].matches('\n').count() + 1;
        let line_start = self.text[..end].rfind('\n').map_or(0, |at| at + 1);
        let mut start = line_start;
        // PostgreSQL shows about fifty characters before the fault.
        let cut = end.saturating_sub(start) >= 50;
        if cut {
            start = end - 50;
            while !self.text.is_char_boundary(start) {
                start += 1;
            }
        }
        let before = if cut { "..." } else { "" };
        let after = if end < self.text.len() && !self.text[end..].starts_with('\n') {
            "..."
        } else {
            ""
        };
        let context = format!(
            "JSON data, line {line}: {before}{}{after}",
            &self.text[start..end]
        );
        ValueError::InvalidJson {
            detail,
            context: Some(context),
        }
    }

    fn expected(&self, what: &str) -> ValueError {
        self.skip_and(|parser| {
            let token = parser.token();
            if token.is_empty() {
                return parser.error(
                    "The input string ended unexpectedly.".to_owned(),
                    parser.text.len(),
                );
            }
            let end = parser.at + token.len();
            let literal = token.starts_with(|c: char| c.is_ascii_alphabetic() || !c.is_ascii());
            if literal && !matches!(token, "true" | "false" | "null") {
                return parser.error(format!("Token \"{token}\" is invalid."), end);
            }
            parser.error(format!("Expected {what}, but found \"{token}\"."), end)
        })
    }

    fn skip_and<T>(&self, f: impl FnOnce(&Parser<'a>) -> T) -> T {
        let mut copy = Parser {
            text: self.text,
            at: self.at,
            form: self.form,
            keep_tree: self.keep_tree,
        };
        copy.skip_blanks();
        f(&copy)
    }

    fn value(&mut self, depth: usize) -> Result<Json, ValueError> {
        if depth > DEPTH_MAX {
            return Err(ValueError::TooDeep { limit: DEPTH_MAX });
        }
        self.skip_blanks();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Json::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') if self.token() == "true" => {
                self.at += 4;
                Ok(Json::Bool(true))
            }
            Some(b'f') if self.token() == "false" => {
                self.at += 5;
                Ok(Json::Bool(false))
            }
            Some(b'n') if self.token() == "null" => {
                self.at += 4;
                Ok(Json::Null)
            }
            _ => {
                let token = self.token();
                let invalid =
                    !token.is_empty() && !matches!(token.as_bytes()[0], b'}' | b']' | b',' | b':');
                if invalid {
                    let end = self.at + token.len();
                    return Err(self.error(format!("Token \"{token}\" is invalid."), end));
                }
                Err(self.expected("JSON value"))
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json, ValueError> {
        self.at += 1;
        let mut elements = Vec::new();
        self.skip_blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(elements));
        }
        loop {
            let value = self.value(depth + 1)?;
            if self.keep_tree {
                elements.push(value);
            }
            self.skip_blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Json::Array(elements));
                }
                _ => return Err(self.expected("\",\" or \"]\"")),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, ValueError> {
        self.at += 1;
        let mut pairs = Vec::new();
        self.skip_blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(pairs));
        }
        let mut first = true;
        loop {
            self.skip_blanks();
            if self.peek() != Some(b'"') {
                return Err(self.expected(if first { "string or \"}\"" } else { "string" }));
            }
            first = false;
            let key = self.string()?;
            self.skip_blanks();
            if self.peek() != Some(b':') {
                return Err(self.expected("\":\""));
            }
            self.at += 1;
            let value = self.value(depth + 1)?;
            if self.keep_tree {
                pairs.push((key, value));
            }
            self.skip_blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    break;
                }
                _ => return Err(self.expected("\",\" or \"}\"")),
            }
        }
        Ok(match self.form {
            Form::AsWritten => Json::Object(pairs),
            Form::Binary => Json::object(pairs),
        })
    }

    fn number(&mut self) -> Result<Json, ValueError> {
        let token = self.token();
        if !is_number(token) {
            let end = self.at + token.len();
            return Err(self.error(format!("Token \"{token}\" is invalid."), end));
        }
        self.at += token.len();
        Ok(Json::Number(match self.form {
            Form::AsWritten => token.to_owned(),
            Form::Binary => expand_number(token)?,
        }))
    }

    fn string(&mut self) -> Result<String, ValueError> {
        let bytes = self.text.as_bytes();
        let mut out = String::new();
        let start = self.at;
        let mut at = self.at + 1;
        loop {
            let run = at;
            while at < bytes.len() && !matches!(bytes[at], b'"' | b'\\' | 0..=31) {
                at += 1;
            }
            if self.keep_tree {
                // Ends at an ASCII byte or at the end, so at a character.
                out.push_str(&self.text[run..at]);
            }
            match bytes.get(at) {
                None => {
                    let token = &self.text[start..];
                    return Err(
                        self.error(format!("Token \"{token}\" is invalid."), self.text.len())
                    );
                }
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(out);
                }
                Some(b'\\') => at = self.escape(at, &mut out)?,
                Some(byte) => {
                    let detail = format!("Character with value 0x{byte:02x} must be escaped.");
                    return Err(self.error(detail, at));
                }
            }
        }
    }

    /// An escape at the backslash; the place behind it.
    fn escape(&self, at: usize, out: &mut String) -> Result<usize, ValueError> {
        let bytes = self.text.as_bytes();
        let simple = match bytes.get(at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(at, out),
            Some(_) => {
                let c = self.text[at + 1..].chars().next().unwrap_or('?');
                let detail = format!("Escape sequence \"\\{c}\" is invalid.");
                return Err(self.error(detail, at + 1 + c.len_utf8()));
            }
            None => {
                let token = &self.text[self.at..];
                return Err(self.error(format!("Token \"{token}\" is invalid."), self.text.len()));
            }
        };
        out.push(simple);
        Ok(at + 2)
    }

    fn unicode_escape(&self, at: usize, out: &mut String) -> Result<usize, ValueError> {
        let four = |at: usize| -> Option<u32> {
            let digits = self.text.get(at + 2..at + 6)?;
            if !self.text[at..].starts_with("\\u") || !digits.bytes().all(|b| b.is_ascii_hexdigit())
            {
                return None;
            }
            u32::from_str_radix(digits, 16).ok()
        };
        let Some(unit) = four(at) else {
            let detail = "\"\\u\" must be followed by four hexadecimal digits.".to_owned();
            let mut end = (at + 6).min(self.text.len());
            while !self.text.is_char_boundary(end) {
                end += 1;
            }
            return Err(self.error(detail, end));
        };
        let surrogate = |detail: &str| Err(self.error(detail.to_owned(), at + 6));
        if !self.keep_tree {
            // The type `json` keeps the text and, as PostgreSQL, leaves surrogates unpaired.
            return Ok(at + 6);
        }
        match unit {
            0 if self.form == Form::Binary => Err(ValueError::UnsupportedJsonEscape {
                detail: "\\u0000 cannot be converted to text.".to_owned(),
            }),
            0xd800..=0xdbff => match four(at + 6) {
                Some(low @ 0xdc00..=0xdfff) => {
                    let c = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                    out.push(char::from_u32(c).unwrap_or('\u{fffd}'));
                    Ok(at + 12)
                }
                Some(0xd800..=0xdbff) => {
                    surrogate("Unicode high surrogate must not follow a high surrogate.")
                }
                _ => surrogate("Unicode low surrogate must follow a high surrogate."),
            },
            0xdc00..=0xdfff => surrogate("Unicode low surrogate must follow a high surrogate."),
            unit => {
                out.push(char::from_u32(unit).unwrap_or('\u{fffd}'));
                Ok(at + 6)
            }
        }
    }
}

/// `-? (0 | [1-9][0-9]*) (.[0-9]+)? ([eE][+-]?[0-9]+)?`
fn is_number(token: &str) -> bool {
    let rest = token.strip_prefix('-').unwrap_or(token);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    if exponent
        .is_some_and(|exponent| !digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
    {
        return false;
    }
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole) && (whole == "0" || !whole.starts_with('0')) && fraction.is_none_or(digits)
}

#[cfg(test)]
mod tests;
