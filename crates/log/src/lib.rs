//! The one ordered durable log of committed transactions.
