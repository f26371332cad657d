//! What the operating system knows about this process. Only Linux tells; elsewhere zeros stay.

use std::fs;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use crate::table::metrics;

/// Ticks per second in `/proc`; fixed by the kernel's interface, whatever its real clock does.
const USER_HZ: f64 = 100.0;

#[expect(clippy::disallowed_methods, reason = "metrics are of the real process")]
static START: LazyLock<(Instant, f64)> = LazyLock::new(|| {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    (Instant::now(), unix.unwrap_or(Duration::ZERO).as_secs_f64())
});

/// Brings the metrics of the process up to date.
pub(crate) fn collect() {
    let metrics = metrics();
    metrics.build_info.set(env!("CARGO_PKG_VERSION"), 1.0);
    let (start, unix) = &*START;
    metrics.start_time.set(*unix);
    metrics.uptime.set(start.elapsed().as_secs_f64());
    if let Some(stat) = read_stat() {
        metrics.process_cpu.set(stat.cpu_seconds);
        metrics.process_threads.set(stat.threads);
    }
    if let Some(bytes) = resident_bytes() {
        metrics.process_resident_memory.set(bytes);
    }
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        // The directory itself is open while it is being read.
        metrics
            .process_open_fds
            .set(entries.count().saturating_sub(1) as f64);
    }
    if let Some(limit) = open_files_limit() {
        metrics.process_max_fds.set(limit);
    }
    if let Some(bytes) = memory_limit() {
        metrics.memory_limit.set(bytes);
    }
}

/// Notes the start of the process; the first exposition would do it too late.
pub(crate) fn note_start() {
    LazyLock::force(&START);
}

struct Stat {
    cpu_seconds: f64,
    threads: f64,
}

/// Fields of `/proc/self/stat`, see proc_pid_stat(5).
fn read_stat() -> Option<Stat> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field, the name, may contain spaces; it ends at the last parenthesis.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    Some(Stat {
        cpu_seconds: (field(14)? + field(15)?) / USER_HZ,
        threads: field(20)?,
    })
}

fn resident_bytes() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024.0)
}

fn open_files_limit() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/limits").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(f64::INFINITY),
        number => number.parse().ok(),
    }
}

/// Memory of the process that is in the machine's memory now.
pub fn resident_memory_bytes() -> Option<u64> {
    resident_bytes().map(|bytes| bytes as u64)
}

/// Memory that the process may use: the limit of its control group (version 2), else the
/// machine's memory.
pub fn memory_limit_bytes() -> Option<u64> {
    memory_limit().map(|bytes| bytes as u64)
}

fn memory_limit() -> Option<f64> {
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    if let Some(limit) = group.and_then(|text| text.trim().parse().ok()) {
        return Some(limit);
    }
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024.0)
}
