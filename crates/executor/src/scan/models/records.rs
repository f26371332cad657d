//! A key or a document as a row.
//!
//! The column `value` of a key that is not a string is its elements as JSON: a hash and a sorted
//! set (by score) are objects, a list and a set arrays, a stream an array of its entries, each
//! with `id` and `fields`. It is NULL where some part is not UTF-8, and for keys of more than
//! [`JSON_VALUE_BYTES_MAX`].

use bytes::Bytes;
use tessera_catalog::TableDef;
use tessera_documents::{Document, DocumentId};
use tessera_keyvalue::{KeyInfo, RangeBy, RangeSpec, Reader, StreamRange, ValueType, format_score};
use tessera_types::{Report, Value, json};

/// Bytes of a key's elements that are shown as JSON.
const JSON_VALUE_BYTES_MAX: u64 = 1 << 20;

/// What of a key's row is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyColumns {
    /// The column `value`.
    pub(crate) value: bool,
}

/// The columns of a key space: key, value, type, ttl, size.
pub(crate) async fn key_row(
    reader: &Reader<'_>,
    info: &KeyInfo,
    columns: KeyColumns,
) -> Result<Vec<Value>, Report> {
    let value = match (&info.small_value, info.value_type) {
        _ if !columns.value => None,
        (Some(value), _) => as_text(value).map(str::to_owned),
        (None, ValueType::String) => {
            let value = reader.get(&info.key).await;
            let value = value.map_err(|error| error.report())?;
            value.as_ref().and_then(as_text).map(str::to_owned)
        }
        (None, _) if info.bytes > JSON_VALUE_BYTES_MAX => None,
        (None, _) => json_value(reader, info).await?,
    };
    Ok(vec![
        Value::text(&*String::from_utf8_lossy(&info.key)),
        value.map_or(Value::Null, Value::text),
        Value::text(info.value_type.name()),
        info.expires.map_or(Value::Null, |at| {
            number(at.0.saturating_sub(reader.now().0))
        }),
        number(info.bytes),
    ])
}

fn as_text(bytes: &Bytes) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// The elements of a key as JSON; `None` if some are not UTF-8.
async fn json_value(reader: &Reader<'_>, info: &KeyInfo) -> Result<Option<String>, Report> {
    let key = &info.key;
    let report = |error: tessera_keyvalue::KeyValueError| error.report();
    let mut out = String::new();
    let is_text = match info.value_type {
        ValueType::String => false,
        ValueType::List => {
            let items = reader.lrange(key, 0, -1).await.map_err(report)?;
            write_list(&items, &mut out)
        }
        ValueType::Set => {
            let members = reader.smembers(key).await.map_err(report)?;
            write_list(&members, &mut out)
        }
        ValueType::Hash => {
            let fields = reader.hgetall(key).await.map_err(report)?;
            write_fields(&fields, &mut out)
        }
        ValueType::SortedSet => {
            let all = RangeSpec::new(RangeBy::Rank(0, -1));
            let members = reader.zrange(key, &all).await.map_err(report)?;
            out.push('{');
            let mut is_text = true;
            for (at, (member, score)) in members.iter().enumerate() {
                separate(at, &mut out);
                is_text &= write_text(member, &mut out);
                out.push_str(": ");
                let text = format_score(*score);
                // Infinite scores are no numbers of JSON.
                if score.is_finite() {
                    out.push_str(&text);
                } else {
                    json::write_string(&text, &mut out);
                }
            }
            out.push('}');
            is_text
        }
        ValueType::Stream => {
            let entries = reader.xrange(key, StreamRange::ALL, None, false).await;
            let entries = entries.map_err(report)?;
            out.push('[');
            let mut is_text = true;
            for (at, entry) in entries.iter().enumerate() {
                separate(at, &mut out);
                out.push_str("{\"id\": ");
                json::write_string(&entry.id.to_string(), &mut out);
                out.push_str(", \"fields\": ");
                is_text &= write_fields(&entry.fields, &mut out);
                out.push('}');
            }
            out.push(']');
            is_text
        }
    };
    Ok(is_text.then_some(out))
}

fn separate(at: usize, out: &mut String) {
    if at > 0 {
        out.push_str(", ");
    }
}

/// Appends a string; false if it is none.
fn write_text(bytes: &Bytes, out: &mut String) -> bool {
    match as_text(bytes) {
        Some(text) => {
            json::write_string(text, out);
            true
        }
        None => false,
    }
}

fn write_list(items: &[Bytes], out: &mut String) -> bool {
    out.push('[');
    let mut is_text = true;
    for (at, item) in items.iter().enumerate() {
        separate(at, out);
        is_text &= write_text(item, out);
    }
    out.push(']');
    is_text
}

fn write_fields(fields: &[(Bytes, Bytes)], out: &mut String) -> bool {
    out.push('{');
    let mut is_text = true;
    for (at, (name, value)) in fields.iter().enumerate() {
        separate(at, out);
        is_text &= write_text(name, out);
        out.push_str(": ");
        is_text &= write_text(value, out);
    }
    out.push('}');
    is_text
}

/// The columns of a collection: id, doc, version. The document itself only if it is wanted.
pub(crate) fn document_row(document: &Document, with_body: bool) -> Result<Vec<Value>, Report> {
    let body = if with_body {
        let text = document.to_text().map_err(|error| error.report())?;
        let text = json::normalize(&text).map_err(|error| error.report())?;
        Value::Json(text.into())
    } else {
        Value::Null
    };
    Ok(vec![
        Value::text(document.id().as_str()),
        body,
        number(document.version()),
    ])
}

/// The name of a document in the store.
pub(crate) fn stored_document_key(table: &TableDef, id: &DocumentId) -> Vec<u8> {
    let mut key = table.id.0.to_be_bytes().to_vec();
    key.extend_from_slice(id.as_str().as_bytes());
    key
}

fn number(n: u64) -> Value {
    Value::BigInt(i64::try_from(n).unwrap_or(i64::MAX))
}
