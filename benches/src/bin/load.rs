//! What a check costs over HTTP: forward-auth against an empty 200, of the same server and of bare
//! yardsticks, in rounds that take turns, so that what else the machine does hits all of them.
//!
//! With two cores or more the server has one and wrk another.
#![allow(clippy::print_stdout, reason = "prints its result")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;
use tokenhouse_benches::fill::Filled;
use tokenhouse_benches::load::{ASKED_ABOUT, Requests, Run, Scripts};
use tokenhouse_benches::report::{self, Rounds};
use tokenhouse_benches::server::{Server, free_address, get};
use tokenhouse_benches::{Failure, TOKENS_PER_OWNER};

/// What a check costs over HTTP
#[derive(Parser)]
struct Arguments {
    /// How many tokens are in the store, ten for each owner
    #[arg(long, default_value_t = 1_000_000)]
    tokens: usize,
    /// How many of them are presented in turn
    #[arg(long, default_value_t = 10_000)]
    presented: usize,
    /// How often everything is measured
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// How long each measurement takes
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Folder for the figures as JSON
    #[arg(long, default_value = "bench-results")]
    results: PathBuf,
}

/// Everything that runs while measuring.
struct Bench {
    hyper: Server,
    axum: Server,
    tokenhouse: Server,
    metrics: SocketAddr,
    scripts: Scripts,
    seconds: u64,
    wrk_core: Option<usize>,
}

#[derive(Clone, Copy)]
enum Target {
    Hyper,
    Axum,
    Tokenhouse,
}

struct Case {
    name: &'static str,
    target: Target,
    path: &'static str,
    requests: Requests,
}

const fn case(name: &'static str, target: Target, path: &'static str, requests: Requests) -> Case {
    Case { name, target, path, requests }
}

/// Two of them are what the others are compared with: the first and [`OWN`].
const CASES: [Case; 7] = [
    case("bare hyper, empty 200", Target::Hyper, "/", Requests::Bare),
    case("bare hyper, the requests of forward-auth", Target::Hyper, "/", Requests::OneToken),
    case("axum, empty 200", Target::Axum, "/", Requests::Bare),
    case("/healthz", Target::Tokenhouse, "/healthz", Requests::Bare),
    case("/healthz, the requests of forward-auth", Target::Tokenhouse, "/healthz", Requests::OneToken),
    case("/forward-auth, one token", Target::Tokenhouse, "/forward-auth", Requests::OneToken),
    case("/forward-auth, many tokens", Target::Tokenhouse, "/forward-auth", Requests::ManyTokens),
];

/// Where in [`CASES`] the same server's own empty 200 is.
const OWN: usize = 3;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let folder = tempfile::tempdir()?;
    let filled =
        Filled::new(folder.path(), arguments.tokens, arguments.tokens.div_ceil(TOKENS_PER_OWNER)).await?;
    let tokens: Vec<_> = filled.presented(arguments.presented).collect();
    let bench = Bench::new(&filled, &tokens, arguments.seconds)?;
    let mut runs: [Vec<Run>; CASES.len()] = Default::default();
    for round in 0..arguments.rounds {
        // Each round begins with another one, so that none always comes after the same.
        for number in (0..CASES.len()).map(|number| (number + round) % CASES.len()) {
            runs[number].push(bench.run(&CASES[number])?);
        }
        println!("round {} of {}", round + 1, arguments.rounds);
    }
    tell(&arguments, &runs)
}

impl Bench {
    fn new(filled: &Filled, tokens: &[String], seconds: u64) -> Result<Self, Failure> {
        let cores = thread::available_parallelism()?.get();
        let (wrk_core, server_core) = if cores > 1 { (Some(0), Some(1)) } else { (None, None) };
        let metrics = free_address()?;
        let bench = Self {
            hyper: Server::yardstick("hyper", server_core)?,
            axum: Server::yardstick("axum", server_core)?,
            tokenhouse: Server::tokenhouse(filled, metrics, server_core)?,
            metrics,
            scripts: Scripts::write(&filled.database.with_file_name("."), tokens)?,
            seconds,
            wrk_core,
        };
        bench.expect_identity(tokens)?;
        Ok(bench)
    }

    /// A figure means nothing unless the answer is the right one.
    fn expect_identity(&self, tokens: &[String]) -> Result<(), Failure> {
        let asked = ASKED_ABOUT.map(|(name, value)| format!("{name}: {value}\r\n")).concat();
        let token = tokens.first().ok_or("no tokens to present")?;
        let headers = format!("Authorization: Bearer {token}\r\n{asked}");
        let answer = get(self.tokenhouse.address, "/forward-auth", &headers)?;
        let names = ["user-id", "user", "email", "role", "teams", "user-type", "token-id"];
        let whole = names.iter().all(|name| answer.contains(&format!("\r\nx-auth-{name}: ")));
        if answer.starts_with("HTTP/1.1 200 ") && whole {
            Ok(())
        } else {
            Err(format!("not the answer to a good token:\n{answer}").into())
        }
    }

    fn run(&self, case: &Case) -> Result<Run, Failure> {
        self.await_written_uses()?;
        let server = match case.target {
            Target::Hyper => &self.hyper,
            Target::Axum => &self.axum,
            Target::Tokenhouse => &self.tokenhouse,
        };
        self.scripts.run(server, case.path, case.requests, self.seconds, self.wrk_core)
    }

    /// What the case before has left to be written would be counted as this one's.
    fn await_written_uses(&self) -> Result<(), Failure> {
        let started = Instant::now();
        while !get(self.metrics, "/metrics", "")?.contains("\ntokenhouse_pending_uses 0\n") {
            if started.elapsed() > Duration::from_secs(30) {
                return Err("last uses are not written".into());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// A ratio above 1 means: better than what it is compared with. Both are of the same round.
fn ratio(ours: &[Run], theirs: &[Run], of: impl Fn(&Run, &Run) -> f64) -> Rounds {
    Rounds::new(ours.iter().zip(theirs).map(|(ours, theirs)| of(ours, theirs)))
}

fn tell(arguments: &Arguments, runs: &[Vec<Run>; CASES.len()]) -> Result<(), Failure> {
    let head = [
        "",
        "requests/s",
        "CPU µs/request",
        "busy",
        "p99 µs",
        "/ hyper",
        "/ healthz",
        "by CPU: / hyper",
        "/ healthz",
    ];
    let mut table = vec![head.map(String::from)];
    let mut figures = Vec::new();
    for (case, rounds) in CASES.iter().zip(runs) {
        let all = |of: fn(&Run) -> f64| Rounds::new(rounds.iter().map(of));
        let (rate, cpu) = (all(|run| run.per_second), all(|run| run.cpu_micros));
        let (busy, p99) = (all(|run| run.busy), all(|run| run.p99_micros));
        let by_rate = |base: usize| ratio(rounds, &runs[base], |a, b| a.per_second / b.per_second);
        let by_cpu = |base: usize| ratio(rounds, &runs[base], |a, b| b.cpu_micros / a.cpu_micros);
        let ratios = [by_rate(0), by_rate(OWN), by_cpu(0), by_cpu(OWN)];
        let [hyper, own, hyper_cpu, own_cpu] = &ratios;
        table.push([
            case.name.to_owned(),
            rate.text(0),
            cpu.text(1),
            format!("{:.0} %", busy.median() * 100.0),
            p99.text(0),
            hyper.text(2),
            own.text(2),
            hyper_cpu.text(2),
            own_cpu.text(2),
        ]);
        figures.push(json!({
            "case": case.name,
            "requests_per_second": rate.json(),
            "cpu_micros_per_request": cpu.json(),
            "busy": busy.json(),
            "p99_micros": p99.json(),
            "requests_per_second_ratio": { "hyper": hyper.json(), "healthz": own.json() },
            "cpu_ratio": { "hyper": hyper_cpu.json(), "healthz": own_cpu.json() },
        }));
    }
    report::print(&table);
    let figures = json!({ "tokens": arguments.tokens, "presented": arguments.presented, "cases": figures });
    report::write(&arguments.results, "load", &figures)
}
