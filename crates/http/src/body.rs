//! Takes a request's body in: within its limits, in memory that all requests share, decoded.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;
use crate::router::single;

/// Longest body, as it is sent and after decoding.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 20;
/// Bytes of all bodies that are in memory at one time.
const BODIES_BYTES_MAX: usize = 512 << 20;
/// Time to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// What the shared memory is counted in.
const UNIT_BYTES: usize = 16 << 10;

/// The memory that bodies share.
pub(crate) struct Bodies(Arc<Semaphore>);

impl Default for Bodies {
    fn default() -> Bodies {
        Bodies(Arc::new(Semaphore::new(BODIES_BYTES_MAX / UNIT_BYTES)))
    }
}

/// A part of the shared memory; kept with the request.
#[derive(Clone)]
pub(crate) struct Place(
    #[expect(dead_code, reason = "given back when it is dropped")] Arc<OwnedSemaphorePermit>,
);

/// A body in memory.
pub(crate) struct Taken {
    pub(crate) bytes: Bytes,
    pub(crate) place: Option<Place>,
}

/// Reads all of a body.
pub(crate) async fn take(
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
    bodies: &Bodies,
) -> Result<Taken, Problem> {
    let announced = single(headers, &header::CONTENT_LENGTH)?;
    let announced = announced.and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > bytes_max as u64) {
        return Err(too_large(bytes_max));
    }
    let encoding = Encoding::of(headers)?;
    let mut account = Account {
        bodies,
        place: None,
    };
    let reading = read(body, bytes_max, &mut account);
    let bytes = match tokio::time::timeout(BODY_TIMEOUT, reading).await {
        Ok(read) => read?,
        Err(_) => {
            return Err(Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "the body did not arrive in time",
            ));
        }
    };
    let bytes = match encoding {
        Encoding::Identity => bytes,
        encoding => {
            // What it may become is counted before it does.
            account.wait(bytes_max).await?;
            let decoded = decode(encoding, bytes, bytes_max).await?;
            account.shrink(decoded.len());
            decoded
        }
    };
    Ok(Taken {
        bytes,
        place: account.place.map(|permit| Place(Arc::new(permit))),
    })
}

async fn read(body: Body, bytes_max: usize, account: &mut Account<'_>) -> Result<Bytes, Problem> {
    let mut stream = body.into_data_stream();
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|_| Problem::bad_request("the body is malformed"))?;
        let length = all.len() + first.as_ref().map_or(0, Bytes::len) + piece.len();
        if length > bytes_max {
            return Err(too_large(bytes_max));
        }
        account.grow(length)?;
        // Most bodies are one piece, which needs no copy.
        match first.take() {
            None if all.is_empty() => first = Some(piece),
            None => all.extend_from_slice(&piece),
            Some(before) => {
                all.extend_from_slice(&before);
                all.extend_from_slice(&piece);
            }
        }
    }
    Ok(first.unwrap_or_else(|| all.freeze()))
}

/// One body's part of the shared memory. Small bodies have none: connections bound them.
struct Account<'a> {
    bodies: &'a Bodies,
    place: Option<OwnedSemaphorePermit>,
}

impl Account<'_> {
    fn missing(&self, bytes: usize) -> u32 {
        let held = self
            .place
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let units = if bytes <= UNIT_BYTES {
            0
        } else {
            bytes.div_ceil(UNIT_BYTES)
        };
        u32::try_from(units.saturating_sub(held)).unwrap_or(u32::MAX)
    }

    fn add(&mut self, permit: OwnedSemaphorePermit) {
        match &mut self.place {
            Some(place) => place.merge(permit),
            None => self.place = Some(permit),
        }
    }

    /// Takes what is missing for so many bytes, or refuses.
    fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let missing = self.missing(bytes);
        if missing > 0 {
            let permit = Arc::clone(&self.bodies.0).try_acquire_many_owned(missing);
            self.add(permit.map_err(|_| busy())?);
        }
        Ok(())
    }

    /// Waits for what is missing.
    async fn wait(&mut self, bytes: usize) -> Result<(), Problem> {
        let missing = self.missing(bytes);
        if missing > 0 {
            let waiting = Arc::clone(&self.bodies.0).acquire_many_owned(missing);
            let permit = tokio::time::timeout(BODY_TIMEOUT, waiting).await;
            let permit = permit.map_err(|_| busy())?;
            self.add(permit.map_err(|_| busy())?);
        }
        Ok(())
    }

    /// Gives back what so many bytes do not need.
    fn shrink(&mut self, bytes: usize) {
        let needed = bytes.div_ceil(UNIT_BYTES);
        if let Some(place) = &mut self.place {
            let spare = place.num_permits().saturating_sub(needed);
            drop(place.split(spare));
        }
    }
}

fn busy() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "too many large bodies at one time",
    )
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Result<Encoding, Problem> {
        let Some(text) = single(headers, &header::CONTENT_ENCODING)? else {
            return Ok(Encoding::Identity);
        };
        match text.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Encoding::Identity),
            "gzip" | "x-gzip" => Ok(Encoding::Gzip),
            "zstd" => Ok(Encoding::Zstd),
            _ => Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the content encodings that are understood are gzip and zstd",
            )),
        }
    }
}

async fn decode(encoding: Encoding, bytes: Bytes, bytes_max: usize) -> Result<Bytes, Problem> {
    tokio::task::spawn_blocking(move || decode_now(encoding, &bytes, bytes_max))
        .await
        .map_err(|_| {
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "decoding the body was interrupted",
            )
        })?
}

fn decode_now(encoding: Encoding, bytes: &[u8], bytes_max: usize) -> Result<Bytes, Problem> {
    let malformed = |_| Problem::bad_request("the body is not what its Content-Encoding says");
    let reader: Box<dyn Read + '_> = match encoding {
        Encoding::Identity => return Ok(Bytes::copy_from_slice(bytes)),
        Encoding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(malformed)?;
            decoder.window_log_max(WINDOW_LOG_MAX).map_err(malformed)?;
            Box::new(decoder)
        }
    };
    let mut out = Vec::new();
    reader
        .take(bytes_max as u64 + 1)
        .read_to_end(&mut out)
        .map_err(malformed)?;
    if out.len() > bytes_max {
        return Err(too_large(bytes_max));
    }
    Ok(out.into())
}

/// Memory that a zstd frame may ask for: 8 MiB, what the format recommends to accept.
const WINDOW_LOG_MAX: u32 = 23;

fn too_large(bytes_max: usize) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
        .with("bytes_max", bytes_max as u64)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_inflates_beyond_the_limit_is_refused() {
        let zeros = vec![0; 1 << 20];
        for (encoding, packed) in [
            (Encoding::Gzip, gzip(&zeros)),
            (Encoding::Zstd, zstd::encode_all(&zeros[..], 1).unwrap()),
        ] {
            assert_eq!(
                decode_now(encoding, &packed, 1 << 20).unwrap().len(),
                1 << 20
            );
            let refused = decode_now(encoding, &packed, (1 << 20) - 1).unwrap_err();
            assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
            let cut = decode_now(encoding, &packed[..packed.len() / 2], 1 << 20).unwrap_err();
            assert_eq!(cut.status, StatusCode::BAD_REQUEST);
        }
    }

    #[tokio::test]
    async fn pieces_become_one_body_and_the_limit_counts_all() {
        let bodies = Bodies::default();
        let pieces = || {
            let pieces = ["ab", "cd", "ef"].map(|text| Ok::<_, std::io::Error>(Bytes::from(text)));
            Body::from_stream(futures::stream::iter(pieces))
        };
        let headers = HeaderMap::new();
        let taken = take(&headers, pieces(), 6, &bodies).await.unwrap();
        assert_eq!(taken.bytes, "abcdef");
        let refused = take(&headers, pieces(), 5, &bodies).await.err().unwrap();
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn memory_of_bodies_is_shared_and_comes_back() {
        let bodies = Bodies(Arc::new(Semaphore::new(2)));
        let headers = HeaderMap::new();
        let body = || Body::from(vec![0; 2 * UNIT_BYTES]);
        let held = take(&headers, body(), BODY_BYTES_MAX, &bodies)
            .await
            .unwrap();
        let refused = take(&headers, body(), BODY_BYTES_MAX, &bodies)
            .await
            .err()
            .unwrap();
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        drop(held);
        assert!(
            take(&headers, body(), BODY_BYTES_MAX, &bodies)
                .await
                .is_ok()
        );
    }
}
