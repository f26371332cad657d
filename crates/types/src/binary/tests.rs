use proptest::prelude::*;

use super::*;
use crate::testing::{any_type, any_value};
use crate::{FormatContext, codes};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Expectations are what PostgreSQL's send functions give, such as `numeric_send(…)`.
fn check(ty: &str, text: &str, expected: &str) {
    let ty = SqlType::from_name(ty).expect(ty);
    let value = text::parse(&ty, text, &FormatContext::default()).expect(text);
    let mut out = Vec::new();
    write(value.as_ref(), &ty, &mut out);
    assert_eq!(hex(&out), expected, "{ty} {text}");
    assert_eq!(parse(&ty, &out), Ok(value), "{ty} {text}");
}

#[test]
fn bytes_are_those_of_postgresql() {
    check("numeric", "0", "0000000000000000");
    check("numeric", "0.00", "0000000000000002");
    check("numeric", "1", "00010000000000000001");
    check("numeric", "-12345.678", "0003000140000003000109291a7c");
    check("numeric", "0.0001", "0001ffff000000040001");
    check("numeric", "10000", "00010001000000000001");
    check("numeric", "1.50", "000200000000000200011388");
    check("date", "2000-01-02", "00000001");
    check("date", "infinity", "7fffffff");
    check("timestamp", "2000-01-01 00:00:01", "00000000000f4240");
    check("timestamp", "-infinity", "8000000000000000");
    check(
        "interval",
        "1 mon 2 days 00:00:03",
        "00000000002dc6c00000000200000001",
    );
    check("jsonb", "{\"a\":1}", "017b2261223a20317d");
    check(
        "integer[]",
        "{1,NULL}",
        "00000001000000010000001700000002000000010000000400000001ffffffff",
    );
    check("integer[]", "{}", "000000000000000000000017");
    check("\"char\"", "a", "61");
}

#[test]
fn faults_have_postgresqls_codes() {
    let code = |ty: &str, bytes: &[u8]| {
        parse(&SqlType::from_name(ty).expect(ty), bytes)
            .expect_err("accepted")
            .code()
            .0
    };
    assert_eq!(code("integer", &[0, 0, 1]), codes::PROTOCOL_VIOLATION);
    assert_eq!(
        code("integer", &[0; 5]),
        codes::INVALID_BINARY_REPRESENTATION
    );
    assert_eq!(code("text", &[0xff]), codes::CHARACTER_NOT_IN_REPERTOIRE);
    assert_eq!(code("text", b"a\0b"), codes::CHARACTER_NOT_IN_REPERTOIRE);
    assert_eq!(
        code("numeric", &[0, 0, 0, 0, 0xc0, 0, 0, 0]),
        codes::NUMERIC_VALUE_OUT_OF_RANGE
    );
    assert_eq!(
        code("jsonb", &[2, b'1']),
        codes::INVALID_BINARY_REPRESENTATION
    );
    // An array that announces two billion elements.
    let giant = [
        0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0x7f, 0xff, 0xff, 0xf0, 0, 0, 0, 1,
    ];
    assert_eq!(code("integer[]", &giant), codes::PROTOCOL_VIOLATION);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_back((ty, value) in any_type().prop_flat_map(|ty| (Just(ty.clone()), any_value(&ty)))) {
        prop_assume!(!value.is_null());
        let mut out = Vec::new();
        write(value.as_ref(), &ty, &mut out);
        prop_assert_eq!(parse(&ty, &out), Ok(value));
    }

    #[test]
    fn no_bytes_panic(ty in any_type(), bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = parse(&ty, &bytes);
    }

    #[test]
    fn no_damaged_value_panics(
        (ty, value) in any_type().prop_flat_map(|ty| (Just(ty.clone()), any_value(&ty))),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut out = Vec::new();
        write(value.as_ref(), &ty, &mut out);
        if !out.is_empty() {
            let at = at.index(out.len());
            out[at] = byte;
            if cut {
                out.truncate(at);
            }
        }
        let _ = parse(&ty, &out);
    }
}
