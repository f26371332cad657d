//! The meaning of the row model: rows, keys, constraints, indexes.
