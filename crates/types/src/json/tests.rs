use proptest::prelude::*;

use super::*;

#[test]
fn nesting_is_limited() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(validate(&nested(DEPTH_MAX)).is_ok());
    assert!(normalize(&nested(DEPTH_MAX)).is_ok());
    assert_eq!(
        validate(&nested(DEPTH_MAX + 2)),
        Err(ValueError::TooDeep { limit: DEPTH_MAX })
    );
    let open = "[".repeat(100_000);
    assert_eq!(
        normalize(&open),
        Err(ValueError::TooDeep { limit: DEPTH_MAX })
    );
}

#[test]
fn numbers_cannot_blow_up() {
    assert!(matches!(
        normalize("1e1000000"),
        Err(ValueError::NumericUnsupported { .. })
    ));
    assert_eq!(normalize("1e400").map(|text| text.len()), Ok(401));
}

#[test]
fn errors_name_line_and_place() {
    let Err(ValueError::InvalidJson { context, .. }) = validate("{\n\"a\": 1,\n\"b\" 2}") else {
        panic!("accepted");
    };
    assert_eq!(context.as_deref(), Some("JSON data, line 3: \"b\" 2..."));
}

#[test]
fn order_is_that_of_jsonb() {
    let ascending = [
        "[]",
        "null",
        "\"\"",
        "\"a\"",
        "-1",
        "0",
        "1.5",
        "10",
        "false",
        "true",
        "[1]",
        "[1, 2]",
        "{}",
        "{\"a\": 1}",
    ];
    for (at, low) in ascending.iter().enumerate() {
        for high in &ascending[at + 1..] {
            assert_eq!(compare(low, high), Ordering::Less, "{low} {high}");
            assert_eq!(compare(high, low), Ordering::Greater, "{high} {low}");
        }
    }
    assert_eq!(compare("1.0", "1"), Ordering::Equal);
}

proptest! {
    #[test]
    fn no_text_panics(text in "[\\[\\]{}\",:0-9eE.\\-+tfnul\\\\ a\u{e9}\n]{0,60}") {
        if let Ok(canonical) = normalize(&text) {
            prop_assert_eq!(normalize(&canonical), Ok(canonical.clone()));
            prop_assert!(validate(&text).is_ok());
        }
    }
}
