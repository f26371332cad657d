//! Which types cast to which without being asked, and how types of a set are unified.

use tessera_types::SqlType;

/// PostgreSQL's type categories, as far as choosing an overload needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// boolean
    Boolean,
    /// Numbers and oids.
    Numeric,
    /// text and its kin.
    String,
    /// date, time, timestamps.
    DateTime,
    /// interval
    Timespan,
    /// Arrays.
    Array,
    /// Everything else (bytea, uuid, json).
    User,
    /// A literal without a type.
    Unknown,
}

/// The category of a type.
pub fn category(sql_type: &SqlType) -> Category {
    match sql_type {
        SqlType::Boolean => Category::Boolean,
        SqlType::SmallInt
        | SqlType::Integer
        | SqlType::BigInt
        | SqlType::Real
        | SqlType::Double
        | SqlType::Numeric(_)
        | SqlType::Oid
        | SqlType::Regclass
        | SqlType::Regtype
        | SqlType::Regproc
        | SqlType::Regnamespace
        | SqlType::Regrole => Category::Numeric,
        SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) | SqlType::Name => Category::String,
        SqlType::Date | SqlType::Time | SqlType::Timestamp | SqlType::TimestampTz => {
            Category::DateTime
        }
        SqlType::Interval => Category::Timespan,
        SqlType::Array(_) => Category::Array,
        SqlType::Unknown => Category::Unknown,
        _ => Category::User,
    }
}

/// Whether the type is the preferred one of its category.
pub fn is_preferred(sql_type: &SqlType) -> bool {
    matches!(
        sql_type,
        SqlType::Boolean
            | SqlType::Double
            | SqlType::Oid
            | SqlType::Text
            | SqlType::TimestampTz
            | SqlType::Interval
    )
}

/// Place of a number type on the ladder of implicit casts.
fn rung(sql_type: &SqlType) -> Option<u8> {
    Some(match sql_type {
        SqlType::SmallInt => 1,
        SqlType::Integer => 2,
        SqlType::BigInt => 3,
        SqlType::Numeric(_) => 4,
        SqlType::Real => 5,
        SqlType::Double => 6,
        _ => return None,
    })
}

/// Whether two types are the same but for length, precision and scale.
pub fn same_base(a: &SqlType, b: &SqlType) -> bool {
    match (a, b) {
        (SqlType::Array(a), SqlType::Array(b)) => same_base(a, b),
        _ => a.oid() == b.oid(),
    }
}

/// Whether PostgreSQL casts `from` to `to` in any expression without being asked.
pub fn casts_implicitly(from: &SqlType, to: &SqlType) -> bool {
    if same_base(from, to) || *from == SqlType::Unknown {
        return true;
    }
    if let (Some(from), Some(to)) = (rung(from), rung(to)) {
        return from < to;
    }
    let is_reg = |t: &SqlType| {
        matches!(
            t,
            SqlType::Regclass
                | SqlType::Regtype
                | SqlType::Regproc
                | SqlType::Regnamespace
                | SqlType::Regrole
        )
    };
    match (from, to) {
        (SqlType::SmallInt | SqlType::Integer | SqlType::BigInt, to) => {
            *to == SqlType::Oid || is_reg(to)
        }
        (from, SqlType::Oid) if is_reg(from) => true,
        (SqlType::Oid, to) if is_reg(to) => true,
        (SqlType::Text | SqlType::Varchar(_), SqlType::Regclass) => true,
        (
            SqlType::Varchar(_) | SqlType::Char(_) | SqlType::Name | SqlType::InternalChar,
            SqlType::Text,
        ) => true,
        (SqlType::Text | SqlType::Char(_), SqlType::Varchar(_)) => true,
        (SqlType::Text | SqlType::Varchar(_), SqlType::Char(_) | SqlType::Name) => true,
        (SqlType::Char(_), SqlType::Name) => true,
        (SqlType::Date, SqlType::Timestamp | SqlType::TimestampTz) => true,
        (SqlType::Timestamp, SqlType::TimestampTz) => true,
        (SqlType::Time, SqlType::Interval) => true,
        (SqlType::Array(from), SqlType::Array(to)) => casts_implicitly(from, to),
        _ => false,
    }
}

/// The type that UNION, CASE, VALUES, ARRAY, GREATEST and COALESCE give to a set of types.
///
/// `Err` holds the two types that do not match. All unknown gives text.
pub fn common_type<'a>(
    types: impl IntoIterator<Item = &'a SqlType>,
) -> Result<SqlType, (SqlType, SqlType)> {
    let mut chosen: Option<SqlType> = None;
    let mut mixed = false;
    for sql_type in types {
        if *sql_type == SqlType::Unknown {
            mixed = true;
            continue;
        }
        mixed |= chosen.as_ref().is_some_and(|chosen| chosen != sql_type);
        chosen = Some(match chosen {
            None => sql_type.clone(),
            Some(current) if current == *sql_type => current,
            Some(current) if same_base(&current, sql_type) => without_modifier(&current),
            Some(current) => {
                if category(&current) != category(sql_type) {
                    return Err((current, sql_type.clone()));
                }
                if is_preferred(&current) && casts_implicitly(sql_type, &current) {
                    current
                } else if casts_implicitly(&current, sql_type) {
                    sql_type.clone()
                } else if casts_implicitly(sql_type, &current) {
                    current
                } else {
                    return Err((current, sql_type.clone()));
                }
            }
        });
    }
    let chosen = chosen.unwrap_or(SqlType::Text);
    // A length or precision holds for all or for none.
    Ok(if mixed {
        without_modifier(&chosen)
    } else {
        chosen
    })
}

/// The type without length or precision. `char` keeps none either and becomes `char(1)`'s base.
pub fn without_modifier(sql_type: &SqlType) -> SqlType {
    match sql_type {
        SqlType::Varchar(_) => SqlType::Varchar(None),
        SqlType::Numeric(_) => SqlType::Numeric(None),
        SqlType::Array(element) => SqlType::Array(Box::new(without_modifier(element))),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_climb_the_ladder_and_never_descend() {
        assert!(casts_implicitly(&SqlType::SmallInt, &SqlType::Double));
        assert!(casts_implicitly(&SqlType::BigInt, &SqlType::Numeric(None)));
        assert!(!casts_implicitly(&SqlType::Double, &SqlType::Numeric(None)));
        assert!(!casts_implicitly(&SqlType::BigInt, &SqlType::Integer));
        assert!(!casts_implicitly(&SqlType::Integer, &SqlType::Text));
    }

    #[test]
    fn common_type_is_the_widest_of_the_category() {
        let types = [SqlType::Integer, SqlType::Unknown, SqlType::BigInt];
        assert_eq!(common_type(&types), Ok(SqlType::BigInt));
        let types = [SqlType::Varchar(Some(3)), SqlType::Text];
        assert_eq!(common_type(&types), Ok(SqlType::Text));
        assert!(common_type(&[SqlType::Integer, SqlType::Text]).is_err());
        assert_eq!(common_type(&[SqlType::Unknown]), Ok(SqlType::Text));
    }
}
