//! Values computed from a document (MongoDB manual, "Aggregation Expressions").
//!
//! A missing field is told from `null`: it compares below `null` and makes no field. Arithmetic
//! and text operators give `null` where an argument is `null` or missing.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use crate::error::{DocumentError, Result};
use crate::number::{Arithmetic, calculate, decimal, number};
use crate::order::{compare_values, equal_values};
use crate::path::{Path, integer_of};

/// Levels of operators in one expression.
pub const EXPRESSION_DEPTH_MAX: usize = 32;

/// An expression.
#[derive(Clone, Debug)]
pub(crate) enum Expression {
    Literal(Value),
    Field(Path),
    /// `$$ROOT`
    Document,
    Array(Vec<Expression>),
    Object(Vec<(String, Expression)>),
    Operator(Operator, Vec<Expression>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Arithmetic(Arithmetic),
    Abs,
    Ceil,
    Floor,
    Concat,
    ToUpper,
    ToLower,
    ToString,
    StrLen,
    IfNull,
    Cond,
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Compare,
    And,
    Or,
    Not,
    In,
    Size,
    ElementAt,
    Type,
}

/// Name, operator, least and most arguments.
const OPERATORS: &[(&str, Operator, usize, usize)] = &[
    (
        "$add",
        Operator::Arithmetic(Arithmetic::Add),
        1,
        ARGUMENTS_MAX,
    ),
    (
        "$subtract",
        Operator::Arithmetic(Arithmetic::Subtract),
        2,
        2,
    ),
    (
        "$multiply",
        Operator::Arithmetic(Arithmetic::Multiply),
        1,
        ARGUMENTS_MAX,
    ),
    ("$divide", Operator::Arithmetic(Arithmetic::Divide), 2, 2),
    ("$mod", Operator::Arithmetic(Arithmetic::Modulo), 2, 2),
    ("$abs", Operator::Abs, 1, 1),
    ("$ceil", Operator::Ceil, 1, 1),
    ("$floor", Operator::Floor, 1, 1),
    ("$concat", Operator::Concat, 1, ARGUMENTS_MAX),
    ("$toUpper", Operator::ToUpper, 1, 1),
    ("$toLower", Operator::ToLower, 1, 1),
    ("$toString", Operator::ToString, 1, 1),
    ("$strLenCP", Operator::StrLen, 1, 1),
    ("$ifNull", Operator::IfNull, 2, ARGUMENTS_MAX),
    ("$cond", Operator::Cond, 3, 3),
    ("$eq", Operator::Equal, 2, 2),
    ("$ne", Operator::NotEqual, 2, 2),
    ("$gt", Operator::Greater, 2, 2),
    ("$gte", Operator::GreaterOrEqual, 2, 2),
    ("$lt", Operator::Less, 2, 2),
    ("$lte", Operator::LessOrEqual, 2, 2),
    ("$cmp", Operator::Compare, 2, 2),
    ("$and", Operator::And, 0, ARGUMENTS_MAX),
    ("$or", Operator::Or, 0, ARGUMENTS_MAX),
    ("$not", Operator::Not, 1, 1),
    ("$in", Operator::In, 2, 2),
    ("$size", Operator::Size, 1, 1),
    ("$arrayElemAt", Operator::ElementAt, 2, 2),
    ("$type", Operator::Type, 1, 1),
];

/// Arguments of one operator.
const ARGUMENTS_MAX: usize = 100;

fn wrong(place: &str, reason: &str) -> DocumentError {
    DocumentError::invalid("expression", place, reason)
}

impl Expression {
    pub(super) fn parse(value: &Value) -> Result<Expression> {
        parse_at(value, 0)
    }

    pub(super) fn one() -> Expression {
        Expression::Literal(Value::Number(1.into()))
    }

    /// The value for a document; `None` where it is missing.
    pub(crate) fn evaluate(&self, document: &Value) -> Result<Option<Value>> {
        Ok(match self {
            Expression::Literal(value) => Some(value.clone()),
            Expression::Field(path) => field(document, path),
            Expression::Document => Some(document.clone()),
            Expression::Array(elements) => {
                let mut out = Vec::with_capacity(elements.len());
                for element in elements {
                    out.push(element.evaluate(document)?.unwrap_or(Value::Null));
                }
                Some(Value::Array(out))
            }
            Expression::Object(pairs) => {
                let mut out = Map::new();
                for (key, expression) in pairs {
                    if let Some(value) = expression.evaluate(document)? {
                        out.insert(key.clone(), value);
                    }
                }
                Some(Value::Object(out))
            }
            Expression::Operator(operator, arguments) => operator.evaluate(arguments, document)?,
        })
    }
}

fn parse_at(value: &Value, depth: usize) -> Result<Expression> {
    if depth > EXPRESSION_DEPTH_MAX {
        return Err(DocumentError::Limit {
            what: "the depth of an expression",
            limit: EXPRESSION_DEPTH_MAX,
        });
    }
    Ok(match value {
        Value::String(text) => match text.strip_prefix('$') {
            None => Expression::Literal(value.clone()),
            Some("$ROOT" | "$CURRENT") => Expression::Document,
            Some(rest) => match rest.strip_prefix('$') {
                None => Expression::Field(Path::parse(rest, "expression")?),
                Some(variable) => {
                    let path = variable
                        .strip_prefix("ROOT.")
                        .or_else(|| variable.strip_prefix("CURRENT."));
                    match path {
                        Some(path) => Expression::Field(Path::parse(path, "expression")?),
                        None => return Err(DocumentError::unsupported("variable", text)),
                    }
                }
            },
        },
        Value::Array(elements) => Expression::Array(
            elements
                .iter()
                .map(|element| parse_at(element, depth + 1))
                .collect::<Result<_>>()?,
        ),
        Value::Object(pairs) => match pairs.iter().next() {
            Some((name, argument)) if name.starts_with('$') => {
                if pairs.len() > 1 {
                    return Err(wrong(name, "an operator stands alone in its object"));
                }
                parse_operator(name, argument, depth)?
            }
            _ => Expression::Object(
                pairs
                    .iter()
                    .map(|(key, value)| {
                        if key.starts_with('$') || key.contains('.') {
                            return Err(wrong(key, "a field of an object is a plain name"));
                        }
                        Ok((key.clone(), parse_at(value, depth + 1)?))
                    })
                    .collect::<Result<_>>()?,
            ),
        },
        literal => Expression::Literal(literal.clone()),
    })
}

fn parse_operator(name: &str, argument: &Value, depth: usize) -> Result<Expression> {
    if name == "$literal" {
        return Ok(Expression::Literal(argument.clone()));
    }
    let known = OPERATORS.iter().find(|(known, ..)| *known == name);
    let Some((_, operator, least, most)) = known else {
        return Err(DocumentError::unsupported("expression operator", name));
    };
    let arguments = match argument {
        Value::Array(arguments) => arguments.iter().collect(),
        Value::Object(pairs) if *operator == Operator::Cond => {
            let parts = ["if", "then", "else"].map(|part| pairs.get(part));
            let parts: Vec<&Value> = parts.into_iter().flatten().collect();
            if parts.len() != pairs.len() {
                return Err(wrong(name, "it takes if, then and else"));
            }
            parts
        }
        argument => vec![argument],
    };
    if !(*least..=*most).contains(&arguments.len()) {
        let reason = match least == most {
            true => format!("it takes {least} arguments"),
            false => format!("it takes {least} to {most} arguments"),
        };
        return Err(wrong(name, &reason));
    }
    let arguments = arguments
        .into_iter()
        .map(|argument| parse_at(argument, depth + 1))
        .collect::<Result<_>>()?;
    Ok(Expression::Operator(*operator, arguments))
}

/// A field path; through an array it gives the array of the fields that are there.
fn field(document: &Value, path: &Path) -> Option<Value> {
    fn at(value: &Value, names: &[crate::path::Segment]) -> Option<Value> {
        let Some((first, rest)) = names.split_first() else {
            return Some(value.clone());
        };
        match value {
            Value::Object(pairs) => at(pairs.get(&first.name)?, rest),
            Value::Array(elements) => {
                let found = elements.iter().filter(|element| !element.is_array());
                Some(found.filter_map(|element| at(element, names)).collect())
            }
            _ => None,
        }
    }
    at(document, path.segments())
}

/// What counts as true: everything but false, null, zero and what is missing.
fn is_true(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(number @ Value::Number(_)) => !decimal(number).is_some_and(|number| number.is_zero()),
        Some(_) => true,
    }
}

fn is_nothing(value: Option<&Value>) -> bool {
    matches!(value, None | Some(Value::Null))
}

fn order(a: Option<&Value>, b: Option<&Value>) -> Result<Ordering> {
    match (a, b) {
        (Some(a), Some(b)) => compare_values(a, b),
        (a, b) => Ok(a.is_some().cmp(&b.is_some())),
    }
}

impl Operator {
    fn evaluate(self, arguments: &[Expression], document: &Value) -> Result<Option<Value>> {
        let argument = |at: usize| match arguments.get(at) {
            Some(expression) => expression.evaluate(document),
            None => Ok(None),
        };
        // Those that do not look at every argument.
        match self {
            Operator::Cond => {
                let which = if is_true(argument(0)?.as_ref()) { 1 } else { 2 };
                return argument(which);
            }
            Operator::IfNull => {
                for at in 0..arguments.len() {
                    let value = argument(at)?;
                    if !is_nothing(value.as_ref()) || at + 1 == arguments.len() {
                        return Ok(value);
                    }
                }
                return Ok(None);
            }
            Operator::And | Operator::Or => {
                for at in 0..arguments.len() {
                    if is_true(argument(at)?.as_ref()) == (self == Operator::Or) {
                        return Ok(Some(Value::Bool(self == Operator::Or)));
                    }
                }
                return Ok(Some(Value::Bool(self == Operator::And)));
            }
            _ => {}
        }
        let mut values = Vec::with_capacity(arguments.len());
        for at in 0..arguments.len() {
            values.push(argument(at)?);
        }
        self.apply(&values)
    }

    fn name(self) -> &'static str {
        let known = OPERATORS.iter().find(|(_, operator, ..)| *operator == self);
        known.map_or("", |(name, ..)| name)
    }

    fn refused(self, reason: &str) -> DocumentError {
        DocumentError::NotApplicable {
            operation: self.name().to_owned(),
            path: String::new(),
            reason: reason.to_owned(),
        }
    }

    fn apply(self, values: &[Option<Value>]) -> Result<Option<Value>> {
        let first = values.first().and_then(Option::as_ref);
        let second = values.get(1).and_then(Option::as_ref);
        let truth = |flag: bool| Ok(Some(Value::Bool(flag)));
        match self {
            Operator::Arithmetic(arithmetic) => self.arithmetic(arithmetic, values),
            Operator::Abs | Operator::Ceil | Operator::Floor => self.rounding(first),
            Operator::Concat => self.concat(values),
            Operator::ToUpper => self.text(first, str::to_ascii_uppercase),
            Operator::ToLower => self.text(first, str::to_ascii_lowercase),
            Operator::ToString => match first {
                None | Some(Value::Null) => Ok(Some(Value::Null)),
                Some(Value::String(text)) => Ok(Some(Value::String(text.clone()))),
                Some(Value::Array(_) | Value::Object(_)) => Err(self.refused("it takes a scalar")),
                Some(value) => Ok(Some(Value::String(value.to_string()))),
            },
            Operator::StrLen => match first {
                Some(Value::String(text)) => Ok(Some(text.chars().count().into())),
                _ => Err(self.refused("it takes a string")),
            },
            Operator::Equal => truth(order(first, second)?.is_eq()),
            Operator::NotEqual => truth(order(first, second)?.is_ne()),
            Operator::Greater => truth(order(first, second)?.is_gt()),
            Operator::GreaterOrEqual => truth(order(first, second)?.is_ge()),
            Operator::Less => truth(order(first, second)?.is_lt()),
            Operator::LessOrEqual => truth(order(first, second)?.is_le()),
            Operator::Compare => Ok(Some(Value::Number((order(first, second)? as i64).into()))),
            Operator::Not => truth(!is_true(first)),
            Operator::In => match second {
                Some(Value::Array(elements)) => truth(first.is_some_and(|wanted| {
                    elements.iter().any(|element| equal_values(element, wanted))
                })),
                _ => Err(self.refused("its second argument must be an array")),
            },
            Operator::Size => match first {
                Some(Value::Array(elements)) => Ok(Some(elements.len().into())),
                _ => Err(self.refused("it takes an array")),
            },
            Operator::ElementAt => self.element(first, second),
            Operator::Type => {
                let name = match first {
                    None => "missing",
                    Some(Value::Null) => "null",
                    Some(Value::Bool(_)) => "bool",
                    Some(Value::Number(_)) => "number",
                    Some(Value::String(_)) => "string",
                    Some(Value::Array(_)) => "array",
                    Some(Value::Object(_)) => "object",
                };
                Ok(Some(Value::String(name.to_owned())))
            }
            // Answered before.
            Operator::Cond | Operator::IfNull | Operator::And | Operator::Or => Ok(None),
        }
    }

    fn arithmetic(self, arithmetic: Arithmetic, values: &[Option<Value>]) -> Result<Option<Value>> {
        if values.iter().any(|value| is_nothing(value.as_ref())) {
            return Ok(Some(Value::Null));
        }
        let mut total: Option<Value> = None;
        for value in values.iter().flatten() {
            if !value.is_number() {
                return Err(self.refused("it takes numbers"));
            }
            total = Some(match total {
                None => value.clone(),
                Some(total) => calculate(self.name(), arithmetic, &total, value)?,
            });
        }
        Ok(total)
    }

    fn rounding(self, value: Option<&Value>) -> Result<Option<Value>> {
        if is_nothing(value) {
            return Ok(Some(Value::Null));
        }
        let Some(value) = value.and_then(decimal) else {
            return Err(self.refused("it takes a number of at most 38 digits"));
        };
        let rounded = match self {
            Operator::Abs => Some(value.abs()),
            Operator::Ceil => value.ceil(),
            _ => value.floor(),
        };
        match rounded {
            Some(rounded) => Ok(Some(number(rounded))),
            None => Err(DocumentError::NumberOutOfRange {
                operation: self.name().to_owned(),
            }),
        }
    }

    fn concat(self, values: &[Option<Value>]) -> Result<Option<Value>> {
        let mut out = String::new();
        for value in values {
            match value {
                None | Some(Value::Null) => return Ok(Some(Value::Null)),
                Some(Value::String(text)) => out.push_str(text),
                Some(_) => return Err(self.refused("it takes strings")),
            }
        }
        Ok(Some(Value::String(out)))
    }

    /// `null` becomes the empty string, as in MongoDB.
    fn text(self, value: Option<&Value>, change: fn(&str) -> String) -> Result<Option<Value>> {
        match value {
            None | Some(Value::Null) => Ok(Some(Value::String(String::new()))),
            Some(Value::String(text)) => Ok(Some(Value::String(change(text)))),
            Some(_) => Err(self.refused("it takes a string")),
        }
    }

    fn element(self, array: Option<&Value>, index: Option<&Value>) -> Result<Option<Value>> {
        if is_nothing(array) || is_nothing(index) {
            return Ok(Some(Value::Null));
        }
        let (Some(Value::Array(elements)), Some(index)) = (array, index.and_then(integer_of))
        else {
            return Err(self.refused("it takes an array and a whole number"));
        };
        let length = i64::try_from(elements.len()).unwrap_or(i64::MAX);
        let place = if index < 0 {
            index.saturating_add(length)
        } else {
            index
        };
        let place = usize::try_from(place).ok();
        Ok(place.and_then(|place| elements.get(place)).cloned())
    }
}
