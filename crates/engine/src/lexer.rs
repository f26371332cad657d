//! A light scanner of SQL text: where statements and literals begin and end.
//!
//! It knows quotes, dollar quotes and comments, and nothing else of the grammar. It is used to
//! recognize a statement that was seen before without parsing it (`fingerprint`), and to read the
//! few statements about roles (`role_statement`).

/// One token and where it lies in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// What it is.
    pub(crate) kind: TokenKind,
    /// Its text, quotes included.
    pub(crate) text: &'a str,
    /// Byte offset.
    pub(crate) start: usize,
}

/// Kinds of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A bare word, as written.
    Word,
    /// `"name"`.
    QuotedName,
    /// `'text'` without prefix.
    String,
    /// Strings with a prefix (`E''`, `B''`, `U&''`) and dollar-quoted strings.
    OtherString,
    /// Digits only.
    Integer,
    /// Numbers with a point or an exponent, or in another base.
    Number,
    /// `$1`.
    Parameter,
    /// `;`
    Semicolon,
    /// Any other single character.
    Symbol,
    /// A quote or comment that does not end.
    Unterminated,
}

/// The tokens of a text, comments and space left out.
pub(crate) fn tokens(text: &str) -> Tokens<'_> {
    Tokens { text, at: 0 }
}

/// Iterator over tokens.
#[derive(Clone, Debug)]
pub(crate) struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let bytes = self.text.as_bytes();
        let start = match skip_space(bytes, self.at) {
            Ok(start) => start,
            Err(start) => {
                self.at = bytes.len();
                return Some(self.token(TokenKind::Unterminated, start));
            }
        };
        let first = *bytes.get(start)?;
        let (kind, end) = scan(bytes, start, first);
        // Bytes beyond ASCII are part of words, so an end never splits a character; but a
        // symbol could, were it not ASCII.
        self.at = end;
        Some(self.token(kind, start))
    }
}

impl<'a> Tokens<'a> {
    fn token(&self, kind: TokenKind, start: usize) -> Token<'a> {
        Token {
            kind,
            text: self.text.get(start..self.at).unwrap_or_default(),
            start,
        }
    }
}

/// The end of space and comments from `at`; `Err` with its begin for a comment without end.
fn skip_space(bytes: &[u8], mut at: usize) -> Result<usize, usize> {
    loop {
        match bytes.get(at) {
            Some(b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c) => at += 1,
            Some(b'-') if bytes.get(at + 1) == Some(&b'-') => {
                at += bytes[at..]
                    .iter()
                    .take_while(|byte| **byte != b'\n')
                    .count();
            }
            Some(b'/') if bytes.get(at + 1) == Some(&b'*') => {
                let start = at;
                let mut depth = 1;
                at += 2;
                while depth > 0 {
                    match (bytes.get(at), bytes.get(at + 1)) {
                        (Some(b'*'), Some(b'/')) => {
                            depth -= 1;
                            at += 2;
                        }
                        (Some(b'/'), Some(b'*')) => {
                            depth += 1;
                            at += 2;
                        }
                        (Some(_), _) => at += 1,
                        (None, _) => return Err(start),
                    }
                }
            }
            _ => return Ok(at),
        }
    }
}

fn scan(bytes: &[u8], start: usize, first: u8) -> (TokenKind, usize) {
    match first {
        b'\'' => quoted(bytes, start, b'\'', false, TokenKind::String),
        b'"' => quoted(bytes, start, b'"', false, TokenKind::QuotedName),
        b';' => (TokenKind::Semicolon, start + 1),
        b'$' => dollar(bytes, start),
        b'0'..=b'9' => number(bytes, start),
        b'.' if bytes.get(start + 1).is_some_and(u8::is_ascii_digit) => number(bytes, start),
        byte if is_word(byte) => {
            let end = word_end(bytes, start);
            let prefix = &bytes[start..end];
            match bytes.get(end) {
                Some(b'\'') if prefix.eq_ignore_ascii_case(b"e") => {
                    quoted(bytes, end, b'\'', true, TokenKind::OtherString)
                }
                Some(b'\'')
                    if [b"b", b"x", b"n"]
                        .iter()
                        .any(|known| prefix.eq_ignore_ascii_case(*known)) =>
                {
                    quoted(bytes, end, b'\'', false, TokenKind::OtherString)
                }
                Some(b'&')
                    if prefix.eq_ignore_ascii_case(b"u")
                        && matches!(bytes.get(end + 1), Some(b'\'' | b'"')) =>
                {
                    quoted(
                        bytes,
                        end + 1,
                        bytes[end + 1],
                        false,
                        TokenKind::OtherString,
                    )
                }
                _ => (TokenKind::Word, end),
            }
        }
        _ => (TokenKind::Symbol, start + 1),
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn word_end(bytes: &[u8], start: usize) -> usize {
    let rest = &bytes[start..];
    let more = |byte: &&u8| is_word(**byte) || byte.is_ascii_digit() || **byte == b'$';
    start + rest.iter().take_while(more).count()
}

fn quoted(
    bytes: &[u8],
    open: usize,
    quote: u8,
    backslashes: bool,
    kind: TokenKind,
) -> (TokenKind, usize) {
    let mut at = open + 1;
    loop {
        match bytes.get(at) {
            None => return (TokenKind::Unterminated, bytes.len()),
            Some(b'\\') if backslashes => at += 2,
            Some(byte) if *byte == quote => {
                if bytes.get(at + 1) == Some(&quote) {
                    at += 2;
                } else {
                    return (kind, at + 1);
                }
            }
            Some(_) => at += 1,
        }
    }
}

fn dollar(bytes: &[u8], start: usize) -> (TokenKind, usize) {
    let digits = bytes[start + 1..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if digits > 0 {
        return (TokenKind::Parameter, start + 1 + digits);
    }
    let tag_end = if bytes.get(start + 1).is_some_and(|byte| is_word(*byte)) {
        let rest = &bytes[start + 1..];
        start
            + 1
            + rest
                .iter()
                .take_while(|b| is_word(**b) || b.is_ascii_digit())
                .count()
    } else {
        start + 1
    };
    if bytes.get(tag_end) != Some(&b'$') {
        return (TokenKind::Symbol, start + 1);
    }
    let tag = &bytes[start..=tag_end];
    let body = &bytes[tag_end + 1..];
    match body.windows(tag.len()).position(|window| window == tag) {
        Some(at) => (TokenKind::OtherString, tag_end + 1 + at + tag.len()),
        None => (TokenKind::Unterminated, bytes.len()),
    }
}

fn number(bytes: &[u8], start: usize) -> (TokenKind, usize) {
    let digits = |from: usize| {
        bytes[from..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count()
    };
    let mut at = start + digits(start);
    let mut kind = TokenKind::Integer;
    if bytes.get(at) == Some(&b'.') {
        kind = TokenKind::Number;
        at += 1;
        at += digits(at);
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits((at + 1 + sign).min(bytes.len()));
        if exponent > 0 {
            kind = TokenKind::Number;
            at += 1 + sign + exponent;
        }
    }
    // `0x1F`, `1_000`, `12abc`: whatever it means, it is one token and no plain integer.
    let tail = word_end(bytes, at);
    if tail > at {
        (TokenKind::Number, tail)
    } else {
        (kind, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let found: Vec<String> = tokens(text)
            .map(|token| format!("{:?}:{}", token.kind, token.text))
            .collect();
        assert_eq!(found.join(" "), expected, "{text}");
    }

    #[test]
    fn quotes_and_comments_hide_what_is_in_them() {
        check("a -- b\n/* c /* d */ */ e", "Word:a Word:e");
        check(
            "'it''s';\"a\"\"b\"",
            "String:'it''s' Semicolon:; QuotedName:\"a\"\"b\"",
        );
        check(
            "E'a\\'b' u&'x' n'y'",
            "OtherString:E'a\\'b' OtherString:u&'x' OtherString:n'y'",
        );
        check(
            "$$a;b$$ $t$ $$ $t$ $1",
            "OtherString:$$a;b$$ OtherString:$t$ $$ $t$ Parameter:$1",
        );
        check("'open", "Unterminated:'open");
        check("/* open", "Unterminated:/* open");
        check("$x$ open", "Unterminated:$x$ open");
    }

    #[test]
    fn numbers_are_told_apart() {
        check(
            "12 1.5 .5 1e3 0x1F 1_000 2d",
            "Integer:12 Number:1.5 Number:.5 Number:1e3 Number:0x1F Number:1_000 Number:2d",
        );
        check("a1=-2", "Word:a1 Symbol:= Symbol:- Integer:2");
    }

    #[test]
    fn any_bytes_are_scanned_to_the_end() {
        for text in [
            "\u{e9}'\u{20ac}",
            "\u{2028};",
            "e'\\",
            "$",
            "$\u{e9}$",
            "1.",
            "1e",
            "\\",
            "u&",
            "''''",
        ] {
            let end = tokens(text)
                .last()
                .map_or(0, |token| token.start + token.text.len());
            assert_eq!(end, text.trim_end().len(), "{text}");
        }
    }
}
