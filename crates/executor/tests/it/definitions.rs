//! CREATE, ALTER, DROP: what they do to rows that exist.

use crate::harness::Db;

#[tokio::test]
async fn alter_table_keeps_rows_and_indexes_in_line() {
    let db = Db::new().await;
    db.run("CREATE TABLE t (a int, b text); CREATE INDEX t_b ON t (b)")
        .await
        .expect("made");
    db.check(
        "INSERT INTO t SELECT n, 'x' || n FROM generate_series(1, 300) AS g(n)",
        &["INSERT 0 300"],
    )
    .await;
    db.run("ALTER TABLE t ADD PRIMARY KEY (a)")
        .await
        .expect("a key");
    db.check_indexes("t").await;
    db.check("SELECT b FROM t WHERE a = 77", &["x77"]).await;
    db.fails(
        "ALTER TABLE t ADD PRIMARY KEY (b)",
        "42P16",
        "multiple primary keys for table \"t\" are not allowed",
    )
    .await;
    db.run("ALTER TABLE t ADD COLUMN c int NOT NULL DEFAULT 3, ADD COLUMN d bigserial")
        .await
        .expect("columns");
    db.check(
        "SELECT a, b, c, d FROM t WHERE a IN (1, 300) ORDER BY a",
        &["1|x1|3|1", "300|x300|3|300"],
    )
    .await;
    db.check_indexes("t").await;
    db.run("ALTER TABLE t ALTER COLUMN c TYPE text USING 'c' || c, ALTER COLUMN d TYPE int")
        .await
        .expect("types");
    db.check("SELECT c, d FROM t WHERE a = 5", &["c3|5"]).await;
    db.run("ALTER TABLE t DROP COLUMN c")
        .await
        .expect("dropped");
    db.check("SELECT * FROM t WHERE a = 5", &["5|x5|5"]).await;
    db.run("ALTER TABLE t ADD COLUMN e int; UPDATE t SET e = a WHERE a > 1")
        .await
        .expect("a column");
    db.fails(
        "ALTER TABLE t ALTER COLUMN e SET NOT NULL",
        "23502",
        "column \"e\" of relation \"t\" contains null values",
    )
    .await;
    db.run("UPDATE t SET e = 0 WHERE e IS NULL; ALTER TABLE t ALTER COLUMN e SET NOT NULL")
        .await
        .expect("not null");
    db.fails(
        "ALTER TABLE t ADD CONSTRAINT small CHECK (a < 300)",
        "23514",
        "check constraint \"small\" of relation \"t\" is violated by some row",
    )
    .await;
    db.run("ALTER TABLE t ADD CONSTRAINT big CHECK (a <= 300)")
        .await
        .expect("a check");
    db.fails(
        "INSERT INTO t (a, e) VALUES (301, 1)",
        "23514",
        "new row for relation \"t\" violates check constraint \"big\"",
    )
    .await;
    db.run("ALTER TABLE t DROP CONSTRAINT big, ADD CONSTRAINT one UNIQUE (e)")
        .await
        .expect("unique");
    db.check_indexes("t").await;
    db.fails(
        "INSERT INTO t (a, e) VALUES (301, 7)",
        "23505",
        "duplicate key value violates unique constraint \"one\"",
    )
    .await;
    db.run("ALTER TABLE t DROP CONSTRAINT t_pkey")
        .await
        .expect("no key");
    // The two inserts that failed have taken values of the sequence.
    db.check(
        "INSERT INTO t (a, e) VALUES (1, 1000) RETURNING d",
        &["303"],
    )
    .await;
    db.check("SELECT count(*) FROM t WHERE a = 1", &["2"]).await;
    db.check_indexes("t").await;
    db.fails(
        "ALTER TABLE t ADD PRIMARY KEY (a)",
        "23505",
        "could not create unique index \"t_pkey\"",
    )
    .await;
    db.fails(
        "CREATE UNIQUE INDEX ON t (a)",
        "23505",
        "could not create unique index \"t_a_idx\"",
    )
    .await;
    db.run("ALTER TABLE t RENAME TO s; ALTER TABLE s RENAME COLUMN a TO z")
        .await
        .expect("renamed");
    db.check("SELECT count(z) FROM s", &["301"]).await;
    db.run("TRUNCATE s; INSERT INTO s (z, e) VALUES (1, 1)")
        .await
        .expect("emptied");
    db.check("SELECT z, b, e FROM s", &["1|∅|1"]).await;
    db.check_indexes("s").await;
}

#[tokio::test]
async fn definitions_are_refused_in_the_words_of_postgresql() {
    let db = Db::new().await;
    db.run("CREATE TABLE t (a int, b text)")
        .await
        .expect("made");
    for (sql, code, message) in [
        (
            "CREATE TABLE t (a int)",
            "42P07",
            "relation \"t\" already exists",
        ),
        (
            "CREATE TABLE s (a nothing)",
            "42704",
            "type \"nothing\" does not exist",
        ),
        (
            "CREATE TABLE s (a int REFERENCES t)",
            "0A000",
            "foreign keys are not supported yet",
        ),
        (
            "CREATE TABLE s (a varchar(0))",
            "22023",
            "length for type varchar must be at least 1",
        ),
        (
            "CREATE TABLE s (a int) WITH (nothing = 1)",
            "22023",
            "unrecognized parameter \"nothing\"",
        ),
        (
            "CREATE INDEX ON t (nope)",
            "42703",
            "column \"nope\" does not exist",
        ),
        (
            "CREATE INDEX ON nowhere (a)",
            "42P01",
            "relation \"nowhere\" does not exist",
        ),
        (
            "ALTER TABLE nowhere ADD COLUMN a int",
            "42P01",
            "relation \"nowhere\" does not exist",
        ),
        (
            "ALTER TABLE t ADD COLUMN a int",
            "42701",
            "column \"a\" of relation \"t\" already exists",
        ),
        (
            "ALTER TABLE t ALTER COLUMN b TYPE int",
            "42804",
            "column \"b\" cannot be cast automatically to type integer",
        ),
        (
            "DROP TABLE nowhere",
            "42P01",
            "table \"nowhere\" does not exist",
        ),
        ("DROP VIEW t", "42809", "\"t\" is not a view"),
        (
            "DROP INDEX nowhere",
            "42704",
            "index \"nowhere\" does not exist",
        ),
        (
            "CREATE TEMP TABLE s (a int)",
            "0A000",
            "temporary tables are not supported",
        ),
    ] {
        db.fails(sql, code, message).await;
    }
}

#[tokio::test]
async fn tables_are_made_of_queries() {
    let db = Db::new().await;
    db.check(
        "CREATE TABLE t AS SELECT n AS a, 'x' || n AS b FROM generate_series(1, 1000) AS g(n)",
        &["SELECT 1000"],
    )
    .await;
    db.check("SELECT * FROM t WHERE a = 500", &["500|x500"])
        .await;
    db.check("SELECT b INTO s FROM t WHERE a < 3", &["SELECT 2"])
        .await;
    db.check("SELECT * FROM s ORDER BY b", &["x1", "x2"]).await;
    db.run("CREATE VIEW v (c) AS SELECT b FROM t WHERE a = 9")
        .await
        .expect("a view");
    db.check("SELECT c FROM v", &["x9"]).await;
    db.check("ANALYZE t", &["ANALYZE"]).await;
    db.check("VACUUM ANALYZE t", &["VACUUM"]).await;
    db.check("COMMENT ON TABLE t IS 'made of a query'", &["COMMENT"])
        .await;
    db.check(
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS t_a ON t USING btree (a)",
        &["CREATE INDEX"],
    )
    .await;
    db.check("DROP TABLE IF EXISTS nowhere, s", &["DROP TABLE"])
        .await;
}
