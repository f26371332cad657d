//! Walks with cursors while others write, SORT, COPY of collections.

use std::collections::BTreeSet;

use tessera_keyvalue::{KeyValueError, ScanSpec, SetOptions, ValueType};

use crate::world::{block_on, text, worlds};

#[test]
fn a_scan_meets_every_key_that_is_there_all_the_time() {
    block_on(async {
        for world in worlds().await {
            let pairs: Vec<(String, &str)> = (0..57).map(|n| (format!("stay:{n}"), "v")).collect();
            world.write(async |w| w.mset(&pairs).await).await.unwrap();
            let spec = ScanSpec {
                pattern: Some(b"st?y:*"),
                value_type: Some(ValueType::String),
                count: Some(7),
            };
            let (mut cursor, mut steps, mut met) = (0, 0, BTreeSet::new());
            loop {
                let (next, keys) = world.reader().scan(cursor, &spec).await.unwrap();
                met.extend(keys.iter().map(|key| text(key)));
                steps += 1;
                // Others come and go.
                let (come, go) = (format!("stay:x{steps}"), format!("stay:x{}", steps - 1));
                let value = SetOptions::default();
                world
                    .write(async |w| w.set(come.as_bytes(), b"v", value).await)
                    .await
                    .unwrap();
                world.write(async |w| w.del(&[&go]).await).await.unwrap();
                if next == 0 {
                    break;
                }
                cursor = next;
            }
            for (key, _) in &pairs {
                assert!(met.contains(key), "{key}");
            }
            let answer = world.reader().scan(12_345, &spec).await;
            assert!(matches!(answer, Err(KeyValueError::InvalidCursor)));
        }
    });
}

#[test]
fn a_scan_of_a_hash_meets_every_field() {
    block_on(async {
        for world in worlds().await {
            let pairs: Vec<(String, &str)> = (0..100).map(|n| (format!("f{n}"), "v")).collect();
            world
                .write(async |w| w.hset(b"h", &pairs).await)
                .await
                .unwrap();
            let spec = ScanSpec {
                count: Some(9),
                ..ScanSpec::default()
            };
            let (mut cursor, mut met) = (0, Vec::new());
            loop {
                let (next, fields) = world.reader().hscan(b"h", cursor, &spec).await.unwrap();
                met.extend(fields.iter().map(|(field, _)| text(field)));
                if next == 0 {
                    break;
                }
                cursor = next;
            }
            assert_eq!(met.len(), 100);
            assert_eq!(met.iter().collect::<BTreeSet<_>>().len(), 100);
        }
    });
}

#[test]
fn a_copy_of_a_collection_is_independent_and_a_renamed_one_is_whole() {
    block_on(async {
        for world in worlds().await {
            world
                .write(async |w| w.hset(b"a", &[("f", "1"), ("g", "2")]).await)
                .await
                .unwrap();
            let copy = async |w: tessera_keyvalue::Writer<'_>| {
                w.copy(b"a", &world.space, b"b", false).await
            };
            assert!(world.write(copy).await.unwrap());
            assert!(!world.write(copy).await.unwrap(), "the target is there");
            world
                .write(async |w| w.hset(b"b", &[("f", "3")]).await)
                .await
                .unwrap();
            world
                .write(async |w| w.rename(b"a", b"c").await)
                .await
                .unwrap();
            let reader = world.reader();
            assert_eq!(reader.hget(b"c", b"f").await.unwrap().unwrap(), "1");
            assert_eq!(reader.hget(b"b", b"f").await.unwrap().unwrap(), "3");
            assert_eq!(reader.hlen(b"c").await.unwrap(), 2);
            assert_eq!(world.keys("*").await, ["b", "c"]);
            assert_eq!(world.footprint().await.bytes, 10);
        }
    });
}

#[test]
fn a_random_key_is_a_key() {
    block_on(async {
        for world in worlds().await {
            assert_eq!(world.reader().random_key().await.unwrap(), None);
            let pairs = ["a", "b:1", "b:2", "zz"].map(|key| (key, "v"));
            world.write(async |w| w.mset(&pairs).await).await.unwrap();
            let mut met = BTreeSet::new();
            for _ in 0..200 {
                met.insert(text(&world.reader().random_key().await.unwrap().unwrap()));
            }
            assert_eq!(met.iter().collect::<Vec<_>>(), ["a", "b:1", "b:2", "zz"]);
        }
    });
}

#[test]
fn encodings_have_the_names_that_redis_gives_them() {
    block_on(async {
        let world = crate::world::World::memory().await;
        let long = "x".repeat(45);
        let pairs = [("int", "12"), ("short", "abc"), ("long", &long)];
        world.write(async |w| w.mset(&pairs).await).await.unwrap();
        world
            .write(async |w| w.sadd(b"ints", &["1", "2"]).await)
            .await
            .unwrap();
        world
            .write(async |w| w.sadd(b"names", &["1", "b"]).await)
            .await
            .unwrap();
        let many: Vec<String> = (0..129).map(|n| format!("m{n}")).collect();
        world
            .write(async |w| w.sadd(b"many", &many).await)
            .await
            .unwrap();
        for (key, expected) in [
            ("int", "int"),
            ("short", "embstr"),
            ("long", "raw"),
            ("ints", "intset"),
            ("names", "listpack"),
            ("many", "hashtable"),
        ] {
            let found = world.reader().encoding(key.as_bytes()).await.unwrap();
            assert_eq!(found, Some(expected), "{key}");
        }
    });
}

#[test]
fn elements_are_sorted_by_themselves_by_keys_and_by_fields() {
    use tessera_keyvalue::{End, SortSpec};
    block_on(async {
        let world = crate::world::World::memory().await;
        let items = ["3", "1", "10", "2"];
        world
            .write(async |w| w.push(b"l", End::Right, &items, false).await)
            .await
            .unwrap();
        let pairs = [("w_3", "30"), ("w_1", "40"), ("w_10", "5"), ("n_1", "one")];
        world.write(async |w| w.mset(&pairs).await).await.unwrap();
        world
            .write(async |w| w.hset(b"h_2", &[("f", "two")]).await)
            .await
            .unwrap();
        let sorted = async |spec: SortSpec<'_>| {
            let found = world.reader().sort(b"l", &spec).await.unwrap();
            found
                .iter()
                .map(|v| v.as_deref().map_or("-".into(), text))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let plain = SortSpec::default;
        assert_eq!(sorted(plain()).await, "1 2 3 10");
        assert_eq!(
            sorted(SortSpec {
                alpha: true,
                descending: true,
                ..plain()
            })
            .await,
            "3 2 10 1"
        );
        assert_eq!(
            sorted(SortSpec {
                limit: Some((1, 2)),
                ..plain()
            })
            .await,
            "2 3"
        );
        assert_eq!(
            sorted(SortSpec {
                by: Some(b"w_*"),
                ..plain()
            })
            .await,
            "2 10 3 1"
        );
        assert_eq!(
            sorted(SortSpec {
                by: Some(b"nosort"),
                ..plain()
            })
            .await,
            "3 1 10 2"
        );
        let get: Vec<&[u8]> = vec![b"#", b"n_*", b"h_*->f"];
        assert_eq!(
            sorted(SortSpec {
                get,
                limit: Some((0, 2)),
                ..plain()
            })
            .await,
            "1 one - 2 - two"
        );
        let spec = plain();
        let stored = world
            .write(async |w| w.sort_store(b"l", b"l", &spec).await)
            .await
            .unwrap();
        assert_eq!(stored, 4);
        assert_eq!(
            world.reader().lrange(b"l", 0, -1).await.unwrap(),
            ["1", "2", "3", "10"]
        );
        world
            .write(async |w| w.push(b"l", End::Left, &["x"], false).await)
            .await
            .unwrap();
        let answer = world.reader().sort(b"l", &spec).await;
        assert!(matches!(answer, Err(KeyValueError::NotAFloat)));
    });
}
