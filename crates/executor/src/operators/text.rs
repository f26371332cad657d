//! Text operators: `||`, LIKE with ESCAPE, SIMILAR TO and regular expressions.

use regex::{Regex, RegexBuilder};
use tessera_planner::arrow_types::sql_type_of;
use tessera_planner::functions::{Argument, FunctionRegistry, Returns, Scalar};
use tessera_types::{FormatContext, Report, SqlType, Value, ValueRef, codes, text};

use super::rows::{evaluate, strict};
use crate::context::StatementExtension;

/// Bytes of one compiled regular expression.
const REGEX_BYTES_MAX: usize = 8 << 20;

pub(super) fn register(registry: &mut FunctionRegistry) {
    concatenation(registry);
    for (symbol, insensitive, negated) in [
        ("~", false, false),
        ("~*", true, false),
        ("!~", false, true),
        ("!~*", true, true),
    ] {
        pattern(
            registry,
            symbol,
            2,
            move |parts| {
                let pattern = parts.first().copied().unwrap_or_default();
                compile(&advanced(pattern), insensitive)
            },
            negated,
        );
    }
    for (symbol, insensitive) in [("like escape", false), ("ilike escape", true)] {
        pattern(
            registry,
            symbol,
            3,
            move |parts| {
                let like = like_to_regex(
                    parts.first().copied().unwrap_or_default(),
                    escape_of(parts)?,
                )?;
                compile(&like, insensitive)
            },
            false,
        );
    }
    pattern(
        registry,
        "similar",
        3,
        |parts| {
            let similar = similar_to_regex(
                parts.first().copied().unwrap_or_default(),
                escape_of(parts)?,
            )?;
            compile(&similar, false)
        },
        false,
    );
    registry.operator(strict(
        "^@",
        &[SqlType::Text, SqlType::Text],
        SqlType::Boolean,
        |values| match values {
            [ValueRef::Text(text), ValueRef::Text(prefix)] => {
                Ok(Value::Boolean(text.starts_with(prefix)))
            }
            _ => Err(Report::internal("text expected")),
        },
    ));
}

fn concatenation(registry: &mut FunctionRegistry) {
    registry.operator(strict(
        "||",
        &[SqlType::Text, SqlType::Text],
        SqlType::Text,
        |values| match values {
            [ValueRef::Text(a), ValueRef::Text(b)] => Ok(Value::Text([*a, *b].concat().into())),
            _ => Err(Report::internal("text expected")),
        },
    ));
    registry.operator(strict(
        "||",
        &[SqlType::Bytea, SqlType::Bytea],
        SqlType::Bytea,
        |values| match values {
            [ValueRef::Bytea(a), ValueRef::Bytea(b)] => Ok(Value::Bytea([*a, *b].concat().into())),
            _ => Err(Report::internal("bytes expected")),
        },
    ));
    // Text with anything else: the other side as its output function prints it.
    for arguments in [
        [Argument::Exact(SqlType::Text), Argument::Any],
        [Argument::Any, Argument::Exact(SqlType::Text)],
    ] {
        let scalar = Scalar::new("||", arguments, Returns::Exact(SqlType::Text), |args| {
            let format = match StatementExtension::of(&args.config_options) {
                Some(extension) => *extension.statement.session.format,
                None => FormatContext::default(),
            };
            let types: Vec<SqlType> = args.arg_fields.iter().map(|f| sql_type_of(f)).collect();
            evaluate(&args, |values| {
                if values.iter().any(ValueRef::is_null) {
                    return Ok(Value::Null);
                }
                let mut out = Vec::new();
                for (value, sql_type) in values.iter().zip(&types) {
                    match value {
                        ValueRef::Text(text) => out.extend_from_slice(text.as_bytes()),
                        // Cast, not printed.
                        ValueRef::Boolean(true) => out.extend_from_slice(b"true"),
                        ValueRef::Boolean(false) => out.extend_from_slice(b"false"),
                        other => text::write(other.clone(), sql_type, &format, &mut out),
                    }
                }
                String::from_utf8(out)
                    .map(|text| Value::Text(text.into()))
                    .map_err(|_| Report::internal("a value's text is not UTF-8"))
            })
        });
        registry.operator(scalar.stable());
    }
}

/// A match of text with a pattern; the pattern is compiled again only when it changes.
fn pattern(
    registry: &mut FunctionRegistry,
    symbol: &str,
    arguments: usize,
    compile: impl Fn(&[&str]) -> Result<Regex, Report> + Send + Sync + 'static,
    negated: bool,
) {
    let arguments = vec![Argument::Exact(SqlType::Text); arguments];
    let returns = Returns::Exact(SqlType::Boolean);
    registry.operator(Scalar::new(symbol, arguments, returns, move |args| {
        let compiled: std::cell::RefCell<Option<(Vec<String>, Regex)>> = Default::default();
        evaluate(&args, |values| {
            let mut parts = Vec::with_capacity(values.len());
            for value in values {
                match value {
                    ValueRef::Text(text) => parts.push(*text),
                    _ => return Ok(Value::Null),
                }
            }
            let Some((subject, pattern)) = parts.split_first() else {
                return Ok(Value::Null);
            };
            let mut compiled = compiled.borrow_mut();
            let same = compiled.as_ref().is_some_and(|(known, _)| known == pattern);
            if !same {
                let regex = compile(pattern)?;
                *compiled = Some((pattern.iter().map(|p| (*p).to_owned()).collect(), regex));
            }
            let matched = compiled
                .as_ref()
                .is_some_and(|(_, regex)| regex.is_match(subject));
            Ok(Value::Boolean(matched != negated))
        })
    }));
}

/// Compiles. A dot matches line ends, as in PostgreSQL.
pub(crate) fn compile(pattern: &str, insensitive: bool) -> Result<Regex, Report> {
    RegexBuilder::new(pattern)
        .case_insensitive(insensitive)
        .dot_matches_new_line(true)
        .size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|error| {
            let text = error.to_string();
            let last = text
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ");
            Report::error(
                codes::INVALID_REGULAR_EXPRESSION,
                format!("invalid regular expression: {}", fault_of(last)),
            )
        })
}

/// What is wrong with a pattern, in PostgreSQL's words where it has any for it.
fn fault_of(fault: &str) -> &str {
    const WORDS: [(&str, &str); 11] = [
        ("unclosed group", "parentheses () not balanced"),
        ("unopened group", "parentheses () not balanced"),
        ("unclosed character class", "brackets [] not balanced"),
        (
            "repetition operator missing expression",
            "quantifier operand invalid",
        ),
        (
            "repetition quantifier expects a valid decimal",
            "invalid repetition count(s)",
        ),
        (
            "invalid repetition count range",
            "invalid repetition count(s)",
        ),
        ("unclosed counted repetition", "braces {} not balanced"),
        ("invalid character class range", "invalid character range"),
        ("incomplete escape sequence", "invalid escape \\ sequence"),
        ("unrecognized escape sequence", "invalid escape \\ sequence"),
        (
            "Compiled regex exceeds size limit",
            "regular expression is too complex",
        ),
    ];
    let known = WORDS.iter().find(|(ours, _)| fault.starts_with(ours));
    known.map_or(fault, |(_, words)| words)
}

/// PostgreSQL's escapes that the regex crate writes otherwise.
pub(crate) fn advanced(pattern: &str) -> String {
    let pattern = pattern.strip_prefix("***:").unwrap_or(pattern);
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match characters.next() {
            Some('m') => out.push_str(r"\b{start}"),
            Some('M') => out.push_str(r"\b{end}"),
            Some('y') => out.push_str(r"\b"),
            Some('Y') => out.push_str(r"\B"),
            Some('Z') => out.push_str(r"\z"),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    out
}

/// A LIKE pattern with the usual escape character.
pub(super) fn like_pattern(pattern: &str, insensitive: bool) -> Result<Regex, Report> {
    compile(&like_to_regex(pattern, Some('\\'))?, insensitive)
}

/// The escape character of LIKE and SIMILAR TO; empty means none.
fn escape_of(parts: &[&str]) -> Result<Option<char>, Report> {
    let escape = parts.get(1).copied().unwrap_or("\\");
    let mut characters = escape.chars();
    let first = characters.next();
    if characters.next().is_some() {
        return Err(
            Report::error(codes::INVALID_ESCAPE_SEQUENCE, "invalid escape string")
                .with_hint("Escape string must be empty or one character."),
        );
    }
    Ok(first)
}

fn like_to_regex(pattern: &str, escape: Option<char>) -> Result<String, Report> {
    let mut out = String::from("^");
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        if Some(c) == escape {
            match characters.next() {
                Some(next) => out.push_str(&regex::escape(&next.to_string())),
                None => {
                    return Err(Report::error(
                        codes::INVALID_ESCAPE_SEQUENCE,
                        "LIKE pattern must not end with escape character",
                    ));
                }
            }
            continue;
        }
        match c {
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            other => out.push_str(&regex::escape(&other.to_string())),
        }
    }
    out.push('$');
    Ok(out)
}

fn similar_to_regex(pattern: &str, escape: Option<char>) -> Result<String, Report> {
    let mut out = String::from("^(?:");
    let mut characters = pattern.chars();
    let mut in_class = false;
    while let Some(c) = characters.next() {
        if Some(c) == escape {
            if let Some(next) = characters.next() {
                out.push_str(&regex::escape(&next.to_string()));
            }
            continue;
        }
        match c {
            '[' if !in_class => {
                in_class = true;
                out.push(c);
            }
            ']' if in_class => {
                in_class = false;
                out.push(c);
            }
            _ if in_class => out.push(c),
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '(' => out.push_str("(?:"),
            ')' | '|' | '*' | '+' | '?' | '{' | '}' => out.push(c),
            other => out.push_str(&regex::escape(&other.to_string())),
        }
    }
    out.push_str(")$");
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_postgres() {
        let like = |pattern: &str, text: &str| {
            compile(&like_to_regex(pattern, Some('#')).expect("valid"), false)
                .expect("valid")
                .is_match(text)
        };
        assert!(like("a%z", "abc\nz"));
        assert!(like("10#%", "10%"));
        assert!(!like("10#%", "100"));
        assert!(like("_._", "a.b"));
        let similar = |pattern: &str, text: &str| {
            compile(
                &similar_to_regex(pattern, Some('\\')).expect("valid"),
                false,
            )
            .expect("valid")
            .is_match(text)
        };
        assert!(similar("(a|b)%", "bcd"));
        assert!(!similar("a", "abc"));
        assert!(similar("[0-9]+", "123"));
    }

    #[test]
    fn word_edges_are_translated() {
        assert!(
            compile(&advanced(r"\mfoo\M"), false)
                .expect("valid")
                .is_match("a foo b")
        );
        assert!(
            !compile(&advanced(r"\mfoo\M"), false)
                .expect("valid")
                .is_match("afoo")
        );
    }
}
