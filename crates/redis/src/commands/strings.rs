//! Strings. <https://redis.io/commands/?group=string>

use tessera_keyvalue::{GetExpiry, SetCondition, SetExpiry, SetOptions};

use super::{Call, Reading, Writing, lcs, not_here};
use crate::args::{Cursor, Unit, expire, expiry_option, integer, set_expiry};
use crate::fault::{Fault, NOT_A_FLOAT, Result, SYNTAX};
use crate::hub::notifications::{GENERIC, STRING};
use crate::request::Request;
use crate::table::Command;

pub(super) async fn read(call: &mut Call<'_>, from: &Reading<'_>) -> Result<()> {
    let (request, reply) = (call.request, &mut *call.reply);
    let key = request.arg(1);
    match call.row.command {
        Command::Get => reply.maybe(from.reader.get(key).await?),
        Command::Mget => {
            let values = from.reader.mget(&request.from(1)).await?;
            reply.array(values.len());
            for value in values {
                reply.maybe(value);
            }
        }
        Command::Strlen => reply.count(from.reader.strlen(key).await?),
        Command::Getrange | Command::Substr => {
            let (start, end) = (integer(request.arg(2))?, integer(request.arg(3))?);
            reply.bulk(from.reader.getrange(key, start, end).await?);
        }
        Command::Lcs => return lcs::run(call, from).await,
        _ => return Err(not_here(call.row)),
    }
    Ok(())
}

pub(super) async fn write(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    let (request, reply) = (call.request, &mut *call.reply);
    let key = request.arg(1);
    match call.row.command {
        Command::Set => return set(call, to).await,
        Command::Setnx => {
            let options = SetOptions {
                condition: SetCondition::IfAbsent,
                ..SetOptions::default()
            };
            let outcome = to.writer.set(key, request.arg(2), options).await?;
            if outcome.is_set {
                to.effects.event(STRING, "set", key);
            }
            reply.flag(outcome.is_set);
        }
        Command::Setex | Command::Psetex => {
            let unit = match call.row.command {
                Command::Setex => Unit::Seconds,
                _ => Unit::Millis,
            };
            let expiry = expire(integer(request.arg(2))?, unit, false)?;
            let options = SetOptions {
                expiry: SetExpiry::Expire(expiry),
                ..SetOptions::default()
            };
            to.writer.set(key, request.arg(3), options).await?;
            to.effects.event(STRING, "set", key);
            to.effects.event(GENERIC, "expire", key);
            reply.ok();
        }
        Command::Getset => {
            let options = SetOptions {
                get: true,
                ..SetOptions::default()
            };
            let outcome = to.writer.set(key, request.arg(2), options).await?;
            to.effects.event(STRING, "set", key);
            reply.maybe(outcome.previous);
        }
        Command::Getdel => {
            let value = to.writer.getdel(key).await?;
            if value.is_some() {
                to.effects.event(GENERIC, "del", key);
            }
            reply.maybe(value);
        }
        Command::Getex => return getex(call, to).await,
        Command::Append => {
            let length = to.writer.append(key, request.arg(2)).await?;
            to.effects.event(STRING, "append", key);
            reply.count(length);
        }
        Command::Setrange => {
            let offset = u64::try_from(integer(request.arg(2))?)
                .map_err(|_| Fault::Static("ERR offset is out of range"))?;
            let length = to.writer.setrange(key, offset, request.arg(3)).await?;
            to.effects.event(STRING, "setrange", key);
            reply.count(length);
        }
        Command::Incr | Command::Incrby | Command::Decr | Command::Decrby => {
            let by = increment(call.row.command, request)?;
            let value = to.writer.incr_by(key, by).await?;
            to.effects.event(STRING, "incrby", key);
            reply.int(value);
        }
        Command::Incrbyfloat => {
            let by = request.arg(2);
            crate::args::parse_float(by).ok_or(NOT_A_FLOAT)?;
            let value = to.writer.incr_by_float(key, by).await?;
            to.effects.event(STRING, "incrbyfloat", key);
            reply.bulk(value);
        }
        Command::Mset | Command::Msetnx => {
            if request.len().is_multiple_of(2) {
                return Err(Fault::Text(format!(
                    "ERR wrong number of arguments for '{}' command",
                    call.row.name
                )));
            }
            let pairs = request.pairs(1);
            let is_set = if call.row.command == Command::Mset {
                to.writer.mset(&pairs).await?;
                reply.ok();
                true
            } else {
                let is_set = to.writer.msetnx(&pairs).await?;
                reply.flag(is_set);
                is_set
            };
            if is_set {
                for (key, _) in &pairs {
                    to.effects.event(STRING, "set", key);
                }
            }
        }
        _ => return Err(not_here(call.row)),
    }
    Ok(())
}

/// SET key value [NX | XX] [GET] [EX n | PX n | EXAT n | PXAT n | KEEPTTL]
async fn set(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    let mut set = SetOptions::default();
    let mut options = Cursor::new(call.request, 3);
    while options.left() > 0 {
        let condition = if options.take("NX") {
            SetCondition::IfAbsent
        } else if options.take("XX") {
            SetCondition::IfPresent
        } else if options.take("GET") {
            set.get = true;
            continue;
        } else if set_expiry(&mut options, &mut set.expiry)? {
            continue;
        } else {
            return Err(SYNTAX);
        };
        if set.condition != SetCondition::Always && set.condition != condition {
            return Err(SYNTAX);
        }
        set.condition = condition;
    }
    let key = call.request.arg(1);
    let outcome = to.writer.set(key, call.request.arg(2), set).await?;
    if outcome.is_set {
        to.effects.event(STRING, "set", key);
        if matches!(set.expiry, SetExpiry::Expire(_)) {
            to.effects.event(GENERIC, "expire", key);
        }
    }
    if set.get {
        call.reply.maybe(outcome.previous);
    } else if outcome.is_set {
        call.reply.ok();
    } else {
        call.reply.null();
    }
    Ok(())
}

/// GETEX key [EX n | PX n | EXAT n | PXAT n | PERSIST]
async fn getex(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    let mut options = Cursor::new(call.request, 2);
    let expiry = if options.left() == 0 {
        GetExpiry::Keep
    } else if options.take("PERSIST") {
        while options.take("PERSIST") {}
        GetExpiry::Persist
    } else {
        GetExpiry::Expire(expiry_option(&mut options)?.ok_or(SYNTAX)?)
    };
    options.end()?;
    let key = call.request.arg(1);
    let value = to.writer.getex(key, expiry).await?;
    if value.is_some() {
        match expiry {
            GetExpiry::Keep => {}
            GetExpiry::Persist => to.effects.event(GENERIC, "persist", key),
            GetExpiry::Expire(_) => to.effects.event(GENERIC, "expire", key),
        }
    }
    call.reply.maybe(value);
    Ok(())
}

fn increment(command: Command, request: &Request) -> Result<i64> {
    Ok(match command {
        Command::Incr => 1,
        Command::Decr => -1,
        Command::Incrby => integer(request.arg(2))?,
        _ => integer(request.arg(2))?
            .checked_neg()
            .ok_or(Fault::Static("ERR decrement would overflow"))?,
    })
}
