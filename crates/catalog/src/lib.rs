//! Schema objects with version ids, users and statistics.
