//! `cargo xtask`: what a contributor needs besides cargo.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "speaks to people at a terminal")]

mod bench;
mod chaos;
mod checks;
mod programs;
mod shell;

use std::process::ExitCode;

use clap::Parser;

use crate::chaos::Length;
use crate::programs::Missing;
use crate::shell::{Shell, ShellError};

/// What a contributor to Tokenhouse needs.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Xtask {
    /// Installs what is missing and runs everything that has to pass, up to the first failure
    Test,
    /// Only installs what the tests need and is missing
    Install,
    /// Lets one thing after the other happen to a fleet, and looks for a token that passes after its revoke
    Chaos {
        #[command(flatten)]
        length: Length,
    },
    /// Measures what the documentation gives figures of; `docs/benchmarks.md` says how
    Bench {
        /// Fewer and shorter rounds and stores: less than three minutes instead of two hours
        #[arg(long)]
        quick: bool,
    },
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Shell(#[from] ShellError),
    #[error(transparent)]
    Missing(#[from] Missing),
}

fn main() -> ExitCode {
    match run(&Xtask::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\n{failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Xtask) -> Result<(), Failure> {
    let shell = Shell::new()?;
    match task {
        Xtask::Test => {
            programs::install(&shell)?;
            checks::run(&shell)?;
        }
        Xtask::Install => programs::install(&shell)?,
        Xtask::Chaos { length } => {
            programs::install_programs(&shell, programs::FOR_CHAOS)?;
            chaos::run(&shell, length)?;
        }
        Xtask::Bench { quick } => {
            programs::install_programs(&shell, programs::FOR_BENCHMARKS)?;
            bench::run(&shell, *quick)?;
        }
    }
    Ok(())
}
