//! One simulated file: its content now, and what of it would survive a power loss.

use rand::rngs::SmallRng;
use rand::{Rng, RngExt as _};

/// What a disk writes in one piece: a write is torn at these borders, never inside.
const SECTOR_BYTES: u64 = 512;

/// A change that no sync has covered yet.
#[derive(Debug, Clone)]
struct Pending {
    change: Change,
    /// A failed sync covered it: the system forgot that it must be written, so later syncs
    /// succeed without it.
    forgotten: bool,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
}

/// How much of the un-synced changes of a file a power loss keeps.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Survival {
    Nothing,
    Everything,
    /// Each sector of each write by its own toss of a coin, in no particular order.
    Torn,
    /// The oldest changes whole, then one torn, then nothing.
    Prefix,
}

impl Survival {
    pub(crate) fn random(rng: &mut SmallRng) -> Survival {
        match rng.random_range(0..4) {
            0 => Survival::Nothing,
            1 => Survival::Everything,
            2 => Survival::Prefix,
            _ => Survival::Torn,
        }
    }
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Inode {
    content: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Pending>,
    reserved: u64,
}

impl Inode {
    pub(crate) fn content(&self) -> &[u8] {
        &self.content
    }

    /// Disk space this file takes.
    pub(crate) fn space(&self) -> u64 {
        self.reserved.max(self.content.len() as u64)
    }

    pub(crate) fn write(&mut self, bytes: &[u8], offset: u64) {
        self.record(Change::Write {
            offset,
            bytes: bytes.to_vec(),
        });
    }

    pub(crate) fn set_len(&mut self, len: u64) {
        self.reserved = self.reserved.min(len);
        self.record(Change::SetLen(len));
    }

    pub(crate) fn reserve(&mut self, len: u64) {
        self.reserved = self.reserved.max(len);
        if (self.content.len() as u64) < len {
            self.record(Change::SetLen(len));
        }
    }

    fn record(&mut self, change: Change) {
        apply(&mut self.content, &change);
        self.pending.push(Pending {
            change,
            forgotten: false,
        });
    }

    pub(crate) fn sync(&mut self) {
        for pending in self.pending.extract_if(.., |pending| !pending.forgotten) {
            apply(&mut self.durable, &pending.change);
        }
    }

    /// A sync that reports an error: what it should have written is on nobody's list any more.
    pub(crate) fn sync_failed(&mut self) {
        for pending in &mut self.pending {
            pending.forgotten = true;
        }
    }

    /// The power goes: from now on the content is what the platters hold.
    pub(crate) fn lose_power(&mut self, survival: Survival, rng: &mut SmallRng) {
        let pending = std::mem::take(&mut self.pending);
        let whole = match survival {
            Survival::Nothing | Survival::Torn => 0,
            Survival::Everything => pending.len(),
            Survival::Prefix => rng.random_range(0..=pending.len()),
        };
        for (index, pending) in pending.into_iter().enumerate() {
            let torn = match survival {
                Survival::Torn => true,
                Survival::Prefix => index == whole,
                Survival::Nothing | Survival::Everything => false,
            };
            if index < whole {
                apply(&mut self.durable, &pending.change);
            } else if torn {
                apply_torn(&mut self.durable, &pending.change, rng);
            }
        }
        self.content = self.durable.clone();
        self.reserved = self.reserved.min(self.content.len() as u64);
    }

    /// Changes a stored byte behind everybody's back, as a failing disk does.
    pub(crate) fn damage(&mut self, offset: usize, mask: u8) -> bool {
        let Some(byte) = self.content.get_mut(offset) else {
            return false;
        };
        *byte ^= mask;
        if let Some(byte) = self.durable.get_mut(offset) {
            *byte ^= mask;
        }
        true
    }
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { offset, bytes } => put(content, *offset as usize, bytes),
        Change::SetLen(len) => content.resize(*len as usize, 0),
    }
}

fn apply_torn(content: &mut Vec<u8>, change: &Change, rng: &mut impl Rng) {
    let (mut offset, mut rest) = match change {
        Change::Write { offset, bytes } => (*offset, bytes.as_slice()),
        Change::SetLen(_) => {
            if rng.random() {
                apply(content, change);
            }
            return;
        }
    };
    while !rest.is_empty() {
        let count = (SECTOR_BYTES - offset % SECTOR_BYTES).min(rest.len() as u64);
        let (sector, after) = rest.split_at(count as usize);
        if rng.random() {
            put(content, offset as usize, sector);
        }
        offset += count;
        rest = after;
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}
