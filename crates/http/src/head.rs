//! Looks at the first request's head before the HTTP library does.
//!
//! The library repairs what an attacker may have meant two servers to read differently (two
//! lengths, or a length and chunks). Here such a head is refused with 400. On later requests of
//! the same connection the library closes the connection after such a request, so nothing can be
//! smuggled behind it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use crate::problem::{MEDIA_TYPE, Problem};

/// Longest head: request line and header fields.
pub(crate) const HEAD_BYTES_MAX: usize = 64 << 10;
/// Most header fields.
pub(crate) const HEADERS_MAX: usize = 100;

/// Why a connection is not served.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Closed, broken or silent: there is nobody to answer.
    Gone,
    Answer(Problem),
}

/// Reads the head of the first request, within a time limit.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    patience: Duration,
) -> Result<Vec<u8>, Refusal> {
    let reading = async {
        let mut bytes = Vec::with_capacity(4096);
        let mut searched: usize = 0;
        loop {
            let count = stream
                .read_buf(&mut bytes)
                .await
                .map_err(|_| Refusal::Gone)?;
            if count == 0 {
                return Err(Refusal::Gone);
            }
            let from = searched.saturating_sub(3);
            if let Some(end) = find_end(&bytes[from..]) {
                check(&bytes[..from + end]).map_err(Refusal::Answer)?;
                return Ok(bytes);
            }
            searched = bytes.len();
            if bytes.len() > HEAD_BYTES_MAX {
                return Err(Refusal::Answer(too_large()));
            }
        }
    };
    match tokio::time::timeout(patience, reading).await {
        Ok(result) => result,
        Err(_) => Err(Refusal::Gone),
    }
}

fn too_large() -> Problem {
    Problem::new(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "the request's head is too large",
    )
}

fn find_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n")
}

/// Refuses ambiguous lengths and too many fields; the rest is for the library to judge.
fn check(head: &[u8]) -> Result<(), Problem> {
    let (mut fields, mut lengths, mut encodings) = (0, 0, 0);
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        fields += 1;
        lengths += usize::from(name.trim_ascii().eq_ignore_ascii_case(b"content-length"));
        encodings += usize::from(name.trim_ascii().eq_ignore_ascii_case(b"transfer-encoding"));
    }
    if fields > HEADERS_MAX || head.len() > HEAD_BYTES_MAX {
        return Err(too_large());
    }
    if lengths > 1 || encodings > 1 || lengths + encodings > 1 {
        let detail = "more than one header states the length of the body";
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    Ok(())
}

/// Answers a problem on a connection that no library serves, and ends it.
pub(crate) async fn answer(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    problem: Problem,
    patience: Duration,
) {
    let body = problem.body();
    let status = problem.status;
    let head = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or("Error"),
        body.len()
    );
    let work = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        stream.shutdown().await?;
        // Closing with unread input would make the system drop the answer on its way.
        let mut rest = [0; 4096];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // Whether the client takes its answer is its own business.
    let _ = tokio::time::timeout(patience, work).await;
}

/// A stream of which the first bytes were read already.
pub(crate) struct Rewound<S> {
    pub(crate) first: Vec<u8>,
    pub(crate) taken: usize,
    pub(crate) stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.taken < self.first.len() {
            let count = buffer.remaining().min(self.first.len() - self.taken);
            buffer.put_slice(&self.first[self.taken..self.taken + count]);
            self.taken += count;
            if self.taken == self.first.len() {
                self.first = Vec::new();
                self.taken = 0;
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a simulated clock, a byte a second: each one comes in time, the head does not.
    #[tokio::test(start_paused = true)]
    async fn a_head_that_drips_is_given_up_when_its_time_is_over() {
        let (mut server, mut client) = tokio::io::duplex(64);
        let dripping = tokio::spawn(async move {
            let mut sent = 0;
            let mut seconds = tokio::time::interval(Duration::from_secs(1));
            while client.write_all(b"G").await.is_ok() {
                sent += 1;
                seconds.tick().await;
            }
            sent
        });
        let began = tokio::time::Instant::now();
        let refused = read(&mut server, Duration::from_secs(10)).await;
        assert!(matches!(refused, Err(Refusal::Gone)), "{refused:?}");
        assert_eq!(began.elapsed().as_secs(), 10);
        drop(server);
        let sent = dripping.await.unwrap();
        assert!((10..=13).contains(&sent), "{sent}");
    }
}
