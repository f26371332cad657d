//! SQL text to a physical choice: parse, bind, access paths.
