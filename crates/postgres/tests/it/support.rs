//! A server with its engine, on a free port, and clients of it.

use std::net::SocketAddr;
use std::time::Duration;

use tessera_engine::{Engine, EngineOptions};
use tessera_postgres::{Authentication, Server, ServerOptions};
use tokio_postgres::{Client, Config, NoTls};

/// Longest wait for something that should happen at once.
pub(crate) const SOON: Duration = Duration::from_secs(30);
pub(crate) const PASSWORD: &str = "only for tests";

pub(crate) struct TestServer {
    pub(crate) engine: Engine,
    server: Server,
}

impl TestServer {
    pub(crate) async fn start() -> TestServer {
        TestServer::with(EngineOptions::memory(), |_| {}).await
    }

    /// A server that asks for no passwords.
    pub(crate) async fn trusting() -> TestServer {
        TestServer::with(EngineOptions::memory(), |options| {
            options.authentication = Authentication::Trust;
        })
        .await
    }

    pub(crate) async fn with(
        engine: EngineOptions,
        change: impl FnOnce(&mut ServerOptions),
    ) -> TestServer {
        let engine = EngineOptions {
            admin_password: Some(PASSWORD.to_owned()),
            ..engine
        };
        let engine = Engine::open(engine).await.unwrap();
        let mut options = ServerOptions::on(([127, 0, 0, 1], 0).into());
        options.failed_login_delay = Duration::from_millis(1);
        change(&mut options);
        let server = Server::start(engine.clone(), options).await.unwrap();
        TestServer { engine, server }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub(crate) fn config(&self, user: &str, password: &str) -> Config {
        let mut config = Config::new();
        config
            .host("127.0.0.1")
            .port(self.address().port())
            .user(user)
            .password(password)
            .dbname("tessera");
        config
    }

    /// The administrator's connection.
    pub(crate) async fn client(&self) -> Client {
        self.connect("admin", PASSWORD).await.unwrap()
    }

    pub(crate) async fn connect(
        &self,
        user: &str,
        password: &str,
    ) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = self.config(user, password).connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Stops the server; every connection's task must be gone then.
    pub(crate) async fn stop(self) {
        self.stop_within(SOON).await;
    }

    pub(crate) async fn stop_within(self, deadline: Duration) {
        self.server.stop(deadline).await;
        self.engine.close().await.unwrap();
        assert_eq!(self.engine.sessions().len(), 0, "sessions are left");
    }
}

/// The SQLSTATE of a driver's error.
pub(crate) fn code(error: &tokio_postgres::Error) -> String {
    error
        .code()
        .map_or_else(|| error.to_string(), |state| state.code().to_owned())
}
