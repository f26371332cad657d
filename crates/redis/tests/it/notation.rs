//! Scripts of commands and answers, in the notation of redis-cli. Nothing here knows a server.
//!
//! ```text
//! # blpop: who waits is served
//! a> blpop l 0
//! until 1 blocked
//! > rpush l x
//! (integer) 1
//! a<
//! 1) "l"
//! 2) "x"
//! advance 1500
//! sorted> smembers s
//! 1) "a"
//! 2) "b"
//! > exec
//! 1) (error) ERR ...
//! ours, because a transaction is all or nothing:
//! (error) EXECABORT ...
//! ```
//! A block begins with the commands that it tests, and has a server of its own. `name>` is another
//! connection. Before `until` no answer is read; `name<` reads it later. `advance` moves the clock
//! by milliseconds. `sorted>` is the first connection again; the items of its answer have no order.
//! `three>` is a connection that speaks RESP3.
//! Behind `ours, because` stands the answer of this server where it differs on purpose.

/// What a line means.
pub(crate) enum Step<'a> {
    Text,
    Send(&'a str, &'a str),
    Receive(&'a str),
    Advance(u64),
    Blocked(usize),
}

/// A line that means something, and the answer that stands behind it.
pub(crate) struct Entry<'a> {
    pub(crate) line: &'a str,
    pub(crate) step: Step<'a>,
    pub(crate) answer: Vec<&'a str>,
    /// Why this server's answer differs, and that answer.
    pub(crate) ours: Option<(&'a str, Vec<&'a str>)>,
    /// The answer comes later.
    pub(crate) blocks: bool,
}

const OURS: &str = "ours, because ";
/// A connection that speaks RESP3.
pub(crate) const RESP3: &str = "three";
/// A connection whose answers' items have no order.
const SORTED: &str = "sorted";

/// None for a part of an answer.
fn step(line: &str) -> Option<Step<'_>> {
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase());
    if line.is_empty() || line.starts_with("# ") {
        Some(Step::Text)
    } else if let Some(millis) = line.strip_prefix("advance ") {
        Some(Step::Advance(millis.parse().unwrap()))
    } else if let Some(rest) = line.strip_prefix("until ") {
        let count = rest.strip_suffix(" blocked").unwrap();
        Some(Step::Blocked(count.parse().unwrap()))
    } else if let Some((name, command)) = line.split_once("> ")
        && is_name(name)
    {
        Some(Step::Send(name, command))
    } else if let Some(name) = line.strip_suffix('<')
        && is_name(name)
    {
        Some(Step::Receive(name))
    } else {
        None
    }
}

pub(crate) fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    for line in text.lines() {
        match (step(line), entries.last_mut()) {
            (Some(step), last) => {
                if let Some(last) = last {
                    last.blocks = matches!(step, Step::Blocked(_));
                }
                entries.push(Entry {
                    line,
                    step,
                    answer: Vec::new(),
                    ours: None,
                    blocks: false,
                });
            }
            (None, None) => panic!("the file begins with an answer: {line}"),
            (None, Some(last)) => match &mut last.ours {
                Some((_, answer)) => answer.push(line),
                None if line.starts_with(OURS) => last.ours = Some((line, Vec::new())),
                None => last.answer.push(line),
            },
        }
    }
    entries
}

/// The connection of a name.
pub(crate) fn connection(name: &str) -> &str {
    if name == SORTED { "" } else { name }
}

/// An answer as it is compared: if its items have no order, they are sorted. They are strings or
/// numbers then, one a line.
pub(crate) fn normal(name: &str, answer: &str) -> String {
    if name != SORTED {
        return answer.to_owned();
    }
    let mut mark = ')';
    let items: Option<Vec<&str>> = answer
        .lines()
        .map(|line| {
            let at = line.find([')', '~'])?;
            let number = line[..at].trim_start();
            mark = line[at..].chars().next()?;
            let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| &line[at + 2..])
        })
        .collect();
    let Some(mut items) = items else {
        return answer.to_owned();
    };
    items.sort_unstable();
    let width = items.len().to_string().len();
    let lines = items.iter().enumerate();
    lines
        .map(|(at, item)| format!("{:>width$}{mark} {item}", at + 1))
        .collect::<Vec<_>>()
        .join("\n")
}
