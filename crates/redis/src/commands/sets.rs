//! Sets. <https://redis.io/commands/?group=set>

use tessera_keyvalue::SetOperation;

use super::{Call, Reading, Writing, not_here};
use crate::args::{Cursor, integer, positive, scan_cursor, scan_options};
use crate::fault::{Fault, Result, SYNTAX};
use crate::hub::notifications::{GENERIC, SET};
use crate::request::Request;
use crate::table::Command;

pub(super) async fn read(call: &mut Call<'_>, from: &Reading<'_>) -> Result<()> {
    let (request, reply) = (call.request, &mut *call.reply);
    let key = request.arg(1);
    match call.row.command {
        Command::Scard => reply.count(from.reader.scard(key).await?),
        Command::Sismember => reply.flag(from.reader.sismember(key, request.arg(2)).await?),
        Command::Smismember => {
            let found = from.reader.smismember(key, &request.from(2)).await?;
            reply.array(found.len());
            for is_member in found {
                reply.flag(is_member);
            }
        }
        Command::Smembers => {
            let members = from.reader.smembers(key).await?;
            reply.set(members.len());
            for member in members {
                reply.bulk(member);
            }
        }
        Command::Sinter | Command::Sunion | Command::Sdiff => {
            let operation = operation(call.row.command);
            let members = from
                .reader
                .set_operation(operation, &request.from(1))
                .await?;
            reply.set(members.len());
            for member in members {
                reply.bulk(member);
            }
        }
        Command::Sintercard => {
            let (end, limit) = cardinality_arguments(request)?;
            let keys = request.part(2, end);
            reply.count(from.reader.sintercard(&keys, limit).await?);
        }
        Command::Srandmember => {
            if request.len() > 3 {
                return Err(SYNTAX);
            }
            if request.len() == 2 {
                reply.maybe(from.reader.srandmember(key, 1).await?.first());
            } else {
                let count = integer(request.arg(2))?;
                reply.bulks(&from.reader.srandmember(key, count).await?);
            }
        }
        Command::Sscan => {
            let cursor = scan_cursor(request.arg(2))?;
            let spec = scan_options(Cursor::new(request, 3), false)?.unwrap_or_default();
            let (next, members) = from.reader.sscan(key, cursor, &spec).await?;
            reply.array(2);
            reply.bulk(next.to_string());
            reply.bulks(&members);
        }
        _ => return Err(not_here(call.row)),
    }
    Ok(())
}

fn operation(command: Command) -> SetOperation {
    match command {
        Command::Sinter | Command::Sinterstore => SetOperation::Intersection,
        Command::Sunion | Command::Sunionstore => SetOperation::Union,
        _ => SetOperation::Difference,
    }
}

/// `numkeys key ... [LIMIT n]` of SINTERCARD: the place behind the keys, the limit.
fn cardinality_arguments(request: &Request) -> Result<(usize, u64)> {
    let count = integer(request.arg(1)).unwrap_or(0);
    if count <= 0 {
        return Err(Fault::Static("ERR numkeys should be greater than 0"));
    }
    let end = usize::try_from(count)
        .ok()
        .and_then(|count| count.checked_add(2))
        .filter(|end| *end <= request.len())
        .ok_or(Fault::Static(
            "ERR Number of keys can't be greater than number of args",
        ))?;
    Ok((end, cardinality_limit(request, end)?))
}

/// `[LIMIT n]` at the end of SINTERCARD and ZINTERCARD.
pub(super) fn cardinality_limit(request: &Request, at: usize) -> Result<u64> {
    let mut options = Cursor::new(request, at);
    let mut limit = 0;
    if options.left() > 0 {
        if !options.take("LIMIT") {
            return Err(SYNTAX);
        }
        limit = integer(options.need()?)
            .ok()
            .and_then(|limit| u64::try_from(limit).ok())
            .ok_or(Fault::Static("ERR LIMIT can't be negative"))?;
    }
    options.end()?;
    Ok(limit)
}

pub(super) async fn write(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    let (request, reply) = (call.request, &mut *call.reply);
    let key = request.arg(1);
    match call.row.command {
        Command::Sadd => {
            let added = to.writer.sadd(key, &request.from(2)).await?;
            if added > 0 {
                to.effects.event(SET, "sadd", key);
            }
            reply.count(added);
        }
        Command::Srem => {
            let removed = to.writer.srem(key, &request.from(2)).await?;
            if removed > 0 {
                to.effects.event(SET, "srem", key);
            }
            reply.count(removed);
        }
        Command::Spop => {
            if request.len() > 3 {
                return Err(SYNTAX);
            }
            let count = match request.len() {
                2 => 1,
                _ => positive(request.arg(2))?,
            };
            let members = to.writer.spop(key, count).await?;
            if !members.is_empty() {
                to.effects.event(SET, "spop", key);
            }
            if request.len() == 2 {
                reply.maybe(members.first());
            } else {
                reply.set(members.len());
                for member in members {
                    reply.bulk(member);
                }
            }
        }
        Command::Smove => {
            let target = request.arg(2);
            let is_moved = to.writer.smove(key, target, request.arg(3)).await?;
            if is_moved {
                to.effects.event(SET, "srem", key);
                to.effects.event(SET, "sadd", target);
            }
            reply.flag(is_moved);
        }
        Command::Sinterstore | Command::Sunionstore | Command::Sdiffstore => {
            let (operation, event) = match call.row.command {
                Command::Sinterstore => (SetOperation::Intersection, "sinterstore"),
                Command::Sunionstore => (SetOperation::Union, "sunionstore"),
                _ => (SetOperation::Difference, "sdiffstore"),
            };
            let count = to
                .writer
                .set_operation_store(operation, key, &request.from(2))
                .await?;
            match count {
                0 => to.effects.event(GENERIC, "del", key),
                _ => to.effects.event(SET, event, key),
            }
            reply.count(count);
        }
        _ => return Err(not_here(call.row)),
    }
    Ok(())
}
