//! The HTTP port: health, metrics, version; keys, documents, SQL and transactions.
//!
//! # Map
//! - `api`: everything about data, under `/api/v1`.
//! - `server`: listens, bounds connections, drains.
//! - `head`: looks at the first request's head before the HTTP library does.
//! - `router`: routes and what every answer has in common.
//! - `swagger`: pages for people who try the API.
//! - `body`: takes bodies in, within limits, decoded.
//! - `host`: which `Host` and `Origin` headers are accepted.
//! - `health`: what the routes ask the rest of the program.
//! - `problem`: errors as `application/problem+json`.
//!
//! # Invariants
//! 1. A probe never waits for a statement, a lock or the disk.
//! 2. Who is not logged in learns only the status, never a reason.
//! 3. Heads, bodies, connections and waiting times are bounded.
//! 4. Whoever asks for data has logged in before his body is read, and data is reached through
//!    the engine's facade only.
//!
//! # Not here
//! The meaning of the data, the dashboard.

mod api;
mod body;
mod head;
mod health;
mod host;
mod problem;
mod router;
mod server;
mod swagger;

pub use api::{ApiOptions, openapi_text};
pub use health::{HealthSource, Status};
pub use server::{HttpError, HttpOptions, HttpServer};
