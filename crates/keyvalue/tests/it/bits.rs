//! Bitmaps, bit fields and HyperLogLogs against plain bytes and sets.

use proptest::prelude::*;
use tessera_keyvalue::{
    BitOperation, BitRange, BitUnit, FieldOperation, FieldOverflow, FieldType, KeyValueError,
    SetOptions,
};

use crate::world::{World, block_on, worlds};

async fn set(world: &World, key: &str, value: &[u8]) {
    let options = SetOptions::default();
    world
        .write(async |w| w.set(key.as_bytes(), value, options).await)
        .await
        .unwrap();
}

fn bit(bytes: &[u8], at: u64) -> bool {
    bytes
        .get((at / 8) as usize)
        .is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0)
}

/// Bits `from..to` of a range as Redis counts it.
fn bits(bytes: &[u8], range: Option<BitRange>) -> std::ops::Range<u64> {
    let length = bytes.len() as i64;
    let range = range.unwrap_or(BitRange {
        start: 0,
        end: None,
        unit: BitUnit::Byte,
    });
    let (total, factor) = match range.unit {
        BitUnit::Byte => (length, 8),
        BitUnit::Bit => (length * 8, 1),
    };
    let from_end = |at: i64| if at < 0 { (at + total).max(0) } else { at };
    let (start, end) = (
        from_end(range.start),
        from_end(range.end.unwrap_or(-1)).min(total - 1),
    );
    if start > end || total == 0 {
        return 0..0;
    }
    (start * factor) as u64..((end + 1) * factor) as u64
}

fn range() -> impl Strategy<Value = Option<BitRange>> {
    let unit = prop_oneof![Just(BitUnit::Byte), Just(BitUnit::Bit)];
    let bound = || prop_oneof![-30..30_i64, -20_000..20_000_i64];
    prop::option::of(
        (bound(), prop::option::of(bound()), unit).prop_map(|(start, end, unit)| BitRange {
            start,
            end,
            unit,
        }),
    )
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => Just(0_u8), 3 => Just(0xff_u8), 2 => any::<u8>()];
    prop_oneof![
        prop::collection::vec(byte, 0..20),
        (any::<u8>(), 8_000..9_000_usize).prop_map(|(byte, length)| vec![byte; length]),
    ]
}

async fn check(world: &World, value: &mut Vec<u8>, range: Option<BitRange>, at: u64) {
    set(world, "k", value).await;
    let old = world
        .write(async |w| w.setbit(b"k", at, true).await)
        .await
        .unwrap();
    assert_eq!(old, bit(value, at));
    let length = value.len().max((at / 8) as usize + 1);
    value.resize(length, 0);
    value[(at / 8) as usize] |= 0x80 >> (at % 8);
    let reader = world.reader();
    assert_eq!(reader.get(b"k").await.unwrap().unwrap(), &value[..]);
    for at in [0, at, at + 1, at + 8, 1_000_000] {
        assert_eq!(reader.getbit(b"k", at).await.unwrap(), bit(value, at));
    }
    let part = bits(value, range);
    // BITCOUNT counts nothing where both bounds are negative and in the wrong order.
    let is_wrong = range.is_some_and(|range| {
        range.start < 0 && range.end.unwrap_or(-1) < 0 && range.start > range.end.unwrap_or(-1)
    });
    let counted = if is_wrong { 0..0 } else { part.clone() };
    let count = counted.filter(|at| bit(value, *at)).count() as u64;
    assert_eq!(
        reader.bitcount(b"k", range).await.unwrap(),
        count,
        "{range:?}"
    );
    for wanted in [false, true] {
        let place = part.clone().find(|at| bit(value, *at) == wanted);
        let has_end = range.is_some_and(|range| range.end.is_some());
        let expected = match place {
            Some(place) => place as i64,
            None if wanted || has_end || part.is_empty() => -1,
            None => value.len() as i64 * 8,
        };
        assert_eq!(
            reader.bitpos(b"k", wanted, range).await.unwrap(),
            expected,
            "{range:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn bits_agree_with_plain_bytes(mut value in bytes(), range in range(), at in 0..90_000_u64) {
        block_on(async {
            let world = World::memory().await;
            check(&world, &mut value, range, at).await;
        });
    }
}

#[test]
fn bits_of_several_strings_are_combined() {
    block_on(async {
        for world in worlds().await {
            let long = vec![0b1010_1010; 300_000];
            set(&world, "a", &[0b1100, 0xff]).await;
            set(&world, "b", &long).await;
            for (operation, first, second, third) in [
                (BitOperation::And, 0b1000, 0b1010_1010, 0),
                (BitOperation::Or, 0b1010_1110, 0xff, 0b1010_1010),
                (BitOperation::Xor, 0b1010_0110, 0b0101_0101, 0b1010_1010),
            ] {
                let keys = ["a", "b", "a"];
                let keys = if operation == BitOperation::Xor {
                    &keys[..2]
                } else {
                    &keys[..]
                };
                let length = world
                    .write(async |w| w.bitop(operation, b"to", keys).await)
                    .await;
                assert_eq!(length.unwrap(), 300_000);
                let found = world.reader().get(b"to").await.unwrap().unwrap();
                assert_eq!(found[..3], [first, second, third], "{operation:?}");
                assert!(found[3..].iter().all(|byte| *byte == third));
            }
            // The target may be the source.
            let not = BitOperation::Not;
            world
                .write(async |w| w.bitop(not, b"a", &["a"]).await)
                .await
                .unwrap();
            assert_eq!(
                world.reader().get(b"a").await.unwrap().unwrap(),
                &[0b1111_0011, 0][..]
            );
            let none = world
                .write(async |w| w.bitop(not, b"to", &["none"]).await)
                .await
                .unwrap();
            assert_eq!(
                (none, world.keys("*").await),
                (0, vec!["a".into(), "b".into()])
            );
            let answer = world
                .write(async |w| w.bitop(not, b"to", &["a", "b"]).await)
                .await;
            assert!(matches!(answer, Err(KeyValueError::InvalidArgument { .. })));
        }
    });
}

#[test]
fn a_bit_far_away_takes_one_chunk() {
    block_on(async {
        for world in worlds().await {
            let far = 8 * 512 * 1024 * 1024 - 1;
            world
                .write(async |w| w.setbit(b"k", far, true).await)
                .await
                .unwrap();
            assert_eq!(world.stored_rows().await.0, 2, "the record and a chunk");
            assert!(world.reader().getbit(b"k", far).await.unwrap());
            assert_eq!(
                world.reader().strlen(b"k").await.unwrap(),
                512 * 1024 * 1024
            );
            let answer = world
                .write(async |w| w.setbit(b"k", far + 1, true).await)
                .await;
            assert!(matches!(answer, Err(KeyValueError::OutOfRange { .. })));
            let answer = world.write(async |w| w.append(b"k", b"x").await).await;
            assert!(matches!(answer, Err(KeyValueError::ValueTooLarge { .. })));
        }
    });
}

#[test]
fn bit_fields_do_what_the_examples_of_redis_show() {
    block_on(async {
        let world = World::memory().await;
        let u8 = FieldType::new(false, 8).unwrap();
        let i5 = FieldType::new(true, 5).unwrap();
        let u2 = FieldType::new(false, 2).unwrap();
        let wrap = FieldOverflow::Wrap;
        let operations = [
            FieldOperation::IncrBy(i5, 100, 1, wrap),
            FieldOperation::Get(u8, 0),
        ];
        let answers = world
            .write(async |w| w.bitfield(b"k", &operations).await)
            .await
            .unwrap();
        assert_eq!(answers, [Some(1), Some(0)]);
        let mut rows = Vec::new();
        for _ in 0..4 {
            let operations = [
                FieldOperation::IncrBy(u2, 100, 1, wrap),
                FieldOperation::IncrBy(u2, 102, 1, FieldOverflow::Saturate),
            ];
            rows.push(
                world
                    .write(async |w| w.bitfield(b"m", &operations).await)
                    .await
                    .unwrap(),
            );
        }
        let expected = [[1, 1], [2, 2], [3, 3], [0, 3]].map(|row| row.map(Some).to_vec());
        assert_eq!(rows, expected);
        let fail = [FieldOperation::IncrBy(u2, 102, 1, FieldOverflow::Fail)];
        let answers = world
            .write(async |w| w.bitfield(b"m", &fail).await)
            .await
            .unwrap();
        assert_eq!(answers, [None]);
        let gets = [FieldOperation::Get(u2, 102), FieldOperation::Get(u8, 9_000)];
        assert_eq!(
            world.reader().bitfield(b"m", &gets).await.unwrap(),
            [Some(3), Some(0)]
        );
    });
}

#[test]
fn hyperloglogs_count_about_right_and_merge() {
    block_on(async {
        for world in worlds().await {
            let names =
                |from: u32, to: u32| (from..to).map(|n| format!("n{n}")).collect::<Vec<_>>();
            assert!(
                world
                    .write(async |w| w.pfadd(b"a", &names(0, 0)).await)
                    .await
                    .unwrap()
            );
            assert_eq!(world.reader().pfcount(&["a", "none"]).await.unwrap(), 0);
            // Small numbers are exact, and a second time nothing changes.
            assert!(
                world
                    .write(async |w| w.pfadd(b"a", &names(0, 5)).await)
                    .await
                    .unwrap()
            );
            assert!(
                !world
                    .write(async |w| w.pfadd(b"a", &names(0, 5)).await)
                    .await
                    .unwrap()
            );
            assert_eq!(world.reader().pfcount(&["a"]).await.unwrap(), 5);
            for step in 0..20 {
                let part = names(step * 500, step * 500 + 500);
                world
                    .write(async |w| w.pfadd(b"a", &part).await)
                    .await
                    .unwrap();
            }
            // Now dense; single elements are written in place.
            let mut changed = 0;
            for name in names(10_000, 10_100) {
                let answer = world.write(async |w| w.pfadd(b"a", &[&name]).await).await;
                changed += u32::from(answer.unwrap());
            }
            assert!(changed > 20, "{changed}");
            world
                .write(async |w| w.pfadd(b"b", &names(5_000, 20_000)).await)
                .await
                .unwrap();
            let check = |found: u64, expected: f64| {
                let error = (found as f64 - expected).abs() / expected;
                assert!(error < 0.033, "{found} for {expected}");
            };
            let reader = world.reader();
            check(reader.pfcount(&["a"]).await.unwrap(), 10_100.0);
            check(reader.pfcount(&["b"]).await.unwrap(), 15_000.0);
            let both = reader.pfcount(&["a", "b"]).await.unwrap();
            check(both, 20_000.0);
            world
                .write(async |w| w.pfmerge(b"c", &["a", "b"]).await)
                .await
                .unwrap();
            assert_eq!(world.reader().pfcount(&["c"]).await.unwrap(), both);
            set(&world, "s", b"no sketch").await;
            let answer = world.reader().pfcount(&["s"]).await;
            assert!(matches!(answer, Err(KeyValueError::NotAHyperLogLog)));
        }
    });
}
