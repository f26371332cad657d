//! Hashes, lists and sets against maps, deques and sets of the standard library.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;
use tessera_keyvalue::{End, LposOptions, SetOperation, Side};

use crate::world::{World, block_on, text, worlds};

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&NAMES[..])
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Left), Just(End::Right)]
}

#[derive(Debug, Clone)]
enum HashOp {
    Set(Vec<(&'static str, &'static str)>),
    SetNew(&'static str, &'static str),
    Del(Vec<&'static str>),
    Incr(&'static str, i64),
}

fn hash_op() -> impl Strategy<Value = HashOp> {
    prop_oneof![
        prop::collection::vec((name(), name()), 1..4).prop_map(HashOp::Set),
        (name(), name()).prop_map(|(f, v)| HashOp::SetNew(f, v)),
        prop::collection::vec(name(), 1..5).prop_map(HashOp::Del),
        (name(), -100..100_i64).prop_map(|(f, n)| HashOp::Incr(f, n)),
    ]
}

async fn run_hash(world: &World, ops: &[HashOp]) {
    let mut model: BTreeMap<String, String> = BTreeMap::new();
    for op in ops {
        match op {
            HashOp::Set(pairs) => {
                let before = model.len();
                for (field, value) in pairs {
                    model.insert((*field).into(), (*value).into());
                }
                let added = world
                    .write(async |w| w.hset(b"k", pairs).await)
                    .await
                    .unwrap();
                assert_eq!(added as usize, model.len() - before);
            }
            HashOp::SetNew(field, value) => {
                let (f, v) = (field.as_bytes(), value.as_bytes());
                let is_new = world
                    .write(async |w| w.hsetnx(b"k", f, v).await)
                    .await
                    .unwrap();
                assert_eq!(is_new, !model.contains_key(*field));
                model
                    .entry((*field).into())
                    .or_insert_with(|| (*value).into());
            }
            HashOp::Del(fields) => {
                let before = model.len();
                for field in fields {
                    model.remove(*field);
                }
                let gone = world
                    .write(async |w| w.hdel(b"k", fields).await)
                    .await
                    .unwrap();
                assert_eq!(gone as usize, before - model.len());
            }
            HashOp::Incr(field, by) => {
                let answer = world.write(async |w| w.hincr_by(b"k", field.as_bytes(), *by).await);
                let old = model.get(*field).map_or(Ok(0), |text| text.parse::<i64>());
                match (answer.await, old) {
                    (Ok(new), Ok(old)) => {
                        assert_eq!(new, old + by);
                        model.insert((*field).into(), new.to_string());
                    }
                    (answer, old) => assert!(answer.is_err() && old.is_err()),
                }
            }
        }
        let all = world.reader().hgetall(b"k").await.unwrap();
        let all: BTreeMap<_, _> = all.iter().map(|(f, v)| (text(f), text(v))).collect();
        assert_eq!(all, model);
        let payload: usize = model
            .iter()
            .map(|(field, value)| field.len() + value.len())
            .sum();
        check_counts(world, model.len(), payload).await;
    }
}

/// One key of one byte, or none, with so many elements and bytes.
async fn check_counts(world: &World, elements: usize, payload: usize) {
    let footprint = world.footprint().await;
    let exists = usize::from(elements > 0);
    assert_eq!(footprint.keys as usize, exists);
    assert_eq!(footprint.bytes as usize, exists + payload);
    let (rows, others) = world.stored_rows().await;
    assert_eq!(
        (rows, others),
        (exists + elements, 0),
        "no rows but those needed"
    );
}

#[derive(Debug, Clone)]
enum ListOp {
    Push(End, Vec<&'static str>),
    Pop(End, u64),
    Set(i64, &'static str),
    Insert(Side, &'static str, &'static str),
    Remove(i64, &'static str),
    Trim(i64, i64),
    Rotate(End, End),
}

fn list_op() -> impl Strategy<Value = ListOp> {
    let side = prop_oneof![Just(Side::Before), Just(Side::After)];
    prop_oneof![
        4 => (end(), prop::collection::vec(name(), 1..6)).prop_map(|(e, n)| ListOp::Push(e, n)),
        1 => (end(), 0..4_u64).prop_map(|(e, n)| ListOp::Pop(e, n)),
        2 => (-9..9_i64, name()).prop_map(|(at, n)| ListOp::Set(at, n)),
        3 => (side, name(), name()).prop_map(|(s, p, n)| ListOp::Insert(s, p, n)),
        3 => (-3..4_i64, name()).prop_map(|(c, n)| ListOp::Remove(c, n)),
        1 => (-12..4_i64, -4..12_i64).prop_map(|(a, b)| ListOp::Trim(a, b)),
        1 => (end(), end()).prop_map(|(a, b)| ListOp::Rotate(a, b)),
    ]
}

async fn run_list(world: &World, ops: &[ListOp]) {
    let mut model: VecDeque<&'static str> = VecDeque::new();
    for op in ops {
        match op {
            ListOp::Push(end, items) => {
                for item in items {
                    match end {
                        End::Left => model.push_front(item),
                        End::Right => model.push_back(item),
                    }
                }
                let length = world.write(async |w| w.push(b"k", *end, items, false).await);
                assert_eq!(length.await.unwrap() as usize, model.len());
            }
            ListOp::Pop(end, count) => {
                let items = world
                    .write(async |w| w.pop(b"k", *end, *count).await)
                    .await
                    .unwrap();
                let Some(items) = items else {
                    assert!(model.is_empty());
                    continue;
                };
                for item in &items {
                    let expected = match end {
                        End::Left => model.pop_front(),
                        End::Right => model.pop_back(),
                    };
                    assert_eq!(text(item), expected.unwrap());
                }
                assert!(items.len() as u64 == *count || model.is_empty());
            }
            ListOp::Set(at, item) => {
                let answer = world.write(async |w| w.lset(b"k", *at, item.as_bytes()).await);
                let place = if *at < 0 {
                    at + model.len() as i64
                } else {
                    *at
                };
                let slot = usize::try_from(place)
                    .ok()
                    .and_then(|place| model.get_mut(place));
                assert_eq!(answer.await.is_ok(), slot.is_some());
                if let Some(slot) = slot {
                    *slot = item;
                }
            }
            ListOp::Insert(side, pivot, item) => {
                let (p, i) = (pivot.as_bytes(), item.as_bytes());
                let answer = world
                    .write(async |w| w.linsert(b"k", *side, p, i).await)
                    .await;
                let place = model.iter().position(|candidate| candidate == pivot);
                let expected = match place {
                    _ if model.is_empty() => 0,
                    None => -1,
                    Some(place) => {
                        model.insert(place + usize::from(*side == Side::After), item);
                        model.len() as i64
                    }
                };
                assert_eq!(answer.unwrap(), expected);
            }
            ListOp::Remove(count, item) => {
                let gone = world.write(async |w| w.lrem(b"k", *count, item.as_bytes()).await);
                let before = model.len();
                remove(&mut model, *count, item);
                assert_eq!(gone.await.unwrap() as usize, before - model.len());
            }
            ListOp::Trim(start, stop) => {
                world
                    .write(async |w| w.ltrim(b"k", *start, *stop).await)
                    .await
                    .unwrap();
                model = part(&model, *start, *stop).into();
            }
            ListOp::Rotate(take, give) => {
                let moved = world.write(async |w| w.lmove(b"k", b"k", *take, *give).await);
                let item = match take {
                    End::Left => model.pop_front(),
                    End::Right => model.pop_back(),
                };
                assert_eq!(
                    moved.await.unwrap().as_deref().map(text),
                    item.map(str::to_owned)
                );
                if let Some(item) = item {
                    match give {
                        End::Left => model.push_front(item),
                        End::Right => model.push_back(item),
                    }
                }
            }
        }
        compare_list(world, &model).await;
    }
}

fn remove(model: &mut VecDeque<&'static str>, count: i64, item: &str) {
    let mut left = if count == 0 {
        usize::MAX
    } else {
        count.unsigned_abs() as usize
    };
    let mut keep = |candidate: &&str| {
        let is_gone = *candidate == item && left > 0;
        left -= usize::from(is_gone);
        !is_gone
    };
    if count < 0 {
        let mut kept: Vec<_> = model.iter().rev().copied().filter(|c| keep(c)).collect();
        kept.reverse();
        *model = kept.into();
    } else {
        model.retain(|candidate| keep(candidate));
    }
}

fn part(model: &VecDeque<&'static str>, start: i64, stop: i64) -> Vec<&'static str> {
    let length = model.len() as i64;
    let from_end = |at: i64| if at < 0 { at + length } else { at };
    let (start, stop) = (from_end(start), from_end(stop));
    (0..length)
        .filter(|at| (start..=stop).contains(at))
        .map(|at| model[at as usize])
        .collect()
}

async fn compare_list(world: &World, model: &VecDeque<&'static str>) {
    let reader = world.reader();
    for (start, stop) in [(0, -1), (1, 2), (-3, -2), (5, 100), (3, 1)] {
        let items = reader.lrange(b"k", start, stop).await.unwrap();
        let items: Vec<_> = items.iter().map(|item| text(item)).collect();
        assert_eq!(items, part(model, start, stop), "{start} {stop}");
    }
    for at in [0, 2, -1, 50] {
        let place = if at < 0 { at + model.len() as i64 } else { at };
        let expected = usize::try_from(place)
            .ok()
            .and_then(|place| model.get(place));
        let item = reader.lindex(b"k", at).await.unwrap();
        assert_eq!(item.as_deref().map(text).as_deref(), expected.copied());
    }
    let places: Vec<u64> = (0..)
        .zip(model)
        .filter(|(_, item)| **item == "a")
        .map(|(at, _)| at)
        .collect();
    let all = LposOptions {
        count: Some(0),
        ..LposOptions::default()
    };
    assert_eq!(reader.lpos(b"k", b"a", all).await.unwrap(), places);
    let last = LposOptions {
        rank: -1,
        ..LposOptions::default()
    };
    let found = reader.lpos(b"k", b"a", last).await.unwrap();
    assert_eq!(
        found,
        places.last().copied().into_iter().collect::<Vec<_>>()
    );
    check_counts(
        world,
        model.len(),
        model.iter().map(|item| item.len()).sum(),
    )
    .await;
}

#[derive(Debug, Clone)]
enum SetOp {
    Add(usize, Vec<&'static str>),
    Remove(usize, Vec<&'static str>),
    Pop(usize, u64),
    Move(usize, usize, &'static str),
    Store(usize, SetOperation, Vec<usize>),
}

const SETS: [&str; 3] = ["x", "y", "z"];

fn operation() -> impl Strategy<Value = SetOperation> {
    prop_oneof![
        Just(SetOperation::Intersection),
        Just(SetOperation::Union),
        Just(SetOperation::Difference),
    ]
}

fn set_op() -> impl Strategy<Value = SetOp> {
    let names = || prop::collection::vec(name(), 1..6);
    let which = || 0..SETS.len();
    prop_oneof![
        4 => (which(), names()).prop_map(|(k, n)| SetOp::Add(k, n)),
        2 => (which(), names()).prop_map(|(k, n)| SetOp::Remove(k, n)),
        1 => (which(), 0..4_u64).prop_map(|(k, n)| SetOp::Pop(k, n)),
        2 => (which(), which(), name()).prop_map(|(a, b, n)| SetOp::Move(a, b, n)),
        2 => (which(), operation(), prop::collection::vec(which(), 1..4))
            .prop_map(|(to, op, from)| SetOp::Store(to, op, from)),
    ]
}

type Sets = [BTreeSet<String>; SETS.len()];

fn combine(model: &Sets, operation: SetOperation, from: &[usize]) -> BTreeSet<String> {
    let mut sets = from.iter().map(|at| model[*at].clone());
    let first = sets.next().unwrap();
    sets.fold(first, |sum, other| match operation {
        SetOperation::Intersection => &sum & &other,
        SetOperation::Union => &sum | &other,
        SetOperation::Difference => &sum - &other,
    })
}

async fn run_sets(world: &World, ops: &[SetOp]) {
    let mut model = Sets::default();
    for op in ops {
        match op {
            SetOp::Add(at, names) => {
                let before = model[*at].len();
                model[*at].extend(names.iter().map(|name| (*name).to_owned()));
                let added = world.write(async |w| w.sadd(SETS[*at].as_bytes(), names).await);
                assert_eq!(added.await.unwrap() as usize, model[*at].len() - before);
            }
            SetOp::Remove(at, names) => {
                let before = model[*at].len();
                for name in names {
                    model[*at].remove(*name);
                }
                let gone = world.write(async |w| w.srem(SETS[*at].as_bytes(), names).await);
                assert_eq!(gone.await.unwrap() as usize, before - model[*at].len());
            }
            SetOp::Pop(at, count) => {
                let popped = world.write(async |w| w.spop(SETS[*at].as_bytes(), *count).await);
                let popped = popped.await.unwrap();
                assert_eq!(popped.len() as u64, (*count).min(model[*at].len() as u64));
                for member in popped {
                    assert!(model[*at].remove(&text(&member)));
                }
            }
            SetOp::Move(from, to, name) => {
                let (f, t) = (SETS[*from].as_bytes(), SETS[*to].as_bytes());
                let moved = world.write(async |w| w.smove(f, t, name.as_bytes()).await);
                assert_eq!(moved.await.unwrap(), model[*from].contains(*name));
                if model[*from].remove(*name) {
                    model[*to].insert((*name).to_owned());
                }
            }
            SetOp::Store(to, operation, from) => {
                let keys: Vec<&str> = from.iter().map(|at| SETS[*at]).collect();
                let key = SETS[*to].as_bytes();
                let store = async |w: tessera_keyvalue::Writer<'_>| {
                    w.set_operation_store(*operation, key, &keys).await
                };
                let count = world.write(store).await.unwrap();
                model[*to] = combine(&model, *operation, from);
                assert_eq!(count as usize, model[*to].len());
            }
        }
        let reader = world.reader();
        for (key, set) in SETS.iter().zip(&model) {
            let members = reader.smembers(key.as_bytes()).await.unwrap();
            let members: BTreeSet<_> = members.iter().map(|member| text(member)).collect();
            assert_eq!(&members, set);
            let three = reader.srandmember(key.as_bytes(), 3).await.unwrap();
            let distinct: BTreeSet<_> = three.iter().map(|member| text(member)).collect();
            assert_eq!(distinct.len(), set.len().min(3));
            assert!(distinct.is_subset(set));
            let repeated = reader.srandmember(key.as_bytes(), -5).await.unwrap();
            assert_eq!(repeated.len(), if set.is_empty() { 0 } else { 5 });
        }
        let common = combine(&model, SetOperation::Intersection, &[0, 1]).len() as u64;
        assert_eq!(reader.sintercard(&["x", "y"], 0).await.unwrap(), common);
        assert_eq!(
            reader.sintercard(&["x", "y"], 2).await.unwrap(),
            common.min(2)
        );
        let elements: usize = model.iter().map(BTreeSet::len).sum();
        let keys = model.iter().filter(|set| !set.is_empty()).count();
        assert_eq!(world.footprint().await.keys as usize, keys);
        assert_eq!(world.stored_rows().await, (keys + elements, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn hashes_agree_with_a_map(ops in prop::collection::vec(hash_op(), 1..30)) {
        block_on(async {
            for world in worlds().await {
                run_hash(&world, &ops).await;
            }
        });
    }

    #[test]
    fn lists_agree_with_a_deque(ops in prop::collection::vec(list_op(), 1..40)) {
        block_on(async {
            for world in worlds().await {
                run_list(&world, &ops).await;
            }
        });
    }

    #[test]
    fn sets_agree_with_sets(ops in prop::collection::vec(set_op(), 1..30)) {
        block_on(async {
            for world in worlds().await {
                run_sets(&world, &ops).await;
            }
        });
    }
}

#[test]
fn a_huge_key_is_deleted_without_touching_its_elements() {
    block_on(async {
        for world in worlds().await {
            let members: Vec<String> = (0..500).map(|n| format!("m{n}")).collect();
            world
                .write(async |w| w.sadd(b"big", &members).await)
                .await
                .unwrap();
            world.write(async |w| w.del(&["big"]).await).await.unwrap();
            assert_eq!(
                world.stored_rows().await,
                (500, 1),
                "one entry lists what is left"
            );
            assert_eq!(world.reader().smembers(b"big").await.unwrap().len(), 0);
            // The name is free for other elements at once.
            world
                .write(async |w| w.sadd(b"big", &["new"]).await)
                .await
                .unwrap();
            assert_eq!(world.reader().smembers(b"big").await.unwrap(), ["new"]);
            world.reclaim_all().await;
            assert_eq!(world.stored_rows().await, (2, 0));
            assert_eq!(world.reader().smembers(b"big").await.unwrap(), ["new"]);
        }
    });
}

#[test]
fn a_large_set_gives_each_member_a_chance() {
    block_on(async {
        let world = World::memory().await;
        let members: Vec<String> = (0..600).map(|n| format!("m{n}")).collect();
        world
            .write(async |w| w.sadd(b"big", &members).await)
            .await
            .unwrap();
        let mut seen = BTreeSet::new();
        for _ in 0..40 {
            for member in world.reader().srandmember(b"big", 100).await.unwrap() {
                seen.insert(text(&member));
            }
        }
        // 4,000 draws of 600; a fair choice leaves out less than one.
        assert!(seen.len() > 500, "{}", seen.len());
    });
}

#[test]
fn items_move_between_lists() {
    block_on(async {
        let world = World::memory().await;
        world
            .write(async |w| w.push(b"a", End::Right, &["1", "2"], false).await)
            .await
            .unwrap();
        let moved = world.write(async |w| w.lmove(b"a", b"b", End::Right, End::Left).await);
        assert_eq!(moved.await.unwrap().as_deref(), Some(&b"2"[..]));
        let moved = world.write(async |w| w.lmove(b"a", b"b", End::Left, End::Left).await);
        assert_eq!(moved.await.unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(world.keys("*").await, ["b"]);
        assert_eq!(
            world.reader().lrange(b"b", 0, -1).await.unwrap(),
            ["1", "2"]
        );
        let popped = world
            .write(async |w| w.lmpop(&["a", "b"], End::Right, 5).await)
            .await
            .unwrap();
        assert_eq!(popped, Some((1, vec!["2".into(), "1".into()])));
        let pushed = world.write(async |w| w.push(b"b", End::Left, &["x"], true).await);
        assert_eq!(pushed.await.unwrap(), 0);
    });
}
