//! COPY in both directions.

use crate::harness::Db;

async fn table() -> Db {
    let db = Db::new().await;
    db.run("CREATE TABLE t (id int PRIMARY KEY, s text, n numeric(6,2), d int DEFAULT 7 CHECK (d < 100))")
        .await
        .expect("made");
    db
}

#[tokio::test]
async fn text_comes_in_pieces_of_any_size_and_goes_out_as_it_was() {
    let data = b"1\ta\\tb\t1.50\t8\n2\t\\N\t\\N\t\\N\n3\tz\\\\\t-2.00\t9\n";
    for piece in [1, 7, 1_000] {
        let db = table().await;
        assert_eq!(
            db.copy_in("COPY t FROM STDIN", data, piece)
                .await
                .expect("copied"),
            "COPY 3"
        );
        assert_eq!(db.copy_out("COPY t TO STDOUT").await.expect("copied"), data);
        db.check_indexes("t").await;
    }
}

#[tokio::test]
async fn csv_and_binary_go_both_ways() {
    let db = table().await;
    let csv = b"id,s\n1,\"a \"\"b\"\", c\"\n2,\n3,\"\"\n";
    let copied = db
        .copy_in(
            "COPY t (id, s) FROM STDIN WITH (FORMAT csv, HEADER true)",
            csv,
            5,
        )
        .await;
    assert_eq!(copied.expect("copied"), "COPY 3");
    db.check(
        "SELECT id, s, d FROM t ORDER BY id",
        &["1|a \"b\", c|7", "2|∅|7", "3||7"],
    )
    .await;
    let out = db
        .copy_out("COPY (SELECT id, s FROM t ORDER BY id DESC LIMIT 2) TO STDOUT WITH CSV HEADER");
    assert_eq!(out.await.expect("copied"), b"id,s\n3,\"\"\n2,\n");
    let binary = db
        .copy_out("COPY t TO STDOUT WITH BINARY")
        .await
        .expect("copied");
    let other = table().await;
    let copied = other
        .copy_in("COPY t FROM STDIN (FORMAT binary)", &binary, 11)
        .await;
    assert_eq!(copied.expect("copied"), "COPY 3");
    assert_eq!(
        other.copy_out("COPY t TO STDOUT").await.expect("copied"),
        db.copy_out("COPY t TO STDOUT").await.expect("copied")
    );
}

#[tokio::test]
async fn a_fault_names_its_line_and_leaves_nothing() {
    let db = table().await;
    for (data, code, message, context) in [
        (
            &b"1\ta\t1\t1\n2\tb\n"[..],
            "22P04",
            "missing data for column \"n\"",
            "COPY t, line 2: \"2\tb\"",
        ),
        (
            b"1\ta\t1\t1\nx\tb\t1\t1\n",
            "22P02",
            "invalid input syntax for type integer: \"x\"",
            "COPY t, line 2, column id: \"x\"",
        ),
        (
            b"1\ta\t1\t1\n1\tb\t1\t1\n",
            "23505",
            "duplicate key value violates unique constraint \"t_pkey\"",
            "COPY t, line 2",
        ),
        (
            b"1\ta\t1\t500\n",
            "23514",
            "new row for relation \"t\" violates check constraint \"t_d_check\"",
            "COPY t, line 1",
        ),
    ] {
        let report = db
            .copy_in("COPY t FROM STDIN", data, 1_000)
            .await
            .expect_err("a fault");
        assert_eq!(report.code.as_str(), code);
        assert_eq!(report.message, message);
        assert_eq!(report.context.as_deref(), Some(context));
        db.check("SELECT count(*) FROM t", &["0"]).await;
    }
    let refused = db
        .copy_out("COPY t TO '/tmp/file'")
        .await
        .expect_err("a file of the server");
    assert_eq!(refused.code.as_str(), "42501");
}

#[tokio::test]
async fn many_rows_go_under_the_tables_lock() {
    let db = table().await;
    let mut data = String::new();
    for id in (0..30_000).chain((40_000..40_100).rev()) {
        data.push_str(&format!("{id}\ts{id}\t\\N\t1\n"));
    }
    let copied = db
        .copy_in(
            "COPY t FROM STDIN WITH (FREEZE on)",
            data.as_bytes(),
            65_536,
        )
        .await;
    assert_eq!(copied.expect("copied"), "COPY 30100");
    db.check_indexes("t").await;
    db.check(
        "SELECT count(*), min(id), max(id) FROM t",
        &["30100|0|40099"],
    )
    .await;
    let mut again = data.into_bytes();
    again.drain(..again.len() - 20);
    let report = db
        .copy_in("COPY t FROM STDIN", &again[again.len() - 20..], 100)
        .await;
    assert!(report.is_err());
}
