//! SQL values to JSON: `to_json`, `json_build_object` and kin.

use tessera_planner::functions::{Argument, FunctionRegistry, Returns, Scalar};
use tessera_types::SqlType::{Array, Json as JsonType, Jsonb, Text};
use tessera_types::json::{self, Json};
use tessera_types::{ArrayValue, FormatContext, Report, SqlType, Value, ValueRef, codes};

use super::super::kernel::{
    Row, RowResult, check_length, invalid, lenient, operator, output, strict,
};

/// Adds them.
pub(super) fn register(r: &mut FunctionRegistry) {
    for (suffix, binary) in [("json", false), ("jsonb", true)] {
        let ty = || if binary { Jsonb } else { JsonType };
        let returns = || Returns::Exact(ty());
        let single = move |row: &Row<'_>| {
            if row.is_null(0) {
                Ok(Value::Null)
            } else {
                element(row, 0, binary).map(|text| Value::Json(text.into()))
            }
        };
        r.scalar(
            Scalar::new(
                &format!("to_{suffix}"),
                [Argument::Any],
                returns(),
                lenient(single),
            )
            .stable(),
        );
        let array = move |row: &Row<'_>| build_array(row, binary);
        let name = format!("{suffix}_build_array");
        r.scalar(Scalar::new(&name, [], returns(), lenient(array)).stable());
        r.scalar(
            Scalar::new(&name, [Argument::Any], returns(), lenient(array))
                .stable()
                .variadic(),
        );
        let object = move |row: &Row<'_>| build_object(row, binary);
        let name = format!("{suffix}_build_object");
        r.scalar(Scalar::new(&name, [], returns(), lenient(object)).stable());
        r.scalar(
            Scalar::new(&name, [Argument::Any], returns(), lenient(object))
                .stable()
                .variadic(),
        );
        let texts = || Argument::Exact(Array(Box::new(Text)));
        let name = format!("{suffix}_object");
        r.scalar(Scalar::new(
            &name,
            [texts()],
            returns(),
            strict(move |row| object_of_texts(row, binary)),
        ));
        r.scalar(Scalar::new(
            &name,
            [texts(), texts()],
            returns(),
            strict(move |row| object_of_texts(row, binary)),
        ));
    }
    let arguments = [Argument::AnyArray, Argument::Exact(SqlType::Boolean)];
    let body = |row: &Row<'_>| element(row, 0, false).map(|text| Value::Json(text.into()));
    r.scalar(
        Scalar::new(
            "array_to_json",
            arguments,
            Returns::Exact(JsonType),
            strict(body),
        )
        .stable()
        .optional(1),
    );
    operator(r, "||", [Jsonb, Jsonb], Jsonb, |row| {
        concatenate(super::tree(row, 0)?, super::tree(row, 1)?)
    });
    super::super::kernel::function(r, "jsonb_concat", [Jsonb, Jsonb], Jsonb, |row| {
        concatenate(super::tree(row, 0)?, super::tree(row, 1)?)
    });
}

fn concatenate(a: Json, b: Json) -> RowResult {
    let list = |value: Json| match value {
        Json::Array(elements) => elements,
        other => vec![other],
    };
    super::jsonb(&match (a, b) {
        (Json::Object(mut a), Json::Object(b)) => {
            a.extend(b);
            Json::object(a)
        }
        (a, b) => {
            let mut all = list(a);
            all.extend(list(b));
            Json::Array(all)
        }
    })
}

/// The text of one argument as a JSON value.
fn element(row: &Row<'_>, index: usize, binary: bool) -> Result<String, Report> {
    let (value, ty) = (row.value(index), row.sql_type(index));
    let mut out = String::new();
    write(value, ty, binary, &row.format(), &mut out)?;
    if binary {
        Ok(json::normalize(&out)?)
    } else {
        Ok(out)
    }
}

/// A value as a JSON tree.
pub(in crate::functions) fn to_json(
    value: &Value,
    ty: &SqlType,
    binary: bool,
) -> Result<Json, Report> {
    let mut out = String::new();
    write(
        &value.as_ref(),
        ty,
        binary,
        &FormatContext::default(),
        &mut out,
    )?;
    Ok(if binary {
        json::parse_binary(&out)?
    } else {
        json::parse(&out)?
    })
}

/// A value as JSON text; values that are JSON already keep their spelling.
pub(in crate::functions) fn json_text(value: &Value, ty: &SqlType) -> Result<String, Report> {
    let mut out = String::new();
    write(
        &value.as_ref(),
        ty,
        false,
        &FormatContext::default(),
        &mut out,
    )?;
    Ok(out)
}

fn write(
    value: &ValueRef<'_>,
    ty: &SqlType,
    binary: bool,
    format: &FormatContext,
    out: &mut String,
) -> Result<(), Report> {
    check_length(out.len())?;
    match value {
        ValueRef::Null => out.push_str("null"),
        ValueRef::Boolean(true) => out.push_str("true"),
        ValueRef::Boolean(false) => out.push_str("false"),
        ValueRef::Json(text) => out.push_str(text),
        ValueRef::SmallInt(_)
        | ValueRef::Integer(_)
        | ValueRef::BigInt(_)
        | ValueRef::Numeric(_) => {
            out.push_str(&output(value, ty, format));
        }
        ValueRef::Real(v) if v.is_finite() => out.push_str(&output(value, ty, format)),
        ValueRef::Double(v) if v.is_finite() => out.push_str(&output(value, ty, format)),
        // ISO 8601 whatever the session's style is.
        ValueRef::Date(_) => {
            let iso = FormatContext {
                time_zone: format.time_zone,
                ..FormatContext::default()
            };
            json::write_string(&output(value, ty, &iso), out);
        }
        ValueRef::Timestamp(_) | ValueRef::TimestampTz(_) => {
            let iso = FormatContext {
                time_zone: format.time_zone,
                ..FormatContext::default()
            };
            let mut text = output(value, ty, &iso).replacen(' ', "T", 1);
            if matches!(value, ValueRef::TimestampTz(_)) && text.contains('T') {
                let offset = text.rfind(['+', '-']).map_or("", |at| &text[at..]);
                if offset.len() == 3 {
                    text.push_str(":00");
                }
            }
            json::write_string(&text, out);
        }
        ValueRef::Array(array) => write_array(array, binary, format, out)?,
        other => json::write_string(&output(other, ty, format), out),
    }
    Ok(())
}

fn write_array(
    array: &ArrayValue,
    binary: bool,
    format: &FormatContext,
    out: &mut String,
) -> Result<(), Report> {
    fn level(
        array: &ArrayValue,
        depth: usize,
        next: &mut usize,
        binary: bool,
        format: &FormatContext,
        out: &mut String,
    ) -> Result<(), Report> {
        out.push('[');
        for index in 0..array.dimensions[depth].0 {
            if index > 0 {
                out.push(',');
            }
            if depth + 1 < array.dimensions.len() {
                level(array, depth + 1, next, binary, format, out)?;
            } else if let Some(value) = array.elements.get(*next) {
                *next += 1;
                write(&value.as_ref(), &array.element, binary, format, out)?;
            }
        }
        out.push(']');
        Ok(())
    }
    if array.dimensions.is_empty() {
        out.push_str("[]");
        return Ok(());
    }
    level(array, 0, &mut 0, binary, format, out)
}

fn build_array(row: &Row<'_>, binary: bool) -> RowResult {
    let mut parts = Vec::with_capacity(row.len());
    for index in 0..row.len() {
        parts.push(element(row, index, binary)?);
    }
    Ok(Value::Json(format!("[{}]", parts.join(", ")).into()))
}

fn build_object(row: &Row<'_>, binary: bool) -> RowResult {
    if !row.len().is_multiple_of(2) {
        let name = if binary {
            "jsonb_build_object()"
        } else {
            "json_build_object()"
        };
        return Err(
            invalid("argument list must have even number of elements").with_hint(format!(
                "The arguments of {name} must consist of alternating keys and values."
            )),
        );
    }
    let mut out = String::from("{");
    for index in (0..row.len()).step_by(2) {
        if row.is_null(index) {
            return Err(if binary {
                invalid(format!("argument {}: key must not be null", index + 1))
            } else {
                invalid(format!("argument {} cannot be null", index + 1))
                    .with_hint("Object keys should be text.")
            });
        }
        if index > 0 {
            out.push_str(", ");
        }
        json::write_string(&row.output(index), &mut out);
        out.push_str(" : ");
        out.push_str(&element(row, index + 1, binary)?);
        check_length(out.len())?;
    }
    out.push('}');
    Ok(Value::Json(if binary {
        json::normalize(&out)?.into()
    } else {
        out.into()
    }))
}

/// `json_object('{a,1,b,2}')`, `json_object('{a,b}', '{1,2}')`: all values are strings.
fn object_of_texts(row: &Row<'_>, binary: bool) -> RowResult {
    let list = |index: usize| match row.value(index) {
        ValueRef::Array(array) => array.elements.clone(),
        _ => Vec::new(),
    };
    let fault = |message: &str| Err(Report::error(codes::ARRAY_SUBSCRIPT_ERROR, message));
    let pairs: Vec<(Value, Value)> = if row.len() == 2 {
        let (keys, values) = (list(0), list(1));
        if keys.len() != values.len() {
            return fault("mismatched array dimensions");
        }
        keys.into_iter().zip(values).collect()
    } else {
        let all = list(0);
        if !all.len().is_multiple_of(2) {
            return fault("array must have even number of elements");
        }
        all.chunks(2)
            .map(|pair| (pair[0].clone(), pair[1].clone()))
            .collect()
    };
    let mut out = String::from("{");
    for (index, (key, value)) in pairs.iter().enumerate() {
        let Some(key) = key.as_str() else {
            return Err(Report::error(
                codes::NULL_VALUE_NOT_ALLOWED,
                "null value not allowed for object key",
            ));
        };
        if index > 0 {
            out.push_str(", ");
        }
        json::write_string(key, &mut out);
        out.push_str(" : ");
        match value.as_str() {
            Some(text) => json::write_string(text, &mut out),
            None => out.push_str("null"),
        }
    }
    out.push('}');
    Ok(Value::Json(if binary {
        json::normalize(&out)?.into()
    } else {
        out.into()
    }))
}
