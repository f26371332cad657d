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
    for flag in ["--postgres", "--http", "--redis"] {
        let (code, _, err) = output(serve(&data_dir).args([flag, &address]));
        assert_eq!(code, 15, "{err}");
        assert!(err.contains(&address) && err.contains("in use"), "{err}");
    }
}

/// Makes a table with two rows, kills the server, and damages its log where `place` says.
/// Returns the segment's path and its good bytes.
fn damage(data_dir: &Path, place: impl FnOnce(&[u8]) -> usize) -> (std::path::PathBuf, Vec<u8>) {
    let server = TestServer::start(data_dir);
    server.query("CREATE TABLE kept (id int PRIMARY KEY, what text)");
    server.query("INSERT INTO kept VALUES (1, 'first row')");
    server.query("INSERT INTO kept VALUES (2, 'second row')");
    server.kill();
    let (code, out, _) = output(tessera().arg("check").arg("--data-dir").arg(data_dir));
    assert_eq!(code, 0, "{out}");
    let files = std::fs::read_dir(data_dir.join("log")).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let segment = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .min()
        .unwrap();
    let good = std::fs::read(&segment).unwrap();
    let mut bytes = good.clone();
    bytes[place(&good)] ^= 0x10;
    std::fs::write(&segment, &bytes).unwrap();
    let (code, out, err) = output(tessera().arg("check").arg("--data-dir").arg(data_dir));
    assert_eq!(code, 13, "{out}{err}");
    assert!(out.contains("DAMAGED") && out.contains(".log"), "{out}");
    (segment, good)
}

/// Nothing was changed by looking at the damage: with the byte restored, everything is there.
fn restored_is_whole(data_dir: &Path, segment: &Path, good: &[u8]) {
    std::fs::write(segment, good).unwrap();
    let server = TestServer::start(data_dir);
    let rows = server.query("SELECT string_agg(what, ', ' ORDER BY id) FROM kept");
    assert_eq!(rows, "first row, second row");
    server.stop(&["unfinished write"]);
}

#[test]
fn a_flipped_byte_under_a_row_leads_to_safe_mode() {
    let (_folder, data_dir) = folder();
    let (segment, good) = damage(&data_dir, |bytes| {
        bytes
            .windows(9)
            .position(|window| window == b"first row")
            .unwrap()
    });
    let server = TestServer::start(&data_dir);
    assert_eq!(server.get("/health/ready").0, 503);
    assert_eq!(server.get("/health/live").0, 200);
    assert_eq!(
        server.query("SELECT count(*) FROM kept"),
        "0",
        "what came before the damage"
    );
    let (code, _, err) = server.sql("INSERT INTO kept VALUES (3, 'x')");
    assert!(code != 0 && err.contains("read-only"), "{err}");
    let log = server.stop(&["safe mode", "SAFE MODE"]);
    assert!(
        log.contains("SAFE MODE") && log.contains("damaged"),
        "{log}"
    );
    restored_is_whole(&data_dir, &segment, &good);
}

#[test]
fn a_flipped_byte_under_the_catalog_is_refused_with_its_own_code() {
    let (_folder, data_dir) = folder();
    // Inside the payload of the very first record.
    let (segment, good) = damage(&data_dir, |_| 4096 + 60);
    let (code, out, err) = output(&mut serve(&data_dir));
    assert_eq!(code, 13, "{err}");
    assert!(
        err.contains("damaged data in") && err.contains("tessera check"),
        "{err}"
    );
    assert!(!out.contains("ready"), "{out}");
    restored_is_whole(&data_dir, &segment, &good);
}

#[test]
fn checking_a_wrong_path_makes_no_directory() {
    let (_folder, data_dir) = folder();
    let (code, _, err) = output(tessera().arg("check").arg("--data-dir").arg(&data_dir));
    assert_eq!(code, 16, "{err}");
    assert!(!data_dir.exists());
}
