//! Clients that take too much, too long, or never say a word.

use std::time::Duration;

use tessera_engine::EngineOptions;
use tessera_postgres::Authentication;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::raw::{Raw, message, packet, startup};
use crate::support::{SOON, TestServer, code};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_client_is_sent_away_and_takes_no_place() {
    let engine = EngineOptions {
        sessions_max: 2,
        sessions_reserved: 0,
        ..EngineOptions::memory()
    };
    let server = TestServer::with(engine, |options| {
        options.authentication = Authentication::Trust;
        // Time enough for one that speaks, on a busy machine too.
        options.login_timeout = Duration::from_secs(2);
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(server.address()).await.unwrap());
    }
    let client = server.client().await;
    for mut socket in silent {
        let mut buffer = [0; 1];
        let read = tokio::time::timeout(SOON, socket.read(&mut buffer))
            .await
            .unwrap();
        assert!(matches!(read, Ok(0) | Err(_)), "closed without a word");
    }
    drop(client);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newcomers_beyond_the_limit_are_told_and_an_administrator_gets_in() {
    let engine = EngineOptions {
        sessions_max: 5,
        sessions_reserved: 1,
        ..EngineOptions::memory()
    };
    let server = TestServer::with(engine, |_| {}).await;
    server
        .engine
        .users()
        .add("bob", "builder", false)
        .await
        .unwrap();
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(server.connect("bob", "builder").await.unwrap());
    }
    for _ in 0..10 {
        let error = server.connect("bob", "builder").await.err().unwrap();
        assert_eq!(code(&error), "53300");
    }
    let admin = server.client().await;
    admin.batch_execute("SELECT 1").await.unwrap();
    drop((admin, clients));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_is_cut_off() {
    let server = TestServer::with(EngineOptions::memory(), |options| {
        options.authentication = Authentication::Trust;
        options.write_timeout = Duration::from_millis(200);
    })
    .await;
    let mut raw = Raw::started(server.address()).await;
    // Far more than socket buffers hold.
    let text = "select repeat('x', 1000) from generate_series(1, 100000)\0";
    raw.send(&message(b'Q', text.as_bytes())).await;
    let gone = async {
        while !server.engine.sessions().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, gone)
        .await
        .expect("the session ends");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_transaction_ends_with_its_own_code() {
    let server = TestServer::trusting().await;
    let mut raw = Raw::started(server.address()).await;
    raw.send(&message(
        b'Q',
        b"set idle_in_transaction_session_timeout = 50; begin\0",
    ))
    .await;
    raw.answers("ReadyForQuery").await;
    let answers = raw.answers("closed").await;
    assert_eq!(
        answers,
        [
            "Error FATAL 25P03 terminating connection due to idle-in-transaction timeout",
            "closed"
        ]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_prepared_statements_are_refused_and_closed_ones_forgotten() {
    let server = TestServer::trusting().await;
    let mut raw = Raw::started(server.address()).await;
    let mut batch = Vec::new();
    for number in 0..=10_000 {
        batch.extend(message(
            b'P',
            format!("s{number}\0select 1\0\0\0").as_bytes(),
        ));
    }
    batch.extend(message(b'S', b""));
    raw.send(&batch).await;
    let answers = raw.answers("ReadyForQuery").await;
    assert_eq!(
        answers
            .iter()
            .filter(|answer| *answer == "ParseComplete")
            .count(),
        10_000
    );
    assert!(
        answers
            .iter()
            .any(|answer| answer.starts_with("Error ERROR 53400"))
    );
    let mut batch = message(b'C', b"Ss0\0");
    batch.extend(message(b'P', b"again\0select 1\0\0\0"));
    batch.extend(message(b'S', b""));
    raw.send(&batch).await;
    assert_eq!(
        raw.answers("ReadyForQuery").await,
        ["CloseComplete", "ParseComplete", "ReadyForQuery I"]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_portals_are_refused_and_closed_ones_forgotten() {
    let server = TestServer::trusting().await;
    let mut raw = Raw::started(server.address()).await;
    let mut batch = message(b'P', b"s\0select 1\0\0\0");
    for number in 0..=10_000 {
        let body = format!("p{number}\0s\0\0\0\0\0\0\0");
        batch.extend(message(b'B', body.as_bytes()));
    }
    batch.extend(message(b'S', b""));
    raw.send(&batch).await;
    let answers = raw.answers("ReadyForQuery").await;
    let bound = |answers: &[String]| answers.iter().filter(|a| *a == "BindComplete").count();
    assert_eq!(bound(&answers), 10_000);
    assert!(
        answers
            .iter()
            .any(|answer| answer.starts_with("Error ERROR 53400")),
        "{:?}",
        answers.last()
    );
    // The transaction is over, and its portals with it.
    batch = message(b'B', b"again\0s\0\0\0\0\0\0\0");
    batch.extend(message(b'S', b""));
    raw.send(&batch).await;
    assert_eq!(
        raw.answers("ReadyForQuery").await,
        ["BindComplete", "ReadyForQuery I"]
    );
    server.stop().await;
}

/// Row 20. PostgreSQL stops at 1,664 columns; here they are answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_of_2000_columns_is_answered() {
    let server = TestServer::trusting().await;
    let client = server.client().await;
    let wide = format!("SELECT {}", vec!["1 AS a"; 2_000].join(", "));
    let row = client.query_one(&wide, &[]).await.unwrap();
    assert_eq!(row.len(), 2_000);
    assert!((0..2_000).all(|column| row.get::<_, i32>(column) == 1));
    drop(client);
    server.stop().await;
}

/// Rows 57 and 58: what has no end ends at the statement timeout or the memory limit, and the
/// server goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_without_end_meet_a_limit() {
    let server = TestServer::trusting().await;
    let client = server.client().await;
    client
        .batch_execute("SET statement_timeout = '1s'")
        .await
        .unwrap();
    for endless in [
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n FROM r) SELECT count(*) FROM r",
        "SELECT count(*) FROM generate_series(1, 1000000000000000000) AS g (n)",
        "SELECT count(*) FROM generate_series(1, 1000000) AS a (n), generate_series(1, 1000000) AS b (m) WHERE n + m < 0",
        "SELECT n FROM generate_series(1, 1000000000000000000) AS g (n) ORDER BY n DESC",
    ] {
        let ended = tokio::time::timeout(SOON, client.batch_execute(endless)).await;
        let error = ended
            .unwrap_or_else(|_| panic!("{endless} goes on"))
            .unwrap_err();
        assert!(
            ["57014", "53200"].contains(&code(&error).as_str()),
            "{endless}: {error:?}"
        );
        tokio::time::timeout(SOON, client.batch_execute("SELECT 1"))
            .await
            .unwrap()
            .unwrap();
    }
    client
        .batch_execute("SET statement_timeout = 0")
        .await
        .unwrap();
    // Exponential for an engine that backtracks.
    for (pattern, found) in [
        ("repeat('a', 30000) || '!' ~ '(a+)+$'", false),
        (
            "repeat('a', 3000) || '!' LIKE repeat('%a', 30) || 'b'",
            false,
        ),
    ] {
        let asked = format!("SELECT {pattern}");
        let row = tokio::time::timeout(SOON, client.query_one(&asked, &[])).await;
        assert_eq!(row.unwrap().unwrap().get::<_, bool>(0), found, "{pattern}");
    }
    drop(client);
    server.stop().await;
}

/// Row 9. The statement waits for a lock, so it is there as long as nobody cancels it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_request_with_a_wrong_key_cancels_nothing() {
    let server = TestServer::trusting().await;
    let mut holder = Raw::started(server.address()).await;
    holder.send(&message(b'Q', b"create table t (id int primary key); insert into t values (1); commit; begin; update t set id = 2\0")).await;
    holder.answers("ReadyForQuery").await;
    let mut waiter = Raw::connect(server.address()).await;
    waiter.send(&startup(&[("user", "admin")])).await;
    waiter.answers("ReadyForQuery").await;
    let key = waiter.key.expect("the server gave a key");
    waiter.send(&message(b'Q', b"update t set id = 3\0")).await;
    let waits = async {
        while !server.engine.sessions().iter().any(|s| s.state == "active") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, waits).await.unwrap();
    for (at, bit) in [(7, 1), (4, 0x80), (3, 1)] {
        let mut wrong = key;
        wrong[at] ^= bit;
        let mut body = 80_877_102_i32.to_be_bytes().to_vec();
        body.extend(wrong);
        let mut raw = Raw::connect(server.address()).await;
        raw.send(&packet(&body)).await;
        assert_eq!(raw.answers("closed").await, ["closed"], "not a word");
    }
    holder.send(&message(b'Q', b"rollback\0")).await;
    holder.answers("ReadyForQuery").await;
    assert_eq!(
        waiter.answers("ReadyForQuery").await,
        ["CommandComplete UPDATE 1", "ReadyForQuery I"]
    );
    server.stop().await;
}

/// Row 59, with as many connections as this process may open files for both ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_connections_is_told_so_and_an_administrator_gets_in() {
    let engine = EngineOptions {
        sessions_max: 50,
        sessions_reserved: 3,
        ..EngineOptions::memory()
    };
    let server = TestServer::with(engine, |options| {
        options.authentication = Authentication::Trust;
        // Or those beyond it are turned away unheard, before they have said who they are.
        options.logins_max = 10_000;
    })
    .await;
    let users = server.engine.users();
    users.add("bob", "builder", false).await.unwrap();
    let count = (open_files_max().saturating_sub(500) / 2).min(5_000);
    assert!(count > 100, "too few files may be open");
    let mut flood = Vec::new();
    for _ in 0..count {
        let mut raw = Raw::connect(server.address()).await;
        raw.send(&startup(&[("user", "bob"), ("database", "tessera")]))
            .await;
        flood.push(raw);
    }
    let (mut inside, mut refused) = (0, 0);
    for raw in &mut flood {
        let answers = raw.answers("ReadyForQuery").await;
        match answers.last().map(String::as_str) {
            Some("ReadyForQuery I") => inside += 1,
            _ => {
                assert!(
                    answers[answers.len() - 2].starts_with("Error FATAL 53300"),
                    "{answers:?}"
                );
                refused += 1;
            }
        }
    }
    assert_eq!((inside, refused), (47, count - 47));
    let admin = server.client().await;
    admin.batch_execute("SELECT 1").await.unwrap();
    drop((admin, flood));
    server.stop().await;
}

fn open_files_max() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .unwrap();
    let soft = line.split_whitespace().next().unwrap();
    soft.parse().unwrap_or(usize::MAX)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_sends_idle_clients_away_and_waits_for_the_others() {
    let server = TestServer::trusting().await;
    let mut idle = Raw::started(server.address()).await;
    let mut holder = Raw::started(server.address()).await;
    holder.send(&message(b'Q', b"create table t (id int primary key); insert into t values (1); commit; begin; update t set id = 2\0")).await;
    holder.answers("ReadyForQuery").await;
    let mut waiter = Raw::started(server.address()).await;
    waiter.send(&message(b'Q', b"update t set id = 3\0")).await;
    let waits = async {
        while !server.engine.sessions().iter().any(|s| s.state == "active") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, waits).await.unwrap();
    // The holder goes, so the waiter may finish its statement; then it goes, too.
    server.stop_within(SOON).await;
    let goodbye = "Error FATAL 57P01 terminating connection due to administrator command";
    assert_eq!(idle.answers("closed").await, [goodbye, "closed"]);
    assert_eq!(holder.answers("closed").await, [goodbye, "closed"]);
    let last = waiter.answers("closed").await;
    assert!(
        last.ends_with(&[goodbye.to_owned(), "closed".to_owned()]),
        "{last:?}"
    );
    assert!(
        last.contains(&"CommandComplete UPDATE 1".to_owned()),
        "{last:?}"
    );
}
