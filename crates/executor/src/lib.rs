//! Executes statements: queries by DataFusion, writes and point statements on the store directly.
//!
//! # Map
//! - `executor`: [`Executor`]: prepare and execute; the plan cache.
//! - `context`: [`SessionContext`] and [`StatementContext`]: what a statement may know.
//! - `outcome`: [`Outcome`], [`RowStream`], [`RowBatch`].
//! - `expression`: single expressions over rows: DEFAULT, CHECK, RETURNING.
//! - `query`: bound plans to running streams; `scan`: tables as DataFusion sources;
//!   `access`: which key range a filter allows; `explain`.
//! - `operators`: arithmetic, comparison, pattern and cast kernels with PostgreSQL's results.
//! - `functions`: PostgreSQL's functions; `system_catalog`: `pg_catalog`, `information_schema`.
//! - `models`: who opens key spaces and collections.
//! - `short_path`, `dml`, `ddl`, `copy`: what does not go through DataFusion.
//! - `conflict`: lock conflicts and serialization failures in the words of the schema.
//! - `arrow_values`: SQL values in and out of Arrow arrays.
//!
//! # Invariants
//! 1. A physical plan holds no snapshot: scans take it from the task, so a plan may be reused.
//! 2. Every loop over rows looks at the statement's cancel token.
//! 3. Query work runs on the query runtime, never on a network thread; only short statements
//!    run where they are called.
//!
//! # Not here
//! Sessions, settings, transaction control, wire formats.

mod access;
mod arrow_values;
mod conflict;
mod context;
mod copy;
mod ddl;
mod dml;
mod executor;
mod explain;
pub mod expression;
mod functions;
mod models;
mod operators;
mod outcome;
mod query;
mod scan;
mod short_path;
mod system_catalog;

pub use arrow_values::{ArrayWriter, ColumnReader};
pub use conflict::explain;
pub use context::{
    ListeningChannels, NewestOf, Notices, SequenceState, ServerSessions, SessionContext,
    SessionRow, SessionState, SettingRow, Settings, StatementContext, Written, WrittenTables,
    catalog_of, statement_of,
};
pub use copy::{CopyIn, CopyOut};
pub use executor::{Executor, ExecutorOptions, Prepared};
pub use models::{OpenModels, collection_definition, collection_options};
pub use outcome::{CommandTag, Outcome, RowBatch, RowStream};
pub use system_catalog::names::OidNames;
pub use system_catalog::notify::{CHANNEL_BYTES_MAX, PAYLOAD_BYTES_MAX, notice};
