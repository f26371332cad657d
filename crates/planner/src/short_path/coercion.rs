//! Types of operands: what is compared with what, and which casts happen by themselves.

use tessera_types::{CastKind, SqlType, Value, coerce};

use super::bind::{Bound, Typed, Unbound};
use super::scalar::{Cast, NumberKind, Scalar};

/// Brings an expression to a column's type by the assignment rules; identity when it has it.
pub(super) fn assignment_cast(typed: Typed, target: &SqlType) -> Bound<Scalar> {
    if typed.sql_type == *target && !has_modifier(target) {
        return Ok(typed.scalar);
    }
    if matches!(typed.scalar, Scalar::Literal(Value::Null)) {
        return Ok(typed.scalar);
    }
    if !assignable(&typed.sql_type, target) {
        return Err(Unbound::Unsupported);
    }
    Ok(Scalar::Cast(Box::new(Cast {
        input: typed.scalar,
        from: typed.sql_type,
        to: target.clone(),
        explicit: false,
    })))
}

/// True when two values of the type are compared as `Value::cmp_sql` does.
pub(super) fn is_ordered(ty: &SqlType) -> bool {
    use SqlType::{
        BigInt, Boolean, Bytea, Char, Date, Double, Integer, Interval, Name, Numeric, Oid, Real,
        SmallInt, Text, Time, Timestamp, TimestampTz, Uuid, Varchar,
    };
    matches!(
        ty,
        Boolean
            | SmallInt
            | Integer
            | BigInt
            | Real
            | Double
            | Numeric(_)
            | Text
            | Varchar(_)
            | Char(_)
            | Bytea
            | Date
            | Time
            | Timestamp
            | TimestampTz
            | Interval
            | Uuid
            | Oid
            | Name
    )
}

pub(super) fn has_modifier(ty: &SqlType) -> bool {
    matches!(
        ty,
        SqlType::Varchar(Some(_)) | SqlType::Char(_) | SqlType::Numeric(Some(_))
    )
}

pub(super) fn is_text(ty: &SqlType) -> bool {
    matches!(ty, SqlType::Text | SqlType::Varchar(_) | SqlType::Name)
}

/// Explicit casts that the short path does itself: all that need no catalog.
pub(super) fn castable(from: &SqlType, to: &SqlType) -> bool {
    let plain = |ty: &SqlType| is_ordered(ty) && !matches!(ty, SqlType::Oid | SqlType::Name);
    plain(from) && plain(to) && coerce::exists(from, to, CastKind::Explicit)
}

/// Assignment casts that the short path does itself.
pub(super) fn assignable(from: &SqlType, to: &SqlType) -> bool {
    from.base() == to.base()
        || matches!(from, SqlType::Unknown)
        || coerce::exists(from, to, CastKind::Assignment)
}

pub(super) fn implicit_cast(typed: Typed, to: &SqlType) -> Scalar {
    if typed.sql_type.base() == to.base() {
        return typed.scalar;
    }
    if let Scalar::Literal(value) = &typed.scalar {
        if let Some(value) = widened(value, to) {
            return Scalar::Literal(value);
        }
    }
    Scalar::Cast(Box::new(Cast {
        input: typed.scalar,
        from: typed.sql_type,
        to: to.clone(),
        explicit: true,
    }))
}

/// An integer constant in a wider integer type.
pub(super) fn widened(value: &Value, to: &SqlType) -> Option<Value> {
    let number = match value {
        Value::Null => return Some(Value::Null),
        Value::SmallInt(n) => i64::from(*n),
        Value::Integer(n) => i64::from(*n),
        Value::BigInt(n) => *n,
        _ => return None,
    };
    match to {
        SqlType::SmallInt => i16::try_from(number).ok().map(Value::SmallInt),
        SqlType::Integer => i32::try_from(number).ok().map(Value::Integer),
        SqlType::BigInt => Some(Value::BigInt(number)),
        _ => None,
    }
}

/// Two operands in one type, and whether blanks at the end count.
pub(super) fn comparable(left: Typed, right: Typed) -> Bound<(Scalar, Scalar, bool)> {
    if matches!(left.scalar, Scalar::Literal(Value::Null))
        || matches!(right.scalar, Scalar::Literal(Value::Null))
    {
        return Ok((left.scalar, right.scalar, false));
    }
    if let (Some(a), Some(b)) = (
        NumberKind::of(&left.sql_type),
        NumberKind::of(&right.sql_type),
    ) {
        let both_integers = a <= NumberKind::BigInt && b <= NumberKind::BigInt;
        if a == b || both_integers {
            // Integers of any width compare as they are.
            return Ok((left.scalar, right.scalar, false));
        }
        let sql_type = a.common(b).sql_type();
        return Ok((
            implicit_cast(left, &sql_type),
            implicit_cast(right, &sql_type),
            false,
        ));
    }
    if is_text(&left.sql_type) && is_text(&right.sql_type) {
        return Ok((left.scalar, right.scalar, false));
    }
    if let (SqlType::Char(_), SqlType::Char(_)) = (&left.sql_type, &right.sql_type) {
        return Ok((left.scalar, right.scalar, true));
    }
    if left.sql_type == right.sql_type && is_ordered(&left.sql_type) {
        return Ok((left.scalar, right.scalar, false));
    }
    Err(Unbound::Unsupported)
}

/// Results of CASE, COALESCE: all of one type after promotion.
pub(super) fn same_type(list: Vec<Typed>) -> Bound<(Vec<Scalar>, SqlType)> {
    let is_null = |typed: &Typed| matches!(typed.scalar, Scalar::Literal(Value::Null));
    let mut common: Option<SqlType> = None;
    for typed in list.iter().filter(|typed| !is_null(typed)) {
        common = Some(match common {
            None => typed.sql_type.clone(),
            Some(so_far) if so_far == typed.sql_type => so_far,
            Some(so_far) => match (NumberKind::of(&so_far), NumberKind::of(&typed.sql_type)) {
                (Some(a), Some(b)) => a.common(b).sql_type(),
                _ if is_text(&so_far) && is_text(&typed.sql_type) => SqlType::Text,
                _ => return Err(Unbound::Unsupported),
            },
        });
    }
    let Some(sql_type) = common else {
        return Err(Unbound::Unsupported);
    };
    let scalars = list
        .into_iter()
        .map(|typed| {
            if is_null(&typed) || (is_text(&typed.sql_type) && is_text(&sql_type)) {
                typed.scalar
            } else {
                implicit_cast(typed, &sql_type)
            }
        })
        .collect();
    Ok((scalars, sql_type))
}
