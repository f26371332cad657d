//! Documents and keys of the demo: films of `movies.json` in the collection `movies`, American
//! airports of `airports.csv` in the key space `airports`. Both are of the npm package
//! `vega-datasets`.
//!
//! # Map
//! - `queries`: what the demo's check asks the films, and what the file says to it.
//!
//! # Invariants
//! 1. Documents and keys come in one transaction over HTTP: all of them are there or none.
//! 2. The ids of documents are their places in the file, so two collections can be compared.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use crate::flights::parse_csv;
use crate::http::{Api, Request};
use crate::project::{Project, installed, output};

pub(crate) mod queries;

/// What the issue and the guide promise.
pub(crate) const MOVIES: usize = 3_201;
const AIRPORTS: usize = 3_376;

/// The one version whose numbers are checked.
const PACKAGE: &str = "vega-datasets@3.2.1";
const FILES: [&str; 2] = ["movies.json", "airports.csv"];

/// Operations of one batch of keys.
const BATCH: usize = 1_000;

/// Films that are named like a city with an airport, and the flights from New York there.
pub(crate) const JOIN: &str = "\
SELECT m.doc->>'Title' AS film, a.key AS airport, count(f.flight) AS flights
FROM movies m
JOIN kv.airports a ON a.value::jsonb->>'city' = m.doc->>'Title'
JOIN flights f ON f.dest = a.key
GROUP BY film, airport
ORDER BY flights DESC, airport";

/// The same without flights, where those could not be had.
pub(crate) const SHORT_JOIN: &str = "\
SELECT m.doc->>'Title' AS film, a.key AS airport, a.value::jsonb->>'state' AS state
FROM movies m
JOIN kv.airports a ON a.value::jsonb->>'city' = m.doc->>'Title'
ORDER BY film, airport
LIMIT 5";

/// The folder with both files; fetched from npm at first use.
pub(crate) fn prepare(project: &Project) -> Result<PathBuf> {
    let folder = project.target().join("data/vega-datasets");
    let is_there = || FILES.iter().all(|file| folder.join(file).is_file());
    if is_there() {
        return Ok(folder);
    }
    let npm = installed("npm").context("npm is not installed: apt-get install nodejs npm")?;
    let download = project.target().join("data/download");
    fs::create_dir_all(&folder)?;
    fs::create_dir_all(&download)?;
    let mut fetch = Command::new(npm);
    fetch.current_dir(&download);
    fetch.args(["pack", PACKAGE, "--silent", "--pack-destination", "."]);
    let printed = output(&mut fetch)?;
    let archive = printed.lines().last().unwrap_or_default().trim().to_owned();
    let mut unpack = Command::new("tar");
    unpack.arg("-xzf").arg(download.join(&archive));
    unpack.args(["--strip-components=2", "-C"]).arg(&folder);
    unpack.args(FILES.map(|file| format!("package/data/{file}")));
    output(&mut unpack)?;
    fs::remove_file(download.join(archive))?;
    if !is_there() {
        bail!("the package holds no movies.json or airports.csv");
    }
    Ok(folder)
}

/// The films with their ids: as in the file, and with both ratings as an array besides.
pub(crate) fn movies(folder: &Path) -> Result<Vec<Map<String, Value>>> {
    let text = fs::read_to_string(folder.join("movies.json"))?;
    let films: Vec<Map<String, Value>> = serde_json::from_str(&text)?;
    if films.len() != MOVIES {
        bail!("the package holds {} films", films.len());
    }
    let films = films.into_iter().enumerate();
    Ok(films.map(|(at, film)| document(at, film)).collect())
}

fn document(at: usize, film: Map<String, Value>) -> Map<String, Value> {
    let mut ratings = Vec::new();
    for (source, field) in [
        ("IMDB", "IMDB Rating"),
        ("Rotten Tomatoes", "Rotten Tomatoes Rating"),
    ] {
        if let Some(score) = film.get(field).filter(|score| !score.is_null()) {
            ratings.push(json!({ "source": source, "score": score }));
        }
    }
    let mut document = Map::new();
    document.insert("_id".to_owned(), json!(format!("m{at:04}")));
    document.extend(film);
    document.insert("Ratings".to_owned(), Value::Array(ratings));
    document
}

/// Airports: code, and the other columns as a JSON text.
fn airports(folder: &Path) -> Result<Vec<(String, String)>> {
    let text = fs::read_to_string(folder.join("airports.csv"))?;
    let mut rows = parse_csv(&text).into_iter();
    let header = rows.next().context("airports.csv is empty")?;
    let airports: Vec<(String, String)> = rows
        .map(|row| {
            let fields = header.iter().zip(&row).skip(1);
            let fields = fields.map(|(name, field)| match field.parse::<f64>() {
                Ok(number) => (name.clone(), json!(number)),
                Err(_) => (name.clone(), json!(field)),
            });
            let value: Map<String, Value> = fields.collect();
            (row[0].clone(), Value::Object(value).to_string())
        })
        .collect();
    if airports.len() != AIRPORTS {
        bail!("the package holds {} airports", airports.len());
    }
    Ok(airports)
}

/// The indexes of the collection.
fn indexes() -> Value {
    json!([
        {"name": "by_genre", "fields": [{"path": "Major Genre"}]},
        {"name": "by_rating", "fields": [
            {"path": "IMDB Rating", "descending": true}, {"path": "IMDB Votes"}]},
        {"name": "by_title", "fields": [{"path": "Title"}]},
        {"name": "by_score", "fields": [{"path": "Ratings.score"}]},
        {"name": "restricted", "fields": [{"path": "Director"}],
         "partial": {"MPAA Rating": "R"}},
    ])
}

/// Loads both, unless they are there.
pub(crate) fn load(api: &Api, folder: &Path) -> Result<bool> {
    if api.has("/documents/movies")? {
        return Ok(false);
    }
    let films = movies(folder)?;
    let airports = airports(folder)?;
    let begun = api.call("POST", "/transactions", &json!({}))?;
    let token = begun["token"].as_str().context("no token")?.to_owned();
    let in_transaction = Some(token.as_str());
    make_collection(api, "movies", Some(indexes()), &films, in_transaction)?;
    for batch in airports.chunks(BATCH) {
        let operations: Vec<Value> = batch
            .iter()
            .map(|(key, value)| json!({ "op": "set", "key": key, "value": value }))
            .collect();
        let body = json!({ "operations": operations }).to_string();
        let request = Request {
            body: body.as_bytes(),
            transaction: in_transaction,
            ..Request::new("POST", "/keys/airports:batch")
        };
        api.send(&request)?.json()?;
    }
    let commit = format!("/transactions/{token}/commit");
    api.send(&Request::new("POST", &commit))?.json()?;
    Ok(true)
}

/// A collection with documents, at once.
pub(crate) fn make_collection(
    api: &Api,
    name: &str,
    indexes: Option<Value>,
    documents: &[Map<String, Value>],
    transaction: Option<&str>,
) -> Result<()> {
    let mut definition = json!({ "name": name });
    if let Some(indexes) = indexes {
        definition["indexes"] = indexes;
    }
    let definition = definition.to_string();
    let request = Request {
        body: definition.as_bytes(),
        transaction,
        ..Request::new("POST", "/documents")
    };
    api.send(&request)?.json()?;
    let mut lines = String::new();
    for document in documents {
        let _ = writeln!(lines, "{}", Value::Object(document.clone()));
    }
    let path = format!("/documents/{name}?atomic=true");
    let request = Request {
        content_type: "application/x-ndjson",
        body: lines.as_bytes(),
        transaction,
        ..Request::new("POST", &path)
    };
    let answer = api.send(&request)?.json()?;
    if answer["inserted"] != documents.len() {
        bail!("{} of {} documents", answer["inserted"], documents.len());
    }
    Ok(())
}

/// Lines to paste.
pub(crate) fn lines(http: &str, redis_cli: &str, password: &str) -> Vec<String> {
    let curl = format!("curl -s -u 'admin:{password}' http://{http}/api/v1");
    vec![
        format!("{curl}/documents/movies/m1234"),
        format!(
            "{curl}/documents/movies:query --json '{{\"filter\": {{\"Major Genre\": \"Western\"}}, \
             \"sort\": {{\"IMDB Rating\": -1}}, \"projection\": {{\"Title\": 1}}, \"limit\": 3}}'"
        ),
        format!(
            "{curl}/documents/movies:explain --json '{{\"filter\": {{\"Major Genre\": \"Western\"}}}}'"
        ),
        format!("{curl}/keys/airports/ORD"),
        format!("{redis_cli} --no-auth-warning <<< $'SELECT airports\\nGET ORD'"),
    ]
}

/// The films, their indexes and the keys: what is there is what the files say.
pub(crate) fn check(api: &Api, folder: &Path) -> Result<()> {
    let films = movies(folder)?;
    let counted = api.call("POST", "/documents/movies:count", &json!({}))?;
    if counted["count"] != MOVIES {
        bail!("{} films, expected {MOVIES}", counted["count"]);
    }
    let spaces = api.call("GET", "/keys", &Value::Null)?;
    let spaces = spaces["spaces"].as_array().context("no spaces")?;
    let space = spaces.iter().find(|space| space["name"] == "airports");
    if space.map(|space| &space["keys"]) != Some(&json!(AIRPORTS)) {
        bail!("{space:?}, expected {AIRPORTS} airports");
    }
    if !api.has("/documents/movies_plain")? {
        make_collection(api, "movies_plain", None, &films, None)?;
    }
    let compared = queries::compare(api, &films)?;
    println!("{compared:>4} queries of films         with indexes as without, as in the file");
    Ok(())
}

/// Rows of the join as the files give them: title, airport, number of flights.
pub(crate) fn join_expected(folder: &Path, flights: &[(String, i64)]) -> Result<Vec<Vec<String>>> {
    let films = movies(folder)?;
    let mut rows = Vec::new();
    for (code, value) in airports(folder)? {
        let airport: Value = serde_json::from_str(&value)?;
        let count = flights.iter().find(|(dest, _)| *dest == code);
        let (Some((_, count)), Some(city)) = (count, airport["city"].as_str()) else {
            continue;
        };
        let named = films.iter().filter(|film| film["Title"] == city).count();
        if named > 0 {
            let total = count * i64::try_from(named)?;
            rows.push((total, vec![city.to_owned(), code, total.to_string()]));
        }
    }
    rows.sort_by(|a, b| (b.0, &a.1[1]).cmp(&(a.0, &b.1[1])));
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]
mod tests {
    use serde_json::json;

    use super::document;

    #[test]
    fn a_document_has_its_place_as_id_and_the_ratings_that_are_there() {
        let film = json!({"Title": "X", "IMDB Rating": 6.1, "Rotten Tomatoes Rating": null});
        let made = document(7, film.as_object().unwrap().clone());
        assert_eq!(made["_id"], "m0007");
        assert_eq!(made["Ratings"], json!([{"source": "IMDB", "score": 6.1}]));
    }
}
