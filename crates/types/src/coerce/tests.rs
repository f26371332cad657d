use super::*;

fn check(value: &str, from: &str, to: &str, kind: CastKind, expected: &str) {
    let ctx = FormatContext::default();
    let (from, to) = (
        SqlType::from_name(from).expect(from),
        SqlType::from_name(to).expect(to),
    );
    let parsed = text::parse(&from, value, &ctx).expect(value);
    let found = match to_column(parsed, &from, &to, kind, &ctx) {
        Ok(Value::Null) => "NULL".to_owned(),
        Ok(result) => text::to_string(result.as_ref(), &to, &ctx),
        Err(error) => {
            let report = error.report();
            let detail = report
                .detail
                .as_ref()
                .map_or(String::new(), |detail| format!(" / {detail}"));
            format!("!{} {}{detail}", report.code, report.message)
        }
    };
    assert_eq!(found, expected, "{value}::{from}::{to}");
}

#[test]
fn assignments_check_lengths_and_ranges() {
    use CastKind::Assignment;
    check(
        "abcd",
        "text",
        "varchar(3)",
        Assignment,
        "!22001 value too long for type character varying(3)",
    );
    check("abc   ", "text", "varchar(3)", Assignment, "abc");
    check("ab", "text", "char(4)", Assignment, "ab  ");
    check(
        "abcde",
        "text",
        "char(4)",
        Assignment,
        "!22001 value too long for type character(4)",
    );
    check(
        "70000",
        "integer",
        "smallint",
        Assignment,
        "!22003 smallint out of range",
    );
    check("2.5", "numeric", "integer", Assignment, "3");
    check("2.5", "float8", "integer", Assignment, "2");
    check("3.5", "float8", "integer", Assignment, "4");
    check(
        "NaN",
        "float8",
        "integer",
        Assignment,
        "!22003 integer out of range",
    );
    check(
        "1e300",
        "float8",
        "real",
        Assignment,
        "!22003 value out of range: overflow",
    );
    check(
        "1234.5",
        "numeric",
        "numeric(5,2)",
        Assignment,
        "!22003 numeric field overflow / A field with precision 5, scale 2 must round to an absolute value less than 10^3.",
    );
    check("1.005", "numeric", "numeric(5,2)", Assignment, "1.01");
    check("0.1", "float8", "numeric", Assignment, "0.1");
    check("1", "integer", "text", Assignment, "1");
    check("t", "boolean", "text", Assignment, "true");
    check(
        "2024-05-17 10:00:00",
        "timestamp",
        "date",
        Assignment,
        "2024-05-17",
    );
    check("infinity", "date", "timestamp", Assignment, "infinity");
    check("{1,2}", "integer[]", "bigint[]", Assignment, "{1,2}");
    check("{1.5}", "numeric[]", "integer[]", Assignment, "{2}");
}

#[test]
fn casts_that_need_asking_are_refused_elsewhere() {
    use CastKind::{Assignment, Explicit, Implicit};
    check(
        "1",
        "text",
        "integer",
        Assignment,
        "!42804 expression is of type text but type integer is needed",
    );
    check("1", "text", "integer", Explicit, "1");
    check("abcd", "text", "varchar(3)", Explicit, "abc");
    check(
        "1",
        "bigint",
        "integer",
        Implicit,
        "!42804 expression is of type bigint but type integer is needed",
    );
    check("1", "integer", "boolean", Explicit, "t");
    check("1", "unknown", "integer", Implicit, "1");
    check(
        "\\x00",
        "bytea",
        "integer",
        Explicit,
        "!42846 cannot cast type bytea to integer",
    );
    check("5", "jsonb", "integer", Explicit, "5");
    check(
        "\"x\"",
        "jsonb",
        "integer",
        Explicit,
        "!22023 cannot cast jsonb string to type integer",
    );
    check(
        "[]",
        "jsonb",
        "integer",
        Explicit,
        "!22023 cannot cast jsonb array to type integer",
    );
    check("ab  ", "char(4)", "text", Implicit, "ab");
}
