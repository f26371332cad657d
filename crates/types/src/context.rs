//! The session settings that text input and output depend on.

use crate::zone::TimeZone;

/// How dates and timestamps are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DateStyleFormat {
    /// `1997-12-17 07:37:16-08`
    #[default]
    Iso,
    /// `12/17/1997 07:37:16.00 PST`
    Sql,
    /// `Wed Dec 17 07:37:16 1997 PST`
    Postgres,
    /// `17.12.1997 07:37:16.00 PST`
    German,
}

/// How an ambiguous date such as 01/02/03 is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DateOrder {
    /// Month, day, year.
    #[default]
    Mdy,
    /// Day, month, year.
    Dmy,
    /// Year, month, day.
    Ymd,
}

/// The setting `DateStyle`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DateStyle {
    /// For output.
    pub format: DateStyleFormat,
    /// For input, and for the output of two formats.
    pub order: DateOrder,
}

impl DateStyle {
    /// Reads a setting such as `ISO, MDY`; parts left out keep their value of `self`.
    pub fn parse(self, text: &str) -> Option<DateStyle> {
        let mut style = self;
        for word in text.split(',').map(str::trim) {
            match word.to_ascii_lowercase().as_str() {
                "iso" => style.format = DateStyleFormat::Iso,
                "sql" => style.format = DateStyleFormat::Sql,
                "german" => {
                    style.format = DateStyleFormat::German;
                    style.order = DateOrder::Dmy;
                }
                word if word.starts_with("postgres") => style.format = DateStyleFormat::Postgres,
                "mdy" | "us" | "noneuropean" | "non-european" => style.order = DateOrder::Mdy,
                "dmy" | "euro" | "european" => style.order = DateOrder::Dmy,
                "ymd" => style.order = DateOrder::Ymd,
                "default" => style = DateStyle::default(),
                _ => return None,
            }
        }
        Some(style)
    }
}

impl std::fmt::Display for DateStyle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let format = match self.format {
            DateStyleFormat::Iso => "ISO",
            DateStyleFormat::Sql => "SQL",
            DateStyleFormat::Postgres => "Postgres",
            DateStyleFormat::German => "German",
        };
        let order = match self.order {
            DateOrder::Mdy => "MDY",
            DateOrder::Dmy => "DMY",
            DateOrder::Ymd => "YMD",
        };
        write!(f, "{format}, {order}")
    }
}

/// The setting `IntervalStyle`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IntervalStyle {
    /// `1 year 2 mons 3 days 04:05:06`
    #[default]
    Postgres,
    /// `@ 1 year 2 mons 3 days 4 hours 5 mins 6 secs`
    PostgresVerbose,
    /// `+1-2 +3 +4:05:06`
    SqlStandard,
    /// `P1Y2M3DT4H5M6S`
    Iso8601,
}

impl IntervalStyle {
    /// Reads the setting.
    pub fn parse(text: &str) -> Option<IntervalStyle> {
        Some(match text.to_ascii_lowercase().as_str() {
            "postgres" => IntervalStyle::Postgres,
            "postgres_verbose" => IntervalStyle::PostgresVerbose,
            "sql_standard" => IntervalStyle::SqlStandard,
            "iso_8601" => IntervalStyle::Iso8601,
            _ => return None,
        })
    }

    /// As the setting is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            IntervalStyle::Postgres => "postgres",
            IntervalStyle::PostgresVerbose => "postgres_verbose",
            IntervalStyle::SqlStandard => "sql_standard",
            IntervalStyle::Iso8601 => "iso_8601",
        }
    }
}

/// The setting `bytea_output`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ByteaOutput {
    /// `\x0102`
    #[default]
    Hex,
    /// `\001\002`
    Escape,
}

/// Everything that text input and output need to know about a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatContext {
    /// How dates are printed and read.
    pub date_style: DateStyle,
    /// How intervals are printed.
    pub interval_style: IntervalStyle,
    /// Local time of the session.
    pub time_zone: TimeZone,
    /// How bytes are printed.
    pub bytea_output: ByteaOutput,
    /// Above zero: the shortest digits that read back the same; else rounded to fewer digits.
    pub extra_float_digits: i32,
    /// The start of the transaction, for inputs such as `now` and `today`: microseconds since 1970.
    pub now_micros: i64,
}

impl Default for FormatContext {
    fn default() -> FormatContext {
        FormatContext {
            date_style: DateStyle::default(),
            interval_style: IntervalStyle::default(),
            time_zone: TimeZone::UTC,
            bytea_output: ByteaOutput::default(),
            extra_float_digits: 1,
            now_micros: 0,
        }
    }
}
