//! What an ordinary user may do. Administrators may do everything and are not checked.
//!
//! Until grants exist the rule is ownership: a user works with the relations that he made, and
//! with the system catalog. Everybody may make relations in a schema; schemas are made by
//! administrators.

use std::sync::Arc;

use tessera_catalog::UserDef;
use tessera_executor::SessionContext;
use tessera_planner::{RelationName, Statement};
use tessera_types::{Report, codes};

/// Statements that only administrators may run, by their verb.
const ADMIN_VERBS: &[&str] = &[
    "CREATE SCHEMA",
    "ALTER SCHEMA",
    "DROP SCHEMA",
    "CREATE DATABASE",
    "DROP DATABASE",
    "CREATE EXTENSION",
    "DROP EXTENSION",
];

/// 42501 when the statement touches a relation of somebody else.
pub(crate) fn check(
    user: &Arc<UserDef>,
    statement: &Statement,
    relations: &[RelationName],
    context: &SessionContext,
) -> Result<(), Report> {
    let verb = statement.verb();
    if ADMIN_VERBS.contains(&verb) {
        return Err(Report::error(
            codes::INSUFFICIENT_PRIVILEGE,
            format!("permission denied: {verb} is for administrators"),
        ));
    }
    for name in relations {
        let found =
            context
                .catalog
                .resolve(&context.search_path, name.schema.as_deref(), &name.name);
        let Some(relation) = found else { continue };
        if relation.owner() != user.oid {
            return Err(Report::error(
                codes::INSUFFICIENT_PRIVILEGE,
                format!(
                    "permission denied for {} {}",
                    relation.kind(),
                    relation.name()
                ),
            ));
        }
    }
    Ok(())
}
