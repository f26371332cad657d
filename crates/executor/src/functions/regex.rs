//! Regular expressions: replace, match, split, count. Always linear time.

use ::regex::{Captures, Regex};
use tessera_planner::functions::{Argument, FunctionRegistry, Returns, Scalar};
use tessera_types::SqlType::{Array, Boolean, Integer, Text};
use tessera_types::{ArrayValue, Report, Value};

use super::kernel::{Row, RowResult, check_length, function, integer, invalid, strict};
use crate::operators::text::{advanced, compile};

/// Adds them.
pub(super) fn register(r: &mut FunctionRegistry) {
    for flags in [false, true] {
        let body = move |row: &Row<'_>| {
            let flags = if flags { row.text(3) } else { "" };
            replace(
                row.text(0),
                row.text(1),
                row.text(2),
                1,
                if flags.contains('g') { 0 } else { 1 },
                flags,
            )
        };
        if flags {
            function(r, "regexp_replace", [Text, Text, Text, Text], Text, body);
        } else {
            function(r, "regexp_replace", [Text, Text, Text], Text, body);
        }
    }
    let arguments = [Text, Text, Text, Integer, Integer, Text].map(Argument::Exact);
    let kernel = strict(|row: &Row<'_>| {
        let n = if row.len() > 4 { row.integer(4) } else { 1 };
        if n < 0 {
            return Err(invalid(format!("invalid value for parameter \"n\": {n}")));
        }
        let flags = if row.len() > 5 { row.text(5) } else { "" };
        replace(
            row.text(0),
            row.text(1),
            row.text(2),
            row.integer(3),
            n,
            flags,
        )
    });
    r.scalar(Scalar::new("regexp_replace", arguments, Returns::Exact(Text), kernel).optional(2));
    let texts = || Returns::Exact(Array(Box::new(Text)));
    let arguments = || [Text, Text, Text].map(Argument::Exact);
    let kernel = strict(|row: &Row<'_>| {
        let flags = if row.len() > 2 { row.text(2) } else { "" };
        if flags.contains('g') {
            return Err(
                invalid("regexp_match() does not support the \"global\" option")
                    .with_hint("Use the regexp_matches function instead."),
            );
        }
        let regex = regex_of(row.text(1), flags)?;
        Ok(regex
            .captures(row.text(0))
            .map_or(Value::Null, |captures| groups(&captures)))
    });
    r.scalar(Scalar::new("regexp_match", arguments(), texts(), kernel).optional(1));
    let kernel = strict(|row: &Row<'_>| {
        let flags = if row.len() > 2 { row.text(2) } else { "" };
        let parts = split(row.text(0), row.text(1), flags)?;
        Ok(Value::Array(Box::new(ArrayValue::from_elements(
            Text, parts,
        ))))
    });
    r.scalar(Scalar::new("regexp_split_to_array", arguments(), texts(), kernel).optional(1));
    let kernel = strict(|row: &Row<'_>| {
        let flags = if row.len() > 2 { row.text(2) } else { "" };
        Ok(Value::Boolean(
            regex_of(row.text(1), flags)?.is_match(row.text(0)),
        ))
    });
    r.scalar(Scalar::new("regexp_like", arguments(), Returns::Exact(Boolean), kernel).optional(1));
    let kernel = strict(|row: &Row<'_>| {
        let start = if row.len() > 2 { row.integer(2) } else { 1 };
        let flags = if row.len() > 3 { row.text(3) } else { "" };
        let from = offset(row.text(0), start)?;
        integer(
            regex_of(row.text(1), flags)?
                .find_iter(&row.text(0)[from..])
                .count() as i64,
        )
    });
    let arguments = [Text, Text, Integer, Text].map(Argument::Exact);
    r.scalar(Scalar::new("regexp_count", arguments, Returns::Exact(Integer), kernel).optional(2));
    let kernel = strict(|row: &Row<'_>| {
        let start = if row.len() > 2 { row.integer(2) } else { 1 };
        let n = if row.len() > 3 { row.integer(3) } else { 1 };
        let flags = if row.len() > 4 { row.text(4) } else { "" };
        let from = offset(row.text(0), start)?;
        let nth = usize::try_from(n - 1)
            .map_err(|_| invalid(format!("invalid value for parameter \"n\": {n}")))?;
        let regex = regex_of(row.text(1), flags)?;
        let found = regex.find_iter(&row.text(0)[from..]).nth(nth);
        Ok(found.map_or(Value::Null, |found| Value::from(found.as_str())))
    });
    let arguments = [Text, Text, Integer, Integer, Text].map(Argument::Exact);
    r.scalar(Scalar::new("regexp_substr", arguments, Returns::Exact(Text), kernel).optional(3));
    let kernel = strict(|row: &Row<'_>| {
        let given = |index: usize, default: i64| match row.len() > index {
            true => row.integer(index),
            false => default,
        };
        let (start, n, behind) = (given(2, 1), given(3, 1), given(4, 0));
        let flags = if row.len() > 5 { row.text(5) } else { "" };
        let from = offset(row.text(0), start)?;
        let parameter = |name: &str, value: i64| {
            invalid(format!("invalid value for parameter \"{name}\": {value}"))
        };
        let nth = usize::try_from(n - 1).map_err(|_| parameter("n", n))?;
        if !(0..=1).contains(&behind) {
            return Err(parameter("endoption", behind));
        }
        let group = given(6, 0);
        let group = usize::try_from(group).map_err(|_| parameter("subexpr", group))?;
        let regex = regex_of(row.text(1), flags)?;
        let text = &row.text(0)[from..];
        let found = regex.captures_iter(text).nth(nth);
        let Some(found) = found.and_then(|found| found.get(group)) else {
            return integer(0);
        };
        let at = if behind == 1 {
            found.end()
        } else {
            found.start()
        };
        let before = row.text(0)[..from + at].chars().count();
        integer(before as i64 + 1)
    });
    let arguments = [Text, Text, Integer, Integer, Integer, Text, Integer].map(Argument::Exact);
    r.scalar(Scalar::new("regexp_instr", arguments, Returns::Exact(Integer), kernel).optional(5));
    for name in ["substring", "substr"] {
        function(r, name, [Text, Text], Text, |row| {
            let regex = regex_of(row.text(1), "")?;
            let Some(captures) = regex.captures(row.text(0)) else {
                return Ok(Value::Null);
            };
            // The first group where there is one, else the whole match.
            let index = usize::from(captures.len() > 1);
            Ok(captures
                .get(index)
                .map_or(Value::Null, |found| Value::from(found.as_str())))
        });
    }
}

/// Compiles with PostgreSQL's flags: i, g, n/m, s, x, c.
fn regex_of(pattern: &str, flags: &str) -> Result<Regex, Report> {
    let mut insensitive = false;
    let mut modes = String::new();
    for flag in flags.chars() {
        match flag {
            'i' => insensitive = true,
            'c' => insensitive = false,
            'g' | 's' | 't' => {}
            // A dot stops at a line end, and ^ and $ match there.
            'n' | 'm' => modes.push_str("m-s"),
            'p' => modes.push_str("-s"),
            'w' => modes.push('m'),
            'x' => modes.insert(0, 'x'),
            'q' => return compile(&::regex::escape(pattern), insensitive),
            other => {
                return Err(invalid(format!(
                    "invalid regular expression option: \"{other}\""
                )));
            }
        }
    }
    let mut text = advanced(pattern);
    if !modes.is_empty() {
        text = format!("(?{modes}){text}");
    }
    compile(&text, insensitive)
}

/// The byte offset of a character counted from 1.
fn offset(text: &str, start: i64) -> Result<usize, Report> {
    let index = usize::try_from(start - 1)
        .map_err(|_| invalid(format!("invalid value for parameter \"start\": {start}")))?;
    Ok(text
        .char_indices()
        .nth(index)
        .map_or(text.len(), |(at, _)| at))
}

/// The groups of a match, or the whole match where there are none.
fn groups(captures: &Captures<'_>) -> Value {
    let first = usize::from(captures.len() > 1);
    let elements = (first..captures.len())
        .map(|index| {
            captures
                .get(index)
                .map_or(Value::Null, |found| Value::from(found.as_str()))
        })
        .collect();
    Value::Array(Box::new(ArrayValue::from_elements(Text, elements)))
}

/// `regexp_matches`: one array per match; the first match only without the flag g.
pub(super) fn all_matches(text: &str, pattern: &str, flags: &str) -> Result<Vec<Value>, Report> {
    let regex = regex_of(pattern, flags)?;
    let limit = if flags.contains('g') { usize::MAX } else { 1 };
    Ok(regex
        .captures_iter(text)
        .take(limit)
        .map(|captures| groups(&captures))
        .collect())
}

/// `regexp_split_to_table`: matches of nothing at the ends, or right after a match, do not cut.
pub(super) fn split(text: &str, pattern: &str, flags: &str) -> Result<Vec<Value>, Report> {
    let regex = regex_of(pattern, flags)?;
    let mut parts = Vec::new();
    let mut from = 0;
    for found in regex.find_iter(text) {
        let empty = found.is_empty();
        if empty && (found.start() == from || found.start() == text.len()) {
            continue;
        }
        parts.push(Value::from(&text[from..found.start()]));
        from = found.end();
    }
    parts.push(Value::from(&text[from..]));
    Ok(parts)
}

/// Replaces the `n`th match (0: all), searching from a character; `\1` to `\9` and `\&` stand for groups.
fn replace(
    text: &str,
    pattern: &str,
    replacement: &str,
    start: i64,
    n: i64,
    flags: &str,
) -> RowResult {
    let regex = regex_of(pattern, flags)?;
    let from = offset(text, start)?;
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for (index, captures) in regex.captures_iter(&text[from..]).enumerate() {
        let count = index as i64 + 1;
        if n > 0 && count < n {
            continue;
        }
        let Some(whole) = captures.get(0) else {
            continue;
        };
        out.push_str(&text[copied..from + whole.start()]);
        let mut chars = replacement.chars();
        while let Some(c) = chars.next() {
            if c != '\\' {
                out.push(c);
                continue;
            }
            match chars.next() {
                Some('&') => out.push_str(whole.as_str()),
                Some(digit @ '1'..='9') => {
                    let group = digit.to_digit(10).unwrap_or(0) as usize;
                    out.push_str(captures.get(group).map_or("", |found| found.as_str()));
                }
                Some('\\') => out.push('\\'),
                Some(other) => {
                    out.push('\\');
                    out.push(other);
                }
                None => out.push('\\'),
            }
        }
        check_length(out.len())?;
        copied = from + whole.end();
        if n > 0 {
            break;
        }
    }
    out.push_str(&text[copied..]);
    Ok(Value::from(out))
}
