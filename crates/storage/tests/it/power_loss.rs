//! Power cut at every sync of a workload that meets all parts: log, segment rotation, checkpoint,
//! run files, destroyed ranges, opening and closing.

use std::sync::Arc;

use futures::executor::block_on;
use tessera_environment::{Environment, Simulation};
use tessera_storage::{
    CommitOutcome, Durability, EmbeddedOptions, KeyRange, KeySpace, Mode, ScanOptions, Store, Val,
    Write, WriteBatch, check_with, open_embedded,
};
use tessera_types::TxnId;

use crate::harness::{data_dir, key, rows};

const ACCOUNTS: u32 = 8;
const TOTAL: u64 = 100 * ACCOUNTS as u64;
const TRANSFERS: u64 = 24;
/// Makes records large enough that segments change during the workload.
const PADDING: usize = 3_000;

/// What the tester, outside of the store, knows about transfers.
#[derive(Default, Debug)]
struct Expected {
    /// Newest transfer answered as durable; it and all before it must be there.
    acknowledged: u64,
    /// Newest transfer begun; nothing after it may be there.
    begun: u64,
}

fn options() -> EmbeddedOptions {
    EmbeddedOptions::simulated()
}

fn account(n: u32) -> Val {
    key(format!("account/{n}"))
}

fn balance(value: &Val) -> u64 {
    u64::from_be_bytes(value[..8].try_into().unwrap())
}

fn money(amount: u64) -> Val {
    let mut bytes = amount.to_be_bytes().to_vec();
    bytes.resize(PADDING, 0);
    Val::from(bytes)
}

/// One transfer: two accounts, a history row in another space, a counter in a third.
fn transfer(store: &Arc<dyn Store>, n: u64, by_run: bool) -> CommitOutcome {
    let (from, to) = ((n % 8) as u32, ((n * 5 + 1) % 8) as u32);
    let snapshot = store.snapshot();
    let lost = CommitOutcome::Unknown(TxnId(n));
    let read = |n| {
        let found = block_on(snapshot.get(KeySpace::Rows, &account(n)));
        // Only a lack of power may stop a read.
        found
            .ok()
            .map(|value| balance(&value.expect("accounts stay")))
    };
    let mut writes = vec![
        (
            KeySpace::Meta,
            key("counter"),
            Write::Put(key(n.to_be_bytes())),
        ),
        (
            KeySpace::Indexes,
            key(n.to_be_bytes()),
            Write::Put(key("history")),
        ),
    ];
    if from != to {
        let (Some(a), Some(b)) = (read(from), read(to)) else {
            return lost;
        };
        writes.push((KeySpace::Rows, account(from), Write::Put(money(a - 1))));
        writes.push((KeySpace::Rows, account(to), Write::Put(money(b + 1))));
    }
    writes.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    let mut batch = WriteBatch::new(TxnId(n));
    // Every third commit does not wait for the disk.
    batch.durability = if n % 3 == 2 {
        Durability::Buffered
    } else {
        Durability::Durable
    };
    if by_run {
        let Ok(mut writer) = store.begin_run() else {
            return lost;
        };
        for (space, key, write) in writes.drain(1..) {
            if writer.add(space, key, write).is_err() {
                return lost;
            }
        }
        let Ok(run) = writer.finish() else {
            return lost;
        };
        batch.runs = vec![run.id()];
        batch.writes = writes;
        return block_on(store.commit(batch, None));
    }
    batch.writes = writes;
    block_on(store.commit(batch, None))
}

fn set_up(store: &Arc<dyn Store>) -> bool {
    let mut batch = WriteBatch::new(TxnId(0));
    batch.writes.push((
        KeySpace::Meta,
        key("counter"),
        Write::Put(key(0_u64.to_be_bytes())),
    ));
    for n in 0..ACCOUNTS {
        batch
            .writes
            .push((KeySpace::Rows, account(n), Write::Put(money(100))));
    }
    for n in 0..20 {
        batch.writes.push((
            KeySpace::Rows,
            key(format!("dropped/{n:02}")),
            Write::Put(key("x")),
        ));
    }
    block_on(store.commit(batch, None)).version().is_some()
}

/// Runs the workload until it is done or the power is gone. Never panics for lack of power.
fn work(env: &Environment, simulation: &Simulation) -> Expected {
    let mut expected = Expected::default();
    let Ok(store) = open_embedded(env, &data_dir(), options()) else {
        return expected;
    };
    if !set_up(&store) {
        return expected;
    }
    for n in 1..=TRANSFERS {
        expected.begun = n;
        let outcome = transfer(&store, n, n % 5 == 0);
        if !simulation.is_powered() {
            break;
        }
        if outcome.version().is_some() && n % 3 != 2 {
            expected.acknowledged = n;
        }
        if n % 7 == 0 {
            // May fail when the power goes; the commits count.
            let _ = block_on(store.checkpoint());
        }
        if n == 10 {
            let _ = store.destroy_range(KeySpace::Rows, KeyRange::prefix(b"dropped/"));
        }
    }
    if block_on(store.close()).is_ok() && simulation.is_powered() {
        expected.acknowledged = expected.begun;
    }
    expected
}

/// Whatever survived opens, is whole, and has everything that was acknowledged.
fn verify(env: &Environment, expected: &Expected, context: &str) {
    let store = open_embedded(env, &data_dir(), options())
        .unwrap_or_else(|error| panic!("{context}: cannot open: {}", error.report().message));
    assert_eq!(store.mode(), Mode::ReadWrite, "{context}");
    let snapshot = store.snapshot();
    let found = rows(
        &snapshot,
        KeySpace::Rows,
        KeyRange::prefix(b"account/"),
        ScanOptions::default(),
    );
    let counter = block_on(snapshot.get(KeySpace::Meta, b"counter")).unwrap();
    let Some(counter) = counter else {
        assert_eq!(expected.acknowledged, 0, "{context}");
        assert!(found.is_empty(), "{context}: accounts without a counter");
        return;
    };
    let counter = balance(&counter);
    assert!(
        counter >= expected.acknowledged,
        "{context}: lost {expected:?}, found {counter}"
    );
    assert!(
        counter <= expected.begun,
        "{context}: {expected:?}, found {counter}"
    );
    let total: u64 = found.iter().map(|(_, value)| balance(value)).sum();
    assert_eq!(total, TOTAL, "{context}: money was made or lost");
    let history = rows(
        &snapshot,
        KeySpace::Indexes,
        KeyRange::all(),
        ScanOptions::default(),
    );
    assert_eq!(history.len() as u64, counter, "{context}: history");
    drop(snapshot);
    // And it goes on working.
    assert!(
        transfer(&store, counter + 1, true).version().is_some(),
        "{context}"
    );
    block_on(store.checkpoint()).unwrap_or_else(|error| panic!("{context}: {error}"));
    block_on(store.close()).unwrap_or_else(|error| panic!("{context}: {error}"));
    drop(store);
    let report = check_with(env, &data_dir(), &options()).unwrap();
    assert!(report.is_good(), "{context}: {report}");
}

/// Method: count the syncs of a clean run, then cut the power at each one of them.
/// Property: whatever survives opens, money is neither made nor lost, and what was acknowledged
/// is there.
#[test]
fn power_loss_at_any_sync_keeps_the_total() {
    let sync_count = {
        let (env, simulation) = Environment::simulated(0);
        let expected = work(&env, &simulation);
        assert_eq!(expected.acknowledged, TRANSFERS);
        verify(&env, &expected, "without a cut");
        simulation.sync_count()
    };
    assert!(sync_count > 100, "{sync_count}");
    for cut_at in 0..sync_count {
        for seed in [cut_at, cut_at + 1_000_000] {
            let (env, simulation) = Environment::simulated(seed);
            simulation.cut_power_at_sync(cut_at);
            let expected = work(&env, &simulation);
            simulation.power_loss();
            verify(&env, &expected, &format!("cut_at={cut_at} seed={seed}"));
        }
    }
}

/// Method: cut the power while the store recovers from a power cut.
#[test]
fn power_loss_while_opening_loses_nothing() {
    for cut_at in [20, 35, 50, 65, 80] {
        for second in 0..12 {
            let (env, simulation) = Environment::simulated(cut_at * 100 + second);
            simulation.cut_power_at_sync(cut_at);
            let expected = work(&env, &simulation);
            simulation.power_loss();
            simulation.cut_power_at_sync(simulation.sync_count() + second);
            drop(open_embedded(&env, &data_dir(), options()));
            simulation.power_loss();
            verify(&env, &expected, &format!("cut_at={cut_at} second={second}"));
        }
    }
}
