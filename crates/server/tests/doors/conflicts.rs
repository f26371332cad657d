//! Locks between doors: deadlocks, time-outs, savepoints.

use serde_json::json;
use tessera_testkit::doors::{Begun, sqlstate, whole_text};
use tessera_testkit::wire::Reply;

use crate::parties::{Item, LEVELS, World, on_a_server};

/// A key by Redis and a row by HTTP, each wanted by the other side through another door.
#[test]
fn a_deadlock_across_protocols_names_both_sides() {
    on_a_server(async |mut world: World| {
        let pairs = [
            [Item::Key("a"), Item::Row("b")],
            [Item::Document("a"), Item::Key("b")],
            [Item::Row("a"), Item::Document("b")],
        ];
        for level in LEVELS {
            for [a, b] in pairs {
                let begun = [Begun::Redis, Begun::Http];
                let [mut one, mut two] = world.parties(begun, level).await;
                one.set(a, 1).await.unwrap();
                two.set(b, 2).await.unwrap();
                let (first, second) = tokio::join!(
                    async {
                        let done = one.set(b, 1).await;
                        // The victim's locks are free at once.
                        if done.is_err() {
                            one.roll_back().await;
                        }
                        done
                    },
                    async {
                        let done = two.set(a, 2).await;
                        if done.is_err() {
                            two.roll_back().await;
                        }
                        done
                    }
                );
                let (error, winner) = match (first, second) {
                    (Err(error), Ok(())) => (error, &mut two),
                    (Ok(()), Err(error)) => (error, &mut one),
                    other => panic!("{level}, {a:?}, {b:?}: one of two is the victim: {other:?}"),
                };
                winner.commit().await.unwrap();
                assert_eq!(sqlstate(&error).as_deref(), Some("40P01"), "{error}");
                let text = whole_text(&error);
                for item in [a, b] {
                    let name = match item {
                        Item::Key(id) => format!("key (key)=({id}) of key space \"db0\""),
                        Item::Document(id) => {
                            format!("document (id)=({id}) of collection \"docs\"")
                        }
                        Item::Row(id) => format!("row (id)=({id}) of table \"items\""),
                    };
                    // In the body of a problem quotes are escaped.
                    let text = text.replace("\\\"", "\"");
                    assert!(text.contains(&name), "{name} is not named: {text}");
                }
                let values = [world.committed(a).await, world.committed(b).await];
                assert!(values == [1, 1] || values == [2, 2], "{values:?}");
                world.reset().await;
            }
        }
    });
}

#[test]
fn a_lock_timeout_says_who_holds_what_in_words_of_row_locks() {
    on_a_server(async |mut world: World| {
        for level in LEVELS {
            let begun = [Begun::Postgres, Begun::Redis];
            let [mut one, mut two] = world.parties(begun, level).await;
            two.set(Item::Row("a"), 1).await.unwrap();
            one.sql("SET LOCAL lock_timeout = '20ms'").await.unwrap();
            let error = one.set(Item::Row("a"), 2).await.unwrap_err();
            assert_eq!(sqlstate(&error).as_deref(), Some("55P03"), "{error}");
            let text = whole_text(&error);
            assert!(text.contains("row (id)=(a) of table \"items\""), "{text}");
            assert!(text.contains("UPDATE lock"), "{text}");
            assert!(text.contains("UPDATE items SET"), "the other side: {text}");
            one.roll_back().await;
            two.commit().await.unwrap();
            // The same over HTTP, about a row that a session of PostgreSQL holds.
            let [mut one, mut two] = world.parties(begun, level).await;
            one.set(Item::Row("b"), 1).await.unwrap();
            let request = json!({
                "statement": "UPDATE items SET n = 2 WHERE id = 'b'",
                "settings": {"lock_timeout": "20ms"},
            });
            let token = Some(two.token.as_str());
            let error = two.doors.http("POST /sql", token, Some(&request)).await;
            let error = error.unwrap_err();
            assert_eq!(sqlstate(&error).as_deref(), Some("55P03"), "{error}");
            let text = whole_text(&error).replace("\\\"", "\"");
            assert!(text.contains("row (id)=(b) of table \"items\""), "{text}");
            two.roll_back().await;
            one.commit().await.unwrap();
            world.reset().await;
        }
    });
}

/// SQL sets the savepoint; keys and documents are written at other doors before and after it.
#[test]
fn a_savepoint_undoes_what_other_doors_did_after_it() {
    on_a_server(async |mut world: World| {
        for level in LEVELS {
            for begun in Begun::ALL {
                let [mut one, mut two] = world.parties([begun, Begun::Http], level).await;
                one.set(Item::Key("a"), 1).await.unwrap();
                one.doors.sql.batch_execute("SAVEPOINT s").await.unwrap();
                for item in [
                    Item::Key("a"),
                    Item::Key("b"),
                    Item::Document("b"),
                    Item::Row("b"),
                ] {
                    one.set(item, 2).await.unwrap();
                }
                let sql = "ROLLBACK TO SAVEPOINT s";
                one.doors.sql.batch_execute(sql).await.unwrap();
                assert_eq!(
                    one.get(Item::Key("a")).await.unwrap(),
                    1,
                    "{level}, {begun:?}"
                );
                // What was locked after the savepoint is free again.
                for item in [Item::Key("b"), Item::Document("b"), Item::Row("b")] {
                    assert_eq!(
                        one.get(item).await.unwrap(),
                        0,
                        "{level}, {begun:?}, {item:?}"
                    );
                    two.set(item, 3).await.unwrap();
                }
                two.roll_back().await;
                one.commit().await.unwrap();
                let left = [
                    world.committed(Item::Key("a")).await,
                    world.committed(Item::Key("b")).await,
                    world.committed(Item::Document("b")).await,
                    world.committed(Item::Row("b")).await,
                ];
                assert_eq!(left, [1, 0, 0, 0], "{level}, {begun:?}");
                world.reset().await;
            }
        }
    });
}

/// A member's statement has written the first of two keys and waits for the second one when another
/// member asks for a savepoint. The savepoint comes after the statement, so undoing what follows it
/// leaves the statement whole.
#[test]
fn a_savepoint_never_cuts_a_statement_of_another_member_in_two() {
    on_a_server(async |mut world: World| {
        let [mut one, mut two] = world
            .parties([Begun::Postgres, Begun::Http], "READ COMMITTED")
            .await;
        two.set(Item::Key("b"), 5).await.unwrap();
        let (redis, sql) = (&mut one.doors.redis, &one.doors.sql);
        let (answer, saved, ()) = tokio::join!(
            redis.say("MSET a 1 b 1"),
            async {
                world.until_waiting().await;
                sql.batch_execute("SAVEPOINT s").await
            },
            async {
                let asked = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SAVEPOINT%'";
                world.until(asked).await;
                two.roll_back().await;
            }
        );
        assert_eq!(answer.unwrap(), Reply::Simple("OK".to_owned()));
        saved.unwrap();
        let undo = "ROLLBACK TO SAVEPOINT s";
        one.doors.sql.batch_execute(undo).await.unwrap();
        one.commit().await.unwrap();
        let left = [
            world.committed(Item::Key("a")).await,
            world.committed(Item::Key("b")).await,
        ];
        assert_eq!(left, [1, 1], "a statement happens as a whole or not at all");
    });
}
