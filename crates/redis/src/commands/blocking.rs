//! Commands that may wait until there is something to take: what they wait for, and one try.

use std::time::Duration;

use bytes::Bytes;
use tessera_keyvalue::{End, stored_key};
use tessera_locks::Mode;

use super::lists::{list_end, lmove, mpop as list_mpop, mpop_arguments as list_mpop_arguments};
use super::streams::{block_millis, read_groups, read_streams};
use super::zsets::{mpop as zset_mpop, mpop_arguments as zset_mpop_arguments, pop_event};
use super::{Call, Reader, Writing, not_here};
use crate::args::{block_seconds, counted_keys};
use crate::fault::{Fault, Result, SYNTAX};
use crate::hub::notifications::{LIST, SORTED_SET};
use crate::hub::waiting::Kind;
use crate::locking;
use crate::request::Request;
use crate::table::{Command, Group, Row};

/// What a command waits for.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(crate) kind: Kind,
    pub(crate) keys: Vec<Bytes>,
    /// None for ever.
    pub(crate) timeout: Option<Duration>,
}

/// What the command waits for; none if it does not wait.
pub(crate) fn wait_of(row: &Row, request: &Request) -> Result<Option<Wait>> {
    let timeout = match row.command {
        Command::Xread | Command::Xreadgroup => match block_millis(request)? {
            None => return Ok(None),
            Some(0) => None,
            Some(millis) => Some(Duration::from_millis(millis)),
        },
        Command::Blmpop | Command::Bzmpop => block_seconds(request.arg(1))?,
        _ => block_seconds(request.arg(request.len() - 1))?,
    };
    if matches!(row.command, Command::Blmpop | Command::Bzmpop) {
        counted_keys(request, 2, "ERR numkeys should be greater than 0")?;
    }
    let kind = match row.group {
        Group::Lists => Kind::List,
        Group::SortedSets => Kind::SortedSet,
        _ => Kind::Stream,
    };
    let mut places = row.key_places(request).ok_or(SYNTAX)?;
    if matches!(row.command, Command::Blmove | Command::Brpoplpush) {
        // It waits for the source.
        places.truncate(1);
    }
    let keys = places.into_iter().map(|at| request.bytes(at)).collect();
    Ok(Some(Wait {
        kind,
        keys,
        timeout,
    }))
}

/// One try: [`Fault::WouldBlock`] if there is nothing.
pub(super) async fn write(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    let request = call.request;
    let last = request.len() - 1;
    let is_served = match call.row.command {
        Command::Blpop => pop(call, to, End::Left).await?,
        Command::Brpop => pop(call, to, End::Right).await?,
        Command::Blmpop => {
            let (keys, end, count) = list_mpop_arguments(call, 2)?;
            let keys = request.part(keys.0, keys.1);
            list_mpop(call.reply, to, &keys, end, count).await?
        }
        Command::Blmove | Command::Brpoplpush => {
            let (take, give) = match call.row.command {
                Command::Blmove => (list_end(request.arg(3))?, list_end(request.arg(4))?),
                _ => (End::Right, End::Left),
            };
            match lmove(to, request.arg(1), request.arg(2), take, give).await? {
                Some(item) => {
                    call.reply.bulk(item);
                    true
                }
                None => false,
            }
        }
        Command::Bzpopmin | Command::Bzpopmax => {
            let highest = call.row.command == Command::Bzpopmax;
            let keys = request.part(1, last);
            match to.writer.zmpop(&keys, highest, 1).await? {
                Some((at, members)) => {
                    to.effects.event(SORTED_SET, pop_event(highest), keys[at]);
                    call.reply.array(1 + members.len() * 2);
                    call.reply.bulk(keys[at]);
                    for (member, score) in members {
                        call.reply.bulk(member);
                        call.reply.double(score);
                    }
                    true
                }
                None => false,
            }
        }
        Command::Bzmpop => {
            let (keys, highest, count) = zset_mpop_arguments(call, 2)?;
            let keys = request.part(keys.0, keys.1);
            zset_mpop(call.reply, to, &keys, highest, count).await?
        }
        Command::Xread => return locked_read(call, to).await,
        Command::Xreadgroup => return read_groups(call, to).await,
        _ => return Err(not_here(call.row)),
    };
    if is_served {
        Ok(())
    } else {
        Err(Fault::WouldBlock)
    }
}

/// BLPOP key ... seconds, BRPOP key ... seconds
async fn pop(call: &mut Call<'_>, to: &mut Writing<'_>, end: End) -> Result<bool> {
    let keys = call.request.part(1, call.request.len() - 1);
    let Some((at, items)) = to.writer.lmpop(&keys, end, 1).await? else {
        return Ok(false);
    };
    let event = match end {
        End::Left => "lpop",
        End::Right => "rpop",
    };
    to.effects.event(LIST, event, keys[at]);
    call.reply.array(1 + items.len());
    call.reply.bulk(keys[at]);
    for item in items {
        call.reply.bulk(item);
    }
    Ok(true)
}

/// XREAD of a client in the queue: under the streams' locks, so that it sees what is announced and
/// not visible yet.
async fn locked_read(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    let relation = to.space.relation();
    let places = call.row.key_places(call.request).ok_or(SYNTAX)?;
    let keys = places
        .into_iter()
        .map(|at| (stored_key(relation, call.request.arg(at)), Mode::S))
        .collect();
    locking::lock(to.txn, relation, keys).await?;
    let reader = Reader::new(to.space, to.txn.newest_view(), to.now);
    read_streams(call, &reader).await
}
