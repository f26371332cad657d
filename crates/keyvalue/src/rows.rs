//! Walks over the rows of a scan, one by one.

use std::sync::Arc;

use tessera_storage::{KeyRange, KeySpace, Row, Scan, ScanOptions};
use tessera_transactions::TxnView;

use crate::error::Result;

/// A scan under way, row by row.
pub(crate) struct Rows {
    scan: Box<dyn Scan>,
    batch: std::vec::IntoIter<Row>,
}

impl Rows {
    pub(crate) fn new(
        view: &Arc<TxnView>,
        space: KeySpace,
        range: KeyRange,
        options: ScanOptions,
    ) -> Rows {
        Rows {
            scan: view.scan(space, range, options),
            batch: Vec::new().into_iter(),
        }
    }

    /// The next row; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Row>> {
        loop {
            if let Some(row) = self.batch.next() {
                return Ok(Some(row));
            }
            match self.scan.next_batch().await? {
                Some(batch) => self.batch = batch.into_iter(),
                None => return Ok(None),
            }
        }
    }
}

/// How to read a range, in the few forms needed here.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Walk {
    pub(crate) reverse: bool,
    pub(crate) limit: Option<usize>,
    pub(crate) keys_only: bool,
    /// The walk will probably end early: read few rows at once.
    pub(crate) is_short: bool,
}

/// Bytes per batch of a walk that will probably end early.
const SHORT_BATCH_BYTES: usize = 4 * 1024;

impl Walk {
    pub(crate) const ALL: Walk = Walk {
        reverse: false,
        limit: None,
        keys_only: false,
        is_short: false,
    };
    pub(crate) const KEYS: Walk = Walk {
        reverse: false,
        limit: None,
        keys_only: true,
        is_short: false,
    };

    pub(crate) fn first(limit: usize) -> Walk {
        Walk {
            limit: Some(limit),
            ..Walk::ALL
        }
    }

    pub(crate) fn options(self) -> ScanOptions {
        ScanOptions {
            reverse: self.reverse,
            row_limit: self.limit,
            keys_only: self.keys_only,
            bytes_max: if self.is_short {
                SHORT_BATCH_BYTES
            } else {
                ScanOptions::BYTES_MAX_DEFAULT
            },
        }
    }
}
