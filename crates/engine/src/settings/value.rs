//! Texts to canonical values and back.

use std::borrow::Cow;

use tessera_types::{DateStyle, Report, TimeZone, codes};

use super::definitions::Definition;

/// Type and range of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `on` or `off`.
    Bool,
    /// A boolean that can only be `on`.
    On,
    /// Whole number.
    Integer { min: i64, max: i64 },
    /// Kept in milliseconds.
    Milliseconds { max: i64 },
    /// Kept in units of 1,024 bytes.
    Kilobytes { min: i64, max: i64 },
    /// Floating point number.
    Real,
    /// Any text.
    String,
    /// At most 63 bytes of printable ASCII; others become `?`.
    Name,
    /// One of these words.
    Enum(&'static [&'static str]),
    /// List of identifiers.
    List,
    /// Encoding of the client.
    Encoding,
    /// Output format of dates.
    DateStyle,
    /// Time zone.
    TimeZone,
    /// Transaction token; checked by the session.
    Token,
}

/// Longest value of a setting in bytes.
const VALUE_BYTES_MAX: usize = 16_384;
/// Longest `application_name` in bytes.
const NAME_BYTES_MAX: usize = 63;

/// Checks a value and gives its canonical form.
pub(crate) fn canonical(definition: &Definition, text: &str) -> Result<String, Report> {
    if text.len() > VALUE_BYTES_MAX || text.contains('\0') {
        return Err(invalid(definition, "(too long)"));
    }
    let text = match definition.kind {
        Kind::String | Kind::Name | Kind::List | Kind::Token => text,
        _ => text.trim(),
    };
    match definition.kind {
        Kind::Bool => match parse_bool(text) {
            Some(value) => Ok(if value { "on" } else { "off" }.to_owned()),
            None => Err(Report::error(
                codes::INVALID_PARAMETER_VALUE,
                format!("parameter \"{}\" requires a Boolean value", definition.name),
            )),
        },
        Kind::On => match parse_bool(text) {
            Some(true) => Ok("on".to_owned()),
            Some(false) => Err(Report::unsupported(format!(
                "parameter \"{}\" cannot be switched off",
                definition.name
            ))),
            None => Err(invalid(definition, text)),
        },
        Kind::Integer { min, max } => {
            let value = text.parse::<i64>().map_err(|_| invalid(definition, text))?;
            in_range(definition, value, min, max, "")
        }
        Kind::Milliseconds { max } => {
            let units = [
                ("us", 0.001),
                ("ms", 1.0),
                ("s", 1e3),
                ("min", 6e4),
                ("h", 3.6e6),
                ("d", 8.64e7),
            ];
            let value = with_unit(definition, text, &units)?;
            in_range(definition, value, 0, max, " ms")
        }
        Kind::Kilobytes { min, max } => {
            let units = [
                ("B", 1.0 / 1024.0),
                ("kB", 1.0),
                ("MB", 1024.0),
                ("GB", 1_048_576.0),
                ("TB", 1_073_741_824.0),
            ];
            let value = with_unit(definition, text, &units)?;
            in_range(definition, value, min, max, " kB")
        }
        Kind::Real => {
            let value = text.parse::<f64>().map_err(|_| invalid(definition, text))?;
            if value.is_finite() {
                Ok(value.to_string())
            } else {
                Err(invalid(definition, text))
            }
        }
        Kind::String | Kind::Token => Ok(text.to_owned()),
        Kind::Name => Ok(printable(text)),
        Kind::Enum(words) => {
            let known = words
                .iter()
                .find(|word| word.eq_ignore_ascii_case(text))
                .copied();
            let known = known.or_else(|| match (parse_bool(text), definition.name) {
                // Booleans where `on` and `off` are two of several words.
                (Some(true), _) if words.contains(&"on") => Some("on"),
                (Some(false), _) if words.contains(&"off") => Some("off"),
                _ => None,
            });
            known.map(str::to_owned).ok_or_else(|| {
                invalid(definition, text)
                    .with_hint(format!("Available values: {}.", words.join(", ")))
            })
        }
        Kind::List => {
            parse_list(text)
                .ok_or_else(|| invalid(definition, text).with_detail("List syntax is invalid."))?;
            Ok(text.to_owned())
        }
        Kind::Encoding => {
            let name: String = text
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .map(|c| c.to_ascii_lowercase())
                .collect();
            match name.as_str() {
                "utf8" | "unicode" => Ok("UTF8".to_owned()),
                _ => Err(invalid(definition, text)
                    .with_detail("The server sends and receives UTF8 only.")),
            }
        }
        Kind::DateStyle => DateStyle::default()
            .parse(text)
            .map(|style| style.to_string())
            .ok_or_else(|| invalid(definition, text)),
        Kind::TimeZone => parse_zone(text)
            .map(|zone| zone.to_string())
            .ok_or_else(|| invalid(definition, text)),
    }
}

/// A zone in any form that SET TIME ZONE takes: a name, a number of hours east of Greenwich,
/// `INTERVAL '+02:00' HOUR TO MINUTE`, LOCAL, DEFAULT.
pub(crate) fn parse_zone(text: &str) -> Option<TimeZone> {
    if text.eq_ignore_ascii_case("local") || text.eq_ignore_ascii_case("default") {
        return Some(TimeZone::UTC);
    }
    if let Ok(hours) = text.parse::<f64>() {
        let seconds = hours * 3600.0;
        return (seconds.abs() < 57_600.0).then_some(TimeZone::Fixed(seconds as i32));
    }
    if text
        .get(..8)
        .is_some_and(|word| word.eq_ignore_ascii_case("interval"))
    {
        let offset = text.split('\'').nth(1)?.trim();
        // In names the sign is POSIX's, west of Greenwich; in an interval it is not.
        let turned = match offset.strip_prefix('-') {
            Some(offset) => format!("+{offset}"),
            None => format!("-{}", offset.trim_start_matches('+')),
        };
        return TimeZone::from_name(&turned);
    }
    TimeZone::from_name(text)
}

/// A value as SHOW prints it: times and sizes in the largest unit that fits.
pub(crate) fn shown<'a>(definition: &Definition, value: &'a str) -> Cow<'a, str> {
    let units: &[(i64, &str)] = match definition.kind {
        Kind::Milliseconds { .. } => &[
            (86_400_000, "d"),
            (3_600_000, "h"),
            (60_000, "min"),
            (1_000, "s"),
            (1, "ms"),
        ],
        Kind::Kilobytes { .. } => &[
            (1_073_741_824, "TB"),
            (1_048_576, "GB"),
            (1_024, "MB"),
            (1, "kB"),
        ],
        _ => return Cow::Borrowed(value),
    };
    match value.parse::<i64>() {
        Ok(0) | Err(_) => Cow::Borrowed(value),
        Ok(number) => units
            .iter()
            .find(|(size, _)| number % size == 0)
            .map_or(Cow::Borrowed(value), |(size, unit)| {
                Cow::Owned(format!("{}{unit}", number / size))
            }),
    }
}

/// PostgreSQL's word for a kind, as in `pg_settings.vartype`.
pub(crate) fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool | Kind::On => "bool",
        Kind::Integer { .. } | Kind::Milliseconds { .. } | Kind::Kilobytes { .. } => "integer",
        Kind::Real => "real",
        Kind::Enum(_) => "enum",
        Kind::String
        | Kind::Name
        | Kind::List
        | Kind::Encoding
        | Kind::DateStyle
        | Kind::TimeZone
        | Kind::Token => "string",
    }
}

/// Unit of a kind's stored value.
pub(crate) fn unit(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Milliseconds { .. } => Some("ms"),
        Kind::Kilobytes { .. } => Some("kB"),
        _ => None,
    }
}

/// A boolean in any of PostgreSQL's spellings, or an unambiguous beginning of one.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    let text = text.to_ascii_lowercase();
    let begins = |word: &str, least: usize| text.len() >= least && word.starts_with(&text);
    if begins("true", 1) || begins("yes", 1) || begins("on", 2) || text == "1" {
        Some(true)
    } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || text == "0" {
        Some(false)
    } else {
        None
    }
}

/// Identifiers of a list such as `"$user", public`; quotes removed, the others folded to lower
/// case. `None` when the list is malformed.
pub(crate) fn parse_list(text: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = text.trim();
    if rest.is_empty() {
        return Some(names);
    }
    loop {
        let name;
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut unquoted = String::new();
            let mut chars = quoted.char_indices().peekable();
            let end = loop {
                let (at, c) = chars.next()?;
                if c != '"' {
                    unquoted.push(c);
                } else if chars.next_if(|(_, next)| *next == '"').is_some() {
                    unquoted.push('"');
                } else {
                    break at + 1;
                }
            };
            name = unquoted;
            rest = quoted[end..].trim_start();
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let word = rest[..end].trim();
            if word.is_empty() || word.contains(char::is_whitespace) || word.contains('"') {
                return None;
            }
            name = word.to_lowercase();
            rest = &rest[end..];
        }
        names.push(name);
        if rest.is_empty() {
            return Some(names);
        }
        rest = rest.strip_prefix(',')?.trim_start();
        if rest.is_empty() {
            return None;
        }
    }
}

/// Writes a list element so that [`parse_list`] reads it back.
pub(crate) fn quote_element(name: &str) -> String {
    let plain = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

fn with_unit(definition: &Definition, text: &str, units: &[(&str, f64)]) -> Result<i64, Report> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E')))
        .unwrap_or(text.len());
    let number = text[..end]
        .parse::<f64>()
        .map_err(|_| invalid(definition, text))?;
    let unit = text[end..].trim();
    let factor = if unit.is_empty() {
        1.0
    } else {
        units
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, factor)| *factor)
            .ok_or_else(|| {
                let names: Vec<_> = units
                    .iter()
                    .map(|(name, _)| format!("\"{name}\""))
                    .collect();
                invalid(definition, text).with_hint(format!(
                    "Valid units for this parameter are {}.",
                    names.join(", ")
                ))
            })?
    };
    // `as` saturates, and the range is checked by the caller.
    Ok((number * factor).round() as i64)
}

fn in_range(
    definition: &Definition,
    value: i64,
    min: i64,
    max: i64,
    unit: &str,
) -> Result<String, Report> {
    if (min..=max).contains(&value) {
        return Ok(value.to_string());
    }
    Err(Report::error(
        codes::INVALID_PARAMETER_VALUE,
        format!(
            "{value}{unit} is outside the valid range for parameter \"{}\" ({min}{unit} .. {max}{unit})",
            definition.name
        ),
    ))
}

fn printable(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if out.len() == NAME_BYTES_MAX {
            break;
        }
        out.push(if (' '..='~').contains(&c) { c } else { '?' });
    }
    out
}

fn invalid(definition: &Definition, text: &str) -> Report {
    Report::error(
        codes::INVALID_PARAMETER_VALUE,
        format!(
            "invalid value for parameter \"{}\": \"{text}\"",
            definition.name
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::definitions::{DEFINITIONS, find};

    fn check(name: &str, text: &str, expected: Result<&str, &str>) {
        let definition = &DEFINITIONS[find(name).expect("a known setting")];
        let found = canonical(definition, text);
        match (&found, expected) {
            (Ok(value), Ok(expected)) => {
                assert_eq!(shown(definition, value), expected, "{name} = {text}");
            }
            (Err(report), Err(code)) => assert_eq!(report.code.as_str(), code, "{name} = {text}"),
            _ => panic!("{name} = {text}: {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn values_are_read_and_shown_as_postgresql_does() {
        check("statement_timeout", "5s", Ok("5s"));
        check("statement_timeout", "1500", Ok("1500ms"));
        check("statement_timeout", " 2min ", Ok("2min"));
        check("statement_timeout", "0", Ok("0"));
        check("statement_timeout", "-1", Err("22023"));
        check("statement_timeout", "5 parsecs", Err("22023"));
        check("work_mem", "64MB", Ok("64MB"));
        check("work_mem", "1", Err("22023"));
        check("jit", "t", Ok("on"));
        check("jit", "of", Ok("off"));
        check("jit", "o", Err("22023"));
        check("synchronous_commit", "true", Ok("on"));
        check(
            "default_transaction_isolation",
            "REPEATABLE READ",
            Ok("repeatable read"),
        );
        check("default_transaction_isolation", "sometimes", Err("22023"));
        check("client_encoding", "utf-8", Ok("UTF8"));
        check("client_encoding", "LATIN1", Err("22023"));
        check("standard_conforming_strings", "off", Err("0A000"));
        check("extra_float_digits", "3", Ok("3"));
        check("extra_float_digits", "4", Err("22023"));
        check("DateStyle", "german", Ok("German, DMY"));
        check("application_name", "caf\u{e9}", Ok("caf?"));
        check("TimeZone", "Mars/Olympus", Err("22023"));
        check("TimeZone", "europe/berlin", Ok("Europe/Berlin"));
        check(
            "TimeZone",
            "INTERVAL '+02:00' HOUR TO MINUTE",
            Ok("<+02>-02"),
        );
        check("TimeZone", "-7", Ok("<-07>+07"));
        check("search_path", "a, \"B c\"", Ok("a, \"B c\""));
        check("search_path", "a,,b", Err("22023"));
    }

    #[test]
    fn lists_are_read_back_as_they_were_quoted() {
        for names in [
            vec!["public"],
            vec!["$user", "public"],
            vec!["a\"b", "C,d", " "],
        ] {
            let text = names
                .iter()
                .map(|name| quote_element(name))
                .collect::<Vec<_>>()
                .join(", ");
            assert_eq!(parse_list(&text).expect("well-formed"), names, "{text}");
        }
        assert_eq!(parse_list("Public"), Some(vec!["public".to_owned()]));
        assert_eq!(parse_list("\"open"), None);
        assert_eq!(parse_list("a b"), None);
    }
}
