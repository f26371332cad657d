//! Swagger UI for the OpenAPI description, offline: its files lie in this program, in the zip
//! archive that the package `utoipa-swagger-ui-vendored` ships.
//!
//! Browsers get the compressed bytes of the archive as they are: gzip is the same deflate data with
//! another head and tail. The page has no script or style of its own, so its policy allows only
//! files of this server.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::OnceLock;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use crate::problem::Problem;

/// The policy of the page: scripts and styles are files of this server, images may be in the style
/// sheet, requests go to this server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// Unpacked bytes of one file; the largest has 1.5 MB.
const FILE_BYTES_MAX: usize = 8 << 20;

/// Files of the archive that the page needs: the name here, the end of the name there, media type.
const FILES: [(&str, &str, &str); 3] = [
    (
        "swagger-ui-bundle.js",
        "/dist/swagger-ui-bundle.js",
        "text/javascript; charset=utf-8",
    ),
    (
        "swagger-ui.css",
        "/dist/swagger-ui.css",
        "text/css; charset=utf-8",
    ),
    ("favicon.png", "/dist/favicon-32x32.png", "image/png"),
];

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tessera: HTTP API</title>
<link rel="icon" href="/api/v1/docs/favicon.png">
<link rel="stylesheet" href="/api/v1/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/api/v1/docs/swagger-ui-bundle.js"></script>
<script src="/api/v1/docs/start.js"></script>
</body>
</html>
"#;

/// Asks nobody else whether the description is valid.
const START: &str = r##"SwaggerUIBundle({
  url: "/api/v1/openapi.json",
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  validatorUrl: null,
});
"##;

/// The page.
pub(crate) async fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    (headers, PAGE).into_response()
}

/// One of the files that the page loads.
pub(crate) async fn file(
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let missing = || Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path");
    let Ok(Path(name)) = name else {
        return missing().into_response();
    };
    if name == "start.js" {
        let media_type = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
        return (media_type, START).into_response();
    }
    let Some((_, _, media_type)) = FILES.iter().find(|(known, ..)| *known == name) else {
        return missing().into_response();
    };
    let Some(packed) = files().get(name.as_str()) else {
        return missing().into_response();
    };
    let mut response = if accepts_gzip(&headers) {
        let mut response = packed.gzip().into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response
    } else {
        match packed.unpacked() {
            Some(bytes) => bytes.into_response(),
            None => return missing().into_response(),
        }
    };
    let fixed: [(HeaderName, &'static str); 3] = [
        (header::CONTENT_TYPE, *media_type),
        (header::VARY, "accept-encoding"),
        // The same until the next version of the server.
        (header::CACHE_CONTROL, "max-age=3600"),
    ];
    for (name, value) in fixed {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter();
    accepted.filter_map(|text| text.to_str().ok()).any(|text| {
        text.split(',').any(|part| {
            let mut words = part.split(';').map(str::trim);
            let is_gzip = words
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            let is_refused = words.any(|word| matches!(word, "q=0" | "q=0.0"));
            is_gzip && !is_refused
        })
    })
}

/// A file as it lies in the archive.
#[derive(Clone, Copy, Debug)]
struct Packed {
    /// Deflate data.
    data: &'static [u8],
    is_deflated: bool,
    checksum: u32,
    length: u32,
}

impl Packed {
    /// As a gzip member (RFC 1952).
    fn gzip(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.data.len() + 32);
        out.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
        if self.is_deflated {
            out.extend_from_slice(self.data);
        } else {
            stored_blocks(&mut out, self.data);
        }
        out.extend_from_slice(&self.checksum.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.into()
    }

    fn unpacked(&self) -> Option<Bytes> {
        if !self.is_deflated {
            return Some(Bytes::from_static(self.data));
        }
        let mut out = Vec::new();
        let decoder = flate2::read::DeflateDecoder::new(self.data);
        let mut limited = decoder.take(FILE_BYTES_MAX as u64);
        limited.read_to_end(&mut out).ok()?;
        Some(out.into())
    }
}

/// Deflate data that is not compressed.
fn stored_blocks(out: &mut Vec<u8>, data: &[u8]) {
    let mut blocks = data.chunks(usize::from(u16::MAX)).peekable();
    while let Some(block) = blocks.next() {
        out.push(u8::from(blocks.peek().is_none()));
        // Chunks are no longer than this.
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
}

fn files() -> &'static HashMap<&'static str, Packed> {
    static CELL: OnceLock<HashMap<&'static str, Packed>> = OnceLock::new();
    CELL.get_or_init(|| find(utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED).unwrap_or_default())
}

/// Finds the files in the archive by its central directory
/// (APPNOTE.TXT of the format, sections 4.3.7, 4.3.12, 4.3.16).
fn find(archive: &'static [u8]) -> Option<HashMap<&'static str, Packed>> {
    const END: &[u8] = b"PK\x05\x06";
    const ENTRY: &[u8] = b"PK\x01\x02";
    let number = |at: usize, bytes: usize| -> Option<usize> {
        let field = archive.get(at..at.checked_add(bytes)?)?;
        let number = field.iter().rev();
        Some(number.fold(0, |number, byte| (number << 8) | usize::from(*byte)))
    };
    let end = archive.windows(END.len()).rposition(|four| four == END)?;
    let count = number(end + 10, 2)?;
    let mut at = number(end + 16, 4)?;
    let mut found = HashMap::new();
    for _ in 0..count {
        if archive.get(at..at + 4)? != ENTRY {
            return None;
        }
        let name_length = number(at + 28, 2)?;
        let name = archive.get(at + 46..at + 46 + name_length)?;
        let wanted = FILES.iter().find(|(_, end, _)| {
            let is_part = name.windows(8).any(|part| part == b"flavors/");
            name.ends_with(end.as_bytes()) && !is_part
        });
        if let Some((ours, ..)) = wanted {
            let local = number(at + 42, 4)?;
            let start = local + 30 + number(local + 26, 2)? + number(local + 28, 2)?;
            let packed = Packed {
                data: archive.get(start..start.checked_add(number(at + 20, 4)?)?)?,
                is_deflated: number(at + 10, 2)? == 8,
                checksum: u32::try_from(number(at + 16, 4)?).ok()?,
                length: u32::try_from(number(at + 24, 4)?).ok()?,
            };
            found.insert(*ours, packed);
        }
        at += 46 + name_length + number(at + 30, 2)? + number(at + 32, 2)?;
    }
    Some(found)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_every_file_are_whole() {
        for (name, ..) in FILES {
            let packed = files().get(name).unwrap_or_else(|| panic!("no {name}"));
            let plain = packed.unpacked().unwrap();
            assert_eq!(plain.len(), packed.length as usize, "{name}");
            // Checks length and checksum.
            let mut unzipped = Vec::new();
            flate2::read::GzDecoder::new(&packed.gzip()[..])
                .read_to_end(&mut unzipped)
                .unwrap();
            assert!(unzipped == plain, "{name}");
        }
        let bundle = files()["swagger-ui-bundle.js"].unpacked().unwrap();
        assert!(bundle.windows(15).any(|part| part == b"SwaggerUIBundle"));
    }

    /// What the policy would refuse, and what would be asked of other servers.
    #[test]
    fn the_page_needs_nothing_that_its_policy_forbids() {
        for forbidden in ["<script>", "<style", "onload=", "style=", "http:", "https:"] {
            assert!(!PAGE.contains(forbidden), "{forbidden}");
        }
        assert!(!POLICY.contains("unsafe"));
        assert!(!START.contains("http"));
        for reference in PAGE.split("/api/v1/docs/").skip(1) {
            let name = reference.split('"').next().unwrap();
            let is_known = FILES.iter().any(|(known, ..)| *known == name);
            assert!(is_known || name == "start.js", "{name}");
        }
    }

    #[test]
    fn gzip_is_for_those_who_accept_it() {
        for (text, expected) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.8", true),
            ("gzip;q=0", false),
            ("identity", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(text));
            assert_eq!(accepts_gzip(&headers), expected, "{text}");
        }
    }
}
