//! Files that a server cannot write or does not recognise: a disk that is really full, a flipped
//! byte in each kind of data file. Each gives one clear message and loses nothing.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::harness::{TestServer, folder, output, serve, tessera};

/// A file system of its own in memory, which only this process and its children can see.
struct SmallDisk {
    holder: Child,
    path: PathBuf,
    _mount_point: tempfile::TempDir,
}

impl SmallDisk {
    /// `None`, with a word about it, where the system lets nobody mount anything.
    fn of(bytes: u64) -> Option<SmallDisk> {
        // With a user namespace anybody may mount; without, the administrator.
        let disk =
            SmallDisk::mounted(&["-rm"], bytes).or_else(|| SmallDisk::mounted(&["-m"], bytes));
        if disk.is_none() {
            eprintln!("SKIPPED: no file system can be mounted here");
        }
        disk
    }

    fn mounted(flags: &[&str], bytes: u64) -> Option<SmallDisk> {
        let mount_point = tempfile::tempdir().unwrap();
        let script = "mount -t tmpfs -o mode=700,size=$2 tmpfs \"$1\" && echo mounted && exec cat";
        let mut holder = Command::new("unshare")
            .args(flags)
            .args(["sh", "-c", script, "sh"])
            .arg(mount_point.path())
            .arg(bytes.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut line = String::new();
        let told = BufReader::new(holder.stdout.take()?).read_line(&mut line);
        if told.is_err() || line != "mounted\n" {
            let _ = holder.wait();
            return None;
        }
        // The holder's view of the tree, in which the disk is mounted.
        let inside = mount_point.path().strip_prefix("/").unwrap();
        let path = PathBuf::from(format!("/proc/{}/root", holder.id())).join(inside);
        Some(SmallDisk {
            holder,
            path,
            _mount_point: mount_point,
        })
    }

    /// Takes every byte that is left; gives the file that does it.
    fn fill(&self) -> PathBuf {
        let path = self.path.join("filler");
        let mut file = std::fs::File::create(&path).unwrap();
        let piece = vec![0; 4096];
        let full = loop {
            if let Err(error) = file.write_all(&piece) {
                break error;
            }
        };
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[test]
fn a_full_disk_refuses_writes_goes_on_reading_and_recovers() {
    let Some(disk) = SmallDisk::of(160 << 20) else {
        return;
    };
    let data_dir = disk.path.join("data");
    let server = TestServer::start(&data_dir);
    server.query("CREATE TABLE kept (id bigint PRIMARY KEY, what text)");
    server.query("INSERT INTO kept SELECT n, 'x' FROM generate_series(1, 100) AS g(n)");
    let filler = disk.fill();
    let mut acknowledged = 100;
    let mut insert = |rows: u32| {
        let (code, _, err) = server.sql(&format!(
            "INSERT INTO kept SELECT n, repeat('y', 10000) FROM generate_series({}, {}) AS g(n)",
            acknowledged + 1,
            acknowledged + rows
        ));
        if code == 0 {
            acknowledged += rows;
        }
        (code, err)
    };
    // Space that the log has taken already may still be used.
    let refusal = (0..200).find_map(|_| match insert(100) {
        (0, _) => None,
        (_, err) => Some(err),
    });
    let refusal = refusal.expect("a full disk refuses a write");
    let message = "ERROR:  no space left on the disk of the data directory\nHINT:  Free space";
    assert!(refusal.starts_with(message), "{refusal}");
    assert_eq!(refusal.matches("ERROR").count(), 1, "{refusal}");
    // More than its buffer holds: it needs a run file.
    let (_, refusal) = insert(10_000);
    assert!(refusal.starts_with(message), "{refusal}");
    let more = "INSERT INTO kept SELECT n, repeat('y', 10000) \
                FROM generate_series(1000001, 1000500) AS g(n)";
    assert_eq!(server.sqlstate(more), "53100");
    assert_eq!(server.query("SELECT what FROM kept WHERE id = 7"), "x");
    assert_eq!(server.get("/health/live").0, 200);
    std::fs::remove_file(filler).unwrap();
    assert_eq!(insert(100), (0, String::new()), "there is space again");
    assert_eq!(
        server.query("SELECT count(*), max(id) FROM kept"),
        format!("{acknowledged}|{acknowledged}")
    );
    server.kill();
    let server = TestServer::start(&data_dir);
    assert_eq!(
        server.query("SELECT count(*), max(id) FROM kept"),
        format!("{acknowledged}|{acknowledged}")
    );
    server.stop(&["unfinished write"]);
}

#[test]
fn a_start_on_a_full_disk_says_so_and_works_when_there_is_space() {
    let Some(disk) = SmallDisk::of(160 << 20) else {
        return;
    };
    let data_dir = disk.path.join("data");
    let filler = disk.fill();
    let (code, out, err) = output(&mut serve(&data_dir));
    assert_eq!(code, 14, "{err}");
    assert!(err.contains("no space") && err.contains("hint: "), "{err}");
    assert!(!out.contains("ready") && !out.contains("password"), "{out}");
    std::fs::remove_file(filler).unwrap();
    let server = TestServer::start(&data_dir);
    assert_eq!(server.query("SELECT 1"), "1");
    server.stop(&[]);
}

/// A data file with one byte flipped.
struct Damaged {
    path: PathBuf,
    good: Vec<u8>,
}

impl Damaged {
    fn at(path: PathBuf, place: impl FnOnce(usize) -> usize) -> Damaged {
        let good = std::fs::read(&path).unwrap();
        let mut bytes = good.clone();
        bytes[place(good.len())] ^= 0x10;
        std::fs::write(&path, bytes).unwrap();
        Damaged { path, good }
    }

    fn restore(&self) {
        std::fs::write(&self.path, &self.good).unwrap();
    }
}

/// What `tessera check` says about a damaged directory.
fn check(data_dir: &Path) -> String {
    let (code, out, err) = output(tessera().arg("check").arg("--data-dir").arg(data_dir));
    assert_eq!(code, 13, "{out}{err}");
    let found = out.lines().find(|line| line.starts_with("DAMAGED "));
    found.unwrap_or_else(|| panic!("{out}")).to_owned()
}

fn largest(dir: &Path) -> PathBuf {
    let mut dirs = vec![dir.to_owned()];
    let mut files = Vec::new();
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path
                .parent()
                .is_some_and(|parent| parent.ends_with("tables"))
            {
                files.push((path.metadata().unwrap().len(), path));
            }
        }
    }
    files.into_iter().max().expect("the base has tables").1
}

const ROWS: &str = "INSERT INTO kept SELECT n, 'row ' || n || repeat('x', 50) FROM generate_series(1, 20000) AS g(n)";

#[test]
fn a_flipped_byte_in_the_base_leads_to_safe_mode_when_it_is_met() {
    let (_folder, data_dir) = folder();
    let server = TestServer::start(&data_dir);
    server.query("CREATE TABLE kept (id int PRIMARY KEY, what text)");
    server.query("CREATE TABLE other (id int PRIMARY KEY)");
    server.query(ROWS);
    server.query("INSERT INTO other VALUES (1)");
    server.stop(&[]);
    let damaged = Damaged::at(largest(&data_dir.join("store/base")), |length| length / 2);
    let found = check(&data_dir);
    assert!(found.contains(damaged.path.to_str().unwrap()), "{found}");
    let server = TestServer::start(&data_dir);
    assert_eq!(server.get("/health/ready").0, 200, "nobody has met it yet");
    assert_eq!(server.sqlstate("SELECT count(*) FROM kept"), "XX001");
    let (_, _, err) = server.sql("SELECT count(*) FROM kept");
    assert!(
        err.contains("damaged data in") && err.contains("tessera check"),
        "{err}"
    );
    assert_eq!(
        server.query("SELECT left(what, 5) FROM kept WHERE id = 1"),
        "row 1"
    );
    assert_eq!(server.query("SELECT count(*) FROM other"), "1");
    assert_eq!(server.sqlstate("INSERT INTO other VALUES (2)"), "25006");
    assert_eq!(server.get("/health/ready").0, 503);
    server.stop(&["a read met damage"]);
    damaged.restore();
    is_whole(&data_dir, 20_000);
}

/// A transaction in run files, not yet in the base.
fn with_runs(data_dir: &Path) -> PathBuf {
    let mut command = serve(data_dir);
    let server = TestServer::start_with(command.env("TESSERA_WRITE_BUFFER", "64KB"));
    server.query("CREATE TABLE kept (id int PRIMARY KEY, what text)");
    server.query("INSERT INTO kept VALUES (0, 'first')");
    server.query(ROWS);
    server.kill();
    let runs = std::fs::read_dir(data_dir.join("store/runs")).unwrap();
    let run = runs.map(|entry| entry.unwrap().path()).min();
    run.expect("the transaction has run files")
}

#[test]
fn a_flipped_byte_at_the_end_of_a_run_leads_to_safe_mode() {
    let (_folder, data_dir) = folder();
    let damaged = Damaged::at(with_runs(&data_dir), |length| length - 50);
    let found = check(&data_dir);
    assert!(found.contains(damaged.path.to_str().unwrap()), "{found}");
    let server = TestServer::start(&data_dir);
    assert_eq!(server.get("/health/ready").0, 503);
    assert_eq!(
        server.query("SELECT what FROM kept"),
        "first",
        "what came before"
    );
    let insert = "INSERT INTO kept VALUES (-1, 'x')";
    assert_eq!(server.sqlstate(insert), "25006");
    let log = server.stop(&["safe mode", "SAFE MODE"]);
    assert!(log.contains("SAFE MODE"), "{log}");
    damaged.restore();
    is_whole(&data_dir, 20_001);
}

#[test]
fn a_flipped_byte_in_a_block_of_a_run_is_never_read_as_data() {
    let (_folder, data_dir) = folder();
    let damaged = Damaged::at(with_runs(&data_dir), |length| length / 2);
    let found = check(&data_dir);
    let place = format!("{} at byte ", damaged.path.display());
    assert!(found.contains(&place), "{found}");
    let server = TestServer::start(&data_dir);
    assert_eq!(server.sqlstate("SELECT count(*) FROM kept"), "XX001");
    assert_eq!(server.query("SELECT what FROM kept WHERE id = 0"), "first");
    assert_eq!(server.sqlstate("DELETE FROM kept WHERE id = 0"), "25006");
    // The checkpoint may meet it before the server is ready.
    server.stop(&[
        "a read met damage",
        "SAFE MODE",
        "checkpoint failed",
        "did not close cleanly",
    ]);
    damaged.restore();
    is_whole(&data_dir, 20_001);
}

/// Looking at the damage has changed nothing: with the byte restored, all rows are there.
fn is_whole(data_dir: &Path, rows: u32) {
    let server = TestServer::start(data_dir);
    assert_eq!(server.query("SELECT count(*) FROM kept"), rows.to_string());
    server.stop(&[]);
    let (code, out, _) = output(tessera().arg("check").arg("--data-dir").arg(data_dir));
    assert_eq!(code, 0, "{out}");
}
