//! A `tokenhouse` that answers checks without a lease, for `cargo xtask chaos` only.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    tokenhouse::command::run(tokenhouse::command::Arguments::parse())
}
