//! Whether one condition follows from another one on the same path. It may say no too often.

use tessera_codec::json::{JsonBuf, compare};

use super::matches::compares;
use super::{Comparison, Test};

impl Test {
    /// Whether whatever `given` holds for, this holds for, too.
    pub(crate) fn is_implied_by(&self, given: &Test) -> bool {
        match (self, given) {
            (Test::Exists(true), given) => given.needs_value(),
            (Test::Exists(false), Test::Exists(false)) => true,
            (Test::Compare(wanted, bound), Test::Compare(given, value)) => {
                follows(*wanted, bound, *given, value)
            }
            (Test::Compare(wanted, bound), Test::In(choices)) => {
                choices.patterns.is_empty()
                    && choices
                        .values
                        .iter()
                        .all(|value| follows(*wanted, bound, Comparison::Equal, value))
            }
            (Test::In(wanted), Test::Compare(Comparison::Equal, value)) => {
                wanted.values.iter().any(|other| is_equal(other, value))
            }
            (Test::In(wanted), Test::In(given)) => {
                given.patterns.is_empty()
                    && given
                        .values
                        .iter()
                        .all(|value| wanted.values.iter().any(|other| is_equal(other, value)))
            }
            (Test::Type(kinds), Test::Compare(_, value)) => value
                .view()
                .is_ok_and(|value| !value.is_null() && kinds.contains(&value.kind())),
            (Test::Type(kinds), Test::In(choices)) => {
                let is_wanted = |value: &JsonBuf| {
                    value
                        .view()
                        .is_ok_and(|value| !value.is_null() && kinds.contains(&value.kind()))
                };
                choices.patterns.is_empty() && choices.values.iter().all(is_wanted)
            }
            (Test::Type(wanted), Test::Type(given)) => {
                given.iter().all(|kind| wanted.contains(kind))
            }
            _ => false,
        }
    }

    /// Whether the test fails where there is no value.
    fn needs_value(&self) -> bool {
        let is_null = |value: &JsonBuf| value.view().is_ok_and(|value| value.is_null());
        match self {
            Test::Exists(wanted) => *wanted,
            Test::Compare(_, value) => !is_null(value),
            Test::In(choices) => !choices.values.iter().any(is_null),
            Test::Type(_)
            | Test::Regex(_)
            | Test::ElementTests(_)
            | Test::ElementMatches(_)
            | Test::Size(_)
            | Test::Modulo { .. } => true,
            Test::All(tests) => tests.iter().any(Test::needs_value),
            Test::Not(_) => false,
        }
    }
}

fn is_equal(a: &JsonBuf, b: &JsonBuf) -> bool {
    match (a.view(), b.view()) {
        (Ok(a), Ok(b)) => compare(&a, &b).is_ok_and(std::cmp::Ordering::is_eq),
        _ => false,
    }
}

/// Whether `x given value` implies `x wanted bound`.
fn follows(wanted: Comparison, bound: &JsonBuf, given: Comparison, value: &JsonBuf) -> bool {
    use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
    let (Ok(bound), Ok(value)) = (bound.view(), value.view()) else {
        return false;
    };
    let needed = match (wanted, given) {
        (wanted, Equal) => wanted,
        (Greater, Greater) | (GreaterOrEqual, Greater | GreaterOrEqual) => GreaterOrEqual,
        (Greater, GreaterOrEqual) => Greater,
        (Less, Less) | (LessOrEqual, Less | LessOrEqual) => LessOrEqual,
        (Less, LessOrEqual) => Less,
        _ => return false,
    };
    compares(needed, &value, &bound).unwrap_or(false)
}
