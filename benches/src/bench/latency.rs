//! How long forward-auth makes a proxy wait at half load, alone and while the server does other work:
//! tokens minted and revoked, lists, a directory that syncs, people who sign in.

use std::time::Duration;

use serde_json::json;
use tokenhouse_benches::Failure;
use tokenhouse_benches::background::{Background, Work};
use tokenhouse_benches::fill::Filled;
use tokenhouse_benches::open_loop::{self, Delays};
use tokenhouse_benches::report;
use tokenhouse_benches::request::Request;
use tokenhouse_benches::rounds::{Measuring, all, ratio};
use tokenhouse_benches::server::pin_this_thread;
use tokenhouse_benches::tokenhouse::{Options, Tokenhouse, choose_password, make_admin};
use tokenhouse_benches::wrk::Wrk;
use tokio::runtime::Builder;

/// How long forward-auth makes a proxy wait at half load
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many tokens are in the store
    #[arg(long, default_value_t = 100_000)]
    tokens: usize,
    /// How many users there are
    #[arg(long, default_value_t = 10_000)]
    users: usize,
    #[command(flatten)]
    measuring: Measuring,
}

/// What else the server does. The first is what the others are compared with.
const CASES: [(&str, &[Work]); 7] = [
    ("nothing else", &[]),
    ("minting and revoking", &[Work::Mint]),
    ("lists", &[Work::List]),
    ("a directory syncs", &[Work::Sync]),
    ("these three", &[Work::Mint, Work::List, Work::Sync]),
    ("passwords", &[Work::SignIn]),
    ("all of them", &[Work::Mint, Work::List, Work::Sync, Work::SignIn]),
];

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { tokens, users, measuring } = arguments;
    let cores = measuring.cores()?;
    pin_this_thread(cores.load)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    std::fs::create_dir_all(&measuring.results)?;
    let folder = tempfile::tempdir_in(&measuring.results)?;
    let filled = runtime.block_on(Filled::new(folder.path(), tokens, users))?;
    let (invitation, admin) = make_admin(&filled)?;
    let tokenhouse = Tokenhouse::start(&filled, Options { core: cores.server, ..Options::default() })?;
    choose_password(&tokenhouse, &invitation)?;
    let token = filled.presented(1).next().ok_or("no token to present")?;
    let request = Request::forward_auth(&token);
    // A thread of its own, so that the load doesn't wait for it.
    let others = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let background = Background::new(tokenhouse.address, admin, token, others.handle().clone())?;

    let wrk = Wrk::new(&measuring)?;
    let prepared = wrk.prepare(tokenhouse.address, std::slice::from_ref(&request), 200)?;
    let half = wrk.run(&prepared, &[&tokenhouse])?.per_second / 2.0;
    println!("half load is {half:.0} requests each second");
    let time = Duration::from_secs(measuring.seconds);
    let runs = measuring.take_turns(CASES.len(), |case| {
        let load = open_loop::run(tokenhouse.address, &request, half, time);
        runtime.block_on(background.during(CASES[case].1, load))
    })?;
    tell(&measuring, half, &runs)
}

fn tell(measuring: &Measuring, half: f64, runs: &[Vec<Delays>]) -> Result<(), Failure> {
    let head = ["besides", "p50 µs", "p99 µs", "p99.9 µs", "p99 / nothing else", "% left out"];
    let mut table = vec![head.map(String::from)];
    let mut figures = Vec::new();
    for ((name, _), rounds) in CASES.iter().zip(runs) {
        let [p50, p99, p999] =
            [0.5, 0.99, 0.999].map(|share| all(rounds, |run| run.percentile_micros(share)));
        let to_idle = ratio(rounds, &runs[0], |run| run.percentile_micros(0.99));
        let left_out = all(rounds, |run| 100.0 * run.left_out());
        table.push([
            (*name).to_owned(),
            p50.text(0),
            p99.text(0),
            p999.text(0),
            to_idle.text(2),
            left_out.text(1),
        ]);
        figures.push(json!({
            "besides": name,
            "p50_micros": p50.json(),
            "p99_micros": p99.json(),
            "p999_micros": p999.json(),
            "p99_ratio_to_nothing_else": to_idle.json(),
            "percent_left_out": left_out.json(),
        }));
    }
    report::print(&table);
    let figures = json!({ "requests_per_second": half, "cases": figures });
    report::write(&measuring.results, &measuring.name("latency"), &figures)
}
