//! A `tessera` process with its own folder and free ports.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub(crate) const PASSWORD: &str = "correct horse battery staple";
const DEADLINE: Duration = Duration::from_secs(60);

/// The binary, without variables that the caller's shell may have set.
pub(crate) fn tessera() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tessera"));
    for (name, _) in std::env::vars() {
        if name.starts_with("TESSERA_") || name.starts_with("PG") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// `tessera serve` on free ports.
pub(crate) fn serve(data_dir: &Path) -> Command {
    let mut command = tessera();
    command.arg("serve").arg("--data-dir").arg(data_dir);
    command.args(["--postgres", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    command.env("TESSERA_ADMIN_PASSWORD", PASSWORD);
    command.current_dir(
        data_dir
            .parent()
            .expect("the data directory is in a folder"),
    );
    command
}

/// Runs a command that is expected to end by itself.
pub(crate) fn output(command: &mut Command) -> (i32, String, String) {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > DEADLINE {
            child.kill().unwrap();
            let Output { stdout, stderr, .. } = child.wait_with_output().unwrap();
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            panic!("did not end\n{}\n{}", text(&stdout), text(&stderr));
        }
        std::thread::yield_now();
    }
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// A server process; killed when dropped.
pub(crate) struct TestServer {
    child: Child,
    pub(crate) postgres: SocketAddr,
    pub(crate) http: SocketAddr,
    /// If it was asked for.
    pub(crate) redis: Option<SocketAddr>,
    /// Lines of standard output up to and with the ready line.
    pub(crate) head: Vec<String>,
    lines: Receiver<String>,
    log: Option<JoinHandle<String>>,
}

impl TestServer {
    /// Starts the server on a data directory and waits until it is ready.
    pub(crate) fn start(data_dir: &Path) -> TestServer {
        TestServer::start_with(&mut serve(data_dir))
    }

    pub(crate) fn start_with(command: &mut Command) -> TestServer {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut error_output = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut text = String::new();
            error_output
                .read_to_string(&mut text)
                .map(|_| text)
                .unwrap_or_default()
        });
        let (sender, lines) = channel();
        let standard_output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in standard_output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut head = Vec::new();
        loop {
            match lines.recv_timeout(DEADLINE) {
                Ok(line) => head.push(line),
                Err(error) => {
                    let _ = child.kill();
                    panic!("the server is not ready: {error}\n{}", log.join().unwrap());
                }
            }
            let Some(ready) = head.last().and_then(|line| line.strip_prefix("ready: ")) else {
                continue;
            };
            let address = |name: &str| {
                let mut parts = ready.split(' ');
                parts
                    .find_map(|part| part.strip_prefix(name))
                    .map(|text| text.parse::<SocketAddr>().unwrap())
            };
            return TestServer {
                child,
                postgres: address("postgres=").unwrap(),
                http: address("http=").unwrap(),
                redis: address("redis="),
                head,
                lines,
                log: Some(log),
            };
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits for the end; the exit code and the log.
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < DEADLINE, "the server does not end");
            std::thread::yield_now();
        };
        (status.code(), self.log.take().unwrap().join().unwrap())
    }

    /// Asks it to stop; its log, in which nothing but the `expected` warnings may be.
    pub(crate) fn stop(self, expected: &[&str]) -> String {
        self.signal("TERM");
        let (code, log) = self.wait();
        assert_eq!(code, Some(0), "{log}");
        for line in log.lines() {
            let bad = line.contains(" WARN ") || line.contains(" ERROR ");
            let known = expected.iter().any(|expected| line.contains(expected));
            assert!(!bad || known, "unexpected line in the log: {line}");
        }
        log
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(self) -> String {
        self.signal("KILL");
        self.wait().1
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        http_get(self.http, path)
    }

    /// Further lines of standard output.
    pub(crate) fn rest_of_output(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// `tessera sql -c` against this server.
    pub(crate) fn sql(&self, text: &str) -> (i32, String, String) {
        output(self.sql_command().args(["-t", "-A", "-c", text]))
    }

    pub(crate) fn sql_command(&self) -> Command {
        let mut command = tessera();
        command.args([
            "sql",
            "--host",
            "127.0.0.1",
            "--port",
            &self.postgres.port().to_string(),
        ]);
        command.env("PGPASSWORD", PASSWORD);
        command
    }

    /// Runs SQL that must succeed; what it printed, without the last line break.
    pub(crate) fn query(&self, text: &str) -> String {
        let (code, out, err) = self.sql(text);
        assert_eq!(code, 0, "{text}: {err}");
        out.trim_end().to_owned()
    }

    /// The SQLSTATE of SQL that must fail.
    pub(crate) fn sqlstate(&self, text: &str) -> String {
        let mut command = self.sql_command();
        let (_, _, err) = output(command.args(["-c", text, "-c", "\\errverbose"]));
        // Twice on standard error: as it came, and with its code.
        let code = err.lines().rev().find_map(|line| {
            let (code, _) = line.strip_prefix("ERROR:  ")?.split_once(": ")?;
            (code.len() == 5).then(|| code.to_owned())
        });
        code.unwrap_or_else(|| panic!("{text} gives no SQLSTATE: {err}"))
    }

    /// One number of `/metrics`.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let line = text.lines().find(|line| {
            line.strip_prefix(series)
                .is_some_and(|rest| rest.starts_with(' '))
        });
        let line = line.unwrap_or_else(|| panic!("no {series} in {text}"));
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn http_get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// A folder with a place for a data directory in it.
pub(crate) fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    (folder, data_dir)
}
