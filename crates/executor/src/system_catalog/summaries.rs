//! Views of `pg_catalog` for people: `pg_tables`, `pg_views`, `pg_indexes`, `pg_sequences`,
//! `pg_stats`, and the usage counters that clients ask for.

use tessera_catalog::Relation;
use tessera_types::{Report, Value};

use super::names;
use super::rows::{MakeRows, Rows, flag, oid, text};
use crate::context::StatementContext;
use crate::executor::Executor;

type Made = Result<Vec<Vec<Value>>, Report>;

/// Rows of the tables in this file.
pub(super) fn rows_of(name: &str) -> Option<MakeRows> {
    Some(match name {
        "pg_tables" => pg_tables,
        "pg_views" => pg_views,
        "pg_indexes" => pg_indexes,
        "pg_sequences" => pg_sequences,
        "pg_stats" => pg_stats,
        "pg_stat_all_tables" => {
            |executor, context| table_counters("pg_stat_all_tables", executor, context)
        }
        "pg_stat_user_tables" => {
            |executor, context| table_counters("pg_stat_user_tables", executor, context)
        }
        "pg_statio_all_tables" => |_, context| table_blocks("pg_statio_all_tables", context),
        "pg_statio_user_tables" => |_, context| table_blocks("pg_statio_user_tables", context),
        _ => return None,
    })
}

fn pg_tables(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_tables")?;
    let catalog = &context.session.catalog;
    let admin = names::user_name(catalog, tessera_catalog::BOOTSTRAP_USER_OID);
    let mut add = |schema: &str, name: &str, owner: &str, has_indexes: bool| {
        rows.add([
            ("schemaname", text(schema)),
            ("tablename", text(name)),
            ("tableowner", text(owner)),
            ("hasindexes", flag(has_indexes)),
            ("hasrules", flag(false)),
            ("hastriggers", flag(false)),
            ("rowsecurity", flag(false)),
        ]);
    };
    for table in super::layout::tables()
        .iter()
        .filter(|table| table.kind == "r")
    {
        add(table.schema, table.name, &admin, false);
    }
    for table in catalog.tables() {
        let owner = names::user_name(catalog, table.owner);
        add(
            &table.schema,
            &table.name,
            &owner,
            !table.indexes.is_empty(),
        );
    }
    Ok(rows.finish())
}

fn pg_views(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_views")?;
    let catalog = &context.session.catalog;
    for view in catalog.views() {
        rows.add([
            ("schemaname", text(view.schema.as_str())),
            ("viewname", text(view.name.as_str())),
            ("viewowner", text(names::user_name(catalog, view.owner))),
            (
                "definition",
                super::rows::opt_text(super::text::view(catalog, view.id)),
            ),
        ]);
    }
    Ok(rows.finish())
}

fn pg_indexes(_: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_indexes")?;
    for table in context.session.catalog.tables() {
        for index in &table.indexes {
            rows.add([
                ("schemaname", text(table.schema.as_str())),
                ("tablename", text(table.name.as_str())),
                ("indexname", text(index.name.as_str())),
                ("indexdef", text(super::text::index(table, index))),
            ]);
        }
        for index in super::document_indexes::of(table) {
            let definition = super::document_indexes::definition(table, &index);
            rows.add([
                ("schemaname", text(table.schema.as_str())),
                ("tablename", text(table.name.as_str())),
                ("indexname", text(index.name.as_str())),
                ("indexdef", text(definition)),
            ]);
        }
    }
    Ok(rows.finish())
}

fn pg_sequences(executor: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_sequences")?;
    let catalog = &context.session.catalog;
    for sequence in catalog.sequences() {
        let options = &sequence.options;
        let position = super::sequences::position(executor, sequence)?;
        let last = if position.is_called {
            Value::BigInt(position.last_value)
        } else {
            Value::Null
        };
        rows.add([
            ("schemaname", text(sequence.schema.as_str())),
            ("sequencename", text(sequence.name.as_str())),
            (
                "sequenceowner",
                text(names::user_name(catalog, sequence.owner)),
            ),
            ("data_type", oid(options.sql_type.oid())),
            ("start_value", Value::BigInt(options.start)),
            ("min_value", Value::BigInt(options.min)),
            ("max_value", Value::BigInt(options.max)),
            ("increment_by", Value::BigInt(options.increment)),
            ("cycle", flag(options.cycle)),
            ("cache_size", Value::BigInt(options.cache)),
            ("last_value", last),
        ]);
    }
    Ok(rows.finish())
}

fn pg_stats(executor: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", "pg_stats")?;
    for relation in context.session.catalog.relations() {
        let Relation::Table(table) = relation else {
            continue;
        };
        let Some(statistics) = executor.catalog().statistics(table.id) else {
            continue;
        };
        for column in &table.columns {
            let Some(found) = statistics.columns.get(&column.id) else {
                continue;
            };
            #[expect(clippy::cast_possible_truncation, reason = "estimates")]
            rows.add([
                ("schemaname", text(table.schema.as_str())),
                ("tablename", text(table.name.as_str())),
                ("attname", text(column.name.as_str())),
                ("inherited", flag(false)),
                ("null_frac", Value::Real(found.null_fraction as f32)),
                ("avg_width", Value::Integer(found.width as i32)),
                ("n_distinct", Value::Real(found.distinct as f32)),
            ]);
        }
    }
    Ok(rows.finish())
}

/// Users' tables with what is counted of them: estimated rows, and when ANALYZE ran.
fn table_counters(view: &str, executor: &Executor, context: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", view)?;
    for table in context.session.catalog.tables() {
        let estimate = executor.catalog().row_estimate(table.id);
        let analyzed = executor
            .catalog()
            .statistics(table.id)
            .map_or(0, |found| found.analyzed_at);
        #[expect(clippy::cast_possible_truncation, reason = "an estimate")]
        let live = estimate.map_or(Value::Null, |rows| Value::BigInt(rows as i64));
        rows.add([
            ("relid", oid(table.id.0)),
            ("schemaname", text(table.schema.as_str())),
            ("relname", text(table.name.as_str())),
            ("n_live_tup", live),
            (
                "last_analyze",
                if analyzed > 0 {
                    Value::TimestampTz(analyzed)
                } else {
                    Value::Null
                },
            ),
        ]);
    }
    Ok(rows.finish())
}

/// Users' tables. Their blocks are not counted.
fn table_blocks(view: &str, context: &StatementContext) -> Made {
    let mut rows = Rows::new("pg_catalog", view)?;
    for table in context.session.catalog.tables() {
        rows.add([
            ("relid", oid(table.id.0)),
            ("schemaname", text(table.schema.as_str())),
            ("relname", text(table.name.as_str())),
        ]);
    }
    Ok(rows.finish())
}
