//! How long `tokenhouse serve` takes from exec until `/readyz` answers 200, with a full SQLite store
//! whose file is in the page cache.
#![allow(clippy::print_stdout, reason = "prints its result")]

use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;
use serde_json::json;
use tokenhouse_benches::fill::Filled;
use tokenhouse_benches::report::{self, Rounds};
use tokenhouse_benches::server::{Server, free_address};
use tokenhouse_benches::{Failure, TOKENS_PER_OWNER};

/// How long `tokenhouse serve` takes until it is ready
#[derive(Parser)]
struct Arguments {
    /// How many tokens are in the store, ten for each owner
    #[arg(long, default_value_t = 1_000_000)]
    tokens: usize,
    /// How often to start
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Folder for the figures as JSON
    #[arg(long, default_value = "bench-results")]
    results: PathBuf,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let Arguments { tokens, rounds, results } = Arguments::parse();
    let folder = tempfile::tempdir()?;
    let filling = Instant::now();
    let filled = Filled::new(folder.path(), tokens, tokens.div_ceil(TOKENS_PER_OWNER)).await?;
    println!("filled a store with {tokens} tokens in {:.1} s", filling.elapsed().as_secs_f64());
    // Once without counting, which warms the page cache.
    let starts = (0..=rounds).map(|_| start(&filled)).collect::<Result<Vec<_>, _>>()?;
    let seconds = Rounds::new(starts.into_iter().skip(1));
    println!("{tokens} tokens: ready after {} s", seconds.text(2));
    let figures = json!({ "tokens": tokens, "seconds_until_ready": seconds.json() });
    report::write(&results, &format!("startup-{tokens}"), &figures)
}

fn start(filled: &Filled) -> Result<f64, Failure> {
    let started = Instant::now();
    let server = Server::tokenhouse(filled, free_address()?, None)?;
    let seconds = started.elapsed().as_secs_f64();
    drop(server);
    Ok(seconds)
}
