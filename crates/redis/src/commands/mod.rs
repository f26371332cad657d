//! What each command does with a key space: arguments, a call of the model, the answer.

mod bitmaps;
mod blocking;
mod geo;
mod hashes;
mod hyperloglogs;
mod keys;
mod lcs;
mod lists;
mod sets;
mod sort;
mod streams;
mod strings;
mod zset_args;
mod zset_store;
mod zsets;

use tessera_keyvalue::{Reader, Space, UnixMillis, Writer};
use tessera_transactions::Transaction;

pub(crate) use blocking::{Wait, wait_of};
pub(crate) use streams::{names_newest, with_newest};

use crate::door::{Door, Login};
use crate::fault::{Fault, Result};
use crate::hub::notifications::Effects;
use crate::reply::Reply;
use crate::request::Request;
use crate::table::{Class, Group, Row};

/// A command and where its answer goes.
pub(crate) struct Call<'a> {
    pub(crate) request: &'a Request,
    pub(crate) row: &'static Row,
    pub(crate) reply: &'a mut Reply,
}

/// What a reading command reads.
pub(crate) struct Reading<'a> {
    pub(crate) reader: Reader<'a>,
    pub(crate) space: &'a Space,
    pub(crate) txn: Option<&'a Transaction>,
    pub(crate) now: UnixMillis,
}

/// What a writing command writes.
pub(crate) struct Writing<'a> {
    pub(crate) writer: Writer<'a>,
    pub(crate) txn: &'a Transaction,
    pub(crate) space: &'a Space,
    pub(crate) now: UnixMillis,
    pub(crate) effects: &'a mut Effects,
    pub(crate) door: &'a dyn Door,
    pub(crate) login: &'a Login,
}

impl<'a> Writing<'a> {
    /// Reads what this statement would read, for commands that write only with some options.
    pub(crate) fn newest_reader(&self) -> Reader<'a> {
        Reader::new(self.space, self.txn.view(), self.now)
    }
}

/// Runs a command that reads.
pub(crate) async fn read(call: &mut Call<'_>, from: &Reading<'_>) -> Result<()> {
    match call.row.group {
        Group::Strings => strings::read(call, from).await,
        Group::Hashes => hashes::read(call, from).await,
        Group::Lists => lists::read(call, from).await,
        Group::Sets => sets::read(call, from).await,
        Group::SortedSets => zsets::read(call, from).await,
        Group::Bitmaps => bitmaps::read(call, from).await,
        Group::HyperLogLogs => hyperloglogs::read(call, from).await,
        Group::Geo => geo::read(call, from).await,
        Group::Streams => streams::read(call, from).await,
        Group::Generic | Group::Server => keys::read(call, from).await,
        _ => Err(not_here(call.row)),
    }
}

/// Runs a command that writes, or that waits. What it has written when it fails is the caller's to
/// undo.
pub(crate) async fn write(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    if call.row.class == Class::Block {
        return blocking::write(call, to).await;
    }
    match call.row.group {
        Group::Strings => strings::write(call, to).await,
        Group::Hashes => hashes::write(call, to).await,
        Group::Lists => lists::write(call, to).await,
        Group::Sets => sets::write(call, to).await,
        Group::SortedSets => zsets::write(call, to).await,
        Group::Bitmaps => bitmaps::write(call, to).await,
        Group::HyperLogLogs => hyperloglogs::write(call, to).await,
        Group::Geo => geo::write(call, to).await,
        Group::Streams => streams::write(call, to).await,
        Group::Generic | Group::Server => keys::write(call, to).await,
        _ => Err(not_here(call.row)),
    }
}

/// The table sends a command where nobody knows it.
fn not_here(row: &Row) -> Fault {
    Fault::Text(format!("ERR '{}' is not built yet", row.name))
}
