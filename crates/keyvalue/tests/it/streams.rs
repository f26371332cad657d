//! Streams against a vector of entries; consumer groups step by step.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tessera_keyvalue::{
    AddId, Claim, ClaimOptions, GroupStart, KeyValueError, ReadFrom, ReadGroup, StreamId,
    StreamRange, Trim, TrimTo, XaddOptions,
};

use crate::world::{World, block_on, text, worlds};

fn id(millis: u64, sequence: u64) -> StreamId {
    StreamId::new(millis, sequence)
}

async fn add(world: &World, new: AddId, value: &str) -> tessera_keyvalue::Result<StreamId> {
    let added = world
        .write(async |w| {
            w.xadd(b"s", new, &[("f", value)], XaddOptions::default())
                .await
        })
        .await;
    Ok(added?.unwrap())
}

#[derive(Debug, Clone)]
enum Op {
    Add(u64, u64),
    AddNext(u64),
    Delete(Vec<(u64, u64)>),
    Trim(TrimTo, Option<u64>),
}

fn op() -> impl Strategy<Value = Op> {
    let small = || (0..6_u64, 0..6_u64);
    prop_oneof![
        3 => small().prop_map(|(m, s)| Op::Add(m, s)),
        3 => (0..6_u64).prop_map(Op::AddNext),
        2 => prop::collection::vec(small(), 1..4).prop_map(Op::Delete),
        1 => (0..6_u64, prop::option::of(0..3_u64)).prop_map(|(n, l)| Op::Trim(TrimTo::Length(n), l)),
        1 => small().prop_map(|(m, s)| Op::Trim(TrimTo::Id(id(m, s)), None)),
    ]
}

async fn run(world: &World, ops: &[Op]) {
    let mut model: BTreeMap<StreamId, String> = BTreeMap::new();
    let mut last = StreamId::MIN;
    let mut added = 0;
    for (step, op) in ops.iter().enumerate() {
        let value = format!("v{step}");
        match op {
            Op::Add(millis, sequence) => {
                let wanted = id(*millis, *sequence);
                let answer = add(world, AddId::Exact(wanted), &value).await;
                if wanted == StreamId::MIN {
                    assert!(matches!(answer, Err(KeyValueError::StreamIdZero)));
                } else if wanted <= last {
                    assert!(matches!(answer, Err(KeyValueError::StreamIdTooSmall)));
                } else {
                    assert_eq!(answer.unwrap(), wanted);
                    model.insert(wanted, value);
                    last = wanted;
                    added += 1;
                }
            }
            Op::AddNext(millis) => {
                let answer = add(world, AddId::AutoSequence(*millis), &value).await;
                if *millis < last.millis {
                    assert!(matches!(answer, Err(KeyValueError::StreamIdTooSmall)));
                    continue;
                }
                let expected = match *millis == last.millis {
                    true => id(*millis, last.sequence + 1),
                    false => id(*millis, 0),
                };
                assert_eq!(answer.unwrap(), expected);
                model.insert(expected, value);
                last = expected;
                added += 1;
            }
            Op::Delete(ids) => {
                let ids: Vec<StreamId> = ids.iter().map(|(m, s)| id(*m, *s)).collect();
                let before = model.len();
                model.retain(|id, _| !ids.contains(id));
                let count = world
                    .write(async |w| w.xdel(b"s", &ids).await)
                    .await
                    .unwrap();
                assert_eq!(count as usize, before - model.len());
            }
            Op::Trim(to, limit) => {
                let excess = match to {
                    TrimTo::Length(length) => model.len().saturating_sub(*length as usize),
                    TrimTo::Id(id) => model.range(..id).count(),
                };
                let excess = excess.min(limit.map_or(usize::MAX, |limit| limit as usize));
                for _ in 0..excess {
                    model.pop_first();
                }
                let trim = Trim {
                    to: *to,
                    limit: *limit,
                };
                let count = world
                    .write(async |w| w.xtrim(b"s", trim).await)
                    .await
                    .unwrap();
                assert_eq!(count as usize, excess);
            }
        }
        let reader = world.reader();
        assert_eq!(reader.xlen(b"s").await.unwrap() as usize, model.len());
        assert_eq!(reader.stream_last_id(b"s").await.unwrap(), last);
        for (range, count) in [
            (StreamRange::ALL, None),
            (
                StreamRange {
                    start: id(1, 2),
                    end: id(4, 1),
                },
                None,
            ),
            (StreamRange::ALL, Some(2)),
        ] {
            let mut expected: Vec<_> = (model.range(range.start..=range.end))
                .map(|(id, value)| (*id, value.clone()))
                .collect();
            for reverse in [false, true] {
                let found = reader.xrange(b"s", range, count, reverse).await.unwrap();
                let found: Vec<_> = found.iter().map(|e| (e.id, text(&e.fields[0].1))).collect();
                let wanted = expected.iter().take(count.unwrap_or(99) as usize);
                assert_eq!(found, wanted.cloned().collect::<Vec<_>>());
                expected.reverse();
            }
        }
        if added > 0 {
            let info = reader.xinfo_stream(b"s").await.unwrap();
            assert_eq!((info.added, info.length as usize), (added, model.len()));
            assert_eq!(info.first_entry.map(|e| e.id), model.keys().next().copied());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn streams_agree_with_a_map(ops in prop::collection::vec(op(), 1..30)) {
        block_on(async {
            for world in worlds().await {
                run(&world, &ops).await;
            }
        });
    }
}

const NEW: ReadGroup = ReadGroup {
    from: ReadFrom::New,
    count: None,
    no_ack: false,
};

async fn read(world: &World, consumer: &str, read: ReadGroup) -> Vec<(StreamId, Option<String>)> {
    let found = world
        .write(async |w| w.xreadgroup(b"s", b"g", consumer.as_bytes(), read).await)
        .await
        .unwrap();
    let value = |fields: tessera_keyvalue::Fields| text(&fields[0].1);
    found
        .into_iter()
        .map(|(id, fields)| (id, fields.map(value)))
        .collect()
}

/// A stream of the entries 1-0, 2-0, ... with a group that has read nothing.
async fn with_group(world: &World, entries: u64) {
    for n in 1..=entries {
        add(world, AddId::Exact(id(n, 0)), &format!("v{n}"))
            .await
            .unwrap();
    }
    let start = GroupStart::Id(StreamId::MIN);
    world
        .write(async |w| w.xgroup_create(b"s", b"g", start, true, None).await)
        .await
        .unwrap();
}

#[test]
fn every_entry_goes_to_one_consumer_until_it_is_acknowledged() {
    block_on(async {
        for world in worlds().await {
            with_group(&world, 4).await;
            let two = ReadGroup {
                count: Some(2),
                ..NEW
            };
            let of = |n: u64| (id(n, 0), Some(format!("v{n}")));
            assert_eq!(read(&world, "a", two).await, [of(1), of(2)]);
            assert_eq!(read(&world, "b", NEW).await, [of(3), of(4)]);
            assert_eq!(read(&world, "b", NEW).await, []);
            let own = ReadGroup {
                from: ReadFrom::PendingAfter(StreamId::MIN),
                ..NEW
            };
            assert_eq!(read(&world, "a", own).await, [of(1), of(2)]);
            let acks = [id(1, 0), id(9, 9)];
            assert_eq!(
                world
                    .write(async |w| w.xack(b"s", b"g", &acks).await)
                    .await
                    .unwrap(),
                1
            );
            assert_eq!(read(&world, "a", own).await, [of(2)]);
            // A deleted entry stays pending, without its fields.
            world
                .write(async |w| w.xdel(b"s", &[id(2, 0)]).await)
                .await
                .unwrap();
            assert_eq!(read(&world, "a", own).await, [(id(2, 0), None)]);
            let summary = world.reader().xpending(b"s", b"g").await.unwrap();
            assert_eq!(
                (summary.count, summary.ids),
                (3, Some((id(2, 0), id(4, 0))))
            );
            assert_eq!(summary.consumers, [("a".into(), 1), ("b".into(), 2)]);
            let range = StreamRange::ALL;
            let pending = world
                .reader()
                .xpending_range(b"s", b"g", range, 10, Some(b"a"), 0)
                .await;
            let pending = pending.unwrap();
            assert_eq!((pending.len(), pending[0].deliveries), (1, 4));
            let info = world.reader().xinfo_groups(b"s").await.unwrap();
            assert_eq!((info[0].consumers, info[0].pending), (2, 3));
            let gone = world
                .write(async |w| w.xgroup_delconsumer(b"s", b"g", b"b").await)
                .await;
            assert_eq!(gone.unwrap(), 2);
            assert_eq!(world.reader().xpending(b"s", b"g").await.unwrap().count, 1);
            assert!(
                world
                    .write(async |w| w.xgroup_destroy(b"s", b"g").await)
                    .await
                    .unwrap()
            );
            assert_eq!(world.stored_rows().await, (1 + 3, 0), "record and entries");
        }
    });
}

#[test]
fn idle_entries_are_claimed() {
    block_on(async {
        for world in worlds().await {
            with_group(&world, 5).await;
            read(&world, "a", NEW).await;
            world.advance(100);
            let claim = |idle_millis_min| Claim {
                group: b"g",
                consumer: b"b",
                idle_millis_min,
                just_ids: false,
            };
            let ids = [id(1, 0), id(2, 0), id(77, 0)];
            let options = ClaimOptions::default();
            let none = world
                .write(async |w| w.xclaim(b"s", claim(101), &ids, options).await)
                .await;
            assert_eq!(none.unwrap(), []);
            let two = world
                .write(async |w| w.xclaim(b"s", claim(100), &ids, options).await)
                .await;
            assert_eq!(two.unwrap().len(), 2);
            world
                .write(async |w| w.xdel(b"s", &[id(3, 0)]).await)
                .await
                .unwrap();
            let start = StreamId::MIN;
            let first = world
                .write(async |w| w.xautoclaim(b"s", claim(50), start, 1).await)
                .await;
            let first = first.unwrap();
            assert_eq!(first.deleted, [id(3, 0)]);
            assert_eq!(
                first.claimed.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
                [id(4, 0)]
            );
            assert_eq!(first.next, id(5, 0));
            let next = first.next;
            let rest = world
                .write(async |w| w.xautoclaim(b"s", claim(50), next, 9).await)
                .await;
            let rest = rest.unwrap();
            assert_eq!((rest.claimed.len(), rest.next), (1, StreamId::MIN));
            let summary = world.reader().xpending(b"s", b"g").await.unwrap();
            assert_eq!(summary.consumers, [("b".into(), 4)]);
            let consumers = world.reader().xinfo_consumers(b"s", b"g").await.unwrap();
            let pending: Vec<_> = consumers
                .iter()
                .map(|c| (text(&c.name), c.pending))
                .collect();
            assert_eq!(pending, [("a".into(), 0), ("b".into(), 4)]);
        }
    });
}

#[test]
fn the_lag_is_known_as_long_as_nothing_behind_is_deleted() {
    block_on(async {
        let world = World::memory().await;
        with_group(&world, 5).await;
        let lag = async || world.reader().xinfo_groups(b"s").await.unwrap()[0].lag;
        assert_eq!(lag().await, Some(5));
        read(
            &world,
            "a",
            ReadGroup {
                count: Some(2),
                ..NEW
            },
        )
        .await;
        assert_eq!(lag().await, Some(3));
        world
            .write(async |w| w.xdel(b"s", &[id(4, 0)]).await)
            .await
            .unwrap();
        assert_eq!(lag().await, None);
        read(&world, "a", NEW).await;
        assert_eq!(lag().await, Some(0));
    });
}

#[test]
fn ids_from_the_clock_grow_even_if_it_stands_still() {
    block_on(async {
        let world = World::memory().await;
        let now = world.now().0;
        for sequence in 0..3 {
            assert_eq!(
                add(&world, AddId::Auto, "v").await.unwrap(),
                id(now, sequence)
            );
        }
        add(&world, AddId::Exact(id(now + 5, 7)), "v")
            .await
            .unwrap();
        assert_eq!(add(&world, AddId::Auto, "v").await.unwrap(), id(now + 5, 8));
        add(&world, AddId::Exact(StreamId::MAX), "v").await.unwrap();
        let answer = add(&world, AddId::Auto, "v").await;
        assert!(matches!(answer, Err(KeyValueError::StreamIdsExhausted)));
        let unmade = XaddOptions {
            only_if_exists: true,
            trim: None,
        };
        let answer = world.write(async |w| w.xadd(b"t", AddId::Auto, &[("f", "v")], unmade).await);
        assert_eq!(answer.await.unwrap(), None);
        let read = world
            .reader()
            .xread(&[("s", id(now, 1)), ("t", StreamId::MIN)], Some(1))
            .await;
        let read = read.unwrap();
        assert_eq!((read.len(), read[0].0, read[0].1[0].id), (1, 0, id(now, 2)));
    });
}
