//! Begin, read, write, lock, savepoint, validate, commit, roll back.
