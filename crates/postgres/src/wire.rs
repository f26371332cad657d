//! The socket with its two buffers.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tessera_telemetry::labels::{Direction, Protocol};
use tessera_telemetry::metrics;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// Room made for a read.
const READ_BYTES: usize = 16 << 10;
/// Room made after a read that was filled: a bulk load.
const READ_BYTES_BULK: usize = 128 << 10;
/// Answers are sent when there are so many.
const OUT_BYTES_HIGH: usize = 64 << 10;
/// An output buffer that grew beyond this is given back after it was sent.
const OUT_BYTES_KEPT: usize = 256 << 10;

/// A connection's socket, plain or encrypted.
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Socket::Tls(socket) => Pin::new(socket).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Plain(socket) => Pin::new(socket).poll_write(cx, data),
            Socket::Tls(socket) => Pin::new(socket).poll_write(cx, data),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Socket::Tls(socket) => Pin::new(socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Socket::Tls(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}

/// Why a connection ends without a word more.
#[derive(Debug)]
pub(crate) enum Gone {
    /// The client closed it, or the network broke.
    Closed,
    /// The client does not read its answers.
    WriteTimeout,
}

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Gone {
        Gone::Closed
    }
}

/// One message of a client: its type, and what comes after the length.
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) body: Bytes,
}

/// What is wrong with the next message's head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadFrame {
    UnknownType(u8),
    Length(u8, u32),
}

/// Socket, what was read and not handled, what was answered and not sent.
pub(crate) struct Wire {
    socket: Socket,
    input: BytesMut,
    pub(crate) out: Vec<u8>,
    write_timeout: Duration,
    /// The last read took all the room there was.
    bulk: bool,
}

impl Wire {
    pub(crate) fn new(socket: Socket, input: BytesMut, write_timeout: Duration) -> Wire {
        Wire {
            socket,
            input,
            out: Vec::with_capacity(8 << 10),
            write_timeout,
            bulk: false,
        }
    }

    /// Takes the next message out of what was read; `None` when it is not there yet.
    ///
    /// The buffer grows with what arrives, never with what is announced.
    pub(crate) fn next_frame(&mut self, bytes_max: usize) -> Result<Option<Frame>, BadFrame> {
        let Some(&[kind, a, b, c, d]) = self.input.first_chunk::<5>() else {
            return Ok(None);
        };
        if !is_known(kind) {
            return Err(BadFrame::UnknownType(kind));
        }
        let length = u32::from_be_bytes([a, b, c, d]);
        if length < 4 || length as usize > bytes_max {
            return Err(BadFrame::Length(kind, length));
        }
        let total = 1 + length as usize;
        if self.input.len() < total {
            return Ok(None);
        }
        let mut frame = self.input.split_to(total);
        let body = frame.split_off(5).freeze();
        Ok(Some(Frame { kind, body }))
    }

    /// Whether the next message has arrived and is Sync.
    pub(crate) fn next_is_sync(&self) -> bool {
        self.input.first() == Some(&b'S')
    }

    /// Reads more; false at the end of the stream.
    pub(crate) async fn read(&mut self) -> Result<bool, Gone> {
        poll_fn(|cx| self.poll_read(cx)).await
    }

    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Gone>> {
        self.input.reserve(if self.bulk {
            READ_BYTES_BULK
        } else {
            READ_BYTES
        });
        let spare = self.input.spare_capacity_mut();
        let mut buf = ReadBuf::uninit(spare);
        match Pin::new(&mut self.socket).poll_read(cx, &mut buf) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(_)) => Poll::Ready(Err(Gone::Closed)),
            Poll::Ready(Ok(())) => {
                let read = buf.filled().len();
                self.bulk = buf.remaining() == 0;
                // SAFETY: `poll_read` filled the first `read` bytes of the spare capacity.
                unsafe { self.input.set_len(self.input.len() + read) };
                metrics()
                    .network_bytes
                    .with((Protocol::Postgres, Direction::In))
                    .add(read as u64);
                Poll::Ready(Ok(read > 0))
            }
        }
    }

    /// Whether answers should be sent before more are made.
    pub(crate) fn is_full(&self) -> bool {
        self.out.len() >= OUT_BYTES_HIGH
    }

    /// Sends the answers if there are many.
    pub(crate) async fn flush_if_full(&mut self) -> Result<(), Gone> {
        if self.is_full() {
            self.flush().await
        } else {
            Ok(())
        }
    }

    /// Sends all answers. A client that takes longer than allowed to accept them is cut off.
    pub(crate) async fn flush(&mut self) -> Result<(), Gone> {
        if self.out.is_empty() {
            return Ok(());
        }
        let size = self.out.len() as u64;
        let mut sent = 0;
        // Usually the system takes all at once, and no timer is needed.
        while sent < self.out.len() {
            let data = &self.out[sent..];
            let socket = &mut self.socket;
            let tried =
                poll_fn(|cx| Poll::Ready(Pin::new(&mut *socket).poll_write(cx, data))).await;
            match tried {
                Poll::Ready(Ok(0) | Err(_)) => return Err(Gone::Closed),
                Poll::Ready(Ok(written)) => sent += written,
                Poll::Pending => {
                    let rest = self.socket.write(data);
                    match tokio::time::timeout(self.write_timeout, rest).await {
                        Ok(Ok(0) | Err(_)) => return Err(Gone::Closed),
                        Ok(Ok(written)) => sent += written,
                        Err(_) => return Err(Gone::WriteTimeout),
                    }
                }
            }
        }
        if matches!(self.socket, Socket::Tls(_)) {
            match tokio::time::timeout(self.write_timeout, self.socket.flush()).await {
                Ok(flushed) => flushed?,
                Err(_) => return Err(Gone::WriteTimeout),
            }
        }
        metrics()
            .network_bytes
            .with((Protocol::Postgres, Direction::Out))
            .add(size);
        if self.out.capacity() > OUT_BYTES_KEPT {
            self.out = Vec::with_capacity(OUT_BYTES_HIGH);
        } else {
            self.out.clear();
        }
        Ok(())
    }

    /// Sends what is left and closes; for the end of a connection.
    pub(crate) async fn close(&mut self) {
        let closing = async {
            let _ = self.flush().await;
            let _ = self.socket.shutdown().await;
        };
        // The client may be gone already; it gets a moment, not more.
        let _ = tokio::time::timeout(Duration::from_secs(1), closing).await;
    }

    /// For the change to TLS: the socket and what was read.
    pub(crate) fn into_parts(self) -> (Socket, BytesMut) {
        (self.socket, self.input)
    }

    pub(crate) fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.socket, Socket::Tls(_))
    }
}

/// Types of messages that a client may send.
fn is_known(kind: u8) -> bool {
    matches!(
        kind,
        b'Q' | b'P'
            | b'B'
            | b'D'
            | b'E'
            | b'S'
            | b'H'
            | b'C'
            | b'X'
            | b'd'
            | b'c'
            | b'f'
            | b'p'
            | b'F'
    )
}
