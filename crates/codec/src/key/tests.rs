use std::cmp::Ordering;

use proptest::prelude::*;
use tessera_types::Value;
use tessera_types::testing::{any_present, any_type, any_value};

use super::*;

fn any_order() -> impl Strategy<Value = Order> {
    (any::<bool>(), any::<bool>()).prop_map(|(descending, nulls_first)| Order {
        descending,
        nulls_first,
    })
}

/// What the order of two columns should be, stated without bytes.
fn compare(a: &Value, b: &Value, order: Order) -> Ordering {
    match (a.is_null(), b.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) if order.nulls_first => Ordering::Less,
        (true, false) => Ordering::Greater,
        (false, true) => compare(b, a, order).reverse(),
        (false, false) if order.descending => b.cmp_sql(a),
        (false, false) => a.cmp_sql(b),
    }
}

type Column = (SqlType, Order);

fn columns() -> impl Strategy<Value = Vec<Column>> {
    prop::collection::vec((any_type(), any_order()), 1..4)
}

fn row(columns: &[Column]) -> Vec<BoxedStrategy<Value>> {
    columns.iter().map(|(ty, _)| any_value(ty)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6000, ..ProptestConfig::default() })]

    #[test]
    fn bytes_sort_as_values_do(
        (columns, a, b) in columns().prop_flat_map(|columns| (Just(columns.clone()), row(&columns), row(&columns))),
    ) {
        let orders: Vec<Order> = columns.iter().map(|column| column.1).collect();
        let expected = a.iter().zip(&b).zip(&orders)
            .map(|((a, b), order)| compare(a, b, *order))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal);
        let (key_a, key_b) = (encode(&a, &orders), encode(&b, &orders));
        prop_assert_eq!(key_a.cmp(&key_b), expected, "{:?} {:?}", a, b);
        if expected.is_ne() {
            prop_assert!(!key_a.starts_with(&key_b) && !key_b.starts_with(&key_a), "one key is a prefix");
        }
    }

    #[test]
    fn single_columns_sort_as_values_do(
        (ty, a, b) in any_type().prop_flat_map(|ty| (Just(ty.clone()), any_present(&ty), any_present(&ty))),
        order in any_order(),
    ) {
        let key = |value: &Value| encode(std::slice::from_ref(value), &[order]);
        prop_assert_eq!(key(&a).cmp(&key(&b)), compare(&a, &b, order), "{} {:?} {:?}", ty, a, b);
    }

    #[test]
    fn keys_decode_to_equal_values((columns, values) in columns().prop_flat_map(|c| (Just(c.clone()), row(&c)))) {
        let (types, orders): (Vec<SqlType>, Vec<Order>) = columns.into_iter().unzip();
        let key = encode(&values, &orders);
        let again = decode(&types, &orders, &key).expect("own bytes");
        prop_assert_eq!(&again, &values);
        prop_assert_eq!(encode(&again, &orders), key);
        for ((ty, a), b) in types.iter().zip(&again).zip(&values) {
            if is_exact(ty) {
                prop_assert_eq!(format!("{a:?}"), format!("{b:?}"));
            }
        }
    }

    #[test]
    fn no_bytes_panic(ty in any_type(), order in any_order(), bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = decode(std::slice::from_ref(&ty), &[order], &bytes);
        let tagged: Vec<u8> = [&[TAG_VALUE], bytes.as_slice()].concat();
        let _ = decode(&[ty], &[order], &tagged);
    }
}

#[test]
fn bytes_are_those_of_the_format_page() {
    let check = |value: Value, expected: &[u8]| assert_eq!(encode(&[value], &[]), expected);
    check(Value::Null, &[2]);
    check(Value::Integer(1), &[1, 0x80, 0, 0, 1]);
    check(Value::from("a\u{1}"), &[1, b'a', 1, 0, 1]);
    check(Value::Bytea(vec![0, 7].into()), &[1, 0, 0xff, 7, 0, 1]);
    check(
        Value::Numeric("12.5".parse().expect("decimal")),
        &[1, 0xc0, 0x40, 0, 0, 2, 0x23, 0x60],
    );
    let descending = encode(&[Value::Integer(1)], &[Order::DESCENDING]);
    assert_eq!(descending, [1, 0x7f, 0xff, 0xff, 0xfe]);
    assert_eq!(encode(&[Value::Null], &[Order::DESCENDING]), [0]);
}

#[test]
fn a_successor_follows_everything_with_the_prefix() {
    assert_eq!(successor(&[1, 2]), Some(vec![1, 3]));
    assert_eq!(successor(&[1, 0xff]), Some(vec![2]));
    assert_eq!(successor(&[0xff, 0xff]), None);
    assert_eq!(successor(&[]), None);
}
