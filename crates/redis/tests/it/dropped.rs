//! A key space that is dropped while clients have it open.

use crate::support::TestServer;

const GONE: &str = "(error) ERR key space \"carts\" was dropped (SQLSTATE 42P01)";

#[tokio::test]
async fn a_database_that_was_dropped_is_an_empty_one_for_those_who_have_it_open() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.check("set k old", "OK").await;
    server.door.drop_database(0).await;
    client.check("get k", "(nil)").await;
    client.check("dbsize", "(integer) 0").await;
    client.check("set k new", "OK").await;
    // Who comes now writes and reads in the same place.
    let mut other = server.client().await;
    other.check("get k", "\"new\"").await;
    server.door.drop_database(0).await;
    other.check("append k x", "(integer) 1").await;
    client.check("get k", "\"x\"").await;
    server.stop().await;
}

#[tokio::test]
async fn a_space_with_a_name_that_was_dropped_must_be_selected_again() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.check("select carts", "OK").await;
    client.check("set k 1", "OK").await;
    server.door.drop_named().await;
    client.check("get k", GONE).await;
    client.check("incr k", GONE).await;
    client.check("multi", "OK").await;
    client.check("incr k", "QUEUED").await;
    client.check("exec", GONE).await;
    client.check("ping", "PONG").await;
    client.check("select carts", "OK").await;
    client.check("incr k", "(integer) 1").await;
    server.stop().await;
}

/// Method: the client writes in an open transaction, whose lock the drop waits for. So the drop is
/// asked for while the transaction is open, and done when it has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_wrote_before_the_drop_commits_and_who_writes_after_it_is_told() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.check("select carts", "OK").await;
    client.check("tx.begin", "OK").await;
    client.check("set k 1", "OK").await;
    let door = std::sync::Arc::clone(&server.door);
    let dropping = tokio::spawn(async move { door.drop_named().await });
    client.check("set k 2", "OK").await;
    client.check("tx.commit", "OK").await;
    dropping.await.unwrap();
    client.check("set k 3", GONE).await;
    client.check("tx.begin", "OK").await;
    client.check("set k 3", GONE).await;
    client.check("tx.rollback", "OK").await;
    server.stop().await;
}
