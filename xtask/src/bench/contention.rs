//! Many clients that update few rows: what waiting costs.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use super::report::Report;
use super::{Contest, ROUNDS};
use crate::pgbench::tps;
use crate::postgres::Postgres;
use crate::project::output;
use crate::server::Server;

const CLIENTS: &str = "64";
const ROWS: u32 = 10;

/// One run: its rate, and the time that 99 of 100 transactions stayed below.
struct Round {
    rate: f64,
    p99_ms: f64,
}

impl Contest {
    /// `UPDATE … SET n = n + 1` of one of ten rows by 64 clients, each transaction durable.
    pub(super) fn hot_rows(
        &self,
        postgres: &Postgres,
        server: &Server,
        report: &mut Report,
    ) -> Result<()> {
        let setup = format!(
            "CREATE TABLE hot (id integer PRIMARY KEY, n bigint NOT NULL); \
             INSERT INTO hot SELECT g, 0 FROM generate_series(1, {ROWS}) AS s(g)"
        );
        let psql = || {
            let mut command = Command::new(&self.psql);
            command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", &setup]);
            command
        };
        output(postgres.point(&mut psql()))?;
        output(server.point(&mut psql()))?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            theirs.push(self.hot_round(|command| {
                postgres.point(command);
            })?);
            ours.push(self.hot_round(|command| {
                server.point(command);
            })?);
        }
        let rates = |rounds: &[Round]| rounds.iter().map(|round| round.rate).collect::<Vec<_>>();
        // More is better in the table: the inverse of the time.
        let speeds = |rounds: &[Round]| {
            let inverse = rounds.iter().map(|round| 1_000.0 / round.p99_ms);
            inverse.collect::<Vec<_>>()
        };
        let what = format!("{CLIENTS} clients on {ROWS} hot rows");
        report.compare(
            &format!("{what}, transactions/s"),
            &rates(&ours),
            "PostgreSQL",
            &rates(&theirs),
            1.0,
        );
        report.compare(
            &format!("{what}, 1 s / p99"),
            &speeds(&ours),
            "PostgreSQL",
            &speeds(&theirs),
            1.0,
        );
        Ok(())
    }

    fn hot_round(&self, point: impl FnOnce(&mut Command)) -> Result<Round> {
        let folder = self.folder.0.join("hot-log");
        fs::create_dir_all(&folder)?;
        let script = folder.join("hot.sql");
        fs::write(
            &script,
            format!("\\set id random(1, {ROWS})\nUPDATE hot SET n = n + 1 WHERE id = :id;\n"),
        )?;
        let mut command = Command::new(&self.pgbench);
        command
            .args(["-n", "-T", &self.seconds, "-c", CLIENTS, "-j", "2"])
            .args(["-M", "prepared", "-l"])
            .arg(format!("--log-prefix={}", folder.join("times").display()))
            .arg("-f")
            .arg(&script);
        point(&mut command);
        let text = output(&mut command)?;
        let rate = tps(&text).with_context(|| format!("no rate in\n{text}"))?;
        let mut micros = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let is_log = path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("times"));
            if is_log {
                // client, transaction, microseconds, script, when.
                micros.extend(fs::read_to_string(&path)?.lines().filter_map(time_of));
            }
        }
        fs::remove_dir_all(&folder)?;
        let p99 = percentile(&mut micros, 99).context("no transaction in the log")?;
        Ok(Round {
            rate,
            p99_ms: f64::from(u32::try_from(p99).unwrap_or(u32::MAX)) / 1_000.0,
        })
    }
}

fn time_of(line: &str) -> Option<u64> {
    line.split_whitespace().nth(2)?.parse().ok()
}

fn percentile(values: &mut [u64], percent: usize) -> Option<u64> {
    values.sort_unstable();
    values
        .get(values.len() * percent / 100)
        .or(values.last())
        .copied()
}

#[cfg(test)]
mod tests {
    use super::{percentile, time_of};

    #[test]
    fn the_percentile_is_of_the_third_field() {
        assert_eq!(time_of("0 199 2241 0 1175850568 995598"), Some(2241));
        let mut values: Vec<u64> = (1..=200).rev().collect();
        assert_eq!(percentile(&mut values, 99), Some(199));
        assert_eq!(percentile(&mut [], 99), None);
    }
}
