//! `tessera config`, and what `serve` refuses.

use crate::harness::{folder, output, serve, tessera};

#[test]
fn check_explains_each_value_and_its_origin() {
    let (folder, _) = folder();
    std::fs::write(
        folder.path().join("tessera.toml"),
        "log_level = \"warn\"\nhttp = \"127.0.0.1:1\"\n",
    )
    .unwrap();
    let mut command = tessera();
    command
        .current_dir(folder.path())
        .env("TESSERA_HTTP", "127.0.0.1:2");
    let (code, out, err) = output(command.args(["config", "check", "--auth", "trust"]));
    assert_eq!((code, err.as_str()), (0, ""));
    let line = |key: &str| {
        out.lines()
            .find(|line| line.starts_with(key))
            .unwrap()
            .to_owned()
    };
    assert!(line("log_level = \"warn\"").ends_with("tessera.toml:1"));
    assert!(line("http = \"127.0.0.1:2\"").ends_with("environment variable TESSERA_HTTP"));
    assert!(line("auth = \"trust\"").ends_with("flag --auth"));
    assert!(line("connections_max = 100").ends_with("default"));
    assert!(out.contains("PostgreSQL sessions at one time."));
}

#[test]
fn show_prints_a_file_that_gives_the_same_configuration() {
    let (folder, _) = folder();
    let (_, shown, _) = output(tessera().args(["config", "show", "--drain-timeout", "3s"]));
    assert!(shown.contains("\ndrain_timeout = \"3s\""), "{shown}");
    let file = folder.path().join("other.toml");
    std::fs::write(&file, &shown).unwrap();
    let (code, again, _) = output(tessera().args(["config", "show", "--config"]).arg(&file));
    assert_eq!((code, again), (0, shown));
}

#[test]
fn a_wrong_configuration_is_refused_with_place_and_hint() {
    let (folder, data_dir) = folder();
    let file = folder.path().join("tessera.toml");
    std::fs::write(&file, "\nlisten = \"x\"\nhtpp = \"127.0.0.1:0\"\n").unwrap();
    let (code, _, err) = output(&mut serve(&data_dir));
    assert_eq!(code, 2);
    assert!(
        err.contains("tessera.toml:3: unknown setting \"htpp\"\n  hint: did you mean \"http\"?"),
        "{err}"
    );
    assert!(
        err.contains("tessera.toml:2: unknown setting \"listen\""),
        "{err}"
    );
    std::fs::remove_file(&file).unwrap();
    for (arguments, expected) in [
        (
            &["--postgres", "0.0.0.0:0", "--auth", "trust"][..],
            "auth = \"trust\" is refused: 0.0.0.0:0 can be reached by others",
        ),
        (
            &["--postgres", "0.0.0.0:0"],
            "0.0.0.0:0 can be reached by others, and TLS is off",
        ),
        (
            &["--config", "missing.toml"],
            "missing.toml: cannot read the configuration file",
        ),
        (&["--log-level", "tessera=loud"], "invalid log filter"),
        (
            &["--tls-cert", "a.pem", "--tls-key", "b.pem"],
            "cannot use the certificate a.pem",
        ),
        (&["--colour"], "unexpected argument '--colour'"),
    ] {
        let (code, _, err) = output(serve(&data_dir).args(arguments));
        assert_eq!(code, 2, "{arguments:?}: {err}");
        assert!(err.contains(expected), "{arguments:?}: {err}");
    }
    assert!(!data_dir.exists(), "a refused start leaves nothing behind");
}

#[test]
fn version_and_help_are_answers() {
    for arguments in [
        &["version"][..],
        &["--version"],
        &["--help"],
        &["serve", "--help"],
    ] {
        let (code, out, err) = output(tessera().args(arguments));
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
        assert!(
            out.contains("tessera") || out.contains("Runs the server"),
            "{out}"
        );
    }
    assert_eq!(output(&mut tessera()).0, 2);
}
