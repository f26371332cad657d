//! Log lines as JSON or for people, on standard error.
//!
//! Fields of enclosing spans (such as the correlation id of a connection) are part of every line.
//! Fields whose names sound like secrets are masked, whoever writes them.

use std::fmt::{self, Write as _};
use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

use crate::labels::Level;
use crate::secret::is_masked;
use crate::table::metrics;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line.
    Json,
    /// For people.
    Human,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoggingError {
    /// The filter is not understood.
    #[error("invalid log filter {filter:?}: {reason}")]
    Filter { filter: String, reason: String },
    /// Something else in this process receives the log already.
    #[error("logging is set up already")]
    Twice,
}

/// Sends log records of this process to standard error.
///
/// `filter` is a level (`info`) or a list such as `info,tessera_postgres=debug`.
pub fn init_logging(format: Format, filter: &str) -> Result<(), LoggingError> {
    crate::process::note_start();
    let parsed = EnvFilter::builder()
        .parse(filter)
        .map_err(|error| LoggingError::Filter {
            filter: filter.to_owned(),
            reason: error.to_string(),
        })?;
    let lines = Lines {
        format,
        output: Mutex::new(Box::new(std::io::stderr())),
    };
    let subscriber = tracing_subscriber::registry().with(parsed).with(lines);
    subscriber.try_init().map_err(|_| LoggingError::Twice)
}

/// Makes panics log records instead of bare text on standard error.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("(no message)");
        let location = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or("?").to_owned();
        tracing::error!(location, thread, "panic: {message}");
    }));
}

/// Fields in the order they were written; values are rendered JSON.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, serde_json::Value)>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: serde_json::Value) {
        let name = field.name();
        let value = if is_masked(name) {
            "[secret]".into()
        } else {
            value
        };
        if name == "message" {
            self.message = match value {
                serde_json::Value::String(text) => text,
                value => value.to_string(),
            };
        } else if let Some(known) = self.others.iter_mut().find(|(known, _)| *known == name) {
            known.1 = value;
        } else {
            self.others.push((name, value));
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        // The one place where a chain of causes is printed.
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        self.put(field, text.into());
    }
}

struct Lines {
    format: Format,
    output: Mutex<Box<dyn Write + Send>>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    #[expect(clippy::disallowed_methods, reason = "log lines carry the real time")]
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            let extensions = span.extensions();
            let Some(outer) = extensions.get::<Fields>() else {
                continue;
            };
            for (name, value) in &outer.others {
                if !fields.others.iter().any(|(known, _)| known == name) {
                    fields.others.push((name, value.clone()));
                }
            }
        }
        let level = level_of(event.metadata().level());
        metrics().log_records.with(level).increment();
        let line = self.line(level, event.metadata().target(), &fields, SystemTime::now());
        if let Ok(mut output) = self.output.lock() {
            // Where should a failure to log be logged?
            let _ = output.write_all(line.as_bytes());
        }
    }
}

impl Lines {
    fn line(&self, level: Level, target: &str, fields: &Fields, now: SystemTime) -> String {
        let now = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let time = rfc3339(now);
        match self.format {
            Format::Json => {
                let mut object = serde_json::Map::new();
                object.insert("time".to_owned(), time.into());
                object.insert("level".to_owned(), level.as_str().into());
                object.insert("target".to_owned(), target.into());
                object.insert("message".to_owned(), fields.message.as_str().into());
                for (name, value) in &fields.others {
                    object
                        .entry((*name).to_owned())
                        .or_insert_with(|| value.clone());
                }
                format!("{}\n", serde_json::Value::Object(object))
            }
            Format::Human => {
                let level = level.as_str().to_uppercase();
                let mut line = format!("{time} {level:5} {target}: {}", one_line(&fields.message));
                for (name, value) in &fields.others {
                    let _ = match value {
                        serde_json::Value::String(text) if is_plain(text) => {
                            write!(line, " {name}={text}")
                        }
                        value => write!(line, " {name}={value}"),
                    };
                }
                line.push('\n');
                line
            }
        }
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || "-_./:@+".contains(c))
}

/// A client's text must not forge further lines or move the terminal's cursor.
fn one_line(text: &str) -> String {
    let escape = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(escape).collect()
}

fn level_of(level: &tracing::Level) -> Level {
    match *level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Trace,
    }
}

/// `2026-11-23T13:45:01.123456Z`.
fn rfc3339(unix: Duration) -> String {
    let days = unix.as_secs() / 86_400;
    let (year, month, day) = civil(days);
    let second = unix.as_secs() % 86_400;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let micros = unix.subsec_micros();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// The date of a day since 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms",
/// `civil_from_days`, for days after the epoch only).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn capture(format: Format, body: impl FnOnce()) -> String {
        let captured = Captured::default();
        let lines = Lines {
            format,
            output: Mutex::new(Box::new(captured.clone())),
        };
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, body);
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_json_line_carries_the_fields_of_its_spans_and_masks_secrets() {
        let text = capture(Format::Json, || {
            let span = tracing::info_span!("connection", correlation_id = "00ff", user = "a");
            let _entered = span.enter();
            tracing::warn!(
                admin_password = "hunter2",
                count = 3,
                user = "b",
                "odd \"thing\"\n"
            );
        });
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["message"], "odd \"thing\"\n");
        assert_eq!(line["level"], "warn");
        assert_eq!(line["correlation_id"], "00ff");
        assert_eq!(line["user"], "b");
        assert_eq!(line["count"], 3);
        assert_eq!(line["admin_password"], "[secret]");
        assert!(!text.contains("hunter2"));
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn a_line_for_people_stays_one_line() {
        let text = capture(Format::Human, || {
            tracing::info!(path = "/a/b", what = "two words", "first\nforged");
        });
        assert_eq!(text.lines().count(), 1);
        assert!(text.contains(" INFO  "), "{text}");
        assert!(
            text.ends_with("first\\nforged path=/a/b what=\"two words\"\n"),
            "{text}"
        );
    }

    #[test]
    fn an_error_is_logged_with_its_causes() {
        let error = LoggingError::Filter {
            filter: "x".into(),
            reason: "y".into(),
        };
        let text = capture(Format::Human, || {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::error!(error, "failed");
        });
        assert!(text.contains("invalid log filter"), "{text}");
    }

    #[test]
    fn times_are_written_as_rfc_3339() {
        for (unix, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (1_795_441_501, "2026-11-23T13:45:01.000000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000000Z"),
        ] {
            let written = rfc3339(Duration::from_secs(unix));
            assert_eq!(written, text);
        }
    }

    #[test]
    fn a_bad_filter_is_refused() {
        let error = init_logging(Format::Human, "tessera=loud").unwrap_err();
        assert!(error.to_string().contains("tessera=loud"), "{error}");
    }
}
