//! The text that `/metrics` answers: OpenMetrics 1.0, or Prometheus' older text format.

use std::fmt::Write as _;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::instrument::{Counter, FloatGauge, Gauge, Histogram};
use crate::process;
use crate::table::{MetricDescription, MetricKind, Unit, metrics};

/// Text formats of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposition {
    /// `application/openmetrics-text; version=1.0.0`
    OpenMetrics,
    /// `text/plain; version=0.0.4`
    Prometheus,
}

impl Exposition {
    /// The value of the `Content-Type` header.
    pub fn content_type(self) -> &'static str {
        match self {
            Exposition::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Exposition::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

type Collector = Arc<dyn Fn() + Send + Sync>;

static COLLECTORS: Mutex<Vec<Collector>> = Mutex::new(Vec::new());

/// Registers a function that brings gauges up to date before each exposition. It must be quick
/// and must not wait for locks that statements hold.
pub fn add_collector(collector: impl Fn() + Send + Sync + 'static) {
    COLLECTORS.lock().push(Arc::new(collector));
}

/// All metrics as OpenMetrics text.
pub fn render_openmetrics() -> String {
    render(Exposition::OpenMetrics)
}

/// All metrics as text.
pub fn render(exposition: Exposition) -> String {
    process::collect();
    let collectors = COLLECTORS.lock().clone();
    collectors.iter().for_each(|collector| collector());
    let mut sink = Sink {
        text: String::with_capacity(64 << 10),
        exposition,
    };
    metrics().render(&mut sink);
    if exposition == Exposition::OpenMetrics {
        sink.text.push_str("# EOF\n");
    }
    sink.text
}

/// Where the table writes itself to.
pub(crate) struct Sink {
    text: String,
    exposition: Exposition,
}

impl Sink {
    pub(crate) fn head(&mut self, metric: &MetricDescription) {
        // OpenMetrics names a counter's family without the suffix of its samples.
        let family = match self.exposition {
            Exposition::OpenMetrics => metric.name.strip_suffix("_total").unwrap_or(metric.name),
            Exposition::Prometheus => metric.name,
        };
        let (kind, unit) = (metric.kind.as_str(), metric.unit.as_str());
        let _ = writeln!(self.text, "# TYPE {family} {kind}");
        if self.exposition == Exposition::OpenMetrics && metric.unit != Unit::Count {
            let _ = writeln!(self.text, "# UNIT {family} {unit}");
        }
        let _ = writeln!(self.text, "# HELP {family} {}", metric.help);
    }

    pub(crate) fn counter(&mut self, metric: &MetricDescription, values: &[&str], it: &Counter) {
        self.sample(metric, "", values, None, it.value());
    }

    pub(crate) fn gauge(&mut self, metric: &MetricDescription, values: &[&str], it: &Gauge) {
        self.sample(metric, "", values, None, it.value());
    }

    pub(crate) fn float_gauge(
        &mut self,
        metric: &MetricDescription,
        values: &[&str],
        it: &FloatGauge,
    ) {
        self.sample(metric, "", values, None, it.value());
    }

    pub(crate) fn number(&mut self, metric: &MetricDescription, values: &[&str], number: f64) {
        self.sample(metric, "", values, None, number);
    }

    pub(crate) fn histogram(
        &mut self,
        metric: &MetricDescription,
        values: &[&str],
        it: &Histogram,
    ) {
        debug_assert_eq!(metric.kind, MetricKind::Histogram);
        let octaves = it.octaves();
        let (_, count) = octaves.last().copied().unwrap_or_default();
        // An empty histogram says so in one bucket instead of thirty.
        let shown = if count == 0 {
            &octaves[octaves.len() - 1..]
        } else {
            &octaves
        };
        for (bound, seen) in shown {
            let bound = if bound.is_finite() {
                bound.to_string()
            } else {
                "+Inf".to_owned()
            };
            self.sample(metric, "_bucket", values, Some(&bound), *seen);
        }
        self.sample(metric, "_sum", values, None, it.totals().1);
        self.sample(metric, "_count", values, None, count);
    }

    fn sample(
        &mut self,
        metric: &MetricDescription,
        suffix: &str,
        values: &[&str],
        le: Option<&str>,
        number: impl std::fmt::Display,
    ) {
        self.text.push_str(metric.name);
        self.text.push_str(suffix);
        let labels = metric.labels.iter().copied().zip(values.iter().copied());
        let mut separator = '{';
        for (label, value) in labels.chain(le.map(|le| ("le", le))) {
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _ = write!(self.text, "{separator}{label}=\"{value}\"");
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {number}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::{Outcome, Path, StatementKind};

    #[test]
    fn both_formats_have_every_metric_and_well_formed_lines() {
        let statement = (StatementKind::Select, Path::Fast);
        metrics()
            .statement_duration
            .with(statement)
            .record_size(3_000_000);
        metrics()
            .statements
            .with((statement.0, statement.1, Outcome::Ok))
            .add(2);
        metrics().statement_errors.add("2\"3", 1.0);
        add_collector(|| metrics().lock_waiters.set(77));
        let open = render(Exposition::OpenMetrics);
        let old = render(Exposition::Prometheus);
        assert!(open.ends_with("# EOF\n"));
        assert!(open.contains("# TYPE tessera_statements counter\n"));
        assert!(old.contains("# TYPE tessera_statements_total counter\n"));
        let line = "tessera_statements_total{kind=\"select\",path=\"fast\",result=\"ok\"} 2\n";
        assert!(open.contains(line) && old.contains(line));
        assert!(open.contains("tessera_lock_waiters 77\n"));
        assert!(open.contains("tessera_statement_errors_total{sqlstate_class=\"2\\\"3\"} 1\n"));
        let bucket = "tessera_statement_duration_seconds_bucket{kind=\"select\",path=\"fast\",le=";
        assert!(
            open.contains(&format!("{bucket}\"0.004194304\"}} 1\n")),
            "{open}"
        );
        assert!(open.contains(&format!("{bucket}\"0.002097152\"}} 0\n")));
        assert!(open.contains("# UNIT tessera_wal_bytes bytes\n"));
        for line in open.lines().filter(|line| !line.starts_with('#')) {
            let (_, number) = line.rsplit_once(' ').unwrap();
            number.parse::<f64>().unwrap();
        }
    }

    #[test]
    fn the_process_is_measured() {
        let text = render_openmetrics();
        let value = |name: &str| {
            let line = text
                .lines()
                .find(|line| line.starts_with(&format!("{name} ")))
                .unwrap();
            line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 100_000.0);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_threads") >= 1.0);
        assert!(value("tessera_memory_limit_bytes") > 1e6);
        assert!(value("tessera_start_time_seconds") > 1.6e9);
    }
}
