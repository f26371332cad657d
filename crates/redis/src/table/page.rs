//! The reference page of the commands.

use std::fmt::Write as _;

use super::rows::ROWS;
use super::{Group, Row, Support};

const HEAD: &str = "# Redis commands

<!-- Made from the table of commands in `crates/redis/src/table/rows.rs`; do not edit. -->

The Redis port speaks RESP2 and RESP3.
Commands mean what the documentation of Redis 7 says, unless it is said otherwise here.

- Every command is a transaction of its own, on disk before it is answered; a pipeline shares syncs, not fates.
- `MULTI` … `EXEC` is one serializable step on the keys it names: all or nothing.
  An error of a command inside it undoes the others, and the answer is `EXECABORT`.
- `TX.BEGIN` … `TX.COMMIT` is an open transaction: its commands are answered at once.
  A command that fails is undone alone.
  By a token another session, also one of PostgreSQL, joins it.
- A key that has expired is never seen; the notification `expired` is sent when it is removed in the background, within seconds.
- Errors that Redis does not have end with their SQLSTATE, see [errors](errors.md).

| works | meaning |
|---|---|
| yes | as in Redis; a test of that name in `crates/redis/testdata` shows it |
| partly | but for what is said |
| no | answered with an error that says why |
";

/// `docs/reference/redis-commands.md`.
pub fn reference_page() -> String {
    let mut page = HEAD.to_owned();
    for group in Group::ALL {
        // Writing to memory does not fail.
        let _ = write!(
            page,
            "\n## {}\n\n| command | since | works | what it does |\n|---|---|---|---|\n",
            group.title()
        );
        for row in ROWS.iter().filter(|row| row.group == group) {
            line(row, &mut page);
        }
    }
    page
}

fn line(row: &Row, page: &mut String) {
    let name = row.name.to_uppercase().replace('|', " ");
    let works = match row.support {
        Support::Yes => "yes".to_owned(),
        Support::Partly(note) => format!("partly: {note}"),
        Support::No(note) => format!("no: {note}"),
    };
    let _ = writeln!(
        page,
        "| `{name}` | {} | {works} | {} |",
        row.since, row.summary
    );
}

/// Names of the commands that work as in Redis, subcommands with a space: each has a test.
pub fn supported_commands() -> impl Iterator<Item = String> {
    ROWS.iter()
        .filter(|row| matches!(row.support, Support::Yes))
        .map(|row| row.name.replace('|', " "))
}
