use serde_json::{Value, json};

use super::Pipeline;
use super::expression::Expression;

fn check(document: Value, expression: Value, expected: Option<Value>) {
    let parsed = Expression::parse(&expression).unwrap();
    assert_eq!(
        parsed.evaluate(&document).unwrap(),
        expected,
        "{expression}"
    );
}

#[test]
fn expressions_compute() {
    let document = json!({"a": 7, "b": {"c": "x"}, "l": [{"n": 1}, {"n": 2}, {}], "z": null});
    for (expression, expected) in [
        (json!("$a"), Some(json!(7))),
        (json!("$b.c"), Some(json!("x"))),
        (json!("$l.n"), Some(json!([1, 2]))),
        (json!("$q"), None),
        (json!({"$literal": "$a"}), Some(json!("$a"))),
        (json!({"$add": ["$a", 1, 2]}), Some(json!(10))),
        (json!({"$add": ["$a", "$z"]}), Some(json!(null))),
        (json!({"$divide": ["$a", 2]}), Some(json!(3.5))),
        (json!({"$mod": [-7, 4]}), Some(json!(-3))),
        (json!({"$concat": ["$b.c", "-", "y"]}), Some(json!("x-y"))),
        (json!({"$toUpper": "$b.c"}), Some(json!("X"))),
        (json!({"$ifNull": ["$z", "$q", 5]}), Some(json!(5))),
        (
            json!({"$cond": [{"$gt": ["$a", 5]}, "big", "small"]}),
            Some(json!("big")),
        ),
        (
            json!({"$cond": {"if": 0, "then": 1, "else": 2}}),
            Some(json!(2)),
        ),
        (json!({"$eq": ["$q", null]}), Some(json!(false))),
        (json!({"$lt": ["$q", "$z"]}), Some(json!(true))),
        (json!({"$and": [1, "$a"]}), Some(json!(true))),
        (json!({"$not": ["$z"]}), Some(json!(true))),
        (json!({"$in": [7.0, [7, 8]]}), Some(json!(true))),
        (json!({"$size": "$l"}), Some(json!(3))),
        (json!({"$arrayElemAt": ["$l.n", -1]}), Some(json!(2))),
        (json!({"$floor": -1.5}), Some(json!(-2))),
        (json!({"$type": "$q"}), Some(json!("missing"))),
        (json!({"x": "$a", "y": "$q"}), Some(json!({"x": 7}))),
        (json!(["$a", "$q"]), Some(json!([7, null]))),
        (json!({"$cmp": [1, 2]}), Some(json!(-1))),
    ] {
        check(document.clone(), expression, expected);
    }
}

#[test]
fn what_is_not_understood_is_refused() {
    for pipeline in [
        json!({}),
        json!([{"$out": "x"}]),
        json!([{"$match": {}, "$limit": 1}]),
        json!([{"$limit": 0}]),
        json!([{"$skip": -1}]),
        json!([{"$group": {"n": {"$sum": 1}}}]),
        json!([{"$group": {"_id": null, "n": {"$median": 1}}}]),
        json!([{"$group": {"_id": null, "n": 1}}]),
        json!([{"$project": {}}]),
        json!([{"$project": {"a": 0, "b": "$c"}}]),
        json!([{"$project": {"a": {"$foo": 1}}}]),
        json!([{"$project": {"a": {"$subtract": [1]}}}]),
        json!([{"$project": {"a": "$$NOW"}}]),
        json!([{"$unwind": "a"}]),
        json!([{"$lookup": {"from": "x", "pipeline": []}}]),
        json!([{"$sort": {"a": 2}}]),
        json!([{"$count": "$x"}]),
    ] {
        assert!(Pipeline::parse(&pipeline).is_err(), "{pipeline}");
    }
}
