//! One client's connections to all protocols, and the transactions that they share.
//!
//! One of them begins, the others join by its token; the one that began commits.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio_postgres::{Client, Config, NoTls};

use crate::wire::{Http, Redis, Reply};

/// Where a server listens.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// How to log in to the PostgreSQL port.
    pub postgres: Config,
    /// The Redis port.
    pub redis: SocketAddr,
    /// The HTTP port.
    pub http: SocketAddr,
}

/// One client's connections; everybody is trusted.
pub struct Doors {
    /// To the PostgreSQL port.
    pub sql: Client,
    /// To the Redis port.
    pub redis: Redis,
    /// To the HTTP port.
    pub http: Http,
}

/// Which door begins and ends a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// `BEGIN`.
    Postgres,
    /// `TX.BEGIN`.
    Redis,
    /// `POST /transactions`.
    Http,
}

impl Begun {
    /// All doors.
    pub const ALL: [Begun; 3] = [Begun::Postgres, Begun::Redis, Begun::Http];
}

/// An error answer of the Redis or the HTTP port.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// The SQLSTATE that a door answered; none if it did not answer, or without one.
pub fn sqlstate(error: &anyhow::Error) -> Option<String> {
    if let Some(Refused(text)) = error.downcast_ref() {
        let (_, after) = text
            .split_once("(SQLSTATE ")
            .or_else(|| text.split_once("\"code\":\""))?;
        return after.get(..5).map(str::to_owned);
    }
    let code = error.downcast_ref::<tokio_postgres::Error>()?.code()?;
    Some(code.code().to_owned())
}

/// All that a door says about an error, DETAIL and HINT included.
pub fn whole_text(error: &anyhow::Error) -> String {
    let report = error
        .downcast_ref::<tokio_postgres::Error>()
        .and_then(|error| error.as_db_error());
    match report {
        Some(report) => format!(
            "{} {} {}",
            report.message(),
            report.detail().unwrap_or_default(),
            report.hint().unwrap_or_default()
        ),
        None => error.to_string(),
    }
}

/// Whether an error says for sure that nothing took effect.
pub fn is_refusal(error: &anyhow::Error) -> bool {
    if error.is::<Refused>() || error.is::<tokio_postgres::Error>() {
        let unknown = |code: &str| code == "40003" || code.starts_with("08") || code == "57P01";
        // Without a code it is an answer of the Redis port, or none at all.
        return match sqlstate(error) {
            Some(code) => !unknown(&code),
            None => error.is::<Refused>(),
        };
    }
    false
}

impl Doors {
    /// Connects to all doors.
    ///
    /// # Errors
    /// Those of the connections.
    pub async fn at(addresses: Addresses) -> Result<Doors> {
        let (sql, connection) = addresses.postgres.connect(NoTls).await?;
        // Ends with its client, or with the server.
        tokio::spawn(connection);
        Ok(Doors {
            sql,
            redis: Redis::connect(addresses.redis).await?,
            http: Http::connect(addresses.http).await?,
        })
    }

    /// Begins at one door and lets the others join; the token. `level` in SQL's words.
    ///
    /// # Errors
    /// What a door answered.
    pub async fn begin(&mut self, begun: Begun, level: &str) -> Result<String> {
        let token = match begun {
            Begun::Postgres => {
                let begin = format!("BEGIN ISOLATION LEVEL {level}");
                self.sql.batch_execute(&begin).await?;
                let row = self.sql.query_one("SHOW tessera.transaction_token", &[]);
                row.await?.try_get(0)?
            }
            Begun::Redis => {
                self.redis(&format!("TX.BEGIN {level}")).await?;
                match self.redis("TX.TOKEN").await? {
                    Reply::Bulk(token) => token,
                    other => bail!("{other:?} is no token"),
                }
            }
            Begun::Http => {
                let level = level.to_ascii_lowercase().replace(' ', "_");
                let request = json!({ "isolation": level });
                let answer = self.http("POST /transactions", None, Some(&request));
                let answer = answer.await?;
                let token = answer["token"].as_str();
                token.context("no token in the answer")?.to_owned()
            }
        };
        if begun != Begun::Postgres {
            let join = format!("SET tessera.join = '{token}'");
            self.sql.batch_execute(&join).await?;
        }
        if begun != Begun::Redis {
            self.redis(&format!("TX.JOIN {token}")).await?;
        }
        Ok(token)
    }

    /// Commits at the door that began.
    ///
    /// # Errors
    /// What the door answered.
    pub async fn commit(&mut self, begun: Begun, token: &str) -> Result<()> {
        match begun {
            Begun::Postgres => Ok(self.sql.batch_execute("COMMIT").await?),
            Begun::Redis => self.redis("TX.COMMIT").await.map(drop),
            Begun::Http => {
                let request = format!("POST /transactions/{token}/commit");
                self.http(&request, None, None).await.map(drop)
            }
        }
    }

    /// Rolls back, whatever is still open at each door. An error means that there is nothing.
    pub async fn roll_back(&mut self, begun: Begun, token: &str) {
        if begun == Begun::Http {
            let request = format!("POST /transactions/{token}/rollback");
            let _ = self.http.send(&request, None, None).await;
        }
        let _ = self.redis.say("TX.ROLLBACK").await;
        let _ = self.sql.batch_execute("ROLLBACK").await;
    }

    /// After a commit: the members that joined leave what has ended.
    ///
    /// # Errors
    /// Those of the connections.
    pub async fn leave(&mut self, begun: Begun) -> Result<()> {
        if begun != Begun::Redis {
            self.redis.say("TX.ROLLBACK").await?;
        }
        if begun != Begun::Postgres {
            self.sql.batch_execute("ROLLBACK").await?;
        }
        Ok(())
    }

    /// A Redis command that must not answer an error.
    ///
    /// # Errors
    /// [`Refused`], or those of the connection.
    pub async fn redis(&mut self, command: &str) -> Result<Reply> {
        match self.redis.say(command).await? {
            Reply::Error(text) => Err(Refused(text).into()),
            reply => Ok(reply),
        }
    }

    /// A request that must succeed; the body of the answer.
    ///
    /// # Errors
    /// [`Refused`], or those of the connection.
    pub async fn http(
        &mut self,
        request: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Value> {
        self.http_as(request, token, "application/json", body).await
    }

    /// As [`Doors::http`], with a content type.
    ///
    /// # Errors
    /// As [`Doors::http`].
    pub async fn http_as(
        &mut self,
        request: &str,
        token: Option<&str>,
        content_type: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        let http = &mut self.http;
        let answer = http.send_as(request, token, content_type, body).await?;
        if answer.status >= 400 {
            return Err(Refused(answer.body.to_string()).into());
        }
        Ok(answer.body)
    }
}
