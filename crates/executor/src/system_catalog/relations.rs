//! `pg_class`, `pg_attribute` and what belongs to relations.

use tessera_catalog::{ColumnDef, IndexDef, Relation, TableDef};
use tessera_types::{RelationId, Report, SqlType, Value};

use super::document_indexes;
use super::layout::{self, PG_CATALOG_OID};
use super::names;
use super::rows::{MakeRows, Rows, array, flag, int2, int4, oid, opt_text, text};
use super::types::collation_of;
use crate::context::StatementContext;
use crate::executor::Executor;

type Made = Result<Vec<Vec<Value>>, Report>;

/// Oids of access methods.
const HEAP: u32 = 2;
pub(super) const BTREE: u32 = 403;

/// Oids that other rows point to.
pub(super) const PG_CLASS: u32 = 1259;
const PG_NAMESPACE: u32 = 2615;
const PG_ATTRDEF: u32 = 2604;
const PG_CONSTRAINT: u32 = 2606;
const PG_AUTHID: u32 = 1260;

/// Rows of the tables in this file.
pub(super) fn rows_of(name: &str) -> Option<MakeRows> {
    Some(match name {
        "pg_class" => pg_class,
        "pg_namespace" => pg_namespace,
        "pg_attribute" => pg_attribute,
        "pg_attrdef" => pg_attrdef,
        "pg_index" => pg_index,
        "pg_sequence" => pg_sequence,
        "pg_description" => pg_description,
        "pg_shdescription" => pg_shdescription,
        "pg_depend" => pg_depend,
        _ => return None,
    })
}

fn pg_namespace(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_namespace")?;
    for name in tessera_catalog::SYSTEM_SCHEMAS {
        rows.add([
            ("oid", oid(layout::schema_oid(name).unwrap_or(0))),
            ("nspname", text(name)),
            ("nspowner", oid(tessera_catalog::BOOTSTRAP_USER_OID)),
        ]);
    }
    for schema in context.session.catalog.schemas() {
        rows.add([
            ("oid", oid(schema.oid)),
            ("nspname", text(schema.name.as_str())),
            ("nspowner", oid(schema.owner)),
        ]);
    }
    Ok(rows.finish())
}

/// What differs between kinds of relations in `pg_class`.
struct Class<'a> {
    id: RelationId,
    name: &'a str,
    namespace: u32,
    owner: u32,
    kind: &'a str,
    access_method: u32,
    tuples: f32,
    columns: usize,
    checks: usize,
    has_index: bool,
    has_rules: bool,
}

impl Class<'_> {
    fn add(&self, rows: &mut Rows) {
        let has_storage = matches!(self.kind, "r" | "i" | "S");
        #[expect(clippy::cast_possible_truncation, reason = "an estimate")]
        let pages = if self.kind == "S" {
            1
        } else {
            (self.tuples.max(0.0) / 100.0).ceil() as i32
        };
        rows.add([
            ("oid", oid(self.id.0)),
            ("relname", text(self.name)),
            ("relnamespace", oid(self.namespace)),
            ("reltype", oid(0)),
            ("reloftype", oid(0)),
            ("relowner", oid(self.owner)),
            ("relam", oid(self.access_method)),
            ("relfilenode", oid(if has_storage { self.id.0 } else { 0 })),
            ("reltablespace", oid(0)),
            ("relpages", Value::Integer(pages)),
            ("reltuples", Value::Real(self.tuples)),
            ("relallvisible", Value::Integer(0)),
            ("reltoastrelid", oid(0)),
            ("relhasindex", flag(self.has_index)),
            ("relisshared", flag(false)),
            ("relpersistence", text("p")),
            ("relkind", text(self.kind)),
            ("relnatts", int2(self.columns)),
            ("relchecks", int2(self.checks)),
            ("relhasrules", flag(self.has_rules)),
            ("relhastriggers", flag(false)),
            ("relhassubclass", flag(false)),
            ("relrowsecurity", flag(false)),
            ("relforcerowsecurity", flag(false)),
            ("relispopulated", flag(true)),
            (
                "relreplident",
                text(if self.kind == "r" { "d" } else { "n" }),
            ),
            ("relispartition", flag(false)),
            ("relrewrite", oid(0)),
            ("relfrozenxid", oid(0)),
            ("relminmxid", oid(0)),
        ]);
    }
}

fn pg_class(executor: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_class")?;
    let catalog = &context.session.catalog;
    for table in layout::tables() {
        Class {
            id: table.id,
            name: table.name,
            namespace: layout::schema_oid(table.schema).unwrap_or(PG_CATALOG_OID),
            owner: tessera_catalog::BOOTSTRAP_USER_OID,
            kind: table.kind,
            access_method: if table.kind == "r" { HEAP } else { 0 },
            tuples: -1.0,
            columns: table.columns.len(),
            checks: 0,
            has_index: false,
            has_rules: table.kind == "v",
        }
        .add(&mut rows);
    }
    for relation in catalog.relations() {
        #[expect(clippy::cast_possible_truncation, reason = "an estimate")]
        let estimate = |id| {
            executor
                .catalog()
                .row_estimate(id)
                .map_or(-1.0, |rows| rows as f32)
        };
        let (kind, access_method, tuples, columns) = match relation {
            Relation::Table(table) => (
                "r",
                HEAP,
                estimate(table.id),
                usize::from(table.next_column - 1),
            ),
            Relation::View(view) => ("v", 0, -1.0, view.columns.len()),
            Relation::Sequence(_) => ("S", 0, 1.0, SEQUENCE_COLUMNS.len()),
            Relation::Index(table, index) => ("i", BTREE, estimate(table.id), index.columns.len()),
        };
        let (checks, has_index) = match relation {
            Relation::Table(table) => (table.checks.len(), !table.indexes.is_empty()),
            _ => (0, false),
        };
        Class {
            id: relation.id(),
            name: relation.name(),
            namespace: names::schema_oid(catalog, relation.schema()),
            owner: relation.owner(),
            kind,
            access_method,
            tuples,
            columns,
            checks,
            has_index,
            has_rules: kind == "v",
        }
        .add(&mut rows);
        let Relation::Table(table) = relation else {
            continue;
        };
        for index in document_indexes::of(table) {
            Class {
                id: index.id,
                name: &index.name,
                namespace: names::schema_oid(catalog, &table.schema),
                owner: table.owner,
                kind: "i",
                access_method: BTREE,
                tuples: -1.0,
                columns: document_indexes::keys(&index).len(),
                checks: 0,
                has_index: false,
                has_rules: false,
            }
            .add(&mut rows);
        }
    }
    Ok(rows.finish())
}

/// Columns that every sequence has when it is read as a table.
pub(super) const SEQUENCE_COLUMNS: [(&str, SqlType); 3] = [
    ("last_value", SqlType::BigInt),
    ("log_cnt", SqlType::BigInt),
    ("is_called", SqlType::Boolean),
];

/// One column of `pg_attribute`.
struct Attribute<'a> {
    relation: RelationId,
    number: usize,
    name: &'a str,
    ty: &'a SqlType,
    column: Option<&'a ColumnDef>,
}

impl Attribute<'_> {
    fn add(&self, rows: &mut Rows) {
        let shape = super::types::shape(self.ty);
        let identity = match self.column.and_then(|column| column.identity) {
            None => "",
            Some(identity) if identity.always => "a",
            Some(_) => "d",
        };
        let generated = self.column.is_some_and(|column| column.generated.is_some());
        let has_default = generated || self.column.is_some_and(|column| column.default.is_some());
        rows.add([
            ("attrelid", oid(self.relation.0)),
            ("attname", text(self.name)),
            ("atttypid", oid(self.ty.oid())),
            ("attstattarget", Value::Integer(-1)),
            ("attlen", Value::SmallInt(self.ty.size())),
            ("attnum", int2(self.number)),
            (
                "attndims",
                Value::Integer(i32::from(matches!(self.ty, SqlType::Array(_)))),
            ),
            ("attcacheoff", Value::Integer(-1)),
            ("atttypmod", Value::Integer(self.ty.typmod())),
            ("attbyval", flag(shape.by_value)),
            ("attalign", text(shape.align)),
            ("attstorage", text(shape.storage)),
            ("attcompression", text("")),
            (
                "attnotnull",
                flag(self.column.is_some_and(|column| column.not_null)),
            ),
            ("atthasdef", flag(has_default)),
            (
                "atthasmissing",
                flag(self.column.is_some_and(|column| column.missing.is_some())),
            ),
            ("attidentity", text(identity)),
            ("attgenerated", text(if generated { "s" } else { "" })),
            ("attisdropped", flag(false)),
            ("attislocal", flag(true)),
            ("attinhcount", Value::Integer(0)),
            ("attcollation", oid(collation_of(self.ty))),
        ]);
    }
}

fn pg_attribute(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_attribute")?;
    let mut add = |relation, number, name: &str, ty: &SqlType, column| {
        Attribute {
            relation,
            number,
            name,
            ty,
            column,
        }
        .add(&mut rows);
    };
    for table in layout::tables() {
        for (at, (name, ty)) in table.columns.iter().enumerate() {
            add(table.id, at + 1, name, ty, None);
        }
    }
    for relation in context.session.catalog.relations() {
        match relation {
            Relation::Table(table) => {
                for column in &table.columns {
                    let number = usize::from(column.id);
                    add(
                        table.id,
                        number,
                        &column.name,
                        &column.sql_type,
                        Some(column),
                    );
                }
            }
            Relation::View(view) => {
                for (at, column) in view.columns.iter().enumerate() {
                    add(view.id, at + 1, &column.name, &column.sql_type, None);
                }
            }
            Relation::Sequence(sequence) => {
                for (at, (name, ty)) in SEQUENCE_COLUMNS.iter().enumerate() {
                    add(sequence.id, at + 1, name, ty, None);
                }
            }
            Relation::Index(table, index) => {
                for (at, key) in index.columns.iter().enumerate() {
                    if let Some(column) = table.column_by_id(key.column) {
                        add(index.id, at + 1, &column.name, &column.sql_type, None);
                    }
                }
            }
        }
    }
    Ok(rows.finish())
}

/// A default's oid: made from its column, since nothing else points to it.
fn default_oid(table: &TableDef, column: &ColumnDef) -> u32 {
    0x8000_0000 | (table.id.0.wrapping_mul(1_601) + u32::from(column.id)) & 0x7fff_ffff
}

fn pg_attrdef(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_attrdef")?;
    for table in context.session.catalog.tables() {
        for column in &table.columns {
            let generated = column.generated.clone();
            let Some(sql) = generated.or_else(|| super::text::default(column)) else {
                continue;
            };
            rows.add([
                ("oid", oid(default_oid(table, column))),
                ("adrelid", oid(table.id.0)),
                ("adnum", int2(usize::from(column.id))),
                ("adbin", text(sql.as_str())),
            ]);
        }
    }
    Ok(rows.finish())
}

fn pg_index(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_index")?;
    for table in context.session.catalog.tables() {
        for index in &table.indexes {
            add_index(&mut rows, table, index);
        }
        for index in document_indexes::of(table) {
            add_document_index(&mut rows, table, &index);
        }
    }
    Ok(rows.finish())
}

/// Its keys are expressions, so no column of the table is among them.
fn add_document_index(rows: &mut Rows, table: &TableDef, index: &tessera_documents::IndexDef) {
    let keys = document_indexes::keys(index);
    let each = |value: Value| std::iter::repeat_n(value, keys.len());
    let options = keys
        .iter()
        .map(|key| Value::SmallInt(if key.ends_with(" DESC") { 3 } else { 0 }));
    rows.add([
        ("indexrelid", oid(index.id.0)),
        ("indrelid", oid(table.id.0)),
        ("indnatts", int2(keys.len())),
        ("indnkeyatts", int2(keys.len())),
        ("indisunique", flag(document_indexes::is_unique(index))),
        (
            "indnullsnotdistinct",
            flag(document_indexes::nulls_not_distinct(index)),
        ),
        ("indisprimary", flag(false)),
        ("indisexclusion", flag(false)),
        ("indimmediate", flag(true)),
        ("indisclustered", flag(false)),
        ("indisvalid", flag(true)),
        ("indcheckxmin", flag(false)),
        ("indisready", flag(true)),
        ("indislive", flag(true)),
        ("indisreplident", flag(false)),
        ("indkey", array(SqlType::SmallInt, each(Value::SmallInt(0)))),
        ("indcollation", array(SqlType::Oid, each(oid(0)))),
        (
            "indclass",
            array(
                SqlType::Oid,
                each(oid(super::types::operator_class(&SqlType::Jsonb))),
            ),
        ),
        ("indoption", array(SqlType::SmallInt, options)),
    ]);
}

fn add_index(rows: &mut Rows, table: &TableDef, index: &IndexDef) {
    let column = |number: u16| table.column_by_id(number);
    let numbers = index
        .columns
        .iter()
        .map(|key| int2(usize::from(key.column)));
    let collations = index
        .columns
        .iter()
        .map(|key| oid(column(key.column).map_or(0, |column| collation_of(&column.sql_type))));
    let classes = index.columns.iter().map(|key| {
        oid(column(key.column).map_or(0, |column| super::types::operator_class(&column.sql_type)))
    });
    let options = index
        .columns
        .iter()
        .map(|key| Value::SmallInt(i16::from(key.descending) | (i16::from(key.nulls_first) << 1)));
    rows.add([
        ("indexrelid", oid(index.id.0)),
        ("indrelid", oid(table.id.0)),
        ("indnatts", int2(index.columns.len())),
        ("indnkeyatts", int2(index.columns.len())),
        ("indisunique", flag(index.unique)),
        ("indnullsnotdistinct", flag(index.nulls_not_distinct)),
        ("indisprimary", flag(index.primary)),
        ("indisexclusion", flag(false)),
        ("indimmediate", flag(true)),
        ("indisclustered", flag(false)),
        ("indisvalid", flag(true)),
        ("indcheckxmin", flag(false)),
        ("indisready", flag(true)),
        ("indislive", flag(true)),
        ("indisreplident", flag(false)),
        ("indkey", array(SqlType::SmallInt, numbers)),
        ("indcollation", array(SqlType::Oid, collations)),
        ("indclass", array(SqlType::Oid, classes)),
        ("indoption", array(SqlType::SmallInt, options)),
    ]);
}

fn pg_sequence(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_sequence")?;
    for sequence in context.session.catalog.sequences() {
        let options = &sequence.options;
        rows.add([
            ("seqrelid", oid(sequence.id.0)),
            ("seqtypid", oid(options.sql_type.oid())),
            ("seqstart", Value::BigInt(options.start)),
            ("seqincrement", Value::BigInt(options.increment)),
            ("seqmax", Value::BigInt(options.max)),
            ("seqmin", Value::BigInt(options.min)),
            ("seqcache", Value::BigInt(options.cache)),
            ("seqcycle", flag(options.cycle)),
        ]);
    }
    Ok(rows.finish())
}

fn pg_description(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_description")?;
    let mut add = |object: u32, class: u32, part: usize, comment: Option<&str>| {
        if comment.is_some() {
            rows.add([
                ("objoid", oid(object)),
                ("classoid", oid(class)),
                ("objsubid", int4(part)),
                ("description", opt_text(comment)),
            ]);
        }
    };
    let catalog = &context.session.catalog;
    for schema in catalog.schemas() {
        add(schema.oid, PG_NAMESPACE, 0, schema.comment.as_deref());
    }
    for relation in catalog.relations() {
        add(relation.id().0, PG_CLASS, 0, relation.comment());
        match relation {
            Relation::Table(table) => {
                for column in &table.columns {
                    let number = usize::from(column.id);
                    add(table.id.0, PG_CLASS, number, column.comment.as_deref());
                }
            }
            Relation::View(view) => {
                for (at, column) in view.columns.iter().enumerate() {
                    add(view.id.0, PG_CLASS, at + 1, column.comment.as_deref());
                }
            }
            Relation::Sequence(_) | Relation::Index(..) => {}
        }
    }
    Ok(rows.finish())
}

fn pg_shdescription(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_shdescription")?;
    for user in context.session.catalog.users() {
        if user.comment.is_some() {
            rows.add([
                ("objoid", oid(user.oid)),
                ("classoid", oid(PG_AUTHID)),
                ("description", opt_text(user.comment.as_deref())),
            ]);
        }
    }
    Ok(rows.finish())
}

fn pg_depend(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_depend")?;
    let mut add = |from: (u32, u32, usize), to: (u32, u32, usize), kind: &str| {
        rows.add([
            ("classid", oid(from.0)),
            ("objid", oid(from.1)),
            ("objsubid", int4(from.2)),
            ("refclassid", oid(to.0)),
            ("refobjid", oid(to.1)),
            ("refobjsubid", int4(to.2)),
            ("deptype", text(kind)),
        ]);
    };
    let catalog = &context.session.catalog;
    for relation in catalog.relations() {
        let id = relation.id().0;
        if !matches!(relation, Relation::Index(..)) {
            let schema = names::schema_oid(catalog, relation.schema());
            add((PG_CLASS, id, 0), (PG_NAMESPACE, schema, 0), "n");
        }
        match relation {
            Relation::Sequence(sequence) => {
                if let Some(owner) = sequence.owned_by {
                    let kind = if owner.identity { "i" } else { "a" };
                    let column = (PG_CLASS, owner.table.0, usize::from(owner.column));
                    add((PG_CLASS, id, 0), column, kind);
                }
            }
            Relation::View(view) => {
                for below in &view.depends_on {
                    add((PG_CLASS, id, 0), (PG_CLASS, below.0, 0), "n");
                }
            }
            Relation::Index(table, index) => match index.constraint {
                Some(constraint) => {
                    add((PG_CLASS, id, 0), (PG_CONSTRAINT, constraint.0, 0), "i");
                    for key in &index.columns {
                        let column = (PG_CLASS, table.id.0, usize::from(key.column));
                        add((PG_CONSTRAINT, constraint.0, 0), column, "a");
                    }
                }
                None => {
                    for key in &index.columns {
                        let column = (PG_CLASS, table.id.0, usize::from(key.column));
                        add((PG_CLASS, id, 0), column, "a");
                    }
                }
            },
            Relation::Table(table) => {
                for column in table
                    .columns
                    .iter()
                    .filter(|column| column.default.is_some())
                {
                    let default = (PG_ATTRDEF, default_oid(table, column), 0);
                    add(default, (PG_CLASS, id, usize::from(column.id)), "a");
                }
            }
        }
    }
    Ok(rows.finish())
}
