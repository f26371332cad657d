//! A server, and the two parties of a scenario.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tessera_testkit::doors::{Addresses, Begun, Doors};
use tessera_testkit::wire::Reply;

use crate::harness::{TestServer, folder, serve};

const WITHIN: Duration = Duration::from_secs(60);

pub(crate) const LEVELS: [&str; 3] = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];

/// Something with a number, in one of the models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Key(&'static str),
    Document(&'static str),
    Row(&'static str),
}

/// A server with `a` and `b` at 0 in every model, and someone who watches.
pub(crate) struct World {
    addresses: Addresses,
    pub(crate) observer: Doors,
}

/// One transaction.
pub(crate) struct Party {
    pub(crate) doors: Doors,
    pub(crate) begun: Begun,
    pub(crate) token: String,
    /// It reaches everything by HTTP.
    by_http: bool,
}

/// Runs a scenario on a server of its own, whose log must be clean in the end.
pub(crate) fn on_a_server(scenario: impl AsyncFnOnce(World)) {
    let (_folder, data_dir) = folder();
    let mut command = serve(&data_dir);
    command.args(["--auth", "trust", "--redis", "127.0.0.1:0"]);
    let server = TestServer::start_with(&mut command);
    let mut postgres = tokio_postgres::Config::new();
    postgres.host("127.0.0.1").port(server.postgres.port());
    postgres.user("admin").dbname("tessera");
    let addresses = Addresses {
        postgres,
        redis: server.redis.unwrap(),
        http: server.http,
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut observer = Doors::at(addresses.clone()).await.unwrap();
        let sql = "CREATE TABLE items (id text PRIMARY KEY, n int NOT NULL)";
        observer.sql.batch_execute(sql).await.unwrap();
        let collection = json!({"name": "docs"});
        let made = observer.http("POST /documents", None, Some(&collection));
        made.await.unwrap();
        let mut world = World {
            addresses,
            observer,
        };
        world.reset().await;
        scenario(world).await;
    });
    drop(runtime);
    server.stop(&[]);
}

impl World {
    /// `a` and `b` are 0 in every model, and nothing else is there.
    pub(crate) async fn reset(&mut self) {
        let observer = &mut self.observer;
        let sql = "DELETE FROM items; INSERT INTO items VALUES ('a', 0), ('b', 0)";
        observer.sql.batch_execute(sql).await.unwrap();
        observer.redis("FLUSHDB").await.unwrap();
        observer.redis("MSET a 0 b 0").await.unwrap();
        let all = json!({"filter": {}});
        let deleted = observer.http("POST /documents:delete/docs", None, Some(&all));
        deleted.await.unwrap();
        for id in ["a", "b"] {
            let path = format!("PUT /documents/docs/{id}");
            let zero = json!({"n": 0});
            let put = observer.http(&path, None, Some(&zero));
            put.await.unwrap();
        }
    }

    /// The two parties, with the door that each began at.
    pub(crate) async fn parties(&self, begun: [Begun; 2], level: &str) -> [Party; 2] {
        [
            self.party(begun[0], level, false).await,
            self.party(begun[1], level, true).await,
        ]
    }

    async fn party(&self, begun: Begun, level: &str, by_http: bool) -> Party {
        let mut doors = Doors::at(self.addresses.clone()).await.unwrap();
        let token = doors.begin(begun, level).await.unwrap();
        Party {
            doors,
            begun,
            token,
            by_http,
        }
    }

    /// Waits until somebody waits for a lock.
    pub(crate) async fn until_waiting(&self) {
        self.until("SELECT count(*) FROM pg_locks WHERE NOT granted")
            .await;
    }

    /// Waits until the count is not 0.
    pub(crate) async fn until(&self, count: &str) {
        let deadline = Instant::now() + WITHIN;
        loop {
            let row = self.observer.sql.query_one(count, &[]).await.unwrap();
            if row.get::<_, i64>(0) > 0 {
                return;
            }
            assert!(Instant::now() < deadline, "in vain: {count}");
        }
    }

    /// The value that is committed now.
    pub(crate) async fn committed(&mut self, item: Item) -> i64 {
        get(&mut self.observer, None, true, item).await.unwrap()
    }
}

impl Party {
    pub(crate) async fn get(&mut self, item: Item) -> Result<i64> {
        get(&mut self.doors, Some(&self.token), self.by_http, item).await
    }

    pub(crate) async fn set(&mut self, item: Item, n: i64) -> Result<()> {
        let token = Some(self.token.as_str());
        let doors = &mut self.doors;
        match item {
            Item::Key(id) if self.by_http => {
                let path = format!("PUT /keys/db0/{id}");
                doors.http(&path, token, Some(&json!(n))).await?;
            }
            Item::Key(id) => {
                doors.redis(&format!("SET {id} {n}")).await?;
            }
            Item::Document(id) => {
                let path = format!("PATCH /documents/docs/{id}");
                let merge = "application/merge-patch+json";
                doors
                    .http_as(&path, token, merge, Some(&json!({"n": n})))
                    .await?;
            }
            Item::Row(id) => {
                let sql = format!("UPDATE items SET n = {n} WHERE id = '{id}'");
                self.sql(&sql).await?;
            }
        }
        Ok(())
    }

    /// Adds one, without saying to what.
    pub(crate) async fn increment(&mut self, item: Item) -> Result<()> {
        let token = Some(self.token.as_str());
        let doors = &mut self.doors;
        match item {
            Item::Key(id) if self.by_http => {
                let batch = json!({"operations": [{"op": "increment", "key": id, "by": 1}]});
                doors
                    .http("POST /keys/db0:batch", token, Some(&batch))
                    .await?;
            }
            Item::Key(id) => {
                doors.redis(&format!("INCR {id}")).await?;
            }
            Item::Document(id) => {
                let path = format!("PATCH /documents/docs/{id}");
                let operators = "application/vnd.tessera.update+json";
                doors
                    .http_as(&path, token, operators, Some(&json!({"$inc": {"n": 1}})))
                    .await?;
            }
            Item::Row(id) => {
                let sql = format!("UPDATE items SET n = n + 1 WHERE id = '{id}'");
                self.sql(&sql).await?;
            }
        }
        Ok(())
    }

    /// Runs SQL by this party's door for rows.
    pub(crate) async fn sql(&mut self, sql: &str) -> Result<()> {
        if self.by_http {
            let request = json!({ "statement": sql });
            let token = Some(self.token.as_str());
            self.doors.http("POST /sql", token, Some(&request)).await?;
            return Ok(());
        }
        Ok(self.doors.sql.batch_execute(sql).await?)
    }

    /// How many keys begin with the prefix.
    pub(crate) async fn count_keys(&mut self, prefix: &str) -> Result<usize> {
        if self.by_http {
            let path = format!("GET /keys/db0?prefix={prefix}");
            let answer = self.doors.http(&path, Some(&self.token), None).await?;
            let keys = answer["keys"].as_array().context("no keys")?;
            return Ok(keys.len());
        }
        let keys = self.doors.redis(&format!("KEYS {prefix}*")).await?;
        Ok(keys.texts()?.len())
    }

    pub(crate) async fn commit(&mut self) -> Result<()> {
        let committed = self.doors.commit(self.begun, &self.token).await;
        if committed.is_err() {
            self.roll_back().await;
        }
        committed
    }

    pub(crate) async fn roll_back(&mut self) {
        self.doors.roll_back(self.begun, &self.token).await;
    }
}

async fn get(doors: &mut Doors, token: Option<&str>, by_http: bool, item: Item) -> Result<i64> {
    let number = |value: &Value| value.as_i64().context("no number");
    match item {
        Item::Key(id) if by_http => {
            let path = format!("GET /keys/db0/{id}");
            let answer = doors.http(&path, token, None);
            number(&answer.await?)
        }
        Item::Key(id) => match doors.redis(&format!("GET {id}")).await? {
            Reply::Bulk(text) => Ok(text.parse()?),
            other => anyhow::bail!("{other:?} is no number"),
        },
        Item::Document(id) if by_http => {
            let path = format!("GET /documents/docs/{id}");
            let answer = doors.http(&path, token, None);
            number(&answer.await?["n"])
        }
        Item::Document(id) => {
            let sql = "SELECT (doc->>'n')::bigint FROM docs WHERE id = $1";
            Ok(doors.sql.query_one(sql, &[&id]).await?.try_get(0)?)
        }
        Item::Row(id) if by_http => {
            let statement = format!("SELECT n FROM items WHERE id = '{id}'");
            let request = json!({ "statement": statement });
            let answer = doors.http("POST /sql", token, Some(&request)).await?;
            number(&answer["rows"][0][0])
        }
        Item::Row(id) => {
            let sql = "SELECT n::bigint FROM items WHERE id = $1";
            Ok(doors.sql.query_one(sql, &[&id]).await?.try_get(0)?)
        }
    }
}
