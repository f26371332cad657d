//! Functions and operators on arrays.

use tessera_planner::functions::{Argument, FunctionRegistry, Returns, Scalar};
use tessera_types::SqlType::{Array, Boolean, Integer, Text};
use tessera_types::{ArrayValue, Report, SqlType, Value, ValueRef, codes};

use super::kernel::{Row, RowResult, check_length, integer, lenient, output, strict};

/// Elements an array that a function makes may have.
const ELEMENTS_MAX: usize = 10_000_000;

/// Adds them.
pub(super) fn register(r: &mut FunctionRegistry) {
    sizes(r);
    searches(r);
    changes(r);
    sets(r);
    texts(r);
}

fn array<'a>(row: &'a Row<'_>, index: usize) -> Option<&'a ArrayValue> {
    match row.value(index) {
        ValueRef::Array(array) => Some(array),
        _ => None,
    }
}

fn list(element: SqlType, elements: Vec<Value>) -> RowResult {
    if elements.len() > ELEMENTS_MAX {
        return Err(Report::error(
            codes::PROGRAM_LIMIT_EXCEEDED,
            "array size exceeds the maximum allowed",
        ));
    }
    Ok(Value::Array(Box::new(ArrayValue::from_elements(
        element, elements,
    ))))
}

fn element_type(row: &Row<'_>, index: usize) -> SqlType {
    row.sql_type(index)
        .element()
        .cloned()
        .unwrap_or(SqlType::Text)
}

fn sizes(r: &mut FunctionRegistry) {
    let dimension = |row: &Row<'_>| -> Option<(i32, i32)> {
        let index = usize::try_from(row.integer(1) - 1).ok()?;
        array(row, 0)?.dimensions.get(index).copied()
    };
    let mut sized = |name: &str, body: fn(i32, i32) -> i32| {
        let arguments = [Argument::AnyArray, Argument::Exact(Integer)];
        let kernel = strict(move |row: &Row<'_>| {
            Ok(dimension(row).map_or(Value::Null, |(length, lower)| {
                Value::Integer(body(length, lower))
            }))
        });
        r.scalar(Scalar::new(
            name,
            arguments,
            Returns::Exact(Integer),
            kernel,
        ));
    };
    sized("array_length", |length, _| length);
    sized("array_lower", |_, lower| lower);
    sized("array_upper", |length, lower| {
        lower.saturating_add(length).saturating_sub(1)
    });
    let kernel = strict(|row: &Row<'_>| {
        integer(array(row, 0).map_or(0, |array| array.elements.len()) as i64)
    });
    r.scalar(Scalar::new(
        "cardinality",
        [Argument::AnyArray],
        Returns::Exact(Integer),
        kernel,
    ));
    let kernel =
        strict(
            |row: &Row<'_>| match array(row, 0).map_or(0, |array| array.dimensions.len()) {
                0 => Ok(Value::Null),
                count => integer(count as i64),
            },
        );
    r.scalar(Scalar::new(
        "array_ndims",
        [Argument::AnyArray],
        Returns::Exact(Integer),
        kernel,
    ));
    let kernel = strict(|row: &Row<'_>| {
        let dimensions = array(row, 0)
            .map(|array| array.dimensions.clone())
            .unwrap_or_default();
        if dimensions.is_empty() {
            return Ok(Value::Null);
        }
        let parts = dimensions
            .iter()
            .map(|(length, lower)| format!("[{lower}:{}]", lower + length - 1));
        Ok(Value::from(parts.collect::<String>()))
    });
    r.scalar(Scalar::new(
        "array_dims",
        [Argument::AnyArray],
        Returns::Exact(Text),
        kernel,
    ));
}

fn searches(r: &mut FunctionRegistry) {
    let kernel = lenient(|row: &Row<'_>| {
        let Some(array) = array(row, 0) else {
            return Ok(Value::Null);
        };
        let wanted = row.value(1).to_owned();
        let lower = array.dimensions.first().map_or(1, |dimension| dimension.1);
        let start = if row.len() > 2 {
            usize::try_from(row.integer(2) - i64::from(lower)).unwrap_or(0)
        } else {
            0
        };
        let found = array
            .elements
            .iter()
            .skip(start)
            .position(|element| same(element, &wanted));
        match found {
            Some(at) => integer((at + start) as i64 + i64::from(lower)),
            None => Ok(Value::Null),
        }
    });
    let arguments = [
        Argument::AnyArray,
        Argument::AnyElement,
        Argument::Exact(Integer),
    ];
    r.scalar(Scalar::new("array_position", arguments, Returns::Exact(Integer), kernel).optional(1));
    let kernel = lenient(|row: &Row<'_>| {
        let Some(array) = array(row, 0) else {
            return Ok(Value::Null);
        };
        let wanted = row.value(1).to_owned();
        let hits = array
            .elements
            .iter()
            .zip(1i32..)
            .filter(|(element, _)| same(element, &wanted));
        list(Integer, hits.map(|(_, at)| Value::Integer(at)).collect())
    });
    let arguments = [Argument::AnyArray, Argument::AnyElement];
    r.scalar(Scalar::new(
        "array_positions",
        arguments,
        Returns::Exact(Array(Box::new(Integer))),
        kernel,
    ));
}

/// Equal, or both NULL.
fn same(a: &Value, b: &Value) -> bool {
    a.is_null() == b.is_null() && a == b
}

fn changes(r: &mut FunctionRegistry) {
    let kernel = lenient(|row: &Row<'_>| {
        let mut elements = array(row, 0)
            .map(|array| array.elements.clone())
            .unwrap_or_default();
        elements.push(row.value(1).to_owned());
        list(element_type(row, 0), elements)
    });
    r.scalar(Scalar::new(
        "array_append",
        [Argument::AnyArray, Argument::AnyElement],
        Returns::Array,
        kernel,
    ));
    let kernel = lenient(|row: &Row<'_>| {
        let mut elements = vec![row.value(0).to_owned()];
        elements.extend(
            array(row, 1)
                .map(|array| array.elements.clone())
                .unwrap_or_default(),
        );
        list(element_type(row, 1), elements)
    });
    r.scalar(Scalar::new(
        "array_prepend",
        [Argument::AnyElement, Argument::AnyArray],
        Returns::Array,
        kernel,
    ));
    let kernel = lenient(|row: &Row<'_>| {
        if row.is_null(0) && row.is_null(1) {
            return Ok(Value::Null);
        }
        let mut elements = array(row, 0)
            .map(|array| array.elements.clone())
            .unwrap_or_default();
        elements.extend(
            array(row, 1)
                .map(|array| array.elements.clone())
                .unwrap_or_default(),
        );
        list(element_type(row, 0), elements)
    });
    r.scalar(Scalar::new(
        "array_cat",
        [Argument::AnyArray, Argument::AnyArray],
        Returns::Array,
        kernel,
    ));
    let kernel = lenient(|row: &Row<'_>| {
        let Some(array) = array(row, 0) else {
            return Ok(Value::Null);
        };
        let unwanted = row.value(1).to_owned();
        let kept = array
            .elements
            .iter()
            .filter(|element| !same(element, &unwanted))
            .cloned()
            .collect();
        list(array.element.clone(), kept)
    });
    r.scalar(Scalar::new(
        "array_remove",
        [Argument::AnyArray, Argument::AnyElement],
        Returns::Array,
        kernel,
    ));
    let kernel = lenient(|row: &Row<'_>| {
        let Some(array) = array(row, 0) else {
            return Ok(Value::Null);
        };
        let (from, to) = (row.value(1).to_owned(), row.value(2).to_owned());
        let replaced = array.elements.iter().map(|element| {
            if same(element, &from) {
                to.clone()
            } else {
                element.clone()
            }
        });
        list(array.element.clone(), replaced.collect())
    });
    let arguments = [
        Argument::AnyArray,
        Argument::AnyElement,
        Argument::AnyElement,
    ];
    r.scalar(Scalar::new(
        "array_replace",
        arguments,
        Returns::Array,
        kernel,
    ));
    let kernel = strict(|row: &Row<'_>| {
        let Some(array) = array(row, 0) else {
            return Ok(Value::Null);
        };
        let length = array.elements.len();
        let drop = usize::try_from(row.integer(1))
            .ok()
            .filter(|drop| *drop <= length)
            .ok_or_else(|| {
                Report::error(
                    codes::ARRAY_SUBSCRIPT_ERROR,
                    format!("number of elements to trim must be between 0 and {length}"),
                )
            })?;
        list(
            array.element.clone(),
            array.elements[..length - drop].to_vec(),
        )
    });
    r.scalar(Scalar::new(
        "trim_array",
        [Argument::AnyArray, Argument::Exact(Integer)],
        Returns::Array,
        kernel,
    ));
    let kernel = lenient(|row: &Row<'_>| {
        if row.is_null(1) {
            return Err(Report::error(
                codes::NULL_VALUE_NOT_ALLOWED,
                "dimension array or low bound array cannot be null",
            ));
        }
        let lengths: Vec<i64> = array(row, 1)
            .map(|array| array.elements.iter().filter_map(Value::as_i64).collect())
            .unwrap_or_default();
        match lengths.as_slice() {
            [] => list(row.sql_type(0).clone(), Vec::new()),
            [length] => {
                let length = usize::try_from(*length).unwrap_or(0);
                check_length(length.saturating_mul(std::mem::size_of::<Value>()))?;
                list(
                    row.sql_type(0).clone(),
                    vec![row.value(0).to_owned(); length],
                )
            }
            _ => Err(Report::unsupported(
                "array_fill makes arrays of one dimension only",
            )),
        }
    });
    let arguments = [
        Argument::AnyElement,
        Argument::Exact(Array(Box::new(Integer))),
    ];
    r.scalar(Scalar::new("array_fill", arguments, Returns::Array, kernel));
}

fn sets(r: &mut FunctionRegistry) {
    // NULLs are never contained.
    fn contains(a: &ArrayValue, b: &ArrayValue) -> bool {
        b.elements.iter().all(|wanted| {
            !wanted.is_null() && a.elements.iter().any(|element| same(element, wanted))
        })
    }
    let mut operator = |symbol: &str, test: fn(&ArrayValue, &ArrayValue) -> bool| {
        let kernel = strict(move |row: &Row<'_>| match (array(row, 0), array(row, 1)) {
            (Some(a), Some(b)) => Ok(Value::Boolean(test(a, b))),
            _ => Ok(Value::Null),
        });
        r.operator(Scalar::new(
            symbol,
            [Argument::AnyArray, Argument::AnyArray],
            Returns::Exact(Boolean),
            kernel,
        ));
    };
    operator("@>", contains);
    operator("<@", |a, b| contains(b, a));
    operator("&&", |a, b| {
        a.elements.iter().any(|element| {
            !element.is_null() && b.elements.iter().any(|other| same(element, other))
        })
    });
}

fn texts(r: &mut FunctionRegistry) {
    let kernel = lenient(|row: &Row<'_>| {
        let (Some(array), false) = (array(row, 0), row.is_null(1)) else {
            return Ok(Value::Null);
        };
        let format = row.format();
        let null = (row.len() > 2 && !row.is_null(2)).then(|| row.text(2));
        let mut out = String::new();
        let mut first = true;
        for element in &array.elements {
            let text = if element.is_null() {
                match null {
                    Some(null) => null.to_owned(),
                    None => continue,
                }
            } else {
                output(&element.as_ref(), &array.element, &format)
            };
            if !std::mem::take(&mut first) {
                out.push_str(row.text(1));
            }
            out.push_str(&text);
            check_length(out.len())?;
        }
        Ok(Value::from(out))
    });
    let arguments = [
        Argument::AnyArray,
        Argument::Exact(Text),
        Argument::Exact(Text),
    ];
    r.scalar(
        Scalar::new("array_to_string", arguments, Returns::Exact(Text), kernel)
            .stable()
            .optional(1),
    );
    let kernel = lenient(|row: &Row<'_>| {
        if row.is_null(0) {
            return Ok(Value::Null);
        }
        let delimiter = (!row.is_null(1)).then(|| row.text(1));
        let null = (row.len() > 2 && !row.is_null(2)).then(|| row.text(2));
        list(Text, split_text(row.text(0), delimiter, null))
    });
    let arguments = [Text, Text, Text].map(Argument::Exact);
    let returns = Returns::Exact(Array(Box::new(Text)));
    r.scalar(Scalar::new("string_to_array", arguments, returns, kernel).optional(1));
}

/// Parts of a text; no delimiter cuts between all characters, an empty one not at all.
pub(super) fn split_text(text: &str, delimiter: Option<&str>, null: Option<&str>) -> Vec<Value> {
    if text.is_empty() {
        return Vec::new();
    }
    let wrap = |part: &str| {
        if Some(part) == null {
            Value::Null
        } else {
            Value::from(part)
        }
    };
    match delimiter {
        None => text
            .chars()
            .map(|c| wrap(c.encode_utf8(&mut [0; 4])))
            .collect(),
        Some("") => vec![wrap(text)],
        Some(delimiter) => text.split(delimiter).map(wrap).collect(),
    }
}
