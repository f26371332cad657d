//! Checks and completions that the DDL verbs share. Pure functions of definitions.

use tessera_types::{RelationId, Report, SqlType, codes};

use crate::definition::{ColumnDef, SequenceOptions, TableDef};
use crate::refusal;
use crate::spec::SequenceChange;
use crate::state::{KEY_SPACES_SCHEMA, SYSTEM_SCHEMAS};

/// Columns of a table, as in PostgreSQL.
pub const COLUMNS_MAX: usize = 1_600;
/// Columns of an index key, as in PostgreSQL.
pub const INDEX_COLUMNS_MAX: usize = 32;

const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "cmax", "xmax", "cmin", "xmin", "ctid"];

/// Whether relations may be made there.
pub(crate) fn check_schema_is_writable(schema: &str, name: &str) -> Result<(), Report> {
    if SYSTEM_SCHEMAS.contains(&schema) {
        return Err(refusal::system_schema(schema, name));
    }
    if schema == KEY_SPACES_SCHEMA {
        return Err(refusal::key_spaces_only(name));
    }
    Ok(())
}

/// Whether a column may have that name and type.
pub(crate) fn check_column(name: &str, ty: &SqlType) -> Result<(), Report> {
    if SYSTEM_COLUMNS.contains(&name) {
        return Err(refusal::system_column(name));
    }
    if matches!(
        ty.base(),
        SqlType::Unknown | SqlType::Void | SqlType::Record
    ) {
        let message = format!("column \"{name}\" has pseudo-type {}", ty.name());
        return Err(Report::error(codes::INVALID_TABLE_DEFINITION, message));
    }
    Ok(())
}

/// Whether a table may have that many columns.
pub(crate) fn check_column_count(count: usize) -> Result<(), Report> {
    if count > COLUMNS_MAX {
        let message = format!("tables can have at most {COLUMNS_MAX} columns");
        return Err(Report::error(codes::TOO_MANY_COLUMNS, message));
    }
    Ok(())
}

/// Whether the columns may be a key, and their numbers.
pub(crate) fn key_columns(
    table: &TableDef,
    names: &[String],
    constraint: Option<&str>,
) -> Result<Vec<u16>, Report> {
    if names.len() > INDEX_COLUMNS_MAX {
        let message = format!("cannot use more than {INDEX_COLUMNS_MAX} columns in an index");
        return Err(Report::error(codes::TOO_MANY_COLUMNS, message));
    }
    let mut numbers = Vec::with_capacity(names.len());
    for name in names {
        let column = match constraint {
            Some(_) => table
                .column(name)
                .ok_or_else(|| refusal::no_such_key_column(name)),
            None => table.column(name).ok_or_else(|| {
                Report::error(
                    codes::UNDEFINED_COLUMN,
                    format!("column \"{name}\" does not exist"),
                )
            }),
        }?;
        check_is_ordered(column)?;
        if let Some(constraint) = constraint
            && numbers.contains(&column.id)
        {
            let message = format!("column \"{name}\" appears twice in {constraint} constraint");
            return Err(Report::error(codes::DUPLICATE_COLUMN, message));
        }
        numbers.push(column.id);
    }
    Ok(numbers)
}

/// Whether values of the column can be compared.
fn check_is_ordered(column: &ColumnDef) -> Result<(), Report> {
    if column.sql_type.base() == SqlType::Json {
        let message = format!(
            "data type {} has no default operator class for access method \"btree\"",
            column.sql_type.base().name()
        );
        return Err(Report::error(codes::UNDEFINED_OBJECT, message).with_hint(
            "You must specify an operator class for the index or define a default operator class \
             for the data type.",
        ));
    }
    Ok(())
}

/// Sequence options with defaults filled in; `present` for ALTER.
pub(crate) fn sequence_options(
    change: &SequenceChange,
    present: Option<&SequenceOptions>,
    default_type: SqlType,
) -> Result<SequenceOptions, Report> {
    let invalid = |message: String| Report::error(codes::INVALID_PARAMETER_VALUE, message);
    let sql_type = change
        .sql_type
        .clone()
        .or_else(|| present.map(|present| present.sql_type.clone()))
        .unwrap_or(default_type);
    let (type_min, type_max) = match sql_type {
        SqlType::SmallInt => (i64::from(i16::MIN), i64::from(i16::MAX)),
        SqlType::Integer => (i64::from(i32::MIN), i64::from(i32::MAX)),
        SqlType::BigInt => (i64::MIN, i64::MAX),
        _ => {
            return Err(invalid(
                "sequence type must be smallint, integer, or bigint".to_owned(),
            ));
        }
    };
    let increment = change
        .increment
        .or(present.map(|p| p.increment))
        .unwrap_or(1);
    if increment == 0 {
        return Err(invalid("INCREMENT must not be zero".to_owned()));
    }
    let up = increment > 0;
    // A limit that was the old type's becomes the new type's.
    let kept = |of: fn(&SequenceOptions) -> i64| {
        present
            .filter(|present| change.sql_type.is_none() || present.sql_type == sql_type)
            .map(of)
    };
    let max = match change.max {
        Some(Some(max)) => max,
        Some(None) => {
            if up {
                type_max
            } else {
                -1
            }
        }
        None => kept(|p| p.max).unwrap_or(if up { type_max } else { -1 }),
    };
    let min = match change.min {
        Some(Some(min)) => min,
        Some(None) => {
            if up {
                1
            } else {
                type_min
            }
        }
        None => kept(|p| p.min).unwrap_or(if up { 1 } else { type_min }),
    };
    if max > type_max || max < type_min {
        let name = sql_type.name();
        return Err(invalid(format!(
            "MAXVALUE ({max}) is out of range for sequence data type {name}"
        )));
    }
    if min > type_max || min < type_min {
        let name = sql_type.name();
        return Err(invalid(format!(
            "MINVALUE ({min}) is out of range for sequence data type {name}"
        )));
    }
    if min >= max {
        return Err(invalid(format!(
            "MINVALUE ({min}) must be less than MAXVALUE ({max})"
        )));
    }
    let start = change
        .start
        .or(present.map(|present| present.start))
        .unwrap_or(if up { min } else { max });
    if start < min {
        return Err(invalid(format!(
            "START value ({start}) cannot be less than MINVALUE ({min})"
        )));
    }
    if start > max {
        return Err(invalid(format!(
            "START value ({start}) cannot be greater than MAXVALUE ({max})"
        )));
    }
    if let Some(Some(restart)) = change.restart {
        if restart < min {
            return Err(invalid(format!(
                "RESTART value ({restart}) cannot be less than MINVALUE ({min})"
            )));
        }
        if restart > max {
            return Err(invalid(format!(
                "RESTART value ({restart}) cannot be greater than MAXVALUE ({max})"
            )));
        }
    }
    let cache = change
        .cache
        .or(present.map(|present| present.cache))
        .unwrap_or(1);
    if cache < 1 {
        return Err(invalid(format!(
            "CACHE ({cache}) must be greater than zero"
        )));
    }
    let cycle = change
        .cycle
        .or(present.map(|present| present.cycle))
        .unwrap_or(false);
    Ok(SequenceOptions {
        sql_type,
        start,
        increment,
        min,
        max,
        cache,
        cycle,
    })
}

/// The default expression that takes values from a sequence.
pub(crate) fn nextval_default(search_schema: &str, schema: &str, name: &str) -> String {
    let name = crate::names::quote_name(name);
    let path = if schema == search_schema {
        name.into_owned()
    } else {
        format!("{}.{name}", crate::names::quote_name(schema))
    };
    format!("nextval('{}'::regclass)", path.replace('\'', "''"))
}

/// Whether a default expression takes values from the sequence, by one of its spellings.
pub(crate) fn default_uses_sequence(default: &str, schema: &str, name: &str) -> bool {
    let qualified = nextval_default("", schema, name);
    let plain = nextval_default(schema, schema, name);
    let uses = |full: &str| {
        let call = full.trim_end_matches("::regclass)");
        default.contains(call)
    };
    uses(&qualified) || uses(&plain)
}

/// Column numbers of a relation whose dependents were asked for, as text for messages.
pub(crate) fn describe_column(table: &TableDef, column: &str) -> String {
    format!("column {column} of table {}", table.name)
}

/// Relations that cannot be named by users.
pub(crate) fn is_system(id: RelationId) -> bool {
    !id.is_user()
}
