//! A tree to a filter.

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};
use tessera_codec::json::{JsonBuf, Kind, compare};

use super::{
    Choices, Comparison, FILTER_DEPTH_MAX, FILTER_NODES_MAX, FILTER_VALUES_MAX, Node,
    REGEX_BYTES_MAX, REGEX_COMPILED_BYTES_MAX, Test,
};
use crate::error::{DocumentError, Result};
use crate::jsonpath::JsonPath;
use crate::path::{Path, integer_of};

const WHAT: &str = "filter";

pub(super) fn filter(value: &Value) -> Result<Node> {
    let mut parser = Parser { nodes: 0 };
    parser.document(value, 0)
}

struct Parser {
    nodes: usize,
}

fn wrong(place: &str, reason: &str) -> DocumentError {
    DocumentError::invalid(WHAT, place, reason)
}

impl Parser {
    fn enter(&mut self, depth: usize) -> Result<()> {
        self.nodes += 1;
        if self.nodes > FILTER_NODES_MAX {
            return Err(DocumentError::Limit {
                what: "the number of conditions in a filter",
                limit: FILTER_NODES_MAX,
            });
        }
        if depth > FILTER_DEPTH_MAX {
            return Err(DocumentError::Limit {
                what: "the depth of a filter",
                limit: FILTER_DEPTH_MAX,
            });
        }
        Ok(())
    }

    fn document(&mut self, value: &Value, depth: usize) -> Result<Node> {
        self.enter(depth)?;
        let Value::Object(pairs) = value else {
            return Err(wrong("", "a filter must be an object"));
        };
        let mut nodes = Vec::new();
        for (key, value) in pairs {
            match key.as_str() {
                "$and" => nodes.push(Node::And(self.documents(key, value, depth)?)),
                "$or" => nodes.push(Node::Or(self.documents(key, value, depth)?)),
                "$nor" => nodes.push(Node::Nor(self.documents(key, value, depth)?)),
                "$jsonPath" => {
                    let text = value
                        .as_str()
                        .ok_or_else(|| wrong(key, "it takes a JSONPath query as a string"))?;
                    nodes.push(Node::JsonPath(Box::new(JsonPath::parse(text)?)));
                }
                "$comment" => {}
                _ if key.starts_with('$') => {
                    return Err(DocumentError::unsupported("filter operator", key));
                }
                _ => {
                    let path = Path::parse(key, WHAT)?;
                    for test in self.condition(key, value, depth + 1)? {
                        nodes.push(Node::Field(path.clone(), test));
                    }
                }
            }
        }
        match nodes.pop() {
            Some(node) if nodes.is_empty() => Ok(node),
            Some(node) => {
                nodes.push(node);
                Ok(Node::And(nodes))
            }
            None => Ok(Node::And(nodes)),
        }
    }

    fn documents(&mut self, operator: &str, value: &Value, depth: usize) -> Result<Vec<Node>> {
        match value {
            Value::Array(filters) if !filters.is_empty() => filters
                .iter()
                .map(|filter| self.document(filter, depth + 1))
                .collect(),
            _ => Err(wrong(operator, "it takes an array of filters, not empty")),
        }
    }

    /// What stands behind a path: a value, or an object of operators.
    fn condition(&mut self, path: &str, value: &Value, depth: usize) -> Result<Vec<Test>> {
        match operators(path, value)? {
            Some(pairs) => self.tests(path, pairs, depth),
            None => {
                self.enter(depth)?;
                Ok(vec![Test::Compare(Comparison::Equal, constant(value)?)])
            }
        }
    }

    fn tests(&mut self, path: &str, pairs: &Map<String, Value>, depth: usize) -> Result<Vec<Test>> {
        let mut tests = Vec::with_capacity(pairs.len());
        for (operator, value) in pairs {
            if operator == "$options" {
                if !pairs.contains_key("$regex") {
                    return Err(wrong(path, "$options needs $regex"));
                }
                continue;
            }
            self.enter(depth)?;
            let options = pairs.get("$options");
            tests.push(self.test(path, operator, value, options, depth)?);
        }
        Ok(tests)
    }

    fn test(
        &mut self,
        path: &str,
        operator: &str,
        value: &Value,
        options: Option<&Value>,
        depth: usize,
    ) -> Result<Test> {
        let comparison = |comparison| Ok(Test::Compare(comparison, constant(value)?));
        match operator {
            "$eq" => comparison(Comparison::Equal),
            "$gt" => comparison(Comparison::Greater),
            "$gte" => comparison(Comparison::GreaterOrEqual),
            "$lt" => comparison(Comparison::Less),
            "$lte" => comparison(Comparison::LessOrEqual),
            "$ne" => Ok(Test::Not(vec![Test::Compare(
                Comparison::Equal,
                constant(value)?,
            )])),
            "$in" => Ok(Test::In(choices(operator, value)?)),
            "$nin" => Ok(Test::Not(vec![Test::In(choices(operator, value)?)])),
            "$not" => match operators(path, value)? {
                Some(pairs) => Ok(Test::Not(self.tests(path, pairs, depth + 1)?)),
                None => Err(wrong(operator, "it takes an object of operators")),
            },
            "$exists" => value
                .as_bool()
                .map(Test::Exists)
                .ok_or_else(|| wrong(operator, "it takes true or false")),
            "$type" => kinds(value).map(Test::Type),
            "$regex" => regex(value, options).map(Test::Regex),
            "$elemMatch" => self.element(path, value, depth),
            "$all" => self.all(path, value, depth),
            "$size" => integer_of(value)
                .and_then(|size| usize::try_from(size).ok())
                .map(Test::Size)
                .ok_or_else(|| wrong(operator, "it takes a whole number from 0")),
            "$mod" => modulo(value),
            _ => Err(DocumentError::unsupported("filter operator", operator)),
        }
    }

    fn element(&mut self, path: &str, value: &Value, depth: usize) -> Result<Test> {
        let Value::Object(pairs) = value else {
            return Err(wrong("$elemMatch", "it takes an object"));
        };
        // `$and`, `$or`, `$nor` begin a filter of objects, other operators are tests of elements.
        let is_filter =
            |key: &String| !key.starts_with('$') || matches!(key.as_str(), "$and" | "$or" | "$nor");
        if pairs.keys().all(is_filter) {
            let node = self.document(value, depth + 1)?;
            return Ok(Test::ElementMatches(Box::new(node)));
        }
        Ok(Test::ElementTests(self.tests(path, pairs, depth + 1)?))
    }

    fn all(&mut self, path: &str, value: &Value, depth: usize) -> Result<Test> {
        let Value::Array(values) = value else {
            return Err(wrong("$all", "it takes an array"));
        };
        check_count(values.len())?;
        let mut tests = Vec::with_capacity(values.len());
        for value in values {
            let element = value.as_object().filter(|pairs| pairs.len() == 1);
            match element.and_then(|pairs| pairs.get("$elemMatch")) {
                Some(inner) => tests.push(self.element(path, inner, depth + 1)?),
                None if operators(path, value)?.is_some() => {
                    return Err(wrong("$all", "it takes values and $elemMatch only"));
                }
                None => tests.push(Test::Compare(Comparison::Equal, constant(value)?)),
            }
        }
        Ok(Test::All(tests))
    }
}

/// The operators of a condition, or `None` for a plain value.
fn operators<'a>(path: &str, value: &'a Value) -> Result<Option<&'a Map<String, Value>>> {
    let Value::Object(pairs) = value else {
        return Ok(None);
    };
    let count = pairs.keys().filter(|key| key.starts_with('$')).count();
    match count {
        0 => Ok(None),
        count if count == pairs.len() => Ok(Some(pairs)),
        _ => Err(wrong(path, "operators and fields are mixed")),
    }
}

fn constant(value: &Value) -> Result<JsonBuf> {
    Ok(JsonBuf::from_value(value)?)
}

fn check_count(count: usize) -> Result<()> {
    if count <= FILTER_VALUES_MAX {
        return Ok(());
    }
    Err(DocumentError::Limit {
        what: "the number of values of one operator",
        limit: FILTER_VALUES_MAX,
    })
}

fn choices(operator: &str, value: &Value) -> Result<Choices> {
    let Value::Array(values) = value else {
        return Err(wrong(operator, "it takes an array"));
    };
    check_count(values.len())?;
    let mut choices = Choices::default();
    for value in values {
        match operators(operator, value)? {
            None => choices.values.push(constant(value)?),
            Some(pairs) => match (pairs.get("$regex"), pairs.get("$options")) {
                (Some(pattern), options) if pairs.len() == 1 + usize::from(options.is_some()) => {
                    choices.patterns.push(regex(pattern, options)?);
                }
                _ => return Err(wrong(operator, "it takes values and $regex only")),
            },
        }
    }
    // Freshly encoded, so reading cannot fail.
    let order = |a: &JsonBuf, b: &JsonBuf| match (a.view(), b.view()) {
        (Ok(a), Ok(b)) => compare(&a, &b).unwrap_or(std::cmp::Ordering::Equal),
        _ => std::cmp::Ordering::Equal,
    };
    choices.values.sort_by(order);
    choices.values.dedup_by(|a, b| order(a, b).is_eq());
    Ok(choices)
}

fn kinds(value: &Value) -> Result<Vec<Kind>> {
    match value {
        Value::Array(values) if !values.is_empty() => values.iter().map(kind).collect(),
        Value::Array(_) => Err(wrong("$type", "it takes a name or an array of names")),
        value => Ok(vec![kind(value)?]),
    }
}

/// Names and numbers as in MongoDB's manual, `$type`; those of BSON alone are not there in JSON.
fn kind(value: &Value) -> Result<Kind> {
    let name = match (value.as_str(), integer_of(value)) {
        (Some(name), _) => name.to_owned(),
        (None, Some(number)) => number.to_string(),
        (None, None) => return Err(wrong("$type", "it takes a name or an array of names")),
    };
    match name.as_str() {
        "null" | "10" => Ok(Kind::Null),
        "bool" | "boolean" | "8" => Ok(Kind::Bool),
        "number" => Ok(Kind::Number),
        "string" | "2" => Ok(Kind::String),
        "object" | "3" => Ok(Kind::Object),
        "array" | "4" => Ok(Kind::Array),
        _ => Err(DocumentError::unsupported("type", name)),
    }
}

/// Linear in the length of the text, so there are no look-arounds and no back references.
fn regex(pattern: &Value, options: Option<&Value>) -> Result<Regex> {
    let pattern = pattern
        .as_str()
        .ok_or_else(|| wrong("$regex", "it takes a string"))?;
    if pattern.len() > REGEX_BYTES_MAX {
        return Err(DocumentError::Limit {
            what: "the length of a regular expression in bytes",
            limit: REGEX_BYTES_MAX,
        });
    }
    let mut builder = RegexBuilder::new(pattern);
    builder.size_limit(REGEX_COMPILED_BYTES_MAX);
    let options = match options {
        None => "",
        Some(options) => options
            .as_str()
            .ok_or_else(|| wrong("$options", "it takes a string"))?,
    };
    for option in options.chars() {
        match option {
            'i' => builder.case_insensitive(true),
            'm' => builder.multi_line(true),
            's' => builder.dot_matches_new_line(true),
            'x' => builder.ignore_whitespace(true),
            'u' => &mut builder,
            _ => {
                return Err(DocumentError::unsupported(
                    "option of $regex",
                    option.to_string(),
                ));
            }
        };
    }
    builder.build().map_err(|error| DocumentError::Regex {
        reason: error.to_string(),
    })
}

fn modulo(value: &Value) -> Result<Test> {
    let error = || wrong("$mod", "it takes [divisor, remainder], the divisor not 0");
    match value.as_array().map(Vec::as_slice) {
        Some([divisor, remainder]) => {
            let divisor = integer_of(divisor).filter(|divisor| *divisor != 0);
            Ok(Test::Modulo {
                divisor: divisor.ok_or_else(error)?,
                remainder: integer_of(remainder).ok_or_else(error)?,
            })
        }
        _ => Err(error()),
    }
}
