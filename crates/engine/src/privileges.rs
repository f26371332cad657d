//! What an ordinary user may do. Administrators may do everything and are not checked.
//!
//! Until grants exist the rule is ownership: a user works with the relations that he made.

use std::sync::Arc;

use tessera_catalog::UserDef;
use tessera_executor::{Prepared, SessionContext};
use tessera_types::{Report, codes};

/// 42501 when the statement touches a relation of somebody else.
pub(crate) fn check(
    user: &Arc<UserDef>,
    prepared: &Prepared,
    context: &SessionContext,
) -> Result<(), Report> {
    for id in prepared.relations() {
        let Some(relation) = context.catalog.relation_by_id(*id) else { continue };
        if relation.owner() != user.oid {
            return Err(Report::error(
                codes::INSUFFICIENT_PRIVILEGE,
                format!("permission denied for {} {}", relation.kind(), relation.name()),
            ));
        }
    }
    Ok(())
}
