use serde_json::Value;
use tessera_codec::json::{JsonBuf, parse};

use super::Filter;
use crate::document::Subject;

fn tree(text: &str) -> Value {
    parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn matches(document: &str, filter: &str) -> bool {
    let body = JsonBuf::from_text(document.as_bytes()).unwrap();
    let subject = Subject {
        id: Some("i1"),
        body: body.view().unwrap(),
    };
    let filter = Filter::parse(&tree(filter)).unwrap_or_else(|error| panic!("{filter}: {error}"));
    filter.matches_subject(&subject).unwrap()
}

/// `filters`: those before the bar match the document, those behind it do not.
fn check(document: &str, yes: &[&str], no: &[&str]) {
    for filter in yes {
        assert!(
            matches(document, filter),
            "{document} should match {filter}"
        );
    }
    for filter in no {
        assert!(
            !matches(document, filter),
            "{document} should not match {filter}"
        );
    }
}

#[test]
fn comparisons_look_at_one_kind_of_value() {
    check(
        r#"{"a":5,"s":"x"}"#,
        &[
            r#"{"a":5}"#,
            r#"{"a":5.0}"#,
            r#"{"a":{"$gt":4,"$lt":6}}"#,
            r#"{"a":{"$gte":5,"$lte":5}}"#,
            r#"{"a":{"$ne":6}}"#,
            r#"{"s":{"$gt":"w"}}"#,
            r#"{"a":{"$in":["x",5]}}"#,
            r#"{"b":{"$nin":[5]}}"#,
            r#"{"_id":"i1"}"#,
        ],
        &[
            r#"{"a":"5"}"#,
            r#"{"a":{"$gt":"4"}}"#,
            r#"{"s":{"$gt":4}}"#,
            r#"{"a":{"$gt":5}}"#,
            r#"{"a":{"$in":[]}}"#,
            r#"{"b":{"$gt":0}}"#,
            r#"{"_id":"i2"}"#,
        ],
    );
}

#[test]
fn null_is_also_a_missing_field() {
    check(
        r#"{"n":null,"a":[{"b":1},{}],"c":[1]}"#,
        &[
            r#"{"n":null}"#,
            r#"{"m":null}"#,
            r#"{"m":{"$exists":false}}"#,
            r#"{"n":{"$exists":true}}"#,
            r#"{"n":{"$gte":null}}"#,
            r#"{"a.b":null}"#,
            r#"{"a.b":{"$exists":true}}"#,
            r#"{"c.x":{"$exists":false}}"#,
            r#"{"m":{"$in":[1,null]}}"#,
        ],
        &[
            r#"{"n":{"$exists":false}}"#,
            r#"{"n":{"$gt":null}}"#,
            r#"{"n":{"$ne":null}}"#,
            r#"{"c.x":null}"#,
            r#"{"n":0}"#,
        ],
    );
}

#[test]
fn arrays_match_by_an_element_or_as_a_whole() {
    check(
        r#"{"t":["a","b"],"n":[1,20],"o":[{"x":1,"y":2},{"x":3,"y":4}],"m":[[1,2]]}"#,
        &[
            r#"{"t":"a"}"#,
            r#"{"t":["a","b"]}"#,
            r#"{"t":{"$all":["b","a"]}}"#,
            r#"{"t":{"$size":2}}"#,
            r#"{"t.1":"b"}"#,
            r#"{"n":{"$gt":5,"$lt":10}}"#,
            r#"{"n":{"$elemMatch":{"$gt":5,"$lt":30}}}"#,
            r#"{"o":{"$elemMatch":{"x":1,"y":2}}}"#,
            r#"{"o.x":1,"o.y":4}"#,
            r#"{"o":{"$all":[{"$elemMatch":{"x":1}},{"$elemMatch":{"y":4}}]}}"#,
            r#"{"m":[1,2]}"#,
            r#"{"o":{"x":1,"y":2}}"#,
            r#"{"o":{"y":2,"x":1}}"#,
        ],
        &[
            r#"{"t":["b","a"]}"#,
            r#"{"t":{"$all":["a","c"]}}"#,
            r#"{"t":{"$all":[]}}"#,
            r#"{"t":{"$ne":"a"}}"#,
            r#"{"t":{"$nin":["a"]}}"#,
            r#"{"n":{"$elemMatch":{"$gt":5,"$lt":10}}}"#,
            r#"{"o":{"$elemMatch":{"x":1,"y":4}}}"#,
            r#"{"m":1}"#,
            r#"{"o":{"x":1}}"#,
        ],
    );
}

#[test]
fn the_other_operators() {
    check(
        r#"{"s":"Hello\nworld","n":-7,"d":7.9,"b":true,"e":[]}"#,
        &[
            r#"{"s":{"$regex":"^hello","$options":"i"}}"#,
            r#"{"s":{"$regex":"^world$","$options":"m"}}"#,
            r#"{"s":{"$not":{"$regex":"xyz"}}}"#,
            r#"{"s":{"$in":[{"$regex":"wor"}]}}"#,
            r#"{"n":{"$mod":[4,-3]}}"#,
            r#"{"d":{"$mod":[4,3]}}"#,
            r#"{"b":{"$type":"bool"}}"#,
            r#"{"n":{"$type":["string","number"]}}"#,
            r#"{"e":{"$type":"array"}}"#,
            r#"{"$or":[{"n":1},{"b":true}]}"#,
            r#"{"$nor":[{"n":1},{"b":false}]}"#,
            r#"{"$and":[{"n":{"$lt":0}},{"b":true}],"$comment":"x"}"#,
            r#"{"$jsonPath":"$.n"}"#,
            r#"{"n":{"$not":{"$gt":0}}}"#,
            r#"{"x":{"$not":{"$gt":0}}}"#,
        ],
        &[
            r#"{"s":{"$regex":"^hello"}}"#,
            r#"{"b":{"$mod":[1,0]}}"#,
            r#"{"$or":[{"n":1},{"b":false}]}"#,
            r#"{"$jsonPath":"$.x"}"#,
            r#"{"n":{"$type":"string"}}"#,
        ],
    );
}

#[test]
fn what_is_not_understood_is_refused() {
    for filter in [
        "5",
        r#"{"a":{"$gt":1,"b":2}}"#,
        r#"{"$where":"1"}"#,
        r#"{"a":{"$near":1}}"#,
        r#"{"$and":[]}"#,
        r#"{"$or":{}}"#,
        r#"{"a":{"$in":5}}"#,
        r#"{"a":{"$regex":"(?<=x)y"}}"#,
        r#"{"a":{"$regex":"x","$options":"q"}}"#,
        r#"{"a":{"$options":"i"}}"#,
        r#"{"a":{"$mod":[0,1]}}"#,
        r#"{"a":{"$size":-1}}"#,
        r#"{"a":{"$type":"objectId"}}"#,
        r#"{"a..b":1}"#,
        r#"{"$jsonPath":"$["}"#,
    ] {
        assert!(Filter::parse(&tree(filter)).is_err(), "{filter}");
    }
}

#[test]
fn large_filters_are_refused() {
    let deep = format!(
        "{}{{\"a\":1}}{}",
        "{\"$and\":[".repeat(100),
        "]}".repeat(100)
    );
    assert!(Filter::parse(&tree(&deep)).is_err());
    let wide = format!("{{\"a\":{{\"$in\":[{}0]}}}}", "1,".repeat(20_000));
    assert!(Filter::parse(&tree(&wide)).is_err());
    let regex = format!("{{\"a\":{{\"$regex\":\"{}\"}}}}", "(a{1000}){1000}");
    assert!(Filter::parse(&tree(&regex)).is_err());
}
