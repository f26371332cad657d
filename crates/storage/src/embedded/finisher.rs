//! Finishes commits whose callers went away while they were under way.
//!
//! A version given out must be published or taken back, or later ones would wait for ever.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tessera_types::Version;

use crate::embedded::core::Core;

/// Commits to finish. Bounded by what is under way: every version comes here at most once.
#[derive(Default)]
pub(crate) struct Finisher {
    thread: Mutex<Option<Sender<(Version, bool)>>>,
}

impl Finisher {
    /// Waits for the log in the background and publishes.
    pub(crate) fn finish(&self, core: &Arc<Core>, version: Version, durable: bool) {
        let mut thread = self.thread.lock();
        let sender = match &*thread {
            Some(sender) => sender.clone(),
            None => {
                let (sender, receiver) = channel();
                let weak = Arc::downgrade(core);
                let spawned = std::thread::Builder::new()
                    .name("storage-finisher".into())
                    .spawn(move || run(&receiver, &weak));
                if let Err(error) = spawned {
                    tracing::error!(%error, "cannot start a thread; finishing the commit here");
                    drop(thread);
                    return finish_now(core, version, durable);
                }
                *thread = Some(sender.clone());
                sender
            }
        };
        drop(thread);
        if sender.send((version, durable)).is_err() {
            finish_now(core, version, durable);
        }
    }
}

/// Ends when the store, which owns the sender, is gone.
fn run(receiver: &Receiver<(Version, bool)>, core: &Weak<Core>) {
    while let Ok((version, durable)) = receiver.recv() {
        let Some(core) = core.upgrade() else { return };
        finish_now(&core, version, durable);
    }
}

fn finish_now(core: &Arc<Core>, version: Version, durable: bool) {
    if let Some(log) = &core.log {
        let answer = log.wait_blocking(version, durable);
        if !durable && answer.is_ok() {
            core.publisher.accept(version);
        }
    }
    core.publisher.advance(core);
}
