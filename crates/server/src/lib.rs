//! The tessera binary: wiring, configuration, signals.
