//! COMMAND and its subcommands: the table as clients ask for it.

use super::lookup::{Found, find, find_name};
use super::rows::ROWS;
use super::{AT_ONCE, CONTAINER, Class, FAST, Group, Keys, NO_AUTH, Row, Support};
use crate::fault::{Fault, Result, SYNTAX};
use crate::reply::Reply;
use crate::request::Request;

fn commands() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(|row| !row.name.contains('|'))
}

fn subcommands(row: &Row) -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(|sub| {
        sub.name
            .strip_prefix(row.name)
            .is_some_and(|rest| rest.starts_with('|'))
    })
}

/// COMMAND COUNT.
pub(crate) fn count(reply: &mut Reply) {
    reply.count(commands().count() as u64);
}

/// COMMAND.
pub(crate) fn describe(reply: &mut Reply) {
    reply.array(commands().count());
    for row in commands() {
        info_of(row, reply);
    }
}

/// COMMAND INFO; without names, of all.
pub(crate) fn info(request: &Request, reply: &mut Reply) {
    if request.len() == 2 {
        return describe(reply);
    }
    reply.array(request.len() - 2);
    for at in 2..request.len() {
        match find_name(request.arg(at)) {
            Some(row) => info_of(row, reply),
            None => reply.null_array(),
        }
    }
}

fn info_of(row: &Row, reply: &mut Reply) {
    reply.array(10);
    reply.bulk(row.name);
    reply.int(row.arity.into());
    let flags = flags(row);
    reply.set(flags.len());
    for flag in flags {
        reply.simple(flag);
    }
    let (first, last, step) = legacy_keys(row.keys);
    reply.int(first);
    reply.int(last);
    reply.int(step);
    let categories = categories(row);
    reply.set(categories.len());
    for category in categories {
        reply.simple(&category);
    }
    // Tips and key specifications.
    reply.array(0);
    reply.array(0);
    reply.array(subcommands(row).count());
    for sub in subcommands(row) {
        info_of(sub, reply);
    }
}

fn flags(row: &Row) -> Vec<&'static str> {
    let mut flags = Vec::new();
    match row.class {
        Class::Write | Class::Block if row.writes() => flags.extend(["write", "denyoom"]),
        Class::Read | Class::Block => flags.push("readonly"),
        Class::Write | Class::Local | Class::Refused => {}
    }
    if row.class == Class::Block {
        flags.push("blocking");
    }
    if row.group == Group::PubSub {
        flags.push("pubsub");
    }
    if row.group == Group::Server && matches!(row.class, Class::Refused) {
        flags.push("admin");
    }
    if row.has(FAST) {
        flags.push("fast");
    }
    if row.has(NO_AUTH) {
        flags.push("no_auth");
    }
    if row.has(AT_ONCE) {
        flags.push("noscript");
    }
    if matches!(row.keys, Keys::Counted { .. } | Keys::Streams | Keys::Store) {
        flags.push("movablekeys");
    }
    flags
}

fn categories(row: &Row) -> Vec<String> {
    let mut categories = Vec::new();
    if row.writes() {
        categories.push("@write".to_owned());
    } else if matches!(row.class, Class::Read | Class::Block) {
        categories.push("@read".to_owned());
    }
    let group = match row.group {
        Group::Generic => "keyspace",
        Group::SortedSets => "sortedset",
        Group::Transactions => "transaction",
        other => other.name(),
    };
    categories.push(format!("@{group}"));
    let speed = if row.has(FAST) { "@fast" } else { "@slow" };
    categories.push(speed.to_owned());
    if row.class == Class::Block {
        categories.push("@blocking".to_owned());
    }
    categories
}

/// First key, last key and step, as far as three numbers can say it.
fn legacy_keys(keys: Keys) -> (i64, i64, i64) {
    match keys {
        Keys::Range { first, last, step } => (first as i64, last.into(), step as i64),
        Keys::Counted { target: true, .. } | Keys::Store => (1, 1, 1),
        Keys::None | Keys::Counted { .. } | Keys::Streams => (0, 0, 0),
    }
}

/// COMMAND DOCS; without names, of all.
pub(crate) fn docs(request: &Request, reply: &mut Reply) {
    let rows: Vec<&Row> = if request.len() == 2 {
        commands().collect()
    } else {
        (2..request.len())
            .filter_map(|at| find_name(request.arg(at)))
            .collect()
    };
    reply.map(rows.len());
    for row in rows {
        docs_of(row, reply);
    }
}

fn docs_of(row: &Row, reply: &mut Reply) {
    reply.bulk(row.name);
    let has_subcommands = row.has(CONTAINER);
    let note = match row.support {
        Support::Yes => None,
        Support::Partly(note) => Some(format!("partly supported: {note}")),
        Support::No(note) => Some(format!("not supported: {note}")),
    };
    reply.map(3 + usize::from(has_subcommands) + usize::from(note.is_some()));
    for (name, value) in [
        ("summary", row.summary),
        ("since", row.since),
        ("group", row.group.name()),
    ] {
        reply.bulk(name);
        reply.bulk(value);
    }
    if let Some(note) = note {
        reply.bulk("tessera");
        reply.bulk(note);
    }
    if has_subcommands {
        reply.bulk("subcommands");
        reply.map(subcommands(row).count());
        for sub in subcommands(row) {
            docs_of(sub, reply);
        }
    }
}

/// COMMAND LIST, with FILTERBY MODULE, ACLCAT or PATTERN.
pub(crate) fn list(request: &Request, reply: &mut Reply) -> Result<()> {
    let names: Vec<&str> = match request.len() {
        2 => commands().map(|row| row.name).collect(),
        5 if request.is(2, "FILTERBY") => {
            let filter = request.arg(4);
            if request.is(3, "PATTERN") {
                let lower = filter.to_ascii_lowercase();
                ROWS.iter()
                    .map(|row| row.name)
                    .filter(|name| tessera_keyvalue::glob_matches(&lower, name.as_bytes()))
                    .collect()
            } else if request.is(3, "ACLCAT") {
                ROWS.iter()
                    .filter(|row| {
                        categories(row)
                            .iter()
                            .any(|category| category.as_bytes()[1..].eq_ignore_ascii_case(filter))
                    })
                    .map(|row| row.name)
                    .collect()
            } else if request.is(3, "MODULE") {
                Vec::new()
            } else {
                return Err(SYNTAX);
            }
        }
        _ => return Err(SYNTAX),
    };
    reply.bulks(&names);
    Ok(())
}

/// COMMAND GETKEYS.
pub(crate) fn get_keys(request: &Request, reply: &mut Reply) -> Result<()> {
    let words = request.from(2);
    let inner = Request::joined(&words);
    let Found::Row(row) = find(&inner) else {
        return Err(Fault::Static("ERR Invalid command specified"));
    };
    if !row.accepts(inner.len()) {
        return Err(Fault::Static(
            "ERR Invalid number of arguments specified for command",
        ));
    }
    if row.keys == Keys::None {
        return Err(Fault::Static("ERR The command has no key arguments"));
    }
    let places = row
        .key_places(&inner)
        .ok_or(Fault::Static("ERR Invalid arguments specified for command"))?;
    reply.array(places.len());
    for at in places {
        reply.bulk(inner.arg(at));
    }
    Ok(())
}
