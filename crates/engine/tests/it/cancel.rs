//! Cancelling, timeouts, limits: what needs two things to happen at one time.

use std::time::Duration;

use tessera_engine::{Engine, EngineOptions, Session};

/// Longest wait for something that should happen at once.
const SOON: Duration = Duration::from_secs(20);

async fn engine() -> Engine {
    let engine = Engine::open(EngineOptions::memory()).await.unwrap();
    let mut session = engine.session("admin").await.unwrap();
    session
        .run("CREATE TABLE t (id int PRIMARY KEY, n int)")
        .await
        .unwrap();
    session
        .run("INSERT INTO t VALUES (1, 0), (2, 0)")
        .await
        .unwrap();
    engine
}

/// A session that holds the row with id 1.
async fn holder(engine: &Engine) -> Session {
    let mut session = engine.session("admin").await.unwrap();
    session
        .run("BEGIN; UPDATE t SET n = 1 WHERE id = 1")
        .await
        .unwrap();
    session
}

async fn wait_until_active(engine: &Engine, text: &str) {
    let active = async {
        while !engine
            .sessions()
            .iter()
            .any(|s| s.state == "active" && s.query.contains(text))
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, active).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_ends_a_wait_for_a_lock_and_only_that_statement() {
    let engine = engine().await;
    let holder = holder(&engine).await;
    let mut waiter = engine.session("admin").await.unwrap();
    let handle = waiter.cancel_handle();
    // Nothing runs yet: this request is lost, as in PostgreSQL.
    handle.cancel();
    let waiting = tokio::spawn(async move {
        let result = waiter.run("UPDATE t SET n = 2 WHERE id = 1").await;
        (waiter, result)
    });
    wait_until_active(&engine, "n = 2").await;
    let (key, wrong) = (engine.sessions().last().unwrap().process_id, 12345);
    assert!(!engine.cancel(key, wrong));
    handle.cancel();
    let (mut waiter, result) = tokio::time::timeout(SOON, waiting).await.unwrap().unwrap();
    let report = result.unwrap_err();
    assert_eq!(report.code.as_str(), "57014");
    assert_eq!(report.message, "canceling statement due to user request");
    waiter.run("UPDATE t SET n = 3 WHERE id = 2").await.unwrap();
    drop(holder);
    waiter.run("UPDATE t SET n = 3 WHERE id = 1").await.unwrap();
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_seen_and_ended_by_sql() {
    let engine = engine().await;
    engine.users().add("bob", "builder", false).await.unwrap();
    let holder = holder(&engine).await;
    let mut waiter = engine.session("admin").await.unwrap();
    let waiting = tokio::spawn(async move { waiter.run("UPDATE t SET n = 2 WHERE id = 1").await });
    wait_until_active(&engine, "n = 2").await;
    let of_waiter = "FROM pg_stat_activity WHERE query LIKE 'UPDATE%n = 2%'";
    let mut bob = engine.session("bob").await.unwrap();
    let hidden = bob.run(&format!("SELECT pid {of_waiter}")).await.unwrap();
    assert!(hidden[0].rows.is_empty(), "statements of others are hidden");
    let mut admin = engine.session("admin").await.unwrap();
    let found = admin
        .run(&format!("SELECT usename, state, pid {of_waiter}"))
        .await
        .unwrap();
    assert_eq!(found[0].text(0, 0).as_deref(), Some("admin"));
    assert_eq!(found[0].text(0, 1).as_deref(), Some("active"));
    let pid = found[0].text(0, 2).unwrap();
    let denied = bob
        .run(&format!("SELECT pg_terminate_backend({pid})"))
        .await
        .unwrap_err();
    assert_eq!(denied.code.as_str(), "42501");
    let done = admin
        .run(&format!("SELECT pg_cancel_backend({pid})"))
        .await
        .unwrap();
    assert_eq!(done[0].text(0, 0).as_deref(), Some("t"));
    let report = tokio::time::timeout(SOON, waiting)
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert_eq!(report.code.as_str(), "57014");
    drop(holder);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timeouts_end_a_wait_with_their_own_codes() {
    let engine = engine().await;
    let holder = holder(&engine).await;
    let mut waiter = engine.session("admin").await.unwrap();
    for (setting, code) in [("statement_timeout", "57014"), ("lock_timeout", "55P03")] {
        waiter.run(&format!("SET {setting} = 250")).await.unwrap();
        let updating = waiter.run("UPDATE t SET n = 2 WHERE id = 1");
        let report = tokio::time::timeout(SOON, updating)
            .await
            .unwrap()
            .unwrap_err();
        assert_eq!(report.code.as_str(), code, "{}", report.message);
        waiter.run(&format!("RESET {setting}")).await.unwrap();
    }
    drop(holder);
    waiter.run("UPDATE t SET n = 2 WHERE id = 1").await.unwrap();
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_session_gives_its_locks_back() {
    let engine = engine().await;
    drop(holder(&engine).await);
    let mut other = engine.session("admin").await.unwrap();
    other
        .run("SET lock_timeout = 20000; UPDATE t SET n = 2 WHERE id = 1")
        .await
        .unwrap();
    assert_eq!(engine.sessions().len(), 1);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_places_are_for_administrators() {
    let options = EngineOptions {
        sessions_max: 3,
        sessions_reserved: 1,
        ..EngineOptions::memory()
    };
    let engine = Engine::open(options).await.unwrap();
    engine.users().add("bob", "secret", false).await.unwrap();
    let _first = engine.session("bob").await.unwrap();
    let _second = engine.session("bob").await.unwrap();
    let refused = engine.session("bob").await.unwrap_err();
    assert_eq!(refused.code.as_str(), "53300");
    let admin = engine.session("admin").await.unwrap();
    assert_eq!(
        engine.session("admin").await.unwrap_err().code.as_str(),
        "53300"
    );
    drop(admin);
    engine.session("admin").await.unwrap();
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_ends_running_statements() {
    let engine = engine().await;
    let holder = holder(&engine).await;
    let mut waiter = engine.session("admin").await.unwrap();
    let waiting = tokio::spawn(async move { waiter.run("UPDATE t SET n = 2 WHERE id = 1").await });
    wait_until_active(&engine, "n = 2").await;
    engine.close().await.unwrap();
    let report = tokio::time::timeout(SOON, waiting)
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert_eq!(report.code.as_str(), "57P01");
    drop(holder);
    assert_eq!(
        engine.session("admin").await.unwrap_err().code.as_str(),
        "57P03"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_texts_that_differ_in_a_literal_take_one_plan() {
    let engine = engine().await;
    let mut session = engine.session("admin").await.unwrap();
    for id in 1..=2 {
        let (statement, params) = session
            .recognize(&format!("SELECT n FROM t WHERE id = {id}"))
            .unwrap();
        let (again, _) = session
            .recognize(&format!("SELECT n FROM t WHERE id = {}", id + 5))
            .unwrap();
        assert!(std::sync::Arc::ptr_eq(&statement, &again));
        assert_eq!(params[0].as_i64(), Some(id));
    }
    // A changed table is planned anew, with its new columns.
    session
        .run("ALTER TABLE t ALTER COLUMN n TYPE bigint")
        .await
        .unwrap();
    let (statement, _) = session.recognize("SELECT n FROM t WHERE id = 1").unwrap();
    assert_eq!(statement.columns().unwrap()[0].sql_type.name(), "bigint");
    engine.close().await.unwrap();
}
