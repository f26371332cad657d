//! Sorted sets: reading, adding, removing. <https://redis.io/commands/?group=sorted-set>

use tessera_keyvalue::{RangeBy, Scored, ZaddOptions};

use super::hashes::random_options;
use super::lists::mpop_count;
use super::sets::cardinality_limit;
use super::zset_args::{Combination, put_popped, put_scored, range, scores, zadd_options};
use super::{Call, Reading, Writing, not_here, zset_store};
use crate::args::{
    Cursor, counted_keys, float, integer, lex_range, positive, scan_cursor, scan_options,
    score_range,
};
use crate::fault::{Fault, Result, SYNTAX};
use crate::hub::notifications::SORTED_SET;
use crate::reply::Reply;
use crate::request::Request;
use crate::table::Command;

pub(super) async fn read(call: &mut Call<'_>, from: &Reading<'_>) -> Result<()> {
    let (request, reply) = (call.request, &mut *call.reply);
    let key = request.arg(1);
    match call.row.command {
        Command::Zcard => reply.count(from.reader.zcard(key).await?),
        Command::Zscore => match from.reader.zscore(key, request.arg(2)).await? {
            Some(score) => reply.double(score),
            None => reply.null(),
        },
        Command::Zmscore => {
            let found = from.reader.zmscore(key, &request.from(2)).await?;
            reply.array(found.len());
            for score in found {
                match score {
                    Some(score) => reply.double(score),
                    None => reply.null(),
                }
            }
        }
        Command::Zcount => {
            let range = score_range(request.arg(2), request.arg(3))?;
            reply.count(from.reader.zcount(key, range).await?);
        }
        Command::Zlexcount => {
            let range = lex_range(request.arg(2), request.arg(3))?;
            reply.count(from.reader.zlexcount(key, range).await?);
        }
        Command::Zrank => return rank(call, from, false).await,
        Command::Zrevrank => return rank(call, from, true).await,
        Command::Zrange
        | Command::Zrevrange
        | Command::Zrangebyscore
        | Command::Zrevrangebyscore
        | Command::Zrangebylex
        | Command::Zrevrangebylex => {
            let (spec, with_scores) = range(call.row.command, request, 2)?;
            let members = from.reader.zrange(key, &spec).await?;
            put_scored(reply, &members, with_scores);
        }
        Command::Zunion | Command::Zinter | Command::Zdiff => {
            let combination = Combination::parse(call.row, request, 1)?;
            let keys = request.part(combination.keys.0, combination.keys.1);
            let members = from
                .reader
                .zset_operation(&combination.operation(), &keys)
                .await?;
            put_scored(reply, &members, combination.with_scores);
        }
        Command::Zintercard => {
            let (end, limit) = cardinality_arguments(request)?;
            let keys = request.part(2, end);
            reply.count(from.reader.zintercard(&keys, limit).await?);
        }
        Command::Zrandmember => {
            if request.len() == 2 {
                let member = from.reader.zrandmember(key, 1).await?.pop();
                reply.maybe(member.map(|(member, _)| member));
            } else {
                let (count, with_scores) = random_options(call, "WITHSCORES")?;
                let members = from.reader.zrandmember(key, count).await?;
                put_scored(call.reply, &members, with_scores);
            }
        }
        Command::Zscan => {
            let cursor = scan_cursor(request.arg(2))?;
            let spec = scan_options(Cursor::new(request, 3), false)?.unwrap_or_default();
            let (next, members) = from.reader.zscan(key, cursor, &spec).await?;
            reply.array(2);
            reply.bulk(next.to_string());
            reply.array(members.len() * 2);
            for (member, score) in members {
                reply.bulk(member);
                reply.bulk(tessera_keyvalue::format_score(score));
            }
        }
        _ => return Err(not_here(call.row)),
    }
    Ok(())
}

/// ZRANK key member [WITHSCORE], ZREVRANK key member [WITHSCORE]
async fn rank(call: &mut Call<'_>, from: &Reading<'_>, reverse: bool) -> Result<()> {
    let request = call.request;
    let mut options = Cursor::new(request, 3);
    let with_score = options.take("WITHSCORE");
    options.end()?;
    let found = from
        .reader
        .zrank(request.arg(1), request.arg(2), reverse)
        .await?;
    let reply = &mut *call.reply;
    match (found, with_score) {
        (Some((rank, _)), false) => reply.count(rank),
        (Some((rank, score)), true) => {
            reply.array(2);
            reply.count(rank);
            reply.double(score);
        }
        (None, false) => reply.null(),
        (None, true) => reply.null_array(),
    }
    Ok(())
}

pub(super) async fn write(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    let (request, reply) = (call.request, &mut *call.reply);
    let key = request.arg(1);
    match call.row.command {
        Command::Zadd => return add(call, to).await,
        Command::Zincrby => {
            let by = float(request.arg(2))?;
            let score = to
                .writer
                .zincr_by(key, by, request.arg(3), ZaddOptions::default())
                .await?;
            to.effects.event(SORTED_SET, "zincr", key);
            to.effects.ready(key);
            match score {
                Some(score) => reply.double(score),
                None => reply.null(),
            }
        }
        Command::Zrem => {
            let removed = to.writer.zrem(key, &request.from(2)).await?;
            if removed > 0 {
                to.effects.event(SORTED_SET, "zrem", key);
            }
            reply.count(removed);
        }
        Command::Zremrangebyrank | Command::Zremrangebyscore | Command::Zremrangebylex => {
            let (start, stop) = (request.arg(2), request.arg(3));
            let (by, event) = match call.row.command {
                Command::Zremrangebyrank => (
                    RangeBy::Rank(integer(start)?, integer(stop)?),
                    "zremrangebyrank",
                ),
                Command::Zremrangebyscore => (
                    RangeBy::Score(score_range(start, stop)?),
                    "zremrangebyscore",
                ),
                _ => (RangeBy::Lex(lex_range(start, stop)?), "zremrangebylex"),
            };
            let removed = to.writer.zremrange(key, by).await?;
            if removed > 0 {
                to.effects.event(SORTED_SET, event, key);
            }
            reply.count(removed);
        }
        Command::Zpopmin | Command::Zpopmax => {
            if request.len() > 3 {
                return Err(SYNTAX);
            }
            let count = match request.len() {
                2 => 1,
                _ => positive(request.arg(2))?,
            };
            let highest = call.row.command == Command::Zpopmax;
            if count == 0 {
                // Nothing is popped, but a key of another type is an error.
                to.newest_reader().zcard(key).await?;
            }
            let members = to.writer.zpop(key, highest, count).await?;
            if !members.is_empty() {
                to.effects.event(SORTED_SET, pop_event(highest), key);
            }
            if request.len() == 2 {
                put_flat(reply, &members);
            } else {
                put_scored(reply, &members, true);
            }
        }
        Command::Zmpop => {
            let (keys, highest, count) = mpop_arguments(call, 1)?;
            let keys = request.part(keys.0, keys.1);
            if !mpop(call.reply, to, &keys, highest, count).await? {
                call.reply.null_array();
            }
        }
        _ => return zset_store::write(call, to).await,
    }
    Ok(())
}

/// One member and its score as a flat array, in both versions.
fn put_flat(reply: &mut Reply, members: &[Scored]) {
    reply.array(members.len() * 2);
    for (member, score) in members {
        reply.bulk(member);
        reply.double(*score);
    }
}

/// ZADD key [NX | XX] [GT | LT] [CH] [INCR] score member ...
async fn add(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    let request = call.request;
    let key = request.arg(1);
    let mut options = Cursor::new(request, 2);
    let zadd = zadd_options(&mut options)?;
    let members = scores(request, options.at())?;
    if zadd.increment {
        let (by, member) = members.first().copied().ok_or(SYNTAX)?;
        let score = to.writer.zincr_by(key, by, member, zadd.options).await?;
        match score {
            Some(score) => {
                to.effects.event(SORTED_SET, "zincr", key);
                to.effects.ready(key);
                call.reply.double(score);
            }
            None => call.reply.null(),
        }
        return Ok(());
    }
    let outcome = to.writer.zadd(key, &members, zadd.options).await?;
    if outcome.changed > 0 {
        to.effects.event(SORTED_SET, "zadd", key);
        to.effects.ready(key);
    }
    call.reply.count(if zadd.count_changed {
        outcome.changed
    } else {
        outcome.added
    });
    Ok(())
}

/// `numkeys key ... [LIMIT n]` of ZINTERCARD: the place behind the keys, the limit.
fn cardinality_arguments(request: &Request) -> Result<(usize, u64)> {
    let count = integer(request.arg(1))?;
    if count < 1 {
        return Err(Fault::Static(
            "ERR at least 1 input key is needed for 'zintercard' command",
        ));
    }
    let end = usize::try_from(count)
        .ok()
        .and_then(|count| count.checked_add(2))
        .filter(|end| *end <= request.len())
        .ok_or(SYNTAX)?;
    Ok((end, cardinality_limit(request, end)?))
}

pub(super) fn pop_event(highest: bool) -> &'static str {
    if highest { "zpopmax" } else { "zpopmin" }
}

/// `numkeys key ... MIN | MAX [COUNT n]`: places of the keys, whether the highest, the count.
pub(super) fn mpop_arguments(call: &Call<'_>, at: usize) -> Result<((usize, usize), bool, u64)> {
    let keys = counted_keys(call.request, at, "ERR numkeys should be greater than 0")?;
    let mut options = Cursor::new(call.request, keys.1);
    let highest = if options.take("MIN") {
        false
    } else if options.take("MAX") {
        true
    } else {
        return Err(SYNTAX);
    };
    let count = mpop_count(&mut options)?;
    Ok((keys, highest, count))
}

/// Pops from the first sorted set that has members, and answers with its key and the members;
/// false without an answer if there is none.
pub(super) async fn mpop(
    reply: &mut Reply,
    to: &mut Writing<'_>,
    keys: &[&[u8]],
    highest: bool,
    count: u64,
) -> Result<bool> {
    let Some((at, members)) = to.writer.zmpop(keys, highest, count).await? else {
        return Ok(false);
    };
    to.effects.event(SORTED_SET, pop_event(highest), keys[at]);
    put_popped(reply, keys[at], &members);
    Ok(true)
}
