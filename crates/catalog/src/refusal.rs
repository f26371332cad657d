//! PostgreSQL's texts for what the catalog refuses. Public, because planner and executor refuse
//! the same things while they look names up.

use tessera_types::{Report, SqlState, codes};

use crate::definition::{Model, TableDef};

const SEQUENCE_GENERATOR_LIMIT_EXCEEDED: SqlState = SqlState::new(*b"2200H");

/// 42P07.
pub fn relation_exists(name: &str) -> Report {
    Report::error(
        codes::DUPLICATE_TABLE,
        format!("relation \"{name}\" already exists"),
    )
}

/// 42P01. `name` as the user wrote it, with a schema if there was one.
pub fn no_such_relation(name: &str) -> Report {
    Report::error(
        codes::UNDEFINED_TABLE,
        format!("relation \"{name}\" does not exist"),
    )
}

/// 42P01 or 42704, in the words of DROP and ALTER: `kind` is "table", "view", "sequence", "index".
pub fn no_such(kind: &str, name: &str) -> Report {
    let code = match kind {
        "index" | "role" | "constraint" => codes::UNDEFINED_OBJECT,
        _ => codes::UNDEFINED_TABLE,
    };
    Report::error(code, format!("{kind} \"{name}\" does not exist"))
}

/// 42809. `kind` with its article: "a table".
pub fn wrong_kind(name: &str, kind: &str) -> Report {
    Report::error(
        codes::WRONG_OBJECT_TYPE,
        format!("\"{name}\" is not {kind}"),
    )
}

/// 0A000 for what only tables of rows can do.
pub fn check_is_rows(table: &TableDef) -> Result<(), Report> {
    let (noun, door) = match table.model {
        Model::Rows => return Ok(()),
        Model::KeySpace => ("key space", "the Redis protocol or /api/v1/keys"),
        Model::Collection => ("collection", "/api/v1/documents"),
    };
    let message = format!(
        "\"{}\" is a {noun}, which SQL cannot do this with",
        table.name
    );
    Err(Report::unsupported(message)
        .with_table(table.schema.as_str(), table.name.as_str())
        .with_hint(format!("Reach it through {door}.")))
}

/// 42501: relations of the schema `kv` are made by writing keys.
pub fn key_spaces_only(name: &str) -> Report {
    Report::error(
        codes::INSUFFICIENT_PRIVILEGE,
        format!("permission denied to create \"kv.{name}\""),
    )
    .with_detail(
        "The schema \"kv\" holds key spaces only; they are made when they are first written to.",
    )
}

/// 3F000.
pub fn no_such_schema(name: &str) -> Report {
    Report::error(
        codes::INVALID_SCHEMA_NAME,
        format!("schema \"{name}\" does not exist"),
    )
}

/// 42P06.
pub fn schema_exists(name: &str) -> Report {
    Report::error(
        codes::DUPLICATE_SCHEMA,
        format!("schema \"{name}\" already exists"),
    )
}

/// 42939.
pub fn reserved_schema_name(name: &str) -> Report {
    Report::error(
        codes::RESERVED_NAME,
        format!("unacceptable schema name \"{name}\""),
    )
    .with_detail("The prefix \"pg_\" is reserved for system schemas.")
}

/// 42501.
pub fn system_schema(schema: &str, name: &str) -> Report {
    Report::error(
        codes::INSUFFICIENT_PRIVILEGE,
        format!("permission denied to create \"{schema}.{name}\""),
    )
    .with_detail("System catalog modifications are currently disallowed.")
}

/// 42703.
pub fn no_such_column(table: &str, column: &str) -> Report {
    Report::error(
        codes::UNDEFINED_COLUMN,
        format!("column \"{column}\" of relation \"{table}\" does not exist"),
    )
}

/// 42703, for key columns of constraints and indexes.
pub fn no_such_key_column(column: &str) -> Report {
    Report::error(
        codes::UNDEFINED_COLUMN,
        format!("column \"{column}\" named in key does not exist"),
    )
}

/// 42701, in CREATE TABLE.
pub fn column_twice(column: &str) -> Report {
    Report::error(
        codes::DUPLICATE_COLUMN,
        format!("column \"{column}\" specified more than once"),
    )
}

/// 42701, in ALTER TABLE.
pub fn column_exists(table: &str, column: &str) -> Report {
    Report::error(
        codes::DUPLICATE_COLUMN,
        format!("column \"{column}\" of relation \"{table}\" already exists"),
    )
}

/// 42701, for names such as `ctid`.
pub fn system_column(column: &str) -> Report {
    Report::error(
        codes::DUPLICATE_COLUMN,
        format!("column name \"{column}\" conflicts with a system column name"),
    )
}

/// 42710.
pub fn constraint_exists(table: &str, name: &str) -> Report {
    Report::error(
        codes::DUPLICATE_OBJECT,
        format!("constraint \"{name}\" for relation \"{table}\" already exists"),
    )
}

/// 42704.
pub fn no_such_constraint(table: &str, name: &str) -> Report {
    Report::error(
        codes::UNDEFINED_OBJECT,
        format!("constraint \"{name}\" of relation \"{table}\" does not exist"),
    )
}

/// 42710.
pub fn role_exists(name: &str) -> Report {
    Report::error(
        codes::DUPLICATE_OBJECT,
        format!("role \"{name}\" already exists"),
    )
}

/// 42704.
pub fn no_such_role(name: &str) -> Report {
    Report::error(
        codes::UNDEFINED_OBJECT,
        format!("role \"{name}\" does not exist"),
    )
}

/// 2BP01. `object` and `dependents` in words: "table t", "view v depends on table t".
pub fn has_dependents(object: &str, dependents: &[String]) -> Report {
    Report::error(
        codes::DEPENDENT_OBJECTS_STILL_EXIST,
        format!("cannot drop {object} because other objects depend on it"),
    )
    .with_detail(dependents.join("\n"))
    .with_hint("Use DROP ... CASCADE to drop the dependent objects too.")
}

/// The NOTICE of a DROP … CASCADE, if anything else went.
pub fn cascade_notice(dropped: &[String]) -> Option<Report> {
    match dropped {
        [] => None,
        [one] => Some(Report::notice(format!("drop cascades to {one}"))),
        many => {
            let lines: Vec<String> = many
                .iter()
                .map(|object| format!("drop cascades to {object}"))
                .collect();
            let message = format!("drop cascades to {} other objects", many.len());
            Some(Report::notice(message).with_detail(lines.join("\n")))
        }
    }
}

/// 42P16.
pub fn second_primary_key(table: &str) -> Report {
    Report::error(
        codes::INVALID_TABLE_DEFINITION,
        format!("multiple primary keys for table \"{table}\" are not allowed"),
    )
}

/// 55000.
pub fn currval_undefined(sequence: &str) -> Report {
    Report::error(
        codes::OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("currval of sequence \"{sequence}\" is not yet defined in this session"),
    )
}

/// 55000.
pub fn lastval_undefined() -> Report {
    Report::error(
        codes::OBJECT_NOT_IN_PREREQUISITE_STATE,
        "lastval is not yet defined in this session",
    )
}

/// 2200H.
pub fn sequence_exhausted(name: &str, increment: i64, limit: i64) -> Report {
    let end = if increment > 0 { "maximum" } else { "minimum" };
    Report::error(
        SEQUENCE_GENERATOR_LIMIT_EXCEEDED,
        format!("nextval: reached {end} value of sequence \"{name}\" ({limit})"),
    )
}

/// 40001: a transaction's snapshot is older than the definition of a table it uses.
pub fn schema_changed(table: &str) -> Report {
    Report::error(
        codes::SERIALIZATION_FAILURE,
        "could not serialize access due to a concurrent schema change",
    )
    .with_detail(format!(
        "Relation \"{table}\" was changed after the transaction's snapshot."
    ))
    .with_hint("Run the transaction again.")
}
