//! Statement texts without their literals, for people other than the one who sent them.

use sqlparser::tokenizer::{Token, Tokenizer, Whitespace};

use super::DIALECT;

/// Characters of a masked text; the rest is cut.
pub const MASKED_CHARS_MAX: usize = 1_000;

/// The text with every literal replaced by `?`, comments left out, and space made one blank.
///
/// A text that cannot be cut into tokens gives its first word only: what is not understood is
/// not shown.
pub fn mask_literals(sql: &str) -> String {
    // What is cut off below need not be read; a literal that is cut in half is not shown either.
    let Ok(tokens) = Tokenizer::new(&DIALECT, sql).tokenize() else {
        let first = sql.split_whitespace().next().unwrap_or_default();
        let is_word = first.chars().all(|c| c.is_ascii_alphabetic());
        return if is_word {
            format!("{first} …")
        } else {
            "…".to_owned()
        };
    };
    let mut out = String::with_capacity(sql.len().min(MASKED_CHARS_MAX));
    let mut chars = 0;
    let mut blank = false;
    for token in &tokens {
        if let Token::Whitespace(space) = token {
            blank |= !matches!(space, Whitespace::SingleLineComment { .. });
            continue;
        }
        let text = if is_literal(token) {
            "?".to_owned()
        } else {
            token.to_string()
        };
        if std::mem::take(&mut blank) && !out.is_empty() {
            out.push(' ');
            chars += 1;
        }
        chars += text.chars().count();
        if chars > MASKED_CHARS_MAX {
            out.push('…');
            break;
        }
        out.push_str(&text);
    }
    out
}

fn is_literal(token: &Token) -> bool {
    matches!(
        token,
        Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::SingleQuotedByteStringLiteral(_)
            | Token::DollarQuotedString(_)
    )
}

#[cfg(test)]
mod tests {
    use super::{MASKED_CHARS_MAX, mask_literals};

    #[test]
    fn no_literal_is_left_and_names_and_parameters_are() {
        let check = |sql: &str, expected: &str| assert_eq!(mask_literals(sql), expected);
        check(
            "UPDATE t SET name = 'O''Hara',\n  n = 1.5e3 WHERE \"Id\" = $1 -- why\n AND x IN (1, -2)",
            "UPDATE t SET name = ?, n = ? WHERE \"Id\" = $1 AND x IN (?, -?)",
        );
        check(
            "SELECT E'\\n', $$secret$$, B'1', X'ff'",
            "SELECT ?, ?, ?, ?",
        );
        check("SELECT 'not closed", "SELECT …");
        check("", "");
    }

    #[test]
    fn a_long_text_is_cut() {
        let sql = format!("SELECT {}", "a, ".repeat(10_000));
        assert!(mask_literals(&sql).chars().count() <= MASKED_CHARS_MAX + 1);
    }
}
