//! Values are never given twice, whatever happens.

use std::collections::BTreeSet;
use std::sync::Arc;

use tessera_catalog::{SequenceChange, SequenceDef, SequenceSpec};

use crate::world::World;

async fn create(world: &World, options: SequenceChange) -> Arc<SequenceDef> {
    let spec = SequenceSpec {
        schema: "public".to_owned(),
        name: "s".to_owned(),
        options,
        owned_by: None,
        owner: 10,
    };
    world
        .run(async |catalog, txn| catalog.create_sequence(txn, spec).await)
        .await
        .unwrap()
}

async fn take(world: &World, sequence: &SequenceDef, count: usize) -> Vec<i64> {
    let mut values = Vec::new();
    for _ in 0..count {
        values.push(world.catalog.next_value(sequence).await.unwrap());
    }
    values
}

#[tokio::test]
async fn values_go_on_after_a_restart_and_skip_only_after_a_crash() {
    let world = World::new().await;
    let sequence = create(&world, SequenceChange::default()).await;
    assert_eq!(take(&world, &sequence, 3).await, [1, 2, 3]);
    // Opened again without a clean end: what was reserved is skipped.
    let crashed = world.reopened().await;
    assert_eq!(take(&crashed, &sequence, 1).await, [33]);
    crashed.catalog.flush_sequences().await.unwrap();
    let clean = crashed.reopened().await;
    assert_eq!(take(&clean, &sequence, 2).await, [34, 35]);
    let position = clean.catalog.sequence_position(&sequence).await.unwrap();
    assert_eq!((position.last_value, position.is_called), (35, true));
}

#[tokio::test]
async fn many_takers_get_different_values() {
    let world = Arc::new(World::new().await);
    let sequence = create(&world, SequenceChange::default()).await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (world, sequence) = (Arc::clone(&world), Arc::clone(&sequence));
            tokio::spawn(async move { take(&world, &sequence, 500).await })
        })
        .collect();
    let mut all = BTreeSet::new();
    for task in tasks {
        for value in task.await.unwrap() {
            assert!(all.insert(value), "{value} twice");
        }
    }
    assert_eq!(all.len(), 4_000);
    assert_eq!(all.last(), Some(&4_000));
}

#[tokio::test]
async fn the_end_is_an_error_or_the_beginning() {
    let world = World::new().await;
    let options = SequenceChange {
        increment: Some(-2),
        min: Some(Some(-4)),
        start: Some(-1),
        ..Default::default()
    };
    let sequence = create(&world, options).await;
    assert_eq!(take(&world, &sequence, 2).await, [-1, -3]);
    let error = world
        .catalog
        .next_value(&sequence)
        .await
        .unwrap_err()
        .report();
    assert_eq!(error.code.as_str(), "2200H");
    assert_eq!(
        error.message,
        "nextval: reached minimum value of sequence \"s\" (-4)"
    );
    let cycle = SequenceChange {
        cycle: Some(true),
        ..Default::default()
    };
    let sequence = world
        .run(async |catalog, txn| catalog.alter_sequence(txn, sequence.id, cycle).await)
        .await
        .unwrap();
    assert_eq!(take(&world, &sequence, 3).await, [-1, -3, -1]);
}

#[tokio::test]
async fn a_restart_follows_its_transaction() {
    let world = World::new().await;
    let sequence = create(&world, SequenceChange::default()).await;
    take(&world, &sequence, 10).await;
    // Rolled back: as if it had not been, and nothing given twice.
    let txn = world.begin();
    world
        .catalog
        .restart_sequence(&txn, &sequence, None)
        .await
        .unwrap();
    assert_eq!(take(&world, &sequence, 2).await, [1, 2]);
    txn.rollback();
    assert_eq!(take(&world, &sequence, 1).await, [11]);
    let crashed = world.reopened().await;
    assert!(take(&crashed, &sequence, 1).await[0] > 11);
    // Committed: also what was taken before the commit counts.
    let txn = crashed.begin();
    crashed
        .catalog
        .restart_sequence(&txn, &sequence, Some(100))
        .await
        .unwrap();
    assert_eq!(take(&crashed, &sequence, 2).await, [100, 101]);
    txn.commit().await.unwrap();
    assert_eq!(take(&crashed, &sequence, 1).await, [102]);
    crashed.catalog.flush_sequences().await.unwrap();
    assert_eq!(take(&crashed.reopened().await, &sequence, 1).await, [103]);
}

#[tokio::test]
async fn setval_is_checked_and_kept() {
    let world = World::new().await;
    let sequence = create(&world, SequenceChange::default()).await;
    world.catalog.set_value(&sequence, 41, true).await.unwrap();
    assert_eq!(take(&world, &sequence, 1).await, [42]);
    world.catalog.set_value(&sequence, 7, false).await.unwrap();
    assert_eq!(take(&world.reopened().await, &sequence, 1).await, [7]);
    let error = world
        .catalog
        .set_value(&sequence, 0, true)
        .await
        .unwrap_err()
        .report();
    assert_eq!(error.code.as_str(), "22003");
}
