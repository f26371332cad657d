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
        loop {
            let next = self.session.copy_next(&mut copy);
            let Some(data) = drive(&mut self.wire, &self.signals, next).await?? else { break };
            backend::copy_data(&mut self.wire.out, &data);
            self.wire.flush_if_full().await?;
        }
        backend::copy_done(&mut self.wire.out);
        Ok(self.session.copy_tag(&copy))
    }
}
