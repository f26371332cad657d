//! Clock, randomness and files as arguments: real, in memory, and fault-injecting.
