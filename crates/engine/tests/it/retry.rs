//! Conflicts that the server settles by itself, and what it tells where it cannot.

use std::time::{Duration, Instant};

use tessera_engine::{Engine, EngineOptions, Report, Session};

const WITHIN: Duration = Duration::from_secs(30);

/// Waits until some session waits for a lock.
async fn until_somebody_waits(session: &mut Session) {
    let deadline = Instant::now() + WITHIN;
    let sql = "SELECT count(*) FROM tessera.lock_waits";
    loop {
        let waits = session.query(sql, &[]).await.unwrap();
        if waits.text(0, 0).as_deref() != Some("0") {
            return;
        }
        assert!(Instant::now() < deadline, "nobody waits");
        tokio::task::yield_now().await;
    }
}

struct World {
    engine: Engine,
    first: Session,
    second: Session,
}

impl World {
    /// One row; the second session runs at REPEATABLE READ, where the first updater wins.
    async fn new() -> World {
        let engine = Engine::open(EngineOptions::memory()).await.unwrap();
        let mut first = engine.session("admin").await.unwrap();
        let mut second = engine.session("admin").await.unwrap();
        first
            .run("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 0)")
            .await
            .unwrap();
        second
            .run("SET default_transaction_isolation = 'repeatable read'")
            .await
            .unwrap();
        World {
            engine,
            first,
            second,
        }
    }

    /// The second session's statement meets a change that is committed while it waits.
    async fn meet(mut self, sql: &'static str) -> (Result<(), Report>, String) {
        let (first, mut second) = (&mut self.first, self.second);
        first
            .run("BEGIN; UPDATE t SET n = n + 1 WHERE id = 1")
            .await
            .unwrap();
        let waiting = tokio::spawn(async move {
            let result = second.run(sql).await;
            drop(second);
            result.map(drop)
        });
        let mut observer = self.engine.session("admin").await.unwrap();
        until_somebody_waits(&mut observer).await;
        first.run("COMMIT").await.unwrap();
        let result = waiting.await.unwrap();
        let found = first.query("SELECT n FROM t", &[]).await.unwrap();
        let n = found.text(0, 0).unwrap();
        drop((self.first, observer));
        self.engine.close().await.unwrap();
        (result, n)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_of_its_own_that_loses_a_conflict_is_run_again() {
    let world = World::new().await;
    let (result, n) = world.meet("UPDATE t SET n = n + 10 WHERE id = 1").await;
    result.unwrap();
    assert_eq!(n, "11", "both changes count");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_block_the_loser_is_told_who_won_and_where() {
    let mut world = World::new().await;
    world.second.run("BEGIN; SELECT n FROM t").await.unwrap();
    let (result, n) = world.meet("UPDATE t SET n = n + 10 WHERE id = 1").await;
    let report = result.unwrap_err();
    assert_eq!(report.code.as_str(), "40001");
    assert_eq!(n, "1");
    let detail = report.detail.clone().unwrap();
    assert!(detail.contains("row (id)=(1) of table \"t\""), "{detail}");
    assert!(
        detail.contains("UPDATE t SET n = n + ? WHERE id = ?"),
        "{detail}"
    );
    let facts = report.facts.clone().unwrap();
    for part in [
        "\"kind\":\"serialization_failure\"",
        "\"relation\":\"public.t\"",
        "\"key\":\"(id)=(1)\"",
    ] {
        assert!(facts.contains(part), "{part} in {facts}");
    }
}
