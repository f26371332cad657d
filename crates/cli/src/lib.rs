//! Client commands: interactive SQL, users, configuration, checks.
