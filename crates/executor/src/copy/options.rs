//! COPY's options, in the parenthesized and in the old spelling.

use datafusion::sql::sqlparser::ast::{CopyLegacyCsvOption, CopyLegacyOption, CopyOption, Ident};
use tessera_codec::copy::{CopyFormat, CsvOptions, Header, TextOptions};
use tessera_planner::short_path::bind::folded;
use tessera_types::{Report, codes};

/// Options as written, columns not yet looked up.
#[derive(Debug, Default)]
pub(super) struct Options {
    format: Option<String>,
    delimiter: Option<char>,
    null: Option<String>,
    header: bool,
    quote: Option<char>,
    escape: Option<char>,
    force_quote: Vec<String>,
    force_not_null: Vec<String>,
    force_null: Vec<String>,
}

pub(super) fn read(options: &[CopyOption], legacy: &[CopyLegacyOption]) -> Result<Options, Report> {
    let mut out = Options::default();
    for option in options {
        match option {
            CopyOption::Format(name) => out.set_format(&folded(name))?,
            // Rows are frozen from the start here.
            CopyOption::Freeze(_) => {}
            CopyOption::Delimiter(c) => out.delimiter = Some(*c),
            CopyOption::Null(text) => out.null = Some(text.clone()),
            CopyOption::Header(on) => out.header = *on,
            CopyOption::Quote(c) => out.quote = Some(*c),
            CopyOption::Escape(c) => out.escape = Some(*c),
            CopyOption::ForceQuote(columns) => out.force_quote = names(columns),
            CopyOption::ForceNotNull(columns) => out.force_not_null = names(columns),
            CopyOption::ForceNull(columns) => out.force_null = names(columns),
            CopyOption::Encoding(name) => check_encoding(name)?,
        }
    }
    for option in legacy {
        match option {
            CopyLegacyOption::Binary => out.set_format("binary")?,
            CopyLegacyOption::Delimiter(c) => out.delimiter = Some(*c),
            CopyLegacyOption::Null(text) => out.null = Some(text.clone()),
            CopyLegacyOption::Header => out.header = true,
            CopyLegacyOption::Csv(list) => {
                out.set_format("csv")?;
                for option in list {
                    match option {
                        CopyLegacyCsvOption::Header => out.header = true,
                        CopyLegacyCsvOption::Quote(c) => out.quote = Some(*c),
                        CopyLegacyCsvOption::Escape(c) => out.escape = Some(*c),
                        CopyLegacyCsvOption::ForceQuote(columns) => {
                            out.force_quote = names(columns);
                        }
                        CopyLegacyCsvOption::ForceNotNull(columns) => {
                            out.force_not_null = names(columns);
                        }
                    }
                }
            }
            other => {
                return Err(Report::error(
                    codes::SYNTAX_ERROR,
                    format!("COPY option {other}"),
                ));
            }
        }
    }
    Ok(out)
}

fn names(columns: &[Ident]) -> Vec<String> {
    columns.iter().map(folded).collect()
}

fn check_encoding(name: &str) -> Result<(), Report> {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    match plain.to_ascii_lowercase().as_str() {
        "utf8" | "unicode" | "sqlascii" => Ok(()),
        _ => Err(Report::unsupported(format!(
            "encoding \"{name}\" is not supported; use UTF8"
        ))),
    }
}

impl Options {
    fn set_format(&mut self, name: &str) -> Result<(), Report> {
        if self.format.is_some() {
            return Err(Report::error(
                codes::SYNTAX_ERROR,
                "conflicting or redundant options",
            ));
        }
        if !matches!(name, "text" | "csv" | "binary") {
            return Err(Report::error(
                codes::INVALID_PARAMETER_VALUE,
                format!("COPY format \"{name}\" not recognized"),
            ));
        }
        self.format = Some(name.to_owned());
        Ok(())
    }

    /// The format for these columns.
    pub(super) fn format_for(&self, columns: &[String]) -> Result<CopyFormat, Report> {
        let byte = |option: &str, c: Option<char>| {
            c.map(|c| CopyFormat::single_byte(option, c.encode_utf8(&mut [0; 4])))
                .transpose()
        };
        let header = if self.header {
            Header::Present
        } else {
            Header::None
        };
        let kind = self.format.as_deref().unwrap_or("text");
        let only_csv = [
            (self.quote.is_some(), "quote"),
            (self.escape.is_some(), "escape"),
            (!self.force_quote.is_empty(), "force quote"),
            (!self.force_not_null.is_empty(), "force not null"),
            (!self.force_null.is_empty(), "force null"),
        ];
        if kind != "csv"
            && let Some((_, option)) = only_csv.iter().find(|(is_set, _)| *is_set)
        {
            return Err(Report::error(
                codes::FEATURE_NOT_SUPPORTED,
                format!("COPY {option} available only in CSV mode"),
            ));
        }
        let format = match kind {
            "binary" => {
                let refused = [
                    (self.delimiter.is_some(), "DELIMITER"),
                    (self.null.is_some(), "NULL"),
                    (self.header, "HEADER"),
                ];
                if let Some((_, option)) = refused.iter().find(|(is_set, _)| *is_set) {
                    return Err(Report::error(
                        codes::SYNTAX_ERROR,
                        format!("cannot specify {option} in BINARY mode"),
                    ));
                }
                CopyFormat::Binary
            }
            "csv" => {
                let mut csv = CsvOptions {
                    header,
                    ..CsvOptions::default()
                };
                if let Some(delimiter) = byte("delimiter", self.delimiter)? {
                    csv.delimiter = delimiter;
                }
                if let Some(null) = &self.null {
                    csv.null.clone_from(null);
                }
                if let Some(quote) = byte("quote", self.quote)? {
                    csv.quote = quote;
                }
                csv.escape = byte("escape", self.escape)?.unwrap_or(csv.quote);
                csv.force_quote = flags(&self.force_quote, columns)?;
                csv.force_not_null = flags(&self.force_not_null, columns)?;
                csv.force_null = flags(&self.force_null, columns)?;
                CopyFormat::Csv(csv)
            }
            _ => {
                let mut text = TextOptions {
                    header,
                    ..TextOptions::default()
                };
                if let Some(delimiter) = byte("delimiter", self.delimiter)? {
                    text.delimiter = delimiter;
                }
                if let Some(null) = &self.null {
                    text.null.clone_from(null);
                }
                CopyFormat::Text(text)
            }
        };
        format.validate()?;
        Ok(format)
    }
}

fn flags(wanted: &[String], columns: &[String]) -> Result<Vec<bool>, Report> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    // FORCE_QUOTE * comes as a column of that name.
    if wanted == ["*"] {
        return Ok(vec![true; columns.len()]);
    }
    if let Some(missing) = wanted.iter().find(|name| !columns.contains(name)) {
        return Err(Report::error(
            codes::UNDEFINED_COLUMN,
            format!("column \"{missing}\" does not exist, or is not copied"),
        ));
    }
    Ok(columns
        .iter()
        .map(|column| wanted.contains(column))
        .collect())
}
