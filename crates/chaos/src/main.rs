//! Three real servers on a real PostgreSQL, to which one thing after the other happens while clients make, revoke
//! and check tokens. Looks for what a fleet promises never to do: accept a token in a check that began after its
//! revoke had been acknowledged. `cargo xtask chaos` builds and runs it.
#![allow(clippy::expect_used, clippy::panic, reason = "a test without its fleet must fail")]
#![allow(clippy::print_stdout, reason = "speaks to people at a terminal")]

mod client;
mod connection;
mod fault;
mod fleet;
mod history;
mod proxy;
mod report;
mod tokens;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, iter, thread};

use clap::Parser;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::client::Clients;
use crate::fault::{Fault, Kind};
use crate::fleet::Fleet;
use crate::report::Row;

/// Looks for a token that passes after its revoke was acknowledged, while things go wrong
#[derive(Parser)]
struct Arguments {
    /// The server, as it was built
    #[arg(long)]
    binary: PathBuf,
    /// Goes on for so long at least, and until every kind of fault has been there
    #[arg(long, default_value_t = 0)]
    seconds: u64,
    /// Goes on for so many answered checks at least
    #[arg(long, default_value_t = 0)]
    checks: usize,
    /// Decides on the faults and on what the clients do
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The server lacks a part: ends well as soon as that was noticed, and only then
    #[arg(long)]
    weakened: bool,
    /// File for the figures as JSON
    #[arg(long)]
    results: Option<PathBuf>,
}

/// How long nothing is the matter between two faults.
const QUIET: Duration = Duration::from_millis(500);

/// So many accepts, refusals and 503 there have to be, or the run shows nothing.
const ENOUGH: usize = 1_000;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = Runtime::new().expect("a runtime");
    // On this thread, which stays: what it starts ends with it.
    let (mut fleet, admin) = Fleet::start(&arguments.binary, &runtime);
    let clients = Arc::new(Clients::new(&fleet, &admin));
    let working = runtime.block_on(clients.start(arguments.seed));
    disturb(&arguments, &mut fleet, &clients, &runtime);
    runtime.block_on(clients.stop(working));
    let wrong = judge(&arguments, &fleet, &clients, &runtime);
    if wrong.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("\nWRONG:\n{}\n\nThe ends of the logs:\n{}", wrong.join("\n"), fleet.logs());
    ExitCode::FAILURE
}

/// Lets faults happen, one at a time, as long as is wanted.
fn disturb(arguments: &Arguments, fleet: &mut Fleet, clients: &Clients, runtime: &Runtime) {
    let (history, mut random) = (&clients.history, StdRng::seed_from_u64(arguments.seed));
    let first = Fault::short_round();
    let least = first.len();
    let rounds = iter::once(first).chain(iter::repeat_with(|| Fault::round(&mut random)));
    for (number, fault) in (1..).zip(rounds.flatten()) {
        history.enter(Kind::Nothing);
        thread::sleep(QUIET);
        let spared = fault.is_spared.then(|| runtime.block_on(clients.spare(fault.node)));
        println!("{:7.1} s  {}", history.now().as_secs_f64(), fault.description(fleet));
        history.enter(fault.kind);
        fault.inflict(fleet);
        fleet.recover();
        drop(spared);
        let is_long_enough = history.now() >= Duration::from_secs(arguments.seconds);
        let is_enough = is_long_enough && history.events().answered() >= arguments.checks;
        let is_noticed = arguments.weakened && !history.events().violations().is_empty();
        if is_noticed || (number >= least && is_enough) {
            break;
        }
    }
    history.enter(Kind::Nothing);
}

/// Tells what the run was like, and gives what is wrong.
fn judge(arguments: &Arguments, fleet: &Fleet, clients: &Clients, runtime: &Runtime) -> Vec<String> {
    let end = clients.history.now();
    let events = clients.history.events().clone();
    let (violations, rows) = (events.violations(), report::rows(&events, end));
    let sum = |of: fn(&Row) -> usize| rows.iter().map(of).sum::<usize>();
    println!("\n{}", report::table(&rows));
    println!("{} checks, {} violations\n", sum(Row::checks), violations.len());
    let mut wrong = Vec::new();
    if arguments.weakened {
        if violations.is_empty() {
            wrong.push("nothing was noticed, although a part is missing".to_owned());
        }
    } else {
        if !violations.is_empty() {
            wrong.push(format!("{} accepts after an acknowledged revoke", violations.len()));
            wrong.push(report::around(&violations, &events));
        }
        let counts: [fn(&Row) -> usize; 3] = [|row| row.accepted, |row| row.refused, |row| row.unavailable];
        if counts.into_iter().any(|count| sum(count) < ENOUGH) {
            wrong.push(format!("less than {ENOUGH} accepts, refusals or 503: this shows nothing"));
        }
        wrong.extend(runtime.block_on(clients.check_all(&mut StdRng::seed_from_u64(arguments.seed))));
        println!("The audit trail is whole up to {}", fleet.verify_audit());
    }
    if let Some(file) = &arguments.results {
        let figures = json!({
            "seed": arguments.seed,
            "seconds": end.as_secs_f64(),
            "checks": sum(Row::checks),
            "violations": violations,
            "faults": rows,
            "wrong": wrong,
        });
        fs::write(file, format!("{figures:#}\n")).expect("a file for the figures");
    }
    wrong
}
