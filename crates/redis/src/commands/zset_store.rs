//! Sorted sets whose members come from others.

use super::zset_args::{Combination, range};
use super::{Call, Writing, not_here};
use crate::fault::Result;
use crate::hub::notifications::{GENERIC, SORTED_SET};
use crate::table::Command;

pub(super) async fn write(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    let request = call.request;
    let target = request.arg(1);
    let (count, event) = match call.row.command {
        Command::Zunionstore | Command::Zinterstore | Command::Zdiffstore => {
            let combination = Combination::parse(call.row, request, 2)?;
            let keys = request.part(combination.keys.0, combination.keys.1);
            let count = to
                .writer
                .zset_operation_store(&combination.operation(), target, &keys)
                .await?;
            (count, call.row.name)
        }
        Command::Zrangestore => {
            let (spec, _) = range(call.row.command, request, 3)?;
            let count = to.writer.zrangestore(target, request.arg(2), &spec).await?;
            (count, "zrangestore")
        }
        _ => return Err(not_here(call.row)),
    };
    match count {
        0 => to.effects.event(GENERIC, "del", target),
        _ => {
            to.effects.event(SORTED_SET, event, target);
            to.effects.ready(target);
        }
    }
    call.reply.count(count);
    Ok(())
}
