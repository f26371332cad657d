//! Method: count the syncs of a clean run, then cut the power at them, one run each: at all of them
//! with `TESSERA_CRASH_EVERY_SYNC=1`, else at a part.
//! Property: whatever survives opens; what was acknowledged is there, what was not is there whole
//! or not at all; indexes agree with their tables.

use std::path::PathBuf;

use tessera_engine::{Engine, EngineOptions, Report, Session, StoreKind};
use tessera_environment::{Environment, Simulation};

const ACCOUNTS: i64 = 5;
const TOTAL: i64 = 100 * ACCOUNTS;
const TRANSFERS: i64 = 16;
/// Every cut up to here, then every `CUT_STEP`-th: starts and early commits differ most.
const CUTS_DENSE: u64 = 24;
const CUT_STEP: usize = 9;

pub(crate) fn options(environment: &Environment) -> EngineOptions {
    EngineOptions {
        data_dir: PathBuf::from("/data"),
        environment: environment.clone(),
        store: StoreKind::Simulated,
        admin_password: Some("secret".to_owned()),
        // So small that ordinary transactions spill to run files.
        write_buffer_bytes_max: 4 << 10,
        ..EngineOptions::default()
    }
}

/// What the tester, outside of the database, knows.
#[derive(Debug, Default)]
struct Expected {
    is_set_up: bool,
    acknowledged: i64,
    begun: i64,
}

async fn set_up(session: &mut Session) -> Result<(), Report> {
    session
        .run(
            "BEGIN;
             CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
             CREATE TABLE history (id int PRIMARY KEY, giver int, taker int, note text);
             CREATE INDEX history_giver ON history (giver);
             INSERT INTO account SELECT n, 100 FROM generate_series(0, 4) AS g(n);
             COMMIT",
        )
        .await
        .map(|_| ())
}

async fn transfer(session: &mut Session, n: i64) -> Result<(), Report> {
    let (giver, taker) = (n % ACCOUNTS, (n * 3 + 1) % ACCOUNTS);
    // Every fourth note is larger than the write buffer.
    let note = "x".repeat(if n % 4 == 0 { 6_000 } else { 20 });
    let synchronous = if n % 3 == 2 { "off" } else { "on" };
    session
        .run(&format!(
            "SET synchronous_commit = {synchronous};
             BEGIN;
             UPDATE account SET balance = balance - 1 WHERE id = {giver};
             UPDATE account SET balance = balance + 1 WHERE id = {taker};
             INSERT INTO history (id, giver, taker, note) VALUES ({n}, {giver}, {taker}, '{note}');
             COMMIT"
        ))
        .await
        .map(|_| ())
}

/// Runs until it is done or the power is gone.
async fn work(environment: &Environment, simulation: &Simulation) -> Expected {
    let mut expected = Expected::default();
    let Ok(engine) = Engine::open(options(environment)).await else {
        return expected;
    };
    let outcome = transfers(&engine, simulation, &mut expected).await;
    assert!(outcome.is_ok() || !simulation.is_powered(), "{outcome:?}");
    if engine.close().await.is_ok() && simulation.is_powered() {
        expected.acknowledged = expected.begun;
    }
    expected
}

async fn transfers(
    engine: &Engine,
    simulation: &Simulation,
    expected: &mut Expected,
) -> Result<(), Report> {
    let mut session = engine.session("admin").await?;
    set_up(&mut session).await?;
    expected.is_set_up = simulation.is_powered();
    for n in 1..=TRANSFERS {
        expected.begun = n;
        transfer(&mut session, n).await?;
        if simulation.is_powered() && n % 3 != 2 {
            expected.acknowledged = n;
        }
        if n == 5 {
            session
                .run("ALTER TABLE history ADD COLUMN remark text DEFAULT 'none'")
                .await?;
        }
        if n == 8 {
            session
                .run("CREATE TABLE dropped (id int); INSERT INTO dropped VALUES (1)")
                .await?;
        }
        if n == 9 {
            session.run("DROP TABLE dropped").await?;
        }
        if n % 6 == 0 {
            engine.checkpoint().await?;
        }
    }
    Ok(())
}

pub(crate) async fn number(session: &mut Session, sql: &str) -> i64 {
    let rows = session
        .query(sql, &[])
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    rows.text(0, 0).map_or(0, |text| text.parse().unwrap())
}

async fn verify(environment: &Environment, expected: &Expected, context: &str) {
    let engine = Engine::open(options(environment))
        .await
        .unwrap_or_else(|error| panic!("{context}: {error:?}"));
    let mut session = engine.session("admin").await.unwrap();
    let tables = "SELECT count(*) FROM pg_class WHERE relname IN ('account', 'history')";
    match number(&mut session, tables).await {
        0 => assert!(!expected.is_set_up, "{context}: the tables are gone"),
        2 => check_tables(&mut session, expected, context).await,
        count => panic!("{context}: {count} of 2 tables"),
    }
    drop(session);
    engine
        .close()
        .await
        .unwrap_or_else(|error| panic!("{context}: {error:?}"));
}

async fn check_tables(session: &mut Session, expected: &Expected, context: &str) {
    let count = number(session, "SELECT count(*) FROM history").await;
    assert!(
        count >= expected.acknowledged,
        "{context}: {expected:?}, found {count}"
    );
    assert!(
        count <= expected.begun,
        "{context}: {expected:?}, found {count}"
    );
    let total = number(session, "SELECT sum(balance) FROM account").await;
    assert_eq!(total, TOTAL, "{context}: money was made or lost");
    let last = number(session, "SELECT coalesce(max(id), 0) FROM history").await;
    assert_eq!(last, count, "{context}: the history has a gap");
    for giver in 0..ACCOUNTS {
        let by_index = number(
            session,
            &format!("SELECT count(*) FROM history WHERE giver = {giver}"),
        )
        .await;
        let by_table = number(
            session,
            &format!("SELECT count(*) FROM history WHERE giver + 0 = {giver}"),
        )
        .await;
        assert_eq!(by_index, by_table, "{context}: the index disagrees");
        let moved = number(
            session,
            &format!(
                "SELECT (SELECT count(*) FROM history WHERE taker = {giver})
                      - (SELECT count(*) FROM history WHERE giver = {giver})"
            ),
        )
        .await;
        let balance = number(
            session,
            &format!("SELECT balance FROM account WHERE id = {giver}"),
        )
        .await;
        assert_eq!(
            balance,
            100 + moved,
            "{context}: account {giver} against its history"
        );
    }
    transfer(session, count + 1)
        .await
        .unwrap_or_else(|error| panic!("{context}: {error:?}"));
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn power_loss_under_sql_keeps_every_acknowledged_transaction() {
    let runtime = runtime();
    let syncs = {
        let (environment, simulation) = Environment::simulated(0);
        let expected = runtime.block_on(work(&environment, &simulation));
        assert_eq!(expected.acknowledged, TRANSFERS);
        let syncs = simulation.sync_count();
        runtime.block_on(verify(&environment, &expected, "without a cut"));
        syncs
    };
    assert!(syncs > CUTS_DENSE, "{syncs} syncs");
    let step = if std::env::var_os("TESSERA_CRASH_EVERY_SYNC").is_some() {
        1
    } else {
        CUT_STEP
    };
    for cut_at in (0..CUTS_DENSE).chain((CUTS_DENSE..syncs).step_by(step)) {
        let (environment, simulation) = Environment::simulated(cut_at);
        simulation.cut_power_at_sync(cut_at);
        let expected = runtime.block_on(work(&environment, &simulation));
        simulation.power_loss();
        let context = format!("cut_at={cut_at} of {syncs}");
        runtime.block_on(verify(&environment, &expected, &context));
    }
}
