//! The binary `tokenhouse`.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    tokenhouse::command::run(tokenhouse::command::Arguments::parse())
}
