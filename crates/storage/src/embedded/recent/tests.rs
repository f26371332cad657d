use std::sync::Arc;

use super::*;
use crate::embedded::base::{BaseRows, BaseView};
use crate::embedded::views::Additions;
use crate::error::StoreError;

const ROWS: KeySpace = KeySpace::Rows;

struct NoBase;

impl BaseView for NoBase {
    fn get(&self, _: KeySpace, _: &[u8]) -> Result<Option<Val>, StoreError> {
        Ok(None)
    }

    fn rows(&self, _: KeySpace, _: &KeyRange, _: bool) -> BaseRows {
        Box::new(std::iter::empty())
    }
}

fn views() -> Views {
    Views::new(
        Version::ZERO,
        Version::ZERO,
        Arc::new(NoBase),
        Vec::new(),
        Vec::new(),
    )
}

fn put(recent: &Recent, views: &Views, key: &str, version: u64) {
    let value = Some(Val::copy_from_slice(&version.to_be_bytes()));
    recent.insert(ROWS, key.as_bytes(), Version(version), value, views);
    views.publish(Version(version), Additions::default());
}

fn seen(recent: &Recent, key: &str, at: u64) -> Option<u64> {
    recent
        .get(ROWS, key.as_bytes(), Version::ZERO, Version(at))
        .map(|(version, _)| version.0)
}

#[test]
fn only_what_a_live_snapshot_sees_is_kept() {
    let (recent, views) = (Recent::new(), views());
    put(&recent, &views, "k", 1);
    put(&recent, &views, "k", 2);
    let (at, view) = views.open();
    for version in 3..100 {
        put(&recent, &views, "k", version);
        assert!(recent.sizes().versions <= 3, "after {version}");
    }
    assert_eq!(
        (seen(&recent, "k", 2), seen(&recent, "k", 99)),
        (Some(2), Some(99))
    );
    assert!(!views.close(at, &view), "it was over the current base");
    put(&recent, &views, "k", 100);
    assert!(recent.sizes().versions <= 2);
    assert_eq!(seen(&recent, "k", 2), None);
}

#[test]
fn a_version_taken_back_leaves_no_trace() {
    let (recent, views) = (Recent::new(), views());
    put(&recent, &views, "k", 1);
    let before = recent.sizes();
    recent.insert(ROWS, b"k", Version(2), None, &views);
    recent.insert(ROWS, b"new", Version(2), None, &views);
    assert_eq!(recent.head(ROWS, b"k"), Some((Version(2), false)));
    recent.withdraw(ROWS, b"k", Version(2));
    recent.withdraw(ROWS, b"new", Version(2));
    assert_eq!(recent.sizes(), before);
    assert_eq!(recent.head(ROWS, b"k"), Some((Version(1), true)));
    assert_eq!(recent.head(ROWS, b"new"), None);
}

#[test]
fn a_sweep_keeps_what_is_newer_than_every_base() {
    let (recent, views) = (Recent::new(), views());
    for (key, version) in [("a", 1), ("b", 2), ("c", 3), ("b", 4)] {
        put(&recent, &views, key, version);
    }
    recent.sweep(Version(2), &views);
    let mut left = Vec::new();
    let window = (Version::ZERO, Version(9));
    let rest = recent.collect(ROWS, &KeyRange::all(), false, window, 100, &mut left);
    assert!(rest.is_none());
    let left: Vec<_> = left
        .iter()
        .map(|item| (item.key.as_ref(), item.version.0))
        .collect();
    assert_eq!(left, [(&b"b"[..], 4), (b"c", 3)]);
    recent.sweep(Version(4), &views);
    assert_eq!(recent.sizes(), RecentSizes::default());
    assert!(recent.is_space_empty(ROWS));
}

#[test]
fn a_range_is_collected_in_pieces_in_both_directions() {
    let (recent, views) = (Recent::new(), views());
    for n in 0..100_u64 {
        put(&recent, &views, &format!("k{n:02}"), n + 1);
    }
    for reverse in [false, true] {
        let mut rest = Some(KeyRange::half_open(&b"k10"[..], &b"k90"[..]));
        let mut found = Vec::new();
        while let Some(range) = rest {
            rest = recent.collect(
                ROWS,
                &range,
                reverse,
                (Version(20), Version(80)),
                7,
                &mut found,
            );
        }
        let mut keys: Vec<_> = found.into_iter().map(|item| item.key).collect();
        if reverse {
            keys.reverse();
        }
        // Versions 21 to 80 are those of k20 to k79.
        assert_eq!(keys.len(), 60);
        assert!(
            keys.is_sorted() && keys[0] == "k20" && keys[59] == "k79",
            "{keys:?}"
        );
    }
}

/// Writers, readers and a sweeper at once; every reader sees a version it may see.
#[test]
fn sweeping_beside_writers_loses_nothing() {
    let (recent, views) = (Recent::new(), views());
    let versions = std::sync::atomic::AtomicU64::new(0);
    let in_order = Mutex::new(());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for n in 0..3_000_u64 {
                    let _one = in_order.lock();
                    let version = versions.fetch_add(1, Ordering::Relaxed) + 1;
                    put(&recent, &views, &format!("k{}", n % 50), version);
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..200 {
                // Nothing at or below zero exists: the sweep may only shorten chains.
                recent.sweep(Version::ZERO, &views);
            }
        });
    });
    assert_eq!(recent.sizes().keys, 50);
    for n in 0..50 {
        assert!(
            seen(&recent, &format!("k{n}"), u64::MAX).is_some_and(|v| v > 8_500),
            "k{n}"
        );
    }
    recent.sweep(Version(9_000), &views);
    assert_eq!(recent.sizes(), RecentSizes::default());
}
