//! Rows to COPY data.

use tessera_types::{FormatContext, SqlType, ValueRef, binary as wire, text as text_format};

use super::binary::{SIGNATURE, TRAILER};
use super::options::{CopyFormat, CsvOptions, Header, TextOptions};

/// Writes COPY data: the header, rows, the trailer.
#[derive(Debug)]
pub struct CopyEncoder {
    format: CopyFormat,
    columns: Vec<String>,
    field: Vec<u8>,
}

impl CopyEncoder {
    /// For rows with these columns.
    pub fn new(format: CopyFormat, columns: Vec<String>) -> CopyEncoder {
        CopyEncoder {
            format,
            columns,
            field: Vec::new(),
        }
    }

    /// What comes before the first row; perhaps nothing.
    pub fn header(&mut self, out: &mut Vec<u8>) {
        match &self.format {
            CopyFormat::Binary => {
                out.extend_from_slice(SIGNATURE);
                // No flags, no extension.
                out.extend_from_slice(&[0; 8]);
            }
            CopyFormat::Text(options) if options.header != Header::None => {
                for (index, column) in self.columns.iter().enumerate() {
                    if index > 0 {
                        out.push(options.delimiter);
                    }
                    write_text(column.as_bytes(), options, out);
                }
                out.push(b'\n');
            }
            CopyFormat::Csv(options) if options.header != Header::None => {
                for (index, column) in self.columns.iter().enumerate() {
                    if index > 0 {
                        out.push(options.delimiter);
                    }
                    write_csv(
                        column.as_bytes(),
                        false,
                        self.columns.len() == 1,
                        options,
                        out,
                    );
                }
                out.push(b'\n');
            }
            _ => {}
        }
    }

    /// One row.
    pub fn row<'v>(
        &mut self,
        values: impl ExactSizeIterator<Item = (ValueRef<'v>, &'v SqlType)>,
        ctx: &FormatContext,
        out: &mut Vec<u8>,
    ) {
        let count = values.len();
        if self.format == CopyFormat::Binary {
            // At most 1,600 columns.
            out.extend_from_slice(&i16::try_from(count).unwrap_or(i16::MAX).to_be_bytes());
            for (value, ty) in values {
                write_binary(value, ty, out);
            }
            return;
        }
        for (index, (value, ty)) in values.enumerate() {
            let delimiter = match &self.format {
                CopyFormat::Text(options) => options.delimiter,
                CopyFormat::Csv(options) => options.delimiter,
                CopyFormat::Binary => b',',
            };
            if index > 0 {
                out.push(delimiter);
            }
            let is_null = value.is_null();
            self.field.clear();
            text_format::write(value, ty, ctx, &mut self.field);
            match &self.format {
                CopyFormat::Text(options) if is_null => {
                    out.extend_from_slice(options.null.as_bytes())
                }
                CopyFormat::Csv(options) if is_null => {
                    out.extend_from_slice(options.null.as_bytes())
                }
                CopyFormat::Text(options) => write_text(&self.field, options, out),
                CopyFormat::Csv(options) => {
                    let force = options.force_quote.get(index).copied().unwrap_or(false);
                    write_csv(&self.field, force, count == 1, options, out);
                }
                CopyFormat::Binary => {}
            }
        }
        out.push(b'\n');
    }

    /// What comes after the last row; perhaps nothing.
    pub fn trailer(&mut self, out: &mut Vec<u8>) {
        if self.format == CopyFormat::Binary {
            out.extend_from_slice(&TRAILER.to_be_bytes());
        }
    }
}

fn write_binary(value: ValueRef<'_>, ty: &SqlType, out: &mut Vec<u8>) {
    if value.is_null() {
        out.extend_from_slice(&(-1i32).to_be_bytes());
        return;
    }
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    wire::write(value, ty, out);
    // Values are limited to a gigabyte.
    let length = i32::try_from(out.len() - start - 4).unwrap_or(i32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn write_text(field: &[u8], options: &TextOptions, out: &mut Vec<u8>) {
    for &byte in field {
        let letter = match byte {
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x0b => b'v',
            b'\\' => b'\\',
            byte if byte == options.delimiter => byte,
            byte => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
}

fn write_csv(field: &[u8], force: bool, single: bool, options: &CsvOptions, out: &mut Vec<u8>) {
    let special = |byte: &u8| {
        *byte == options.delimiter || *byte == options.quote || matches!(byte, b'\n' | b'\r')
    };
    let quote = force
        || field == options.null.as_bytes()
        // Alone in its line it would be taken for the end of the data.
        || (single && field == b"\\.")
        || field.iter().any(special);
    if !quote {
        out.extend_from_slice(field);
        return;
    }
    out.push(options.quote);
    for &byte in field {
        if byte == options.quote || byte == options.escape {
            out.push(options.escape);
        }
        out.push(byte);
    }
    out.push(options.quote);
}
