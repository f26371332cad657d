//! INSERT, UPDATE, DELETE: answers of PostgreSQL 15, on the short path and off it.

use crate::harness::Db;

/// Runs the statements with the short path on and off; each must give what stands beside it:
/// rows joined by `|` and `; `, a command tag, or the error's SQLSTATE.
async fn check(statements: &[(&str, &str)]) {
    for short_path in [true, false] {
        let mut db = Db::new().await;
        db.short_path = short_path;
        for (sql, expected) in statements {
            let found = match db.run(sql).await {
                Ok(rows) => rows
                    .iter()
                    .map(|row| row.join("|"))
                    .collect::<Vec<_>>()
                    .join("; "),
                Err(report) => report.code.as_str().to_owned(),
            };
            assert_eq!(found, *expected, "short path {short_path}: {sql}");
        }
        for table in ["t", "u"] {
            db.check_indexes(table).await;
        }
    }
}

const TABLES: &[(&str, &str)] = &[
    (
        "CREATE TABLE t (id int PRIMARY KEY, a int DEFAULT 5 CHECK (a < 1000), b text NOT NULL
            DEFAULT 'x', c numeric(6,2), d date, UNIQUE (b, a))",
        "CREATE TABLE",
    ),
    ("CREATE INDEX t_a ON t (a DESC, id)", "CREATE INDEX"),
    ("CREATE TABLE u (k int, v text)", "CREATE TABLE"),
];

#[tokio::test]
async fn inserts() {
    let mut all = TABLES.to_vec();
    all.extend([
        (
            "INSERT INTO t VALUES (1, 10, 'a', 1.005, '2024-02-29')",
            "INSERT 0 1",
        ),
        ("SELECT * FROM t WHERE id = 1", "1|10|a|1.01|2024-02-29"),
        ("INSERT INTO t (id) VALUES (2)", "INSERT 0 1"),
        (
            "INSERT INTO t (b, id, a) VALUES ('c', 3, DEFAULT), ('d', 4, 1 + 1)",
            "INSERT 0 2",
        ),
        ("SELECT id, a, b, c, d FROM t WHERE id = 2", "2|5|x|∅|∅"),
        ("INSERT INTO t (id) VALUES (1)", "23505"),
        ("INSERT INTO t (id, a, b) VALUES (9, 10, 'a')", "23505"),
        ("INSERT INTO t (id, b) VALUES (9, NULL)", "23502"),
        ("INSERT INTO t (id, a) VALUES (9, 1000)", "23514"),
        (
            "INSERT INTO t (id, a, b) VALUES (9, NULL, 'n')",
            "INSERT 0 1",
        ),
        ("INSERT INTO t (id, c) VALUES (8, 12345.6)", "22003"),
        ("INSERT INTO t (id, a) VALUES (8, 'abc')", "22P02"),
        ("INSERT INTO t (id, a) VALUES (8, true)", "42804"),
        ("INSERT INTO t (id, nope) VALUES (8, 1)", "42703"),
        ("INSERT INTO t (id, id) VALUES (8, 1)", "42701"),
        ("INSERT INTO t (id) VALUES (8, 1)", "42601"),
        ("INSERT INTO t (id, a) VALUES (8)", "42601"),
        ("INSERT INTO t (id, d) VALUES (8, '2024-02-30')", "22008"),
        ("INSERT INTO nowhere VALUES (1)", "42P01"),
        (
            "INSERT INTO t (id, a, b) VALUES (20, 1, 'p'), (21, 1, 'p')",
            "23505",
        ),
        ("SELECT count(*) FROM t WHERE id >= 20", "0"),
        (
            "INSERT INTO t (id, b) VALUES (30, 'r') RETURNING id, a * 2 AS double, b || '!'",
            "30|10|r!",
        ),
        (
            "INSERT INTO t (id, b) VALUES (31, 's') RETURNING *",
            "31|5|s|∅|∅",
        ),
        (
            "INSERT INTO t (id, a, b) SELECT id + 100, a, b || '2' FROM t WHERE id < 4",
            "INSERT 0 3",
        ),
        (
            "INSERT INTO t (id, a, b) VALUES ((SELECT max(id) FROM t) + 1, 7, 'q')",
            "INSERT 0 1",
        ),
        ("SELECT id, a FROM t WHERE b = 'q'", "104|7"),
        (
            "WITH x AS (SELECT 200 AS id) INSERT INTO t (id, b) SELECT id, 'w' FROM x",
            "INSERT 0 1",
        ),
        ("INSERT INTO u DEFAULT VALUES", "INSERT 0 1"),
        (
            "INSERT INTO u VALUES (1, upper('abc')), (2, repeat('z', 3))",
            "INSERT 0 2",
        ),
        ("SELECT k, v FROM u ORDER BY k", "1|ABC; 2|zzz; ∅|∅"),
    ]);
    check(&all).await;
}

#[tokio::test]
async fn conflicts() {
    let mut all = TABLES.to_vec();
    all.extend([
        ("INSERT INTO t (id, a, b) VALUES (1, 1, 'a'), (2, 2, 'b')", "INSERT 0 2"),
        ("INSERT INTO t (id, a, b) VALUES (1, 9, 'z'), (3, 3, 'c') ON CONFLICT DO NOTHING", "INSERT 0 1"),
        ("INSERT INTO t (id, a, b) VALUES (9, 2, 'b') ON CONFLICT DO NOTHING", "INSERT 0 0"),
        ("INSERT INTO t (id, a, b) VALUES (9, 2, 'b') ON CONFLICT (id) DO NOTHING", "23505"),
        ("INSERT INTO t (id, a, b) VALUES (9, 2, 'b') ON CONFLICT (a, b) DO NOTHING", "INSERT 0 0"),
        (
            "INSERT INTO t (id, a, b) VALUES (1, 5, 'n') ON CONFLICT (id)
                DO UPDATE SET a = t.a + excluded.a, b = excluded.b RETURNING id, a, b",
            "1|6|n",
        ),
        (
            "INSERT INTO t AS x (id, a, b) VALUES (1, 5, 'n') ON CONFLICT (id)
                DO UPDATE SET a = x.a + 1 WHERE x.a > 100",
            "INSERT 0 0",
        ),
        (
            "INSERT INTO t (id, a, b) VALUES (8, 2, 'b') ON CONFLICT (b, a)
                DO UPDATE SET id = excluded.id RETURNING id, b",
            "8|b",
        ),
        (
            "INSERT INTO t (id, a, b) VALUES (1, 0, '') ON CONFLICT ON CONSTRAINT t_pkey
                DO UPDATE SET a = DEFAULT, c = round(1.255, 2) RETURNING a, c",
            "5|1.26",
        ),
        (
            "INSERT INTO t (id, b) VALUES (50, 'i'), (50, 'j') ON CONFLICT (id) DO UPDATE SET a = 1",
            "21000",
        ),
        ("INSERT INTO t (id) VALUES (1) ON CONFLICT DO UPDATE SET a = 1", "42601"),
        ("INSERT INTO t (id) VALUES (1) ON CONFLICT (c) DO NOTHING", "42P10"),
        ("INSERT INTO t (id, b) VALUES (1, 'y') ON CONFLICT (id) DO UPDATE SET id = 3", "23505"),
        ("INSERT INTO t (id, b) VALUES (1, 'y') ON CONFLICT (id) DO UPDATE SET a = 2000", "23514"),
        ("SELECT id, a, b FROM t ORDER BY id", "1|5|n; 3|3|c; 8|2|b"),
    ]);
    check(&all).await;
}

#[tokio::test]
async fn updates_and_deletes() {
    let mut all = TABLES.to_vec();
    all.extend([
        ("INSERT INTO t (id, a, b) SELECT n, n % 5, 'b' || n FROM generate_series(1, 20) AS g(n)", "INSERT 0 20"),
        ("INSERT INTO u SELECT n, 'v' || n FROM generate_series(1, 5) AS g(n)", "INSERT 0 5"),
        ("UPDATE t SET a = a + 10 WHERE id = 7", "UPDATE 1"),
        ("SELECT a FROM t WHERE id = 7", "12"),
        ("UPDATE t SET a = a + 10 WHERE id = 700", "UPDATE 0"),
        ("UPDATE t SET a = 1, a = 2", "42601"),
        ("UPDATE t SET nope = 1", "42703"),
        ("UPDATE t SET a = 'x' WHERE id = 1", "22P02"),
        ("UPDATE t SET a = 1000 WHERE id = 1", "23514"),
        ("UPDATE t SET b = NULL WHERE id = 1", "23502"),
        ("UPDATE t SET id = 2 WHERE id = 1", "23505"),
        ("UPDATE t SET id = id + 100 WHERE a = 0 RETURNING id", "105; 110; 115; 120"),
        ("UPDATE t SET a = 2147483647 + id WHERE id = 1", "22003"),
        ("UPDATE t SET a = a / 0 WHERE id = 1", "22012"),
        ("UPDATE t SET a = a / 0 WHERE id = 100000", "UPDATE 0"),
        ("UPDATE t SET a = DEFAULT, b = upper(b) WHERE id IN (1, 2) RETURNING id, a, b", "1|5|B1; 2|5|B2"),
        ("UPDATE t SET (a, c) = (3, 1.5) WHERE id = 3 RETURNING a, c", "3|1.50"),
        ("UPDATE t SET b = u.v FROM u WHERE u.k = t.id AND u.k < 3 RETURNING t.id, t.b, u.v", "1|v1|v1; 2|v2|v2"),
        ("UPDATE t AS x SET a = (SELECT max(k) FROM u) WHERE x.id = 4 RETURNING x.a", "5"),
        ("WITH w AS (SELECT 6 AS id) UPDATE t SET a = 66 FROM w WHERE t.id = w.id", "UPDATE 1"),
        ("UPDATE u SET v = v || '?' WHERE k = 2", "UPDATE 1"),
        ("SELECT v FROM u WHERE k = 2", "v2?"),
        ("DELETE FROM t WHERE id = 1 RETURNING *", "1|5|v1|∅|∅"),
        ("DELETE FROM t WHERE id = 1", "DELETE 0"),
        ("DELETE FROM t USING u WHERE u.k = t.id RETURNING t.id, u.v", "2|v2?; 3|v3; 4|v4"),
        ("DELETE FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k + 1 = t.id)", "DELETE 1"),
        ("DELETE FROM t WHERE id BETWEEN 8 AND 12", "DELETE 4"),
        ("DELETE FROM t WHERE b LIKE 'b1%' AND a = 1", "DELETE 1"),
        ("SELECT id FROM t ORDER BY id", "7; 13; 14; 17; 18; 19; 105; 110; 115; 120"),
        ("DELETE FROM u", "DELETE 5"),
        ("DELETE FROM t", "DELETE 10"),
    ]);
    check(&all).await;
}

#[tokio::test]
async fn generated_values() {
    let mut all = TABLES.to_vec();
    all.extend([
        (
            "CREATE TABLE g (id bigserial PRIMARY KEY, i int GENERATED ALWAYS AS IDENTITY (START 10),
                n int, twice int GENERATED ALWAYS AS (n * 2) STORED, at timestamptz DEFAULT now(),
                r double precision DEFAULT random())",
            "CREATE TABLE",
        ),
        ("INSERT INTO g (n) VALUES (1), (2) RETURNING id, i, n, twice", "1|10|1|2; 2|11|2|4"),
        ("INSERT INTO g (i, n) VALUES (5, 1)", "428C9"),
        ("INSERT INTO g (twice) VALUES (5)", "428C9"),
        ("INSERT INTO g (i, n) OVERRIDING SYSTEM VALUE VALUES (5, 3) RETURNING i", "5"),
        ("INSERT INTO g (i, n) OVERRIDING USER VALUE VALUES (99, 4) RETURNING i", "12"),
        ("INSERT INTO g (i, n) VALUES (DEFAULT, 5) RETURNING i, twice", "13|10"),
        ("UPDATE g SET n = 50 WHERE id = 1 RETURNING twice", "100"),
        ("UPDATE g SET twice = 1 WHERE id = 1", "428C9"),
        ("UPDATE g SET i = 1 WHERE id = 1", "428C9"),
        ("SELECT count(*) FROM g WHERE at IS NULL OR r IS NULL", "0"),
        ("SELECT nextval('g_id_seq') > 4", "t"),
    ]);
    check(&all).await;
}

#[tokio::test]
async fn selects_by_key_and_range() {
    let mut all = TABLES.to_vec();
    all.extend([
        ("INSERT INTO t (id, a, b) SELECT n, n % 7, 'b' || n FROM generate_series(1, 50) AS g(n)", "INSERT 0 50"),
        ("INSERT INTO t (id, a, b) VALUES (60, NULL, 'n1'), (61, NULL, 'n2')", "INSERT 0 2"),
        ("SELECT id, b FROM t WHERE id = 5", "5|b5"),
        ("SELECT id FROM t WHERE id = 5 AND a = 6", ""),
        ("SELECT id FROM t WHERE id = 3000000000", ""),
        ("SELECT id FROM t WHERE id = NULL", ""),
        ("SELECT id FROM t WHERE id < 3000000000 AND id > 48", "49; 50; 60; 61"),
        ("SELECT id FROM t WHERE id BETWEEN 3 AND 5", "3; 4; 5"),
        ("SELECT id FROM t WHERE id > 3 AND id < 6 ORDER BY id DESC", "5; 4"),
        ("SELECT id FROM t ORDER BY id LIMIT 2", "1; 2"),
        ("SELECT id FROM t ORDER BY id DESC LIMIT 2 OFFSET 1", "60; 50"),
        ("SELECT id FROM t WHERE a = 3 AND id > 30", "31; 38; 45"),
        ("SELECT a, id FROM t WHERE a >= 5 AND a < 7 AND id > 40 ORDER BY a DESC, id", "6|41; 6|48; 5|47"),
        ("SELECT id FROM t WHERE b = 'b9' AND a = 2", "9"),
        ("SELECT id FROM t WHERE a IS NULL ORDER BY id", "60; 61"),
        ("SELECT id + 1, b || '-' || 'x', a * 2 FROM t WHERE id = 8", "9|b8-x|2"),
        ("SELECT t.* FROM t WHERE t.id = 1", "1|1|b1|∅|∅"),
        ("SELECT CASE WHEN a > 3 THEN 'high' ELSE 'low' END FROM t WHERE id IN (4, 2) AND id > 0 ORDER BY id", "low; high"),
        ("SELECT 1, 'a', NULL, 2.5, true", "1|a|∅|2.5|t"),
        ("SELECT id FROM t WHERE id = 1 LIMIT 0", ""),
        ("SELECT id FROM t WHERE id = 1 OFFSET 1", ""),
        ("SELECT id FROM t WHERE id > 0 LIMIT -1", "2201W"),
        ("SELECT id FROM t WHERE id = 1 FOR UPDATE", "1"),
        ("SELECT 1/0 FROM t WHERE id = 1", "22012"),
        ("SELECT 1/0 FROM t WHERE id = 1000", ""),
    ]);
    check(&all).await;
}
