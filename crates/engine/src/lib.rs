//! The facade: the one door to the data, for the front doors and for programs that embed Tessera.
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use tessera_engine::{Engine, EngineOptions};
//!
//! let db = Engine::open(EngineOptions::memory()).await?;
//! let mut session = db.session("admin").await?;
//! session.run("CREATE TABLE city (name text PRIMARY KEY, people int)").await?;
//! session.run("INSERT INTO city VALUES ('Oslo', 717710), ('Bergen', 291940)").await?;
//! let rows = session.query("SELECT name FROM city WHERE people > $1", &[500_000.into()]).await?;
//! assert_eq!(rows.text(0, 0).as_deref(), Some("Oslo"));
//! db.close().await?;
//! # Ok::<(), tessera_engine::Report>(())
//! # }).unwrap();
//! ```
//!
//! # Map
//! - `options`: what an engine and a session are opened with.
//! - `engine`: [`Engine`]: opening, closing, health; `background`: its tasks.
//! - `activity`: the open sessions, cancelling, connection limits.
//! - `session`: [`Session`]: statements, transactions, prepared statements, cursors.
//! - [`changes`]: the change stream over all models. `listening`: LISTEN and NOTIFY.
//! - [`models`]: [`Client`](models::Client): keys and documents in the same transactions.
//! - `settings`: the registry behind SET and SHOW.
//! - `scram`, `users`, `role_statement`: password verifiers, who may log in; `throttle`: failed
//!   logins by address.
//! - `privileges`: what an ordinary user may do.
//! - `measure`: metrics of statements and transactions.
//! - `lexer`, `fingerprint`: recognizes a statement that was seen before with other literals.
//! - `result`: collected results, for callers that do not stream.
//!
//! # Invariants
//! 1. Every statement runs inside a transaction, and a failed statement leaves no write behind.
//! 2. A password is never kept, logged or shown: only its SCRAM verifier is.
//! 3. A session is used by one caller at a time; everything shared lives in the engine.
//!
//! # Not here
//! Sockets, wire formats, configuration files, signals.

mod activity;
mod background;
pub mod changes;
mod engine;
mod fingerprint;
mod lexer;
mod listening;
mod measure;
pub mod models;
mod options;
mod privileges;
mod result;
mod role_statement;
pub mod scram;
mod session;
mod settings;
mod throttle;
mod users;

pub use activity::{CancelHandle, SessionInfo};
pub use engine::{Engine, Health};
pub use options::{ADMIN, DATABASE, EngineOptions, SessionOptions, StoreKind};
pub use result::ResultSet;
pub use session::{
    CopyIn, CopyOut, Outcome, Portal, PortalStep, PreparedStatement, Rows, Session,
    SourceStatement, TransactionStatus,
};
/// The document model, for doors that speak it.
pub use tessera_documents as documents;
pub use tessera_executor::{CommandTag, OidNames, RowBatch};
/// The key-value model, for doors that speak it.
pub use tessera_keyvalue as keyvalue;
pub use tessera_planner::ColumnInfo;
pub use tessera_storage::Notice;
pub use tessera_transactions::{Isolation, Transaction, TxnView};
pub use tessera_types::{Report, Value};
pub use throttle::Throttle;
pub use users::{UserInfo, Users};
