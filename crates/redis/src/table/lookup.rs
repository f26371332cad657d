//! From a name to its row: a hash table in which every name has a slot of its own.

use std::sync::LazyLock;

use super::rows::ROWS;
use super::{CONTAINER, Row};
use crate::request::Request;

/// Slots; with some thirty times as many as names, a seed without collisions is soon found.
const SLOTS: usize = 8_192;
/// Longest name that is looked up.
const NAME_BYTES_MAX: usize = 40;
/// Multiplier of FNV-1a. <http://www.isthe.com/chongo/tech/comp/fnv/>
const PRIME: u64 = 0x0000_0100_0000_01b3;

struct Slots {
    seed: u64,
    /// Row and one; 0 is empty.
    rows: Box<[u16; SLOTS]>,
}

static LOOKUP: LazyLock<Slots> = LazyLock::new(|| {
    (0_u64..)
        .find_map(|number| Slots::build(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .expect("among many seeds there is one without collisions")
});

impl Slots {
    fn build(seed: u64) -> Option<Slots> {
        let mut rows = Box::new([0_u16; SLOTS]);
        for (at, row) in ROWS.iter().enumerate() {
            let slot = &mut rows[slot(hash(seed, row.name.as_bytes()))];
            if *slot != 0 {
                return None;
            }
            *slot = u16::try_from(at + 1).ok()?;
        }
        Some(Slots { seed, rows })
    }

    fn row(&self, hash: u64) -> Option<&'static Row> {
        let at = usize::from(self.rows[slot(hash)]).checked_sub(1)?;
        ROWS.get(at)
    }
}

fn hash(seed: u64, name: &[u8]) -> u64 {
    name.iter().fold(seed, |hash, byte| {
        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(PRIME)
    })
}

fn slot(hash: u64) -> usize {
    // The upper bits of a product are the mixed ones.
    (hash >> 40) as usize % SLOTS
}

/// The row of a name, `config|get` for a subcommand, in any case.
pub(crate) fn find_name(name: &[u8]) -> Option<&'static Row> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let lookup = &*LOOKUP;
    lookup
        .row(hash(lookup.seed, name))
        .filter(|row| row.name.as_bytes().eq_ignore_ascii_case(name))
}

/// What a command's name means.
#[derive(Debug)]
pub(crate) enum Found {
    Row(&'static Row),
    /// A command, but no such subcommand.
    NoSubcommand(&'static Row),
    Nothing,
}

/// The row of a command, or of its subcommand.
pub(crate) fn find(request: &Request) -> Found {
    let Some(row) = find_name(request.arg(0)) else {
        return Found::Nothing;
    };
    if !row.has(CONTAINER) || request.len() < 2 {
        return Found::Row(row);
    }
    let subcommand = request.arg(1);
    let mut name = [0_u8; NAME_BYTES_MAX];
    let length = row.name.len() + 1 + subcommand.len();
    let Some(name) = name.get_mut(..length) else {
        return Found::NoSubcommand(row);
    };
    name[..row.name.len()].copy_from_slice(row.name.as_bytes());
    name[row.name.len()] = b'|';
    name[row.name.len() + 1..].copy_from_slice(subcommand);
    match find_name(name) {
        Some(row) => Found::Row(row),
        None => Found::NoSubcommand(row),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for row in ROWS {
            for name in [row.name.to_owned(), row.name.to_uppercase()] {
                let found = find_name(name.as_bytes()).expect("in the table");
                assert_eq!(found.command, row.command, "{name}");
            }
            assert!(row.name.len() < NAME_BYTES_MAX);
        }
        for name in ["", "ge", "gett", "config|", "|get", &"x".repeat(100)] {
            assert!(find_name(name.as_bytes()).is_none(), "{name}");
        }
    }

    #[test]
    fn subcommands_are_found_by_two_words() {
        let check = |words: &[&str], expected: &str| {
            let found = match find(&Request::joined(words)) {
                Found::Row(row) => row.name.to_owned(),
                Found::NoSubcommand(row) => format!("{} ?", row.name),
                Found::Nothing => "?".to_owned(),
            };
            assert_eq!(found, expected, "{words:?}");
        };
        check(&["CONFIG", "get"], "config|get");
        check(&["config", "nonsense"], "config ?");
        check(&["command"], "command");
        check(&["config"], "config");
        check(&["get", "k"], "get");
        check(&["nonsense"], "?");
        check(&["client", &"x".repeat(100)], "client ?");
    }
}
