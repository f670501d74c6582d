//! What checks cost over HTTP, and how that grows with the number of tokens: forward-auth, introspection
//! and a read of our own API, against an empty 200 of bare hyper, axum and nginx.

use serde_json::json;
use tokenhouse_benches::Failure;
use tokenhouse_benches::fill::Filled;
use tokenhouse_benches::nginx;
use tokenhouse_benches::report;
use tokenhouse_benches::request::Request;
use tokenhouse_benches::rounds::{Measuring, all, ratio};
use tokenhouse_benches::server::Server;
use tokenhouse_benches::tokenhouse::{Options, Tokenhouse};
use tokenhouse_benches::wrk::{Prepared, Run, Wrk};

/// What checks cost over HTTP
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many tokens are in the stores, ten for each owner; everything is measured on each store
    #[arg(long, value_delimiter = ',', default_value = "1000,1000000")]
    tokens: Vec<usize>,
    /// How many of them are presented in turn
    #[arg(long, default_value_t = 10_000)]
    presented: usize,
    #[command(flatten)]
    measuring: Measuring,
}

struct Case<'a> {
    name: &'static str,
    server: &'a Server,
    /// How many tokens there are, if any.
    tokens: Option<usize>,
    requests: Prepared,
}

struct Store {
    tokens: usize,
    presented: Vec<String>,
    admin: String,
    tokenhouse: Tokenhouse,
}

/// What everything is compared with, and what is compared from store to store.
const YARDSTICK: &str = "bare hyper, empty 200";

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { tokens, presented, measuring } = arguments;
    let core = measuring.cores()?.server;
    let mut stores = Vec::new();
    for tokens in tokens {
        let (filled, admin) = Filled::shared(&measuring.results, tokens).await?;
        let tokenhouse = Tokenhouse::start(&filled, Options { core, ..Options::default() })?;
        stores.push(Store { tokens, presented: filled.presented(presented).collect(), admin, tokenhouse });
    }
    let folder = tempfile::tempdir()?;
    let yardsticks = ["hyper", "identity", "axum"].map(|kind| Server::yardstick(kind, None, core));
    let [hyper, identity, axum] = yardsticks;
    let (hyper, identity, axum) = (hyper?, identity?, axum?);
    let nginx = nginx::empty(folder.path(), core)?;
    let wrk = Wrk::new(&measuring)?;
    let mut cases = bare_cases(&wrk, [&hyper, &identity, &axum, &nginx])?;
    for store in &stores {
        cases.extend(our_cases(&wrk, store)?);
    }
    let runs = measuring.take_turns(cases.len(), |case| {
        for store in &stores {
            store.tokenhouse.await_written_uses()?;
        }
        wrk.run(&cases[case].requests, &[cases[case].server])
    })?;
    tell(&measuring, presented, &cases, &runs)
}

fn bare_cases<'a>(
    wrk: &Wrk,
    [hyper, identity, axum, nginx]: [&'a Server; 4],
) -> Result<Vec<Case<'a>>, Failure> {
    let bare = |name, server: &'a Server, request: Request| {
        Ok(Case { name, server, tokens: None, requests: wrk.prepare(server.address, &[request], 200)? })
    };
    // As long as a request of forward-auth, to show what reading it costs.
    let long = Request::forward_auth(&"x".repeat(361)).to_yardstick();
    [
        bare(YARDSTICK, hyper, Request::get("/")),
        bare("bare hyper, the requests of forward-auth", hyper, long.clone()),
        bare("bare hyper, requests and answers of forward-auth", identity, long),
        bare("axum, empty 200", axum, Request::get("/")),
        bare("nginx, return 200", nginx, Request::get("/")),
    ]
    .into_iter()
    .collect()
}

fn our_cases<'a>(wrk: &Wrk, store: &'a Store) -> Result<Vec<Case<'a>>, Failure> {
    let Store { tokens, presented, admin, tokenhouse } = store;
    let each = |request: &dyn Fn(&str) -> Request| -> Vec<_> {
        presented.iter().map(|token| request(token)).collect()
    };
    let case = |name, requests: &[Request]| {
        let requests = wrk.prepare(tokenhouse.address, requests, 200)?;
        Ok(Case { name, server: tokenhouse, tokens: Some(*tokens), requests })
    };
    let forward_auth = each(&Request::forward_auth);
    let introspection =
        each(&|token| Request::post("/oauth/introspect", format!("token={token}")).bearer(admin));
    let current = each(&|token| Request::get("/api/user-tokens/current").bearer(token));
    [
        case("/forward-auth, one token", &forward_auth[..1]),
        case("/forward-auth, many tokens", &forward_auth),
        case("/oauth/introspect, many tokens", &introspection),
        case("/api/user-tokens/current, many tokens", &current),
    ]
    .into_iter()
    .collect()
}

fn tell(
    measuring: &Measuring,
    presented: usize,
    cases: &[Case<'_>],
    runs: &[Vec<Run>],
) -> Result<(), Failure> {
    let head = [
        "",
        "tokens",
        "requests/s",
        "CPU µs/request",
        "busy",
        "p99 µs",
        "requests/s / hyper",
        "by CPU",
        "/ the first store",
        "by CPU",
    ];
    let mut table = vec![head.map(String::from)];
    let mut figures = Vec::new();
    for (case, rounds) in cases.iter().zip(runs) {
        // The same on the first store. Bare servers have none, and are compared with themselves.
        let first = cases.iter().position(|other| other.name == case.name).unwrap_or_default();
        let rate = |base: usize| ratio(rounds, &runs[base], |run: &Run| run.per_second);
        let cpu = |base: usize| ratio(&runs[base], rounds, |run: &Run| run.cpu_micros);
        let ratios = [rate(0), cpu(0), rate(first), cpu(first)];
        let (per_second, cpu_micros) = (all(rounds, |run| run.per_second), all(rounds, |run| run.cpu_micros));
        let (busy, p99) = (all(rounds, |run| run.busy), all(rounds, |run| run.p99_micros));
        let tokens = case.tokens.map_or_else(String::new, |tokens| tokens.to_string());
        table.push([
            case.name.to_owned(),
            tokens,
            per_second.text(0),
            cpu_micros.text(1),
            format!("{:.0} %", busy.median() * 100.0),
            p99.text(0),
            ratios[0].text(2),
            ratios[1].text(2),
            ratios[2].text(2),
            ratios[3].text(2),
        ]);
        figures.push(json!({
            "case": case.name,
            "tokens": case.tokens,
            "requests_per_second": per_second.json(),
            "cpu_micros_per_request": cpu_micros.json(),
            "busy": busy.json(),
            "p99_micros": p99.json(),
            "ratio_to_hyper": { "requests_per_second": ratios[0].json(), "cpu": ratios[1].json() },
            "ratio_to_first_store": { "requests_per_second": ratios[2].json(), "cpu": ratios[3].json() },
        }));
    }
    report::print(&table);
    let figures = json!({ "presented": presented, "cases": figures });
    report::write(&measuring.results, &measuring.name("load"), &figures)
}
