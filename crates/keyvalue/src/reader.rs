//! What reads a key space: one view, one moment.

use std::sync::Arc;

use tessera_storage::{Key, KeyRange, KeySpace, Val};
use tessera_transactions::TxnView;

use crate::error::{KeyValueError, Result};
use crate::layout::{ElementKind, Elements, record_key};
use crate::record::{Body, Record, Tally, ValueType};
use crate::rows::{Rows, Walk};
use crate::space::Space;
use crate::time::UnixMillis;

/// Reads a key space as one view shows it at one moment. Takes no locks. A key that has expired by
/// `now` is not there.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    pub(crate) space: &'a Space,
    pub(crate) view: Arc<TxnView>,
    pub(crate) now: UnixMillis,
}

impl<'a> Reader<'a> {
    /// A reader over a statement's view (`Transaction::view`), or over what is committed now
    /// (`Transactions::view`).
    pub fn new(space: &'a Space, view: Arc<TxnView>, now: UnixMillis) -> Reader<'a> {
        Reader { space, view, now }
    }

    /// The moment that decides what has expired.
    pub fn now(&self) -> UnixMillis {
        self.now
    }

    /// The living record of a key.
    pub(crate) async fn record(&self, key: &[u8]) -> Result<Option<Record>> {
        let record_key = record_key(self.space.relation(), key);
        let Some(value) = self.view.get(KeySpace::Rows, &record_key).await? else {
            return Ok(None);
        };
        let record = Record::decode(&value)?;
        Ok((!record.is_expired(self.now)).then_some(record))
    }

    /// The living record of a key that must be of a type, if there is one.
    pub(crate) async fn typed(&self, key: &[u8], kind: ValueType) -> Result<Option<Record>> {
        match self.record(key).await? {
            Some(record) if record.body.value_type() != kind => Err(KeyValueError::WrongType),
            found => Ok(found),
        }
    }

    /// Type-checked elements of a collection with nothing but a tally.
    pub(crate) async fn collection(
        &self,
        key: &[u8],
        kind: ValueType,
    ) -> Result<Option<(Elements, Tally)>> {
        let Some(record) = self.typed(key, kind).await? else {
            return Ok(None);
        };
        let elements = self.elements(&record);
        let tally = match record.body {
            Body::Hash(tally)
            | Body::Set(tally)
            | Body::List { tally, .. }
            | Body::SortedSet { tally, .. } => tally,
            Body::Stream(state) => state.tally,
            Body::Small(_) | Body::Large { .. } => return Err(KeyValueError::WrongType),
        };
        Ok(Some((elements, tally)))
    }

    pub(crate) fn elements(&self, record: &Record) -> Elements {
        Elements::new(self.space.relation(), record.generation)
    }

    pub(crate) async fn element(&self, key: &[u8]) -> Result<Option<Val>> {
        Ok(self.view.get(KeySpace::Rows, key).await?)
    }

    /// Values of several elements, in the order asked.
    pub(crate) async fn many(&self, keys: Vec<Key>) -> Result<Vec<Option<Val>>> {
        let keys: Vec<_> = keys.into_iter().map(|key| (KeySpace::Rows, key)).collect();
        Ok(self.view.get_many(&keys).await?)
    }

    /// Walks over elements.
    pub(crate) fn rows(&self, range: KeyRange, walk: Walk) -> Rows {
        Rows::new(&self.view, KeySpace::Rows, range, walk.options())
    }

    /// Walks over all elements of a kind.
    pub(crate) fn all(&self, elements: Elements, kind: ElementKind, walk: Walk) -> Rows {
        self.rows(elements.range(kind, b""), walk)
    }
}
