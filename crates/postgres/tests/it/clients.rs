//! A real driver: types in both formats, portals, COPY, pipelines, cancelling, errors.

use futures::{SinkExt, TryStreamExt};
use tokio_postgres::NoTls;

use crate::support::{SOON, TestServer, code};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_go_in_and_out_in_binary() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let row = client
        .query_one(
            "SELECT $1::int4, $2::int8, $3::text, $4::bool, $5::float8, $6::bytea, $7::int2",
            &[
                &7_i32,
                &(1_i64 << 40),
                &"h\u{e9}llo",
                &true,
                &1.5_f64,
                &vec![0_u8, 255],
                &3_i16,
            ],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, i32>(0), 7);
    assert_eq!(row.get::<_, i64>(1), 1 << 40);
    assert_eq!(row.get::<_, &str>(2), "h\u{e9}llo");
    assert!(row.get::<_, bool>(3));
    assert_eq!(row.get::<_, f64>(4), 1.5);
    assert_eq!(row.get::<_, Vec<u8>>(5), [0, 255]);
    assert_eq!(row.get::<_, i16>(6), 3);
    let rows = client.query("SELECT NULL::int4", &[]).await.unwrap();
    assert_eq!(rows[0].get::<_, Option<i32>>(0), None);
    drop(client);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_by_copy_comes_back_the_same() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY, name text)")
        .await
        .unwrap();
    let sink = client.copy_in("COPY t FROM STDIN").await.unwrap();
    let mut sink = std::pin::pin!(sink);
    for id in 0..10_000 {
        sink.send(bytes::Bytes::from(format!("{id}\tname {id}\n")))
            .await
            .unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 10_000);
    let row = client
        .query_one("SELECT count(*), max(name) FROM t", &[])
        .await
        .unwrap();
    assert_eq!(
        (row.get::<_, i64>(0), row.get::<_, &str>(1)),
        (10_000, "name 9999")
    );
    let stream = client
        .copy_out("COPY (SELECT * FROM t ORDER BY id) TO STDOUT")
        .await
        .unwrap();
    let pieces: Vec<bytes::Bytes> = stream.try_collect().await.unwrap();
    let text: Vec<u8> = pieces.concat();
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 10_000);
    assert!(text.starts_with(b"0\tname 0\n1\tname 1\n"));
    drop(client);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_portal_gives_its_rows_in_parts() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let txn = client.transaction().await.unwrap();
    let portal = txn
        .bind("SELECT n FROM generate_series(1, 10) AS g (n)", &[])
        .await
        .unwrap();
    let mut sizes = Vec::new();
    loop {
        let rows = txn.query_portal(&portal, 4).await.unwrap();
        if rows.is_empty() {
            break;
        }
        sizes.push(rows.len());
    }
    assert_eq!(sizes, [4, 4, 2]);
    txn.rollback().await.unwrap();
    drop(client);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_statements_are_answered_in_order() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let statement = client.prepare("SELECT $1::int4 + 1").await.unwrap();
    let values: Vec<i32> = (0..500).collect();
    let queries = values.iter().map(|n| {
        let statement = &statement;
        let client = &client;
        async move {
            client
                .query_one(statement, &[n])
                .await
                .unwrap()
                .get::<_, i32>(0)
        }
    });
    let answers = futures::future::join_all(queries).await;
    assert_eq!(answers, (1..=500).collect::<Vec<_>>());
    drop(client);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_has_its_fields() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    let error = client
        .execute("INSERT INTO t VALUES (1)", &[])
        .await
        .unwrap_err();
    let fields = error.as_db_error().unwrap();
    assert_eq!(fields.code().code(), "23505");
    assert_eq!(
        fields.message(),
        "duplicate key value violates unique constraint \"t_pkey\""
    );
    assert_eq!(fields.detail(), Some("Key (id)=(1) already exists."));
    assert_eq!(
        (fields.schema(), fields.table(), fields.constraint()),
        (Some("public"), Some("t"), Some("t_pkey"))
    );
    let error = client
        .batch_execute("SELECT nothing FROM t")
        .await
        .unwrap_err();
    let fields = error.as_db_error().unwrap();
    assert_eq!(fields.code().code(), "42703");
    assert_eq!(
        fields.position(),
        Some(&tokio_postgres::error::ErrorPosition::Original(8))
    );
    drop(client);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_request_ends_a_statement() {
    let server = TestServer::start().await;
    let holder = server.client().await;
    holder
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1); COMMIT; BEGIN; UPDATE t SET id = 2")
        .await
        .unwrap();
    let client = server.client().await;
    let token = client.cancel_token();
    let waiting = tokio::spawn(async move {
        let result = client.batch_execute("UPDATE t SET id = 3").await;
        (client, result)
    });
    let active = async {
        while !server.engine.sessions().iter().any(|s| s.state == "active") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, active).await.unwrap();
    token.cancel_query(NoTls).await.unwrap();
    let (client, result) = tokio::time::timeout(SOON, waiting).await.unwrap().unwrap();
    assert_eq!(code(&result.unwrap_err()), "57014");
    client.batch_execute("SELECT 1").await.unwrap();
    drop((client, holder));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_without_end_meets_the_statement_timeout() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client
        .batch_execute("SET statement_timeout = 200")
        .await
        .unwrap();
    let endless =
        client.batch_execute("SELECT sum(a.n) FROM generate_series(1, 1000000000000) AS a (n)");
    let error = tokio::time::timeout(SOON, endless)
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(code(&error), "57014");
    tokio::time::timeout(SOON, client.batch_execute("SELECT 1"))
        .await
        .unwrap()
        .unwrap();
    drop(client);
    server.stop().await;
}
