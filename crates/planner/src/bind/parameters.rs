//! Names of parameters, for calls such as `make_interval(days => 10)`.

use datafusion::common::ScalarValue;
use tessera_types::{Report, SqlType, codes};

use super::Typed;
use super::coerce::literal_of;
use crate::functions::describe;

/// What a parameter that is left out in the middle stands for, as an untyped literal.
const LEFT_OUT: &str = "0";

/// Parameters of the functions that are called by their names; PostgreSQL's names.
fn names_of(function: &str) -> &'static [&'static str] {
    match function {
        "make_interval" => &["years", "months", "weeks", "days", "hours", "mins", "secs"],
        "make_date" => &["year", "month", "day"],
        "make_time" => &["hour", "min", "sec"],
        "make_timestamp" => &["year", "month", "mday", "hour", "min", "sec"],
        "make_timestamptz" => &["year", "month", "mday", "hour", "min", "sec", "timezone"],
        "jsonb_set" => &["jsonb_in", "path", "replacement", "create_if_missing"],
        "jsonb_insert" => &["jsonb_in", "path", "replacement", "insert_after"],
        "json_strip_nulls" | "jsonb_strip_nulls" => &["target"],
        "regexp_count" => &["string", "pattern", "start", "flags"],
        "regexp_like" => &["string", "pattern", "flags"],
        "regexp_match" | "regexp_matches" | "regexp_split_to_array" | "regexp_split_to_table" => {
            &["string", "pattern", "flags"]
        }
        "json_object_keys"
        | "jsonb_object_keys"
        | "json_array_elements"
        | "jsonb_array_elements" => &["from_json"],
        _ => &[],
    }
}

/// The arguments of a call in the order of the parameters, those left out as their defaults.
pub(super) fn in_order(
    function: &str,
    mut arguments: Vec<Typed>,
    by_name: Vec<(String, Typed)>,
) -> Result<Vec<Typed>, Report> {
    let mut seen: Vec<&str> = Vec::new();
    for (name, _) in &by_name {
        if seen.contains(&name.as_str()) {
            return Err(Report::error(
                codes::SYNTAX_ERROR,
                format!("argument name \"{name}\" used more than once"),
            ));
        }
        seen.push(name);
    }
    let names = names_of(function);
    let given = arguments.len();
    let mut places: Vec<Option<Typed>> = vec![None; names.len().saturating_sub(given)];
    for (name, argument) in &by_name {
        let place = names.iter().position(|known| known == name);
        match place.and_then(|place| places.get_mut(place.checked_sub(given)?)) {
            Some(free) => *free = Some(argument.clone()),
            None => return Err(no_such_function(function, &arguments, &by_name)),
        }
    }
    while places.last().is_some_and(Option::is_none) {
        places.pop();
    }
    for place in places {
        match place {
            Some(argument) => arguments.push(argument),
            // The only function whose parameters may all be left out.
            None if function == "make_interval" => {
                let value = ScalarValue::Utf8(Some(LEFT_OUT.to_owned()));
                arguments.push(literal_of(value, SqlType::Unknown));
            }
            None => return Err(no_such_function(function, &arguments, &by_name)),
        }
    }
    Ok(arguments)
}

/// 42883 with the call as PostgreSQL shows it.
fn no_such_function(function: &str, arguments: &[Typed], by_name: &[(String, Typed)]) -> Report {
    let types: Vec<SqlType> = arguments.iter().map(|a| a.sql_type.clone()).collect();
    let positional = describe("", &types);
    let mut shown: Vec<String> = Vec::new();
    let positional = positional.trim_matches(['(', ')']);
    if !positional.is_empty() {
        shown.push(positional.to_owned());
    }
    for (name, argument) in by_name {
        shown.push(format!("{name} => {}", argument.sql_type.base_name()));
    }
    Report::error(
        codes::UNDEFINED_FUNCTION,
        format!("function {function}({}) does not exist", shown.join(", ")),
    )
    .with_hint(
        "No function matches the given name and argument types. You might need to add explicit type casts.",
    )
}
