//! A row as one compact byte string with random access to its columns.
//!
//! Layout: format, number of columns, NULL bitmap, columns of fixed width, end offsets of the others,
//! their bytes. Columns added to a table later are simply not there, and read as missing; the places of
//! the earlier ones do not depend on them. The byte table is in `docs/internals/row-format.md`.

use tessera_types::{SqlType, Value, ValueRef};

use crate::CodecError;
use crate::payload;
use crate::varint::{read_varint, write_varint};

/// End offsets of 16 bits.
const FORMAT_SHORT: u8 = 1;
/// End offsets of 32 bits.
const FORMAT_LONG: u8 = 2;

/// No row is larger than this; one value alone may not be either.
pub const ROW_BYTES_MAX: usize = 1 << 30;

/// Where a column is.
#[derive(Clone, Copy, Debug)]
enum Slot {
    /// Place and width in the fixed part.
    Fixed { offset: usize, width: usize },
    /// Number among the columns of varying length.
    Variable(usize),
}

/// Where each column is; made once per table version, from ALL physical columns in order of their
/// attribute numbers (dropped ones keep their slot and type, and are written as NULL).
#[derive(Clone, Debug)]
pub struct RowLayout {
    columns: Vec<(SqlType, Slot)>,
    /// Per number of columns written: bytes of the fixed part, number of varying columns.
    prefixes: Vec<(usize, usize)>,
}

impl RowLayout {
    /// The layout of a row with these columns.
    pub fn new(columns: &[SqlType]) -> RowLayout {
        let mut layout = RowLayout {
            columns: Vec::with_capacity(columns.len()),
            prefixes: vec![(0, 0)],
        };
        let (mut fixed, mut variable) = (0, 0);
        for ty in columns {
            let slot = match payload::width(ty) {
                Some(width) => {
                    fixed += width;
                    Slot::Fixed {
                        offset: fixed - width,
                        width,
                    }
                }
                None => {
                    variable += 1;
                    Slot::Variable(variable - 1)
                }
            };
            layout.columns.push((ty.clone(), slot));
            layout.prefixes.push((fixed, variable));
        }
        layout
    }

    /// Number of columns.
    pub fn column_count(&self) -> usize {
        self.columns.len()
    }

    /// The type of a column.
    pub fn column_type(&self, index: usize) -> Option<&SqlType> {
        self.columns.get(index).map(|column| &column.0)
    }

    /// Encodes a row; as many values as columns, each NULL or of its column's type.
    pub fn encode(&self, values: &[Value]) -> Result<Vec<u8>, CodecError> {
        let mut out = Vec::with_capacity(64);
        self.encode_into(values, &mut out)?;
        Ok(out)
    }

    /// As [`RowLayout::encode`], at the end of `out`. On an error `out` is as before.
    pub fn encode_into(&self, values: &[Value], out: &mut Vec<u8>) -> Result<(), CodecError> {
        let start = out.len();
        let result = self.encode_unchecked(values, out, start);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn encode_unchecked(
        &self,
        values: &[Value],
        out: &mut Vec<u8>,
        start: usize,
    ) -> Result<(), CodecError> {
        if values.len() != self.columns.len() {
            return Err(CodecError::Malformed {
                what: "row with another number of columns",
            });
        }
        let (fixed, variable) = self.prefixes[values.len()];
        out.push(FORMAT_SHORT);
        write_varint(values.len() as u64, out);
        let bitmap = out.len();
        out.resize(bitmap + values.len().div_ceil(8), 0);
        let fixed_start = out.len();
        let wrong = |index: usize| CodecError::WrongType {
            column: index,
            type_name: self.columns[index].0.name(),
        };
        for (index, ((ty, slot), value)) in self.columns.iter().zip(values).enumerate() {
            if value.is_null() {
                out[bitmap + index / 8] |= 1 << (index % 8);
            }
            if let Slot::Fixed { width, .. } = slot {
                if value.is_null() {
                    out.resize(out.len() + width, 0);
                } else if !payload::write(ty, value, out) {
                    return Err(wrong(index));
                }
            }
        }
        debug_assert_eq!(out.len(), fixed_start + fixed, "widths and payloads agree");
        // Offsets of 16 bits first; almost every row is that small.
        let offsets = out.len();
        out.resize(offsets + variable * 2, 0);
        let data = out.len();
        let mut ends = 0;
        let mut long: Vec<u32> = Vec::new();
        for (index, ((ty, slot), value)) in self.columns.iter().zip(values).enumerate() {
            if !matches!(slot, Slot::Variable(_)) {
                continue;
            }
            if !value.is_null() && !payload::write(ty, value, out) {
                return Err(wrong(index));
            }
            let end = out.len() - data;
            if out.len() - start > ROW_BYTES_MAX {
                return Err(CodecError::TooLarge {
                    bytes: out.len() - start,
                    bytes_max: ROW_BYTES_MAX,
                });
            }
            match u16::try_from(end) {
                Ok(short) if long.is_empty() => {
                    out[offsets + ends * 2..offsets + ends * 2 + 2]
                        .copy_from_slice(&short.to_le_bytes());
                }
                _ => {
                    if long.is_empty() {
                        long.extend(
                            out[offsets..offsets + ends * 2]
                                .chunks_exact(2)
                                .map(|pair| u32::from(u16::from_le_bytes([pair[0], pair[1]]))),
                        );
                    }
                    // Below ROW_BYTES_MAX.
                    long.push(u32::try_from(end).unwrap_or(u32::MAX));
                }
            }
            ends += 1;
        }
        if !long.is_empty() || (ends > 0 && out.len() - data > usize::from(u16::MAX)) {
            out[start] = FORMAT_LONG;
            let wide: Vec<u8> = long.iter().flat_map(|end| end.to_le_bytes()).collect();
            out.splice(offsets..data, wide);
        }
        Ok(())
    }
}

/// Reads columns of one encoded row.
#[derive(Clone, Copy, Debug)]
pub struct RowReader<'a> {
    layout: &'a RowLayout,
    count: usize,
    bitmap: &'a [u8],
    fixed: &'a [u8],
    offsets: &'a [u8],
    offset_width: usize,
    data: &'a [u8],
}

impl<'a> RowReader<'a> {
    /// Checks the structure, in constant time; contents are checked when read.
    pub fn new(layout: &'a RowLayout, bytes: &'a [u8]) -> Result<RowReader<'a>, CodecError> {
        const TRUNCATED: CodecError = CodecError::Truncated { what: "row" };
        let (format, mut rest) = bytes.split_first().ok_or(TRUNCATED)?;
        let offset_width = match *format {
            FORMAT_SHORT => 2,
            FORMAT_LONG => 4,
            found => return Err(CodecError::UnknownFormat { found }),
        };
        let count = match rest.first() {
            // The usual case of fewer than 128 columns.
            Some(&count) if count < 0x80 => {
                rest = &rest[1..];
                usize::from(count)
            }
            _ => usize::try_from(read_varint(&mut rest).ok_or(TRUNCATED)?)
                .map_err(|_| CodecError::Malformed { what: "row" })?,
        };
        let &(fixed, variable) = layout.prefixes.get(count).ok_or(CodecError::Malformed {
            what: "row with more columns than its table",
        })?;
        let (bitmap, rest) = rest.split_at_checked(count.div_ceil(8)).ok_or(TRUNCATED)?;
        let (fixed, rest) = rest.split_at_checked(fixed).ok_or(TRUNCATED)?;
        let (offsets, data) = rest
            .split_at_checked(variable * offset_width)
            .ok_or(TRUNCATED)?;
        Ok(RowReader {
            layout,
            count,
            bitmap,
            fixed,
            offsets,
            offset_width,
            data,
        })
    }

    /// Columns that were there when the row was written; later ones are missing.
    pub fn column_count(&self) -> usize {
        self.count
    }

    /// Whether the column was there when the row was written (else its default applies).
    pub fn has(&self, index: usize) -> bool {
        index < self.count
    }

    /// Whether the column is NULL or missing.
    pub fn is_null(&self, index: usize) -> bool {
        index >= self.count || self.bitmap[index / 8] & (1 << (index % 8)) != 0
    }

    /// A column's value; NULL for a missing one.
    pub fn get(&self, index: usize) -> Result<ValueRef<'a>, CodecError> {
        match self.raw(index)? {
            None => Ok(ValueRef::Null),
            Some(bytes) => payload::read(&self.layout.columns[index].0, bytes),
        }
    }

    /// All columns of the layout; missing ones are NULL.
    pub fn values(&self) -> Result<Vec<Value>, CodecError> {
        (0..self.layout.column_count())
            .map(|index| Ok(self.get(index)?.to_owned()))
            .collect()
    }

    /// A column's encoded bytes; None for NULL or missing.
    pub fn raw(&self, index: usize) -> Result<Option<&'a [u8]>, CodecError> {
        if self.is_null(index) {
            return Ok(None);
        }
        match self.layout.columns[index].1 {
            Slot::Fixed { offset, width } => Ok(Some(&self.fixed[offset..offset + width])),
            Slot::Variable(number) => {
                let start = if number == 0 { 0 } else { self.end(number - 1) };
                let bytes = self.data.get(start..self.end(number));
                bytes.map(Some).ok_or(CodecError::Malformed {
                    what: "row offsets",
                })
            }
        }
    }

    fn end(&self, number: usize) -> usize {
        let at = number * self.offset_width;
        match self.offsets[at..at + self.offset_width] {
            [a, b] => usize::from(u16::from_le_bytes([a, b])),
            [a, b, c, d] => usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX),
            _ => usize::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tessera_types::testing::{any_type, any_value};

    use super::*;

    fn table() -> impl Strategy<Value = (Vec<SqlType>, Vec<Value>)> {
        prop::collection::vec(any_type(), 0..12).prop_flat_map(|types| {
            let values: Vec<_> = types.iter().map(any_value).collect();
            (Just(types), values)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

        #[test]
        fn rows_read_back((types, values) in table()) {
            let layout = RowLayout::new(&types);
            let bytes = layout.encode(&values).expect("values fit");
            let reader = RowReader::new(&layout, &bytes).expect("own bytes");
            for (index, value) in values.iter().enumerate() {
                let again = reader.get(index).expect("own bytes").to_owned();
                prop_assert_eq!(format!("{again:?}"), format!("{value:?}"));
            }
        }

        #[test]
        fn columns_added_later_are_missing((types, values) in table(), added in any_type()) {
            let bytes = RowLayout::new(&types).encode(&values).expect("values fit");
            let wider = RowLayout::new(&[types.as_slice(), &[added]].concat());
            let reader = RowReader::new(&wider, &bytes).expect("own bytes");
            prop_assert!(!reader.has(types.len()));
            prop_assert!(reader.get(types.len()).is_ok_and(|value| value.is_null()));
            for (index, value) in values.iter().enumerate() {
                prop_assert_eq!(&reader.get(index).expect("own bytes").to_owned(), value);
            }
        }

        #[test]
        fn no_bytes_panic((types, values) in table(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
            let layout = RowLayout::new(&types);
            let mut bytes = layout.encode(&values).expect("values fit");
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if cut {
                bytes.truncate(at);
            }
            if let Ok(reader) = RowReader::new(&layout, &bytes) {
                let _ = reader.values();
            }
        }
    }

    #[test]
    fn bytes_are_those_of_the_format_page() {
        let layout = RowLayout::new(&[SqlType::Integer, SqlType::Text, SqlType::Boolean]);
        let row = [Value::Integer(258), Value::from("hi"), Value::Null];
        assert_eq!(
            layout.encode(&row),
            Ok(vec![1, 3, 0b100, 2, 1, 0, 0, 0, 2, 0, b'h', b'i'])
        );
    }

    #[test]
    fn long_rows_have_long_offsets() {
        let layout = RowLayout::new(&[SqlType::Text, SqlType::Text, SqlType::Text]);
        let row = [
            Value::from("a"),
            Value::from("x".repeat(70_000)),
            Value::from("b"),
        ];
        let bytes = layout.encode(&row).expect("fits");
        assert_eq!(bytes[0], FORMAT_LONG);
        let reader = RowReader::new(&layout, &bytes).expect("own bytes");
        assert_eq!(reader.values(), Ok(row.to_vec()));
    }

    #[test]
    fn values_of_another_type_are_refused_and_leave_nothing() {
        let layout = RowLayout::new(&[SqlType::Integer, SqlType::Text]);
        let mut out = vec![9];
        let row = [Value::Integer(1), Value::Integer(2)];
        assert!(matches!(
            layout.encode_into(&row, &mut out),
            Err(CodecError::WrongType { column: 1, .. })
        ));
        assert_eq!(out, [9]);
        assert!(layout.encode(&row[..1]).is_err());
    }

    #[test]
    fn formats_of_the_future_are_refused() {
        let layout = RowLayout::new(&[]);
        assert!(matches!(
            RowReader::new(&layout, &[3, 0]),
            Err(CodecError::UnknownFormat { found: 3 })
        ));
    }
}
