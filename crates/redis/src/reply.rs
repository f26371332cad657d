//! Answers as bytes, in RESP2 or RESP3.
//!
//! A type that RESP2 has not is written as what Redis writes there: a map as a flat array, a double
//! as text, a boolean as an integer, null as a null string or a null array.

use std::fmt::Write as _;

use tessera_keyvalue::format_score;

/// Answers that were made and not sent.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_resp3: bool,
}

impl Reply {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn ok(&mut self) {
        self.bytes.extend_from_slice(b"+OK\r\n");
    }

    /// A short text without line ends.
    pub(crate) fn simple(&mut self, text: &str) {
        self.bytes.push(b'+');
        self.line(text);
    }

    /// An error: its code word, then what is wrong.
    pub(crate) fn error(&mut self, text: &str) {
        self.bytes.push(b'-');
        self.line(text);
    }

    /// A line cannot hold its own end.
    fn line(&mut self, text: &str) {
        let clean = text.bytes().map(|byte| match byte {
            b'\r' | b'\n' => b' ',
            other => other,
        });
        self.bytes.extend(clean);
        self.bytes.extend_from_slice(b"\r\n");
    }

    pub(crate) fn int(&mut self, value: i64) {
        self.head(b':', value);
    }

    /// A number of things.
    pub(crate) fn count(&mut self, value: u64) {
        self.int(i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// 1 or 0 in both versions, for the commands that answer so.
    pub(crate) fn flag(&mut self, value: bool) {
        self.int(i64::from(value));
    }

    pub(crate) fn bulk(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.size(b'$', bytes.len());
        self.bytes.extend_from_slice(bytes);
        self.bytes.extend_from_slice(b"\r\n");
    }

    pub(crate) fn maybe(&mut self, bytes: Option<impl AsRef<[u8]>>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    /// Text for people (`txt`).
    pub(crate) fn text(&mut self, text: &str) {
        if self.is_resp3 {
            self.size(b'=', text.len() + 4);
            self.bytes.extend_from_slice(b"txt:");
            self.bytes.extend_from_slice(text.as_bytes());
            self.bytes.extend_from_slice(b"\r\n");
        } else {
            self.bulk(text);
        }
    }

    pub(crate) fn null(&mut self) {
        let null: &[u8] = if self.is_resp3 { b"_\r\n" } else { b"$-1\r\n" };
        self.bytes.extend_from_slice(null);
    }

    pub(crate) fn null_array(&mut self) {
        let null: &[u8] = if self.is_resp3 { b"_\r\n" } else { b"*-1\r\n" };
        self.bytes.extend_from_slice(null);
    }

    pub(crate) fn array(&mut self, count: usize) {
        self.size(b'*', count);
    }

    /// A map of so many entries; each is a key and a value.
    pub(crate) fn map(&mut self, entries: usize) {
        if self.is_resp3 {
            self.size(b'%', entries);
        } else {
            self.size(b'*', entries * 2);
        }
    }

    pub(crate) fn set(&mut self, count: usize) {
        self.size(if self.is_resp3 { b'~' } else { b'*' }, count);
    }

    /// What the client did not ask for.
    pub(crate) fn push(&mut self, count: usize) {
        self.size(if self.is_resp3 { b'>' } else { b'*' }, count);
    }

    pub(crate) fn double(&mut self, value: f64) {
        let text = format_score(value);
        if self.is_resp3 {
            self.bytes.push(b',');
            self.line(&text);
        } else {
            self.bulk(text);
        }
    }

    /// Strings of an array.
    pub(crate) fn bulks<T: AsRef<[u8]>>(&mut self, items: &[T]) {
        self.array(items.len());
        for item in items {
            self.bulk(item);
        }
    }

    fn size(&mut self, marker: u8, size: usize) {
        self.head(marker, i64::try_from(size).unwrap_or(i64::MAX));
    }

    fn head(&mut self, marker: u8, value: i64) {
        self.bytes.push(marker);
        if let Ok(digit @ 0..=9) = u8::try_from(value) {
            self.bytes.push(b'0' + digit);
        } else {
            // Writing to memory does not fail.
            let _ = write!(Text(&mut self.bytes), "{value}");
        }
        self.bytes.extend_from_slice(b"\r\n");
    }
}

struct Text<'a>(&'a mut Vec<u8>);

impl std::fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use redis_protocol::resp2::types::OwnedFrame as Resp2;
    use redis_protocol::resp3::types::OwnedFrame as Resp3;

    use super::*;

    fn written(is_resp3: bool, write: impl FnOnce(&mut Reply)) -> Vec<u8> {
        let mut reply = Reply {
            is_resp3,
            ..Reply::default()
        };
        write(&mut reply);
        reply.bytes
    }

    /// What an independent decoder makes of it.
    fn resp2(write: impl FnOnce(&mut Reply)) -> Resp2 {
        let bytes = written(false, write);
        let (frame, used) = redis_protocol::resp2::decode::decode(&bytes)
            .expect("valid")
            .expect("whole");
        assert_eq!(used, bytes.len());
        frame
    }

    fn resp3(write: impl FnOnce(&mut Reply)) -> Resp3 {
        let bytes = written(true, write);
        let (frame, used) = redis_protocol::resp3::decode::complete::decode(&bytes)
            .expect("valid")
            .expect("whole");
        assert_eq!(used, bytes.len());
        frame
    }

    #[test]
    fn resp2_says_everything_with_five_types() {
        assert_eq!(resp2(|reply| reply.int(-42)), Resp2::Integer(-42));
        assert_eq!(resp2(Reply::null), Resp2::Null);
        assert_eq!(resp2(Reply::null_array), Resp2::Null);
        assert_eq!(
            resp2(|reply| reply.double(0.5)),
            Resp2::BulkString(b"0.5".to_vec())
        );
        assert_eq!(
            resp2(|reply| {
                reply.map(1);
                reply.bulk("a");
                reply.int(7);
            }),
            Resp2::Array(vec![Resp2::BulkString(b"a".to_vec()), Resp2::Integer(7)])
        );
        assert_eq!(
            resp2(|reply| reply.text("x\r\ny")),
            Resp2::BulkString(b"x\r\ny".to_vec())
        );
    }

    #[test]
    fn resp3_has_maps_sets_doubles_nulls_and_pushes() {
        let kind = |write: fn(&mut Reply)| written(true, write)[0];
        assert_eq!(kind(|reply| reply.map(0)), b'%');
        assert_eq!(kind(|reply| reply.set(0)), b'~');
        assert_eq!(kind(|reply| reply.push(0)), b'>');
        assert!(
            matches!(resp3(|reply| reply.double(0.5)), Resp3::Double { data, .. } if data == 0.5)
        );
        assert!(matches!(
            resp3(|reply| reply.double(f64::NEG_INFINITY)),
            Resp3::Double { data, .. } if data == f64::NEG_INFINITY
        ));
        assert!(matches!(resp3(Reply::null), Resp3::Null));
        assert!(matches!(
            resp3(|reply| reply.text("hello")),
            Resp3::VerbatimString { data, .. } if data == b"hello"
        ));
    }

    #[test]
    fn an_error_is_one_line() {
        let bytes = written(false, |reply| reply.error("ERR a\r\nb"));
        assert_eq!(bytes, b"-ERR a  b\r\n");
    }
}
