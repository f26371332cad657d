//! What a server says, decoded.

use std::fmt;

use bytes::{Buf, Bytes};

use super::Status;

/// A message from the server.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reply {
    /// A step of the login.
    Authentication(Authentication),
    /// How to cancel this connection's statements.
    Key {
        /// The connection.
        process_id: i32,
        /// Proof that the asker owns it.
        secret: i32,
    },
    /// A setting's value.
    Parameter(String, String),
    /// The result that follows has these columns.
    Columns(Vec<Column>),
    /// One row in text form.
    Row(Vec<Option<String>>),
    /// A statement ended well; its tag.
    Complete(String),
    /// The query held no statement.
    Empty,
    /// Send COPY data now.
    CopyIn,
    /// COPY data follows.
    CopyOut,
    /// A piece of COPY data.
    CopyData(Bytes),
    /// COPY data ended.
    CopyEnd,
    /// A statement failed.
    Error(Box<ServerError>),
    /// Something to tell the user.
    Notice(Box<ServerError>),
    /// The server waits for the next request.
    Ready(Status),
    /// Nothing that matters here.
    Other,
}

/// A step of the login.
#[derive(Debug)]
pub enum Authentication {
    /// Logged in.
    Ok,
    /// Choose one of these mechanisms.
    Sasl(Vec<String>),
    /// The server's challenge.
    SaslContinue(Bytes),
    /// The server's proof.
    SaslFinal(Bytes),
    /// A method by its number.
    Other(i32),
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Object id of its type.
    pub type_oid: u32,
}

/// An error or notice with all its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerError {
    /// ERROR, FATAL, NOTICE, …
    pub severity: String,
    /// SQLSTATE.
    pub code: String,
    /// The fact.
    pub message: String,
    /// More about it.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// Character of the query, from 1.
    pub position: Option<usize>,
    /// Where in the server's work it happened.
    pub context: Option<String>,
    /// Schema, table, column, type and constraint, as far as they are known.
    pub objects: Vec<(&'static str, String)>,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:  {}", self.severity, self.message)?;
        if let Some(detail) = &self.detail {
            write!(f, "\nDETAIL:  {detail}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nHINT:  {hint}")?;
        }
        if let Some(context) = &self.context {
            write!(f, "\nCONTEXT:  {context}")?;
        }
        Ok(())
    }
}

/// Tag and length (which counts itself, not the tag) of the message at the front.
pub(super) fn header(input: &[u8]) -> Option<(u8, usize)> {
    let (tag, rest) = input.split_first()?;
    let length = rest.first_chunk::<4>()?;
    Some((*tag, u32::from_be_bytes(*length) as usize))
}

impl Reply {
    /// Decodes one message; the error says what is wrong with it.
    pub(super) fn decode(tag: u8, body: Bytes) -> Result<Reply, String> {
        let mut reader = Reader(body);
        let reply = match tag {
            b'R' => Reply::Authentication(authentication(&mut reader)?),
            b'K' => Reply::Key {
                process_id: reader.i32()?,
                secret: reader.i32()?,
            },
            b'S' => Reply::Parameter(reader.text()?, reader.text()?),
            b'T' => Reply::Columns(columns(&mut reader)?),
            b'D' => Reply::Row(row(&mut reader)?),
            b'C' => Reply::Complete(reader.text()?),
            b'I' => Reply::Empty,
            b'G' => Reply::CopyIn,
            b'H' => Reply::CopyOut,
            b'd' => Reply::CopyData(reader.0),
            b'c' => Reply::CopyEnd,
            b'E' => Reply::Error(Box::new(error(&mut reader)?)),
            b'N' => Reply::Notice(Box::new(error(&mut reader)?)),
            b'Z' => Reply::Ready(match reader.u8()? {
                b'T' => Status::Open,
                b'E' => Status::Failed,
                _ => Status::Idle,
            }),
            _ => Reply::Other,
        };
        Ok(reply)
    }
}

fn authentication(reader: &mut Reader) -> Result<Authentication, String> {
    Ok(match reader.i32()? {
        0 => Authentication::Ok,
        10 => {
            let mut mechanisms = Vec::new();
            loop {
                let name = reader.text()?;
                if name.is_empty() {
                    break Authentication::Sasl(mechanisms);
                }
                mechanisms.push(name);
            }
        }
        11 => Authentication::SaslContinue(reader.0.split_off(0)),
        12 => Authentication::SaslFinal(reader.0.split_off(0)),
        other => Authentication::Other(other),
    })
}

fn columns(reader: &mut Reader) -> Result<Vec<Column>, String> {
    let count = reader.u16()?;
    let mut columns = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let name = reader.text()?;
        reader.skip(6)?;
        let type_oid = reader.i32()?.cast_unsigned();
        reader.skip(8)?;
        columns.push(Column { name, type_oid });
    }
    Ok(columns)
}

fn row(reader: &mut Reader) -> Result<Vec<Option<String>>, String> {
    let count = reader.u16()?;
    let mut row = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        row.push(match usize::try_from(reader.i32()?) {
            Err(_) => None,
            Ok(length) => Some(String::from_utf8_lossy(&reader.bytes(length)?).into_owned()),
        });
    }
    Ok(row)
}

fn error(reader: &mut Reader) -> Result<ServerError, String> {
    let mut error = ServerError::default();
    loop {
        let field = reader.u8()?;
        if field == 0 {
            return Ok(error);
        }
        let text = reader.text()?;
        match field {
            b'V' => error.severity = text,
            b'S' if error.severity.is_empty() => error.severity = text,
            b'C' => error.code = text,
            b'M' => error.message = text,
            b'D' => error.detail = Some(text),
            b'H' => error.hint = Some(text),
            b'P' => error.position = text.parse().ok(),
            b'W' => error.context = Some(text),
            b's' => error.objects.push(("SCHEMA NAME", text)),
            b't' => error.objects.push(("TABLE NAME", text)),
            b'c' => error.objects.push(("COLUMN NAME", text)),
            b'd' => error.objects.push(("DATATYPE NAME", text)),
            b'n' => error.objects.push(("CONSTRAINT NAME", text)),
            _ => {}
        }
    }
}

/// Reads from the front; every read checks what is left.
struct Reader(Bytes);

impl Reader {
    fn bytes(&mut self, count: usize) -> Result<Bytes, String> {
        if self.0.len() < count {
            return Err("a message of the server is too short".to_owned());
        }
        Ok(self.0.split_to(count))
    }

    fn skip(&mut self, count: usize) -> Result<(), String> {
        self.bytes(count).map(|_| ())
    }

    fn u8(&mut self) -> Result<u8, String> {
        Ok(self.bytes(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, String> {
        Ok(self.bytes(2)?.get_u16())
    }

    fn i32(&mut self) -> Result<i32, String> {
        Ok(self.bytes(4)?.get_i32())
    }

    fn text(&mut self) -> Result<String, String> {
        let end = self.0.iter().position(|byte| *byte == 0);
        let end = end.ok_or("a text of the server has no end")?;
        let text = self.bytes(end)?;
        self.skip(1)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Reply, header};

    #[test]
    fn an_error_keeps_every_field_that_helps_the_user() {
        let body = b"SFEHLER\0VERROR\0C42P01\0Mrelation \"t\" does not exist\0P15\0Htry\0tt\0\0";
        let Ok(Reply::Error(error)) = Reply::decode(b'E', Bytes::from_static(body)) else {
            panic!("not an error");
        };
        assert_eq!(error.severity, "ERROR");
        assert_eq!(error.position, Some(15));
        assert_eq!(
            error.to_string(),
            "ERROR:  relation \"t\" does not exist\nHINT:  try"
        );
        assert_eq!(error.objects, [("TABLE NAME", "t".to_owned())]);
    }

    #[test]
    fn a_message_cut_at_any_byte_is_an_error_and_no_panic() {
        let row = b"\0\x02\0\0\0\x01a\xff\xff\xff\xff";
        for length in 0..row.len() {
            assert!(
                Reply::decode(b'D', Bytes::from_static(&row[..length])).is_err(),
                "{length}"
            );
        }
        let Ok(Reply::Row(row)) = Reply::decode(b'D', Bytes::from_static(row)) else {
            panic!("not a row");
        };
        assert_eq!(row, [Some("a".to_owned()), None]);
    }

    #[test]
    fn a_header_needs_five_bytes() {
        assert_eq!(header(b"Z\0\0\0"), None);
        assert_eq!(header(b"Z\0\0\0\x05I"), Some((b'Z', 5)));
    }
}
