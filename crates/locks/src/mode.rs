//! The six lock modes. Compatibility, joins and parents are tables, checked against each other
//! by tests; the modes are those of Gray, Lorie, Putzolu and Traiger, "Granularity of Locks and
//! Degrees of Consistency in a Shared Data Base" (1976), with the update mode added.

use std::fmt;

/// How a resource is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Mode {
    /// Intention shared: something below is read-locked.
    IS = 0,
    /// Intention exclusive: something below is written.
    IX = 1,
    /// Shared: nobody may change it.
    S = 2,
    /// Shared, and something below is written by the holder.
    SIX = 3,
    /// Update: read now, perhaps written later. Beside readers, but not beside another U.
    U = 4,
    /// Exclusive.
    X = 5,
}

/// Number of modes.
pub(crate) const MODE_COUNT: usize = 6;

use Mode::{IS, IX, S, SIX, U, X};

/// `COMPATIBLE[a][b]`: may `a` be granted while another transaction holds `b`?
const COMPATIBLE: [[bool; MODE_COUNT]; MODE_COUNT] = [
    // IS    IX     S      SIX    U      X
    [true, true, true, true, true, false],      // IS
    [true, true, false, false, false, false],   // IX
    [true, false, true, false, true, false],    // S
    [true, false, false, false, false, false],  // SIX
    [true, false, true, false, false, false],   // U
    [false, false, false, false, false, false], // X
];

/// `JOIN[a][b]`: the weakest mode that allows what `a` and `b` allow.
const JOIN: [[Mode; MODE_COUNT]; MODE_COUNT] = [
    [IS, IX, S, SIX, U, X],
    [IX, IX, SIX, SIX, X, X],
    [S, SIX, S, SIX, U, X],
    [SIX, SIX, SIX, SIX, X, X],
    [U, X, U, X, U, X],
    [X, X, X, X, X, X],
];

/// The mode that the parent must be held in (or a stronger one).
const INTENTION: [Mode; MODE_COUNT] = [IS, IX, IS, IX, IX, IX];

/// The mode on children that holding the parent gives without a lock of their own.
const COVERS_CHILDREN: [Option<Mode>; MODE_COUNT] =
    [None, None, Some(S), Some(S), Some(U), Some(X)];

impl Mode {
    /// All modes.
    pub const ALL: [Mode; MODE_COUNT] = [IS, IX, S, SIX, U, X];

    /// Whether `self` may be granted while another transaction holds `held`.
    pub fn is_compatible_with(self, held: Mode) -> bool {
        COMPATIBLE[self as usize][held as usize]
    }

    /// The weakest mode that allows what both allow: what a holder of one who asks for the other
    /// ends up with.
    #[must_use]
    pub fn join(self, other: Mode) -> Mode {
        JOIN[self as usize][other as usize]
    }

    /// Whether a holder of `self` may do everything that `other` allows.
    pub fn covers(self, other: Mode) -> bool {
        self.join(other) == self
    }

    /// What the parent must be held in before `self` is granted below it.
    #[must_use]
    pub fn intention(self) -> Mode {
        INTENTION[self as usize]
    }

    /// Whether holding `self` on the parent makes `child` on a child needless.
    pub fn covers_child(self, child: Mode) -> bool {
        COVERS_CHILDREN[self as usize].is_some_and(|given| given.covers(child))
    }

    /// Whether two holders of `self` and of an intention mode may meet below without a queue: IS
    /// and IX, which are compatible with each other.
    pub(crate) fn is_intention(self) -> bool {
        matches!(self, IS | IX)
    }

    /// The short name used in views and messages.
    pub fn name(self) -> &'static str {
        ["IS", "IX", "S", "SIX", "U", "X"][self as usize]
    }

    /// The mode of that short name.
    pub fn from_name(name: &str) -> Option<Mode> {
        Mode::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fast path grants intention modes without looking at their holders.
    #[test]
    fn intention_modes_are_those_that_never_wait_for_each_other() {
        for a in Mode::ALL.into_iter().filter(|mode| mode.is_intention()) {
            assert!(a.intention().is_intention());
            for b in Mode::ALL.into_iter().filter(|mode| mode.is_intention()) {
                assert!(
                    a.is_compatible_with(b) && a.join(b).is_intention(),
                    "{a} {b}"
                );
            }
        }
    }

    /// Table 13.3 of PostgreSQL's manual, "Conflicting Row-Level Locks", with FOR KEY SHARE = IS,
    /// FOR SHARE = S, FOR NO KEY UPDATE = SIX and FOR UPDATE = X.
    #[test]
    fn row_strengths_conflict_as_in_postgresql() {
        let conflicts = [
            (IS, [false, false, false, true]),
            (S, [false, false, true, true]),
            (SIX, [false, true, true, true]),
            (X, [true, true, true, true]),
        ];
        for (asked, row) in conflicts {
            for (held, conflict) in [IS, S, SIX, X].into_iter().zip(row) {
                assert_eq!(asked.is_compatible_with(held), !conflict, "{asked} {held}");
            }
        }
        assert_eq!([IS, S, SIX, X].map(Mode::intention), [IS, IS, IX, IX]);
    }

    #[test]
    fn compatibility_is_symmetric() {
        for a in Mode::ALL {
            for b in Mode::ALL {
                assert_eq!(a.is_compatible_with(b), b.is_compatible_with(a), "{a} {b}");
            }
        }
    }

    #[test]
    fn join_is_the_least_upper_bound() {
        for a in Mode::ALL {
            assert_eq!(a.join(a), a);
            for b in Mode::ALL {
                let both = a.join(b);
                assert_eq!(both, b.join(a), "{a} {b}");
                assert!(both.covers(a) && both.covers(b), "{a} {b}");
                for c in Mode::ALL {
                    assert_eq!(a.join(b).join(c), a.join(b.join(c)), "{a} {b} {c}");
                    if c.covers(a) && c.covers(b) {
                        assert!(c.covers(both), "{c} is a smaller bound of {a} and {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_stronger_mode_is_compatible_with_less() {
        for strong in Mode::ALL {
            for weak in Mode::ALL.into_iter().filter(|weak| strong.covers(*weak)) {
                for held in Mode::ALL {
                    assert!(
                        !strong.is_compatible_with(held) || weak.is_compatible_with(held),
                        "{strong} {weak} {held}"
                    );
                }
            }
        }
    }

    /// A child lock given for free by the parent must keep the same others away: whoever locks
    /// the child in a conflicting mode needs an intention mode that conflicts with the parent's.
    #[test]
    fn what_a_parent_covers_is_protected_by_its_mode() {
        for parent in Mode::ALL {
            for child in Mode::ALL
                .into_iter()
                .filter(|child| parent.covers_child(*child))
            {
                for other in Mode::ALL
                    .into_iter()
                    .filter(|o| !o.is_compatible_with(child))
                {
                    assert!(
                        !parent.is_compatible_with(other.intention()),
                        "{parent} covers {child}, but lets {other} in below"
                    );
                }
            }
        }
    }

    #[test]
    fn names_go_both_ways() {
        for mode in Mode::ALL {
            assert_eq!(Mode::from_name(mode.name()), Some(mode));
        }
    }
}
