//! Medians of what the store alone promises, printed as a table:
//! `cargo run --profile bench-fast -p tessera-storage --example bench [-- DIR [ROWS]]`.
//! What the engine makes of it is measured by `cargo xtask bench storage`.
//!
//! Figures are wall time on the machine at hand; the bare disk's sync rate is printed beside the
//! durable commits, because it bounds them.
#![expect(
    clippy::print_stdout,
    reason = "a table for people is what this program is for"
)]

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use futures::executor::block_on;
use tessera_environment::Environment;
use tessera_storage::{
    CommitOutcome, Durability, EmbeddedOptions, Key, KeyRange, KeySpace, ScanOptions, Snapshot,
    Store, Val, Write, WriteBatch, open_embedded,
};
use tessera_types::TxnId;

const VALUE_BYTES: usize = 100;
const ROWS_DEFAULT: u32 = 1_000_000;
const LOAD_BATCH: u32 = 1_000;
/// Operations measured together, so that the clock costs nothing.
const GROUP: usize = 200;
const GROUPS: usize = 200;
const HOT_ROWS: u32 = 200;
const HOT_REWRITES: u32 = 2_000_000;
const COMMIT_TIME: Duration = Duration::from_secs(3);
const ROWS: KeySpace = KeySpace::Rows;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments
        .next()
        .map_or_else(|| std::env::temp_dir().join("tessera-bench"), PathBuf::from);
    let rows = arguments
        .next()
        .map_or(Ok(ROWS_DEFAULT), |rows| rows.parse())?;
    let dir = dir.join(format!("store-{}", std::process::id()));
    let outcome = run(&dir, rows);
    std::fs::remove_dir_all(&dir).context("remove the benchmark's directory")?;
    outcome
}

fn run(dir: &Path, rows: u32) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    line(
        "bare disk: write and sync 4 KiB",
        format!("{:.0} /s", bare_syncs(dir)?),
        "",
    );
    let env = Environment::real();
    let options = || EmbeddedOptions {
        checkpoint_bytes: 64 << 20,
        ..EmbeddedOptions::default()
    };
    let store = open_embedded(&env, &dir.join("data"), options())?;
    load(&store, rows)?;
    let started = Instant::now();
    block_on(store.checkpoint())?;
    line("checkpoint of the rest", millis(started.elapsed()), "");
    reads(&store, rows)?;
    writes(&store, rows)?;
    hot_rows(&store)?;
    durable(&store)?;
    run_file(&store, rows)?;
    println!("{:?}", store.statistics());
    block_on(store.close())?;
    drop(store);
    let started = Instant::now();
    let store = open_embedded(&env, &dir.join("data"), options())?;
    line("open after a clean close", millis(started.elapsed()), "");
    drop(store);
    Ok(())
}

fn line(name: &str, figure: impl std::fmt::Display, target: &str) {
    println!("{name:<52} {figure:>16}   {target}");
}

fn micros(duration: Duration) -> String {
    format!("{:.2} us", duration.as_secs_f64() * 1e6)
}

fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

/// Median time of one operation, over groups of them.
fn median(
    groups: usize,
    group: usize,
    mut operation: impl FnMut(usize) -> anyhow::Result<()>,
) -> anyhow::Result<Duration> {
    let mut times = Vec::with_capacity(groups);
    for at in 0..groups {
        let started = Instant::now();
        for n in 0..group {
            operation(at * group + n)?;
        }
        times.push(started.elapsed() / group as u32);
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

fn bare_syncs(dir: &Path) -> anyhow::Result<f64> {
    let path = dir.join("sync");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(&path)?;
    file.write_all(&vec![0; 16 << 20])?;
    file.sync_all()?;
    let started = Instant::now();
    let mut count = 0_u32;
    while started.elapsed() < Duration::from_secs(1) {
        std::os::unix::fs::FileExt::write_all_at(
            &file,
            &[1; 4096],
            u64::from(count % 4096) * 4096,
        )?;
        file.sync_data()?;
        count += 1;
    }
    std::fs::remove_file(path)?;
    Ok(f64::from(count) / started.elapsed().as_secs_f64())
}

/// Spreads numbers over the key space, so that neighbours in time are not neighbours in order.
fn scattered(n: u32, rows: u32) -> u32 {
    (u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as u32 % rows
}

fn row_key(n: u32) -> Key {
    let mut bytes = 16_384_u32.to_be_bytes().to_vec();
    bytes.extend((u64::from(n) | 1 << 63).to_be_bytes());
    Key::from(bytes)
}

fn hot_key(n: u32) -> Key {
    let mut bytes = 16_385_u32.to_be_bytes().to_vec();
    bytes.extend(n.to_be_bytes());
    Key::from(bytes)
}

fn value(seed: u32) -> Val {
    let mut bytes = Vec::with_capacity(VALUE_BYTES);
    let mut state = u64::from(seed) + 1;
    while bytes.len() < VALUE_BYTES {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        bytes.extend(state.to_be_bytes());
    }
    bytes.truncate(VALUE_BYTES);
    Val::from(bytes)
}

fn commit(store: &Arc<dyn Store>, batch: WriteBatch) -> anyhow::Result<()> {
    match block_on(store.commit(batch, None)) {
        CommitOutcome::Committed(_) => Ok(()),
        other => bail!("not committed: {other:?}"),
    }
}

fn one(key: Key, value: Val, durability: Durability) -> WriteBatch {
    let writes = vec![(ROWS, key, Write::Put(value))];
    WriteBatch {
        txn: TxnId(1),
        writes,
        durability,
        ..WriteBatch::default()
    }
}

fn load(store: &Arc<dyn Store>, rows: u32) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut worst = Duration::ZERO;
    for start in (0..rows).step_by(LOAD_BATCH as usize) {
        let mut batch = WriteBatch::new(TxnId(1));
        batch.durability = Durability::Buffered;
        for n in start..rows.min(start + LOAD_BATCH) {
            // Odd multiplier and a power of two would do too; any permutation scatters.
            let key = (u64::from(n) * 7_919 % u64::from(rows)) as u32;
            batch
                .writes
                .push((ROWS, row_key(key), Write::Put(value(key))));
        }
        batch.writes.sort_unstable_by(|a, b| a.1.cmp(&b.1));
        batch.writes.dedup_by(|a, b| a.1 == b.1);
        let begun = Instant::now();
        commit(store, batch)?;
        worst = worst.max(begun.elapsed());
    }
    let per_row = started.elapsed() / rows;
    line(
        "random load, batches of 1,000, per row",
        micros(per_row),
        "",
    );
    line("  worst batch", millis(worst), "");
    Ok(())
}

fn read(snapshot: &Arc<dyn Snapshot>, key: &[u8]) -> anyhow::Result<Option<Val>> {
    Ok(snapshot
        .get(ROWS, key)
        .now()
        .context("the embedded engine answers at once")??)
}

fn reads(store: &Arc<dyn Store>, rows: u32) -> anyhow::Result<()> {
    let open = median(GROUPS, GROUP, |_| {
        drop(store.snapshot());
        Ok(())
    })?;
    line("snapshot, open and close", micros(open), "");
    let snapshot = store.snapshot();
    let cold = median(GROUPS, GROUP, |n| {
        let key = row_key(scattered(n as u32 + 77, rows));
        ensure!(
            read(&snapshot, &key)?.is_some() || rows.is_multiple_of(7_919),
            "a row is missing"
        );
        Ok(())
    })?;
    line("point read, cold row", micros(cold), "target 15 us");
    let absent = median(GROUPS, GROUP, |n| {
        let mut key = row_key(scattered(n as u32, rows)).to_vec();
        key.push(0);
        ensure!(read(&snapshot, &key)?.is_none(), "a row too many");
        Ok(())
    })?;
    line("point read, absent row", micros(absent), "");
    let warm: Vec<Key> = (0..1_000).map(|n| row_key(scattered(n, rows))).collect();
    for key in &warm {
        read(&snapshot, key)?;
    }
    let cached = median(GROUPS, GROUP, |n| {
        read(&snapshot, &warm[n % warm.len()])?;
        Ok(())
    })?;
    line(
        "point read, recently read row",
        micros(cached),
        "target 3 us",
    );
    let with_snapshot = median(GROUPS, GROUP, |n| {
        read(&store.snapshot(), &warm[n % warm.len()])?;
        Ok(())
    })?;
    line(
        "  with a snapshot of its own",
        micros(with_snapshot),
        "target 3 us",
    );
    for n in 0..1_000 {
        let key = row_key(scattered(n, rows));
        commit(store, one(key, value(n), Durability::Buffered))?;
    }
    let snapshot = store.snapshot();
    let recent = median(GROUPS, GROUP, |n| {
        read(&snapshot, &warm[n % warm.len()])?;
        Ok(())
    })?;
    line(
        "point read, recently written row",
        micros(recent),
        "target 3 us",
    );
    let scan = median(GROUPS, 10, |n| {
        scan_rows(&snapshot, row_key(scattered(n as u32, rows)), 100)
    })?;
    line("scan of 100 cold rows", micros(scan), "");
    let started = Instant::now();
    let mut count = 0_u32;
    let mut all = snapshot.scan(ROWS, KeyRange::all(), ScanOptions::default());
    while let Some(batch) = block_on(all.next_batch())? {
        count += batch.len() as u32;
    }
    line("full scan, per row", micros(started.elapsed() / count), "");
    Ok(())
}

fn scan_rows(snapshot: &Arc<dyn Snapshot>, from: Key, count: usize) -> anyhow::Result<()> {
    let options = ScanOptions {
        row_limit: Some(count),
        ..ScanOptions::default()
    };
    let range = KeyRange {
        start: std::ops::Bound::Included(from),
        end: std::ops::Bound::Unbounded,
    };
    let mut scan = snapshot.clone().scan(ROWS, range, options);
    while block_on(scan.next_batch())?.is_some() {}
    Ok(())
}

fn writes(store: &Arc<dyn Store>, rows: u32) -> anyhow::Result<()> {
    let write = median(GROUPS, GROUP, |n| {
        let key = row_key(scattered(n as u32 + 5, rows));
        commit(store, one(key, value(n as u32), Durability::Buffered))
    })?;
    line("point write without fsync", micros(write), "target 10 us");
    Ok(())
}

fn scan_hot(store: &Arc<dyn Store>) -> anyhow::Result<()> {
    let mut scan = store.snapshot().scan(
        ROWS,
        KeyRange::prefix(&16_385_u32.to_be_bytes()),
        ScanOptions::default(),
    );
    let mut count = 0;
    while let Some(batch) = block_on(scan.next_batch())? {
        count += batch.len();
    }
    ensure!(count == HOT_ROWS as usize, "{count} rows");
    Ok(())
}

fn hot_rows(store: &Arc<dyn Store>) -> anyhow::Result<()> {
    let rewrite = |n: u32| {
        commit(
            store,
            one(hot_key(n % HOT_ROWS), value(n), Durability::Buffered),
        )
    };
    let started = Instant::now();
    for n in 0..HOT_REWRITES {
        rewrite(n)?;
    }
    line(
        "hot rewrite",
        micros(started.elapsed() / HOT_REWRITES),
        "target 10 us",
    );
    let alone = median(GROUPS, 5, |_| scan_hot(store))?;
    line(
        "scan of 200 rows rewritten two million times",
        micros(alone),
        "target 300 us",
    );
    let stop = AtomicBool::new(false);
    let (beside, worst) = std::thread::scope(|scope| -> anyhow::Result<_> {
        let writer = scope.spawn(|| {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                rewrite(n)?;
                n += 1;
            }
            anyhow::Ok(n)
        });
        let mut worst = Duration::ZERO;
        let beside = median(2_000, 1, |_| {
            let started = Instant::now();
            scan_hot(store)?;
            worst = worst.max(started.elapsed());
            Ok(())
        });
        stop.store(true, Ordering::Relaxed);
        let written = writer
            .join()
            .map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        ensure!(written > 0, "the writer wrote nothing");
        Ok((beside?, worst))
    })?;
    line("  beside the writer", micros(beside), "target 300 us");
    line("  worst of 2,000", micros(worst), "");
    Ok(())
}

fn durable(store: &Arc<dyn Store>) -> anyhow::Result<()> {
    for threads in [1_u32, 8, 32] {
        let count = AtomicU64::new(0);
        let started = Instant::now();
        std::thread::scope(|scope| -> anyhow::Result<()> {
            let worker = |thread: u32| {
                let count = &count;
                move || {
                    let mut n = 0;
                    while started.elapsed() < COMMIT_TIME {
                        let key = row_key(thread * 10_000 + n % 10_000);
                        commit(store, one(key, value(n), Durability::Durable))?;
                        count.fetch_add(1, Ordering::Relaxed);
                        n += 1;
                    }
                    anyhow::Ok(())
                }
            };
            let workers: Vec<_> = (0..threads)
                .map(|thread| scope.spawn(worker(thread)))
                .collect();
            for worker in workers {
                worker
                    .join()
                    .map_err(|_| anyhow::anyhow!("a worker panicked"))??;
            }
            Ok(())
        })?;
        let rate = count.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
        let target = if threads == 32 {
            "target 15,000 /s at 5,000 syncs/s"
        } else {
            ""
        };
        line(
            &format!("durable commits, {threads} threads"),
            format!("{rate:.0} /s"),
            target,
        );
    }
    Ok(())
}

fn run_file(store: &Arc<dyn Store>, rows: u32) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut writer = store.begin_run()?;
    for n in 0..rows {
        writer.add(KeySpace::Indexes, row_key(n), Write::Put(value(n)))?;
    }
    let run = writer.finish()?;
    line(
        "run file, write per row",
        micros(started.elapsed() / rows),
        "",
    );
    let mut batch = WriteBatch::new(TxnId(1));
    batch.runs = vec![run.id()];
    commit(store, batch)?;
    drop(run);
    let snapshot = store.snapshot();
    let point = median(GROUPS, 50, |n| {
        let key = row_key(scattered(n as u32, rows));
        let found = snapshot
            .get(KeySpace::Indexes, &key)
            .now()
            .context("at once")??;
        ensure!(found.is_some(), "a row of the run is missing");
        Ok(())
    })?;
    line("point read from a run file", micros(point), "");
    let started = Instant::now();
    block_on(store.checkpoint())?;
    line(
        "checkpoint of the run, per row",
        micros(started.elapsed() / rows),
        "",
    );
    Ok(())
}
