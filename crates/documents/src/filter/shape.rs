//! The paths of a filter, without its values: what an index for it would have to cover.

use std::collections::BTreeSet;

use super::{Comparison, Filter, Node, Test};

/// Paths that a filter always tests, in the order an index for it should have them: first those
/// compared for equality, then the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Shape {
    pub(crate) equal: BTreeSet<String>,
    pub(crate) ranges: BTreeSet<String>,
}

impl Filter {
    pub(crate) fn shape(&self) -> Shape {
        let mut shape = Shape::default();
        add(&self.root, &mut shape);
        let equal = &shape.equal;
        shape.ranges.retain(|path| !equal.contains(path));
        shape
    }
}

fn add(node: &Node, shape: &mut Shape) {
    match node {
        Node::And(nodes) => nodes.iter().for_each(|node| add(node, shape)),
        Node::Field(path, _) if path.is_id() => {}
        Node::Field(path, test) => match test {
            Test::Compare(Comparison::Equal, _) | Test::In(_) | Test::All(_) => {
                shape.equal.insert(path.as_str().to_owned());
            }
            Test::Compare(_, _) | Test::ElementTests(_) => {
                shape.ranges.insert(path.as_str().to_owned());
            }
            Test::Not(_)
            | Test::Exists(_)
            | Test::Type(_)
            | Test::Regex(_)
            | Test::ElementMatches(_)
            | Test::Size(_)
            | Test::Modulo { .. } => {}
        },
        // An index helps little or not at all.
        Node::Or(_) | Node::Nor(_) | Node::JsonPath(_) => {}
    }
}
