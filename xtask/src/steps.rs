//! Named steps, their times and outcome, and the closing line that CI reads.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// What a step found; a step that runs many checks counts each of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Count {
    /// One check that held.
    pub(crate) const ONE: Count = Count {
        passed: 1,
        failed: 0,
        skipped: 0,
    };

    pub(crate) fn add(&mut self, other: Count) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Reads the summaries of `cargo test` and of our own runners out of one line of output.
    pub(crate) fn read(line: &str) -> Option<Count> {
        let text = match line.trim().strip_prefix("test result: ") {
            Some(rest) => rest.split_once(". ")?.1,
            None => line.trim(),
        };
        let mut count = Count::default();
        let mut known = 0;
        for part in text.split([',', ';']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match what {
                "passed" => count.passed = number,
                "failed" => count.failed = number,
                "skipped" | "ignored" => count.skipped = number,
                _ => continue,
            }
            known += 1;
        }
        (known == 3).then_some(count)
    }
}

/// How one step ended.
pub(crate) enum Outcome {
    Done(Count),
    /// It could not run here; the text says why and what would help.
    Skipped(String),
}

struct Line {
    name: &'static str,
    took: Duration,
    count: Count,
    note: Option<String>,
}

/// Runs steps one after the other and remembers what became of each.
#[derive(Default)]
pub(crate) struct Steps {
    lines: Vec<Line>,
}

impl Steps {
    /// Runs one step. Its failure is noted and does not keep the next from running.
    pub(crate) fn run(&mut self, name: &'static str, step: impl FnOnce() -> Result<Outcome>) {
        println!("\n=== {name}");
        let began = Instant::now();
        let (count, note) = match step() {
            Ok(Outcome::Done(count)) => (count, None),
            Ok(Outcome::Skipped(why)) => {
                println!("skipped: {why}");
                (
                    Count {
                        skipped: 1,
                        ..Count::default()
                    },
                    Some(why),
                )
            }
            Err(error) => {
                println!("FAILED: {error:#}");
                let counted = error.downcast_ref::<Failed>().map(|failed| failed.count);
                let count = counted.unwrap_or(Count {
                    failed: 1,
                    ..Count::default()
                });
                (count, Some(first_line(&error)))
            }
        };
        let took = began.elapsed();
        println!(
            "=== {name}: {} in {:.1} s",
            verdict(count),
            took.as_secs_f64()
        );
        self.lines.push(Line {
            name,
            took,
            count,
            note,
        });
    }

    /// Prints the table and the closing line; an error if anything failed.
    pub(crate) fn finish(self) -> Result<()> {
        println!(
            "\n{:<28} {:>9}  {:<8} passed failed skipped",
            "step", "seconds", ""
        );
        let mut total = Count::default();
        for line in &self.lines {
            println!(
                "{:<28} {:>9.1}  {:<8} {:>6} {:>6} {:>7}  {}",
                line.name,
                line.took.as_secs_f64(),
                verdict(line.count),
                line.count.passed,
                line.count.failed,
                line.count.skipped,
                line.note.as_deref().unwrap_or(""),
            );
            total.add(line.count);
        }
        println!(
            "\n{} passed, {} failed, {} skipped",
            total.passed, total.failed, total.skipped
        );
        if total.failed > 0 {
            bail!("{} checks failed", total.failed);
        }
        Ok(())
    }
}

/// A step that counted its checks before it failed.
#[derive(Debug)]
pub(crate) struct Failed {
    count: Count,
    cause: String,
}

impl Failed {
    /// An error that carries the counts; at least one check counts as failed.
    pub(crate) fn new(mut count: Count, cause: impl Into<String>) -> Self {
        count.failed = count.failed.max(1);
        Self {
            count,
            cause: cause.into(),
        }
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for Failed {}

/// Runs a command whose output has summary lines, and sums them.
pub(crate) fn counted(command: &mut std::process::Command) -> Result<Outcome> {
    let mut count = Count::default();
    let outcome = crate::project::run_watched(command, |line| {
        if let Some(found) = Count::read(line) {
            count.add(found);
        }
    });
    match outcome {
        Err(error) => Err(Failed::new(count, format!("{error:#}")).into()),
        Ok(()) if count.failed > 0 => Err(Failed::new(count, "checks failed").into()),
        Ok(()) if count == Count::default() => Ok(Outcome::Done(Count::ONE)),
        Ok(()) => Ok(Outcome::Done(count)),
    }
}

fn verdict(count: Count) -> &'static str {
    match count {
        Count { failed: 1.., .. } => "FAILED",
        Count { passed: 0, .. } => "skipped",
        _ => "ok",
    }
}

fn first_line(error: &anyhow::Error) -> String {
    format!("{error:#}")
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::Count;

    fn check(line: &str, expected: Option<(u64, u64, u64)>) {
        let expected = expected.map(|(passed, failed, skipped)| Count {
            passed,
            failed,
            skipped,
        });
        assert_eq!(Count::read(line), expected, "{line}");
    }

    #[test]
    fn summaries_of_both_runners_are_read_and_nothing_else_is() {
        check(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.1s",
            Some((12, 0, 1)),
        );
        check(
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured",
            Some((1, 2, 0)),
        );
        check("40 passed, 0 failed, 2 skipped", Some((40, 0, 2)));
        check("2 passed", None);
        check("running 3 tests", None);
        check("", None);
    }
}
