//! The typed values that statements read, derived once per change.

use std::sync::Arc;
use std::time::Duration;

use tessera_types::{ByteaOutput, DateStyle, FormatContext, IntervalStyle, Severity, TimeZone};

use super::value::{parse_list, parse_zone};

/// Settings as types. Made anew when a setting changes.
#[derive(Clone, Debug)]
pub(crate) struct Effective {
    /// For text input and output.
    pub(crate) format: Arc<FormatContext>,
    /// Schemas to look in, `$user` replaced.
    pub(crate) search_path: Arc<[String]>,
    /// Name of the application.
    pub(crate) application_name: Arc<str>,
    /// Longest run time of a statement.
    pub(crate) statement_timeout: Option<Duration>,
    /// Longest wait for a lock.
    pub(crate) lock_timeout: Option<Duration>,
    /// Longest idle time in a transaction.
    pub(crate) idle_in_transaction_timeout: Option<Duration>,
    /// Longest idle time outside one.
    pub(crate) idle_session_timeout: Option<Duration>,
    /// Whether statements by key may go to the store directly.
    pub(crate) short_path: bool,
    /// Locks are not waited for without end, though `lock_timeout` does not say so.
    pub(crate) adaptive_lock_timeout: bool,
    /// Whom a deadlock hits: the lowest.
    pub(crate) transaction_priority: i8,
    /// Whether a commit waits for the disk.
    pub(crate) durable: bool,
    /// Isolation of new transactions, in SQL's words.
    pub(crate) default_isolation: Arc<str>,
    /// New transactions are read only.
    pub(crate) default_read_only: bool,
    /// Memory of one query in bytes.
    pub(crate) query_memory_bytes: Option<usize>,
    /// Least severity of notices for the client.
    pub(crate) notices_from: u8,
}

impl Effective {
    /// Derives from checked texts.
    pub(crate) fn derive(get: &dyn Fn(&str) -> Arc<str>, user: &str) -> Effective {
        let on = |name| &*get(name) == "on";
        let duration = |name| match get(name).parse::<u64>() {
            Ok(0) | Err(_) => None,
            Ok(millis) => Some(Duration::from_millis(millis)),
        };
        let format = FormatContext {
            date_style: DateStyle::default()
                .parse(&get("DateStyle"))
                .unwrap_or_default(),
            interval_style: IntervalStyle::parse(&get("IntervalStyle")).unwrap_or_default(),
            time_zone: parse_zone(&get("TimeZone")).unwrap_or(TimeZone::UTC),
            bytea_output: match &*get("bytea_output") {
                "escape" => ByteaOutput::Escape,
                _ => ByteaOutput::Hex,
            },
            extra_float_digits: get("extra_float_digits").parse().unwrap_or(1),
            now_micros: 0,
        };
        let search_path = parse_list(&get("search_path")).unwrap_or_default();
        let search_path: Vec<String> = search_path
            .into_iter()
            .map(|name| {
                if name == "$user" {
                    user.to_owned()
                } else {
                    name
                }
            })
            .collect();
        Effective {
            format: Arc::new(format),
            search_path: search_path.into(),
            application_name: get("application_name"),
            statement_timeout: duration("statement_timeout"),
            lock_timeout: duration("lock_timeout"),
            idle_in_transaction_timeout: duration("idle_in_transaction_session_timeout"),
            idle_session_timeout: duration("idle_session_timeout"),
            short_path: on("tessera.short_path"),
            adaptive_lock_timeout: on("tessera.adaptive_lock_timeout"),
            transaction_priority: get("tessera.transaction_priority").parse().unwrap_or(0),
            durable: &*get("synchronous_commit") != "off",
            default_isolation: get("default_transaction_isolation"),
            default_read_only: on("default_transaction_read_only"),
            query_memory_bytes: match get("tessera.query_memory").parse::<usize>() {
                Ok(0) | Err(_) => None,
                Ok(kilobytes) => Some(kilobytes.saturating_mul(1024)),
            },
            notices_from: match &*get("client_min_messages") {
                "error" => 3,
                "warning" => 2,
                "notice" => 1,
                _ => 0,
            },
        }
    }

    /// Whether the client wants to hear about a notice of this severity.
    pub(crate) fn wants(&self, severity: Severity) -> bool {
        let rank = match severity {
            Severity::Warning => 2,
            Severity::Notice => 1,
            Severity::Debug | Severity::Log => return self.notices_from == 0,
            // INFO is always sent.
            Severity::Info | Severity::Error | Severity::Fatal | Severity::Panic => 3,
        };
        rank >= self.notices_from
    }
}
