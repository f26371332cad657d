//! Order-preserving keys, rows and checksums.
