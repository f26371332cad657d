//! The filter language: which documents a query is about.
//!
//! Operators and their meaning are MongoDB's (manual, "Query and Projection Operators"), over JSON:
//! comparisons look only at values of the same kind (number, string, ...), a path that reaches an
//! array matches if the array or one of its elements does, `null` matches a missing field, too.
//!
//! # Map
//! - `parse`: a tree to a [`Filter`], with every limit.
//! - `matches`: whether a document matches.
//! - `implies`: whether one condition follows from another, for partial indexes.
//! - `shape`: the paths of a filter without its values.

mod implies;
mod matches;
mod parse;
mod shape;
#[cfg(test)]
mod tests;

use regex::Regex;
use serde_json::Value;
use tessera_codec::json::{JsonBuf, Kind};

use crate::error::Result;
use crate::jsonpath::JsonPath;
use crate::path::Path;

/// Levels of operators.
pub const FILTER_DEPTH_MAX: usize = 32;
/// Operators and paths of one filter.
pub const FILTER_NODES_MAX: usize = 1_000;
/// Values of one `$in`, `$nin` or `$all`.
pub const FILTER_VALUES_MAX: usize = 10_000;
/// Bytes of a regular expression, and of its compiled form.
pub const REGEX_BYTES_MAX: usize = 4_096;
/// Bytes of the compiled form of a regular expression.
pub const REGEX_COMPILED_BYTES_MAX: usize = 1 << 20;

/// A condition on documents.
#[derive(Clone, Debug)]
pub struct Filter {
    pub(crate) root: Node,
    source: Value,
}

/// A condition on a whole document.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    /// All of them; an empty list is true.
    And(Vec<Node>),
    /// At least one of them.
    Or(Vec<Node>),
    /// None of them.
    Nor(Vec<Node>),
    /// A condition on what a path reaches.
    Field(Path, Test),
    /// The query finds something.
    JsonPath(Box<JsonPath>),
}

/// A condition on what a path reaches.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    Compare(Comparison, JsonBuf),
    In(Choices),
    /// Not one of the tests, or not all of them: `$not`, `$ne`, `$nin`.
    Not(Vec<Test>),
    Exists(bool),
    Type(Vec<Kind>),
    Regex(Regex),
    /// An element for which all tests hold.
    ElementTests(Vec<Test>),
    /// An object among the elements that matches.
    ElementMatches(Box<Node>),
    /// All of them; an empty list is false.
    All(Vec<Test>),
    Size(usize),
    Modulo {
        divisor: i64,
        remainder: i64,
    },
}

/// The operators that compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// What `$in` lists.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choices {
    /// Ordered as `codec::json::compare` orders, without equal ones.
    pub(crate) values: Vec<JsonBuf>,
    pub(crate) patterns: Vec<Regex>,
}

impl Filter {
    /// Every document.
    pub fn all() -> Filter {
        Filter {
            root: Node::And(Vec::new()),
            source: Value::Object(serde_json::Map::new()),
        }
    }

    /// Parses `{"a.b": 5, "c": {"$gt": 1}, "$or": [...]}`.
    pub fn parse(value: &Value) -> Result<Filter> {
        Ok(Filter {
            root: parse::filter(value)?,
            source: value.clone(),
        })
    }

    /// What it was parsed from.
    pub fn source(&self) -> &Value {
        &self.source
    }

    /// Whether every document matches.
    pub fn is_all(&self) -> bool {
        matches!(&self.root, Node::And(nodes) if nodes.is_empty())
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Filter) -> bool {
        self.source == other.source
    }
}
