//! The binary `tokenhouse`.

use std::process::ExitCode;

use clap::Parser as _;

/// See docs/benchmarks.md for what it is worth.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tokenhouse::command::run(tokenhouse::command::Arguments::parse())
}
