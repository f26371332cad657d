//! TPC-H: generated data, the 22 queries, and the answers of two witnesses.
//!
//! Scale 0.01 here, where every build runs it; `cargo xtask tpch` does scale 0.1 over a server.
//! DuckDB's answers over the same data lie in `tests/tpch/answers` (`cargo xtask tpch --scale 0.01
//! --save-answers` made them) and are compared in every field. The published answers are read
//! from beside the checkout; without them the test says so. They come from a generator with other
//! random texts, so addresses and comments are not compared with them, nor is Q13, which counts
//! by what comments say.

use std::path::{Path, PathBuf};

use tpchgen::csv::{
    CustomerCsv, LineItemCsv, NationCsv, OrderCsv, PartCsv, PartSuppCsv, RegionCsv, SupplierCsv,
};
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};

use crate::harness::Db;

const SCALE: f64 = 0.01;
const QUERIES: usize = 22;
const QUERY_OF_COMMENTS: usize = 13;

/// Averages were printed from double precision.
const DIFFERENCE_MAX: f64 = 1e-6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_22_queries_give_the_answers_of_both_witnesses() {
    let ours = folder("tests/tpch");
    let published = folder("../shared/suites/tpch-answers").join(format!("sf{SCALE}"));
    if !published.is_dir() {
        eprintln!("SKIPPED: no published answers at {}", published.display());
    }
    let db = Db::new().await;
    db.run(&read(&ours.join("schema.sql")))
        .await
        .unwrap_or_else(|report| panic!("{report:?}"));
    load(&db).await;
    let mut faults = Vec::new();
    for number in 1..=QUERIES {
        let name = format!("q{number:02}");
        let rows = match db.run(&read(&ours.join(format!("{name}.sql")))).await {
            Ok(rows) => rows,
            Err(report) => {
                faults.push(format!("{name}: {report:?}"));
                continue;
            }
        };
        let answers = format!("{name}.csv");
        let duckdb = read(&ours.join("answers").join(&answers));
        faults.extend(
            difference(&rows, &duckdb, true).map(|fault| format!("{name}, DuckDB: {fault}")),
        );
        if published.is_dir() && number != QUERY_OF_COMMENTS {
            let published = read(&published.join(&answers));
            let fault = difference(&rows, &published, false);
            faults.extend(fault.map(|fault| format!("{name}, published: {fault}")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A folder of the checkout, or beside it.
fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

async fn load(db: &Db) {
    let lines = |rows: &mut dyn Iterator<Item = String>| rows.collect::<Vec<_>>();
    macro_rules! table {
        ($name:literal, $rows:expr, $csv:ident) => {
            let rows = lines(&mut $rows.map(|row| $csv::new(row).to_string()));
            db.copy_csv($name, &rows)
                .await
                .unwrap_or_else(|report| panic!("{}: {report:?}", $name));
        };
    }
    table!(
        "region",
        RegionGenerator::new(SCALE, 1, 1).iter(),
        RegionCsv
    );
    table!(
        "nation",
        NationGenerator::new(SCALE, 1, 1).iter(),
        NationCsv
    );
    table!(
        "supplier",
        SupplierGenerator::new(SCALE, 1, 1).iter(),
        SupplierCsv
    );
    table!(
        "customer",
        CustomerGenerator::new(SCALE, 1, 1).iter(),
        CustomerCsv
    );
    table!("part", PartGenerator::new(SCALE, 1, 1).iter(), PartCsv);
    table!(
        "partsupp",
        PartSuppGenerator::new(SCALE, 1, 1).iter(),
        PartSuppCsv
    );
    table!("orders", OrderGenerator::new(SCALE, 1, 1).iter(), OrderCsv);
    table!(
        "lineitem",
        LineItemGenerator::new(SCALE, 1, 1).iter(),
        LineItemCsv
    );
}

/// The first difference in words, or none. `expected` begins with the names of its columns, and
/// has `|` between fields.
fn difference(rows: &[Vec<String>], expected: &str, with_texts: bool) -> Option<String> {
    let mut expected = expected.lines().map(|line| line.split('|').collect());
    let names: Vec<&str> = expected.next().expect("a line with the names");
    let expected: Vec<Vec<&str>> = expected.collect();
    if rows.len() != expected.len() {
        return Some(format!("{} rows, {} expected", rows.len(), expected.len()));
    }
    let is_random = |name: &str| name.ends_with("_address") || name.ends_with("_comment");
    for (at, (row, wanted)) in rows.iter().zip(&expected).enumerate() {
        let mut fields = row.iter().zip(wanted).zip(&names);
        let same = fields.all(|((found, wanted), name)| {
            (!with_texts && is_random(name)) || alike(found, wanted)
        });
        if !same || row.len() != wanted.len() {
            return Some(format!("row {at} is {row:?}, {wanted:?} expected"));
        }
    }
    None
}

fn alike(a: &str, b: &str) -> bool {
    if a == b || (a == "∅" && (b.is_empty() || b == "NULL")) {
        return true;
    }
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() <= DIFFERENCE_MAX * a.abs().max(b.abs()).max(1.0),
        _ => false,
    }
}
