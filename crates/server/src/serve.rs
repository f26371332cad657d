//! `tessera serve`: opens the engine and the ports, waits, drains.

use std::sync::Arc;
use std::time::Duration;

use tessera_engine::{Engine, EngineOptions};
use tessera_environment::Environment;
use tessera_http::{ApiOptions, HttpOptions, HttpServer};
use tessera_postgres::{Authentication, ServeError, Server, ServerOptions};
use tessera_telemetry::{CorrelationId, Format, init_logging, install_panic_hook, metrics};
use tessera_types::{Report, codes};

use crate::collect;
use crate::command::print;
use crate::config::{Auth, Config};
use crate::exit::{Exit, complain};
use crate::health::{Phase, ServerHealth};
use crate::password;
use crate::redis::RedisDoor;
use crate::signals::Signals;
use crate::tls;

/// Connections that may be logging in besides the sessions.
const LOGGING_IN_MAX: usize = 100;
/// The HTTP port's requests are short.
const HTTP_DRAIN: Duration = Duration::from_secs(1);
/// Beyond this a closing engine is left to the next start's recovery.
const CLOSE_MAX: Duration = Duration::from_secs(60);
/// The same, when a second signal asked for an immediate end.
const CLOSE_AT_ONCE_MAX: Duration = Duration::from_secs(1);

/// Runs the server to its end.
pub(crate) fn serve(config: &Config, warnings: &[String]) -> Exit {
    let format = if config.json_log {
        Format::Json
    } else {
        Format::Human
    };
    if let Err(error) = init_logging(format, &config.log_level) {
        return complain(
            Exit::Usage,
            &Report::error(codes::CONFIG_FILE_ERROR, error.to_string()),
        );
    }
    install_panic_hook();
    let environment = Environment::real();
    CorrelationId::seed(environment.random.u64());
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("tessera-net")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let report = Report::error(codes::INSUFFICIENT_RESOURCES, "cannot start threads")
                .with_detail(error.to_string());
            return complain(Exit::Failure, &report);
        }
    };
    let exit = match runtime.block_on(run(config, environment)) {
        Ok(exit) => exit,
        Err((exit, report)) => complain(exit, &report),
    };
    // Blocking work that is still going on must not hold up the end.
    runtime.shutdown_background();
    exit
}

type Failure = (Exit, Report);

async fn run(config: &Config, environment: Environment) -> Result<Exit, Failure> {
    let signals = Signals::listen().map_err(|error| {
        let report = Report::error(codes::SYSTEM_ERROR, "cannot listen to signals");
        (Exit::Failure, report.with_detail(error.to_string()))
    })?;
    let mut signals = signals;
    let usage = |report| (Exit::Usage, report);
    let password = password::from_environment().map_err(usage)?;
    let load = |protocols: &[&str]| match &config.tls {
        Some((cert, key)) => tls::load(cert, key, protocols).map(Some).map_err(usage),
        None => Ok(None),
    };
    let (postgres_tls, http_tls) = (load(&["postgresql"])?, load(&["http/1.1"])?);
    let redis_tls = match config.redis {
        Some(_) => load(&[])?,
        None => None,
    };

    // First, so that probes can follow the start.
    let health = Arc::new(ServerHealth::new());
    let http = HttpOptions {
        tls: http_tls,
        host_names: config.http_host_names.clone(),
        ..HttpOptions::on(config.http)
    };
    let http = HttpServer::start(http, health.clone())
        .await
        .map_err(|error| address(&error))?;

    tracing::info!(data_dir = %config.data_dir.display(), "opening");
    let started = environment.clock.monotonic();
    let opening = Engine::open(EngineOptions {
        environment: environment.clone(),
        admin_password: password.map(|password| password.reveal().clone()),
        query_memory_bytes: config.query_memory_bytes,
        recent_bytes_max: config.recent_memory_bytes,
        cache_bytes: config.cache_bytes,
        write_buffer_bytes_max: config.write_buffer_bytes,
        changes_retention_bytes: config.changes_retention_bytes as u64,
        changes_retention_time: Some(config.changes_retention_time).filter(|time| !time.is_zero()),
        query_threads: config.query_threads,
        sessions_max: config.connections_max,
        sessions_reserved: config.connections_reserved,
        setting_defaults: setting_defaults(config),
        ..EngineOptions::at(&config.data_dir)
    });
    let engine = tokio::select! {
        opened = opening => opened.map_err(|report| (Exit::of_opening(&report), report))?,
        name = signals.next() => {
            // Nothing was acknowledged yet; an interrupted recovery is simply done again.
            tracing::info!(signal = name, "stopped while starting");
            return Ok(Exit::Success);
        }
    };
    let took = environment.clock.monotonic().saturating_sub(started);
    metrics().recovery_duration.set(took.as_secs_f64());
    tracing::info!(took_ms = took.as_millis() as u64, "open");
    if let Some(reason) = engine.health().read_only_reason {
        tracing::error!(reason, "SAFE MODE: the store is damaged and read-only");
    }
    if let Some(password) = engine.take_generated_password() {
        // Once, and not through the log, which may be shipped elsewhere.
        print(&format!(
            "first start: created the administrator admin with the password {password}\n\
             It is not shown again; `tessera user password admin` changes it.\n"
        ));
    }
    let door_environment = environment.clone();
    collect::register(engine.clone(), environment, config.data_dir.clone());
    metrics().connections_max.set(config.connections_max as i64);

    let postgres = ServerOptions {
        authentication: match config.auth {
            Auth::Scram => Authentication::Scram,
            Auth::Trust => Authentication::Trust,
        },
        tls_required: !config.postgres.ip().is_loopback() && !config.allow_plaintext,
        tls: postgres_tls,
        login_timeout: config.login_timeout,
        write_timeout: config.write_timeout,
        logins_max: LOGGING_IN_MAX,
        ..ServerOptions::on(config.postgres)
    };
    let postgres = match Server::start(engine.clone(), postgres).await {
        Ok(postgres) => postgres,
        Err(error) => {
            close(&engine, CLOSE_MAX).await;
            return Err(match &error {
                ServeError::Bind { .. } => address(&error),
                error => (
                    Exit::Usage,
                    Report::error(codes::CONFIG_FILE_ERROR, chain(error)),
                ),
            });
        }
    };
    let redis = match config.redis {
        None => None,
        Some(address) => {
            let is_trusting = matches!(config.auth, Auth::Trust) && address.ip().is_loopback();
            let door = RedisDoor::new(engine.clone(), door_environment, is_trusting);
            let options = tessera_redis::ServerOptions {
                tls: redis_tls,
                login_timeout: config.login_timeout,
                write_timeout: config.write_timeout,
                transaction_idle_timeout: Some(config.idle_in_transaction_timeout)
                    .filter(|limit| !limit.is_zero()),
                connections_max: config.connections_max,
                ..tessera_redis::ServerOptions::on(address)
            };
            match tessera_redis::Server::start(Arc::new(door), options).await {
                Ok(port) => Some(port),
                Err(error) => {
                    postgres.stop(Duration::ZERO).await;
                    close(&engine, CLOSE_MAX).await;
                    return Err(port_failure(chain(&error)));
                }
            }
        }
    };
    // What others can reach asks for passwords, whatever PostgreSQL's port does.
    let trust = matches!(config.auth, Auth::Trust) && config.http.ip().is_loopback();
    http.open(engine.clone(), ApiOptions { trust });
    health.set(Phase::Running(engine.clone()));
    let also = redis
        .as_ref()
        .map(|port| format!(" redis={}", port.address()));
    print(&format!(
        "ready: postgres={} http={}{}\n",
        postgres.address(),
        http.address(),
        also.unwrap_or_default()
    ));
    tracing::info!(postgres = %postgres.address(), http = %http.address(), "ready");

    let name = signals.next().await;
    tracing::info!(
        signal = name,
        drain_ms = config.drain_timeout.as_millis() as u64,
        "stopping"
    );
    health.set(Phase::Stopping);
    let ending = async {
        if let Some(redis) = redis {
            redis.stop(config.drain_timeout).await;
        }
        postgres.stop(config.drain_timeout).await;
        // Answers 503 to requests for data from here on.
        close(&engine, CLOSE_MAX).await;
        http.stop(HTTP_DRAIN).await;
    };
    tokio::select! {
        () = ending => tracing::info!("stopped"),
        name = signals.next() => {
            // What was acknowledged is in the log already; what runs is not waited for.
            tracing::warn!(signal = name, "second signal: stopping at once");
            close(&engine, CLOSE_AT_ONCE_MAX).await;
        }
    }
    Ok(Exit::Success)
}

async fn close(engine: &Engine, patience: Duration) {
    match tokio::time::timeout(patience, engine.close()).await {
        Ok(Ok(())) => {}
        Ok(Err(report)) => tracing::error!(%report, "the engine did not close cleanly"),
        Err(_) => tracing::warn!("closing was cut short; the next start replays the log"),
    }
}

/// Defaults of session settings that the configuration changes.
fn setting_defaults(config: &Config) -> Vec<(String, String)> {
    let milliseconds = |time: Duration| time.as_millis().to_string();
    vec![
        (
            "statement_timeout".to_owned(),
            milliseconds(config.statement_timeout),
        ),
        (
            "idle_in_transaction_session_timeout".to_owned(),
            milliseconds(config.idle_in_transaction_timeout),
        ),
        (
            "synchronous_commit".to_owned(),
            config.synchronous_commit.clone(),
        ),
    ]
}

fn address(error: &dyn std::error::Error) -> Failure {
    port_failure(chain(error))
}

fn port_failure(message: String) -> Failure {
    let denied = message.contains("ermission denied");
    let exit = if denied {
        Exit::Permission
    } else {
        Exit::Address
    };
    (exit, Report::error(codes::CONNECTION_FAILURE, message))
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
