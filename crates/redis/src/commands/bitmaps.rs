//! Bitmaps and bit fields within strings. <https://redis.io/commands/?group=bitmap>

use tessera_keyvalue::{
    BitOperation, BitRange, BitUnit, FieldOperation, FieldOverflow, FieldType, parse_integer,
};

use super::{Call, Reading, Writing, not_here};
use crate::args::{Cursor, integer};
use crate::fault::{Fault, Result, SYNTAX};
use crate::hub::notifications::{GENERIC, STRING};
use crate::request::Request;
use crate::table::Command;

const BAD_OFFSET: Fault = Fault::Static("ERR bit offset is not an integer or out of range");
const BAD_TYPE: Fault = Fault::Static(
    "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but \
     i64 is.",
);
/// Bits of the longest string.
const BITS_MAX: u64 = tessera_keyvalue::STRING_BYTES_MAX * 8;

pub(super) async fn read(call: &mut Call<'_>, from: &Reading<'_>) -> Result<()> {
    let (request, reply) = (call.request, &mut *call.reply);
    let key = request.arg(1);
    match call.row.command {
        Command::Getbit => {
            let offset = bit_offset(request.arg(2))?;
            reply.flag(from.reader.getbit(key, offset).await?);
        }
        Command::Bitcount => {
            let range = match request.len() {
                2 => None,
                3 => return Err(SYNTAX),
                _ => Some(bit_range(request, 2)?),
            };
            reply.count(from.reader.bitcount(key, range).await?);
        }
        Command::Bitpos => {
            let bit = match parse_integer(request.arg(2)) {
                Some(0) => false,
                Some(1) => true,
                Some(_) => return Err(Fault::Static("ERR The bit argument must be 1 or 0.")),
                None => return Err(crate::fault::NOT_AN_INTEGER),
            };
            let range = match request.len() {
                3 => None,
                _ => Some(bit_range(request, 3)?),
            };
            reply.int(from.reader.bitpos(key, bit, range).await?);
        }
        Command::BitfieldRo => {
            let operations = field_operations(request)?;
            if operations
                .iter()
                .any(|operation| !matches!(operation, FieldOperation::Get(..)))
            {
                return Err(Fault::Static(
                    "ERR BITFIELD_RO only supports the GET subcommand",
                ));
            }
            let answers = from.reader.bitfield(key, &operations).await?;
            put_fields(call, answers);
        }
        _ => return Err(not_here(call.row)),
    }
    Ok(())
}

fn bit_offset(text: &[u8]) -> Result<u64> {
    parse_integer(text)
        .and_then(|offset| u64::try_from(offset).ok())
        .filter(|offset| *offset < BITS_MAX)
        .ok_or(BAD_OFFSET)
}

/// `start [end [BYTE | BIT]]`
fn bit_range(request: &Request, at: usize) -> Result<BitRange> {
    let start = integer(request.arg(at))?;
    let mut options = Cursor::new(request, at + 1);
    let end = options.next().map(integer).transpose()?;
    let unit = if options.take("BIT") {
        BitUnit::Bit
    } else {
        options.take("BYTE");
        BitUnit::Byte
    };
    options.end()?;
    Ok(BitRange { start, end, unit })
}

pub(super) async fn write(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    let (request, reply) = (call.request, &mut *call.reply);
    let key = request.arg(1);
    match call.row.command {
        Command::Setbit => {
            let offset = bit_offset(request.arg(2))?;
            let bit = match request.arg(3) {
                b"0" => false,
                b"1" => true,
                _ => return Err(Fault::Static("ERR bit is not an integer or out of range")),
            };
            let old = to.writer.setbit(key, offset, bit).await?;
            to.effects.event(STRING, "setbit", key);
            reply.flag(old);
        }
        Command::Bitop => {
            let operation = if request.is(1, "AND") {
                BitOperation::And
            } else if request.is(1, "OR") {
                BitOperation::Or
            } else if request.is(1, "XOR") {
                BitOperation::Xor
            } else if request.is(1, "NOT") {
                if request.len() != 4 {
                    return Err(Fault::Static(
                        "ERR BITOP NOT must be called with a single source key.",
                    ));
                }
                BitOperation::Not
            } else {
                return Err(SYNTAX);
            };
            let target = request.arg(2);
            let length = to.writer.bitop(operation, target, &request.from(3)).await?;
            match length {
                0 => to.effects.event(GENERIC, "del", target),
                _ => to.effects.event(STRING, "set", target),
            }
            reply.count(length);
        }
        Command::Bitfield => {
            let operations = field_operations(request)?;
            let only_reads = operations
                .iter()
                .all(|operation| matches!(operation, FieldOperation::Get(..)));
            let answers = if only_reads {
                to.newest_reader().bitfield(key, &operations).await?
            } else {
                let answers = to.writer.bitfield(key, &operations).await?;
                to.effects.event(STRING, "setbit", key);
                answers
            };
            put_fields(call, answers);
        }
        _ => return Err(not_here(call.row)),
    }
    Ok(())
}

fn put_fields(call: &mut Call<'_>, answers: Vec<Option<i64>>) {
    call.reply.array(answers.len());
    for answer in answers {
        match answer {
            Some(number) => call.reply.int(number),
            None => call.reply.null(),
        }
    }
}

/// `GET type offset`, `SET type offset value`, `INCRBY type offset by`,
/// `OVERFLOW WRAP | SAT | FAIL`
fn field_operations(request: &Request) -> Result<Vec<FieldOperation>> {
    let mut operations = Vec::new();
    let mut overflow = FieldOverflow::Wrap;
    let mut options = Cursor::new(request, 2);
    while options.left() > 0 {
        if options.take("GET") {
            let (kind, offset) = field(&mut options)?;
            operations.push(FieldOperation::Get(kind, offset));
        } else if options.take("SET") {
            let (kind, offset) = field(&mut options)?;
            let value = integer(options.need()?)?;
            operations.push(FieldOperation::Set(kind, offset, value, overflow));
        } else if options.take("INCRBY") {
            let (kind, offset) = field(&mut options)?;
            let by = integer(options.need()?)?;
            operations.push(FieldOperation::IncrBy(kind, offset, by, overflow));
        } else if options.take("OVERFLOW") {
            overflow = if options.take("WRAP") {
                FieldOverflow::Wrap
            } else if options.take("SAT") {
                FieldOverflow::Saturate
            } else if options.take("FAIL") {
                FieldOverflow::Fail
            } else {
                return Err(Fault::Static("ERR Invalid OVERFLOW type specified"));
            };
        } else {
            return Err(SYNTAX);
        }
    }
    Ok(operations)
}

/// A type and an offset in bits, or in fields of the type if written with `#`.
fn field(options: &mut Cursor<'_>) -> Result<(FieldType, u64)> {
    let (is_signed, bits) = match options.need()? {
        [b'i', bits @ ..] => (true, bits),
        [b'u', bits @ ..] => (false, bits),
        _ => return Err(BAD_TYPE),
    };
    let bits = parse_integer(bits)
        .and_then(|bits| u32::try_from(bits).ok())
        .ok_or(BAD_TYPE)?;
    let kind = FieldType::new(is_signed, bits).map_err(|_| BAD_TYPE)?;
    let (text, unit) = match options.need()? {
        [b'#', text @ ..] => (text, u64::from(kind.bits())),
        text => (text, 1),
    };
    let offset = parse_integer(text)
        .and_then(|offset| u64::try_from(offset).ok())
        .and_then(|offset| offset.checked_mul(unit))
        .filter(|offset| offset.saturating_add(kind.bits().into()) <= BITS_MAX)
        .ok_or(BAD_OFFSET)?;
    Ok((kind, offset))
}
