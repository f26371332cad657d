//! Names, oids and columns of the system tables, from `data/columns.txt`.
//!
//! The file was made from a PostgreSQL 15 server: one line per relation with schema, name, oid
//! and kind, a tab, and its columns as `name:type`. Types that we do not have stand as the
//! nearest one we have (`pg_node_tree` as `text`, `xid` as `oid`, `int2vector` as `smallint[]`,
//! domains as their base type). Relations of `tessera` are our own.

use std::sync::LazyLock;

use tessera_types::{RelationId, SqlType};

/// One system table's shape.
pub(super) struct Layout {
    pub(super) schema: &'static str,
    pub(super) name: &'static str,
    pub(super) id: RelationId,
    /// `r` for tables, `v` for views.
    pub(super) kind: &'static str,
    pub(super) columns: Vec<(&'static str, SqlType)>,
}

/// Oid of `information_schema`, which has none of its own in the stored catalog.
pub(super) const INFORMATION_SCHEMA_OID: u32 = 13_207;
/// Oid of `pg_catalog`.
pub(super) const PG_CATALOG_OID: u32 = 11;
/// Oid of `tessera`.
pub(super) const TESSERA_SCHEMA_OID: u32 = 13_900;

static LAYOUTS: LazyLock<Vec<Layout>> = LazyLock::new(|| {
    include_str!("data/columns.txt")
        .lines()
        .filter(|line| !line.is_empty())
        .map(parse)
        .collect()
});

/// All system tables.
pub(super) fn tables() -> &'static [Layout] {
    &LAYOUTS
}

/// The one of that name.
pub(super) fn table(schema: &str, name: &str) -> Option<&'static Layout> {
    tables()
        .iter()
        .find(|table| table.schema == schema && table.name == name)
}

/// The one of that oid.
pub(super) fn table_by_id(id: RelationId) -> Option<&'static Layout> {
    tables().iter().find(|table| table.id == id)
}

/// Oid of a built-in schema.
pub(super) fn schema_oid(name: &str) -> Option<u32> {
    match name {
        "pg_catalog" => Some(PG_CATALOG_OID),
        "information_schema" => Some(INFORMATION_SCHEMA_OID),
        "tessera" => Some(TESSERA_SCHEMA_OID),
        _ => None,
    }
}

fn parse(line: &'static str) -> Layout {
    let (head, columns) = line.split_once('\t').expect("a tab after the head");
    let [name, id, kind] = head.split(' ').collect::<Vec<_>>()[..] else {
        panic!("name, oid and kind in {head}")
    };
    let (schema, name) = name.split_once('.').expect("schema.name");
    let columns = columns
        .split(' ')
        .map(|column| {
            let (name, ty) = column.split_once(':').expect("name:type");
            (name, sql_type(ty))
        })
        .collect();
    let id = RelationId(id.parse().expect("an oid"));
    Layout {
        schema,
        name,
        id,
        kind,
        columns,
    }
}

fn sql_type(name: &str) -> SqlType {
    match name.strip_suffix("[]") {
        Some(element) => sql_type(element).array_of(),
        None if name == "char1" => SqlType::InternalChar,
        None => SqlType::from_name(name).expect("a type of ours"),
    }
}
