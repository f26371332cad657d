//! The routes to data: the files of `testdata/api`, and what does not fit into files.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use tessera_http::ApiOptions;

use crate::script::{self, PASSWORD, World, basic, send};

fn head(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

fn admin() -> String {
    basic("admin", PASSWORD)
}

macro_rules! files {
    ($($name:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let file = concat!("testdata/api/", stringify!($name), ".txt");
            script::run(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)).await;
        }
    )*};
}

files! {
    keys values batches pages collections documents queries sql transactions logins strict_json
    idempotency rights abuse
}

/// A file that no test runs would be believed to hold.
#[test]
fn every_file_is_run() {
    let known = [
        "keys",
        "values",
        "batches",
        "pages",
        "abuse",
        "collections",
        "documents",
        "queries",
        "sql",
        "transactions",
        "logins",
        "strict_json",
        "idempotency",
        "rights",
    ];
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/api");
    for entry in std::fs::read_dir(dir).unwrap() {
        let name = entry.unwrap().path();
        let name = name.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(known.contains(&name.as_str()), "{name}");
    }
}

/// Rows 46 and 50: what is announced, sent or unpacked beyond the limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_over_the_limit_are_refused_before_and_after_decoding() {
    let world = World::start(ApiOptions::default()).await;
    let login = admin();
    let put = head(&["PUT /api/v1/keys/db0/a"]);
    let answer = send(&world, &put, Some(&login), &vec![b'x'; (64 << 20) + 1]).await;
    assert_eq!(answer.status, 413);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![0; (64 << 20) + 1]).unwrap();
    let bomb = encoder.finish().unwrap();
    let put = head(&["PUT /api/v1/keys/db0/a", "Content-Encoding: gzip"]);
    let answer = send(&world, &put, Some(&login), &bomb).await;
    assert_eq!(answer.status, 413, "{answer:?}");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(b"hello").unwrap();
    let answer = send(&world, &put, Some(&login), &encoder.finish().unwrap()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let get = head(&["GET /api/v1/keys/db0/a"]);
    assert_eq!(send(&world, &get, Some(&login), b"").await.body, b"hello");
    let put = head(&["PUT /api/v1/keys/db0/a", "Content-Encoding: br"]);
    assert_eq!(send(&world, &put, Some(&login), b"x").await.status, 415);
    world.stop().await;
}

/// Row 49: depth that would overflow a stack.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_nested_arrays_are_a_bad_request() {
    let world = World::start(ApiOptions::default()).await;
    let body = "[".repeat(100_000);
    for path in [
        "/api/v1/documents/x",
        "/api/v1/sql",
        "/api/v1/documents/x:query",
    ] {
        let post = head(&[&format!("POST {path}")]);
        let answer = send(&world, &post, Some(&admin()), body.as_bytes()).await;
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.json()["code"], "54001", "{path}");
    }
    world.stop().await;
}

/// Row 57: patterns that make backtracking engines hang are answered at once, or refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patterns_of_users_take_linear_time() {
    let world = World::with(ApiOptions::default(), |options| {
        let limit = "statement_timeout".to_owned();
        options.setting_defaults = vec![(limit, "60000".to_owned())];
    })
    .await;
    let login = admin();
    let post = |path: &str| head(&[&format!("POST {path}")]);
    let text = "a".repeat(200_000) + "!";
    let insert = serde_json::json!({ "_id": "long", "text": text }).to_string();
    let path = "/api/v1/documents/texts";
    let made = send(
        &world,
        &post("/api/v1/documents"),
        Some(&login),
        br#"{"name": "texts"}"#,
    )
    .await;
    assert_eq!(made.status, 201);
    let inserted = send(&world, &post(path), Some(&login), insert.as_bytes()).await;
    assert_eq!(inserted.status, 201);
    for (pattern, count) in [("(a+)+$", 0), ("^(a|aa)+$", 0), ("(a*)*!$", 1)] {
        let filter = serde_json::json!({ "filter": { "text": { "$regex": pattern } } });
        let path = "/api/v1/documents/texts:count";
        let answer = send(
            &world,
            &post(path),
            Some(&login),
            filter.to_string().as_bytes(),
        )
        .await;
        assert_eq!(answer.json()["count"], count, "{pattern}");
    }
    let like = format!("SELECT repeat('a', 200000) LIKE '{}b'", "%a".repeat(20));
    let body = serde_json::json!({ "statement": like }).to_string();
    let answer = send(&world, &post("/api/v1/sql"), Some(&login), body.as_bytes()).await;
    assert_eq!(answer.json()["rows"], serde_json::json!([[false]]));
    let huge = serde_json::json!({ "filter": { "text": { "$regex": "(a{1000}){1000}" } } });
    let path = "/api/v1/documents/texts:count";
    let answer = send(
        &world,
        &post(path),
        Some(&login),
        huge.to_string().as_bytes(),
    )
    .await;
    assert_eq!(answer.status, 400, "{answer:?}");
    world.stop().await;
}

/// Rows that are computed while a client reads them, in Arrow's format.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_come_as_arrow_and_a_stream_that_fails_is_cut_off() {
    let world = World::start(ApiOptions::default()).await;
    let login = admin();
    let media_type = "application/vnd.apache.arrow.stream";
    let post = head(&["POST /api/v1/sql", &format!("Accept: {media_type}")]);
    let body = br#"{"statement": "SELECT n FROM generate_series(1, 20000) AS g(n)"}"#;
    let answer = send(&world, &post, Some(&login), body).await;
    assert_eq!(
        (answer.status, &*answer.headers["content-type"]),
        (200, media_type)
    );
    let end = [255, 255, 255, 255, 0, 0, 0, 0];
    assert!(answer.body.starts_with(&end[..4]) && answer.body.ends_with(&end));
    assert!(answer.body.len() > 20_000 * 4, "{}", answer.body.len());
    let body = br#"{"statement": "SELECT 1/0 AS a"}"#;
    let answer = send(&world, &post, Some(&login), body).await;
    assert_eq!(answer.json()["code"], "22012");
    // Fails in its last row: what was sent has no end, neither Arrow's nor that of the chunks.
    let body =
        br#"{"statement": "SELECT 1 / (200000 - n) FROM generate_series(1, 200000) AS g(n)"}"#;
    let cut = script::send_raw(&world, &post, Some(&login), body).await;
    assert!(cut.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert!(!cut.ends_with(b"0\r\n\r\n"), "the answer is whole");
    world.stop().await;
}

/// Keys that are not text travel as base64.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_values_may_be_any_bytes() {
    let world = World::start(ApiOptions::default()).await;
    let login = admin();
    let value = [0, 255, 13, 10, 128];
    let put = head(&["PUT /api/v1/keys/db0/AP_-?encoding=base64"]);
    assert_eq!(send(&world, &put, Some(&login), &value).await.status, 201);
    let get = head(&["GET /api/v1/keys/db0/AP_-?encoding=base64"]);
    assert_eq!(send(&world, &get, Some(&login), b"").await.body, value);
    let scan = head(&["GET /api/v1/keys/db0"]);
    let page = send(&world, &scan, Some(&login), b"").await.json();
    assert_eq!(page["keys"][0]["key_base64"], "AP_-");
    let wrong = head(&["GET /api/v1/keys/db0/%ff"]);
    assert_eq!(send(&world, &wrong, Some(&login), b"").await.status, 400);
    world.stop().await;
}

/// Row 33, over HTTP.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_ten_failed_logins_an_address_has_to_wait() {
    let world = World::start(ApiOptions::default()).await;
    let get = head(&["GET /api/v1/keys"]);
    let wrong = basic("admin", "wrong");
    for attempt in 0..10 {
        let answer = send(&world, &get, Some(&wrong), b"").await;
        assert_eq!(answer.status, 401, "{attempt}");
    }
    let answer = send(&world, &get, Some(&admin()), b"").await;
    assert_eq!(answer.status, 429);
    assert!(answer.headers.contains_key("retry-after"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_trust_everybody_is_who_he_says() {
    let world = World::start(ApiOptions { trust: true }).await;
    let put = head(&["PUT /api/v1/keys/db0/a"]);
    assert_eq!(send(&world, &put, None, b"x").await.status, 201);
    let anna = basic("anna", "");
    let get = head(&["GET /api/v1/keys/db0/a"]);
    // The administrator made the key space.
    assert_eq!(send(&world, &get, Some(&anna), b"").await.status, 403);
    let unknown = basic("nobody", "");
    assert_eq!(send(&world, &get, Some(&unknown), b"").await.status, 401);
    world.stop().await;
}

/// A running statement is found by its id, by its own user only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_is_cancelled_by_its_id() {
    let world = World::start(ApiOptions::default()).await;
    let post = head(&["POST /api/v1/sql"]);
    let body = br#"{"statement": "SELECT pg_sleep(600)", "id": "long-one"}"#;
    let login = admin();
    let running = send(&world, &post, Some(&login), body);
    let cancelling = async {
        let delete = head(&["DELETE /api/v1/sql/long-one"]);
        let other = basic("anna", PASSWORD);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            assert_eq!(send(&world, &delete, Some(&other), b"").await.status, 404);
            // Cancelling means nothing until the statement itself has begun.
            let active = world.engine.sessions();
            let is_active = active.iter().any(|session| session.state == "active");
            if is_active && send(&world, &delete, Some(&login), b"").await.status == 202 {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline);
        }
    };
    let (answer, ()) = tokio::join!(running, cancelling);
    assert_eq!(answer.status, 409, "{answer:?}");
    assert_eq!(answer.json()["code"], "57014");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_transaction_ends_by_itself() {
    let world = World::with(ApiOptions::default(), |options| {
        let limit = "idle_in_transaction_session_timeout".to_owned();
        options.setting_defaults = vec![(limit, "100".to_owned())];
    })
    .await;
    let login = admin();
    let begin = head(&["POST /api/v1/transactions"]);
    let token = send(&world, &begin, Some(&login), b"").await.json();
    let token = token["token"].as_str().unwrap().to_owned();
    let get = head(&[
        "GET /api/v1/keys/db0/a",
        &format!("Tessera-Transaction: {token}"),
    ]);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    // Every request makes it young again, so they come rarely.
    let mut pause = tokio::time::interval(Duration::from_millis(1_500));
    pause.tick().await;
    loop {
        pause.tick().await;
        let answer = send(&world, &get, Some(&login), b"").await;
        if answer.json()["code"] == "25P01" {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline);
    }
    world.stop().await;
}

/// A transaction begun over HTTP takes part in SQL sessions, and the reverse.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_transaction_reaches_over_doors() {
    let world = World::start(ApiOptions::default()).await;
    let login = admin();
    let mut session = world.engine.session("admin").await.unwrap();
    session
        .run("CREATE TABLE t (id int PRIMARY KEY)")
        .await
        .unwrap();
    let begin = head(&["POST /api/v1/transactions"]);
    let token = send(&world, &begin, Some(&login), b"").await.json();
    let token = token["token"].as_str().unwrap().to_owned();
    let put = head(&[
        "PUT /api/v1/keys/db0/a",
        &format!("Tessera-Transaction: {token}"),
    ]);
    assert_eq!(send(&world, &put, Some(&login), b"x").await.status, 201);
    let join = format!("SET tessera.join = '{token}'");
    session.run(&join).await.unwrap();
    session.run("INSERT INTO t VALUES (1)").await.unwrap();
    session.run("RESET tessera.join").await.unwrap();
    let rows = session.query("SELECT id FROM t", &[]).await.unwrap();
    assert!(rows.rows.is_empty(), "not committed");
    let commit = head(&[&format!("POST /api/v1/transactions/{token}/commit")]);
    assert_eq!(send(&world, &commit, Some(&login), b"").await.status, 204);
    let rows = session.query("SELECT id FROM t", &[]).await.unwrap();
    assert_eq!(rows.rows.len(), 1);
    let get = head(&["GET /api/v1/keys/db0/a"]);
    assert_eq!(send(&world, &get, Some(&login), b"").await.body, b"x");
    drop(session);
    world.stop().await;
}

/// While the server starts, there is no data to reach.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_engine_is_closed_requests_are_told_so() {
    let world = World::start(ApiOptions::default()).await;
    world.engine.close().await.unwrap();
    let get = head(&["GET /api/v1/keys"]);
    let answer = send(&world, &get, Some(&admin()), b"").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    world.server.stop(Duration::from_secs(20)).await;
}
