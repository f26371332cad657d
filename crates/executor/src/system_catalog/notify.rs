//! `pg_notify`, and what makes a message one.
//!
//! Source: PostgreSQL's page on NOTIFY, and its limits.

use std::sync::Arc;

use tessera_planner::functions::FunctionRegistry;
use tessera_storage::Notice;
use tessera_types::{Report, SqlType, Value, codes};

use super::functions::{Strictness, add, row_function};
use super::rows::text;

/// Bytes of a channel's name.
pub const CHANNEL_BYTES_MAX: usize = 63;
/// Bytes of a payload.
pub const PAYLOAD_BYTES_MAX: usize = 7_999;

/// Adds the function.
pub(super) fn register(registry: &mut FunctionRegistry) {
    use SqlType::{Text, Void};
    let notify = row_function(
        "pg_notify",
        &[Text, Text],
        Void,
        Strictness::Lenient,
        |call, arguments| {
            let words = |at: usize| match arguments.get(at) {
                Some(Value::Text(text)) => text.to_string(),
                _ => String::new(),
            };
            let process_id = call.statement.session.process_id;
            let notice = notice(&words(0), &words(1), process_id)?;
            call.statement
                .txn
                .notify(notice)
                .map_err(|error| error.report())?;
            Ok(text(""))
        },
    );
    add(registry, notify.volatile());
}

/// A message, if it may be sent.
///
/// # Errors
/// 22023 for a channel without a name, and for what is too long.
pub fn notice(channel: &str, payload: &str, process_id: i32) -> Result<Notice, Report> {
    let refused = |text: &str| Err(Report::error(codes::INVALID_PARAMETER_VALUE, text));
    if channel.is_empty() {
        return refused("channel name cannot be empty");
    }
    if channel.len() > CHANNEL_BYTES_MAX {
        return refused("channel name too long");
    }
    if payload.len() > PAYLOAD_BYTES_MAX {
        return refused("payload string too long");
    }
    Ok(Notice {
        channel: Arc::from(channel),
        payload: Arc::from(payload),
        process_id,
    })
}
