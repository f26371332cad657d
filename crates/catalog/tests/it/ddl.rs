//! DDL is transactional, versioned, checked, and survives a restart.

use tessera_catalog::{
    AlterTable, ColumnSource, ColumnSpec, CommentTarget, ConstraintSpec, DropBehavior,
    IndexColumnSpec, IndexSpec, Relation, SequenceChange, UserSpec, ViewColumn, ViewSpec,
};
use tessera_storage::{KeyRange, KeySpace};
use tessera_types::{RelationId, SqlType, Value};

use crate::world::{World, names, table};

fn view(name: &str, depends_on: Vec<RelationId>) -> ViewSpec {
    ViewSpec {
        schema: "public".to_owned(),
        name: name.to_owned(),
        sql: "SELECT id FROM public.t".to_owned(),
        columns: vec![ViewColumn {
            name: "id".to_owned(),
            sql_type: SqlType::Integer,
            comment: None,
        }],
        depends_on,
        depends_on_columns: Vec::new(),
        owner: 10,
        replace: false,
    }
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let world = World::new().await;
    let created = world.table("t").await;
    world
        .run(async |catalog, txn| {
            catalog
                .create_view(txn, view("v", vec![created.id]))
                .await?;
            let mut column = ColumnSpec::new("n", SqlType::Numeric(Some((12, 2)))).not_null();
            column.default = Some("0".to_owned());
            column.missing = Some(Value::text("zero"));
            let actions = vec![
                AlterTable::AddColumn {
                    column: Box::new(column),
                    constraints: vec![ConstraintSpec::Unique {
                        name: None,
                        columns: names(&["n"]),
                        nulls_not_distinct: false,
                    }],
                    if_not_exists: false,
                },
                AlterTable::AddConstraint(ConstraintSpec::Check {
                    name: None,
                    sql: "n >= 0".to_owned(),
                    columns: names(&["n"]),
                }),
            ];
            catalog.alter_table(txn, created.id, actions).await?;
            let comment = Some("the table".to_owned());
            catalog
                .comment(txn, CommentTarget::Relation(created.id), comment)
                .await?;
            let user = UserSpec {
                name: "admin".to_owned(),
                verifier: Some(Some("SCRAM-SHA-256$…".to_owned())),
                admin: Some(true),
                login: Some(true),
                rename: None,
            };
            catalog.create_user(txn, user).await
        })
        .await
        .unwrap();

    let again = world.reopened().await;
    let state = again.state();
    let Some(Relation::Table(table)) = state.relation("public", "t") else {
        panic!("no table")
    };
    let before = world.state();
    assert_eq!(
        format!("{:?}", table.columns),
        format!("{:?}", before.table(table.id).unwrap().columns)
    );
    let indexes: Vec<_> = table
        .indexes
        .iter()
        .map(|index| index.name.as_str())
        .collect();
    assert_eq!(indexes, ["t_pkey", "t_n_key"]);
    assert_eq!(table.primary_key, Some(table.indexes[0].id));
    assert_eq!(table.checks[0].name, "t_n_check");
    assert_eq!(table.comment.as_deref(), Some("the table"));
    assert!(table.column("id").unwrap().not_null, "a key column");
    assert_eq!(state.user("admin").unwrap().oid, 10);
    assert!(matches!(
        state.relation("public", "v"),
        Some(Relation::View(_))
    ));
    // Ids go on where they stopped, also those that were reserved.
    let next = again.table("u").await;
    assert!(next.id > table.indexes[1].id);
}

#[tokio::test]
async fn ddl_is_seen_by_its_own_transaction_first_and_by_others_at_commit() {
    let world = World::new().await;
    let txn = world.begin();
    let guard = txn.start_statement().await.unwrap();
    let created = world.catalog.create_table(&txn, table("t")).await.unwrap();
    guard.finish();
    assert!(world.catalog.state_for(&txn).table(created.id).is_some());
    assert!(world.state().table(created.id).is_none());
    // Something else is committed meanwhile: both are there.
    world.table("other").await;
    assert!(
        world
            .catalog
            .state_for(&txn)
            .relation("public", "other")
            .is_some()
    );
    let version = txn.commit().await.unwrap();
    let table = world.state().table(created.id).cloned().unwrap();
    assert_eq!(table.published_at, version);
    assert!(world.state().relation("public", "other").is_some());
}

#[tokio::test]
async fn undoing_a_statement_savepoint_or_transaction_undoes_its_ddl() {
    let world = World::new().await;
    let txn = world.begin();
    let seen = |name: &str| {
        world
            .catalog
            .state_for(&txn)
            .relation("public", name)
            .is_some()
    };
    let create = async |name: &str| {
        let guard = txn.start_statement().await.unwrap();
        world.catalog.create_table(&txn, table(name)).await.unwrap();
        guard
    };
    create("kept").await.finish();
    create("undone").await.undo();
    txn.savepoint("s").unwrap();
    create("after").await.finish();
    assert!(seen("kept") && !seen("undone") && seen("after"));
    txn.rollback_to("s").unwrap();
    assert!(seen("kept") && !seen("after"));
    create("last").await.finish();
    txn.commit().await.unwrap();
    let names: Vec<_> = world
        .state()
        .tables()
        .iter()
        .map(|t| t.name.clone())
        .collect();
    assert_eq!(names, ["kept", "last"]);

    let txn = world.begin();
    let guard = txn.start_statement().await.unwrap();
    world
        .catalog
        .create_table(&txn, table("gone"))
        .await
        .unwrap();
    guard.finish();
    txn.rollback();
    assert!(world.state().relation("public", "gone").is_none());
    assert!(
        world
            .reopened()
            .await
            .state()
            .relation("public", "gone")
            .is_none()
    );
}

#[tokio::test]
async fn versions_grow_with_every_change() {
    let world = World::new().await;
    let first = world.table("t").await;
    let index = IndexSpec {
        table: first.id,
        name: None,
        columns: vec![IndexColumnSpec {
            column: "a".into(),
            descending: true,
            nulls_first: None,
        }],
        unique: false,
        nulls_not_distinct: false,
    };
    let (second, index) = world
        .run(async |catalog, txn| catalog.create_index(txn, index).await)
        .await
        .unwrap();
    assert_eq!(index.name, "t_a_idx");
    assert!(index.columns[0].nulls_first, "the default of DESC");
    assert!(second.version > first.version);
    let txn = world.begin();
    assert!(!world.catalog.is_current(&txn, &first));
    assert!(world.catalog.is_current(&txn, &second));
    let before = world.state().version();
    let third = world
        .run(async |catalog, txn| catalog.truncate_storage(txn, first.id).await)
        .await
        .unwrap();
    assert!(world.state().version() > before);
    assert_ne!(third.storage, second.storage);
    assert_ne!(third.indexes[0].storage, second.indexes[0].storage);
    // The old storage is destroyed, once.
    assert_eq!(world.catalog.collect_garbage().await.unwrap(), 3);
    assert_eq!(
        world
            .reopened()
            .await
            .catalog
            .collect_garbage()
            .await
            .unwrap(),
        0
    );
}

#[tokio::test]
async fn what_depends_on_an_object_stops_its_drop_or_goes_with_it() {
    let world = World::new().await;
    let t = world.table("t").await;
    let v = world
        .run(async |catalog, txn| catalog.create_view(txn, view("v", vec![t.id])).await)
        .await
        .unwrap();
    world
        .run(async |catalog, txn| catalog.create_view(txn, view("w", vec![v.id])).await)
        .await
        .unwrap();
    let refused = world
        .refused(async |catalog, txn| {
            catalog
                .drop_relation(txn, t.id, DropBehavior::Restrict)
                .await
        })
        .await;
    assert_eq!(refused.0, "2BP01");
    assert_eq!(
        refused.1,
        "cannot drop table t because other objects depend on it | view v depends on table t\n\
         view w depends on view v"
    );
    let dropped = world
        .run(async |catalog, txn| {
            catalog
                .drop_relation(txn, t.id, DropBehavior::Cascade)
                .await
        })
        .await
        .unwrap();
    assert_eq!(dropped, ["view v", "view w"]);
    assert!(world.state().relations().is_empty());
    assert!(world.reopened().await.state().relations().is_empty());
}

#[tokio::test]
async fn dropping_a_column_takes_what_uses_it() {
    let world = World::new().await;
    let mut spec = table("t");
    spec.columns.push(ColumnSpec {
        source: ColumnSource::Serial,
        ..ColumnSpec::new("n", SqlType::Integer)
    });
    spec.constraints.push(ConstraintSpec::Unique {
        name: None,
        columns: names(&["a", "n"]),
        nulls_not_distinct: false,
    });
    let t = world
        .run(async |catalog, txn| catalog.create_table(txn, spec).await)
        .await
        .unwrap();
    assert_eq!(
        t.column("n").unwrap().default.as_deref(),
        Some("nextval('t_n_seq'::regclass)")
    );
    let drop = AlterTable::DropColumn {
        name: "n".into(),
        if_exists: false,
        cascade: false,
    };
    let t = world
        .run(async |catalog, txn| catalog.alter_table(txn, t.id, vec![drop]).await)
        .await
        .unwrap();
    assert_eq!(t.indexes.len(), 1);
    assert_eq!(
        (t.dropped[0].id, &t.dropped[0].sql_type),
        (3, &SqlType::Integer)
    );
    assert!(world.state().sequences().is_empty());
    let add = AlterTable::AddColumn {
        column: Box::new(ColumnSpec::new("n", SqlType::Text)),
        constraints: Vec::new(),
        if_not_exists: false,
    };
    let t = world
        .run(async |catalog, txn| catalog.alter_table(txn, t.id, vec![add]).await)
        .await
        .unwrap();
    assert_eq!(t.column("n").unwrap().id, 4, "numbers are not reused");
}

#[tokio::test]
async fn refusals_have_the_words_of_postgresql() {
    let world = World::new().await;
    let t = world.table("t").await;
    let refused = async |spec| {
        world
            .refused(async |catalog, txn| catalog.create_table(txn, spec).await)
            .await
    };
    let is = |(code, text): (String, String), expected: (&str, &str)| {
        assert_eq!((code.as_str(), text.as_str()), expected);
    };
    is(
        refused(table("t")).await,
        ("42P07", "relation \"t\" already exists"),
    );
    let mut spec = table("u");
    spec.schema = "nowhere".to_owned();
    is(
        refused(spec).await,
        ("3F000", "schema \"nowhere\" does not exist"),
    );
    let mut spec = table("u");
    spec.columns.push(ColumnSpec::new("a", SqlType::Text));
    is(
        refused(spec).await,
        ("42701", "column \"a\" specified more than once"),
    );
    let mut spec = table("u");
    spec.constraints[0] = ConstraintSpec::PrimaryKey {
        name: None,
        columns: names(&["x"]),
    };
    is(
        refused(spec).await,
        ("42703", "column \"x\" named in key does not exist"),
    );
    let mut spec = table("u");
    spec.constraints.push(spec.constraints[0].clone());
    is(
        refused(spec).await,
        (
            "42P16",
            "multiple primary keys for table \"u\" are not allowed",
        ),
    );
    let alter = async |action| {
        let actions = vec![action];
        world
            .refused(async |catalog, txn| catalog.alter_table(txn, t.id, actions).await)
            .await
    };
    is(
        alter(AlterTable::SetNotNull {
            column: "x".into(),
            not_null: true,
        })
        .await,
        ("42703", "column \"x\" of relation \"t\" does not exist"),
    );
    is(
        alter(AlterTable::SetNotNull {
            column: "id".into(),
            not_null: false,
        })
        .await,
        ("42P16", "column \"id\" is in a primary key"),
    );
    is(
        world
            .refused(async |catalog, txn| catalog.create_schema(txn, "pg_x", 10).await)
            .await,
        (
            "42939",
            "unacceptable schema name \"pg_x\" | The prefix \"pg_\" is reserved for system schemas.",
        ),
    );
    is(
        world
            .refused(async |catalog, txn| catalog.create_schema(txn, "public", 10).await)
            .await,
        ("42P06", "schema \"public\" already exists"),
    );
    is(
        world
            .refused(async |catalog, txn| {
                catalog
                    .drop_relation(txn, t.indexes[0].id, DropBehavior::Restrict)
                    .await
            })
            .await,
        (
            "2BP01",
            "cannot drop index t_pkey because constraint t_pkey on table t requires it",
        ),
    );
    is(
        world
            .refused(async |catalog, txn| {
                catalog
                    .drop_schema(txn, "public", DropBehavior::Restrict)
                    .await
            })
            .await,
        (
            "2BP01",
            "cannot drop schema public because other objects depend on it | \
             table t depends on schema public",
        ),
    );
    is(
        world
            .refused(async |catalog, txn| catalog.drop_user(txn, "nobody").await)
            .await,
        ("42704", "role \"nobody\" does not exist"),
    );
}

/// Two transactions that create the same name: the second one waits and is then refused.
#[tokio::test]
async fn a_name_is_taken_by_one_transaction_only() {
    let world = World::new().await;
    let txn = world.begin();
    let guard = txn.start_statement().await.unwrap();
    world.catalog.create_table(&txn, table("t")).await.unwrap();
    guard.finish();
    let other = world.refused(async |catalog, txn| catalog.create_table(txn, table("t")).await);
    let (refused, ()) = tokio::join!(other, async {
        while world
            .catalog
            .transactions()
            .locks()
            .snapshot()
            .iter()
            .all(|lock| lock.granted)
        {
            tokio::task::yield_now().await;
        }
        txn.commit().await.unwrap();
    });
    assert_eq!(refused.0, "42P07");
}

#[tokio::test]
async fn a_schema_is_renamed_with_everything_in_it() {
    let world = World::new().await;
    world
        .run(async |catalog, txn| {
            catalog.create_schema(txn, "s", 10).await?;
            let mut spec = table("t");
            spec.schema = "s".to_owned();
            spec.columns.push(ColumnSpec {
                source: ColumnSource::Identity {
                    always: true,
                    options: SequenceChange::default(),
                },
                ..ColumnSpec::new("n", SqlType::BigInt)
            });
            catalog.create_table(txn, spec).await
        })
        .await
        .unwrap();
    world
        .run(async |catalog, txn| catalog.rename_schema(txn, "s", "r").await)
        .await
        .unwrap();
    for state in [world.state(), world.reopened().await.state()] {
        assert!(!state.has_schema("s") && state.has_schema("r"));
        for name in ["t", "t_pkey", "t_n_seq"] {
            assert!(state.relation("r", name).is_some(), "{name}");
            assert!(state.relation("s", name).is_none(), "{name}");
        }
    }
    let dropped = world
        .run(async |catalog, txn| catalog.drop_schema(txn, "r", DropBehavior::Cascade).await)
        .await
        .unwrap();
    assert_eq!(dropped, ["table t"]);
    assert!(world.state().relations().is_empty());
}

/// An entry that a newer release wrote, or that is damaged, stops the opening with a clear error.
#[tokio::test]
async fn unreadable_entries_are_named() {
    for (value, code) in [
        (
            &br#"{"format":99,"object":{"something":"new"}}"#[..],
            "0A000",
        ),
        (&b"garbage"[..], "XX001"),
    ] {
        let world = World::new().await;
        let txn = world.begin();
        let key = bytes::Bytes::from_static(&[2, 0, 0, 64, 1]);
        txn.put(KeySpace::Catalog, key, bytes::Bytes::from_static(value))
            .unwrap();
        txn.commit().await.unwrap();
        let error =
            tessera_catalog::Catalog::open(std::sync::Arc::clone(world.catalog.transactions()))
                .await
                .unwrap_err();
        assert_eq!(error.report().code.as_str(), code);
    }
}

#[tokio::test]
async fn a_dropped_table_leaves_no_keys() {
    let world = World::new().await;
    let t = world.table("t").await;
    let txn = world.begin();
    let mut key = t.storage.0.to_be_bytes().to_vec();
    key.push(1);
    txn.put(
        KeySpace::Rows,
        key.into(),
        bytes::Bytes::from_static(b"row"),
    )
    .unwrap();
    txn.commit().await.unwrap();
    world
        .run(async |catalog, txn| {
            catalog
                .drop_relation(txn, t.id, DropBehavior::Restrict)
                .await
        })
        .await
        .unwrap();
    world.catalog.collect_garbage().await.unwrap();
    let view = world.catalog.transactions().view();
    let mut scan = view.scan(KeySpace::Rows, KeyRange::all(), Default::default());
    assert!(scan.next_batch().await.unwrap().is_none());
}
