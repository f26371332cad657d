//! Keys and documents through the facade: transactions, definitions, rights, what is given back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tessera_engine::documents::DocumentId;
use tessera_engine::keyvalue::{Expire, SetExpiry, SetOptions};
use tessera_engine::models::{BeginOptions, Call, Client, IndexSpec};
use tessera_engine::{Engine, EngineOptions, Isolation, Report};

const WITHIN: Duration = Duration::from_secs(30);

async fn engine() -> Engine {
    Engine::open(EngineOptions::memory()).await.unwrap()
}

fn write() -> Call {
    Call::write("a test writes", None)
}

fn read() -> Call {
    Call::read("a test reads", None)
}

async fn set(
    client: &Client,
    call: &Call,
    space: &str,
    key: &str,
    value: &str,
) -> Result<(), Report> {
    client
        .run(call, move |txn| async move {
            let space = client.space_to_write(&txn, space).await?;
            let writer = client.key_writer(&space, &txn);
            let options = SetOptions::default();
            writer
                .set(key.as_bytes(), value.as_bytes(), options)
                .await?;
            Ok(())
        })
        .await
}

async fn get(
    client: &Client,
    call: &Call,
    space: &str,
    key: &str,
) -> Result<Option<String>, Report> {
    client
        .run(call, move |txn| async move {
            let Some(space) = client.space(&txn, space).await? else {
                return Ok(None);
            };
            let view = txn.view();
            let value = client.key_reader(&space, &view).get(key.as_bytes()).await?;
            Ok(value.map(|value| String::from_utf8(value.to_vec()).unwrap()))
        })
        .await
}

async fn insert(
    client: &Client,
    call: &Call,
    collection: &str,
    body: &Value,
) -> Result<(), Report> {
    client
        .run(call, move |txn| async move {
            let collection = client.collection(&txn, collection).await?;
            collection.insert(&txn, None, body.clone()).await?;
            Ok(())
        })
        .await
}

async fn count(client: &Client, collection: &str) -> Result<u64, Report> {
    client
        .run(&read(), move |txn| async move {
            let collection = client.collection(&txn, collection).await?;
            let filter = tessera_engine::documents::Filter::all();
            Ok(collection.count(txn.view(), &filter).await?)
        })
        .await
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_key_space_is_made_by_its_first_write_and_opened_once() {
    let engine = engine().await;
    let client = engine.client("admin").unwrap();
    assert_eq!(get(&client, &read(), "db0", "a").await.unwrap(), None);
    set(&client, &write(), "db0", "a", "1").await.unwrap();
    assert_eq!(
        get(&client, &read(), "db0", "a").await.unwrap().unwrap(),
        "1"
    );
    let (one, other) = tokio::join!(client.open_space("db0"), client.open_space("db0"));
    assert!(Arc::ptr_eq(&one.unwrap(), &other.unwrap()));
    let list = client.list_key_spaces().await.unwrap();
    assert_eq!((list.len(), list[0].footprint.keys), (1, 1));
    engine.close().await.unwrap();
}

#[tokio::test]
async fn many_first_writers_make_one_key_space() {
    let engine = engine().await;
    let client = engine.client("admin").unwrap();
    let writers = (0..16).map(|number| {
        let client = client.clone();
        tokio::spawn(async move {
            set(&client, &write(), "db0", &number.to_string(), "x")
                .await
                .unwrap();
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let list = client.list_key_spaces().await.unwrap();
    assert_eq!((list.len(), list[0].footprint.keys), (1, 16));
    engine.close().await.unwrap();
}

#[tokio::test]
async fn a_rollback_undoes_the_writes_in_all_models() {
    let engine = engine().await;
    let client = engine.client("admin").unwrap();
    let mut session = engine.session("admin").await.unwrap();
    session
        .run("CREATE TABLE t (id int PRIMARY KEY)")
        .await
        .unwrap();
    client
        .create_collection(&write(), "orders", &Map::new())
        .await
        .unwrap();
    for commits in [false, true] {
        let token = client.begin(BeginOptions::default()).unwrap();
        let call = Call::write("a test", Some(client.join(&token).unwrap()));
        set(&client, &call, "db0", "a", "1").await.unwrap();
        insert(&client, &call, "orders", &json!({"_id": "o1"}))
            .await
            .unwrap();
        session.join_transaction(&token).unwrap();
        session.run("INSERT INTO t VALUES (1)").await.unwrap();
        session.run("RESET tessera.join").await.unwrap();
        drop(call);
        if commits {
            client.commit_held(&token).await.unwrap();
        } else {
            client.roll_back_held(&token).unwrap();
        }
        let rows = session
            .query("SELECT id FROM t", &[])
            .await
            .unwrap()
            .rows
            .len();
        let key = get(&client, &read(), "db0", "a").await.unwrap();
        let documents = count(&client, "orders").await.unwrap();
        let expected = usize::from(commits);
        assert_eq!(
            (rows, key.is_some(), documents),
            (expected, commits, expected as u64)
        );
    }
    drop(session);
    engine.close().await.unwrap();
}

#[tokio::test]
async fn a_call_that_fails_undoes_itself_only_and_a_lost_conflict_ends_the_transaction() {
    let engine = engine().await;
    let client = engine.client("admin").unwrap();
    set(&client, &write(), "db0", "a", "0").await.unwrap();
    client
        .create_collection(&write(), "orders", &Map::new())
        .await
        .unwrap();
    let token = client
        .begin(BeginOptions {
            isolation: Some(Isolation::RepeatableRead),
            ..BeginOptions::default()
        })
        .unwrap();
    let call = Call::write("a test", Some(client.join(&token).unwrap()));
    insert(&client, &call, "orders", &json!({"_id": "o1"}))
        .await
        .unwrap();
    let twice = insert(&client, &call, "orders", &json!({"_id": "o1"}))
        .await
        .unwrap_err();
    assert_eq!(twice.code.as_str(), "23505");
    set(&client, &call, "db0", "b", "1").await.unwrap();
    // Somebody else is first.
    set(&client, &write(), "db0", "a", "1").await.unwrap();
    let lost = set(&client, &call, "db0", "a", "2").await.unwrap_err();
    assert_eq!(lost.code.as_str(), "40001");
    let failed = get(&client, &call, "db0", "a").await.unwrap_err();
    assert_eq!(failed.code.as_str(), "25P02");
    drop(call);
    let failed = client.commit_held(&token).await.unwrap_err();
    assert_eq!(failed.code.as_str(), "25P02");
    assert_eq!(count(&client, "orders").await.unwrap(), 0);
    assert_eq!(get(&client, &read(), "db0", "b").await.unwrap(), None);
    engine.close().await.unwrap();
}

#[tokio::test]
async fn a_definition_of_a_transaction_that_is_rolled_back_is_never_used() {
    let engine = engine().await;
    let client = engine.client("admin").unwrap();
    client
        .create_collection(&write(), "c", &Map::new())
        .await
        .unwrap();
    insert(&client, &write(), "c", &json!({"_id": "1", "n": 1}))
        .await
        .unwrap();
    insert(&client, &write(), "c", &json!({"_id": "2", "n": 2}))
        .await
        .unwrap();
    let unique = IndexSpec {
        name: "n".to_owned(),
        options: object(json!({"fields": [{"path": "n"}], "unique": true})),
    };
    let token = client.begin(BeginOptions::default()).unwrap();
    let call = Call::write("a test", Some(client.join(&token).unwrap()));
    client
        .create_document_index(&call, "c", &unique)
        .await
        .unwrap();
    let refused = insert(&client, &call, "c", &json!({"n": 1}))
        .await
        .unwrap_err();
    assert_eq!(refused.code.as_str(), "23505");
    drop(call);
    client.roll_back_held(&token).unwrap();
    // The same version number, another definition.
    let plain = IndexSpec {
        options: object(json!({"fields": [{"path": "n"}]})),
        ..unique.clone()
    };
    client
        .create_document_index(&write(), "c", &plain)
        .await
        .unwrap();
    insert(&client, &write(), "c", &json!({"n": 1}))
        .await
        .unwrap();
    assert_eq!(count(&client, "c").await.unwrap(), 3);
    assert!(
        client
            .drop_document_index(&write(), "c", "n")
            .await
            .unwrap()
    );
    assert!(
        !client
            .drop_document_index(&write(), "c", "n")
            .await
            .unwrap()
    );
    engine.close().await.unwrap();
}

#[tokio::test]
async fn what_was_dropped_is_gone_and_may_be_made_anew() {
    let engine = engine().await;
    let client = engine.client("admin").unwrap();
    let mut session = engine.session("admin").await.unwrap();
    for round in 0..2 {
        set(&client, &write(), "db0", "a", "1").await.unwrap();
        client
            .create_collection(&write(), "c", &Map::new())
            .await
            .unwrap();
        insert(&client, &write(), "c", &json!({"_id": "1"}))
            .await
            .unwrap();
        if round == 0 {
            assert!(client.drop_key_space(&write(), "db0").await.unwrap());
            assert!(client.drop_collection(&write(), "c").await.unwrap());
            assert!(!client.drop_collection(&write(), "c").await.unwrap());
        } else {
            session.run("DROP TABLE kv.db0, c").await.unwrap();
        }
        assert_eq!(get(&client, &read(), "db0", "a").await.unwrap(), None);
        let missing = count(&client, "c").await.unwrap_err();
        assert_eq!(missing.code.as_str(), "42P01");
    }
    drop(session);
    engine.close().await.unwrap();
}

#[tokio::test]
async fn sql_joins_keys_and_documents_and_defines_no_more_than_they_have() {
    let engine = engine().await;
    let client = engine.client("admin").unwrap();
    set(&client, &write(), "db0", "a", "1").await.unwrap();
    let mut session = engine.session("admin").await.unwrap();
    for (sql, code) in [
        (
            "INSERT INTO kv.db0 VALUES ('a', 'b', 'string', NULL, 1)",
            "428C9",
        ),
        ("ALTER TABLE kv.db0 ADD COLUMN x int", "0A000"),
        ("CREATE INDEX ON kv.db0 (value)", "42809"),
        ("CREATE TABLE kv.t (id int)", "42501"),
        ("CREATE VIEW kv.v AS SELECT 1", "42501"),
        ("DROP SCHEMA kv", "2BP01"),
        ("ALTER SCHEMA kv RENAME TO other", "2BP01"),
    ] {
        let report = session.run(sql).await.unwrap_err();
        assert_eq!(report.code.as_str(), code, "{sql}: {report}");
    }
    session.run("ANALYZE").await.unwrap();
    client
        .create_collection(&write(), "orders", &Map::new())
        .await
        .unwrap();
    let order = json!({"_id": "o1", "key": "a", "items": [{"n": 2}, {"n": 3}]});
    insert(&client, &write(), "orders", &order).await.unwrap();
    let joined = session
        .query(
            "SELECT k.key, k.value, k.type, k.ttl, o.id, o.doc->'items'->1->>'n', o.version > 0 \
             FROM kv.db0 AS k JOIN orders AS o ON o.doc->>'key' = k.key",
            &[],
        )
        .await
        .unwrap();
    let row: Vec<_> = (0..7).map(|at| joined.text(0, at)).collect();
    let texts = |texts: [Option<&str>; 7]| texts.map(|text| text.map(str::to_owned)).to_vec();
    assert_eq!(joined.rows.len(), 1);
    assert_eq!(
        row,
        texts([
            Some("a"),
            Some("1"),
            Some("string"),
            None,
            Some("o1"),
            Some("3"),
            Some("t")
        ])
    );
    let columns = session
        .query(
            "SELECT column_name FROM information_schema.columns \
             WHERE table_schema = 'kv' ORDER BY ordinal_position",
            &[],
        )
        .await
        .unwrap();
    let names: Vec<_> = (0..columns.rows.len())
        .map(|row| columns.text(row, 0).unwrap())
        .collect();
    assert_eq!(names, ["key", "value", "type", "ttl", "size"]);
    drop(session);
    engine.close().await.unwrap();
}

#[tokio::test]
async fn what_has_expired_is_removed_in_the_background() {
    let engine = engine().await;
    let client = &engine.client("admin").unwrap();
    client
        .run(&write(), |txn| async move {
            let space = client.space_to_write(&txn, "db0").await?;
            let options = SetOptions {
                expiry: SetExpiry::Expire(Expire::InMillis(1)),
                ..SetOptions::default()
            };
            client
                .key_writer(&space, &txn)
                .set(b"a", b"1", options)
                .await?;
            Ok(())
        })
        .await
        .unwrap();
    let ttl = json!({"indexes": [{"name": "ttl", "ttl": {"path": "at", "after_seconds": 0}}]});
    client
        .create_collection(&write(), "c", &object(ttl))
        .await
        .unwrap();
    insert(client, &write(), "c", &json!({"_id": "1", "at": 5}))
        .await
        .unwrap();
    insert(client, &write(), "c", &json!({"_id": "2"}))
        .await
        .unwrap();
    let deadline = Instant::now() + WITHIN;
    let mut pause = tokio::time::interval(Duration::from_millis(20));
    while count(client, "c").await.unwrap() != 1 {
        assert!(Instant::now() < deadline, "the document is still there");
        pause.tick().await;
    }
    let id = DocumentId::new("2").unwrap();
    let id = &id;
    let kept = client
        .run(&read(), move |txn| async move {
            let collection = client.collection(&txn, "c").await?;
            let view = txn.view();
            Ok(collection.get(&*view, id).await?)
        })
        .await
        .unwrap();
    assert!(kept.is_some());
    engine.close().await.unwrap();
}

#[tokio::test]
async fn passwords_are_checked_and_a_new_one_makes_the_old_one_forgotten() {
    let engine = engine().await;
    engine.users().add("anna", "first", false).await.unwrap();
    for _ in 0..2 {
        engine.authenticate("anna", "first").await.unwrap();
        let wrong = engine.authenticate("anna", "second").await.unwrap_err();
        assert_eq!(wrong.code.as_str(), "28P01");
        let unknown = engine.authenticate("bert", "first").await.unwrap_err();
        assert_eq!(unknown.code.as_str(), "28P01");
    }
    engine.users().set_password("anna", "second").await.unwrap();
    engine.authenticate("anna", "second").await.unwrap();
    assert!(engine.authenticate("anna", "first").await.is_err());
    engine.close().await.unwrap();
}

#[tokio::test]
async fn a_definition_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(EngineOptions::at(dir.path())).await.unwrap();
    let client = engine.client("admin").unwrap();
    let options = json!({
        "indexes": [{"name": "n", "fields": [{"path": "n", "descending": true}], "sparse": true,
            "partial": {"n": {"$gt": 1.50}}}],
        "schema": {"type": "object", "properties": {"n": {"maximum": 1e3}}},
    });
    let made = client
        .create_collection(&write(), "c", &object(options))
        .await
        .unwrap();
    insert(&client, &write(), "c", &json!({"n": 5}))
        .await
        .unwrap();
    set(&client, &write(), "db0", "a", "1").await.unwrap();
    engine.close().await.unwrap();
    drop((client, engine));
    let engine = Engine::open(EngineOptions::at(dir.path())).await.unwrap();
    let client = engine.client("admin").unwrap();
    let found = client.describe_collection(&read(), "c").await.unwrap();
    assert_eq!(found.options, made.options);
    assert_eq!(count(&client, "c").await.unwrap(), 1);
    let refused = insert(&client, &write(), "c", &json!({"n": 5000}))
        .await
        .unwrap_err();
    assert_eq!(refused.code.as_str(), "23514");
    assert_eq!(
        get(&client, &read(), "db0", "a").await.unwrap().unwrap(),
        "1"
    );
    engine.close().await.unwrap();
}
