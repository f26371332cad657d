//! The suites that others made, beside the checkout: JSON parsing, JSON Patch, JSONPath.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tessera_codec::json::{JsonBuf, parse};
use tessera_documents::{JsonPatch, JsonPath};

fn suite(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = root.join("../shared/suites").join(name);
    assert!(
        folder.is_dir(),
        "the suite {name} is not at {}: these tests need the folder shared/suites beside the checkout",
        folder.display()
    );
    folder
}

fn read(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    parse(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn json_texts_are_accepted_exactly_where_the_suite_says_so() {
    let mut counts = [0; 3];
    for entry in fs::read_dir(suite("json-parsing/test_parsing")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let outcome = JsonBuf::from_text(&fs::read(&path).unwrap());
        match name.split('_').next().unwrap_or_default() {
            "y" => {
                counts[0] += 1;
                let buf = outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
                let text = buf.view().unwrap().to_text().unwrap();
                assert_eq!(JsonBuf::from_text(text.as_bytes()).unwrap(), buf, "{name}");
            }
            "n" => {
                counts[1] += 1;
                let error = outcome.map(drop).expect_err(&name);
                assert!(error.position.is_some(), "{name}: {error}");
            }
            _ => counts[2] += 1,
        }
    }
    assert!(counts.iter().all(|count| *count > 30), "{counts:?}");
}

#[test]
fn json_patches_do_what_the_suite_says() {
    let folder = suite("json-patch");
    let mut count = 0;
    for file in ["spec_tests.json", "tests.json"] {
        for case in read(&folder.join(file)).as_array().unwrap() {
            if case.get("disabled").is_some_and(|flag| flag == true) {
                continue;
            }
            count += 1;
            let mut document = case["doc"].clone();
            let patch = JsonPatch::parse(&case["patch"]);
            let outcome = patch.and_then(|patch| patch.apply(&mut document));
            match (outcome, case.get("expected"), case.get("error")) {
                (Ok(()), Some(expected), None) => assert_eq!(&document, expected, "{case}"),
                // Nothing is said of the result.
                (Ok(()), None, None) | (Err(_), _, Some(_)) => {}
                (outcome, ..) => panic!("{outcome:?}: {case}"),
            }
        }
    }
    assert!(count > 80, "{count}");
}

#[test]
fn jsonpath_queries_select_what_the_suite_says() {
    let tests = read(&suite("jsonpath").join("cts.json"));
    let tests = tests["tests"].as_array().unwrap();
    assert!(tests.len() >= 703, "{}", tests.len());
    for case in tests {
        let parsed = JsonPath::parse(case["selector"].as_str().unwrap());
        if case.get("invalid_selector").is_some() {
            assert!(parsed.is_err(), "{case}");
            continue;
        }
        let parsed = parsed.unwrap_or_else(|error| panic!("{error}: {case}"));
        let nodes = parsed.nodes(&case["document"]);
        let values: Vec<Value> = nodes.iter().map(|node| node.value.clone()).collect();
        let paths: Vec<Value> = nodes
            .iter()
            .map(|node| Value::String(node.path.clone()))
            .collect();
        let (values, paths) = (Value::Array(values), Value::Array(paths));
        // Some queries have several right answers.
        match (case.get("result"), case.get("results")) {
            (Some(result), _) => {
                assert_eq!(&values, result, "{case}");
                assert_eq!(&paths, &case["result_paths"], "{case}");
            }
            (None, Some(results)) => {
                assert!(results.as_array().unwrap().contains(&values), "{case}");
            }
            (None, None) => panic!("{case}"),
        }
    }
}
