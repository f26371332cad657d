//! Filter, sort, page and projection.

use std::sync::Arc;

use tessera_storage::Snapshot;
use tessera_transactions::Transaction;

use super::plan::{Explain, Usable, order_of_range, plan};
use super::token::Token;
use super::{Query, SORT_BYTES_MAX, Source};
use crate::collection::Collection;
use crate::document::Document;
use crate::error::{DocumentError, Result};
use crate::filter::Filter;
use crate::order::Sort;

/// Bytes that a sort counts for each document besides its own.
const SORT_OVERHEAD_BYTES: usize = 64;

/// The documents of an answer, in batches.
pub struct Found {
    collection: Arc<Collection>,
    query: Query,
    order: Sort,
    is_order_chosen: bool,
    after: Option<Vec<u8>>,
    source: Source,
    /// The rest of what was sorted in memory, last first; `None` while documents stream.
    sorted: Option<Vec<Sorted>>,
    sorts: bool,
    is_full_scan: bool,
    skipped: usize,
    given: usize,
    is_over: bool,
    last: Option<Document>,
}

/// The order of an answer, and where it goes on.
struct Ordered {
    order: Sort,
    /// Not asked for.
    is_chosen: bool,
    token: Option<Token>,
}

/// A document with its place in the order.
struct Sorted {
    key: Vec<u8>,
    document: Document,
}

impl Collection {
    /// Begins to answer a query from `view`.
    pub async fn find(self: &Arc<Self>, view: Arc<dyn Snapshot>, query: &Query) -> Result<Found> {
        self.find_with(view, query, Usable::All).await
    }

    /// As [`Collection::find`], without looking at any index: for tests that compare answers.
    pub async fn find_by_full_scan(
        self: &Arc<Self>,
        view: Arc<dyn Snapshot>,
        query: &Query,
    ) -> Result<Found> {
        self.find_with(view, query, Usable::None).await
    }

    /// As [`Collection::find`], with no other index than the one of that name: what
    /// [`Collection::way`] has chosen before.
    pub async fn find_along(
        self: &Arc<Self>,
        view: Arc<dyn Snapshot>,
        query: &Query,
        index: Option<&str>,
    ) -> Result<Found> {
        let usable = index.map_or(Usable::None, Usable::Only);
        self.find_with(view, query, usable).await
    }

    async fn find_with(
        self: &Arc<Self>,
        view: Arc<dyn Snapshot>,
        query: &Query,
        usable: Usable<'_>,
    ) -> Result<Found> {
        let Ordered {
            order,
            is_chosen,
            token,
        } = self.ordered(&*view, query, usable).await?;
        let plan = plan(self, &*view, &query.filter, &order, token.as_ref(), usable).await?;
        let after = token.map(|token| {
            let mut key = token.fields;
            order.append_id(&token.id, &mut key);
            key
        });
        Ok(Found {
            collection: Arc::clone(self),
            query: query.clone(),
            after,
            source: Source::new(self, view, &plan),
            sorted: None,
            sorts: !plan.is_sorted && !order.is_empty(),
            is_full_scan: plan.is_full_scan(),
            order,
            is_order_chosen: is_chosen,
            skipped: 0,
            given: 0,
            is_over: false,
            last: None,
        })
    }

    /// The order of a query's answer: pages need one.
    async fn ordered(
        &self,
        view: &dyn Snapshot,
        query: &Query,
        usable: Usable<'_>,
    ) -> Result<Ordered> {
        if let Some(text) = &query.after {
            let (token, order) = Token::from_text(text, self.def().id, &query.sort)?;
            return Ok(Ordered {
                is_chosen: query.sort.is_empty() && order.id_direction().is_none(),
                order,
                token: Some(token),
            });
        }
        if !query.sort.is_empty() || !query.has_pages() {
            return Ok(Ordered {
                order: query.sort.clone(),
                is_chosen: false,
                token: None,
            });
        }
        let chosen = order_of_range(self, view, &query.filter, usable).await?;
        Ok(Ordered {
            is_chosen: chosen.is_some(),
            order: chosen.unwrap_or_else(Sort::by_id),
            token: None,
        })
    }

    /// How a query would be answered.
    pub async fn explain(&self, view: &dyn Snapshot, query: &Query) -> Result<Explain> {
        let Ordered { order, token, .. } = self.ordered(view, query, Usable::All).await?;
        let plan = plan(
            self,
            view,
            &query.filter,
            &order,
            token.as_ref(),
            Usable::All,
        )
        .await?;
        Ok(plan.explain(self, &query.filter, &order))
    }

    /// Number of documents that match.
    pub async fn count(self: &Arc<Self>, view: Arc<dyn Snapshot>, filter: &Filter) -> Result<u64> {
        let mut found = self.find(view, &Query::new(filter.clone())).await?;
        let mut count = 0;
        while let Some(batch) = found.next_batch().await? {
            count += batch.len() as u64;
        }
        Ok(count)
    }

    /// What a statement looks at for a change by filter.
    pub(crate) async fn candidates(
        self: &Arc<Self>,
        txn: &Transaction,
        filter: &Filter,
    ) -> Result<Source> {
        let view: Arc<dyn Snapshot> = txn.view();
        let plan = plan(self, &*view, filter, &Sort::default(), None, Usable::All).await?;
        Ok(Source::new(self, view, &plan))
    }
}

impl Found {
    /// The next documents, never none; `None` at the end.
    pub async fn next_batch(&mut self) -> Result<Option<Vec<Document>>> {
        loop {
            if self.is_over || self.query.limit.is_some_and(|limit| self.given >= limit) {
                return Ok(None);
            }
            let batch = if self.sorts {
                self.next_sorted().await?
            } else {
                self.next_matching().await?
            };
            let Some(batch) = batch else {
                self.is_over = true;
                return Ok(None);
            };
            let batch = self.page(batch)?;
            if !batch.is_empty() {
                return Ok(Some(batch));
            }
        }
    }

    /// All documents of the rest.
    pub async fn collect(mut self) -> Result<Vec<Document>> {
        let mut all = Vec::new();
        while let Some(mut batch) = self.next_batch().await? {
            all.append(&mut batch);
        }
        Ok(all)
    }

    /// Where the page ended, after its last document was given: for [`Query::after`]. `None`
    /// without paging, or when fewer documents than the limit were there.
    pub fn token(&self) -> Result<Option<String>> {
        let is_full = self.query.limit.is_some_and(|limit| self.given >= limit);
        let (true, true, Some(last)) = (self.query.paging, is_full, &self.last) else {
            return Ok(None);
        };
        let token = Token {
            fields: self.order.field_key(&last.subject()?)?,
            id: last.id().to_string(),
        };
        token
            .to_text(self.collection.def().id, &self.order, self.is_order_chosen)
            .map(Some)
    }

    /// Documents read so far, those that do not match included.
    pub fn examined(&self) -> u64 {
        self.source.examined()
    }

    pub(crate) fn was_full_scan(&self) -> bool {
        self.is_full_scan
    }

    pub(crate) fn asked(&self) -> (&Collection, &Filter, &Sort) {
        (&self.collection, &self.query.filter, &self.query.sort)
    }

    /// The next candidates that match and lie behind the page before.
    async fn next_matching(&mut self) -> Result<Option<Vec<Document>>> {
        let Some(batch) = self.source.next_batch().await? else {
            return Ok(None);
        };
        let mut kept = Vec::with_capacity(batch.len());
        for document in batch {
            if self.query.filter.matches(&document)? && self.is_behind(&document)? {
                kept.push(document);
            }
        }
        Ok(Some(kept))
    }

    fn is_behind(&self, document: &Document) -> Result<bool> {
        match &self.after {
            Some(after) => Ok(self.key(document)? > *after),
            None => Ok(true),
        }
    }

    fn key(&self, document: &Document) -> Result<Vec<u8>> {
        let mut key = self.order.field_key(&document.subject()?)?;
        self.order.append_id(document.id().as_str(), &mut key);
        Ok(key)
    }

    async fn next_sorted(&mut self) -> Result<Option<Vec<Document>>> {
        if self.sorted.is_none() {
            self.sorted = Some(self.sort().await?);
        }
        let sorted = self.sorted.get_or_insert_default();
        let kept = sorted
            .len()
            .saturating_sub(super::source::BATCH_DOCUMENTS_MAX);
        let batch: Vec<Document> = sorted
            .split_off(kept)
            .into_iter()
            .rev()
            .map(|sorted| sorted.document)
            .collect();
        Ok((!batch.is_empty()).then_some(batch))
    }

    /// Sorts all that match, or as many as the page needs. The result is reversed, so that its
    /// end can be cut off.
    async fn sort(&mut self) -> Result<Vec<Sorted>> {
        let wanted = self
            .query
            .limit
            .and_then(|limit| limit.checked_add(self.query.skip));
        let mut all: Vec<Sorted> = Vec::new();
        let mut bytes = 0;
        let size = |sorted: &Sorted| {
            sorted.key.len() + sorted.document.stored().len() + SORT_OVERHEAD_BYTES
        };
        while let Some(batch) = self.next_matching().await? {
            for document in batch {
                let sorted = Sorted {
                    key: self.key(&document)?,
                    document,
                };
                bytes += size(&sorted);
                all.push(sorted);
            }
            // Twice the page, so that cutting costs a constant per document.
            if let Some(wanted) = wanted
                && (all.len() / 2 > wanted.max(super::source::BATCH_DOCUMENTS_MAX)
                    || bytes > SORT_BYTES_MAX)
            {
                all.sort_unstable_by(|a, b| a.key.cmp(&b.key));
                all.truncate(wanted);
                bytes = all.iter().map(size).sum();
            }
            if bytes > SORT_BYTES_MAX {
                return Err(DocumentError::Limit {
                    what: "the memory of a sort in bytes",
                    limit: SORT_BYTES_MAX,
                });
            }
        }
        all.sort_unstable_by(|a, b| b.key.cmp(&a.key));
        Ok(all)
    }

    /// Skips, limits and projects.
    fn page(&mut self, mut batch: Vec<Document>) -> Result<Vec<Document>> {
        let skipped = batch.len().min(self.query.skip - self.skipped);
        batch.drain(..skipped);
        self.skipped += skipped;
        if let Some(limit) = self.query.limit {
            batch.truncate(limit - self.given);
        }
        self.given += batch.len();
        if self.query.paging
            && let Some(last) = batch.last()
        {
            self.last = Some(last.clone());
        }
        match &self.query.projection {
            None => Ok(batch),
            Some(projection) => batch
                .iter()
                .map(|document| projection.document(document))
                .collect(),
        }
    }
}
