//! What needs no key space and no waiting: PING, TIME, CONFIG, COMMAND and the like.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use tessera_keyvalue::glob_matches;
use tessera_transactions::Transaction;

use super::{Result, Session};
use crate::args::{Cursor, integer};
use crate::fault::{Fault, SYNTAX};
use crate::hub::channels::Kind;
use crate::hub::notifications::{format_flags, parse_flags};
use crate::reply::Reply;
use crate::request::Request;
use crate::table::{self, Command, ROWS, Row};

/// Settings that clients ask for and that never change.
const SETTINGS: [(&str, &str); 20] = [
    ("activedefrag", "no"),
    ("appendfsync", "always"),
    ("appendonly", "yes"),
    ("databases", "16"),
    ("hash-max-listpack-entries", "128"),
    ("hash-max-listpack-value", "64"),
    ("lazyfree-lazy-expire", "no"),
    ("list-max-listpack-size", "-2"),
    ("maxmemory", "0"),
    ("maxmemory-policy", "noeviction"),
    ("maxmemory-samples", "5"),
    ("proto-max-bulk-len", "536870912"),
    ("save", ""),
    ("set-max-intset-entries", "512"),
    ("set-max-listpack-entries", "128"),
    ("slowlog-log-slower-than", "-1"),
    ("slowlog-max-len", "0"),
    ("timeout", "0"),
    ("zset-max-listpack-entries", "128"),
    ("zset-max-listpack-value", "64"),
];
/// Settings that have no meaning here, and that attackers try to change.
const PROTECTED: [&str; 5] = ["dbfilename", "dir", "logfile", "requirepass", "unixsocket"];
const NOTIFY: &str = "notify-keyspace-events";

impl Session {
    /// Runs a command; within EXEC, in its transaction.
    pub(super) fn simple(
        &mut self,
        row: &'static Row,
        request: &Request,
        reply: &mut Reply,
        txn: Option<&Transaction>,
    ) -> Result<()> {
        match row.command {
            Command::Ping => self.ping(request, reply)?,
            Command::Echo => reply.bulk(request.arg(1)),
            Command::Time => self.time(reply),
            Command::Unwatch => self.unwatch(reply),
            Command::Publish | Command::Spublish => {
                let kind = match row.command {
                    Command::Publish => Kind::Channel,
                    _ => Kind::Shard,
                };
                let channel = Bytes::copy_from_slice(request.arg(1));
                let payload = Bytes::copy_from_slice(request.arg(2));
                let open = self.open.as_ref().map(|open| open.usable()).transpose()?;
                let receivers = self.publish(kind, channel, payload, txn.or(open.as_ref()));
                reply.count(receivers);
            }
            Command::Subscribe | Command::Psubscribe | Command::Ssubscribe => {
                self.subscribe(row.command, request, reply)?;
            }
            Command::Unsubscribe | Command::Punsubscribe | Command::Sunsubscribe => {
                self.unsubscribe(row.command, request, reply);
            }
            Command::PubsubChannels
            | Command::PubsubNumsub
            | Command::PubsubNumpat
            | Command::PubsubShardchannels
            | Command::PubsubShardnumsub => self.pubsub(row.command, request, reply),
            Command::Command => table::describe(reply),
            Command::CommandCount => table::count(reply),
            Command::CommandDocs => table::docs(request, reply),
            Command::CommandInfo => table::info(request, reply),
            Command::CommandList => table::list(request, reply)?,
            Command::CommandGetkeys => table::get_keys(request, reply)?,
            Command::ConfigGet => self.config_get(request, reply),
            Command::ConfigSet => self.config_set(request, reply)?,
            Command::ConfigResetstat => {
                self.hub.totals.reset();
                reply.ok();
            }
            Command::AclWhoami => reply.bulk(self.client.words.lock().user.as_bytes()),
            Command::Role => {
                reply.array(3);
                reply.bulk("master");
                reply.int(0);
                reply.array(0);
            }
            Command::Wait => {
                integer(request.arg(1))?;
                if integer(request.arg(2))? < 0 {
                    return Err(Fault::Static("ERR timeout is negative"));
                }
                reply.int(0);
            }
            Command::Waitaof => {
                if !matches!(integer(request.arg(1))?, 0 | 1) {
                    return Err(Fault::Static(
                        "ERR value is out of range, value must between 0 and 1",
                    ));
                }
                integer(request.arg(2))?;
                reply.array(2);
                reply.int(1);
                reply.int(0);
            }
            Command::Lastsave => reply.count(self.now().0 / 1_000),
            Command::Lolwut => {
                let facts = self.hub.door.facts();
                reply.text(&format!("Tessera ver. {}\n", facts.version));
            }
            Command::LatencyDoctor | Command::MemoryDoctor => {
                reply.text("See the metrics of the HTTP port: /metrics");
            }
            Command::LatencyHistory | Command::LatencyLatest => reply.array(0),
            Command::LatencyReset | Command::SlowlogLen => reply.int(0),
            Command::SlowlogGet => {
                if request.len() > 3 {
                    return Err(SYNTAX);
                }
                if request.len() == 3 && integer(request.arg(2))? < -1 {
                    return Err(Fault::Static(
                        "ERR count should be greater than or equal to -1",
                    ));
                }
                reply.array(0);
            }
            Command::SlowlogReset | Command::MemoryPurge => reply.ok(),
            Command::ObjectHelp
            | Command::XgroupHelp
            | Command::XinfoHelp
            | Command::PubsubHelp
            | Command::ClientHelp
            | Command::CommandHelp
            | Command::ConfigHelp
            | Command::LatencyHelp
            | Command::MemoryHelp
            | Command::SlowlogHelp => help(row, reply),
            _ => return self.client(row, request, reply),
        }
        Ok(())
    }

    fn ping(&self, request: &Request, reply: &mut Reply) -> Result<()> {
        if request.len() > 2 {
            return Err(Fault::Static(
                "ERR wrong number of arguments for 'ping' command",
            ));
        }
        if self.is_subscribed() && !reply.is_resp3 {
            // As a message, for the client reads messages only.
            reply.array(2);
            reply.bulk("pong");
            reply.bulk(request.arg(1));
        } else if request.len() == 2 {
            reply.bulk(request.arg(1));
        } else {
            reply.simple("PONG");
        }
        Ok(())
    }

    fn time(&self, reply: &mut Reply) {
        let micros = self.hub.door.clock().unix_micros();
        reply.array(2);
        reply.bulk((micros / 1_000_000).to_string());
        reply.bulk((micros % 1_000_000).to_string());
    }

    /// CONFIG GET pattern ...
    fn config_get(&self, request: &Request, reply: &mut Reply) {
        let options = &self.hub.options;
        let variable = [
            (NOTIFY, {
                format_flags(self.hub.notified.load(Ordering::Relaxed))
            }),
            ("maxclients", options.connections_max.to_string()),
            ("port", self.hub.port.to_string()),
            ("bind", options.address.ip().to_string()),
        ];
        let fixed = SETTINGS
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        let found: Vec<(&str, String)> = fixed
            .chain(variable)
            .filter(|(name, _)| {
                (2..request.len()).any(|at| {
                    let pattern = request.arg(at).to_ascii_lowercase();
                    glob_matches(&pattern, name.as_bytes())
                })
            })
            .collect();
        reply.map(found.len());
        for (name, value) in found {
            reply.bulk(name);
            reply.bulk(value);
        }
    }

    /// CONFIG SET notify-keyspace-events flags: nothing else may be changed from here. What is set to
    /// what it is already is accepted, for that is what scripts do that make sure of something.
    fn config_set(&self, request: &Request, reply: &mut Reply) -> Result<()> {
        if !request.len().is_multiple_of(2) {
            return Err(Fault::Static(
                "ERR wrong number of arguments for 'config|set' command",
            ));
        }
        let mut options = Cursor::new(request, 2);
        let mut flags = None;
        while options.left() > 0 {
            if options.take(NOTIFY) {
                flags = Some(parse_flags(options.need()?).ok_or(Fault::Static(
                    "ERR CONFIG SET failed (possibly related to argument \
                     'notify-keyspace-events') - Invalid event class character. Use \
                     'Ag$lshzxeKEtmdn'.",
                ))?);
                continue;
            }
            let name = String::from_utf8_lossy(options.need()?).to_lowercase();
            let value = options.need()?;
            let known = SETTINGS.iter().find(|(known, _)| *known == name);
            match known {
                Some((_, fixed)) if fixed.as_bytes().eq_ignore_ascii_case(value) => continue,
                Some((_, fixed)) => {
                    return Err(Fault::Text(format!(
                        "ERR CONFIG SET failed (possibly related to argument '{name}') - can't set \
                         protected config: it is '{fixed}' here"
                    )));
                }
                None => {}
            }
            return Err(Fault::Text(if PROTECTED.contains(&name.as_str()) {
                format!(
                    "ERR CONFIG SET failed (possibly related to argument '{name}') - can't set \
                     protected config"
                )
            } else {
                format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'")
            }));
        }
        if let Some(flags) = flags {
            self.hub.set_notified(flags);
        }
        reply.ok();
        Ok(())
    }
}

/// The subcommands of a command and what they do.
fn help(row: &Row, reply: &mut Reply) {
    let container = row.name.split('|').next().unwrap_or_default();
    let mut lines = vec![format!(
        "{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        container.to_uppercase()
    )];
    for row in ROWS {
        if let Some(subcommand) = row
            .name
            .strip_prefix(container)
            .and_then(|rest| rest.strip_prefix('|'))
        {
            lines.push(subcommand.to_uppercase());
            lines.push(format!("    {}", row.summary));
        }
    }
    reply.array(lines.len());
    for line in lines {
        reply.simple(&line);
    }
}
