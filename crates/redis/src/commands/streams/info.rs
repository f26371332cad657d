//! XINFO.

use tessera_keyvalue::{PendingEntry, StreamId, StreamRange};

use super::{put_entries, put_entry};
use crate::args::{Cursor, integer};
use crate::commands::{Call, Reading, not_here};
use crate::fault::{Fault, Result};
use crate::reply::Reply;
use crate::table::Command;

/// Entries of each kind that XINFO STREAM FULL shows (as in Redis).
const FULL_COUNT_DEFAULT: u64 = 10;

pub(super) async fn read(call: &mut Call<'_>, from: &Reading<'_>) -> Result<()> {
    match call.row.command {
        Command::XinfoStream => stream(call, from).await,
        Command::XinfoGroups => groups(call, from).await,
        Command::XinfoConsumers => consumers(call, from).await,
        _ => Err(not_here(call.row)),
    }
}

fn number(reply: &mut Reply, name: &str, value: u64) {
    reply.bulk(name);
    reply.count(value);
}

fn maybe_number(reply: &mut Reply, name: &str, value: Option<u64>) {
    reply.bulk(name);
    match value {
        Some(value) => reply.count(value),
        None => reply.null(),
    }
}

async fn stream(call: &mut Call<'_>, from: &Reading<'_>) -> Result<()> {
    if call.request.len() > 3 {
        return full(call, from).await;
    }
    let info = from.reader.xinfo_stream(call.request.arg(2)).await?;
    let reply = &mut *call.reply;
    reply.map(10);
    number(reply, "length", info.length);
    // There is no radix tree.
    number(reply, "radix-tree-keys", 0);
    number(reply, "radix-tree-nodes", 0);
    let first = info.first_entry.as_ref().map(|entry| entry.id);
    reply.bulk("last-generated-id");
    reply.bulk(info.last.to_string());
    reply.bulk("max-deleted-entry-id");
    reply.bulk(info.deleted_max.to_string());
    number(reply, "entries-added", info.added);
    reply.bulk("recorded-first-entry-id");
    reply.bulk(first.unwrap_or(StreamId::MIN).to_string());
    number(reply, "groups", info.groups);
    for (name, entry) in [
        ("first-entry", info.first_entry),
        ("last-entry", info.last_entry),
    ] {
        reply.bulk(name);
        match entry {
            Some(entry) => put_entry(reply, entry.id, Some(&entry.fields)),
            None => reply.null(),
        }
    }
    Ok(())
}

/// XINFO STREAM key FULL [COUNT n]: entries, groups, and what is pending, at most `n` of each.
async fn full(call: &mut Call<'_>, from: &Reading<'_>) -> Result<()> {
    let key = call.request.arg(2);
    let count = full_count(call)?;
    let info = from.reader.xinfo_stream(key).await?;
    let range = StreamRange::ALL;
    let entries = from.reader.xrange(key, range, count, false).await?;
    let groups = from.reader.xinfo_groups(key).await?;
    let pending_max = count.unwrap_or(u64::MAX);
    let reply = &mut *call.reply;
    reply.map(9);
    number(reply, "length", info.length);
    // There is no radix tree.
    number(reply, "radix-tree-keys", 0);
    number(reply, "radix-tree-nodes", 0);
    for (name, id) in [
        ("last-generated-id", info.last),
        ("max-deleted-entry-id", info.deleted_max),
    ] {
        reply.bulk(name);
        reply.bulk(id.to_string());
    }
    number(reply, "entries-added", info.added);
    reply.bulk("recorded-first-entry-id");
    let first = info.first_entry.map_or(StreamId::MIN, |entry| entry.id);
    reply.bulk(first.to_string());
    reply.bulk("entries");
    put_entries(reply, &entries);
    reply.bulk("groups");
    reply.array(groups.len());
    for group in groups {
        let pending = from
            .reader
            .xpending_range(key, &group.name, range, pending_max, None, 0)
            .await?;
        let consumers = from.reader.xinfo_consumers(key, &group.name).await?;
        reply.map(7);
        reply.bulk("name");
        reply.bulk(&group.name);
        reply.bulk("last-delivered-id");
        reply.bulk(group.last_delivered.to_string());
        maybe_number(reply, "entries-read", group.entries_read);
        maybe_number(reply, "lag", group.lag);
        number(reply, "pel-count", group.pending);
        reply.bulk("pending");
        reply.array(pending.len());
        for entry in pending {
            reply.array(4);
            reply.bulk(entry.id.to_string());
            reply.bulk(&entry.consumer);
            put_delivery(reply, from, &entry);
        }
        reply.bulk("consumers");
        reply.array(consumers.len());
        for consumer in consumers {
            let name = Some(&consumer.name[..]);
            let pending = from
                .reader
                .xpending_range(key, &group.name, range, pending_max, name, 0)
                .await?;
            reply.map(5);
            reply.bulk("name");
            reply.bulk(&consumer.name);
            let moment = |millis: u64| from.now.0.saturating_sub(millis);
            number(reply, "seen-time", moment(consumer.idle_millis));
            reply.bulk("active-time");
            match consumer.inactive_millis {
                Some(millis) => reply.count(moment(millis)),
                None => reply.int(-1),
            }
            number(reply, "pel-count", consumer.pending);
            reply.bulk("pending");
            reply.array(pending.len());
            for entry in pending {
                reply.array(3);
                reply.bulk(entry.id.to_string());
                put_delivery(reply, from, &entry);
            }
        }
    }
    Ok(())
}

/// When and how often a pending entry was delivered.
fn put_delivery(reply: &mut Reply, from: &Reading<'_>, entry: &PendingEntry) {
    reply.count(from.now.0.saturating_sub(entry.idle_millis));
    reply.count(entry.deliveries);
}

/// `FULL [COUNT n]`; all for 0.
fn full_count(call: &Call<'_>) -> Result<Option<u64>> {
    let mut options = Cursor::new(call.request, 3);
    let unknown = Fault::Text(format!(
        "ERR unknown subcommand or wrong number of arguments for '{}'. Try XINFO HELP.",
        String::from_utf8_lossy(call.request.arg(1))
    ));
    if !options.take("FULL") {
        return Err(unknown);
    }
    let count = if options.left() == 0 {
        FULL_COUNT_DEFAULT
    } else if options.left() == 2 && options.take("COUNT") {
        // As Redis does it with a negative count.
        u64::try_from(integer(options.need()?)?).unwrap_or(FULL_COUNT_DEFAULT)
    } else {
        return Err(unknown);
    };
    Ok((count > 0).then_some(count))
}

async fn groups(call: &mut Call<'_>, from: &Reading<'_>) -> Result<()> {
    let groups = from.reader.xinfo_groups(call.request.arg(2)).await?;
    let reply = &mut *call.reply;
    reply.array(groups.len());
    for group in groups {
        reply.map(6);
        reply.bulk("name");
        reply.bulk(group.name);
        number(reply, "consumers", group.consumers);
        number(reply, "pending", group.pending);
        reply.bulk("last-delivered-id");
        reply.bulk(group.last_delivered.to_string());
        maybe_number(reply, "entries-read", group.entries_read);
        maybe_number(reply, "lag", group.lag);
    }
    Ok(())
}

async fn consumers(call: &mut Call<'_>, from: &Reading<'_>) -> Result<()> {
    let (key, group) = (call.request.arg(2), call.request.arg(3));
    if from.reader.exists(&[key]).await? == 0 {
        return Err(tessera_keyvalue::KeyValueError::NoSuchKey.into());
    }
    let found = from.reader.xinfo_consumers(key, group).await;
    let consumers = found.map_err(|error| match error {
        tessera_keyvalue::KeyValueError::NoSuchGroup { group } => Fault::Text(format!(
            "NOGROUP No such consumer group '{group}' for key name '{}'",
            String::from_utf8_lossy(key)
        )),
        other => other.into(),
    })?;
    let reply = &mut *call.reply;
    reply.array(consumers.len());
    for consumer in consumers {
        reply.map(4);
        reply.bulk("name");
        reply.bulk(consumer.name);
        number(reply, "pending", consumer.pending);
        number(reply, "idle", consumer.idle_millis);
        reply.bulk("inactive");
        match consumer.inactive_millis {
            Some(millis) => reply.count(millis),
            None => reply.int(-1),
        }
    }
    Ok(())
}
