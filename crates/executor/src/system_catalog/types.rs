//! `pg_type` and what types refer to: collations, operator classes, access methods.
//!
//! `data/types.txt` was made from a PostgreSQL 15 server: every type of ours, its array, and a
//! few pseudo-types.

use std::sync::LazyLock;

use tessera_types::{Report, SqlType, Value};

use super::layout::PG_CATALOG_OID;
use super::relations::BTREE;
use super::rows::{MakeRows, Rows, flag, oid, opt_text, text};
use crate::context::StatementContext;
use crate::executor::Executor;

type Made = Result<Vec<Vec<Value>>, Report>;

const OWNER: u32 = tessera_catalog::BOOTSTRAP_USER_OID;

/// Oid of the collation `default`.
const DEFAULT_COLLATION: u32 = 100;
/// Oid of the collation `C`, which names have.
const C_COLLATION: u32 = 950;

/// Rows of the tables in this file.
pub(super) fn rows_of(name: &str) -> Option<MakeRows> {
    Some(match name {
        "pg_type" => pg_type,
        "pg_collation" => pg_collation,
        "pg_opclass" => pg_opclass,
        "pg_am" => pg_am,
        _ => return None,
    })
}

/// A line of `data/types.txt`.
struct TypeRow {
    fields: Vec<&'static str>,
}

static TYPES: LazyLock<Vec<TypeRow>> = LazyLock::new(|| {
    include_str!("data/types.txt")
        .lines()
        .map(|line| TypeRow {
            fields: line.split(' ').collect(),
        })
        .collect()
});

impl TypeRow {
    fn number(&self, at: usize) -> u32 {
        self.fields[at].parse().expect("a number in types.txt")
    }

    fn flag(&self, at: usize) -> bool {
        self.fields[at] == "t"
    }
}

/// How values of a type are kept, as PostgreSQL says it.
pub(super) struct Shape {
    pub(super) by_value: bool,
    pub(super) align: &'static str,
    pub(super) storage: &'static str,
}

/// The shape of a type.
pub(super) fn shape(ty: &SqlType) -> Shape {
    let oid = ty.oid();
    match TYPES.iter().find(|row| row.number(0) == oid) {
        Some(row) => Shape {
            by_value: row.flag(3),
            align: row.fields[17],
            storage: row.fields[18],
        },
        None => Shape {
            by_value: false,
            align: "i",
            storage: "x",
        },
    }
}

/// The collation of a column of that type.
pub(super) fn collation_of(ty: &SqlType) -> u32 {
    match ty.base() {
        SqlType::Name => C_COLLATION,
        SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) => DEFAULT_COLLATION,
        SqlType::Array(element) => collation_of(&element),
        _ => 0,
    }
}

/// B-tree operator classes: oid, name, family, type, default.
const OPERATOR_CLASSES: &[(u32, &str, u32, u32, bool)] = &[
    (10_000, "array_ops", 397, 2277, true),
    (10_003, "bool_ops", 424, 16, true),
    (10_004, "bpchar_ops", 426, 1042, true),
    (10_006, "bytea_ops", 428, 17, true),
    (10_007, "char_ops", 429, 18, true),
    (3_122, "date_ops", 434, 1082, true),
    (10_012, "float4_ops", 1970, 700, true),
    (3_123, "float8_ops", 1970, 701, true),
    (1_979, "int2_ops", 1976, 21, true),
    (1_978, "int4_ops", 1976, 23, true),
    (3_124, "int8_ops", 1976, 20, true),
    (10_022, "interval_ops", 1982, 1186, true),
    (10_028, "name_ops", 1994, 19, true),
    (3_125, "numeric_ops", 1988, 1700, true),
    (1_981, "oid_ops", 1989, 26, true),
    (3_126, "text_ops", 1994, 25, true),
    (10_035, "varchar_ops", 1994, 25, false),
    (10_038, "time_ops", 1996, 1083, true),
    (3_127, "timestamptz_ops", 434, 1184, true),
    (3_128, "timestamp_ops", 434, 1114, true),
    (10_065, "uuid_ops", 2968, 2950, true),
    (10_088, "jsonb_ops", 4033, 3802, true),
];

/// The default B-tree operator class of a type.
pub(super) fn operator_class(ty: &SqlType) -> u32 {
    let input = match ty.base() {
        SqlType::Array(_) => 2277,
        SqlType::Varchar(_) => 25,
        other if other.is_oid_like() => 26,
        other => other.oid(),
    };
    OPERATOR_CLASSES
        .iter()
        .find(|class| class.3 == input)
        .map_or(0, |class| class.0)
}

fn pg_type(_: &Executor, _: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_type")?;
    for row in TYPES.iter() {
        let size = row.fields[2].parse().map_or(Value::Null, Value::SmallInt);
        rows.add([
            ("oid", oid(row.number(0))),
            ("typname", text(row.fields[1])),
            ("typnamespace", oid(PG_CATALOG_OID)),
            ("typowner", oid(OWNER)),
            ("typlen", size),
            ("typbyval", flag(row.flag(3))),
            ("typtype", text(row.fields[4])),
            ("typcategory", text(row.fields[5])),
            ("typispreferred", flag(row.flag(6))),
            ("typisdefined", flag(true)),
            ("typdelim", text(row.fields[7])),
            ("typrelid", oid(0)),
            ("typsubscript", oid(row.number(8))),
            ("typelem", oid(row.number(9))),
            ("typarray", oid(row.number(10))),
            ("typinput", oid(row.number(11))),
            ("typoutput", oid(row.number(12))),
            ("typreceive", oid(row.number(13))),
            ("typsend", oid(row.number(14))),
            ("typmodin", oid(row.number(15))),
            ("typmodout", oid(row.number(16))),
            ("typanalyze", oid(0)),
            ("typalign", text(row.fields[17])),
            ("typstorage", text(row.fields[18])),
            ("typnotnull", flag(false)),
            ("typbasetype", oid(0)),
            ("typtypmod", Value::Integer(-1)),
            ("typndims", Value::Integer(0)),
            ("typcollation", oid(row.number(19))),
        ]);
    }
    Ok(rows.finish())
}

fn pg_collation(_: &Executor, _: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_collation")?;
    let collations = [
        (DEFAULT_COLLATION, "default", "d"),
        (C_COLLATION, "C", "c"),
        (951, "POSIX", "c"),
    ];
    for (number, name, provider) in collations {
        let locale = (provider == "c").then_some(name);
        rows.add([
            ("oid", oid(number)),
            ("collname", text(name)),
            ("collnamespace", oid(PG_CATALOG_OID)),
            ("collowner", oid(OWNER)),
            ("collprovider", text(provider)),
            ("collisdeterministic", flag(true)),
            ("collencoding", Value::Integer(-1)),
            ("collcollate", opt_text(locale)),
            ("collctype", opt_text(locale)),
        ]);
    }
    Ok(rows.finish())
}

fn pg_opclass(_: &Executor, _: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_opclass")?;
    for (number, name, family, input, is_default) in OPERATOR_CLASSES {
        rows.add([
            ("oid", oid(*number)),
            ("opcmethod", oid(BTREE)),
            ("opcname", text(*name)),
            ("opcnamespace", oid(PG_CATALOG_OID)),
            ("opcowner", oid(OWNER)),
            ("opcfamily", oid(*family)),
            ("opcintype", oid(*input)),
            ("opcdefault", flag(*is_default)),
            ("opckeytype", oid(0)),
        ]);
    }
    Ok(rows.finish())
}

fn pg_am(_: &Executor, _: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_am")?;
    for (number, name, kind) in [(2, "heap", "t"), (BTREE, "btree", "i")] {
        rows.add([
            ("oid", oid(number)),
            ("amname", text(name)),
            ("amhandler", oid(0)),
            ("amtype", text(kind)),
        ]);
    }
    Ok(rows.finish())
}
