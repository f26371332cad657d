//! Lists: items in an order of their own. <https://redis.io/commands/?group=list>
//!
//! Items have the indexes `first .. first + count` without gaps, so that pushing and popping at
//! either end, and finding an item by its place, cost the same however long the list is. Inserting
//! and removing in the middle moves the shorter side.

use bytes::Bytes;
use tessera_storage::{Key, KeyRange, Val};

use crate::error::{KeyValueError, Result, malformed};
use crate::layout::{ElementKind, Elements, check_element, suffix};
use crate::reader::Reader;
use crate::record::{Body, Record, Tally, ValueType};
use crate::rows::{Rows, Walk};
use crate::writer::{Locked, Writer};

/// An end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The head.
    Left,
    /// The tail.
    Right,
}

/// A side of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Towards the head.
    Before,
    /// Towards the tail.
    After,
}

/// Options of LPOS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LposOptions {
    /// Which match is the first one wanted: 1 is the first, -1 the last; not 0.
    pub rank: i64,
    /// How many places; 0 means all, none means one.
    pub count: Option<u64>,
    /// How many items to look at; 0 means all.
    pub items_max: u64,
}

impl Default for LposOptions {
    fn default() -> LposOptions {
        LposOptions {
            rank: 1,
            count: None,
            items_max: 0,
        }
    }
}

/// A list that is read or written.
#[derive(Debug, Clone, Copy)]
struct List {
    elements: Elements,
    tally: Tally,
    first: i64,
}

impl List {
    fn len(&self) -> i64 {
        i64::try_from(self.tally.count).unwrap_or(i64::MAX)
    }

    /// Key of the item at a place, 0 being the head.
    fn key(&self, place: i64) -> Key {
        let index = self.first.wrapping_add(place);
        // With the sign inverted, negative indexes sort first.
        let index = (index ^ i64::MIN).to_be_bytes();
        self.elements.key(ElementKind::Item, &[&index])
    }

    /// The items at `start..end`.
    fn range(&self, start: i64, end: i64) -> KeyRange {
        KeyRange::half_open(self.key(start), self.key(end))
    }

    /// The place of an item by its key.
    fn place(&self, key: &Key) -> Result<i64> {
        let bytes: [u8; 8] = suffix(key)[..]
            .try_into()
            .map_err(|_| malformed("item of a list"))?;
        Ok((i64::from_be_bytes(bytes) ^ i64::MIN).wrapping_sub(self.first))
    }

    /// A place counted from the end if negative; none if outside.
    fn resolve(&self, place: i64) -> Option<i64> {
        let place = if place < 0 {
            place.checked_add(self.len())?
        } else {
            place
        };
        (0..self.len()).contains(&place).then_some(place)
    }

    /// `start..end` of bounds that are both included and may be negative or outside.
    fn resolve_range(&self, start: i64, stop: i64) -> (i64, i64) {
        let from_end = |place: i64| {
            if place < 0 {
                place.saturating_add(self.len())
            } else {
                place
            }
        };
        let start = from_end(start).max(0);
        let end = from_end(stop).saturating_add(1).min(self.len());
        if start < end { (start, end) } else { (0, 0) }
    }
}

impl Reader<'_> {
    async fn list(&self, key: &[u8]) -> Result<Option<List>> {
        let record = self.typed(key, ValueType::List).await?;
        Ok(record.and_then(|record| match record.body {
            Body::List { tally, first } => Some(List {
                elements: self.elements(&record),
                tally,
                first,
            }),
            _ => None,
        }))
    }

    /// LLEN.
    pub async fn llen(&self, key: &[u8]) -> Result<u64> {
        Ok(self.list(key).await?.map_or(0, |list| list.tally.count))
    }

    /// LINDEX: 0 is the head, -1 the tail.
    pub async fn lindex(&self, key: &[u8], place: i64) -> Result<Option<Bytes>> {
        let Some(list) = self.list(key).await? else {
            return Ok(None);
        };
        match list.resolve(place) {
            Some(place) => self.element(&list.key(place)).await,
            None => Ok(None),
        }
    }

    /// LRANGE: both bounds are included; negative ones count from the tail.
    pub async fn lrange(&self, key: &[u8], start: i64, stop: i64) -> Result<Vec<Bytes>> {
        let Some(list) = self.list(key).await? else {
            return Ok(Vec::new());
        };
        let (start, end) = list.resolve_range(start, stop);
        let mut rows = self.rows(list.range(start, end), Walk::ALL);
        let mut items = Vec::new();
        while let Some((_, item)) = rows.next().await? {
            items.push(item);
        }
        Ok(items)
    }

    /// LPOS: the places of an item, counted from the head.
    pub async fn lpos(&self, key: &[u8], item: &[u8], options: LposOptions) -> Result<Vec<u64>> {
        if options.rank == 0 || options.rank == i64::MIN {
            return Err(KeyValueError::InvalidArgument {
                what: "RANK can't be zero: use 1 to start from the first match, 2 from the second \
                       ... or use negative to start from the end of the list",
            });
        }
        let Some(list) = self.list(key).await? else {
            return Ok(Vec::new());
        };
        let walk = Walk {
            reverse: options.rank < 0,
            limit: match options.items_max {
                0 => None,
                limit => Some(usize::try_from(limit).unwrap_or(usize::MAX)),
            },
            keys_only: false,
            is_short: false,
        };
        let wanted = match options.count {
            None => 1,
            Some(0) => u64::MAX,
            Some(count) => count,
        };
        let mut to_skip = options.rank.unsigned_abs() - 1;
        let mut places = Vec::new();
        let mut rows = self.rows(list.range(0, list.len()), walk);
        while (places.len() as u64) < wanted {
            let Some((key, value)) = rows.next().await? else {
                break;
            };
            if value != item {
                continue;
            }
            if to_skip > 0 {
                to_skip -= 1;
                continue;
            }
            places.push(u64::try_from(list.place(&key)?).unwrap_or(0));
        }
        Ok(places)
    }
}

impl Writer<'_> {
    /// LPUSH, RPUSH; LPUSHX, RPUSHX if only to a list that exists: the new length. Several items are
    /// pushed one after the other, so that of those pushed to the left the last is the head.
    pub async fn push<I: AsRef<[u8]>>(
        &self,
        key: &[u8],
        end: End,
        items: &[I],
        only_if_exists: bool,
    ) -> Result<u64> {
        let (mut locked, record, mut list) = self.lock_list(key).await?;
        if only_if_exists && list.tally.count == 0 {
            return Ok(0);
        }
        for item in items {
            self.push_one(&mut list, end, item.as_ref())?;
        }
        self.store_list(&mut locked, record, &list).await?;
        Ok(list.tally.count)
    }

    /// LPOP, RPOP: at most `count` items, in the order popped; none if there is no list.
    pub async fn pop(&self, key: &[u8], end: End, count: u64) -> Result<Option<Vec<Bytes>>> {
        let (mut locked, record, mut list) = self.lock_list(key).await?;
        if list.tally.count == 0 {
            return Ok(None);
        }
        let items = self.pop_some(&mut list, end, count).await?;
        if !items.is_empty() {
            self.store_list(&mut locked, record, &list).await?;
        }
        Ok(Some(items))
    }

    /// LMPOP: pops from the first of the lists that has items; which one, and the items.
    pub async fn lmpop<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        end: End,
        count: u64,
    ) -> Result<Option<(usize, Vec<Bytes>)>> {
        self.lock_all(keys).await?;
        for (at, key) in keys.iter().enumerate() {
            if let Some(items) = self.pop(key.as_ref(), end, count).await? {
                return Ok(Some((at, items)));
            }
        }
        Ok(None)
    }

    /// LMOVE, RPOPLPUSH: the item moved, none if there is no source. Both keys may be the same.
    pub async fn lmove(
        &self,
        from: &[u8],
        to: &[u8],
        take: End,
        give: End,
    ) -> Result<Option<Bytes>> {
        self.lock_all(&[from, to]).await?;
        let (mut locked, record, mut list) = self.lock_list(from).await?;
        if list.tally.count == 0 {
            return Ok(None);
        }
        if from == to {
            let item = self.pop_some(&mut list, take, 1).await?.pop();
            if let Some(item) = &item {
                self.push_one(&mut list, give, item)?;
            }
            self.store_list(&mut locked, record, &list).await?;
            return Ok(item);
        }
        // The target's type is looked at before anything is written.
        let (mut target_locked, target_record, mut target) = self.lock_list(to).await?;
        let item = self.pop_some(&mut list, take, 1).await?.pop();
        if let Some(item) = &item {
            self.push_one(&mut target, give, item)?;
        }
        self.store_list(&mut locked, record, &list).await?;
        self.store_list(&mut target_locked, target_record, &target)
            .await?;
        Ok(item)
    }

    /// LSET: replaces an item.
    pub async fn lset(&self, key: &[u8], place: i64, item: &[u8]) -> Result<()> {
        check_element(item)?;
        let (mut locked, record, mut list) = self.lock_list(key).await?;
        if list.tally.count == 0 {
            return Err(KeyValueError::NoSuchKey);
        }
        let place = list
            .resolve(place)
            .ok_or(KeyValueError::OutOfRange { what: "index" })?;
        let key = list.key(place);
        let old = self.element(&key).await?.unwrap_or_default();
        list.tally.replace(old.len(), item.len());
        list.tally.note(item);
        self.put(key, Val::copy_from_slice(item))?;
        self.store_list(&mut locked, record, &list).await
    }

    /// LINSERT: the new length; -1 if the pivot was not found, 0 if there is no list.
    pub async fn linsert(&self, key: &[u8], side: Side, pivot: &[u8], item: &[u8]) -> Result<i64> {
        check_element(item)?;
        let (mut locked, record, mut list) = self.lock_list(key).await?;
        if list.tally.count == 0 {
            return Ok(0);
        }
        let reader = self.reader();
        let mut rows = reader.rows(list.range(0, list.len()), Walk::ALL);
        let place = loop {
            match rows.next().await? {
                Some((key, value)) if value == pivot => break list.place(&key)?,
                Some(_) => {}
                None => return Ok(-1),
            }
        };
        let place = match side {
            Side::Before => place,
            Side::After => place + 1,
        };
        let old = list;
        let moved = if place < list.len() / 2 {
            list.first = list.first.wrapping_sub(1);
            (0, place)
        } else {
            (place, list.len())
        };
        list.tally.add(item.len());
        list.tally.note(item);
        // Those before keep their place, those behind move on by one. Either is a move of keys only
        // on the side that was chosen.
        let mut rows = reader.rows(old.range(moved.0, moved.1), Walk::ALL);
        while let Some((key, value)) = rows.next().await? {
            let at = old.place(&key)?;
            let at = if at < place { at } else { at + 1 };
            self.put(list.key(at), value)?;
        }
        self.put(list.key(place), Val::copy_from_slice(item))?;
        self.store_list(&mut locked, record, &list).await?;
        Ok(list.len())
    }

    /// LREM: removes items equal to `item`: all (0), so many from the head (positive) or from the
    /// tail (negative); how many were removed.
    pub async fn lrem(&self, key: &[u8], count: i64, item: &[u8]) -> Result<u64> {
        let (mut locked, record, mut list) = self.lock_list(key).await?;
        if list.tally.count == 0 {
            return Ok(0);
        }
        let wanted = match count.unsigned_abs() {
            0 => u64::MAX,
            count => count,
        };
        let walk = Walk {
            reverse: count < 0,
            ..Walk::ALL
        };
        let reader = self.reader();
        let mut places = Vec::new();
        let mut rows = reader.rows(list.range(0, list.len()), walk);
        while (places.len() as u64) < wanted {
            match rows.next().await? {
                Some((key, value)) if value == item => places.push(list.place(&key)?),
                Some(_) => {}
                None => break,
            }
        }
        places.sort_unstable();
        let (Some(lowest), Some(highest)) = (places.first(), places.last()) else {
            return Ok(0);
        };
        let old = list;
        let removed = i64::try_from(places.len()).unwrap_or(i64::MAX);
        for _ in &places {
            list.tally.subtract(item.len());
        }
        // Close the gaps from the side where fewer items move.
        let (start, end, freed) = if old.len() - lowest <= *highest {
            (*lowest, old.len(), (old.len() - removed, old.len()))
        } else {
            list.first = old.first.wrapping_add(removed);
            (0, highest + 1, (0, removed))
        };
        let mut at = start;
        let mut gaps = places.iter().peekable();
        let mut rows = reader.rows(old.range(start, end), Walk::ALL);
        while let Some((key, value)) = rows.next().await? {
            if gaps
                .next_if(|gap| old.place(&key).is_ok_and(|place| place == **gap))
                .is_some()
            {
                continue;
            }
            self.put(list.key(at), value)?;
            at += 1;
        }
        for place in freed.0..freed.1 {
            self.delete(old.key(place))?;
        }
        self.store_list(&mut locked, record, &list).await?;
        Ok(places.len() as u64)
    }

    /// LTRIM: keeps the items from `start` to `stop`, both included; negative ones count from the
    /// tail.
    pub async fn ltrim(&self, key: &[u8], start: i64, stop: i64) -> Result<()> {
        let (mut locked, record, mut list) = self.lock_list(key).await?;
        if list.tally.count == 0 {
            return Ok(());
        }
        let (start, end) = list.resolve_range(start, stop);
        if start == end {
            self.remove(&mut locked).await?;
            return Ok(());
        }
        let old = list;
        let reader = self.reader();
        for (from, until) in [(0, start), (end, old.len())] {
            if from == until {
                continue;
            }
            let mut rows: Rows = reader.rows(old.range(from, until), Walk::ALL);
            while let Some((key, value)) = rows.next().await? {
                list.tally.subtract(value.len());
                self.delete(key)?;
            }
        }
        list.first = old.first.wrapping_add(start);
        self.store_list(&mut locked, record, &list).await
    }

    /// Locks a list; a new one has no items yet.
    async fn lock_list(&self, key: &[u8]) -> Result<(Locked, Record, List)> {
        let locked = self.lock(key).await?;
        let record = self.typed(&locked, ValueType::List)?;
        let record = record.unwrap_or_else(|| {
            self.fresh(Body::List {
                tally: Tally::default(),
                first: 0,
            })
        });
        let Body::List { tally, first } = record.body else {
            return Err(KeyValueError::WrongType);
        };
        let list = List {
            elements: self.elements(&record),
            tally,
            first,
        };
        Ok((locked, record, list))
    }

    async fn store_list(&self, locked: &mut Locked, record: Record, list: &List) -> Result<()> {
        let record = Record {
            body: Body::List {
                tally: list.tally,
                first: list.first,
            },
            ..record
        };
        self.store_or_remove(locked, record).await
    }

    fn push_one(&self, list: &mut List, end: End, item: &[u8]) -> Result<()> {
        check_element(item)?;
        let place = match end {
            End::Left => {
                list.first = list.first.wrapping_sub(1);
                0
            }
            End::Right => list.len(),
        };
        list.tally.add(item.len());
        list.tally.note(item);
        self.put(list.key(place), Val::copy_from_slice(item))
    }

    async fn pop_some(&self, list: &mut List, end: End, count: u64) -> Result<Vec<Bytes>> {
        let mut items = Vec::new();
        for _ in 0..count.min(list.tally.count) {
            let place = match end {
                End::Left => 0,
                End::Right => list.len() - 1,
            };
            let key = list.key(place);
            let item = self
                .element(&key)
                .await?
                .ok_or_else(|| malformed("list: a missing item"))?;
            self.delete(key)?;
            list.tally.subtract(item.len());
            if end == End::Left {
                list.first = list.first.wrapping_add(1);
            }
            items.push(item);
        }
        Ok(items)
    }
}
