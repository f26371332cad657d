//! Texts to values with units.

use std::net::SocketAddr;
use std::time::Duration;

/// Units of sizes, powers of 1024 as in PostgreSQL.
const SIZE_UNITS: [(&str, u64); 10] = [
    ("B", 1),
    ("kB", 1 << 10),
    ("KB", 1 << 10),
    ("KiB", 1 << 10),
    ("MB", 1 << 20),
    ("MiB", 1 << 20),
    ("GB", 1 << 30),
    ("GiB", 1 << 30),
    ("TB", 1 << 40),
    ("TiB", 1 << 40),
];

const TIME_UNITS: [(&str, u64); 6] = [
    ("us", 1),
    ("ms", 1000),
    ("s", 1_000_000),
    ("min", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

fn with_unit(text: &str, units: &[(&str, u64)]) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number
        .parse()
        .map_err(|_| "it must start with a number".to_owned())?;
    let unit = unit.trim_start();
    if number == 0 && unit.is_empty() {
        return Ok(0);
    }
    let known: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
    let factor = units.iter().find(|(name, _)| *name == unit);
    let (_, factor) =
        factor.ok_or_else(|| format!("it needs one of the units {}", known.join(", ")))?;
    number
        .checked_mul(*factor)
        .ok_or_else(|| "it is too large".to_owned())
}

pub(crate) fn bytes(text: &str, min: u64) -> Result<u64, String> {
    let bytes = with_unit(text, &SIZE_UNITS)?;
    if bytes < min {
        return Err(format!("it must be at least {} kB", min >> 10));
    }
    Ok(bytes)
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    with_unit(text, &TIME_UNITS).map(Duration::from_micros)
}

pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let text = text
        .strip_prefix("localhost:")
        .map_or(text.to_owned(), |port| format!("127.0.0.1:{port}"));
    text.parse()
        .map_err(|_| "it must be an IP address and a port, such as 127.0.0.1:5433".to_owned())
}

pub(crate) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        _ => Err("it must be true or false".to_owned()),
    }
}

pub(crate) fn count(text: &str, min: u64, max: u64) -> Result<u64, String> {
    let number: u64 = text
        .parse()
        .map_err(|_| "it must be a whole number".to_owned())?;
    if number < min || number > max {
        return Err(format!("it must be from {min} to {max}"));
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_need_units() {
        assert_eq!(bytes("512MB", 0), Ok(512 << 20));
        assert_eq!(bytes("3 GiB", 0), Ok(3 << 30));
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(duration("10min"), Ok(Duration::from_secs(600)));
        for bad in [
            "",
            "MB",
            "12",
            "12 parsecs",
            "-1MB",
            "99999999999TB",
            "1.5GB",
        ] {
            assert!(bytes(bad, 0).is_err(), "{bad}");
        }
        assert!(
            bytes("1kB", 1 << 20)
                .unwrap_err()
                .contains("at least 1024 kB")
        );
    }

    #[test]
    fn addresses_are_literal() {
        assert_eq!(
            address("localhost:5433"),
            Ok("127.0.0.1:5433".parse().unwrap())
        );
        assert!(address("[::1]:0").unwrap().ip().is_loopback());
        assert!(address("5433").is_err() && address("example.com:80").is_err());
    }
}
