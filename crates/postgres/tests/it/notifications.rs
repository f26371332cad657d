//! Notifications on the wire: between statements, and to clients that do nothing.

use futures::StreamExt as _;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_postgres::{AsyncMessage, Client, NoTls};

use crate::support::{PASSWORD, SOON, TestServer};

/// A client whose notifications arrive as `channel:payload`.
async fn listener(server: &TestServer) -> (Client, UnboundedReceiver<String>) {
    let config = server.config("admin", PASSWORD);
    let (client, mut connection) = config.connect(NoTls).await.unwrap();
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(async move {
        let mut messages = futures::stream::poll_fn(move |cx| connection.poll_message(cx));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(notice) = message {
                let _ = sender.send(format!("{}:{}", notice.channel(), notice.payload()));
            }
        }
    });
    (client, receiver)
}

async fn next(receiver: &mut UnboundedReceiver<String>) -> String {
    let next = tokio::time::timeout(SOON, receiver.recv()).await;
    next.expect("a notification in time")
        .expect("the connection is open")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_client_is_woken_and_the_sender_has_its_own() {
    let server = TestServer::start().await;
    let (one, mut heard) = listener(&server).await;
    one.batch_execute("LISTEN a; LISTEN b").await.unwrap();
    let other = server.client().await;
    // Nothing is asked of the listener's connection meanwhile.
    other
        .batch_execute("BEGIN; NOTIFY a, '1'; NOTIFY b; NOTIFY a, '1'; COMMIT")
        .await
        .unwrap();
    assert_eq!(next(&mut heard).await, "a:1");
    assert_eq!(next(&mut heard).await, "b:");
    // By the extended protocol, and its own.
    let sent = one.execute("SELECT pg_notify($1, $2)", &[&"a", &"own"]);
    sent.await.unwrap();
    assert_eq!(next(&mut heard).await, "a:own");
    drop((one, other));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_comes_within_a_transaction_block() {
    let server = TestServer::start().await;
    let (one, mut heard) = listener(&server).await;
    one.batch_execute("LISTEN a").await.unwrap();
    one.batch_execute("BEGIN; SELECT 1").await.unwrap();
    let other = server.client().await;
    other.batch_execute("NOTIFY a, 'during'").await.unwrap();
    one.batch_execute("SELECT 2").await.unwrap();
    assert!(heard.try_recv().is_err());
    one.batch_execute("COMMIT").await.unwrap();
    assert_eq!(next(&mut heard).await, "a:during");
    drop((one, other));
    server.stop().await;
}
