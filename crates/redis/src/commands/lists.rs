//! Lists. <https://redis.io/commands/?group=list>

use bytes::Bytes;
use tessera_keyvalue::{End, LposOptions, Side};

use super::{Call, Reading, Writing, not_here};
use crate::args::{Cursor, counted_keys, integer, positive};
use crate::fault::{Fault, Result, SYNTAX};
use crate::hub::notifications::LIST;
use crate::reply::Reply;
use crate::table::Command;

pub(super) async fn read(call: &mut Call<'_>, from: &Reading<'_>) -> Result<()> {
    let (request, reply) = (call.request, &mut *call.reply);
    let key = request.arg(1);
    match call.row.command {
        Command::Llen => reply.count(from.reader.llen(key).await?),
        Command::Lindex => {
            let place = integer(request.arg(2))?;
            reply.maybe(from.reader.lindex(key, place).await?);
        }
        Command::Lrange => {
            let (start, stop) = (integer(request.arg(2))?, integer(request.arg(3))?);
            reply.bulks(&from.reader.lrange(key, start, stop).await?);
        }
        Command::Lpos => return positions(call, from).await,
        _ => return Err(not_here(call.row)),
    }
    Ok(())
}

/// LPOS key element [RANK n] [COUNT n] [MAXLEN n]
async fn positions(call: &mut Call<'_>, from: &Reading<'_>) -> Result<()> {
    let mut lpos = LposOptions::default();
    let mut options = Cursor::new(call.request, 3);
    while options.left() > 0 {
        if options.take("RANK") {
            lpos.rank = integer(options.need()?)?;
            if lpos.rank == i64::MIN {
                return Err(Fault::Static(
                    "ERR value is out of range, value must between -9223372036854775807 and \
                     9223372036854775807",
                ));
            }
        } else if options.take("COUNT") {
            let count = integer(options.need()?)?;
            lpos.count = Some(
                u64::try_from(count).map_err(|_| Fault::Static("ERR COUNT can't be negative"))?,
            );
        } else if options.take("MAXLEN") {
            let length = integer(options.need()?)?;
            lpos.items_max =
                u64::try_from(length).map_err(|_| Fault::Static("ERR MAXLEN can't be negative"))?;
        } else {
            return Err(SYNTAX);
        }
    }
    let places = from
        .reader
        .lpos(call.request.arg(1), call.request.arg(2), lpos)
        .await?;
    let reply = &mut *call.reply;
    if lpos.count.is_some() {
        reply.array(places.len());
        for place in places {
            reply.count(place);
        }
    } else {
        match places.first() {
            Some(place) => reply.count(*place),
            None => reply.null(),
        }
    }
    Ok(())
}

pub(super) async fn write(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    let (request, reply) = (call.request, &mut *call.reply);
    let key = request.arg(1);
    let command = call.row.command;
    match command {
        Command::Lpush | Command::Rpush | Command::Lpushx | Command::Rpushx => {
            let (end, event) = match command {
                Command::Lpush | Command::Lpushx => (End::Left, "lpush"),
                _ => (End::Right, "rpush"),
            };
            let only_if_exists = matches!(command, Command::Lpushx | Command::Rpushx);
            let length = to
                .writer
                .push(key, end, &request.from(2), only_if_exists)
                .await?;
            if length > 0 {
                to.effects.event(LIST, event, key);
                to.effects.ready(key);
            }
            reply.count(length);
        }
        Command::Lpop => return pop(call, to, End::Left).await,
        Command::Rpop => return pop(call, to, End::Right).await,
        Command::Lmpop => {
            let (keys, end, count) = mpop_arguments(call, 1)?;
            let keys = request.part(keys.0, keys.1);
            if !mpop(call.reply, to, &keys, end, count).await? {
                call.reply.null_array();
            }
        }
        Command::Lmove | Command::Rpoplpush => {
            let (take, give) = match command {
                Command::Lmove => (list_end(request.arg(3))?, list_end(request.arg(4))?),
                _ => (End::Right, End::Left),
            };
            let moved = lmove(to, key, request.arg(2), take, give).await?;
            reply.maybe(moved);
        }
        Command::Lset => {
            let place = integer(request.arg(2))?;
            to.writer.lset(key, place, request.arg(3)).await?;
            to.effects.event(LIST, "lset", key);
            reply.ok();
        }
        Command::Linsert => {
            let side = if request.is(2, "BEFORE") {
                Side::Before
            } else if request.is(2, "AFTER") {
                Side::After
            } else {
                return Err(SYNTAX);
            };
            let length = to
                .writer
                .linsert(key, side, request.arg(3), request.arg(4))
                .await?;
            if length > 0 {
                to.effects.event(LIST, "linsert", key);
            }
            reply.int(length);
        }
        Command::Lrem => {
            let count = integer(request.arg(2))?;
            let removed = to.writer.lrem(key, count, request.arg(3)).await?;
            if removed > 0 {
                to.effects.event(LIST, "lrem", key);
            }
            reply.count(removed);
        }
        Command::Ltrim => {
            let (start, stop) = (integer(request.arg(2))?, integer(request.arg(3))?);
            to.writer.ltrim(key, start, stop).await?;
            to.effects.event(LIST, "ltrim", key);
            reply.ok();
        }
        _ => return Err(not_here(call.row)),
    }
    Ok(())
}

/// LPOP key [count], RPOP key [count]
async fn pop(call: &mut Call<'_>, to: &mut Writing<'_>, end: End) -> Result<()> {
    let request = call.request;
    if request.len() > 3 {
        return Err(Fault::Text(format!(
            "ERR wrong number of arguments for '{}' command",
            call.row.name
        )));
    }
    let count = match request.len() {
        2 => None,
        _ => Some(positive(request.arg(2))?),
    };
    let key = request.arg(1);
    let items = to.writer.pop(key, end, count.unwrap_or(1)).await?;
    if items.as_ref().is_some_and(|items| !items.is_empty()) {
        to.effects.event(LIST, pop_event(end), key);
    }
    let reply = &mut *call.reply;
    match (items, count) {
        (Some(items), Some(_)) => reply.bulks(&items),
        (None, Some(_)) => reply.null_array(),
        (items, None) => reply.maybe(items.unwrap_or_default().first()),
    }
    Ok(())
}

fn pop_event(end: End) -> &'static str {
    match end {
        End::Left => "lpop",
        End::Right => "rpop",
    }
}

pub(super) fn list_end(word: &[u8]) -> Result<End> {
    if word.eq_ignore_ascii_case(b"LEFT") {
        Ok(End::Left)
    } else if word.eq_ignore_ascii_case(b"RIGHT") {
        Ok(End::Right)
    } else {
        Err(SYNTAX)
    }
}

/// `numkeys key ... LEFT | RIGHT [COUNT n]`: places of the keys, the end, the count.
pub(super) fn mpop_arguments(call: &Call<'_>, at: usize) -> Result<((usize, usize), End, u64)> {
    let keys = counted_keys(call.request, at, "ERR numkeys should be greater than 0")?;
    let mut options = Cursor::new(call.request, keys.1);
    let end = list_end(options.need()?)?;
    let count = mpop_count(&mut options)?;
    Ok((keys, end, count))
}

/// `[COUNT n]` at the end of LMPOP and ZMPOP.
pub(super) fn mpop_count(options: &mut Cursor<'_>) -> Result<u64> {
    let not_positive = Fault::Static("ERR count should be greater than 0");
    let count = if options.take("COUNT") {
        match integer(options.need()?) {
            Ok(count) if count > 0 => u64::try_from(count).unwrap_or(1),
            _ => return Err(not_positive),
        }
    } else {
        1
    };
    options.end()?;
    Ok(count)
}

/// Pops from the first list that has items, and answers with its key and the items; false without
/// an answer if there is none.
pub(super) async fn mpop(
    reply: &mut Reply,
    to: &mut Writing<'_>,
    keys: &[&[u8]],
    end: End,
    count: u64,
) -> Result<bool> {
    let Some((at, items)) = to.writer.lmpop(keys, end, count).await? else {
        return Ok(false);
    };
    to.effects.event(LIST, pop_event(end), keys[at]);
    reply.array(2);
    reply.bulk(keys[at]);
    reply.bulks(&items);
    Ok(true)
}

pub(super) async fn lmove(
    to: &mut Writing<'_>,
    from: &[u8],
    target: &[u8],
    take: End,
    give: End,
) -> Result<Option<Bytes>> {
    let moved = to.writer.lmove(from, target, take, give).await?;
    if moved.is_some() {
        to.effects.event(LIST, pop_event(take), from);
        let event = match give {
            End::Left => "lpush",
            End::Right => "rpush",
        };
        to.effects.event(LIST, event, target);
        to.effects.ready(target);
    }
    Ok(moved)
}
