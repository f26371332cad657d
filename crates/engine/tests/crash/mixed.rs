//! Orders: stock in a key and in the field of a hash, a document, a row, all in one serializable
//! transaction; and beside them keys and documents that expire and are reclaimed.
//!
//! Method: count the syncs of a clean run, then cut the power at them, one run each: at all of them
//! with `TESSERA_CRASH_EVERY_SYNC=1`, else at a part.
//! Property: whatever survives opens; an order is there in every model or in none, an acknowledged
//! one is there; indexes agree with their collections, exact counts with a scan; what has expired
//! stays gone.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tessera_engine::documents::{DocumentId, Filter};
use tessera_engine::keyvalue::{
    End, Expire, ExpireCondition, ReclaimLimits, SetExpiry, SetOptions, Space,
};
use tessera_engine::models::{BeginOptions, Call, Client};
use tessera_engine::{Engine, Isolation, Report, Session};
use tessera_environment::{Environment, Simulation};

use crate::power_loss::{number, options, runtime};

const STOCK: i64 = 1_000;
const ORDERS: i64 = 14;
/// Every cut up to here, then every `CUT_STEP`-th.
const CUTS_DENSE: u64 = 20;
const CUT_STEP: usize = 11;
/// Between two orders.
const PAUSE: Duration = Duration::from_millis(400);
/// Time to live of what expires, so that some of it does in every run.
const LIVES_MS: i64 = 1_000;
/// Every key begins so: a prefix without a separator is counted by a scan.
const PREFIX: &[u8] = b"shop";
const SPACE: &str = "db0";

/// What the tester, outside of the database, knows.
#[derive(Debug, Default)]
struct Expected {
    is_set_up: bool,
    acknowledged: i64,
    begun: i64,
}

fn write(what: &str) -> Call {
    Call::write(what, None)
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

async fn set_up(client: &Client, session: &mut Session) -> Result<(), Report> {
    session
        .run(
            "CREATE TABLE sale (id int PRIMARY KEY, sku text NOT NULL); CREATE INDEX ON sale (sku)",
        )
        .await?;
    let orders = json!({"indexes": [
        {"name": "sku", "fields": [{"path": "sku"}]},
        {"name": "number", "fields": [{"path": "number"}], "unique": true}]});
    let carts = json!({"indexes": [{"name": "ttl", "ttl": {"path": "at", "after_seconds": 1}}]});
    for (name, options) in [("orders", orders), ("carts", carts)] {
        client
            .create_collection(&write("make a collection"), name, &object(options))
            .await?;
    }
    let stock = STOCK.to_string();
    let stock = stock.as_bytes();
    client
        .run(&write("fill the stock"), move |txn| async move {
            let space = client.space_to_write(&txn, SPACE).await?;
            let writer = client.key_writer(&space, &txn);
            writer
                .set(b"shop:stock", stock, SetOptions::default())
                .await?;
            writer.hset(b"shop:stocks", &[(b"a1", stock)]).await?;
            Ok(())
        })
        .await
}

/// One order, by members that joined a transaction by its token; `fails` undoes it in the end.
async fn order(client: &Client, session: &mut Session, n: i64, fails: bool) -> Result<(), Report> {
    let token = client.begin(BeginOptions {
        isolation: Some(Isolation::Serializable),
        // Of three orders one does not wait for the disk.
        durable: Some(n % 3 != 2),
        ..BeginOptions::default()
    })?;
    let work = async {
        let call = Call::write("an order", Some(client.join(&token)?));
        client
            .run(&call, move |txn| async move {
                let space = client.space_to_write(&txn, SPACE).await?;
                let writer = client.key_writer(&space, &txn);
                writer.incr_by(b"shop:stock", -1).await?;
                writer.hincr_by(b"shop:stocks", b"a1", -1).await?;
                lease(&writer, n).await
            })
            .await?;
        // Every fourth one is larger than the write buffer.
        let note = "x".repeat(if n % 4 == 0 { 6_000 } else { 20 });
        let note = &note;
        let now = client.environment().clock.unix_micros() / 1_000;
        client
            .run(&call, move |txn| async move {
                let orders = client.collection(&txn, "orders").await?;
                let id = DocumentId::new(format!("o{n}"))?;
                let body = json!({"sku": "a1", "number": n, "note": note});
                orders.insert(&txn, Some(id), body).await?;
                let carts = client.collection(&txn, "carts").await?;
                carts
                    .insert(&txn, None, json!({"order": n, "at": now}))
                    .await?;
                Ok(())
            })
            .await?;
        session.join_transaction(&token)?;
        let inserted = session
            .run(&format!("INSERT INTO sale VALUES ({n}, 'a1')"))
            .await;
        session.run("RESET tessera.join").await?;
        inserted.map(drop)
    };
    let done = work.await;
    if fails || done.is_err() {
        // The power may be gone, and the transaction with it.
        let _ = client.roll_back_held(&token);
        return done;
    }
    client.commit_held(&token).await
}

/// A key and a list that live for a while.
async fn lease(writer: &tessera_engine::keyvalue::Writer<'_>, n: i64) -> Result<(), Report> {
    let options = SetOptions {
        expiry: SetExpiry::Expire(Expire::InMillis(LIVES_MS)),
        ..SetOptions::default()
    };
    let lease = format!("shop:lease:{n}");
    writer.set(lease.as_bytes(), b"held", options).await?;
    let list = format!("shop:basket:{n}");
    writer
        .push(list.as_bytes(), End::Right, &["a", "b", "c"], false)
        .await?;
    let expire = Expire::InMillis(LIVES_MS);
    writer
        .expire(list.as_bytes(), expire, ExpireCondition::default())
        .await?;
    Ok(())
}

/// As the engine does in the background; here at known places.
async fn reclaim(client: &Client) -> Result<(), Report> {
    let call = Call {
        durable: Some(false),
        ..write("reclaim")
    };
    client
        .run(&call, move |txn| async move {
            let space = client.space_to_write(&txn, SPACE).await?;
            let limits = ReclaimLimits {
                keys_max: 3,
                elements_max: 4,
            };
            client.key_writer(&space, &txn).reclaim(limits).await?;
            Ok(())
        })
        .await?;
    client
        .run(&call, move |txn| async move {
            let carts = client.collection(&txn, "carts").await?;
            let now = client.environment().clock.unix_micros();
            carts.reclaim_expired(&txn, "ttl", now, 2).await?;
            Ok(())
        })
        .await
}

/// Runs until it is done or the power is gone.
async fn work(environment: &Environment, simulation: &Simulation) -> Expected {
    let mut expected = Expected::default();
    let Ok(engine) = Engine::open(options(environment)).await else {
        return expected;
    };
    let outcome = orders(&engine, simulation, &mut expected).await;
    assert!(outcome.is_ok() || !simulation.is_powered(), "{outcome:?}");
    if engine.close().await.is_ok() && simulation.is_powered() {
        expected.acknowledged = expected.begun;
    }
    expected
}

async fn orders(
    engine: &Engine,
    simulation: &Simulation,
    expected: &mut Expected,
) -> Result<(), Report> {
    let client = engine.client("admin")?;
    let mut session = engine.session("admin").await?;
    set_up(&client, &mut session).await?;
    expected.is_set_up = simulation.is_powered();
    for n in 1..=ORDERS {
        if n % 5 == 0 {
            order(&client, &mut session, n, true).await?;
        }
        expected.begun = n;
        order(&client, &mut session, n, false).await?;
        if simulation.is_powered() && n % 3 != 2 {
            expected.acknowledged = n;
        }
        simulation.advance(PAUSE);
        if n % 2 == 0 {
            reclaim(&client).await?;
        }
        if n % 4 == 0 {
            engine.checkpoint().await?;
        }
    }
    Ok(())
}

/// What is there of the orders.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    stock: i64,
    stock_of_hash: i64,
    documents: i64,
    rows: i64,
}

async fn verify(environment: &Environment, expected: &Expected, context: &str) {
    let engine = Engine::open(options(environment))
        .await
        .unwrap_or_else(|error| panic!("{context}: {error:?}"));
    let client = engine.client("admin").unwrap();
    let mut session = engine.session("admin").await.unwrap();
    let count = check_orders(&client, &mut session, expected, context).await;
    if let Some(count) = count {
        check_models(&client, context).await;
        // And it goes on: what is not there may be ordered, and counts stay exact.
        order(&client, &mut session, count + 1, false)
            .await
            .unwrap_or_else(|error| panic!("{context}: {error:?}"));
        reclaim(&client).await.unwrap();
        check_models(&client, context).await;
    }
    drop(session);
    engine
        .close()
        .await
        .unwrap_or_else(|error| panic!("{context}: {error:?}"));
}

/// The number of orders, unless the power went before the shop was open.
async fn check_orders(
    client: &Client,
    session: &mut Session,
    expected: &Expected,
    context: &str,
) -> Option<i64> {
    let made = "SELECT count(*) FROM pg_class WHERE relname IN ('sale', 'orders', 'carts', 'db0')";
    if number(session, made).await < 4 {
        assert!(!expected.is_set_up, "{context}: relations are gone");
        return None;
    }
    let stocks = client
        .run(&Call::read("the stock", None), move |txn| async move {
            let space = client.space_to_write(&txn, SPACE).await?;
            let view = txn.view();
            let reader = client.key_reader(&space, &view);
            let one = reader.get(b"shop:stock").await?;
            let other = reader.hget(b"shop:stocks", b"a1").await?;
            Ok((one, other))
        })
        .await
        .unwrap();
    let (Some(one), Some(other)) = stocks else {
        assert!(!expected.is_set_up, "{context}: the stock is gone");
        return None;
    };
    let parse = |bytes: &[u8]| String::from_utf8_lossy(bytes).parse::<i64>().unwrap();
    let count = number(session, "SELECT count(*) FROM sale").await;
    let found = Found {
        stock: parse(&one),
        stock_of_hash: parse(&other),
        documents: number(session, "SELECT count(*) FROM orders").await,
        rows: count,
    };
    let whole = Found {
        stock: STOCK - count,
        stock_of_hash: STOCK - count,
        documents: count,
        rows: count,
    };
    assert_eq!(found, whole, "{context}: half an order, {expected:?}");
    assert!(
        (expected.acknowledged..=expected.begun).contains(&count),
        "{context}: {expected:?}, found {count}"
    );
    let pairs = "SELECT count(*) FROM sale AS s JOIN orders AS o ON o.id = 'o' || s.id";
    assert_eq!(
        number(session, pairs).await,
        count,
        "{context}: other orders"
    );
    let by_index = "SELECT count(*) FROM sale WHERE sku = 'a1'";
    assert_eq!(
        number(session, by_index).await,
        count,
        "{context}: the index"
    );
    let last = number(session, "SELECT coalesce(max(id), 0) FROM sale").await;
    assert_eq!(last, count, "{context}: the orders have a gap");
    Some(count)
}

/// Counters against scans, indexes against documents, expired against readers.
async fn check_models(client: &Client, context: &str) {
    let call = Call::read("check", None);
    let space: &Arc<Space> = &client.open_space(SPACE).await.unwrap();
    let counted = space.footprint(None, client.now()).await.unwrap();
    let scanned = space
        .prefix_footprint(PREFIX, None, client.now())
        .await
        .unwrap();
    assert_eq!(counted, scanned, "{context}: counters against a scan");
    client
        .run(&call, move |txn| async move {
            for name in ["orders", "carts"] {
                let collection = client.collection(&txn, name).await?;
                let view: Arc<dyn tessera_storage::Snapshot> = txn.view();
                let checked = collection.check(&view).await?;
                let counted = collection.count(txn.view(), &Filter::all()).await?;
                assert_eq!(checked, counted, "{context}: {name}");
            }
            let view = txn.view();
            let reader = client.key_reader(space, &view);
            // The clock does not stop at a power cut.
            let living = reader.keys(b"shop:lease:*").await?.len();
            assert!(living <= 3, "{context}: {living} leases have not expired");
            Ok(())
        })
        .await
        .unwrap();
}

#[test]
fn power_loss_keeps_orders_whole_over_all_models() {
    let runtime = runtime();
    let syncs = {
        let (environment, simulation) = Environment::simulated(0);
        let expected = runtime.block_on(work(&environment, &simulation));
        assert_eq!(expected.acknowledged, ORDERS);
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
