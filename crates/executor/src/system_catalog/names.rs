//! Names of catalog objects in and out: `regclass` and its kin, and visibility.

use std::sync::Arc;

use tessera_catalog::{CatalogState, Relation, quote_name};
use tessera_planner::functions::FunctionRegistry;
use tessera_types::{RelationId, Report, SqlType, Value, ValueRef, codes};

use super::layout;
use super::procedures;
use crate::context::{SessionContext, StatementExtension};
use crate::executor::Executor;

/// Splits `schema.name` with quotes as in SQL, folding what is not quoted.
pub(crate) fn parse_path(text: &str) -> Result<Vec<String>, Report> {
    let invalid = || Report::error(codes::INVALID_NAME, "invalid name syntax");
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let mut part = String::new();
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut characters = quoted.char_indices();
            let end = loop {
                match characters.next().ok_or_else(invalid)? {
                    (at, '"') if quoted[at + 1..].starts_with('"') => {
                        part.push('"');
                        characters.next();
                    }
                    (at, '"') => break at + 1,
                    (_, c) => part.push(c),
                }
            };
            rest = quoted[end..].trim_start();
        } else {
            let end = rest.find(['.', '"']).unwrap_or(rest.len());
            part = rest[..end].trim().to_lowercase();
            rest = &rest[end..];
        }
        if part.is_empty() {
            return Err(invalid());
        }
        parts.push(tessera_catalog::truncate_name(&part).into_owned());
        match rest.strip_prefix('.') {
            Some(after) => rest = after.trim_start(),
            None if rest.is_empty() => return Ok(parts),
            None => return Err(invalid()),
        }
    }
}

/// Reads a name or number as one of the `reg*` types. `Ok(None)`: no such object.
pub(crate) fn find(
    session: &SessionContext,
    registry: &FunctionRegistry,
    ty: &SqlType,
    input: &str,
) -> Result<Option<u32>, Report> {
    let input = input.trim();
    if input == "-" {
        return Ok(Some(0));
    }
    if !input.is_empty() && input.bytes().all(|byte| byte.is_ascii_digit()) {
        return input.parse().map(Some).map_err(|_| {
            let message = format!("value \"{input}\" is out of range for type oid");
            Report::error(codes::NUMERIC_VALUE_OUT_OF_RANGE, message)
        });
    }
    if *ty == SqlType::Regtype {
        return Ok(SqlType::from_name(input).ok().map(|ty| ty.oid()));
    }
    let path = parse_path(input)?;
    let (schema, name) = match path.as_slice() {
        [name] => (None, name.as_str()),
        [schema, name] => (Some(schema.as_str()), name.as_str()),
        [database, schema, name] if **database == *session.database => {
            (Some(schema.as_str()), name.as_str())
        }
        _ => {
            let message = format!("improper qualified name (too many dotted names): {input}");
            return Err(Report::error(codes::SYNTAX_ERROR, message));
        }
    };
    let catalog = &session.catalog;
    Ok(match ty {
        SqlType::Regclass => relation(session, schema, name).map(|id| id.0),
        SqlType::Regnamespace => {
            layout::schema_oid(name).or_else(|| catalog.schema(name).map(|schema| schema.oid))
        }
        SqlType::Regrole => catalog.user(name).map(|user| user.oid),
        SqlType::Regproc => procedures::oid_of_name(registry, name),
        _ => None,
    })
}

/// [`find`], where a missing object is an error with PostgreSQL's text.
pub(crate) fn input(
    session: &SessionContext,
    registry: &FunctionRegistry,
    ty: &SqlType,
    text: &str,
) -> Result<u32, Report> {
    if let Some(oid) = find(session, registry, ty, text)? {
        return Ok(oid);
    }
    let shown = text.trim();
    Err(match ty {
        SqlType::Regclass => tessera_catalog::refusal::no_such_relation(shown),
        SqlType::Regnamespace => tessera_catalog::refusal::no_such_schema(shown),
        SqlType::Regrole => tessera_catalog::refusal::no_such_role(shown),
        SqlType::Regproc => Report::error(
            codes::UNDEFINED_FUNCTION,
            format!("function \"{shown}\" does not exist"),
        ),
        _ => Report::error(
            codes::UNDEFINED_OBJECT,
            format!("type \"{shown}\" does not exist"),
        ),
    })
}

/// Writes an oid as one of the `reg*` types: a name where there is one, or else the number.
pub(crate) fn output(
    session: &SessionContext,
    registry: &FunctionRegistry,
    ty: &SqlType,
    oid: u32,
) -> String {
    if *ty == SqlType::Oid {
        return oid.to_string();
    }
    if oid == 0 {
        return "-".to_owned();
    }
    let catalog = &session.catalog;
    let named = match ty {
        SqlType::Regclass => relation_name(session, RelationId(oid)),
        SqlType::Regtype => SqlType::from_oid(oid, -1).map(|ty| ty.name()),
        SqlType::Regnamespace => {
            schema_name(catalog, oid).map(|name| quote_name(&name).into_owned())
        }
        SqlType::Regrole => catalog
            .user_by_oid(oid)
            .map(|user| quote_name(&user.name).into_owned()),
        SqlType::Regproc => procedures::name_of_oid(registry, oid),
        _ => None,
    };
    named.unwrap_or_else(|| oid.to_string())
}

/// Turns values of the `reg*` types into text for a client, as of one moment of a session.
#[derive(Clone)]
pub struct OidNames {
    session: Arc<SessionContext>,
    executor: Executor,
}

impl OidNames {
    /// For results with these types; `None` when none of them needs it.
    pub fn for_types<'a>(
        executor: &Executor,
        session: &Arc<SessionContext>,
        mut types: impl Iterator<Item = &'a SqlType>,
    ) -> Option<OidNames> {
        types
            .any(|ty| ty.is_oid_like() && *ty != SqlType::Oid)
            .then(|| OidNames::new(executor, session))
    }

    /// For any type.
    pub fn new(executor: &Executor, session: &Arc<SessionContext>) -> OidNames {
        OidNames {
            session: Arc::clone(session),
            executor: executor.clone(),
        }
    }

    /// The oid that a name or a number stands for.
    pub fn oid(&self, ty: &SqlType, name: &str) -> Result<u32, Report> {
        input(&self.session, self.executor.registry(), ty, name)
    }

    /// The name, or the number of what has none.
    pub fn text(&self, ty: &SqlType, oid: u32) -> String {
        output(&self.session, self.executor.registry(), ty, oid)
    }
}

impl std::fmt::Debug for OidNames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OidNames")
    }
}

/// Casts that need names: text to `reg*` and `reg*` to text. `Ok(None)`: not such a cast.
pub(crate) fn cast(
    extension: &StatementExtension,
    value: &ValueRef<'_>,
    from: &SqlType,
    to: &SqlType,
) -> Result<Option<Value>, Report> {
    let is_name = |ty: &SqlType| ty.is_oid_like() && *ty != SqlType::Oid;
    let session = &extension.statement.session;
    let registry = extension.executor.registry();
    match value {
        ValueRef::Text(text) if is_name(to) => {
            input(session, registry, to, text).map(|oid| Some(Value::Oid(oid)))
        }
        ValueRef::Oid(oid) if is_name(from) && to.is_character() => Ok(Some(Value::Text(
            output(session, registry, from, *oid).into(),
        ))),
        _ => Ok(None),
    }
}

/// Looks a relation up as a query would: `pg_catalog` first unless the path names it.
pub(super) fn relation(
    session: &SessionContext,
    schema: Option<&str>,
    name: &str,
) -> Option<RelationId> {
    let in_schema = |schema: &str| {
        layout::table(schema, name)
            .map(|table| table.id)
            .or_else(|| {
                session
                    .catalog
                    .relation(schema, name)
                    .map(|relation| relation.id())
            })
    };
    match schema {
        Some(schema) => in_schema(schema),
        None => effective_path(session).into_iter().find_map(in_schema),
    }
}

/// The search path with `pg_catalog` in front, unless it is named somewhere.
pub(super) fn effective_path(session: &SessionContext) -> Vec<&str> {
    let mut path = Vec::with_capacity(session.search_path.len() + 1);
    if !session
        .search_path
        .iter()
        .any(|schema| schema == "pg_catalog")
    {
        path.push("pg_catalog");
    }
    path.extend(session.search_path.iter().map(String::as_str));
    path
}

/// The name of a relation, with its schema if it would not be found without.
fn relation_name(session: &SessionContext, id: RelationId) -> Option<String> {
    let (schema, name) = match layout::table_by_id(id) {
        Some(table) => (table.schema.to_owned(), table.name.to_owned()),
        None => {
            let relation = session.catalog.relation_by_id(id)?;
            (relation.schema().to_owned(), relation.name().to_owned())
        }
    };
    if relation_is_visible(session, id) {
        return Some(quote_name(&name).into_owned());
    }
    Some(format!("{}.{}", quote_name(&schema), quote_name(&name)))
}

/// Whether the relation is found by its name alone (`pg_table_is_visible`).
pub(super) fn relation_is_visible(session: &SessionContext, id: RelationId) -> bool {
    let name = match layout::table_by_id(id) {
        Some(table) => table.name.to_owned(),
        None => match session.catalog.relation_by_id(id) {
            Some(relation) => relation.name().to_owned(),
            None => return false,
        },
    };
    relation(session, None, &name) == Some(id)
}

/// Whether a relation of that id exists at all.
pub(super) fn relation_exists(catalog: &CatalogState, id: RelationId) -> bool {
    layout::table_by_id(id).is_some() || catalog.relation_by_id(id).is_some()
}

/// Name of a schema by its oid.
pub(super) fn schema_name(catalog: &CatalogState, oid: u32) -> Option<String> {
    tessera_catalog::SYSTEM_SCHEMAS
        .into_iter()
        .find(|name| layout::schema_oid(name) == Some(oid))
        .map(str::to_owned)
        .or_else(|| {
            catalog
                .schemas()
                .find(|schema| schema.oid == oid)
                .map(|schema| schema.name.clone())
        })
}

/// Oid of a schema by its name.
pub(super) fn schema_oid(catalog: &CatalogState, name: &str) -> u32 {
    layout::schema_oid(name)
        .or_else(|| catalog.schema(name).map(|schema| schema.oid))
        .unwrap_or(0)
}

/// Name of a user by oid, as `pg_get_userbyid` gives it.
pub(super) fn user_name(catalog: &CatalogState, oid: u32) -> String {
    match catalog.user_by_oid(oid) {
        Some(user) => user.name.clone(),
        None => format!("unknown (OID={oid})"),
    }
}

/// A relation's name as it must be written in SQL text of a definition.
pub(super) fn qualified(relation: &Relation) -> String {
    format!(
        "{}.{}",
        quote_name(relation.schema()),
        quote_name(relation.name())
    )
}
