use std::cmp::Ordering;

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;
use crate::key::encode_json;

fn buf(text: &str) -> JsonBuf {
    JsonBuf::from_text(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn text_of(text: &str) -> String {
    buf(text).view().unwrap().to_text().unwrap()
}

fn arbitrary_number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|value| value.to_string()),
        any::<u64>().prop_map(|value| value.to_string()),
        (-20_i64..20).prop_map(|value| value.to_string()),
        any::<f64>()
            .prop_filter("finite", |value| value.is_finite())
            .prop_map(|value| format!("{value:?}"))
            .prop_filter("within the limit", |text| parse(text.as_bytes()).is_ok()),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][-+]?[0-9]{1,2})?",
    ]
}

fn arbitrary_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        arbitrary_number().prop_map(|text| parse(text.as_bytes()).unwrap()),
        ".{0,6}".prop_map(Value::String),
        "[ab\\x00]{0,3}".prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::vec(("[abc]{0,3}", inner), 0..5)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Reads everything; what it says does not matter.
fn read_all(bytes: &[u8]) {
    if let Ok(view) = JsonRef::document(bytes) {
        let _ = view.to_text();
        let _ = view.to_value();
        let _ = encode_json(&view, &mut Vec::new());
        let _ = compare(&view, &view);
        if let JsonRef::Object(object) = view {
            let _ = object.get("a");
        }
    }
}

#[test]
fn numbers_keep_their_digits() {
    for text in [
        "0",
        "-0",
        "-0.0",
        "0.0",
        "1",
        "-1",
        "1.0",
        "1.50",
        "1e+400",
        "1.50e-3",
        "1e-7",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "18446744073709551615",
        "0.1",
        "123456789012345678901234567890.123456789",
    ] {
        assert_eq!(text_of(text), text);
    }
    assert_eq!(text_of("1E400"), "1e+400");
    assert_eq!(buf("1e300").as_bytes().len(), 10, "a float");
}

#[test]
fn numbers_compare_by_value() {
    for (a, order, b) in [
        ("1", Ordering::Equal, "1.0"),
        ("100", Ordering::Equal, "1e2"),
        ("0", Ordering::Equal, "-0.00"),
        ("9007199254740993", Ordering::Greater, "9007199254740992.0"),
        ("0.1", Ordering::Equal, "0.10"),
        (
            "0.1",
            Ordering::Less,
            "0.1000000000000000055511151231257827",
        ),
        ("1e400", Ordering::Greater, "9223372036854775807"),
        ("-1e400", Ordering::Less, "-1.5"),
        ("-2", Ordering::Less, "-1.5"),
    ] {
        let (x, y) = (buf(a), buf(b));
        let (x, y) = (x.view().unwrap(), y.view().unwrap());
        assert_eq!(compare(&x, &y).unwrap(), order, "{a} {b}");
    }
}

#[test]
fn of_equal_keys_the_last_one_counts() {
    assert_eq!(text_of(r#"{"a":1,"b":2,"a":3}"#), r#"{"a":3,"b":2}"#);
}

#[test]
fn a_private_key_of_a_library_is_a_key_like_others() {
    let text = r#"{"$serde_json::private::Number":"1"}"#;
    assert_eq!(text_of(text), text);
}

#[test]
fn nesting_ends_at_the_limit() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(text_of(&nested(DEPTH_MAX)), nested(DEPTH_MAX));
    for depth in [DEPTH_MAX + 1, 100_000] {
        let error = parse(nested(depth).as_bytes()).unwrap_err();
        assert_eq!(error.kind, JsonErrorKind::TooDeep);
    }
}

#[test]
fn errors_say_where() {
    let error = parse(b"{\"a\": 1,\n \"\xc3\xa4\": nul}").unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid JSON: expected true, false or null at line 2 column 7 (byte 16)"
    );
    for text in [
        "NaN",
        "\"\\ud800\"",
        "\"\\udc00\\ud800\"",
        "1e1001",
        "01",
        "",
    ] {
        let error = parse(text.as_bytes()).unwrap_err();
        assert!(error.position.is_some(), "{text}: {error}");
    }
}

#[test]
fn a_document_over_the_limit_is_refused() {
    let text = format!("[{}1]", "1,".repeat(DOCUMENT_BYTES_MAX / 4));
    let error = JsonBuf::from_text(text.as_bytes()).unwrap_err();
    assert!(
        matches!(error.kind, JsonErrorKind::TooLarge { .. }),
        "{error}"
    );
    let text = " ".repeat(DOCUMENT_BYTES_MAX + 1);
    let error = parse(text.as_bytes()).unwrap_err();
    assert!(
        matches!(error.kind, JsonErrorKind::TooLarge { .. }),
        "{error}"
    );
}

#[test]
fn large_containers_have_wide_tables() {
    let long = "x".repeat(70_000);
    let text = format!("{{\"a\":[\"{long}\",1],\"{long}\":2}}");
    let document = buf(&text);
    let object = document.view().unwrap().as_object().unwrap();
    assert_eq!(object.get(&long).unwrap().unwrap().to_text().unwrap(), "2");
    assert_eq!(document.view().unwrap().to_text().unwrap(), text);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_encoded_is_read_back(value in arbitrary_value()) {
        let document = JsonBuf::from_value(&value).unwrap();
        let text = document.view().unwrap().to_text().unwrap();
        prop_assert_eq!(&JsonBuf::from_text(text.as_bytes()).unwrap(), &document);
        prop_assert_eq!(&document.to_value().unwrap(), &value);
    }

    #[test]
    fn fields_are_found_without_parsing(value in arbitrary_value()) {
        let document = JsonBuf::from_value(&value).unwrap();
        if let (Value::Object(pairs), JsonRef::Object(object)) = (&value, document.view().unwrap()) {
            prop_assert_eq!(object.len(), pairs.len());
            for (key, value) in pairs {
                let found = object.get(key).unwrap().unwrap();
                prop_assert_eq!(&found.to_value().unwrap(), value);
            }
            prop_assert!(object.get("no such key").unwrap().is_none());
        }
    }

    #[test]
    fn keys_have_the_order_of_the_values(a in arbitrary_value(), b in arbitrary_value()) {
        let (a, b) = (JsonBuf::from_value(&a).unwrap(), JsonBuf::from_value(&b).unwrap());
        let (a, b) = (a.view().unwrap(), b.view().unwrap());
        let (mut key_a, mut key_b) = (Vec::new(), Vec::new());
        encode_json(&a, &mut key_a).unwrap();
        encode_json(&b, &mut key_b).unwrap();
        let order = compare(&a, &b).unwrap();
        prop_assert_eq!(key_a.cmp(&key_b), order);
        prop_assert_eq!(compare(&b, &a).unwrap(), order.reverse());
        prop_assert!(order.is_eq() || !key_a.starts_with(&key_b));
    }

    #[test]
    fn damaged_bytes_never_panic(
        value in arbitrary_value(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encode(&value).unwrap();
        for (index, mask) in flips {
            let at = index.index(bytes.len());
            bytes[at] ^= mask;
        }
        read_all(&bytes);
        read_all(&bytes[..cut.index(bytes.len())]);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(0_u8..12, 0..60)) {
        let mut document = vec![FORMAT];
        document.extend(bytes);
        read_all(&document);
    }
}
