//! New indexes and new keys over rows that exist; bulk loads.

use std::sync::Arc;

use tessera_catalog::{AlterTable, ConstraintSpec, IndexColumnSpec, IndexSpec};
use tessera_locks::LockOptions;
use tessera_storage::Snapshot;
use tessera_tables::{
    Bounds, Index, IndexScan, OnConflict, Rebuild, RowScan, ScanSpec, Table, TableError, Writer,
    build_index, check_table, key_range, rows_range,
};
use tessera_types::Value;

use crate::world::{World, all_rows, run};

fn row(id: i32, u: Option<i32>, n: i32) -> Vec<Value> {
    vec![
        Value::Integer(id),
        u.into(),
        Value::text(format!("s{}", id % 7)),
        Value::Integer(n),
    ]
}

#[test]
fn a_bulk_load_under_the_tables_lock_finds_duplicates_in_any_order() {
    run(async {
        let world = World::memory().await;
        let table = world.create(true, false).await;
        let txn = world.begin();
        let guard = txn.start_statement().await.expect("a statement");
        world.lock_table(&txn, &table).await;
        let mut writer = Writer::new(&txn, &table, &world.row_ids, LockOptions::default());
        writer
            .insert(&row(500, Some(500), 0), OnConflict::Error)
            .await
            .expect("inserted");
        assert!(writer.try_exclusive().await.expect("asked"));
        // Ascending, descending, and between.
        for id in (0..100)
            .map(|i| i * 3)
            .chain((600..650).rev())
            .chain([301, 302])
        {
            writer
                .insert(&row(id, Some(id), id), OnConflict::Error)
                .await
                .expect("inserted");
        }
        for id in [0, 297, 500, 649, 600, 302] {
            let taken = writer.insert(&row(id, None, 0), OnConflict::Error).await;
            assert!(
                matches!(taken, Err(TableError::Duplicate { .. })),
                "{id}: {taken:?}"
            );
            let taken = writer
                .insert(&row(10_000 + id, Some(id), 0), OnConflict::Error)
                .await;
            assert!(
                matches!(taken, Err(TableError::Duplicate { .. })),
                "{id}: {taken:?}"
            );
        }
        guard.finish();
        txn.commit().await.expect("the commit");
        assert_eq!(world.rows(&table).await.len(), 153);
    });
}

#[test]
fn an_index_is_built_over_existing_rows_and_answers_ranges_both_ways() {
    run(async {
        let world = World::memory().await;
        let table = world.create(true, false).await;
        let txn = world.begin();
        for id in 0..200 {
            let u = (id % 5 != 0).then_some(id);
            world
                .insert(&txn, &table, &row(id, u, id % 13))
                .await
                .expect("inserted");
        }
        txn.commit().await.expect("the commit");

        let txn = world.begin();
        let guard = txn.start_statement().await.expect("a statement");
        let column = |name: &str| IndexColumnSpec {
            column: name.into(),
            descending: name == "n",
            nulls_first: None,
        };
        let spec = |unique, columns| IndexSpec {
            table: table.id(),
            name: None,
            columns,
            unique,
            nulls_not_distinct: false,
        };
        let columns = vec![column("n"), column("id")];
        let (def, index) = world
            .catalog
            .create_index(&txn, spec(false, columns))
            .await
            .expect("the index");
        let table = Arc::new(Table::new(def));
        let index = Index::new(table.def(), &index);
        build_index(&txn, &table, &index).await.expect("built");
        guard.finish();
        txn.commit().await.expect("the commit");
        world.rows(&table).await;

        let view: Arc<dyn Snapshot> = world.transactions.view();
        for reverse in [false, true] {
            let bounds = Bounds {
                equal: Vec::new(),
                lower: Some((Value::Integer(3), false)),
                upper: Some((Value::Integer(5), true)),
            };
            let range = key_range(index.def.storage, &index.orders, &bounds);
            let spec = ScanSpec {
                reverse,
                ..ScanSpec::default()
            };
            let mut scan = IndexScan::new(Arc::clone(&view), &table, &index, range, spec);
            let mut found = Vec::new();
            while let Some(batch) = scan.next_batch().await.expect("a batch") {
                for stored in batch {
                    let row = table.decode(&stored.value).expect("a row");
                    found.push((row[3].as_i64().expect("n"), row[0].as_i64().expect("id")));
                }
            }
            let mut expected: Vec<(i64, i64)> = (0..200)
                .filter(|id| matches!(id % 13, 4 | 5))
                .map(|id| (id % 13, id))
                .collect();
            expected.sort_by_key(|(n, id)| (-n, *id));
            if reverse {
                expected.reverse();
            }
            assert_eq!(found, expected);
        }

        let txn = world.begin();
        let _guard = txn.start_statement().await.expect("a statement");
        let (def, index) = world
            .catalog
            .create_index(&txn, spec(true, vec![column("n")]))
            .await
            .expect("the definition");
        let table = Table::new(def);
        let index = Index::new(table.def(), &index);
        let refused = build_index(&txn, &table, &index).await;
        assert!(
            matches!(refused, Err(TableError::DuplicateInBuild { .. })),
            "{refused:?}"
        );
    });
}

#[test]
fn a_primary_key_can_be_added_to_rows_and_its_duplicates_are_found() {
    for duplicate in [false, true] {
        run(async {
            let world = World::memory().await;
            let old = world.create(false, false).await;
            let txn = world.begin();
            for id in (0..50).rev() {
                world
                    .insert(&txn, &old, &row(id, Some(id), 0))
                    .await
                    .expect("inserted");
            }
            if duplicate {
                world
                    .insert(&txn, &old, &row(20, Some(99), 0))
                    .await
                    .expect("inserted");
            }
            txn.commit().await.expect("the commit");

            let txn = world.begin();
            let guard = txn.start_statement().await.expect("a statement");
            let key = ConstraintSpec::PrimaryKey {
                name: None,
                columns: vec!["id".into()],
            };
            let action = AlterTable::AddConstraint(key);
            let altered = world
                .catalog
                .alter_table(&txn, old.id(), vec![action])
                .await
                .expect("altered");
            let fresh = world
                .catalog
                .truncate_storage(&txn, altered.id)
                .await
                .expect("storage");
            let new = Table::new(fresh);
            let mut rebuild = Rebuild::new(&txn, &new);
            let mut scan = RowScan::new(txn.newest_view(), rows_range(&old), ScanSpec::default());
            let mut refused = None;
            'rows: while let Some(batch) = scan.next_batch().await.expect("a batch") {
                for stored in batch {
                    let row = old.decode(&stored.value).expect("a row");
                    if let Err(error) = rebuild.add(&row).await {
                        refused = Some(error);
                        break 'rows;
                    }
                }
            }
            if duplicate {
                assert!(matches!(refused, Some(TableError::DuplicateInBuild { .. })));
                guard.undo();
                txn.rollback();
                assert_eq!(world.rows(&old).await.len(), 51);
                return;
            }
            assert!(refused.is_none());
            rebuild.finish().await.expect("no duplicates");
            guard.finish();
            txn.commit().await.expect("the commit");
            let view: Arc<dyn Snapshot> = world.transactions.view();
            assert_eq!(check_table(&view, &new).await.expect("indexes match"), 50);
            let rows = all_rows(view, &new).await.expect("rows");
            let first = new.decode(&rows[0].value).expect("a row");
            assert_eq!(first[0], Value::Integer(0), "rows are in key order now");
        });
    }
}
