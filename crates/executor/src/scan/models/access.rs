//! Which records of a key space or a collection a filter needs.
//!
//! A condition on `id` or `key` names records or a range of them; conditions on paths of a
//! document may be answered by an index of the collection. Every filter is evaluated again above
//! the scan, so an access may give too much.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{Expr, Operator};
use serde_json::json;
use tessera_catalog::{Model, TableDef};
use tessera_documents::{Collection, Filter, Way};
use tessera_planner::by_value::argument_of;

use super::paths;
use crate::explain::expression_text;
use crate::operators::in_set;
use crate::scan::ROW_KEY;

/// Keys that one condition may name.
const KEYS_MAX: usize = 10_000;

/// How a key space or a collection is read.
#[derive(Debug, Clone)]
pub(crate) enum ModelAccess {
    /// The filter excludes every record.
    Nothing,
    /// All of it.
    All,
    /// By names in the store: looking again at rows that were found before.
    Stored(Arc<[Bytes]>),
    /// These keys of a key space.
    Keys(Arc<[Bytes]>),
    /// The keys between two bounds.
    KeysBetween(Bound<Bytes>, Bound<Bytes>),
    /// Documents that match a filter, by their ids.
    Ids(Arc<Filter>),
    /// Documents that match a filter, along an index.
    Index(Arc<Filter>, Arc<str>),
    /// Documents that match a filter that no index answers.
    Matching(Arc<Filter>),
}

/// The access of a scan.
#[derive(Debug, Clone)]
pub(crate) struct ChosenModel {
    pub(crate) access: ModelAccess,
    /// Name of the index, or of the primary key.
    pub(crate) index_name: Option<String>,
    /// The conditions that it makes use of, for EXPLAIN.
    pub(crate) condition: Option<String>,
}

/// Whether a filter may help to choose. A parameter of a subquery counts as a constant: it is one
/// when the scan is planned.
pub(super) fn is_useful(table: &TableDef, filter: &Expr) -> bool {
    let assumed = filter.clone().transform_up(|expr| match &expr {
        Expr::Placeholder(placeholder) => {
            let value = match &placeholder.field {
                Some(field) => ScalarValue::new_default(field.data_type())?,
                None => return Ok(Transformed::no(expr)),
            };
            Ok(Transformed::yes(Expr::Literal(value, None)))
        }
        _ => Ok(Transformed::no(expr)),
    });
    assumed.is_ok_and(|assumed| {
        stored(&assumed.data).is_some()
            || match table.model {
                Model::Collection => paths::candidates(&assumed.data).is_some(),
                _ => key_limits(&assumed.data).is_some(),
            }
    })
}

/// Chooses an access for a conjunction of filters. `collection` is the relation's if it is one.
pub(super) fn choose(
    table: &TableDef,
    collection: Option<&Collection>,
    filters: &[Expr],
) -> ChosenModel {
    let filters: Vec<&Expr> = filters
        .iter()
        .flat_map(datafusion::logical_expr::utils::split_conjunction)
        .collect();
    if let Some(stored) = filters.iter().find_map(|filter| stored(filter)) {
        return ChosenModel {
            access: ModelAccess::Stored(stored.into()),
            index_name: None,
            condition: Some("row key".to_owned()),
        };
    }
    match collection {
        Some(collection) => choose_documents(table, collection, &filters),
        None => choose_keys(table, &filters),
    }
}

const ALL: ChosenModel = ChosenModel {
    access: ModelAccess::All,
    index_name: None,
    condition: None,
};

fn primary_key(table: &TableDef) -> Option<String> {
    table.primary_key_index().map(|index| index.name.clone())
}

fn texts(filters: &[&Expr]) -> Option<String> {
    let texts: Vec<String> = filters
        .iter()
        .map(|filter| expression_text(filter))
        .collect();
    (!texts.is_empty()).then(|| texts.join(" AND "))
}

fn choose_documents(table: &TableDef, collection: &Collection, filters: &[&Expr]) -> ChosenModel {
    let mut conditions = Vec::new();
    let mut used = Vec::new();
    for filter in filters {
        if let Some(condition) = paths::candidates(filter) {
            // One that goes beyond a limit of filters is not used.
            if Filter::parse(&condition).is_ok() {
                conditions.push(condition);
                used.push(*filter);
            }
        }
    }
    if conditions.is_empty() {
        return ALL;
    }
    let Ok(filter) = Filter::parse(&json!({ "$and": conditions })) else {
        return ALL;
    };
    let Ok(way) = collection.way(&filter) else {
        return ALL;
    };
    let filter = Arc::new(filter);
    let (access, index_name) = match way {
        Way::Nothing => (ModelAccess::Nothing, None),
        Way::Ids { .. } => (ModelAccess::Ids(filter), primary_key(table)),
        Way::Index { name, .. } => {
            let access = ModelAccess::Index(filter, name.as_str().into());
            (access, Some(name))
        }
        Way::FullScan { .. } => {
            return ChosenModel {
                access: ModelAccess::Matching(filter),
                ..ALL
            };
        }
    };
    ChosenModel {
        access,
        index_name,
        condition: texts(&used),
    }
}

fn choose_keys(table: &TableDef, filters: &[&Expr]) -> ChosenModel {
    let mut named: Option<Vec<Bytes>> = None;
    let (mut lower, mut upper) = (Bound::Unbounded, Bound::Unbounded);
    let mut used = Vec::new();
    for filter in filters {
        let Some(limits) = key_limits(filter) else {
            continue;
        };
        used.push(*filter);
        match limits {
            KeyLimits::In(keys) => {
                named = Some(match named {
                    Some(mut named) => {
                        named.retain(|key| keys.contains(key));
                        named
                    }
                    None => keys,
                });
            }
            KeyLimits::Between(low, high) => {
                lower = tighter(lower, low, false);
                upper = tighter(upper, high, true);
            }
        }
    }
    if used.is_empty() {
        return ALL;
    }
    let access = match named {
        Some(mut keys) => {
            keys.sort();
            keys.dedup();
            if keys.is_empty() {
                ModelAccess::Nothing
            } else {
                ModelAccess::Keys(keys.into())
            }
        }
        None => ModelAccess::KeysBetween(lower, upper),
    };
    ChosenModel {
        access,
        index_name: primary_key(table),
        condition: texts(&used),
    }
}

/// What one condition says about keys.
enum KeyLimits {
    In(Vec<Bytes>),
    Between(Bound<Bytes>, Bound<Bytes>),
}

/// The narrower of two bounds on the same side.
fn tighter(a: Bound<Bytes>, b: Bound<Bytes>, is_upper: bool) -> Bound<Bytes> {
    let (x, y) = match (&a, &b) {
        (Bound::Unbounded, _) => return b,
        (_, Bound::Unbounded) => return a,
        (Bound::Included(x) | Bound::Excluded(x), Bound::Included(y) | Bound::Excluded(y)) => {
            (x, y)
        }
    };
    let takes_b = match x.cmp(y) {
        std::cmp::Ordering::Less => !is_upper,
        std::cmp::Ordering::Greater => is_upper,
        std::cmp::Ordering::Equal => matches!(b, Bound::Excluded(_)),
    };
    if takes_b { b } else { a }
}

/// What a condition says about the column `key`.
///
/// The column shows a key that is not UTF-8 with a replacement character for each fault, so a
/// constant with one of those names no single key, and the order of such keys is not that of their
/// bytes. Behind plain ASCII the two orders agree, see [`lower_bound`].
fn key_limits(condition: &Expr) -> Option<KeyLimits> {
    match condition {
        Expr::BinaryExpr(binary) => {
            let (left, right) = (argument_of(&binary.left), argument_of(&binary.right));
            let (constant, op) = match (is_key(left), is_key(right)) {
                (true, false) => (text(right)?, binary.op),
                (false, true) => (text(left)?, binary.op.swap()?),
                _ => return None,
            };
            match op {
                Operator::Eq => Some(KeyLimits::In(vec![exact(constant)?])),
                Operator::Gt | Operator::GtEq => Some(KeyLimits::Between(
                    lower_bound(constant, op == Operator::Gt),
                    Bound::Unbounded,
                )),
                Operator::Lt | Operator::LtEq => Some(KeyLimits::Between(
                    Bound::Unbounded,
                    upper_bound(constant, op == Operator::Lt),
                )),
                _ => None,
            }
        }
        Expr::Between(between) if !between.negated && is_key(&between.expr) => {
            let low = lower_bound(text(&between.low)?, false);
            let high = upper_bound(text(&between.high)?, false);
            Some(KeyLimits::Between(low, high))
        }
        Expr::InList(list) if !list.negated && is_key(&list.expr) => {
            let constants = list.list.iter().filter(|item| !is_null(item));
            let keys = constants.map(|item| exact(text(item)?));
            keys.collect::<Option<Vec<_>>>().map(KeyLimits::In)
        }
        Expr::ScalarFunction(call) => {
            let values = in_set::values_of(&call.func)?;
            let [subject] = call.args.as_slice() else {
                return None;
            };
            if !is_key(subject) || values.len() > KEYS_MAX {
                return None;
            }
            let constants = values.iter().filter(|value| !value.is_null());
            let keys = constants.map(|value| exact(text_of(value)?));
            keys.collect::<Option<Vec<_>>>().map(KeyLimits::In)
        }
        Expr::Like(like) if !like.negated && !like.case_insensitive && is_key(&like.expr) => {
            let escape = like.escape_char.unwrap_or('\\');
            let (prefix, is_whole) = paths::literal_prefix(text(&like.pattern)?, escape);
            if is_whole {
                return Some(KeyLimits::In(vec![exact(&prefix)?]));
            }
            // A replacement character stands for no bytes of its own.
            let plain = prefix.split(char::REPLACEMENT_CHARACTER).next()?;
            let end = match paths::text_behind(plain) {
                Some(end) => Bound::Excluded(Bytes::from(end)),
                None => Bound::Unbounded,
            };
            Some(KeyLimits::Between(Bound::Included(bytes(plain)), end))
        }
        _ => None,
    }
}

fn is_key(expr: &Expr) -> bool {
    matches!(argument_of(expr), Expr::Column(column) if column.name == "key")
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if value.is_null())
}

fn text(expr: &Expr) -> Option<&str> {
    match argument_of(expr) {
        Expr::Literal(value, _) => text_of(value),
        _ => None,
    }
}

fn text_of(value: &ScalarValue) -> Option<&str> {
    match value {
        ScalarValue::Utf8(Some(text))
        | ScalarValue::Utf8View(Some(text))
        | ScalarValue::LargeUtf8(Some(text)) => Some(text),
        _ => None,
    }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// The one key that is shown as this text.
fn exact(text: &str) -> Option<Bytes> {
    (!text.contains(char::REPLACEMENT_CHARACTER)).then(|| bytes(text))
}

/// The ASCII characters that a text begins with, and whether that is all of it.
fn ascii(text: &str) -> (&str, bool) {
    let end = text.find(|c: char| !c.is_ascii()).unwrap_or(text.len());
    (&text[..end], end == text.len())
}

/// A bound below every key whose text lies behind `text`.
fn lower_bound(text: &str, is_excluded: bool) -> Bound<Bytes> {
    match ascii(text) {
        (text, true) if is_excluded => Bound::Excluded(bytes(text)),
        (text, _) => Bound::Included(bytes(text)),
    }
}

/// A bound above every key whose text lies before `text`.
fn upper_bound(text: &str, is_excluded: bool) -> Bound<Bytes> {
    match ascii(text) {
        (text, true) if is_excluded => Bound::Excluded(bytes(text)),
        (text, true) => Bound::Included(bytes(text)),
        (text, false) => match paths::text_behind(text) {
            Some(end) if !text.is_empty() => Bound::Excluded(Bytes::from(end)),
            _ => Bound::Unbounded,
        },
    }
}

/// `row_key = '\x…'`: names in the store.
fn stored(condition: &Expr) -> Option<Vec<Bytes>> {
    let Expr::BinaryExpr(binary) = condition else {
        return None;
    };
    if binary.op != Operator::Eq {
        return None;
    }
    let (left, right) = (argument_of(&binary.left), argument_of(&binary.right));
    match (left, right) {
        (Expr::Column(column), Expr::Literal(value, _))
        | (Expr::Literal(value, _), Expr::Column(column))
            if column.name == ROW_KEY =>
        {
            match value {
                ScalarValue::Binary(Some(key)) | ScalarValue::BinaryView(Some(key)) => {
                    Some(vec![Bytes::copy_from_slice(key)])
                }
                _ => None,
            }
        }
        _ => None,
    }
}
