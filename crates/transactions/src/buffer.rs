//! Own writes of one transaction: per key a short chain, one entry per command, newest last.
//!
//! # Invariants
//! 1. Commands in a chain ascend; a chain is never empty.
//! 2. Everything in memory is newer than every run, and a later run is newer than an earlier one.
//! 3. No command range of a run contains a boundary (savepoint, statement start, live view)
//!    after its first command: a run is visible, or rolled back, as a whole.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use smallvec::SmallVec;
use tessera_storage::{Key, KeySpace, Run, Store, StoreError, Write};

use crate::error::TransactionError;
use crate::own_scan::{OpenScans, OwnRange, OwnScan, Piece};

/// Number of a command: statements count up. A view of command `c` sees writes before `c`.
pub(crate) type Command = u32;

/// Estimated bytes of an entry besides its key and value.
const ENTRY_OVERHEAD_BYTES: usize = 150;
/// Parts into which savepoints and open cursors may cut one spill.
const SPILL_PARTS_MAX: usize = 64;

#[derive(Debug)]
struct Entry {
    command: Command,
    write: Write,
    /// The key did not exist before the transaction, or before its newest run.
    is_new: bool,
}

type Chain = SmallVec<[Entry; 1]>;

/// Writes that went to the store's disk before the commit.
#[derive(Clone)]
pub(crate) struct Spilled {
    first: Command,
    last: Command,
    pub(crate) run: Arc<dyn Run>,
}

/// Own writes of one transaction.
#[derive(Default)]
pub(crate) struct WriteBuffer {
    spaces: [BTreeMap<Key, Chain>; KeySpace::COUNT],
    /// Which chains got an entry, in order: what a rollback looks at.
    log: Vec<(Command, KeySpace, Key)>,
    bytes: usize,
    spilled: Vec<Spilled>,
    /// Commands of live views, with their number.
    views: BTreeMap<Command, usize>,
    /// Scans that have not read everything yet.
    scans: OpenScans,
}

/// What memory knows about a key.
pub(crate) enum Found {
    /// This write.
    Write(Write),
    /// Nothing, but these runs may, newest first.
    MaybeIn(SmallVec<[Arc<dyn Run>; 4]>),
    /// Nothing at all.
    Nothing,
}

/// Own writes of a range, as one view sees them.
pub(crate) struct RangeWrites {
    /// In memory, in scan order.
    pub(crate) memory: OwnScan,
    /// Older ones, newest run first.
    pub(crate) runs: Vec<Arc<dyn Run>>,
}

impl WriteBuffer {
    pub(crate) fn is_empty(&self) -> bool {
        self.spilled.is_empty() && self.spaces.iter().all(BTreeMap::is_empty)
    }

    /// Estimated bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Records a write of the command. `boundaries` are the savepoints' commands, ascending.
    pub(crate) fn put(
        &mut self,
        command: Command,
        boundaries: &[Command],
        space: KeySpace,
        key: Key,
        write: Write,
    ) {
        let added = write.value_bytes();
        let map = &mut self.spaces[space.index()];
        let key_bytes = key.len();
        let chain = map.entry(key.clone()).or_default();
        // The first write of a key knows whether it was there; the later ones see that one.
        let is_new = match chain.first() {
            Some(first) => first.is_new,
            None => matches!(write, Write::Insert(_)),
        };
        let write = match write {
            Write::Put(value) | Write::Insert(value) if is_new => Write::Insert(value),
            Write::Insert(value) => Write::Put(value),
            write => write,
        };
        match chain.last_mut() {
            Some(last) if last.command == command => {
                self.bytes = self.bytes.saturating_sub(last.write.value_bytes()) + added;
                last.write = write;
                return;
            }
            _ => {}
        }
        // A value that no rollback and no view can go back to is forgotten, or a counter updated
        // by a million statements would keep a million values.
        if let [.., older, newer] = chain.as_slice() {
            let (from, to) = (older.command, newer.command);
            let is_needed = boundaries.iter().any(|b| from < *b && *b <= to)
                || self
                    .views
                    .range((Bound::Excluded(from), Bound::Included(to)))
                    .next()
                    .is_some();
            if !is_needed {
                let at = chain.len() - 2;
                let gone = chain.remove(at);
                self.bytes = self.bytes.saturating_sub(gone.write.value_bytes());
            }
        }
        self.bytes += added + key_bytes + ENTRY_OVERHEAD_BYTES;
        chain.push(Entry {
            command,
            write,
            is_new,
        });
        self.log.push((command, space, key));
    }

    /// Forgets everything written by `from` and later commands.
    pub(crate) fn roll_back_to(&mut self, from: Command) {
        if self
            .log
            .last()
            .is_some_and(|(command, _, _)| *command >= from)
        {
            self.keep_for_scans();
        }
        while let Some((_, space, key)) = self.log.pop_if(|(command, _, _)| *command >= from) {
            self.bytes = self.bytes.saturating_sub(key.len() + ENTRY_OVERHEAD_BYTES);
            let map = &mut self.spaces[space.index()];
            let Some(chain) = map.get_mut(&key) else {
                continue;
            };
            while chain.last().is_some_and(|entry| entry.command >= from) {
                let value_bytes = chain.pop().map_or(0, |gone| gone.write.value_bytes());
                self.bytes = self.bytes.saturating_sub(value_bytes);
            }
            if chain.is_empty() {
                map.remove(&key);
            }
        }
        debug_assert!(
            self.spilled
                .iter()
                .all(|part| part.last < from || part.first >= from),
            "invariant 3"
        );
        self.spilled.retain(|part| part.first < from);
    }

    /// The newest write of the key before `command`, as far as memory knows.
    pub(crate) fn find(&self, space: KeySpace, key: &[u8], command: Command) -> Found {
        if let Some(chain) = self.spaces[space.index()].get(key)
            && let Some(entry) = chain.iter().rev().find(|entry| entry.command < command)
        {
            return Found::Write(entry.write.clone());
        }
        let runs: SmallVec<_> = self.runs_before(command).collect();
        if runs.is_empty() {
            Found::Nothing
        } else {
            Found::MaybeIn(runs)
        }
    }

    /// Own writes in memory as the range says: at most `count`, and whether there are more.
    pub(crate) fn piece(&self, of: &OwnRange, count: usize) -> (Piece, bool) {
        if of.range.is_empty() {
            return (Piece::new(), false);
        }
        let seen = |(key, chain): (&Key, &Chain)| {
            let entry = chain
                .iter()
                .rev()
                .find(|entry| entry.command < of.command)?;
            Some((key.clone(), entry.write.clone()))
        };
        let range = self.spaces[of.space.index()].range::<[u8], _>(of.range.as_bounds());
        let wanted = count.saturating_add(1);
        let mut piece: Piece = if of.reverse {
            range.rev().filter_map(seen).take(wanted).collect()
        } else {
            range.filter_map(seen).take(wanted).collect()
        };
        let has_more = piece.len() > count;
        piece.truncate(count);
        (piece, has_more)
    }

    /// Registers a scan that has got its first piece and wants more.
    pub(crate) fn open_scan(&mut self, of: OwnRange, first: &Piece) -> u64 {
        self.scans.add(of, first)
    }

    pub(crate) fn end_scan(&mut self, id: u64) {
        self.scans.remove(id);
    }

    pub(crate) fn next_piece(&mut self, id: u64) -> (Piece, bool) {
        let mut scans = std::mem::take(&mut self.scans);
        let next = scans.next_piece(id, |of, count| self.piece(of, count));
        self.scans = scans;
        next
    }

    /// Before something leaves memory: what open scans have not read yet is copied for them.
    fn keep_for_scans(&mut self) {
        let mut scans = std::mem::take(&mut self.scans);
        scans.keep(|of, count| self.piece(of, count));
        self.scans = scans;
    }

    /// Own writes in runs, of commands before this one, newest run first.
    pub(crate) fn runs(&self, command: Command) -> Vec<Arc<dyn Run>> {
        self.runs_before(command).collect()
    }

    fn runs_before(&self, command: Command) -> impl Iterator<Item = Arc<dyn Run>> {
        self.spilled
            .iter()
            .rev()
            .filter(move |part| part.last < command)
            .map(|part| Arc::clone(&part.run))
    }

    /// Notes a view of that command; its writes keep their borders until `drop_view`.
    pub(crate) fn add_view(&mut self, command: Command) {
        *self.views.entry(command).or_insert(0) += 1;
    }

    pub(crate) fn drop_view(&mut self, command: Command) {
        if let Some(count) = self.views.get_mut(&command) {
            *count -= 1;
            if *count == 0 {
                self.views.remove(&command);
            }
        }
    }

    /// Moves everything from memory to runs of the store. Blocks on the disk.
    ///
    /// `boundaries` are the commands of savepoints and the start of the present statement.
    pub(crate) fn spill(
        &mut self,
        store: &dyn Store,
        boundaries: &[Command],
    ) -> Result<(), TransactionError> {
        let mut cuts: Vec<Command> = boundaries
            .iter()
            .copied()
            .chain(self.views.keys().copied())
            .collect();
        cuts.sort_unstable();
        cuts.dedup();
        // Only the cuts between commands that are in memory matter.
        let mut commands: Vec<Command> = self.log.iter().map(|(command, _, _)| *command).collect();
        commands.sort_unstable();
        commands.dedup();
        let mut parts: Vec<(Command, Command)> = Vec::new();
        for command in commands {
            match parts.last_mut() {
                Some((first, last)) if !cuts.iter().any(|cut| *first < *cut && *cut <= command) => {
                    *last = command;
                }
                _ => parts.push((command, command)),
            }
        }
        if parts.len() > SPILL_PARTS_MAX {
            return Err(TransactionError::TooMany {
                what: "savepoints or cursors between writes that do not fit in memory",
                limit: SPILL_PARTS_MAX as u64,
            });
        }
        let mut spilled = Vec::with_capacity(parts.len());
        for (first, last) in parts {
            spilled.push(self.write_part(store, first, last)?);
        }
        // Only now, so that a failure leaves everything in memory.
        self.spilled.append(&mut spilled);
        self.keep_for_scans();
        self.spaces = Default::default();
        self.log = Vec::new();
        self.bytes = 0;
        Ok(())
    }

    fn write_part(
        &self,
        store: &dyn Store,
        first: Command,
        last: Command,
    ) -> Result<Spilled, StoreError> {
        let mut run = store.begin_run()?;
        for space in KeySpace::ALL {
            for (key, chain) in &self.spaces[space.index()] {
                let newest = chain
                    .iter()
                    .rev()
                    .find(|entry| first <= entry.command && entry.command <= last);
                if let Some(entry) = newest {
                    run.add(space, key.clone(), entry.write.clone())?;
                }
            }
        }
        Ok(Spilled {
            first,
            last,
            run: run.finish()?,
        })
    }

    /// Takes everything out for the commit: the newest write of each key, and the runs.
    pub(crate) fn take(&mut self) -> (Vec<(KeySpace, Key, Write)>, Vec<Spilled>) {
        self.keep_for_scans();
        let spaces = std::mem::take(&mut self.spaces);
        let mut writes = Vec::with_capacity(spaces.iter().map(BTreeMap::len).sum());
        for (space, map) in KeySpace::ALL.into_iter().zip(spaces) {
            for (key, mut chain) in map {
                if let Some(entry) = chain.pop() {
                    // Made and removed again: nothing happened, unless a run says something else.
                    let is_nothing = entry.is_new && matches!(entry.write, Write::Delete);
                    if !is_nothing || !self.spilled.is_empty() {
                        writes.push((space, key, entry.write));
                    }
                }
            }
        }
        self.log = Vec::new();
        self.bytes = 0;
        (writes, std::mem::take(&mut self.spilled))
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(
        buffer: &mut WriteBuffer,
        command: Command,
        savepoints: &[Command],
        value: &'static str,
    ) {
        let write = Write::Put(value.as_bytes().into());
        buffer.put(
            command,
            savepoints,
            KeySpace::Rows,
            Key::from_static(b"k"),
            write,
        );
    }

    fn seen(buffer: &WriteBuffer, command: Command) -> Option<Write> {
        match buffer.find(KeySpace::Rows, b"k", command) {
            Found::Write(write) => Some(write),
            Found::MaybeIn(_) | Found::Nothing => None,
        }
    }

    #[test]
    fn a_counter_keeps_two_values_however_often_it_is_written() {
        let mut buffer = WriteBuffer::default();
        for command in 1..1_000 {
            put(&mut buffer, command, &[], "v");
        }
        assert_eq!(buffer.spaces[KeySpace::Rows.index()][&b"k"[..]].len(), 2);
        buffer.roll_back_to(999);
        assert!(
            seen(&buffer, 999).is_some(),
            "the statement before is still there"
        );
    }

    #[test]
    fn a_key_stays_new_until_the_commit_whatever_is_written_to_it() {
        let taken = |writes: &[(Command, &'static str)]| {
            let mut buffer = WriteBuffer::default();
            for (command, what) in writes {
                let value = what.as_bytes().get(1..).unwrap_or_default();
                let write = match what.as_bytes()[0] {
                    b'i' => Write::Insert(value.into()),
                    b'p' => Write::Put(value.into()),
                    _ => Write::Delete,
                };
                let key = Key::from_static(b"k");
                buffer.put(*command, &[], KeySpace::Rows, key, write);
            }
            buffer.take().0.pop().map(|(_, _, write)| write)
        };
        let insert = |text: &'static str| Some(Write::Insert(text.as_bytes().into()));
        let put = |text: &'static str| Some(Write::Put(text.as_bytes().into()));
        assert_eq!(taken(&[(1, "i1")]), insert("1"));
        assert_eq!(
            taken(&[(1, "i1"), (1, "p2"), (2, "p3"), (3, "p4"), (4, "p5")]),
            insert("5")
        );
        assert_eq!(taken(&[(1, "i1"), (2, "d")]), None);
        assert_eq!(taken(&[(1, "i1"), (2, "d"), (3, "i2")]), insert("2"));
        assert_eq!(taken(&[(1, "d"), (2, "i2")]), put("2"));
        assert_eq!(taken(&[(1, "p1"), (2, "d")]), Some(Write::Delete));
    }

    #[test]
    fn a_savepoint_or_a_view_keeps_the_value_before_it() {
        let value = |text: &'static str| Some(Write::Put(text.as_bytes().into()));
        let mut buffer = WriteBuffer::default();
        put(&mut buffer, 1, &[], "one");
        buffer.add_view(2);
        for command in 3..10 {
            put(&mut buffer, command, &[3], "later");
        }
        assert_eq!(seen(&buffer, 2), value("one"));
        buffer.drop_view(2);
        buffer.roll_back_to(3);
        assert_eq!(seen(&buffer, 99), value("one"));
        buffer.roll_back_to(1);
        assert!(buffer.is_empty());
        assert_eq!(buffer.bytes(), 0);
    }
}
