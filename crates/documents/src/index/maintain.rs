//! Entries follow their documents, and unique keys are checked.
//!
//! # Protocol
//! As in the row model: the key of a unique entry is a lock of its own, taken before the entry is
//! made and before it is removed, so whoever inserts a value that another transaction is deleting
//! waits for that transaction. Whether a key is taken is asked of the newest commit and own writes.
//! All locks and checks come before the first write, so a document that is refused leaves nothing.

use std::collections::BTreeSet;
use std::ops::Bound;

use tessera_locks::{Mode, Resource};
use tessera_storage::{Key, KeyRange, KeySpace, ScanOptions, Snapshot, Val};
use tessera_transactions::Transaction;
use tessera_types::RelationId;

use super::{Entry, EntrySet, Index, ttl};
use crate::document::{Document, DocumentId, Subject, prefix};
use crate::error::{DocumentError, Result};

/// What happens to the entries of one index.
#[derive(Debug)]
struct Changes<'a> {
    index: &'a Index,
    removed: Vec<Key>,
    added: Vec<Entry>,
    marks: Vec<usize>,
}

/// All changes of entries that come with one change of a document.
#[derive(Debug)]
pub(crate) struct IndexChanges<'a> {
    changes: Vec<Changes<'a>>,
}

impl<'a> IndexChanges<'a> {
    /// What to do when `old` becomes `new`.
    pub(crate) fn between(
        indexes: &'a [Index],
        old: Option<&Document>,
        new: Option<&Document>,
    ) -> Result<IndexChanges<'a>> {
        let mut changes = Vec::new();
        for index in indexes {
            let set_of = |document: Option<&Document>| match document {
                Some(document) => index.entries(&document.subject()?, document.id().as_str()),
                None => Ok(EntrySet::default()),
            };
            let (before, after) = (set_of(old)?, set_of(new)?);
            let kept: BTreeSet<&Entry> = before.entries.iter().collect();
            let wanted: BTreeSet<&Entry> = after.entries.iter().collect();
            let removed = before
                .entries
                .iter()
                .filter(|entry| !wanted.contains(entry))
                .map(|entry| entry.key.clone())
                .collect();
            let added = after
                .entries
                .iter()
                .filter(|entry| !kept.contains(entry))
                .cloned()
                .collect();
            changes.push(Changes {
                index,
                removed,
                added,
                marks: after.marks,
            });
        }
        Ok(IndexChanges { changes })
    }

    /// Locks unique keys and refuses those that another document has.
    pub(crate) async fn check(
        &self,
        txn: &Transaction,
        relation: RelationId,
        collection: &str,
        new: Option<&Document>,
    ) -> Result<()> {
        // In one order, so that two writers of the same keys do not wait for each other.
        let mut locks = BTreeSet::new();
        for change in self.changes.iter().filter(|change| change.index.is_unique) {
            locks.extend(change.removed.iter());
            locks.extend(change.added.iter().map(|entry| &entry.key));
        }
        for key in locks {
            lock_key(txn, relation, key).await?;
        }
        let Some(new) = new else {
            return Ok(());
        };
        for change in self.changes.iter().filter(|change| change.index.is_unique) {
            for entry in &change.added {
                let Some(value) = txn.get_newest(KeySpace::Indexes, &entry.key).await? else {
                    continue;
                };
                if change.index.id_of(&entry.key, &value)? != *new.id() {
                    return Err(DocumentError::Duplicate {
                        collection: collection.to_owned(),
                        index: change.index.name().to_owned(),
                        paths: change.index.paths(),
                        values: change.index.describe(&new.subject()?, &entry.key)?,
                    });
                }
            }
        }
        Ok(())
    }

    /// Writes the changes.
    pub(crate) async fn write(self, txn: &Transaction) -> Result<()> {
        for change in self.changes {
            for field in change.marks {
                set_mark(txn, change.index, field).await?;
            }
            for key in change.removed {
                txn.delete(KeySpace::Indexes, key)?;
            }
            for entry in change.added {
                txn.put(KeySpace::Indexes, entry.key, entry.value)?;
            }
        }
        Ok(())
    }
}

/// Marks never go away, so setting one needs no lock: all writers write the same.
async fn set_mark(txn: &Transaction, index: &Index, field: usize) -> Result<()> {
    let key = index.mark_key(field);
    if txn.get_newest(KeySpace::Indexes, &key).await?.is_none() {
        txn.put(KeySpace::Indexes, key, Val::from_static(&[1]))?;
    }
    Ok(())
}

async fn lock_key(txn: &Transaction, relation: RelationId, key: &[u8]) -> Result<()> {
    let resource = Resource::Row(relation, txn.manager().row_hash(relation, key));
    txn.lock(resource, Mode::X, &txn.lock_options()).await?;
    Ok(())
}

impl Index {
    /// Enters a document into this index alone, for building it. The collection is locked.
    pub(crate) async fn build_entry(
        &self,
        txn: &Transaction,
        collection: &str,
        document: &Document,
    ) -> Result<()> {
        let set = self.entries(&document.subject()?, document.id().as_str())?;
        if self.is_unique {
            for entry in &set.entries {
                if txn
                    .get_newest(KeySpace::Indexes, &entry.key)
                    .await?
                    .is_some()
                {
                    return Err(DocumentError::Duplicate {
                        collection: collection.to_owned(),
                        index: self.name().to_owned(),
                        paths: self.paths(),
                        values: self.describe(&document.subject()?, &entry.key)?,
                    });
                }
            }
        }
        for field in set.marks {
            set_mark(txn, self, field).await?;
        }
        for entry in set.entries {
            txn.put(KeySpace::Indexes, entry.key, entry.value)?;
        }
        Ok(())
    }

    /// The values of a document that an entry is made of, as JSON.
    fn describe(&self, subject: &Subject<'_>, entry_key: &[u8]) -> Result<String> {
        let mut rest = &entry_key[prefix(self.def.id).len()..];
        let mut texts = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            let mut found = None;
            let reached = field.path.reach(subject)?;
            for value in reached.values.iter().flatten() {
                let mut values = vec![*value];
                if let Some(array) = value.as_array() {
                    for element in array.iter() {
                        values.push(element?);
                    }
                }
                for value in values {
                    let (bytes, _) = super::entries::encode(&value, field.descending)?;
                    if rest.starts_with(&bytes) {
                        found = Some((value.to_text()?, bytes.len()));
                    }
                }
            }
            // A missing field is entered as null, which is one byte.
            let (text, length) = found.unwrap_or_else(|| ("null".to_owned(), 1));
            rest = rest.get(length..).unwrap_or_default();
            texts.push(text);
        }
        Ok(texts.join(", "))
    }

    /// Ids of documents whose expiry was at `unix_micros` or before, earliest first.
    pub(crate) async fn expired(
        &self,
        view: std::sync::Arc<dyn Snapshot>,
        unix_micros: i64,
        limit: usize,
    ) -> Result<Vec<DocumentId>> {
        let mut end = prefix(self.def.id).to_vec();
        // Expiries are whole, so the next one is the first that is too late.
        ttl::encode(unix_micros.saturating_add(1), &mut end);
        let range = KeyRange {
            start: self.entries_range().start,
            end: Bound::Excluded(end.into()),
        };
        let options = ScanOptions {
            row_limit: Some(limit),
            ..ScanOptions::default()
        };
        let mut scan = view.scan(KeySpace::Indexes, range, options);
        let mut ids = Vec::new();
        while let Some(batch) = scan.next_batch().await? {
            for (key, value) in batch {
                ids.push(self.id_of(&key, &value)?);
            }
        }
        Ok(ids)
    }

    /// Whether a document has expired by now.
    pub(crate) fn is_expired(&self, document: &Document, unix_micros: i64) -> Result<bool> {
        let Some(seconds) = self.ttl_seconds else {
            return Ok(false);
        };
        let reached = self.fields[0].path.reach(&document.subject()?)?;
        Ok(ttl::expiry(&reached, seconds)?.is_some_and(|expiry| expiry <= unix_micros))
    }
}
