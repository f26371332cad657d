//! JSONPath (RFC 9535): queries that select nodes of a document.

use serde_json::Value;
use serde_json_path::PathElement;

use crate::error::{DocumentError, Result};

/// Bytes of a query.
pub const JSONPATH_BYTES_MAX: usize = 1_024;
/// Levels of brackets and parentheses in a query; the parser's time grows steeply with them.
pub const JSONPATH_DEPTH_MAX: usize = 8;
/// Descendant segments (`..`) in a query: each multiplies the nodes by the depth of the document.
pub const JSONPATH_DESCENDANTS_MAX: usize = 2;

/// A parsed query.
#[derive(Clone, Debug)]
pub struct JsonPath {
    query: serde_json_path::JsonPath,
    text: String,
}

/// A node that a query selects.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPathNode<'a> {
    /// Its normalized path (RFC 9535, section 2.7), `$['a'][0]`.
    pub path: String,
    /// Its value.
    pub value: &'a Value,
}

impl JsonPath {
    /// Parses a query.
    pub fn parse(text: &str) -> Result<JsonPath> {
        let limit = |what: &'static str, limit: usize| Err(DocumentError::Limit { what, limit });
        if text.len() > JSONPATH_BYTES_MAX {
            return limit(
                "the length of a JSONPath query in bytes",
                JSONPATH_BYTES_MAX,
            );
        }
        let (mut depth, mut deepest) = (0_usize, 0);
        for byte in text.bytes() {
            match byte {
                b'(' | b'[' => depth += 1,
                b')' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            deepest = deepest.max(depth);
        }
        if deepest > JSONPATH_DEPTH_MAX {
            return limit("the depth of a JSONPath query", JSONPATH_DEPTH_MAX);
        }
        if text.matches("..").count() > JSONPATH_DESCENDANTS_MAX {
            return limit(
                "the number of descendant segments in a JSONPath query",
                JSONPATH_DESCENDANTS_MAX,
            );
        }
        match serde_json_path::JsonPath::parse(text) {
            Ok(query) => Ok(JsonPath {
                query,
                text: text.to_owned(),
            }),
            Err(error) => Err(DocumentError::invalid("JSONPath", text, error.to_string())),
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The nodes that the query selects, in the standard's order.
    pub fn nodes<'a>(&self, document: &'a Value) -> Vec<JsonPathNode<'a>> {
        let located = self.query.query_located(document);
        located
            .into_iter()
            .map(|node| JsonPathNode {
                path: normalized(node.location().iter()),
                value: node.node(),
            })
            .collect()
    }

    /// The values that the query selects, in the standard's order.
    pub fn values<'a>(&self, document: &'a Value) -> Vec<&'a Value> {
        self.query.query(document).all()
    }

    /// Whether the query selects anything.
    pub(crate) fn finds_any(&self, document: &Value) -> Result<bool> {
        Ok(!self.query.query(document).is_empty())
    }
}

/// The library leaves quotes and control characters as they are.
fn normalized<'a>(elements: impl Iterator<Item = &'a PathElement<'a>>) -> String {
    let mut out = String::from("$");
    for element in elements {
        let name = match element {
            PathElement::Index(index) => {
                out.push_str(&format!("[{index}]"));
                continue;
            }
            PathElement::Name(name) => name,
        };
        out.push_str("['");
        for c in name.chars() {
            match c {
                '\'' => out.push_str("\\'"),
                '\\' => out.push_str("\\\\"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => out.push(c),
            }
        }
        out.push_str("']");
    }
    out
}
