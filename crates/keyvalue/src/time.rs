//! Moments and times to live.

use tessera_environment::Clock;

use crate::error::{KeyValueError, Result};

/// Milliseconds since 1970-01-01 00:00:00 UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// What the clock says; times before 1970 are taken for 1970.
    pub fn now(clock: &dyn Clock) -> UnixMillis {
        UnixMillis(u64::try_from(clock.unix_micros() / 1_000).unwrap_or(0))
    }
}

/// When a key shall expire, as commands say it. Seconds are multiplied by the caller, who reports
/// an overflow as [`KeyValueError::InvalidExpire`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expire {
    /// So many milliseconds from now (EX, PX, EXPIRE, PEXPIRE).
    InMillis(i64),
    /// At this moment, in milliseconds since 1970 (EXAT, PXAT, EXPIREAT, PEXPIREAT).
    AtMillis(i64),
}

impl Expire {
    /// The moment, which may lie in the past.
    pub(crate) fn moment(self, now: UnixMillis) -> Result<i64> {
        match self {
            Expire::InMillis(millis) => i64::try_from(now.0)
                .ok()
                .and_then(|now| now.checked_add(millis))
                .ok_or(KeyValueError::InvalidExpire),
            Expire::AtMillis(millis) => Ok(millis),
        }
    }

    /// The moment where only a positive argument is allowed (SET, GETEX).
    pub(crate) fn positive_moment(self, now: UnixMillis) -> Result<UnixMillis> {
        let (Expire::InMillis(argument) | Expire::AtMillis(argument)) = self;
        if argument <= 0 {
            return Err(KeyValueError::InvalidExpire);
        }
        u64::try_from(self.moment(now)?)
            .map(UnixMillis)
            .map_err(|_| KeyValueError::InvalidExpire)
    }
}

/// What TTL, PTTL, EXPIRETIME and PEXPIRETIME answer from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeToLive {
    /// The key does not exist (-2).
    NoKey,
    /// The key does not expire (-1).
    Never,
    /// The key expires then, which is after now.
    At(UnixMillis),
}
