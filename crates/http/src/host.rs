//! Which `Host` and `Origin` headers are accepted.
//!
//! A page on the internet can make its own name point to 127.0.0.1 and then talk to this port
//! from the browser (DNS rebinding). It cannot make the browser send another name. So names are
//! accepted only if they are known; bare addresses are, because rebinding needs a name.

use std::net::IpAddr;

/// The host part of `host[:port]`, without brackets, in lower case. `None` if it is malformed.
fn host_of(authority: &str) -> Option<String> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => match authority.split_once(':') {
            Some((host, _)) => (host, &authority[host.len()..]),
            None => (authority, ""),
        },
    };
    let port_is_fine = match rest.strip_prefix(':') {
        Some(port) => port.parse::<u16>().is_ok(),
        None => rest.is_empty(),
    };
    (port_is_fine && !host.is_empty()).then(|| host.to_ascii_lowercase())
}

/// Whether a request for this `Host` is meant for us.
pub(crate) fn is_ours(authority: &str, names: &[String]) -> bool {
    let Some(host) = host_of(authority) else {
        return false;
    };
    let host = host.strip_suffix('.').unwrap_or(&host);
    host.parse::<IpAddr>().is_ok()
        || host == "localhost"
        || host.ends_with(".localhost")
        || names.iter().any(|name| name.eq_ignore_ascii_case(host))
}

/// Whether an `Origin` header names the page that came from this very host and port.
pub(crate) fn is_same_origin(origin: &str, authority: &str) -> bool {
    let origin = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    origin.is_some_and(|origin| origin.eq_ignore_ascii_case(authority))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_known_names_are_ours() {
        let names = ["db.example".to_owned()];
        for (authority, ours) in [
            ("127.0.0.1:8080", true),
            ("[::1]:8080", true),
            ("localhost", true),
            ("LocalHost.:8080", true),
            ("tessera.localhost:1", true),
            ("DB.example", true),
            ("evil.example", false),
            ("db.example.evil", false),
            ("127.0.0.1.evil.example", false),
            ("localhost:http", false),
            ("localhost:99999", false),
            ("[::1", false),
            ("", false),
            (":80", false),
        ] {
            assert_eq!(is_ours(authority, &names), ours, "{authority}");
        }
    }

    #[test]
    fn an_origin_must_be_the_same_host_and_port() {
        assert!(is_same_origin("http://127.0.0.1:8080", "127.0.0.1:8080"));
        for origin in [
            "https://evil",
            "null",
            "http://127.0.0.1:8081",
            "ftp://127.0.0.1:8080",
        ] {
            assert!(!is_same_origin(origin, "127.0.0.1:8080"), "{origin}");
        }
    }
}
