//! The HTTP port: health, metrics, version, a page that says what this is.
//!
//! # Map
//! - `server`: listens, bounds connections, drains.
//! - `head`: looks at the first request's head before the HTTP library does.
//! - `router`: routes and what every answer has in common.
//! - `host`: which `Host` and `Origin` headers are accepted.
//! - `health`: what the routes ask the rest of the program.
//! - `problem`: errors as `application/problem+json`.
//!
//! # Invariants
//! 1. A probe never waits for a statement, a lock or the disk.
//! 2. Who is not logged in learns only the status, never a reason.
//! 3. Heads, bodies, connections and waiting times are bounded.
//!
//! # Not here
//! Data access over HTTP, logins, the dashboard.

mod head;
mod health;
mod host;
mod problem;
mod router;
mod server;

pub use health::{HealthSource, Status};
pub use server::{HttpError, HttpOptions, HttpServer};
