//! Keys of every type, and whole databases. <https://redis.io/commands/?group=generic>

use tessera_keyvalue::{ExpireCondition, TimeToLive, UnixMillis};

use super::{Call, Reading, Writing, not_here, sort};
use crate::args::{Cursor, Unit, expire, integer, scan_cursor, scan_options};
use crate::door::{DATABASES, Database};
use crate::fault::{Fault, Result, SYNTAX};
use crate::hub::notifications::GENERIC;
use crate::table::Command;

pub(super) async fn read(call: &mut Call<'_>, from: &Reading<'_>) -> Result<()> {
    let (request, reply) = (call.request, &mut *call.reply);
    let key = request.arg(1);
    match call.row.command {
        Command::Exists | Command::Touch => {
            reply.count(from.reader.exists(&request.from(1)).await?);
        }
        Command::Type => {
            let kind = from.reader.value_type(key).await?;
            reply.simple(kind.map_or("none", |kind| kind.name()));
        }
        Command::Ttl | Command::Pttl | Command::Expiretime | Command::Pexpiretime => {
            let answer = match from.reader.time_to_live(key).await? {
                TimeToLive::NoKey => -2,
                TimeToLive::Never => -1,
                TimeToLive::At(moment) => time_to_live(call.row.command, moment, from.now),
            };
            reply.int(answer);
        }
        Command::Keys => reply.bulks(&from.reader.keys(key).await?),
        Command::Randomkey => reply.maybe(from.reader.random_key().await?),
        Command::Scan => {
            let cursor = scan_cursor(key)?;
            let (next, keys) = match scan_options(Cursor::new(request, 2), true)? {
                Some(spec) => from.reader.scan(cursor, &spec).await?,
                None => (0, Vec::new()),
            };
            reply.array(2);
            reply.bulk(next.to_string());
            reply.bulks(&keys);
        }
        Command::Dbsize => {
            let footprint = from.space.footprint(from.txn, from.now).await?;
            reply.count(footprint.keys);
        }
        Command::ObjectEncoding => reply.maybe(from.reader.encoding(request.arg(2)).await?),
        Command::ObjectRefcount | Command::ObjectIdletime => {
            let exists = from.reader.value_type(request.arg(2)).await?.is_some();
            match exists {
                true => reply.flag(call.row.command == Command::ObjectRefcount),
                false => reply.null(),
            }
        }
        Command::MemoryUsage => return memory_usage(call, from).await,
        Command::SortRo => return sort::read(call, from).await,
        _ => return Err(not_here(call.row)),
    }
    Ok(())
}

fn time_to_live(command: Command, moment: UnixMillis, now: UnixMillis) -> i64 {
    let left = moment.0.saturating_sub(now.0);
    let answer = match command {
        // To the nearest second, as Redis does.
        Command::Ttl => left.saturating_add(500) / 1_000,
        Command::Pttl => left,
        Command::Expiretime => moment.0.saturating_add(500) / 1_000,
        _ => moment.0,
    };
    i64::try_from(answer).unwrap_or(i64::MAX)
}

/// MEMORY USAGE key [SAMPLES n]
async fn memory_usage(call: &mut Call<'_>, from: &Reading<'_>) -> Result<()> {
    let mut options = Cursor::new(call.request, 3);
    if options.left() > 0 {
        if !options.take("SAMPLES") {
            return Err(SYNTAX);
        }
        if integer(options.need()?)? < 0 {
            return Err(SYNTAX);
        }
        options.end()?;
    }
    match from.reader.info(call.request.arg(2)).await? {
        Some(info) => call
            .reply
            .count((info.key.len() as u64).saturating_add(info.bytes)),
        None => call.reply.null(),
    }
    Ok(())
}

pub(super) async fn write(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    let (request, reply) = (call.request, &mut *call.reply);
    let key = request.arg(1);
    match call.row.command {
        Command::Del | Command::Unlink => {
            let keys = request.from(1);
            let count = to.writer.del(&keys).await?;
            if count > 0 {
                for key in &keys {
                    to.effects.event(GENERIC, "del", key);
                }
            }
            reply.count(count);
        }
        Command::Expire | Command::Pexpire | Command::Expireat | Command::Pexpireat => {
            return set_expiry(call, to).await;
        }
        Command::Persist => {
            let is_done = to.writer.persist(key).await?;
            if is_done {
                to.effects.event(GENERIC, "persist", key);
            }
            reply.flag(is_done);
        }
        Command::Rename | Command::Renamenx => {
            let target = request.arg(2);
            let is_done = if call.row.command == Command::Rename {
                to.writer.rename(key, target).await?;
                reply.ok();
                true
            } else {
                let is_done = to.writer.renamenx(key, target).await?;
                reply.flag(is_done);
                is_done
            };
            if is_done {
                to.effects.event(GENERIC, "rename_from", key);
                to.effects.event(GENERIC, "rename_to", target);
                to.effects.ready(target);
            }
        }
        Command::Copy => return copy(call, to).await,
        Command::Move => {
            let number = integer(request.arg(2))?;
            let space = other_space(number, to).await?;
            let is_done = to.writer.move_to(key, &space).await?;
            if is_done {
                to.effects.event(GENERIC, "move_from", key);
                to.effects.ready_in(space.relation(), key);
            }
            reply.flag(is_done);
        }
        Command::Flushdb | Command::Flushall => return flush(call, to).await,
        Command::Sort => return sort::write(call, to).await,
        _ => return Err(not_here(call.row)),
    }
    Ok(())
}

/// EXPIRE key n [NX | XX | GT | LT], and its kin.
async fn set_expiry(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    let request = call.request;
    let value = integer(request.arg(2))?;
    let mut condition = ExpireCondition::default();
    let mut options = Cursor::new(request, 3);
    while options.left() > 0 {
        if options.take("NX") {
            condition.if_none = true;
        } else if options.take("XX") {
            condition.if_some = true;
        } else if options.take("GT") {
            condition.if_later = true;
        } else if options.take("LT") {
            condition.if_earlier = true;
        } else {
            let option = String::from_utf8_lossy(options.need()?).into_owned();
            return Err(Fault::Text(format!("ERR Unsupported option {option}")));
        }
    }
    let command = call.row.command;
    let unit = match command {
        Command::Expire | Command::Expireat => Unit::Seconds,
        _ => Unit::Millis,
    };
    let is_moment = matches!(command, Command::Expireat | Command::Pexpireat);
    let expire = expire(value, unit, is_moment)?;
    let key = request.arg(1);
    let is_done = to.writer.expire(key, expire, condition).await?;
    if is_done {
        to.effects.event(GENERIC, "expire", key);
    }
    call.reply.flag(is_done);
    Ok(())
}

async fn other_space(
    number: i64,
    to: &Writing<'_>,
) -> Result<std::sync::Arc<tessera_keyvalue::Space>> {
    let number = u32::try_from(number)
        .ok()
        .filter(|number| *number < DATABASES)
        .ok_or(Fault::Static("ERR DB index is out of range"))?;
    Ok(to.door.space(to.login, Database::Number(number)).await?)
}

/// COPY source destination [DB n] [REPLACE]
async fn copy(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    let request = call.request;
    let (mut other, mut replace) = (None, false);
    let mut options = Cursor::new(request, 3);
    while options.left() > 0 {
        if options.take("REPLACE") {
            replace = true;
        } else if options.take("DB") {
            other = Some(other_space(integer(options.need()?)?, to).await?);
        } else {
            return Err(SYNTAX);
        }
    }
    let space = other.as_deref().unwrap_or(to.space);
    let (source, target) = (request.arg(1), request.arg(2));
    let is_done = to.writer.copy(source, space, target, replace).await?;
    if is_done {
        to.effects.event(GENERIC, "copy_to", target);
        to.effects.ready_in(space.relation(), target);
    }
    call.reply.flag(is_done);
    Ok(())
}

/// FLUSHDB [ASYNC | SYNC], FLUSHALL [ASYNC | SYNC]
async fn flush(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    let mut options = Cursor::new(call.request, 1);
    if options.left() > 0 && !options.take("ASYNC") && !options.take("SYNC") {
        return Err(SYNTAX);
    }
    options.end()?;
    to.effects.silence();
    if call.row.command == Command::Flushdb {
        to.writer.clear().await?;
    } else {
        for number in 0..DATABASES {
            let space = other_space(number.into(), to).await?;
            to.writer.in_space(&space).clear().await?;
        }
    }
    call.reply.ok();
    Ok(())
}
