//! Strings, times to live and counts against a plain map, at every moment.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tessera_keyvalue::{
    Expire, ExpireCondition, Footprint, GetExpiry, KeyValueError, SetCondition, SetExpiry,
    SetOptions, TimeToLive, UnixMillis,
};

use crate::world::{World, block_on, is_wrong_type, text, worlds};

const KEYS: [&str; 6] = ["a", "a:1", "a:2", "a:b:1", "b:1", "b:"];

/// A string of so many equal bytes: around every limit at which it is kept in another way.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![
        0..20_usize,
        2_040..2_060_usize,
        8_180..8_210_usize,
        Just(20_000)
    ];
    (any::<u8>(), length).prop_map(|(byte, length)| vec![byte; length])
}

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&KEYS[..])
}

#[derive(Debug, Clone)]
enum Op {
    Set(&'static str, Vec<u8>, Option<i64>),
    SetIf(&'static str, bool, bool),
    Append(&'static str, Vec<u8>),
    SetRange(&'static str, u64, Vec<u8>),
    Incr(&'static str, i64),
    Del(&'static str),
    GetDel(&'static str),
    Expire(&'static str, i64),
    Persist(&'static str),
    Rename(&'static str, &'static str),
    Copy(&'static str, &'static str),
    Advance(u64),
    Reclaim,
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (key(), value(), prop::option::of(1..50_i64)).prop_map(|(k, v, e)| Op::Set(k, v, e)),
        2 => (key(), any::<bool>(), any::<bool>()).prop_map(|(k, nx, keep)| Op::SetIf(k, nx, keep)),
        2 => (key(), value()).prop_map(|(k, v)| Op::Append(k, v)),
        2 => (key(), 0..20_000_u64, value()).prop_map(|(k, o, v)| Op::SetRange(k, o, v)),
        2 => (key(), any::<i64>()).prop_map(|(k, n)| Op::Incr(k, n)),
        1 => key().prop_map(Op::Del),
        1 => key().prop_map(Op::GetDel),
        2 => (key(), -5..50_i64).prop_map(|(k, n)| Op::Expire(k, n)),
        1 => key().prop_map(Op::Persist),
        2 => (key(), key()).prop_map(|(a, b)| Op::Rename(a, b)),
        1 => (key(), key()).prop_map(|(a, b)| Op::Copy(a, b)),
        3 => (0..40_u64).prop_map(Op::Advance),
        1 => Just(Op::Reclaim),
        1 => Just(Op::Clear),
    ]
}

#[derive(Debug, Default)]
struct Model {
    now: u64,
    keys: BTreeMap<&'static str, (Vec<u8>, Option<u64>)>,
}

impl Model {
    fn drop_expired(&mut self) {
        let now = self.now;
        self.keys
            .retain(|_, (_, expires)| expires.is_none_or(|expires| expires > now));
    }

    fn footprint(&self, prefix: &str) -> Footprint {
        let mut sum = Footprint::default();
        for (key, (value, expires)) in &self.keys {
            if key.starts_with(prefix) {
                sum.keys += 1;
                sum.expiring += u64::from(expires.is_some());
                sum.bytes += (key.len() + value.len()) as u64;
            }
        }
        sum
    }
}

async fn run(world: &World, ops: &[Op]) {
    let mut model = Model {
        now: world.now().0,
        ..Model::default()
    };
    for op in ops {
        apply(world, &mut model, op).await;
        model.drop_expired();
        compare(world, &model).await;
    }
    world.advance(1_000);
    model.now += 1_000;
    model.drop_expired();
    compare(world, &model).await;
    world.reclaim_all().await;
    compare(world, &model).await;
    world.write(async |w| w.clear().await).await.unwrap();
    world.reclaim_all().await;
    assert_eq!(world.stored_rows().await, (0, 0), "nothing is left behind");
}

async fn apply(world: &World, model: &mut Model, op: &Op) {
    match op {
        Op::Set(key, value, millis) => {
            let options = SetOptions {
                expiry: millis.map_or(SetExpiry::Clear, |n| SetExpiry::Expire(Expire::InMillis(n))),
                get: true,
                ..SetOptions::default()
            };
            let outcome = world.write(async |w| w.set(key.as_bytes(), value, options).await);
            let previous = outcome.await.unwrap().previous;
            let expires = millis.map(|millis| model.now.strict_add_signed(millis));
            let old = model.keys.insert(key, (value.clone(), expires));
            assert_eq!(
                previous.as_deref(),
                old.as_ref().map(|(value, _)| &value[..])
            );
        }
        Op::SetIf(key, if_absent, keep) => {
            let options = SetOptions {
                condition: if *if_absent {
                    SetCondition::IfAbsent
                } else {
                    SetCondition::IfPresent
                },
                expiry: if *keep {
                    SetExpiry::Keep
                } else {
                    SetExpiry::Clear
                },
                get: false,
            };
            let outcome = world.write(async |w| w.set(key.as_bytes(), b"if", options).await);
            let old = model.keys.get(key).cloned();
            let is_set = old.is_none() == *if_absent;
            assert_eq!(outcome.await.unwrap().is_set, is_set);
            if is_set {
                let expires = old.and_then(|(_, expires)| expires).filter(|_| *keep);
                model.keys.insert(key, (b"if".to_vec(), expires));
            }
        }
        Op::Append(key, value) => {
            let length = world.write(async |w| w.append(key.as_bytes(), value).await);
            let entry = model.keys.entry(key).or_default();
            entry.0.extend_from_slice(value);
            assert_eq!(length.await.unwrap(), entry.0.len() as u64);
        }
        Op::SetRange(key, offset, value) => {
            let length = world.write(async |w| w.setrange(key.as_bytes(), *offset, value).await);
            let length = length.await.unwrap();
            if value.is_empty() {
                let old = model.keys.get(key).map_or(0, |(value, _)| value.len());
                assert_eq!(length, old as u64);
                return;
            }
            let (start, end) = (*offset as usize, *offset as usize + value.len());
            let entry = model.keys.entry(key).or_default();
            let new_length = entry.0.len().max(end);
            entry.0.resize(new_length, 0);
            entry.0[start..end].copy_from_slice(value);
            assert_eq!(length, new_length as u64);
        }
        Op::Incr(key, by) => {
            let answer = world
                .write(async |w| w.incr_by(key.as_bytes(), *by).await)
                .await;
            let old = model
                .keys
                .get(key)
                .cloned()
                .unwrap_or((b"0".to_vec(), None));
            let number = std::str::from_utf8(&old.0)
                .ok()
                .and_then(|s| s.parse::<i64>().ok());
            match number.map(|number| number.checked_add(*by)) {
                Some(Some(new)) => {
                    assert_eq!(answer.unwrap(), new);
                    model
                        .keys
                        .insert(key, (new.to_string().into_bytes(), old.1));
                }
                Some(None) => assert!(matches!(answer, Err(KeyValueError::Overflow))),
                None => assert!(matches!(answer, Err(KeyValueError::NotAnInteger))),
            }
        }
        Op::Del(key) => {
            let count = world
                .write(async |w| w.del(&[key, key]).await)
                .await
                .unwrap();
            assert_eq!(count, u64::from(model.keys.remove(key).is_some()));
        }
        Op::GetDel(key) => {
            let value = world
                .write(async |w| w.getdel(key.as_bytes()).await)
                .await
                .unwrap();
            let old = model.keys.remove(key);
            assert_eq!(value.as_deref(), old.as_ref().map(|(value, _)| &value[..]));
        }
        Op::Expire(key, millis) => {
            let expire = Expire::InMillis(*millis);
            let condition = ExpireCondition::default();
            let done = world.write(async |w| w.expire(key.as_bytes(), expire, condition).await);
            let entry = model.keys.get_mut(key);
            assert_eq!(done.await.unwrap(), entry.is_some());
            if let Some(entry) = entry {
                entry.1 = Some(model.now.strict_add_signed(*millis));
            }
        }
        Op::Persist(key) => {
            let done = world
                .write(async |w| w.persist(key.as_bytes()).await)
                .await
                .unwrap();
            let old = model.keys.get_mut(key).and_then(|entry| entry.1.take());
            assert_eq!(done, old.is_some());
        }
        Op::Rename(from, to) => {
            let answer = world
                .write(async |w| w.rename(from.as_bytes(), to.as_bytes()).await)
                .await;
            match model.keys.remove(from) {
                Some(entry) => {
                    answer.unwrap();
                    model.keys.insert(to, entry);
                }
                None => assert!(matches!(answer, Err(KeyValueError::NoSuchKey))),
            }
        }
        Op::Copy(from, to) if from == to => {}
        Op::Copy(from, to) => {
            let copy = async |w: tessera_keyvalue::Writer<'_>| {
                w.copy(from.as_bytes(), &world.space, to.as_bytes(), true)
                    .await
            };
            let done = world.write(copy).await.unwrap();
            let source = model.keys.get(from).cloned();
            assert_eq!(done, source.is_some());
            if let Some(entry) = source {
                model.keys.insert(to, entry);
            }
        }
        Op::Advance(millis) => {
            world.advance(*millis);
            model.now += millis;
        }
        Op::Reclaim => world.reclaim_all().await,
        Op::Clear => {
            world.write(async |w| w.clear().await).await.unwrap();
            model.keys.clear();
        }
    }
}

async fn compare(world: &World, model: &Model) {
    let reader = world.reader();
    for key in KEYS {
        let found = reader.get(key.as_bytes()).await.unwrap();
        let expected = model.keys.get(key);
        assert_eq!(
            found.as_deref(),
            expected.map(|(value, _)| &value[..]),
            "{key}"
        );
        let time = match expected {
            None => TimeToLive::NoKey,
            Some((_, None)) => TimeToLive::Never,
            Some((_, Some(expires))) => TimeToLive::At(UnixMillis(*expires)),
        };
        assert_eq!(
            reader.time_to_live(key.as_bytes()).await.unwrap(),
            time,
            "{key}"
        );
        let value = expected.map_or(&b""[..], |(value, _)| value);
        assert_eq!(
            reader.strlen(key.as_bytes()).await.unwrap(),
            value.len() as u64
        );
        for (start, end) in [(0, 0), (-3, -1), (2_000, 9_000), (8_191, 8_192)] {
            let part = reader.getrange(key.as_bytes(), start, end).await.unwrap();
            assert_eq!(part, part_of(value, start, end), "{key} {start} {end}");
        }
    }
    assert_eq!(
        world.keys("*").await,
        model.keys.keys().copied().collect::<Vec<_>>()
    );
    for prefix in ["", "a", "a:", "a:b:", "b:", "c:"] {
        let expected = model.footprint(prefix);
        assert_eq!(world.prefix_footprint(prefix).await, expected, "{prefix:?}");
    }
}

fn part_of(value: &[u8], start: i64, end: i64) -> &[u8] {
    let length = value.len() as i64;
    let from_end = |at: i64| if at < 0 { (length + at).max(0) } else { at };
    let (start, end) = (from_end(start), from_end(end).min(length - 1));
    if start > end || length == 0 {
        return b"";
    }
    &value[start as usize..=end as usize]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn strings_times_and_counts_agree_with_a_map(ops in prop::collection::vec(op(), 1..40)) {
        block_on(async {
            for world in worlds().await {
                run(&world, &ops).await;
            }
        });
    }
}

#[test]
fn a_key_is_gone_in_the_millisecond_it_expires() {
    block_on(async {
        for world in worlds().await {
            let options = SetOptions {
                expiry: SetExpiry::Expire(Expire::InMillis(10)),
                ..SetOptions::default()
            };
            world
                .write(async |w| w.set(b"k", b"v", options).await)
                .await
                .unwrap();
            world.advance(9);
            assert!(world.reader().get(b"k").await.unwrap().is_some());
            assert_eq!(world.footprint().await.keys, 1);
            world.advance(1);
            assert!(world.reader().get(b"k").await.unwrap().is_none());
            assert_eq!(world.footprint().await, Footprint::default());
            // Whoever writes it finds nothing of the old one.
            let length = world
                .write(async |w| w.append(b"k", b"new").await)
                .await
                .unwrap();
            assert_eq!(length, 3);
            assert_eq!(
                world.reader().time_to_live(b"k").await.unwrap(),
                TimeToLive::Never
            );
        }
    });
}

#[test]
fn expire_conditions_take_no_time_to_live_for_infinite() {
    block_on(async {
        let world = World::memory().await;
        world
            .write(async |w| w.set(b"k", b"v", SetOptions::default()).await)
            .await
            .unwrap();
        let none = ExpireCondition::default();
        let later = ExpireCondition {
            if_later: true,
            ..none
        };
        let earlier = ExpireCondition {
            if_earlier: true,
            ..none
        };
        let if_some = ExpireCondition {
            if_some: true,
            ..none
        };
        let if_none = ExpireCondition {
            if_none: true,
            ..none
        };
        for (millis, condition, expected) in [
            (10, later, false),
            (10, if_some, false),
            (10, earlier, true),
            (20, if_none, false),
            (20, earlier, false),
            (20, later, true),
        ] {
            let expire = Expire::InMillis(millis);
            let done = world.write(async |w| w.expire(b"k", expire, condition).await);
            assert_eq!(done.await.unwrap(), expected, "{millis} {condition:?}");
        }
        let both = ExpireCondition {
            if_none: true,
            if_some: true,
            ..none
        };
        let answer = world.write(async |w| w.expire(b"k", Expire::InMillis(1), both).await);
        assert!(matches!(
            answer.await,
            Err(KeyValueError::InvalidArgument { .. })
        ));
        let huge = Expire::InMillis(i64::MAX);
        let answer = world
            .write(async |w| w.expire(b"k", huge, none).await)
            .await;
        assert!(matches!(answer, Err(KeyValueError::InvalidExpire)));
    });
}

#[test]
fn getex_changes_only_the_time_to_live() {
    block_on(async {
        let world = World::memory().await;
        world
            .write(async |w| w.set(b"k", b"v", SetOptions::default()).await)
            .await
            .unwrap();
        let expire = GetExpiry::Expire(Expire::InMillis(100));
        let value = world
            .write(async |w| w.getex(b"k", expire).await)
            .await
            .unwrap();
        assert_eq!(value.as_deref(), Some(&b"v"[..]));
        let expected = TimeToLive::At(UnixMillis(world.now().0 + 100));
        assert_eq!(world.reader().time_to_live(b"k").await.unwrap(), expected);
        world
            .write(async |w| w.getex(b"k", GetExpiry::Persist).await)
            .await
            .unwrap();
        assert_eq!(
            world.reader().time_to_live(b"k").await.unwrap(),
            TimeToLive::Never
        );
        for wrong in [0, -1] {
            let expire = GetExpiry::Expire(Expire::InMillis(wrong));
            let answer = world.write(async |w| w.getex(b"k", expire).await).await;
            assert!(matches!(answer, Err(KeyValueError::InvalidExpire)));
        }
    });
}

#[test]
fn several_keys_are_set_together_or_not_at_all() {
    block_on(async {
        for world in worlds().await {
            let pairs = [("b", "1"), ("a", "2"), ("b", "3")];
            world.write(async |w| w.mset(&pairs).await).await.unwrap();
            let values = world.reader().mget(&["a", "b", "c"]).await.unwrap();
            let values: Vec<_> = values.iter().map(|v| v.as_deref().map(text)).collect();
            assert_eq!(values, [Some("2".into()), Some("3".into()), None]);
            let some_new = [("c", "4"), ("a", "5")];
            assert!(
                !world
                    .write(async |w| w.msetnx(&some_new).await)
                    .await
                    .unwrap()
            );
            assert_eq!(world.keys("*").await, ["a", "b"]);
            let all_new = [("d", "4"), ("c", "5")];
            assert!(
                world
                    .write(async |w| w.msetnx(&all_new).await)
                    .await
                    .unwrap()
            );
            assert_eq!(world.footprint().await.keys, 4);
        }
    });
}

#[test]
fn floats_are_added_as_decimals() {
    block_on(async {
        let world = World::memory().await;
        for (by, expected) in [
            ("0.1", "0.1"),
            ("0.2", "0.3"),
            ("-0.3", "0"),
            ("5e3", "5000"),
        ] {
            let new = world.write(async |w| w.incr_by_float(b"f", by.as_bytes()).await);
            assert_eq!(text(&new.await.unwrap()), expected);
        }
        let answer = world
            .write(async |w| w.incr_by_float(b"f", b"x").await)
            .await;
        assert!(matches!(answer, Err(KeyValueError::NotAFloat)));
        let answer = world
            .write(async |w| w.incr_by_float(b"f", b"inf").await)
            .await;
        assert!(matches!(answer, Err(KeyValueError::NotFinite)));
    });
}

#[test]
fn a_command_for_another_type_is_refused_and_changes_nothing() {
    block_on(async {
        let world = World::memory().await;
        world
            .write(async |w| w.hset(b"h", &[("f", "v")]).await)
            .await
            .unwrap();
        let before = world.footprint().await;
        assert!(is_wrong_type(
            &world.write(async |w| w.incr_by(b"h", 1).await).await
        ));
        assert!(is_wrong_type(
            &world.write(async |w| w.sadd(b"h", &["m"]).await).await
        ));
        assert!(is_wrong_type(&world.reader().get(b"h").await));
        assert_eq!(world.reader().mget(&["h"]).await.unwrap(), [None]);
        assert_eq!(world.footprint().await, before);
        // SET takes any.
        world
            .write(async |w| w.set(b"h", b"v", SetOptions::default()).await)
            .await
            .unwrap();
        assert_eq!(world.footprint().await.bytes, 2);
    });
}
