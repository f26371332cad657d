//! Locks of keys ahead of the commands that use them, and whether a key has changed.

use tessera_locks::{Mode, Resource};
use tessera_storage::Key;
use tessera_transactions::Transaction;
use tessera_types::RelationId;

use crate::fault::Result;

/// Marks a record among what a key space stores; see `layout` of the key-value model.
const RECORDS: u8 = 1;

/// The store's key of a key's record: relation, mark, key. It is what the model locks, and it is
/// written by every change of the key or of anything below it.
pub(crate) fn record_key(relation: RelationId, key: &[u8]) -> Key {
    let mut out = Vec::with_capacity(5 + key.len());
    out.extend_from_slice(&relation.0.to_be_bytes());
    out.push(RECORDS);
    out.extend_from_slice(key);
    Key::from(out)
}

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
