//! Look-ups along the search path.

use crate::world::{World, names, table};

#[tokio::test]
async fn the_first_schema_of_the_path_wins() {
    let world = World::new().await;
    world.table("t").await;
    world
        .run(async |catalog, txn| {
            catalog.create_schema(txn, "s", 10).await?;
            let mut spec = table("t");
            spec.schema = "s".to_owned();
            catalog.create_table(txn, spec).await
        })
        .await
        .unwrap();
    let state = world.state();
    let path = names(&["nowhere", "s", "public"]);
    assert_eq!(state.resolve(&path, None, "t").unwrap().schema(), "s");
    assert_eq!(
        state.resolve(&path, Some("public"), "t").unwrap().schema(),
        "public"
    );
    assert!(state.resolve(&path, None, "x").is_none());
    assert_eq!(state.creation_schema(&path), Some("s"));
}

#[tokio::test]
async fn long_names_are_cut_and_then_collide() {
    let world = World::new().await;
    let long = "x".repeat(70);
    let created = world.table(&long).await;
    assert_eq!(created.name.len(), 63);
    let spec = table(&"x".repeat(65));
    let refused = world
        .refused(async |catalog, txn| catalog.create_table(txn, spec).await)
        .await;
    assert_eq!(refused.0, "42P07");
}
