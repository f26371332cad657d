//! HyperLogLog. <https://redis.io/commands/?group=hyperloglog>

use super::{Call, Reading, Writing, not_here};
use crate::fault::Result;
use crate::hub::notifications::STRING;
use crate::table::Command;

pub(super) async fn read(call: &mut Call<'_>, from: &Reading<'_>) -> Result<()> {
    match call.row.command {
        Command::Pfcount => {
            let count = from.reader.pfcount(&call.request.from(1)).await?;
            call.reply.count(count);
            Ok(())
        }
        _ => Err(not_here(call.row)),
    }
}

pub(super) async fn write(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    let request = call.request;
    let key = request.arg(1);
    match call.row.command {
        Command::Pfadd => {
            let is_changed = to.writer.pfadd(key, &request.from(2)).await?;
            if is_changed {
                to.effects.event(STRING, "pfadd", key);
            }
            call.reply.flag(is_changed);
        }
        Command::Pfmerge => {
            to.writer.pfmerge(key, &request.from(2)).await?;
            to.effects.event(STRING, "pfadd", key);
            call.reply.ok();
        }
        _ => return Err(not_here(call.row)),
    }
    Ok(())
}
