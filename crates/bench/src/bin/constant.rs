//! A PostgreSQL server that answers every statement with the same row: what the wire alone costs.
//!
//! It decodes what has arrived, answers into one buffer, and flushes when the input is drained,
//! which is the cheapest that a server on this protocol can do.

use anyhow::{Context, Result, bail};
use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BUFFER_BYTES: usize = 64 << 10;
const MESSAGE_BYTES_MAX: usize = 1 << 20;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let address = std::env::args().nth(1).context("usage: constant ADDRESS")?;
    let listener = TcpListener::bind(&address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A client that leaves is an error of its own connection only.
        tokio::spawn(serve(stream));
    }
}

async fn serve(mut stream: TcpStream) -> Result<()> {
    let mut input = BytesMut::with_capacity(BUFFER_BYTES);
    let mut output = BytesMut::with_capacity(BUFFER_BYTES);
    start(&mut stream, &mut input, &mut output).await?;
    loop {
        while let Some((tag, body)) = message(&mut input)? {
            if tag == b'X' {
                return Ok(());
            }
            answer(tag, &body, &mut output);
        }
        stream.write_all(&output).await?;
        output.clear();
        input.reserve(BUFFER_BYTES);
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    }
}

/// The start-up exchange: no encryption, no password.
async fn start(stream: &mut TcpStream, input: &mut BytesMut, output: &mut BytesMut) -> Result<()> {
    loop {
        while input.len() < 8 || input.len() < length_at(input, 0) {
            if stream.read_buf(input).await? == 0 {
                bail!("gone");
            }
        }
        let length = length_at(input, 0);
        if !(8..=MESSAGE_BYTES_MAX).contains(&length) {
            bail!("not a start-up message");
        }
        let mut body = input.split_to(length);
        body.advance(4);
        match body.get_u32() {
            // SSLRequest and GSSENCRequest.
            80_877_103 | 80_877_104 => stream.write_all(b"N").await?,
            _ => break,
        }
    }
    put(output, b'R', |body| body.put_u32(0));
    put(output, b'S', |body| {
        body.put_slice(b"server_version\x0015.0\0")
    });
    put(output, b'S', |body| {
        body.put_slice(b"client_encoding\0UTF8\0")
    });
    put(output, b'K', |body| body.put_u64(0));
    put(output, b'Z', |body| body.put_u8(b'I'));
    stream.write_all(output).await?;
    output.clear();
    Ok(())
}

fn answer(tag: u8, body: &[u8], output: &mut BytesMut) {
    match tag {
        // pgbench asks once how its table is partitioned.
        b'Q' if contains(body, b"partstrat") => {
            columns(output, 3);
            row(output, &[Some(b"1"), None, Some(b"0")]);
            put(output, b'C', |body| body.put_slice(b"SELECT 1\0"));
            put(output, b'Z', |body| body.put_u8(b'I'));
        }
        b'Q' => {
            columns(output, 1);
            row(output, &[Some(b"10")]);
            put(output, b'C', |body| body.put_slice(b"SELECT 1\0"));
            put(output, b'Z', |body| body.put_u8(b'I'));
        }
        b'P' => put(output, b'1', |_| ()),
        b'B' => put(output, b'2', |_| ()),
        b'D' => columns(output, 1),
        b'E' => {
            row(output, &[Some(b"10")]);
            put(output, b'C', |body| body.put_slice(b"SELECT 1\0"));
        }
        b'S' => put(output, b'Z', |body| body.put_u8(b'I')),
        _ => {}
    }
}

fn columns(output: &mut BytesMut, count: u16) {
    put(output, b'T', |body| {
        body.put_u16(count);
        for _ in 0..count {
            body.put_slice(b"abalance\0");
            body.put_u32(0);
            body.put_u16(0);
            body.put_u32(23);
            body.put_i16(4);
            body.put_i32(-1);
            body.put_u16(0);
        }
    });
}

fn row(output: &mut BytesMut, fields: &[Option<&[u8]>]) {
    put(output, b'D', |body| {
        body.put_u16(fields.len() as u16);
        for field in fields {
            match field {
                Some(text) => {
                    body.put_i32(text.len() as i32);
                    body.put_slice(text);
                }
                None => body.put_i32(-1),
            }
        }
    });
}

/// Writes a message and fills in its length.
fn put(output: &mut BytesMut, tag: u8, body: impl FnOnce(&mut BytesMut)) {
    output.put_u8(tag);
    let at = output.len();
    output.put_u32(0);
    body(output);
    let length = (output.len() - at) as u32;
    output[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

fn message(input: &mut BytesMut) -> Result<Option<(u8, BytesMut)>> {
    if input.len() < 5 {
        return Ok(None);
    }
    let length = length_at(input, 1);
    if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
        bail!("a message of {length} bytes");
    }
    if input.len() < length + 1 {
        return Ok(None);
    }
    let tag = input[0];
    let mut body = input.split_to(length + 1);
    body.advance(5);
    Ok(Some((tag, body)))
}

fn length_at(input: &[u8], at: usize) -> usize {
    let bytes = input
        .get(at..at + 4)
        .and_then(|bytes| bytes.first_chunk::<4>());
    bytes.map_or(usize::MAX, |bytes| u32::from_be_bytes(*bytes) as usize)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
