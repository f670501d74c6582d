//! The binary `tokenhouse`.

// Only programs that say so in their name may lack a part.
#[cfg(any(feature = "unfenced", feature = "unleased"))]
compile_error!("`unfenced` and `unleased` are for `cargo xtask chaos` only; build `tokenhouse` without them");

use std::process::ExitCode;

use clap::Parser as _;

/// See docs/benchmarks.md for what it is worth.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tokenhouse::command::run(tokenhouse::command::Arguments::parse())
}
