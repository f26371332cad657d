//! Recognizes simple statements that differ only in their literals.
//!
//! `SELECT abalance FROM t WHERE aid = 123` becomes the text `SELECT abalance FROM t WHERE
//! aid = $1` and the value 123: a plan made for the former serves every `aid`. Only statements
//! whose meaning cannot depend on a literal being a literal are rewritten: see [`of`].

use tessera_types::{SqlType, Value};

use crate::lexer::{TokenKind, tokens};

/// Longest text that is looked at; long ones cost more to plan than to recognize.
const TEXT_BYTES_MAX: usize = 4_096;
/// Most literals of one statement.
const LITERALS_MAX: usize = 64;

/// A statement with its literals taken out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fingerprint {
    /// The text with `$n` for each literal, prefixed by one letter per literal for its type.
    pub(crate) key: String,
    /// Where the text begins in `key`.
    pub(crate) text_at: usize,
    /// The literals. Strings are `Text`, to be read as the type the statement wants.
    pub(crate) values: Vec<Value>,
}

impl Fingerprint {
    /// The text with `$n` for each literal.
    pub(crate) fn text(&self) -> &str {
        &self.key[self.text_at..]
    }

    /// What the literals' own types are; `None` for strings, which take their place's type.
    pub(crate) fn types(&self) -> Vec<Option<SqlType>> {
        self.values
            .iter()
            .map(|value| match value {
                Value::Text(_) => None,
                value => Some(value.natural_type()),
            })
            .collect()
    }
}

/// Words after which, or with which, a literal is more than a value: positions in ORDER BY and
/// GROUP BY, typed literals, type modifiers, and clauses whose grammar wants a constant.
const REFUSED: &[&str] = &[
    "order",
    "group",
    "interval",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "cast",
    "as",
    "limit",
    "offset",
    "fetch",
    "escape",
    "collate",
    "array",
    "with",
    "union",
    "intersect",
    "except",
    "over",
    "window",
    "using",
    "case",
    "in",
    "any",
    "like",
    "ilike",
    "similar",
    "between",
    "extract",
    "substring",
    "position",
    "overlay",
    "trim",
    "for",
    "json",
    "xml",
    "default",
    "distinct",
    "rollup",
    "cube",
    "grouping",
    "having",
    "join",
    "from_hex",
    "at",
];

/// The fingerprint of a text that is one plain SELECT, INSERT, UPDATE or DELETE with literals
/// only where an expression's value stands. `None` for every other text.
pub(crate) fn of(text: &str) -> Option<Fingerprint> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let mut scanned = tokens(text);
    let first = scanned.next()?;
    let is = |word: &str| first.text.eq_ignore_ascii_case(word);
    if first.kind != TokenKind::Word
        || !(is("select") || is("update") || is("insert") || is("delete"))
    {
        return None;
    }
    let mut body = String::with_capacity(text.len() + 8);
    let mut kinds = String::new();
    let mut values = Vec::new();
    body.push_str(first.text);
    // What came before the present token: decides whether a minus is a sign.
    let mut operand_before = false;
    let mut minus = false;
    let mut end = first.start + first.text.len();
    while let Some(token) = scanned.next() {
        // Space matters only in that there is some: `a b`, not `ab`; comments vanish.
        let spaced = token.start > end;
        end = token.start + token.text.len();
        if spaced {
            body.push(' ');
        }
        match token.kind {
            TokenKind::Integer => {
                let value = integer(token.text, minus)?;
                if minus {
                    // The sign is part of the value.
                    body.truncate(body.trim_end().len() - 1);
                }
                kinds.push(match value {
                    Value::Integer(_) => 'i',
                    _ => 'b',
                });
                literal(&mut body, &mut values, value)?;
                operand_before = true;
            }
            TokenKind::String => {
                kinds.push('t');
                let inner = &token.text[1..token.text.len() - 1];
                let value = if inner.contains('\'') {
                    Value::text(inner.replace("''", "'"))
                } else {
                    Value::text(inner)
                };
                literal(&mut body, &mut values, value)?;
                operand_before = true;
            }
            TokenKind::Word => {
                if REFUSED
                    .iter()
                    .any(|word| token.text.eq_ignore_ascii_case(word))
                {
                    return None;
                }
                body.push_str(token.text);
                operand_before = !is_operator_word(token.text);
            }
            TokenKind::QuotedName => {
                body.push_str(token.text);
                operand_before = true;
            }
            TokenKind::Symbol => {
                // A cast's type may have a modifier, and `[` is an array's subscript.
                if matches!(token.text, ":" | "[" | "\\" | "^") {
                    return None;
                }
                body.push_str(token.text);
                if token.text == "-" && !operand_before && !minus {
                    minus = true;
                    continue;
                }
                operand_before = matches!(token.text, ")" | "*");
            }
            TokenKind::Semicolon => {
                // Only at the end.
                return if scanned.next().is_none() {
                    finish(kinds, body, values)
                } else {
                    None
                };
            }
            TokenKind::Parameter
            | TokenKind::OtherString
            | TokenKind::Number
            | TokenKind::Unterminated => return None,
        }
        if minus && token.kind != TokenKind::Integer {
            return None;
        }
        minus = false;
    }
    finish(kinds, body, values)
}

fn finish(kinds: String, body: String, values: Vec<Value>) -> Option<Fingerprint> {
    if values.is_empty() {
        // Nothing to take out: the text is its own key.
        return Some(Fingerprint {
            text_at: 1,
            key: format!(":{body}"),
            values,
        });
    }
    let text_at = kinds.len() + 1;
    let mut key = kinds;
    key.push(':');
    key.push_str(&body);
    Some(Fingerprint {
        key,
        text_at,
        values,
    })
}

fn literal(body: &mut String, values: &mut Vec<Value>, value: Value) -> Option<()> {
    if values.len() == LITERALS_MAX {
        return None;
    }
    values.push(value);
    body.push('$');
    let number = values.len();
    if number >= 10 {
        body.push(char::from(b'0' + (number / 10) as u8));
    }
    body.push(char::from(b'0' + (number % 10) as u8));
    Some(())
}

/// An integer literal's type is the smaller of integer and bigint that holds it with its sign.
fn integer(digits: &str, minus: bool) -> Option<Value> {
    let value = digits.parse::<i64>().ok()?;
    let value = if minus { -value } else { value };
    Some(match i32::try_from(value) {
        Ok(value) => Value::Integer(value),
        Err(_) => Value::BigInt(value),
    })
}

/// Words after which an operand is still to come.
fn is_operator_word(word: &str) -> bool {
    const WORDS: &[&str] = &[
        "and",
        "or",
        "not",
        "where",
        "set",
        "values",
        "select",
        "returning",
        "on",
        "is",
    ];
    WORDS.iter().any(|known| word.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let found = of(text).map_or_else(
            || "none".to_owned(),
            |found| {
                let values: Vec<_> = found.values.iter().map(|v| format!("{v:?}")).collect();
                format!("{} | {}", found.key, values.join(", "))
            },
        );
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn literals_become_parameters() {
        check(
            "SELECT abalance FROM t WHERE aid = 123;",
            "i:SELECT abalance FROM t WHERE aid = $1 | Integer(123)",
        );
        check(
            "update t set b = b + -5 where id=7",
            "ii:update t set b = b + $1 where id=$2 | Integer(-5), Integer(7)",
        );
        check(
            "update t set b = b -5 where id=-7",
            "ii:update t set b = b -$1 where id=$2 | Integer(5), Integer(-7)",
        );
        check(
            "insert into t values (1, 'it''s', 3000000000)",
            "itb:insert into t values ($1, $2, $3) | Integer(1), Text(\"it's\"), BigInt(3000000000)",
        );
        check(
            "delete  from t /* c */ where a='x'",
            "t:delete from t where a=$1 | Text(\"x\")",
        );
        check("select a from t", ":select a from t | ");
    }

    #[test]
    fn statements_whose_literals_mean_more_are_left_alone() {
        for text in [
            "select a from t order by 1",
            "select a from t group by 1",
            "select date '2024-01-01'",
            "select interval '1 day'",
            "select 1::varchar(10)",
            "select a from t limit 10",
            "select 1; select 2",
            "select $1",
            "select E'a'",
            "select 1.5",
            "select - 'x'",
            "select - -5",
            "create table t (a varchar(10))",
            "select 'open",
            "select 99999999999999999999",
            "",
        ] {
            check(text, "none");
        }
    }
}
