use serde_json::{Value, json};

use super::{Update, UpdateContext};

const CONTEXT: UpdateContext = UpdateContext {
    unix_micros: 1_700_000_000_123_456,
    is_insert: false,
};

fn apply(document: &Value, update: &Value, context: UpdateContext) -> Result<Value, String> {
    let mut document = document.clone();
    let update = Update::parse(update).map_err(|error| error.to_string())?;
    let outcome = update.apply(&mut document, context);
    outcome.map_err(|error| error.to_string())?;
    Ok(document)
}

fn check(document: Value, update: Value, expected: Value) {
    let result = apply(&document, &update, CONTEXT);
    assert_eq!(result, Ok(expected), "{document} {update}");
}

fn refuses(document: Value, update: Value, part: &str) {
    let error = apply(&document, &update, CONTEXT).unwrap_err();
    assert!(error.contains(part), "{document} {update}: {error}");
}

#[test]
fn fields_are_set_and_removed() {
    check(
        json!({"a": 1}),
        json!({"$set": {"a": 2, "b.c": 3}}),
        json!({"a": 2, "b": {"c": 3}}),
    );
    check(
        json!({"a": [1, 2]}),
        json!({"$set": {"a.1": 9}}),
        json!({"a": [1, 9]}),
    );
    check(
        json!({"a": [1]}),
        json!({"$set": {"a.3": 9}}),
        json!({"a": [1, null, null, 9]}),
    );
    check(
        json!({"a": [{}]}),
        json!({"$set": {"a.0.b": 1}}),
        json!({"a": [{"b": 1}]}),
    );
    check(
        json!({"a": 1, "b": 2}),
        json!({"$unset": {"a": "", "x.y": ""}}),
        json!({"b": 2}),
    );
    check(
        json!({"a": [1, 2]}),
        json!({"$unset": {"a.0": ""}}),
        json!({"a": [null, 2]}),
    );
    refuses(
        json!({"a": 1}),
        json!({"$set": {"a.b": 1}}),
        "neither an object",
    );
    refuses(
        json!({"a": null}),
        json!({"$set": {"a.b": 1}}),
        "neither an object",
    );
    refuses(
        json!({"a": [1]}),
        json!({"$set": {"a.b": 1}}),
        "an array has no fields",
    );
    refuses(
        json!({"a": []}),
        json!({"$set": {"a.99999999": 1}}),
        "too far",
    );
}

#[test]
fn numbers_change_exactly() {
    check(
        json!({"n": 1}),
        json!({"$inc": {"n": -3, "m": 5}}),
        json!({"n": -2, "m": 5}),
    );
    check(
        json!({"n": 3}),
        json!({"$mul": {"n": 2, "m": 5}}),
        json!({"n": 6, "m": 0}),
    );
    let document = tessera_codec::json::parse(b"{\"n\":0.1}").unwrap();
    let result = apply(&document, &json!({"$inc": {"n": 0.2}}), CONTEXT).unwrap();
    assert_eq!(result.to_string(), "{\"n\":0.3}");
    check(
        json!({"n": 5}),
        json!({"$min": {"n": 3, "x": 1}}),
        json!({"n": 3, "x": 1}),
    );
    check(json!({"n": 5}), json!({"$min": {"n": 7}}), json!({"n": 5}));
    check(json!({"n": 5}), json!({"$max": {"n": 7}}), json!({"n": 7}));
    check(
        json!({"n": 5}),
        json!({"$max": {"n": "a"}}),
        json!({"n": "a"}),
    );
    refuses(json!({"n": "a"}), json!({"$inc": {"n": 1}}), "not a number");
    refuses(
        json!({"n": null}),
        json!({"$inc": {"n": 1}}),
        "not a number",
    );
    refuses(json!({}), json!({"$inc": {"n": "1"}}), "takes a number");
}

#[test]
fn arrays_grow_and_shrink() {
    check(json!({}), json!({"$push": {"a": 1}}), json!({"a": [1]}));
    check(
        json!({"a": [1, 2]}),
        json!({"$push": {"a": {"$each": [8, 9], "$position": 1}}}),
        json!({"a": [1, 8, 9, 2]}),
    );
    check(
        json!({"a": [1, 2]}),
        json!({"$push": {"a": {"$each": [3, 4], "$slice": -3}}}),
        json!({"a": [2, 3, 4]}),
    );
    check(
        json!({"a": [1, {"x": 1, "y": 2}]}),
        json!({"$addToSet": {"a": {"$each": [1.0, 2, {"y": 2, "x": 1}]}}}),
        json!({"a": [1, {"x": 1, "y": 2}, 2]}),
    );
    check(
        json!({"a": [1, 2, 3]}),
        json!({"$pop": {"a": 1}}),
        json!({"a": [1, 2]}),
    );
    check(
        json!({"a": [1, 2, 3]}),
        json!({"$pop": {"a": -1}}),
        json!({"a": [2, 3]}),
    );
    check(
        json!({"a": [1, 2, 1]}),
        json!({"$pull": {"a": 1}}),
        json!({"a": [2]}),
    );
    check(
        json!({"a": [1, 5, 9]}),
        json!({"$pull": {"a": {"$gte": 5}}}),
        json!({"a": [1]}),
    );
    check(
        json!({"a": [{"s": 8, "i": "B"}, {"s": 8, "i": "C"}]}),
        json!({"$pull": {"a": {"s": 8, "i": "B"}}}),
        json!({"a": [{"s": 8, "i": "C"}]}),
    );
    check(
        json!({"a": [1, 2, 3]}),
        json!({"$pullAll": {"a": [3, 1]}}),
        json!({"a": [2]}),
    );
    check(json!({}), json!({"$pull": {"a": 1}}), json!({}));
    refuses(json!({"a": 1}), json!({"$push": {"a": 1}}), "not an array");
    refuses(json!({"a": 1}), json!({"$pull": {"a": 1}}), "not an array");
}

#[test]
fn names_and_dates() {
    check(
        json!({"a": {"b": 1}}),
        json!({"$rename": {"a.b": "c.d"}}),
        json!({"a": {}, "c": {"d": 1}}),
    );
    check(
        json!({"c": 1}),
        json!({"$rename": {"a": "b"}}),
        json!({"c": 1}),
    );
    refuses(
        json!({"a": [{"b": 1}]}),
        json!({"$rename": {"a.0.b": "c"}}),
        "array",
    );
    check(
        json!({}),
        json!({"$currentDate": {"t": true, "u": {"$type": "date"}}}),
        json!({"t": "2023-11-14T22:13:20.123Z", "u": "2023-11-14T22:13:20.123Z"}),
    );
    check(json!({}), json!({"$setOnInsert": {"a": 1}}), json!({}));
    let insert = UpdateContext {
        is_insert: true,
        ..CONTEXT
    };
    let made = apply(&json!({}), &json!({"$setOnInsert": {"a": 1}}), insert);
    assert_eq!(made, Ok(json!({"a": 1})));
}

#[test]
fn what_is_not_understood_is_refused() {
    for (update, part) in [
        (json!({}), "needs an operator"),
        (json!({"a": 1}), "begin with $"),
        (json!({"$set": 1}), "object of paths"),
        (json!({"$bit": {"a": {"and": 1}}}), "not supported"),
        (json!({"$set": {"a.$[].b": 1}}), "not supported"),
        (
            json!({"$push": {"a": {"$each": [1], "$sort": 1}}}),
            "not supported",
        ),
        (json!({"$set": {"a": 1}, "$inc": {"a.b": 1}}), "same place"),
        (
            json!({"$set": {"a": 1}, "$rename": {"b": "a"}}),
            "same place",
        ),
        (json!({"$rename": {"a": "a.b"}}), "into itself"),
        (
            json!({"$currentDate": {"a": {"$type": "timestamp"}}}),
            "not supported",
        ),
        (json!({"$pop": {"a": 2}}), "1 or -1"),
    ] {
        refuses(json!({}), update, part);
    }
}
