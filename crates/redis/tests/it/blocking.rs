//! Waiting clients, where the order of things matters.

use tessera_keyvalue::{AddId, End, StreamId, Trim, TrimTo, UnixMillis, Writer, XaddOptions};
use tessera_redis::Door;
use tessera_transactions::TransactionOptions;

use crate::support::TestServer;

/// Method: many clients wait for one list; as many items are pushed one by one.
/// Property: each gets one, in the order in which they came, and nothing is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_is_served_in_the_order_of_arrival() {
    let server = TestServer::embedded().await;
    let mut waiting = Vec::new();
    for number in 0..20 {
        let mut client = server.client().await;
        client.send("blpop jobs 0").await;
        server.until_blocked(number + 1).await;
        waiting.push(client);
    }
    let mut pusher = server.client().await;
    for number in 0..20 {
        pusher.send(&format!("rpush jobs {number}")).await;
    }
    for (number, client) in waiting.iter_mut().enumerate() {
        let expected = format!("1) \"jobs\"\n2) \"{number}\"");
        assert_eq!(client.answer().await, expected);
    }
    let mut client = server.client().await;
    client.check("exists jobs", "(integer) 0").await;
    server.stop().await;
}

/// What other doors write wakes, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_of_another_door_wakes() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.send("blpop l 0").await;
    server.until_blocked(1).await;
    let space = server.door.first_space().await;
    let txn = server
        .door
        .transactions()
        .begin(TransactionOptions::default());
    let guard = txn.start_statement().await.unwrap();
    let now = UnixMillis::now(server.door.clock());
    let writer = Writer::new(&space, &txn, now);
    writer.push(b"l", End::Left, &[b"x"], false).await.unwrap();
    guard.finish();
    txn.commit().await.unwrap();
    assert_eq!(client.answer().await, "1) \"l\"\n2) \"x\"");
    server.stop().await;
}

/// A stream that is trimmed to the same size is as long as before, and yet has a new entry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_a_trimmed_stream_is_woken() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.check("xadd s maxlen 1 1-1 f a", "\"1-1\"").await;
    let mut reader = server.client().await;
    reader.send("xread block 0 streams s $").await;
    server.until_blocked(1).await;
    client.check("xadd s maxlen 1 1-2 f b", "\"1-2\"").await;
    let entry = "1) 1) \"s\"\n   2) 1) 1) \"1-2\"\n         2) 1) \"f\"\n            2) \"b\"";
    assert_eq!(reader.answer().await, entry);
    server.stop().await;
}

#[tokio::test]
async fn a_blocked_client_that_leaves_takes_nothing() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.send("blpop l 0").await;
    server.until_blocked(1).await;
    drop(client);
    server.until_blocked(0).await;
    let mut other = server.client().await;
    other.check("rpush l x", "(integer) 1").await;
    other.check("lpop l", "\"x\"").await;
    server.stop().await;
}

#[tokio::test]
async fn what_is_sent_while_blocked_is_done_afterwards() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.send("blpop l 0").await;
    client.send("ping").await;
    server.until_blocked(1).await;
    let mut other = server.client().await;
    other.check("rpush l x", "(integer) 1").await;
    assert_eq!(client.answer().await, "1) \"l\"\n2) \"x\"");
    assert_eq!(client.answer().await, "PONG");
    server.stop().await;
}

/// Another door adds an entry and removes one of the same size: neither the number of entries nor
/// their bytes change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_of_another_door_wakes_although_the_key_is_as_large_as_before() {
    for server in [TestServer::start().await, TestServer::embedded().await] {
        let mut client = server.client().await;
        client.check("xadd s 1-1 f a", "\"1-1\"").await;
        let mut reader = server.client().await;
        reader.send("xread block 0 streams s $").await;
        server.until_blocked(1).await;
        let space = server.door.first_space().await;
        let txn = server
            .door
            .transactions()
            .begin(TransactionOptions::default());
        let guard = txn.start_statement().await.unwrap();
        let now = UnixMillis::now(server.door.clock());
        let writer = Writer::new(&space, &txn, now);
        let fields: Vec<(&[u8], &[u8])> = vec![(b"f", b"b")];
        let options = XaddOptions {
            only_if_exists: true,
            trim: Some(Trim {
                to: TrimTo::Length(1),
                limit: None,
            }),
        };
        let id = AddId::Exact(StreamId {
            millis: 1,
            sequence: 2,
        });
        writer.xadd(b"s", id, &fields, options).await.unwrap();
        guard.finish();
        txn.commit().await.unwrap();
        let entry = "1) 1) \"s\"\n   2) 1) 1) \"1-2\"\n         2) 1) \"f\"\n            2) \"b\"";
        assert_eq!(reader.answer().await, entry);
        server.stop().await;
    }
}
