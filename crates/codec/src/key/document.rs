//! `jsonb` in key order: PostgreSQL's `jsonb_ops`.

use tessera_types::json::{self, Json};

use super::decode::Input;
use super::{encode_bytes, number};
use crate::CodecError;

/// An empty array at the top sorts before everything, see [`Json::compare`].
const EMPTY_ARRAY: u8 = 1;
const NULL: u8 = 2;
const STRING: u8 = 3;
const NUMBER: u8 = 4;
const FALSE: u8 = 5;
const TRUE: u8 = 6;
const ARRAY: u8 = 7;
const OBJECT: u8 = 8;
/// A text that is not JSON: only after a bug elsewhere, and still in some order.
const RAW: u8 = 9;

pub(super) fn encode(text: &str, out: &mut Vec<u8>) {
    match json::parse_binary(text) {
        Ok(Json::Array(elements)) if elements.is_empty() => out.push(EMPTY_ARRAY),
        Ok(tree) => encode_tree(&tree, out),
        Err(_) => {
            out.push(RAW);
            encode_bytes(text.as_bytes(), out);
        }
    }
}

fn encode_tree(tree: &Json, out: &mut Vec<u8>) {
    // Texts are limited to a gigabyte, so the counts fit.
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    match tree {
        Json::Null => out.push(NULL),
        Json::String(text) => {
            out.push(STRING);
            encode_bytes(text.as_bytes(), out);
        }
        Json::Number(digits) => {
            out.push(NUMBER);
            number::encode_text(digits, out);
        }
        Json::Bool(value) => out.push(if *value { TRUE } else { FALSE }),
        Json::Array(elements) => {
            out.push(ARRAY);
            out.extend_from_slice(&count(elements.len()));
            for element in elements {
                encode_tree(element, out);
            }
        }
        Json::Object(pairs) => {
            out.push(OBJECT);
            out.extend_from_slice(&count(pairs.len()));
            for (key, value) in pairs {
                encode_bytes(key.as_bytes(), out);
                encode_tree(value, out);
            }
        }
    }
}

pub(super) fn decode(input: &mut Input<'_>) -> Result<Box<str>, CodecError> {
    let tree = match input.byte()? {
        EMPTY_ARRAY => Json::Array(Vec::new()),
        RAW => return Ok(input.string()?.into()),
        tag => decode_tree(tag, input, 0)?,
    };
    Ok(tree.to_string().into())
}

fn decode_tree(tag: u8, input: &mut Input<'_>, depth: usize) -> Result<Json, CodecError> {
    if depth > json::DEPTH_MAX {
        return Err(CodecError::Malformed {
            what: "document in a key",
        });
    }
    Ok(match tag {
        NULL => Json::Null,
        FALSE => Json::Bool(false),
        TRUE => Json::Bool(true),
        STRING => Json::String(input.string()?),
        NUMBER => Json::Number(number::decode_text(input)?),
        ARRAY => {
            let count = u32::from_be_bytes(input.take()?);
            let mut elements = Vec::new();
            for _ in 0..count {
                let tag = input.byte()?;
                elements.push(decode_tree(tag, input, depth + 1)?);
            }
            Json::Array(elements)
        }
        OBJECT => {
            let count = u32::from_be_bytes(input.take()?);
            let mut pairs = Vec::new();
            for _ in 0..count {
                let key = input.string()?;
                let tag = input.byte()?;
                pairs.push((key, decode_tree(tag, input, depth + 1)?));
            }
            Json::Object(pairs)
        }
        _ => {
            return Err(CodecError::Malformed {
                what: "document in a key",
            });
        }
    })
}
