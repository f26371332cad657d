//! SQL on key spaces and collections: an index never changes an answer, writes by SQL meet those
//! of the other doors in the same locks, counts and indexes hold whoever writes.

use std::time::{Duration, Instant};

use tessera_engine::keyvalue::SetOptions;
use tessera_engine::models::{BeginOptions, Call, Client};
use tessera_engine::{Engine, EngineOptions, Report, Session};

const WITHIN: Duration = Duration::from_secs(60);

/// Seed of the random tests; another one may be given to look for more.
fn seed() -> u64 {
    let given = std::env::var("TESSERA_TEST_SEED").ok();
    given
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_261_129)
}

async fn engine() -> Engine {
    Engine::open(EngineOptions::memory()).await.unwrap()
}

async fn run(session: &mut Session, sql: &str) {
    if let Err(report) = session.run(sql).await {
        panic!("{sql}: {report}");
    }
}

async fn code_of(session: &mut Session, sql: &str) -> String {
    match session.run(sql).await {
        Ok(_) => String::new(),
        Err(report) => report.code.as_str().to_owned(),
    }
}

/// The first column of the result.
async fn column(session: &mut Session, sql: &str) -> Vec<String> {
    let result = match session.query(sql, &[]).await {
        Ok(result) => result,
        Err(report) => panic!("{sql}: {report}"),
    };
    let rows = 0..result.rows.len();
    rows.map(|at| result.text(at, 0).unwrap_or_default())
        .collect()
}

/// Small and good enough to choose test cases (xorshift64*, Vigna 2016).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one<'a>(&mut self, list: &[&'a str]) -> &'a str {
        let at = self.below(list.len() as u64) as usize;
        list[at]
    }
}

/// A document whose fields are of many kinds: texts and numbers that look alike, missing ones,
/// nulls, arrays where others have a value.
fn document(random: &mut Random) -> String {
    let mut fields = Vec::new();
    match random.below(10) {
        0 => {}
        1 => fields.push("\"title\": null".to_owned()),
        2 => fields.push(format!("\"title\": {}", random.below(30))),
        3 => fields.push("\"title\": true".to_owned()),
        4 => fields.push("\"title\": [\"t1\", \"t2\"]".to_owned()),
        5 => fields.push("\"title\": {\"t1\": 1}".to_owned()),
        _ => fields.push(format!("\"title\": \"t{}\"", random.below(30))),
    }
    match random.below(6) {
        0 => {}
        1 => fields.push(format!("\"year\": \"{}\"", 1980 + random.below(40))),
        2 => fields.push("\"year\": null".to_owned()),
        _ => fields.push(format!("\"year\": {}", 1980 + random.below(40))),
    }
    match random.below(5) {
        0 => fields.push(format!("\"rating\": \"{}.50\"", random.below(10))),
        1 => fields.push(format!("\"rating\": {}e-1", random.below(100))),
        2 => {}
        _ => fields.push(format!(
            "\"rating\": {}.{}",
            random.below(10),
            random.below(10)
        )),
    }
    let genres = ["a", "b", "c", "d"];
    match random.below(5) {
        0 => fields.push(format!("\"genres\": \"{}\"", random.one(&genres))),
        1 => {}
        2 => fields.push("\"genres\": {\"a\": 1}".to_owned()),
        _ => fields.push(format!(
            "\"genres\": [\"{}\", \"{}\", {}]",
            random.one(&genres),
            random.one(&genres),
            random.below(3)
        )),
    }
    match random.below(4) {
        0 => fields.push(format!("\"meta\": {{\"by\": \"u{}\"}}", random.below(9))),
        1 => fields.push(format!(
            "\"meta\": [{{\"by\": \"u{}\"}}, {{\"by\": null}}]",
            random.below(9)
        )),
        2 => fields.push("\"meta\": {\"by\": [\"u1\"]}".to_owned()),
        _ => {}
    }
    format!("{{{}}}", fields.join(", "))
}

/// A condition over `DOC` and `ID`.
fn condition(random: &mut Random, depth: u64) -> String {
    if depth > 0 && random.below(3) == 0 {
        let left = condition(random, depth - 1);
        let right = condition(random, depth - 1);
        return match random.below(5) {
            0 | 1 => format!("({left} AND {right})"),
            2 | 3 => format!("({left} OR {right})"),
            _ => format!("(NOT {left})"),
        };
    }
    let comparison = random.one(&["=", "<", "<=", ">", ">=", "<>"]);
    let title = random.one(&[
        "'t1'",
        "'t17'",
        "'12'",
        "'7'",
        "'true'",
        "'t'",
        "'tru'",
        "'[\"t1\", \"t2\"]'",
        "'{\"t1\": 1}'",
        "''",
        "'null'",
        "'{'",
    ]);
    let year = 1978 + random.below(44);
    let rating = random.below(100);
    let by = random.below(9);
    let genre = random.one(&[
        "\"a\"",
        "\"b\"",
        "[\"a\"]",
        "[\"a\", 1]",
        "1",
        "{\"a\": 1}",
        "[]",
    ]);
    match random.below(17) {
        0 => format!("DOC->>'title' {comparison} {title}"),
        1 => format!("DOC->>'title' IN ('t1', {title}, 't5')"),
        2 => format!(
            "DOC->>'title' LIKE '{}'",
            random.one(&["t1%", "t%", "1%", "{%", "tr_e", "t2"])
        ),
        3 => "DOC->>'title' IS NULL".to_owned(),
        4 => "DOC->>'title' IS NOT NULL".to_owned(),
        5 => format!("(DOC->>'year')::int {comparison} {year}"),
        6 => format!("(DOC->>'year')::bigint BETWEEN {year} AND {}", year + 4),
        7 => format!(
            "(DOC->>'rating')::numeric {comparison} {}.{}",
            rating / 10,
            rating % 10
        ),
        8 => format!(
            "(DOC->>'rating')::float8 {comparison} {}.{}",
            rating / 10,
            rating % 10
        ),
        9 => format!("DOC->'meta'->>'by' = 'u{by}'"),
        10 => format!("DOC #>> '{{meta,by}}' >= 'u{by}'"),
        11 => "DOC->'meta'->>'by' IS NULL".to_owned(),
        12 => format!("DOC @> '{{\"genres\": {genre}}}'"),
        13 => format!("DOC->'genres' ? '{}'", random.one(&["a", "d", "x"])),
        14 => format!("DOC @> '{{\"meta\": {{\"by\": \"u{by}\"}}}}'"),
        15 => format!(
            "ID IN ('d{}', 'd{}', 'none')",
            random.below(900),
            random.below(900)
        ),
        _ => format!("DOC->'genres'->>0 = '{}'", random.one(&["a", "b"])),
    }
}

/// Method: random conditions over documents of many kinds, once as they stand and once over
/// expressions that no access looks through. Property: the answers are the same.
#[tokio::test]
async fn indexes_of_a_collection_never_change_an_answer() {
    let seed = seed();
    println!("seed {seed}");
    let mut random = Random(seed);
    let engine = engine().await;
    let mut session = engine.session("admin").await.unwrap();
    run(&mut session, "CREATE COLLECTION movies").await;
    for batch in 0..20 {
        let rows: Vec<String> = (0..100)
            .map(|at| format!("('d{}', '{}')", batch * 100 + at, document(&mut random)))
            .collect();
        let sql = format!("INSERT INTO movies (id, doc) VALUES {}", rows.join(", "));
        run(&mut session, &sql).await;
    }
    for sql in [
        "CREATE INDEX by_title ON movies ((doc->>'title'))",
        "CREATE INDEX by_year ON movies ((doc->>'year') DESC, (doc->>'title'))",
        "CREATE INDEX by_rating ON movies ((doc->>'rating'))",
        "CREATE INDEX by_genres ON movies ((doc->'genres'))",
        "CREATE INDEX by_user ON movies ((doc->'meta'->>'by'))",
    ] {
        run(&mut session, sql).await;
    }
    let mut used = std::collections::BTreeMap::new();
    for round in 0..160 {
        let condition = condition(&mut random, 2);
        let sql = |doc: &str, id: &str| {
            let condition = condition.replace("DOC", doc).replace("ID", id);
            format!("SELECT id FROM movies WHERE {condition} ORDER BY id")
        };
        let plain = sql("(doc || '{}'::jsonb)", "(id || '')");
        let indexed = sql("doc", "id");
        let expected = column(&mut session, &plain).await;
        let found = column(&mut session, &indexed).await;
        assert_eq!(found, expected, "seed {seed}, round {round}: {indexed}");
        for line in column(&mut session, &format!("EXPLAIN {indexed}")).await {
            if let Some((_, rest)) = line.split_once("Index Scan using ") {
                let name = rest.split(' ').next().unwrap_or_default().to_owned();
                *used.entry(name).or_insert(0) += 1;
            }
        }
        let refused = format!("EXPLAIN {plain}");
        let lines = column(&mut session, &refused).await.join("\n");
        assert!(!lines.contains("Index Scan"), "{lines}");
    }
    println!("indexes used: {used:?}");
    for name in [
        "by_title",
        "by_year",
        "by_rating",
        "by_genres",
        "by_user",
        "movies_pkey",
    ] {
        assert!(
            used.contains_key(name),
            "seed {seed}: {name} was never used"
        );
    }
    drop(session);
    engine.close().await.unwrap();
}

/// The same for the keys of a key space, some of which are no UTF-8.
#[tokio::test]
async fn ranges_of_keys_never_change_an_answer() {
    let seed = seed();
    println!("seed {seed}");
    let mut random = Random(seed);
    let engine = engine().await;
    let client = engine.client("admin").unwrap();
    let mut session = engine.session("admin").await.unwrap();
    let parts: [&[u8]; 9] = [
        b"a",
        b"b",
        b"user:",
        b"z",
        "é".as_bytes(),
        "\u{FFFD}".as_bytes(),
        b"\xff",
        b"\x80",
        b"~",
    ];
    for _ in 0..400 {
        let mut key = Vec::new();
        for _ in 0..=random.below(3) {
            key.extend_from_slice(parts[random.below(9) as usize]);
        }
        set(&client, &key, "v").await.unwrap();
    }
    let texts = [
        "",
        "a",
        "ab",
        "b",
        "user:",
        "user:a",
        "é",
        "aé",
        "\u{FFFD}",
        "a\u{FFFD}",
        "z",
        "~~",
    ];
    let mut ranges = 0;
    for round in 0..200 {
        let (a, b) = (random.one(&texts), random.one(&texts));
        let condition = match random.below(6) {
            0 => format!("KEY = '{a}'"),
            1 => format!("KEY IN ('{a}', '{b}')"),
            2 => format!("KEY {} '{a}'", random.one(&["<", "<=", ">", ">="])),
            3 => format!("KEY LIKE '{a}%'"),
            4 => format!("KEY BETWEEN '{a}' AND '{b}'"),
            _ => format!(
                "KEY >= '{a}' AND KEY < '{b}' AND KEY LIKE '{}%'",
                random.one(&texts)
            ),
        };
        let sql = |key: &str| {
            let condition = condition.replace("KEY", key);
            format!("SELECT key FROM kv.db0 WHERE {condition} ORDER BY key")
        };
        let expected = column(&mut session, &sql("(key || '')")).await;
        let found = column(&mut session, &sql("key")).await;
        assert_eq!(found, expected, "seed {seed}, round {round}: {condition}");
        let plan = column(&mut session, &format!("EXPLAIN {}", sql("key"))).await;
        ranges += usize::from(plan.join("\n").contains("Index Scan using db0_pkey on db0"));
    }
    assert!(ranges > 100, "seed {seed}: {ranges}");
    drop(session);
    engine.close().await.unwrap();
}

async fn set(client: &Client, key: &[u8], value: &str) -> Result<(), Report> {
    let call = Call::write("a test writes", None);
    client
        .run(&call, move |txn| async move {
            let space = client.space_to_write(&txn, "db0").await?;
            let writer = client.key_writer(&space, &txn);
            writer
                .set(key, value.as_bytes(), SetOptions::default())
                .await?;
            Ok(())
        })
        .await
}

/// Who writes a record, by whatever door, holds the one lock of it.
#[tokio::test]
async fn sql_and_the_other_doors_meet_in_the_same_locks() {
    let engine = engine().await;
    let client = engine.client("admin").unwrap();
    let mut session = engine.session("admin").await.unwrap();
    run(&mut session, "CREATE KEY SPACE db0; CREATE COLLECTION docs").await;
    run(
        &mut session,
        "INSERT INTO kv.db0 (key, value) VALUES ('a', '1')",
    )
    .await;
    run(
        &mut session,
        "INSERT INTO docs (id, doc) VALUES ('a', '{\"n\": 1}')",
    )
    .await;

    // SQL first: the others wait, and give up.
    for sql in [
        "UPDATE kv.db0 SET value = '2' WHERE key = 'a'",
        "DELETE FROM kv.db0 WHERE key = 'a'",
        "INSERT INTO kv.db0 (key, value) VALUES ('a', '3') ON CONFLICT DO NOTHING",
        "SELECT * FROM kv.db0 WHERE key = 'a' FOR UPDATE",
        "UPDATE docs SET doc = doc || '{\"n\": 2}' WHERE id = 'a'",
        "DELETE FROM docs WHERE id = 'a'",
        "INSERT INTO docs (id, doc) VALUES ('a', '{}') ON CONFLICT DO NOTHING",
        "SELECT * FROM docs WHERE id = 'a' FOR UPDATE",
    ] {
        run(&mut session, "BEGIN").await;
        run(&mut session, sql).await;
        let txn = client.transaction(BeginOptions::default());
        txn.set_lock_timeout(Some(Duration::from_millis(20)));
        let guard = txn.start_statement().await.unwrap();
        let error = if sql.contains("kv.") {
            let space = client.space(&txn, "db0").await.unwrap().unwrap();
            let writer = client.key_writer(&space, &txn);
            let written = writer.set(b"a", b"other", SetOptions::default()).await;
            written.unwrap_err().report()
        } else {
            let docs = client.collection(&txn, "docs").await.unwrap();
            let id = tessera_engine::documents::DocumentId::new("a").unwrap();
            let body = serde_json::json!({});
            let expected = tessera_engine::documents::Expected::Any;
            let written = docs.replace(&txn, &id, body, expected).await;
            written.unwrap_err().report()
        };
        assert_eq!(error.code.as_str(), "55P03", "{sql}: {error}");
        guard.undo();
        txn.rollback();
        run(&mut session, "ROLLBACK").await;
    }

    // The others first.
    run(&mut session, "SET lock_timeout = '20ms'").await;
    let txn = client.transaction(BeginOptions::default());
    let guard = txn.start_statement().await.unwrap();
    let space = client.space(&txn, "db0").await.unwrap().unwrap();
    let writer = client.key_writer(&space, &txn);
    writer
        .set(b"a", b"other", SetOptions::default())
        .await
        .unwrap();
    let docs = client.collection(&txn, "docs").await.unwrap();
    let id = tessera_engine::documents::DocumentId::new("a").unwrap();
    let expected = tessera_engine::documents::Expected::Any;
    docs.delete(&txn, &id, expected).await.unwrap();
    guard.finish();
    for sql in [
        "UPDATE kv.db0 SET value = '2' WHERE key = 'a'",
        "DELETE FROM kv.db0 WHERE key = 'a'",
        "INSERT INTO kv.db0 (key, value) VALUES ('a', '3')",
        "UPDATE docs SET doc = '{}' WHERE id = 'a'",
        "DELETE FROM docs WHERE id = 'a'",
        "INSERT INTO docs (id, doc) VALUES ('a', '{}')",
    ] {
        assert_eq!(code_of(&mut session, sql).await, "55P03", "{sql}");
    }
    client.commit(&txn).await.unwrap();
    assert_eq!(
        column(&mut session, "SELECT value FROM kv.db0").await,
        ["other"]
    );
    assert!(column(&mut session, "SELECT id FROM docs").await.is_empty());
    drop(session);
    engine.close().await.unwrap();
}

/// Waits until a session waits for a lock.
async fn until_waiting(session: &mut Session) {
    let deadline = Instant::now() + WITHIN;
    loop {
        let waiting = column(session, "SELECT count(*) FROM pg_locks WHERE NOT granted").await;
        if waiting != ["0"] {
            return;
        }
        assert!(Instant::now() < deadline, "nobody waits");
        tokio::task::yield_now().await;
    }
}

/// READ COMMITTED looks again at what was changed while it waited: at the condition, and at the
/// values that are computed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_changed_while_waited_for_is_looked_at_again() {
    let engine = engine().await;
    let mut first = engine.session("admin").await.unwrap();
    let mut watcher = engine.session("admin").await.unwrap();
    run(&mut first, "CREATE KEY SPACE s; CREATE COLLECTION docs").await;
    run(&mut first, "CREATE INDEX ON docs ((doc->>'state'))").await;
    for (change, waits, check, expected) in [
        (
            "UPDATE docs SET doc = jsonb_set(doc, '{n}', to_jsonb((doc->>'n')::int + 1))",
            "UPDATE docs SET doc = jsonb_set(doc, '{n}', to_jsonb((doc->>'n')::int + 10)) WHERE doc->>'state' = 'open'",
            "SELECT doc->>'n' FROM docs",
            "12",
        ),
        (
            "UPDATE docs SET doc = doc || '{\"state\": \"closed\"}'",
            "DELETE FROM docs WHERE doc->>'state' = 'open'",
            "SELECT count(*) FROM docs",
            "1",
        ),
        (
            "UPDATE kv.s SET value = (value::int + 1)::text",
            "UPDATE kv.s SET value = (value::int * 10)::text WHERE key = 'k'",
            "SELECT value FROM kv.s",
            "20",
        ),
        (
            "DELETE FROM kv.s",
            "UPDATE kv.s SET value = '0' WHERE key = 'k'",
            "SELECT count(*) FROM kv.s",
            "0",
        ),
    ] {
        run(&mut first, "TRUNCATE docs, kv.s").await;
        run(
            &mut first,
            "INSERT INTO docs (id, doc) VALUES ('d', '{\"n\": 1, \"state\": \"open\"}')",
        )
        .await;
        run(
            &mut first,
            "INSERT INTO kv.s (key, value) VALUES ('k', '1')",
        )
        .await;
        run(&mut first, "BEGIN").await;
        run(&mut first, change).await;
        let mut second = engine.session("admin").await.unwrap();
        let waiting = tokio::spawn(async move {
            run(&mut second, waits).await;
        });
        until_waiting(&mut watcher).await;
        run(&mut first, "COMMIT").await;
        tokio::time::timeout(WITHIN, waiting)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(column(&mut first, check).await, [expected], "{waits}");
    }
    drop((first, watcher));
    engine.close().await.unwrap();
}

/// REPEATABLE READ refuses to write what has changed; SERIALIZABLE refuses what cannot be put in
/// an order, also where a path of documents was looked up by an index.
#[tokio::test]
async fn higher_isolation_levels_hold_for_keys_and_documents() {
    let engine = engine().await;
    let mut a = engine.session("admin").await.unwrap();
    let mut b = engine.session("admin").await.unwrap();
    run(&mut a, "CREATE KEY SPACE s; CREATE COLLECTION docs").await;
    run(&mut a, "CREATE INDEX ON docs ((doc->>'on'))").await;
    run(
        &mut a,
        "INSERT INTO kv.s (key, value) VALUES ('k', '1'), ('l', '1')",
    )
    .await;
    run(
        &mut a,
        "INSERT INTO docs (id, doc) VALUES ('x', '{\"on\": \"yes\"}'), ('y', '{\"on\": \"yes\"}')",
    )
    .await;
    for (change, late) in [
        (
            "UPDATE kv.s SET value = '2' WHERE key = 'k'",
            "UPDATE kv.s SET value = '3' WHERE key = 'k'",
        ),
        (
            "UPDATE docs SET doc = doc || '{\"n\": 1}' WHERE id = 'x'",
            "DELETE FROM docs WHERE id = 'x'",
        ),
        (
            "INSERT INTO docs (id, doc) VALUES ('z', '{}')",
            "INSERT INTO docs (id, doc) VALUES ('z', '{}') ON CONFLICT DO NOTHING",
        ),
    ] {
        run(&mut b, "BEGIN ISOLATION LEVEL REPEATABLE READ").await;
        run(&mut b, "SELECT count(*) FROM docs, kv.s").await;
        run(&mut a, change).await;
        assert_eq!(code_of(&mut b, late).await, "40001", "{late}");
        run(&mut b, "ROLLBACK").await;
    }
    for (read, one, other) in [
        (
            "SELECT count(*) FROM docs WHERE doc->>'on' = 'yes'",
            "UPDATE docs SET doc = '{\"on\": \"no\"}' WHERE id = 'x'",
            "UPDATE docs SET doc = '{\"on\": \"no\"}' WHERE id = 'y'",
        ),
        (
            "SELECT count(*) FROM kv.s WHERE key IN ('k', 'l')",
            "DELETE FROM kv.s WHERE key = 'k'",
            "DELETE FROM kv.s WHERE key = 'l'",
        ),
    ] {
        for session in [&mut a, &mut b] {
            run(session, "BEGIN ISOLATION LEVEL SERIALIZABLE").await;
            assert_eq!(column(session, read).await, ["2"]);
        }
        let mut codes = vec![
            code_of(&mut a, one).await,
            code_of(&mut b, other).await,
            code_of(&mut a, "COMMIT").await,
            code_of(&mut b, "COMMIT").await,
        ];
        codes.retain(|code| !code.is_empty() && code != "25P02");
        assert_eq!(codes, ["40001"], "{read}");
        run(&mut a, "ROLLBACK").await;
        run(&mut b, "ROLLBACK").await;
    }
    drop((a, b));
    engine.close().await.unwrap();
}

/// Counts of key spaces and entries of indexes are those of what is there, after writes by SQL of
/// every kind, some of them undone.
#[tokio::test]
async fn counts_and_indexes_hold_after_writes_by_sql() {
    let engine = engine().await;
    let client = &engine.client("admin").unwrap();
    let mut session = engine.session("admin").await.unwrap();
    run(&mut session, "CREATE KEY SPACE s; CREATE COLLECTION docs").await;
    run(&mut session, "CREATE UNIQUE INDEX ON docs ((doc->>'n'))").await;
    run(&mut session, "CREATE INDEX ON docs ((doc->'tags'))").await;
    for sql in [
        "INSERT INTO kv.s (key, value) SELECT 'k' || n, repeat('x', n * 40) FROM generate_series(1, 100) AS g(n)",
        "UPDATE kv.s SET value = value || value WHERE key LIKE 'k1%'",
        "UPDATE kv.s SET key = 'moved' || key WHERE key < 'k3'",
        "UPDATE kv.s SET ttl = 3600000 WHERE key LIKE 'moved%'",
        "DELETE FROM kv.s WHERE key LIKE 'k5%'",
        "INSERT INTO kv.s (key, value) VALUES ('k4', 'y'), ('new', 'y') ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        "BEGIN; DELETE FROM kv.s; ROLLBACK",
        "INSERT INTO docs (id, doc) SELECT 'd' || n, jsonb_build_object('n', n, 'tags', jsonb_build_array(n % 5, 'x')) FROM generate_series(1, 100) AS g(n)",
        "UPDATE docs SET doc = doc || '{\"tags\": [\"y\"]}' WHERE doc @> '{\"tags\": [3]}'",
        "UPDATE docs SET id = 'e' || id WHERE id LIKE 'd9%'",
        "DELETE FROM docs WHERE (doc->>'n')::int % 7 = 0",
        "BEGIN; UPDATE docs SET doc = '{}'; ROLLBACK",
    ] {
        run(&mut session, sql).await;
    }
    let duplicate = "UPDATE docs SET doc = doc || '{\"n\": 1}' WHERE id IN ('d2', 'd3')";
    assert_eq!(code_of(&mut session, duplicate).await, "23505");
    let count: u64 = column(&mut session, "SELECT count(*) FROM kv.s").await[0]
        .parse()
        .unwrap();
    let listed = client.list_key_spaces().await.unwrap();
    let listed = listed.iter().find(|space| space.name == "s").unwrap();
    assert_eq!(listed.footprint.keys, count);
    assert!(count > 50, "{count}");
    let count: u64 = column(&mut session, "SELECT count(*) FROM docs").await[0]
        .parse()
        .unwrap();
    let call = Call::read("a test checks", None);
    let checked = client
        .run(&call, |txn| async move {
            let docs = client.collection(&txn, "docs").await?;
            let view: std::sync::Arc<dyn tessera_storage::Snapshot> = txn.view();
            Ok(docs.check(&view).await?)
        })
        .await;
    assert_eq!(checked.unwrap(), count);
    drop(session);
    engine.close().await.unwrap();
}

/// A session that knows the token of a transaction takes part in it.
#[tokio::test]
async fn the_token_of_a_transaction_comes_by_select() {
    let engine = engine().await;
    let mut a = engine.session("admin").await.unwrap();
    let mut b = engine.session("admin").await.unwrap();
    run(&mut a, "CREATE KEY SPACE s").await;
    run(&mut a, "BEGIN").await;
    run(&mut a, "INSERT INTO kv.s (key, value) VALUES ('k', '1')").await;
    let selected = column(&mut a, "SELECT tessera_transaction_token()").await;
    assert_eq!(
        selected,
        column(&mut a, "SHOW tessera.transaction_token").await
    );
    assert!(column(&mut b, "SELECT key FROM kv.s").await.is_empty());
    run(&mut b, &format!("SET tessera.join = '{}'", selected[0])).await;
    assert_eq!(column(&mut b, "SELECT key FROM kv.s").await, ["k"]);
    run(&mut b, "COMMIT").await;
    drop((a, b));
    engine.close().await.unwrap();
}

/// Values of other types than strings are shown as JSON, and SQL does not write them.
#[tokio::test]
async fn values_that_are_not_strings_are_shown_as_json() {
    let engine = engine().await;
    let client = &engine.client("admin").unwrap();
    let mut session = engine.session("admin").await.unwrap();
    let call = Call::write("a test writes", None);
    client
        .run(&call, |txn| async move {
            let space = client.space_to_write(&txn, "db0").await?;
            let writer = client.key_writer(&space, &txn);
            writer.hset(b"hash", &[(b"f", b"v")]).await?;
            writer.sadd(b"set", &[b"m"]).await?;
            let end = tessera_engine::keyvalue::End::Right;
            writer
                .push(b"list", end, &[b"x" as &[u8], b"y\"z"], false)
                .await?;
            writer.push(b"raw", end, &[b"\xff" as &[u8]], false).await?;
            Ok(())
        })
        .await
        .unwrap();
    let sql = "SELECT key || ' ' || type || ' ' || coalesce(value, '-') FROM kv.db0 ORDER BY key";
    assert_eq!(
        column(&mut session, sql).await,
        [
            "hash hash {\"f\": \"v\"}",
            "list list [\"x\", \"y\\\"z\"]",
            "raw list -",
            "set set [\"m\"]",
        ]
    );
    let sql = "SELECT value::jsonb->>'f' FROM kv.db0 WHERE key = 'hash'";
    assert_eq!(column(&mut session, sql).await, ["v"]);
    let sql = "UPDATE kv.db0 SET value = 'x' WHERE key = 'hash'";
    assert_eq!(code_of(&mut session, sql).await, "0A000");
    run(
        &mut session,
        "UPDATE kv.db0 SET ttl = 60000 WHERE key = 'hash'",
    )
    .await;
    run(&mut session, "DELETE FROM kv.db0 WHERE type = 'list'").await;
    assert_eq!(
        column(&mut session, "SELECT count(*) FROM kv.db0").await,
        ["2"]
    );
    drop(session);
    engine.close().await.unwrap();
}
