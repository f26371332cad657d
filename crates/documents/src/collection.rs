//! A collection ready to use: its definition with everything that is derived from it once.

use std::collections::BTreeMap;
use std::sync::Arc;

use tessera_codec::json::JsonBuf;
use tessera_storage::{Key, KeySpace, ScanOptions, Snapshot, Val};
use tessera_transactions::Transaction;

use crate::definition::CollectionDef;
use crate::document::{Document, DocumentId, document_key, documents_range};
use crate::error::{DocumentError, Result};
use crate::index::Index;
use crate::schema::Schema;

/// A collection of documents. Made once per definition and shared.
#[derive(Debug)]
pub struct Collection {
    def: CollectionDef,
    indexes: Vec<Index>,
    schema: Option<Schema>,
}

impl Collection {
    /// Prepares a definition; refuses one that cannot be.
    pub fn new(def: CollectionDef) -> Result<Arc<Collection>> {
        Ok(Arc::new(Collection {
            indexes: Index::all(&def.indexes)?,
            schema: def.schema.as_ref().map(Schema::compile).transpose()?,
            def,
        }))
    }

    /// The definition.
    pub fn def(&self) -> &CollectionDef {
        &self.def
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.def.name
    }

    pub(crate) fn indexes(&self) -> &[Index] {
        &self.indexes
    }

    pub(crate) fn index(&self, name: &str) -> Result<&Index> {
        let found = self.indexes.iter().find(|index| index.name() == name);
        found.ok_or_else(|| DocumentError::NoSuchIndex {
            collection: self.def.name.clone(),
            index: name.to_owned(),
        })
    }

    pub(crate) fn key(&self, id: &DocumentId) -> Key {
        document_key(self.def.id, id.as_str())
    }

    /// The name of a document in the store, which is also what its lock is taken on.
    pub fn stored_key(&self, id: &DocumentId) -> Key {
        self.key(id)
    }

    /// The id that a document has by its name in the store.
    pub fn id_of_stored(stored_key: &[u8]) -> Result<DocumentId> {
        let id = stored_key.get(crate::document::PREFIX_BYTES..);
        let id = id.and_then(|id| std::str::from_utf8(id).ok());
        DocumentId::new(id.unwrap_or_default())
    }

    pub(crate) fn not_found(&self, id: &DocumentId) -> DocumentError {
        DocumentError::NotFound {
            collection: self.def.name.clone(),
            id: id.to_string(),
        }
    }

    /// The document of an id as `view` shows it; `None` if there is none.
    pub async fn get(&self, view: &dyn Snapshot, id: &DocumentId) -> Result<Option<Document>> {
        let key = self.key(id);
        match view.get(KeySpace::Rows, &key).await? {
            Some(stored) => Document::from_stored(&key, stored).map(Some),
            None => Ok(None),
        }
    }

    /// Every document in the order of ids, in batches of bounded size.
    pub fn scan(&self, view: Arc<dyn Snapshot>) -> DocumentScan {
        let range = documents_range(self.def.id);
        DocumentScan {
            scan: view.scan(KeySpace::Rows, range, ScanOptions::default()),
        }
    }

    /// Begins to fill an empty index from the documents that are there. The caller holds the X
    /// lock of the collection and calls [`IndexBuild::next_batch`] to the end, in one statement.
    pub fn build_index<'a>(&'a self, txn: &'a Transaction, name: &str) -> Result<IndexBuild<'a>> {
        Ok(IndexBuild {
            index: self.index(name)?,
            scan: self.scan(txn.newest_view()),
            collection: self,
            txn,
        })
    }

    /// Number of documents, after every index was found to hold exactly their entries.
    ///
    /// Holds all entries in memory: meant for tests and for offline checks.
    pub async fn check(&self, view: &Arc<dyn Snapshot>) -> Result<u64> {
        let mut count = 0;
        let mut expected: Vec<BTreeMap<Key, Val>> = vec![BTreeMap::new(); self.indexes.len()];
        let mut scan = self.scan(Arc::clone(view));
        while let Some(batch) = scan.next_batch().await? {
            for document in batch {
                count += 1;
                for (index, entries) in self.indexes.iter().zip(&mut expected) {
                    let set = index.entries(&document.subject()?, document.id().as_str())?;
                    for entry in set.entries {
                        if entries.insert(entry.key, entry.value).is_some() {
                            return Err(mismatch(index));
                        }
                    }
                }
            }
        }
        for (index, mut entries) in self.indexes.iter().zip(expected) {
            let options = ScanOptions::default();
            let mut scan = Arc::clone(view).scan(KeySpace::Indexes, index.entries_range(), options);
            while let Some(batch) = scan.next_batch().await? {
                for (key, value) in batch {
                    if entries.remove(&key).as_ref() != Some(&value) {
                        return Err(mismatch(index));
                    }
                }
            }
            if !entries.is_empty() {
                return Err(mismatch(index));
            }
        }
        Ok(count)
    }

    /// Reads and validates a body: an object that follows the schema. A member `_id` must name
    /// the document, and is not stored.
    pub(crate) fn prepare(&self, id: &DocumentId, mut body: serde_json::Value) -> Result<JsonBuf> {
        crate::write::take_id(&mut body, Some(id))?;
        if let Some(schema) = &self.schema {
            schema.check(&self.def.name, &body)?;
        }
        Ok(JsonBuf::from_value(&body)?)
    }
}

fn mismatch(index: &Index) -> DocumentError {
    DocumentError::IndexMismatch {
        index: index.name().to_owned(),
    }
}

/// Documents in the order of ids.
pub struct DocumentScan {
    scan: Box<dyn tessera_storage::Scan>,
}

impl DocumentScan {
    /// The next documents, never none; `None` at the end.
    pub async fn next_batch(&mut self) -> Result<Option<Vec<Document>>> {
        let Some(batch) = self.scan.next_batch().await? else {
            return Ok(None);
        };
        batch
            .into_iter()
            .map(|(key, value)| Document::from_stored(&key, value))
            .collect::<Result<_>>()
            .map(Some)
    }
}

/// Fills an index. What it writes is bounded in memory by the transaction's buffer, which spills.
pub struct IndexBuild<'a> {
    collection: &'a Collection,
    index: &'a Index,
    txn: &'a Transaction,
    scan: DocumentScan,
}

impl IndexBuild<'_> {
    /// Enters the next documents; their number, or `None` when all are entered.
    pub async fn next_batch(&mut self) -> Result<Option<usize>> {
        let Some(batch) = self.scan.next_batch().await? else {
            return Ok(None);
        };
        for document in &batch {
            self.index
                .build_entry(self.txn, &self.collection.def.name, document)
                .await?;
        }
        Ok(Some(batch.len()))
    }
}
