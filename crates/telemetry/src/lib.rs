//! Metric handles from one table, log records with correlation ids.
//!
//! # Map
//! - `table`: every metric, once: name, type, unit, help, labels. Handles are its fields.
//! - `labels`: the closed sets of label values.
//! - `instrument`: counter, gauge, histogram; `family`: one of them per label combination.
//! - `render`: the text that `/metrics` answers; `process`: what the operating system knows.
//! - `logging`: log lines as JSON or for people; `secret`: what must not get into them.
//! - `correlation`: the id that ties log lines, errors and clients together.
//!
//! # Invariants
//! 1. Touching a metric costs an index computation and one atomic addition: no map, no lock.
//! 2. The number of series is known at compile time, but for the few `Dynamic` ones, which are
//!    bounded by `SERIES_MAX`.
//! 3. No user's data (SQL text, names, keys) is a label.
//!
//! # Not here
//! Who reads them (HTTP, dashboard, alerts).

mod correlation;
mod family;
mod instrument;
pub mod labels;
mod logging;
mod process;
mod render;
mod secret;
mod table;

pub use correlation::CorrelationId;
pub use family::{Dynamic, Family, SERIES_MAX};
pub use instrument::{Counter, FloatGauge, Gauge, Histogram, Timer};
pub use labels::LabelSet;
pub use logging::{Format, LoggingError, init_logging, install_panic_hook};
pub use process::{memory_limit_bytes, resident_memory_bytes};
pub use render::{Exposition, add_collector, render, render_openmetrics};
pub use secret::Secret;
pub use table::{METRICS, MetricDescription, MetricKind, Metrics, Unit, metrics};
