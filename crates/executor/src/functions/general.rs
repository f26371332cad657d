//! Everything that belongs to no family.

use std::cmp::Ordering;

use tessera_planner::functions::{Argument, FunctionRegistry, Returns, Scalar};
use tessera_types::SqlType::{Boolean, Double, Integer, Time, Timestamp, TimestampTz, Uuid, Void};
use tessera_types::Value;

use super::kernel::{NOTHING, Row, integer, lenient, per_row};

/// Longest sleep of one call; longer ones are several of these.
const SLEEP_STEP: std::time::Duration = std::time::Duration::from_millis(20);

/// Adds them.
pub(super) fn register(r: &mut FunctionRegistry) {
    let uuid = |_: &Row<'_>| Ok(Value::Uuid(uuid::Uuid::new_v4().into_bytes()));
    for name in ["gen_random_uuid", "uuid_generate_v4"] {
        r.scalar(Scalar::new(name, [], Returns::Exact(Uuid), per_row(uuid)).volatile());
    }
    for (name, nulls) in [("num_nulls", true), ("num_nonnulls", false)] {
        let body = move |row: &Row<'_>| {
            let count = row
                .values()
                .iter()
                .filter(|value| value.is_null() == nulls)
                .count();
            integer(count as i64)
        };
        r.scalar(
            Scalar::new(
                name,
                [Argument::Any],
                Returns::Exact(Integer),
                lenient(body),
            )
            .variadic(),
        );
    }
    let sleep = |row: &Row<'_>| {
        let statement = row.statement()?;
        let seconds = row.double(0);
        if seconds.is_nan() || seconds <= 0.0 {
            return Ok(Value::from(NOTHING));
        }
        let end = std::time::Instant::now() + std::time::Duration::from_secs_f64(seconds.min(1e9));
        loop {
            statement.check_cancelled()?;
            let left = end.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return Ok(Value::from(NOTHING));
            }
            std::thread::sleep(left.min(SLEEP_STEP));
        }
    };
    r.scalar(
        Scalar::new(
            "pg_sleep",
            [Argument::Exact(Double)],
            Returns::Exact(Void),
            per_row(sleep),
        )
        .volatile(),
    );
    overlaps(r);
    extremes(r);
}

/// GREATEST and LEAST where DataFusion's own compare otherwise than SQL: the first of several
/// equal values wins, and shows its own digits.
fn extremes(r: &mut FunctionRegistry) {
    for (name, wanted) in [("greatest", Ordering::Greater), ("least", Ordering::Less)] {
        let body = move |row: &Row<'_>| {
            let mut best = Value::Null;
            for value in row.values().iter().filter(|value| !value.is_null()) {
                let value = value.clone().to_owned();
                if best.is_null() || value.cmp_sql(&best) == wanted {
                    best = value;
                }
            }
            Ok(best)
        };
        r.operator(
            Scalar::new(
                name,
                [Argument::AnyElement],
                Returns::Element,
                lenient(body),
            )
            .variadic(),
        );
    }
}

/// `(a, b) OVERLAPS (c, d)` as a function of four.
fn overlaps(r: &mut FunctionRegistry) {
    for ty in [Time, Timestamp, TimestampTz] {
        let arguments = [ty.clone(), ty.clone(), ty.clone(), ty].map(Argument::Exact);
        r.scalar(Scalar::new(
            "overlaps",
            arguments,
            Returns::Exact(Boolean),
            lenient(|row| {
                // NULL ends are unknown: the answer is known only where they do not matter.
                let period = |from: usize| -> Option<(i64, i64)> {
                    match (row.is_null(from), row.is_null(from + 1)) {
                        (true, true) => None,
                        (true, false) => Some((row.micros(from + 1), row.micros(from + 1))),
                        (false, true) => Some((row.micros(from), row.micros(from))),
                        (false, false) => {
                            let (a, b) = (row.micros(from), row.micros(from + 1));
                            Some((a.min(b), a.max(b)))
                        }
                    }
                };
                let (Some(a), Some(b)) = (period(0), period(2)) else {
                    return Ok(Value::Null);
                };
                let (first, second) = if a.0 <= b.0 { (a, b) } else { (b, a) };
                Ok(Value::Boolean(first.0 == second.0 || second.0 < first.1))
            }),
        ));
    }
}
