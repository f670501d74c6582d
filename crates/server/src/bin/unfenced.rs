//! A `tokenhouse` that acknowledges before other nodes know, for `cargo xtask chaos` only.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    tokenhouse::command::run(tokenhouse::command::Arguments::parse())
}
