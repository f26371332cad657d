//! `schemathesis` (PyPI) against the OpenAPI description: requests made from the schemas, valid and
//! not, must meet no server error, and answers that the description knows.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::clients::with_server;
use crate::http::{Api, Request};
use crate::movies::make_collection;
use crate::project::{Project, run_watched};
use crate::server::Server;
use crate::steps::{Count, Failed, Outcome};
use crate::tools::{self, Tool};

/// Seconds of the whole run.
const SECONDS: &str = "120";
/// Requests of one operation in one round; rounds go on until the time is over.
const EXAMPLES: &str = "30";
/// What every answer must hold to.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance";
/// Names the seed of a run.
const SEED: &str = "TESSERA_SCHEMATHESIS_SEED";
/// The same requests every time, so that a check does not fail by luck.
const SEED_DEFAULT: &str = "259972";

/// The step of `cargo xtask test`.
pub(crate) fn check(project: &Project) -> Result<Outcome> {
    let program = match tools::schemathesis(project)? {
        Tool::Ready(program) => program,
        Tool::Missing(how) => return Ok(Outcome::Skipped(how)),
    };
    let seed = std::env::var(SEED).unwrap_or_else(|_| SEED_DEFAULT.to_owned());
    println!("{SEED}={seed}; another number tries other requests");
    with_server(project, "schemathesis", |server| {
        let api = Api {
            address: server.http(),
            password: server.password().to_owned(),
        };
        prepare(&api)?;
        let mut command = Command::new(program);
        command.current_dir(server.home());
        command
            .arg("--config-file")
            .arg(project.root().join("tests/clients/schemathesis.toml"))
            .arg("run")
            .arg(format!("http://{}/api/v1/openapi.json", server.http()))
            .args(["--checks", CHECKS, "--phases", "coverage,fuzzing,stateful"])
            .args(["--seed", &seed, "--max-time", SECONDS])
            .args(["--max-examples", EXAMPLES, "--continue-on-failure"])
            .args(["--warnings", "off", "--no-color"])
            // Not as an argument, which every user of the machine could read.
            .env("TESSERA_AUTHORIZATION", api.authorization());
        let mut summary = None;
        let outcome = run_watched(&mut command, |line| {
            if let Some(found) = cases(line) {
                summary = Some(found);
            }
        });
        let (generated, failed) = summary.context("schemathesis told no number of cases")?;
        let count = Count {
            passed: generated.saturating_sub(failed),
            failed,
            skipped: 0,
        };
        println!("{generated} requests, {failed} with failures");
        match outcome {
            Ok(()) => alive(server, &api).map(|()| Outcome::Done(count)),
            Err(error) => Err(Failed::new(count, format!("{error:#}")).into()),
        }
    })
}

/// Something to find: random names would meet only 404.
fn prepare(api: &Api) -> Result<()> {
    let indexes = json!([
        {"name": "by_a", "fields": [{"path": "a"}]},
        {"name": "by_tags", "fields": [{"path": "tags"}]},
    ]);
    let documents: Vec<_> = (0..20)
        .map(|number| json!({"_id": format!("d{number}"), "a": number, "tags": ["x", number], "b": {"c": null}}))
        .filter_map(|document| match document {
            Value::Object(document) => Some(document),
            _ => None,
        })
        .collect();
    make_collection(api, "fuzz", Some(indexes), &documents, None)?;
    for (key, kind, value) in [
        ("text", "string", json!("a")),
        ("hash", "hash", json!({"a": "1"})),
        ("list", "list", json!(["a", "b"])),
        ("set", "set", json!(["a", "b"])),
        ("zset", "zset", json!([{"member": "a", "score": 1}])),
        (
            "stream",
            "stream",
            json!([{"id": "1-1", "fields": [["a", "b"]]}]),
        ),
    ] {
        let body = json!({"type": kind, "value": value}).to_string();
        let path = format!("/keys/fuzz/{key}");
        let request = Request {
            content_type: "application/vnd.tessera.value+json",
            body: body.as_bytes(),
            ..Request::new("PUT", &path)
        };
        api.send(&request)?.json()?;
    }
    Ok(())
}

/// The server still answers, and logged no panic.
fn alive(server: &Server, api: &Api) -> Result<()> {
    api.call("POST", "/sql", &json!({"statement": "SELECT 1"}))?;
    let log = std::fs::read_to_string(server.home().join("server.log"))?;
    let panic = log.lines().find(|line| line.contains("panic"));
    match panic {
        Some(line) => Err(anyhow::anyhow!("the server's log has {line}")),
        None => Ok(()),
    }
}

/// Generated and failed cases, of `2083 generated, 1 found 1 unique failure` or
/// `2083 generated, 2083 passed`.
fn cases(line: &str) -> Option<(u64, u64)> {
    let (generated, rest) = line.trim().split_once(" generated, ")?;
    let generated = generated.parse().ok()?;
    let failed = match rest.split_once(" found ") {
        Some((failed, _)) => failed.parse().ok()?,
        None => 0,
    };
    Some((generated, failed))
}

#[cfg(test)]
mod tests {
    use super::cases;

    #[test]
    fn the_summary_is_read() {
        for (line, expected) in [
            (
                "  2083 generated, 1 found 1 unique failure",
                Some((2083, 1)),
            ),
            ("  2083 generated, 2000 passed, 83 skipped", Some((2083, 0))),
            ("Test cases:", None),
        ] {
            assert_eq!(cases(line), expected, "{line}");
        }
    }
}
