//! Scripts of several sessions, one statement at a time, at every isolation level.
//!
//! A scenario is a file in `isolation/scenarios`: a comment, then lines `session> SQL`. It runs
//! once for each level, with `{level}` in its place, in a database of its own; what every step
//! answered is compared with `isolation/<level>/<scenario>.out`.
//!
//! A statement that has to wait answers `(waits)`; its own answer is shown under the step that
//! let it go on. Whether it waits is asked of the database (`pg_locks`), never guessed from time.
//!
//! The answers of READ COMMITTED and REPEATABLE READ are PostgreSQL's: `--postgres` runs the same
//! scripts against a PostgreSQL server that is already there. SERIALIZABLE may end another
//! transaction of a dangerous pair than PostgreSQL does; its files are ours, and each scenario
//! says in its comment what must not happen.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use tessera_cli::client::Client;
use tessera_cli::client::message::Reply;
use tessera_cli::connection::{SslMode, Target};
use tessera_testkit::{TestOptions, TestServer};
use tokio::sync::{mpsc, oneshot};

const LEVELS: [(&str, &str); 3] = [
    ("read_committed", "READ COMMITTED"),
    ("repeatable_read", "REPEATABLE READ"),
    ("serializable", "SERIALIZABLE"),
];
/// A step that neither ends nor waits for a lock by then hangs.
const STEP_WITHIN: Duration = Duration::from_secs(30);
/// Time between two looks at a step; each look is a statement.
const LOOK_EVERY: Duration = Duration::from_millis(2);

#[derive(Args)]
pub(crate) struct IsolationArguments {
    /// Only scenarios whose name contains this text.
    filter: Option<String>,
    /// Writes the answers instead of comparing.
    #[arg(long)]
    complete: bool,
    /// Runs against the PostgreSQL server on this machine whose port is in `PGPORT`, as user
    /// `admin`, database `tessera`, without a password.
    #[arg(long)]
    postgres: bool,
}

/// Runs all scenarios at all levels; false if one failed.
pub(crate) async fn run(arguments: &IsolationArguments) -> Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("isolation");
    let mut scenarios = Vec::new();
    for entry in std::fs::read_dir(root.join("scenarios"))? {
        scenarios.push(entry?.path());
    }
    scenarios.sort();
    if let Some(filter) = &arguments.filter {
        scenarios.retain(|path| name_of(path).contains(filter.as_str()));
    }
    ensure!(!scenarios.is_empty(), "no scenario matches");
    let server = match arguments.postgres {
        true => None,
        false => Some(TestServer::start_with(TestOptions::default()).await?),
    };
    let target = target(server.as_ref())?;
    let (mut passed, mut failed) = (0, 0);
    for path in &scenarios {
        let script = std::fs::read_to_string(path)?;
        for (folder, level) in LEVELS {
            // PostgreSQL may end another transaction than we do.
            if arguments.postgres && folder == "serializable" {
                continue;
            }
            let name = name_of(path);
            let found = play(&script.replace("{level}", level), &target)
                .await
                .with_context(|| format!("{name} at {level}"))?;
            let file = root.join(folder).join(format!("{name}.out"));
            if arguments.complete {
                std::fs::create_dir_all(root.join(folder))?;
                std::fs::write(&file, &found)?;
            }
            let expected = std::fs::read_to_string(&file)
                .with_context(|| format!("{} is missing", file.display()))?;
            if found == expected {
                passed += 1;
            } else {
                failed += 1;
                println!(
                    "FAILED  {folder}/{name}\n{}",
                    first_difference(&expected, &found)
                );
            }
        }
    }
    if let Some(server) = server {
        server.stop().await?;
    }
    println!("{passed} passed, {failed} failed, 0 skipped");
    Ok(failed == 0)
}

fn name_of(path: &Path) -> String {
    path.file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn target(server: Option<&TestServer>) -> Result<Target> {
    let (host, port, password) = match server {
        Some(server) => (
            server.address().ip().to_string(),
            server.address().port(),
            Some(server.password().to_owned()),
        ),
        None => {
            let port = std::env::var("PGPORT").context("PGPORT is not set")?;
            ("127.0.0.1".to_owned(), port.parse()?, None)
        }
    };
    Ok(Target {
        host,
        port,
        user: "admin".to_owned(),
        database: "tessera".to_owned(),
        password,
        sslmode: SslMode::Disable,
        tls_ca: None::<PathBuf>,
    })
}

/// One session: a task that runs what it is sent.
struct Player {
    process_id: String,
    send: mpsc::Sender<(String, oneshot::Sender<Result<String>>)>,
    /// The answer of a statement that waits.
    waiting: Option<oneshot::Receiver<Result<String>>>,
}

impl Player {
    async fn connect(target: &Target, name: &str) -> Result<Player> {
        let mut client = Client::connect(target, name).await?;
        let process_id = answer(&mut client, "SELECT pg_backend_pid()").await?;
        let process_id = process_id.lines().next().unwrap_or_default().to_owned();
        let (send, mut receive) = mpsc::channel::<(String, oneshot::Sender<Result<String>>)>(1);
        // Ends when the player is dropped: then nothing more is sent.
        tokio::spawn(async move {
            while let Some((sql, reply)) = receive.recv().await {
                let answer = answer(&mut client, &sql).await;
                // A script that has given up needs no answer.
                let _ = reply.send(answer);
            }
        });
        Ok(Player {
            process_id,
            send,
            waiting: None,
        })
    }
}

/// Runs a script; gives it back with the answers.
async fn play(script: &str, target: &Target) -> Result<String> {
    let mut observer = Client::connect(target, "observer").await?;
    answer(&mut observer, "DROP TABLE IF EXISTS test, other").await?;
    let mut players: BTreeMap<String, Player> = BTreeMap::new();
    let mut out = String::new();
    for line in script.lines() {
        writeln!(out, "{line}")?;
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        let (who, sql) = line
            .split_once("> ")
            .with_context(|| format!("not a step: {line}"))?;
        if !players.contains_key(who) {
            let player = Player::connect(target, who).await?;
            players.insert(who.to_owned(), player);
        }
        let player = players.get_mut(who).context("it was put there")?;
        ensure!(player.waiting.is_none(), "{who} still waits: {line}");
        let (reply, answered) = oneshot::channel();
        player.send.send((sql.to_owned(), reply)).await?;
        player.waiting = Some(answered);
        settle(&mut players, who, &mut observer, &mut out).await?;
    }
    let stuck: Vec<&str> = players
        .iter()
        .filter(|(_, player)| player.waiting.is_some())
        .map(|(name, _)| name.as_str())
        .collect();
    ensure!(stuck.is_empty(), "still waiting at the end: {stuck:?}");
    Ok(out)
}

/// Waits until every statement has ended or waits for a lock, and shows what ended.
async fn settle(
    players: &mut BTreeMap<String, Player>,
    who: &str,
    observer: &mut Client,
    out: &mut String,
) -> Result<()> {
    let work = async {
        // First the step itself, then those that it may have set free, by name.
        let mut names: Vec<String> = players.keys().cloned().collect();
        names.sort_by_key(|name| name != who);
        loop {
            let mut ended = false;
            for name in &names {
                let Some(player) = players.get_mut(name) else {
                    continue;
                };
                let Some(mut waiting) = player.waiting.take() else {
                    continue;
                };
                let answer = loop {
                    if let Ok(answer) = waiting.try_recv() {
                        break Some(answer?);
                    }
                    if is_blocked(observer, &player.process_id).await? {
                        // The answer may have come between the two looks.
                        break waiting.try_recv().ok().transpose()?;
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                };
                match answer {
                    Some(text) if name == who => {
                        ended = true;
                        out.push_str(&text);
                    }
                    Some(text) => {
                        ended = true;
                        for line in text.lines() {
                            writeln!(out, "{name}: {line}")?;
                        }
                    }
                    None => player.waiting = Some(waiting),
                }
            }
            if !ended {
                break;
            }
        }
        let player = players.get(who).context("it plays")?;
        if player.waiting.is_some() {
            out.push_str("(waits)\n");
        }
        Ok(())
    };
    match tokio::time::timeout(STEP_WITHIN, work).await {
        Ok(done) => done,
        Err(_) => bail!("{who}: no end within {STEP_WITHIN:?}"),
    }
}

/// Whether the session waits for a lock.
async fn is_blocked(observer: &mut Client, process_id: &str) -> Result<bool> {
    let sql = format!("SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = {process_id}");
    let text = answer(observer, &sql).await?;
    Ok(text.lines().next() != Some("0"))
}

/// Rows, one a line, fields separated by a space; then the tag, or the error.
async fn answer(client: &mut Client, sql: &str) -> Result<String> {
    client.send_query(sql).await?;
    let mut text = String::new();
    loop {
        match client.next().await? {
            Reply::Row(row) => {
                let fields: Vec<String> = row
                    .into_iter()
                    .map(|field| field.unwrap_or_else(|| "NULL".to_owned()))
                    .collect();
                writeln!(text, "{}", fields.join(" "))?;
            }
            Reply::Complete(tag) => writeln!(text, "{tag}")?,
            Reply::Error(error) => writeln!(text, "ERROR {}: {}", error.code, error.message)?,
            Reply::Ready(_) => return Ok(text),
            _ => {}
        }
    }
}

fn first_difference(expected: &str, found: &str) -> String {
    let pair = expected.lines().zip(found.lines()).enumerate();
    for (at, (expected, found)) in pair {
        if expected != found {
            return format!(
                "  line {}\n  expected {expected}\n  found    {found}",
                at + 1
            );
        }
    }
    "  one is longer than the other".to_owned()
}
