//! The tree of prefixes with the number and size of the keys below each; pure, without locks.
//!
//! A key `a:b:c` counts in the root, in `a:` and in `a:b:`. The tree has at most so many nodes; when
//! there is no room for a new one, its parent is marked partial and gets no more children, so that
//! those it has stay exact. What a partial node cannot tell is answered by a scan.

use ahash::RandomState;
use hashbrown::HashMap;

/// Levels of prefixes that are counted; deeper ones are scanned for.
const LEVELS_MAX: usize = 8;

/// How much there is: of keys in a key space or below a prefix.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Keys.
    pub keys: u64,
    /// Those of them that expire some day.
    pub expiring: u64,
    /// Bytes of keys, values, names and scores, without what the store adds.
    pub bytes: u64,
}

/// A change of a footprint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Delta {
    pub(crate) keys: i64,
    pub(crate) expiring: i64,
    pub(crate) bytes: i64,
}

impl Delta {
    pub(crate) fn is_zero(&self) -> bool {
        *self == Delta::default()
    }

    pub(crate) fn add(&mut self, other: Delta) {
        self.keys += other.keys;
        self.expiring += other.expiring;
        self.bytes += other.bytes;
    }

    pub(crate) fn negated(self) -> Delta {
        Delta {
            keys: -self.keys,
            expiring: -self.expiring,
            bytes: -self.bytes,
        }
    }
}

impl Footprint {
    pub(crate) fn apply(&mut self, delta: Delta) {
        self.keys = self.keys.saturating_add_signed(delta.keys);
        self.expiring = self.expiring.saturating_add_signed(delta.expiring);
        self.bytes = self.bytes.saturating_add_signed(delta.bytes);
    }
}

#[derive(Debug, Default)]
struct Node {
    footprint: Footprint,
    children: HashMap<Vec<u8>, Node, RandomState>,
    /// Some child had no room.
    is_partial: bool,
}

/// What the tree knows of a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Exactly(Footprint),
    /// Only a scan can tell.
    No,
}

/// One child of a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixFootprint {
    /// The whole prefix, with its separator at the end.
    pub prefix: Vec<u8>,
    /// What is below it.
    pub footprint: Footprint,
}

#[derive(Debug)]
pub(crate) struct PrefixTree {
    root: Node,
    separator: u8,
    nodes: usize,
    nodes_max: usize,
}

impl PrefixTree {
    pub(crate) fn new(separator: u8, nodes_max: usize) -> PrefixTree {
        PrefixTree {
            root: Node::default(),
            separator,
            nodes: 0,
            nodes_max,
        }
    }

    /// Changes what is known of the key and all its prefixes.
    pub(crate) fn apply(&mut self, key: &[u8], delta: Delta) {
        let mut node = &mut self.root;
        node.footprint.apply(delta);
        for part in parts(key, self.separator) {
            if !node.children.contains_key(part) {
                if node.is_partial {
                    return;
                }
                if self.nodes >= self.nodes_max {
                    node.is_partial = true;
                    return;
                }
                self.nodes += 1;
            }
            let child = node.children.entry_ref(part).or_default();
            child.footprint.apply(delta);
            if child.footprint.keys == 0 {
                let gone = node.children.remove(part);
                self.nodes -= gone.map_or(0, |gone| size_of_tree(&gone));
                return;
            }
            let Some(next) = node.children.get_mut(part) else {
                return;
            };
            node = next;
        }
    }

    /// What is known of the keys that begin with `prefix`.
    pub(crate) fn known(&self, prefix: &[u8]) -> Known {
        if prefix.is_empty() {
            return Known::Exactly(self.root.footprint);
        }
        if prefix.last() != Some(&self.separator)
            || level_count(prefix, self.separator) > LEVELS_MAX
        {
            return Known::No;
        }
        let mut node = &self.root;
        for part in parts(prefix, self.separator) {
            match node.children.get(part) {
                Some(child) => node = child,
                None if node.is_partial => return Known::No,
                None => return Known::Exactly(Footprint::default()),
            }
        }
        Known::Exactly(node.footprint)
    }

    /// The prefixes one level below `parent` (empty, or with a separator at its end); whether
    /// these are all.
    pub(crate) fn children(&self, parent: &[u8]) -> (Vec<PrefixFootprint>, bool) {
        let mut node = &self.root;
        for part in parts(parent, self.separator) {
            match node.children.get(part) {
                Some(child) => node = child,
                None => return (Vec::new(), !node.is_partial),
            }
        }
        let is_whole = !node.is_partial && level_count(parent, self.separator) < LEVELS_MAX;
        let children = node.children.iter().map(|(part, child)| PrefixFootprint {
            prefix: [parent, part.as_slice()].concat(),
            footprint: child.footprint,
        });
        (children.collect(), is_whole)
    }
}

/// The parts of a key that end with a separator, each with it.
fn parts(key: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    key.split_inclusive(move |byte| *byte == separator)
        .filter(move |part| part.last() == Some(&separator))
        .take(LEVELS_MAX)
}

fn level_count(prefix: &[u8], separator: u8) -> usize {
    prefix.iter().filter(|byte| **byte == separator).count()
}

fn size_of_tree(node: &Node) -> usize {
    1 + node.children.values().map(size_of_tree).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Delta = Delta {
        keys: 1,
        expiring: 0,
        bytes: 10,
    };

    fn keys(tree: &PrefixTree, prefix: &str) -> Option<u64> {
        match tree.known(prefix.as_bytes()) {
            Known::Exactly(footprint) => Some(footprint.keys),
            Known::No => None,
        }
    }

    #[test]
    fn every_prefix_counts_the_keys_below_it() {
        let mut tree = PrefixTree::new(b':', 100);
        for key in ["a", "a:1", "a:b:1", "a:b:2", "c:"] {
            tree.apply(key.as_bytes(), ONE);
        }
        assert_eq!(keys(&tree, ""), Some(5));
        assert_eq!(keys(&tree, "a:"), Some(3));
        assert_eq!(keys(&tree, "a:b:"), Some(2));
        assert_eq!(keys(&tree, "x:y:"), Some(0));
        assert_eq!(keys(&tree, "a"), None);
        let (mut children, is_whole) = tree.children(b"");
        children.sort_by(|a, b| a.prefix.cmp(&b.prefix));
        assert!(is_whole);
        assert_eq!(children.len(), 2);
        assert_eq!(children[0].prefix, b"a:");
        for key in ["a:1", "a:b:1", "a:b:2"] {
            tree.apply(key.as_bytes(), ONE.negated());
        }
        assert_eq!(keys(&tree, "a:"), Some(0));
        assert_eq!(tree.nodes, 1);
    }

    #[test]
    fn without_room_the_answer_is_unknown_and_never_wrong() {
        let mut tree = PrefixTree::new(b':', 1);
        tree.apply(b"a:1", ONE);
        tree.apply(b"b:1", ONE);
        assert_eq!(keys(&tree, "a:"), Some(1));
        assert_eq!(keys(&tree, "b:"), None);
        assert_eq!(keys(&tree, ""), Some(2));
        tree.apply(b"a:1", ONE.negated());
        // There would be room for it now, but one of its keys was not counted.
        tree.apply(b"b:2", ONE);
        assert_eq!(keys(&tree, "b:"), None);
        assert!(!tree.children(b"").1);
    }

    #[test]
    fn deep_prefixes_are_left_to_scans() {
        let mut tree = PrefixTree::new(b':', 100);
        let deep = "x:".repeat(LEVELS_MAX + 1);
        tree.apply(deep.as_bytes(), ONE);
        assert_eq!(keys(&tree, &"x:".repeat(LEVELS_MAX)), Some(1));
        assert_eq!(keys(&tree, &deep), None);
    }
}
