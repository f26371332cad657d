//! Intervals: months, days and microseconds kept apart, as in PostgreSQL.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

const DAYS_PER_MONTH: i128 = 30;
const MICROS_PER_DAY: i128 = 86_400_000_000;

/// A span of time. Months and days have no fixed length, so the three parts stay apart.
#[derive(Clone, Copy, Debug, Default)]
pub struct Interval {
    /// Months; twelve print as a year.
    pub months: i32,
    /// Days.
    pub days: i32,
    /// Microseconds.
    pub micros: i64,
}

impl Interval {
    /// The length that comparisons use: a month is 30 days and a day 24 hours.
    pub fn comparison_micros(&self) -> i128 {
        (i128::from(self.months) * DAYS_PER_MONTH + i128::from(self.days)) * MICROS_PER_DAY
            + i128::from(self.micros)
    }

    /// Whether all three parts are equal; `==` compares lengths.
    pub fn is_identical(&self, other: &Interval) -> bool {
        (self.months, self.days, self.micros) == (other.months, other.days, other.micros)
    }

    /// The opposite; None where a part overflows.
    pub fn checked_neg(self) -> Option<Interval> {
        Some(Interval {
            months: self.months.checked_neg()?,
            days: self.days.checked_neg()?,
            micros: self.micros.checked_neg()?,
        })
    }

    /// The sum, part by part; None where a part overflows.
    pub fn checked_add(self, other: Interval) -> Option<Interval> {
        Some(Interval {
            months: self.months.checked_add(other.months)?,
            days: self.days.checked_add(other.days)?,
            micros: self.micros.checked_add(other.micros)?,
        })
    }
}

impl PartialEq for Interval {
    fn eq(&self, other: &Interval) -> bool {
        self.comparison_micros() == other.comparison_micros()
    }
}

impl Eq for Interval {}

impl PartialOrd for Interval {
    fn partial_cmp(&self, other: &Interval) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Interval {
    fn cmp(&self, other: &Interval) -> Ordering {
        self.comparison_micros().cmp(&other.comparison_micros())
    }
}

impl Hash for Interval {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.comparison_micros().hash(state);
    }
}
