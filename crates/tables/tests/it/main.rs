//! The row model over both engines.

mod locking;
mod model;
mod rebuild;
mod world;
