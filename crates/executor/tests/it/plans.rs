//! EXPLAIN: access paths and join orders.

use crate::harness::Db;

async fn explain(db: &Db, sql: &str) -> String {
    let rows = db.run(&format!("EXPLAIN (COSTS OFF) {sql}")).await;
    let rows = rows.unwrap_or_else(|report| panic!("{sql}: {report:?}"));
    rows.into_iter()
        .map(|row| row.join(""))
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test]
async fn keys_and_indexes_are_used() {
    let db = Db::new().await;
    db.run("CREATE TABLE t (a int PRIMARY KEY, b int, c text); CREATE INDEX t_b ON t (b)")
        .await
        .expect("made");
    insta::assert_snapshot!(explain(&db, "SELECT c FROM t WHERE a = 5").await, @r"
    Index Scan using t_pkey on t
      Index Cond: (a = 5)
      Filter: a = 5
    ");
    insta::assert_snapshot!(explain(&db, "SELECT c FROM t WHERE b = 7").await, @r"
    Index Scan using t_b on t
      Index Cond: (b = 7)
      Filter: b = 7
    ");
    insta::assert_snapshot!(explain(&db, "SELECT c FROM t WHERE c = 'x'").await, @r"
    Seq Scan on t
      Filter: c = x
    ");
}

#[tokio::test]
async fn the_json_form_is_an_array_with_a_plan() {
    let db = Db::new().await;
    let rows = db
        .run("EXPLAIN (FORMAT JSON) SELECT 1")
        .await
        .expect("explains");
    let document: serde_json::Value = serde_json::from_str(&rows[0][0]).expect("is JSON");
    assert!(document[0]["Plan"]["Node Type"].is_string(), "{document}");
    let rows = db.run("EXPLAIN ANALYZE SELECT 1").await.expect("explains");
    let text: Vec<String> = rows.into_iter().map(|row| row.join("")).collect();
    assert!(
        text.iter().any(|line| line.starts_with("Execution Time: ")),
        "{text:?}"
    );
}
