//! Whether a document matches.

use std::cmp::Ordering;

use regex::Regex;
use tessera_codec::json::{JsonBuf, JsonRef, NumberRef, compare};

use super::{Choices, Comparison, Filter, Node, Test};
use crate::document::{Document, Subject};
use crate::error::Result;
use crate::path::Reached;

impl Filter {
    /// Whether a document matches.
    pub fn matches(&self, document: &Document) -> Result<bool> {
        self.matches_subject(&document.subject()?)
    }

    pub(crate) fn matches_subject(&self, subject: &Subject<'_>) -> Result<bool> {
        self.root.matches(subject)
    }
}

impl Node {
    pub(crate) fn matches(&self, subject: &Subject<'_>) -> Result<bool> {
        Ok(match self {
            Node::And(nodes) => all(nodes, |node| node.matches(subject))?,
            Node::Or(nodes) => any(nodes, |node| node.matches(subject))?,
            Node::Nor(nodes) => !any(nodes, |node| node.matches(subject))?,
            Node::Field(path, test) => test.holds(&path.reach(subject)?)?,
            Node::JsonPath(query) => query.finds_any(&subject.body.to_value()?)?,
        })
    }
}

fn all<T>(items: &[T], mut check: impl FnMut(&T) -> Result<bool>) -> Result<bool> {
    for item in items {
        if !check(item)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn any<T>(items: &[T], mut check: impl FnMut(&T) -> Result<bool>) -> Result<bool> {
    for item in items {
        if check(item)? {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Test {
    pub(crate) fn holds(&self, reached: &Reached<'_>) -> Result<bool> {
        match self {
            Test::Compare(comparison, constant) => {
                let constant = constant.view()?;
                let accepts_null = match comparison {
                    Comparison::Greater | Comparison::Less => false,
                    Comparison::Equal | Comparison::GreaterOrEqual | Comparison::LessOrEqual => {
                        constant.is_null()
                    }
                };
                if accepts_null && reached.values.iter().any(Option::is_none) {
                    return Ok(true);
                }
                any_value(reached, |value| compares(*comparison, &value, &constant))
            }
            Test::In(choices) => choices.have(reached),
            Test::Not(tests) => Ok(!all(tests, |test| test.holds(reached))?),
            Test::Exists(wanted) => Ok(reached.values.iter().any(Option::is_some) == *wanted),
            Test::Type(kinds) => any_value(reached, |value| Ok(kinds.contains(&value.kind()))),
            Test::Regex(pattern) => any_value(reached, |value| Ok(fits(pattern, &value))),
            Test::ElementTests(tests) => any_array(reached, |element| {
                let reached = Reached {
                    values: vec![Some(element)],
                    is_multiple: false,
                    are_elements: true,
                };
                all(tests, |test| test.holds(&reached))
            }),
            Test::ElementMatches(node) => any_array(reached, |element| match element {
                JsonRef::Object(_) => node.matches(&Subject {
                    id: None,
                    body: element,
                }),
                _ => Ok(false),
            }),
            Test::All(tests) => Ok(!tests.is_empty() && all(tests, |test| test.holds(reached))?),
            Test::Size(size) => any(&reached.values, |value| {
                Ok(matches!(value, Some(JsonRef::Array(array)) if array.len() == *size))
            }),
            Test::Modulo { divisor, remainder } => any_value(reached, |value| {
                Ok(value
                    .as_number()
                    .and_then(|number| whole_part(&number))
                    .is_some_and(|number| number.wrapping_rem(*divisor) == *remainder))
            }),
        }
    }
}

impl Choices {
    fn have(&self, reached: &Reached<'_>) -> Result<bool> {
        let has_null = match self.values.first() {
            Some(first) => first.view()?.is_null(),
            None => false,
        };
        if has_null && reached.values.iter().any(Option::is_none) {
            return Ok(true);
        }
        any_value(reached, |value| {
            Ok(search(&self.values, &value)?
                || self.patterns.iter().any(|pattern| fits(pattern, &value)))
        })
    }
}

/// Binary search that may fail on damaged bytes.
fn search(values: &[JsonBuf], wanted: &JsonRef<'_>) -> Result<bool> {
    let (mut low, mut high) = (0, values.len());
    while low < high {
        let middle = low + (high - low) / 2;
        match compare(&values[middle].view()?, wanted)? {
            Ordering::Less => low = middle + 1,
            Ordering::Greater => high = middle,
            Ordering::Equal => return Ok(true),
        }
    }
    Ok(false)
}

/// Whether a value, or an element of an array among the values, passes.
fn any_value<'a>(
    reached: &Reached<'a>,
    mut check: impl FnMut(JsonRef<'a>) -> Result<bool>,
) -> Result<bool> {
    for value in reached.values.iter().flatten() {
        if check(*value)? {
            return Ok(true);
        }
        if let (JsonRef::Array(array), false) = (value, reached.are_elements) {
            for element in array.iter() {
                if check(element?)? {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// Whether an element of an array among the values passes.
fn any_array<'a>(
    reached: &Reached<'a>,
    mut check: impl FnMut(JsonRef<'a>) -> Result<bool>,
) -> Result<bool> {
    for value in reached.values.iter().flatten() {
        if let JsonRef::Array(array) = value {
            for element in array.iter() {
                if check(element?)? {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// Only values of the same kind compare.
pub(super) fn compares(
    comparison: Comparison,
    value: &JsonRef<'_>,
    constant: &JsonRef<'_>,
) -> Result<bool> {
    if value.kind() != constant.kind() {
        return Ok(false);
    }
    let order = compare(value, constant)?;
    Ok(match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
    })
}

fn fits(pattern: &Regex, value: &JsonRef<'_>) -> bool {
    value.as_str().is_some_and(|text| pattern.is_match(text))
}

/// The whole part of a number, towards zero, when it has 64 bits.
fn whole_part(number: &NumberRef<'_>) -> Option<i64> {
    if let Some(whole) = number.to_i64() {
        return Some(whole);
    }
    let value = number.to_f64().trunc();
    // The bounds are powers of two, so they are exact; all between them fit.
    const BOUND: f64 = -(i64::MIN as f64);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked against the bounds"
    )]
    (-BOUND..BOUND).contains(&value).then_some(value as i64)
}
