//! Ids, values, SQL types, text and binary formats, units, limits and error codes.
