//! Aggregation pipelines: documents through stages.
//!
//! Stages and operators are those of MongoDB (manual, "Aggregation Stages"), over JSON: `$match`,
//! `$project`, `$addFields` (`$set`), `$unset`, `$replaceRoot`, `$group`, `$sort`, `$limit`,
//! `$skip`, `$unwind`, `$lookup` (equality), `$count`. What is not here is refused by name.
//!
//! # Map
//! - `parse`: a tree to stages.
//! - `expression`: values computed from a document.
//! - `group`: accumulators.
//! - `run`: [`Aggregated`], the answer in batches.
//!
//! # Invariants
//! 1. `$match`, and a `$sort` and `$limit` behind it, at the front are a query with its indexes.
//! 2. `$group`, `$sort` and `$lookup` hold at most [`AGGREGATE_BYTES_MAX`] together; more is an
//!    error. Other stages stream.

mod expression;
mod group;
mod parse;
mod run;
#[cfg(test)]
mod tests;

pub use expression::EXPRESSION_DEPTH_MAX;
pub use run::{Aggregated, Collections, NoCollections};

use serde_json::Value;

use crate::error::Result;
use crate::filter::Filter;
use crate::order::Sort;
use crate::path::Path;
use crate::query::Projection;
use expression::Expression;
use group::Accumulator;

/// Stages of one pipeline.
pub const STAGES_MAX: usize = 64;
/// Bytes of documents and groups that the stages of one pipeline hold.
pub const AGGREGATE_BYTES_MAX: usize = 100 << 20;

/// A parsed pipeline.
#[derive(Clone, Debug)]
pub struct Pipeline {
    pub(crate) stages: Vec<Stage>,
}

#[derive(Clone, Debug)]
pub(crate) enum Stage {
    Match(Filter),
    Project {
        projection: Projection,
        computed: Vec<(Path, Expression)>,
    },
    AddFields(Vec<(Path, Expression)>),
    ReplaceRoot(Expression),
    Group {
        id: Expression,
        fields: Vec<(String, Accumulator, Expression)>,
    },
    Sort(Sort),
    Limit(u64),
    Skip(u64),
    Unwind {
        path: Path,
        index_field: Option<Path>,
        keeps_empty: bool,
    },
    Lookup {
        from: String,
        local: Path,
        foreign: Path,
        into: Path,
    },
    Count(String),
}

impl Pipeline {
    /// Parses `[{"$match": {...}}, {"$group": {...}}, ...]`.
    pub fn parse(value: &Value) -> Result<Pipeline> {
        parse::pipeline(value)
    }

    /// Names of other collections that the pipeline reads.
    pub fn collections(&self) -> Vec<&str> {
        let from = self.stages.iter().filter_map(|stage| match stage {
            Stage::Lookup { from, .. } => Some(from.as_str()),
            _ => None,
        });
        from.collect()
    }
}
