//! LCS: the longest common subsequence of two strings. <https://redis.io/commands/lcs/>

use super::{Call, Reading};
use crate::args::{Cursor, integer};
use crate::fault::{Fault, Result, SYNTAX};

/// LCS key1 key2 [LEN] [IDX] [MINMATCHLEN n] [WITHMATCHLEN]
pub(super) async fn run(call: &mut Call<'_>, from: &Reading<'_>) -> Result<()> {
    let (mut only_length, mut with_places, mut with_lengths) = (false, false, false);
    let mut length_min = 0;
    let mut options = Cursor::new(call.request, 3);
    while options.left() > 0 {
        if options.take("LEN") {
            only_length = true;
        } else if options.take("IDX") {
            with_places = true;
        } else if options.take("WITHMATCHLEN") {
            with_lengths = true;
        } else if options.take("MINMATCHLEN") {
            length_min = u64::try_from(integer(options.need()?)?).unwrap_or(0);
        } else {
            return Err(SYNTAX);
        }
    }
    if only_length && with_places {
        return Err(Fault::Static(
            "ERR If you want both the length and indexes, please just use IDX.",
        ));
    }
    let lcs = from
        .reader
        .lcs(call.request.arg(1), call.request.arg(2))
        .await?;
    if only_length {
        call.reply.count(lcs.text.len() as u64);
    } else if with_places {
        let shown: Vec<_> = lcs
            .matches
            .iter()
            .filter(|found| found.length() >= length_min)
            .collect();
        let reply = &mut *call.reply;
        reply.map(2);
        reply.bulk("matches");
        reply.array(shown.len());
        for found in shown {
            reply.array(2 + usize::from(with_lengths));
            for (start, end) in [found.first, found.second] {
                reply.array(2);
                reply.count(start);
                reply.count(end);
            }
            if with_lengths {
                reply.count(found.length());
            }
        }
        reply.bulk("len");
        reply.count(lcs.text.len() as u64);
    } else {
        call.reply.bulk(&lcs.text);
    }
    Ok(())
}
