//! Aggregation pipelines over stored documents.

use std::sync::Arc;

use serde_json::{Value, json};
use tessera_documents::{
    Collection, CollectionDef, Collections, DocumentError, IndexDef, NoCollections, Pipeline,
};
use tessera_types::RelationId;

use crate::world::{ENGINES, Engine, World, collection, index_id, run};

struct One(Arc<Collection>);

impl Collections for One {
    fn collection(&self, name: &str) -> Result<Arc<Collection>, DocumentError> {
        match name == self.0.name() {
            true => Ok(Arc::clone(&self.0)),
            false => NoCollections.collection(name),
        }
    }
}

async fn sales(world: &World) -> Arc<Collection> {
    let things = collection(vec![IndexDef::on(index_id(0), "city", &["city"])]);
    for (name, body) in [
        (
            "s1",
            json!({"city": "Rome", "n": 2, "price": 1.5, "tags": ["a", "b"]}),
        ),
        (
            "s2",
            json!({"city": "Rome", "n": 3, "price": 0.1, "tags": []}),
        ),
        (
            "s3",
            json!({"city": "Oslo", "n": 5, "price": 0.2, "tags": ["b"]}),
        ),
        ("s4", json!({"city": "Oslo", "n": null, "price": 4})),
        ("s5", json!({"n": 1})),
    ] {
        world.insert(&things, name, body).await.unwrap();
    }
    things
}

#[test]
fn pipelines_give_what_the_stages_say() {
    for engine in ENGINES {
        run(async {
            let world = World::new(engine);
            let things = sales(&world).await;
            let def = CollectionDef::new(RelationId(40_000), "cities");
            let cities = Collection::new(def).unwrap();
            world
                .insert(&cities, "c1", json!({"name": "Rome", "land": "IT"}))
                .await
                .unwrap();
            world
                .insert(&cities, "c2", json!({"name": "Oslo", "land": "NO"}))
                .await
                .unwrap();
            for (pipeline, expected) in [
                (
                    json!([
                        {"$match": {"city": "Rome"}},
                        {"$group": {"_id": "$city", "n": {"$sum": "$n"}, "avg": {"$avg": "$n"},
                                    "k": {"$count": {}}}},
                    ]),
                    json!([{"_id": "Rome", "n": 5, "avg": 2.5, "k": 2}]),
                ),
                (
                    json!([
                        {"$group": {"_id": "$city", "low": {"$min": "$price"}, "high": {"$max": "$price"},
                                    "first": {"$first": "$_id"}, "last": {"$last": "$n"},
                                    "all": {"$push": "$n"}, "sum": {"$sum": "$price"}}},
                        {"$sort": {"_id": 1}},
                    ]),
                    json!([
                        {"_id": null, "low": null, "high": null, "first": "s5", "last": 1, "all": [1], "sum": 0},
                        {"_id": "Oslo", "low": 0.2, "high": 4, "first": "s3", "last": null, "all": [5, null], "sum": 4.2},
                        {"_id": "Rome", "low": 0.1, "high": 1.5, "first": "s1", "last": 3, "all": [2, 3], "sum": 1.6},
                    ]),
                ),
                (
                    json!([
                        {"$unwind": "$tags"},
                        {"$group": {"_id": "$tags", "in": {"$addToSet": "$city"}}},
                        {"$sort": {"_id": -1}},
                        {"$project": {"_id": 0, "tag": "$_id", "cities": {"$size": "$in"}}},
                    ]),
                    json!([{"tag": "b", "cities": 2}, {"tag": "a", "cities": 1}]),
                ),
                (
                    json!([
                        {"$sort": {"_id": -1}},
                        {"$skip": 1},
                        {"$limit": 2},
                        {"$project": {"n": 1}},
                    ]),
                    json!([{"_id": "s4", "n": null}, {"_id": "s3", "n": 5}]),
                ),
                (
                    json!([
                        {"$match": {"_id": {"$in": ["s1", "s5"]}}},
                        {"$addFields": {"total": {"$multiply": ["$n", "$price"]}, "deep.x": "$city"}},
                        {"$unset": ["tags", "price"]},
                    ]),
                    json!([
                        {"_id": "s1", "city": "Rome", "n": 2, "total": 3, "deep": {"x": "Rome"}},
                        {"_id": "s5", "n": 1, "total": null},
                    ]),
                ),
                (
                    json!([
                        {"$match": {"n": {"$gte": 3}}},
                        {"$lookup": {"from": "cities", "localField": "city", "foreignField": "name", "as": "c"}},
                        {"$project": {"_id": 0, "n": 1, "land": {"$arrayElemAt": ["$c.land", 0]}}},
                        {"$sort": {"n": 1}},
                    ]),
                    json!([{"n": 3, "land": "IT"}, {"n": 5, "land": "NO"}]),
                ),
                (
                    json!([{"$unwind": {"path": "$tags", "includeArrayIndex": "i", "preserveNullAndEmptyArrays": true}},
                           {"$project": {"_id": 1, "tags": 1, "i": 1}}]),
                    json!([
                        {"_id": "s1", "tags": "a", "i": 0}, {"_id": "s1", "tags": "b", "i": 1},
                        {"_id": "s2", "i": null}, {"_id": "s3", "tags": "b", "i": 0},
                        {"_id": "s4", "i": null}, {"_id": "s5", "i": null},
                    ]),
                ),
                (
                    json!([{"$match": {"city": "Oslo"}}, {"$count": "many"}]),
                    json!([{"many": 2}]),
                ),
                (
                    json!([{"$match": {"city": "Bern"}}, {"$count": "many"}]),
                    json!([]),
                ),
                (
                    json!([{"$match": {"_id": "s1"}}, {"$replaceRoot": {"newRoot": {"x": "$n"}}}]),
                    json!([{"x": 2}]),
                ),
            ] {
                let parsed = Pipeline::parse(&pipeline).unwrap();
                let others = One(Arc::clone(&cities));
                let running = things.aggregate(world.view(), &parsed, &others).await;
                let mut found = running.unwrap().collect().await.unwrap();
                for value in &mut found {
                    // Fields have no order; the comparison of trees knows that.
                    if let Value::Object(pairs) = value {
                        pairs.sort_keys();
                    }
                }
                assert_eq!(Value::Array(found), expected, "{pipeline}");
            }
        });
    }
}

#[test]
fn a_pipeline_begins_with_an_index() {
    run(async {
        let world = World::new(Engine::Memory);
        let things = sales(&world).await;
        let pipeline = json!([{"$match": {"city": "Rome"}}, {"$count": "n"}]);
        let pipeline = Pipeline::parse(&pipeline).unwrap();
        let explain = things
            .explain_pipeline(&*world.view(), &pipeline)
            .await
            .unwrap();
        assert!(
            explain
                .to_string()
                .starts_with("index city (city), 1 ranges"),
            "{explain}"
        );
    });
}

#[test]
fn a_pipeline_that_holds_too_much_is_refused() {
    run(async {
        let world = World::new(Engine::Memory);
        let things = collection(Vec::new());
        let pad = "x".repeat(4 << 20);
        for n in 0..30 {
            world
                .insert(&things, &format!("d{n}"), json!({"n": n, "pad": pad}))
                .await
                .unwrap();
        }
        for (pipeline, is_right) in [
            (
                json!([{"$group": {"_id": null, "all": {"$push": "$pad"}}}]),
                false,
            ),
            (json!([{"$skip": 1}, {"$sort": {"n": 1}}]), false),
            (
                json!([{"$group": {"_id": "$pad", "n": {"$sum": "$n"}}}]),
                true,
            ),
        ] {
            let parsed = Pipeline::parse(&pipeline).unwrap();
            let running = things.aggregate(world.view(), &parsed, &NoCollections);
            let outcome = running.await.unwrap().collect().await;
            match outcome {
                Ok(_) => assert!(is_right, "{pipeline}"),
                Err(DocumentError::Limit { .. }) => assert!(!is_right, "{pipeline}"),
                Err(error) => panic!("{error}"),
            }
        }
        let lookup =
            json!([{"$lookup": {"from": "x", "localField": "a", "foreignField": "b", "as": "c"}}]);
        let parsed = Pipeline::parse(&lookup).unwrap();
        let outcome = things
            .aggregate(world.view(), &parsed, &NoCollections)
            .await;
        assert!(matches!(
            outcome.map(|_| ()),
            Err(DocumentError::NoSuchCollection { .. })
        ));
    });
}
