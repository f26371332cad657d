use proptest::prelude::*;
use tessera_types::testing::{any_type, any_value};
use tessera_types::{FormatContext, SqlType, Value};

use super::*;

fn columns(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("c{index}")).collect()
}

/// Rows as `a|b`, NULL as `~`; or the error with its context.
fn read(format: CopyFormat, count: usize, input: &[u8], chunk: usize) -> Vec<String> {
    let mut decoder = CopyDecoder::new(format, columns(count));
    let mut rows = Vec::new();
    let mut chunks = input.chunks(chunk.max(1));
    loop {
        match decoder.next_row() {
            Ok(Some(row)) => {
                let field = |index| {
                    row.field(index)
                        .map_or("~".into(), String::from_utf8_lossy)
                        .into_owned()
                };
                rows.push((0..row.len()).map(field).collect::<Vec<_>>().join("|"));
                continue;
            }
            Ok(None) => {}
            Err(error) => {
                let report = error.report("t");
                rows.push(format!(
                    "!{} {} / {}",
                    report.code,
                    report.message,
                    report.context.clone().unwrap_or_default()
                ));
                return rows;
            }
        }
        if decoder.is_done() {
            return rows;
        }
        match chunks.next() {
            Some(bytes) => decoder.feed(bytes),
            None => decoder.finish(),
        }
    }
}

/// The same whatever the size of the chunks.
fn check(format: CopyFormat, count: usize, input: &str, expected: &[&str]) {
    for chunk in [1, 2, 3, 7, 1000] {
        assert_eq!(
            read(format.clone(), count, input.as_bytes(), chunk),
            expected,
            "{input:?} by {chunk}"
        );
    }
}

fn text() -> CopyFormat {
    CopyFormat::Text(TextOptions::default())
}

fn csv() -> CopyFormat {
    CopyFormat::Csv(CsvOptions::default())
}

#[test]
fn text_lines_become_fields() {
    check(text(), 2, "1\ta\n2\t\\N\n", &["1|a", "2|~"]);
    check(text(), 2, "1\ta\r\n2\tb", &["1|a", "2|b"]);
    check(
        text(),
        2,
        "a\\tb\t\\\\N\nc\\\nd\t\\x41\\101\n",
        &["a\tb|\\N", "c\nd|AA"],
    );
    check(text(), 1, "\n\nx\n", &["", "", "x"]);
    check(text(), 1, "a\n\\.\nignored\n", &["a"]);
    check(text(), 2, "", &[]);
    check(
        text(),
        2,
        "1\t2\n3\n",
        &[
            "1|2",
            "!22P04 missing data for column \"c1\" / COPY t, line 2: \"3\"",
        ],
    );
    check(
        text(),
        1,
        "1\t2\n",
        &["!22P04 extra data after last expected column / COPY t, line 1: \"1\t2\""],
    );
    let semicolons = TextOptions {
        delimiter: b';',
        null: "null".to_owned(),
        header: Header::Present,
    };
    check(
        CopyFormat::Text(semicolons),
        2,
        "x;y\na;null\n\\;;b\n",
        &["a|~", ";|b"],
    );
}

#[test]
fn csv_rows_become_fields() {
    check(csv(), 2, "1,a\n2,\n", &["1|a", "2|~"]);
    check(
        csv(),
        2,
        "\"a,b\",\"c\"\"d\"\n\"\",x\n",
        &["a,b|c\"d", "|x"],
    );
    check(csv(), 2, "\"a\nb\",c\r\nd,e\r\n", &["a\nb|c", "d|e"]);
    check(csv(), 1, "a\"b,\"c\n", &["ab,c"]);
    check(csv(), 1, "\n", &["~"]);
    check(csv(), 1, "a\n\\.\nb\n", &["a"]);
    check(
        csv(),
        2,
        "1\n",
        &["!22P04 missing data for column \"c1\" / COPY t, line 1: \"1\""],
    );
    check(
        csv(),
        1,
        "\"a\nb",
        &["!22P04 unterminated CSV quoted field / COPY t, line 1: \"\"a\nb\""],
    );
    let escaped = CsvOptions {
        escape: b'\\',
        ..CsvOptions::default()
    };
    check(
        CopyFormat::Csv(escaped),
        2,
        "\"a\\\"b\",\"c\\\\\"\n",
        &["a\"b|c\\"],
    );
    let forced = CsvOptions {
        force_not_null: vec![true, false],
        force_null: vec![false, true],
        ..CsvOptions::default()
    };
    check(CopyFormat::Csv(forced), 2, ",\"\"\n", &["|~"]);
}

#[test]
fn lines_are_counted_through_quoted_newlines() {
    check(
        csv(),
        2,
        "\"a\nb\",c\nd\n",
        &[
            "a\nb|c",
            "!22P04 missing data for column \"c1\" / COPY t, line 3: \"d\"",
        ],
    );
}

#[test]
fn headers_are_skipped_or_compared() {
    let header = |header| {
        CopyFormat::Csv(CsvOptions {
            header,
            ..CsvOptions::default()
        })
    };
    check(header(Header::Present), 1, "anything\n1\n", &["1"]);
    check(header(Header::Match), 2, "c0,c1\n1,2\n", &["1|2"]);
    check(
        header(Header::Match),
        2,
        "c0,x\n",
        &[
            "!22P04 column name mismatch in header line field 2: got \"x\", expected \"c1\" / COPY t, line 1",
        ],
    );
    check(
        header(Header::Match),
        2,
        "c0\n",
        &["!22P04 wrong number of fields in header line: got 1, expected 2 / COPY t, line 1"],
    );
}

#[test]
fn values_carry_line_and_column_in_errors() {
    let mut decoder = CopyDecoder::new(text(), vec!["id".into(), "name".into()]);
    decoder.feed(b"1\ta\nx\tb\n");
    let ctx = FormatContext::default();
    let row = decoder.next_row().expect("first").expect("row");
    assert_eq!(row.value(0, &SqlType::Integer, &ctx), Ok(Value::Integer(1)));
    let row = decoder.next_row().expect("second").expect("row");
    let report = row
        .value(0, &SqlType::Integer, &ctx)
        .expect_err("accepted")
        .report("public.t");
    assert_eq!(
        report.message,
        "invalid input syntax for type integer: \"x\""
    );
    assert_eq!(
        report.context.as_deref(),
        Some("COPY public.t, line 2, column id: \"x\"")
    );
}

#[test]
fn binary_data_is_checked() {
    let signature = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
    let data = |body: &[u8]| [&signature[..], body].concat();
    let one = |input: &[u8]| read(CopyFormat::Binary, 1, input, 3);
    assert_eq!(
        one(&data(&[
            0, 1, 0, 0, 0, 1, b'a', 0, 1, 255, 255, 255, 255, 255, 255
        ])),
        ["a", "~"]
    );
    assert_eq!(one(&data(&[])), [] as [&str; 0]);
    assert!(one(b"PGCOPX")[0].contains("signature not recognized"));
    assert!(one(b"")[0].contains("signature not recognized"));
    assert!(one(&data(&[0, 2]))[0].contains("row field count is 2, expected 1"));
    assert!(one(&data(&[0, 1, 0, 0, 0, 9, b'a']))[0].contains("unexpected EOF in COPY data"));
    assert!(one(&data(&[0, 1, 128, 0, 0, 0]))[0].contains("invalid field size"));
    assert!(one(b"PGCOPY\n\xff\r\n\0\0\x01\0\0\0\0\0\0")[0].contains("WITH OIDS"));
}

#[test]
fn options_that_could_not_be_read_back_are_refused() {
    let fault = |format: CopyFormat| format.validate().expect_err("accepted").message.clone();
    let text = |delimiter, null: &str| {
        CopyFormat::Text(TextOptions {
            delimiter,
            null: null.to_owned(),
            header: Header::None,
        })
    };
    assert_eq!(fault(text(b'a', "\\N")), "COPY delimiter cannot be \"a\"");
    assert_eq!(
        fault(text(b'\n', "\\N")),
        "COPY delimiter cannot be newline or carriage return"
    );
    assert_eq!(
        fault(text(b'|', "a|b")),
        "COPY delimiter must not appear in the NULL specification"
    );
    let csv = CsvOptions {
        quote: b',',
        ..CsvOptions::default()
    };
    assert_eq!(
        fault(CopyFormat::Csv(csv)),
        "COPY delimiter and quote must be different"
    );
    assert!(text(b'|', "\\N").validate().is_ok());
}

fn formats() -> impl Strategy<Value = CopyFormat> {
    let csv_escape = CsvOptions {
        escape: b'\\',
        quote: b'\'',
        delimiter: b';',
        null: "NIL".to_owned(),
        ..CsvOptions::default()
    };
    prop::sample::select(vec![
        text(),
        CopyFormat::Text(TextOptions {
            delimiter: b'|',
            null: String::new(),
            header: Header::Present,
        }),
        csv(),
        CopyFormat::Csv(CsvOptions {
            header: Header::Match,
            force_quote: vec![true; 4],
            ..CsvOptions::default()
        }),
        CopyFormat::Csv(csv_escape),
        CopyFormat::Binary,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_back(
        (types, rows) in prop::collection::vec(any_type(), 1..4).prop_flat_map(|types| {
            let row: Vec<_> = types.iter().map(any_value).collect();
            (Just(types), prop::collection::vec(row, 0..4))
        }),
        format in formats(),
        chunk in 1usize..40,
    ) {
        // An empty text is NULL where NULL is written as nothing, which the text format cannot tell apart.
        let null_is_empty = matches!(&format, CopyFormat::Text(options) if options.null.is_empty());
        let has_empty = rows.iter().flatten().any(|value| value.as_str() == Some(""));
        prop_assume!(!(null_is_empty && has_empty));
        let ctx = FormatContext::default();
        let mut encoder = CopyEncoder::new(format.clone(), columns(types.len()));
        let mut out = Vec::new();
        encoder.header(&mut out);
        for row in &rows {
            encoder.row(row.iter().map(Value::as_ref).zip(&types), &ctx, &mut out);
        }
        encoder.trailer(&mut out);
        let mut decoder = CopyDecoder::new(format, columns(types.len()));
        let mut chunks = out.chunks(chunk);
        let mut again = Vec::new();
        while !decoder.is_done() {
            let row = decoder.next_row().expect("own output");
            match row {
                Some(row) => {
                    let values: Result<Vec<Value>, CopyError> =
                        types.iter().enumerate().map(|(index, ty)| row.value(index, ty, &ctx)).collect();
                    again.push(values.expect("own output"));
                    continue;
                }
                None => {}
            }
            match chunks.next() {
                Some(bytes) => decoder.feed(bytes),
                None => decoder.finish(),
            }
        }
        prop_assert_eq!(again, rows);
    }

    #[test]
    fn no_bytes_panic(format in formats(), input in prop::collection::vec(any::<u8>(), 0..80), chunk in 1usize..20) {
        read(format, 2, &input, chunk);
    }
}
