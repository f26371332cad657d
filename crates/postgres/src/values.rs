//! Parameters in, rows out. The hot part of the protocol: no allocation per value.

use std::ops::Range;

use tessera_engine::{ColumnInfo, OidNames, RowBatch, Value};
use tessera_types::{FormatContext, Report, SqlType, ValueRef, binary, codes, text};

use crate::backend;
use crate::frontend::utf8;

/// A parameter's value.
///
/// # Errors
/// 22021, 22P02, 22P03, 08P01 and the like, when the bytes are not a value of the type.
pub(crate) fn parameter(
    bytes: Option<&[u8]>,
    is_binary: bool,
    sql_type: &SqlType,
    format: &FormatContext,
    number: usize,
) -> Result<Value, Report> {
    let Some(bytes) = bytes else {
        return Ok(Value::Null);
    };
    if is_binary {
        let wanted = sql_type.size();
        if wanted > 0 && bytes.len() != wanted as usize {
            return Err(Report::error(
                codes::PROTOCOL_VIOLATION,
                format!("incorrect binary data format in bind parameter {number}"),
            ));
        }
        if is_text(sql_type) {
            check_text(bytes)?;
        }
        return binary::parse(sql_type, bytes).map_err(|error| error.report());
    }
    let literal = check_text(bytes)?;
    text::parse(sql_type, literal, format).map_err(|error| error.report())
}

fn is_text(sql_type: &SqlType) -> bool {
    matches!(
        sql_type,
        SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) | SqlType::Name | SqlType::Unknown
    )
}

fn check_text(bytes: &[u8]) -> Result<&str, Report> {
    if bytes.contains(&0) {
        return Err(Report::error(
            codes::CHARACTER_NOT_IN_REPERTOIRE,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    utf8(bytes)
}

/// How the columns of one result are written.
pub(crate) struct RowFormat<'a> {
    pub(crate) columns: &'a [ColumnInfo],
    /// Format codes: none for all text, one for all, or one each.
    pub(crate) formats: &'a [i16],
    pub(crate) context: &'a FormatContext,
    /// Set when a column is of a type that prints an oid as a name.
    pub(crate) names: Option<OidNames>,
}

impl RowFormat<'_> {
    pub(crate) fn is_binary(&self, column: usize) -> bool {
        match self.formats {
            [] => false,
            [all] => *all == 1,
            formats => formats.get(column) == Some(&1),
        }
    }
}

/// Longest row in bytes; the length of a message is a signed 32-bit number.
const ROW_BYTES_MAX: usize = 1 << 30;

/// Writes rows of a batch as DataRow messages.
///
/// # Errors
/// 54000 for a row that does not fit into a message.
pub(crate) fn rows(
    out: &mut Vec<u8>,
    batch: &RowBatch,
    range: Range<usize>,
    format: &RowFormat<'_>,
) -> Result<(), Report> {
    let columns = batch.columns();
    let count = (columns as u16).to_be_bytes();
    for row in range {
        let start = out.len();
        out.extend_from_slice(&[b'D', 0, 0, 0, 0, count[0], count[1]]);
        for column in 0..columns {
            let value = batch.value(row, column);
            let at = out.len();
            if value.is_null() {
                out.extend_from_slice(&(-1_i32).to_be_bytes());
                continue;
            }
            out.extend_from_slice(&[0; 4]);
            write_value(out, value, column, format);
            let length = (out.len() - at - 4) as u32;
            out[at..at + 4].copy_from_slice(&length.to_be_bytes());
        }
        let length = out.len() - start - 1;
        if length > ROW_BYTES_MAX {
            out.truncate(start);
            return Err(Report::error(
                codes::PROGRAM_LIMIT_EXCEEDED,
                format!("a row of {length} bytes is too long to be sent"),
            ));
        }
        out[start + 1..start + 5].copy_from_slice(&(length as u32).to_be_bytes());
    }
    Ok(())
}

fn write_value(out: &mut Vec<u8>, value: ValueRef<'_>, column: usize, format: &RowFormat<'_>) {
    let sql_type = format
        .columns
        .get(column)
        .map_or(&SqlType::Text, |info| &info.sql_type);
    if format.is_binary(column) {
        binary::write(value, sql_type, out);
    } else if let (Some(names), ValueRef::Oid(oid)) = (&format.names, &value) {
        out.extend_from_slice(names.text(sql_type, *oid).as_bytes());
    } else {
        text::write(value, sql_type, format.context, out);
    }
}

/// RowDescription for these columns.
pub(crate) fn describe(out: &mut Vec<u8>, columns: &[ColumnInfo], formats: &[i16]) {
    backend::row_description(out, columns, |column| match formats {
        [] => 0,
        [all] => *all,
        formats => formats.get(column).copied().unwrap_or(0),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], is_binary: bool, sql_type: &SqlType, expected: &str) {
        let found = parameter(
            Some(bytes),
            is_binary,
            sql_type,
            &FormatContext::default(),
            1,
        );
        let found = match found {
            Ok(value) => format!("{value:?}"),
            Err(report) => report.code.to_string(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn bad_parameters_are_refused_with_postgresql_s_codes() {
        check(b"12", false, &SqlType::Integer, "Integer(12)");
        check(b"x", false, &SqlType::Integer, "22P02");
        check(&[0, 0, 0, 12], true, &SqlType::Integer, "Integer(12)");
        check(&[0, 0, 12], true, &SqlType::Integer, "08P01");
        check(b"a\0b", true, &SqlType::Text, "22021");
        check(b"a\xffb", false, &SqlType::Text, "22021");
    }
}
