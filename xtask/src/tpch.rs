//! TPC-H: generated data, the 22 queries, and their answers compared.
//!
//! The data is the benchmark's own (a port of its generator), so published answers apply. They
//! are read from `../shared/suites/tpch-answers` beside the checkout when that folder is there;
//! DuckDB, from PyPI, answers the same questions over the same files as a second witness. The
//! published answers come from a generator with other random texts: addresses and comments are not
//! compared with them, nor is Q13, which counts words in comments.

use crate::project::{Profile, Project, output};
use crate::server::{Server, ServerOptions, fresh_home};
use crate::steps::{Count, Failed, Outcome};
use crate::tools::{self, Tool};
use anyhow::{Context, Result};
use clap::Args;
use std::fmt::{Display, Write as _};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use tpchgen::csv::{
    CustomerCsv, LineItemCsv, NationCsv, OrderCsv, PartCsv, PartSuppCsv, RegionCsv, SupplierCsv,
};
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};

const QUERIES: usize = 22;
/// Counts orders by a pattern in their comments.
const QUERY_OF_COMMENTS: usize = 13;
/// Averages are compared as numbers: the answers were printed from double precision.
const DIFFERENCE_MAX: f64 = 1e-6;

const TABLES: [&str; 8] = [
    "region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem",
];

const SCHEMA: &str = include_str!("../../tests/tpch/schema.sql");

/// The demo's sample where this data stands in for the real one.
pub(crate) const SAMPLE: &str = "\
SELECT n.n_name, count(*) AS orders, sum(o.o_totalprice) AS total
FROM orders o JOIN customer c ON c.c_custkey = o.o_custkey
JOIN nation n ON n.n_nationkey = c.c_nationkey
GROUP BY n.n_name
ORDER BY total DESC
LIMIT 5";

#[derive(Args)]
pub(crate) struct TpchArguments {
    /// Scale factor; answers exist for 0.01, 0.1 and 1.
    #[arg(long, default_value_t = 0.1)]
    pub(crate) scale: f64,
    /// Builds and measures the optimized server.
    #[arg(long)]
    pub(crate) fast: bool,
    /// Keeps DuckDB's answers in `tests/tpch/answers`, with which the executor's own test compares.
    #[arg(long)]
    pub(crate) save_answers: bool,
}

pub(crate) fn run(project: &Project, arguments: &TpchArguments) -> Result<()> {
    if let Outcome::Done(count) = check(project, arguments)? {
        println!(
            "\n{} passed, {} failed, {} skipped",
            count.passed, count.failed, count.skipped
        );
    }
    Ok(())
}

/// Loads the data, asks the 22 questions, compares with both witnesses.
pub(crate) fn check(project: &Project, arguments: &TpchArguments) -> Result<Outcome> {
    let profile = if arguments.fast {
        Profile::BenchFast
    } else {
        Profile::Dev
    };
    let binary = project.build("tessera", profile)?;
    let folder = generate(project, arguments.scale)?;
    let home = fresh_home(project, "tpch")?;
    let server = Server::start(&ServerOptions {
        binary: &binary,
        home: &home,
        postgres_port: 0,
        http_port: 0,
        redis_port: 0,
        trust: false,
    })?;
    let began = Instant::now();
    let script = home.join("load.sql");
    fs::write(&script, load_script(&folder))?;
    server.run_script(&script)?;
    println!("loaded in {:.1} s", began.elapsed().as_secs_f64());

    let published = project
        .root()
        .join("../shared/suites/tpch-answers")
        .join(format!("sf{}", arguments.scale));
    let witness = duckdb_answers(project, &folder)?;
    if arguments.save_answers {
        let witness = witness.as_deref().context("there are no answers to keep")?;
        save_answers(project, witness)?;
    }
    if !published.is_dir() {
        println!("published answers are not at {}", published.display());
    }
    let mut count = Count::default();
    let mut faults = Vec::new();
    for number in 1..=QUERIES {
        let name = format!("q{number:02}");
        let sql = query(project, &name)?;
        let began = Instant::now();
        let found = match server.query(&sql) {
            Ok(found) => found,
            Err(error) => {
                count.failed += 1;
                faults.push(format!("{name}: {error:#}"));
                println!("{name}  FAILED");
                continue;
            }
        };
        let took = began.elapsed();
        for (source, file) in [
            ("published", Some(published.as_path())),
            ("DuckDB", witness.as_deref()),
        ] {
            let same_texts = source == "DuckDB";
            let file = file.filter(|_| same_texts || number != QUERY_OF_COMMENTS);
            let file = file.map(|folder| folder.join(format!("{name}.csv")));
            let Some(text) = file.and_then(|file| fs::read_to_string(file).ok()) else {
                count.skipped += 1;
                continue;
            };
            match difference(&found, &split_bars(&text), same_texts) {
                None => count.passed += 1,
                Some(fault) => {
                    count.failed += 1;
                    faults.push(format!("{name} against {source}: {fault}"));
                }
            }
        }
        println!(
            "{name}  {:>5} rows  {:>8.1} ms",
            found.len(),
            took.as_secs_f64() * 1e3
        );
    }
    server.stop()?;
    if !faults.is_empty() {
        return Err(Failed::new(count, faults.join("\n")).into());
    }
    Ok(Outcome::Done(count))
}

/// The folder with the eight csv files of that scale; generated at first use.
pub(crate) fn generate(project: &Project, scale: f64) -> Result<PathBuf> {
    let folder = project.target().join(format!("data/tpch-{scale}"));
    let complete = folder.join("complete");
    if complete.is_file() {
        return Ok(folder);
    }
    fs::create_dir_all(&folder)?;
    let to = folder.as_path();
    write(
        to,
        "region",
        RegionCsv::header(),
        RegionGenerator::new(scale, 1, 1).iter().map(RegionCsv::new),
    )?;
    write(
        to,
        "nation",
        NationCsv::header(),
        NationGenerator::new(scale, 1, 1).iter().map(NationCsv::new),
    )?;
    write(
        to,
        "supplier",
        SupplierCsv::header(),
        SupplierGenerator::new(scale, 1, 1)
            .iter()
            .map(SupplierCsv::new),
    )?;
    write(
        to,
        "customer",
        CustomerCsv::header(),
        CustomerGenerator::new(scale, 1, 1)
            .iter()
            .map(CustomerCsv::new),
    )?;
    write(
        to,
        "part",
        PartCsv::header(),
        PartGenerator::new(scale, 1, 1).iter().map(PartCsv::new),
    )?;
    write(
        to,
        "partsupp",
        PartSuppCsv::header(),
        PartSuppGenerator::new(scale, 1, 1)
            .iter()
            .map(PartSuppCsv::new),
    )?;
    write(
        to,
        "orders",
        OrderCsv::header(),
        OrderGenerator::new(scale, 1, 1).iter().map(OrderCsv::new),
    )?;
    write(
        to,
        "lineitem",
        LineItemCsv::header(),
        LineItemGenerator::new(scale, 1, 1)
            .iter()
            .map(LineItemCsv::new),
    )?;
    fs::write(complete, "")?;
    Ok(folder)
}

fn write<T: Display>(
    folder: &Path,
    table: &str,
    header: &str,
    rows: impl Iterator<Item = T>,
) -> Result<()> {
    let mut file = BufWriter::new(File::create(folder.join(format!("{table}.csv")))?);
    writeln!(file, "{header}")?;
    for row in rows {
        writeln!(file, "{row}")?;
    }
    Ok(file.flush()?)
}

/// A script for `tessera sql` that creates and loads all tables in one transaction.
pub(crate) fn load_script(folder: &Path) -> String {
    let mut script = format!("BEGIN;\n{SCHEMA}");
    for table in TABLES {
        let file = folder
            .join(format!("{table}.csv"))
            .display()
            .to_string()
            .replace('\'', "''");
        let _ = writeln!(
            script,
            "\\copy {table} FROM '{file}' WITH (FORMAT csv, HEADER true)"
        );
    }
    script.push_str("COMMIT;\n");
    script
}

/// The text of a query. The published answers keep Q11's share as it is at every scale.
fn query(project: &Project, name: &str) -> Result<String> {
    let file = project
        .root()
        .join("tests/tpch")
        .join(format!("{name}.sql"));
    fs::read_to_string(&file).with_context(|| file.display().to_string())
}

/// Answers of DuckDB in the published form, one file per query; `None` where it is not to be had.
fn duckdb_answers(project: &Project, data: &Path) -> Result<Option<PathBuf>> {
    let answers = data.join("duckdb");
    if answers.join("complete").is_file() {
        return Ok(Some(answers));
    }
    let python = match tools::python(project)? {
        Tool::Ready(python) => python,
        Tool::Missing(how) => {
            println!("no DuckDB to compare with: {how}");
            return Ok(None);
        }
    };
    let queries = answers.join("queries");
    fs::create_dir_all(&queries)?;
    for number in 1..=QUERIES {
        let name = format!("q{number:02}");
        fs::write(queries.join(format!("{name}.sql")), query(project, &name)?)?;
    }
    let schema = answers.join("schema.sql");
    fs::write(&schema, SCHEMA)?;
    let script = project.root().join("tests/tpch/duckdb_answers.py");
    output(
        Command::new(python)
            .arg(script)
            .args([data, &schema, &queries, &answers]),
    )?;
    fs::write(answers.join("complete"), "")?;
    Ok(Some(answers))
}

fn save_answers(project: &Project, answers: &Path) -> Result<()> {
    let kept = project.root().join("tests/tpch/answers");
    fs::create_dir_all(&kept)?;
    for number in 1..=QUERIES {
        let file = format!("q{number:02}.csv");
        fs::copy(answers.join(&file), kept.join(&file)).with_context(|| file)?;
    }
    Ok(())
}

/// The published form: `|` between fields, the header first.
fn split_bars(text: &str) -> Vec<Vec<String>> {
    text.lines()
        .map(|line| line.split('|').map(str::to_owned).collect())
        .collect()
}

/// The first difference in words, or none. `expected` begins with the names of the columns.
fn difference(found: &[Vec<String>], expected: &[Vec<String>], with_texts: bool) -> Option<String> {
    let (names, expected) = expected.split_first()?;
    if found.len() != expected.len() {
        return Some(format!("{} rows, expected {}", found.len(), expected.len()));
    }
    for (number, (found, expected)) in found.iter().zip(expected).enumerate() {
        let mut fields = found.iter().zip(expected).zip(names);
        let same = fields.all(|((found, expected), name)| {
            let text = name.ends_with("_address") || name.ends_with("_comment");
            (text && !with_texts) || same_field(found, expected)
        });
        if !same || found.len() != expected.len() {
            return Some(format!(
                "row {}: {found:?}, expected {expected:?}",
                number + 1
            ));
        }
    }
    None
}

fn same_field(found: &str, expected: &str) -> bool {
    if found.trim_end() == expected.trim_end() {
        return true;
    }
    match (found.parse::<f64>(), expected.parse::<f64>()) {
        (Ok(found), Ok(expected)) => {
            (found - expected).abs() <= DIFFERENCE_MAX * expected.abs().max(1.0)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{difference, split_bars};
    use crate::flights::parse_csv;

    fn check(found: &str, expected: &str, same: bool) {
        let difference = difference(&parse_csv(found), &split_bars(expected), false);
        assert_eq!(difference.is_none(), same, "{difference:?}");
    }

    #[test]
    fn numbers_are_compared_as_numbers_and_text_as_text() {
        check("a,1.50\n", "x|y\na|1.5\n", true);
        check("a,1.5000001\n", "x|y\na|1.5\n", true);
        check("a,1.51\n", "x|y\na|1.5\n", false);
        check("\"a,b\",1\n", "x|y\na,b|1\n", true);
        check("a,1\nb,2\n", "x|y\na|1\n", false);
        check("a,1\n", "s_address|y\nz|1\n", true);
    }
}
