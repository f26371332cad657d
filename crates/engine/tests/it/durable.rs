//! What outlives a closed engine: users, data; and what a second engine is told.

use tessera_engine::{Engine, EngineOptions};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_and_data_are_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let options = || EngineOptions {
        admin_password: Some("first".to_owned()),
        ..EngineOptions::at(dir.path())
    };
    let engine = Engine::open(options()).await.unwrap();
    assert_eq!(engine.take_generated_password(), None);
    assert!(engine.check_password("admin", "first"));
    let mut session = engine.session("admin").await.unwrap();
    session
        .run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
        .await
        .unwrap();
    session
        .run("CREATE USER bob PASSWORD 'builder'")
        .await
        .unwrap();
    drop(session);
    let other = Engine::open(options()).await.unwrap_err();
    assert_eq!(other.code.as_str(), "55006", "{}", other.message);
    engine.close().await.unwrap();
    drop(engine);

    // A password given later does not change the administrator's.
    let options = EngineOptions {
        admin_password: Some("second".to_owned()),
        ..options()
    };
    let engine = Engine::open(options).await.unwrap();
    assert!(engine.check_password("admin", "first") && !engine.check_password("admin", "second"));
    assert!(engine.check_password("bob", "builder") && !engine.check_password("bob", "other"));
    assert!(!engine.check_password("nobody", ""));
    let mut session = engine.session("bob").await.unwrap();
    let denied = session.run("SELECT count(*) FROM t").await.unwrap_err();
    assert_eq!(denied.code.as_str(), "42501");
    let mut session = engine.session("admin").await.unwrap();
    let rows = session.query("SELECT count(*) FROM t", &[]).await.unwrap();
    assert_eq!(rows.text(0, 0).as_deref(), Some("2"));
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generated_password_is_told_once() {
    let engine = Engine::open(EngineOptions::memory()).await.unwrap();
    let password = engine.take_generated_password().unwrap();
    assert!(engine.check_password("admin", &password));
    assert_eq!(engine.take_generated_password(), None);
    engine.close().await.unwrap();
}
