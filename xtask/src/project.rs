//! Where the project's things are, and how its child processes are started.

use anyhow::{Context, Result, bail};
use std::cell::Cell;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

/// The checkout and its build directory.
pub(crate) struct Project {
    root: PathBuf,
    target: PathBuf,
    /// The workspace's own build is up to date: see `share_one_build`.
    shared: Cell<bool>,
}

/// How the binary under test is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    Dev,
    BenchFast,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Profile::Dev => "dev",
            Profile::BenchFast => "bench-fast",
        }
    }

    fn directory(self) -> &'static str {
        match self {
            Profile::Dev => "debug",
            Profile::BenchFast => "bench-fast",
        }
    }
}

impl Project {
    /// Finds the checkout that this tool was built from.
    pub(crate) fn open() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask lies in a folder of the checkout")?
            .to_path_buf();
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(target) if !target.is_empty() => root.join(target),
            _ => {
                let home = std::env::var_os("HOME").context("HOME is not set")?;
                Path::new(&home).join(".cache/tessera/target")
            }
        };
        Ok(Self {
            root,
            target,
            shared: Cell::new(false),
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The build directory; tools and demo data live below it too.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// A `cargo` command in the checkout, with the shared target directory.
    pub(crate) fn cargo(&self) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = self.command(cargo);
        command.env("CARGO_TARGET_DIR", &self.target);
        command
    }

    /// Any command, started in the root of the checkout.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command
    }

    /// Arguments that select what every check builds: the whole workspace with fail points.
    ///
    /// One selection means one set of dependency features, so dependencies are compiled once.
    pub(crate) const WORKSPACE: [&str; 3] =
        ["--workspace", "--features", "tessera-server/failpoints"];

    /// From here on `build` takes binaries of the dev profile from the workspace's build.
    pub(crate) fn share_one_build(&self) -> Result<()> {
        if self.shared.get() {
            return Ok(());
        }
        let mut cargo = self.cargo();
        cargo.args(["build", "--quiet", "--all-targets"]);
        cargo.args(Self::WORKSPACE);
        run(&mut cargo).context("building the workspace")?;
        self.shared.set(true);
        Ok(())
    }

    /// What is measured, in one selection for the same reason.
    const MEASURED: [&str; 8] = [
        "--package",
        "tessera-server",
        "--package",
        "tessera-bench",
        "--package",
        "tessera-locks",
        "--bins",
        "--examples",
    ];

    /// Builds what a binary of ours needs, and returns its path.
    pub(crate) fn build(&self, binary: &str, profile: Profile) -> Result<PathBuf> {
        match profile {
            Profile::Dev => self.share_one_build()?,
            Profile::BenchFast => {
                let mut cargo = self.cargo();
                cargo.args(["build", "--quiet", "--profile", profile.name()]);
                cargo.args(Self::MEASURED);
                run(&mut cargo).context("building what is measured")?;
            }
        }
        Ok(self.target.join(profile.directory()).join(binary))
    }

    /// The server alone, for who wants nothing else; the workspace's if that is built already.
    pub(crate) fn build_server(&self) -> Result<PathBuf> {
        if !self.shared.get() {
            let mut cargo = self.cargo();
            cargo.args(["build", "--quiet", "--package", "tessera-server"]);
            run(&mut cargo).context("building the server")?;
        }
        Ok(self.target.join(Profile::Dev.directory()).join("tessera"))
    }

    /// Builds the server with fail points, beside the ordinary one.
    pub(crate) fn build_with_fail_points(&self, home: &Path) -> Result<PathBuf> {
        self.share_one_build()?;
        let built = self.target.join(Profile::Dev.directory()).join("tessera");
        // The next build of the server alone takes the name back.
        let kept = home.join("tessera");
        fs::copy(built, &kept)?;
        Ok(kept)
    }
}

/// Runs a command to its end with inherited output; a bad exit code is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", describe(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", describe(command));
    }
    Ok(())
}

/// Runs a command and returns what it printed; the error holds what it printed on stderr.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {}", describe(command)))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!(
            "{} failed ({})\n{text}{complaint}",
            describe(command),
            output.status
        );
    }
    Ok(text)
}

/// Runs a command, shows every line as it comes, and hands each to `line`.
pub(crate) fn run_watched(command: &mut Command, mut line: impl FnMut(&str)) -> Result<()> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {}", describe(command)))?;
    let (sender, receiver) = mpsc::channel();
    let streams: [Option<Box<dyn std::io::Read + Send>>; 2] = [
        child.stdout.take().map(|stream| Box::new(stream) as _),
        child.stderr.take().map(|stream| Box::new(stream) as _),
    ];
    for stream in streams.into_iter().flatten() {
        let sender = sender.clone();
        thread::spawn(move || {
            for text in BufReader::new(stream).lines().map_while(Result::ok) {
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
    }
    drop(sender);
    for text in receiver {
        println!("{text}");
        line(&text);
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{} failed ({status})", describe(command));
    }
    Ok(())
}

/// The command as a person would type it; without its environment, which may hold a password.
pub(crate) fn describe(command: &Command) -> String {
    let mut text = Path::new(command.get_program())
        .file_name()
        .unwrap_or_else(|| command.get_program())
        .to_string_lossy()
        .into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

/// Whether a program is on the search path.
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}
