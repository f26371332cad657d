//! Functions on text and bytes.

use base64::Engine as _;
use sha2::Digest as _;
use tessera_planner::functions::{Argument, FunctionRegistry, Returns, Scalar};
use tessera_types::SqlType::{Boolean, Bytea, Char, Integer, Text};
use tessera_types::{Report, SqlType, Value, ValueRef, codes};

use super::kernel::{
    Row, RowResult, check_length, function, integer, invalid, lenient, output, strict,
};

/// Adds them.
pub(super) fn register(registry: &mut FunctionRegistry) {
    lengths(registry);
    parts(registry);
    changes(registry);
    quoting(registry);
    bytes(registry);
    hashes(registry);
}

fn lengths(r: &mut FunctionRegistry) {
    for name in ["length", "char_length", "character_length"] {
        function(r, name, [Text], Integer, |row| integer(count(row.text(0))));
        function(r, name, [Char(0)], Integer, |row| {
            integer(count(row.text(0).trim_end_matches(' ')))
        });
    }
    function(r, "length", [Bytea], Integer, |row| {
        integer(row.bytes(0).len() as i64)
    });
    for (name, factor) in [("octet_length", 1), ("bit_length", 8)] {
        function(r, name, [Text], Integer, move |row| {
            integer(row.text(0).len() as i64 * factor)
        });
        function(r, name, [Char(0)], Integer, move |row| {
            integer(row.text(0).len() as i64 * factor)
        });
        function(r, name, [Bytea], Integer, move |row| {
            integer(row.bytes(0).len() as i64 * factor)
        });
    }
    function(r, "ascii", [Text], Integer, |row| {
        integer(
            row.text(0)
                .chars()
                .next()
                .map_or(0, |first| i64::from(u32::from(first))),
        )
    });
    function(r, "chr", [Integer], Text, |row| {
        let code = row.integer(0);
        if code == 0 {
            return Err(Report::error(
                codes::PROGRAM_LIMIT_EXCEEDED,
                "null character not permitted",
            ));
        }
        let found = u32::try_from(code).ok().and_then(char::from_u32);
        found.map(|c| Value::from(c.to_string())).ok_or_else(|| {
            if code < 0 {
                return invalid("character number must be positive");
            }
            Report::error(
                codes::PROGRAM_LIMIT_EXCEEDED,
                format!("requested character not valid for encoding: {code}"),
            )
        })
    });
    for name in ["strpos", "position"] {
        function(r, name, [Text, Text], Integer, |row| {
            integer(find(row.text(0), row.text(1)))
        });
    }
    function(r, "position", [Bytea, Bytea], Integer, |row| {
        let (hay, needle) = (row.bytes(0), row.bytes(1));
        let at = if needle.is_empty() {
            Some(0)
        } else {
            hay.windows(needle.len()).position(|w| w == needle)
        };
        integer(at.map_or(0, |at| at as i64 + 1))
    });
    function(r, "starts_with", [Text, Text], Boolean, |row| {
        Ok(Value::Boolean(row.text(0).starts_with(row.text(1))))
    });
}

fn count(text: &str) -> i64 {
    if text.is_ascii() {
        text.len() as i64
    } else {
        text.chars().count() as i64
    }
}

/// The place of the first occurrence in characters, from 1; 0 for none.
fn find(hay: &str, needle: &str) -> i64 {
    hay.find(needle).map_or(0, |at| count(&hay[..at]) + 1)
}

fn parts(r: &mut FunctionRegistry) {
    for name in ["substring", "substr"] {
        function(r, name, [Text, Integer], Text, |row| {
            Ok(Value::from(substring(row.text(0), row.integer(1), None)?))
        });
        function(r, name, [Text, Integer, Integer], Text, |row| {
            Ok(Value::from(substring(
                row.text(0),
                row.integer(1),
                Some(row.integer(2)),
            )?))
        });
        function(r, name, [Bytea, Integer], Bytea, |row| {
            Ok(Value::from(
                byte_range(row.bytes(0), row.integer(1), None)?.to_vec(),
            ))
        });
        function(r, name, [Bytea, Integer, Integer], Bytea, |row| {
            Ok(Value::from(
                byte_range(row.bytes(0), row.integer(1), Some(row.integer(2)))?.to_vec(),
            ))
        });
    }
    function(r, "left", [Text, Integer], Text, |row| {
        let (text, n) = (row.text(0), row.integer(1));
        let keep = if n < 0 { count(text) + n } else { n };
        Ok(Value::from(prefix(text, keep)))
    });
    function(r, "right", [Text, Integer], Text, |row| {
        let (text, n) = (row.text(0), row.integer(1));
        let drop = if n < 0 { -n } else { count(text) - n };
        Ok(Value::from(&text[prefix(text, drop).len()..]))
    });
    function(r, "split_part", [Text, Text, Integer], Text, |row| {
        let (text, delimiter, n) = (row.text(0), row.text(1), row.integer(2));
        if n == 0 {
            return Err(invalid("field position must not be zero"));
        }
        if delimiter.is_empty() {
            return Ok(Value::from(if n == 1 || n == -1 { text } else { "" }));
        }
        let index = usize::try_from(n.unsigned_abs() - 1).unwrap_or(usize::MAX);
        let part = if n > 0 {
            text.split(delimiter).nth(index)
        } else {
            text.rsplit(delimiter).nth(index)
        };
        Ok(Value::from(part.unwrap_or("")))
    });
    for (name, left, right) in [
        ("ltrim", true, false),
        ("rtrim", false, true),
        ("btrim", true, true),
    ] {
        function(r, name, [Text], Text, move |row| {
            Ok(Value::from(trim(row.text(0), " ", left, right)))
        });
        function(r, name, [Text, Text], Text, move |row| {
            Ok(Value::from(trim(row.text(0), row.text(1), left, right)))
        });
        function(r, name, [Bytea, Bytea], Bytea, move |row| {
            let (mut bytes, set) = (row.bytes(0), row.bytes(1));
            while let (true, Some((first, rest))) = (left, bytes.split_first()) {
                if !set.contains(first) {
                    break;
                }
                bytes = rest;
            }
            while let (true, Some((last, rest))) = (right, bytes.split_last()) {
                if !set.contains(last) {
                    break;
                }
                bytes = rest;
            }
            Ok(Value::from(bytes.to_vec()))
        });
    }
}

/// SQL's substring: characters `start` to before `start + length`, from 1; places outside do not count.
fn substring(text: &str, start: i64, length: Option<i64>) -> Result<&str, Report> {
    let (from, to) = bounds(start, length)?;
    let rest = &text[prefix(text, from).len()..];
    Ok(match to {
        Some(to) => prefix(rest, to - from),
        None => rest,
    })
}

fn byte_range(bytes: &[u8], start: i64, length: Option<i64>) -> Result<&[u8], Report> {
    let (from, to) = bounds(start, length)?;
    let clamp = |at: i64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    Ok(&bytes[clamp(from)..to.map_or(bytes.len(), clamp)])
}

/// The same range from 0, cut at the beginning.
fn bounds(start: i64, length: Option<i64>) -> Result<(i64, Option<i64>), Report> {
    let from = (start - 1).max(0);
    let to = match length {
        Some(length) if length < 0 => {
            return Err(Report::error(
                codes::SUBSTRING_ERROR,
                "negative substring length not allowed",
            ));
        }
        Some(length) => Some((start - 1 + length).max(from)),
        None => None,
    };
    Ok((from, to))
}

/// The first so many characters; nothing for a negative number.
fn prefix(text: &str, characters: i64) -> &str {
    let Ok(characters) = usize::try_from(characters) else {
        return "";
    };
    if text.is_ascii() {
        return &text[..characters.min(text.len())];
    }
    text.char_indices()
        .nth(characters)
        .map_or(text, |(end, _)| &text[..end])
}

fn trim<'a>(text: &'a str, set: &str, left: bool, right: bool) -> &'a str {
    let mut text = text;
    if left {
        text = text.trim_start_matches(|c| set.contains(c));
    }
    if right {
        text = text.trim_end_matches(|c| set.contains(c));
    }
    text
}

fn changes(r: &mut FunctionRegistry) {
    function(r, "lower", [Text], Text, |row| {
        Ok(Value::from(row.text(0).to_lowercase()))
    });
    function(r, "upper", [Text], Text, |row| {
        Ok(Value::from(row.text(0).to_uppercase()))
    });
    function(r, "initcap", [Text], Text, |row| {
        let mut out = String::with_capacity(row.text(0).len());
        let mut inside = false;
        for c in row.text(0).chars() {
            if inside {
                out.extend(c.to_lowercase());
            } else {
                out.extend(c.to_uppercase());
            }
            inside = c.is_alphanumeric();
        }
        Ok(Value::from(out))
    });
    function(r, "reverse", [Text], Text, |row| {
        Ok(Value::from(row.text(0).chars().rev().collect::<String>()))
    });
    function(r, "repeat", [Text, Integer], Text, |row| {
        let times = usize::try_from(row.integer(1)).unwrap_or(0);
        check_length(row.text(0).len().saturating_mul(times))?;
        Ok(Value::from(row.text(0).repeat(times)))
    });
    function(r, "replace", [Text, Text, Text], Text, |row| {
        let (text, from, to) = (row.text(0), row.text(1), row.text(2));
        if from.is_empty() {
            return Ok(Value::from(text));
        }
        let hits = if to.len() > from.len() {
            text.matches(from).count()
        } else {
            0
        };
        check_length(text.len().saturating_add(hits.saturating_mul(to.len())))?;
        Ok(Value::from(text.replace(from, to)))
    });
    function(r, "translate", [Text, Text, Text], Text, |row| {
        let from: Vec<char> = row.text(1).chars().collect();
        let to: Vec<char> = row.text(2).chars().collect();
        let translated =
            row.text(0)
                .chars()
                .filter_map(|c| match from.iter().position(|f| *f == c) {
                    Some(index) => to.get(index).copied(),
                    None => Some(c),
                });
        Ok(Value::from(translated.collect::<String>()))
    });
    for (name, left) in [("lpad", true), ("rpad", false)] {
        function(r, name, [Text, Integer], Text, move |row| {
            pad(row.text(0), row.integer(1), " ", left)
        });
        function(r, name, [Text, Integer, Text], Text, move |row| {
            pad(row.text(0), row.integer(1), row.text(2), left)
        });
    }
    function(r, "overlay", [Text, Text, Integer], Text, |row| {
        overlay(row.text(0), row.text(1), row.integer(2), count(row.text(1)))
    });
    function(r, "overlay", [Text, Text, Integer, Integer], Text, |row| {
        overlay(row.text(0), row.text(1), row.integer(2), row.integer(3))
    });
    r.scalar(
        Scalar::new(
            "concat",
            [Argument::Any],
            Returns::Exact(Text),
            lenient(concat),
        )
        .stable()
        .variadic(),
    );
    let arguments = [Argument::Exact(Text), Argument::Any];
    r.scalar(
        Scalar::new(
            "concat_ws",
            arguments,
            Returns::Exact(Text),
            lenient(concat_ws),
        )
        .stable()
        .variadic(),
    );
    r.scalar(
        Scalar::new(
            "format",
            [Argument::Exact(Text)],
            Returns::Exact(Text),
            lenient(format),
        )
        .stable(),
    );
    let arguments = [Argument::Exact(Text), Argument::Any];
    r.scalar(
        Scalar::new("format", arguments, Returns::Exact(Text), lenient(format))
            .stable()
            .variadic(),
    );
    function(r, "normalize", [Text], Text, |row| normalized(row.text(0)));
    function(r, "is_normalized", [Text, Text], Boolean, |row| {
        normalized(row.text(0)).map(|_| Value::Boolean(true))
    });
}

/// ASCII is normal in every form; other text would need tables that we do not have.
fn normalized(text: &str) -> RowResult {
    if text.is_ascii() {
        return Ok(Value::from(text));
    }
    Err(Report::unsupported(
        "Unicode normalization of other than ASCII text is not supported",
    ))
}

fn pad(text: &str, length: i64, fill: &str, left: bool) -> RowResult {
    let Ok(length) = usize::try_from(length) else {
        return Ok(Value::from(""));
    };
    check_length(length)?;
    let have = count(text) as usize;
    if have >= length {
        return Ok(Value::from(prefix(text, length as i64)));
    }
    let padding: String = fill
        .chars()
        .cycle()
        .take(if fill.is_empty() { 0 } else { length - have })
        .collect();
    check_length(padding.len() + text.len())?;
    Ok(Value::from(if left {
        padding + text
    } else {
        text.to_owned() + &padding
    }))
}

fn overlay(text: &str, new: &str, start: i64, length: i64) -> RowResult {
    if start <= 0 {
        return Err(Report::error(
            codes::SUBSTRING_ERROR,
            "negative substring length not allowed",
        ));
    }
    let before = prefix(text, start - 1);
    let after = substring(text, start.saturating_add(length), None)?;
    Ok(Value::from(format!("{before}{new}{after}")))
}

fn concat(row: &Row<'_>) -> RowResult {
    let mut out = String::new();
    for index in 0..row.len() {
        if !row.is_null(index) {
            out.push_str(&row.output(index));
            check_length(out.len())?;
        }
    }
    Ok(Value::from(out))
}

fn concat_ws(row: &Row<'_>) -> RowResult {
    if row.is_null(0) {
        return Ok(Value::Null);
    }
    let mut out = String::new();
    let mut first = true;
    for index in (1..row.len()).filter(|index| !row.is_null(*index)) {
        if !std::mem::take(&mut first) {
            out.push_str(row.text(0));
        }
        out.push_str(&row.output(index));
        check_length(out.len())?;
    }
    Ok(Value::from(out))
}

/// `format('%-10s|%1$I|%L|%%', …)`
fn format(row: &Row<'_>) -> RowResult {
    if row.is_null(0) {
        return Ok(Value::Null);
    }
    let unterminated = || {
        Report::error(
            codes::INVALID_PARAMETER_VALUE,
            "unterminated format() type specifier",
        )
        .with_hint("For a single \"%\" use \"%%\".")
    };
    let mut out = String::new();
    let mut chars = row.text(0).chars().peekable();
    let mut next = 1;
    let number =
        |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| -> Result<Option<i64>, Report> {
            let mut value: Option<i64> = None;
            while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                chars.next();
                let sum = value.unwrap_or(0) * 10 + i64::from(digit);
                if sum > i64::from(i32::MAX) {
                    return Err(super::kernel::out_of_range("number is"));
                }
                value = Some(sum);
            }
            Ok(value)
        };
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        if chars.peek() == Some(&'%') {
            chars.next();
            out.push('%');
            continue;
        }
        let mut position = None;
        let mut width = number(&mut chars)?;
        if width.is_some() && chars.peek() == Some(&'$') {
            chars.next();
            position = width.take();
            if position == Some(0) {
                return Err(invalid(
                    "format specifies argument 0, but arguments are numbered from 1",
                ));
            }
        }
        let mut left = false;
        while width.is_none() && chars.peek() == Some(&'-') {
            chars.next();
            left = true;
        }
        if chars.peek() == Some(&'*') {
            chars.next();
            let from = number(&mut chars)?;
            if from.is_some() && chars.next() != Some('$') {
                return Err(invalid("width argument position must be ended by \"$\""));
            }
            let index = from.map_or(next, |from| usize::try_from(from).unwrap_or(usize::MAX));
            next = index.saturating_add(1);
            if index >= row.len() {
                return Err(invalid("too few arguments for format()"));
            }
            let given = row.output(index).parse::<i64>().unwrap_or(0);
            left = left || given < 0;
            width = Some(given.saturating_abs());
        } else if width.is_none() {
            width = number(&mut chars)?;
        }
        let kind = chars.next().ok_or_else(unterminated)?;
        if !matches!(kind, 's' | 'I' | 'L') {
            return Err(
                invalid(format!("unrecognized format() type specifier \"{kind}\""))
                    .with_hint("For a single \"%\" use \"%%\"."),
            );
        }
        let index = position.map_or(next, |position| {
            usize::try_from(position).unwrap_or(usize::MAX)
        });
        next = index.saturating_add(1);
        if index >= row.len() {
            return Err(invalid("too few arguments for format()"));
        }
        let text = match (kind, row.is_null(index)) {
            ('s', true) => String::new(),
            ('L', true) => "NULL".to_owned(),
            ('I', true) => {
                return Err(Report::error(
                    codes::NULL_VALUE_NOT_ALLOWED,
                    "null values cannot be formatted as an SQL identifier",
                ));
            }
            ('I', false) => quote_identifier(&row.output(index)),
            ('L', false) => quote_literal(&row.output(index)),
            _ => row.output(index),
        };
        let missing = usize::try_from(width.unwrap_or(0))
            .unwrap_or(0)
            .saturating_sub(count(&text) as usize);
        check_length(out.len().saturating_add(missing).saturating_add(text.len()))?;
        let blanks = " ".repeat(missing);
        if left {
            out.push_str(&text);
            out.push_str(&blanks);
        } else {
            out.push_str(&blanks);
            out.push_str(&text);
        }
    }
    Ok(Value::from(out))
}

fn quoting(r: &mut FunctionRegistry) {
    function(r, "quote_ident", [Text], Text, |row| {
        Ok(Value::from(quote_identifier(row.text(0))))
    });
    for name in ["quote_literal", "quote_nullable"] {
        let nullable = name == "quote_nullable";
        let body = move |row: &Row<'_>| {
            Ok(match (row.is_null(0), nullable) {
                (true, true) => Value::from("NULL"),
                (true, false) => Value::Null,
                _ => Value::from(quote_literal(&output(
                    row.value(0),
                    row.sql_type(0),
                    &row.format(),
                ))),
            })
        };
        r.scalar(Scalar::new(name, [Argument::Any], Returns::Exact(Text), lenient(body)).stable());
    }
}

/// Quotes where the parser would read another name, or a keyword, without.
pub(super) fn quote_identifier(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if plain && !is_keyword(name) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn is_keyword(name: &str) -> bool {
    // Words that PostgreSQL's quote_ident quotes: all that are not unreserved.
    const KEYWORDS: &[&str] = &[
        "all",
        "analyse",
        "analyze",
        "and",
        "any",
        "array",
        "as",
        "asc",
        "asymmetric",
        "authorization",
        "between",
        "bigint",
        "binary",
        "bit",
        "boolean",
        "both",
        "case",
        "cast",
        "char",
        "character",
        "check",
        "coalesce",
        "collate",
        "collation",
        "column",
        "concurrently",
        "constraint",
        "create",
        "cross",
        "current_catalog",
        "current_date",
        "current_role",
        "current_schema",
        "current_time",
        "current_timestamp",
        "current_user",
        "dec",
        "decimal",
        "default",
        "deferrable",
        "desc",
        "distinct",
        "do",
        "else",
        "end",
        "except",
        "exists",
        "extract",
        "false",
        "fetch",
        "float",
        "for",
        "foreign",
        "freeze",
        "from",
        "full",
        "grant",
        "greatest",
        "group",
        "grouping",
        "having",
        "ilike",
        "in",
        "initially",
        "inner",
        "inout",
        "int",
        "integer",
        "intersect",
        "interval",
        "into",
        "is",
        "isnull",
        "join",
        "lateral",
        "leading",
        "least",
        "left",
        "like",
        "limit",
        "localtime",
        "localtimestamp",
        "national",
        "natural",
        "nchar",
        "none",
        "normalize",
        "not",
        "notnull",
        "null",
        "nullif",
        "numeric",
        "offset",
        "on",
        "only",
        "or",
        "order",
        "out",
        "outer",
        "overlaps",
        "overlay",
        "placing",
        "position",
        "precision",
        "primary",
        "real",
        "references",
        "returning",
        "right",
        "row",
        "select",
        "session_user",
        "setof",
        "similar",
        "smallint",
        "some",
        "substring",
        "symmetric",
        "table",
        "tablesample",
        "then",
        "time",
        "timestamp",
        "to",
        "trailing",
        "treat",
        "trim",
        "true",
        "union",
        "unique",
        "user",
        "using",
        "values",
        "varchar",
        "variadic",
        "verbose",
        "when",
        "where",
        "window",
        "with",
        "xmlattributes",
        "xmlconcat",
        "xmlelement",
        "xmlexists",
        "xmlforest",
        "xmlnamespaces",
        "xmlparse",
        "xmlpi",
        "xmlroot",
        "xmlserialize",
        "xmltable",
    ];
    KEYWORDS.binary_search(&name).is_ok()
}

fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

fn bytes(r: &mut FunctionRegistry) {
    function(r, "encode", [Bytea, Text], Text, |row| {
        encode(row.bytes(0), row.text(1)).map(Value::from)
    });
    function(r, "decode", [Text, Text], Bytea, |row| {
        decode(row.text(0), row.text(1)).map(Value::from)
    });
    function(r, "convert_from", [Bytea, Text], Text, |row| {
        check_utf8(row.text(1))?;
        Ok(Value::from(tessera_types::binary::utf8(row.bytes(0))?))
    });
    function(r, "convert_to", [Text, Text], Bytea, |row| {
        check_utf8(row.text(1))?;
        Ok(Value::from(row.text(0).as_bytes().to_vec()))
    });
    function(r, "get_byte", [Bytea, Integer], Integer, |row| {
        let index = byte_index(row)?;
        integer(i64::from(row.bytes(0)[index]))
    });
    function(r, "set_byte", [Bytea, Integer, Integer], Bytea, |row| {
        let index = byte_index(row)?;
        let mut bytes = row.bytes(0).to_vec();
        bytes[index] = (row.integer(2) & 0xff) as u8;
        Ok(Value::from(bytes))
    });
    for ty in [Integer, SqlType::BigInt] {
        function(r, "get_bit", [Bytea, ty.clone()], Integer, |row| {
            let (index, bit) = bit_index(row)?;
            integer(i64::from(row.bytes(0)[index] >> bit & 1))
        });
        function(r, "set_bit", [Bytea, ty, Integer], Bytea, |row| {
            let (index, bit) = bit_index(row)?;
            let mut bytes = row.bytes(0).to_vec();
            match row.integer(2) {
                0 => bytes[index] &= !(1 << bit),
                1 => bytes[index] |= 1 << bit,
                _ => return Err(invalid("new bit must be 0 or 1")),
            }
            Ok(Value::from(bytes))
        });
    }
    function(r, "bit_count", [Bytea], SqlType::BigInt, |row| {
        let ones = row.bytes(0).iter().map(|byte| i64::from(byte.count_ones()));
        Ok(Value::BigInt(ones.sum()))
    });
    function(r, "overlay", [Bytea, Bytea, Integer], Bytea, |row| {
        let length = row.bytes(1).len() as i64;
        overlay_bytes(row.bytes(0), row.bytes(1), row.integer(2), length)
    });
    function(
        r,
        "overlay",
        [Bytea, Bytea, Integer, Integer],
        Bytea,
        |row| overlay_bytes(row.bytes(0), row.bytes(1), row.integer(2), row.integer(3)),
    );
    function(r, "reverse", [Bytea], Bytea, |row| {
        Ok(Value::from(
            row.bytes(0).iter().rev().copied().collect::<Vec<_>>(),
        ))
    });
    for ty in [Integer, SqlType::BigInt] {
        let is_wide = ty == SqlType::BigInt;
        function(r, "to_hex", [ty], Text, move |row| {
            let value = row.integer(0);
            // Negative numbers show the bits of their own width.
            Ok(Value::from(if is_wide {
                format!("{value:x}")
            } else {
                format!("{:x}", value as i32)
            }))
        });
    }
}

/// The byte of a bit, and the bit in it; bits are counted from the lowest of each byte.
fn bit_index(row: &Row<'_>) -> Result<(usize, u32), Report> {
    let length = row.bytes(0).len() as i64 * 8;
    let bit = row.integer(1);
    if !(0..length).contains(&bit) {
        return Err(Report::error(
            codes::ARRAY_SUBSCRIPT_ERROR,
            format!("index {bit} out of valid range, 0..{}", length - 1),
        ));
    }
    // Below the length, so it fits.
    Ok(((bit / 8) as usize, (bit % 8) as u32))
}

fn overlay_bytes(bytes: &[u8], new: &[u8], from: i64, length: i64) -> RowResult {
    if from <= 0 {
        return Err(Report::error(
            codes::SUBSTRING_ERROR,
            "negative substring length not allowed",
        ));
    }
    let at = |position: i64| usize::try_from(position.clamp(0, bytes.len() as i64)).unwrap_or(0);
    let end = from
        .checked_add(length)
        .ok_or_else(|| super::kernel::out_of_range("integer"))?;
    Ok(Value::from(
        [&bytes[..at(from - 1)], new, &bytes[at(end - 1)..]].concat(),
    ))
}

fn byte_index(row: &Row<'_>) -> Result<usize, Report> {
    let length = row.bytes(0).len();
    usize::try_from(row.integer(1))
        .ok()
        .filter(|index| *index < length)
        .ok_or_else(|| {
            Report::error(
                codes::ARRAY_SUBSCRIPT_ERROR,
                format!(
                    "index {} out of valid range, 0..{}",
                    row.integer(1),
                    length as i64 - 1
                ),
            )
        })
}

fn check_utf8(name: &str) -> Result<(), Report> {
    if name.eq_ignore_ascii_case("utf8")
        || name.eq_ignore_ascii_case("utf-8")
        || name.eq_ignore_ascii_case("unicode")
    {
        return Ok(());
    }
    Err(Report::unsupported(format!(
        "encoding \"{name}\" is not supported, only UTF8 is"
    )))
}

fn encode(bytes: &[u8], format: &str) -> Result<String, Report> {
    check_length(bytes.len().saturating_mul(4))?;
    match format.to_ascii_lowercase().as_str() {
        "hex" => Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        "base64" => {
            // Lines of 76 characters, as in MIME.
            let plain = base64::engine::general_purpose::STANDARD.encode(bytes);
            let lines: Vec<&str> = (0..plain.len())
                .step_by(76)
                .map(|at| &plain[at..plain.len().min(at + 76)])
                .collect();
            Ok(lines.join("\n"))
        }
        "escape" => {
            let mut out = String::new();
            for byte in bytes {
                match byte {
                    0 | 0x80..=0xff => out.push_str(&format!("\\{byte:03o}")),
                    b'\\' => out.push_str("\\\\"),
                    byte => out.push(char::from(*byte)),
                }
            }
            Ok(out)
        }
        _ => Err(invalid(format!("unrecognized encoding: \"{format}\""))),
    }
}

fn decode(text: &str, format: &str) -> Result<Vec<u8>, Report> {
    let ctx = tessera_types::FormatContext::default();
    let through_bytea = |text: &str| -> Result<Vec<u8>, Report> {
        match tessera_types::text::parse(&Bytea, text, &ctx)? {
            Value::Bytea(bytes) => Ok(bytes.into_vec()),
            _ => Ok(Vec::new()),
        }
    };
    match format.to_ascii_lowercase().as_str() {
        "hex" => through_bytea(&format!("\\x{text}")),
        "escape" => through_bytea(text),
        "base64" => {
            let compact: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            base64::engine::general_purpose::STANDARD
                .decode(compact)
                .map_err(|error| match error {
                    base64::DecodeError::InvalidByte(_, byte) => invalid(format!(
                        "invalid symbol \"{}\" found while decoding base64 sequence",
                        char::from(byte)
                    )),
                    _ => invalid("invalid base64 end sequence").with_hint(
                        "Input data is missing padding, is truncated, or is otherwise corrupted.",
                    ),
                })
        }
        _ => Err(invalid(format!("unrecognized encoding: \"{format}\""))),
    }
}

fn hashes(r: &mut FunctionRegistry) {
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let md5 = move |bytes: &[u8]| hex(&md5::Md5::digest(bytes));
    for ty in [Text, Bytea] {
        r.scalar(Scalar::new(
            "md5",
            [Argument::Exact(ty)],
            Returns::Exact(Text),
            strict(move |row| {
                Ok(Value::from(match row.value(0) {
                    ValueRef::Bytea(bytes) => md5(bytes),
                    _ => md5(row.text(0).as_bytes()),
                }))
            }),
        ));
    }
    function(r, "sha224", [Bytea], Bytea, |row| {
        Ok(Value::from(sha2::Sha224::digest(row.bytes(0)).to_vec()))
    });
    function(r, "sha256", [Bytea], Bytea, |row| {
        Ok(Value::from(sha2::Sha256::digest(row.bytes(0)).to_vec()))
    });
    function(r, "sha384", [Bytea], Bytea, |row| {
        Ok(Value::from(sha2::Sha384::digest(row.bytes(0)).to_vec()))
    });
    function(r, "sha512", [Bytea], Bytea, |row| {
        Ok(Value::from(sha2::Sha512::digest(row.bytes(0)).to_vec()))
    });
}
