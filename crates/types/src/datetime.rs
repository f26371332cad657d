//! Calendar arithmetic on plain integers.

/// A day count that means `infinity`.
pub const DATE_INFINITY: i32 = i32::MAX;
/// A day count that means `-infinity`.
pub const DATE_NEGATIVE_INFINITY: i32 = i32::MIN;
/// A microsecond count that means `infinity`.
pub const TIMESTAMP_INFINITY: i64 = i64::MAX;
/// A microsecond count that means `-infinity`.
pub const TIMESTAMP_NEGATIVE_INFINITY: i64 = i64::MIN;
