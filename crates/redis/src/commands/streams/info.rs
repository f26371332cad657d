//! XINFO.

use tessera_keyvalue::StreamId;

use super::put_entry;
use crate::commands::{Call, Reading, not_here};
use crate::fault::{Fault, Result};
use crate::reply::Reply;
use crate::table::Command;

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
        return Err(Fault::Static("ERR XINFO STREAM FULL is not supported"));
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
