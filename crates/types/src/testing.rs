//! Strategies for property tests: any type, any value of a type. Only with the feature `testing`.

use proptest::prelude::*;

use crate::datetime::{DATE_MAX, DATE_MIN, MICROS_PER_DAY, TIMESTAMP_MAX, TIMESTAMP_MIN};
use crate::{ArrayValue, DECIMAL_SCALE_MAX, Decimal, Interval, SqlType, Value, json};

/// Any type whose values can be stored, arrays included.
pub fn any_type() -> impl Strategy<Value = SqlType> {
    let scalar = any_scalar_type().boxed();
    prop_oneof![4 => scalar.clone(), 1 => scalar.prop_map(SqlType::array_of)]
}

/// Any type but arrays.
pub fn any_scalar_type() -> impl Strategy<Value = SqlType> {
    prop::sample::select(vec![
        SqlType::Boolean,
        SqlType::SmallInt,
        SqlType::Integer,
        SqlType::BigInt,
        SqlType::Real,
        SqlType::Double,
        SqlType::Numeric(None),
        SqlType::Numeric(Some((9, 3))),
        SqlType::Numeric(Some((30, 10))),
        SqlType::Text,
        SqlType::Varchar(None),
        SqlType::Varchar(Some(20)),
        SqlType::Char(8),
        SqlType::Name,
        SqlType::Bytea,
        SqlType::Date,
        SqlType::Time,
        SqlType::Timestamp,
        SqlType::TimestampTz,
        SqlType::Interval,
        SqlType::Uuid,
        SqlType::Jsonb,
        SqlType::Oid,
    ])
}

/// A value of the type, sometimes NULL.
pub fn any_value(ty: &SqlType) -> BoxedStrategy<Value> {
    prop_oneof![1 => Just(Value::Null), 7 => any_present(ty)].boxed()
}

/// A value of the type, never NULL. Edges of the range come often.
pub fn any_present(ty: &SqlType) -> BoxedStrategy<Value> {
    match ty {
        SqlType::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        SqlType::SmallInt => edges(i16::MIN, i16::MAX, any::<i16>())
            .prop_map(Value::SmallInt)
            .boxed(),
        SqlType::Integer => edges(i32::MIN, i32::MAX, any::<i32>())
            .prop_map(Value::Integer)
            .boxed(),
        SqlType::BigInt => edges(i64::MIN, i64::MAX, any::<i64>())
            .prop_map(Value::BigInt)
            .boxed(),
        SqlType::Real => any_float32().prop_map(Value::Real).boxed(),
        SqlType::Double => any_float64().prop_map(Value::Double).boxed(),
        SqlType::Numeric(modifier) => any_decimal(*modifier).prop_map(Value::Numeric).boxed(),
        SqlType::Varchar(Some(length)) => text(*length).prop_map(Value::from).boxed(),
        SqlType::Char(length) => {
            let width = usize::try_from(*length).unwrap_or(0);
            text(*length)
                .prop_map(move |text| {
                    let missing = width - text.chars().count();
                    Value::from(text + &" ".repeat(missing))
                })
                .boxed()
        }
        SqlType::Bytea => {
            prop::collection::vec(prop_oneof![Just(0u8), Just(255), any::<u8>()], 0..12)
                .prop_map(Value::from)
                .boxed()
        }
        SqlType::Date => prop_oneof![
            Just(i32::MIN),
            Just(i32::MAX),
            -40_000i32..40_000,
            DATE_MIN..=DATE_MAX
        ]
        .prop_map(Value::Date)
        .boxed(),
        SqlType::Time => (0..=MICROS_PER_DAY).prop_map(Value::Time).boxed(),
        SqlType::Timestamp => any_timestamp().prop_map(Value::Timestamp).boxed(),
        SqlType::TimestampTz => any_timestamp().prop_map(Value::TimestampTz).boxed(),
        SqlType::Interval => any_interval().prop_map(Value::Interval).boxed(),
        SqlType::Uuid => any::<[u8; 16]>().prop_map(Value::Uuid).boxed(),
        SqlType::Json | SqlType::Jsonb => any_json()
            .prop_map(|text| Value::Json(json::normalize(&text).expect("well formed").into()))
            .boxed(),
        ty if ty.is_oid_like() => any::<u32>().prop_map(Value::Oid).boxed(),
        SqlType::Array(element) => {
            let element = (**element).clone();
            (
                prop::collection::vec(any_value(&element), 0..6),
                0..3usize,
                -2i32..3,
            )
                .prop_map(move |(elements, shape, lower)| {
                    array(element.clone(), elements, shape, lower)
                })
                .boxed()
        }
        _ => text(20).prop_map(Value::from).boxed(),
    }
}

fn edges<T: Copy + std::fmt::Debug + Default + 'static>(
    low: T,
    high: T,
    any: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = T> {
    prop_oneof![1 => Just(low), 1 => Just(high), 1 => Just(T::default()), 6 => any]
}

fn any_float64() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(0.0),
        Just(-0.0),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(f64::NAN),
        any::<f64>(),
        (-1000i32..1000).prop_map(|v| f64::from(v) / 8.0),
    ]
}

fn any_float32() -> impl Strategy<Value = f32> {
    prop_oneof![
        Just(0.0),
        Just(-0.0),
        Just(f32::INFINITY),
        Just(f32::NAN),
        any::<f32>()
    ]
}

fn any_decimal(modifier: Option<(u8, u8)>) -> BoxedStrategy<Decimal> {
    match modifier {
        Some((precision, scale)) => {
            let limit = 10i128.pow(u32::from(precision));
            prop_oneof![-1000i128..1000, 1 - limit..limit]
                .prop_map(move |unscaled| Decimal { unscaled, scale })
                .boxed()
        }
        None => {
            let limit = 10i128.pow(38);
            (
                prop_oneof![-1000i128..1000, 1 - limit..limit],
                prop_oneof![0u8..4, 0u8..=DECIMAL_SCALE_MAX],
            )
                .prop_map(|(unscaled, scale)| Decimal { unscaled, scale })
                .boxed()
        }
    }
}

fn any_timestamp() -> impl Strategy<Value = i64> {
    prop_oneof![
        Just(i64::MIN),
        Just(i64::MAX),
        Just(0),
        -4_000_000_000_000_000i64..4_000_000_000_000_000,
        TIMESTAMP_MIN..=TIMESTAMP_MAX,
    ]
}

fn any_interval() -> impl Strategy<Value = Interval> {
    let small = (-30i32..30, -60i32..60, -200_000_000_000i64..200_000_000_000);
    let wide = (any::<i32>(), any::<i32>(), any::<i64>());
    prop_oneof![small, wide].prop_map(|(months, days, micros)| Interval {
        months,
        days,
        micros,
    })
}

/// Letters of all widths, blanks, quotes, separators; never a zero byte.
fn text(length_max: u32) -> impl Strategy<Value = String> {
    let character = prop_oneof![
        4 => prop::sample::select(vec!['a', 'b', 'B', ' ', '"', '\'', '\\', ',', '{', '}', '\n', '\t', '\u{1}', 'é', '€', '😀']),
        1 => any::<char>().prop_filter("zero bytes are not text", |c| *c != '\0'),
    ];
    let length_max = usize::try_from(length_max).unwrap_or(0).min(8);
    prop::collection::vec(character, 0..=length_max).prop_map(|chars| chars.into_iter().collect())
}

fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        any::<i32>().prop_map(|v| v.to_string()),
        prop::sample::select(vec!["1.0", "1.50", "-0", "1e3", "2.5e-3"]).prop_map(str::to_owned),
        text(6).prop_map(|text| {
            let mut out = String::new();
            json::write_string(&text, &mut out);
            out
        }),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        let key = prop::sample::select(vec!["a", "b", "aa", "é", ""]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((key, inner), 0..4).prop_map(|pairs| {
                let pairs: Vec<String> = pairs
                    .iter()
                    .map(|(key, value)| format!("\"{key}\":{value}"))
                    .collect();
                format!("{{{}}}", pairs.join(","))
            }),
        ]
    })
}

fn array(element: SqlType, elements: Vec<Value>, shape: usize, lower: i32) -> Value {
    let mut array = ArrayValue::from_elements(element, elements);
    let length = array.elements.len();
    if length > 0 {
        array.dimensions = match shape {
            1 if length.is_multiple_of(2) => {
                vec![(2, 1), (i32::try_from(length / 2).expect("small"), lower)]
            }
            2 => vec![(i32::try_from(length).expect("small"), lower)],
            _ => array.dimensions,
        };
    }
    Value::Array(Box::new(array))
}
