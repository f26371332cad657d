//! Finding documents: what is asked, and the answer in batches.
//!
//! # Map
//! - `plan`: which way to the documents, and whether it gives the order that is asked for.
//! - `source`: documents along that way, batch by batch.
//! - `find`: filter, sort, page, projection: [`Found`].
//! - `token`: where a page ends, as text.
//! - `projection`: which fields an answer has.

mod find;
mod plan;
mod projection;
mod source;
mod token;

pub use find::Found;
pub use plan::{Explain, Way};
pub use projection::{PROJECTION_PATHS_MAX, Projection};
pub(crate) use source::Source;
pub use token::TOKEN_BYTES_MAX;

use crate::filter::Filter;
use crate::order::Sort;

/// Bytes that a sort in memory may hold.
pub const SORT_BYTES_MAX: usize = 64 << 20;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Query {
    /// Which documents.
    pub filter: Filter,
    /// In which order; empty for any. When `paging`, that of an index that has the filter's range,
    /// otherwise that of ids.
    pub sort: Sort,
    /// Which fields of them.
    pub projection: Option<Projection>,
    /// How many to leave out at the start (of a page).
    pub skip: usize,
    /// How many at most.
    pub limit: Option<usize>,
    /// Whether a token for the next page is wanted.
    pub paging: bool,
    /// The token with which the page before ended. Pages are stable: what was before the token is
    /// not given again, whatever was written in between.
    pub after: Option<String>,
}

impl Query {
    /// All documents that match.
    pub fn new(filter: Filter) -> Query {
        Query {
            filter,
            sort: Sort::default(),
            projection: None,
            skip: 0,
            limit: None,
            paging: false,
            after: None,
        }
    }

    fn has_pages(&self) -> bool {
        self.paging || self.after.is_some()
    }
}
