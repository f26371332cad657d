//! Each failure of a start: one clear message, its own exit code, nothing lost.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use crate::harness::{TestServer, folder, output, serve, tessera};

/// A data directory with one row in it, cleanly closed.
fn with_one_row(data_dir: &Path) {
    let server = TestServer::start(data_dir);
    server.query("CREATE TABLE kept (id int PRIMARY KEY, what text)");
    server.query("INSERT INTO kept VALUES (1, 'here')");
    server.stop(&[]);
}

fn still_has_its_row(data_dir: &Path) {
    let server = TestServer::start(data_dir);
    assert_eq!(server.query("SELECT what FROM kept"), "here");
    server.stop(&[]);
}

#[test]
fn a_second_server_on_the_same_directory_is_refused() {
    let (_folder, data_dir) = folder();
    let first = TestServer::start(&data_dir);
    let (code, out, err) = output(&mut serve(&data_dir));
    assert_eq!(code, 10, "{err}");
    assert!(
        err.contains("another process is using the data directory"),
        "{err}"
    );
    assert!(err.contains("hint: "), "{err}");
    assert!(!out.contains("ready"), "{out}");
    let (code, _, err) = output(tessera().arg("check").arg("--data-dir").arg(&data_dir));
    assert_eq!(code, 10, "{err}");
    assert_eq!(first.query("SELECT 1"), "1");
    first.stop(&[]);
}

#[test]
fn a_directory_of_a_newer_format_is_refused_and_left_alone() {
    let (_folder, data_dir) = folder();
    with_one_row(&data_dir);
    let version = data_dir.join("VERSION");
    let ours = std::fs::read(&version).unwrap();
    std::fs::write(&version, "99\n").unwrap();
    let (code, _, err) = output(&mut serve(&data_dir));
    assert_eq!(code, 11, "{err}");
    assert!(err.contains("format 99") && err.contains("newer"), "{err}");
    std::fs::write(&version, ours).unwrap();
    still_has_its_row(&data_dir);
}

#[test]
fn a_directory_that_may_not_be_read_is_refused() {
    let (folder, data_dir) = folder();
    with_one_row(&data_dir);
    let permissions = |mode| std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(folder.path(), permissions(0o755)).unwrap();
    std::fs::set_permissions(&data_dir, permissions(0o000)).unwrap();
    let mut command = serve(&data_dir);
    // The administrator may read everything; nobody may not.
    let is_root = std::fs::read_dir(&data_dir).is_ok();
    if is_root {
        let binary = folder.path().join("tessera");
        std::fs::copy(env!("CARGO_BIN_EXE_tessera"), &binary).unwrap();
        command = std::process::Command::new(&binary);
        command.args([
            "serve",
            "--postgres",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
        ]);
        command
            .arg("--data-dir")
            .arg(&data_dir)
            .current_dir(folder.path())
            .uid(65_534)
            .gid(65_534);
    }
    let (code, _, err) = output(&mut command);
    std::fs::set_permissions(&data_dir, permissions(0o700)).unwrap();
    assert_eq!(code, 12, "{err}");
    assert!(
        err.contains("ermission denied") && err.contains("hint: "),
        "{err}"
    );
    still_has_its_row(&data_dir);
}

#[test]
fn a_folder_of_something_else_is_refused() {
    let (_folder, data_dir) = folder();
    std::fs::create_dir(&data_dir).unwrap();
    std::fs::write(data_dir.join("letter.txt"), "dear").unwrap();
    let (code, _, err) = output(&mut serve(&data_dir));
    assert_eq!(code, 16, "{err}");
    assert!(err.contains("is not a data directory"), "{err}");
    assert_eq!(std::fs::read_dir(&data_dir).unwrap().count(), 1);
}

#[test]
fn a_taken_port_is_named() {
    let (_folder, data_dir) = folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--postgres", "--http"] {
        let (code, _, err) = output(serve(&data_dir).args([flag, &address]));
        assert_eq!(code, 15, "{err}");
        assert!(err.contains(&address) && err.contains("in use"), "{err}");
    }
}

#[test]
fn a_flipped_byte_in_the_log_leads_to_safe_mode_not_to_silence() {
    let (_folder, data_dir) = folder();
    let server = TestServer::start(&data_dir);
    server.query("CREATE TABLE kept (id int PRIMARY KEY, what text)");
    server.query("INSERT INTO kept VALUES (1, 'here')");
    server.query("INSERT INTO kept VALUES (2, 'there')");
    server.kill();
    let (code, out, _) = output(tessera().arg("check").arg("--data-dir").arg(&data_dir));
    assert_eq!(code, 0, "{out}");
    let log_dir = data_dir.join("log");
    let segment = std::fs::read_dir(&log_dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let segment = segment
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .min()
        .unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let good = bytes.clone();
    // Inside the first record's payload, far before the end of the log.
    bytes[4096 + 60] ^= 0x10;
    std::fs::write(&segment, &bytes).unwrap();

    let (code, out, err) = output(tessera().arg("check").arg("--data-dir").arg(&data_dir));
    assert_eq!(code, 13, "{out}{err}");
    assert!(out.contains("DAMAGED") && out.contains(".log"), "{out}");

    let mut command = serve(&data_dir);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Safe mode (runs, read-only, says why) or a refusal with its own code: never silence.
    let mut ready = String::new();
    let mut reader = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut reader, &mut ready).unwrap();
    if ready.starts_with("ready: ") {
        let http = ready
            .trim()
            .rsplit_once("http=")
            .unwrap()
            .1
            .parse()
            .unwrap();
        assert_eq!(crate::harness::http_get(http, "/health/ready").0, 503);
        assert_eq!(crate::harness::http_get(http, "/health/live").0, 200);
        let pid = child.id().to_string();
        std::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    if ready.starts_with("ready: ") {
        assert!(err.contains("SAFE MODE"), "{err}");
    } else {
        assert_eq!(output.status.code(), Some(13), "{err}");
    }
    assert!(err.contains("damaged"), "{err}");

    // Nothing was changed: with the byte restored, everything is there.
    std::fs::write(&segment, &good).unwrap();
    let server = TestServer::start(&data_dir);
    assert_eq!(
        server.query("SELECT string_agg(what, ' ' ORDER BY id) FROM kept"),
        "here there"
    );
    server.stop(&["unfinished write"]);
}

#[test]
fn checking_a_wrong_path_makes_no_directory() {
    let (_folder, data_dir) = folder();
    let (code, _, err) = output(tessera().arg("check").arg("--data-dir").arg(&data_dir));
    assert_eq!(code, 16, "{err}");
    assert!(!data_dir.exists());
}
