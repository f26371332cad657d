//! INFO.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use super::Session;
use super::login::REDIS_VERSION;
use crate::door::{DATABASES, Database};
use crate::reply::Reply;
use crate::request::Request;

/// Sections in their order.
const SECTIONS: [&str; 8] = [
    "server",
    "clients",
    "memory",
    "persistence",
    "stats",
    "replication",
    "cluster",
    "keyspace",
];

impl Session {
    /// INFO [section ...]
    pub(super) async fn info(&mut self, request: &Request, reply: &mut Reply) {
        let is_wanted = |section: &str| {
            request.len() == 1
                || (1..request.len()).any(|at| {
                    request.is(at, section)
                        || ["all", "default", "everything"]
                            .iter()
                            .any(|all| request.is(at, all))
                })
        };
        let mut out = String::new();
        for section in SECTIONS {
            if !is_wanted(section) {
                continue;
            }
            if !out.is_empty() {
                out.push_str("\r\n");
            }
            let title = format!("{}{}", section[..1].to_uppercase(), &section[1..]);
            // Writing to memory does not fail.
            let _ = write!(out, "# {title}\r\n");
            if section == "keyspace" {
                self.keyspace(&mut out).await;
            } else {
                self.section(section, &mut out);
            }
        }
        reply.text(&out);
    }

    fn section(&self, section: &str, out: &mut String) {
        let facts = self.hub.door.facts();
        let totals = &self.hub.totals;
        let mut put = |name: &str, value: &dyn std::fmt::Display| {
            let _ = write!(out, "{name}:{value}\r\n");
        };
        match section {
            "server" => {
                put("redis_version", &REDIS_VERSION);
                put("tessera_version", &facts.version);
                put("redis_mode", &"standalone");
                put("os", &std::env::consts::OS);
                put("arch_bits", &usize::BITS);
                put("process_id", &std::process::id());
                put("tcp_port", &self.hub.port);
                put("uptime_in_seconds", &facts.uptime_seconds);
                put("uptime_in_days", &(facts.uptime_seconds / 86_400));
            }
            "clients" => {
                let clients = self.hub.clients.all();
                let blocked = clients
                    .iter()
                    .filter(|client| client.block.is_waiting())
                    .count();
                put("connected_clients", &clients.len());
                put("maxclients", &self.hub.options.connections_max);
                put("blocked_clients", &blocked);
            }
            "memory" => {
                put("used_memory", &facts.memory_bytes);
                put("maxmemory", &facts.memory_bytes_max);
                put("maxmemory_policy", &"noeviction");
            }
            "persistence" => {
                put("loading", &0);
                put("aof_enabled", &1);
                put("aof_last_write_status", &"ok");
                put("rdb_bgsave_in_progress", &0);
            }
            "stats" => {
                for (name, total) in [
                    ("total_connections_received", &totals.connections),
                    ("total_commands_processed", &totals.commands),
                    ("total_net_input_bytes", &totals.input_bytes),
                    ("total_net_output_bytes", &totals.output_bytes),
                    ("rejected_connections", &totals.rejected),
                    ("total_error_replies", &totals.errors),
                ] {
                    put(name, &total.load(Ordering::Relaxed));
                }
                let channels = &self.hub.channels;
                put(
                    "pubsub_channels",
                    &channels.count(crate::hub::channels::Kind::Channel),
                );
                put(
                    "pubsub_patterns",
                    &channels.count(crate::hub::channels::Kind::Pattern),
                );
            }
            "replication" => {
                put("role", &"master");
                put("connected_slaves", &0);
            }
            "cluster" => put("cluster_enabled", &0),
            _ => {}
        }
    }

    /// Databases that have keys. Those that the user may not see are left out.
    async fn keyspace(&self, out: &mut String) {
        let Some(login) = &self.login else {
            return;
        };
        let now = self.now();
        for number in 0..DATABASES {
            let database = Database::Number(number);
            let Ok(space) = self.hub.door.space(login, database).await else {
                continue;
            };
            let Ok(footprint) = space.footprint(None, now).await else {
                continue;
            };
            if footprint.keys > 0 {
                let _ = write!(
                    out,
                    "db{number}:keys={},expires={},avg_ttl=0\r\n",
                    footprint.keys, footprint.expiring
                );
            }
        }
    }
}
