//! Where the time of waits went: every finished wait, folded into (waiting statement, resource,
//! blocking statement).
//!
//! The format of `folded` is that of the stack collapse scripts of Brendan Gregg's FlameGraph:
//! frames separated by `;`, a blank, a number.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use hashbrown::HashMap;

use crate::blame::{Account, OTHER};
use crate::resource::Resource;
use crate::sync::Mutex;
use crate::wait::{Key, WaitNode};

/// Stacks told apart; the time of further ones counts for one that is called other.
const STACKS_MAX: usize = 10_000;
/// Characters of a statement in a frame.
const FRAME_CHARS_MAX: usize = 200;
/// A frame for a transaction that has not said what it runs.
const UNKNOWN: &str = "(unknown)";

/// Gives the two frames of a resource and its key: relation, row or range.
pub type Frames<'a> = &'a dyn Fn(Resource, Option<&[u8]>) -> [String; 2];

/// What was waited for, by whom, because of whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Stack {
    waiting: Option<Arc<str>>,
    /// `None` for the rest that is not told apart.
    resource: Option<Resource>,
    key: Option<Key>,
    blocking: Option<Arc<str>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Sum {
    count: u64,
    nanos: u64,
}

/// One leaf of the profile.
#[derive(Debug, Clone)]
pub struct ProfileRow {
    /// The statement that waited; "(other)" for what is not told apart.
    pub waiting: Option<Arc<str>>,
    /// What it waited for; `None` in the row "(other)".
    pub resource: Option<Resource>,
    /// The key, as the layer above described it.
    pub key: Option<Box<[u8]>>,
    /// The statement of the transaction in the way.
    pub blocking: Option<Arc<str>>,
    /// Waits that spent time here. A wait that spent it in several rows counts in each.
    pub count: u64,
    /// Time spent.
    pub total: Duration,
}

/// The sums.
#[derive(Debug, Default)]
pub(crate) struct Profile {
    stacks: Mutex<HashMap<Stack, Sum, RandomState>>,
}

impl Profile {
    /// Adds a finished wait, split by blocking statement.
    pub(crate) fn add(&self, node: &WaitNode, charged: &Account) {
        let mut stacks = self.stacks.lock();
        for (blocking, nanos) in charged {
            let stack = Stack {
                waiting: node.statement.clone(),
                resource: Some(node.resource),
                key: node.key.clone(),
                blocking: blocking.clone(),
            };
            let is_full = stacks.len() >= STACKS_MAX && !stacks.contains_key(&stack);
            let stack = if is_full { Stack::other() } else { stack };
            let sum = stacks.entry(stack).or_default();
            sum.count += 1;
            sum.nanos += nanos;
        }
    }

    pub(crate) fn reset(&self) {
        let old = std::mem::take(&mut *self.stacks.lock());
        drop(old);
    }

    /// All leaves, the most expensive first.
    pub(crate) fn rows(&self) -> Vec<ProfileRow> {
        let stacks = self.stacks.lock();
        let mut rows: Vec<_> = stacks
            .iter()
            .map(|(stack, sum)| ProfileRow {
                waiting: stack.waiting.clone(),
                resource: stack.resource,
                key: stack.key.as_ref().map(|key| key.as_slice().into()),
                blocking: stack.blocking.clone(),
                count: sum.count,
                total: Duration::from_nanos(sum.nanos),
            })
            .collect();
        drop(stacks);
        rows.sort_by(|a, b| {
            let names =
                |row: &ProfileRow| (row.waiting.clone(), row.resource, row.blocking.clone());
            b.total.cmp(&a.total).then_with(|| names(a).cmp(&names(b)))
        });
        rows
    }

    /// The leaves as folded stacks: statement, relation, row or range, blocking statement,
    /// microseconds. `name` gives the frames of relation and key.
    pub(crate) fn folded(&self, name: Frames<'_>) -> String {
        let mut out = String::new();
        for row in self.rows() {
            let waiting = frame(row.waiting.as_deref().unwrap_or(UNKNOWN));
            let micros = row.total.as_micros();
            let _ = match row.resource {
                None => writeln!(out, "{waiting} {micros}"),
                Some(resource) => {
                    let [relation, key] = name(resource, row.key.as_deref()).map(|s| frame(&s));
                    let blocking = frame(row.blocking.as_deref().unwrap_or(UNKNOWN));
                    writeln!(out, "{waiting};{relation};{key};{blocking} {micros}")
                }
            };
        }
        out
    }
}

impl Stack {
    fn other() -> Stack {
        Stack {
            waiting: Some(Arc::from(OTHER)),
            resource: None,
            key: None,
            blocking: None,
        }
    }
}

/// Frames of resources by their numbers.
pub(crate) fn numbered(resource: Resource, key: Option<&[u8]>) -> [String; 2] {
    let relation = match resource.relation() {
        Some(relation) => format!("relation {}", relation.0),
        None => "database".to_owned(),
    };
    let what = match (resource, key) {
        (_, Some(key)) => key.iter().fold(String::from("key "), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        }),
        (Resource::Database | Resource::Relation(_), None) => "(whole)".to_owned(),
        (Resource::Range(_, range), None) => format!("range {range:016x}"),
        (Resource::Row(_, row), None) => format!("row {row:016x}"),
        (Resource::Advisory(space, key), None) => format!("advisory {space}/{key}"),
    };
    [relation, what]
}

/// A text as a frame: no separator, no line end, of bounded length.
fn frame(text: &str) -> String {
    text.chars()
        .take(FRAME_CHARS_MAX)
        .map(|c| match c {
            ';' => ',',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect::<String>()
        .trim()
        .to_owned()
}
