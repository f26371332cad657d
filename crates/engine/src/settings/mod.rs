//! Session settings: what SET, SHOW, RESET, `set_config` and `current_setting` work on.
//!
//! # Map
//! - `definitions`: the table of all settings: type, default, unit, who may set it.
//! - `value`: texts to canonical values and back (`on`, `5s`, `64MB`).
//! - `store`: [`SessionSettings`]: one session's values, with undo for transactions.
//! - `effective`: [`Effective`]: the typed values that statements read.
//!
//! # Invariants
//! 1. Every stored value was checked by its definition; reading one cannot fail.
//! 2. A rolled back transaction or savepoint leaves no changed setting behind.
//! 3. `generation` grows with every change, so that nothing derived from settings is used stale.
//!
//! # Not here
//! The server's configuration file (`tessera-server`); what the settings do.

mod definitions;
mod effective;
mod store;
mod value;

pub(crate) use effective::Effective;
pub(crate) use store::{SessionSettings, TransactionCharacteristics};
pub(crate) use value::quote_element;
