//! Passwords, their throttle, and what clients may know of and do to each other.
//!
//! Commands: auth, client info, client list, client kill, client reply, info

use crate::support::{FAILED_LOGINS_MAX, PASSWORD, TestServer};

const NO_AUTH: &str = "(error) NOAUTH Authentication required.";
const WRONG_PASS: &str = "(error) WRONGPASS invalid username-password pair or user is disabled.";

#[tokio::test]
async fn nothing_is_done_before_login() {
    let server = TestServer::guarded(|_| {}).await;
    let mut client = server.client().await;
    client.check("get k", NO_AUTH).await;
    client.check("ping", NO_AUTH).await;
    client.check("select 1", NO_AUTH).await;
    client.check("auth wrong", WRONG_PASS).await;
    client.check("auth ada wrong", WRONG_PASS).await;
    client.check("auth nobody x", WRONG_PASS).await;
    let hello = client.run("hello 3").await;
    assert!(hello.starts_with("(error) NOAUTH HELLO must be called"));
    client.check(&format!("auth \"{PASSWORD}\""), "OK").await;
    client.check("acl whoami", "\"default\"").await;
    client.check("get k", "(nil)").await;
    client.check("reset", "RESET").await;
    client.check("get k", NO_AUTH).await;
    let hello = format!("hello 3 auth ada \"{PASSWORD}\" setname x");
    assert!(
        client
            .run(&hello)
            .await
            .contains("\"proto\" => (integer) 3")
    );
    client.check("acl whoami", "\"ada\"").await;
    client.check("client getname", "\"x\"").await;
    client.check("quit", "OK").await;
    client.expect_closed().await;
    server.stop().await;
}

#[tokio::test]
async fn failed_logins_are_throttled_by_address() {
    let server = TestServer::guarded(|_| {}).await;
    let mut client = server.client().await;
    for _ in 0..FAILED_LOGINS_MAX {
        client.check("auth wrong", WRONG_PASS).await;
    }
    // The right one is not heard either.
    let mut other = server.client().await;
    let answer = other.run(&format!("auth \"{PASSWORD}\"")).await;
    assert!(
        answer.starts_with("(error) ERR too many failed logins"),
        "{answer}"
    );
    server.stop().await;
}

#[tokio::test]
async fn clients_are_listed_and_killed() {
    let server = TestServer::start().await;
    let mut one = server.client().await;
    let mut two = server.client().await;
    one.check("client setname one", "OK").await;
    two.check("client setname two", "OK").await;
    one.check("client setinfo lib-name test", "OK").await;
    let info = one.run("client info").await;
    assert!(info.contains("id=1 "), "{info}");
    assert!(info.contains(" name=one "), "{info}");
    assert!(info.contains(" lib-name=test "), "{info}");
    assert!(info.contains(" cmd=client|info "), "{info}");
    let list = one.run("client list").await;
    assert!(
        list.contains("name=one") && list.contains("name=two"),
        "{list}"
    );
    let list = one.run("client list id 2").await;
    assert!(
        !list.contains("name=one") && list.contains("name=two"),
        "{list}"
    );
    one.check("client list type pubsub", "\"\"").await;
    one.check("client list type x", "(error) ERR Unknown client type 'x'")
        .await;
    one.check("client list bogus", "(error) ERR syntax error")
        .await;
    one.check("client kill 1.2.3.4:5", "(error) ERR No such client")
        .await;
    one.check("client kill id 99", "(integer) 0").await;
    one.check(
        "client kill id x",
        "(error) ERR client-id should be greater than 0",
    )
    .await;
    one.check("client kill id 2", "(integer) 1").await;
    two.expect_closed().await;
    one.check("client kill type normal", "(integer) 0").await;
    one.check("client kill bogus x", "(error) ERR syntax error")
        .await;
    let mut three = server.client().await;
    three.check("ping", "PONG").await;
    one.check("client kill skipme yes", "(integer) 1").await;
    three.expect_closed().await;
    server.stop().await;
}

#[tokio::test]
async fn a_blocked_client_can_be_killed() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.send("blpop l 0").await;
    server.until_blocked(1).await;
    let mut other = server.client().await;
    other.check("client kill id 1", "(integer) 1").await;
    client.expect_closed().await;
    other.check("rpush l x", "(integer) 1").await;
    other.check("llen l", "(integer) 1").await;
    server.stop().await;
}

#[tokio::test]
async fn answers_can_be_switched_off() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.send("client reply off").await;
    client.send("set k 1").await;
    client.send("incr nonsense extra").await;
    client.check("client reply on", "OK").await;
    client.send("client reply skip").await;
    client.send("incr k").await;
    client.check("get k", "\"2\"").await;
    server.stop().await;
}

#[tokio::test]
async fn info_has_sections() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.check("set a 1", "OK").await;
    client.check("set b 1 ex 10", "OK").await;
    let info = client.run("info").await;
    for part in [
        "# Server\\r\\nredis_version:7.2.0\\r\\ntessera_version:0.1.0",
        "connected_clients:1\\r\\n",
        "role:master",
        "# Keyspace\\r\\ndb0:keys=2,expires=1,avg_ttl=0\\r\\n",
    ] {
        assert!(info.contains(part), "{part} is not in {info}");
    }
    let info = client.run("info replication keyspace").await;
    assert!(
        info.starts_with("\"# Replication") && info.contains("# Keyspace"),
        "{info}"
    );
    assert!(!info.contains("# Server"), "{info}");
    client.check("info nonsense", "\"\"").await;
    server.stop().await;
}
