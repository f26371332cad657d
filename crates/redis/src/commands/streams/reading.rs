//! XREAD and XREADGROUP.

use bytes::Bytes;
use tessera_keyvalue::{KeyValueError, ReadFrom, ReadGroup, Reader, StreamId, parse_integer};

use super::args::{count, id};
use super::{put_entries, put_entry};
use crate::args::Cursor;
use crate::commands::{Call, Writing};
use crate::fault::{Fault, Result, SYNTAX};
use crate::hub::notifications::STREAM;
use crate::reply::Reply;
use crate::request::Request;

/// What stands before STREAMS, and where keys and ids begin.
#[derive(Debug, Default)]
struct Options {
    count: Option<u64>,
    /// Milliseconds to wait, 0 for ever; none for not at all.
    block_millis: Option<u64>,
    no_ack: bool,
    /// Place of the group's name.
    group: Option<usize>,
    /// Place of the first key.
    keys: usize,
    /// Number of streams.
    streams: usize,
}

impl Options {
    fn parse(request: &Request) -> Result<Options> {
        let is_group = request.is(0, "XREADGROUP");
        let mut parsed = Options::default();
        let mut options = Cursor::new(request, 1);
        loop {
            if options.take("BLOCK") {
                let millis = parse_integer(options.need()?).ok_or(Fault::Static(
                    "ERR timeout is not an integer or out of range",
                ))?;
                let millis =
                    u64::try_from(millis).map_err(|_| Fault::Static("ERR timeout is negative"))?;
                parsed.block_millis = Some(millis);
            } else if is_group && options.take("GROUP") {
                parsed.group = Some(options.at());
                options.need()?;
                options.need()?;
            } else if is_group && options.take("NOACK") {
                parsed.no_ack = true;
            } else if options.take("STREAMS") {
                break;
            } else {
                match count(&mut options)? {
                    // 0 means all.
                    Some(count) => parsed.count = (count > 0).then_some(count),
                    None => return Err(SYNTAX),
                }
            }
        }
        if options.left() == 0 || !options.left().is_multiple_of(2) {
            return Err(Fault::Text(format!(
                "ERR Unbalanced '{}' list of streams: for each stream key an ID or '{}' must be \
                 specified.",
                if is_group { "xreadgroup" } else { "xread" },
                if is_group { '>' } else { '$' },
            )));
        }
        if is_group && parsed.group.is_none() {
            return Err(Fault::Static("ERR Missing GROUP option for XREADGROUP"));
        }
        parsed.keys = options.at();
        parsed.streams = options.left() / 2;
        Ok(parsed)
    }

    fn key<'a>(&self, request: &'a Request, stream: usize) -> &'a [u8] {
        request.arg(self.keys + stream)
    }

    fn id<'a>(&self, request: &'a Request, stream: usize) -> &'a [u8] {
        request.arg(self.keys + self.streams + stream)
    }
}

/// How long XREAD and XREADGROUP wait, in milliseconds, 0 for ever; none if they do not wait.
pub(in crate::commands) fn block_millis(request: &Request) -> Result<Option<u64>> {
    Ok(Options::parse(request)?.block_millis)
}

/// Whether an XREAD begins behind what is there when it arrives.
pub(crate) fn names_newest(request: &Request) -> bool {
    Options::parse(request)
        .is_ok_and(|options| (0..options.streams).any(|stream| options.id(request, stream) == b"$"))
}

/// The same XREAD with ids in the place of `$`, so that it means the same when it is tried again.
pub(crate) async fn with_newest(request: &Request, reader: &Reader<'_>) -> Result<Request> {
    let options = Options::parse(request)?;
    let mut arguments: Vec<Bytes> = (0..request.len()).map(|at| request.bytes(at)).collect();
    for stream in 0..options.streams {
        if options.id(request, stream) == b"$" {
            let last = reader.stream_last_id(options.key(request, stream)).await?;
            arguments[options.keys + options.streams + stream] = Bytes::from(last.to_string());
        }
    }
    Ok(Request::joined(&arguments))
}

fn head(reply: &mut Reply, streams: usize) {
    if reply.is_resp3 {
        reply.map(streams);
    } else {
        reply.array(streams);
    }
}

fn put_key(reply: &mut Reply, key: &[u8]) {
    if !reply.is_resp3 {
        reply.array(2);
    }
    reply.bulk(key);
}

/// XREAD [COUNT n] [BLOCK ms] STREAMS key ... id ...
pub(in crate::commands) async fn read_streams(
    call: &mut Call<'_>,
    reader: &Reader<'_>,
) -> Result<()> {
    let request = call.request;
    let options = Options::parse(request)?;
    let mut streams = Vec::with_capacity(options.streams);
    for stream in 0..options.streams {
        let text = options.id(request, stream);
        let after = match text {
            b">" => {
                return Err(Fault::Static(
                    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP \
                     <group> <consumer> option.",
                ));
            }
            // Only where nobody waits: behind what is there is nothing.
            b"$" => StreamId::MAX,
            text => id(text)?,
        };
        streams.push((options.key(request, stream), after));
    }
    let found = reader.xread(&streams, options.count).await?;
    if found.is_empty() {
        return Err(Fault::WouldBlock);
    }
    head(call.reply, found.len());
    for (stream, entries) in found {
        put_key(call.reply, streams[stream].0);
        put_entries(call.reply, &entries);
    }
    Ok(())
}

/// XREADGROUP GROUP group consumer [COUNT n] [BLOCK ms] [NOACK] STREAMS key ... id ...
pub(in crate::commands) async fn read_groups(
    call: &mut Call<'_>,
    to: &mut Writing<'_>,
) -> Result<()> {
    let request = call.request;
    let options = Options::parse(request)?;
    let group_at = options.group.unwrap_or(0);
    let (group, consumer) = (request.arg(group_at), request.arg(group_at + 1));
    let mut found = Vec::new();
    for stream in 0..options.streams {
        let key = options.key(request, stream);
        let from = match options.id(request, stream) {
            b">" => ReadFrom::New,
            b"$" => {
                return Err(Fault::Static(
                    "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read \
                     the history of this consumer by specifying a proper ID, or use the > ID to \
                     get new messages. The $ ID would just return an empty result set.",
                ));
            }
            text => ReadFrom::PendingAfter(id(text)?),
        };
        let read = ReadGroup {
            from,
            count: options.count,
            no_ack: options.no_ack,
        };
        let entries = to.writer.xreadgroup(key, group, consumer, read).await;
        let entries = entries.map_err(|error| match error {
            KeyValueError::NoSuchKey | KeyValueError::NoSuchGroup { .. } => Fault::Text(format!(
                "NOGROUP No such key '{}' or consumer group '{}' in XREADGROUP with GROUP option",
                String::from_utf8_lossy(key),
                String::from_utf8_lossy(group)
            )),
            other => other.into(),
        })?;
        // What is pending is answered even if it is nothing.
        if from != ReadFrom::New || !entries.is_empty() {
            if from == ReadFrom::New {
                to.effects.event(STREAM, "xreadgroup", key);
            }
            found.push((key, entries));
        }
    }
    if found.is_empty() {
        return Err(Fault::WouldBlock);
    }
    head(call.reply, found.len());
    for (key, entries) in found {
        put_key(call.reply, key);
        call.reply.array(entries.len());
        for (id, fields) in entries {
            put_entry(call.reply, id, fields.as_ref());
        }
    }
    Ok(())
}
