//! CLIENT and its subcommands.

use std::time::Duration;

use super::{Answers, Result, Session};
use crate::args::{Cursor, integer};
use crate::fault::{Fault, SYNTAX};
use crate::hub::clients::{Client, NAME_BYTES_MAX, Unblock};
use crate::reply::Reply;
use crate::request::Request;
use crate::table::{Command, Row};

/// Which connections CLIENT KILL and CLIENT LIST mean. What is not given means all.
#[derive(Debug, Default)]
struct Filter {
    ids: Vec<u64>,
    address: Option<String>,
    local: Option<String>,
    user: Option<String>,
    kind: Option<Kind>,
    /// Seconds.
    age_min: Option<u64>,
    skips_me: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Subscriber,
    /// Of which there are none.
    Other,
}

impl Kind {
    fn parse(word: &[u8]) -> Result<Kind> {
        match word.to_ascii_lowercase().as_slice() {
            b"normal" => Ok(Kind::Normal),
            b"pubsub" => Ok(Kind::Subscriber),
            b"master" | b"replica" | b"slave" => Ok(Kind::Other),
            _ => Err(Fault::Text(format!(
                "ERR Unknown client type '{}'",
                String::from_utf8_lossy(word)
            ))),
        }
    }

    fn of(client: &Client) -> Kind {
        let is_subscribed = client
            .subscriptions
            .iter()
            .any(|count| count.load(std::sync::atomic::Ordering::Relaxed) > 0);
        if is_subscribed {
            Kind::Subscriber
        } else {
            Kind::Normal
        }
    }
}

impl Filter {
    fn accepts(&self, client: &Client, me: u64, now: Duration) -> bool {
        let is_address = |wanted: &Option<String>, address: std::net::SocketAddr| {
            wanted
                .as_ref()
                .is_none_or(|wanted| *wanted == address.to_string())
        };
        let age = now.saturating_sub(client.since).as_secs();
        (self.ids.is_empty() || self.ids.contains(&client.id))
            && is_address(&self.address, client.peer)
            && is_address(&self.local, client.local)
            && self
                .user
                .as_ref()
                .is_none_or(|user| *user == client.words.lock().user)
            && self.kind.is_none_or(|kind| kind == Kind::of(client))
            && self.age_min.is_none_or(|min| age >= min)
            && !(self.skips_me && client.id == me)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn client_id(text: &[u8]) -> Result<u64> {
    integer(text)
        .ok()
        .and_then(|id| u64::try_from(id).ok())
        .filter(|id| *id > 0)
        .ok_or(Fault::Static("ERR client-id should be greater than 0"))
}

/// A name without spaces and control characters.
fn checked_name(bytes: &[u8], what: &str) -> Result<String> {
    let is_plain = bytes.iter().all(|byte| (b'!'..=b'~').contains(byte));
    if is_plain && bytes.len() <= NAME_BYTES_MAX {
        return Ok(text(bytes));
    }
    Err(Fault::Text(format!(
        "ERR {what} cannot contain spaces, newlines or special characters."
    )))
}

impl Session {
    fn monotonic(&self) -> Duration {
        self.hub.door.clock().monotonic()
    }

    pub(super) fn set_name(&mut self, name: &[u8]) -> Result<()> {
        let name = checked_name(name, "Client names")?;
        self.client.words.lock().name = name;
        Ok(())
    }

    pub(super) fn client(&mut self, row: &Row, request: &Request, reply: &mut Reply) -> Result<()> {
        match row.command {
            Command::ClientId => reply.count(self.client.id),
            Command::ClientGetname => {
                let name = self.client.words.lock().name.clone();
                reply.maybe((!name.is_empty()).then_some(name));
            }
            Command::ClientSetname => {
                self.set_name(request.arg(2))?;
                reply.ok();
            }
            Command::ClientSetinfo => {
                let value = checked_name(request.arg(3), &text(request.arg(2)))?;
                let mut words = self.client.words.lock();
                if request.is(2, "LIB-NAME") {
                    words.library = value;
                } else if request.is(2, "LIB-VER") {
                    words.library_version = value;
                } else {
                    return Err(Fault::Text(format!(
                        "ERR Unrecognized option '{}'",
                        text(request.arg(2))
                    )));
                }
                reply.ok();
            }
            Command::ClientGetredir => reply.int(-1),
            Command::ClientInfo => {
                let mut line = String::new();
                self.client.describe(self.monotonic(), &mut line);
                reply.text(&line);
            }
            Command::ClientList => self.client_list(request, reply)?,
            Command::ClientKill => self.client_kill(request, reply)?,
            Command::ClientUnblock => self.client_unblock(request, reply)?,
            Command::ClientNoevict | Command::ClientNotouch => {
                if !request.is(2, "ON") && !request.is(2, "OFF") {
                    return Err(SYNTAX);
                }
                reply.ok();
            }
            Command::ClientReply => {
                self.answers = if request.is(2, "ON") {
                    reply.ok();
                    Answers::On
                } else if request.is(2, "OFF") {
                    Answers::Off
                } else if request.is(2, "SKIP") {
                    match self.answers {
                        Answers::Off => Answers::Off,
                        _ => Answers::SkipNext,
                    }
                } else {
                    return Err(SYNTAX);
                };
            }
            // The container itself: it has too few arguments, which its subcommands tell.
            _ => {
                return Err(Fault::Text(format!(
                    "ERR wrong number of arguments for '{}' command",
                    row.name
                )));
            }
        }
        Ok(())
    }

    /// CLIENT LIST [TYPE type] [ID id ...]
    fn client_list(&self, request: &Request, reply: &mut Reply) -> Result<()> {
        let mut filter = Filter::default();
        let mut options = Cursor::new(request, 2);
        if options.take("TYPE") {
            filter.kind = Some(Kind::parse(options.need()?)?);
        } else if options.take("ID") {
            filter.ids.push(client_id(options.need()?)?);
            while let Some(id) = options.next() {
                filter.ids.push(client_id(id)?);
            }
        }
        options.end()?;
        let now = self.monotonic();
        let mut lines = String::new();
        for client in self.hub.clients.all() {
            if filter.accepts(&client, self.client.id, now) {
                client.describe(now, &mut lines);
            }
        }
        reply.text(&lines);
        Ok(())
    }

    /// CLIENT KILL address, CLIENT KILL [ID id] [ADDR a] [LADDR a] [USER u] [TYPE t] [MAXAGE s]
    /// [SKIPME YES | NO]
    fn client_kill(&self, request: &Request, reply: &mut Reply) -> Result<()> {
        let now = self.monotonic();
        if request.len() == 3 {
            let wanted = text(request.arg(2));
            let all = self.hub.clients.all();
            let found = all
                .iter()
                .find(|client| client.peer.to_string() == wanted)
                .ok_or(Fault::Static("ERR No such client"))?;
            found.killed.cancel();
            reply.ok();
            return Ok(());
        }
        let mut filter = Filter {
            skips_me: true,
            ..Filter::default()
        };
        let mut options = Cursor::new(request, 2);
        while options.left() > 0 {
            if options.take("ID") {
                filter.ids.push(client_id(options.need()?)?);
            } else if options.take("ADDR") {
                filter.address = Some(text(options.need()?));
            } else if options.take("LADDR") {
                filter.local = Some(text(options.need()?));
            } else if options.take("USER") {
                filter.user = Some(text(options.need()?));
            } else if options.take("TYPE") {
                filter.kind = Some(Kind::parse(options.need()?)?);
            } else if options.take("MAXAGE") {
                let age = integer(options.need()?)?;
                filter.age_min = Some(
                    u64::try_from(age)
                        .map_err(|_| Fault::Static("ERR maxage should be greater than 0"))?,
                );
            } else if options.take("SKIPME") {
                filter.skips_me = if options.take("YES") {
                    true
                } else if options.take("NO") {
                    false
                } else {
                    return Err(SYNTAX);
                };
            } else {
                return Err(SYNTAX);
            }
        }
        let mut killed = 0;
        for client in self.hub.clients.all() {
            if filter.accepts(&client, self.client.id, now) {
                client.killed.cancel();
                killed += 1;
            }
        }
        reply.count(killed);
        Ok(())
    }

    /// CLIENT UNBLOCK id [TIMEOUT | ERROR]
    fn client_unblock(&self, request: &Request, reply: &mut Reply) -> Result<()> {
        let id = integer(request.arg(2))?;
        let mut options = Cursor::new(request, 3);
        let how = if options.left() == 0 || options.take("TIMEOUT") {
            Unblock::Timeout
        } else if options.take("ERROR") {
            Unblock::Error
        } else {
            return Err(Fault::Static(
                "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
            ));
        };
        options.end()?;
        let client = u64::try_from(id)
            .ok()
            .and_then(|id| self.hub.clients.get(id));
        reply.flag(client.is_some_and(|client| client.block.end(how)));
        Ok(())
    }
}
