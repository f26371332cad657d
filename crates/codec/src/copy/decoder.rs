//! Bytes in chunks of any size to rows of fields.

use tessera_types::{FormatContext, SqlType, Value, binary as wire, text as text_format};

use super::error::{CopyError, shorten};
use super::options::{CopyFormat, Header};
use super::{binary, csv, text};

/// A line or binary row may not be longer.
const LINE_BYTES_MAX: usize = 256 << 20;

/// What one step of a format found.
pub(super) enum Step {
    /// The input ends inside a row: more bytes are needed.
    More,
    /// A row was read; it ends here in the buffer.
    Row(usize),
    /// The end of the data was marked; it ends here in the buffer.
    End(usize),
}

/// Fields of a row: places in `data`, which is the line itself or a copy without escapes.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) copied: Vec<u8>,
    pub(super) is_copy: bool,
    pub(super) base: usize,
    pub(super) bounds: Vec<Option<(usize, usize)>>,
}

impl Fields {
    pub(super) fn clear(&mut self) {
        self.copied.clear();
        self.is_copy = false;
        self.bounds.clear();
    }
}

/// How far the search for the end of the current line came, so that no byte is looked at twice.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) scanned: usize,
    pub(super) in_quotes: bool,
    pub(super) escaped: bool,
}

/// Turns COPY data into rows. Feed it bytes, take rows until None, feed again; at the end call
/// [`CopyDecoder::finish`] and take the rest.
#[derive(Debug)]
pub struct CopyDecoder {
    format: CopyFormat,
    columns: Vec<String>,
    buffer: Vec<u8>,
    start: usize,
    line: u64,
    header_left: Header,
    finished: bool,
    done: bool,
    progress: Progress,
    fields: Fields,
}

impl CopyDecoder {
    /// For data with these columns, in their order.
    pub fn new(format: CopyFormat, columns: Vec<String>) -> CopyDecoder {
        let header_left = match &format {
            CopyFormat::Text(options) => options.header,
            CopyFormat::Csv(options) => options.header,
            CopyFormat::Binary => Header::Present,
        };
        CopyDecoder {
            format,
            columns,
            buffer: Vec::new(),
            start: 0,
            line: 0,
            header_left,
            finished: false,
            done: false,
            progress: Progress::default(),
            fields: Fields::default(),
        }
    }

    /// Adds bytes. Bytes after the end mark are ignored, as PostgreSQL does with text.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.done {
            return;
        }
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// No more bytes will come.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// Whether the end mark was met, or all input of a finished decoder was read.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// The line (text, csv) or row (binary) read last, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The next row; None when more bytes are needed, or at the end.
    pub fn next_row(&mut self) -> Result<Option<CopyRow<'_>>, CopyError> {
        loop {
            if self.done {
                return Ok(None);
            }
            let rest = &self.buffer[self.start..];
            if self.finished && rest.is_empty() {
                self.done = true;
                return match &self.format {
                    // A stream that ends without its trailer is taken, as by PostgreSQL over the wire.
                    CopyFormat::Binary if self.header_left == Header::None => Ok(None),
                    CopyFormat::Binary => Err(binary::no_signature()),
                    _ => Ok(None),
                };
            }
            if self.format == CopyFormat::Binary && self.header_left != Header::None {
                match binary::header(rest, self.finished)? {
                    Some(length) => {
                        self.start += length;
                        self.header_left = Header::None;
                        continue;
                    }
                    None => return Ok(None),
                }
            }
            self.fields.clear();
            let count = self.columns.len();
            let next_line = self.line + 1;
            let step = match &self.format {
                CopyFormat::Text(options) => text::step(
                    rest,
                    self.finished,
                    options,
                    &mut self.progress,
                    &mut self.fields,
                ),
                CopyFormat::Csv(options) => csv::step(
                    rest,
                    self.finished,
                    options,
                    &mut self.progress,
                    &mut self.fields,
                    next_line,
                )?,
                CopyFormat::Binary => {
                    binary::step(rest, self.finished, count, &mut self.fields, next_line)?
                }
            };
            match step {
                Step::More if rest.len() > LINE_BYTES_MAX => {
                    return Err(CopyError::LineTooLong {
                        line: next_line,
                        bytes_max: LINE_BYTES_MAX,
                    });
                }
                Step::More => return Ok(None),
                Step::End(length) => {
                    self.start += length;
                    self.done = true;
                    return Ok(None);
                }
                Step::Row(length) => {
                    let begin = self.start;
                    self.fields.base = begin;
                    self.start += length;
                    // A quoted field may span lines.
                    let lines = match &self.format {
                        CopyFormat::Csv(_) => {
                            let row = &self.buffer[begin..self.start];
                            row.iter().filter(|byte| **byte == b'\n').count().max(1) as u64
                        }
                        _ => 1,
                    };
                    self.line += lines;
                    self.progress = Progress::default();
                    match std::mem::take(&mut self.header_left) {
                        Header::None => {}
                        Header::Present => continue,
                        Header::Match => {
                            self.check_header()?;
                            continue;
                        }
                    }
                    self.check_count(begin)?;
                    let data = if self.fields.is_copy {
                        &self.fields.copied
                    } else {
                        &self.buffer[begin..self.start]
                    };
                    return Ok(Some(CopyRow {
                        data,
                        bounds: &self.fields.bounds,
                        columns: &self.columns,
                        line: self.line,
                        binary: self.format == CopyFormat::Binary,
                    }));
                }
            }
        }
    }

    fn check_count(&self, begin: usize) -> Result<(), CopyError> {
        if self.format == CopyFormat::Binary {
            // Checked before the fields were read.
            return Ok(());
        }
        let (found, expected) = (self.fields.bounds.len(), self.columns.len());
        let message = match found.cmp(&expected) {
            std::cmp::Ordering::Equal => return Ok(()),
            std::cmp::Ordering::Less => {
                format!("missing data for column \"{}\"", self.columns[found])
            }
            std::cmp::Ordering::Greater
                if expected == 0
                    && found == 1
                    && self.fields.bounds[0].is_none_or(|b| b.0 == b.1) =>
            {
                return Ok(());
            }
            std::cmp::Ordering::Greater => "extra data after last expected column".to_owned(),
        };
        let line = self.buffer[begin..self.start].trim_ascii_end();
        Err(CopyError::Format {
            message,
            hint: None,
            line: self.line,
            shown: Some(shorten(line)),
        })
    }

    fn check_header(&self) -> Result<(), CopyError> {
        let fault = |message: String| CopyError::Format {
            message,
            hint: None,
            line: self.line,
            shown: None,
        };
        let data = if self.fields.is_copy {
            &self.fields.copied[..]
        } else {
            &self.buffer[self.fields.base..]
        };
        let (found, expected) = (self.fields.bounds.len(), self.columns.len());
        if found != expected {
            return Err(fault(format!(
                "wrong number of fields in header line: got {found}, expected {expected}"
            )));
        }
        for (index, (bounds, column)) in self.fields.bounds.iter().zip(&self.columns).enumerate() {
            let place = format!("column name mismatch in header line field {}", index + 1);
            match bounds {
                None => {
                    return Err(fault(format!(
                        "{place}: got null value (\"\"), expected \"{column}\""
                    )));
                }
                Some((from, to)) if data[*from..*to] != *column.as_bytes() => {
                    let got = String::from_utf8_lossy(&data[*from..*to]);
                    return Err(fault(format!(
                        "{place}: got \"{got}\", expected \"{column}\""
                    )));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// One row; its fields are bytes without escapes.
#[derive(Clone, Copy, Debug)]
pub struct CopyRow<'a> {
    data: &'a [u8],
    bounds: &'a [Option<(usize, usize)>],
    columns: &'a [String],
    line: u64,
    binary: bool,
}

impl<'a> CopyRow<'a> {
    /// Number of fields; always that of the columns.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there are no columns.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The line (text, csv) or row (binary) it came from, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// A field's bytes; None for NULL.
    pub fn field(&self, index: usize) -> Option<&'a [u8]> {
        let (from, to) = (*self.bounds.get(index)?)?;
        self.data.get(from..to)
    }

    /// A field as a value of its column's type, with the type's length and precision applied.
    pub fn value(
        &self,
        index: usize,
        ty: &SqlType,
        ctx: &FormatContext,
    ) -> Result<Value, CopyError> {
        let Some(field) = self.field(index) else {
            return Ok(Value::Null);
        };
        let parsed = if self.binary {
            wire::parse(ty, field)
        } else {
            wire::utf8(field).and_then(|text| text_format::parse(ty, text, ctx))
        };
        parsed.map_err(|source| CopyError::Value {
            source,
            line: self.line,
            column: self.columns.get(index).cloned().unwrap_or_default(),
            shown: (!self.binary).then(|| shorten(field)),
        })
    }
}
