//! Failed logins by address: after too many, no more are heard for a while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Failures are counted over this time.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses remembered; beyond that, those whose window is over are forgotten, then all.
const ADDRESSES_MAX: usize = 10_000;

/// Failed logins by address.
#[derive(Debug)]
pub struct Throttle {
    failures_max: u32,
    failures: Mutex<HashMap<IpAddr, Failures>>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    since: Instant,
}

impl Throttle {
    /// Refuses an address after so many failures within a minute.
    pub fn new(failures_max: u32) -> Throttle {
        Throttle {
            failures_max,
            failures: Mutex::default(),
        }
    }

    /// Whether a login from the address may be tried.
    pub fn allows(&self, address: IpAddr, now: Instant) -> bool {
        self.failures
            .lock()
            .get(&network(address))
            .is_none_or(|failures| {
                now.duration_since(failures.since) >= WINDOW || failures.count < self.failures_max
            })
    }

    /// A login failed.
    pub fn failed(&self, address: IpAddr, now: Instant) {
        let mut all = self.failures.lock();
        if all.len() >= ADDRESSES_MAX {
            all.retain(|_, failures| now.duration_since(failures.since) < WINDOW);
            if all.len() >= ADDRESSES_MAX {
                all.clear();
            }
        }
        let failures = all.entry(network(address)).or_insert(Failures {
            count: 0,
            since: now,
        });
        if now.duration_since(failures.since) >= WINDOW {
            *failures = Failures {
                count: 0,
                since: now,
            };
        }
        failures.count = failures.count.saturating_add(1);
    }

    /// A login succeeded: the address is forgiven.
    pub fn succeeded(&self, address: IpAddr) {
        self.failures.lock().remove(&network(address));
    }
}

/// One IPv6 client has a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_refused_after_its_failures_until_the_window_is_over() {
        let throttle = Throttle::new(3);
        let start = Instant::now();
        let [a, b]: [IpAddr; 2] =
            ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().expect("address"));
        for _ in 0..3 {
            assert!(throttle.allows(a, start));
            throttle.failed(a, start);
        }
        assert!(!throttle.allows(a, start));
        assert!(throttle.allows(b, start));
        assert!(throttle.allows(a, start + WINDOW));
        throttle.succeeded(a);
        assert!(throttle.allows(a, start));
    }

    #[test]
    fn a_v6_client_cannot_change_its_address_within_its_network() {
        let throttle = Throttle::new(1);
        let start = Instant::now();
        throttle.failed("2001:db8::1".parse().expect("address"), start);
        assert!(!throttle.allows("2001:db8::2".parse().expect("address"), start));
        assert!(throttle.allows("2001:db8:0:1::2".parse().expect("address"), start));
    }
}
