//! Consumer groups, and what is pending in them.

use tessera_keyvalue::{Claim, ClaimOptions, KeyValueError, parse_integer};

use super::args::{entries_read, group_start, id, idle_millis, ids, no_more, range};
use super::put_entry;
use crate::args::{Cursor, integer};
use crate::commands::{Call, Reading, Writing, not_here};
use crate::fault::{Fault, Result, SYNTAX};
use crate::hub::notifications::STREAM;
use crate::request::Request;
use crate::table::Command;

/// Entries that XAUTOCLAIM claims if the client does not say.
const AUTOCLAIM_COUNT_DEFAULT: u64 = 100;

pub(super) async fn write(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    let (request, reply) = (call.request, &mut *call.reply);
    match call.row.command {
        Command::Xack => {
            let ids = ids(request, 3)?;
            let count = to.writer.xack(request.arg(1), request.arg(2), &ids).await?;
            reply.count(count);
            Ok(())
        }
        Command::Xclaim => claim(call, to).await,
        Command::Xautoclaim => autoclaim(call, to).await,
        _ => manage(call, to).await,
    }
}

/// A missing key or group, as XGROUP tells it.
fn no_group(error: KeyValueError, key: &[u8]) -> Fault {
    match error {
        KeyValueError::NoSuchKey => Fault::Static(
            "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may \
             want to use the MKSTREAM option to create an empty stream automatically.",
        ),
        KeyValueError::NoSuchGroup { group } => Fault::Text(format!(
            "NOGROUP No such consumer group '{group}' for key name '{}'",
            String::from_utf8_lossy(key)
        )),
        other => other.into(),
    }
}

/// The same, as other commands tell it.
pub(super) fn no_key_or_group(error: KeyValueError, key: &[u8], group: &[u8]) -> Fault {
    match error {
        KeyValueError::NoSuchKey | KeyValueError::NoSuchGroup { .. } => Fault::Text(format!(
            "NOGROUP No such key '{}' or consumer group '{}'",
            String::from_utf8_lossy(key),
            String::from_utf8_lossy(group)
        )),
        other => other.into(),
    }
}

/// XGROUP.
async fn manage(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    let (request, reply) = (call.request, &mut *call.reply);
    let (key, group) = (request.arg(2), request.arg(3));
    let must_exist = matches!(
        call.row.command,
        Command::XgroupSetid | Command::XgroupCreateconsumer | Command::XgroupDelconsumer
    );
    if must_exist && to.newest_reader().exists(&[key]).await? == 0 {
        return Err(no_group(KeyValueError::NoSuchKey, key));
    }
    match call.row.command {
        Command::XgroupCreate | Command::XgroupSetid => {
            let creates = call.row.command == Command::XgroupCreate;
            let start = group_start(request.arg(4))?;
            let (mut make_stream, mut read) = (false, None);
            let mut options = Cursor::new(request, 5);
            while options.left() > 0 {
                if creates && options.take("MKSTREAM") {
                    make_stream = true;
                } else if options.take("ENTRIESREAD") {
                    read = entries_read(&mut options)?;
                } else {
                    return Err(Fault::Text(format!(
                        "ERR unknown subcommand or wrong number of arguments for '{}'. Try XGROUP \
                         HELP.",
                        String::from_utf8_lossy(request.arg(1))
                    )));
                }
            }
            let (done, event) = if creates {
                let done = to
                    .writer
                    .xgroup_create(key, group, start, make_stream, read)
                    .await;
                (done, "xgroup-create")
            } else {
                let done = to.writer.xgroup_setid(key, group, start, read).await;
                (done, "xgroup-setid")
            };
            done.map_err(|error| no_group(error, key))?;
            to.effects.event(STREAM, event, key);
            // Those who wait for new entries of the group may find some now.
            to.effects.ready(key);
            reply.ok();
        }
        Command::XgroupDestroy => {
            let done = to.writer.xgroup_destroy(key, group).await;
            let was_there = done.map_err(|error| no_group(error, key))?;
            if was_there {
                to.effects.event(STREAM, "xgroup-destroy", key);
                // Those who wait for it are told that it is gone.
                to.effects.ready(key);
            }
            reply.flag(was_there);
        }
        Command::XgroupCreateconsumer => {
            let done = to
                .writer
                .xgroup_createconsumer(key, group, request.arg(4))
                .await;
            let is_new = done.map_err(|error| no_group(error, key))?;
            if is_new {
                to.effects.event(STREAM, "xgroup-createconsumer", key);
            }
            reply.flag(is_new);
        }
        Command::XgroupDelconsumer => {
            let done = to
                .writer
                .xgroup_delconsumer(key, group, request.arg(4))
                .await;
            let pending = done.map_err(|error| no_group(error, key))?;
            to.effects.event(STREAM, "xgroup-delconsumer", key);
            reply.count(pending);
        }
        _ => return Err(not_here(call.row)),
    }
    Ok(())
}

/// XPENDING key group [[IDLE ms] start end count [consumer]]
pub(super) async fn pending(call: &mut Call<'_>, from: &Reading<'_>) -> Result<()> {
    let request = call.request;
    let (key, group) = (request.arg(1), request.arg(2));
    let explain = |error| no_key_or_group(error, key, group);
    if request.len() == 3 {
        let summary = from.reader.xpending(key, group).await.map_err(explain)?;
        let reply = &mut *call.reply;
        reply.array(4);
        reply.count(summary.count);
        let Some((lowest, highest)) = summary.ids else {
            reply.null();
            reply.null();
            reply.null_array();
            return Ok(());
        };
        reply.bulk(lowest.to_string());
        reply.bulk(highest.to_string());
        reply.array(summary.consumers.len());
        for (consumer, count) in summary.consumers {
            reply.array(2);
            reply.bulk(consumer);
            reply.bulk(count.to_string());
        }
        return Ok(());
    }
    let mut options = Cursor::new(request, 3);
    let mut idle_min = 0;
    if options.take("IDLE") {
        idle_min = u64::try_from(integer(options.need()?)?).unwrap_or(0);
    }
    let (start, end) = (options.need()?, options.need()?);
    let count = u64::try_from(integer(options.need()?)?).unwrap_or(0);
    let consumer = options.next();
    no_more(&options)?;
    let Some(range) = range(start, end)? else {
        call.reply.array(0);
        return Ok(());
    };
    let found = from
        .reader
        .xpending_range(key, group, range, count, consumer, idle_min)
        .await
        .map_err(explain)?;
    let reply = &mut *call.reply;
    reply.array(found.len());
    for entry in found {
        reply.array(4);
        reply.bulk(entry.id.to_string());
        reply.bulk(entry.consumer);
        reply.count(entry.idle_millis);
        reply.count(entry.deliveries);
    }
    Ok(())
}

fn claim_of<'a>(request: &'a Request, command: Command) -> Result<Claim<'a>> {
    Ok(Claim {
        group: request.arg(2),
        consumer: request.arg(3),
        idle_millis_min: idle_millis(request.arg(4), command)?,
        just_ids: false,
    })
}

/// XCLAIM key group consumer ms id ... [IDLE ms] [TIME ms] [RETRYCOUNT n] [FORCE] [JUSTID]
/// [LASTID id]
async fn claim(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    let request = call.request;
    let (key, group) = (request.arg(1), request.arg(2));
    let mut claim = claim_of(request, call.row.command)?;
    let mut claimed = ClaimOptions::default();
    let mut ids = Vec::new();
    let mut options = Cursor::new(request, 5);
    // Ids come first; what is none begins the options.
    while options.left() > 0 {
        let mut ahead = options;
        let Ok(found) = id(ahead.need()?) else {
            break;
        };
        ids.push(found);
        options = ahead;
    }
    while options.left() > 0 {
        if options.take("FORCE") {
            claimed.force = true;
        } else if options.take("JUSTID") {
            claim.just_ids = true;
        } else if options.take("IDLE") {
            let millis = parse_integer(options.need()?)
                .ok_or(Fault::Static("ERR Invalid IDLE option argument for XCLAIM"))?;
            let idle = u64::try_from(millis).unwrap_or(0);
            claimed.delivered_millis = Some(to.now.0.saturating_sub(idle));
        } else if options.take("TIME") {
            let millis = parse_integer(options.need()?)
                .ok_or(Fault::Static("ERR Invalid TIME option argument for XCLAIM"))?;
            claimed.delivered_millis = Some(u64::try_from(millis).unwrap_or(0).min(to.now.0));
        } else if options.take("RETRYCOUNT") {
            let count = parse_integer(options.need()?)
                .and_then(|count| u64::try_from(count).ok())
                .ok_or(Fault::Static(
                    "ERR Invalid RETRYCOUNT option argument for XCLAIM",
                ))?;
            claimed.deliveries = Some(count);
        } else if options.take("LASTID") {
            claimed.last_id = Some(id(options.need()?)?);
        } else {
            let option = String::from_utf8_lossy(options.need()?).into_owned();
            return Err(Fault::Text(format!(
                "ERR Unrecognized XCLAIM option '{option}'"
            )));
        }
    }
    if ids.is_empty() {
        return Err(KeyValueError::InvalidStreamId.into());
    }
    let entries = to
        .writer
        .xclaim(key, claim, &ids, claimed)
        .await
        .map_err(|error| no_key_or_group(error, key, group))?;
    let reply = &mut *call.reply;
    reply.array(entries.len());
    for (id, fields) in &entries {
        if claim.just_ids {
            reply.bulk(id.to_string());
        } else {
            put_entry(reply, *id, Some(fields));
        }
    }
    Ok(())
}

/// XAUTOCLAIM key group consumer ms start [COUNT n] [JUSTID]
async fn autoclaim(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    let request = call.request;
    let (key, group) = (request.arg(1), request.arg(2));
    let mut claim = claim_of(request, call.row.command)?;
    let Some(range) = range(request.arg(5), b"+")? else {
        return Err(KeyValueError::InvalidStreamId.into());
    };
    let mut count = AUTOCLAIM_COUNT_DEFAULT;
    let mut options = Cursor::new(request, 6);
    while options.left() > 0 {
        if options.take("JUSTID") {
            claim.just_ids = true;
        } else if options.take("COUNT") {
            count = integer(options.need()?)
                .ok()
                .and_then(|count| u64::try_from(count).ok())
                .filter(|count| *count > 0)
                .ok_or(Fault::Static("ERR COUNT must be > 0"))?;
        } else {
            return Err(SYNTAX);
        }
    }
    let done = to
        .writer
        .xautoclaim(key, claim, range.start, count)
        .await
        .map_err(|error| no_key_or_group(error, key, group))?;
    let reply = &mut *call.reply;
    reply.array(3);
    reply.bulk(done.next.to_string());
    reply.array(done.claimed.len());
    for (id, fields) in &done.claimed {
        if claim.just_ids {
            reply.bulk(id.to_string());
        } else {
            put_entry(reply, *id, Some(fields));
        }
    }
    reply.array(done.deleted.len());
    for id in done.deleted {
        reply.bulk(id.to_string());
    }
    Ok(())
}
