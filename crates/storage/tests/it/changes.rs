//! Commits read again in their order: over every engine, over checkpoints, retention, restarts and
//! losses of power.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::executor::block_on;
use parking_lot::Mutex;
use tessera_environment::{Environment, Simulation};
use tessera_storage::{
    ChangeItem, ChangeReader, CommitOutcome, Durability, EmbeddedOptions, KeyRange, Notice, Origin,
    Reach, Store, StoreError, Watcher, Write, WriteBatch, open_embedded,
};
use tessera_types::{TxnId, Version};

use crate::harness::{
    ROWS, batch, checkpoint, commit, data_dir, key, open, put, put_buffered, simulated, subjects,
};

/// What a reader gives until nothing is left, one word per piece: `3:` begins commit 3, `.` ends it.
fn script(reader: &mut Box<dyn ChangeReader>) -> String {
    let mut out = Vec::new();
    loop {
        // One piece at a time: the border of a step must make no difference.
        let items = reader.next_items(1).unwrap();
        if items.is_empty() {
            return out.join(" ");
        }
        out.extend(items.iter().map(word));
    }
}

fn word(item: &ChangeItem) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match item {
        ChangeItem::Begin { version, .. } => format!("{version}:"),
        ChangeItem::Write { key, write, .. } => {
            let key = text(key);
            match write {
                Write::Insert(value) => format!("{key}+{}", text(value)),
                Write::Put(value) => format!("{key}={}", text(value)),
                Write::Delete => format!("{key}-"),
            }
        }
        ChangeItem::Destroyed { .. } => "destroyed".to_owned(),
        ChangeItem::Notice(notice) => format!("!{}:{}", notice.channel, notice.payload),
        ChangeItem::End { .. } => ".".to_owned(),
    }
}

fn notice(channel: &str, payload: &str) -> Notice {
    Notice {
        channel: channel.into(),
        payload: payload.into(),
        process_id: 5,
    }
}

fn durable(store: &Arc<dyn Store>, after: u64) -> Box<dyn ChangeReader> {
    store.changes(Version(after), Reach::Durable).unwrap()
}

#[test]
fn commits_are_read_in_order_with_everything_that_was_in_them() {
    for subject in subjects() {
        let (store, name) = (&subject.store, subject.name);
        let start = store.newest().0;
        let mut early = durable(store, start);
        put(store, &["a=1", "b=1"]);
        let mut second = batch(&["a-"]);
        second
            .writes
            .push((ROWS, key("c"), Write::Insert(key("2"))));
        second.notices = vec![notice("n", "x"), notice("m", "")];
        second.origin = Origin::System;
        assert!(commit(store, second).version().is_some());
        store.destroy_range(ROWS, KeyRange::prefix(b"b")).unwrap();
        // Nobody waits for a destroyed range to be durable, but for what comes after it.
        put(store, &["d=1"]);
        let [one, two, three, four] = [start + 1, start + 2, start + 3, start + 4];
        let whole =
            format!("{one}: a=1 b=1 . {two}: a- c+2 !n:x !m: . {three}: destroyed . {four}: d=1 .");
        assert_eq!(script(&mut early), whole, "{name}");
        assert_eq!(script(&mut early), "", "{name}: once is enough");
        assert_eq!(script(&mut durable(store, start)), whole, "{name}");
        let rest = format!("{three}: destroyed . {four}: d=1 .");
        assert_eq!(script(&mut durable(store, two)), rest, "{name}");
        let items = durable(store, one).next_items(1).unwrap();
        let is_system = matches!(
            items[0],
            ChangeItem::Begin {
                origin: Origin::System,
                ..
            }
        );
        assert!(is_system, "{name}");
        let window = store.change_window();
        assert_eq!((window.oldest.0, window.newest.0), (start, four), "{name}");
    }
}

/// Runs and the record are one sorted list; what was made and removed again is not told.
#[test]
fn the_runs_of_a_commit_are_merged() {
    for subject in subjects() {
        let (store, name) = (&subject.store, subject.name);
        put(store, &["old=0"]);
        let start = store.newest().0;
        let run = |writes: &[(&str, Write)]| {
            let mut writer = store.begin_run().unwrap();
            for (k, write) in writes {
                writer.add(ROWS, key(k), write.clone()).unwrap();
            }
            writer.finish().unwrap()
        };
        let insert = |text: &str| Write::Insert(key(text));
        let first = run(&[
            ("a", insert("1")),
            ("b", insert("1")),
            ("old", Write::Delete),
        ]);
        let second = run(&[("b", Write::Delete), ("c", insert("2")), ("d", insert("2"))]);
        let mut last = WriteBatch::new(TxnId(1));
        last.runs = vec![first.id(), second.id()];
        last.writes = vec![
            (ROWS, key("d"), Write::Put(key("3"))),
            (ROWS, key("old"), insert("3")),
        ];
        assert!(commit(store, last).version().is_some());
        let found = script(&mut durable(store, start));
        let expected = format!("{}: a+1 c+2 d+3 old=3 .", start + 1);
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_waiting_reader_is_woken_by_the_next_commit() {
    for subject in subjects() {
        let store = &subject.store;
        let mut reader = durable(store, store.newest().0);
        assert!(
            reader.changed().now_or_never().is_none(),
            "{}",
            subject.name
        );
        let writer = {
            let store = store.clone();
            std::thread::spawn(move || put(&store, &["a=1"]))
        };
        block_on(reader.changed()).unwrap();
        writer.join().unwrap();
        block_on(reader.changed()).unwrap();
        assert!(script(&mut reader).ends_with("a=1 ."), "{}", subject.name);
        // Closing ends the wait.
        let closer = {
            let store = store.clone();
            std::thread::spawn(move || block_on(store.close()).unwrap())
        };
        let error = block_on(reader.changed()).unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
        closer.join().unwrap();
    }
}

/// A watcher hears of every commit after it has become visible, with its messages.
#[test]
fn a_watcher_hears_of_each_commit_in_order() {
    struct Listener {
        store: Arc<dyn Store>,
        heard: Mutex<Vec<(u64, String)>>,
    }
    impl Watcher for Listener {
        fn published(&self, version: Version, notices: &[Notice]) {
            assert!(self.store.newest() >= version);
            let texts: Vec<&str> = notices.iter().map(|notice| &*notice.payload).collect();
            self.heard.lock().push((version.0, texts.join(" ")));
        }
    }
    for subject in subjects() {
        let store = &subject.store;
        let listener = Arc::new(Listener {
            store: store.clone(),
            heard: Mutex::default(),
        });
        let watching = store.watch(listener.clone());
        let first = put(store, &["a=1"]).0;
        let mut silent = WriteBatch::new(TxnId(1));
        silent.notices = vec![notice("c", "1"), notice("c", "2")];
        let second = commit(store, silent).version().unwrap().0;
        drop(watching);
        put(store, &["a=2"]);
        let heard = std::mem::take(&mut *listener.heard.lock());
        let expected = vec![(first, String::new()), (second, "1 2".to_owned())];
        assert_eq!(heard, expected, "{}", subject.name);
    }
}

/// What a crash may take back is given to those only who want to hear of it early.
#[test]
fn a_buffered_commit_is_given_when_it_is_durable() {
    let (env, simulation) = Environment::simulated(1);
    let mut options = EmbeddedOptions::simulated();
    // Nothing becomes durable by itself within the test.
    options.log.sync_delay = Duration::from_secs(1_000_000);
    let store = open(&env, options);
    let start = store.newest();
    let mut patient = store.changes(start, Reach::Durable).unwrap();
    let mut hasty = store.changes(start, Reach::Visible).unwrap();
    assert!(put_buffered(&store, &["a=1"]).version().is_some());
    // Time for the writer to write it.
    simulation.advance(Duration::from_secs(1));
    block_on(hasty.changed()).unwrap();
    assert_eq!(script(&mut hasty), format!("{}: a=1 .", start.0 + 1));
    assert_eq!(script(&mut patient), "");
    assert!(patient.changed().now_or_never().is_none());
    put(&store, &["b=1"]);
    block_on(patient.changed()).unwrap();
    let both = format!("{}: a=1 . {}: b=1 .", start.0 + 1, start.0 + 2);
    assert_eq!(script(&mut patient), both);
}

fn keeping(bytes: u64) -> EmbeddedOptions {
    EmbeddedOptions {
        changes_bytes_max: bytes,
        ..EmbeddedOptions::simulated()
    }
}

/// A batch that fills about half a segment, by a run if asked.
fn large(store: &Arc<dyn Store>, n: u64, by_run: bool) -> Version {
    let value = key(vec![b'x'; 30_000]);
    let write = (ROWS, key(format!("large/{n:04}")), Write::Put(value));
    let mut batch = WriteBatch::new(TxnId(n));
    let mut run = None;
    if by_run {
        let mut writer = store.begin_run().unwrap();
        writer.add(write.0, write.1, write.2).unwrap();
        let finished = writer.finish().unwrap();
        batch.runs = vec![finished.id()];
        run = Some(finished);
    } else {
        batch.writes = vec![write];
    }
    let version = commit(store, batch).version().unwrap();
    drop(run);
    version
}

fn versions(reader: &mut Box<dyn ChangeReader>) -> Vec<u64> {
    try_versions(reader).unwrap()
}

fn try_versions(reader: &mut Box<dyn ChangeReader>) -> Result<Vec<u64>, StoreError> {
    let mut found = Vec::new();
    loop {
        let items = reader.next_items(1 << 20)?;
        if items.is_empty() {
            return Ok(found);
        }
        found.extend(items.iter().filter_map(|item| match item {
            ChangeItem::End { version } => Some(version.0),
            _ => None,
        }));
    }
}

/// Method: commits over many segments, some by runs, with checkpoints; then the store is opened
/// again. Property: what is kept is read, before and after; what is not is a clear error.
#[test]
fn checkpoints_leave_what_is_to_be_kept_and_no_more() {
    let (env, simulation) = Environment::simulated(3);
    let store = open(&env, keeping(512 << 10));
    let first = store.newest().0;
    for n in 1..=40 {
        large(&store, n, n % 4 == 0);
        if n % 10 == 0 {
            checkpoint(&store);
        }
    }
    let newest = store.newest().0;
    let window = store.change_window();
    assert!(window.oldest.0 > first, "the oldest are gone");
    assert!(newest - window.oldest.0 > 8, "but not all: {window:?}");
    let kept: Vec<u64> = (window.oldest.0 + 1..=newest).collect();
    let mut reader = store.changes(window.oldest, Reach::Durable).unwrap();
    assert_eq!(versions(&mut reader), kept);
    let refused = store.changes(Version(window.oldest.0 - 1), Reach::Durable);
    let error = refused.err().unwrap();
    assert!(matches!(error, StoreError::ChangesCut { .. }), "{error}");
    assert!(error.report().hint.is_some());
    // Files of runs stay for as long as their commits, and no longer.
    let run_files = |simulation: &Simulation| {
        let files = simulation.files();
        files
            .iter()
            .filter(|(path, _)| path.extension().is_some_and(|e| e == "run"))
            .count()
    };
    // The last checkpoint is that of closing.
    block_on(store.close()).unwrap();
    drop((store, reader));
    let in_use = run_files(&simulation);
    assert!(in_use > 0);

    let store = open(&env, keeping(512 << 10));
    assert_eq!(
        run_files(&simulation),
        in_use,
        "an opening removes none that is kept"
    );
    let window = store.change_window();
    assert_eq!(window.newest.0, newest);
    // An opening does not know yet that a run within an oldest segment was given up; a reader that
    // gets there is told from where everything is there.
    let mut oldest = window.oldest;
    let found = loop {
        let mut reader = store.changes(oldest, Reach::Durable).unwrap();
        match try_versions(&mut reader) {
            Ok(found) => break found,
            Err(StoreError::ChangesCut { oldest: later, .. }) if later > oldest => oldest = later,
            Err(error) => panic!("{error}"),
        }
    };
    let kept: Vec<u64> = (oldest.0 + 1..=newest).collect();
    assert!(kept.len() > 8, "{kept:?}");
    assert_eq!(found, kept);
    block_on(store.close()).unwrap();
    drop(store);

    // Without retention the next checkpoint leaves nothing.
    let store = open(&env, keeping(0));
    large(&store, 100, true);
    checkpoint(&store);
    assert_eq!(run_files(&simulation), 0);
    let window = store.change_window();
    // But for what is in the segment that is being written.
    assert!(window.newest.0 - window.oldest.0 < 6, "{window:?}");
}

#[test]
fn what_is_kept_for_readers_gives_way_when_the_disk_is_nearly_full() {
    let (env, simulation) = Environment::simulated(4);
    let options = EmbeddedOptions {
        disk_reserve_bytes: 1 << 20,
        ..keeping(64 << 20)
    };
    let store = open(&env, options);
    for n in 1..=200 {
        large(&store, n, false);
    }
    checkpoint(&store);
    let before = store.change_window();
    assert_eq!(before.oldest, Version(0));
    simulation.disk_full(512 << 10);
    // The first look at the disk frees what is kept; then there is room again.
    let mut n = 200;
    while store.change_window().oldest == before.oldest {
        n += 1;
        let mut batch = WriteBatch::new(TxnId(n));
        batch.writes = vec![(ROWS, key("k"), Write::Put(key(vec![0; 60_000])))];
        let _ = commit(&store, batch);
        assert!(n < 400, "nothing was freed");
    }
    assert!(store.change_window().oldest.0 > 100);
}

/// A record longer than any buffer comes in pieces.
#[test]
fn a_long_record_is_given_in_pieces() {
    let (_, _, store) = simulated(5);
    let start = store.newest().0;
    let mut long = WriteBatch::new(TxnId(1));
    for n in 0..2_000 {
        let write = Write::Insert(key(vec![b'v'; 1_000]));
        long.writes.push((ROWS, key(format!("{n:06}")), write));
    }
    assert!(commit(&store, long).version().is_some());
    let mut reader = durable(&store, start);
    let mut count = 0;
    let mut steps = 0;
    loop {
        let items = reader.next_items(50_000).unwrap();
        if items.is_empty() {
            break;
        }
        let bytes: usize = items.iter().map(ChangeItem::bytes).sum();
        assert!(bytes < 52_000, "{bytes}");
        steps += 1;
        let is_write = |item: &&ChangeItem| matches!(item, ChangeItem::Write { .. });
        count += items.iter().filter(is_write).count();
    }
    assert_eq!(count, 2_000);
    assert!(steps > 40, "{steps}");
}

const COMMITS: u64 = 40;

/// Follows as a client would: reads a little after each commit, and remembers where it is.
#[derive(Default)]
struct Client {
    identity: Option<u64>,
    position: u64,
    /// Numbers of the commits it was given, in order.
    seen: Vec<u64>,
}

impl Client {
    fn read(&mut self, store: &Arc<dyn Store>, context: &str) {
        let window = store.change_window();
        let identity = *self.identity.get_or_insert(window.identity);
        assert_eq!(identity, window.identity, "{context}");
        let Ok(mut reader) = store.changes(Version(self.position), Reach::Durable) else {
            return;
        };
        while let Ok(items) = reader.next_items(10_000)
            && !items.is_empty()
        {
            for item in items {
                match item {
                    ChangeItem::Begin { txn, .. } if txn.0 > 0 => self.seen.push(txn.0),
                    ChangeItem::End { version } => self.position = version.0,
                    _ => {}
                }
            }
        }
    }
}

/// Commits `from..=COMMITS` until the power is gone; the newest acknowledged as durable.
fn work(store: &Arc<dyn Store>, simulation: &Simulation, client: &mut Client, from: u64) -> u64 {
    let mut acknowledged = 0;
    for n in from..=COMMITS {
        let mut batch = batch(&[&format!("k{:02}={n}", n % 7)]);
        batch.txn = TxnId(n);
        batch
            .writes
            .push((ROWS, key("z"), Write::Put(key(vec![0; 9_000]))));
        let is_buffered = n % 3 == 2;
        if is_buffered {
            batch.durability = Durability::Buffered;
        }
        let outcome = block_on(store.commit(batch, None));
        if !simulation.is_powered() {
            return acknowledged;
        }
        if let (CommitOutcome::Committed(_), false) = (&outcome, is_buffered) {
            acknowledged = n;
        }
        if n % 4 == 0 {
            client.read(store, "while working");
        }
        if n % 9 == 0 {
            let _ = block_on(store.checkpoint());
        }
    }
    acknowledged
}

/// Method: cut the power at every sync; open again, go on, and let a client that remembers nothing
/// but its position read on. Property: it sees every commit that is there exactly once, in order,
/// and nothing that it was given before the cut is gone.
#[test]
fn a_client_that_resumes_after_a_power_loss_misses_nothing_and_sees_nothing_twice() {
    let run = |cut_at: Option<u64>| {
        let seed = cut_at.unwrap_or(0);
        let context = format!("cut_at={cut_at:?}");
        let (env, simulation) = Environment::simulated(seed);
        if let Some(cut_at) = cut_at {
            simulation.cut_power_at_sync(cut_at);
        }
        let mut client = Client::default();
        let mut acknowledged = 0;
        if let Ok(store) = open_embedded(&env, &data_dir(), keeping(64 << 20)) {
            acknowledged = work(&store, &simulation, &mut client, 1);
        }
        let syncs = simulation.sync_count();
        if cut_at.is_some() {
            simulation.power_loss();
        }
        let before = client.seen.clone();
        let store = open_embedded(&env, &data_dir(), keeping(64 << 20))
            .unwrap_or_else(|error| panic!("{context}: {error}"));
        // A log of which no header was durable is another log.
        if client.seen.is_empty() {
            client = Client::default();
        }
        client.read(&store, &context);
        let survived = client.seen.last().copied().unwrap_or(0);
        assert!(
            survived >= acknowledged,
            "{context}: {survived} < {acknowledged}"
        );
        let from = survived + 1;
        work(&store, &simulation, &mut client, from);
        // Whatever was buffered last becomes durable with the close.
        block_on(store.close()).unwrap_or_else(|error| panic!("{context}: {error}"));
        client.read(&store, &context);
        assert_eq!(client.seen[..before.len()], before, "{context}");
        let all: Vec<u64> = (1..=COMMITS).collect();
        assert_eq!(client.seen, all, "{context}");
        syncs
    };
    let syncs = run(None);
    assert!(syncs > 40, "{syncs}");
    for cut_at in 0..syncs {
        run(Some(cut_at));
    }
}
