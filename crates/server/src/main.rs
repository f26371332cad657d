//! The `tessera` binary.

use std::process::ExitCode;

// Queries allocate on one thread and free on another; this allocator is made for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // For crash tests only: reads the variable FAILPOINTS.
    #[cfg(feature = "failpoints")]
    let _fail_points = fail::FailScenario::setup();
    tessera_server::run()
}
