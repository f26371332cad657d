//! The command line, and what each command does.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::error::ErrorKind;
use clap::{
    Arg, ArgMatches, Args, Command, CommandFactory as _, FromArgMatches, Parser, Subcommand,
};
use tessera_cli::shell::SqlArguments;
use tessera_cli::user::UserArguments;

use crate::config::{
    self, Config, ConfigError, Kind, Resolved, SETTINGS, Setting, Sources, resolve,
};
use crate::exit::{Exit, complain};
use crate::serve;

/// Read when no file is named; missing is fine.
const DEFAULT_FILE: &str = "tessera.toml";
const FILE_VARIABLE: &str = "TESSERA_CONFIG";

/// A transactional database server that PostgreSQL clients can talk to.
#[derive(Debug, Parser)]
#[command(name = "tessera", version, propagate_version = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Commands,
}

#[derive(Debug, Subcommand)]
enum Commands {
    /// Runs the server.
    Serve(Settings),
    /// Runs SQL, interactively or from files and arguments.
    Sql(SqlArguments),
    /// Manages the users of a running server.
    User(UserArguments),
    /// Explains and prints the configuration.
    #[command(subcommand)]
    Config(ConfigCommands),
    /// Reads a whole data directory and verifies every checksum; no server may be using it.
    Check(CheckArguments),
    /// Prints the version.
    Version,
}

#[derive(Debug, Subcommand)]
enum ConfigCommands {
    /// Checks the configuration; explains each value and where it comes from.
    Check(Settings),
    /// Prints the effective configuration as a tessera.toml.
    Show(Settings),
}

#[derive(Debug, Args)]
struct CheckArguments {
    /// Directory of the data.
    #[arg(long)]
    data_dir: PathBuf,
}

/// One flag per setting, made from the table of settings.
#[derive(Debug, Default)]
struct Settings {
    file: Option<PathBuf>,
    flags: Vec<(&'static str, String)>,
}

impl Args for Settings {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config").long("config").value_name("FILE").help(format!(
            "Configuration file [default: {DEFAULT_FILE}, if there is one] [env: {FILE_VARIABLE}]"
        ));
        // clap keeps names for as long as the program runs.
        static FLAGS: LazyLock<Vec<String>> =
            LazyLock::new(|| SETTINGS.iter().map(Setting::flag).collect());
        SETTINGS
            .iter()
            .zip(&*FLAGS)
            .fold(command.arg(file), |command, (setting, flag)| {
                let mut arg = Arg::new(setting.key).long(flag.as_str()).help(format!(
                    "{} [{}] [default: {}] [env: {}]",
                    setting.help,
                    setting.kind.describe(),
                    if setting.default.is_empty() {
                        "none"
                    } else {
                        setting.default
                    },
                    setting.variable()
                ));
                // As with most tools, the last of several wins.
                arg = arg.overrides_with(setting.key);
                if setting.kind == Kind::Switch {
                    arg = arg
                        .num_args(0..=1)
                        .require_equals(true)
                        .default_missing_value("true");
                }
                command.arg(arg.value_name("VALUE"))
            })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Settings::augment_args(command)
    }
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Settings, clap::Error> {
        let mut settings = Settings::default();
        settings.update_from_arg_matches(matches)?;
        Ok(settings)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.file = matches.get_one::<String>("config").map(PathBuf::from);
        let given = |key: &'static str| Some((key, matches.get_one::<String>(key)?.clone()));
        self.flags = SETTINGS
            .iter()
            .filter_map(|setting| given(setting.key))
            .collect();
        Ok(())
    }
}

/// Runs the program.
pub fn run() -> ExitCode {
    let command = match CommandLine::try_parse() {
        Ok(line) => line.command,
        Err(error) => {
            // Help and version are answers, not errors; clap knows where each is to be printed.
            let _ = error.print();
            let help = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            return if help { Exit::Success } else { Exit::Usage }.code();
        }
    };
    match command {
        Commands::Serve(settings) => match configuration(settings) {
            Ok((resolved, config)) => serve::serve(&config, &resolved.warnings).code(),
            Err(errors) => complain_about(&errors).code(),
        },
        Commands::Sql(arguments) => client(tessera_cli::shell::run(arguments)),
        Commands::User(arguments) => client(tessera_cli::user::run(arguments)),
        Commands::Config(ConfigCommands::Check(settings)) => match configuration(settings) {
            Ok((resolved, _)) => {
                print(&config::explain(&resolved));
                resolved
                    .warnings
                    .iter()
                    .for_each(|warning| eprintln!("warning: {warning}"));
                Exit::Success.code()
            }
            Err(errors) => complain_about(&errors).code(),
        },
        Commands::Config(ConfigCommands::Show(settings)) => match configuration(settings) {
            Ok((resolved, _)) => {
                print(&config::show(&resolved));
                Exit::Success.code()
            }
            Err(errors) => complain_about(&errors).code(),
        },
        Commands::Check(arguments) => check(&arguments.data_dir).code(),
        Commands::Version => {
            print(&CommandLine::command().render_version());
            Exit::Success.code()
        }
    }
}

/// Prints an answer. Who closed the other end of a pipe does not want to know more.
pub(crate) fn print(text: &str) {
    use std::io::Write as _;
    let mut output = std::io::stdout().lock();
    let _ = output.write_all(text.as_bytes());
    let _ = output.flush();
}

fn configuration(settings: Settings) -> Result<(Resolved, Config), Vec<ConfigError>> {
    let named = settings
        .file
        .or_else(|| std::env::var_os(FILE_VARIABLE).map(PathBuf::from));
    let path = named.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    let file = match std::fs::read_to_string(&path) {
        Ok(text) => Some((path, text)),
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            let message = format!("cannot read the configuration file: {error}");
            return Err(vec![ConfigError::new(path.display(), message)]);
        }
    };
    let variables = std::env::vars_os().filter_map(|(name, text)| {
        Some((
            name.into_string().ok()?,
            text.to_string_lossy().into_owned(),
        ))
    });
    let sources = Sources {
        file,
        variables: variables.collect(),
        flags: settings.flags,
    };
    let resolved = resolve(&sources)?;
    let config = Config::from_resolved(&resolved)?;
    Ok((resolved, config))
}

fn complain_about(errors: &[ConfigError]) -> Exit {
    for error in errors {
        eprintln!("tessera: {error}");
    }
    Exit::Usage
}

/// Client commands need no more than one thread.
fn client(work: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => {
            eprintln!("tessera: cannot start: {error}");
            Exit::Failure.code()
        }
    }
}

fn check(data_dir: &Path) -> Exit {
    match tessera_storage::check(data_dir) {
        Ok(report) => {
            print(&format!("{report}\n"));
            if report.is_good() {
                Exit::Success
            } else {
                Exit::Damaged
            }
        }
        Err(error) => {
            let report = error.report();
            complain(Exit::of_opening(&report), &report)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn every_setting_has_a_flag() {
        let mut arguments = vec!["tessera".to_owned(), "serve".to_owned()];
        for setting in SETTINGS {
            arguments.push(format!("--{}=x", setting.flag()));
        }
        let line = CommandLine::try_parse_from(arguments).unwrap();
        let Commands::Serve(settings) = line.command else {
            panic!("not serve")
        };
        assert_eq!(settings.flags.len(), SETTINGS.len());
        let line = CommandLine::try_parse_from(["tessera", "serve", "--allow-plaintext"]).unwrap();
        let Commands::Serve(settings) = line.command else {
            panic!("not serve")
        };
        assert_eq!(settings.flags, [("allow_plaintext", "true".to_owned())]);
    }
}
