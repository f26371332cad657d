//! Key spaces and collections as relations of the catalog.

use bytes::Bytes;
use serde_json::json;
use tessera_catalog::{
    AlterTable, DropBehavior, IndexColumnSpec, IndexSpec, KEY_SPACES_SCHEMA, Model,
};
use tessera_storage::KeySpace;
use tessera_types::RelationId;

use crate::world::World;

async fn put(world: &World, space: KeySpace, storage: RelationId) {
    let txn = world.begin();
    let key = Bytes::copy_from_slice(&storage.0.to_be_bytes());
    txn.put(space, key, Bytes::from_static(b"x")).unwrap();
    txn.commit().await.unwrap();
}

async fn is_there(world: &World, space: KeySpace, storage: RelationId) -> bool {
    let view = world.catalog.transactions().view();
    let found = view.get(space, &storage.0.to_be_bytes()).await.unwrap();
    found.is_some()
}

#[tokio::test]
async fn a_definition_survives_a_restart_with_its_options() {
    let world = World::new().await;
    let options = json!({"indexes": [{"name": "i", "partial": {"n": 1.50}}]});
    let part = world.catalog.new_part().await.unwrap();
    let made = world
        .run(async |catalog, txn| {
            let options = options.clone();
            catalog
                .create_collection(txn, "public", "orders", options, vec![part], 10)
                .await
        })
        .await
        .unwrap();
    world
        .run(async |catalog, txn| catalog.create_key_space(txn, "db0", 10).await)
        .await
        .unwrap();
    world.table("t").await;
    let world = world.reopened().await;
    let state = world.state();
    let orders = state.table(made.id).unwrap();
    assert_eq!(orders.model, Model::Collection);
    assert_eq!((&orders.options, &orders.parts), (&options, &vec![part]));
    assert_eq!(orders.primary_key_index().unwrap().name, "orders_pkey");
    let space = state.relation(KEY_SPACES_SCHEMA, "db0").unwrap();
    assert_eq!(space.kind(), "key space");
    assert_eq!(state.relation("public", "t").unwrap().kind(), "table");
}

#[tokio::test]
async fn a_drop_destroys_rows_index_entries_and_parts() {
    let world = World::new().await;
    let parts = [
        world.catalog.new_part().await.unwrap(),
        world.catalog.new_part().await.unwrap(),
    ];
    let made = world
        .run(async |catalog, txn| {
            let options = json!({});
            catalog
                .create_collection(txn, "public", "c", options, parts.to_vec(), 10)
                .await
        })
        .await
        .unwrap();
    put(&world, KeySpace::Rows, made.storage).await;
    put(&world, KeySpace::Indexes, made.storage).await;
    for part in parts {
        put(&world, KeySpace::Indexes, part).await;
    }
    // One part is given up first.
    world
        .run(async |catalog, txn| {
            let kept = vec![parts[1]];
            catalog
                .set_collection_options(txn, made.id, json!({}), kept)
                .await
        })
        .await
        .unwrap();
    world.catalog.collect_garbage().await.unwrap();
    assert!(!is_there(&world, KeySpace::Indexes, parts[0]).await);
    assert!(is_there(&world, KeySpace::Indexes, parts[1]).await);
    world
        .run(async |catalog, txn| {
            catalog
                .drop_relation(txn, made.id, DropBehavior::Restrict)
                .await
        })
        .await
        .unwrap();
    // Also when the server ends before the background task comes to it.
    let world = world.reopened().await;
    world.catalog.collect_garbage().await.unwrap();
    for (space, storage) in [
        (KeySpace::Rows, made.storage),
        (KeySpace::Indexes, made.storage),
        (KeySpace::Indexes, parts[1]),
    ] {
        assert!(
            !is_there(&world, space, storage).await,
            "{space:?} {storage}"
        );
    }
}

#[tokio::test]
async fn a_rollback_takes_a_key_space_back() {
    let world = World::new().await;
    let txn = world.begin();
    let guard = txn.start_statement().await.unwrap();
    world
        .catalog
        .create_key_space(&txn, "db0", 10)
        .await
        .unwrap();
    guard.finish();
    assert!(
        world
            .catalog
            .state_for(&txn)
            .relation("kv", "db0")
            .is_some()
    );
    txn.rollback();
    assert!(world.state().relation("kv", "db0").is_none());
}

#[tokio::test]
async fn verbs_for_tables_of_rows_refuse_other_models() {
    let world = World::new().await;
    let made = world
        .run(async |catalog, txn| catalog.create_key_space(txn, "db0", 10).await)
        .await
        .unwrap();
    let rename = || AlterTable::Rename { to: "x".to_owned() };
    let altered = world
        .refused(async |catalog, txn| catalog.alter_table(txn, made.id, vec![rename()]).await)
        .await;
    let truncated = world
        .refused(async |catalog, txn| catalog.truncate_storage(txn, made.id).await)
        .await;
    let index = || IndexSpec {
        table: made.id,
        name: None,
        columns: vec![IndexColumnSpec {
            column: "value".to_owned(),
            descending: false,
            nulls_first: None,
        }],
        unique: false,
        nulls_not_distinct: false,
    };
    let indexed = world
        .refused(async |catalog, txn| catalog.create_index(txn, index()).await)
        .await;
    for (code, message) in [altered, truncated, indexed] {
        assert_eq!(code, "0A000", "{message}");
    }
    let table = world.table("t").await;
    let (code, _) = world
        .refused(async |catalog, txn| catalog.lock_model(txn, table.id, Model::Collection).await)
        .await;
    assert_eq!(code, "42809");
}

#[tokio::test]
async fn the_schema_of_key_spaces_stays_and_holds_nothing_else() {
    let world = World::new().await;
    assert!(world.state().schema(KEY_SPACES_SCHEMA).is_some());
    let (code, _) = world
        .refused(async |catalog, txn| {
            catalog
                .drop_schema(txn, KEY_SPACES_SCHEMA, DropBehavior::Cascade)
                .await
        })
        .await;
    assert_eq!(code, "2BP01");
    let (code, _) = world
        .refused(async |catalog, txn| catalog.rename_schema(txn, KEY_SPACES_SCHEMA, "x").await)
        .await;
    assert_eq!(code, "2BP01");
    let mut spec = crate::world::table("t");
    spec.schema = KEY_SPACES_SCHEMA.to_owned();
    let (code, _) = world
        .refused(async |catalog, txn| catalog.create_table(txn, spec).await)
        .await;
    assert_eq!(code, "42501");
}
