//! Scans of many own writes: read in pieces, and disturbed by nothing that happens meanwhile.

use std::collections::BTreeMap;

use tessera_storage::{KeyRange, KeySpace, ScanOptions};
use tessera_transactions::{Isolation, Transaction};

use crate::world::{World, put, scan, statement, text, worlds};

/// Several pieces, the largest of which are larger than a batch of the snapshot.
const KEYS: u32 = 600;

fn key(number: u32) -> String {
    format!("k{number:05}")
}

async fn write_all(txn: &Transaction, numbers: impl Iterator<Item = u32>, value: &str) {
    let guard = statement(txn).await;
    for number in numbers {
        put(txn, &key(number), value).unwrap();
    }
    guard.finish();
}

async fn delete_all(txn: &Transaction, numbers: impl Iterator<Item = u32>) {
    let guard = statement(txn).await;
    for number in numbers {
        txn.delete(KeySpace::Rows, key(number).into()).unwrap();
    }
    guard.finish();
}

/// A transaction over committed rows: of each seven keys it has written three anew, deleted two,
/// and one is not there at all. And what a view taken now must see.
async fn busy(world: &World) -> (Transaction, BTreeMap<String, String>) {
    let setup = world.begin(Isolation::ReadCommitted);
    write_all(&setup, (0..KEYS).filter(|n| n % 7 != 6), "old").await;
    setup.commit().await.unwrap();
    let txn = world.begin(Isolation::RepeatableRead);
    write_all(&txn, (0..KEYS).filter(|n| n % 7 < 2), "new").await;
    delete_all(&txn, (0..KEYS).filter(|n| (2..4).contains(&(n % 7)))).await;
    write_all(&txn, (0..KEYS).filter(|n| n % 7 == 0), "newest").await;
    let expected = (0..KEYS).filter_map(|n| {
        let value = match n % 7 {
            0 => "newest",
            1 => "new",
            4 | 5 => "old",
            _ => return None,
        };
        Some((key(n), value.to_owned()))
    });
    let expected = expected.collect();
    (txn, expected)
}

/// Every row limit, both ways, gives the beginning of what a full scan gives.
#[tokio::test]
async fn a_limited_scan_is_the_beginning_of_a_full_one() {
    for world in worlds() {
        let (txn, expected) = busy(&world).await;
        let view = txn.view();
        for reverse in [false, true] {
            let mut all: Vec<_> = expected.clone().into_iter().collect();
            if reverse {
                all.reverse();
            }
            for row_limit in [Some(0), Some(1), Some(2), Some(40), Some(333), None] {
                let options = ScanOptions {
                    reverse,
                    row_limit,
                    ..ScanOptions::default()
                };
                let rows = scan(&view, options).await;
                let wanted = row_limit.unwrap_or(all.len()).min(all.len());
                assert_eq!(rows, all[..wanted], "{row_limit:?}, reverse {reverse}");
            }
        }
    }
}

/// The row that is wanted lies behind a thousand own deletes.
#[tokio::test]
async fn a_scan_finds_its_one_row_behind_many_own_deletes() {
    for world in worlds() {
        let (txn, _) = busy(&world).await;
        delete_all(&txn, 0..KEYS - 1).await;
        let last = key((0..KEYS).rev().find(|n| n % 7 == 4).unwrap());
        write_all(&txn, std::iter::once(KEYS - 1), "x").await;
        for reverse in [false, true] {
            let options = ScanOptions {
                reverse,
                row_limit: Some(1),
                ..ScanOptions::default()
            };
            let rows = scan(&txn.view(), options).await;
            assert_eq!(rows, [(key(KEYS - 1), "x".to_owned())], "not {last}");
        }
    }
}

/// A scan has begun; then its transaction writes, rolls back, spills, or ends. What the scan sees
/// is what its view saw when it was taken.
#[tokio::test]
async fn nothing_disturbs_a_scan_that_has_begun() {
    for disturbance in ["write", "undo", "roll back", "spill", "commit", "end"] {
        for world in worlds() {
            for reverse in [false, true] {
                let (txn, expected) = busy(&world).await;
                let view = txn.view();
                let options = ScanOptions {
                    reverse,
                    bytes_max: 64,
                    ..ScanOptions::default()
                };
                let mut scan = view.scan(KeySpace::Rows, KeyRange::all(), options);
                let mut rows = scan.next_batch().await.unwrap().unwrap();
                match disturbance {
                    "write" => write_all(&txn, 0..KEYS, "later").await,
                    "undo" => {
                        let guard = statement(&txn).await;
                        for number in 0..KEYS {
                            put(&txn, &key(number), "undone").unwrap();
                        }
                        guard.undo();
                    }
                    "roll back" => {
                        txn.savepoint("s").unwrap();
                        delete_all(&txn, 0..KEYS).await;
                        txn.rollback_to("s").unwrap();
                    }
                    "spill" => {
                        // Over the limit of the buffer, whatever that is.
                        let guard = statement(&txn).await;
                        let value = "x".repeat(1 << 20);
                        for number in 0..80 {
                            put(&txn, &format!("z{number}"), &value).unwrap();
                        }
                        guard.finish();
                    }
                    "commit" => txn.commit().await.map(drop).unwrap(),
                    _ => txn.rollback(),
                }
                while let Some(batch) = scan.next_batch().await.unwrap() {
                    rows.extend(batch);
                }
                let mut all: Vec<_> = expected.into_iter().collect();
                if reverse {
                    all.reverse();
                }
                let rows: Vec<_> = rows
                    .into_iter()
                    .map(|(key, value)| (text(key), text(value)))
                    .collect();
                assert_eq!(rows, all, "{disturbance}, reverse {reverse}");
                drop((scan, view));
                txn.rollback();
                clean(&world).await;
            }
        }
    }
}

async fn clean(world: &World) {
    let txn = world.begin(Isolation::ReadCommitted);
    delete_all(&txn, 0..KEYS).await;
    txn.commit().await.unwrap();
}
