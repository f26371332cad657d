//! Names of key spaces and collections, and who may use them.

use std::sync::Arc;

use tessera_catalog::{CatalogState, NAME_BYTES_MAX, Relation, TableDef, UserDef};
use tessera_locks::{Mode, Resource};
use tessera_transactions::Transaction;
use tessera_types::{Report, codes};

use super::Models;

/// Schema of collections whose name does not say one.
const DEFAULT_SCHEMA: &str = "public";
/// Definitions that changed while a lock was waited for are looked up again this often.
const LOOK_UPS_MAX: usize = 10;

/// A collection's schema and name, of `orders` or `app.orders`.
pub(super) fn collection_name(text: &str) -> Result<(&str, &str), Report> {
    let (schema, name) = text.split_once('.').unwrap_or((DEFAULT_SCHEMA, text));
    check_name(schema, "schema")?;
    check_name(name, "collection")?;
    Ok((schema, name))
}

/// Refuses names that no relation can have, instead of cutting them.
pub(super) fn check_name(name: &str, kind: &str) -> Result<(), Report> {
    if name.len() > NAME_BYTES_MAX {
        return Err(Report::error(
            codes::NAME_TOO_LONG,
            format!("a {kind}'s name has at most {NAME_BYTES_MAX} bytes"),
        ));
    }
    if name.is_empty()
        || name
            .chars()
            .any(|c| c.is_control() || matches!(c, '.' | '/' | ':'))
    {
        return Err(Report::error(
            codes::INVALID_NAME,
            format!(
                "a {kind}'s name is not empty and has no dot, slash, colon or control character"
            ),
        ));
    }
    Ok(())
}

/// Ownership, until grants exist.
pub(super) fn check_may(user: &UserDef, table: &TableDef) -> Result<(), Report> {
    if user.admin || user.oid == table.owner {
        return Ok(());
    }
    Err(Report::error(
        codes::INSUFFICIENT_PRIVILEGE,
        format!(
            "permission denied for {} {}",
            table.model.noun(),
            table.name
        ),
    ))
}

/// The relation with columns of that name, if there is one.
pub(super) fn find(state: &CatalogState, schema: &str, name: &str) -> Option<Arc<TableDef>> {
    match state.relation(schema, name)? {
        Relation::Table(table) => Some(table),
        _ => None,
    }
}

impl Models {
    /// Looks a relation up and locks it in an intention mode; what is found is there to stay until
    /// the transaction ends.
    pub(super) async fn lock_named(
        &self,
        txn: &Transaction,
        user: &UserDef,
        schema: &str,
        name: &str,
    ) -> Result<Option<Arc<TableDef>>, Report> {
        let mode = if txn.is_read_only() {
            Mode::IS
        } else {
            Mode::IX
        };
        for _ in 0..LOOK_UPS_MAX {
            let Some(table) = find(&self.catalog.state_for(txn), schema, name) else {
                return Ok(None);
            };
            check_may(user, &table)?;
            let resource = Resource::Relation(table.id);
            txn.lock(resource, mode, &txn.lock_options()).await?;
            match find(&self.catalog.state_for(txn), schema, name) {
                Some(now) if Arc::ptr_eq(&now, &table) => return Ok(Some(table)),
                // Changed while the lock was waited for, or made anew under the same name.
                _ => {}
            }
        }
        Err(Report::error(
            codes::SERIALIZATION_FAILURE,
            format!("the definition of \"{name}\" is changed again and again"),
        ))
    }
}
