//! Commands out of bytes: arrays of bulk strings, and inline commands.
//! <https://redis.io/docs/latest/develop/reference/protocol-spec/>
//!
//! The decoder remembers how far it has come, so that a command which arrives in many pieces is
//! looked at once, and it allocates for what has arrived, never for what is announced.

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;
use tessera_keyvalue::parse_integer;

use crate::request::{Request, Spans};

/// Bytes of an inline command, and of the line that begins an array or a bulk string
/// (`PROTO_INLINE_MAX_SIZE`).
pub(crate) const INLINE_BYTES_MAX: usize = 64 * 1024;
/// Arguments of one command, before and after login.
const ARGUMENTS_MAX: [i64; 2] = [10, 1024 * 1024];
/// Bytes of one argument before login.
const STRANGER_BULK_BYTES_MAX: i64 = 16 * 1024;

/// What a client may send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Whether it is logged in.
    pub(crate) is_trusted: bool,
    /// Bytes of one argument.
    pub(crate) bulk_bytes_max: usize,
    /// Bytes of one command.
    pub(crate) request_bytes_max: usize,
}

/// What ends a connection, as it is told to the client behind `ERR Protocol error: `.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BadRequest {
    /// Not what the protocol allows, or over a limit.
    Protocol(&'static str),
    /// A bulk string was expected.
    NoBulk(u8),
    /// HTTP, perhaps by a browser that an attacker uses (cross-protocol scripting).
    Http,
}

/// Where the decoder stands within a command.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// Bytes of the buffer that are understood.
    at: usize,
    /// Bytes behind `at` that have no end of line.
    seen: usize,
    /// Arguments of an array that are to come; 0 between commands.
    missing: i64,
    /// Bytes of the argument that comes, if its length is known.
    bulk: Option<usize>,
    spans: Spans,
}

impl Decoder {
    /// Takes the next whole command out of the buffer; none if more must arrive.
    pub(crate) fn next(
        &mut self,
        input: &mut BytesMut,
        limits: &Limits,
    ) -> Result<Option<Request>, BadRequest> {
        loop {
            if self.missing == 0 {
                match input.first() {
                    None => return Ok(None),
                    Some(b'*') => match self.array(input, limits)? {
                        Step::More => return Ok(None),
                        Step::Nothing => continue,
                        Step::Done => {}
                    },
                    Some(_) => match self.inline(input)? {
                        Inline::More => return Ok(None),
                        Inline::Nothing => continue,
                        Inline::Command(request) => return Ok(Some(request)),
                    },
                }
            }
            while self.missing > 0 {
                if !self.argument(input, limits)? {
                    if input.len() > limits.request_bytes_max {
                        return Err(BadRequest::Protocol("too big request"));
                    }
                    return Ok(None);
                }
            }
            let frame = input.split_to(self.at).freeze();
            let spans = std::mem::take(&mut self.spans);
            self.at = 0;
            return Ok(Some(Request::new(frame, spans)));
        }
    }

    /// The head of an array.
    fn array(&mut self, input: &mut BytesMut, limits: &Limits) -> Result<Step, BadRequest> {
        let Some(line) = self.line(input, "too big mbulk count string")? else {
            return Ok(Step::More);
        };
        let count = parse_integer(&input[line.0 + 1..line.1])
            .filter(|count| *count <= ARGUMENTS_MAX[1])
            .ok_or(BadRequest::Protocol("invalid multibulk length"))?;
        if !limits.is_trusted && count > ARGUMENTS_MAX[0] {
            return Err(BadRequest::Protocol("unauthenticated multibulk length"));
        }
        if count <= 0 {
            // As Redis does: an empty command is none.
            let _ = input.split_to(self.at);
            self.at = 0;
            return Ok(Step::Nothing);
        }
        self.missing = count;
        Ok(Step::Done)
    }

    /// One argument; false if more must arrive.
    fn argument(&mut self, input: &BytesMut, limits: &Limits) -> Result<bool, BadRequest> {
        let length = match self.bulk {
            Some(length) => length,
            None => {
                if let Some(first) = input.get(self.at)
                    && *first != b'$'
                {
                    return Err(BadRequest::NoBulk(*first));
                }
                let Some(line) = self.line(input, "too big bulk count string")? else {
                    return Ok(false);
                };
                let length = parse_integer(&input[line.0 + 1..line.1])
                    .filter(|length| *length >= 0)
                    .ok_or(BadRequest::Protocol("invalid bulk length"))?;
                if !limits.is_trusted && length > STRANGER_BULK_BYTES_MAX {
                    return Err(BadRequest::Protocol("unauthenticated bulk length"));
                }
                let length = usize::try_from(length)
                    .ok()
                    .filter(|length| *length <= limits.bulk_bytes_max)
                    .ok_or(BadRequest::Protocol("invalid bulk length"))?;
                self.bulk = Some(length);
                length
            }
        };
        let end = self.at + length;
        if input.len() < end + 2 {
            return Ok(false);
        }
        if input[end..end + 2] != *b"\r\n" {
            return Err(BadRequest::Protocol("expected end of line behind a string"));
        }
        let span =
            |at: usize| u32::try_from(at).map_err(|_| BadRequest::Protocol("too big request"));
        self.spans.push((span(self.at)?, span(end)?));
        self.at = end + 2;
        self.bulk = None;
        self.missing -= 1;
        Ok(true)
    }

    /// The line at `at`, which begins with a marker, as start and end without its terminator.
    fn line(
        &mut self,
        input: &BytesMut,
        too_long: &'static str,
    ) -> Result<Option<(usize, usize)>, BadRequest> {
        let start = self.at;
        let rest = &input[start..];
        let Some(found) = rest[self.seen..].iter().position(|byte| *byte == b'\r') else {
            self.seen = rest.len();
            if rest.len() > INLINE_BYTES_MAX {
                return Err(BadRequest::Protocol(too_long));
            }
            return Ok(None);
        };
        let end = self.seen + found;
        if end > INLINE_BYTES_MAX {
            return Err(BadRequest::Protocol(too_long));
        }
        match rest.get(end + 1) {
            None => {
                self.seen = end;
                Ok(None)
            }
            Some(b'\n') => {
                self.seen = 0;
                self.at = start + end + 2;
                Ok(Some((start, start + end)))
            }
            Some(_) => Err(BadRequest::Protocol("expected end of line")),
        }
    }

    /// A line of words.
    fn inline(&mut self, input: &mut BytesMut) -> Result<Inline, BadRequest> {
        let Some(found) = input[self.seen..].iter().position(|byte| *byte == b'\n') else {
            self.seen = input.len();
            if input.len() > INLINE_BYTES_MAX {
                return Err(BadRequest::Protocol("too big inline request"));
            }
            return Ok(Inline::More);
        };
        let end = self.seen + found;
        if end > INLINE_BYTES_MAX {
            return Err(BadRequest::Protocol("too big inline request"));
        }
        self.seen = 0;
        let line = input.split_to(end + 1);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (frame, spans) =
            split_words(line).ok_or(BadRequest::Protocol("unbalanced quotes in request"))?;
        if spans.is_empty() {
            return Ok(Inline::Nothing);
        }
        let request = Request::new(frame, spans);
        if is_http(&request) {
            return Err(BadRequest::Http);
        }
        Ok(Inline::Command(request))
    }
}

enum Step {
    More,
    Nothing,
    Done,
}

enum Inline {
    More,
    Nothing,
    Command(Request),
}

/// A request line or a header that every HTTP client sends.
fn is_http(request: &Request) -> bool {
    let version = request.arg(request.len() - 1);
    request.is(0, "post")
        || request.is(0, "host:")
        || (request.len() == 3 && version.starts_with(b"HTTP/"))
}

/// Splits a line into words as `sdssplitargs` does; none if quotes are not balanced.
fn split_words(line: &[u8]) -> Option<(Bytes, Spans)> {
    let mut words: Vec<u8> = Vec::with_capacity(line.len());
    let mut spans: Spans = SmallVec::new();
    let mut rest = line;
    loop {
        while let [first, tail @ ..] = rest
            && is_space(*first)
        {
            rest = tail;
        }
        if rest.is_empty() {
            return Some((words.into(), spans));
        }
        // Lines are shorter than 4 GB.
        let start = u32::try_from(words.len()).ok()?;
        rest = word(rest, &mut words)?;
        spans.push((start, u32::try_from(words.len()).ok()?));
    }
}

/// Takes one word; what is left behind it.
fn word<'a>(mut rest: &'a [u8], words: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return Some(rest),
            [first, ..] if is_space(*first) => return Some(rest),
            [quote @ (b'"' | b'\''), tail @ ..] => {
                rest = if *quote == b'"' {
                    double_quoted(tail, words)?
                } else {
                    single_quoted(tail, words)?
                };
                // A closing quote ends the word.
                match rest {
                    [] => return Some(rest),
                    [next, ..] if is_space(*next) => return Some(rest),
                    _ => return None,
                }
            }
            [byte, tail @ ..] => {
                words.push(*byte);
                rest = tail;
            }
        }
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], words: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return None,
            [b'"', tail @ ..] => return Some(tail),
            [b'\\', b'x', high, low, tail @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                words.push(hex(*high) << 4 | hex(*low));
                rest = tail;
            }
            [b'\\', escaped, tail @ ..] => {
                words.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                rest = tail;
            }
            [byte, tail @ ..] => {
                words.push(*byte);
                rest = tail;
            }
        }
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], words: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return None,
            [b'\'', tail @ ..] => return Some(tail),
            [b'\\', b'\'', tail @ ..] => {
                words.push(b'\'');
                rest = tail;
            }
            [byte, tail @ ..] => {
                words.push(*byte);
                rest = tail;
            }
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0)
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
#[path = "decode/tests.rs"]
mod tests;
