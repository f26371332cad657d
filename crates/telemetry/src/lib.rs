//! Metric handles from one table, log set-up, correlation ids.
