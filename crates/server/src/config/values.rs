//! The typed result, and the checks between settings.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::load::{ConfigError, Entry, Resolved};
use super::parse;
use super::table::Kind;

/// How clients prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Auth {
    Scram,
    Trust,
}

/// The configuration of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) postgres: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) redis: Option<SocketAddr>,
    pub(crate) auth: Auth,
    /// Certificate and key.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    pub(crate) allow_plaintext: bool,
    pub(crate) http_host_names: Vec<String>,
    pub(crate) json_log: bool,
    pub(crate) log_level: String,
    pub(crate) connections_max: usize,
    pub(crate) connections_reserved: usize,
    pub(crate) login_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) statement_timeout: Duration,
    pub(crate) synchronous_commit: String,
    pub(crate) idle_in_transaction_timeout: Duration,
    pub(crate) query_memory_bytes: usize,
    pub(crate) recent_memory_bytes: usize,
    pub(crate) cache_bytes: usize,
    pub(crate) write_buffer_bytes: usize,
    pub(crate) changes_retention_bytes: usize,
    pub(crate) changes_retention_time: Duration,
    pub(crate) query_threads: usize,
    pub(crate) drain_timeout: Duration,
}

/// Takes values out of texts and collects what is wrong with them.
struct Reader<'a> {
    resolved: &'a Resolved,
    errors: Vec<ConfigError>,
}

impl Reader<'_> {
    fn read<T: Default>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&Entry) -> Result<T, String>,
    ) -> T {
        let entry = self.resolved.entry(key);
        parse(entry).unwrap_or_else(|reason| {
            let message = format!("{key} = {:?} is not valid: {reason}", entry.text);
            self.errors.push(ConfigError::new(&entry.origin, message));
            T::default()
        })
    }

    fn text(&mut self, key: &str) -> String {
        self.read(key, |entry| Ok(entry.text.clone()))
    }

    fn path(&mut self, key: &str) -> Option<PathBuf> {
        let text = self.text(key);
        (!text.is_empty()).then(|| PathBuf::from(text))
    }

    fn address(&mut self, key: &str) -> Option<SocketAddr> {
        self.read(key, |entry| {
            let optional = entry.setting.kind == Kind::Address { optional: true };
            if entry.text.is_empty() && optional {
                return Ok(None);
            }
            parse::address(&entry.text).map(Some)
        })
    }

    fn choice(&mut self, key: &str) -> String {
        self.read(key, |entry| match entry.setting.kind {
            Kind::Choice(choices) if !choices.contains(&entry.text.as_str()) => {
                Err(format!("it must be {}", choices.join(" or ")))
            }
            _ => Ok(entry.text.clone()),
        })
    }

    fn switch(&mut self, key: &str) -> bool {
        self.read(key, |entry| parse::switch(&entry.text))
    }

    fn count(&mut self, key: &str) -> usize {
        self.read(key, |entry| {
            let Kind::Count { min, max } = entry.setting.kind else {
                return Err("it is not a number".to_owned());
            };
            let count = parse::count(&entry.text, min, max)?;
            usize::try_from(count).map_err(|_| "it is too large".to_owned())
        })
    }

    fn bytes(&mut self, key: &str) -> usize {
        self.read(key, |entry| {
            let Kind::Bytes { min } = entry.setting.kind else {
                return Err("it is not a size".to_owned());
            };
            let bytes = parse::bytes(&entry.text, min)?;
            usize::try_from(bytes).map_err(|_| "it is too large".to_owned())
        })
    }

    fn duration(&mut self, key: &str) -> Duration {
        self.read(key, |entry| parse::duration(&entry.text))
    }

    fn reject(&mut self, key: &str, message: impl Into<String>, hint: &str) {
        let origin = &self.resolved.entry(key).origin;
        self.errors
            .push(ConfigError::new(origin, message).with_hint(hint));
    }
}

impl Config {
    /// Turns texts into values and checks them against each other.
    pub(crate) fn from_resolved(resolved: &Resolved) -> Result<Config, Vec<ConfigError>> {
        let mut reader = Reader {
            resolved,
            errors: Vec::new(),
        };
        let unset = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = Config {
            data_dir: reader.path("data_dir").unwrap_or_default(),
            postgres: reader.address("postgres").unwrap_or(unset),
            http: reader.address("http").unwrap_or(unset),
            redis: reader.address("redis"),
            auth: if reader.choice("auth") == "trust" {
                Auth::Trust
            } else {
                Auth::Scram
            },
            tls: reader.path("tls_cert").zip(reader.path("tls_key")),
            allow_plaintext: reader.switch("allow_plaintext"),
            http_host_names: {
                let names = reader.text("http_host_names");
                let names = names
                    .split(',')
                    .map(str::trim)
                    .filter(|name| !name.is_empty());
                names.map(str::to_owned).collect()
            },
            json_log: reader.choice("log_format") == "json",
            log_level: reader.text("log_level"),
            connections_max: reader.count("connections_max"),
            connections_reserved: reader.count("connections_reserved"),
            login_timeout: reader.duration("login_timeout"),
            write_timeout: reader.duration("write_timeout"),
            statement_timeout: reader.duration("statement_timeout"),
            idle_in_transaction_timeout: reader.duration("idle_in_transaction_session_timeout"),
            synchronous_commit: reader.choice("synchronous_commit"),
            query_memory_bytes: reader.bytes("query_memory"),
            recent_memory_bytes: reader.bytes("recent_memory"),
            cache_bytes: reader.bytes("cache_memory"),
            write_buffer_bytes: reader.bytes("write_buffer"),
            changes_retention_bytes: reader.bytes("changes_retention"),
            changes_retention_time: reader.duration("changes_retention_time"),
            query_threads: reader.count("query_threads"),
            drain_timeout: reader.duration("drain_timeout"),
        };
        if reader.errors.is_empty() {
            config.check(&mut reader);
        }
        if reader.errors.is_empty() {
            Ok(config)
        } else {
            Err(reader.errors)
        }
    }

    fn check(&self, reader: &mut Reader<'_>) {
        if self.data_dir.as_os_str().is_empty() {
            reader.reject(
                "data_dir",
                "data_dir is empty",
                "name the directory of the data",
            );
        }
        let given = |key: &str| !reader.resolved.entry(key).text.is_empty();
        let (cert, key) = (given("tls_cert"), given("tls_key"));
        if cert != key {
            let present = if cert { "tls_cert" } else { "tls_key" };
            reader.reject(
                present,
                "TLS needs tls_cert and tls_key",
                "set both, or neither",
            );
        }
        if self.auth == Auth::Trust && !self.postgres.ip().is_loopback() {
            reader.reject(
                "auth",
                format!(
                    "auth = \"trust\" is refused: {} can be reached by others",
                    self.postgres
                ),
                "use scram, or listen on 127.0.0.1",
            );
        }
        let redis = self.redis.map(|address| ("redis", address));
        for (key, address) in [("postgres", self.postgres), ("http", self.http)]
            .into_iter()
            .chain(redis)
        {
            if !address.ip().is_loopback() && self.tls.is_none() && !self.allow_plaintext {
                reader.reject(
                    key,
                    format!("{address} can be reached by others, and TLS is off"),
                    "set tls_cert and tls_key, or allow_plaintext = true if the network is yours",
                );
            }
        }
        if self.connections_reserved >= self.connections_max {
            reader.reject(
                "connections_reserved",
                "connections_reserved must be less than connections_max",
                "ordinary users could not connect at all",
            );
        }
        for (key, time) in [
            ("login_timeout", self.login_timeout),
            ("write_timeout", self.write_timeout),
        ] {
            if time.is_zero() {
                reader.reject(
                    key,
                    format!("{key} must not be 0"),
                    "a silent client would stay for ever",
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, resolve};

    fn config(flags: &[(&'static str, &str)]) -> Result<Config, String> {
        let flags = flags
            .iter()
            .map(|(key, text)| (*key, (*text).to_owned()))
            .collect();
        let resolved = resolve(&Sources {
            flags,
            ..Sources::default()
        })
        .unwrap();
        Config::from_resolved(&resolved).map_err(|errors| errors[0].to_string())
    }

    #[test]
    fn the_defaults_are_valid() {
        let config = config(&[]).unwrap();
        assert_eq!(config.postgres.to_string(), "127.0.0.1:5433");
        assert_eq!(config.auth, Auth::Scram);
        assert_eq!(config.idle_in_transaction_timeout, Duration::from_secs(600));
    }

    #[test]
    fn nobody_gets_in_from_outside_without_a_password_or_in_plain_text() {
        let open = ("postgres", "0.0.0.0:5433");
        let error = config(&[open, ("auth", "trust"), ("allow_plaintext", "true")]).unwrap_err();
        assert!(
            error.starts_with("flag --auth: auth = \"trust\" is refused"),
            "{error}"
        );
        let error = config(&[open]).unwrap_err();
        assert!(
            error.contains("can be reached by others, and TLS is off"),
            "{error}"
        );
        assert!(config(&[("http", "[::]:8080")]).is_err());
        assert!(config(&[open, ("allow_plaintext", "true")]).is_ok());
        assert!(config(&[open, ("tls_cert", "a"), ("tls_key", "b")]).is_ok());
        assert!(config(&[("auth", "trust")]).is_ok());
    }

    #[test]
    fn wrong_values_name_their_origin() {
        for (key, text, expected) in [
            (
                "postgres",
                "5433",
                "flag --postgres: postgres = \"5433\" is not valid",
            ),
            ("auth", "none", "it must be scram or trust"),
            ("query_memory", "12", "it needs one of the units"),
            ("connections_max", "0", "it must be from 1 to 100000"),
            (
                "connections_reserved",
                "100",
                "must be less than connections_max",
            ),
            ("login_timeout", "0", "must not be 0"),
            ("tls_cert", "a", "TLS needs tls_cert and tls_key"),
            ("allow_plaintext", "perhaps", "it must be true or false"),
            ("data_dir", "", "data_dir is empty"),
        ] {
            let error = config(&[(key, text)]).unwrap_err();
            assert!(error.contains(expected), "{key}: {error}");
        }
    }
}
