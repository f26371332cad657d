//! SQL values as JSON, and back.

use std::sync::Arc;

use serde_json::Value as Json;
use tessera_engine::{ColumnInfo, Report, RowBatch, Value};
use tessera_types::{FormatContext, SqlType, ValueRef, codes, text};

use crate::problem::Problem;

/// Dimensions of an array parameter.
const ARRAY_DEPTH_MAX: usize = 6;

/// One row as a JSON array.
pub(super) fn write_row(
    out: &mut Vec<u8>,
    batch: &RowBatch,
    row: usize,
    columns: &[ColumnInfo],
    format: &FormatContext,
) {
    out.push(b'[');
    for (at, column) in columns.iter().enumerate().take(batch.columns()) {
        if at > 0 {
            out.push(b',');
        }
        write(out, batch.value(row, at), &column.sql_type, format);
    }
    out.push(b']');
}

/// One value as JSON.
pub(in crate::api) fn write(
    out: &mut Vec<u8>,
    value: ValueRef<'_>,
    sql_type: &SqlType,
    format: &FormatContext,
) {
    match value {
        ValueRef::Null => out.extend_from_slice(b"null"),
        ValueRef::Boolean(true) => out.extend_from_slice(b"true"),
        ValueRef::Boolean(false) => out.extend_from_slice(b"false"),
        ValueRef::Json(json) => out.extend_from_slice(one_line(json).as_bytes()),
        ValueRef::SmallInt(_)
        | ValueRef::Integer(_)
        | ValueRef::BigInt(_)
        | ValueRef::Real(_)
        | ValueRef::Double(_)
        | ValueRef::Numeric(_) => {
            let text = text::to_string(value, sql_type, format);
            // JSON has no infinity and no NaN.
            let is_number = text.bytes().all(|byte| {
                byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')
            });
            if is_number {
                out.extend_from_slice(text.as_bytes());
            } else {
                quote(out, &text);
            }
        }
        value => quote(out, &text::to_string(value, sql_type, format)),
    }
}

/// `json` keeps its spelling, line breaks between tokens included; in strings they are escaped.
fn one_line(json: &str) -> std::borrow::Cow<'_, str> {
    if json.contains(['\n', '\r']) {
        json.replace(['\n', '\r'], " ").into()
    } else {
        json.into()
    }
}

fn quote(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(Json::from(text).to_string().as_bytes());
}

/// JSON values as values of the types that the statement wants.
pub(super) fn parameters(
    given: &[Json],
    wanted: &[SqlType],
    format: &FormatContext,
) -> Result<Arc<[Value]>, Problem> {
    if given.len() != wanted.len() {
        return Err(Report::error(
            codes::UNDEFINED_PARAMETER,
            format!(
                "the statement has {} parameters, {} given",
                wanted.len(),
                given.len()
            ),
        )
        .into());
    }
    let values = given.iter().zip(wanted).enumerate();
    values
        .map(|(at, (value, wanted))| {
            parameter(value, wanted, format)
                .map_err(|report| Problem::from(report).with("path", format!("/parameters/{at}")))
        })
        .collect()
}

fn parameter(value: &Json, wanted: &SqlType, format: &FormatContext) -> Result<Value, Report> {
    let is_json = matches!(wanted.base(), SqlType::Json | SqlType::Jsonb);
    let input = match value {
        Json::Null => return Ok(Value::Null),
        // A string for a JSON parameter is JSON text, as in every other protocol.
        Json::String(text) => text.clone(),
        value if is_json => value.to_string(),
        Json::Bool(value) => value.to_string(),
        Json::Number(number) => number.to_string(),
        Json::Array(elements) => array(elements, 1)?,
        Json::Object(_) => {
            return Err(Report::error(
                codes::DATATYPE_MISMATCH,
                format!("an object is no value of type {}", wanted.name()),
            ));
        }
    };
    text::parse(wanted, &input, format).map_err(|error| error.report())
}

/// PostgreSQL's text form of an array.
fn array(elements: &[Json], depth: usize) -> Result<String, Report> {
    if depth > ARRAY_DEPTH_MAX {
        return Err(Report::error(
            codes::PROGRAM_LIMIT_EXCEEDED,
            format!("an array has at most {ARRAY_DEPTH_MAX} dimensions"),
        ));
    }
    let mut out = String::from("{");
    for (at, element) in elements.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        match element {
            Json::Null => out.push_str("NULL"),
            Json::Array(inner) => out.push_str(&array(inner, depth + 1)?),
            element => {
                let text = match element {
                    Json::String(text) => text.clone(),
                    other => other.to_string(),
                };
                out.push('"');
                for letter in text.chars() {
                    if matches!(letter, '"' | '\\') {
                        out.push('\\');
                    }
                    out.push(letter);
                }
                out.push('"');
            }
        }
    }
    out.push('}');
    Ok(out)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(value: &Value, sql_type: &SqlType) -> String {
        let mut out = Vec::new();
        write(
            &mut out,
            value.as_ref(),
            sql_type,
            &FormatContext::default(),
        );
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_and_json_stand_for_themselves_and_the_rest_is_text() {
        for (value, sql_type, expected) in [
            (Value::Null, SqlType::Text, "null"),
            (Value::Boolean(true), SqlType::Boolean, "true"),
            (Value::BigInt(-5), SqlType::BigInt, "-5"),
            (Value::Double(f64::NAN), SqlType::Double, "\"NaN\""),
            (Value::Double(1.5), SqlType::Double, "1.5"),
            (Value::text("a\"b"), SqlType::Text, "\"a\\\"b\""),
            (
                Value::Json("{\"a\":\n1}".into()),
                SqlType::Json,
                "{\"a\": 1}",
            ),
            (Value::Date(0), SqlType::Date, "\"1970-01-01\""),
        ] {
            assert_eq!(written(&value, &sql_type), expected);
        }
    }

    #[test]
    fn parameters_are_read_as_the_types_that_are_wanted() {
        let format = FormatContext::default();
        for (given, wanted, expected) in [
            (json!("12"), SqlType::Integer, "12"),
            (json!(12), SqlType::Integer, "12"),
            (json!(1.5), SqlType::Numeric(None), "1.5"),
            (json!("2024-02-29"), SqlType::Date, "2024-02-29"),
            (json!({"a": [1]}), SqlType::Jsonb, "{\"a\": [1]}"),
            (json!(true), SqlType::Boolean, "t"),
            (json!(7), SqlType::Text, "7"),
        ] {
            let value = parameter(&given, &wanted, &format).unwrap();
            assert_eq!(text::to_string(value.as_ref(), &wanted, &format), expected);
        }
        assert!(parameter(&json!({}), &SqlType::Integer, &format).is_err());
        assert!(parameter(&json!("x"), &SqlType::Integer, &format).is_err());
        assert_eq!(
            array(&[json!("a\"b"), json!(null), json!([1])], 1).unwrap(),
            "{\"a\\\"b\",NULL,{\"1\"}}"
        );
    }
}
