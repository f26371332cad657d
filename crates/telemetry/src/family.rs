//! One instrument per label combination.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use parking_lot::Mutex;

use crate::labels::LabelSet;

/// Most series of one metric whose label values are not known at compile time.
pub const SERIES_MAX: usize = 64;

/// One instrument for every combination of closed label sets.
#[derive(Debug)]
pub struct Family<M, L> {
    members: Box<[M]>,
    labels: PhantomData<fn(L)>,
}

impl<M, L: LabelSet> Family<M, L> {
    pub(crate) fn new(member: impl Fn() -> M) -> Family<M, L> {
        Family {
            members: (0..L::COUNT).map(|_| member()).collect(),
            labels: PhantomData,
        }
    }

    /// The instrument of a combination.
    pub fn with(&self, labels: L) -> &M {
        &self.members[labels.index()]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Vec<&'static str>, &M)> {
        self.members
            .iter()
            .enumerate()
            .map(|(index, member)| (L::values(index), member))
    }
}

/// Numbers under label values that are not known at compile time. For rare events and collectors.
#[derive(Debug)]
pub struct Dynamic {
    series: Mutex<BTreeMap<String, f64>>,
}

impl Dynamic {
    pub(crate) fn new() -> Dynamic {
        Dynamic {
            series: Mutex::new(BTreeMap::new()),
        }
    }

    /// Replaces the number of a label value.
    pub fn set(&self, label: &str, value: f64) {
        self.update(label, |number| *number = value);
    }

    /// Adds to the number of a label value.
    pub fn add(&self, label: &str, amount: f64) {
        self.update(label, |number| *number += amount);
    }

    /// Replaces all numbers.
    pub fn replace(&self, all: impl IntoIterator<Item = (String, f64)>) {
        let mut series = self.series.lock();
        series.clear();
        for (label, value) in all.into_iter().take(SERIES_MAX) {
            *series.entry(label).or_insert(0.0) += value;
        }
    }

    /// The number of a label value.
    pub fn value(&self, label: &str) -> Option<f64> {
        self.series.lock().get(label).copied()
    }

    fn update(&self, label: &str, change: impl FnOnce(&mut f64)) {
        let mut series = self.series.lock();
        // Beyond the limit all newcomers share one series: their sum stays right.
        let full = series.len() >= SERIES_MAX && !series.contains_key(label);
        let label = if full { "other" } else { label };
        change(series.entry(label.to_owned()).or_insert(0.0));
    }

    pub(crate) fn all(&self) -> Vec<(String, f64)> {
        self.series
            .lock()
            .iter()
            .map(|(label, value)| (label.clone(), *value))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dynamic_series_are_bounded_and_their_sum_is_right() {
        let dynamic = Dynamic::new();
        (0..1000).for_each(|index| dynamic.add(&format!("label{index}"), 1.0));
        let all = dynamic.all();
        assert_eq!(all.len(), SERIES_MAX + 1);
        assert_eq!(all.iter().map(|(_, value)| value).sum::<f64>(), 1000.0);
    }
}
