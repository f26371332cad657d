//! What the binder makes of expressions, and which way to the rows is chosen.

use std::sync::Arc;

use tessera_catalog::{ColumnDef, IndexColumn, IndexDef, ObjectVersion, TableDef};
use tessera_types::{RelationId, SqlType, Version};

use super::access::{Access, OrderTerm, Wanted, choose};
use super::bind::{Binder, ParamTypes, Scope, Typed, Unbound};

fn column(id: u16, name: &str, sql_type: SqlType, not_null: bool) -> ColumnDef {
    ColumnDef {
        id,
        name: name.to_owned(),
        sql_type,
        not_null,
        default: None,
        identity: None,
        generated: None,
        missing: None,
        comment: None,
    }
}

fn index(id: u32, name: &str, columns: &[(u16, bool)], unique: bool) -> Arc<IndexDef> {
    Arc::new(IndexDef {
        id: RelationId(id),
        storage: RelationId(id),
        name: name.to_owned(),
        columns: columns
            .iter()
            .map(|(column, descending)| IndexColumn {
                column: *column,
                descending: *descending,
                nulls_first: *descending,
            })
            .collect(),
        unique,
        primary: name == "t_pkey",
        constraint: None,
        nulls_not_distinct: false,
        comment: None,
    })
}

/// `t(id int primary key, a int, b bigint not null, s text, d date, c char(4))`, indexes
/// `ab(a, b desc)` and unique `s`.
fn table() -> TableDef {
    TableDef {
        id: RelationId(1),
        storage: RelationId(1),
        schema: "public".to_owned(),
        name: "t".to_owned(),
        version: ObjectVersion(1),
        model: tessera_catalog::Model::Rows,
        options: serde_json::Value::Null,
        parts: Vec::new(),
        columns: vec![
            column(1, "id", SqlType::Integer, true),
            column(2, "a", SqlType::Integer, false),
            column(3, "b", SqlType::BigInt, true),
            column(4, "s", SqlType::Text, false),
            column(5, "d", SqlType::Date, false),
            column(6, "c", SqlType::Char(4), false),
        ],
        dropped: Vec::new(),
        next_column: 7,
        primary_key: Some(RelationId(10)),
        indexes: vec![
            index(10, "t_pkey", &[(1, false)], true),
            index(11, "ab", &[(2, false), (3, true)], false),
            index(12, "s", &[(4, false)], true),
        ],
        checks: Vec::new(),
        owner: 10,
        comment: None,
        published_at: Version::ZERO,
    }
}

fn bind(sql: &str, params: &mut ParamTypes) -> Result<Typed, Unbound> {
    let table = table();
    let expr = crate::parse_expression(sql).expect("an expression");
    Binder::new(Scope::table(&table, None), params).bind(&expr, None)
}

fn type_of(sql: &str) -> Option<SqlType> {
    bind(sql, &mut ParamTypes::default())
        .ok()
        .map(|typed| typed.sql_type)
}

#[test]
fn types_are_those_of_postgresql() {
    for (sql, expected) in [
        ("1", Some(SqlType::Integer)),
        ("3000000000", Some(SqlType::BigInt)),
        ("1.5", Some(SqlType::Numeric(None))),
        ("id + 1", Some(SqlType::Integer)),
        ("id + b", Some(SqlType::BigInt)),
        ("id::smallint + 1", Some(SqlType::Integer)),
        ("id + 1.5", Some(SqlType::Numeric(None))),
        ("id::real + 1", Some(SqlType::Double)),
        ("id::real + id::real", Some(SqlType::Real)),
        ("id = b", Some(SqlType::Boolean)),
        ("s || 'x'", Some(SqlType::Text)),
        ("coalesce(a, b)", Some(SqlType::BigInt)),
        ("case when a > 1 then a else b end", Some(SqlType::BigInt)),
        ("now()", Some(SqlType::TimestampTz)),
        ("current_date", Some(SqlType::Date)),
        ("a is distinct from 3", Some(SqlType::Boolean)),
        ("length(s)", Some(SqlType::Integer)),
        ("'{}'::jsonb", Some(SqlType::Jsonb)),
        // Left to the general path.
        ("s = 1", None),
        ("d + 1", None),
        ("a / 1.5", None),
        ("count(*)", None),
        ("(select 1)", None),
        ("nowhere", None),
        ("other.a", None),
        ("a = 'x'", None),
    ] {
        assert_eq!(type_of(sql), expected, "{sql}");
    }
}

#[test]
fn parameters_take_the_type_of_the_other_side() {
    for (sql, expected) in [
        ("a = $1", vec![SqlType::Integer]),
        ("$1 < b", vec![SqlType::BigInt]),
        ("d between $1 and $2", vec![SqlType::Date, SqlType::Date]),
        ("s like $1", vec![SqlType::Text]),
        ("c = $1", vec![SqlType::Char(0)]),
        ("a in ($2, $1)", vec![SqlType::Integer, SqlType::Integer]),
        ("$1::bigint = a", vec![SqlType::BigInt]),
    ] {
        let mut params = ParamTypes::default();
        bind(sql, &mut params).unwrap_or_else(|_| panic!("{sql} is bound"));
        assert_eq!(params.finish(), Some(expected), "{sql}");
    }
    assert!(
        bind("$1 = $2", &mut ParamTypes::default()).is_err(),
        "nothing says the type"
    );
}

#[test]
fn deep_expressions_are_left_to_the_general_path() {
    let deep = format!("{}1{}", "(1 + ".repeat(100), ")".repeat(100));
    assert_eq!(type_of(&deep), None);
    let wide = vec!["a = 1"; 2_000].join(" or ");
    assert_eq!(type_of(&wide), Some(SqlType::Boolean));
}

fn path(filter: &str, order: &[OrderTerm], limited: bool) -> String {
    let table = table();
    let expr = crate::parse_expression(filter).expect("an expression");
    let mut params = ParamTypes::default();
    let scalar = Binder::new(Scope::table(&table, None), &mut params)
        .bind_boolean(&expr)
        .unwrap_or_else(|_| panic!("{filter} is bound"));
    let wanted = Wanted {
        table: &table,
        filter: Some(&scalar),
        order,
        limited,
    };
    let name = |id: RelationId| table.index(id).expect("an index").name.clone();
    match choose(&wanted) {
        None => "none".to_owned(),
        Some(Access::Full) => "full".to_owned(),
        Some(Access::Point { index, key }) => format!("point {} {}", name(index), key.len()),
        Some(Access::Range {
            index,
            equal,
            lower,
            upper,
            reverse,
        }) => {
            let mut text = format!("range {} {}", name(index), equal.len());
            for (bound, word) in [(lower, "lower"), (upper, "upper")] {
                if let Some((_, included)) = bound {
                    text.push_str(&format!(" {word}{}", if included { "=" } else { "" }));
                }
            }
            if reverse {
                text.push_str(" reverse");
            }
            text
        }
    }
}

#[test]
fn the_way_to_the_rows_follows_from_where_and_order_by() {
    const ID: usize = 0;
    const A: usize = 1;
    const B: usize = 2;
    let no_order: &[OrderTerm] = &[];
    for (filter, order, limited, expected) in [
        ("id = 1", no_order, false, "point t_pkey 1"),
        ("1 = id and a > 2", no_order, false, "point t_pkey 1"),
        ("s = 'x'", no_order, false, "point s 1"),
        ("id = 1 and s = 'x'", no_order, false, "point t_pkey 1"),
        ("a = 1", no_order, false, "range ab 1"),
        ("a = 1 and b > 5", no_order, false, "range ab 1 lower"),
        (
            "a = 1 and b <= 5 and b > 1",
            no_order,
            false,
            "range ab 1 lower upper=",
        ),
        (
            "id between 1 and 9",
            no_order,
            false,
            "range t_pkey 0 lower= upper=",
        ),
        ("id > 5", no_order, false, "none"),
        ("id > 5", no_order, true, "range t_pkey 0 lower"),
        ("id > 5 or id = 1", no_order, false, "none"),
        ("a + 1 = 2", no_order, false, "none"),
        ("id = a", no_order, false, "none"),
        // Order: forward, backward, or not by this index.
        (
            "id > 5",
            &[(ID, false, false)],
            true,
            "range t_pkey 0 lower",
        ),
        (
            "id > 5",
            &[(ID, true, true)],
            true,
            "range t_pkey 0 lower reverse",
        ),
        ("a = 1", &[(B, true, true)], false, "range ab 1"),
        ("a = 1", &[(B, false, false)], false, "range ab 1 reverse"),
        (
            "a = 1",
            &[(A, false, false), (B, true, true)],
            false,
            "range ab 1",
        ),
        (
            "a > 1",
            &[(A, false, false), (B, false, false)],
            true,
            "none",
        ),
        ("a = 1", &[(ID, false, false)], false, "none"),
        // The column may be NULL, and the index has its NULLs at the other end.
        ("a > 1", &[(A, false, true)], true, "none"),
        (
            "a > 1",
            &[(A, true, true)],
            true,
            "range ab 0 lower reverse",
        ),
    ] {
        assert_eq!(path(filter, order, limited), expected, "{filter} {order:?}");
    }
}
