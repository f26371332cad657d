//! What a filter says about one path, as intervals of encoded values.
//!
//! Every condition that a filter always makes on a path gives intervals in which each matching
//! document has an entry. Over several values of one document different conditions may be met by
//! different values, so their intervals may be intersected only where there is one value.

use tessera_codec::json::{JsonBuf, JsonRef, Kind};
use tessera_codec::key::{kind_end, kind_start, successor};

use super::entries::encode;
use crate::error::Result;
use crate::filter::{Comparison, Node, Test};
use crate::path::Path;

/// Encoded ascending values from `start` (included) to `end` (excluded).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Interval {
    pub(crate) start: Vec<u8>,
    pub(crate) end: Vec<u8>,
    /// The interval is that of one encoded value, which is `start`.
    pub(crate) is_point: bool,
}

/// The conditions on one path; each is a list of disjoint intervals, ascending.
#[derive(Clone, Debug)]
pub(crate) struct PathIntervals {
    pub(crate) path: Path,
    pub(crate) conditions: Vec<Vec<Interval>>,
}

impl PathIntervals {
    /// The best list of intervals, given whether a document may have several values.
    pub(crate) fn best(&self, is_multiple: bool) -> Vec<Interval> {
        let mut lists = self.conditions.iter();
        let first = lists.next().cloned().unwrap_or_default();
        if is_multiple {
            return lists.fold(first, |best, list| {
                if rank(list) < rank(&best) {
                    list.clone()
                } else {
                    best
                }
            });
        }
        lists.fold(first, |all, list| intersect(&all, list))
    }

    /// Whether a document that lacks the field may match.
    pub(crate) fn accepts_missing(&self) -> bool {
        let null = Interval::point(vec![kind_start(Kind::Null)]);
        self.conditions.iter().all(|list| {
            let both = intersect(list, std::slice::from_ref(&null));
            !both.is_empty()
        })
    }
}

/// Fewer points are better than more, any points better than a range.
fn rank(list: &[Interval]) -> (bool, usize) {
    (list.iter().any(|interval| !interval.is_point), list.len())
}

impl Interval {
    fn point(start: Vec<u8>) -> Interval {
        let end = after(&start);
        Interval {
            start,
            end,
            is_point: true,
        }
    }

    /// Every value of a kind.
    fn of_kind(kind: Kind) -> Interval {
        Interval {
            start: vec![kind_start(kind)],
            end: vec![kind_end(kind)],
            is_point: false,
        }
    }

    /// The bytes that entries of a descending field have: `[successor(!end), successor(!start))`.
    pub(crate) fn inverted(&self) -> Interval {
        let invert = |bytes: &[u8]| bytes.iter().map(|byte| !byte).collect::<Vec<u8>>();
        if self.is_point {
            return Interval::point(invert(&self.start));
        }
        Interval {
            start: after(&invert(&self.end)),
            end: after(&invert(&self.start)),
            is_point: false,
        }
    }
}

/// Behind everything that begins with `bytes`. Encoded values never are all `ff`.
fn after(bytes: &[u8]) -> Vec<u8> {
    successor(bytes).unwrap_or_else(|| vec![u8::MAX; bytes.len() + 1])
}

/// Both lists ascend.
fn intersect(a: &[Interval], b: &[Interval]) -> Vec<Interval> {
    let mut out = Vec::new();
    let (mut i, mut j) = (0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        let start = (&x.start).max(&y.start);
        let end = (&x.end).min(&y.end);
        if start < end {
            // A point lies in a range as a whole, because ranges end between values.
            let is_point = x.is_point || y.is_point;
            out.push(Interval {
                start: start.clone(),
                end: end.clone(),
                is_point,
            });
        }
        if x.end <= y.end {
            i += 1;
        } else {
            j += 1;
        }
    }
    out
}

/// The conditions of a filter by path, apart from those on the id.
pub(crate) fn path_intervals(root: &Node) -> Result<Vec<PathIntervals>> {
    let mut all = Vec::new();
    collect(root, None, &mut all)?;
    Ok(all)
}

fn collect(node: &Node, above: Option<&Path>, all: &mut Vec<PathIntervals>) -> Result<()> {
    match node {
        Node::And(nodes) => {
            for node in nodes {
                collect(node, above, all)?;
            }
        }
        Node::Field(path, test) => {
            let path = match above {
                Some(above) => above.join(path),
                None => path.clone(),
            };
            if path.is_id() {
                return Ok(());
            }
            collect_test(&path, test, all)?;
        }
        // A path says something if every alternative says something of it.
        Node::Or(nodes) => {
            let mut alternatives = Vec::with_capacity(nodes.len());
            for node in nodes {
                let mut found = Vec::new();
                collect(node, above, &mut found)?;
                alternatives.push(found);
            }
            let Some((first, others)) = alternatives.split_first() else {
                return Ok(());
            };
            for known in first {
                let lists = others.iter().map(|found| {
                    let same = found.iter().find(|other| other.path == known.path);
                    same.map(|other| other.best(true))
                });
                if let Some(lists) = lists.collect::<Option<Vec<_>>>() {
                    let list = lists.into_iter().flatten().chain(known.best(true));
                    add_condition(&known.path, united(list.collect()), all);
                }
            }
        }
        Node::Nor(_) | Node::JsonPath(_) => {}
    }
    Ok(())
}

fn add_condition(path: &Path, list: Vec<Interval>, all: &mut Vec<PathIntervals>) {
    match all.iter_mut().find(|known| known.path == *path) {
        Some(known) => known.conditions.push(list),
        None => all.push(PathIntervals {
            path: path.clone(),
            conditions: vec![list],
        }),
    }
}

/// Disjoint intervals over all that is in `list`.
fn united(mut list: Vec<Interval>) -> Vec<Interval> {
    list.sort();
    let mut out: Vec<Interval> = Vec::with_capacity(list.len());
    for interval in list {
        match out.last_mut() {
            Some(last) if interval.start < last.end => {
                last.is_point &= interval.is_point;
                if interval.end > last.end {
                    last.end = interval.end;
                }
            }
            _ => out.push(interval),
        }
    }
    out
}

fn collect_test(path: &Path, test: &Test, all: &mut Vec<PathIntervals>) -> Result<()> {
    match test {
        Test::ElementMatches(node) => return collect(node, Some(path), all),
        Test::All(tests) => {
            for test in tests {
                collect_test(path, test, all)?;
            }
            return Ok(());
        }
        _ => {}
    }
    if let Some(list) = intervals(test)? {
        add_condition(path, list, all);
    }
    Ok(())
}

/// The intervals of one test on one value; `None` if it says nothing.
fn intervals(test: &Test) -> Result<Option<Vec<Interval>>> {
    Ok(match test {
        Test::Compare(comparison, constant) => Some(comparison_interval(*comparison, constant)?),
        Test::In(choices) if choices.patterns.is_empty() => {
            let mut list = Vec::with_capacity(choices.values.len());
            for value in &choices.values {
                list.push(Interval::point(encode(&value.view()?, false)?.0));
            }
            // Ordered already; values that were cut may have become equal.
            list.dedup();
            Some(list)
        }
        Test::Type(kinds) => {
            let mut kinds = kinds.clone();
            kinds.sort_unstable();
            kinds.dedup();
            Some(kinds.into_iter().map(Interval::of_kind).collect())
        }
        // All tests are about the same element, which has an entry.
        Test::ElementTests(tests) => {
            let mut all: Option<Vec<Interval>> = None;
            for test in tests {
                if let Some(list) = intervals(test)? {
                    all = Some(match all {
                        Some(all) => intersect(&all, &list),
                        None => list,
                    });
                }
            }
            all
        }
        // With patterns, or negative, or about something else than a value.
        _ => None,
    })
}

fn comparison_interval(comparison: Comparison, constant: &JsonBuf) -> Result<Vec<Interval>> {
    let constant = constant.view()?;
    let (bytes, is_cut) = encode(&constant, false)?;
    let first = || vec![kind_start(constant.kind())];
    let last = || vec![kind_end(constant.kind())];
    let (start, end) = match comparison {
        Comparison::Equal => return Ok(vec![Interval::point(bytes)]),
        Comparison::GreaterOrEqual => (bytes, last()),
        Comparison::Greater if is_cut => (bytes, last()),
        Comparison::Greater => (after(&bytes), last()),
        Comparison::LessOrEqual => (first(), after(&bytes)),
        Comparison::Less if is_cut => (first(), after(&bytes)),
        Comparison::Less => (first(), bytes),
    };
    if start >= end {
        return Ok(Vec::new());
    }
    Ok(vec![Interval {
        start,
        end,
        is_point: false,
    }])
}

/// The ids that a filter allows, where it names them.
pub(crate) fn id_choices(root: &Node) -> Result<Option<Vec<String>>> {
    let texts = |values: &[JsonBuf]| -> Result<Vec<String>> {
        let mut texts = Vec::new();
        for value in values {
            if let JsonRef::String(text) = value.view()? {
                texts.push(text.to_owned());
            }
        }
        Ok(texts)
    };
    Ok(match root {
        Node::And(nodes) => {
            for node in nodes {
                if let Some(ids) = id_choices(node)? {
                    return Ok(Some(ids));
                }
            }
            None
        }
        // Every alternative names ids.
        Node::Or(nodes) => {
            let mut all = Vec::new();
            for node in nodes {
                match id_choices(node)? {
                    Some(ids) => all.extend(ids),
                    None => return Ok(None),
                }
            }
            all.sort();
            all.dedup();
            Some(all)
        }
        Node::Field(path, test) if path.is_id() => match test {
            Test::Compare(Comparison::Equal, value) => Some(texts(std::slice::from_ref(value))?),
            Test::In(choices) if choices.patterns.is_empty() => Some(texts(&choices.values)?),
            _ => None,
        },
        _ => None,
    })
}
