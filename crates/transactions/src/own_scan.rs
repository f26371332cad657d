//! Scans of own writes in memory, copied from the buffer piece by piece.
//!
//! A reader that wants one row of a large set must not copy all that its transaction wrote there.
//! Later writes do not disturb a scan: its view is registered, which keeps what the view sees.
//! Before a rollback, a spill or the end takes something out of memory, the buffer copies what open
//! scans have not read yet.
//!
//! # Not here
//! Runs and snapshots (`merge`), what a view sees of a chain (`buffer`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tessera_storage::{Key, KeyRange, KeySpace, Write};

use crate::buffer::Command;
use crate::view::OwnWrites;

/// Entries of the first piece: most scans that want one row find it there.
pub(crate) const FIRST_PIECE: usize = 16;
/// Pieces grow up to this.
const PIECE_MAX: usize = 4_096;

/// Own writes in scan order.
pub(crate) type Piece = VecDeque<(Key, Write)>;

/// Which own writes a scan is about, from where it stands.
#[derive(Clone)]
pub(crate) struct OwnRange {
    pub(crate) space: KeySpace,
    pub(crate) range: KeyRange,
    /// Writes of commands before this one.
    pub(crate) command: Command,
    pub(crate) reverse: bool,
}

impl OwnRange {
    /// Leaves out what the piece has.
    fn go_on_after(&mut self, piece: &Piece) {
        if let Some((last, _)) = piece.back() {
            self.range = if self.reverse {
                self.range.before(last.clone())
            } else {
                self.range.after(last.clone())
            };
        }
    }
}

/// The scans of one buffer that have not read everything yet.
#[derive(Default)]
pub(crate) struct OpenScans {
    next: u64,
    open: BTreeMap<u64, OpenScan>,
}

struct OpenScan {
    rest: OwnRange,
    piece: usize,
    /// All of the rest, once it was about to leave the buffer.
    kept: Option<Piece>,
}

impl OpenScans {
    /// Registers a scan that has got its first piece.
    pub(crate) fn add(&mut self, mut rest: OwnRange, first: &Piece) -> u64 {
        rest.go_on_after(first);
        let id = self.next;
        self.next += 1;
        let scan = OpenScan {
            rest,
            piece: FIRST_PIECE,
            kept: None,
        };
        self.open.insert(id, scan);
        id
    }

    pub(crate) fn remove(&mut self, id: u64) {
        self.open.remove(&id);
    }

    /// Copies the rest of every scan: it is about to leave the buffer.
    pub(crate) fn keep(&mut self, read: impl Fn(&OwnRange, usize) -> (Piece, bool)) {
        for scan in self.open.values_mut().filter(|scan| scan.kept.is_none()) {
            scan.kept = Some(read(&scan.rest, usize::MAX).0);
        }
    }

    /// The next piece of a scan, and whether there is more.
    pub(crate) fn next_piece(
        &mut self,
        id: u64,
        read: impl FnOnce(&OwnRange, usize) -> (Piece, bool),
    ) -> (Piece, bool) {
        let Some(scan) = self.open.get_mut(&id) else {
            return (Piece::new(), false);
        };
        if let Some(kept) = scan.kept.take() {
            return (kept, false);
        }
        scan.piece = (scan.piece * 2).min(PIECE_MAX);
        let (piece, has_more) = read(&scan.rest, scan.piece);
        scan.rest.go_on_after(&piece);
        (piece, has_more)
    }
}

/// A scan as its reader holds it.
pub(crate) struct OwnScan {
    pub(crate) ready: Piece,
    /// Where the rest is, if there is one.
    rest: Option<Rest>,
}

struct Rest {
    own: Arc<OwnWrites>,
    id: u64,
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.own.end_scan(self.id);
    }
}

impl OwnScan {
    /// A scan whose first piece is everything.
    pub(crate) fn whole(ready: Piece) -> OwnScan {
        OwnScan { ready, rest: None }
    }

    /// A scan with more in the buffer.
    pub(crate) fn open(ready: Piece, own: Arc<OwnWrites>, id: u64) -> OwnScan {
        let rest = Some(Rest { own, id });
        OwnScan { ready, rest }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.rest.is_none()
    }

    /// Brings the next write into `ready`, if there is one.
    pub(crate) fn fill(&mut self) {
        while self.ready.is_empty()
            && let Some(rest) = &self.rest
        {
            let (piece, has_more) = rest.own.next_piece(rest.id);
            self.ready = piece;
            if !has_more {
                self.rest = None;
            }
        }
    }
}
