//! The change stream: every model, commits in order, cursors, rights, definitions that change.

use std::path::PathBuf;

use serde_json::{Map, json};
use tessera_engine::changes::{Change, ChangeStream, ChangesFrom, ChangesRequest, Model, What};
use tessera_engine::keyvalue::SetOptions;
use tessera_engine::models::{Call, Client};
use tessera_engine::{Engine, EngineOptions, Report, Session, StoreKind};
use tessera_environment::{Environment, Simulation};

fn word(change: &Change) -> String {
    match &change.what {
        What::Row {
            relation,
            kind,
            key,
            row,
        } => {
            let key: Vec<String> = key
                .iter()
                .map(|column| format!("{}={:?}", column.name, column.value))
                .collect();
            let row = row.as_ref().map(|row| format!("{row:?}"));
            let (name, kind) = (relation.name(), kind.as_str());
            format!(
                "{kind} {name} [{}] {}",
                key.join(","),
                row.unwrap_or_default()
            )
        }
        What::Key {
            relation,
            kind,
            key,
            facts,
        } => {
            let value = facts.as_ref().and_then(|facts| facts.value.clone());
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let value = value.map(|value| text(&value)).unwrap_or_default();
            let (name, kind) = (relation.name(), kind.as_str());
            format!("{kind} {name} {} {value}", text(key))
        }
        What::Document {
            relation,
            kind,
            id,
            document,
        } => {
            let body = document
                .as_ref()
                .map(|document| document.to_text().unwrap());
            let (name, kind) = (relation.name(), kind.as_str());
            format!("{kind} {name} {id} {}", body.unwrap_or_default())
        }
        What::Schema { relation, action } => format!("{} {}", action.as_str(), relation.name()),
        What::Commit { changes } => format!("commit {changes}"),
    }
}

/// Everything that is there now.
fn script(stream: &mut ChangeStream) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(change) = stream.next_now().unwrap() {
        found.push(word(&change).trim_end().to_owned());
    }
    found
}

fn follow(client: &Client, from: ChangesFrom) -> ChangeStream {
    let request = ChangesRequest {
        from,
        ..ChangesRequest::default()
    };
    client.changes(&request).unwrap()
}

async fn set(client: &Client, key: &'static str, value: &'static str) -> Result<(), Report> {
    let call = Call::write("a test writes", None);
    client
        .run(&call, move |txn| async move {
            let space = client.space_to_write(&txn, "db0").await?;
            let writer = client.key_writer(&space, &txn);
            let options = SetOptions::default();
            writer
                .set(key.as_bytes(), value.as_bytes(), options)
                .await?;
            Ok(())
        })
        .await
}

async fn insert(client: &Client, collection: &'static str) -> Result<(), Report> {
    let call = Call::write("a test writes", None);
    client
        .run(&call, move |txn| async move {
            let collection = client.collection(&txn, collection).await?;
            let id = tessera_engine::documents::DocumentId::new("d1")?;
            collection.insert(&txn, Some(id), json!({"n": 1})).await?;
            Ok(())
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_all_models_come_in_the_order_of_their_commits() {
    let engine = Engine::open(EngineOptions::memory()).await.unwrap();
    let client = engine.client("admin").unwrap();
    let mut session = engine.session("admin").await.unwrap();
    let mut stream = follow(&client, ChangesFrom::Now);
    let run = async |session: &mut Session, sql: &str| session.run(sql).await.unwrap();
    run(
        &mut session,
        "CREATE TABLE t (a int, id int PRIMARY KEY, b text)",
    )
    .await;
    assert_eq!(script(&mut stream), ["create public.t", "commit 1"]);
    run(
        &mut session,
        "INSERT INTO t VALUES (7, 1, 'x'), (8, 2, NULL)",
    )
    .await;
    run(&mut session, "UPDATE t SET b = 'y' WHERE id = 1").await;
    run(
        &mut session,
        "UPDATE t SET id = 3 WHERE id = 2; DELETE FROM t WHERE id = 1",
    )
    .await;
    assert_eq!(
        script(&mut stream),
        [
            "insert public.t [id=Integer(1)] [Integer(7), Integer(1), Text(\"x\")]",
            "insert public.t [id=Integer(2)] [Integer(8), Integer(2), Null]",
            "commit 2",
            "update public.t [id=Integer(1)] [Integer(7), Integer(1), Text(\"y\")]",
            "commit 1",
            "delete public.t [id=Integer(1)]",
            "delete public.t [id=Integer(2)]",
            "insert public.t [id=Integer(3)] [Integer(8), Integer(3), Null]",
            "commit 3",
        ]
    );
    // What is undone, and what comes to nothing, is not told.
    run(
        &mut session,
        "BEGIN; INSERT INTO t VALUES (0, 9, ''); ROLLBACK",
    )
    .await;
    run(
        &mut session,
        "BEGIN; INSERT INTO t VALUES (0, 9, ''); DELETE FROM t WHERE id = 9; COMMIT",
    )
    .await;
    assert_eq!(script(&mut stream), [""; 0]);
    set(&client, "k", "1").await.unwrap();
    set(&client, "k", "2").await.unwrap();
    let found = script(&mut stream);
    // The key space was made by a commit of its own.
    let keys = &found[found.len() - 4..];
    let expected = [
        "insert kv.db0 k 1",
        "commit 1",
        "update kv.db0 k 2",
        "commit 1",
    ];
    assert_eq!(keys, expected, "{found:?}");
    let call = Call::write("a test makes a collection", None);
    client
        .create_collection(&call, "docs", &Map::new())
        .await
        .unwrap();
    insert(&client, "docs").await.unwrap();
    let found = script(&mut stream);
    assert!(
        found.contains(&"insert public.docs d1 {\"n\":1}".to_owned()),
        "{found:?}"
    );
    engine.close().await.unwrap();
}

/// Method: read a transaction of many changes up to each of its changes, and go on from that cursor.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_goes_on_behind_its_change_also_within_a_transaction() {
    let engine = Engine::open(EngineOptions::memory()).await.unwrap();
    let client = engine.client("admin").unwrap();
    let mut session = engine.session("admin").await.unwrap();
    let mut stream = follow(&client, ChangesFrom::Now);
    session
        .run(
            "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY);
             BEGIN; INSERT INTO t VALUES (1), (2), (3); INSERT INTO u VALUES (1); COMMIT;
             INSERT INTO t VALUES (4)",
        )
        .await
        .unwrap();
    let mut cursors = vec![stream.cursor().unwrap()];
    let mut words = Vec::new();
    while let Some(change) = stream.next_now().unwrap() {
        words.push(word(&change));
        cursors.push(change.cursor);
    }
    assert!(words.len() >= 8, "{words:?}");
    for (at, cursor) in cursors.into_iter().enumerate() {
        let mut rest = follow(&client, ChangesFrom::Cursor(cursor.clone()));
        // Nothing was read yet: it stands where it was told to stand.
        assert_eq!(rest.cursor().as_deref(), Some(&*cursor));
        let mut found = Vec::new();
        while let Some(change) = rest.next_now().unwrap() {
            found.push(word(&change));
        }
        assert_eq!(found, words[at..], "after {at}");
    }
    let refused = |text: &str| {
        let request = ChangesRequest {
            from: ChangesFrom::Cursor(text.to_owned()),
            ..ChangesRequest::default()
        };
        client
            .changes(&request)
            .unwrap_err()
            .code
            .as_str()
            .to_owned()
    };
    assert_eq!(refused("nonsense"), "22023");
    let other = Engine::open(EngineOptions::memory()).await.unwrap();
    let theirs = follow(&other.client("admin").unwrap(), ChangesFrom::Now);
    assert_eq!(refused(&theirs.cursor().unwrap()), "22023");
    other.close().await.unwrap();
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_gets_what_he_may_read_and_has_asked_for() {
    let engine = Engine::open(EngineOptions::memory()).await.unwrap();
    engine.users().add("anna", "secret", false).await.unwrap();
    let (admin, anna) = (
        engine.client("admin").unwrap(),
        engine.client("anna").unwrap(),
    );
    let mut session = engine.session("admin").await.unwrap();
    session
        .run("CREATE TABLE mine (id int PRIMARY KEY)")
        .await
        .unwrap();
    let mut hers = engine.session("anna").await.unwrap();
    hers.run("CREATE TABLE hers (id int PRIMARY KEY); CREATE TABLE too (id int)")
        .await
        .unwrap();
    let only = |names: &[&str], models: &[Model]| ChangesRequest {
        relations: names.iter().map(|name| (*name).to_owned()).collect(),
        models: models.to_vec(),
        ..ChangesRequest::default()
    };
    let mut all = admin.changes(&only(&[], &[])).unwrap();
    let mut allowed = anna.changes(&only(&[], &[])).unwrap();
    let mut named = anna.changes(&only(&["public.hers"], &[])).unwrap();
    let mut documents = admin.changes(&only(&[], &[Model::Collection])).unwrap();
    session.run("INSERT INTO mine VALUES (1)").await.unwrap();
    hers.run("INSERT INTO hers VALUES (2); INSERT INTO too VALUES (3)")
        .await
        .unwrap();
    hers.run("ALTER TABLE hers RENAME TO renamed; INSERT INTO renamed VALUES (4)")
        .await
        .unwrap();
    let mine = "insert public.mine [id=Integer(1)] [Integer(1)]";
    let first = "insert public.hers [id=Integer(2)] [Integer(2)]";
    let second = "insert public.too [] [Integer(3)]";
    let third = "insert public.renamed [id=Integer(4)] [Integer(4)]";
    assert_eq!(
        script(&mut named),
        [first, "commit 1", "alter public.renamed", third, "commit 2"]
    );
    let found = script(&mut allowed);
    assert_eq!(
        found,
        [
            first,
            second,
            "commit 2",
            "alter public.renamed",
            third,
            "commit 2"
        ]
    );
    assert_eq!(script(&mut all)[..2], [mine, "commit 1"]);
    assert_eq!(script(&mut documents), [""; 0]);
    let refused = |names| {
        anna.changes(&only(names, &[]))
            .unwrap_err()
            .code
            .as_str()
            .to_owned()
    };
    assert_eq!(refused(&["mine"]), "42501");
    assert_eq!(refused(&["nothing"]), "42P01");
    // A user who is gone hears nothing more.
    session
        .run("DROP TABLE renamed; DROP TABLE too")
        .await
        .unwrap();
    script(&mut allowed);
    drop(hers);
    engine.users().drop("anna").await.unwrap();
    let report = allowed.next().await.unwrap_err();
    assert_eq!(report.code.as_str(), "28000");
    engine.close().await.unwrap();
}

/// Rows are read by the columns of their time, whatever became of the table since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn definitions_follow_the_stream() {
    let engine = Engine::open(EngineOptions::memory()).await.unwrap();
    let client = engine.client("admin").unwrap();
    let mut session = engine.session("admin").await.unwrap();
    let mut stream = follow(&client, ChangesFrom::Now);
    session
        .run(
            "CREATE TABLE t (id int PRIMARY KEY);
             INSERT INTO t VALUES (1)",
        )
        .await
        .unwrap();
    for sql in [
        "ALTER TABLE t ADD COLUMN n int DEFAULT 5",
        "INSERT INTO t VALUES (2, 6)",
        "TRUNCATE t",
        "INSERT INTO t VALUES (3, 7)",
        "DROP TABLE t",
    ] {
        session.run(sql).await.unwrap();
    }
    let found = script(&mut stream);
    let expected = [
        "create public.t",
        "insert public.t [id=Integer(1)] [Integer(1)]",
        "commit 2",
        "alter public.t",
        "commit 1",
        "insert public.t [id=Integer(2)] [Integer(2), Integer(6)]",
        "commit 1",
        "truncate public.t",
        "commit 1",
        "insert public.t [id=Integer(3)] [Integer(3), Integer(7)]",
        "commit 1",
        "drop public.t",
        "commit 1",
    ];
    assert_eq!(found, expected);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_waits_for_the_next_commit_and_ends_with_the_engine() {
    let engine = Engine::open(EngineOptions::memory()).await.unwrap();
    let client = engine.client("admin").unwrap();
    let mut session = engine.session("admin").await.unwrap();
    session
        .run("CREATE TABLE t (id int PRIMARY KEY)")
        .await
        .unwrap();
    let mut stream = follow(&client, ChangesFrom::Now);
    let waiting = tokio::spawn(async move {
        let first = stream.next().await.map(|change| word(&change));
        let commit = stream.next().await.map(|change| word(&change));
        (first, commit, stream.next().await)
    });
    session.run("INSERT INTO t VALUES (1)").await.unwrap();
    drop(session);
    engine.close().await.unwrap();
    let (first, commit, end) = waiting.await.unwrap();
    assert_eq!(
        first.unwrap(),
        "insert public.t [id=Integer(1)] [Integer(1)]"
    );
    assert_eq!(commit.unwrap(), "commit 1");
    assert_eq!(end.unwrap_err().code.as_str(), "57P03");
}

const INSERTS: i64 = 12;

/// A client that remembers what it has seen, and its last cursor.
#[derive(Default)]
struct Follower {
    cursor: Option<String>,
    seen: Vec<i64>,
}

impl Follower {
    /// Reads what there is; nothing while there is no power.
    fn read(&mut self, engine: &Engine) {
        let from = self
            .cursor
            .clone()
            .map_or(ChangesFrom::Oldest, ChangesFrom::Cursor);
        let request = ChangesRequest {
            from,
            ..ChangesRequest::default()
        };
        let stream = engine.client("admin").unwrap().changes(&request);
        let Ok(mut stream) = stream else { return };
        while let Ok(Some(change)) = stream.next_now() {
            if let What::Row { row: Some(row), .. } = &change.what {
                self.seen.push(row[0].as_i64().unwrap());
            }
            self.cursor = Some(change.cursor);
        }
    }
}

/// The newest insert that was acknowledged.
async fn inserts(
    engine: &Engine,
    simulation: &Simulation,
    from: i64,
    follower: &mut Follower,
) -> i64 {
    let mut acknowledged = from - 1;
    let mut session = engine.session("admin").await.unwrap();
    for n in from..=INSERTS {
        // Every fourth spills into a run.
        let note = "x".repeat(if n % 4 == 0 { 6_000 } else { 20 });
        let insert = format!("INSERT INTO t VALUES ({n}, '{note}')");
        let outcome = session.run(&insert).await;
        if !simulation.is_powered() {
            return acknowledged;
        }
        outcome.unwrap();
        acknowledged = n;
        if n % 3 == 0 {
            follower.read(engine);
        }
        if n % 5 == 0 {
            let _ = engine.checkpoint().await;
        }
    }
    acknowledged
}

/// Method: cut the power at some of the syncs; the client resumes by its last cursor.
/// Property: it has seen every insert that is there exactly once, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_resumes_after_a_power_loss_misses_nothing_and_sees_nothing_twice() {
    let options = |environment: &Environment| EngineOptions {
        data_dir: PathBuf::from("/data"),
        environment: environment.clone(),
        store: StoreKind::Simulated,
        admin_password: Some("secret".to_owned()),
        write_buffer_bytes_max: 4 << 10,
        query_threads: 1,
        ..EngineOptions::default()
    };
    let round = async |cut_at: Option<u64>| {
        let (environment, simulation): (Environment, Simulation) =
            Environment::simulated(cut_at.unwrap_or(0));
        // The table is there before the power goes.
        let engine = Engine::open(options(&environment)).await.unwrap();
        let mut session = engine.session("admin").await.unwrap();
        let table = "CREATE TABLE t (id int PRIMARY KEY, note text)";
        session.run(table).await.unwrap();
        drop(session);
        let start = simulation.sync_count();
        if let Some(cut_at) = cut_at {
            simulation.cut_power_at_sync(start + cut_at);
        }
        let mut follower = Follower::default();
        let acknowledged = inserts(&engine, &simulation, 1, &mut follower).await;
        let syncs = simulation.sync_count() - start;
        if cut_at.is_none() {
            engine.close().await.unwrap();
        }
        drop(engine);
        if cut_at.is_some() {
            simulation.power_loss();
        }
        let engine = Engine::open(options(&environment)).await.unwrap();
        follower.read(&engine);
        let survived = follower.seen.last().copied().unwrap_or(0);
        assert!(
            survived >= acknowledged,
            "cut_at={cut_at:?}: {survived} < {acknowledged}"
        );
        inserts(&engine, &simulation, survived + 1, &mut follower).await;
        follower.read(&engine);
        let all: Vec<i64> = (1..=INSERTS).collect();
        assert_eq!(follower.seen, all, "cut_at={cut_at:?}");
        engine.close().await.unwrap();
        syncs
    };
    let syncs = round(None).await;
    assert!(syncs > 10, "{syncs}");
    for cut_at in (0..syncs).step_by(2) {
        round(Some(cut_at)).await;
    }
}
