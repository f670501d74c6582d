//! Every measurement; `xtask bench` runs them one after the other.
#![allow(clippy::print_stdout, reason = "prints its result")]

mod connections;
mod directory;
mod fleet;
mod gateway;
mod hmac;
mod latency;
mod load;
mod memory;
mod overload;
mod pages;
mod plots;
mod requests;
mod startup;
mod transports;
mod verify;
mod writes;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tokenhouse_benches::{Failure, commits};

/// The allocator of the server, whose memory is measured here, too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Tokenhouse, in processes of their own beside this program
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Connections(connections::Arguments),
    Directory(directory::Arguments),
    Fleet(fleet::Arguments),
    Gateway(gateway::Arguments),
    Hmac(hmac::Arguments),
    Latency(latency::Arguments),
    Load(load::Arguments),
    Memory(memory::Arguments),
    Overload(overload::Arguments),
    Pages(pages::Arguments),
    Plots(plots::Arguments),
    Requests(requests::Arguments),
    Startup(startup::Arguments),
    Transports(transports::Arguments),
    Verify(verify::Arguments),
    Writes(writes::Arguments),
    /// Commits one row after the other to this file for so many seconds, and tells how many each second
    #[command(hide = true)]
    Commits {
        file: PathBuf,
        seconds: u64,
    },
}

fn main() -> Result<(), Failure> {
    match Arguments::parse().what {
        What::Connections(arguments) => asynchronously(connections::run(arguments)),
        What::Directory(arguments) => asynchronously(directory::run(arguments)),
        What::Fleet(arguments) => asynchronously(fleet::run(arguments)),
        What::Gateway(arguments) => asynchronously(gateway::run(arguments)),
        What::Hmac(arguments) => hmac::run(arguments),
        What::Latency(arguments) => latency::run(arguments),
        What::Load(arguments) => asynchronously(load::run(arguments)),
        What::Memory(arguments) => asynchronously(memory::run(arguments)),
        What::Overload(arguments) => asynchronously(overload::run(arguments)),
        What::Pages(arguments) => asynchronously(pages::run(arguments)),
        What::Plots(arguments) => plots::run(arguments),
        What::Requests(arguments) => requests::run(arguments),
        What::Startup(arguments) => asynchronously(startup::run(arguments)),
        What::Transports(arguments) => asynchronously(transports::run(arguments)),
        What::Verify(arguments) => verify::run(arguments),
        What::Writes(arguments) => writes::run(arguments),
        What::Commits { file, seconds } => asynchronously(async move {
            println!("{}", commits::per_second(&file, Duration::from_secs(seconds)).await?);
            Ok(())
        }),
    }
}

fn asynchronously(measurement: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Runtime::new()?.block_on(measurement)
}
