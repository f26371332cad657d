//! The views of the SQL standard, as PostgreSQL fills them.

use tessera_catalog::{ColumnDef, IndexDef, Relation, TableDef};
use tessera_types::{Report, SqlType, Value};

use super::names;
use super::rows::{MakeRows, Rows, int4, opt_text, text, yes_or_no};
use crate::context::StatementContext;
use crate::executor::Executor;

type Made = Result<Vec<Vec<Value>>, Report>;

/// Rows of the views in this file.
pub(super) fn rows_of(name: &str) -> Option<MakeRows> {
    Some(match name {
        "information_schema_catalog_name" => catalog_name,
        "schemata" => schemata,
        "tables" => tables,
        "columns" => columns,
        "views" => views,
        "sequences" => sequences,
        "table_constraints" => table_constraints,
        "key_column_usage" => key_column_usage,
        "constraint_column_usage" => constraint_column_usage,
        "constraint_table_usage" => constraint_table_usage,
        "check_constraints" => check_constraints,
        "enabled_roles" => enabled_roles,
        "element_types" => element_types,
        "character_sets" => character_sets,
        "table_privileges" => table_privileges,
        "role_table_grants" => role_table_grants,
        "view_table_usage" => view_table_usage,
        "view_column_usage" => view_column_usage,
        "sql_implementation_info" => sql_implementation_info,
        _ => return None,
    })
}

fn database(context: &StatementContext) -> Value {
    text(&*context.session.database)
}

fn catalog_name(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("information_schema", "information_schema_catalog_name")?;
    rows.add([("catalog_name", database(context))]);
    Ok(rows.finish())
}

fn schemata(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("information_schema", "schemata")?;
    let catalog = &context.session.catalog;
    let admin = names::user_name(catalog, tessera_catalog::BOOTSTRAP_USER_OID);
    let built_in = tessera_catalog::SYSTEM_SCHEMAS.map(|name| (name.to_owned(), admin.clone()));
    let stored = catalog
        .schemas()
        .map(|schema| (schema.name.clone(), names::user_name(catalog, schema.owner)));
    for (name, owner) in built_in.into_iter().chain(stored) {
        rows.add([
            ("catalog_name", database(context)),
            ("schema_name", text(name)),
            ("schema_owner", text(owner)),
        ]);
    }
    Ok(rows.finish())
}

fn tables(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("information_schema", "tables")?;
    let mut add = |schema: &str, name: &str, kind: &str| {
        rows.add([
            ("table_catalog", database(context)),
            ("table_schema", text(schema)),
            ("table_name", text(name)),
            ("table_type", text(kind)),
            ("is_insertable_into", yes_or_no(kind == "BASE TABLE")),
            ("is_typed", yes_or_no(false)),
        ]);
    };
    for table in super::layout::tables() {
        add(
            table.schema,
            table.name,
            if table.kind == "r" {
                "BASE TABLE"
            } else {
                "VIEW"
            },
        );
    }
    for relation in context.session.catalog.relations() {
        match relation {
            Relation::Table(table) => add(&table.schema, &table.name, "BASE TABLE"),
            Relation::View(view) => add(&view.schema, &view.name, "VIEW"),
            Relation::Sequence(_) | Relation::Index(..) => {}
        }
    }
    Ok(rows.finish())
}

/// What the standard says about a type besides its name.
struct TypeFacts {
    data_type: String,
    character_maximum: Value,
    character_octets: Value,
    precision: Value,
    radix: Value,
    scale: Value,
    datetime_precision: Value,
}

fn facts(ty: &SqlType) -> TypeFacts {
    let number = |number: usize| int4(number);
    let mut facts = TypeFacts {
        data_type: match ty {
            SqlType::Array(_) => "ARRAY".to_owned(),
            SqlType::Numeric(_) => "numeric".to_owned(),
            other => other.base_name(),
        },
        character_maximum: Value::Null,
        character_octets: Value::Null,
        precision: Value::Null,
        radix: Value::Null,
        scale: Value::Null,
        datetime_precision: Value::Null,
    };
    match ty {
        SqlType::Varchar(Some(length)) | SqlType::Char(length) => {
            let length = *length as usize;
            facts.character_maximum = number(length);
            facts.character_octets = number(length.saturating_mul(4));
        }
        SqlType::Text | SqlType::Varchar(None) => facts.character_octets = number(1 << 30),
        SqlType::SmallInt | SqlType::Integer | SqlType::BigInt => {
            facts.precision = number(ty.size() as usize * 8);
            facts.radix = number(2);
            facts.scale = number(0);
        }
        SqlType::Real | SqlType::Double => {
            facts.precision = number(if *ty == SqlType::Real { 24 } else { 53 });
            facts.radix = number(2);
        }
        SqlType::Numeric(modifier) => {
            facts.radix = number(10);
            if let Some((precision, scale)) = modifier {
                facts.precision = number(usize::from(*precision));
                facts.scale = number(usize::from(*scale));
            }
        }
        SqlType::Date => facts.datetime_precision = number(0),
        SqlType::Time | SqlType::Timestamp | SqlType::TimestampTz | SqlType::Interval => {
            facts.datetime_precision = number(6);
        }
        _ => {}
    }
    facts
}

fn columns(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("information_schema", "columns")?;
    for table in super::layout::tables() {
        for (at, (name, ty)) in table.columns.iter().enumerate() {
            add_column(
                &mut rows,
                context,
                (table.schema, table.name),
                at + 1,
                name,
                ty,
                None,
            );
        }
    }
    for relation in context.session.catalog.relations() {
        match relation {
            Relation::Table(table) => {
                for (at, column) in table.columns.iter().enumerate() {
                    let of = (table.schema.as_str(), table.name.as_str());
                    let ty = &column.sql_type;
                    add_column(
                        &mut rows,
                        context,
                        of,
                        at + 1,
                        &column.name,
                        ty,
                        Some(column),
                    );
                }
            }
            Relation::View(view) => {
                for (at, column) in view.columns.iter().enumerate() {
                    let of = (view.schema.as_str(), view.name.as_str());
                    let ty = &column.sql_type;
                    add_column(&mut rows, context, of, at + 1, &column.name, ty, None);
                }
            }
            Relation::Sequence(_) | Relation::Index(..) => {}
        }
    }
    Ok(rows.finish())
}

fn add_column(
    rows: &mut Rows,
    context: &StatementContext,
    (schema, table): (&str, &str),
    position: usize,
    name: &str,
    ty: &SqlType,
    column: Option<&ColumnDef>,
) {
    let catalog = &context.session.catalog;
    let facts = facts(ty);
    let identity = column.and_then(|column| column.identity);
    let sequence = identity.and_then(|identity| catalog.sequence(identity.sequence));
    let option = |get: fn(&tessera_catalog::SequenceOptions) -> i64| {
        sequence.map_or(Value::Null, |sequence| {
            text(get(&sequence.options).to_string())
        })
    };
    let generated = column.and_then(|column| column.generated.as_deref());
    rows.add([
        ("table_catalog", database(context)),
        ("table_schema", text(schema)),
        ("table_name", text(table)),
        ("column_name", text(name)),
        ("ordinal_position", int4(position)),
        (
            "column_default",
            opt_text(column.and_then(super::text::default)),
        ),
        (
            "is_nullable",
            yes_or_no(!column.is_some_and(|column| column.not_null)),
        ),
        ("data_type", text(facts.data_type)),
        ("character_maximum_length", facts.character_maximum),
        ("character_octet_length", facts.character_octets),
        ("numeric_precision", facts.precision),
        ("numeric_precision_radix", facts.radix),
        ("numeric_scale", facts.scale),
        ("datetime_precision", facts.datetime_precision),
        ("udt_catalog", database(context)),
        ("udt_schema", text("pg_catalog")),
        ("udt_name", text(ty.internal_name())),
        ("dtd_identifier", text(position.to_string())),
        ("is_self_referencing", yes_or_no(false)),
        ("is_identity", yes_or_no(identity.is_some())),
        (
            "identity_generation",
            identity.map_or(Value::Null, |identity| {
                text(if identity.always {
                    "ALWAYS"
                } else {
                    "BY DEFAULT"
                })
            }),
        ),
        ("identity_start", option(|options| options.start)),
        ("identity_increment", option(|options| options.increment)),
        ("identity_maximum", option(|options| options.max)),
        ("identity_minimum", option(|options| options.min)),
        (
            "identity_cycle",
            yes_or_no(sequence.is_some_and(|sequence| sequence.options.cycle)),
        ),
        (
            "is_generated",
            text(if generated.is_some() {
                "ALWAYS"
            } else {
                "NEVER"
            }),
        ),
        ("generation_expression", opt_text(generated)),
        ("is_updatable", yes_or_no(column.is_some())),
    ]);
}

fn views(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("information_schema", "views")?;
    let catalog = &context.session.catalog;
    for view in catalog.views() {
        rows.add([
            ("table_catalog", database(context)),
            ("table_schema", text(view.schema.as_str())),
            ("table_name", text(view.name.as_str())),
            (
                "view_definition",
                opt_text(super::text::view(catalog, view.id)),
            ),
            ("check_option", text("NONE")),
            ("is_updatable", yes_or_no(false)),
            ("is_insertable_into", yes_or_no(false)),
            ("is_trigger_updatable", yes_or_no(false)),
            ("is_trigger_deletable", yes_or_no(false)),
            ("is_trigger_insertable_into", yes_or_no(false)),
        ]);
    }
    Ok(rows.finish())
}

fn sequences(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("information_schema", "sequences")?;
    for sequence in context.session.catalog.sequences() {
        // Those of identity columns are internal.
        if sequence.owned_by.is_some_and(|owner| owner.identity) {
            continue;
        }
        let options = &sequence.options;
        rows.add([
            ("sequence_catalog", database(context)),
            ("sequence_schema", text(sequence.schema.as_str())),
            ("sequence_name", text(sequence.name.as_str())),
            ("data_type", text(options.sql_type.name())),
            (
                "numeric_precision",
                int4(options.sql_type.size() as usize * 8),
            ),
            ("numeric_precision_radix", int4(2)),
            ("numeric_scale", int4(0)),
            ("start_value", text(options.start.to_string())),
            ("minimum_value", text(options.min.to_string())),
            ("maximum_value", text(options.max.to_string())),
            ("increment", text(options.increment.to_string())),
            ("cycle_option", yes_or_no(options.cycle)),
        ]);
    }
    Ok(rows.finish())
}

/// Key constraints of all tables, with their names.
fn keys(context: &StatementContext) -> impl Iterator<Item = (&TableDef, &IndexDef, &str)> {
    context
        .session
        .catalog
        .tables()
        .into_iter()
        .flat_map(|table| {
            table.indexes.iter().filter_map(move |index| {
                Some((table.as_ref(), index.as_ref(), index.constraint_name()?))
            })
        })
}

fn table_constraints(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("information_schema", "table_constraints")?;
    let mut add = |table: &TableDef, name: &str, kind: &str, nulls_distinct: Value| {
        rows.add([
            ("constraint_catalog", database(context)),
            ("constraint_schema", text(table.schema.as_str())),
            ("constraint_name", text(name)),
            ("table_catalog", database(context)),
            ("table_schema", text(table.schema.as_str())),
            ("table_name", text(table.name.as_str())),
            ("constraint_type", text(kind)),
            ("is_deferrable", yes_or_no(false)),
            ("initially_deferred", yes_or_no(false)),
            ("enforced", yes_or_no(true)),
            ("nulls_distinct", nulls_distinct),
        ]);
    };
    for (table, index, name) in keys(context) {
        if index.primary {
            add(table, name, "PRIMARY KEY", Value::Null);
        } else {
            add(table, name, "UNIQUE", yes_or_no(!index.nulls_not_distinct));
        }
    }
    for table in context.session.catalog.tables() {
        for check in &table.checks {
            add(table, &check.name, "CHECK", Value::Null);
        }
        for column in table.columns.iter().filter(|column| column.not_null) {
            add(
                table,
                &not_null_name(context, table, column),
                "CHECK",
                Value::Null,
            );
        }
    }
    Ok(rows.finish())
}

/// The name that PostgreSQL makes up for a NOT NULL in these views.
fn not_null_name(context: &StatementContext, table: &TableDef, column: &ColumnDef) -> String {
    let schema = names::schema_oid(&context.session.catalog, &table.schema);
    format!("{schema}_{}_{}_not_null", table.id.0, column.id)
}

fn key_column_usage(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("information_schema", "key_column_usage")?;
    for (table, index, name) in keys(context) {
        for (at, column) in table.index_column_names(index).enumerate() {
            rows.add([
                ("constraint_catalog", database(context)),
                ("constraint_schema", text(table.schema.as_str())),
                ("constraint_name", text(name)),
                ("table_catalog", database(context)),
                ("table_schema", text(table.schema.as_str())),
                ("table_name", text(table.name.as_str())),
                ("column_name", text(column)),
                ("ordinal_position", int4(at + 1)),
            ]);
        }
    }
    Ok(rows.finish())
}

fn constraint_column_usage(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("information_schema", "constraint_column_usage")?;
    let mut add = |table: &TableDef, column: &str, constraint: &str| {
        rows.add([
            ("table_catalog", database(context)),
            ("table_schema", text(table.schema.as_str())),
            ("table_name", text(table.name.as_str())),
            ("column_name", text(column)),
            ("constraint_catalog", database(context)),
            ("constraint_schema", text(table.schema.as_str())),
            ("constraint_name", text(constraint)),
        ]);
    };
    for (table, index, name) in keys(context) {
        for column in table.index_column_names(index) {
            add(table, column, name);
        }
    }
    for table in context.session.catalog.tables() {
        for check in &table.checks {
            for id in super::constraints::columns_in(table, &check.sql) {
                if let Some(column) = table.column_by_id(id) {
                    add(table, &column.name, &check.name);
                }
            }
        }
    }
    Ok(rows.finish())
}

fn constraint_table_usage(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("information_schema", "constraint_table_usage")?;
    for (table, _, name) in keys(context) {
        rows.add([
            ("table_catalog", database(context)),
            ("table_schema", text(table.schema.as_str())),
            ("table_name", text(table.name.as_str())),
            ("constraint_catalog", database(context)),
            ("constraint_schema", text(table.schema.as_str())),
            ("constraint_name", text(name)),
        ]);
    }
    Ok(rows.finish())
}

fn check_constraints(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("information_schema", "check_constraints")?;
    let mut add = |table: &TableDef, name: &str, clause: String| {
        rows.add([
            ("constraint_catalog", database(context)),
            ("constraint_schema", text(table.schema.as_str())),
            ("constraint_name", text(name)),
            ("check_clause", text(clause)),
        ]);
    };
    for table in context.session.catalog.tables() {
        for check in &table.checks {
            add(table, &check.name, check.sql.clone());
        }
        for column in table.columns.iter().filter(|column| column.not_null) {
            let name = not_null_name(context, table, column);
            add(table, &name, format!("{} IS NOT NULL", column.name));
        }
    }
    Ok(rows.finish())
}

fn enabled_roles(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("information_schema", "enabled_roles")?;
    rows.add([("role_name", text(&*context.session.user))]);
    Ok(rows.finish())
}

fn element_types(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("information_schema", "element_types")?;
    for table in context.session.catalog.tables() {
        for (at, column) in table.columns.iter().enumerate() {
            let Some(element) = column.sql_type.element() else {
                continue;
            };
            rows.add([
                ("object_catalog", database(context)),
                ("object_schema", text(table.schema.as_str())),
                ("object_name", text(table.name.as_str())),
                ("object_type", text("TABLE")),
                ("collection_type_identifier", text((at + 1).to_string())),
                ("data_type", text(facts(element).data_type)),
                ("udt_catalog", database(context)),
                ("udt_schema", text("pg_catalog")),
                ("udt_name", text(element.internal_name())),
                ("dtd_identifier", text(format!("a{}", at + 1))),
            ]);
        }
    }
    Ok(rows.finish())
}

fn character_sets(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("information_schema", "character_sets")?;
    rows.add([
        ("character_set_name", text("UTF8")),
        ("character_repertoire", text("UCS")),
        ("form_of_use", text("UTF8")),
        ("default_collate_catalog", database(context)),
        ("default_collate_schema", text("pg_catalog")),
        ("default_collate_name", text("C")),
    ]);
    Ok(rows.finish())
}

const PRIVILEGES: [&str; 7] = [
    "INSERT",
    "SELECT",
    "UPDATE",
    "DELETE",
    "TRUNCATE",
    "REFERENCES",
    "TRIGGER",
];

fn table_privileges(_: &Executor, context: &StatementContext) -> Made {
    privileges(context, "table_privileges")
}

fn role_table_grants(_: &Executor, context: &StatementContext) -> Made {
    privileges(context, "role_table_grants")
}

/// Owners have every privilege on their tables; there are no other grants.
fn privileges(context: &StatementContext, view: &str) -> Made {
    let mut rows = Rows::new("information_schema", view)?;
    let catalog = &context.session.catalog;
    for relation in catalog.relations() {
        if !matches!(relation, Relation::Table(_) | Relation::View(_)) {
            continue;
        }
        let owner = names::user_name(catalog, relation.owner());
        for privilege in PRIVILEGES {
            rows.add([
                ("grantor", text(owner.as_str())),
                ("grantee", text(owner.as_str())),
                ("table_catalog", database(context)),
                ("table_schema", text(relation.schema())),
                ("table_name", text(relation.name())),
                ("privilege_type", text(privilege)),
                ("is_grantable", yes_or_no(true)),
                ("with_hierarchy", yes_or_no(privilege == "SELECT")),
            ]);
        }
    }
    Ok(rows.finish())
}

fn view_table_usage(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("information_schema", "view_table_usage")?;
    let catalog = &context.session.catalog;
    for view in catalog.views() {
        for below in view
            .depends_on
            .iter()
            .filter_map(|id| catalog.relation_by_id(*id))
        {
            rows.add([
                ("view_catalog", database(context)),
                ("view_schema", text(view.schema.as_str())),
                ("view_name", text(view.name.as_str())),
                ("table_catalog", database(context)),
                ("table_schema", text(below.schema())),
                ("table_name", text(below.name())),
            ]);
        }
    }
    Ok(rows.finish())
}

fn view_column_usage(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("information_schema", "view_column_usage")?;
    let catalog = &context.session.catalog;
    for view in catalog.views() {
        for (table, column) in &view.depends_on_columns {
            let Some(table) = catalog.table(*table) else {
                continue;
            };
            let Some(column) = table.column_by_id(*column) else {
                continue;
            };
            rows.add([
                ("view_catalog", database(context)),
                ("view_schema", text(view.schema.as_str())),
                ("view_name", text(view.name.as_str())),
                ("table_catalog", database(context)),
                ("table_schema", text(table.schema.as_str())),
                ("table_name", text(table.name.as_str())),
                ("column_name", text(column.name.as_str())),
            ]);
        }
    }
    Ok(rows.finish())
}

fn sql_implementation_info(_: &Executor, _: &StatementContext) -> Made {
    let mut rows = Rows::new("information_schema", "sql_implementation_info")?;
    let version = env!("CARGO_PKG_VERSION");
    for (id, name, value) in [
        ("17", "DBMS NAME", "Tessera"),
        ("18", "DBMS VERSION", version),
    ] {
        rows.add([
            ("implementation_info_id", text(id)),
            ("implementation_info_name", text(name)),
            ("character_value", text(value)),
        ]);
    }
    Ok(rows.finish())
}
