//! Tests of the lock manager through its public interface.

mod allocation;
mod bench_like;
mod cancel;
mod deadlock;
mod observe;
mod property;
mod script;
