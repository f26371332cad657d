//! Values of all types as JSON, and back.
//!
//! A string is a JSON string, a hash an object, a list or set an array, a sorted set an array of
//! `{"member", "score"}` from the lowest score on, a stream an array of `{"id", "fields"}` with
//! fields as pairs, for they may repeat. If anything in a value is not UTF-8, it is given in the
//! same shape with every text in base64, under another name.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tessera_engine::Report;
use tessera_engine::keyvalue::{
    AddId, End, KeyInfo, KeyValueError, RangeBy, RangeSpec, Reader, ScanSpec, SetOptions,
    StreamEntry, StreamId, StreamRange, ValueType, Writer, XaddOptions, ZaddOptions, format_score,
};
use tessera_types::codes;
use utoipa::ToSchema;

use crate::api::input;
use crate::problem::Problem;

/// The media type of a value with its type, in a request.
pub(super) const TYPED: &str = "application/vnd.tessera.value+json";
/// Elements of one answer when nothing is said, and at most.
const PART_DEFAULT: usize = 1_000;
const PART_MAX: usize = 10_000;
/// Bytes of the elements of one answer, by their mean size: parts of long elements are shorter.
const PART_BYTES_MAX: u64 = 16 << 20;
/// Elements of a value in a request.
const ELEMENTS_MAX: usize = 100_000;

/// A value, or a part of one.
#[derive(Debug, PartialEq)]
pub(super) enum Content {
    String(Bytes),
    Hash(Vec<(Bytes, Bytes)>),
    List(Vec<Bytes>),
    Set(Vec<Bytes>),
    SortedSet(Vec<(Bytes, f64)>),
    Stream(Vec<StreamEntry>),
}

/// Which elements.
#[derive(Debug)]
pub(super) struct Part {
    limit: usize,
    cursor: Option<String>,
}

impl Part {
    pub(super) fn new(limit: Option<u64>, cursor: Option<String>) -> Result<Part, Problem> {
        Ok(Part {
            limit: input::limit(limit, PART_DEFAULT, PART_MAX)?,
            cursor,
        })
    }

    /// The limit that keeps the answer small enough.
    fn limit_for(&self, info: &KeyInfo) -> usize {
        let mean = info.bytes / info.elements.unwrap_or(1).max(1) + 1;
        let fitting = usize::try_from(PART_BYTES_MAX / mean).unwrap_or(usize::MAX);
        self.limit.min(fitting.max(1))
    }

    fn number(&self) -> Result<u64, Report> {
        let text = self.cursor.as_deref().unwrap_or("0");
        text.parse().map_err(|_| wrong_cursor())
    }
}

fn wrong_cursor() -> Report {
    Report::error(
        codes::INVALID_PARAMETER_VALUE,
        "the cursor is not one of this key's",
    )
}

/// The value of a key, or the part of it that is asked for, and the cursor of the next part.
pub(super) async fn read(
    reader: &Reader<'_>,
    info: &KeyInfo,
    part: &Part,
) -> Result<Option<(Content, Option<String>)>, Report> {
    let key = &*info.key;
    let limit = part.limit_for(info);
    let scan = ScanSpec {
        count: Some(limit),
        ..ScanSpec::default()
    };
    let cursor = |next: u64| (next != 0).then(|| next.to_string());
    let behind = |from: u64, count: usize| {
        let next = from + count as u64;
        (next < info.elements.unwrap_or(0)).then(|| next.to_string())
    };
    let found = match info.value_type {
        ValueType::String => match reader.get(key).await? {
            Some(value) => (Content::String(value), None),
            None => return Ok(None),
        },
        ValueType::Hash => {
            let (next, fields) = reader.hscan(key, part.number()?, &scan).await?;
            (Content::Hash(fields), cursor(next))
        }
        ValueType::Set => {
            let (next, members) = reader.sscan(key, part.number()?, &scan).await?;
            (Content::Set(members), cursor(next))
        }
        ValueType::List => {
            let (from, first, last) = places(part, limit)?;
            let items = reader.lrange(key, first, last).await?;
            let next = behind(from, items.len());
            (Content::List(items), next)
        }
        ValueType::SortedSet => {
            let (from, first, last) = places(part, limit)?;
            let spec = RangeSpec::new(RangeBy::Rank(first, last));
            let members = reader.zrange(key, &spec).await?;
            let next = behind(from, members.len());
            (Content::SortedSet(members), next)
        }
        ValueType::Stream => {
            let start = match &part.cursor {
                Some(text) => StreamId::parse(text.as_bytes(), 0).map_err(|_| wrong_cursor())?,
                None => StreamId::MIN,
            };
            let range = StreamRange {
                start,
                end: StreamId::MAX,
            };
            // One more tells whether there is a next part.
            let count = Some(limit as u64 + 1);
            let mut entries = reader.xrange(key, range, count, false).await?;
            let next = entries.get(limit).map(|entry| entry.id.to_string());
            entries.truncate(limit);
            (Content::Stream(entries), next)
        }
    };
    Ok(Some(found))
}

/// Where a part of a list or sorted set begins, and its first and last place.
fn places(part: &Part, limit: usize) -> Result<(u64, i64, i64), Report> {
    let from = part.number()?;
    let first = i64::try_from(from).map_err(|_| wrong_cursor())?;
    let last = first.saturating_add(limit as i64 - 1);
    Ok((from, first, last))
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

impl Content {
    /// As text, or if that cannot be in base64.
    pub(super) fn to_json(&self) -> (Option<Value>, Option<Value>) {
        match self.written(text) {
            Some(value) => (Some(value), None),
            None => (None, self.written(|bytes| Some(input::to_base64(bytes)))),
        }
    }

    fn written(&self, write: impl Fn(&[u8]) -> Option<String>) -> Option<Value> {
        let array = |items: &[Bytes]| {
            let items = items.iter().map(|item| write(item).map(Value::from));
            items.collect::<Option<Vec<Value>>>().map(Value::from)
        };
        match self {
            Content::String(value) => write(value).map(Value::from),
            Content::List(items) | Content::Set(items) => array(items),
            Content::Hash(fields) => {
                let fields = fields
                    .iter()
                    .map(|(field, value)| Some((write(field)?, write(value)?.into())));
                fields.collect::<Option<Map<_, _>>>().map(Value::Object)
            }
            Content::SortedSet(members) => {
                let members = members.iter().map(|(member, score)| {
                    let score = match serde_json::Number::from_f64(*score) {
                        Some(number) => Value::Number(number),
                        // JSON has no infinity.
                        None => format_score(*score).to_string().into(),
                    };
                    Some(json!({ "member": write(member)?, "score": score }))
                });
                members.collect::<Option<Vec<_>>>().map(Value::from)
            }
            Content::Stream(entries) => {
                let entries = entries.iter().map(|entry| {
                    let pairs = entry.fields.iter();
                    let pairs =
                        pairs.map(|(field, value)| Some(json!([write(field)?, write(value)?])));
                    let fields = pairs.collect::<Option<Vec<_>>>()?;
                    Some(json!({ "id": entry.id.to_string(), "fields": fields }))
                });
                entries.collect::<Option<Vec<_>>>().map(Value::from)
            }
        }
    }

    /// Writes the value where nothing is.
    pub(super) async fn write(&self, writer: &Writer<'_>, key: &[u8]) -> Result<(), KeyValueError> {
        match self {
            Content::String(value) => {
                writer.set(key, value, SetOptions::default()).await?;
            }
            Content::Hash(fields) => {
                writer.hset(key, fields).await?;
            }
            Content::List(items) => {
                writer.push(key, End::Right, items, false).await?;
            }
            Content::Set(members) => {
                writer.sadd(key, members).await?;
            }
            Content::SortedSet(members) => {
                let members: Vec<(f64, &Bytes)> = members
                    .iter()
                    .map(|(member, score)| (*score, member))
                    .collect();
                writer.zadd(key, &members, ZaddOptions::default()).await?;
            }
            Content::Stream(entries) => {
                for entry in entries {
                    let id = AddId::Exact(entry.id);
                    let options = XaddOptions::default();
                    writer.xadd(key, id, &entry.fields, options).await?;
                }
            }
        }
        Ok(())
    }
}

/// A value with its type, as a request gives it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TypedValue {
    r#type: TypeName,
    /// The value in the shape of its type, as answers have it; or `value_base64`.
    value: Option<Value>,
    /// The same with every text in base64.
    value_base64: Option<Value>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum TypeName {
    String,
    Hash,
    List,
    Set,
    Zset,
    Stream,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    member: String,
    score: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    fields: Vec<(String, String)>,
}

impl TypedValue {
    pub(super) fn content(self) -> Result<Content, Problem> {
        let (value, read): (Value, fn(String) -> Result<Bytes, Problem>) =
            match (self.value, self.value_base64) {
                (Some(value), None) => (value, |text| Ok(text.into())),
                (None, Some(value)) => (value, |text| Ok(input::base64(&text)?.into())),
                _ => {
                    return Err(Problem::bad_request(
                        "a value is given as value or as value_base64",
                    ));
                }
            };
        let all = |texts: Vec<String>| texts.into_iter().map(read).collect::<Result<Vec<_>, _>>();
        let pair = |(field, value): (String, String)| -> Result<(Bytes, Bytes), Problem> {
            Ok((read(field)?, read(value)?))
        };
        let content = match self.r#type {
            TypeName::String => Content::String(read(input::from_value(value)?)?),
            TypeName::List => Content::List(all(input::from_value(value)?)?),
            TypeName::Set => Content::Set(all(input::from_value(value)?)?),
            TypeName::Hash => {
                let fields: Map<String, Value> = input::from_value(value)?;
                let fields = fields
                    .into_iter()
                    .map(|(field, value)| pair((field, input::from_value(value)?)));
                Content::Hash(fields.collect::<Result<_, Problem>>()?)
            }
            TypeName::Zset => {
                let members: Vec<Member> = input::from_value(value)?;
                let members = members
                    .into_iter()
                    .map(|member| Ok((read(member.member)?, score(&member.score)?)));
                Content::SortedSet(members.collect::<Result<_, Problem>>()?)
            }
            TypeName::Stream => {
                let entries: Vec<Entry> = input::from_value(value)?;
                let entries = entries.into_iter().map(|entry| {
                    let id = StreamId::parse(entry.id.as_bytes(), 0);
                    let id = id.map_err(|error| Problem::from(Report::from(error)))?;
                    let fields = entry.fields.into_iter().map(pair);
                    let fields = fields.collect::<Result<Vec<_>, Problem>>()?;
                    if fields.is_empty() {
                        return Err(Problem::bad_request("an entry has at least one field"));
                    }
                    Ok(StreamEntry { id, fields })
                });
                Content::Stream(entries.collect::<Result<_, Problem>>()?)
            }
        };
        match content.elements() {
            0 => Err(Problem::bad_request(
                "a value of this type has at least one element; delete the key instead",
            )),
            elements if elements > ELEMENTS_MAX => Err(Problem::new(
                axum::http::StatusCode::PAYLOAD_TOO_LARGE,
                format!("a value has at most {ELEMENTS_MAX} elements in a request"),
            )),
            _ => Ok(content),
        }
    }
}

impl Content {
    fn elements(&self) -> usize {
        match self {
            Content::String(_) => 1,
            Content::Hash(fields) => fields.len(),
            Content::List(items) | Content::Set(items) => items.len(),
            Content::SortedSet(members) => members.len(),
            Content::Stream(entries) => entries.len(),
        }
    }
}

fn score(value: &Value) -> Result<f64, Problem> {
    let score = match value {
        Value::Number(number) => number.as_f64().filter(|score| score.is_finite()),
        Value::String(text) => match text.as_str() {
            "inf" | "+inf" => Some(f64::INFINITY),
            "-inf" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    };
    score.ok_or_else(|| Problem::bad_request("a score is a number, \"inf\" or \"-inf\""))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]
mod tests {
    use super::*;

    fn check(body: Value) {
        let typed: TypedValue = input::from_value(body.clone()).unwrap();
        let (value, base64) = typed.content().unwrap().to_json();
        assert_eq!(value.as_ref(), body.get("value"), "{body}");
        assert_eq!(base64.as_ref(), body.get("value_base64"), "{body}");
    }

    #[test]
    fn values_of_every_type_come_back_as_they_went() {
        check(json!({"type": "string", "value": "a"}));
        check(json!({"type": "hash", "value": {"b": "1", "a": ""}}));
        check(json!({"type": "hash", "value_base64": {"_w": "YQ"}}));
        check(json!({"type": "list", "value": ["a", "a", ""]}));
        check(json!({"type": "list", "value_base64": ["_wA", "YQ"]}));
        check(json!({"type": "set", "value": ["x"]}));
        check(json!({"type": "zset", "value": [
            {"member": "a", "score": "-inf"}, {"member": "b", "score": 1.5}]}));
        check(json!({"type": "stream", "value": [
            {"id": "1-1", "fields": [["f", "1"], ["f", "2"]]}]}));
    }

    #[test]
    fn what_is_no_value_of_its_type_is_refused() {
        for body in [
            json!({"type": "list"}),
            json!({"type": "list", "value": [], "value_base64": []}),
            json!({"type": "list", "value": []}),
            json!({"type": "list", "value": [1]}),
            json!({"type": "list", "value_base64": ["\u{e4}"]}),
            json!({"type": "hash", "value": {"a": null}}),
            json!({"type": "zset", "value": [{"member": "a", "score": "high"}]}),
            json!({"type": "zset", "value": [{"member": "a", "score": 1, "more": 1}]}),
            json!({"type": "stream", "value": [{"id": "x", "fields": [["a", "b"]]}]}),
            json!({"type": "stream", "value": [{"id": "1-1", "fields": []}]}),
        ] {
            let typed: TypedValue = input::from_value(body.clone()).unwrap();
            assert_eq!(typed.content().unwrap_err().status, 400, "{body}");
        }
    }
}
