//! Arguments to command to exit code.

use std::process::ExitCode;

/// Reserves what is asked for and takes it from the system only when it is touched. Without huge pages, which would hold
/// ten megabytes more while the broker is idle. The decoder does not rely on it: see `protocol::request`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    klamm::cli::run(std::env::args_os())
}
