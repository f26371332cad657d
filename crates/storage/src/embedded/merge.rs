//! Merges sorted sources of versions into one: the newest version of each key wins.

use tessera_types::Version;

use crate::error::StoreError;
use crate::store::{Key, Val};

/// A key as one source knows it; no value means deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) key: Key,
    pub(crate) version: Version,
    pub(crate) value: Option<Val>,
}

/// Items in key order (or the reverse), each key once.
pub(crate) trait Source: Send {
    fn next_item(&mut self) -> Result<Option<Item>, StoreError>;
}

/// The merged items; of equal versions the source named first wins.
pub(crate) struct Merge {
    sources: Vec<Box<dyn Source>>,
    heads: Vec<Option<Item>>,
    reverse: bool,
    is_started: bool,
}

impl Merge {
    pub(crate) fn new(sources: Vec<Box<dyn Source>>, reverse: bool) -> Merge {
        let heads = sources.iter().map(|_| None).collect();
        Merge {
            sources,
            heads,
            reverse,
            is_started: false,
        }
    }

    pub(crate) fn next_item(&mut self) -> Result<Option<Item>, StoreError> {
        if let [only] = self.sources.as_mut_slice() {
            return only.next_item();
        }
        if !self.is_started {
            for at in 0..self.sources.len() {
                self.heads[at] = self.sources[at].next_item()?;
            }
            self.is_started = true;
        }
        let Some(winner) = self.winner() else {
            return Ok(None);
        };
        let Some(item) = self.heads[winner].take() else {
            return Ok(None);
        };
        for at in 0..self.sources.len() {
            let is_same = self.heads[at]
                .as_ref()
                .is_some_and(|head| head.key == item.key);
            if at == winner || is_same {
                self.heads[at] = self.sources[at].next_item()?;
            }
        }
        Ok(Some(item))
    }

    /// The source whose head comes next.
    fn winner(&self) -> Option<usize> {
        let mut best: Option<(usize, &Item)> = None;
        for (at, head) in self.heads.iter().enumerate() {
            let Some(head) = head else { continue };
            let Some((_, current)) = best else {
                best = Some((at, head));
                continue;
            };
            let order = head.key.cmp(&current.key);
            let order = if self.reverse { order.reverse() } else { order };
            if order.is_lt() || order.is_eq() && head.version > current.version {
                best = Some((at, head));
            }
        }
        best.map(|(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct List(std::vec::IntoIter<Item>);

    impl Source for List {
        fn next_item(&mut self) -> Result<Option<Item>, StoreError> {
            Ok(self.0.next())
        }
    }

    fn list(items: &[(&'static str, u64, &'static str)]) -> Box<dyn Source> {
        let items = items.iter().map(|(key, version, value)| Item {
            key: Key::from_static(key.as_bytes()),
            version: Version(*version),
            value: (!value.is_empty()).then(|| Val::from_static(value.as_bytes())),
        });
        Box::new(List(items.collect::<Vec<_>>().into_iter()))
    }

    fn merged(sources: Vec<Box<dyn Source>>, reverse: bool) -> String {
        let mut merge = Merge::new(sources, reverse);
        let mut out = String::new();
        while let Some(item) = merge.next_item().expect("lists do not fail") {
            let value = item.value.unwrap_or_else(|| Val::from_static(b"-"));
            let text = [item.key, value].map(|b| String::from_utf8_lossy(&b).into_owned());
            out.push_str(&format!("{}={} ", text[0], text[1]));
        }
        out.trim_end().to_owned()
    }

    #[test]
    fn the_newest_version_of_a_key_wins_in_both_directions() {
        let sources = || {
            vec![
                list(&[("a", 5, "A"), ("c", 9, "")]),
                list(&[("b", 2, "b"), ("c", 3, "c")]),
                list(&[("a", 7, "x"), ("d", 1, "d")]),
            ]
        };
        assert_eq!(merged(sources(), false), "a=x b=b c=- d=d");
        let reversed = || {
            vec![
                list(&[("c", 9, ""), ("a", 5, "A")]),
                list(&[("c", 3, "c"), ("b", 2, "b")]),
            ]
        };
        assert_eq!(merged(reversed(), true), "c=- b=b a=A");
    }

    #[test]
    fn of_equal_versions_the_first_source_wins() {
        let sources = vec![list(&[("a", 5, "first")]), list(&[("a", 5, "second")])];
        assert_eq!(merged(sources, false), "a=first");
    }
}
