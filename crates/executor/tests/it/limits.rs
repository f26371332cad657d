//! Large and deep statements, cancel, memory.

use std::time::{Duration, Instant};

use tessera_executor::ExecutorOptions;

use crate::harness::Db;

#[tokio::test]
async fn long_lists_and_chains_answer_fast() {
    let db = Db::new().await;
    db.run("CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1), (77777)")
        .await
        .expect("made");
    let started = Instant::now();
    let list: Vec<String> = (2..100_002).map(|n| n.to_string()).collect();
    db.check(
        &format!("SELECT a FROM t WHERE a IN ({})", list.join(", ")),
        &["77777"],
    )
    .await;
    let ors: Vec<String> = (2..10_002).map(|n| format!("a = {n}")).collect();
    db.check(&format!("SELECT a FROM t WHERE {}", ors.join(" OR ")), &[])
        .await;
    let mixed: Vec<String> = (2..2_002).map(|n| format!("(a = {n} AND a < 5)")).collect();
    db.check(
        &format!("SELECT a FROM t WHERE {}", mixed.join(" OR ")),
        &[],
    )
    .await;
    // Debug builds on a busy machine; what matters is that nothing is quadratic.
    assert!(
        started.elapsed() < Duration::from_secs(60),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_query_over_its_memory_limit_fails_and_others_go_on() {
    let options = ExecutorOptions {
        query_memory_bytes_max: 1 << 20,
        parallelism: 2,
        ..ExecutorOptions::default()
    };
    let db = Db::with_options(options).await;
    let report = db
        .run("SELECT n::text || repeat('x', 100) AS k, count(*) FROM generate_series(1, 100000) AS n GROUP BY 1 ORDER BY 1")
        .await
        .expect_err("too much memory");
    assert_eq!(report.code.as_str(), "53200", "{report:?}");
    db.check("SELECT 1", &["1"]).await;
}
