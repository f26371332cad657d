//! RESP as a client writes and reads it, shown as redis-cli shows it. Shares nothing with the server.

pub(crate) fn encode(words: &[Vec<u8>]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Words of a line; double quotes with `\n`, `\xHH` and the like.
pub(crate) fn words(line: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut bytes = line.bytes().peekable();
    loop {
        while bytes.next_if_eq(&b' ').is_some() {}
        let Some(first) = bytes.peek().copied() else {
            return words;
        };
        let mut word = Vec::new();
        if first == b'"' {
            bytes.next();
            while let Some(byte) = bytes.next() {
                match byte {
                    b'"' => break,
                    b'\\' => match bytes.next().unwrap() {
                        b'n' => word.push(b'\n'),
                        b'r' => word.push(b'\r'),
                        b't' => word.push(b'\t'),
                        b'x' => {
                            let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                            let text = std::str::from_utf8(&digits).unwrap();
                            word.push(u8::from_str_radix(text, 16).unwrap());
                        }
                        other => word.push(other),
                    },
                    byte => word.push(byte),
                }
            }
        } else {
            while let Some(byte) = bytes.next_if(|byte| *byte != b' ') {
                word.push(byte);
            }
        }
        words.push(word);
    }
}

/// An answer.
pub(crate) enum Value {
    Simple(String),
    Error(String),
    Integer(String),
    Double(String),
    Bulk(Vec<u8>),
    Text(String),
    Null,
    /// With what stands behind the numbers of its items.
    List(Vec<Value>, char),
    Map(Vec<Value>),
}

/// The answer at the start of some bytes, and how many it takes.
pub(crate) fn parse(bytes: &[u8]) -> Option<(Value, usize)> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let line = String::from_utf8_lossy(&bytes[1..end]).into_owned();
    let head = end + 2;
    let many = |times: usize| {
        let mut at = head;
        let mut items = Vec::new();
        for _ in 0..times * line.parse::<usize>().unwrap() {
            let (item, used) = parse(&bytes[at..])?;
            items.push(item);
            at += used;
        }
        Some((items, at))
    };
    let value = match bytes[0] {
        b'+' => Value::Simple(line),
        b'-' => Value::Error(line),
        b':' => Value::Integer(line),
        b',' => Value::Double(line),
        b'_' => Value::Null,
        b'$' | b'*' if line == "-1" => Value::Null,
        kind @ (b'$' | b'=') => {
            let length: usize = line.parse().unwrap();
            let body = bytes.get(head..head + length)?;
            bytes.get(head + length + 1)?;
            let value = match kind {
                b'$' => Value::Bulk(body.to_vec()),
                _ => Value::Text(String::from_utf8_lossy(&body[4..]).into_owned()),
            };
            return Some((value, head + length + 2));
        }
        b'*' => return many(1).map(|(items, at)| (Value::List(items, ')'), at)),
        b'~' => return many(1).map(|(items, at)| (Value::List(items, '~'), at)),
        b'>' => return many(1).map(|(items, at)| (Value::List(items, '>'), at)),
        b'%' => return many(2).map(|(items, at)| (Value::Map(items), at)),
        other => panic!("unknown type {:?}", char::from(other)),
    };
    Some((value, head))
}

impl Value {
    /// As redis-cli shows it.
    pub(crate) fn shown(&self) -> String {
        match self {
            Value::Simple(text) | Value::Text(text) => text.clone(),
            Value::Error(text) => format!("(error) {text}"),
            Value::Integer(number) => format!("(integer) {number}"),
            Value::Double(number) => format!("(double) {number}"),
            Value::Bulk(bytes) => quoted(bytes),
            Value::Null => "(nil)".to_owned(),
            Value::List(items, mark) if items.is_empty() => match mark {
                '~' => "(empty set)",
                _ => "(empty array)",
            }
            .to_owned(),
            Value::List(items, mark) => {
                let width = items.len().to_string().len();
                let lines = items.iter().enumerate().map(|(at, item)| {
                    indented(&format!("{:>width$}{mark} ", at + 1), &item.shown())
                });
                lines.collect::<Vec<_>>().join("\n")
            }
            Value::Map(items) if items.is_empty() => "(empty hash)".to_owned(),
            Value::Map(items) => {
                let lines = items.chunks(2).enumerate().map(|(at, entry)| {
                    let head = format!("{}# {} => ", at + 1, entry[0].shown());
                    indented(&head, &entry[1].shown())
                });
                lines.collect::<Vec<_>>().join("\n")
            }
        }
    }
}

fn indented(head: &str, body: &str) -> String {
    let space = " ".repeat(head.len());
    format!("{head}{}", body.replace('\n', &format!("\n{space}")))
}

fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for byte in bytes {
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b' '..=b'~' => out.push(char::from(*byte)),
            other => out.push_str(&format!("\\x{other:02x}")),
        }
    }
    out.push('"');
    out
}
