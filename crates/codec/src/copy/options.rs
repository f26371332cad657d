//! Options of COPY, with PostgreSQL's checks and texts.

use tessera_types::{Report, codes};

/// What the first line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Header {
    /// Data.
    #[default]
    None,
    /// Names: written, or skipped.
    Present,
    /// Names that must be those of the columns (reading only).
    Match,
}

/// Options of the text format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextOptions {
    /// Between fields.
    pub delimiter: u8,
    /// Stands for NULL, before escapes are read.
    pub null: String,
    /// What the first line is.
    pub header: Header,
}

impl Default for TextOptions {
    fn default() -> TextOptions {
        TextOptions {
            delimiter: b'\t',
            null: "\\N".to_owned(),
            header: Header::None,
        }
    }
}

/// Options of the csv format. The lists have an entry per column, or are empty for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvOptions {
    /// Between fields.
    pub delimiter: u8,
    /// Stands for NULL where it is not quoted.
    pub null: String,
    /// What the first line is.
    pub header: Header,
    /// Around fields.
    pub quote: u8,
    /// Before a quote inside quotes.
    pub escape: u8,
    /// Columns that are always quoted when written (but NULL).
    pub force_quote: Vec<bool>,
    /// Columns that are never NULL when read.
    pub force_not_null: Vec<bool>,
    /// Columns that are NULL when read even where the NULL text is quoted.
    pub force_null: Vec<bool>,
}

impl Default for CsvOptions {
    fn default() -> CsvOptions {
        CsvOptions {
            delimiter: b',',
            null: String::new(),
            header: Header::None,
            quote: b'"',
            escape: b'"',
            force_quote: Vec::new(),
            force_not_null: Vec::new(),
            force_null: Vec::new(),
        }
    }
}

/// A format with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    /// One line per row, backslash escapes.
    Text(TextOptions),
    /// Comma separated values.
    Csv(CsvOptions),
    /// PostgreSQL's binary format.
    Binary,
}

impl CopyFormat {
    /// 0 for the text formats, 1 for binary, as the protocol says it.
    pub fn wire_code(&self) -> u8 {
        u8::from(matches!(self, CopyFormat::Binary))
    }

    /// Refuses combinations that could not be read back.
    pub fn validate(&self) -> Result<(), Report> {
        let invalid = |message: String| Err(Report::error(codes::INVALID_PARAMETER_VALUE, message));
        let (delimiter, null) = match self {
            CopyFormat::Text(options) => (options.delimiter, &options.null),
            CopyFormat::Csv(options) => (options.delimiter, &options.null),
            CopyFormat::Binary => return Ok(()),
        };
        if matches!(delimiter, b'\n' | b'\r') {
            return invalid("COPY delimiter cannot be newline or carriage return".to_owned());
        }
        if null.contains(['\n', '\r']) {
            return invalid(
                "COPY null representation cannot use newline or carriage return".to_owned(),
            );
        }
        match self {
            CopyFormat::Text(_) if matches!(delimiter, b'\\' | b'.' | b'a'..=b'z' | b'0'..=b'9') => {
                return invalid(format!(
                    "COPY delimiter cannot be \"{}\"",
                    char::from(delimiter)
                ));
            }
            CopyFormat::Csv(options) => {
                if options.quote == delimiter {
                    return invalid("COPY delimiter and quote must be different".to_owned());
                }
                if null.as_bytes().contains(&options.quote) {
                    return invalid(
                        "CSV quote character must not appear in the NULL specification".to_owned(),
                    );
                }
            }
            _ => {}
        }
        if null.as_bytes().contains(&delimiter) {
            return invalid("COPY delimiter must not appear in the NULL specification".to_owned());
        }
        Ok(())
    }

    /// The one byte of an option such as DELIMITER.
    pub fn single_byte(option: &str, text: &str) -> Result<u8, Report> {
        match text.as_bytes() {
            [byte] if byte.is_ascii() => Ok(*byte),
            _ => Err(Report::error(
                codes::FEATURE_NOT_SUPPORTED,
                format!(
                    "COPY {} must be a single one-byte character",
                    option.to_ascii_lowercase()
                ),
            )),
        }
    }
}
