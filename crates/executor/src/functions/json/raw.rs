//! Finds parts of a JSON text without building a tree: the parts keep their spelling, as the type
//! `json` demands, and canonical texts of `jsonb` give canonical parts.
//!
//! The texts have been validated before; on anything else these functions find nothing.

use tessera_types::json::{self, Json};

/// Leading and trailing blanks do not belong to a value.
fn blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

pub(in crate::functions) fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_ascii() && blank(c as u8))
}

/// Where the value that begins at `at` ends.
fn value_end(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => string_end(bytes, at),
        b'{' | b'[' => {
            let mut depth = 0usize;
            let mut at = at;
            loop {
                match bytes.get(at)? {
                    b'"' => {
                        at = string_end(bytes, at)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            return Some(at + 1);
                        }
                    }
                    _ => {}
                }
                at += 1;
            }
        }
        _ => {
            let rest = &bytes[at..];
            let length = rest
                .iter()
                .position(|b| blank(*b) || matches!(b, b',' | b'}' | b']'))
                .unwrap_or(rest.len());
            Some(at + length)
        }
    }
}

fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn skip(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|byte| blank(*byte)) {
        at += 1;
    }
    at
}

/// Elements of an array, in order; nothing for other values.
pub(in crate::functions) struct Elements<'a> {
    text: &'a str,
    at: usize,
}

pub(in crate::functions) fn elements(text: &str) -> Option<Elements<'_>> {
    let text = trim(text);
    text.starts_with('[').then_some(Elements { text, at: 1 })
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        let start = skip(bytes, self.at);
        if matches!(bytes.get(start)?, b']') {
            return None;
        }
        let end = value_end(bytes, start)?;
        let next = skip(bytes, end);
        self.at = if bytes.get(next) == Some(&b',') {
            next + 1
        } else {
            next
        };
        self.text.get(start..end)
    }
}

/// Keys (without quotes and escapes) and values of an object, in order; nothing for other values.
pub(in crate::functions) struct Entries<'a> {
    text: &'a str,
    at: usize,
}

pub(in crate::functions) fn entries(text: &str) -> Option<Entries<'_>> {
    let text = trim(text);
    text.starts_with('{').then_some(Entries { text, at: 1 })
}

impl<'a> Iterator for Entries<'a> {
    type Item = (String, &'a str);

    fn next(&mut self) -> Option<(String, &'a str)> {
        let bytes = self.text.as_bytes();
        let start = skip(bytes, self.at);
        if bytes.get(start)? != &b'"' {
            return None;
        }
        let key_end = string_end(bytes, start)?;
        let key = unquote(self.text.get(start..key_end)?);
        let colon = skip(bytes, key_end);
        let value_start = skip(bytes, colon + 1);
        let end = value_end(bytes, value_start)?;
        let next = skip(bytes, end);
        self.at = if bytes.get(next) == Some(&b',') {
            next + 1
        } else {
            next
        };
        Some((key, self.text.get(value_start..end)?))
    }
}

/// The text of a string value.
fn unquote(text: &str) -> String {
    let inner = &text[1..text.len().saturating_sub(1).max(1)];
    if !inner.contains('\\') {
        return inner.to_owned();
    }
    match json::parse(text) {
        Ok(Json::String(text)) => text,
        _ => inner.to_owned(),
    }
}

/// The value of a key; of a repeated key the last.
pub(in crate::functions) fn get<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    entries(text)?
        .filter(|(found, _)| found == key)
        .last()
        .map(|(_, value)| value)
}

/// An element of an array; negative indexes count from the end.
pub(in crate::functions) fn element(text: &str, index: i64) -> Option<&str> {
    let mut all = elements(text)?;
    if index >= 0 {
        return all.nth(usize::try_from(index).ok()?);
    }
    let all: Vec<&str> = all.collect();
    let index = i64::try_from(all.len()).ok()?.checked_add(index)?;
    all.get(usize::try_from(index).ok()?).copied()
}

/// Follows keys and indexes.
pub(in crate::functions) fn path<'a>(text: &'a str, path: &[&str]) -> Option<&'a str> {
    path.iter().try_fold(trim(text), |at, step| {
        if at.starts_with('[') {
            element(at, step.trim().parse().ok()?)
        } else {
            get(at, step)
        }
    })
}

/// As `->>` gives it: strings without quotes, None for `null`.
pub(in crate::functions) fn as_text(value: &str) -> Option<String> {
    match value.as_bytes().first() {
        Some(b'"') => Some(unquote(value)),
        Some(b'n') => None,
        _ => Some(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_keep_their_spelling() {
        let text = r#" {"a" : [1, {"b":  2}, "x,]"], "c\"d": null, "a": {"e":1.0} } "#;
        assert_eq!(get(text, "a"), Some(r#"{"e":1.0}"#));
        assert_eq!(get(text, "c\"d"), Some("null"));
        assert_eq!(entries(text).map(Iterator::count), Some(3));
        let list = r#"[1, {"b":  2}, "x,]"]"#;
        assert_eq!(element(list, 1), Some(r#"{"b":  2}"#));
        assert_eq!(element(list, -1), Some(r#""x,]""#));
        assert_eq!(element(list, 3), None);
        assert_eq!(path(list, &["1", "b"]), Some("2"));
        assert_eq!(as_text(r#""a\nb""#), Some("a\nb".to_owned()));
        assert_eq!(as_text("null"), None);
        assert_eq!(elements("[]").map(Iterator::count), Some(0));
        assert!(elements("{}").is_none());
    }

    #[test]
    fn malformed_text_gives_nothing_and_ends() {
        for text in [
            "",
            "[",
            "[1",
            "{\"a\"",
            "{\"a\":",
            "\"",
            "[\"\\",
            "{{",
            "[[[",
            "{\"a\":1,",
            "]",
        ] {
            let _ = get(text, "a");
            let _ = element(text, 0);
            let _ = entries(text).map(Iterator::count);
            let _ = elements(text).map(Iterator::count);
        }
    }
}
