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
