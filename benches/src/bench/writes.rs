//! How many tokens can be minted each second, on one connection and on many, against a bare loop of one-row
//! commits on the same disk.

use std::time::Duration;

use serde_json::json;
use tokenhouse_benches::fill::Filled;
use tokenhouse_benches::report;
use tokenhouse_benches::request::Request;
use tokenhouse_benches::rounds::{Measuring, all, ratio};
use tokenhouse_benches::tokenhouse::{Options, Tokenhouse, make_admin};
use tokenhouse_benches::wrk::Wrk;
use tokenhouse_benches::{Failure, TOKENS_PER_OWNER, commits};
use tokio::runtime::Runtime;

/// How many tokens can be minted each second
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many tokens are in the store before
    #[arg(long, default_value_t = 10_000)]
    tokens: usize,
    /// On how many connections tokens are minted
    #[arg(long, value_delimiter = ',', default_value = "1,8,32")]
    connections: Vec<usize>,
    /// By how many microseconds each sync of a file takes longer than on this disk
    #[arg(long, default_value_t = 0)]
    slow_sync: u32,
    #[command(flatten)]
    measuring: Measuring,
}

/// What a round gave.
struct Written {
    per_second: f64,
    p99_micros: f64,
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { tokens, connections, slow_sync, measuring } = arguments;
    let runtime = Runtime::new()?;
    // Not in memory, as a temporary folder may be: writing is what is measured.
    std::fs::create_dir_all(&measuring.results)?;
    let folder = tempfile::tempdir_in(&measuring.results)?;
    let filled = runtime.block_on(Filled::new(folder.path(), tokens, tokens.div_ceil(TOKENS_PER_OWNER)))?;
    let (_, admin) = make_admin(&filled)?;
    let options = Options { core: measuring.cores()?.server, slow_sync, ..Options::default() };
    let tokenhouse = Tokenhouse::start(&filled, options)?;
    let wrk = Wrk::new(&measuring)?;
    let time = Duration::from_secs(measuring.seconds);
    let (mut number, mut minted) = (0, 0.0);
    let before = tokenhouse.metric("tokenhouse_tokens")?;
    // The first case is the bare loop.
    let runs = measuring.take_turns(1 + connections.len(), |case| {
        if case == 0 {
            let bare = folder.path().join("bare.db");
            let per_second = commits::per_second_with_slow_syncs(&bare, time, slow_sync)?;
            return Ok(Written { per_second, p99_micros: f64::NAN });
        }
        number += 1;
        let requests = wrk.prepare(tokenhouse.address, &[Request::minting(number, &admin)], 201)?;
        let run = wrk.run_on(&requests, &[&tokenhouse], connections[case - 1])?;
        minted += run.per_second * run.seconds;
        Ok(Written { per_second: run.per_second, p99_micros: run.p99_micros })
    })?;
    // Answers alone prove nothing: there must be a token for each.
    let there = tokenhouse.metric("tokenhouse_tokens")? - before;
    if there < minted {
        return Err(format!("{minted} tokens were answered as minted, but {there} are there").into());
    }
    let name = if slow_sync == 0 { "writes".into() } else { format!("writes-slow-sync-{slow_sync}") };
    tell(&measuring, &measuring.name(&name), &connections, &runs)
}

fn tell(
    measuring: &Measuring,
    file: &str,
    connections: &[usize],
    runs: &[Vec<Written>],
) -> Result<(), Failure> {
    let mut table = vec![["", "each second", "/ bare loop", "p99 ms"].map(String::from)];
    let mut figures = Vec::new();
    let minting = connections.iter().map(|connections| format!("minted on {connections} connections"));
    for (name, rounds) in std::iter::once("bare commits of one row".to_owned()).chain(minting).zip(runs) {
        let (per_second, p99) = (all(rounds, |run| run.per_second), all(rounds, |run| run.p99_micros / 1e3));
        let to_bare = ratio(rounds, &runs[0], |run| run.per_second);
        table.push([name.clone(), per_second.text(0), to_bare.text(2), p99.text(1)]);
        figures.push(json!({
            "what": name,
            "per_second": per_second.json(),
            "ratio_to_bare": to_bare.json(),
            "p99_milliseconds": p99.json(),
        }));
    }
    report::print(&table);
    report::write(&measuring.results, file, &json!({ "writes": figures }))
}
