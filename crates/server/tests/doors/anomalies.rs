//! What one party sees of the other, and which of two that meet has to give way.

use tessera_testkit::doors::{Begun, sqlstate};

use crate::parties::{Item, LEVELS, Party, World, on_a_server};

const PAIRS: [[Begun; 2]; 3] = [
    [Begun::Postgres, Begun::Redis],
    [Begun::Redis, Begun::Http],
    [Begun::Http, Begun::Postgres],
];
/// What two parties meet on: in each model, and across two of them.
const ITEMS: [[Item; 2]; 6] = [
    [Item::Key("a"), Item::Key("b")],
    [Item::Document("a"), Item::Document("b")],
    [Item::Row("a"), Item::Row("b")],
    [Item::Key("a"), Item::Row("b")],
    [Item::Row("a"), Item::Document("b")],
    [Item::Document("a"), Item::Key("b")],
];

/// Every level and every pair of items, each with another pair of doors.
fn cases() -> impl Iterator<Item = (&'static str, [Item; 2], [Begun; 2])> {
    let levels = LEVELS.into_iter().enumerate();
    levels.flat_map(|(at, level)| {
        let items = ITEMS.into_iter().enumerate();
        items.map(move |(number, items)| (level, items, PAIRS[(at + number) % PAIRS.len()]))
    })
}

fn keeps_snapshot(level: &str) -> bool {
    level != "READ COMMITTED"
}

/// 40001, and the transaction rolled back.
async fn loses(party: &mut Party, result: anyhow::Result<()>, context: &str) {
    let error = result.expect_err(context);
    assert_eq!(
        sqlstate(&error).as_deref(),
        Some("40001"),
        "{context}: {error}"
    );
    party.roll_back().await;
}

#[test]
fn nobody_sees_what_is_not_committed() {
    on_a_server(async |mut world: World| {
        for (level, [a, _], begun) in cases() {
            let context = format!("{level}, {a:?}, {begun:?}");
            let [mut one, mut two] = world.parties(begun, level).await;
            one.set(a, 1).await.unwrap();
            assert_eq!(one.get(a).await.unwrap(), 1, "{context}: its own write");
            assert_eq!(two.get(a).await.unwrap(), 0, "{context}: dirty read");
            assert_eq!(world.committed(a).await, 0, "{context}");
            one.roll_back().await;
            assert_eq!(two.get(a).await.unwrap(), 0, "{context}: aborted read");
            two.commit().await.unwrap();
        }
    });
}

#[test]
fn a_snapshot_shows_one_moment_of_all_models() {
    on_a_server(async |mut world: World| {
        for (level, [a, b], begun) in cases() {
            let context = format!("{level}, {a:?}, {b:?}, {begun:?}");
            let [mut one, mut two] = world.parties(begun, level).await;
            assert_eq!(one.get(a).await.unwrap(), 0);
            two.set(a, 1).await.unwrap();
            two.set(b, 1).await.unwrap();
            two.commit().await.unwrap();
            let expected = i64::from(!keeps_snapshot(level));
            assert_eq!(one.get(b).await.unwrap(), expected, "{context}: read skew");
            assert_eq!(one.get(a).await.unwrap(), expected, "{context}");
            // Who only reads is never refused.
            one.commit().await.unwrap();
            world.reset().await;
        }
    });
}

#[test]
fn the_first_updater_wins_and_no_increment_is_lost() {
    on_a_server(async |mut world: World| {
        for (level, [a, _], begun) in cases() {
            let context = format!("{level}, {a:?}, {begun:?}");
            let [mut one, mut two] = world.parties(begun, level).await;
            assert_eq!(two.get(a).await.unwrap(), 0);
            one.increment(a).await.unwrap();
            let (second, ()) = tokio::join!(two.increment(a), async {
                world.until_waiting().await;
                one.commit().await.unwrap();
            });
            let expected = if keeps_snapshot(level) {
                loses(&mut two, second, &context).await;
                1
            } else {
                second.unwrap();
                two.commit().await.unwrap();
                2
            };
            assert_eq!(world.committed(a).await, expected, "{context}");
            world.reset().await;
        }
    });
}

/// The program adds to what it read before: READ COMMITTED does not keep it from that.
#[test]
fn an_update_of_what_was_read_is_lost_at_read_committed_only() {
    on_a_server(async |mut world: World| {
        for (level, [a, _], begun) in cases() {
            let context = format!("{level}, {a:?}, {begun:?}");
            let [mut one, mut two] = world.parties(begun, level).await;
            let (first, second) = (one.get(a).await.unwrap(), two.get(a).await.unwrap());
            one.set(a, first + 1).await.unwrap();
            one.commit().await.unwrap();
            let written = two.set(a, second + 10).await;
            let expected = if keeps_snapshot(level) {
                loses(&mut two, written, &context).await;
                1
            } else {
                written.unwrap();
                two.commit().await.unwrap();
                10
            };
            assert_eq!(world.committed(a).await, expected, "{context}");
            world.reset().await;
        }
    });
}

#[test]
fn write_skew_is_refused_at_serializable_only() {
    on_a_server(async |mut world: World| {
        for (level, [a, b], begun) in cases() {
            let context = format!("{level}, {a:?}, {b:?}, {begun:?}");
            let [mut one, mut two] = world.parties(begun, level).await;
            for party in [&mut one, &mut two] {
                assert_eq!(party.get(a).await.unwrap(), 0);
                assert_eq!(party.get(b).await.unwrap(), 0);
            }
            one.set(a, 1).await.unwrap();
            two.set(b, 1).await.unwrap();
            one.commit().await.unwrap();
            let second = two.commit().await;
            let expected = if level == "SERIALIZABLE" {
                loses(&mut two, second, &context).await;
                0
            } else {
                second.unwrap();
                1
            };
            assert_eq!(world.committed(b).await, expected, "{context}");
            world.reset().await;
        }
    });
}

/// Each looks for what the other one then inserts: keys below a prefix, and rows.
#[test]
fn phantoms_below_a_prefix_are_seen_refused_or_invisible_by_level() {
    on_a_server(async |mut world: World| {
        for (at, level) in LEVELS.into_iter().enumerate() {
            for number in 0..PAIRS.len() {
                let begun = PAIRS[(at + number) % PAIRS.len()];
                let context = format!("{level}, {begun:?}");
                let [mut one, mut two] = world.parties(begun, level).await;
                assert_eq!(one.count_keys("p:").await.unwrap(), 0);
                assert_eq!(two.count_keys("q:").await.unwrap(), 0);
                two.set(Item::Key("p:1"), 1).await.unwrap();
                two.commit().await.unwrap();
                let seen = one.count_keys("p:").await.unwrap();
                assert_eq!(seen, usize::from(!keeps_snapshot(level)), "{context}");
                one.set(Item::Key("q:1"), 1).await.unwrap();
                let first = one.commit().await;
                if level == "SERIALIZABLE" {
                    loses(&mut one, first, &context).await;
                } else {
                    first.unwrap();
                }
                world.reset().await;
            }
        }
    });
}
