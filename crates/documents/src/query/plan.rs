//! Which way to the documents.
//!
//! The candidates of a way are a superset of the answer; the filter decides on each. Among the
//! usable indexes the one with the most leading fields compared for equality wins, then one whose
//! next field has a range, then one that gives the order. There are no statistics.

use std::ops::Bound;

use tessera_storage::{Key, KeyRange, KeySpace, Snapshot};

use crate::collection::Collection;
use crate::document::{DocumentId, document_key, documents_range, prefix};
use crate::error::Result;
use crate::filter::{Filter, Node};
use crate::index::{Field, Index, Interval, PathIntervals, id_choices, path_intervals};
use crate::order::{Sort, SortField};
use crate::query::token::Token;

/// Ranges of one index that a query may look at.
const RANGES_MAX: usize = 10_000;

/// How a query is answered, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explain {
    /// The way to the documents.
    pub way: Way,
    /// The filter that decides on each candidate, as JSON.
    pub filter: String,
    /// Whether the documents are sorted in memory, at most [`crate::SORT_BYTES_MAX`] of them.
    pub sorts_in_memory: bool,
}

/// A way to documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// No document can match.
    Nothing,
    /// By the ids that the filter names.
    Ids {
        /// How many.
        count: usize,
    },
    /// Along an index.
    Index {
        /// Its name.
        name: String,
        /// Its paths that the filter's values are looked up at.
        paths: Vec<String>,
        /// Ranges of it that are read.
        ranges: usize,
        /// From its end.
        reverse: bool,
    },
    /// Every document, in the order of ids.
    FullScan {
        /// From the last one.
        reverse: bool,
    },
}

impl std::fmt::Display for Explain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.way {
            Way::Nothing => f.write_str("nothing can match")?,
            Way::Ids { count } => write!(f, "{count} ids")?,
            Way::Index {
                name,
                paths,
                ranges,
                reverse,
            } => {
                write!(f, "index {name} ({}), {ranges} ranges", paths.join(", "))?;
                if *reverse {
                    f.write_str(", reverse")?;
                }
            }
            Way::FullScan { reverse: false } => f.write_str("full scan")?,
            Way::FullScan { reverse: true } => f.write_str("full scan, reverse")?,
        }
        write!(f, "; filter {}", self.filter)?;
        if self.sorts_in_memory {
            f.write_str("; sort in memory")?;
        }
        Ok(())
    }
}

/// A way with all its keys.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    Ids(Vec<DocumentId>),
    Index {
        /// Position in the collection.
        index: usize,
        /// Fields with intervals.
        fields: usize,
        /// Disjoint, in the order of reading.
        ranges: Vec<KeyRange>,
        reverse: bool,
        /// A document may have several entries in the ranges.
        repeats: bool,
    },
    Rows {
        range: KeyRange,
        reverse: bool,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) access: Access,
    /// Documents come in the order of the sort.
    pub(crate) is_sorted: bool,
}

impl Plan {
    pub(super) fn explain(
        &self,
        collection: &Collection,
        filter: &Filter,
        order: &Sort,
    ) -> Explain {
        let way = match &self.access {
            Access::Ids(ids) if ids.is_empty() => Way::Nothing,
            Access::Ids(ids) => Way::Ids { count: ids.len() },
            Access::Index { ranges, .. } if ranges.is_empty() => Way::Nothing,
            Access::Index {
                index,
                fields,
                ranges,
                reverse,
                ..
            } => {
                let index = &collection.indexes()[*index];
                let paths = index.fields[..*fields].iter();
                Way::Index {
                    name: index.name().to_owned(),
                    paths: paths.map(|field| field.path.as_str().to_owned()).collect(),
                    ranges: ranges.len(),
                    reverse: *reverse,
                }
            }
            Access::Rows { reverse, .. } => Way::FullScan { reverse: *reverse },
        };
        Explain {
            way,
            filter: filter.source().to_string(),
            sorts_in_memory: !self.is_sorted && !order.is_empty(),
        }
    }

    pub(crate) fn is_full_scan(&self) -> bool {
        matches!(self.access, Access::Rows { .. })
    }
}

/// The indexes that a plan may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usable<'a> {
    /// The best of all.
    All,
    /// None: to compare answers.
    None,
    /// The one of that name, chosen before.
    Only(&'a str),
}

impl Usable<'_> {
    fn has(self, index: &Index) -> bool {
        match self {
            Usable::All => true,
            Usable::None => false,
            Usable::Only(name) => index.name() == name,
        }
    }
}

impl Collection {
    /// The way to the documents that match a filter, chosen without looking at data: every field
    /// is taken to reach several values. [`Collection::find_along`] goes this way.
    pub fn way(&self, filter: &Filter) -> Result<Way> {
        let any = Sort::default();
        if let Some(ids) = ids_of(filter)? {
            let plan = Plan {
                access: Access::Ids(ids),
                is_sorted: true,
            };
            return Ok(plan.explain(self, filter, &any).way);
        }
        let known = path_intervals(&filter.root)?;
        let mut best: Option<Candidate> = None;
        for (at, index) in self.indexes().iter().enumerate() {
            if index.ttl_seconds.is_none() && covers(index, filter, &known) {
                let marks = vec![true; index.fields.len()];
                let found = candidate(at, index, &marks, &known, &any, None);
                best = better(best, found);
            }
        }
        let plan = best.map_or_else(
            || Plan {
                access: Access::Rows {
                    range: documents_range(self.def().id),
                    reverse: false,
                },
                is_sorted: true,
            },
            into_plan,
        );
        Ok(plan.explain(self, filter, &any).way)
    }
}

/// The ids that a filter names. A text that cannot be an id finds nothing.
fn ids_of(filter: &Filter) -> Result<Option<Vec<DocumentId>>> {
    let texts = id_choices(&filter.root)?;
    Ok(texts.map(|texts| {
        let ids = texts.into_iter();
        ids.filter_map(|text| DocumentId::new(text).ok()).collect()
    }))
}

/// The one with the higher score, the earlier one if they are equal.
fn better(best: Option<Candidate>, found: Option<Candidate>) -> Option<Candidate> {
    match (best, found) {
        (Some(best), Some(found)) if found.score > best.score => Some(found),
        (None, found) => found,
        (best, _) => best,
    }
}

/// What an index can do for a query.
struct Candidate {
    access: Access,
    is_sorted: bool,
    score: (usize, bool, bool),
}

/// Chooses a way.
pub(crate) async fn plan(
    collection: &Collection,
    view: &dyn Snapshot,
    filter: &Filter,
    sort: &Sort,
    after: Option<&Token>,
    usable: Usable<'_>,
) -> Result<Plan> {
    let storage = collection.def().id;
    if let Some(ids) = ids_of(filter)? {
        return Ok(Plan {
            is_sorted: ids.len() <= 1 || sort.is_empty(),
            access: Access::Ids(ids),
        });
    }
    if let Some(reverse) = sort.id_direction() {
        let mut range = documents_range(storage);
        if let Some(token) = after {
            let key = document_key(storage, &token.id);
            range = if reverse {
                range.before(key)
            } else {
                range.after(key)
            };
        }
        let rows = Plan {
            access: Access::Rows { range, reverse },
            is_sorted: true,
        };
        let best = best_index(collection, view, filter, sort, after, usable).await?;
        // The order of ids is worth less than a filter that an index answers.
        return Ok(best.filter(|best| best.score.0 > 0).map_or(rows, into_plan));
    }
    let best = best_index(collection, view, filter, sort, after, usable).await?;
    Ok(best.map_or_else(
        || Plan {
            access: Access::Rows {
                range: documents_range(storage),
                reverse: false,
            },
            is_sorted: sort.is_empty(),
        },
        into_plan,
    ))
}

/// The order of the index that has the filter's range, for pages that may have any: so a page reads
/// no more than its part of the range. `None` if no index has one whose entries are in the order of
/// documents.
pub(crate) async fn order_of_range(
    collection: &Collection,
    view: &dyn Snapshot,
    filter: &Filter,
    usable: Usable<'_>,
) -> Result<Option<Sort>> {
    if ids_of(filter)?.is_some() {
        return Ok(None);
    }
    let any = Sort::default();
    let best = best_index(collection, view, filter, &any, None, usable).await?;
    let Some(Candidate {
        access: Access::Index { index, .. },
        score: (equal, true, _),
        ..
    }) = best
    else {
        return Ok(None);
    };
    let index = &collection.indexes()[index];
    let field = |field: &Field| SortField {
        path: field.path.clone(),
        descending: field.descending,
    };
    let order = Sort {
        fields: index.fields[equal..].iter().map(field).collect(),
    };
    let ordered = best_index(collection, view, filter, &order, None, usable).await?;
    Ok(ordered.is_some_and(|best| best.is_sorted).then_some(order))
}

fn into_plan(candidate: Candidate) -> Plan {
    Plan {
        access: candidate.access,
        is_sorted: candidate.is_sorted,
    }
}

async fn best_index(
    collection: &Collection,
    view: &dyn Snapshot,
    filter: &Filter,
    sort: &Sort,
    after: Option<&Token>,
    usable: Usable<'_>,
) -> Result<Option<Candidate>> {
    let known = path_intervals(&filter.root)?;
    let mut best: Option<Candidate> = None;
    for (at, index) in collection.indexes().iter().enumerate() {
        if !usable.has(index) || index.ttl_seconds.is_some() || !covers(index, filter, &known) {
            continue;
        }
        let mut marks = Vec::with_capacity(index.fields.len());
        for field in 0..index.fields.len() {
            let mark = view.get(KeySpace::Indexes, &index.mark_key(field)).await?;
            marks.push(mark.is_some());
        }
        let found = candidate(at, index, &marks, &known, sort, after);
        best = better(best, found);
    }
    Ok(best)
}

/// Whether every document that matches the filter has an entry.
fn covers(index: &Index, filter: &Filter, known: &[PathIntervals]) -> bool {
    if let Some(partial) = &index.partial
        && !implies(&filter.root, &partial.root)
    {
        return false;
    }
    // One field that the filter needs to be there is enough.
    !index.is_sparse
        || index.fields.iter().any(|field| {
            known
                .iter()
                .any(|known| known.path == field.path && !known.accepts_missing())
        })
}

/// Whether a document that matches `filter` also matches `wanted`, as far as is easily seen: each
/// condition of `wanted` is met by the intervals of one condition of `filter` on the same path.
fn implies(filter: &Node, wanted: &Node) -> bool {
    let Node::And(all) = wanted else {
        return implies_one(filter, wanted);
    };
    all.iter().all(|wanted| implies_one(filter, wanted))
}

fn implies_one(filter: &Node, wanted: &Node) -> bool {
    let Node::Field(path, test) = wanted else {
        return false;
    };
    match filter {
        Node::And(nodes) => nodes.iter().any(|node| implies_one(node, wanted)),
        Node::Field(other, given) => other == path && test.is_implied_by(given),
        Node::Or(nodes) => nodes.iter().all(|node| implies_one(node, wanted)),
        Node::Nor(_) | Node::JsonPath(_) => false,
    }
}

fn candidate(
    at: usize,
    index: &Index,
    marks: &[bool],
    known: &[PathIntervals],
    sort: &Sort,
    after: Option<&Token>,
) -> Option<Candidate> {
    let base = prefix(index.def.id).to_vec();
    let mut starts: Vec<Vec<u8>> = vec![base.clone()];
    let mut ranges: Option<Vec<KeyRange>> = None;
    let mut equal = 0;
    for (field, is_marked) in index.fields.iter().zip(marks) {
        let Some(known) = known.iter().find(|known| known.path == field.path) else {
            break;
        };
        let mut list = known.best(*is_marked);
        if starts.len().saturating_mul(list.len()) > RANGES_MAX {
            break;
        }
        if field.descending {
            list = list.iter().rev().map(Interval::inverted).collect();
        }
        if list.iter().all(|interval| interval.is_point) {
            starts = starts
                .iter()
                .flat_map(|start| list.iter().map(move |point| joined(start, &point.start)))
                .collect();
            equal += 1;
            continue;
        }
        let of_start = |start: &Vec<u8>| {
            let list = list.iter();
            let ranges = list.map(|interval| {
                KeyRange::half_open(joined(start, &interval.start), joined(start, &interval.end))
            });
            ranges.collect::<Vec<_>>()
        };
        ranges = Some(starts.iter().flat_map(of_start).collect());
        break;
    }
    let has_range = ranges.is_some();
    let order = index_order(index, marks, equal, sort, starts.len());
    if equal == 0 && !has_range && order.is_none() {
        return None;
    }
    let mut ranges = ranges.unwrap_or_else(|| match equal {
        0 => vec![index.entries_range()],
        _ => starts.iter().map(|start| KeyRange::prefix(start)).collect(),
    });
    let reverse = order.unwrap_or(false);
    if let (Some(reverse), Some(token)) = (order, after) {
        // With an order there is one start.
        let start = starts.first().unwrap_or(&base);
        // Behind values that are all equal, there is only the id.
        let fields = match index.fields.len() == equal {
            true => &[],
            false => token.fields.as_slice(),
        };
        ranges = behind(index, ranges, start, (fields, &token.id), reverse);
    }
    if reverse {
        ranges.reverse();
    }
    Some(Candidate {
        score: (equal, has_range, order.is_some()),
        is_sorted: order.is_some() || sort.is_empty(),
        access: Access::Index {
            index: at,
            fields: equal + usize::from(has_range),
            ranges,
            reverse,
            repeats: marks.contains(&true),
        },
    })
}

fn joined(start: &[u8], rest: &[u8]) -> Vec<u8> {
    [start, rest].concat()
}

/// Whether the entries behind the equal fields have the order of `sort`, and whether backwards.
/// The sort must name exactly the other fields, so that ids come next in both; without others, the
/// id alone.
fn index_order(
    index: &Index,
    marks: &[bool],
    equal: usize,
    sort: &Sort,
    starts: usize,
) -> Option<bool> {
    let rest = &index.fields[equal..];
    let is_plain = !marks[equal..].contains(&true) && starts == 1;
    if let (Some(descending), true, [], false) =
        (sort.id_direction(), is_plain, rest, index.is_unique)
    {
        return Some(descending != (index.id_order().descending));
    }
    if sort.is_empty() || !is_plain || rest.len() != sort.fields.len() {
        return None;
    }
    let mut fields = rest.iter().zip(&sort.fields);
    let reverse = index.fields[equal].descending != sort.fields[0].descending;
    fields
        .all(|(field, sort)| {
            field.path == sort.path && (field.descending != sort.descending) == reverse
        })
        .then_some(reverse)
}

/// The parts of the ranges behind a page's end.
fn behind(
    index: &Index,
    ranges: Vec<KeyRange>,
    start: &[u8],
    (fields, id): (&[u8], &str),
    reverse: bool,
) -> Vec<KeyRange> {
    let mut key = start.to_vec();
    key.extend(
        fields
            .iter()
            .map(|byte| if reverse { !byte } else { *byte }),
    );
    if !index.is_unique {
        tessera_codec::key::encode_value(
            tessera_types::ValueRef::Text(id),
            index.id_order(),
            &mut key,
        );
    }
    let key = Key::from(key);
    ranges
        .into_iter()
        .map(|range| {
            let key = key.clone();
            // A unique key says nothing of the id: its document is looked at once more.
            let bound = if index.is_unique {
                Bound::Included(key.clone())
            } else {
                Bound::Excluded(key.clone())
            };
            match reverse {
                true if range.is_before_end(&key) => KeyRange {
                    start: range.start,
                    end: bound,
                },
                false if range.is_after_start(&key) => KeyRange {
                    start: bound,
                    end: range.end,
                },
                _ => range,
            }
        })
        .filter(|range| !range.is_empty())
        .collect()
}
