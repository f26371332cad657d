//! Where a statement or a backslash command ends in a text, and what its words are.
//!
//! Follows PostgreSQL's lexical rules: quotes, `E''` escapes, dollar quotes, nested comments,
//! parentheses. Pure functions over text.

/// What stands at the front of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A statement: its text ends at `end`, the rest starts at `next` (behind the `;`).
    Statement {
        /// End of the statement's text.
        end: usize,
        /// Start of what follows.
        next: usize,
    },
    /// A backslash command from `start` to `end` (the end of its line); before it, from 0, may
    /// stand the text of a statement.
    Command {
        /// Where the backslash is.
        start: usize,
        /// End of the line.
        end: usize,
    },
    /// The text ends inside something.
    Incomplete(Open),
}

/// What is still open at the end of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// Nothing but blanks and comments.
    Nothing,
    /// A statement without `;`.
    Statement,
    /// A string or quoted name.
    Quote,
    /// A comment.
    Comment,
    /// Parentheses.
    Parenthesis,
}

/// A word, for highlighting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// A name or a keyword.
    Word,
    /// A number.
    Number,
    /// A string in any of its forms.
    Text,
    /// A quoted name.
    Name,
    /// A comment.
    Comment,
    /// Anything else: one character.
    Sign,
    /// Blanks.
    Blank,
}

/// Finds the first piece of a text.
pub fn next_piece(text: &str) -> Piece {
    let mut depth = 0_usize;
    let mut open = Open::Nothing;
    let mut at = 0;
    while at < text.len() {
        let (token, end, complete) = token_at(text, at);
        if !complete {
            return Piece::Incomplete(match token {
                Token::Comment => Open::Comment,
                _ => Open::Quote,
            });
        }
        match (token, &text[at..end]) {
            (Token::Blank | Token::Comment, _) => {}
            (Token::Sign, "\\") => {
                let line = text[at..]
                    .find('\n')
                    .map_or(text.len(), |length| at + length);
                return Piece::Command {
                    start: at,
                    end: line,
                };
            }
            (Token::Sign, ";") if depth == 0 => return Piece::Statement { end: at, next: end },
            (Token::Sign, "(" | "[") => {
                depth += 1;
                open = Open::Statement;
            }
            (Token::Sign, ")" | "]") => depth = depth.saturating_sub(1),
            _ => open = Open::Statement,
        }
        at = end;
    }
    Piece::Incomplete(if depth > 0 { Open::Parenthesis } else { open })
}

/// All words of a text with their kinds, in order and without gaps.
pub fn tokens(text: &str) -> impl Iterator<Item = (Token, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        (at < text.len()).then(|| {
            let (token, end, _) = token_at(text, at);
            let word = &text[at..end];
            at = end;
            (token, word)
        })
    })
}

/// The token at a position: its kind, its end, and whether it is closed.
fn token_at(text: &str, at: usize) -> (Token, usize, bool) {
    let rest = &text[at..];
    let bytes = rest.as_bytes();
    let first = rest.chars().next().unwrap_or(' ');
    let word_goes_on = |character: char| character.is_alphanumeric() || "_$".contains(character);
    match first {
        _ if first.is_whitespace() => (Token::Blank, at + span(rest, char::is_whitespace), true),
        '-' if bytes.get(1) == Some(&b'-') => (
            Token::Comment,
            at + rest.find('\n').unwrap_or(rest.len()),
            true,
        ),
        '/' if bytes.get(1) == Some(&b'*') => {
            let (length, closed) = block_comment(bytes);
            (Token::Comment, at + length, closed)
        }
        '\'' => quoted(at, bytes, 0, b'\'', false, Token::Text),
        '"' => quoted(at, bytes, 0, b'"', false, Token::Name),
        'e' | 'E' if bytes.get(1) == Some(&b'\'') => quoted(at, bytes, 1, b'\'', true, Token::Text),
        '$' => dollar_quoted(text, at),
        _ if first.is_ascii_digit() => {
            let number =
                |character: char| character.is_ascii_alphanumeric() || "._".contains(character);
            (Token::Number, at + span(rest, number), true)
        }
        _ if first.is_alphabetic() || first == '_' => {
            (Token::Word, at + span(rest, word_goes_on), true)
        }
        _ => (Token::Sign, at + first.len_utf8(), true),
    }
}

fn span(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|character| !belongs(character))
        .unwrap_or(text.len())
}

fn block_comment(bytes: &[u8]) -> (usize, bool) {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                at += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return (at, true);
                }
            }
            _ => at += 1,
        }
    }
    (at, false)
}

fn quoted(
    at: usize,
    bytes: &[u8],
    start: usize,
    quote: u8,
    escapes: bool,
    token: Token,
) -> (Token, usize, bool) {
    let mut end = start + 1;
    while end < bytes.len() {
        match bytes[end] {
            b'\\' if escapes => end += 2,
            byte if byte == quote => {
                if bytes.get(end + 1) != Some(&quote) {
                    return (token, at + end + 1, true);
                }
                end += 2;
            }
            _ => end += 1,
        }
    }
    (token, at + bytes.len(), false)
}

fn dollar_quoted(text: &str, at: usize) -> (Token, usize, bool) {
    let rest = &text[at..];
    let tag_end = 1 + span(&rest[1..], |character| {
        character.is_alphanumeric() || character == '_'
    });
    let parameter = rest[1..].starts_with(|character: char| character.is_ascii_digit());
    if parameter || !rest[tag_end..].starts_with('$') {
        // A parameter such as $1, or a lone sign.
        return (Token::Sign, at + if parameter { tag_end } else { 1 }, true);
    }
    let tag = &rest[..=tag_end];
    match rest[tag.len()..].find(tag) {
        Some(length) => (Token::Text, at + length + 2 * tag.len(), true),
        None => (Token::Text, text.len(), false),
    }
}

#[cfg(test)]
mod tests {
    use super::{Open, Piece, next_piece, tokens};

    fn statement(text: &str, expected: &str) {
        let Piece::Statement { end, next } = next_piece(text) else {
            panic!("{text:?}: {:?}", next_piece(text));
        };
        assert_eq!(&text[..end], expected);
        assert_eq!(&text[end..next], ";");
    }

    fn incomplete(text: &str, expected: Open) {
        assert_eq!(next_piece(text), Piece::Incomplete(expected), "{text:?}");
    }

    #[test]
    fn a_statement_ends_at_the_semicolon_that_is_no_part_of_anything() {
        statement("select 1; select 2", "select 1");
        statement("select ';', \";\" ; x", "select ';', \";\" ");
        statement("select 'it''s;' ;", "select 'it''s;' ");
        statement(r"select E'a\';b';", r"select E'a\';b'");
        statement("do $$ a; b $$;", "do $$ a; b $$");
        statement("do $x$ $$; $x$;", "do $x$ $$; $x$");
        statement("select 1 -- ;\n;", "select 1 -- ;\n");
        statement("select /* /* ; */ ; */ 1;", "select /* /* ; */ ; */ 1");
        statement("create rule (a; b);", "create rule (a; b)");
        statement("select $1;", "select $1");
        statement("select 'ünï;';", "select 'ünï;'");
    }

    #[test]
    fn an_open_end_says_what_is_open() {
        incomplete("", Open::Nothing);
        incomplete(" -- x\n", Open::Nothing);
        incomplete("select 1", Open::Statement);
        incomplete("select 'a", Open::Quote);
        incomplete("select $$ a", Open::Quote);
        incomplete("select /* a", Open::Comment);
        incomplete("select (1", Open::Parenthesis);
        incomplete("select E'a\\", Open::Quote);
    }

    #[test]
    fn a_backslash_starts_a_command_unless_it_is_quoted() {
        assert_eq!(next_piece("\\dt\nx"), Piece::Command { start: 0, end: 3 });
        assert_eq!(
            next_piece("select 1 \\gx"),
            Piece::Command { start: 9, end: 12 }
        );
        statement("select '\\d';", "select '\\d'");
    }

    #[test]
    fn tokens_cover_the_text_without_gaps() {
        for text in [
            "select a.b, 'x' from \"T\" where c >= 1.5e3 -- end",
            "$1 $$ü$$ E'\\'' é / * $",
        ] {
            let joined: String = tokens(text).map(|(_, word)| word).collect();
            assert_eq!(joined, text);
        }
    }
}
