//! How many commands of which group were run, how they ended, and how long they took.

use std::time::Instant;

use futures::FutureExt;
use tessera_telemetry::labels::{CommandClass, Outcome};
use tessera_telemetry::metrics;

use super::{Commit, Flow, Result};
use crate::fault::Fault;
use crate::table::{Class, Group, Row};

/// A command that runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    class: CommandClass,
    start: Instant,
}

impl Measured {
    pub(super) fn start(row: &Row) -> Measured {
        Measured {
            class: class(row.group),
            start: Instant::now(),
        }
    }

    pub(super) fn end(self, is_ok: bool) {
        let metrics = metrics();
        let outcome = if is_ok { Outcome::Ok } else { Outcome::Error };
        metrics
            .redis_commands
            .with((self.class, outcome))
            .increment();
        metrics
            .redis_command_duration
            .with(self.class)
            .record(self.start.elapsed());
    }

    /// What is to be measured when a command has been executed, or when its commit is done.
    /// Commands that write a key space bring commits that measure themselves.
    pub(super) fn note(self, row: &Row, outcome: Result<Flow>) -> Result<Flow> {
        match outcome {
            Ok(Flow::Commit(commit)) if row.class == Class::Local => {
                let work = commit.work.map(move |done| {
                    self.end(done.is_ok());
                    done
                });
                Ok(Flow::Commit(Commit {
                    work: Box::pin(work),
                    ..commit
                }))
            }
            // A client that waits has not been answered yet.
            Ok(Flow::Commit(_)) | Err(Fault::WouldBlock) => outcome,
            Err(ref fault) if fault.is_lock_taken() => outcome,
            outcome => {
                self.end(outcome.is_ok());
                outcome
            }
        }
    }
}

fn class(group: Group) -> CommandClass {
    match group {
        Group::Strings => CommandClass::String,
        Group::Generic => CommandClass::Generic,
        Group::Hashes => CommandClass::Hash,
        Group::Lists => CommandClass::List,
        Group::Sets => CommandClass::Set,
        Group::SortedSets => CommandClass::SortedSet,
        Group::Bitmaps => CommandClass::Bitmap,
        Group::HyperLogLogs => CommandClass::HyperLogLog,
        Group::Geo => CommandClass::Geo,
        Group::Streams => CommandClass::Stream,
        Group::PubSub => CommandClass::PubSub,
        Group::Transactions => CommandClass::Transaction,
        Group::Connection => CommandClass::Connection,
        Group::Server => CommandClass::Server,
        Group::Scripting | Group::Cluster => CommandClass::Other,
    }
}
