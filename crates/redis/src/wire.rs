//! The socket, and what was read from it and not handled.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// Room made for a read.
const READ_BYTES: usize = 16 << 10;
/// Room made after a read that was filled: large values, deep pipelines.
const READ_BYTES_BULK: usize = 128 << 10;
/// An output buffer that grew beyond this is given back after it was sent.
const OUT_BYTES_KEPT: usize = 256 << 10;
/// Answers are sent when there are so many.
pub(crate) const OUT_BYTES_HIGH: usize = 64 << 10;

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

/// Socket, and what was read and not handled.
pub(crate) struct Wire {
    socket: Socket,
    pub(crate) input: BytesMut,
    write_timeout: Duration,
    /// The last read took all the room there was.
    bulk: bool,
}

impl Wire {
    pub(crate) fn new(socket: Socket, write_timeout: Duration) -> Wire {
        Wire {
            socket,
            input: BytesMut::new(),
            write_timeout,
            bulk: false,
        }
    }

    /// Reads more; false at the end of the stream.
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
                Poll::Ready(Ok(read > 0))
            }
        }
    }

    /// Sends answers and empties them. A client that takes longer than allowed to accept them is
    /// cut off.
    pub(crate) async fn send(&mut self, out: &mut Vec<u8>) -> Result<(), Gone> {
        let mut sent = 0;
        // Usually the system takes all at once, and no timer is needed.
        while sent < out.len() {
            let data = &out[sent..];
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
        if out.capacity() > OUT_BYTES_KEPT {
            *out = Vec::with_capacity(OUT_BYTES_HIGH);
        } else {
            out.clear();
        }
        Ok(())
    }

    /// Sends what is left and closes; for the end of a connection.
    pub(crate) async fn close(&mut self, out: &mut Vec<u8>) {
        let closing = async {
            let _ = self.send(out).await;
            let _ = self.socket.shutdown().await;
        };
        // The client may be gone already; it gets a moment, not more.
        let _ = tokio::time::timeout(Duration::from_secs(1), closing).await;
    }
}
