//! The Store trait and its engines: embedded and memory.
