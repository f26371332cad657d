//! Makes the next segment ahead of time, on a thread of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use tessera_environment::Environment;

use crate::error::LogError;
use crate::segment::{Blank, create_blank};

const NEXT_NAME: &str = "next.tmp";

enum Slot {
    Empty,
    Requested,
    Ready(Blank),
    Failed(LogError),
    Ended,
}

struct Shared {
    slot: Mutex<Slot>,
    changed: Condvar,
}

/// Holds at most one blank segment.
pub(crate) struct Preparer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Preparer {
    pub(crate) fn start(
        environment: Environment,
        dir: PathBuf,
        capacity: u64,
    ) -> std::io::Result<Preparer> {
        let shared = Arc::new(Shared {
            slot: Mutex::new(Slot::Empty),
            changed: Condvar::new(),
        });
        let theirs = shared.clone();
        let body = move || {
            while theirs.wait_for_request() {
                let made = create_blank(&*environment.files, &dir, NEXT_NAME, capacity);
                theirs.deliver(made);
            }
        };
        let thread = std::thread::Builder::new()
            .name("log-prepare".into())
            .spawn(body)?;
        Ok(Preparer {
            shared,
            thread: Some(thread),
        })
    }

    /// Asks for a blank segment unless there is one.
    pub(crate) fn request(&self) {
        let mut slot = self.shared.slot.lock();
        if matches!(*slot, Slot::Empty | Slot::Failed(_)) {
            *slot = Slot::Requested;
            self.shared.changed.notify_all();
        }
    }

    /// The blank segment that was asked for, waiting until it is done; `None` if none was.
    pub(crate) fn take(&self) -> Option<Result<Blank, LogError>> {
        let mut slot = self.shared.slot.lock();
        while matches!(*slot, Slot::Requested) {
            self.shared.changed.wait(&mut slot);
        }
        match std::mem::replace(&mut *slot, Slot::Empty) {
            Slot::Ready(blank) => Some(Ok(blank)),
            Slot::Failed(error) => Some(Err(error)),
            Slot::Empty | Slot::Requested => None,
            Slot::Ended => {
                *slot = Slot::Ended;
                None
            }
        }
    }
}

impl Shared {
    fn wait_for_request(&self) -> bool {
        let mut slot = self.slot.lock();
        loop {
            match *slot {
                Slot::Requested => return true,
                Slot::Ended => return false,
                Slot::Empty | Slot::Ready(_) | Slot::Failed(_) => self.changed.wait(&mut slot),
            }
        }
    }

    fn deliver(&self, made: Result<Blank, LogError>) {
        let mut slot = self.slot.lock();
        if matches!(*slot, Slot::Requested) {
            *slot = made.map_or_else(Slot::Failed, Slot::Ready);
            self.changed.notify_all();
        }
    }
}

impl Drop for Preparer {
    fn drop(&mut self) {
        *self.shared.slot.lock() = Slot::Ended;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It panics only if a simulated or real file system does; nothing is left to do then.
            let _ = thread.join();
        }
    }
}
