//! Locks of keys ahead of the commands that use them.

use tessera_locks::{Mode, Resource};
use tessera_storage::Key;
use tessera_transactions::Transaction;
use tessera_types::RelationId;

use crate::fault::Result;

/// Locks records until the transaction ends, in one order for everybody, so that those who do this
/// do not deadlock among each other. Takes no snapshot.
pub(crate) async fn lock(
    txn: &Transaction,
    relation: RelationId,
    mut keys: Vec<(Key, Mode)>,
) -> Result<()> {
    // Of a key that is there twice, the stronger lock is taken, at once.
    keys.sort_by(|a, b| {
        let strength = |mode: Mode| usize::from(mode != Mode::X);
        a.0.cmp(&b.0).then(strength(a.1).cmp(&strength(b.1)))
    });
    keys.dedup_by(|later, earlier| later.0 == earlier.0);
    let options = txn.lock_options();
    let hash = |key: &Key| txn.manager().row_hash(relation, key);
    for (key, mode) in &keys {
        let resource = Resource::Row(relation, hash(key));
        txn.lock(resource, *mode, &options).await?;
    }
    Ok(())
}
