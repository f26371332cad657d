//! Streams. <https://redis.io/commands/?group=stream>
//!
//! - `args`: ids, ranges, trimming. `reading`: XREAD, XREADGROUP. `groups`: consumer groups and what
//!   is pending in them. `info`: XINFO.

mod args;
mod groups;
mod info;
mod reading;

use tessera_keyvalue::{StreamEntry, StreamId, XaddOptions};

use self::args::{add_id, ids, range, trim};
use super::{Call, Reading, Writing};
use crate::args::Cursor;
use crate::fault::{Fault, Result, SYNTAX};
use crate::hub::notifications::STREAM;
use crate::reply::Reply;
use crate::table::Command;

pub(super) use reading::{block_millis, read_groups, read_streams};
pub(crate) use reading::{names_newest, with_newest};

pub(super) async fn read(call: &mut Call<'_>, from: &Reading<'_>) -> Result<()> {
    let (request, reply) = (call.request, &mut *call.reply);
    let key = request.arg(1);
    match call.row.command {
        Command::Xlen => reply.count(from.reader.xlen(key).await?),
        Command::Xrange | Command::Xrevrange => {
            let reverse = call.row.command == Command::Xrevrange;
            let (first, second) = (request.arg(2), request.arg(3));
            let (start, end) = if reverse {
                (second, first)
            } else {
                (first, second)
            };
            let range = range(start, end)?;
            let mut options = Cursor::new(request, 4);
            let count = args::count(&mut options)?;
            options.end()?;
            if count == Some(0) {
                reply.null_array();
                return Ok(());
            }
            let Some(range) = range else {
                reply.array(0);
                return Ok(());
            };
            let entries = from.reader.xrange(key, range, count, reverse).await?;
            put_entries(reply, &entries);
        }
        Command::Xread => return read_streams(call, &from.reader).await,
        Command::Xpending => return groups::pending(call, from).await,
        _ => return info::read(call, from).await,
    }
    Ok(())
}

fn put_entries(reply: &mut Reply, entries: &[StreamEntry]) {
    reply.array(entries.len());
    for entry in entries {
        put_entry(reply, entry.id, Some(&entry.fields));
    }
}

/// An entry; one that was deleted has no fields.
fn put_entry(reply: &mut Reply, id: StreamId, fields: Option<&tessera_keyvalue::Fields>) {
    reply.array(2);
    reply.bulk(id.to_string());
    let Some(fields) = fields else {
        reply.null_array();
        return;
    };
    reply.array(fields.len() * 2);
    for (field, value) in fields {
        reply.bulk(field);
        reply.bulk(value);
    }
}

pub(super) async fn write(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    let (request, reply) = (call.request, &mut *call.reply);
    let key = request.arg(1);
    match call.row.command {
        Command::Xadd => return add(call, to).await,
        Command::Xdel => {
            let deleted = to.writer.xdel(key, &ids(request, 2)?).await?;
            if deleted > 0 {
                to.effects.event(STREAM, "xdel", key);
            }
            reply.count(deleted);
        }
        Command::Xtrim => {
            let mut options = Cursor::new(request, 2);
            let trim = trim(&mut options)?.ok_or(SYNTAX)?;
            options.end()?;
            let trimmed = to.writer.xtrim(key, trim).await?;
            if trimmed > 0 {
                to.effects.event(STREAM, "xtrim", key);
            }
            reply.count(trimmed);
        }
        Command::Xsetid => {
            let last = args::id(request.arg(2))?;
            let (mut added, mut deleted_max) = (None, None);
            let mut options = Cursor::new(request, 3);
            while options.left() > 0 {
                if options.take("ENTRIESADDED") {
                    let count = crate::args::integer(options.need()?)?;
                    added = Some(
                        u64::try_from(count)
                            .map_err(|_| Fault::Static("ERR entries_added must be positive"))?,
                    );
                } else if options.take("MAXDELETEDID") {
                    deleted_max = Some(args::id(options.need()?)?);
                } else {
                    return Err(SYNTAX);
                }
            }
            let done = to.writer.xsetid(key, last, added, deleted_max).await;
            done.map_err(|error| match error {
                tessera_keyvalue::KeyValueError::StreamIdTooSmall => Fault::Static(
                    "ERR The ID specified in XSETID is smaller than the target stream top item",
                ),
                other => other.into(),
            })?;
            to.effects.event(STREAM, "xsetid", key);
            reply.ok();
        }
        _ => return groups::write(call, to).await,
    }
    Ok(())
}

/// XADD key [NOMKSTREAM] [MAXLEN | MINID [= | ~] n [LIMIT n]] * | id field value ...
async fn add(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    let request = call.request;
    let key = request.arg(1);
    let mut add = XaddOptions::default();
    let mut options = Cursor::new(request, 2);
    loop {
        if options.take("NOMKSTREAM") {
            add.only_if_exists = true;
        } else if let Some(trim) = trim(&mut options)? {
            add.trim = Some(trim);
        } else {
            break;
        }
    }
    let id = options.need()?;
    if options.left() == 0 || !options.left().is_multiple_of(2) {
        return Err(Fault::Static(
            "ERR wrong number of arguments for 'xadd' command",
        ));
    }
    let id = add_id(id)?;
    let fields = request.pairs(options.at());
    let Some(id) = to.writer.xadd(key, id, &fields, add).await? else {
        call.reply.null();
        return Ok(());
    };
    to.effects.event(STREAM, "xadd", key);
    if add.trim.is_some() {
        to.effects.event(STREAM, "xtrim", key);
    }
    to.effects.ready(key);
    call.reply.bulk(id.to_string());
    Ok(())
}
