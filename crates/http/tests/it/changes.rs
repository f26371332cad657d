//! The change stream over HTTP: events, cursors, filters, rights, ends.

use std::time::Duration;

use serde_json::Value;
use tessera_engine::EngineOptions;
use tessera_http::ApiOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::script::{PASSWORD, World, basic, send};

const SOON: Duration = Duration::from_secs(60);

/// One event.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    id: String,
    name: String,
    data: Value,
}

/// A client that reads events one by one.
struct Events {
    stream: TcpStream,
    /// Text that was read and not given.
    text: String,
    /// As a browser keeps it.
    last_id: String,
}

impl Events {
    /// Connects; the answer's status, and the events if it is 200.
    async fn open(world: &World, user: &str, query: &str, last_id: &str) -> (u16, Events) {
        let mut stream = TcpStream::connect(world.server.address()).await.unwrap();
        let login = basic(user, PASSWORD);
        let last = match last_id {
            "" => String::new(),
            id => format!("Last-Event-ID: {id}\r\n"),
        };
        let request = format!(
            "GET /api/v1/changes{query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {login}\r\n\
             Accept: text/event-stream\r\n{last}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut events = Events {
            stream,
            text: String::new(),
            last_id: last_id.to_owned(),
        };
        let head = events.until("\r\n\r\n").await.expect("a head");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        if status == 200 {
            assert!(head.contains("content-type: text/event-stream"), "{head}");
        }
        (status, events)
    }

    async fn until(&mut self, end: &str) -> Option<String> {
        loop {
            if let Some(at) = self.text.find(end) {
                let rest = self.text.split_off(at + end.len());
                return Some(std::mem::replace(&mut self.text, rest));
            }
            let mut bytes = [0; 4096];
            let read = tokio::time::timeout(SOON, self.stream.read(&mut bytes));
            let count = read.await.expect("an event in time").unwrap_or(0);
            if count == 0 {
                return None;
            }
            self.text
                .push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
    }

    /// The next event; none at the end. Chunk sizes and comments are passed over.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.until("\n\n").await?;
            let field = |name: &str| {
                let start = format!("{name}: ");
                let mut lines = block.lines();
                lines.find_map(|line| line.strip_prefix(&start).map(str::to_owned))
            };
            if let Some(id) = field("id") {
                self.last_id = id;
            }
            let (Some(name), Some(data)) = (field("event"), field("data")) else {
                continue;
            };
            return Some(Event {
                id: self.last_id.clone(),
                name,
                data: tessera_codec::json::parse(data.as_bytes()).unwrap(),
            });
        }
    }

    async fn expect(&mut self, name: &str) -> Event {
        let event = self.next().await.expect("an event");
        assert_eq!(event.name, name, "{event:?}");
        event
    }
}

async fn sql(world: &World, statement: &str) {
    let mut session = world.engine.session("admin").await.unwrap();
    session.run(statement).await.unwrap();
}

async fn say(world: &World, request: &str, body: &str) {
    let head = [
        request.to_owned(),
        "Content-Type: application/json".to_owned(),
    ];
    let login = basic("admin", PASSWORD);
    let answer = send(world, &head, Some(&login), body.as_bytes()).await;
    assert!(answer.status < 300, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_all_models_come_with_cursors_that_go_on() {
    let world = World::start(ApiOptions::default()).await;
    sql(
        &world,
        "CREATE TABLE t (id int PRIMARY KEY, at date, n numeric)",
    )
    .await;
    let (status, mut events) = Events::open(&world, "admin", "", "").await;
    assert_eq!(status, 200);
    sql(&world, "INSERT INTO t VALUES (1, '2026-01-02', 1.50)").await;
    let first = events.expect("insert").await;
    assert_eq!(first.data["relation"], "public.t");
    assert_eq!(first.data["model"], "rows");
    assert_eq!(first.data["key"]["id"], 1);
    assert_eq!(first.data["value"]["at"], "2026-01-02");
    assert_eq!(first.data["value"]["n"].to_string(), "1.50");
    let commit = events.expect("commit").await;
    assert_eq!(commit.data["changes"], 1);
    assert_eq!(commit.data["version"], first.data["version"]);
    say(&world, "PUT /api/v1/keys/db0/k", "v").await;
    let mut key = events.next().await.unwrap();
    while key.name != "insert" {
        key = events.next().await.unwrap();
    }
    assert_eq!(
        (&key.data["model"], &key.data["key"]),
        (&"keys".into(), &"k".into())
    );
    assert_eq!(
        (&key.data["type"], &key.data["value"]),
        (&"string".into(), &"v".into())
    );
    events.expect("commit").await;
    say(&world, "POST /api/v1/documents", "{\"name\": \"docs\"}").await;
    say(&world, "PUT /api/v1/documents/docs/d", "{\"a\": [1]}").await;
    let mut document = events.next().await.unwrap();
    while document.name != "insert" {
        document = events.next().await.unwrap();
    }
    assert_eq!(document.data["relation"], "public.docs");
    assert_eq!(document.data["key"], "d");
    assert_eq!(document.data["value"]["a"][0], 1);
    drop(events);

    // By header or by parameter, a client goes on behind what it has.
    sql(&world, "DELETE FROM t").await;
    let (_, mut resumed) = Events::open(&world, "admin", "", &first.id).await;
    assert_eq!(resumed.expect("commit").await, commit);
    let query = format!("?model=rows&cursor={}", commit.id);
    let (_, mut resumed) = Events::open(&world, "admin", &query, "").await;
    let gone = resumed.expect("delete").await;
    assert_eq!(
        (&gone.data["key"]["id"], &gone.data["value"]),
        (&1.into(), &Value::Null)
    );
    let (_, mut oldest) = Events::open(&world, "admin", "?from=oldest&relation=t", "").await;
    assert_eq!(oldest.expect("schema").await.data["action"], "create");
    oldest.expect("commit").await;
    assert_eq!(oldest.expect("insert").await, first);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_requests_are_answered_with_problems() {
    let world = World::start(ApiOptions::default()).await;
    sql(&world, "CREATE TABLE t (id int PRIMARY KEY)").await;
    let status = async |user: &str, query: &str| Events::open(&world, user, query, "").await.0;
    assert_eq!(status("admin", "?cursor=nonsense").await, 400);
    assert_eq!(status("admin", "?from=yesterday").await, 400);
    assert_eq!(status("admin", "?since=now").await, 400);
    assert_eq!(status("admin", "?relation=nothing").await, 404);
    assert_eq!(status("anna", "?relation=t").await, 403);
    assert_eq!(status("nobody", "").await, 401);
    world.stop().await;
}

/// A cursor whose changes are not kept any more is 410, with a hint.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_that_is_too_old_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_owned();
    let world = World::with(ApiOptions::default(), move |options| {
        *options = EngineOptions {
            admin_password: Some(PASSWORD.to_owned()),
            changes_retention_bytes: 0,
            query_threads: 1,
            ..EngineOptions::at(dir)
        };
    })
    .await;
    sql(&world, "CREATE TABLE t (id int PRIMARY KEY, v text)").await;
    let (_, mut events) = Events::open(&world, "admin", "?from=oldest&relation=t", "").await;
    let first = events.expect("schema").await;
    drop(events);
    // More than a segment of the log, and what a restart needs moves behind it.
    for n in 0..5 {
        let insert = format!(
            "INSERT INTO t SELECT {n} * 10 + g, repeat('x', 1000000) FROM generate_series(1, 9) AS g"
        );
        sql(&world, &insert).await;
    }
    world.engine.checkpoint().await.unwrap();
    let (status, mut answer) = Events::open(&world, "admin", "", &first.id).await;
    assert_eq!(status, 410);
    let body = answer.until("}").await.unwrap();
    assert!(
        body.contains("72000") && body.contains("\"hint\""),
        "{body}"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_bounded_and_end_with_the_server() {
    let world = World::start(ApiOptions::default()).await;
    let mut open = Vec::new();
    for _ in 0..64 {
        let (status, events) = Events::open(&world, "admin", "", "").await;
        assert_eq!(status, 200);
        open.push(events);
    }
    assert_eq!(Events::open(&world, "admin", "", "").await.0, 429);
    let ended = tokio::spawn(async move { open[0].next().await });
    world.stop().await;
    assert_eq!(ended.await.unwrap(), None);
}
