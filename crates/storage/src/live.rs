//! Which versions live snapshots can still see.
//!
//! Snapshots are opened at the newest version, so versions arrive in ascending order and a queue
//! with counts is enough: opening appends, closing is a binary search.

use std::collections::VecDeque;

use tessera_types::Version;

/// The versions of all live snapshots.
#[derive(Debug, Default)]
pub(crate) struct LiveVersions {
    /// Ascending versions with the number of snapshots at each; zeros are removed lazily.
    counts: VecDeque<(Version, u32)>,
    zeros: usize,
    live: u64,
    /// Snapshots before this version have been given up.
    kept_from: Version,
    expired_total: u64,
}

impl LiveVersions {
    /// A snapshot at `version`, which is not older than any opened before.
    pub(crate) fn open(&mut self, version: Version) {
        self.live += 1;
        match self.counts.back_mut() {
            Some((last, count)) if *last == version => {
                if *count == 0 {
                    self.zeros -= 1;
                }
                *count += 1;
            }
            last => {
                debug_assert!(
                    last.is_none_or(|(last, _)| *last < version),
                    "versions ascend"
                );
                self.counts.push_back((version, 1));
            }
        }
    }

    /// The end of a snapshot. One that was given up is no longer counted.
    pub(crate) fn close(&mut self, version: Version) {
        if version < self.kept_from {
            return;
        }
        let Ok(at) = self
            .counts
            .binary_search_by_key(&version, |(version, _)| *version)
        else {
            debug_assert!(false, "closed a snapshot that was not open");
            return;
        };
        let (_, count) = &mut self.counts[at];
        *count -= 1;
        self.live -= 1;
        if *count > 0 {
            return;
        }
        self.zeros += 1;
        while self.counts.front().is_some_and(|(_, count)| *count == 0) {
            self.counts.pop_front();
            self.zeros -= 1;
        }
        if self.zeros > self.counts.len() / 2 {
            self.counts.retain(|(_, count)| *count > 0);
            self.zeros = 0;
        }
    }

    /// The oldest version a snapshot holds.
    pub(crate) fn oldest(&self) -> Option<Version> {
        // The front is never a zero, see `close`.
        self.counts.front().map(|(version, _)| *version)
    }

    /// Whether a snapshot lives at a version of `from..to`: one that sees what was written at
    /// `from` and not yet what replaced it at `to`.
    pub(crate) fn any_within(&self, from: Version, to: Version) -> bool {
        let start = self.counts.partition_point(|(version, _)| *version < from);
        self.counts
            .range(start..)
            .take_while(|(version, _)| *version < to)
            .any(|(_, count)| *count > 0)
    }

    /// Gives up the snapshots of the oldest version; their reads must fail from now on.
    pub(crate) fn expire_oldest(&mut self) -> Option<Version> {
        let (version, count) = self.counts.pop_front()?;
        self.live -= u64::from(count);
        self.expired_total += u64::from(count);
        self.kept_from = version.next();
        while self.counts.front().is_some_and(|(_, count)| *count == 0) {
            self.counts.pop_front();
            self.zeros -= 1;
        }
        Some(version)
    }

    /// Snapshots alive.
    pub(crate) fn live(&self) -> u64 {
        self.live
    }

    /// Snapshots given up so far.
    pub(crate) fn expired_total(&self) -> u64 {
        self.expired_total
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::{any, proptest};

    use super::*;

    fn v(version: u64) -> Version {
        Version(version)
    }

    #[test]
    fn an_expired_snapshot_is_no_longer_counted() {
        let mut live = LiveVersions::default();
        live.open(v(3));
        live.open(v(3));
        live.open(v(5));
        assert_eq!(live.expire_oldest(), Some(v(3)));
        assert_eq!(
            (live.live(), live.expired_total(), live.oldest()),
            (1, 2, Some(v(5)))
        );
        live.close(v(3));
        live.close(v(3));
        live.close(v(5));
        assert_eq!((live.live(), live.oldest()), (0, None));
    }

    proptest! {
        /// Against a plain map of counts.
        #[test]
        fn answers_as_a_map_of_counts(steps in proptest::collection::vec(any::<(bool, u8)>(), 1..200)) {
            let mut live = LiveVersions::default();
            let mut model: BTreeMap<u64, u32> = BTreeMap::new();
            let mut newest = 1;
            for (opens, choice) in steps {
                if opens || model.is_empty() {
                    newest += u64::from(choice % 3);
                    live.open(v(newest));
                    *model.entry(newest).or_default() += 1;
                } else {
                    let nth = usize::from(choice) % model.len();
                    let version = *model.keys().nth(nth).expect("in range");
                    live.close(v(version));
                    let count = model.get_mut(&version).expect("open");
                    *count -= 1;
                    if *count == 0 {
                        model.remove(&version);
                    }
                }
                assert_eq!(live.oldest(), model.keys().next().copied().map(Version));
                assert_eq!(live.live(), model.values().map(|count| u64::from(*count)).sum::<u64>());
                for from in 0..newest + 2 {
                    let to = from + u64::from(choice % 5);
                    let expected = model.range(from..to).next().is_some();
                    assert_eq!(live.any_within(v(from), v(to)), expected, "{from}..{to}");
                }
            }
        }
    }
}
