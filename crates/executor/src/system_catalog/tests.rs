//! What needs no running statement.

use super::functions::pretty_size;
use super::names::parse_path;
use super::{SystemTables, layout, register_tables};

#[test]
fn every_table_has_its_layout_and_a_source_of_rows() {
    let mut tables = SystemTables::new();
    register_tables(&mut tables);
    assert_eq!(tables.all().count(), layout::tables().len());
    let class = tables.get("pg_catalog", "pg_class").expect("pg_class");
    assert_eq!(class.id.0, 1259);
    assert_eq!(class.columns.len(), 33);
    for table in tables.all() {
        assert!(!table.id.is_user(), "{}", table.name);
    }
}

#[test]
fn names_are_split_and_folded_as_in_sql() {
    let path = |text: &str| parse_path(text).ok();
    let is = |parts: &[&str]| Some(parts.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(path("T"), is(&["t"]));
    assert_eq!(path("s.\"T.x\""), is(&["s", "T.x"]));
    assert_eq!(path(" \"a\"\"b\" "), is(&["a\"b"]));
    for wrong in ["", "a.", ".a", "\"a", "a\"b"] {
        assert_eq!(path(wrong), None, "{wrong}");
    }
}

#[test]
fn sizes_are_written_as_postgresql_writes_them() {
    for (bytes, expected) in [
        (0, "0 bytes"),
        (10_239, "10239 bytes"),
        (10_240, "10 kB"),
        (1 << 20, "1024 kB"),
        (10 * (1 << 20), "10 MB"),
        (-10_240, "-10 kB"),
        (i64::MAX, "8192 PB"),
    ] {
        assert_eq!(pretty_size(bytes), expected);
    }
}
