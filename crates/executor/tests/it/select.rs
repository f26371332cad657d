//! Queries: clauses and their combinations.

use tessera_types::Value;

use crate::harness::Db;

async fn shop() -> Db {
    let db = Db::new().await;
    db.run(
        "CREATE TABLE customer (id int PRIMARY KEY, name text NOT NULL, city text);
         CREATE TABLE orders (id int PRIMARY KEY, customer_id int, amount numeric(10,2), day date);
         INSERT INTO customer VALUES (1, 'Ann', 'Bonn'), (2, 'Bob', 'Ulm'), (3, 'Cid', NULL);
         INSERT INTO orders VALUES
            (10, 1, 5.00, '2024-01-01'), (11, 1, 7.50, '2024-01-02'),
            (12, 2, 1.25, '2024-01-02'), (13, NULL, 9.99, '2024-01-03');",
    )
    .await
    .unwrap_or_else(|report| panic!("{report:?}"));
    db
}

#[tokio::test]
async fn joins_of_all_kinds() {
    let db = shop().await;
    db.check(
        "SELECT c.name, o.amount FROM customer c JOIN orders o ON o.customer_id = c.id ORDER BY o.id",
        &["Ann|5.00", "Ann|7.50", "Bob|1.25"],
    )
    .await;
    db.check(
        "SELECT c.name, o.id FROM customer c LEFT JOIN orders o ON o.customer_id = c.id ORDER BY c.id, o.id",
        &["Ann|10", "Ann|11", "Bob|12", "Cid|∅"],
    )
    .await;
    db.check(
        "SELECT c.id, o.id FROM customer c FULL JOIN orders o ON o.customer_id = c.id ORDER BY 1, 2",
        &["1|10", "1|11", "2|12", "3|∅", "∅|13"],
    )
    .await;
    db.check("SELECT count(*) FROM customer, orders", &["12"])
        .await;
    db.check(
        "SELECT * FROM (VALUES (1, 'a')) AS x(id, l) JOIN (VALUES (1, 'b')) AS y(id, r) USING (id)",
        &["1|a|b"],
    )
    .await;
    db.check(
        "SELECT c.name, t.total FROM customer c, LATERAL (SELECT sum(amount) AS total FROM orders o WHERE o.customer_id = c.id) t ORDER BY c.id",
        &["Ann|12.50", "Bob|1.25", "Cid|∅"],
    )
    .await;
}

#[tokio::test]
async fn grouping_and_having() {
    let db = shop().await;
    db.check(
        "SELECT customer_id, count(*), sum(amount) FROM orders GROUP BY customer_id HAVING count(*) > 1",
        &["1|2|12.50"],
    )
    .await;
    db.check(
        "SELECT c.id, c.name, count(o.id) FROM customer c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.id ORDER BY c.id",
        &["1|Ann|2", "2|Bob|1", "3|Cid|0"],
    )
    .await;
    db.check(
        "SELECT customer_id, day, sum(amount) FROM orders WHERE customer_id IS NOT NULL GROUP BY ROLLUP (customer_id, day) ORDER BY 1, 2",
        &["1|2024-01-01|5.00", "1|2024-01-02|7.50", "1|∅|12.50", "2|2024-01-02|1.25", "2|∅|1.25", "∅|∅|13.75"],
    )
    .await;
    db.check(
        "SELECT count(*) FILTER (WHERE amount > 5), count(DISTINCT day) FROM orders",
        &["2|3"],
    )
    .await;
    db.check("SELECT count(*), max(id) FROM orders WHERE false", &["0|∅"])
        .await;
    db.fails(
        "SELECT name, count(*) FROM customer",
        "42803",
        "column \"customer.name\" must appear in the GROUP BY clause or be used in an aggregate function",
    )
    .await;
    db.fails(
        "SELECT 1 FROM customer WHERE count(*) > 1",
        "42803",
        "aggregate functions are not allowed in WHERE",
    )
    .await;
}

#[tokio::test]
async fn subqueries_of_all_kinds() {
    let db = shop().await;
    db.check(
        "SELECT name FROM customer WHERE id IN (SELECT customer_id FROM orders) ORDER BY 1",
        &["Ann", "Bob"],
    )
    .await;
    db.check("SELECT name FROM customer c WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id)", &["Cid"]).await;
    db.check("SELECT name, (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) FROM customer c ORDER BY id", &["Ann|2", "Bob|1", "Cid|0"]).await;
    db.check(
        "SELECT id FROM orders WHERE amount > (SELECT avg(amount) FROM orders) ORDER BY id",
        &["11", "13"],
    )
    .await;
    db.check(
        "SELECT id FROM orders WHERE amount >= ALL (SELECT amount FROM orders)",
        &["13"],
    )
    .await;
    db.check(
        "SELECT name FROM customer WHERE (id, name) IN (SELECT 1, 'Ann'::text)",
        &["Ann"],
    )
    .await;
    db.check(
        "SELECT ARRAY(SELECT id FROM customer ORDER BY id DESC)",
        &["{3,2,1}"],
    )
    .await;
    db.fails(
        "SELECT (SELECT id FROM customer)",
        "21000",
        "more than one row returned by a subquery used as an expression",
    )
    .await;
}

#[tokio::test]
async fn order_distinct_limit() {
    let db = shop().await;
    db.check(
        "SELECT city FROM customer ORDER BY city",
        &["Bonn", "Ulm", "∅"],
    )
    .await;
    db.check(
        "SELECT city FROM customer ORDER BY city DESC",
        &["∅", "Ulm", "Bonn"],
    )
    .await;
    db.check(
        "SELECT city FROM customer ORDER BY city NULLS FIRST LIMIT 1",
        &["∅"],
    )
    .await;
    db.check(
        "SELECT name AS n FROM customer ORDER BY length(name), n DESC LIMIT 2 OFFSET 1",
        &["Bob", "Ann"],
    )
    .await;
    db.check(
        "SELECT DISTINCT day FROM orders ORDER BY day DESC",
        &["2024-01-03", "2024-01-02", "2024-01-01"],
    )
    .await;
    db.check("SELECT DISTINCT ON (customer_id) customer_id, id FROM orders ORDER BY customer_id, id DESC", &["1|11", "2|12", "∅|13"]).await;
    db.check(
        "SELECT id FROM orders ORDER BY amount FETCH FIRST 2 ROWS ONLY",
        &["12", "10"],
    )
    .await;
    db.check(
        "SELECT id FROM orders ORDER BY id LIMIT ALL OFFSET 3",
        &["13"],
    )
    .await;
    db.fails("SELECT 1 LIMIT -1", "2201W", "LIMIT must not be negative")
        .await;
    db.fails(
        "SELECT 1 ORDER BY 2",
        "42P10",
        "ORDER BY position 2 is not in select list",
    )
    .await;
}

#[tokio::test]
async fn set_operations_and_values() {
    let db = shop().await;
    db.check(
        "SELECT 1 UNION SELECT 1 UNION ALL SELECT 2 ORDER BY 1",
        &["1", "2"],
    )
    .await;
    db.check("SELECT 'a' UNION ALL SELECT NULL ORDER BY 1", &["a", "∅"])
        .await;
    db.check(
        "VALUES (1), (2), (3) INTERSECT VALUES (2), (3) ORDER BY 1",
        &["2", "3"],
    )
    .await;
    db.check(
        "(VALUES (1), (1), (2)) EXCEPT ALL (VALUES (1)) ORDER BY 1",
        &["1", "2"],
    )
    .await;
    db.check(
        "SELECT * FROM (VALUES (1, 'x'), (2, NULL)) AS v(a, b) WHERE b IS NULL",
        &["2|∅"],
    )
    .await;
    db.fails(
        "SELECT 1 UNION SELECT 1, 2",
        "42601",
        "each UNION query must have the same number of columns",
    )
    .await;
    db.fails(
        "SELECT 1 UNION SELECT 'a'::text",
        "42804",
        "UNION types integer and text cannot be matched",
    )
    .await;
}

#[tokio::test]
async fn with_queries_also_recursive() {
    let db = shop().await;
    db.check(
        "WITH x AS (SELECT id FROM customer WHERE id > 1) SELECT count(*) FROM x a, x b",
        &["4"],
    )
    .await;
    db.check(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT sum(i), count(*) FROM n",
        &["15|5"],
    )
    .await;
    db.check(
        "WITH RECURSIVE f(a, b) AS (VALUES (0, 1) UNION ALL SELECT b, a + b FROM f WHERE b < 50) SELECT max(a) FROM f",
        &["34"],
    )
    .await;
}

#[tokio::test]
async fn windows() {
    let db = shop().await;
    db.check(
        "SELECT id, row_number() OVER (ORDER BY id DESC), sum(amount) OVER (PARTITION BY customer_id ORDER BY id) FROM orders ORDER BY id",
        &["10|4|5.00", "11|3|12.50", "12|2|1.25", "13|1|9.99"],
    )
    .await;
    db.check(
        "SELECT id, lag(id) OVER w, count(*) OVER (ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM orders WINDOW w AS (ORDER BY id) ORDER BY id",
        &["10|∅|1", "11|10|2", "12|11|2", "13|12|2"],
    )
    .await;
    db.check(
        "SELECT rank() OVER (ORDER BY day), id FROM orders ORDER BY 2",
        &["1|10", "2|11", "2|12", "4|13"],
    )
    .await;
    db.fails(
        "SELECT row_number()",
        "42809",
        "window function row_number requires an OVER clause",
    )
    .await;
}

#[tokio::test]
async fn functions_in_from_and_sets() {
    let db = shop().await;
    db.check("SELECT * FROM generate_series(1, 3)", &["1", "2", "3"])
        .await;
    db.check(
        "SELECT n * 2 FROM generate_series(1, 7, 3) AS n",
        &["2", "8", "14"],
    )
    .await;
    db.check("SELECT generate_series(1, 3), 'x'", &["1|x", "2|x", "3|x"])
        .await;
    db.check(
        "SELECT * FROM unnest(ARRAY['a', 'b']) WITH ORDINALITY AS u(v, n)",
        &["a|1", "b|2"],
    )
    .await;
    db.check("SELECT c.id, g FROM customer c, generate_series(1, c.id) AS g WHERE c.id < 3 ORDER BY 1, 2", &["1|1", "2|1", "2|2"]).await;
    db.check("SELECT unnest('{3,4}'::int[])", &["3", "4"]).await;
}

#[tokio::test]
async fn names_that_do_not_exist() {
    let db = shop().await;
    db.fails(
        "SELECT * FROM nosuch",
        "42P01",
        "relation \"nosuch\" does not exist",
    )
    .await;
    db.fails(
        "SELECT nosuch FROM customer",
        "42703",
        "column \"nosuch\" does not exist",
    )
    .await;
    db.fails(
        "SELECT c.nosuch FROM customer c",
        "42703",
        "column c.nosuch does not exist",
    )
    .await;
    db.fails(
        "SELECT x.id FROM customer c",
        "42P01",
        "missing FROM-clause entry for table \"x\"",
    )
    .await;
    db.fails(
        "SELECT id FROM customer, orders",
        "42702",
        "column reference \"id\" is ambiguous",
    )
    .await;
    db.fails(
        "SELECT 1 FROM customer, customer",
        "42712",
        "table name \"customer\" specified more than once",
    )
    .await;
    let report = db
        .run("SELECT 1,\n  nosuch FROM customer")
        .await
        .expect_err("fails");
    assert_eq!(report.position, Some(13));
}

#[tokio::test]
async fn parameters_are_put_in() {
    let db = shop().await;
    let rows = db
        .query(
            "SELECT name FROM customer WHERE id = $1 OR city = $2 ORDER BY id",
            &[Value::Integer(1), Value::text("Ulm")],
        )
        .await
        .unwrap_or_else(|report| panic!("{report:?}"));
    assert_eq!(rows, [["Ann"], ["Bob"]]);
    let rows = db
        .query(
            "SELECT id FROM orders ORDER BY id LIMIT $1",
            &[Value::BigInt(1)],
        )
        .await;
    assert_eq!(rows.expect("runs"), [["10"]]);
    let rows = db
        .query(
            "SELECT id FROM orders ORDER BY id LIMIT $1",
            &[Value::BigInt(-1)],
        )
        .await;
    assert_eq!(rows.expect_err("negative").code.as_str(), "2201W");
}

#[tokio::test]
async fn views_are_expanded() {
    let db = shop().await;
    db.run("CREATE VIEW big AS SELECT id, amount FROM orders WHERE amount > 5")
        .await
        .expect("created");
    db.check("SELECT * FROM big ORDER BY id", &["11|7.50", "13|9.99"])
        .await;
    db.check(
        "SELECT count(*) FROM big b JOIN customer c ON c.id = b.id - 10",
        &["2"],
    )
    .await;
}
