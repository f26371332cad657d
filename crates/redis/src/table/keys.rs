//! Which arguments of a command are keys.

use smallvec::SmallVec;
use tessera_keyvalue::parse_integer;

use super::{Command, Keys, Row};
use crate::request::Request;

/// Places of keys.
pub(crate) type Places = SmallVec<[usize; 8]>;

impl Row {
    /// Whether it touches nothing but keys of the client's space that its arguments name.
    pub(crate) fn has_known_keys(&self) -> bool {
        !matches!(
            self.command,
            Command::Copy | Command::Move | Command::Sort | Command::SortRo
        )
    }

    /// Places of the keys; none if the arguments are not as they should be.
    pub(crate) fn key_places(&self, request: &Request) -> Option<Places> {
        let arguments = request.len();
        let mut places = Places::new();
        match self.keys {
            Keys::None => {}
            Keys::Range { first, last, step } => {
                let end = match usize::try_from(last) {
                    Ok(last) => last + 1,
                    Err(_) => (arguments + 1).checked_sub(usize::from(last.unsigned_abs()))?,
                };
                if end > arguments || first >= end {
                    return None;
                }
                places.extend((first..end).step_by(step));
            }
            Keys::Counted { at, target } => {
                let count = usize::try_from(parse_integer(request.arg(at))?).ok()?;
                let end = (at + 1).checked_add(count)?;
                if count == 0 || end > arguments {
                    return None;
                }
                if target {
                    places.push(1);
                }
                places.extend(at + 1..end);
            }
            Keys::Streams => {
                let (start, count) = streams(request)?;
                places.extend(start..start + count);
            }
            Keys::Store => {
                places.push(1);
                let store = (2..arguments.saturating_sub(1))
                    .rfind(|at| request.is(*at, "STORE") || request.is(*at, "STOREDIST"));
                places.extend(store.map(|at| at + 1));
            }
        }
        Some(places)
    }
}

/// The first key behind STREAMS, and how many there are.
pub(crate) fn streams(request: &Request) -> Option<(usize, usize)> {
    let word = (1..request.len()).find(|at| request.is(*at, "STREAMS"))?;
    let rest = request.len() - word - 1;
    (rest > 0 && rest.is_multiple_of(2)).then_some((word + 1, rest / 2))
}

#[cfg(test)]
mod tests {
    use super::super::{Found, find};
    use super::*;

    #[test]
    fn keys_are_where_each_command_has_them() {
        let check = |command: &str, expected: Option<&[usize]>| {
            let words: Vec<&str> = command.split(' ').collect();
            let request = Request::joined(&words);
            let Found::Row(row) = find(&request) else {
                panic!("{command} is not in the table");
            };
            let found = row.key_places(&request);
            assert_eq!(found.as_deref(), expected, "{command}");
        };
        check("get k", Some(&[1]));
        check("ping", Some(&[]));
        check("del a b c", Some(&[1, 2, 3]));
        check("mset a 1 b 2", Some(&[1, 3]));
        check("blpop a b 0", Some(&[1, 2]));
        check("lmpop 2 a b left", Some(&[2, 3]));
        check("lmpop 9 a b left", None);
        check("lmpop x a b left", None);
        check("blmpop 0 1 a left", Some(&[3]));
        check("zunionstore t 2 a b", Some(&[1, 3, 4]));
        check("xread count 1 streams a b 0 0", Some(&[4, 5]));
        check("xread count 1 streams a b 0", None);
        check("sort l by w_* store t", Some(&[1, 5]));
        check("georadius g 1 2 3 km store t storedist u", Some(&[1, 9]));
        check("object encoding k", Some(&[2]));
        check("bitop and t a b", Some(&[2, 3, 4]));
    }
}
