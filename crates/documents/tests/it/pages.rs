//! Sorts, pages and projections.

use serde_json::{Value, json};
use tessera_documents::{DocumentError, Filter, IndexDef, Projection, Query, Sort};

use crate::world::{Dice, Engine, World, collection, index_id, names, run};

fn query(filter: Value, sort: Value) -> Query {
    let mut query = Query::new(Filter::parse(&filter).unwrap());
    query.sort = Sort::parse(&sort).unwrap();
    query
}

#[test]
fn documents_are_sorted_by_kind_and_value() {
    run(async {
        let world = World::new(Engine::Memory);
        let things = collection(Vec::new());
        for (name, value) in [
            ("array", json!([5, 100])),
            ("empty", json!([])),
            ("false", json!(false)),
            ("missing", json!(null)),
            ("object", json!({"x": 1})),
            ("ten", json!(10)),
            ("text", json!("a")),
            ("true", json!(true)),
            ("two", json!(2)),
        ] {
            world
                .insert(&things, name, json!({"v": value}))
                .await
                .unwrap();
        }
        for (direction, expected) in [
            (1, "empty missing false true two array ten text object"),
            (-1, "object text array ten two true false missing empty"),
        ] {
            let query = query(json!({}), json!({"v": direction}));
            let found = things.find(world.view(), &query).await.unwrap();
            assert_eq!(names(&found.collect().await.unwrap()).join(" "), expected);
        }
    });
}

/// Method: the pages of every size, put together, are the whole answer, along an index, along ids
/// and sorted in memory.
#[test]
fn pages_together_are_the_whole_answer() {
    run(async {
        let world = World::new(Engine::Memory);
        let with = collection(vec![
            IndexDef::on(index_id(0), "n", &["n"]),
            IndexDef::on(index_id(1), "u", &["u"]).unique(),
            IndexDef::on(index_id(2), "ms", &["m", "s"]),
        ]);
        let mut dice = Dice(5);
        for n in 0..40_u64 {
            let body = json!({
                "n": dice.below(5), "u": (n * 17) % 41, "m": dice.below(2), "s": dice.pick(&["a", "ab", ""]),
            });
            world
                .insert(&with, &format!("d{}", (n * 7) % 40), body)
                .await
                .unwrap();
        }
        for (filter, sort) in [
            (json!({}), json!({})),
            (json!({}), json!({"_id": -1})),
            (json!({}), json!({"n": 1})),
            (json!({}), json!({"n": -1})),
            (json!({}), json!({"u": 1})),
            (json!({"u": {"$gt": 5}}), json!({"u": -1})),
            (json!({"m": 1}), json!({"s": -1})),
            (json!({"m": 1, "s": {"$gte": "a"}}), json!({"s": 1})),
            (json!({"n": {"$gte": 2}}), json!({"s": 1, "n": -1})),
            (json!({"n": 3}), json!({"x": 1})),
        ] {
            let mut all = query(filter.clone(), sort.clone());
            all.paging = true;
            let expected = with.find_by_full_scan(world.view(), &all).await.unwrap();
            let expected = names(&expected.collect().await.unwrap());
            for size in [1, 3, 7, 100] {
                let mut page = all.clone();
                page.limit = Some(size);
                let mut together = Vec::new();
                loop {
                    let mut found = with.find(world.view(), &page).await.unwrap();
                    while let Some(batch) = found.next_batch().await.unwrap() {
                        together.append(&mut names(&batch));
                    }
                    match found.token().unwrap() {
                        Some(token) => page.after = Some(token),
                        None => break,
                    }
                }
                assert_eq!(together, expected, "{filter} {sort} by {size}");
            }
        }
    });
}

/// Method: pages without a sort, put together, have each document of a full scan once; the first
/// page reads no more than its part of the index. From the second page on the collection may have
/// no index any more.
#[test]
fn pages_without_a_sort_follow_the_index_of_their_filter() {
    run(async {
        let world = World::new(Engine::Memory);
        let with = collection(vec![
            IndexDef::on(index_id(0), "n", &["n"]),
            IndexDef::on(index_id(1), "u", &["u"]).unique(),
            IndexDef::on(index_id(2), "ms", &["m", "s"]),
            IndexDef::on(index_id(3), "tags", &["tags"]),
            IndexDef::on(index_id(4), "zm", &["z", "m"]),
        ]);
        let without = collection(Vec::new());
        let mut dice = Dice(11);
        for n in 0..2_000_u64 {
            let body = json!({
                "n": dice.below(50), "u": (n * 17) % 4_100, "m": dice.below(2),
                "s": dice.pick(&["a", "ab", "b"]), "tags": [dice.below(5), 7],
                "z": dice.below(9),
            });
            let name = format!("d{}", (n * 7) % 2_000);
            world.insert(&with, &name, body).await.unwrap();
        }
        for (filter, order) in [
            (json!({"n": {"$gte": 20}}), Some("n")),
            (json!({"n": {"$lt": 40}, "s": "a"}), Some("n")),
            (json!({"u": {"$gt": 5, "$lte": 3_000}}), Some("u")),
            (json!({"m": 1, "s": {"$gte": "ab"}}), Some("s")),
            (json!({"m": 1, "s": "ab"}), None),
            (json!({"z": {"$gte": 2}}), Some("z")),
            (json!({"n": {"$in": [3, 4]}}), None),
            (json!({"tags": {"$gt": 1}}), None),
        ] {
            let mut page = Query::new(Filter::parse(&filter).unwrap());
            page.paging = true;
            let all = with.find_by_full_scan(world.view(), &page).await.unwrap();
            let mut expected = names(&all.collect().await.unwrap());
            expected.sort_unstable();
            for drops_index in [false, true] {
                page.limit = Some(30);
                page.after = None;
                let mut things = &with;
                let mut together = Vec::new();
                let mut values = Vec::new();
                loop {
                    let mut found = things.find(world.view(), &page).await.unwrap();
                    while let Some(batch) = found.next_batch().await.unwrap() {
                        together.append(&mut names(&batch));
                        if let Some(path) = order {
                            let bodies = batch.iter().map(|document| document.to_value().unwrap());
                            values.extend(bodies.map(|body| body[path].clone()));
                        }
                    }
                    if page.after.is_none() && order.is_some() {
                        assert!(found.examined() < 300, "{filter}: {}", found.examined());
                    }
                    if drops_index {
                        things = &without;
                    }
                    match found.token().unwrap() {
                        Some(token) => page.after = Some(token),
                        None => break,
                    }
                }
                let key = |value: &Value| (value.as_u64(), value.as_str().map(str::to_owned));
                assert!(values.is_sorted_by_key(key), "{filter}");
                together.sort_unstable();
                assert_eq!(together, expected, "{filter}");
            }
        }
    });
}

/// The entries of one value are in the order of ids: nothing is to sort.
#[test]
fn pages_of_one_value_are_read_along_its_entries() {
    run(async {
        let world = World::new(Engine::Memory);
        let things = collection(vec![IndexDef::on(index_id(0), "n", &["n"])]);
        for n in 0..1_000 {
            let body = json!({"n": n % 2});
            world
                .insert(&things, &format!("d{n:04}"), body)
                .await
                .unwrap();
        }
        for (direction, expected) in [
            (1, ["d0001", "d0003", "d0005", "d0007"]),
            (-1, ["d0999", "d0997", "d0995", "d0993"]),
        ] {
            let mut page = query(json!({"n": 1}), json!({"_id": direction}));
            page.paging = true;
            page.limit = Some(2);
            let mut together = Vec::new();
            for _ in 0..2 {
                let explain = things.explain(&*world.view(), &page).await.unwrap();
                assert!(!explain.sorts_in_memory, "{explain}");
                assert!(explain.to_string().starts_with("index n"), "{explain}");
                let mut found = things.find(world.view(), &page).await.unwrap();
                while let Some(batch) = found.next_batch().await.unwrap() {
                    together.append(&mut names(&batch));
                }
                page.after = found.token().unwrap();
            }
            assert_eq!(together, expected);
        }
    });
}

#[test]
fn a_token_of_another_query_is_refused() {
    run(async {
        let world = World::new(Engine::Memory);
        let things = collection(Vec::new());
        for name in ["a", "b"] {
            world.insert(&things, name, json!({"n": 1})).await.unwrap();
        }
        let mut first = query(json!({}), json!({"n": 1}));
        first.paging = true;
        first.limit = Some(1);
        let mut found = things.find(world.view(), &first).await.unwrap();
        while found.next_batch().await.unwrap().is_some() {}
        let token = found.token().unwrap().unwrap();
        for (sort, after) in [
            (json!({"n": -1}), token.clone()),
            (json!({"m": 1}), token.clone()),
            (json!({"n": 1}), token[..10].to_owned()),
            (json!({"n": 1}), "%%%".to_owned()),
            (json!({"n": 1}), String::new()),
        ] {
            let mut next = query(json!({}), sort);
            next.after = Some(after);
            let outcome = things.find(world.view(), &next).await.map(|_| ());
            assert!(
                matches!(outcome, Err(DocumentError::InvalidToken)),
                "{outcome:?}"
            );
        }
    });
}

#[test]
fn projections_keep_id_and_version() {
    run(async {
        let world = World::new(Engine::Memory);
        let things = collection(Vec::new());
        let stored = world
            .insert(&things, "a", json!({"n": 1, "m": 2}))
            .await
            .unwrap();
        let mut query = query(json!({}), json!({}));
        query.projection = Some(Projection::parse(&json!({"n": 1})).unwrap());
        let found = things.find(world.view(), &query).await.unwrap();
        let found = found.collect().await.unwrap();
        assert_eq!(found[0].to_text().unwrap(), "{\"n\":1}");
        assert_eq!(
            (found[0].id(), found[0].version()),
            (stored.id(), stored.version())
        );
    });
}

#[test]
fn a_sort_that_is_too_large_is_refused_and_a_short_page_of_it_is_not() {
    run(async {
        let world = World::new(Engine::Memory);
        let things = collection(Vec::new());
        let pad = "x".repeat(4 << 20);
        for n in 0..20 {
            world
                .insert(&things, &format!("d{n:02}"), json!({"n": n, "pad": pad}))
                .await
                .unwrap();
        }
        let mut all = query(json!({}), json!({"n": -1}));
        let found = things.find(world.view(), &all).await.unwrap();
        let outcome = found.collect().await;
        assert!(matches!(outcome, Err(DocumentError::Limit { .. })));
        all.limit = Some(3);
        let found = things.find(world.view(), &all).await.unwrap();
        assert_eq!(
            names(&found.collect().await.unwrap()),
            ["d19", "d18", "d17"]
        );
    });
}
