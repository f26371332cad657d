//! SORT and SORT_RO. <https://redis.io/commands/sort/>

use tessera_keyvalue::SortSpec;

use super::{Call, Reading, Writing};
use crate::args::{Cursor, integer};
use crate::fault::{Fault, Result, SYNTAX};
use crate::hub::notifications::{GENERIC, LIST};
use crate::reply::Reply;
use crate::request::Request;

/// `key [BY pattern] [LIMIT n n] [GET pattern ...] [ASC | DESC] [ALPHA] [STORE key]`; and the key
/// of STORE.
fn parse(request: &Request, may_store: bool) -> Result<(SortSpec<'_>, Option<&[u8]>)> {
    let mut spec = SortSpec::default();
    let mut target = None;
    let mut options = Cursor::new(request, 2);
    while options.left() > 0 {
        if options.take("ASC") {
            spec.descending = false;
        } else if options.take("DESC") {
            spec.descending = true;
        } else if options.take("ALPHA") {
            spec.alpha = true;
        } else if options.take("BY") {
            spec.by = Some(options.need()?);
        } else if options.take("GET") {
            spec.get.push(options.need()?);
        } else if options.take("LIMIT") {
            let skip = integer(options.need()?)?;
            let count = integer(options.need()?)?;
            spec.limit = Some((u64::try_from(skip).unwrap_or(0), count));
        } else if may_store && options.take("STORE") {
            target = Some(options.need()?);
        } else {
            return Err(SYNTAX);
        }
    }
    Ok((spec, target))
}

fn put(reply: &mut Reply, answers: Vec<Option<bytes::Bytes>>) {
    reply.array(answers.len());
    for answer in answers {
        reply.maybe(answer);
    }
}

/// A weight that is no number.
fn explain(error: tessera_keyvalue::KeyValueError) -> Fault {
    match Fault::from(error) {
        Fault::KeyValue(tessera_keyvalue::KeyValueError::NotAFloat) => {
            Fault::Static("ERR One or more scores can't be converted into double")
        }
        other => other,
    }
}

pub(super) async fn read(call: &mut Call<'_>, from: &Reading<'_>) -> Result<()> {
    let (spec, _) = parse(call.request, false)?;
    let sorted = from.reader.sort(call.request.arg(1), &spec).await;
    put(call.reply, sorted.map_err(explain)?);
    Ok(())
}

pub(super) async fn write(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    let (spec, target) = parse(call.request, true)?;
    let key = call.request.arg(1);
    let Some(target) = target else {
        let sorted = to.newest_reader().sort(key, &spec).await;
        put(call.reply, sorted.map_err(explain)?);
        return Ok(());
    };
    let count = to
        .writer
        .sort_store(target, key, &spec)
        .await
        .map_err(explain)?;
    match count {
        0 => to.effects.event(GENERIC, "del", target),
        _ => {
            to.effects.event(LIST, "sortstore", target);
            to.effects.ready(target);
        }
    }
    call.reply.count(count);
    Ok(())
}
