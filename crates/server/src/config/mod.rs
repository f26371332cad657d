//! Every setting of the server, once; file, environment and flags laid over the defaults.
//!
//! # Map
//! - `table`: the settings: key, kind, default, meaning.
//! - `load`: reads the sources and remembers where each value comes from.
//! - `parse`: texts to values with units.
//! - `values`: the typed result and the checks between settings.
//! - `explain`: `tessera config check` and `show`, and the reference page.

mod explain;
mod load;
mod parse;
mod table;
mod values;

pub use explain::reference_page;
pub(crate) use explain::{explain, show};
pub(crate) use load::{ConfigError, Resolved, Sources, resolve};
pub(crate) use table::{Kind, SETTINGS, Setting};
pub(crate) use values::{Auth, Config};
