//! Messages of the server.
//!
//! Those that are sent rarely are `pgwire`'s. Those of every statement are put into the buffer
//! as bytes, because `pgwire` would allocate a string or a vector for each.

use bytes::{BufMut, BytesMut};
use pgwire::messages::Message;
use pgwire::messages::copy::{CopyInResponse, CopyOutResponse};
use pgwire::messages::data::ParameterDescription;
use pgwire::messages::response::{ErrorResponse, NoticeResponse};
use pgwire::messages::startup::{
    Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey,
};
use tessera_engine::{ColumnInfo, CommandTag, Notice, TransactionStatus};
use tessera_types::{Report, SqlType};

/// Field of an error with its facts as JSON. PostgreSQL does not use the letter, and its
/// documentation asks clients to ignore fields that they do not know.
const FACTS: u8 = b'J';

/// The newest protocol version we speak.
pub(crate) const PROTOCOL: i32 = 0x0003_0000;

/// Puts a message of `pgwire`'s into the buffer.
///
/// Encoding fails only for messages over 1 GiB, of which none is made here.
fn put(out: &mut Vec<u8>, message: &impl Message) {
    let mut encoded = BytesMut::new();
    if message.encode(&mut encoded).is_ok() {
        out.extend_from_slice(&encoded);
    }
}

pub(crate) fn parse_complete(out: &mut Vec<u8>) {
    out.put_slice(b"1\0\0\0\x04");
}

pub(crate) fn bind_complete(out: &mut Vec<u8>) {
    out.put_slice(b"2\0\0\0\x04");
}

pub(crate) fn close_complete(out: &mut Vec<u8>) {
    out.put_slice(b"3\0\0\0\x04");
}

pub(crate) fn no_data(out: &mut Vec<u8>) {
    out.put_slice(b"n\0\0\0\x04");
}

pub(crate) fn portal_suspended(out: &mut Vec<u8>) {
    out.put_slice(b"s\0\0\0\x04");
}

pub(crate) fn empty_query(out: &mut Vec<u8>) {
    out.put_slice(b"I\0\0\0\x04");
}

pub(crate) fn copy_done(out: &mut Vec<u8>) {
    out.put_slice(b"c\0\0\0\x04");
}

pub(crate) fn copy_data(out: &mut Vec<u8>, data: &[u8]) {
    out.put_u8(b'd');
    // Pieces come from the executor, which keeps them far below 1 GiB.
    out.put_u32(u32::try_from(data.len() + 4).unwrap_or(u32::MAX));
    out.put_slice(data);
}

pub(crate) fn ready(out: &mut Vec<u8>, status: TransactionStatus) {
    out.put_slice(b"Z\0\0\0\x05");
    out.put_u8(match status {
        TransactionStatus::Idle => b'I',
        TransactionStatus::InTransaction => b'T',
        TransactionStatus::Failed => b'E',
    });
}

/// `CommandComplete`, written without an intermediate string.
pub(crate) fn command_complete(out: &mut Vec<u8>, tag: &CommandTag) {
    let start = out.len();
    out.put_slice(b"C\0\0\0\0");
    out.put_slice(tag.verb.as_bytes());
    if let Some(rows) = tag.rows {
        out.put_slice(if tag.verb == "INSERT" { b" 0 " } else { b" " });
        put_decimal(out, rows);
    }
    out.put_u8(0);
    finish(out, start);
}

/// Writes the length of the message that begins at `start`.
pub(crate) fn finish(out: &mut Vec<u8>, start: usize) {
    let length = (out.len() - start - 1) as u32;
    out[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
}

fn put_decimal(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.put_slice(&digits[at..]);
}

/// RowDescription. `format` tells each column's format code.
pub(crate) fn row_description(
    out: &mut Vec<u8>,
    columns: &[ColumnInfo],
    format: impl Fn(usize) -> i16,
) {
    let start = out.len();
    out.put_slice(b"T\0\0\0\0");
    out.put_u16(columns.len() as u16);
    for (at, column) in columns.iter().enumerate() {
        out.put_slice(
            column
                .name
                .split('\0')
                .next()
                .unwrap_or_default()
                .as_bytes(),
        );
        out.put_u8(0);
        out.put_u32(column.table.map_or(0, |table| table.0));
        out.put_i16(column.column);
        out.put_u32(oid_of(&column.sql_type));
        out.put_i16(column.sql_type.size());
        out.put_i32(column.sql_type.typmod());
        out.put_i16(format(at));
    }
    finish(out, start);
}

/// NotificationResponse.
pub(crate) fn notification(out: &mut Vec<u8>, notice: &Notice) {
    let start = out.len();
    out.put_slice(b"A\0\0\0\0");
    out.put_i32(notice.process_id);
    for text in [&notice.channel, &notice.payload] {
        // A zero byte would end the text early; no client can have sent one.
        out.put_slice(text.split('\0').next().unwrap_or_default().as_bytes());
        out.put_u8(0);
    }
    finish(out, start);
}

pub(crate) fn parameter_description(out: &mut Vec<u8>, types: &[SqlType]) {
    put(
        out,
        &ParameterDescription::new(types.iter().map(oid_of).collect()),
    );
}

/// Clients are never told `unknown` for a result: PostgreSQL says `text` since version 10.
fn oid_of(sql_type: &SqlType) -> u32 {
    match sql_type {
        SqlType::Unknown => SqlType::Text.oid(),
        sql_type => sql_type.oid(),
    }
}

pub(crate) fn copy_response(out: &mut Vec<u8>, to_client: bool, binary: bool, columns: usize) {
    let code = i16::from(binary);
    let count = i16::try_from(columns).unwrap_or(i16::MAX);
    let formats = vec![code; count as usize];
    if to_client {
        put(out, &CopyOutResponse::new(i8::from(binary), count, formats));
    } else {
        put(out, &CopyInResponse::new(i8::from(binary), count, formats));
    }
}

pub(crate) fn parameter_status(out: &mut Vec<u8>, name: &str, value: &str) {
    put(
        out,
        &ParameterStatus::new(name.to_owned(), value.replace('\0', "")),
    );
}

pub(crate) fn key_data(out: &mut Vec<u8>, process_id: i32, secret: i32) {
    put(
        out,
        &BackendKeyData::new(process_id, SecretKey::I32(secret)),
    );
}

pub(crate) fn negotiate_protocol(out: &mut Vec<u8>, unknown: Vec<String>) {
    put(out, &NegotiateProtocolVersion::new(PROTOCOL, unknown));
}

pub(crate) fn authentication_ok(out: &mut Vec<u8>) {
    put(out, &Authentication::Ok);
}

pub(crate) fn sasl_mechanisms(out: &mut Vec<u8>, mechanisms: &[&str]) {
    let names = mechanisms.iter().map(|name| (*name).to_owned()).collect();
    put(out, &Authentication::SASL(names));
}

pub(crate) fn sasl_continue(out: &mut Vec<u8>, data: String) {
    put(out, &Authentication::SASLContinue(data.into()));
}

pub(crate) fn sasl_final(out: &mut Vec<u8>, data: String) {
    put(out, &Authentication::SASLFinal(data.into()));
}

pub(crate) fn error(out: &mut Vec<u8>, report: &Report) {
    put(out, &ErrorResponse::new(fields_of(report)));
}

pub(crate) fn notice(out: &mut Vec<u8>, report: &Report) {
    put(out, &NoticeResponse::new(fields_of(report)));
}

/// The fields of an error or notice, by their letters in the protocol.
fn fields_of(report: &Report) -> Vec<(u8, String)> {
    let severity = report.severity.as_str().to_owned();
    let mut fields = vec![
        (b'S', severity.clone()),
        (b'V', severity),
        (b'C', report.code.as_str().to_owned()),
        (b'M', report.message.clone()),
    ];
    let optional = [
        (b'D', report.detail.clone()),
        (b'H', report.hint.clone()),
        (b'P', report.position.map(|position| position.to_string())),
        (b'W', report.context.clone()),
        (b's', report.schema.clone()),
        (b't', report.table.clone()),
        (b'c', report.column.clone()),
        (b'd', report.data_type.clone()),
        (b'n', report.constraint.clone()),
        (FACTS, report.facts.clone()),
    ];
    fields.extend(
        optional
            .into_iter()
            .filter_map(|(letter, value)| Some((letter, value?))),
    );
    for (_, value) in &mut fields {
        // A zero byte would end the field; it can come in by an identifier of a bad request.
        if value.contains('\0') {
            *value = value.replace('\0', "\u{fffd}");
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_written_as_postgresql_does() {
        let written = |tag: CommandTag| {
            let mut out = Vec::new();
            command_complete(&mut out, &tag);
            assert_eq!(out[0], b'C');
            assert_eq!(usize::from(out[4]), out.len() - 1);
            String::from_utf8_lossy(&out[5..out.len() - 1]).into_owned()
        };
        assert_eq!(written(CommandTag::counted("INSERT", 12)), "INSERT 0 12");
        assert_eq!(written(CommandTag::counted("SELECT", 0)), "SELECT 0");
        assert_eq!(
            written(CommandTag::counted("SELECT", u64::MAX)),
            format!("SELECT {}", u64::MAX)
        );
        assert_eq!(written(CommandTag::new("BEGIN")), "BEGIN");
    }

    #[test]
    fn a_notification_is_a_number_and_two_texts() {
        let mut out = Vec::new();
        let notice = Notice {
            channel: "c\0x".into(),
            payload: "hello".into(),
            process_id: 258,
        };
        notification(&mut out, &notice);
        assert_eq!(out, b"A\0\0\0\x10\0\0\x01\x02c\0hello\0");
    }

    #[test]
    fn a_zero_byte_cannot_end_an_error_early() {
        let mut out = Vec::new();
        error(&mut out, &Report::internal("a\0b"));
        let body = &out[5..];
        assert_eq!(body.iter().filter(|byte| **byte == 0).count(), 4 + 1);
    }
}
