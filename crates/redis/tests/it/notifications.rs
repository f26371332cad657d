//! Keyspace notifications of what comes through other doors, and of what expires.

use tessera_keyvalue::{
    End, Expire, ReclaimLimits, SetCondition, SetExpiry, SetOptions, UnixMillis, Writer,
};
use tessera_redis::Door;
use tessera_storage::Origin;
use tessera_transactions::{Transaction, TransactionOptions};

use crate::support::{Client, TestServer};

/// One statement of another door on database 0, committed.
async fn elsewhere(
    server: &TestServer,
    origin: Origin,
    work: impl AsyncFnOnce(&Writer<'_>, &Transaction),
) {
    let space = server.door.first_space().await;
    let txn = server.door.transactions().begin(TransactionOptions {
        origin,
        ..TransactionOptions::default()
    });
    let guard = txn.start_statement().await.unwrap();
    let writer = Writer::new(&space, &txn, UnixMillis::now(server.door.clock()));
    work(&writer, &txn).await;
    guard.finish();
    txn.commit().await.unwrap();
}

/// The next notification as `event key`.
async fn event(client: &mut Client) -> String {
    let answer = client.answer().await;
    let texts: Vec<&str> = answer
        .lines()
        .filter_map(|line| line.split_once('"')?.1.strip_suffix('"'))
        .collect();
    let [_, _, channel, key] = texts[..] else {
        panic!("{answer}");
    };
    let name = channel.strip_prefix("__keyevent@0__:").unwrap();
    format!("{name} {key}")
}

async fn subscriber(server: &TestServer, flags: &str) -> Client {
    let mut admin = server.client().await;
    admin
        .check(&format!("config set notify-keyspace-events {flags}"), "OK")
        .await;
    let mut client = server.client().await;
    client.run("psubscribe __keyevent@0__:*").await;
    client
}

/// Method: changes of this port and of another door, one after the other.
/// Property: all are told, each once, in the order of their commits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_all_doors_are_told_in_their_order() {
    for server in [TestServer::start().await, TestServer::embedded().await] {
        let mut listener = subscriber(&server, "EA").await;
        let mut client = server.client().await;
        client.check("incr n", "(integer) 1").await;
        elsewhere(&server, Origin::Client, async |writer, _| {
            let options = SetOptions::default();
            writer.set(b"s", b"1", options).await.unwrap();
            writer.push(b"l", End::Left, &[b"x"], false).await.unwrap();
            writer.del(&[b"n"]).await.unwrap();
        })
        .await;
        client.check("append s 2", "(integer) 2").await;
        let mut heard = Vec::new();
        for _ in 0..5 {
            heard.push(event(&mut listener).await);
        }
        assert_eq!(heard, ["incrby n", "rpush l", "del n", "set s", "append s"]);
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_expires_is_told_when_it_is_removed() {
    let server = TestServer::start().await;
    let mut listener = subscriber(&server, "Ex").await;
    let mut client = server.client().await;
    client.check("set a 1 px 10", "OK").await;
    elsewhere(&server, Origin::Client, async |writer, _| {
        let options = SetOptions {
            condition: SetCondition::default(),
            expiry: SetExpiry::Expire(Expire::InMillis(10)),
            get: false,
        };
        writer.set(b"b", b"1", options).await.unwrap();
    })
    .await;
    client.check("set c 1", "OK").await;
    client.check("del c", "(integer) 1").await;
    let now = server.door.clock().unix_micros();
    server.simulation.set_unix_micros(now + 1_000_000);
    elsewhere(&server, Origin::System, async |writer, _| {
        writer.reclaim(ReclaimLimits::default()).await.unwrap();
    })
    .await;
    let heard = [event(&mut listener).await, event(&mut listener).await];
    assert_eq!(
        heard,
        ["expired a", "expired b"],
        "and nothing else: only x is on"
    );
    server.stop().await;
}

/// Redis tells nothing of FLUSHDB; and a command's own name is told instead of what its writes look
/// like, also where its class is off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_guessed_of_what_this_port_has_done() {
    let server = TestServer::start().await;
    let mut listener = subscriber(&server, "E$").await;
    let mut client = server.client().await;
    client.check("set k v", "OK").await;
    client.check("expire k 100", "(integer) 1").await;
    client.check("rename k r", "OK").await;
    client.check("flushdb", "OK").await;
    client.check("setrange k 0 x", "(integer) 1").await;
    let heard = [event(&mut listener).await, event(&mut listener).await];
    assert_eq!(heard, ["set k", "setrange k"]);
    server.stop().await;
}

/// Switched off and on again, and without anybody interested in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notifications_can_be_switched_off_and_on() {
    let server = TestServer::start().await;
    let mut listener = subscriber(&server, "EA").await;
    let mut client = server.client().await;
    client.check("set a 1", "OK").await;
    assert_eq!(event(&mut listener).await, "set a");
    client
        .check("config set notify-keyspace-events \"\"", "OK")
        .await;
    client.check("set b 1", "OK").await;
    client
        .check("config set notify-keyspace-events EA", "OK")
        .await;
    client.check("set c 1", "OK").await;
    assert_eq!(event(&mut listener).await, "set c");
    server.stop().await;
}
