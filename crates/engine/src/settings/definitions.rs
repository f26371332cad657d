//! The table of all settings. Adding a setting is adding a row.
//!
//! Settings of PostgreSQL that have no meaning here are listed when drivers, tools or `pg_dump`
//! set them at the start of a session: setting them has no effect, as their description says.

use super::value::Kind;

/// Who may set a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Every user, for the own session.
    User,
    /// Nobody; it tells a fact.
    Fixed,
}

/// One setting.
#[derive(Debug)]
pub(crate) struct Definition {
    /// Name in PostgreSQL's spelling.
    pub(crate) name: &'static str,
    /// Type and range.
    pub(crate) kind: Kind,
    /// Default in canonical form.
    pub(crate) default: &'static str,
    /// Who may set it.
    pub(crate) access: Access,
    /// Sent to the client whenever it changes (ParameterStatus).
    pub(crate) report: bool,
    /// One line for `pg_settings`.
    pub(crate) description: &'static str,
}

/// PostgreSQL's version whose behaviour drivers may expect.
pub(crate) const SERVER_VERSION: &str = "15.4 (Tessera 0.1.0)";

const fn user(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    description: &'static str,
) -> Definition {
    Definition {
        name,
        kind,
        default,
        access: Access::User,
        report: false,
        description,
    }
}

const fn reported(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    description: &'static str,
) -> Definition {
    Definition {
        name,
        kind,
        default,
        access: Access::User,
        report: true,
        description,
    }
}

const fn fixed(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    description: &'static str,
) -> Definition {
    Definition {
        name,
        kind,
        default,
        access: Access::Fixed,
        report: false,
        description,
    }
}

const fn fixed_reported(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    description: &'static str,
) -> Definition {
    Definition {
        name,
        kind,
        default,
        access: Access::Fixed,
        report: true,
        description,
    }
}

/// Accepted, has no effect.
const fn ignored(name: &'static str, kind: Kind, default: &'static str) -> Definition {
    user(
        name,
        kind,
        default,
        "Accepted for compatibility; has no effect.",
    )
}

const ISOLATION: Kind = Kind::Enum(&[
    "serializable",
    "repeatable read",
    "read committed",
    "read uncommitted",
]);
const MESSAGE_LEVEL: Kind = Kind::Enum(&[
    "debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error",
]);
const MILLISECONDS: Kind = Kind::Milliseconds {
    max: i32::MAX as i64,
};
const KILOBYTES: Kind = Kind::Kilobytes {
    min: 64,
    max: i32::MAX as i64,
};
const COUNT: Kind = Kind::Integer {
    min: 0,
    max: i32::MAX as i64,
};

/// All settings, sorted by name without regard to case.
pub(crate) static DEFINITIONS: &[Definition] = &[
    reported(
        "application_name",
        Kind::Name,
        "",
        "Name of the application, shown in pg_stat_activity.",
    ),
    ignored("array_nulls", Kind::Bool, "on"),
    ignored(
        "backslash_quote",
        Kind::Enum(&["safe_encoding", "on", "off"]),
        "safe_encoding",
    ),
    fixed(
        "block_size",
        COUNT,
        "8192",
        "Size of a disk block in bytes, for tools that ask.",
    ),
    user(
        "bytea_output",
        Kind::Enum(&["hex", "escape"]),
        "hex",
        "Output format of bytea.",
    ),
    ignored("check_function_bodies", Kind::Bool, "on"),
    reported(
        "client_encoding",
        Kind::Encoding,
        "UTF8",
        "Encoding of the client; only UTF8.",
    ),
    user(
        "client_min_messages",
        MESSAGE_LEVEL,
        "notice",
        "Least severity of notices sent to the client.",
    ),
    ignored(
        "constraint_exclusion",
        Kind::Enum(&["partition", "on", "off"]),
        "partition",
    ),
    ignored("cpu_index_tuple_cost", Kind::Real, "0.005"),
    ignored("cpu_operator_cost", Kind::Real, "0.0025"),
    ignored("cpu_tuple_cost", Kind::Real, "0.01"),
    ignored("cursor_tuple_fraction", Kind::Real, "0.1"),
    reported(
        "DateStyle",
        Kind::DateStyle,
        "ISO, MDY",
        "Output format of dates, and how ambiguous dates are read.",
    ),
    ignored("default_statistics_target", COUNT, "100"),
    ignored("default_table_access_method", Kind::String, "heap"),
    ignored("default_tablespace", Kind::String, ""),
    ignored(
        "default_text_search_config",
        Kind::String,
        "pg_catalog.simple",
    ),
    ignored("default_toast_compression", Kind::String, "pglz"),
    user(
        "default_transaction_deferrable",
        Kind::Bool,
        "off",
        "Default of DEFERRABLE in new transactions; has no effect below SERIALIZABLE.",
    ),
    user(
        "default_transaction_isolation",
        ISOLATION,
        "read committed",
        "Isolation level of new transactions.",
    ),
    reported(
        "default_transaction_read_only",
        Kind::Bool,
        "off",
        "New transactions are read only.",
    ),
    ignored("effective_cache_size", KILOBYTES, "4194304"),
    ignored("effective_io_concurrency", COUNT, "1"),
    ignored("enable_bitmapscan", Kind::Bool, "on"),
    ignored("enable_hashagg", Kind::Bool, "on"),
    ignored("enable_hashjoin", Kind::Bool, "on"),
    ignored("enable_indexonlyscan", Kind::Bool, "on"),
    ignored("enable_indexscan", Kind::Bool, "on"),
    ignored("enable_material", Kind::Bool, "on"),
    ignored("enable_mergejoin", Kind::Bool, "on"),
    ignored("enable_nestloop", Kind::Bool, "on"),
    ignored("enable_parallel_hash", Kind::Bool, "on"),
    ignored("enable_partitionwise_aggregate", Kind::Bool, "off"),
    ignored("enable_partitionwise_join", Kind::Bool, "off"),
    ignored("enable_seqscan", Kind::Bool, "on"),
    ignored("enable_sort", Kind::Bool, "on"),
    ignored("enable_tidscan", Kind::Bool, "on"),
    ignored("escape_string_warning", Kind::Bool, "on"),
    user(
        "extra_float_digits",
        Kind::Integer { min: -15, max: 3 },
        "1",
        "Digits of floating point output; above zero means the shortest exact form.",
    ),
    ignored(
        "force_parallel_mode",
        Kind::Enum(&["off", "on", "regress"]),
        "off",
    ),
    ignored("from_collapse_limit", COUNT, "8"),
    ignored("geqo", Kind::Bool, "on"),
    user(
        "idle_in_transaction_session_timeout",
        MILLISECONDS,
        "600000",
        "Ends a session that is idle in a transaction for so long; 0 is never.",
    ),
    user(
        "idle_session_timeout",
        MILLISECONDS,
        "0",
        "Ends a session that is idle outside a transaction for so long; 0 is never.",
    ),
    fixed_reported(
        "in_hot_standby",
        Kind::Bool,
        "off",
        "The server is a read-only copy.",
    ),
    fixed_reported(
        "integer_datetimes",
        Kind::Bool,
        "on",
        "Dates and times are integers.",
    ),
    reported(
        "IntervalStyle",
        Kind::Enum(&["postgres", "postgres_verbose", "sql_standard", "iso_8601"]),
        "postgres",
        "Output format of intervals.",
    ),
    fixed_reported(
        "is_superuser",
        Kind::Bool,
        "off",
        "The user is an administrator.",
    ),
    ignored("jit", Kind::Bool, "off"),
    ignored("join_collapse_limit", COUNT, "8"),
    fixed("lc_collate", Kind::String, "C", "Order of texts: bytewise."),
    fixed(
        "lc_ctype",
        Kind::String,
        "C.UTF-8",
        "Classes of characters: Unicode.",
    ),
    ignored("lc_messages", Kind::String, "C"),
    ignored("lc_monetary", Kind::String, "C"),
    ignored("lc_numeric", Kind::String, "C"),
    ignored("lc_time", Kind::String, "C"),
    ignored("lo_compat_privileges", Kind::Bool, "off"),
    user(
        "lock_timeout",
        MILLISECONDS,
        "0",
        "Longest wait for a lock; 0 is without end.",
    ),
    ignored("log_duration", Kind::Bool, "off"),
    ignored(
        "log_min_duration_statement",
        Kind::Integer {
            min: -1,
            max: i32::MAX as i64,
        },
        "-1",
    ),
    ignored("log_min_messages", MESSAGE_LEVEL, "warning"),
    ignored(
        "log_statement",
        Kind::Enum(&["none", "ddl", "mod", "all"]),
        "none",
    ),
    ignored("maintenance_work_mem", KILOBYTES, "65536"),
    fixed("max_connections", COUNT, "100", "Sessions at one time."),
    fixed(
        "max_identifier_length",
        COUNT,
        "63",
        "Longest identifier in bytes.",
    ),
    fixed("max_index_keys", COUNT, "32", "Most columns of an index."),
    ignored("max_parallel_workers", COUNT, "8"),
    ignored("max_parallel_workers_per_gather", COUNT, "2"),
    fixed(
        "max_prepared_transactions",
        COUNT,
        "0",
        "Prepared transactions are not supported.",
    ),
    fixed(
        "password_encryption",
        Kind::Enum(&["scram-sha-256"]),
        "scram-sha-256",
        "How passwords are kept.",
    ),
    ignored(
        "plan_cache_mode",
        Kind::Enum(&["auto", "force_generic_plan", "force_custom_plan"]),
        "auto",
    ),
    ignored("quote_all_identifiers", Kind::Bool, "off"),
    ignored("random_page_cost", Kind::Real, "4"),
    ignored("row_security", Kind::Bool, "on"),
    user(
        "search_path",
        Kind::List,
        "\"$user\", public",
        "Schemas where unqualified names are looked up.",
    ),
    ignored("seq_page_cost", Kind::Real, "1"),
    fixed_reported(
        "server_encoding",
        Kind::String,
        "UTF8",
        "Encoding of the stored data.",
    ),
    fixed_reported(
        "server_version",
        Kind::String,
        SERVER_VERSION,
        "Version of PostgreSQL whose behaviour to expect.",
    ),
    fixed(
        "server_version_num",
        COUNT,
        "150004",
        "The same as a number.",
    ),
    fixed_reported(
        "session_authorization",
        Kind::String,
        "",
        "User who logged in.",
    ),
    ignored(
        "session_replication_role",
        Kind::Enum(&["origin", "replica", "local"]),
        "origin",
    ),
    fixed("ssl", Kind::Bool, "off", "The server offers TLS."),
    reported(
        "standard_conforming_strings",
        Kind::On,
        "on",
        "Backslashes in plain strings are themselves; always on.",
    ),
    user(
        "statement_timeout",
        MILLISECONDS,
        "0",
        "Longest run time of a statement; 0 is without end.",
    ),
    fixed(
        "superuser_reserved_connections",
        COUNT,
        "3",
        "Sessions that only administrators get.",
    ),
    user(
        "synchronize_seqscans",
        Kind::Bool,
        "on",
        "Accepted for compatibility; has no effect.",
    ),
    user(
        "synchronous_commit",
        Kind::Enum(&["on", "local", "remote_write", "remote_apply", "off"]),
        "on",
        "COMMIT waits until the transaction is safe on the disk; off risks the last moments, never consistency.",
    ),
    ignored("temp_buffers", KILOBYTES, "8192"),
    user(
        "tessera.adaptive_lock_timeout",
        Kind::Bool,
        "on",
        "While lock_timeout is 0, wait for a lock 64 times as long as locks are usually held, at least 5 and at most 120 seconds.",
    ),
    user(
        "tessera.join",
        Kind::Token,
        "",
        "Set to another session's tessera.transaction_token to join its transaction.",
    ),
    user(
        "tessera.query_memory",
        Kind::Kilobytes {
            min: 0,
            max: i32::MAX as i64,
        },
        "0",
        "Memory that one query may use; 0 for the server's limit.",
    ),
    user(
        "tessera.short_path",
        Kind::Bool,
        "on",
        "Run statements by key on the store directly.",
    ),
    user(
        "tessera.transaction_priority",
        Kind::Integer {
            min: -100,
            max: 100,
        },
        "0",
        "Of the transactions in a deadlock, one with the lowest priority ends.",
    ),
    fixed(
        "tessera.transaction_token",
        Kind::String,
        "",
        "Token by which another session may join the current transaction.",
    ),
    reported(
        "TimeZone",
        Kind::TimeZone,
        "UTC",
        "Local time zone of the session.",
    ),
    ignored("timezone_abbreviations", Kind::String, "Default"),
    ignored("track_activities", Kind::Bool, "on"),
    user(
        "transaction_deferrable",
        Kind::Bool,
        "off",
        "DEFERRABLE of the current transaction.",
    ),
    user(
        "transaction_isolation",
        ISOLATION,
        "read committed",
        "Isolation level of the current transaction.",
    ),
    user(
        "transaction_read_only",
        Kind::Bool,
        "off",
        "The current transaction is read only.",
    ),
    ignored("transform_null_equals", Kind::Bool, "off"),
    ignored("vacuum_cost_delay", Kind::Real, "0"),
    fixed("wal_level", Kind::String, "replica", "For tools that ask."),
    ignored("work_mem", KILOBYTES, "4096"),
    ignored("xmlbinary", Kind::Enum(&["base64", "hex"]), "base64"),
    ignored("xmloption", Kind::Enum(&["content", "document"]), "content"),
];

/// Position of a setting in [`DEFINITIONS`]; names do not depend on case.
pub(crate) fn find(name: &str) -> Option<usize> {
    DEFINITIONS
        .binary_search_by(|definition| compare(definition.name, name))
        .ok()
}

fn compare(a: &str, b: &str) -> std::cmp::Ordering {
    let a = a.bytes().map(|byte| byte.to_ascii_lowercase());
    a.cmp(b.bytes().map(|byte| byte.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::value::canonical;

    #[test]
    fn the_table_is_sorted_and_its_defaults_are_valid() {
        for pair in DEFINITIONS.windows(2) {
            assert!(
                pair[0].name.to_ascii_lowercase() < pair[1].name.to_ascii_lowercase(),
                "{} before {}",
                pair[0].name,
                pair[1].name
            );
        }
        for definition in DEFINITIONS {
            let value = canonical(definition, definition.default).expect(definition.name);
            assert_eq!(value, definition.default, "{}", definition.name);
            assert_eq!(
                find(&definition.name.to_uppercase()).map(|i| DEFINITIONS[i].name),
                Some(definition.name)
            );
        }
        assert_eq!(find("no_such_setting"), None);
    }
}
