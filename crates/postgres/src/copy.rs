//! COPY … FROM STDIN and TO STDOUT.

use bytes::BytesMut;
use tessera_engine::{CommandTag, CopyIn, CopyOut};
use tessera_types::{Report, codes};

use crate::backend;
use crate::connection::{Connection, End, Fault, Waiting, drive};
use crate::frontend::Fields;

/// Data collected before it is handed on: clients send a message per line.
const COPY_BYTES: usize = 128 << 10;

impl Connection {
    /// Takes data from the client until it says that there is no more.
    ///
    /// After an error, what the client still sends is ignored by the main loop: data messages
    /// mean nothing outside a COPY.
    pub(crate) async fn copy_in(&mut self, mut copy: CopyIn) -> Result<CommandTag, Fault> {
        let (binary, columns) = copy.format();
        backend::copy_response(&mut self.wire.out, false, binary, columns);
        self.wire.flush().await?;
        let mut collected = BytesMut::new();
        loop {
            let Some(frame) = self.next_frame()? else {
                self.push(&mut copy, &mut collected).await?;
                self.wait(Waiting::Copy).await?;
                continue;
            };
            match frame.kind {
                b'd' => {
                    if collected.is_empty() && frame.body.len() >= COPY_BYTES {
                        let pushing = self.session.copy_push(&mut copy, frame.body);
                        drive(&mut self.wire, &self.signals, pushing).await??;
                        continue;
                    }
                    collected.extend_from_slice(&frame.body);
                    if collected.len() >= COPY_BYTES {
                        self.push(&mut copy, &mut collected).await?;
                    }
                }
                b'c' => {
                    self.push(&mut copy, &mut collected).await?;
                    let finishing = self.session.copy_finish(copy);
                    return Ok(drive(&mut self.wire, &self.signals, finishing).await??);
                }
                b'f' => {
                    let mut fields = Fields::new(&frame.body);
                    let message = fields.text().unwrap_or("no reason given");
                    return Err(self.session.copy_fail(copy, message).into());
                }
                // A client may send these with its data; they mean nothing yet.
                b'H' | b'S' => {}
                b'X' => return Err(End::Closed.into()),
                kind => {
                    return Err(Report::error(
                        codes::PROTOCOL_VIOLATION,
                        format!("unexpected message type 0x{kind:02X} during COPY from stdin"),
                    )
                    .into());
                }
            }
        }
    }

    async fn push(&mut self, copy: &mut CopyIn, collected: &mut BytesMut) -> Result<(), Fault> {
        if !collected.is_empty() {
            let data = collected.split().freeze();
            let pushing = self.session.copy_push(copy, data);
            drive(&mut self.wire, &self.signals, pushing).await??;
        }
        Ok(())
    }

    /// Gives data to the client.
    pub(crate) async fn copy_out(&mut self, mut copy: CopyOut) -> Result<CommandTag, Fault> {
        let (binary, columns) = copy.format();
        backend::copy_response(&mut self.wire.out, true, binary, columns);
        let mut at_start = true;
        loop {
            let next = self.session.copy_next(&mut copy);
            let Some(data) = drive(&mut self.wire, &self.signals, next).await?? else {
                break;
            };
            for row in CopyRows::new(&data, binary, &mut at_start) {
                backend::copy_data(&mut self.wire.out, row);
            }
            self.wire.flush_if_full().await?;
        }
        backend::copy_done(&mut self.wire.out);
        Ok(self.session.copy_tag(&copy))
    }
}

/// Cuts data of whole rows into rows: PostgreSQL sends a message for each, and drivers that read
/// row by row count on it. The header of the binary format goes with the first row.
///
/// A line break inside a quoted csv value cuts the row in two, which no reader of csv notices.
struct CopyRows<'a> {
    rest: &'a [u8],
    binary: bool,
    header: usize,
}

/// Bytes before the first row of the binary format, when it has no extension.
const BINARY_HEADER_BYTES: usize = 19;

impl<'a> CopyRows<'a> {
    fn new(data: &'a [u8], binary: bool, at_start: &mut bool) -> CopyRows<'a> {
        let header = if binary && *at_start {
            BINARY_HEADER_BYTES
        } else {
            0
        };
        *at_start = false;
        CopyRows {
            rest: data,
            binary,
            header,
        }
    }

    /// Bytes of the row at the begin of `data`; `None` when it is not whole.
    fn binary_row(data: &[u8]) -> Option<usize> {
        let fields = i16::from_be_bytes(*data.first_chunk::<2>()?);
        let mut at = 2;
        for _ in 0..fields.max(0) {
            let length = i32::from_be_bytes(*data.get(at..)?.first_chunk::<4>()?);
            at += 4 + usize::try_from(length).unwrap_or(0);
        }
        (at <= data.len()).then_some(at)
    }
}

impl<'a> Iterator for CopyRows<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let header = std::mem::take(&mut self.header).min(self.rest.len());
        let end = if self.binary {
            CopyRows::binary_row(&self.rest[header..]).map(|row| header + row)
        } else {
            self.rest
                .iter()
                .position(|byte| *byte == b'\n')
                .map(|at| at + 1)
        };
        let (row, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(data: &[u8], binary: bool, expected: &[usize]) {
        let mut at_start = true;
        let lengths: Vec<usize> = CopyRows::new(data, binary, &mut at_start)
            .map(<[u8]>::len)
            .collect();
        assert_eq!(lengths, expected);
    }

    #[test]
    fn data_is_cut_into_rows() {
        check(b"", false, &[]);
        check(b"a\n\nbc\nd", false, &[2, 1, 3, 1]);
        let mut data = vec![0; BINARY_HEADER_BYTES];
        data.extend([0, 2, 0, 0, 0, 1, 9, 0xff, 0xff, 0xff, 0xff]);
        data.extend([0, 1, 0, 0, 0, 0]);
        data.extend([0xff, 0xff]);
        check(&data, true, &[BINARY_HEADER_BYTES + 11, 6, 2]);
        // Not whole: it goes out as it is.
        check(
            &data[..BINARY_HEADER_BYTES + 4],
            true,
            &[BINARY_HEADER_BYTES + 4],
        );
    }
}
