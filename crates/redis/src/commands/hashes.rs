//! Hashes. <https://redis.io/commands/?group=hash>

use super::{Call, Reading, Writing, not_here};
use crate::args::{Cursor, integer, parse_float, scan_cursor, scan_options};
use crate::fault::{Fault, NOT_A_FLOAT, Result, SYNTAX};
use crate::hub::notifications::HASH;
use crate::reply::Reply;
use crate::table::Command;

pub(super) async fn read(call: &mut Call<'_>, from: &Reading<'_>) -> Result<()> {
    let (request, reply) = (call.request, &mut *call.reply);
    let key = request.arg(1);
    match call.row.command {
        Command::Hget => reply.maybe(from.reader.hget(key, request.arg(2)).await?),
        Command::Hmget => {
            let values = from.reader.hmget(key, &request.from(2)).await?;
            reply.array(values.len());
            for value in values {
                reply.maybe(value);
            }
        }
        Command::Hgetall => {
            let all = from.reader.hgetall(key).await?;
            reply.map(all.len());
            for (field, value) in all {
                reply.bulk(field);
                reply.bulk(value);
            }
        }
        Command::Hkeys => reply.bulks(&from.reader.hkeys(key).await?),
        Command::Hvals => reply.bulks(&from.reader.hvals(key).await?),
        Command::Hlen => reply.count(from.reader.hlen(key).await?),
        Command::Hexists => reply.flag(from.reader.hexists(key, request.arg(2)).await?),
        Command::Hstrlen => reply.count(from.reader.hstrlen(key, request.arg(2)).await?),
        Command::Hrandfield => return random(call, from).await,
        Command::Hscan => {
            let cursor = scan_cursor(request.arg(2))?;
            let spec = scan_options(Cursor::new(request, 3), false)?.unwrap_or_default();
            let (next, found) = from.reader.hscan(key, cursor, &spec).await?;
            reply.array(2);
            reply.bulk(next.to_string());
            reply.array(found.len() * 2);
            for (field, value) in found {
                reply.bulk(field);
                reply.bulk(value);
            }
        }
        _ => return Err(not_here(call.row)),
    }
    Ok(())
}

/// HRANDFIELD key [count [WITHVALUES]]
async fn random(call: &mut Call<'_>, from: &Reading<'_>) -> Result<()> {
    let request = call.request;
    let key = request.arg(1);
    if request.len() == 2 {
        let field = from.reader.hrandfield(key, 1).await?.pop();
        call.reply.maybe(field.map(|(field, _)| field));
        return Ok(());
    }
    let (count, with_values) = random_options(call, "WITHVALUES")?;
    let found = from.reader.hrandfield(key, count).await?;
    let reply = &mut *call.reply;
    if with_values {
        pairs_head(reply, found.len());
    } else {
        reply.array(found.len());
    }
    for (field, value) in found {
        if with_values && reply.is_resp3 {
            reply.array(2);
        }
        reply.bulk(field);
        if with_values {
            reply.bulk(value);
        }
    }
    Ok(())
}

/// The count and the flag of HRANDFIELD and ZRANDMEMBER.
pub(super) fn random_options(call: &Call<'_>, word: &str) -> Result<(i64, bool)> {
    let mut options = Cursor::new(call.request, 2);
    let count = integer(options.need()?)?;
    let is_given = options.take(word);
    options.end()?;
    if is_given && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(Fault::Static("ERR value is out of range"));
    }
    Ok((count, is_given))
}

/// Pairs are arrays of their own in RESP3, and one flat array in RESP2.
pub(super) fn pairs_head(reply: &mut Reply, pairs: usize) {
    let length = if reply.is_resp3 { pairs } else { pairs * 2 };
    reply.array(length);
}

pub(super) async fn write(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    let (request, reply) = (call.request, &mut *call.reply);
    let key = request.arg(1);
    match call.row.command {
        Command::Hset | Command::Hmset => {
            if !request.len().is_multiple_of(2) {
                return Err(Fault::Text(format!(
                    "ERR wrong number of arguments for '{}' command",
                    call.row.name
                )));
            }
            let added = to.writer.hset(key, &request.pairs(2)).await?;
            to.effects.event(HASH, "hset", key);
            match call.row.command {
                Command::Hset => reply.count(added),
                _ => reply.ok(),
            }
        }
        Command::Hsetnx => {
            let is_set = to
                .writer
                .hsetnx(key, request.arg(2), request.arg(3))
                .await?;
            if is_set {
                to.effects.event(HASH, "hset", key);
            }
            reply.flag(is_set);
        }
        Command::Hdel => {
            let count = to.writer.hdel(key, &request.from(2)).await?;
            if count > 0 {
                to.effects.event(HASH, "hdel", key);
            }
            reply.count(count);
        }
        Command::Hincrby => {
            let by = integer(request.arg(3))?;
            let value = to.writer.hincr_by(key, request.arg(2), by).await?;
            to.effects.event(HASH, "hincrby", key);
            reply.int(value);
        }
        Command::Hincrbyfloat => {
            let by = request.arg(3);
            let number = parse_float(by).ok_or(NOT_A_FLOAT)?;
            if number.is_infinite() {
                return Err(Fault::Static("ERR value is NaN or Infinity"));
            }
            let value = to.writer.hincr_by_float(key, request.arg(2), by).await?;
            to.effects.event(HASH, "hincrbyfloat", key);
            reply.bulk(value);
        }
        _ => return Err(SYNTAX),
    }
    Ok(())
}
