//! LISTEN and NOTIFY with PostgreSQL's meaning.

use futures::FutureExt as _;
use tessera_engine::{Engine, EngineOptions, Notice, Session};

async fn engine() -> Engine {
    Engine::open(EngineOptions::memory()).await.unwrap()
}

async fn run(session: &mut Session, sql: &str) {
    session
        .run(sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {}", error.message));
}

async fn refused(session: &mut Session, sql: &str) -> String {
    session.run(sql).await.unwrap_err().code.as_str().to_owned()
}

/// What has come so far, as `channel:payload`.
fn heard(session: &mut Session) -> Vec<String> {
    let word = |notice: Notice| format!("{}:{}", notice.channel, notice.payload);
    session.take_notifications().unwrap().map(word).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_come_at_the_commit_in_its_order_to_all_who_listen() {
    let engine = engine().await;
    let mut one = engine.session("admin").await.unwrap();
    let mut two = engine.session("admin").await.unwrap();
    run(&mut one, "LISTEN a; LISTEN b; LISTEN a").await;
    run(&mut two, "BEGIN; NOTIFY a, '1'; NOTIFY c; NOTIFY b").await;
    assert_eq!(heard(&mut one), [""; 0], "not before the commit");
    run(&mut two, "SELECT pg_notify('a', '2'); COMMIT").await;
    assert_eq!(heard(&mut one), ["a:1", "b:", "a:2"]);
    let sender = two.cancel_key().0;
    run(&mut two, "NOTIFY b, 'from'").await;
    let notices: Vec<Notice> = one.take_notifications().unwrap().collect();
    assert_eq!(notices[0].process_id, sender);
    // The sender listens, too, and has its message when its commit is done.
    run(&mut one, "NOTIFY a, 'self'").await;
    assert_eq!(heard(&mut one), ["a:self"]);
    let rows = one
        .query("SELECT * FROM pg_listening_channels()", &[])
        .await
        .unwrap();
    let channels: Vec<_> = (0..2).map(|at| rows.text(at, 0)).collect();
    assert_eq!(channels, [Some("a".to_owned()), Some("b".to_owned())]);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_message_of_one_transaction_comes_once() {
    let engine = engine().await;
    let mut session = engine.session("admin").await.unwrap();
    run(&mut session, "LISTEN a").await;
    run(
        &mut session,
        "BEGIN; NOTIFY a, 'x'; NOTIFY a, 'y'; NOTIFY a, 'x'; NOTIFY a, 'y'; NOTIFY a; COMMIT",
    )
    .await;
    assert_eq!(heard(&mut session), ["a:x", "a:y", "a:"]);
    run(
        &mut session,
        "SELECT pg_notify('a', 'z') FROM generate_series(1, 1000)",
    )
    .await;
    run(&mut session, "NOTIFY a, 'z'").await;
    assert_eq!(heard(&mut session), ["a:z", "a:z"], "once per transaction");
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_rolled_back_is_neither_sent_nor_listened_to() {
    let engine = engine().await;
    let mut one = engine.session("admin").await.unwrap();
    let mut two = engine.session("admin").await.unwrap();
    run(&mut one, "LISTEN a").await;
    run(&mut two, "BEGIN; NOTIFY a, 'lost'; ROLLBACK").await;
    run(
        &mut two,
        "BEGIN; NOTIFY a, '1'; SAVEPOINT s; NOTIFY a, 'lost'; ROLLBACK TO s; NOTIFY a, '2'; COMMIT",
    )
    .await;
    assert_eq!(heard(&mut one), ["a:1", "a:2"]);
    assert_eq!(
        refused(&mut two, "NOTIFY a, 'lost'; SELECT 1/0").await,
        "22012"
    );
    run(&mut one, "BEGIN; LISTEN b; ROLLBACK").await;
    run(&mut one, "BEGIN; UNLISTEN a; ROLLBACK").await;
    run(
        &mut one,
        "BEGIN; LISTEN c; SAVEPOINT s; LISTEN d; ROLLBACK TO s; COMMIT",
    )
    .await;
    run(&mut two, "NOTIFY b; NOTIFY d; NOTIFY c; NOTIFY a").await;
    assert_eq!(heard(&mut one), ["c:", "a:"]);
    // Within one transaction, LISTEN counts for its own messages and UNLISTEN against them.
    run(&mut two, "BEGIN; NOTIFY x, 'own'; LISTEN x; COMMIT").await;
    assert_eq!(heard(&mut two), ["x:own"]);
    run(&mut two, "BEGIN; UNLISTEN x; NOTIFY x, 'own'; COMMIT").await;
    assert_eq!(heard(&mut two), [""; 0]);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_delivered_within_a_block_and_nothing_after_unlisten() {
    let engine = engine().await;
    let mut one = engine.session("admin").await.unwrap();
    let mut two = engine.session("admin").await.unwrap();
    run(&mut one, "LISTEN a; LISTEN b").await;
    run(&mut one, "BEGIN").await;
    run(&mut two, "NOTIFY a, 'later'").await;
    assert!(!one.hears());
    assert_eq!(heard(&mut one), [""; 0]);
    run(&mut one, "COMMIT").await;
    assert_eq!(heard(&mut one), ["a:later"]);
    run(&mut one, "UNLISTEN a").await;
    run(&mut two, "NOTIFY a; NOTIFY b").await;
    assert_eq!(heard(&mut one), ["b:"]);
    run(&mut one, "UNLISTEN *").await;
    run(&mut two, "NOTIFY b").await;
    run(&mut one, "LISTEN b").await;
    run(&mut one, "DISCARD ALL").await;
    run(&mut two, "NOTIFY b").await;
    assert_eq!(heard(&mut one), [""; 0]);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_those_of_postgresql() {
    let engine = engine().await;
    let mut session = engine.session("admin").await.unwrap();
    run(&mut session, "LISTEN a").await;
    let longest = "p".repeat(7_999);
    run(&mut session, &format!("NOTIFY a, '{longest}'")).await;
    assert_eq!(heard(&mut session), [format!("a:{longest}")]);
    let too_long = format!("NOTIFY a, 'p{longest}'");
    assert_eq!(refused(&mut session, &too_long).await, "22023");
    let too_long = format!("SELECT pg_notify('a', 'p{longest}')");
    assert_eq!(refused(&mut session, &too_long).await, "22023");
    assert_eq!(
        refused(&mut session, "SELECT pg_notify('', 'x')").await,
        "22023"
    );
    assert_eq!(
        refused(&mut session, "SELECT pg_notify(NULL, 'x')").await,
        "22023"
    );
    run(&mut session, "SELECT pg_notify('a', NULL)").await;
    assert_eq!(heard(&mut session), ["a:"]);
    let name = "c".repeat(64);
    let long_channel = format!("SELECT pg_notify('{name}', 'x')");
    assert_eq!(refused(&mut session, &long_channel).await, "22023");
    let many = "SELECT pg_notify('a', n::text) FROM generate_series(1, 100001) AS g(n)";
    assert_eq!(refused(&mut session, many).await, "54000");
    assert_eq!(heard(&mut session), [""; 0]);
    // Names are folded as identifiers are, in both places.
    run(&mut session, "LISTEN Mixed; NOTIFY mixed; NOTIFY \"Mixed\"").await;
    assert_eq!(heard(&mut session), ["mixed:"]);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_waits_is_woken_and_one_that_is_gone_is_forgotten() {
    let engine = engine().await;
    let mut one = engine.session("admin").await.unwrap();
    let mut two = engine.session("admin").await.unwrap();
    run(&mut one, "LISTEN a").await;
    assert!(one.notifications().now_or_never().is_none());
    let waiting = tokio::spawn(async move { (one.notifications().await, one) });
    run(&mut two, "NOTIFY a, 'wake'").await;
    let (notices, one) = waiting.await.unwrap();
    assert_eq!(&*notices.unwrap()[0].payload, "wake");
    drop(one);
    run(&mut two, "NOTIFY a").await;
    engine.close().await.unwrap();
}
