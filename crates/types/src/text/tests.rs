use proptest::prelude::*;

use super::*;
use crate::testing::{any_type, any_value};
use crate::{ByteaOutput, DateStyle, DateStyleFormat, IntervalStyle};

/// Where we differ from PostgreSQL, on purpose.
const KNOWN_DIFFERENCES: &[(&str, &str)] = &[
    // ISO 8601 wants a unit; PostgreSQL guesses one.
    ("interval", "PT"),
    ("interval", "P1"),
    ("interval", "PT1"),
];

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some(c) => out.push(c),
                None => {}
            },
            (c, false) => out.push(c),
        }
    }
    out
}

fn describe(ty: &SqlType, result: Result<Value, ValueError>) -> String {
    match result {
        Ok(value) => format!(
            "={}",
            to_string(value.as_ref(), ty, &FormatContext::default())
        ),
        Err(error) => {
            let report = error.report();
            let part = |mark: &str, text: &Option<String>| {
                text.as_ref()
                    .map_or(String::new(), |text| format!(" {mark} {text}"))
            };
            let (detail, hint) = (part("/", &report.detail), part("//", &report.hint));
            format!("!{} {}{detail}{hint}", report.code, report.message)
        }
    }
}

#[test]
fn inputs_are_read_and_refused_as_by_postgresql() {
    let file = include_str!("../../testdata/text/input_output.txt");
    let mut faults = Vec::new();
    let mut count = 0;
    for line in file.lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.split('\t');
        let (Some(name), Some(input), Some(expected)) =
            (fields.next(), fields.next(), fields.next())
        else {
            panic!("malformed line: {line}");
        };
        let ty = SqlType::from_name(name).expect(name);
        let (input, expected) = (unescape(input), unescape(expected));
        let found = describe(&ty, parse(&ty, &input, &FormatContext::default()));
        count += 1;
        if found != expected && !KNOWN_DIFFERENCES.contains(&(name, input.as_str())) {
            faults.push(format!(
                "{name} {input:?}\n  expected {expected}\n  found    {found}"
            ));
        }
    }
    assert!(count > 400, "only {count} cases");
    assert!(
        faults.is_empty(),
        "{} of {count} differ:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

fn styles() -> impl Strategy<Value = FormatContext> {
    let format = prop::sample::select(vec![
        DateStyleFormat::Iso,
        DateStyleFormat::Sql,
        DateStyleFormat::Postgres,
        DateStyleFormat::German,
    ]);
    let interval = prop::sample::select(vec![
        IntervalStyle::Postgres,
        IntervalStyle::PostgresVerbose,
        IntervalStyle::SqlStandard,
        IntervalStyle::Iso8601,
    ]);
    (format, interval, any::<bool>()).prop_map(|(format, interval_style, escape)| FormatContext {
        date_style: DateStyle::default()
            .parse(match format {
                DateStyleFormat::German => "german",
                _ => "iso",
            })
            .map(|style| DateStyle { format, ..style })
            .expect("known style"),
        interval_style,
        bytea_output: if escape {
            ByteaOutput::Escape
        } else {
            ByteaOutput::Hex
        },
        ..FormatContext::default()
    })
}

fn identical(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Interval(a), Value::Interval(b)) => a.is_identical(b),
        (Value::Numeric(a), Value::Numeric(b)) => (a.unscaled, a.scale) == (b.unscaled, b.scale),
        (Value::Array(a), Value::Array(b)) => {
            a.dimensions == b.dimensions
                && a.elements
                    .iter()
                    .zip(&b.elements)
                    .all(|(a, b)| identical(a, b))
        }
        (a, b) => a == b,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_back(
        (ty, value) in any_type().prop_flat_map(|ty| (Just(ty.clone()), any_value(&ty))),
        ctx in styles(),
    ) {
        prop_assume!(!value.is_null());
        let text = to_string(value.as_ref(), &ty, &ctx);
        let again = parse(&ty, &text, &ctx);
        prop_assert!(again.as_ref().is_ok_and(|again| identical(again, &value)), "{ty} {text:?}: {again:?} is not {value:?}");
    }

    #[test]
    fn no_text_panics(ty in any_type(), text in "\\PC{0,40}") {
        let _ = parse(&ty, &text, &FormatContext::default());
    }

    #[test]
    fn no_text_of_digits_and_signs_panics(ty in any_type(), text in "[-+0-9:./TZPYMDHSabcjeJ \"{}\\\\,\\[\\]=]{0,24}") {
        let _ = parse(&ty, &text, &FormatContext::default());
    }
}

#[test]
fn styles_print_as_postgresql_prints() {
    let ctx = |format, order: &str| FormatContext {
        date_style: DateStyle {
            format,
            ..DateStyle::default().parse(order).expect("order")
        },
        time_zone: "America/New_York".parse().expect("zone"),
        ..FormatContext::default()
    };
    let check = |input: &str, ctx: &FormatContext, expected: &str| {
        let value = parse(&SqlType::TimestampTz, input, &FormatContext::default()).expect(input);
        assert_eq!(
            to_string(value.as_ref(), &SqlType::TimestampTz, ctx),
            expected
        );
    };
    let moment = "1997-12-17 15:37:16.5+00";
    check(
        moment,
        &ctx(DateStyleFormat::Iso, "mdy"),
        "1997-12-17 10:37:16.5-05",
    );
    check(
        moment,
        &ctx(DateStyleFormat::Sql, "mdy"),
        "12/17/1997 10:37:16.5 EST",
    );
    check(
        moment,
        &ctx(DateStyleFormat::Sql, "dmy"),
        "17/12/1997 10:37:16.5 EST",
    );
    check(
        moment,
        &ctx(DateStyleFormat::Postgres, "mdy"),
        "Wed Dec 17 10:37:16.5 1997 EST",
    );
    check(
        moment,
        &ctx(DateStyleFormat::Postgres, "dmy"),
        "Wed 17 Dec 10:37:16.5 1997 EST",
    );
    check(
        moment,
        &ctx(DateStyleFormat::German, "dmy"),
        "17.12.1997 10:37:16.5 EST",
    );
}

#[test]
fn words_for_now_take_the_time_of_the_transaction() {
    let ctx = FormatContext {
        // 2024-05-17 23:30:00 UTC, the next day in Berlin.
        now_micros: 1_715_988_600_000_000,
        time_zone: "Europe/Berlin".parse().expect("zone"),
        ..FormatContext::default()
    };
    let check = |ty: SqlType, input: &str, expected: &str| {
        let value = parse(&ty, input, &ctx).expect(input);
        assert_eq!(to_string(value.as_ref(), &ty, &ctx), expected, "{input}");
    };
    check(SqlType::Date, "today", "2024-05-18");
    check(SqlType::Date, "tomorrow", "2024-05-19");
    check(SqlType::TimestampTz, "now", "2024-05-18 01:30:00+02");
    check(SqlType::Timestamp, "now", "2024-05-18 01:30:00");
    check(
        SqlType::TimestampTz,
        "yesterday 10:00",
        "2024-05-17 10:00:00+02",
    );
    check(SqlType::TimestampTz, "today", "2024-05-18 00:00:00+02");
    check(SqlType::TimestampTz, "epoch", "1970-01-01 01:00:00+01");
}

#[test]
fn floats_with_fewer_digits_are_rounded() {
    let ctx = FormatContext {
        extra_float_digits: 0,
        ..FormatContext::default()
    };
    let check = |value: Value, expected: &str| {
        assert_eq!(
            to_string(value.as_ref(), &value.natural_type(), &ctx),
            expected
        );
    };
    check(Value::Double(0.1 + 0.2), "0.3");
    check(Value::Double(1e20), "1e+20");
    check(Value::Double(100_000.0), "100000");
    check(Value::Real(1.1), "1.1");
    check(Value::Real(16_777_216.0), "1.67772e+07");
}
