//! `tessera sql`: runs SQL from a terminal, a file, standard input or the command line.
//!
//! # Map
//! - `runner`: sends a statement, shows what comes back; Ctrl-C cancels.
//! - `command`: backslash commands, decoded and carried out.
//! - `describe`: the `\d` family: questions to the system catalog.
//! - `copy`: `\copy`, decoded.
//! - `editor`: the line editor: history, highlighting, completion.
//! - `report`: errors as text, with the position marked.
//!
//! # Invariants
//! 1. Exit codes are psql's: 0 fine, 1 an own or a `-c` error, 2 connection lost, 3 a script's
//!    error with stop-on-error.

mod command;
mod copy;
mod describe;
mod editor;
mod report;
mod runner;

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgAction, Args};

use crate::client::{Client, ClientError};
use crate::connection::{ConnectionArguments, Target};
use crate::scan::{Open, Piece, next_piece};
use crate::table::{Format, Layout};
use command::After;
use runner::Runner;

/// Deepest nesting of `\i`.
const INCLUDE_DEPTH_MAX: usize = 32;

const EXIT_OWN_ERROR: u8 = 1;
const EXIT_CONNECTION_LOST: u8 = 2;
const EXIT_SCRIPT_ERROR: u8 = 3;

/// Flags of `tessera sql`.
#[derive(Args, Debug, Default)]
#[command(disable_help_flag = true)]
pub struct SqlArguments {
    /// Where to connect, as whom.
    #[command(flatten)]
    pub connection: ConnectionArguments,
    /// Server address, as --host.
    #[arg(short = 'h', value_name = "HOST")]
    pub host_short: Option<String>,
    /// Runs one command and ends; may be given several times.
    #[arg(short = 'c', long = "command", value_name = "SQL")]
    pub commands: Vec<String>,
    /// Runs a file and ends; - is standard input.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The shape of results.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Comma-separated values, as --format csv.
    #[arg(long)]
    pub csv: bool,
    /// Fields with | between them, as --format unaligned.
    #[arg(short = 'A', long)]
    pub no_align: bool,
    /// One line per column.
    #[arg(short = 'x', long)]
    pub expanded: bool,
    /// Only data: no header, no row count.
    #[arg(short = 't', long)]
    pub tuples_only: bool,
    /// Shows results only, no command tags.
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Ends a script at its first error, with exit code 3.
    #[arg(long)]
    pub stop_on_error: bool,
    /// A psql variable; ON_ERROR_STOP is the one that is known.
    #[arg(short = 'v', long = "set", value_name = "NAME=VALUE")]
    pub variables: Vec<String>,
    /// Prints help.
    #[arg(long, action = ArgAction::Help)]
    pub help: Option<bool>,
}

/// Runs the command to its end; messages are printed already.
pub async fn run(arguments: SqlArguments) -> ExitCode {
    let mut connection = arguments.connection.clone();
    connection.host = arguments.host_short.clone().or(connection.host);
    let target = match connection.target() {
        Ok(target) => target,
        Err(error) => return fail(&error, EXIT_OWN_ERROR),
    };
    let mut stop_on_error = arguments.stop_on_error;
    for variable in &arguments.variables {
        match variable.split_once('=').unwrap_or((variable, "on")) {
            ("ON_ERROR_STOP", value) => stop_on_error = command::is_on(value),
            (name, _) => {
                eprintln!("tessera sql: unknown variable {name}");
                return EXIT_OWN_ERROR.into();
            }
        }
    }
    let client = match connect(target).await {
        Ok(client) => client,
        Err(error) => return fail(&error, EXIT_CONNECTION_LOST),
    };
    let layout = Layout {
        format: match (arguments.csv, arguments.no_align) {
            (true, _) => Format::Csv,
            (_, true) => Format::Unaligned,
            _ => arguments.format,
        },
        expanded: arguments.expanded,
        tuples_only: arguments.tuples_only,
        null: String::new(),
    };
    let given = !arguments.commands.is_empty() || !arguments.files.is_empty();
    let interactive = !given && std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let mut shell = Shell {
        runner: Runner::new(client, layout, arguments.quiet),
        stop_on_error,
        include_depth: 0,
        buffer: String::new(),
    };
    let outcome = if given {
        shell.run_given(&arguments).await
    } else if interactive {
        shell.run_interactive().await
    } else {
        shell.run_script(&mut Script::standard_input()).await
    };
    let code = match outcome {
        Ok(code) => code,
        Err(ShellError::Client(error)) => {
            eprintln!("{}", report::connection(&error));
            EXIT_CONNECTION_LOST
        }
        // The reader went away, as in `tessera sql … | head`.
        Err(ShellError::Output(_)) => return ExitCode::SUCCESS,
        Err(ShellError::Input(message)) => {
            eprintln!("tessera sql: {message}");
            EXIT_OWN_ERROR
        }
    };
    let flushed = shell.runner.flush();
    shell.runner.close().await;
    if flushed.is_err() {
        ExitCode::SUCCESS
    } else {
        code.into()
    }
}

/// Connects, asking for the password where one is needed and a person is there to answer.
///
/// # Errors
/// As [`Client::connect`].
pub async fn connect(mut target: Target) -> Result<Client, ClientError> {
    match Client::connect(&target, "tessera sql").await {
        Err(ClientError::PasswordNeeded) if std::io::stdin().is_terminal() => {
            let question = format!("Password for user {}: ", target.user);
            let answer = rpassword::prompt_password(question);
            target.password = answer.ok();
            Client::connect(&target, "tessera sql").await
        }
        other => other,
    }
}

/// What ends the shell before its input does.
#[derive(Debug, thiserror::Error)]
enum ShellError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("cannot write the result")]
    Output(#[from] std::io::Error),
    #[error("{0}")]
    Input(String),
}

/// Text that is read line by line; COPY takes its data from there too.
struct Script {
    name: Option<String>,
    lines: Box<dyn BufRead>,
    line: usize,
    /// The data of a COPY was read to its end, and that was not reported yet.
    copy_ended: bool,
}

impl Script {
    fn standard_input() -> Script {
        Script {
            name: None,
            lines: Box::new(BufReader::new(std::io::stdin())),
            line: 0,
            copy_ended: false,
        }
    }

    fn open(path: &Path) -> Result<Script, ShellError> {
        if path == Path::new("-") {
            return Ok(Script::standard_input());
        }
        let fault = |error| ShellError::Input(format!("{}: {error}", path.display()));
        let file = std::fs::File::open(path).map_err(fault)?;
        let name = Some(path.display().to_string());
        Ok(Script {
            name,
            lines: Box::new(BufReader::new(file)),
            line: 0,
            copy_ended: false,
        })
    }

    /// The next line without its end; `None` at the end of the text.
    fn next(&mut self) -> Result<Option<String>, ShellError> {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line);
        let name = self.name.as_deref().unwrap_or("standard input");
        if read.map_err(|error| ShellError::Input(format!("{name}: {error}")))? == 0 {
            return Ok(None);
        }
        self.line += 1;
        if line.ends_with('\n') {
            line.pop();
            if line.ends_with('\r') {
                line.pop();
            }
        }
        Ok(Some(line))
    }
}

/// How a run of input went on.
enum Step {
    /// Every statement so far was fine.
    Fine,
    /// One failed.
    Failed,
    /// The user wants to leave.
    Quit,
}

struct Shell {
    runner: Runner,
    stop_on_error: bool,
    include_depth: usize,
    /// The statement that is being typed.
    buffer: String,
}

impl Shell {
    async fn run_given(&mut self, arguments: &SqlArguments) -> Result<u8, ShellError> {
        let mut code = 0;
        for sql in &arguments.commands {
            let step = if sql.trim_start().starts_with('\\') {
                self.run_command(sql.trim(), None).await?
            } else if self.runner.run(sql, &mut runner::standard_input()).await? {
                Step::Fine
            } else {
                Step::Failed
            };
            code = if matches!(step, Step::Failed) {
                EXIT_OWN_ERROR
            } else {
                0
            };
            if code != 0 && self.stop_on_error {
                return Ok(code);
            }
        }
        for path in &arguments.files {
            code = self.run_script(&mut Script::open(path)?).await?;
            if code != 0 {
                return Ok(code);
            }
        }
        Ok(code)
    }

    async fn run_script(&mut self, script: &mut Script) -> Result<u8, ShellError> {
        while let Some(line) = script.next()? {
            self.runner.place = script.name.clone().map(|name| (name, script.line));
            match self.feed(&line, Some(script)).await? {
                Step::Fine => {}
                Step::Failed if self.stop_on_error => return Ok(EXIT_SCRIPT_ERROR),
                Step::Failed => {}
                Step::Quit => return Ok(0),
            }
        }
        let rest = std::mem::take(&mut self.buffer);
        if matches!(next_piece(&rest), Piece::Incomplete(open) if open != Open::Nothing)
            && !self.runner.run(&rest, &mut runner::no_input()).await?
            && self.stop_on_error
        {
            return Ok(EXIT_SCRIPT_ERROR);
        }
        Ok(0)
    }

    async fn run_interactive(&mut self) -> Result<u8, ShellError> {
        let mut editor = editor::Editor::new().map_err(ShellError::Input)?;
        self.runner.greet()?;
        self.runner.interactive = true;
        editor.learn(&self.runner.catalog_names().await?);
        loop {
            self.runner.flush()?;
            let input = match editor
                .read(&self.runner.prompt())
                .map_err(ShellError::Input)?
            {
                editor::Input::Text(text) => text,
                editor::Input::Interrupted => {
                    self.buffer.clear();
                    continue;
                }
                editor::Input::End => return Ok(0),
            };
            match self.feed(&input, None).await {
                Ok(Step::Quit) => return Ok(0),
                Ok(Step::Fine | Step::Failed) => {}
                Err(ShellError::Client(error)) => {
                    eprintln!("{}", report::connection(&error));
                    eprintln!("trying to connect again");
                    self.runner.reconnect().await?;
                    eprintln!("connected again; an open transaction is lost");
                }
                Err(other) => return Err(other),
            }
            if self.runner.take_catalog_changed() {
                editor.learn(&self.runner.catalog_names().await?);
            }
        }
    }

    /// Takes a line (or, from the editor, a whole text) and runs what is complete.
    async fn feed(
        &mut self,
        line: &str,
        mut script: Option<&mut Script>,
    ) -> Result<Step, ShellError> {
        self.buffer.push_str(line);
        self.buffer.push('\n');
        let mut step = Step::Fine;
        loop {
            let next = match next_piece(&self.buffer) {
                Piece::Incomplete(Open::Nothing) => {
                    self.buffer.clear();
                    return Ok(step);
                }
                Piece::Incomplete(_) => return Ok(step),
                Piece::Statement { end, next } => {
                    let sql = self.buffer[..end].trim_start().to_owned();
                    self.buffer.drain(..next);
                    self.run_statement(&sql, script.as_deref_mut()).await?
                }
                Piece::Command { start, end } => {
                    let command = self.buffer[start..end].trim().to_owned();
                    let rest = self.buffer.split_off(end.min(self.buffer.len()));
                    self.buffer.truncate(start);
                    let next = self.run_command(&command, script.as_deref_mut()).await?;
                    self.buffer.push_str(&rest);
                    next
                }
            };
            match next {
                Step::Fine => {}
                Step::Failed if self.stop_on_error => return Ok(Step::Failed),
                Step::Failed => step = Step::Failed,
                Step::Quit => return Ok(Step::Quit),
            }
        }
    }

    async fn run_statement(
        &mut self,
        sql: &str,
        script: Option<&mut Script>,
    ) -> Result<Step, ShellError> {
        if sql.is_empty() {
            return Ok(Step::Fine);
        }
        let fine = match script {
            Some(script) => self.runner.run(sql, script).await?,
            None => self.runner.run(sql, &mut Script::standard_input()).await?,
        };
        Ok(if fine { Step::Fine } else { Step::Failed })
    }

    async fn run_command(
        &mut self,
        text: &str,
        script: Option<&mut Script>,
    ) -> Result<Step, ShellError> {
        let after = command::run(&mut self.runner, text, &mut self.buffer).await?;
        Ok(match after {
            After::Fine => Step::Fine,
            After::Failed => Step::Failed,
            After::Quit => Step::Quit,
            After::Run { sql, expanded } => {
                let before = self.runner.layout.expanded;
                self.runner.layout.expanded |= expanded;
                let step = self.run_statement(sql.trim(), script).await;
                self.runner.layout.expanded = before;
                step?
            }
            After::Include(path) => self.include(&path).await?,
            After::StopOnError(on) => {
                self.stop_on_error = on;
                Step::Fine
            }
        })
    }

    async fn include(&mut self, path: &Path) -> Result<Step, ShellError> {
        if self.include_depth == INCLUDE_DEPTH_MAX {
            eprintln!("\\i: nested more than {INCLUDE_DEPTH_MAX} deep");
            return Ok(Step::Failed);
        }
        let mut script = match Script::open(path) {
            Ok(script) => script,
            Err(error) => {
                eprintln!("{error}");
                return Ok(Step::Failed);
            }
        };
        let (buffer, place) = (std::mem::take(&mut self.buffer), self.runner.place.take());
        self.include_depth += 1;
        let code = Box::pin(self.run_script(&mut script)).await;
        self.include_depth -= 1;
        (self.buffer, self.runner.place) = (buffer, place);
        Ok(if code? == 0 { Step::Fine } else { Step::Failed })
    }
}

fn fail(error: &dyn std::error::Error, code: u8) -> ExitCode {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    // Standard error may be closed; the exit code says it too.
    let _ = writeln!(std::io::stderr(), "tessera sql: {text}");
    code.into()
}
