//! Inserts, changes, deletes, versions, schemas, bulk writes, expiry.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tessera_documents::{
    BulkOrder, BulkWrite, Change, Collection, CollectionDef, DocumentError, Expected, Filter,
    IdPolicy, IndexDef, IndexKind, JsonPatch, Update, Written,
};
use tessera_types::{RelationId, codes};

use crate::world::{ENGINES, Engine, World, collection, id, index_id, names, run, statement};

fn update(value: Value) -> Change {
    Change::Update(Update::parse(&value).unwrap())
}

async fn body(world: &World, things: &Arc<Collection>, name: &str) -> Option<Value> {
    let found = things.get(&*world.view(), &id(name)).await.unwrap();
    found.map(|document| document.to_value().unwrap())
}

#[test]
fn documents_come_and_go_with_growing_versions() {
    for engine in ENGINES {
        run(async {
            let world = World::new(engine);
            let things = collection(Vec::new());
            let first = world.insert(&things, "a", json!({"n": 1})).await.unwrap();
            let again = world
                .insert(&things, "a", json!({"n": 2}))
                .await
                .unwrap_err();
            assert_eq!(again.code().0, codes::UNIQUE_VIOLATION);
            let change = update(json!({"$inc": {"n": 5}}));
            let second = world
                .write(|txn| {
                    let things = Arc::clone(&things);
                    async move { things.modify(&txn, &id("a"), &change, Expected::Any).await }
                })
                .await
                .unwrap();
            assert!(matches!(second, Written::Changed(_)));
            assert!(second.document().version() > first.version());
            assert_eq!(body(&world, &things, "a").await, Some(json!({"n": 6})));
            let same = world
                .write(|txn| {
                    let things = Arc::clone(&things);
                    async move {
                        things
                            .replace(&txn, &id("a"), json!({"n": 6}), Expected::Any)
                            .await
                    }
                })
                .await
                .unwrap();
            assert_eq!(same, Written::Unchanged(second.document().clone()));
            world
                .write(|txn| {
                    let things = Arc::clone(&things);
                    async move { things.delete(&txn, &id("a"), Expected::Any).await }
                })
                .await
                .unwrap();
            assert_eq!(body(&world, &things, "a").await, None);
            let third = world.insert(&things, "a", json!({"n": 6})).await.unwrap();
            assert!(
                third.version() > second.document().version(),
                "also across a deletion"
            );
        });
    }
}

#[test]
fn a_change_for_another_version_is_refused() {
    run(async {
        let world = World::new(Engine::Memory);
        let things = collection(Vec::new());
        let first = world.insert(&things, "a", json!({"n": 1})).await.unwrap();
        for (version, is_right) in [(first.version() + 1, false), (first.version(), true)] {
            let things = Arc::clone(&things);
            let outcome = world
                .write(|txn| async move {
                    let expected = Expected::Version(version);
                    things
                        .replace(&txn, &id("a"), json!({"n": 2}), expected)
                        .await
                })
                .await;
            match outcome {
                Ok(_) => assert!(is_right),
                Err(DocumentError::VersionMismatch { found, .. }) => {
                    assert!(!is_right);
                    assert_eq!(found, first.version());
                }
                Err(error) => panic!("{error}"),
            }
        }
    });
}

#[test]
fn patches_apply_to_the_stored_document() {
    run(async {
        let world = World::new(Engine::Memory);
        let things = collection(Vec::new());
        world
            .insert(&things, "a", json!({"n": 1, "l": [1]}))
            .await
            .unwrap();
        let patch = json!([{"op": "add", "path": "/l/-", "value": 2}, {"op": "test", "path": "/n", "value": 1}]);
        for (change, expected) in [
            (
                Change::JsonPatch(JsonPatch::parse(&patch).unwrap()),
                Ok(json!({"n": 1, "l": [1, 2]})),
            ),
            (
                Change::MergePatch(json!({"l": null, "m": 1})),
                Ok(json!({"n": 1, "m": 1})),
            ),
            (Change::MergePatch(json!([1])), Err("must be a JSON object")),
            (
                Change::MergePatch(json!({"_id": "b"})),
                Err("the member _id"),
            ),
        ] {
            let things2 = Arc::clone(&things);
            let outcome =
                world
                    .write(|txn| async move {
                        things2.modify(&txn, &id("a"), &change, Expected::Any).await
                    })
                    .await;
            match (outcome, expected) {
                (Ok(_), Ok(expected)) => {
                    assert_eq!(body(&world, &things, "a").await, Some(expected));
                }
                (Err(error), Err(part)) => {
                    assert!(error.to_string().contains(part), "{error}");
                }
                (outcome, expected) => panic!("{outcome:?} {expected:?}"),
            }
        }
    });
}

#[test]
fn ids_follow_the_policy() {
    run(async {
        let world = World::new(Engine::Memory);
        for (policy, given, is_right) in [
            (IdPolicy::Any, Some("x"), true),
            (IdPolicy::Any, None, true),
            (IdPolicy::Client, Some("y"), true),
            (IdPolicy::Client, None, false),
            (IdPolicy::Server, Some("z"), false),
            (IdPolicy::Server, None, true),
        ] {
            let mut def = CollectionDef::new(RelationId(30_000), "ids");
            def.options.id_policy = policy;
            let things = Collection::new(def).unwrap();
            let outcome = world
                .write(|txn| async move { things.insert(&txn, given.map(id), json!({})).await })
                .await;
            assert_eq!(outcome.is_ok(), is_right, "{policy:?} {given:?}");
            if let (Ok(written), None) = (outcome, given) {
                let made = written.document().id().to_string();
                // Version 7, of the clock's millisecond.
                assert_eq!(&made[14..15], "7", "{made}");
                assert!(made.starts_with("018bcfe5-6800"), "{made}");
            }
        }
        let things = collection(Vec::new());
        let outcome = world
            .write(|txn| {
                let things = Arc::clone(&things);
                async move {
                    things
                        .insert(&txn, None, json!({"_id": "own", "n": 1}))
                        .await
                }
            })
            .await
            .unwrap();
        assert_eq!(outcome.document().id().as_str(), "own");
        assert_eq!(body(&world, &things, "own").await, Some(json!({"n": 1})));
        for wrong in [
            json!({"_id": 5}),
            json!([1]),
            json!(null),
            json!({"_id": ""}),
        ] {
            let things = Arc::clone(&things);
            let outcome = world
                .write(|txn| async move { things.insert(&txn, None, wrong).await })
                .await;
            assert!(outcome.is_err());
        }
    });
}

#[test]
fn a_schema_is_kept_and_names_what_is_wrong() {
    run(async {
        let world = World::new(Engine::Memory);
        let mut def = CollectionDef::new(RelationId(20_000), "things");
        def.schema = Some(json!({
            "type": "object",
            "properties": {
                "n": {"type": "integer", "minimum": 0},
                "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$"}},
            },
            "required": ["n"],
        }));
        let things = Collection::new(def.clone()).unwrap();
        world
            .insert(&things, "a", json!({"n": 1, "tags": ["x"]}))
            .await
            .unwrap();
        let wrong = json!({"n": -1, "tags": ["x", "Y"]});
        let error = world.insert(&things, "b", wrong).await.unwrap_err();
        assert_eq!(error.code().0, codes::CHECK_VIOLATION);
        let DocumentError::Schema { violations, .. } = &error else {
            panic!("{error}");
        };
        let mut found: Vec<(&str, &str)> = violations
            .iter()
            .map(|violation| (violation.instance_path.as_str(), violation.keyword.as_str()))
            .collect();
        found.sort_unstable();
        assert_eq!(found, [("/n", "minimum"), ("/tags/1", "pattern")]);
        let change = update(json!({"$unset": {"n": ""}}));
        let things2 = Arc::clone(&things);
        let outcome = world
            .write(
                |txn| async move { things2.modify(&txn, &id("a"), &change, Expected::Any).await },
            )
            .await;
        assert!(
            matches!(outcome, Err(DocumentError::Schema { .. })),
            "{outcome:?}"
        );
        for schema in [
            json!({"type": "nothing"}),
            json!({"pattern": "("}),
            json!({"pattern": "(?=x)"}),
            json!({"$ref": "https://example.com/schema"}),
            json!({"$ref": "file:///etc/passwd"}),
            json!(5),
        ] {
            def.schema = Some(schema.clone());
            assert!(Collection::new(def.clone()).is_err(), "{schema}");
        }
    });
}

#[test]
fn a_bulk_write_answers_for_each_document() {
    for engine in ENGINES {
        run(async {
            let world = World::new(engine);
            let things = collection(vec![
                IndexDef::on(index_id(0), "u", &["u"]).unique().sparse(),
            ]);
            let writes = || -> Vec<BulkWrite> {
                let insert = |name: &str, body: Value| BulkWrite::Insert {
                    id: Some(id(name)),
                    body,
                };
                vec![
                    insert("a", json!({"u": 1})),
                    insert("b", json!({"u": 1})),
                    insert("a", json!({})),
                    insert("c", json!({"u": 2})),
                    BulkWrite::Delete {
                        id: id("a"),
                        expected: Expected::Any,
                    },
                    BulkWrite::Upsert {
                        id: id("d"),
                        change: update(json!({"$set": {"u": 1}, "$setOnInsert": {"new": true}})),
                    },
                    BulkWrite::Modify {
                        id: id("x"),
                        change: update(json!({"$set": {"u": 1}})),
                        expected: Expected::Any,
                    },
                ]
            };
            for (order, expected, left) in [
                (BulkOrder::Unordered, "+--+++-", vec!["c", "d"]),
                (BulkOrder::Ordered, "+-", vec!["a"]),
            ] {
                let txn = world.begin();
                let things2 = Arc::clone(&things);
                let answers = statement(&txn, |txn| async move {
                    things2.bulk(&txn, writes(), order).await
                })
                .await
                .unwrap();
                let signs: String = answers
                    .iter()
                    .map(|answer| if answer.is_ok() { '+' } else { '-' })
                    .collect();
                assert_eq!(signs, expected);
                let view = txn.view();
                let mut scan = things.scan(view);
                let batch = scan.next_batch().await.unwrap().unwrap();
                assert_eq!(names(&batch), left);
                txn.rollback();
            }
        });
    }
}

#[test]
fn changes_by_filter_meet_each_document_once() {
    run(async {
        let world = World::new(Engine::Memory);
        let things = collection(vec![IndexDef::on(index_id(0), "n", &["n"])]);
        for n in 0..50 {
            world
                .insert(&things, &format!("d{n:02}"), json!({"n": n}))
                .await
                .unwrap();
        }
        // Documents move to the end of the index that is being read.
        let filter = Filter::parse(&json!({"n": {"$gte": 10}})).unwrap();
        let change = update(json!({"$inc": {"n": 100}}));
        let things2 = Arc::clone(&things);
        let counts = world
            .write(|txn| async move { things2.modify_where(&txn, &filter, &change, None).await })
            .await
            .unwrap();
        assert_eq!((counts.matched, counts.changed), (40, 40));
        assert_eq!(
            world.find(&things, json!({"n": {"$gte": 150}})).await.len(),
            0
        );
        let filter = Filter::parse(&json!({"n": {"$gte": 110}})).unwrap();
        let things2 = Arc::clone(&things);
        let count = world
            .write(|txn| async move { things2.delete_where(&txn, &filter, Some(15)).await })
            .await
            .unwrap();
        assert_eq!(count, 15);
        assert_eq!(things.check(&world.view()).await.unwrap(), 35);
    });
}

#[test]
fn concurrent_increments_are_all_counted() {
    for engine in ENGINES {
        run(async {
            let world = Arc::new(World::new(engine));
            let things = collection(vec![IndexDef::on(index_id(0), "n", &["n"])]);
            world.insert(&things, "a", json!({"n": 0})).await.unwrap();
            let tasks: Vec<_> = (0..4)
                .map(|_| {
                    let (world, things) = (Arc::clone(&world), Arc::clone(&things));
                    tokio::spawn(async move {
                        for _ in 0..25 {
                            let things = Arc::clone(&things);
                            let change = update(json!({"$inc": {"n": 1}}));
                            world
                                .write(|txn| async move {
                                    things.modify(&txn, &id("a"), &change, Expected::Any).await
                                })
                                .await
                                .unwrap();
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            assert_eq!(body(&world, &things, "a").await, Some(json!({"n": 100})));
            assert_eq!(things.check(&world.view()).await.unwrap(), 1);
        });
    }
}

#[test]
fn repeatable_read_refuses_to_change_what_changed_since() {
    run(async {
        let world = World::new(Engine::Memory);
        let things = collection(Vec::new());
        world.insert(&things, "a", json!({"n": 0})).await.unwrap();
        let txn = world.begin_repeatable();
        let things2 = Arc::clone(&things);
        statement(&txn, |txn| async move {
            things2.get(&*txn.view(), &id("a")).await
        })
        .await
        .unwrap();
        let change = update(json!({"$inc": {"n": 1}}));
        let (things2, change2) = (Arc::clone(&things), change.clone());
        world
            .write(|txn| async move {
                things2
                    .modify(&txn, &id("a"), &change2, Expected::Any)
                    .await
            })
            .await
            .unwrap();
        let things2 = Arc::clone(&things);
        let error = statement(&txn, |txn| async move {
            things2.modify(&txn, &id("a"), &change, Expected::Any).await
        })
        .await
        .unwrap_err();
        assert_eq!(error.code().0, codes::SERIALIZATION_FAILURE);
    });
}

#[test]
fn documents_expire_exactly() {
    for engine in ENGINES {
        run(async {
            let world = World::new(engine);
            let ttl = IndexDef {
                id: index_id(0),
                name: "expiry".to_owned(),
                kind: IndexKind::Ttl {
                    path: "at".to_owned(),
                    after_seconds: 60,
                },
            };
            let things = collection(vec![ttl]);
            // The clock says 2023-11-14T22:13:20Z.
            for (name, at) in [
                ("text", json!("2023-11-14T22:13:20Z")),
                ("zone", json!("2023-11-14T23:13:20.5+01:00")),
                ("millis", json!(1_700_000_001_000_i64)),
                (
                    "earliest",
                    json!(["2023-11-14T22:13:22Z", "2099-01-01T00:00:00Z"]),
                ),
                ("later", json!("2023-11-14T22:14:00Z")),
                ("none", json!("tomorrow")),
                ("null", json!(null)),
            ] {
                world
                    .insert(&things, name, json!({"at": at}))
                    .await
                    .unwrap();
            }
            let reclaim = async |limit: usize| {
                let things = Arc::clone(&things);
                let now = world.transactions.environment().clock.unix_micros();
                world
                    .write(|txn| async move {
                        things.reclaim_expired(&txn, "expiry", now, limit).await
                    })
                    .await
                    .unwrap()
            };
            world.simulation.advance(Duration::from_micros(59_999_999));
            assert_eq!(reclaim(10).await, 0);
            world.simulation.advance(Duration::from_micros(1));
            assert_eq!(reclaim(10).await, 1);
            world.simulation.advance(Duration::from_secs(2));
            assert_eq!(reclaim(2).await, 2, "in bounded batches");
            assert_eq!(reclaim(2).await, 1);
            assert_eq!(reclaim(2).await, 0);
            assert_eq!(
                world.find(&things, json!({})).await,
                ["later", "none", "null"]
            );
            assert_eq!(things.check(&world.view()).await.unwrap(), 3);
        });
    }
}

/// Doors run these in tasks that move between threads.
#[test]
fn work_may_move_between_threads() {
    fn check<T: Send>(_: T) {}
    let world = World::new(Engine::Memory);
    let things = collection(Vec::new());
    let txn = world.begin();
    let filter = Filter::all();
    let query = tessera_documents::Query::new(Filter::all());
    let pipeline = tessera_documents::Pipeline::parse(&json!([])).unwrap();
    check(things.insert(&txn, None, json!({})));
    check(things.modify_where(&txn, &filter, &update(json!({"$set": {"a": 1}})), None));
    check(things.reclaim_expired(&txn, "x", 0, 1));
    check(things.count(world.view(), &filter));
    check(async {
        let mut found = things.find(world.view(), &query).await.unwrap();
        found.next_batch().await.unwrap();
    });
    check(async {
        let none = tessera_documents::NoCollections;
        let mut found = things
            .aggregate(world.view(), &pipeline, &none)
            .await
            .unwrap();
        found.next_batch().await.unwrap();
    });
}

#[test]
fn documents_survive_a_restart() {
    run(async {
        let world = World::new(Engine::Embedded);
        let things = collection(vec![IndexDef::on(index_id(0), "n", &["n"])]);
        let big = "x".repeat(30_000);
        world
            .insert(&things, "a", json!({"n": 1, "big": big}))
            .await
            .unwrap();
        let world = world.reopen().await;
        assert_eq!(world.find(&things, json!({"n": 1})).await, ["a"]);
        assert_eq!(
            body(&world, &things, "a").await,
            Some(json!({"n": 1, "big": big}))
        );
    });
}
