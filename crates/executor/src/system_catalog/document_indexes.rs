//! Indexes of collections as the system catalogs show them.
//!
//! They are no relations of the catalog; each has an oid, that of its storage. A condition of the
//! document model is written as the SQL that would make it, where there is such SQL.

use serde_json::Value as Json;
use tessera_catalog::{CatalogState, Model, TableDef, quote_name};
use tessera_documents::{IndexDef, IndexKind};
use tessera_types::RelationId;

use crate::models::collection_definition;

/// The indexes of a relation; none unless it is a collection.
pub(super) fn of(table: &TableDef) -> Vec<IndexDef> {
    if table.model != Model::Collection {
        return Vec::new();
    }
    collection_definition(table).map_or_else(|_| Vec::new(), |def| def.indexes)
}

/// An index by its oid, with its collection.
pub(super) fn find(catalog: &CatalogState, id: RelationId) -> Option<(&TableDef, IndexDef)> {
    let tables = catalog.tables().into_iter();
    let mut owners = tables.filter(|table| table.parts.contains(&id));
    let table = owners.next()?;
    let index = of(table).into_iter().find(|index| index.id == id)?;
    Some((table, index))
}

/// Whether no two documents may be alike in it.
pub(super) fn is_unique(index: &IndexDef) -> bool {
    matches!(&index.kind, IndexKind::Paths { unique: true, .. })
}

/// Whether NULLs are alike, too.
pub(super) fn nulls_not_distinct(index: &IndexDef) -> bool {
    match &index.kind {
        IndexKind::Paths {
            unique: true,
            fields,
            partial,
            ..
        } => {
            let conditions = partial.as_ref().map(conditions_of).unwrap_or_default();
            fields.iter().any(|field| {
                let is_about = |(path, operator, _): &(String, String, Json)| {
                    *path == field.path && operator == "$type"
                };
                !conditions.iter().any(is_about)
            })
        }
        _ => false,
    }
}

/// Its keys as SQL, in order.
pub(super) fn keys(index: &IndexDef) -> Vec<String> {
    match &index.kind {
        IndexKind::Paths { fields, .. } => fields
            .iter()
            .map(|field| {
                let order = if field.descending { " DESC" } else { "" };
                format!("({}){order}", path(&field.path))
            })
            .collect(),
        IndexKind::Ttl { path: field, .. } => vec![format!("({})", path(field))],
    }
}

/// `pg_get_indexdef`: the whole CREATE INDEX.
pub(super) fn definition(table: &TableDef, index: &IndexDef) -> String {
    let mut sql = format!(
        "CREATE {}INDEX {} ON {}.{} USING btree ({})",
        if is_unique(index) { "UNIQUE " } else { "" },
        quote_name(&index.name),
        quote_name(&table.schema),
        quote_name(&table.name),
        keys(index).join(", "),
    );
    if nulls_not_distinct(index) {
        sql.push_str(" NULLS NOT DISTINCT");
    }
    match &index.kind {
        IndexKind::Ttl { after_seconds, .. } => {
            sql.push_str(&format!(" WITH (ttl_seconds='{after_seconds}')"));
        }
        IndexKind::Paths {
            fields,
            partial: Some(partial),
            unique,
            ..
        } => {
            let is_of_nulls = |(path, operator, _): &(String, String, Json)| {
                *unique && operator == "$type" && fields.iter().any(|field| field.path == *path)
            };
            let conditions: Vec<String> = conditions_of(partial)
                .iter()
                .filter(|condition| !is_of_nulls(condition))
                .map(condition)
                .collect();
            if !conditions.is_empty() {
                sql.push_str(&format!(" WHERE ({})", conditions.join(" AND ")));
            }
        }
        IndexKind::Paths { .. } => {}
    }
    sql
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// `a.b` as `((doc -> 'a'::text) ->> 'b'::text)`.
fn path(dotted: &str) -> String {
    let mut sql = "doc".to_owned();
    let mut names = dotted.split('.').peekable();
    while let Some(name) = names.next() {
        let arrow = if names.peek().is_some() { "->" } else { "->>" };
        sql = format!("({sql} {arrow} {}::text)", literal(name));
    }
    sql
}

/// Path, operator and operand of each condition; a whole condition where it is of another form.
fn conditions_of(filter: &Json) -> Vec<(String, String, Json)> {
    let mut all = Vec::new();
    let Json::Object(fields) = filter else {
        return all;
    };
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("$and", Json::Array(parts)) => all.extend(parts.iter().flat_map(conditions_of)),
            (name, Json::Object(tests)) if !name.starts_with('$') => {
                for (operator, operand) in tests {
                    all.push((name.to_owned(), operator.clone(), operand.clone()));
                }
            }
            (name, value) => all.push((name.to_owned(), String::new(), value.clone())),
        }
    }
    all
}

fn condition((name, operator, operand): &(String, String, Json)) -> String {
    let sign = match operator.as_str() {
        "$eq" => "=",
        "$gt" => ">",
        "$gte" => ">=",
        "$lt" => "<",
        "$lte" => "<=",
        "$type" => return format!("({} IS NOT NULL)", path(name)),
        "" => {
            return format!(
                "(doc @@ {})",
                literal(&format!("{{\"{name}\": {operand}}}"))
            );
        }
        _ => {
            let filter = format!("{{\"{name}\": {{\"{operator}\": {operand}}}}}");
            return format!("(doc @@ {})", literal(&filter));
        }
    };
    match operand {
        Json::Number(number) => format!("(({})::numeric {sign} {number})", path(name)),
        Json::String(text) => format!("({} {sign} {}::text)", path(name), literal(text)),
        other => format!(
            "({} {sign} {}::jsonb)",
            path(name),
            literal(&other.to_string())
        ),
    }
}
