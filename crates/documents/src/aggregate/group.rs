//! Groups and their accumulators.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};
use tessera_types::Decimal;

use super::expression::Expression;
use super::run::{Budget, size};
use crate::document::ID_FIELD;
use crate::error::{DocumentError, Result};
use crate::number::{decimal, number, quotient};
use crate::order::{compare_values, value_key};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accumulator {
    Sum,
    Average,
    Minimum,
    Maximum,
    Count,
    Push,
    AddToSet,
    First,
    Last,
}

impl Accumulator {
    pub(super) fn parse(name: &str) -> Result<Accumulator> {
        Ok(match name {
            "$sum" => Accumulator::Sum,
            "$avg" => Accumulator::Average,
            "$min" => Accumulator::Minimum,
            "$max" => Accumulator::Maximum,
            "$count" => Accumulator::Count,
            "$push" => Accumulator::Push,
            "$addToSet" => Accumulator::AddToSet,
            "$first" => Accumulator::First,
            "$last" => Accumulator::Last,
            _ => return Err(DocumentError::unsupported("accumulator", name)),
        })
    }
}

/// What an accumulator has seen.
#[derive(Debug)]
enum State {
    /// Total and number of the numbers.
    Numbers(Decimal, u64),
    One(Option<Value>),
    Many(Vec<Value>),
    Set(HashSet<Vec<u8>>, Vec<Value>),
}

/// Groups in the order of their first documents.
#[derive(Debug, Default)]
pub(super) struct Groups {
    places: HashMap<Vec<u8>, usize>,
    groups: Vec<(Value, Vec<State>)>,
}

/// What a group costs besides its values.
const GROUP_OVERHEAD_BYTES: usize = 128;

impl Groups {
    pub(super) fn add(
        &mut self,
        document: &Value,
        id: &Expression,
        fields: &[(String, Accumulator, Expression)],
        budget: &mut Budget,
    ) -> Result<()> {
        // A missing key is that of null.
        let id = id.evaluate(document)?.unwrap_or(Value::Null);
        let key = value_key(&id)?;
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None => {
                budget.take(GROUP_OVERHEAD_BYTES * (1 + fields.len()) + 2 * size(&id))?;
                let states = fields.iter().map(|(_, kind, _)| State::new(*kind));
                self.groups.push((id, states.collect()));
                self.places.insert(key, self.groups.len() - 1);
                self.groups.len() - 1
            }
        };
        for ((name, kind, expression), state) in fields.iter().zip(&mut self.groups[place].1) {
            let value = expression.evaluate(document)?;
            state.add(*kind, name, value, budget)?;
        }
        Ok(())
    }

    pub(super) fn finish(
        &mut self,
        fields: &[(String, Accumulator, Expression)],
    ) -> Result<Vec<Value>> {
        self.places.clear();
        let mut out = Vec::with_capacity(self.groups.len());
        for (id, states) in self.groups.drain(..) {
            let mut pairs = Map::new();
            pairs.insert(ID_FIELD.to_owned(), id);
            for ((name, kind, _), state) in fields.iter().zip(states) {
                pairs.insert(name.clone(), state.finish(*kind, name)?);
            }
            out.push(Value::Object(pairs));
        }
        Ok(out)
    }
}

impl State {
    fn new(kind: Accumulator) -> State {
        match kind {
            Accumulator::Sum | Accumulator::Average | Accumulator::Count => {
                State::Numbers(Decimal::from(0_i64), 0)
            }
            Accumulator::Minimum
            | Accumulator::Maximum
            | Accumulator::First
            | Accumulator::Last => State::One(None),
            Accumulator::Push => State::Many(Vec::new()),
            Accumulator::AddToSet => State::Set(HashSet::new(), Vec::new()),
        }
    }

    fn add(
        &mut self,
        kind: Accumulator,
        name: &str,
        value: Option<Value>,
        budget: &mut Budget,
    ) -> Result<()> {
        match self {
            State::Numbers(total, count) => {
                // Other values than numbers do not count.
                let Some(value @ Value::Number(_)) = value else {
                    return Ok(());
                };
                let sum = decimal(&value).and_then(|value| total.checked_add(value));
                *total = sum.ok_or_else(|| DocumentError::NumberOutOfRange {
                    operation: name.to_owned(),
                })?;
                *count += 1;
            }
            State::One(kept) => {
                let is_taken = match (kind, &value, &kept) {
                    (Accumulator::First, _, None) | (Accumulator::Last, ..) => true,
                    (Accumulator::First, ..) | (_, None | Some(Value::Null), _) => false,
                    (_, Some(_), None) => true,
                    (kind, Some(value), Some(kept)) => {
                        let wanted = match kind {
                            Accumulator::Minimum => Ordering::Less,
                            _ => Ordering::Greater,
                        };
                        compare_values(value, kept)? == wanted
                    }
                };
                if is_taken {
                    let value = value.unwrap_or(Value::Null);
                    budget.give(kept.as_ref().map_or(0, size));
                    budget.take(size(&value))?;
                    *kept = Some(value);
                }
            }
            State::Many(values) => {
                if let Some(value) = value {
                    budget.take(size(&value))?;
                    values.push(value);
                }
            }
            State::Set(seen, values) => {
                if let Some(value) = value
                    && seen.insert(value_key(&value)?)
                {
                    budget.take(2 * size(&value))?;
                    values.push(value);
                }
            }
        }
        Ok(())
    }

    fn finish(self, kind: Accumulator, name: &str) -> Result<Value> {
        Ok(match self {
            State::Numbers(total, count) if kind == Accumulator::Average => {
                if count == 0 {
                    return Ok(Value::Null);
                }
                let count = Decimal::new(i128::from(count), 0);
                let average = count.and_then(|count| quotient(total, count));
                number(average.ok_or_else(|| DocumentError::NumberOutOfRange {
                    operation: name.to_owned(),
                })?)
            }
            State::Numbers(total, _) => number(total),
            State::One(value) => value.unwrap_or(Value::Null),
            State::Many(values) | State::Set(_, values) => Value::Array(values),
        })
    }
}
