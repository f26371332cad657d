//! Clients that take too much, too long, or never say a word.

use std::time::Duration;

use tessera_engine::EngineOptions;
use tessera_postgres::Authentication;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::raw::{Raw, message};
use crate::support::{SOON, TestServer, code};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_client_is_sent_away_and_takes_no_place() {
    let engine = EngineOptions {
        sessions_max: 2,
        sessions_reserved: 0,
        ..EngineOptions::memory()
    };
    let server = TestServer::with(engine, |options| {
        options.login_timeout = Duration::from_millis(300);
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
            tokio::time::sleep(Duration::from_millis(5)).await;
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
