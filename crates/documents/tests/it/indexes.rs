//! Secondary indexes: which one is used, and that none changes an answer.

use std::sync::Arc;

use serde_json::{Value, json};
use tessera_documents::{
    DocumentError, Filter, IndexDef, IndexField, IndexKind, Proposals, Query, Sort,
};

use crate::world::{Dice, ENGINES, Engine, World, collection, id, index_id, names, run};

fn compound(number: u32, name: &str, fields: &[(&str, bool)]) -> IndexDef {
    let mut def = IndexDef::on(index_id(number), name, &["x"]);
    if let IndexKind::Paths { fields: list, .. } = &mut def.kind {
        *list = fields
            .iter()
            .map(|(path, descending)| IndexField {
                path: (*path).to_owned(),
                descending: *descending,
            })
            .collect();
    }
    def
}

#[test]
fn explain_names_the_index() {
    run(async {
        let world = World::new(Engine::Memory);
        let things = collection(vec![
            IndexDef::on(index_id(0), "a", &["a"]),
            compound(1, "bc", &[("b", false), ("c", true)]),
            IndexDef::on(index_id(2), "s", &["s"]).sparse(),
            IndexDef::on(index_id(3), "p", &["p"]).partial(json!({"p": {"$gt": 10}})),
        ]);
        for (filter, expected) in [
            (json!({}), "full scan"),
            (json!({"a": 1}), "index a (a), 1 ranges"),
            (json!({"a": {"$in": [1, 2, 2.0]}}), "index a (a), 2 ranges"),
            (json!({"a": {"$gt": 1, "$lt": 5}}), "index a (a), 1 ranges"),
            (json!({"a": {"$gt": 5, "$lt": 1}}), "nothing can match"),
            (json!({"a": {"$ne": 1}}), "full scan"),
            (json!({"b": 1}), "index bc (b), 1 ranges"),
            (
                json!({"b": 1, "c": {"$lt": 5}}),
                "index bc (b, c), 1 ranges",
            ),
            (
                json!({"b": {"$in": [1, 2]}, "c": 3}),
                "index bc (b, c), 2 ranges",
            ),
            (json!({"c": 3}), "full scan"),
            (json!({"a": {"$gt": 1}, "b": 2}), "index bc (b), 1 ranges"),
            (json!({"s": 1}), "index s (s), 1 ranges"),
            (json!({"s": null}), "full scan"),
            (json!({"p": 11}), "index p (p), 1 ranges"),
            (json!({"p": {"$gte": 10}}), "full scan"),
            (json!({"p": {"$gt": 10}}), "index p (p), 1 ranges"),
            (json!({"_id": "x", "a": 1}), "1 ids"),
            (json!({"_id": {"$in": ["x", "y", 5]}}), "2 ids"),
            (json!({"_id": 5}), "nothing can match"),
            (
                json!({"$or": [{"a": 1}, {"a": 2}, {"a": {"$gt": 7}, "b": 1}]}),
                "index a (a), 3 ranges",
            ),
            (json!({"$or": [{"a": 1}, {"c": 2}]}), "full scan"),
            (
                json!({"a": {"$type": ["string", "array"]}}),
                "index a (a), 2 ranges",
            ),
            (
                json!({"a": {"$elemMatch": {"$gt": 1, "$lt": 5}}}),
                "index a (a), 1 ranges",
            ),
        ] {
            assert_eq!(
                world.explain(&things, filter.clone()).await,
                expected,
                "{filter}"
            );
        }
        for (filter, sort, expected) in [
            (
                json!({}),
                json!({"a": 1}),
                "index a (), 1 ranges; filter {}",
            ),
            (
                json!({}),
                json!({"a": -1}),
                "index a (), 1 ranges, reverse; filter {}",
            ),
            (
                json!({}),
                json!({"_id": -1}),
                "full scan, reverse; filter {}",
            ),
            (
                json!({"b": 1}),
                json!({"c": 1}),
                "index bc (b), 1 ranges, reverse; filter {\"b\":1}",
            ),
            (
                json!({}),
                json!({"b": 1, "c": -1}),
                "index bc (), 1 ranges; filter {}",
            ),
            (
                json!({}),
                json!({"b": 1, "c": 1}),
                "full scan; filter {}; sort in memory",
            ),
            (
                json!({}),
                json!({"s": 1}),
                "full scan; filter {}; sort in memory",
            ),
        ] {
            let mut query = Query::new(Filter::parse(&filter).unwrap());
            query.sort = Sort::parse(&sort).unwrap();
            let explain = things.explain(&*world.view(), &query).await.unwrap();
            assert_eq!(explain.to_string(), expected, "{filter} {sort}");
        }
        // With an array in it the index no longer has the order of the documents.
        world
            .insert(&things, "x", json!({"a": [1, 9]}))
            .await
            .unwrap();
        let mut query = Query::new(Filter::all());
        query.sort = Sort::parse(&json!({"a": 1})).unwrap();
        let explain = things.explain(&*world.view(), &query).await.unwrap();
        assert_eq!(explain.to_string(), "full scan; filter {}; sort in memory");
        assert_eq!(
            world
                .find(&things, json!({"a": {"$gt": 5, "$lt": 5}}))
                .await,
            ["x"]
        );
    });
}

#[test]
fn a_unique_index_names_path_and_value() {
    for engine in ENGINES {
        run(async {
            let world = World::new(engine);
            let things = collection(vec![
                IndexDef::on(index_id(0), "mail", &["user.mail"])
                    .unique()
                    .sparse(),
                IndexDef::on(index_id(1), "pair", &["x", "y"])
                    .unique()
                    .partial(json!({"x": {"$exists": true}})),
            ]);
            world
                .insert(&things, "a", json!({"user": {"mail": ["m", "n"]}}))
                .await
                .unwrap();
            world.insert(&things, "b", json!({})).await.unwrap();
            world
                .insert(&things, "c", json!({"x": 1, "y": "q"}))
                .await
                .unwrap();
            world.insert(&things, "d", json!({"x": 1})).await.unwrap();
            for (body, index, paths, values) in [
                (json!({"user": {"mail": "n"}}), "mail", "user.mail", "\"n\""),
                (json!({"x": 1.0, "y": "q"}), "pair", "x, y", "1.0, \"q\""),
                (json!({"x": 1, "y": null}), "pair", "x, y", "1, null"),
            ] {
                let error = world.insert(&things, "e", body).await.unwrap_err();
                assert_eq!(error.code().0.as_str(), "23505");
                let report = error.report();
                assert_eq!(report.constraint.as_deref(), Some(index));
                let detail = format!("Key ({paths})=({values}) already exists.");
                assert_eq!(report.detail, Some(detail));
            }
            // A value is free again in the transaction that deletes its document.
            let things2 = Arc::clone(&things);
            world
                .write(|txn| async move {
                    things2.delete(&txn, &id("a"), Default::default()).await?;
                    things2
                        .insert(&txn, Some(id("f")), json!({"user": {"mail": "m"}}))
                        .await
                })
                .await
                .unwrap();
            assert_eq!(things.check(&world.view()).await.unwrap(), 4);
        });
    }
}

#[test]
fn an_index_is_built_over_documents_that_are_there() {
    for engine in ENGINES {
        run(async {
            let world = World::new(engine);
            let plain = collection(Vec::new());
            for n in 0..300 {
                let body = json!({"n": n % 7, "u": n, "l": [n, n + 1]});
                world.insert(&plain, &format!("d{n}"), body).await.unwrap();
            }
            let things = collection(vec![
                IndexDef::on(index_id(0), "n", &["n"]),
                IndexDef::on(index_id(1), "u", &["u"]).unique(),
                IndexDef::on(index_id(2), "l", &["l"]),
            ]);
            for name in ["n", "u", "l"] {
                let things = Arc::clone(&things);
                let count = world
                    .write(|txn| async move {
                        let mut build = things.build_index(&txn, name)?;
                        let mut count = 0;
                        while let Some(batch) = build.next_batch().await? {
                            count += batch;
                        }
                        Ok(count)
                    })
                    .await
                    .unwrap();
                assert_eq!(count, 300);
            }
            assert_eq!(things.check(&world.view()).await.unwrap(), 300);
            assert_eq!(world.find(&things, json!({"l": 5})).await, ["d4", "d5"]);
            let unique = collection(vec![IndexDef::on(index_id(3), "bad", &["n"]).unique()]);
            let error = world
                .write(|txn| async move {
                    let mut build = unique.build_index(&txn, "bad")?;
                    while build.next_batch().await?.is_some() {}
                    Ok(())
                })
                .await
                .unwrap_err();
            assert!(matches!(error, DocumentError::Duplicate { .. }), "{error}");
        });
    }
}

#[test]
fn long_values_are_indexed_as_far_as_they_are_equal() {
    run(async {
        let world = World::new(Engine::Memory);
        let things = collection(vec![compound(0, "s", &[("s", true), ("n", false)])]);
        let long = "x".repeat(5_000);
        for (name, end) in [("a", "1"), ("b", "2"), ("c", "3")] {
            let body = json!({"s": format!("{long}{end}"), "n": 1});
            world.insert(&things, name, body).await.unwrap();
        }
        let two = format!("{long}2");
        assert_eq!(world.find(&things, json!({"s": two})).await, ["b"]);
        assert_eq!(world.find(&things, json!({"s": {"$gt": two}})).await, ["c"]);
        assert_eq!(
            world.find(&things, json!({"s": {"$lte": two}})).await,
            ["a", "b"]
        );
        assert!(
            world
                .explain(&things, json!({"s": two}))
                .await
                .starts_with("index s")
        );
        let unique = collection(vec![IndexDef::on(index_id(1), "u", &["s"]).unique()]);
        let outcome = world.insert(&unique, "z", json!({"s": long})).await;
        assert!(
            matches!(outcome, Err(DocumentError::NotApplicable { .. })),
            "{outcome:?}"
        );
        let many: Vec<u32> = (0..2_000).collect();
        let outcome = world.insert(&things, "z", json!({"s": many})).await;
        assert!(
            matches!(outcome, Err(DocumentError::Limit { .. })),
            "{outcome:?}"
        );
    });
}

#[test]
fn full_scans_become_proposals() {
    run(async {
        let world = World::new(Engine::Memory);
        let things = collection(vec![IndexDef::on(index_id(0), "a", &["a"])]);
        for n in 0..10 {
            world
                .insert(&things, &format!("d{n}"), json!({"a": n}))
                .await
                .unwrap();
        }
        let proposals = Proposals::new();
        for (filter, sort) in [
            (json!({"a": 1}), json!({})),
            (json!({"b": 1, "c": {"$gt": 5}}), json!({})),
            (json!({"c": {"$gt": 7}, "b": 2}), json!({})),
            (json!({"b": 1}), json!({"z": -1})),
            (json!({}), json!({})),
        ] {
            let mut query = Query::new(Filter::parse(&filter).unwrap());
            query.sort = Sort::parse(&sort).unwrap();
            let mut found = things.find(world.view(), &query).await.unwrap();
            while found.next_batch().await.unwrap().is_some() {}
            proposals.note(&found);
        }
        let list: Vec<_> = proposals
            .list()
            .into_iter()
            .map(|proposal| (proposal.paths, proposal.times, proposal.scanned))
            .collect();
        let path = |path: &str, descending| (path.to_owned(), descending);
        assert_eq!(
            list,
            [
                (vec![path("b", false), path("c", false)], 2, 20),
                (vec![path("b", false), path("z", true)], 1, 10),
            ]
        );
        proposals.forget(things.def().id);
        assert!(proposals.list().is_empty());
    });
}

/// Values that meet each other: few, of all kinds, with arrays and long strings.
fn value(dice: &mut Dice, depth: u64) -> Value {
    match dice.below(if depth == 0 { 9 } else { 13 }) {
        0 => json!(null),
        1 => json!(dice.below(2) == 0),
        2..=4 => json!(dice.below(6)),
        5 => tessera_codec::json::parse(dice.pick(&["1.5", "2.0", "-1e2", "0.25"]).as_bytes())
            .unwrap(),
        6 | 7 => json!(*dice.pick(&["", "a", "ab", "b\u{1}c", "ä"])),
        8 => json!("l".repeat(usize::try_from(1_020 + dice.below(4)).unwrap())),
        9 | 10 => (0..dice.below(4)).map(|_| value(dice, depth - 1)).collect(),
        _ => document(dice, depth - 1),
    }
}

fn document(dice: &mut Dice, depth: u64) -> Value {
    let mut pairs = serde_json::Map::new();
    for _ in 0..dice.below(4) {
        let name = *dice.pick(&["a", "b", "0"]);
        pairs.insert(name.to_owned(), value(dice, depth));
    }
    Value::Object(pairs)
}

fn condition(dice: &mut Dice) -> Value {
    let constant = value(dice, 1);
    match dice.below(12) {
        0 => json!({"$eq": constant}),
        2 => json!({"$gt": constant}),
        3 => json!({"$gte": constant}),
        4 => json!({"$lt": constant}),
        5 => json!({"$lte": constant}),
        // Numbers: an array may meet the two bounds with two elements.
        1 | 6 => json!({"$gte": dice.below(6), "$lt": dice.below(6)}),
        7 => json!({"$in": [constant, value(dice, 0), value(dice, 0)]}),
        8 => json!({"$exists": dice.below(2) == 0}),
        9 => json!({"$elemMatch": {"$gte": constant, "$lte": value(dice, 0)}}),
        10 => json!({"$elemMatch": {"a": constant}}),
        _ => json!({"$all": [constant, value(dice, 0)]}),
    }
}

fn filter(dice: &mut Dice) -> Value {
    let mut pairs = serde_json::Map::new();
    for _ in 0..=dice.below(3) {
        let path = *dice.pick(&["a", "b", "a.b", "b.0", "a.0", "b.a"]);
        let condition = condition(dice);
        if dice.below(8) == 0 {
            pairs.insert(path.to_owned(), json!({"$not": condition}));
        } else if dice.below(6) == 0 {
            let other = self::condition(dice);
            let either = json!([{path: condition}, {path: other}]);
            pairs.insert("$or".to_owned(), either);
        } else {
            pairs.insert(path.to_owned(), condition);
        }
    }
    Value::Object(pairs)
}

/// Method: random documents and filters over indexes of every kind; each query runs along the
/// index that is chosen and as a full scan, with and without a sort.
#[test]
fn answers_are_the_same_with_and_without_indexes() {
    let (mut by_index, mut hits) = (0, 0);
    for seed in 1..=12_u64 {
        run(async {
            let world = World::new(if seed % 4 == 0 {
                Engine::Embedded
            } else {
                Engine::Memory
            });
            let things = collection(vec![
                IndexDef::on(index_id(0), "a", &["a"]),
                compound(1, "ba", &[("b", true), ("a", false)]),
                IndexDef::on(index_id(2), "a.b", &["a.b"]).sparse(),
                compound(3, "b.0", &[("b.0", false), ("b.a", true)]),
                IndexDef::on(index_id(4), "part", &["b"]).partial(json!({"a": {"$gt": 2}})),
            ]);
            let mut dice = Dice(seed * 7_919);
            // Some runs without arrays and objects: there indexes give the order.
            let depth = if seed % 3 == 0 { 0 } else { 3 };
            for n in 0..60 {
                let name = format!("d{n}");
                world
                    .insert(&things, &name, document(&mut dice, depth))
                    .await
                    .unwrap();
            }
            things.check(&world.view()).await.unwrap();
            for _ in 0..150 {
                let filter = filter(&mut dice);
                hits += world.find(&things, filter.clone()).await.len();
                let explain = world.explain(&things, filter.clone()).await;
                by_index += usize::from(explain.starts_with("index"));
                let mut query = Query::new(Filter::parse(&filter).unwrap());
                let direction = |dice: &mut Dice| if dice.below(2) == 0 { 1 } else { -1 };
                query.sort = Sort::parse(&match dice.below(4) {
                    0 => json!({"a": direction(&mut dice)}),
                    1 => json!({"b": direction(&mut dice), "a": direction(&mut dice)}),
                    2 => json!({"_id": direction(&mut dice)}),
                    _ => json!({"b.0": direction(&mut dice), "b.a": direction(&mut dice)}),
                })
                .unwrap();
                query.skip = usize::try_from(dice.below(3)).unwrap();
                query.limit = Some(usize::try_from(1 + dice.below(30)).unwrap());
                let with = things.find(world.view(), &query).await.unwrap();
                let with = names(&with.collect().await.unwrap());
                let without = things
                    .find_by_full_scan(world.view(), &query)
                    .await
                    .unwrap();
                let without = names(&without.collect().await.unwrap());
                assert_eq!(with, without, "seed {seed}: {filter} {:?}", query.sort);
            }
        });
    }
    assert!(by_index > 500, "{by_index}");
    assert!(hits > 1_000, "{hits}");
}
