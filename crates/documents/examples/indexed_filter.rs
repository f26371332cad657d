//! How long a filter on an index takes among many documents.
//!
//! `cargo run --release -p tessera-documents --example indexed_filter [documents]`; the default is
//! 1,000,000 in the memory engine. The goal is below a millisecond for a filter that few match.

use std::sync::Arc;

use serde_json::json;
use tessera_documents::{Collection, CollectionDef, Filter, IndexDef, Query};
use tessera_environment::Environment;
use tessera_locks::LockManager;
use tessera_storage::open_memory;
use tessera_transactions::{TransactionOptions, Transactions, TransactionsOptions};
use tessera_types::RelationId;

const DOCUMENTS_DEFAULT: u64 = 1_000_000;
const BATCH: u64 = 10_000;
const QUERIES: u64 = 2_000;
/// Documents per value of the indexed field.
const MATCHES: u64 = 10;

#[expect(clippy::print_stdout, reason = "an example talks to people")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => DOCUMENTS_DEFAULT,
    };
    let environment = Environment::real();
    let clock = Arc::clone(&environment.clock);
    let transactions = Transactions::new(
        open_memory(),
        Arc::new(LockManager::default()),
        environment,
        TransactionsOptions::default(),
    );
    let mut def = CollectionDef::new(RelationId(20_000), "orders");
    def.indexes = vec![IndexDef::on(
        RelationId(20_001),
        "customer",
        &["customer.id"],
    )];
    let orders = Collection::new(def)?;
    let started = clock.monotonic();
    let values = (count / MATCHES).max(1);
    for start in (0..count).step_by(BATCH as usize) {
        let txn = transactions.begin(TransactionOptions::default());
        let guard = txn.start_statement().await?;
        for n in start..count.min(start + BATCH) {
            let body = json!({
                "customer": {"id": n % values, "name": format!("customer {}", n % values)},
                "total": n, "tags": ["a", "b"],
            });
            orders.insert(&txn, None, body).await?;
        }
        guard.finish();
        txn.commit().await?;
    }
    let took = clock.monotonic() - started;
    println!("{count} documents inserted in {took:?}");
    let mut times = Vec::new();
    for n in 0..QUERIES {
        let filter =
            Filter::parse(&json!({"customer.id": (n * 7_919) % values, "total": {"$gte": 0}}))?;
        let started = clock.monotonic();
        let found = orders
            .find(transactions.view(), &Query::new(filter))
            .await?;
        let found = found.collect().await?.len();
        times.push((clock.monotonic() - started, found));
    }
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100].0;
    println!(
        "a filter on the index: median {:?}, 99 % {:?}, largest {:?}",
        at(50),
        at(99),
        at(100)
    );
    Ok(())
}
