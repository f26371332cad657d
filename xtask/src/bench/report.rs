//! Medians and the table of ratios.

/// Lines of the table, in the order of measuring.
#[derive(Default)]
pub(super) struct Report {
    lines: Vec<String>,
}

impl Report {
    /// Two contestants, more being better; the goal is a ratio.
    pub(super) fn compare(
        &mut self,
        name: &str,
        ours: &[f64],
        other: &str,
        theirs: &[f64],
        goal: f64,
    ) {
        let (ours, theirs) = (median(ours), median(theirs));
        let ratio = ours / theirs;
        self.add(format!(
            "{name:<52} {ours:>12.0} {theirs:>12.0} {other:<16} {ratio:>6.2}x  {} {goal}x",
            verdict(ratio >= goal)
        ));
    }

    /// A number that must stay below a limit.
    pub(super) fn limit(&mut self, name: &str, found: f64, limit: f64) {
        self.add(format!(
            "{name:<52} {found:>12.1} {:>12} {:<16} {:>7}  {} {limit}",
            "",
            "",
            "",
            verdict(found <= limit)
        ));
    }

    /// A number that must reach a goal.
    pub(super) fn at_least(&mut self, name: &str, found: f64, goal: f64) {
        self.add(format!(
            "{name:<52} {found:>12.0} {:>12} {:<16} {:>7}  {} {goal}",
            "",
            "",
            "",
            verdict(found >= goal)
        ));
    }

    /// A number without a goal.
    pub(super) fn number(&mut self, name: &str, found: f64) {
        self.add(format!("{name:<52} {found:>12.1}"));
    }

    fn add(&mut self, line: String) {
        println!("{line}");
        self.lines.push(line);
    }

    /// All lines together, at the end of a long run.
    pub(super) fn print(&self) {
        println!(
            "\n{:<52} {:>12} {:>12} {:<16} {:>7}  goal",
            "", "Tessera", "other", "", "ratio"
        );
        for line in &self.lines {
            println!("{line}");
        }
    }
}

fn verdict(reached: bool) -> &'static str {
    if reached { "reached" } else { "MISSED " }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_ignores_one_bad_round() {
        assert_eq!(median(&[3.0, 900.0, 2.0]).to_bits(), 3.0_f64.to_bits());
    }
}
