//! Broken frames, too much of everything, other protocols, clients that do not read.
//!
//! What else clients may try is shown elsewhere: wrong types, overflows and bad options of every
//! command, SETRANGE far behind the end, AUTH where there is nothing to log in to, HELLO 9 and SELECT
//! 9999 in `testdata/reference`; nested MULTI and errors in it in `testdata/transactions.txt`; CONFIG
//! SET dir, DEBUG and MODULE in `testdata/server.txt`; failed logins in `login`.

use std::time::Duration;

use crate::support::{SOON, TestServer};

#[tokio::test]
async fn broken_frames_are_told_and_end_the_connection() {
    let server = TestServer::start().await;
    for (bytes, told) in [
        ("*2147483648\r\n", "invalid multibulk length"),
        ("*20000000\r\n", "invalid multibulk length"),
        ("*1\r\n$-5\r\n", "invalid bulk length"),
        ("*1\r\n$abc\r\n", "invalid bulk length"),
        ("*1\r\n$600000000\r\n", "invalid bulk length"),
        ("*1\r\nabc\r\n", "expected '$', got 'a'"),
        ("set \"a\r\n", "unbalanced quotes in request"),
    ] {
        let mut client = server.client().await;
        client.raw(b"*1\r\n$4\r\nPING\r\n").await;
        client.raw(bytes.as_bytes()).await;
        assert_eq!(client.answer().await, "PONG", "{bytes:?}");
        let told = format!("(error) ERR Protocol error: {told}");
        assert_eq!(client.answer().await, told, "{bytes:?}");
        client.expect_closed().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn an_inline_command_is_bounded() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.raw(&vec![b'a'; 70 * 1024]).await;
    let told = "(error) ERR Protocol error: too big inline request";
    assert_eq!(client.answer().await, told);
    client.expect_closed().await;
    server.stop().await;
}

#[tokio::test]
async fn what_is_announced_is_waited_for_without_memory() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.raw(b"*1000000\r\n$500000000\r\n").await;
    // Others are served meanwhile.
    let mut other = server.client().await;
    other.check("ping", "PONG").await;
    server.stop().await;
    client.expect_closed().await;
}

#[tokio::test]
async fn strangers_may_send_little() {
    let server = TestServer::guarded(|_| {}).await;
    for (bytes, told) in [
        ("*11\r\n", "unauthenticated multibulk length"),
        ("*2\r\n$16385\r\n", "unauthenticated bulk length"),
    ] {
        let mut client = server.client().await;
        client.raw(bytes.as_bytes()).await;
        let told = format!("(error) ERR Protocol error: {told}");
        assert_eq!(client.answer().await, told);
        client.expect_closed().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn http_is_closed_at_once() {
    let server = TestServer::start().await;
    for head in [
        "POST / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /set/a/1 HTTP/1.1\r\n",
        "Host: x\r\n",
    ] {
        let mut client = server.client().await;
        client.raw(head.as_bytes()).await;
        client.expect_closed().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_log_in_is_sent_away() {
    let server = TestServer::guarded(|options| {
        options.login_timeout = Duration::from_millis(20);
    })
    .await;
    let mut client = server.client().await;
    client.raw(b"*1\r\n").await;
    client.expect_closed().await;
    server.stop().await;
}

#[tokio::test]
async fn a_silent_client_is_sent_away_if_that_is_wanted() {
    let server = TestServer::with(false, |options| {
        options.idle_timeout = Some(Duration::from_millis(20));
    })
    .await;
    let mut client = server.client().await;
    client.check("ping", "PONG").await;
    client.expect_closed().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_is_cut_off() {
    let server = TestServer::with(false, |options| {
        options.write_timeout = Duration::from_millis(50);
    })
    .await;
    let mut client = server.client().await;
    let value = "x".repeat(1 << 20);
    client.check(&format!("set k {value}"), "OK").await;
    // More answers than sockets hold. The server may stop reading before all is sent.
    for _ in 0..64 {
        client.send("get k").await;
    }
    server.until("connected_clients:1\\r\\n").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_never_reads_is_cut_off() {
    let server = TestServer::with(false, |options| {
        options.subscriber_bytes_max = 1 << 20;
        options.write_timeout = Duration::from_millis(50);
    })
    .await;
    let mut subscriber = server.client().await;
    subscriber.run("subscribe c").await;
    let mut publisher = server.client().await;
    let message = "x".repeat(100_000);
    let publishing =
        async { while publisher.run(&format!("publish c {message}")).await == "(integer) 1" {} };
    tokio::time::timeout(SOON, publishing).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn connections_are_bounded() {
    let server = TestServer::with(false, |options| options.connections_max = 1).await;
    let mut first = server.client().await;
    first.check("ping", "PONG").await;
    let mut second = server.client().await;
    let told = "(error) ERR max number of clients reached";
    assert_eq!(second.answer().await, told);
    second.expect_closed().await;
    server.stop().await;
}

#[tokio::test]
async fn an_unknown_commands_name_is_cut() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let name = "x".repeat(1_000);
    let answer = client.run(&format!("{name} {name} {name}")).await;
    assert!(answer.len() < 400, "{answer}");
    assert!(answer.starts_with("(error) ERR unknown command 'xxx"));
    server.stop().await;
}
