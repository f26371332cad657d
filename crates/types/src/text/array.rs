//! Array literals: `{1,NULL,"a,b"}`, `[0:1]={…}`, any number of dimensions.

use crate::context::FormatContext;
use crate::error::ValueError;
use crate::sql_type::SqlType;
use crate::value::{ArrayValue, Value};

/// The most elements an array may have, as in PostgreSQL (a gigabyte of pointers).
const ELEMENTS_MAX: i64 = 134_217_727;

pub(super) fn parse(
    element: &SqlType,
    text: &str,
    ctx: &FormatContext,
) -> Result<ArrayValue, ValueError> {
    let mut parser = Parser {
        text,
        rest: text,
        element,
        ctx,
    };
    let bounds = parser.bounds()?;
    parser.skip_blanks();
    if !parser.rest.starts_with('{') {
        let detail = if bounds.is_some() {
            "Array contents must start with \"{\"."
        } else {
            "Array value must start with \"{\" or dimension information."
        };
        return Err(parser.malformed(detail));
    }
    let mut array = ArrayValue {
        element: element.clone(),
        dimensions: Vec::new(),
        elements: Vec::new(),
    };
    let mut lengths = Vec::new();
    parser.braces(1, &mut lengths, &mut array.elements)?;
    parser.skip_blanks();
    if !parser.rest.is_empty() {
        return Err(parser.malformed("Junk after closing right brace."));
    }
    if array.elements.is_empty() {
        lengths.clear();
    }
    array.dimensions = lengths.iter().map(|length| (*length, 1)).collect();
    if let Some(bounds) = bounds {
        let lengths_agree = bounds.len() == lengths.len()
            && bounds
                .iter()
                .zip(&lengths)
                .all(|(bound, length)| bound.0 == *length);
        if !lengths_agree {
            return Err(parser.malformed("Specified array dimensions do not match array contents."));
        }
        array.dimensions = bounds;
    }
    Ok(array)
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    element: &'a SqlType,
    ctx: &'a FormatContext,
}

impl<'a> Parser<'a> {
    fn malformed(&self, detail: &str) -> ValueError {
        ValueError::MalformedArray {
            input: self.text.to_owned(),
            detail: detail.to_owned(),
        }
    }

    fn skip_blanks(&mut self) {
        self.rest = self
            .rest
            .trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
    }

    /// `[1:3][0:2]=`: lengths and lower bounds.
    fn bounds(&mut self) -> Result<Option<Vec<(i32, i32)>>, ValueError> {
        let mut bounds = Vec::new();
        loop {
            self.skip_blanks();
            let Some(inside) = self.rest.strip_prefix('[') else {
                break;
            };
            if bounds.len() == ArrayValue::DIMENSIONS_MAX {
                return Err(too_many_dimensions(bounds.len() + 1));
            }
            let (range, rest) = inside
                .split_once(']')
                .ok_or_else(|| self.malformed("Missing \"]\" after array dimensions."))?;
            let (low, high) = range.split_once(':').unwrap_or(("1", range));
            let number = |text: &str| {
                text.parse::<i32>().map_err(|_| {
                    self.malformed("\"[\" must introduce explicitly-specified array dimensions.")
                })
            };
            let (low, high) = (number(low)?, number(high)?);
            let length = i64::from(high) - i64::from(low) + 1;
            if length <= 0 || high == i32::MAX {
                return Err(ValueError::ArrayBounds {
                    message: "upper bound cannot be less than lower bound".to_owned(),
                    detail: None,
                });
            }
            let length = i32::try_from(length).map_err(|_| too_many_elements())?;
            bounds.push((length, low));
            self.rest = rest;
        }
        if bounds.is_empty() {
            return Ok(None);
        }
        self.rest = self
            .rest
            .strip_prefix('=')
            .ok_or_else(|| self.malformed("Missing \"=\" after array dimensions."))?;
        Ok(Some(bounds))
    }

    /// One `{…}` at a depth from 1; `lengths` gets or checks the length of each dimension.
    fn braces(
        &mut self,
        depth: usize,
        lengths: &mut Vec<i32>,
        out: &mut Vec<Value>,
    ) -> Result<(), ValueError> {
        if depth > ArrayValue::DIMENSIONS_MAX {
            return Err(too_many_dimensions(depth));
        }
        // The caller saw the brace.
        self.rest = &self.rest[1..];
        let known = lengths.get(depth - 1).copied();
        if known.is_none() {
            lengths.push(-1);
        }
        let mut count: i32 = 0;
        loop {
            self.skip_blanks();
            let quoted = self.rest.starts_with('"');
            match self.rest.chars().next() {
                None => return Err(self.malformed("Unexpected end of input.")),
                Some('}') if count == 0 && depth == 1 => {
                    self.rest = &self.rest[1..];
                    break;
                }
                Some('}') if count == 0 => {
                    return Err(self.malformed("Unexpected \"}\" character."));
                }
                Some('{') => {
                    // A dimension below one that holds elements already.
                    if depth == lengths.len() && (known.is_some() || count > 0) {
                        return Err(self.malformed("Unexpected \"{\" character."));
                    }
                    self.braces(depth + 1, lengths, out)?;
                }
                Some(_) => {
                    if depth < lengths.len() {
                        return Err(self.malformed("Unexpected array element."));
                    }
                    let value = self.item()?;
                    out.push(value);
                    if i64::try_from(out.len()).unwrap_or(i64::MAX) > ELEMENTS_MAX {
                        return Err(too_many_elements());
                    }
                }
            }
            count = count.checked_add(1).ok_or_else(too_many_elements)?;
            self.skip_blanks();
            match self.rest.chars().next() {
                Some(',') => {
                    self.rest = &self.rest[1..];
                    self.skip_blanks();
                    if self.rest.starts_with('}') {
                        return Err(self.malformed("Unexpected \"}\" character."));
                    }
                }
                Some('}') => {
                    self.rest = &self.rest[1..];
                    break;
                }
                Some(_) if quoted => return Err(self.malformed("Unexpected array element.")),
                Some(other) => {
                    return Err(self.malformed(&format!("Unexpected \"{other}\" character.")));
                }
                None => return Err(self.malformed("Unexpected end of input.")),
            }
        }
        match known {
            Some(length) if length >= 0 && length != count => Err(self.malformed(
                "Multidimensional arrays must have sub-arrays with matching dimensions.",
            )),
            _ => {
                lengths[depth - 1] = count;
                Ok(())
            }
        }
    }

    fn item(&mut self) -> Result<Value, ValueError> {
        if self.rest.starts_with('"') {
            let text = self.quoted()?;
            return super::parse(self.element, &text, self.ctx);
        }
        let mut text = String::new();
        // Blanks at the end do not count, unless escaped.
        let mut kept = 0;
        let mut escaped = false;
        let mut chars = self.rest.char_indices();
        loop {
            let Some((at, c)) = chars.next() else {
                return Err(self.malformed("Unexpected end of input."));
            };
            match c {
                ',' | '}' => {
                    self.rest = &self.rest[at..];
                    break;
                }
                '{' => return Err(self.malformed("Unexpected \"{\" character.")),
                '"' => return Err(self.malformed("Unexpected array element.")),
                '\\' => {
                    let (_, c) = chars
                        .next()
                        .ok_or_else(|| self.malformed("Unexpected end of input."))?;
                    text.push(c);
                    kept = text.len();
                    escaped = true;
                }
                c => {
                    text.push(c);
                    if !c.is_ascii_whitespace() {
                        kept = text.len();
                    }
                }
            }
        }
        text.truncate(kept);
        if text.is_empty() && !escaped {
            let next = self.rest.chars().next().unwrap_or('}');
            return Err(self.malformed(&format!("Unexpected \"{next}\" character.")));
        }
        if !escaped && text.eq_ignore_ascii_case("null") {
            return Ok(Value::Null);
        }
        super::parse(self.element, &text, self.ctx)
    }

    fn quoted(&mut self) -> Result<String, ValueError> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(text);
                }
                '\\' => match chars.next() {
                    Some((_, c)) => text.push(c),
                    None => break,
                },
                c => text.push(c),
            }
        }
        Err(self.malformed("Unexpected end of input."))
    }
}

fn too_many_dimensions(count: usize) -> ValueError {
    ValueError::ProgramLimit {
        message: format!(
            "number of array dimensions ({count}) exceeds the maximum allowed ({})",
            ArrayValue::DIMENSIONS_MAX
        ),
    }
}

fn too_many_elements() -> ValueError {
    ValueError::ProgramLimit {
        message: format!("array size exceeds the maximum allowed ({ELEMENTS_MAX})"),
    }
}

pub(super) fn write(array: &ArrayValue, ctx: &FormatContext, out: &mut Vec<u8>) {
    if array.elements.is_empty() || array.dimensions.is_empty() {
        out.extend_from_slice(b"{}");
        return;
    }
    if array.dimensions.iter().any(|(_, lower)| *lower != 1) {
        for (length, lower) in &array.dimensions {
            let upper = i64::from(*lower) + i64::from(*length) - 1;
            out.extend_from_slice(format!("[{lower}:{upper}]").as_bytes());
        }
        out.push(b'=');
    }
    let mut elements = array.elements.iter();
    write_level(array, 0, &mut elements, ctx, out);
}

fn write_level(
    array: &ArrayValue,
    level: usize,
    elements: &mut std::slice::Iter<'_, Value>,
    ctx: &FormatContext,
    out: &mut Vec<u8>,
) {
    out.push(b'{');
    for index in 0..array.dimensions[level].0 {
        if index > 0 {
            out.push(b',');
        }
        if level + 1 < array.dimensions.len() {
            write_level(array, level + 1, elements, ctx, out);
        } else if let Some(value) = elements.next() {
            write_element(value, &array.element, ctx, out);
        } else {
            // Fewer elements than the dimensions say: a bug elsewhere; stay well formed.
            break;
        }
    }
    out.push(b'}');
}

fn write_element(value: &Value, ty: &SqlType, ctx: &FormatContext, out: &mut Vec<u8>) {
    if value.is_null() {
        out.extend_from_slice(b"NULL");
        return;
    }
    let start = out.len();
    super::write(value.as_ref(), ty, ctx, out);
    let needs_quotes = |text: &[u8]| {
        text.is_empty()
            || text.eq_ignore_ascii_case(b"null")
            || text.iter().any(|byte| {
                matches!(byte, b'"' | b'\\' | b'{' | b'}' | b',')
                    || byte.is_ascii_whitespace()
                    || *byte == 0x0b
            })
    };
    if needs_quotes(&out[start..]) {
        let text = out.split_off(start);
        out.push(b'"');
        for byte in text {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out.push(b'"');
    }
}
