//! EXEC and TX under concurrency, and joining.
//!
//! Commands: tx.join, tx.token

use crate::support::TestServer;

/// The classic of WATCH: nobody's increment is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watched_counters_lose_nothing() {
    let server = TestServer::embedded().await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(server.client().await);
    }
    let work = clients.into_iter().map(|mut client| async move {
        for _ in 0..25 {
            loop {
                client.check("watch n", "OK").await;
                let n: u64 = match client.run("get n").await.as_str() {
                    "(nil)" => 0,
                    text => text.trim_matches('"').parse().unwrap(),
                };
                client.check("multi", "OK").await;
                client.check(&format!("set n {}", n + 1), "QUEUED").await;
                match client.run("exec").await.as_str() {
                    "(nil)" => {}
                    answer => {
                        assert_eq!(answer, "1) OK");
                        break;
                    }
                }
            }
        }
    });
    futures::future::join_all(work).await;
    let mut client = server.client().await;
    client.check("get n", "\"100\"").await;
    server.stop().await;
}

/// Property: transfers by EXEC in both directions keep the sum, and whoever reads both accounts in
/// one EXEC sees it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exec_is_one_step() {
    let server = TestServer::embedded().await;
    let mut client = server.client().await;
    client.check("mset a 100 b 100", "OK").await;
    let mut work = Vec::new();
    for (from, to) in [("a", "b"), ("b", "a")] {
        let mut client = server.client().await;
        work.push(tokio::spawn(async move {
            for _ in 0..50 {
                client.check("multi", "OK").await;
                client.check(&format!("decr {from}"), "QUEUED").await;
                client.check(&format!("incr {to}"), "QUEUED").await;
                let answer = client.run("exec").await;
                assert!(answer.starts_with("1) (integer)"), "{answer}");
            }
        }));
    }
    for _ in 0..50 {
        client.check("multi", "OK").await;
        client.check("get a", "QUEUED").await;
        client.check("get b", "QUEUED").await;
        let answer = client.run("exec").await;
        let sum: i64 = answer
            .lines()
            .map(|line| line[4..line.len() - 1].parse::<i64>().unwrap())
            .sum();
        assert_eq!(sum, 200, "{answer}");
    }
    for work in work {
        work.await.unwrap();
    }
    client.check("mget a b", "1) \"100\"\n2) \"100\"").await;
    server.stop().await;
}

#[tokio::test]
async fn another_connection_joins_by_a_token() {
    let server = TestServer::start().await;
    let mut one = server.client().await;
    let mut two = server.client().await;
    one.check("tx.begin", "OK").await;
    one.check("set a 1", "OK").await;
    let token = one.run("tx.token").await;
    two.check(&format!("tx.join {token}"), "OK").await;
    two.check("incr a", "(integer) 2").await;
    one.check("get a", "\"2\"").await;
    two.check("tx.commit", "OK").await;
    let answer = one.run("set a 3").await;
    assert!(
        answer.starts_with("(error) ERR the transaction has already ended"),
        "{answer}"
    );
    one.check("get a", "\"2\"").await;
    server.stop().await;
}

#[tokio::test]
async fn a_transaction_ends_with_its_connection() {
    let server = TestServer::start().await;
    let mut one = server.client().await;
    let mut two = server.client().await;
    one.check("tx.begin", "OK").await;
    one.check("set a 1", "OK").await;
    let token = one.run("tx.token").await;
    two.check(&format!("tx.join {token}"), "OK").await;
    drop(one);
    server.until("connected_clients:2\\r\\n").await;
    // The lock is free, and the write is gone.
    let mut three = server.client().await;
    three.check("get a", "(nil)").await;
    three.check("set a 2", "OK").await;
    server.stop().await;
}

#[tokio::test]
async fn a_transaction_that_is_forgotten_is_rolled_back() {
    let server = TestServer::with(false, |options| {
        options.transaction_idle_timeout = Some(std::time::Duration::from_millis(20));
    })
    .await;
    let mut client = server.client().await;
    client.check("tx.begin", "OK").await;
    client.check("set a 1", "OK").await;
    client.expect_closed().await;
    let mut other = server.client().await;
    other.check("set a 2", "OK").await;
    server.stop().await;
}

/// WATCH looks at the records of keys where the model keeps them.
#[tokio::test]
async fn every_kind_of_change_is_noticed_by_watch() {
    let server = TestServer::start().await;
    let mut one = server.client().await;
    let mut two = server.client().await;
    one.check("rpush l a", "(integer) 1").await;
    for change in [
        "lset l 0 b",
        "rpush l c",
        "expire l 100",
        "del l",
        "set l x",
    ] {
        one.check("watch l", "OK").await;
        two.run(change).await;
        one.check("multi", "OK").await;
        one.check("ping", "QUEUED").await;
        one.check("exec", "(nil)").await;
    }
    one.check("watch l", "OK").await;
    two.check("get l", "\"x\"").await;
    two.check("set other x", "OK").await;
    one.check("multi", "OK").await;
    one.check("ping", "QUEUED").await;
    one.check("exec", "1) PONG").await;
    server.stop().await;
}
