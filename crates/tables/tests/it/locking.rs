//! Two transactions on the same rows and keys.

use std::sync::Arc;
use std::time::Duration;

use tessera_tables::TableError;
use tessera_transactions::TransactionError;
use tessera_types::Value;

use crate::world::{World, run};

fn row(id: i32, u: i32, n: i32) -> Vec<Value> {
    vec![
        Value::Integer(id),
        Value::Integer(u),
        Value::text("x"),
        Value::Integer(n),
    ]
}

/// Waits until a transaction waits for a lock.
async fn until_somebody_waits(world: &World) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while world
        .transactions
        .locks()
        .snapshot()
        .iter()
        .all(|lock| lock.granted)
    {
        assert!(std::time::Instant::now() < deadline, "nobody waits");
        tokio::task::yield_now().await;
    }
}

#[test]
fn an_insert_waits_for_a_delete_of_the_same_unique_value() {
    for commits in [true, false] {
        run(async {
            let world = Arc::new(World::memory().await);
            let table = world.create(true, false).await;
            let txn = world.begin();
            world
                .insert(&txn, &table, &row(1, 7, 0))
                .await
                .expect("inserted");
            txn.commit().await.expect("the commit");

            let first = world.begin();
            let deleted = world.update(&first, &table, &|_| true, &|_| None).await;
            assert_eq!(deleted.expect("deleted"), 1);
            let other = {
                let (world, table) = (Arc::clone(&world), Arc::clone(&table));
                tokio::spawn(async move {
                    let second = world.begin();
                    // Another primary key, the same unique value.
                    let outcome = world.insert(&second, &table, &row(2, 7, 0)).await;
                    if outcome.is_ok() {
                        second.commit().await.expect("the commit");
                    }
                    outcome
                })
            };
            until_somebody_waits(&world).await;
            if commits {
                first.commit().await.expect("the commit");
            } else {
                first.rollback();
            }
            let outcome = other.await.expect("no panic");
            let left: Vec<_> = world
                .rows(&table)
                .await
                .iter()
                .map(|row| row[0].clone())
                .collect();
            if commits {
                outcome.expect("the value is free");
                assert_eq!(left, [Value::Integer(2)]);
            } else {
                assert!(
                    matches!(outcome, Err(TableError::Duplicate { .. })),
                    "{outcome:?}"
                );
                assert_eq!(left, [Value::Integer(1)]);
            }
        });
    }
}

#[test]
fn concurrent_increments_are_all_counted() {
    const TASKS: i32 = 4;
    const TIMES: i32 = 25;
    run(async {
        let world = Arc::new(World::memory().await);
        let table = world.create(true, false).await;
        let txn = world.begin();
        world
            .insert(&txn, &table, &row(1, 1, 0))
            .await
            .expect("inserted");
        txn.commit().await.expect("the commit");
        let mut tasks = Vec::new();
        for _ in 0..TASKS {
            let (world, table) = (Arc::clone(&world), Arc::clone(&table));
            tasks.push(tokio::spawn(async move {
                for _ in 0..TIMES {
                    let txn = world.begin();
                    let changed = world.update(&txn, &table, &|_| true, &|row| {
                        let mut new = row.clone();
                        let n = new[3].as_i64().expect("a number") + 1;
                        new[3] = Value::Integer(i32::try_from(n).expect("small"));
                        Some(new)
                    });
                    assert_eq!(changed.await.expect("updated"), 1);
                    txn.commit().await.expect("the commit");
                }
            }));
        }
        for task in tasks {
            task.await.expect("no panic");
        }
        assert_eq!(
            world.rows(&table).await[0][3],
            Value::Integer(TASKS * TIMES)
        );
    });
}

#[test]
fn a_row_changed_after_a_repeatable_snapshot_cannot_be_written() {
    run(async {
        let world = World::memory().await;
        let table = world.create(true, false).await;
        let txn = world.begin();
        world
            .insert(&txn, &table, &row(1, 1, 0))
            .await
            .expect("inserted");
        txn.commit().await.expect("the commit");
        let old = world.begin_repeatable();
        let nothing = world.update(&old, &table, &|_| false, &|_| None).await;
        assert_eq!(nothing.expect("the snapshot is taken"), 0);
        let txn = world.begin();
        let changed = world
            .update(&txn, &table, &|_| true, &|_| Some(row(1, 1, 5)))
            .await;
        assert_eq!(changed.expect("updated"), 1);
        txn.commit().await.expect("the commit");
        let refused = world.update(&old, &table, &|_| true, &|_| None).await;
        assert!(
            matches!(
                refused,
                Err(TableError::Transaction(
                    TransactionError::ConcurrentUpdate { .. }
                ))
            ),
            "{refused:?}"
        );
    });
}

#[test]
fn a_duplicate_is_reported_in_the_words_of_postgresql() {
    run(async {
        let world = World::memory().await;
        let table = world.create(true, false).await;
        let txn = world.begin();
        world
            .insert(&txn, &table, &row(1, 1, 0))
            .await
            .expect("inserted");
        let report = world
            .insert(&txn, &table, &row(1, 2, 0))
            .await
            .expect_err("taken")
            .report();
        assert_eq!(report.code.as_str(), "23505");
        assert_eq!(
            report.message,
            "duplicate key value violates unique constraint \"t_pkey\""
        );
        assert_eq!(
            report.detail.as_deref(),
            Some("Key (id)=(1) already exists.")
        );
        assert_eq!(report.constraint.as_deref(), Some("t_pkey"));
        assert_eq!(report.table.as_deref(), Some("t"));
        let mut bad = row(2, 3, 0);
        bad[0] = Value::Null;
        let report = world
            .insert(&txn, &table, &bad)
            .await
            .expect_err("null key")
            .report();
        assert_eq!(report.code.as_str(), "23502");
        assert_eq!(
            report.detail.as_deref(),
            Some("Failing row contains (null, 3, x, 0).")
        );
    });
}
