//! Types: literals, casts, operators and their results.

use crate::harness::Db;

#[tokio::test]
async fn numbers_have_the_types_and_results_of_postgres() {
    let db = Db::new().await;
    db.check(
        "SELECT 1 + 1, 7 / 2, -7 / 2, 7 % 3, -7 % 3",
        &["2|3|-3|1|-1"],
    )
    .await;
    db.check(
        "SELECT 1.5 * 2.25, 1.10 + 2.2, 10.0 / 4, 1 / 3.0",
        &["3.375|3.30|2.5000000000000000|0.33333333333333333333"],
    )
    .await;
    db.check(
        "SELECT 2147483648, 9223372036854775807, 0.1::float8 + 0.2::float8",
        &["2147483648|9223372036854775807|0.30000000000000004"],
    )
    .await;
    db.check(
        "SELECT 2 ^ 10, |/ 25.0, @ -5, 91 & 15, 32 | 3, 17 # 5, ~1, 1 << 4, 8 >> 2",
        &["1024|5|5|11|35|20|-2|16|2"],
    )
    .await;
    db.fails("SELECT 2147483647 + 1", "22003", "integer out of range")
        .await;
    db.fails(
        "SELECT 9223372036854775807 + 1",
        "22003",
        "bigint out of range",
    )
    .await;
    db.fails(
        "SELECT 32767::smallint + 1::smallint",
        "22003",
        "smallint out of range",
    )
    .await;
    db.fails("SELECT 1 / 0", "22012", "division by zero").await;
    db.fails("SELECT 1.0 / 0", "22012", "division by zero")
        .await;
    db.fails("SELECT 1e0::float8 / 0", "22012", "division by zero")
        .await;
}

#[tokio::test]
async fn literals_take_the_type_of_their_place() {
    let db = Db::new().await;
    db.check(
        "SELECT '1' + 1, '2020-02-29'::date + 1, date '2020-01-31' + interval '1 month'",
        &["2|2020-03-01|2020-02-29 00:00:00"],
    )
    .await;
    db.check("SELECT date '2020-03-01' - date '2020-02-01', timestamp '2020-01-02' - timestamp '2020-01-01 12:00'", &[
        "29|12:00:00",
    ])
    .await;
    db.check(
        "SELECT 'a' || 'b', 'n=' || 5, 1 || 'x', 'a' = 'a'",
        &["ab|n=5|1x|t"],
    )
    .await;
    db.check(
        "SELECT true AND NULL, false AND NULL, 't'::bool, NOT 'off'::boolean",
        &["∅|f|t|t"],
    )
    .await;
    db.check(
        "SELECT CASE WHEN 1 = 1 THEN 1 ELSE 2 END, coalesce(NULL, 'x'), nullif(1, 1)",
        &["1|x|∅"],
    )
    .await;
    db.check("SELECT greatest(1, 2, 3), least('b', 'a')", &["3|a"])
        .await;
    db.fails(
        "SELECT 'x' + 1",
        "22P02",
        "invalid input syntax for type integer: \"x\"",
    )
    .await;
    db.fails(
        "SELECT 1 = 'a'::text",
        "42883",
        "operator does not exist: integer = text",
    )
    .await;
    db.fails(
        "SELECT CASE WHEN true THEN 1 ELSE 'a'::text END",
        "42804",
        "CASE types integer and text cannot be matched",
    )
    .await;
    db.fails(
        "SELECT 1 WHERE 1",
        "42804",
        "argument of WHERE must be type boolean, not type integer",
    )
    .await;
    db.fails(
        "SELECT nosuch(1)",
        "42883",
        "function nosuch(integer) does not exist",
    )
    .await;
}

#[tokio::test]
async fn casts_follow_postgres() {
    let db = Db::new().await;
    db.check(
        "SELECT 1.5::int, 2.5::int, 2.5::float8::int, -1.5::numeric::int",
        &["2|3|2|-2"],
    )
    .await;
    db.check(
        "SELECT 'abcdef'::varchar(3), 'ab'::char(4) || '|', 123.456::numeric(5,1)",
        &["abc|ab||123.5"],
    )
    .await;
    db.check(
        "SELECT '{1,2,3}'::int[], ARRAY[1,2,3], (ARRAY['a','b'])[2]",
        &["{1,2,3}|{1,2,3}|b"],
    )
    .await;
    db.check(
        "SELECT '2020-01-01'::timestamp::date, '12:34'::time, '1 day 2 hours'::interval",
        &["2020-01-01|12:34:00|1 day 02:00:00"],
    )
    .await;
    db.check(
        "SELECT 5 IN (1, 5), 5 = ANY (ARRAY[1, 5]), 5 <> ALL ('{1,2}'::int[]), 5 = ANY ('{1,5}')",
        &["t|t|t|t"],
    )
    .await;
    db.fails(
        "SELECT 1::date",
        "42846",
        "cannot cast type integer to date",
    )
    .await;
    db.fails(
        "SELECT 'x'::int",
        "22P02",
        "invalid input syntax for type integer: \"x\"",
    )
    .await;
    db.fails("SELECT 99999::smallint", "22003", "smallint out of range")
        .await;
}

#[tokio::test]
async fn patterns_match_as_in_postgres() {
    let db = Db::new().await;
    db.check("SELECT 'abc' LIKE 'a%', 'abc' ILIKE 'A_C', 'abc' NOT LIKE '%d', '10%' LIKE '10#%' ESCAPE '#'", &[
        "t|t|t|t",
    ])
    .await;
    db.check(
        "SELECT 'abc' ~ '^a.c$', 'abc' ~* 'B', 'abc' !~ 'x', 'abc' SIMILAR TO '(a|b)%'",
        &["t|t|t|t"],
    )
    .await;
    db.check(
        "SELECT 'abc' OPERATOR(pg_catalog.~) '^(abc)$' COLLATE pg_catalog.default",
        &["t"],
    )
    .await;
}

#[tokio::test]
async fn columns_are_named_and_typed_as_in_postgres() {
    let db = Db::new().await;
    db.run("CREATE TABLE t (a int, b varchar(10), c numeric(10,2))")
        .await
        .expect("created");
    let columns = |sql: &str| {
        let found = db
            .columns(sql)
            .unwrap_or_else(|report| panic!("{sql}: {report:?}"));
        found
            .into_iter()
            .map(|(name, t)| format!("{name}:{t}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        columns("SELECT 1, 'a', 1 + 1, true"),
        "?column?:integer ?column?:text ?column?:integer bool:boolean"
    );
    assert_eq!(
        columns("SELECT a, b, c, t.a AS x FROM t"),
        "a:integer b:character varying(10) c:numeric(10,2) x:integer"
    );
    assert_eq!(
        columns(
            "SELECT count(*), sum(a), max(b), coalesce(a, 1), a::bigint, CASE WHEN true THEN 1 END FROM t GROUP BY a"
        ),
        "count:bigint sum:bigint max:text coalesce:integer a:bigint case:integer"
    );
    assert_eq!(
        columns("SELECT (SELECT a FROM t), EXISTS (SELECT 1), '1'::int, ARRAY[1]"),
        "a:integer exists:boolean int4:integer array:integer[]"
    );
    assert_eq!(columns("VALUES (1, 'x')"), "column1:integer column2:text");
}

#[tokio::test]
async fn parameters_take_the_type_of_their_place() {
    let db = Db::new().await;
    db.run("CREATE TABLE t (a int, b text, c numeric(10,2), d date)")
        .await
        .expect("created");
    let params = |sql: &str| {
        let found = db
            .params(sql)
            .unwrap_or_else(|report| panic!("{sql}: {report:?}"));
        found
            .iter()
            .map(|t| t.name().to_string())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        params("SELECT * FROM t WHERE a = $1 AND b LIKE $2 AND d > $3"),
        "integer text date"
    );
    assert_eq!(params("SELECT $1"), "text");
    assert_eq!(params("SELECT $1 + 1, $2::int8, $1"), "integer bigint");
    assert_eq!(
        params("SELECT * FROM t WHERE a IN ($1, $2) LIMIT $3"),
        "integer integer bigint"
    );
    assert_eq!(params("SELECT * FROM t WHERE a = ANY ($1)"), "integer[]");
}
