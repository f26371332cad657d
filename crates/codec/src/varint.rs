//! Numbers that take fewer bytes the smaller they are (unsigned LEB128).

/// Appends a number in as few bytes as hold it: 1 below 128, at most 10.
pub fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads such a number and moves `bytes` behind it; None when malformed.
pub fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for index in 0..10 {
        let byte = *bytes.get(index)?;
        let part = u64::from(byte & 0x7f);
        if index == 9 && part > 1 {
            return None;
        }
        value |= part << (7 * index);
        if byte < 0x80 {
            *bytes = &bytes[index + 1..];
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            write_varint(value, &mut out);
            out.push(9);
            let mut rest = out.as_slice();
            assert_eq!(read_varint(&mut rest), Some(value));
            assert_eq!(rest, [9]);
        }
        assert_eq!(read_varint(&mut &[0x80_u8][..]), None);
        assert_eq!(read_varint(&mut &[0xff_u8; 11][..]), None);
    }
}
