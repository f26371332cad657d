//! Collects WARN and ERROR lines of this process; one that no test announced is a failure.

use std::fmt::{self, Write};
use std::sync::Once;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Lines kept; a test that floods the log has failed long before.
const LINES_MAX: usize = 1_000;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static ALLOWED: Mutex<Vec<String>> = Mutex::new(Vec::new());
static WATCHING: Once = Once::new();

/// Starts collecting; once per process, later calls do nothing.
pub fn watch_log() {
    WATCHING.call_once(|| {
        // Another subscriber of the test process keeps what it has; then nothing is collected.
        let _ = tracing_subscriber::registry().with(Collector).try_init();
    });
}

/// Announces a line: one that holds this text is expected from now on, in the whole process.
pub fn allow_log_line(text: &str) {
    ALLOWED.lock().push(text.to_owned());
}

/// The WARN and ERROR lines so far that no test announced.
pub fn unexpected_log_lines() -> Vec<String> {
    let allowed = ALLOWED.lock();
    let lines = LINES.lock();
    let unexpected = lines
        .iter()
        .filter(|line| !allowed.iter().any(|text| line.contains(text.as_str())));
    unexpected.cloned().collect()
}

struct Collector;

impl<S: Subscriber> Layer<S> for Collector {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() > Level::WARN || !metadata.target().starts_with("tessera") {
            return;
        }
        let mut line = Line(format!("{} {}:", metadata.level(), metadata.target()));
        event.record(&mut line);
        let mut lines = LINES.lock();
        if lines.len() < LINES_MAX {
            lines.push(line.0);
        }
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::{allow_log_line, unexpected_log_lines, watch_log};

    #[test]
    fn only_lines_that_nobody_announced_are_reported() {
        watch_log();
        allow_log_line("expected trouble");
        tracing::warn!(target: "tessera_test", number = 1, "expected trouble");
        tracing::info!(target: "tessera_test", "harmless");
        tracing::error!(target: "another_crate", "not ours");
        assert_eq!(unexpected_log_lines(), Vec::<String>::new());
        tracing::error!(target: "tessera_test", number = 2, "sudden trouble");
        assert_eq!(
            unexpected_log_lines(),
            ["ERROR tessera_test: sudden trouble number=2"]
        );
        allow_log_line("sudden trouble");
    }
}
