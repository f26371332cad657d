//! SCAN and KEYS: walks over keys with a place to go on from.
//!
//! Keys are walked in the order of their bytes, and a place is the last key seen; so a key that is
//! there all the time is met exactly once, and others at most once. Redis's cursors are numbers: for
//! them the space remembers the places of the last scans, see [`Cursors`].

use std::collections::VecDeque;
use std::ops::Bound;

use ahash::RandomState;
use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tessera_codec::checksum::xxh3;
use tessera_storage::{Key, KeyRange};

use crate::error::{KeyValueError, Result};
use crate::glob::{glob_matches, literal_prefix};
use crate::keys::KeyInfo;
use crate::layout::{key_of_record, record_key, records_range};
use crate::reader::Reader;
use crate::record::{Record, ValueType};
use crate::rows::Walk;

/// Cursors of SCAN that one space remembers; the oldest is forgotten first.
const CURSORS_MAX: usize = 16_384;
/// Keys that one step looks at when the caller does not say (Redis's default).
pub const SCAN_COUNT_DEFAULT: usize = 10;
/// Keys that one step looks at at most, whatever the caller says.
const SCAN_COUNT_MAX: usize = 100_000;

/// Options of SCAN, HSCAN, SSCAN, ZSCAN.
#[derive(Debug, Clone, Default)]
pub struct ScanSpec<'a> {
    /// Only names that match (MATCH).
    pub pattern: Option<&'a [u8]>,
    /// Only keys of the type (TYPE); of no meaning within a key.
    pub value_type: Option<ValueType>,
    /// How many to look at (COUNT).
    pub count: Option<usize>,
}

impl ScanSpec<'_> {
    pub(crate) fn count(&self) -> usize {
        self.count
            .unwrap_or(SCAN_COUNT_DEFAULT)
            .clamp(1, SCAN_COUNT_MAX)
    }

    pub(crate) fn accepts(&self, name: &[u8]) -> bool {
        self.pattern
            .is_none_or(|pattern| glob_matches(pattern, name))
    }
}

/// One step of a walk over keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyPage {
    /// Keys that were looked for.
    pub keys: Vec<KeyInfo>,
    /// The place to go on from; none at the end.
    pub next: Option<Bytes>,
}

/// Places of scans under way, by number.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    by_cursor: HashMap<u64, Bytes, RandomState>,
    oldest: VecDeque<u64>,
}

impl Cursors {
    /// The number of a place. The same place has the same number, until the server is started anew.
    fn remember(&self, place: Bytes) -> u64 {
        // Positive for clients that read it as signed.
        let cursor = (xxh3(&place) >> 1).max(1);
        let mut places = self.places.lock();
        if places.by_cursor.insert(cursor, place).is_none() {
            places.oldest.push_back(cursor);
            if places.oldest.len() > CURSORS_MAX
                && let Some(oldest) = places.oldest.pop_front()
            {
                places.by_cursor.remove(&oldest);
            }
        }
        cursor
    }

    fn place(&self, cursor: u64) -> Option<Bytes> {
        self.places.lock().by_cursor.get(&cursor).cloned()
    }
}

impl Reader<'_> {
    /// One step of a walk over all keys behind `after`, in the order of their bytes. Looks at up to
    /// `count` keys. A pattern that begins with plain bytes looks only at keys that begin so.
    pub async fn scan_keys(&self, after: Option<&[u8]>, spec: &ScanSpec<'_>) -> Result<KeyPage> {
        let relation = self.space.relation();
        let prefix = spec.pattern.map(literal_prefix).unwrap_or_default();
        let mut range = records_range(relation, &prefix);
        if let Some(after) = after {
            let after = Key::copy_from_slice(&record_key(relation, after));
            if range.is_after_start(&after) {
                range = range.after(after);
            }
        }
        if range.is_empty() {
            return Ok(KeyPage::default());
        }
        self.page(range, spec).await
    }

    /// One step of a walk over the keys between two bounds, as [`Reader::scan_keys`]; the place to
    /// go on from is a lower bound that is excluded.
    pub async fn scan_keys_between(
        &self,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
        spec: &ScanSpec<'_>,
    ) -> Result<KeyPage> {
        let relation = self.space.relation();
        let stored = |key: &[u8]| Key::copy_from_slice(&record_key(relation, key));
        let all = records_range(relation, b"");
        let range = KeyRange {
            start: match lower {
                Bound::Included(key) => Bound::Included(stored(key)),
                Bound::Excluded(key) => Bound::Excluded(stored(key)),
                Bound::Unbounded => all.start,
            },
            end: match upper {
                Bound::Included(key) => Bound::Included(stored(key)),
                Bound::Excluded(key) => Bound::Excluded(stored(key)),
                Bound::Unbounded => all.end,
            },
        };
        if range.is_empty() {
            return Ok(KeyPage::default());
        }
        self.page(range, spec).await
    }

    async fn page(&self, range: KeyRange, spec: &ScanSpec<'_>) -> Result<KeyPage> {
        let count = spec.count();
        let mut rows = self.rows(range, Walk::first(count));
        let mut page = KeyPage::default();
        let mut seen = 0;
        let mut last = None;
        while let Some((record_key, value)) = rows.next().await? {
            seen += 1;
            let key = key_of_record(&record_key);
            last = Some(key.clone());
            if !spec.accepts(&key) {
                continue;
            }
            let record = Record::decode(&value)?;
            let has_type = spec
                .value_type
                .is_none_or(|wanted| wanted == record.body.value_type());
            if has_type && !record.is_expired(self.now) {
                page.keys.push(KeyInfo::new(key, &record));
            }
        }
        if seen == count {
            page.next = last;
        }
        Ok(page)
    }

    /// SCAN: keys, and the cursor for the next step; 0 begins and 0 ends. A cursor that was given
    /// out too long ago, or before a restart, is [`KeyValueError::InvalidCursor`].
    pub async fn scan(&self, cursor: u64, spec: &ScanSpec<'_>) -> Result<(u64, Vec<Bytes>)> {
        let cursors = &self.space.cursors;
        let after = match cursor {
            0 => None,
            cursor => Some(cursors.place(cursor).ok_or(KeyValueError::InvalidCursor)?),
        };
        let page = self.scan_keys(after.as_deref(), spec).await?;
        let next = page.next.map_or(0, |place| cursors.remember(place));
        Ok((next, page.keys.into_iter().map(|info| info.key).collect()))
    }

    /// KEYS: every key that matches, in the order of bytes.
    pub async fn keys(&self, pattern: &[u8]) -> Result<Vec<Bytes>> {
        let spec = ScanSpec {
            pattern: Some(pattern),
            value_type: None,
            count: Some(SCAN_COUNT_MAX),
        };
        let mut keys = Vec::new();
        let mut after: Option<Bytes> = None;
        loop {
            let page = self.scan_keys(after.as_deref(), &spec).await?;
            keys.extend(page.keys.into_iter().map(|info| info.key));
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(keys),
            }
        }
    }
}
