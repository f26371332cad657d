//! Limits and delays of the log.

use std::path::PathBuf;
use std::time::Duration;

use crate::format;

/// Limits and delays of a log; every field has a default.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Size of a segment file; a larger record gets a segment of its own.
    pub segment_bytes: u64,
    /// Payload bytes that may wait to be written before `enqueue` answers `Busy`.
    pub queue_bytes_max: usize,
    /// Largest payload of one record.
    pub record_bytes_max: usize,
    /// Most bytes given to one write call.
    pub batch_bytes_max: usize,
    /// How long a record that nobody waits for may stay unwritten.
    pub write_delay: Duration,
    /// How long a written record that nobody waits for may stay un-synced.
    pub sync_delay: Duration,
    /// Quiet time after which the end of the log is marked as durable, so that damage to the last
    /// records is told from a torn end. `None`: only at `close`.
    pub mark_delay: Option<Duration>,
    /// Make the next segment ahead of time, on a thread of its own. Without it the writer does it
    /// when needed: slower, and with a repeatable order of calls.
    pub prepare_ahead: bool,
    /// Move segments there instead of removing them when the log is cut.
    pub archive: Option<PathBuf>,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions {
            segment_bytes: 32 << 20,
            queue_bytes_max: 256 << 20,
            record_bytes_max: 128 << 20,
            batch_bytes_max: 8 << 20,
            write_delay: Duration::from_millis(5),
            sync_delay: Duration::from_millis(200),
            mark_delay: Some(Duration::from_millis(100)),
            prepare_ahead: true,
            archive: None,
        }
    }
}

impl LogOptions {
    /// Small segments and no thread or timer whose timing could change the order of calls: for
    /// tests over a simulated disk.
    pub fn deterministic(segment_bytes: u64) -> LogOptions {
        LogOptions {
            segment_bytes,
            mark_delay: None,
            prepare_ahead: false,
            ..LogOptions::default()
        }
    }

    /// Brings values into the range the format allows.
    pub(crate) fn checked(mut self) -> LogOptions {
        let block = format::HEADER_BYTES as u64;
        self.segment_bytes = self
            .segment_bytes
            .clamp(2 * block, 1 << 40)
            .next_multiple_of(block);
        self.record_bytes_max = self.record_bytes_max.min(format::PAYLOAD_BYTES_MAX);
        self.queue_bytes_max = self.queue_bytes_max.max(self.record_bytes_max);
        self
    }
}
