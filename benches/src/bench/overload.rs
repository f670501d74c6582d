//! What happens past capacity: good answers and refusals each second on ever more connections, against
//! what 32 connections get. All of them ask again at once, so beyond the peak each further one is overload.

use serde_json::json;
use tokenhouse_benches::fill::Filled;
use tokenhouse_benches::report;
use tokenhouse_benches::request::Request;
use tokenhouse_benches::rounds::{Measuring, all, ratio};
use tokenhouse_benches::server::{Server, raise_file_limit};
use tokenhouse_benches::tokenhouse::{Options, Tokenhouse, make_admin};
use tokenhouse_benches::wrk::{CONNECTIONS, Run, Wrk};
use tokenhouse_benches::{Failure, TOKENS_PER_OWNER};

/// What happens past capacity
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many tokens are in the store before
    #[arg(long, default_value_t = 10_000)]
    tokens: usize,
    /// How many connections are too many
    #[arg(long, value_delimiter = ',', default_value = "64,512,2048")]
    connections: Vec<usize>,
    #[command(flatten)]
    measuring: Measuring,
}

/// What a bare server loses shows what the system itself, and the load, lose with more connections.
const KINDS: [&str; 3] = ["bare hyper, empty 200", "forward-auth", "minting"];

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { tokens, connections, measuring } = arguments;
    // For wrk and the server, too, which inherit it.
    raise_file_limit()?;
    std::fs::create_dir_all(&measuring.results)?;
    let folder = tempfile::tempdir_in(&measuring.results)?;
    let filled = Filled::new(folder.path(), tokens, tokens.div_ceil(TOKENS_PER_OWNER)).await?;
    let (_, admin) = make_admin(&filled)?;
    let core = measuring.cores()?.server;
    let options = Options { core, ..Options::default() };
    let hyper = Server::yardstick("hyper", None, core)?;
    let tokenhouse = Tokenhouse::start(&filled, options)?;
    let wrk = Wrk::new(&measuring)?;
    let connections: Vec<usize> = std::iter::once(CONNECTIONS).chain(connections).collect();
    let mut number = 0;
    let runs = measuring.take_turns(KINDS.len() * connections.len(), |case| {
        number += 1;
        let (server, request, status): (&Server, _, _) = match case / connections.len() {
            0 => (&hyper, Request::get("/"), 200),
            1 => (&tokenhouse, Request::forward_auth(&admin), 200),
            _ => (&tokenhouse, Request::minting(number, &admin), 201),
        };
        let requests = wrk.prepare(server.address, &[request], status)?;
        let before = other_errors(&tokenhouse)?;
        let run = wrk.overload(&requests, &[server], connections[case % connections.len()])?;
        if other_errors(&tokenhouse)? > before {
            return Err("requests were refused with another status than 503".into());
        }
        Ok(run)
    })?;
    tell(&measuring, &connections, &runs)
}

/// How many answers had an error as their status that isn't 503.
fn other_errors(tokenhouse: &Tokenhouse) -> Result<f64, Failure> {
    let answers = tokenhouse.answers()?;
    Ok(answers.iter().filter(|(status, _)| **status >= 400 && **status != 503).map(|(_, count)| count).sum())
}

fn tell(measuring: &Measuring, connections: &[usize], runs: &[Vec<Run>]) -> Result<(), Failure> {
    let head = ["", "connections", "good answers/s", "/ 32 connections", "503/s", "p99 ms"];
    let mut table = vec![head.map(String::from)];
    let mut figures = Vec::new();
    for (kind, runs) in KINDS.iter().zip(runs.chunks(connections.len())) {
        for (connections, rounds) in connections.iter().zip(runs) {
            let (good, refused) = (all(rounds, |run| run.per_second), all(rounds, |run| run.refused));
            let p99 = all(rounds, |run| run.p99_micros / 1e3);
            let to_peak = ratio(rounds, &runs[0], |run| run.per_second);
            table.push([
                (*kind).to_owned(),
                connections.to_string(),
                good.text(0),
                to_peak.text(2),
                refused.text(0),
                p99.text(1),
            ]);
            figures.push(json!({
                "kind": kind,
                "connections": connections,
                "good_per_second": good.json(),
                "ratio_to_32_connections": to_peak.json(),
                "refused_per_second": refused.json(),
                "p99_milliseconds": p99.json(),
            }));
        }
    }
    report::print(&table);
    report::write(&measuring.results, &measuring.name("overload"), &json!({ "overload": figures }))
}
