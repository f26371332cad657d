//! Small differences between PostgreSQL's syntax and what `sqlparser` reads, mended on the tokens.
//!
//! - `INSERT … OVERRIDING { SYSTEM | USER } VALUE`: the words are taken out and kept in the
//!   statement's `settings`, which PostgreSQL's INSERT does not have.
//! - Words that only other systems reserve, such as TOP, are names.
//! - `FETCH FIRST (n) ROWS`: without the parentheses.
//! - `COPY … (FREEZE on)`, `(HEADER off)`: the other spellings of a boolean.

use sqlparser::ast::{Expr, Ident, Insert, SetExpr, Setting, Statement};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// Key of the setting that carries OVERRIDING.
pub(crate) const OVERRIDING: &str = "overriding";

/// What was taken out of the tokens.
pub(super) struct Removed {
    /// The tokens that are left.
    pub(super) tokens: Vec<TokenWithSpan>,
    /// `system` or `user`.
    overriding: Option<&'static str>,
}

/// Words that `sqlparser` reserves for other systems and PostgreSQL does not know.
const NAMES: [Keyword; 13] = [
    Keyword::ANTI,
    Keyword::ASOF,
    Keyword::DISTRIBUTE,
    Keyword::MATCH_CONDITION,
    Keyword::MATCH_RECOGNIZE,
    Keyword::MINUS,
    Keyword::PIVOT,
    Keyword::PREWHERE,
    Keyword::QUALIFY,
    Keyword::SEMI,
    Keyword::SORT,
    Keyword::TOP,
    Keyword::UNPIVOT,
];

/// Makes such words names like any other.
pub(super) fn free_names(tokens: &mut [TokenWithSpan]) {
    for token in tokens {
        if let Token::Word(word) = &mut token.token
            && NAMES.contains(&word.keyword)
        {
            word.keyword = Keyword::NoKeyword;
        }
    }
}

/// Takes the parentheses off the number of `FETCH { FIRST | NEXT } (n) { ROW | ROWS }`.
pub(super) fn open_fetch(tokens: &mut Vec<TokenWithSpan>) {
    let is_fetch = |window: &[TokenWithSpan]| {
        is_word(&window[0], "fetch")
            && (is_word(&window[1], "first") || is_word(&window[1], "next"))
            && window[2].token == Token::LParen
            && matches!(window[3].token, Token::Number(..))
            && window[4].token == Token::RParen
            && (is_word(&window[5], "row") || is_word(&window[5], "rows"))
    };
    let windows = tokens.windows(6).enumerate();
    let mut parentheses = windows
        .filter(|(_, window)| is_fetch(window))
        .flat_map(|(at, _)| [at + 2, at + 4])
        .collect::<Vec<_>>()
        .into_iter()
        .peekable();
    if parentheses.peek().is_none() {
        return;
    }
    let mut at = 0;
    tokens.retain(|_| {
        let is_dropped = parentheses.next_if_eq(&at).is_some();
        at += 1;
        !is_dropped
    });
}

/// The tokens of a statement in a form that `sqlparser` reads; `None` when nothing is to be done.
pub(super) fn mend(tokens: &[TokenWithSpan]) -> Option<Removed> {
    let first = tokens.first()?;
    if is_word(first, "insert") || is_word(first, "with") {
        let at = tokens.windows(3).position(|window| {
            is_word(&window[0], "overriding")
                && (is_word(&window[1], "system") || is_word(&window[1], "user"))
                && is_word(&window[2], "value")
        })?;
        let overriding = if is_word(&tokens[at + 1], "system") {
            "system"
        } else {
            "user"
        };
        let mut left = tokens.to_vec();
        left.drain(at..at + 3);
        return Some(Removed {
            tokens: left,
            overriding: Some(overriding),
        });
    }
    if is_word(first, "copy") {
        let mut left = tokens.to_vec();
        let mut is_changed = false;
        for at in 1..left.len() {
            if !is_word(&left[at - 1], "freeze") && !is_word(&left[at - 1], "header") {
                continue;
            }
            let replacement = match &left[at].token {
                Token::Number(number, _) if number == "1" => "true",
                Token::Number(number, _) if number == "0" => "false",
                _ if is_word(&left[at], "on") => "true",
                _ if is_word(&left[at], "off") => "false",
                _ => continue,
            };
            left[at].token = Token::make_keyword(replacement);
            is_changed = true;
        }
        return is_changed.then_some(Removed {
            tokens: left,
            overriding: None,
        });
    }
    None
}

impl Removed {
    /// Puts into the statement what was taken out of its tokens.
    pub(super) fn restore(&self, statement: &mut Statement) {
        let (Some(kind), Some(insert)) = (self.overriding, insert_of(statement)) else {
            return;
        };
        insert.settings = Some(vec![Setting {
            key: Ident::new(OVERRIDING),
            value: Expr::Identifier(Ident::new(kind)),
        }]);
    }
}

fn insert_of(statement: &mut Statement) -> Option<&mut Insert> {
    match statement {
        Statement::Insert(insert) => Some(insert),
        Statement::Query(query) => match &mut *query.body {
            SetExpr::Insert(Statement::Insert(insert)) => Some(insert),
            _ => None,
        },
        _ => None,
    }
}

fn is_word(token: &TokenWithSpan, wanted: &str) -> bool {
    matches!(&token.token, Token::Word(word)
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::OVERRIDING;
    use crate::statement::Statement;
    use sqlparser::ast;

    #[test]
    fn overriding_reaches_the_statement() {
        for (sql, expected) in [
            (
                "INSERT INTO t (a) OVERRIDING SYSTEM VALUE VALUES (1)",
                Some("system"),
            ),
            ("insert into t overriding user value select 1", Some("user")),
            ("INSERT INTO t (overriding) VALUES (1)", None),
        ] {
            let parsed = crate::parse(sql).expect(sql).remove(0);
            let Statement::Write(write) = parsed.statement else {
                panic!("{sql} writes")
            };
            let ast::Statement::Insert(insert) = &*write else {
                panic!("{sql} inserts")
            };
            let found = insert.settings.as_ref().map(|settings| {
                assert_eq!(settings[0].key.value, OVERRIDING);
                settings[0].value.to_string()
            });
            assert_eq!(found.as_deref(), expected, "{sql}");
        }
    }

    #[test]
    fn words_of_other_systems_are_names() {
        for sql in [
            "SELECT top.a FROM (SELECT 1 AS a) top",
            "SELECT 1 minus, 2 AS sort FROM t qualify",
            "SELECT pivot FROM t WHERE semi = anti ORDER BY asof",
        ] {
            crate::parse(sql).expect(sql);
        }
    }

    #[test]
    fn copy_options_take_every_spelling_of_a_boolean() {
        for sql in [
            "copy t from stdin with (freeze on)",
            "COPY t FROM STDIN (FORMAT csv, HEADER off)",
            "COPY t TO STDOUT (FORMAT csv, HEADER 1)",
            "COPY t TO STDOUT (FORMAT csv, HEADER)",
        ] {
            crate::parse(sql).expect(sql);
        }
    }
}
