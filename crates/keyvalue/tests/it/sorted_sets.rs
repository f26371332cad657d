//! Sorted sets against a map of scores, small ones and such with several levels of fences.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tessera_keyvalue::{
    Aggregate, LexBound, LexRange, RangeBy, RangeSpec, ScoreBound, ScoreComparison, ScoreRange,
    SetCondition, ZaddOptions, ZsetOperation,
};

use crate::world::{World, block_on, text, worlds};

type Model = BTreeMap<String, f64>;

fn ordered(model: &Model) -> Vec<(String, f64)> {
    let mut all: Vec<_> = model.iter().map(|(m, s)| (m.clone(), *s)).collect();
    all.sort_by(|a, b| a.1.partial_cmp(&b.1).unwrap().then_with(|| a.0.cmp(&b.0)));
    all
}

async fn range(world: &World, spec: &RangeSpec<'_>) -> Vec<(String, f64)> {
    let found = world.reader().zrange(b"k", spec).await.unwrap();
    found
        .iter()
        .map(|(member, score)| (text(member), *score))
        .collect()
}

#[derive(Debug, Clone)]
enum Op {
    Add(Vec<(i8, u16)>),
    AddIf(i8, u16, ZaddOptions),
    Incr(i8, u16),
    Remove(Vec<u16>),
    Pop(bool, u64),
    RemoveScores(i8, i8),
    RemoveRanks(i64, i64),
}

fn options() -> impl Strategy<Value = ZaddOptions> {
    let condition = prop_oneof![
        Just(SetCondition::Always),
        Just(SetCondition::IfPresent),
        Just(SetCondition::IfAbsent),
    ];
    let comparison = prop_oneof![
        Just(None),
        Just(Some(ScoreComparison::Greater)),
        Just(Some(ScoreComparison::Less)),
    ];
    (condition, comparison).prop_map(|(condition, comparison)| ZaddOptions {
        condition,
        comparison: comparison.filter(|_| condition != SetCondition::IfAbsent),
    })
}

/// Operations on members below `members`.
fn op(members: u16) -> impl Strategy<Value = Op> {
    let batch = usize::from(members);
    prop_oneof![
        4 => prop::collection::vec((any::<i8>(), 0..members), 1..batch).prop_map(Op::Add),
        2 => (any::<i8>(), 0..members, options()).prop_map(|(s, m, o)| Op::AddIf(s, m, o)),
        2 => (any::<i8>(), 0..members).prop_map(|(s, m)| Op::Incr(s, m)),
        2 => prop::collection::vec(0..members, 1..batch / 2).prop_map(Op::Remove),
        1 => (any::<bool>(), 0..4_u64).prop_map(|(h, n)| Op::Pop(h, n)),
        1 => (any::<i8>(), any::<i8>()).prop_map(|(a, b)| Op::RemoveScores(a, b)),
        1 => (-5..5_i64, -5..5_i64).prop_map(|(a, b)| Op::RemoveRanks(a, b)),
    ]
}

fn member(number: u16) -> String {
    format!("m{number}")
}

async fn apply(world: &World, model: &mut Model, op: &Op) {
    match op {
        Op::Add(members) => {
            let members: Vec<_> = members
                .iter()
                .map(|(s, m)| (f64::from(*s), member(*m)))
                .collect();
            let before = model.len();
            for (score, member) in &members {
                model.insert(member.clone(), *score);
            }
            let options = ZaddOptions::default();
            let outcome = world.write(async |w| w.zadd(b"k", &members, options).await);
            assert_eq!(outcome.await.unwrap().added as usize, model.len() - before);
        }
        Op::AddIf(score, number, options) => {
            let (score, name) = (f64::from(*score), member(*number));
            let outcome = world.write(async |w| w.zadd(b"k", &[(score, &name)], *options).await);
            let old = model.get(&name).copied();
            let is_allowed = match (options.condition, options.comparison, old) {
                (SetCondition::IfAbsent, _, old) => old.is_none(),
                (SetCondition::IfPresent, _, None) => false,
                (_, Some(ScoreComparison::Greater), Some(old)) => score > old,
                (_, Some(ScoreComparison::Less), Some(old)) => score < old,
                _ => true,
            };
            let is_changed = is_allowed && old != Some(score);
            assert_eq!(outcome.await.unwrap().changed, u64::from(is_changed));
            if is_allowed {
                model.insert(name, score);
            }
        }
        Op::Incr(by, number) => {
            let (by, name) = (f64::from(*by), member(*number));
            let options = ZaddOptions::default();
            let new = world.write(async |w| w.zincr_by(b"k", by, name.as_bytes(), options).await);
            let score = model.entry(name.clone()).or_insert(0.0);
            *score += by;
            assert_eq!(new.await.unwrap(), Some(*score));
        }
        Op::Remove(numbers) => {
            let names: Vec<String> = numbers.iter().map(|number| member(*number)).collect();
            let before = model.len();
            model.retain(|name, _| !names.contains(name));
            let gone = world
                .write(async |w| w.zrem(b"k", &names).await)
                .await
                .unwrap();
            assert_eq!(gone as usize, before - model.len());
        }
        Op::Pop(highest, count) => {
            let popped = world
                .write(async |w| w.zpop(b"k", *highest, *count).await)
                .await
                .unwrap();
            let mut expected = ordered(model);
            if *highest {
                expected.reverse();
            }
            expected.truncate(*count as usize);
            let popped: Vec<_> = popped.iter().map(|(m, s)| (text(m), *s)).collect();
            assert_eq!(popped, expected);
            for (name, _) in expected {
                model.remove(&name);
            }
        }
        Op::RemoveScores(a, b) => {
            let (min, max) = (f64::from(*a), f64::from(*b));
            let by = RangeBy::Score(ScoreRange {
                min: ScoreBound::Excluded(min),
                max: ScoreBound::Included(max),
            });
            let before = model.len();
            model.retain(|_, score| !(min < *score && *score <= max));
            let gone = world
                .write(async |w| w.zremrange(b"k", by).await)
                .await
                .unwrap();
            assert_eq!(gone as usize, before - model.len());
        }
        Op::RemoveRanks(start, stop) => {
            let gone = part(&ordered(model), *start, *stop);
            let by = RangeBy::Rank(*start, *stop);
            let count = world
                .write(async |w| w.zremrange(b"k", by).await)
                .await
                .unwrap();
            assert_eq!(count as usize, gone.len());
            for (name, _) in gone {
                model.remove(&name);
            }
        }
    }
}

fn part(all: &[(String, f64)], start: i64, stop: i64) -> Vec<(String, f64)> {
    let length = all.len() as i64;
    let from_end = |at: i64| if at < 0 { at + length } else { at };
    let (start, stop) = (from_end(start), from_end(stop));
    (0..length)
        .filter(|at| (start..=stop).contains(at))
        .map(|at| all[at as usize].clone())
        .collect()
}

async fn compare(world: &World, model: &Model) {
    let all = ordered(model);
    let mut reversed = all.clone();
    reversed.reverse();
    assert_eq!(
        range(world, &RangeSpec::new(RangeBy::Score(ScoreRange::ALL))).await,
        all
    );
    let middle = all.len() as i64 / 2;
    for (start, stop) in [
        (0, -1),
        (middle, middle + 3),
        (-2, -1),
        (3, 3),
        (2, 1),
        (0, 10_000),
    ] {
        for (reverse, all) in [(false, &all), (true, &reversed)] {
            let spec = RangeSpec {
                reverse,
                ..RangeSpec::new(RangeBy::Rank(start, stop))
            };
            assert_eq!(
                range(world, &spec).await,
                part(all, start, stop),
                "{start} {stop}"
            );
        }
    }
    let scores = ScoreRange {
        min: ScoreBound::Excluded(-20.0),
        max: ScoreBound::Included(50.0),
    };
    let is_in = |score: f64| -20.0 < score && score <= 50.0;
    let expected: Vec<_> = reversed
        .iter()
        .filter(|(_, score)| is_in(*score))
        .cloned()
        .collect();
    let count = world.reader().zcount(b"k", scores).await.unwrap();
    assert_eq!(count as usize, expected.len());
    let limited = RangeSpec {
        by: RangeBy::Score(scores),
        reverse: true,
        limit: Some((1, 3)),
    };
    let expected: Vec<_> = expected.into_iter().skip(1).take(3).collect();
    assert_eq!(range(world, &limited).await, expected);
    let step = (all.len() / 7).max(1);
    for (at, (name, score)) in all.iter().enumerate().step_by(step) {
        let reader = world.reader();
        let rank = reader.zrank(b"k", name.as_bytes(), false).await.unwrap();
        assert_eq!(rank, Some((at as u64, *score)));
        let rank = reader.zrank(b"k", name.as_bytes(), true).await.unwrap();
        assert_eq!(rank, Some(((all.len() - 1 - at) as u64, *score)));
    }
    let footprint = world.footprint().await;
    let bytes: usize = model.keys().map(|name| name.len() + 8).sum();
    let exists = usize::from(!model.is_empty());
    assert_eq!(
        (footprint.keys as usize, footprint.bytes as usize),
        (exists, exists + bytes)
    );
}

async fn run(world: &World, ops: &[Op]) {
    let mut model = Model::new();
    for op in ops {
        apply(world, &mut model, op).await;
        compare(world, &model).await;
    }
    world.write(async |w| w.del(&["k"]).await).await.unwrap();
    world.reclaim_all().await;
    assert_eq!(world.stored_rows().await, (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn small_sorted_sets_agree_with_a_map(ops in prop::collection::vec(op(12), 1..30)) {
        block_on(async {
            for world in worlds().await {
                run(&world, &ops).await;
            }
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    /// With a level of fences that comes and goes.
    #[test]
    fn large_sorted_sets_agree_with_a_map(ops in prop::collection::vec(op(900), 1..12)) {
        block_on(async {
            run(&World::memory().await, &ops).await;
        });
    }
}

#[test]
fn ranks_are_exact_with_two_levels_of_fences() {
    block_on(async {
        let world = World::memory().await;
        let mut model = Model::new();
        let members: Vec<(f64, String)> = (0..17_000_u32)
            .map(|n| (f64::from(n % 977), format!("m{n}")))
            .collect();
        model.extend(members.iter().map(|(score, name)| (name.clone(), *score)));
        let options = ZaddOptions::default();
        world
            .write(async |w| w.zadd(b"k", &members, options).await)
            .await
            .unwrap();
        compare(&world, &model).await;
        for number in (0..17_000_u32).step_by(13) {
            let name = format!("m{number}");
            let score = model[&name] + 0.5;
            model.insert(name.clone(), score);
            let changed = [(score, name)];
            world
                .write(async |w| w.zadd(b"k", &changed, options).await)
                .await
                .unwrap();
        }
        compare(&world, &model).await;
    });
}

#[test]
fn names_are_ordered_where_scores_are_equal() {
    block_on(async {
        let world = World::memory().await;
        let members = ["d", "b", "a", "c"].map(|name| (0.0, name));
        let options = ZaddOptions::default();
        world
            .write(async |w| w.zadd(b"k", &members, options).await)
            .await
            .unwrap();
        for (min, max, expected) in [
            (LexBound::First, LexBound::Last, "abcd"),
            (LexBound::Included(b"b"), LexBound::Excluded(b"d"), "bc"),
            (LexBound::Excluded(b"a"), LexBound::Included(b"d"), "bcd"),
            (LexBound::Included(b"c"), LexBound::Included(b"b"), ""),
        ] {
            let lex = LexRange { min, max };
            let found = range(&world, &RangeSpec::new(RangeBy::Lex(lex))).await;
            let names: String = found.into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, expected);
            let count = world.reader().zlexcount(b"k", lex).await.unwrap();
            assert_eq!(count as usize, expected.len());
        }
    });
}

#[test]
fn sorted_sets_and_sets_are_combined() {
    block_on(async {
        let world = World::memory().await;
        let options = ZaddOptions::default();
        let one = [(1.0, "a"), (2.0, "b")];
        let two = [(10.0, "b"), (f64::INFINITY, "c")];
        world
            .write(async |w| w.zadd(b"1", &one, options).await)
            .await
            .unwrap();
        world
            .write(async |w| w.zadd(b"2", &two, options).await)
            .await
            .unwrap();
        world
            .write(async |w| w.sadd(b"s", &["b", "c"]).await)
            .await
            .unwrap();
        let combined = async |operation: ZsetOperation<'_>, keys: &[&str]| {
            let store = async |w: tessera_keyvalue::Writer<'_>| {
                w.zset_operation_store(&operation, b"k", keys).await
            };
            let count = world.write(store).await.unwrap();
            let found = range(&world, &RangeSpec::new(RangeBy::Rank(0, -1))).await;
            assert_eq!(count as usize, found.len());
            found
                .iter()
                .map(|(m, s)| format!("{m}={s}"))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let union = ZsetOperation::Union {
            weights: &[2.0, 3.0],
            aggregate: Aggregate::Sum,
        };
        assert_eq!(combined(union, &["1", "2"]).await, "a=2 b=34 c=inf");
        let most = ZsetOperation::Intersection {
            weights: &[],
            aggregate: Aggregate::Max,
        };
        assert_eq!(combined(most, &["1", "2", "s"]).await, "b=10");
        assert_eq!(
            combined(ZsetOperation::Difference, &["2", "1"]).await,
            "c=inf"
        );
        let zero = ZsetOperation::Union {
            weights: &[0.0],
            aggregate: Aggregate::Min,
        };
        assert_eq!(combined(zero, &["2"]).await, "b=0 c=0");
        assert_eq!(world.reader().zintercard(&["2", "s"], 1).await.unwrap(), 1);
    });
}
