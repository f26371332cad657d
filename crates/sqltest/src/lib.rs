//! SQL logic tests over the engine and over the wire.
