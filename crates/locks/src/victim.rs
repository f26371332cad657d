//! Whom a deadlock hits: the transaction that is cheapest to lose. Pure decisions.

use std::cmp::Reverse;

use crate::report::CycleMember;

/// What one written row costs to lose, in units of one lock.
const ROW_COST: u64 = 4;
/// Milliseconds of age that cost as much to lose as one lock.
const LOCK_AGE_MS: u64 = 10;
/// Each earlier loss doubles the cost, up to this many times.
const DOUBLINGS_MAX: u32 = 32;
/// After this many losses, and again after as many more, a transaction outranks others of its
/// priority whatever they cost.
const RESTARTS_PER_RANK: u32 = 4;
/// How far that lifts it among the priorities. 256 of them exist, so that nobody is chosen for
/// ever: a transaction of the lowest priority passes the highest after 64 losses.
const PRIORITY_PER_RANK: i64 = 16;

/// What decided the choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VictimPolicy {
    /// It had the lowest priority, counting what earlier losses add.
    Priority,
    /// It had done the least: rows written, locks held, time spent, doubled per earlier loss.
    Cost,
    /// All cost the same, and it began last.
    Age,
}

/// The place of the victim in the cycle, and what decided.
pub(crate) fn choose(cycle: &[CycleMember]) -> (usize, VictimPolicy) {
    let key = |member: &CycleMember| (rank(member), cost(member), Reverse(member.txn));
    let victim = (0..cycle.len())
        .min_by_key(|at| key(&cycle[*at]))
        .unwrap_or(0);
    let Some(least) = cycle.get(victim) else {
        return (0, VictimPolicy::Age);
    };
    let others = || cycle.iter().filter(|other| other.txn != least.txn);
    let policy = if others().all(|other| rank(other) > rank(least)) {
        VictimPolicy::Priority
    } else if others().all(|other| (rank(other), cost(other)) > (rank(least), cost(least))) {
        VictimPolicy::Cost
    } else {
        VictimPolicy::Age
    };
    (victim, policy)
}

fn rank(member: &CycleMember) -> i64 {
    let losses = i64::from(member.restarts / RESTARTS_PER_RANK);
    i64::from(member.priority) + losses * PRIORITY_PER_RANK
}

fn cost(member: &CycleMember) -> u128 {
    let age_ms = u64::try_from(member.age.as_millis()).unwrap_or(u64::MAX);
    let cost = u128::from(member.work) * u128::from(ROW_COST)
        + member.locks as u128
        + u128::from(age_ms / LOCK_AGE_MS);
    (cost + 1) << member.restarts.min(DOUBLINGS_MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tessera_types::TxnId;

    use super::*;
    use crate::mode::Mode;
    use crate::resource::Resource;

    fn member(txn: u64) -> CycleMember {
        CycleMember {
            txn: TxnId(txn),
            resource: Resource::Database,
            key: None,
            mode: Mode::X,
            held: None,
            blocked_by_mode: Mode::X,
            blocked_by_holder: true,
            waited: Duration::ZERO,
            age: Duration::ZERO,
            statement: None,
            work: 0,
            locks: 3,
            priority: 0,
            restarts: 0,
        }
    }

    fn check(cycle: &[CycleMember], txn: u64, policy: VictimPolicy) {
        let (victim, decided) = choose(cycle);
        assert_eq!((cycle[victim].txn, decided), (TxnId(txn), policy));
    }

    #[test]
    fn among_equals_the_youngest_loses() {
        check(&[member(2), member(3), member(1)], 3, VictimPolicy::Age);
    }

    #[test]
    fn little_work_loses_against_much() {
        let worker = CycleMember {
            work: 10,
            ..member(9)
        };
        check(&[worker, member(1)], 1, VictimPolicy::Cost);
        let old = CycleMember {
            age: Duration::from_secs(9),
            ..member(9)
        };
        check(&[old, member(1)], 1, VictimPolicy::Cost);
    }

    #[test]
    fn low_priority_loses_whatever_it_has_done() {
        let low = CycleMember {
            priority: -1,
            work: 1_000_000,
            ..member(1)
        };
        check(&[low, member(2)], 1, VictimPolicy::Priority);
    }

    #[test]
    fn who_lost_often_enough_wins_against_everyone() {
        let low = |restarts| CycleMember {
            priority: i8::MIN,
            restarts,
            ..member(9)
        };
        let high = CycleMember {
            priority: i8::MAX,
            work: u64::MAX,
            ..member(1)
        };
        check(&[low(0), high.clone()], 9, VictimPolicy::Priority);
        check(&[low(64), high], 1, VictimPolicy::Priority);
    }
}
