//! Backslash commands, decoded and carried out.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use crate::table::Format;

use super::runner::{Bytes, Runner, no_input, standard_input};
use super::{ShellError, copy, describe};

const WATCH_EVERY: Duration = Duration::from_secs(2);

const HELP: &str = r"General
  \q                 leave
  \? or \h           this help
  \conninfo          where this shell is connected
  \timing [on|off]   show how long each statement took
  \errverbose        the last error with all its fields

Statements
  ;                  run the statement
  \g, \gx            run it; \gx shows one line per column
  \watch [SECONDS]   run the last statement again and again, until Ctrl-C
  \p, \r             show, empty the statement that is being typed
  \i FILE            run a file
  \copy T FROM FILE [WITH (...)], \copy T|(QUERY) TO FILE [WITH (...)]

Catalog (NAME may have * and ?, and a schema in front)
  \d                 tables, views, sequences
  \d NAME            columns, indexes, constraints; \d+ also a view's query
  \dt \dv \di \ds    tables, views, indexes, sequences
  \dn \du \l         schemas, users, databases

Results
  \x [on|off]        one line per column
  \t [on|off]        only data: no header, no row count
  \a                 between aligned and unaligned
  \pset format aligned|unaligned|csv|json
  \pset null TEXT    what stands for NULL
  \set ON_ERROR_STOP [on|off]   end a script at its first error
  \echo TEXT, \warn TEXT";

/// What the shell does after a command.
pub(super) enum After {
    /// Go on.
    Fine,
    /// Go on; it counts as an error.
    Failed,
    /// Leave.
    Quit,
    /// Run this statement.
    Run { sql: String, expanded: bool },
    /// Run a file.
    Include(PathBuf),
    /// Whether scripts end at their first error.
    StopOnError(bool),
}

/// Carries out one command; `buffer` is the statement that is being typed.
pub(super) async fn run(
    runner: &mut Runner,
    text: &str,
    buffer: &mut String,
) -> Result<After, ShellError> {
    let text = text
        .trim_start_matches('\\')
        .trim_end()
        .trim_end_matches(';');
    let (name, rest) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
    let rest = rest.trim();
    let after = match name {
        "q" | "quit" => After::Quit,
        "?" | "h" | "help" => {
            runner.say(HELP)?;
            After::Fine
        }
        "conninfo" => {
            let text = runner.connection_info();
            runner.say(&text)?;
            After::Fine
        }
        "timing" => {
            runner.timing = switch(runner.timing, rest);
            let text = format!("Timing is {}.", on_off(runner.timing));
            runner.say(&text)?;
            After::Fine
        }
        "x" => {
            runner.layout.expanded = switch(runner.layout.expanded, rest);
            let text = format!("Expanded display is {}.", on_off(runner.layout.expanded));
            runner.say(&text)?;
            After::Fine
        }
        "t" => {
            runner.layout.tuples_only = switch(runner.layout.tuples_only, rest);
            let text = format!("Tuples only is {}.", on_off(runner.layout.tuples_only));
            runner.say(&text)?;
            After::Fine
        }
        "a" => {
            let aligned = runner.layout.format == Format::Aligned;
            runner.layout.format = if aligned {
                Format::Unaligned
            } else {
                Format::Aligned
            };
            After::Fine
        }
        "pset" => set_layout(runner, rest)?,
        "set" => match rest.split_once(char::is_whitespace).unwrap_or((rest, "on")) {
            ("ON_ERROR_STOP", value) => After::StopOnError(is_on(value.trim())),
            (name, _) => complain(&format!("\\set: unknown variable {name:?}")),
        },
        "g" | "gx" => {
            let sql = if buffer.trim().is_empty() {
                runner.last_sql.clone()
            } else {
                std::mem::take(buffer)
            };
            After::Run {
                sql,
                expanded: name == "gx",
            }
        }
        "watch" => watch(runner, rest, buffer).await?,
        "p" => {
            let shown = if buffer.trim().is_empty() {
                runner.last_sql.clone()
            } else {
                buffer.clone()
            };
            runner.say(shown.trim_end())?;
            After::Fine
        }
        "r" => {
            buffer.clear();
            After::Fine
        }
        "i" | "include" if rest.is_empty() => complain("\\i: a file name is missing"),
        "i" | "include" => After::Include(PathBuf::from(rest.trim_matches('\''))),
        "echo" => {
            runner.say(rest.trim_matches('\''))?;
            After::Fine
        }
        "warn" => {
            eprintln!("{}", rest.trim_matches('\''));
            After::Fine
        }
        "errverbose" => {
            runner.show_last_error();
            After::Fine
        }
        "copy" => copy_file(runner, rest).await?,
        _ if name.starts_with('d') || name == "l" || name == "l+" => {
            if describe::run(runner, name, rest).await? {
                After::Fine
            } else {
                After::Failed
            }
        }
        other => complain(&format!("invalid command \\{other}; try \\?")),
    };
    Ok(after)
}

fn complain(text: &str) -> After {
    eprintln!("{text}");
    After::Failed
}

fn set_layout(runner: &mut Runner, rest: &str) -> Result<After, ShellError> {
    let (option, value) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let value = value.trim().trim_matches('\'');
    match option {
        "format" => match Format::from_str(value, true) {
            Ok(format) => {
                runner.layout.format = format;
                runner.say(&format!("Output format is {}.", value.to_ascii_lowercase()))?;
            }
            Err(_) => {
                return Ok(complain(
                    "\\pset: allowed formats are aligned, unaligned, csv, json",
                ));
            }
        },
        "null" => value.clone_into(&mut runner.layout.null),
        "expanded" | "x" => runner.layout.expanded = switch(runner.layout.expanded, value),
        "tuples_only" | "t" => runner.layout.tuples_only = switch(runner.layout.tuples_only, value),
        "" => {
            let layout = &runner.layout;
            let text = format!(
                "format {:?}\nexpanded {}\ntuples_only {}\nnull '{}'",
                layout.format,
                on_off(layout.expanded),
                on_off(layout.tuples_only),
                layout.null
            );
            runner.say(&text.to_lowercase())?;
        }
        other => return Ok(complain(&format!("\\pset: unknown option {other}"))),
    }
    Ok(After::Fine)
}

async fn watch(runner: &mut Runner, rest: &str, buffer: &mut String) -> Result<After, ShellError> {
    let every = match rest {
        "" => WATCH_EVERY,
        text => match text
            .parse::<f64>()
            .ok()
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        {
            Some(every) => every,
            None => {
                return Ok(complain(
                    "\\watch: the interval must be a number of seconds",
                ));
            }
        },
    };
    let sql = if buffer.trim().is_empty() {
        runner.last_sql.clone()
    } else {
        std::mem::take(buffer)
    };
    if sql.trim().is_empty() {
        return Ok(complain("\\watch: there is no statement to repeat"));
    }
    loop {
        if !runner.run(&sql, &mut no_input()).await? {
            return Ok(After::Failed);
        }
        if !runner.pause(every).await {
            return Ok(After::Fine);
        }
    }
}

async fn copy_file(runner: &mut Runner, rest: &str) -> Result<After, ShellError> {
    let copy = match copy::parse(rest) {
        Ok(copy) => copy,
        Err(fault) => return Ok(complain(&fault)),
    };
    let fine = match &copy.file {
        None => {
            runner
                .run_into(&copy.sql, &mut standard_input(), None)
                .await?
        }
        Some(name) if copy.from => match File::open(name) {
            Ok(file) => {
                runner
                    .run_into(&copy.sql, &mut Bytes::of(BufReader::new(file)), None)
                    .await?
            }
            Err(error) => return Ok(complain(&format!("{name}: {error}"))),
        },
        Some(name) => match File::create(name) {
            Ok(file) => {
                let mut file = BufWriter::new(file);
                let fine = runner
                    .run_into(&copy.sql, &mut no_input(), Some(&mut file))
                    .await?;
                if let Err(error) = file.flush() {
                    return Ok(complain(&format!("{name}: {error}")));
                }
                fine
            }
            Err(error) => return Ok(complain(&format!("{name}: {error}"))),
        },
    };
    Ok(if fine { After::Fine } else { After::Failed })
}

/// `on`, `off`, or the other one.
fn switch(now: bool, text: &str) -> bool {
    if text.is_empty() { !now } else { is_on(text) }
}

/// PostgreSQL's words for true.
pub(super) fn is_on(text: &str) -> bool {
    matches!(
        text.to_ascii_lowercase().as_str(),
        "on" | "true" | "yes" | "1" | "t" | "y"
    )
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}
