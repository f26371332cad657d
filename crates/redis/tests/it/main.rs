//! A real server on a free port over a store in memory, spoken to in raw RESP.

#![expect(clippy::unwrap_used, reason = "a test ends where something fails")]

mod abuse;
mod blocking;
mod dropped;
mod login;
mod metrics;
mod notation;
mod notifications;
mod page;
mod pipelines;
mod script;
mod support;
mod transactions;
mod wire;
