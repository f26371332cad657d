//! Whether a command may be run now, in the order in which Redis asks.

use crate::request::Request;
use crate::session::Session;
use crate::table::{Found, NO_AUTH, NO_MULTI, Row, SUBSCRIBED, find};

/// Bytes of an unknown command's name, and of its arguments, that the client is told.
const UNKNOWN_BYTES_MAX: usize = 128;

/// The row of a command that may be run now, or what is wrong with it.
pub(crate) fn check(
    session: &Session,
    request: &Request,
    is_resp3: bool,
) -> Result<&'static Row, String> {
    let row = match find(request) {
        Found::Row(row) => row,
        Found::NoSubcommand(row) => {
            let subcommand = shown(request.arg(1));
            return Err(format!(
                "ERR unknown subcommand '{subcommand}'. Try {} HELP.",
                row.name.to_uppercase()
            ));
        }
        Found::Nothing => return Err(unknown(request)),
    };
    if !row.accepts(request.len()) {
        return Err(format!(
            "ERR wrong number of arguments for '{}' command",
            row.name
        ));
    }
    if !session.is_logged_in() && !row.has(NO_AUTH) {
        return Err("NOAUTH Authentication required.".to_owned());
    }
    if session.is_subscribed() && !is_resp3 && !row.has(SUBSCRIBED) {
        return Err(format!(
            "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET \
             are allowed in this context",
            row.name
        ));
    }
    if session.is_queueing() && row.has(NO_MULTI) {
        return Err("ERR Command not allowed inside a transaction".to_owned());
    }
    Ok(row)
}

fn shown(bytes: &[u8]) -> String {
    let end = bytes.len().min(UNKNOWN_BYTES_MAX);
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn unknown(request: &Request) -> String {
    let mut arguments = String::new();
    for at in 1..request.len() {
        if arguments.len() >= UNKNOWN_BYTES_MAX {
            break;
        }
        let left = UNKNOWN_BYTES_MAX - arguments.len();
        let argument = request.arg(at);
        let argument = &argument[..argument.len().min(left)];
        arguments.push_str(&format!("'{}' ", String::from_utf8_lossy(argument)));
    }
    format!(
        "ERR unknown command '{}', with args beginning with: {arguments}",
        shown(request.arg(0))
    )
}
