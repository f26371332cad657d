//! Options of the sorted sets' commands, and how members with scores are answered.

use tessera_keyvalue::{
    Aggregate, RangeBy, RangeSpec, ScoreComparison, Scored, SetCondition, ZaddOptions,
    ZsetOperation,
};

use super::hashes::pairs_head;
use crate::args::{Cursor, float, integer, lex_range, parse_float, score_range};
use crate::fault::{Fault, Result, SYNTAX};
use crate::reply::Reply;
use crate::request::Request;
use crate::table::{Command, Row};

/// Members of an answer, with their scores if asked for: pairs in RESP3, flat in RESP2.
pub(super) fn put_scored(reply: &mut Reply, members: &[Scored], with_scores: bool) {
    if with_scores {
        pairs_head(reply, members.len());
    } else {
        reply.array(members.len());
    }
    for (member, score) in members {
        if with_scores && reply.is_resp3 {
            reply.array(2);
        }
        reply.bulk(member);
        if with_scores {
            reply.double(*score);
        }
    }
}

/// A key, and an array of pairs in both versions: ZMPOP, BZMPOP.
pub(super) fn put_popped(reply: &mut Reply, key: &[u8], members: &[Scored]) {
    reply.array(2);
    reply.bulk(key);
    reply.array(members.len());
    for (member, score) in members {
        reply.array(2);
        reply.bulk(member);
        reply.double(*score);
    }
}

/// What ZADD says before the first score.
#[derive(Debug, Default)]
pub(super) struct Zadd {
    pub(super) options: ZaddOptions,
    /// Changed members are counted, too (CH).
    pub(super) count_changed: bool,
    /// Only the one member's score is incremented (INCR).
    pub(super) increment: bool,
}

/// `[NX | XX] [GT | LT] [CH] [INCR]`; stops at the first score.
pub(super) fn zadd_options(options: &mut Cursor<'_>) -> Result<Zadd> {
    let mut zadd = Zadd::default();
    let (mut nx, mut xx, mut gt, mut lt) = (false, false, false, false);
    loop {
        if options.take("NX") {
            nx = true;
        } else if options.take("XX") {
            xx = true;
        } else if options.take("GT") {
            gt = true;
        } else if options.take("LT") {
            lt = true;
        } else if options.take("CH") {
            zadd.count_changed = true;
        } else if options.take("INCR") {
            zadd.increment = true;
        } else {
            break;
        }
    }
    if options.left() == 0 || !options.left().is_multiple_of(2) {
        return Err(SYNTAX);
    }
    if nx && xx {
        return Err(Fault::Static(
            "ERR XX and NX options at the same time are not compatible",
        ));
    }
    if (gt && lt) || (nx && (gt || lt)) {
        return Err(Fault::Static(
            "ERR GT, LT, and/or NX options at the same time are not compatible",
        ));
    }
    if zadd.increment && options.left() > 2 {
        return Err(Fault::Static(
            "ERR INCR option supports a single increment-element pair",
        ));
    }
    zadd.options = ZaddOptions {
        condition: match (nx, xx) {
            (true, _) => SetCondition::IfAbsent,
            (_, true) => SetCondition::IfPresent,
            _ => SetCondition::Always,
        },
        comparison: match (gt, lt) {
            (true, _) => Some(ScoreComparison::Greater),
            (_, true) => Some(ScoreComparison::Less),
            _ => None,
        },
    };
    Ok(zadd)
}

/// Scores and members from a place on.
pub(super) fn scores(request: &Request, at: usize) -> Result<Vec<(f64, &[u8])>> {
    request
        .pairs(at)
        .into_iter()
        .map(|(score, member)| Ok((float(score)?, member)))
        .collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// A range as ZRANGE and its older forms say it, from the place of the lower bound on; and whether
/// scores are wanted.
pub(super) fn range<'a>(
    command: Command,
    request: &'a Request,
    at: usize,
) -> Result<(RangeSpec<'a>, bool)> {
    let (mut by, mut reverse) = match command {
        Command::Zrangebyscore => (By::Score, false),
        Command::Zrevrangebyscore => (By::Score, true),
        Command::Zrangebylex => (By::Lex, false),
        Command::Zrevrangebylex => (By::Lex, true),
        Command::Zrevrange => (By::Rank, true),
        _ => (By::Rank, false),
    };
    let is_new_form = matches!(command, Command::Zrange | Command::Zrangestore);
    let stores = command == Command::Zrangestore;
    let (mut limit, mut with_scores) = (None, false);
    let mut options = Cursor::new(request, at + 2);
    while options.left() > 0 {
        if !stores && options.take("WITHSCORES") {
            with_scores = true;
        } else if options.take("LIMIT") {
            limit = Some((integer(options.need()?)?, integer(options.need()?)?));
        } else if is_new_form && options.take("REV") {
            reverse = true;
        } else if is_new_form && by != By::Lex && options.take("BYSCORE") {
            by = By::Score;
        } else if is_new_form && by != By::Score && options.take("BYLEX") {
            by = By::Lex;
        } else {
            return Err(SYNTAX);
        }
    }
    if limit.is_some() && by == By::Rank {
        return Err(Fault::Static(
            "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
        ));
    }
    if with_scores && by == By::Lex {
        return Err(Fault::Static(
            "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
        ));
    }
    let (start, stop) = (request.arg(at), request.arg(at + 1));
    // The first bound is the one where reading begins.
    let (min, max) = if reverse {
        (stop, start)
    } else {
        (start, stop)
    };
    let by = match by {
        By::Rank => RangeBy::Rank(integer(start)?, integer(stop)?),
        By::Score => RangeBy::Score(score_range(min, max)?),
        By::Lex => RangeBy::Lex(lex_range(min, max)?),
    };
    let limit = limit.map(|(skip, count)| match u64::try_from(skip) {
        Ok(skip) => (skip, count),
        // A negative offset gives nothing.
        Err(_) => (0, 0),
    });
    let spec = RangeSpec { by, reverse, limit };
    Ok((spec, with_scores))
}

/// How sorted sets are combined.
#[derive(Debug)]
pub(super) struct Combination {
    /// Places of the keys.
    pub(super) keys: (usize, usize),
    weights: Vec<f64>,
    aggregate: Aggregate,
    pub(super) with_scores: bool,
    command: Command,
}

impl Combination {
    /// `numkeys key ... [WEIGHTS n ...] [AGGREGATE SUM | MIN | MAX] [WITHSCORES]`
    pub(super) fn parse(row: &Row, request: &Request, at: usize) -> Result<Combination> {
        let command = row.command;
        let count = integer(request.arg(at))?;
        if count < 1 {
            return Err(Fault::Text(format!(
                "ERR at least 1 input key is needed for '{}' command",
                row.name
            )));
        }
        let start = at + 1;
        let end = usize::try_from(count)
            .ok()
            .and_then(|count| start.checked_add(count))
            .filter(|end| *end <= request.len())
            .ok_or(SYNTAX)?;
        let is_difference = matches!(command, Command::Zdiff | Command::Zdiffstore);
        let stores = matches!(
            command,
            Command::Zdiffstore | Command::Zinterstore | Command::Zunionstore
        );
        let mut combination = Combination {
            keys: (start, end),
            weights: Vec::new(),
            aggregate: Aggregate::Sum,
            with_scores: false,
            command,
        };
        let mut options = Cursor::new(request, end);
        while options.left() > 0 {
            if !is_difference && options.take("WEIGHTS") {
                combination.weights.clear();
                for _ in start..end {
                    let weight = parse_float(options.need()?)
                        .ok_or(Fault::Static("ERR weight value is not a float"))?;
                    combination.weights.push(weight);
                }
            } else if !is_difference && options.take("AGGREGATE") {
                combination.aggregate = aggregate(&mut options)?;
            } else if !stores && options.take("WITHSCORES") {
                combination.with_scores = true;
            } else {
                return Err(SYNTAX);
            }
        }
        Ok(combination)
    }

    pub(super) fn operation(&self) -> ZsetOperation<'_> {
        let (weights, aggregate) = (&self.weights[..], self.aggregate);
        match self.command {
            Command::Zunion | Command::Zunionstore => ZsetOperation::Union { weights, aggregate },
            Command::Zinter | Command::Zinterstore => {
                ZsetOperation::Intersection { weights, aggregate }
            }
            _ => ZsetOperation::Difference,
        }
    }
}

fn aggregate(options: &mut Cursor<'_>) -> Result<Aggregate> {
    if options.take("SUM") {
        Ok(Aggregate::Sum)
    } else if options.take("MIN") {
        Ok(Aggregate::Min)
    } else if options.take("MAX") {
        Ok(Aggregate::Max)
    } else {
        Err(SYNTAX)
    }
}
