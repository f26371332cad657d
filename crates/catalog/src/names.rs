//! Names: their length, the ones that are made for the user, and how they are quoted.

use std::borrow::Cow;

use tessera_types::RelationId;

/// Bytes of an identifier; longer ones are cut, as in PostgreSQL.
pub const NAME_BYTES_MAX: usize = 63;

/// Cuts a name to [`NAME_BYTES_MAX`] bytes at a character border.
pub fn truncate_name(name: &str) -> Cow<'_, str> {
    if name.len() <= NAME_BYTES_MAX {
        return Cow::Borrowed(name);
    }
    Cow::Owned(cut(name, NAME_BYTES_MAX).to_owned())
}

fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// `first_second_label`, the longer one of the first two cut as needed (PostgreSQL's
/// `makeObjectName`), with a number added until `is_taken` says no.
pub(crate) fn choose_name(
    first: &str,
    second: &str,
    label: &str,
    is_taken: impl Fn(&str) -> bool,
) -> String {
    for number in 0.. {
        let label = if number == 0 {
            label.to_owned()
        } else {
            format!("{label}{number}")
        };
        let name = object_name(first, second, &label);
        if !is_taken(&name) {
            return name;
        }
    }
    unreachable!("numbers do not end")
}

fn object_name(first: &str, second: &str, label: &str) -> String {
    let separators = usize::from(!second.is_empty()) + usize::from(!label.is_empty());
    let room = NAME_BYTES_MAX.saturating_sub(label.len() + separators);
    let (mut a, mut b) = (first.len(), second.len());
    while a + b > room {
        if a > b {
            a -= 1;
        } else {
            b -= 1;
        }
    }
    let mut name = cut(first, a).to_owned();
    for part in [cut(second, b), label] {
        if !part.is_empty() {
            name.push('_');
            name.push_str(part);
        }
    }
    name
}

/// The column part of a made name: `a_b_c`, cut at the limit.
pub(crate) fn join_columns<'a>(columns: impl Iterator<Item = &'a str>) -> String {
    let mut joined = String::new();
    for column in columns {
        if !joined.is_empty() {
            joined.push('_');
        }
        joined.push_str(column);
        if joined.len() >= NAME_BYTES_MAX {
            break;
        }
    }
    cut(&joined, NAME_BYTES_MAX).to_owned()
}

/// Words that must be quoted although they look like plain names.
const RESERVED: &[&str] = &[
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
    "system_user",
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

/// The name as it must be written in SQL (`quote_ident`).
pub fn quote_name(name: &str) -> Cow<'_, str> {
    let mut characters = name.chars();
    let is_plain = characters
        .next()
        .is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && RESERVED.binary_search(&name).is_err();
    if is_plain {
        return Cow::Borrowed(name);
    }
    Cow::Owned(format!("\"{}\"", name.replace('"', "\"\"")))
}

/// Oids of the system catalogs that object names are locked in.
pub(crate) const PG_CLASS: RelationId = RelationId(1259);
pub(crate) const PG_NAMESPACE: RelationId = RelationId(2615);
pub(crate) const PG_AUTHID: RelationId = RelationId(1260);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_names_are_those_of_postgresql() {
        let free = |_: &str| false;
        assert_eq!(choose_name("t", "", "pkey", free), "t_pkey");
        assert_eq!(choose_name("t", "a_b", "key", free), "t_a_b_key");
        assert_eq!(
            choose_name("t", "a", "idx", |name| name == "t_a_idx"),
            "t_a_idx1"
        );
        let long = "x".repeat(80);
        let name = choose_name(&long, &long, "idx", free);
        assert_eq!(name, format!("{}_{}_idx", "x".repeat(29), "x".repeat(29)));
    }

    #[test]
    fn cutting_keeps_whole_characters() {
        let name = "é".repeat(40);
        assert_eq!(truncate_name(&name).len(), 62);
        assert_eq!(truncate_name("short"), "short");
    }

    #[test]
    fn names_are_quoted_when_they_must_be() {
        for (name, quoted) in [
            ("a", "a"),
            ("A", "\"A\""),
            ("user", "\"user\""),
            ("1a", "\"1a\""),
            ("", "\"\""),
            ("a\"b", "\"a\"\"b\""),
        ] {
            assert_eq!(quote_name(name), quoted);
        }
        assert!(RESERVED.is_sorted());
    }
}
