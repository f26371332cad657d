//! The settings: key, kind, default, meaning.

/// What a setting's text must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Path,
    /// `host:port` with a literal address; may be empty if the flag says so.
    Address {
        optional: bool,
    },
    Choice(&'static [&'static str]),
    Switch,
    Count {
        min: u64,
        max: u64,
    },
    Bytes {
        min: u64,
    },
    Duration,
    Text,
    /// Comma-separated, or an array in the file.
    Names,
}

impl Kind {
    pub(crate) fn describe(self) -> String {
        match self {
            Kind::Path => "path".to_owned(),
            Kind::Address { .. } => "address:port".to_owned(),
            Kind::Choice(choices) => choices.join(" or "),
            Kind::Switch => "true or false".to_owned(),
            Kind::Count { min, max } => format!("number from {min} to {max}"),
            Kind::Bytes { .. } => "size, such as 512MB".to_owned(),
            Kind::Duration => "time, such as 30s or 500ms".to_owned(),
            Kind::Text => "text".to_owned(),
            Kind::Names => "names, separated by commas".to_owned(),
        }
    }
}

/// One setting.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) key: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: &'static str,
    pub(crate) help: &'static str,
}

impl Setting {
    /// The environment variable of the same meaning.
    pub(crate) fn variable(&self) -> String {
        format!("TESSERA_{}", self.key.to_uppercase())
    }

    /// The flag of `tessera serve` of the same meaning, without its dashes.
    pub(crate) fn flag(&self) -> String {
        self.key.replace('_', "-")
    }

    pub(crate) fn find(key: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }
}

const fn setting(
    key: &'static str,
    kind: Kind,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting {
        key,
        kind,
        default,
        help,
    }
}

/// All settings, in the order in which people meet them.
pub(crate) const SETTINGS: &[Setting] = &[
    setting(
        "data_dir",
        Kind::Path,
        "tessera-data",
        "Directory of the data; made at the first start.",
    ),
    setting(
        "postgres",
        Kind::Address { optional: false },
        "127.0.0.1:5433",
        "Where PostgreSQL clients connect; port 0 takes a free one.",
    ),
    setting(
        "http",
        Kind::Address { optional: false },
        "127.0.0.1:8080",
        "Where health and metrics are served; port 0 takes a free one.",
    ),
    setting(
        "redis",
        Kind::Address { optional: true },
        "",
        "Where clients of Redis connect; without it nobody listens for them.",
    ),
    setting(
        "auth",
        Kind::Choice(&["scram", "trust"]),
        "scram",
        "How clients prove who they are; trust lets everybody in and works on loopback addresses only.",
    ),
    setting(
        "tls_cert",
        Kind::Path,
        "",
        "File with the server's certificate chain (PEM); with tls_key it switches TLS on.",
    ),
    setting(
        "tls_key",
        Kind::Path,
        "",
        "File with the certificate's private key (PEM).",
    ),
    setting(
        "allow_plaintext",
        Kind::Switch,
        "false",
        "Listen on addresses that others can reach without TLS. Passwords stay protected by SCRAM, data does not.",
    ),
    setting(
        "http_host_names",
        Kind::Names,
        "",
        "Host names, besides localhost and bare addresses, that HTTP requests may ask for.",
    ),
    setting(
        "log_format",
        Kind::Choice(&["human", "json"]),
        "human",
        "Shape of log lines on standard error.",
    ),
    setting(
        "log_level",
        Kind::Text,
        "info",
        "Least level of log lines (error, warn, info, debug, trace), also per part: info,tessera_postgres=debug.",
    ),
    setting(
        "connections_max",
        Kind::Count {
            min: 1,
            max: 100_000,
        },
        "100",
        "PostgreSQL sessions at one time.",
    ),
    setting(
        "connections_reserved",
        Kind::Count { min: 0, max: 1000 },
        "3",
        "Of these, how many only administrators may use.",
    ),
    setting(
        "login_timeout",
        Kind::Duration,
        "30s",
        "Time from connecting to being logged in.",
    ),
    setting(
        "write_timeout",
        Kind::Duration,
        "1min",
        "Time a client may leave its answers unread before it is cut off.",
    ),
    setting(
        "statement_timeout",
        Kind::Duration,
        "0",
        "Longest run of a statement, unless its session says otherwise; 0 for no limit.",
    ),
    setting(
        "idle_in_transaction_session_timeout",
        Kind::Duration,
        "10min",
        "How long a session may do nothing inside a transaction, unless it says otherwise; 0 for no limit.",
    ),
    setting(
        "synchronous_commit",
        Kind::Choice(&["on", "off"]),
        "on",
        "Whether a commit waits for the disk, unless its session says otherwise; off may lose the last moments at a crash.",
    ),
    setting(
        "query_memory",
        Kind::Bytes { min: 16 << 20 },
        "512MB",
        "Memory that all running queries may use together.",
    ),
    setting(
        "recent_memory",
        Kind::Bytes { min: 4 << 20 },
        "256MB",
        "Changed data kept in memory until a checkpoint moves it into the base.",
    ),
    setting(
        "cache_memory",
        Kind::Bytes { min: 0 },
        "0",
        "Stored data kept in memory for the next reader; 0 for an eighth of the memory that the server may use.",
    ),
    setting(
        "write_buffer",
        Kind::Bytes { min: 64 << 10 },
        "64MB",
        "Changes that one transaction keeps in memory before it writes them to a file.",
    ),
    setting(
        "changes_retention",
        Kind::Bytes { min: 0 },
        "128MB",
        "Log kept for clients that follow the changes, beyond what a restart needs.",
    ),
    setting(
        "changes_retention_time",
        Kind::Duration,
        "0s",
        "Age at which that log is removed though there is room for it; 0 for none.",
    ),
    setting(
        "query_threads",
        Kind::Count { min: 0, max: 1024 },
        "0",
        "Threads for queries; 0 for one per processor.",
    ),
    setting(
        "drain_timeout",
        Kind::Duration,
        "10s",
        "Time for running statements to finish when the server is asked to stop.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_unique_and_described() {
        for (index, setting) in SETTINGS.iter().enumerate() {
            let twice = SETTINGS[..index]
                .iter()
                .any(|other| other.key == setting.key);
            assert!(!twice, "{}", setting.key);
            assert!(setting.help.ends_with('.'), "{}", setting.key);
        }
        let setting = Setting::find("data_dir").unwrap();
        assert_eq!(
            (setting.variable(), setting.flag()),
            ("TESSERA_DATA_DIR".into(), "data-dir".into())
        );
    }
}
