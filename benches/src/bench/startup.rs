//! How long `tokenhouse serve` takes from exec until `/readyz` answers 200, with a full SQLite store
//! whose file is in the page cache.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;
use tokenhouse_benches::Failure;
use tokenhouse_benches::fill::Filled;
use tokenhouse_benches::report::{self, Rounds};
use tokenhouse_benches::tokenhouse::{Options, Tokenhouse};

/// How long `tokenhouse serve` takes until it is ready
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many tokens are in the stores, ten for each owner
    #[arg(long, value_delimiter = ',', default_value = "1000,1000000")]
    tokens: Vec<usize>,
    /// How often to start on each store
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Folder for the figures as JSON
    #[arg(long, default_value = "bench-results")]
    results: PathBuf,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { tokens, rounds, results } = arguments;
    let mut table = vec![["tokens", "s until ready"].map(String::from)];
    let mut figures = Vec::new();
    for tokens in tokens {
        let (filled, _) = Filled::shared(&results, tokens).await?;
        // Once without counting, which warms the page cache.
        let starts = (0..=rounds).map(|_| start(&filled)).collect::<Result<Vec<_>, _>>()?;
        let seconds = Rounds::new(starts.into_iter().skip(1));
        table.push([tokens.to_string(), seconds.text(2)]);
        figures.push(json!({ "tokens": tokens, "seconds_until_ready": seconds.json() }));
    }
    report::print(&table);
    report::write(&results, "startup", &json!({ "starts": figures }))
}

fn start(filled: &Filled) -> Result<f64, Failure> {
    let started = Instant::now();
    let tokenhouse = Tokenhouse::start(filled, Options::default())?;
    let seconds = started.elapsed().as_secs_f64();
    drop(tokenhouse);
    Ok(seconds)
}
