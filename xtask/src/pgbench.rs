//! pgbench, unchanged, against a running server: its initialization and its three modes.

use crate::project::{Profile, Project, describe, output};
use crate::server::{Server, ServerOptions, fresh_home};
use crate::steps::{Count, Failed, Outcome};
use crate::tools::{self, Tool};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// Long enough that each mode meets waits and conflicts, short enough for every CI run.
const SECONDS: &str = "3";
const MODES: [&str; 3] = ["simple", "extended", "prepared"];

/// `pgbench -i` at this scale, then read-only and TPC-B-like in each mode.
pub(crate) fn check(project: &Project, scale: u32) -> Result<Outcome> {
    let pgbench = match tools::pgbench()? {
        Tool::Ready(pgbench) => pgbench,
        Tool::Missing(how) => return Ok(Outcome::Skipped(how)),
    };
    let binary = project.build("tessera", Profile::Dev)?;
    let home = fresh_home(project, "pgbench")?;
    let server = Server::start(&ServerOptions {
        binary: &binary,
        home: &home,
        postgres_port: 0,
        http_port: 0,
        redis_port: 0,
        trust: false,
    })?;
    let mut count = Count::default();
    let mut faults = Vec::new();
    let mut note = |what: String, outcome: Result<String>| match outcome {
        Ok(result) => {
            count.passed += 1;
            println!("{what:<40} {result}");
        }
        Err(error) => {
            count.failed += 1;
            println!("{what:<40} FAILED");
            faults.push(format!("{what}: {error:#}"));
        }
    };
    let scale = scale.to_string();
    note(
        "initialize".to_owned(),
        initialize(&pgbench, &server, &scale),
    );
    for mode in MODES {
        note(
            format!("-S -M {mode}"),
            load(&pgbench, &server, &["-S", "-M", mode]),
        );
        note(
            format!("tpcb-like -M {mode}"),
            load(&pgbench, &server, &["-M", mode]),
        );
    }
    note("balances".to_owned(), balances(&server));
    if !faults.is_empty() {
        println!("{}", server.log_end());
        return Err(Failed::new(count, faults.join("\n")).into());
    }
    server.stop()?;
    Ok(Outcome::Done(count))
}

fn initialize(pgbench: &Path, server: &Server, scale: &str) -> Result<String> {
    let mut command = Command::new(pgbench);
    output(server.point(command.args(["-i", "-s", scale])))?;
    let rows = server.query("SELECT count(*) FROM pgbench_accounts")?;
    let expected = scale.parse::<u64>()? * 100_000;
    if rows != [[expected.to_string()]] {
        bail!("{rows:?} accounts, expected {expected}");
    }
    Ok(format!("{expected} accounts"))
}

fn load(pgbench: &Path, server: &Server, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(pgbench);
    command
        .args(["-n", "-c", "8", "-j", "2", "-T", SECONDS])
        .args(arguments);
    let report = output(server.point(&mut command))?;
    // Serialization is pgbench's own affair here: at READ COMMITTED no transaction may fail.
    let failed = field(&report, "number of failed transactions: ").unwrap_or("0");
    if !failed.starts_with("0 ") && failed != "0" {
        bail!("failed transactions: {failed}");
    }
    let tps = tps(&report).with_context(|| format!("{}\n{report}", describe(&command)))?;
    if tps <= 0.0 {
        bail!("no transaction went through");
    }
    Ok(format!("{tps:.0} transactions/s"))
}

/// What TPC-B promises: every amount is in all four tables, whatever ran at the same time.
fn balances(server: &Server) -> Result<String> {
    let sums = server.query(
        "SELECT (SELECT coalesce(sum(abalance), 0) FROM pgbench_accounts), \
         (SELECT coalesce(sum(bbalance), 0) FROM pgbench_branches), \
         (SELECT coalesce(sum(tbalance), 0) FROM pgbench_tellers), \
         (SELECT coalesce(sum(delta), 0) FROM pgbench_history)",
    )?;
    let row = sums.first().context("no row")?;
    if row.iter().any(|sum| sum != &row[0]) {
        bail!("accounts, branches, tellers, history: {row:?}");
    }
    Ok(format!("{} in all four tables", row[0]))
}

/// The rate that pgbench reports, without the time to connect.
pub(crate) fn tps(report: &str) -> Option<f64> {
    let line = report
        .lines()
        .find_map(|line| line.strip_prefix("tps = "))?;
    line.split_whitespace().next()?.parse().ok()
}

fn field<'a>(report: &'a str, name: &str) -> Option<&'a str> {
    report.lines().find_map(|line| line.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::tps;

    #[test]
    fn the_rate_is_read_from_a_report() {
        let report =
            "latency average = 0.2 ms\ntps = 34567.891011 (without initial connection time)\n";
        assert_eq!(tps(report), Some(34567.891011));
        assert_eq!(tps("nothing"), None);
    }
}
