//! What a check costs by each way that a request may come: over a connection that stays open or a new one,
//! HTTP/2, TLS 1.3; each against an empty 200 of bare hyper by the same way.

use std::path::Path;

use serde_json::json;
use tokenhouse_benches::certificate::Certificate;
use tokenhouse_benches::fill::Filled;
use tokenhouse_benches::h2load::{self, Protocol};
use tokenhouse_benches::report;
use tokenhouse_benches::request::Request;
use tokenhouse_benches::rounds::{Measuring, all, ratio};
use tokenhouse_benches::server::Server;
use tokenhouse_benches::tokenhouse::{Options, Tokenhouse};
use tokenhouse_benches::wrk::{Prepared, Run, Wrk};
use tokenhouse_benches::{Failure, TOKENS_PER_OWNER};

/// What a check costs by each way that a request may come
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    measuring: Measuring,
}

/// Tokens in each of both stores: a server holds its store, so that the one for TLS needs another.
const TOKENS: usize = 1_000;

enum Load {
    Wrk(Prepared),
    H2load(Protocol, Request),
}

/// By one way; empty 200 of bare hyper, and forward-auth.
struct Case<'a> {
    transport: &'static str,
    servers: [&'a Server; 2],
    loads: [Load; 2],
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { measuring } = arguments;
    let core = measuring.cores()?.server;
    let [folder, tls_folder] = [tempfile::tempdir()?, tempfile::tempdir()?];
    let certificate = Certificate::new(tls_folder.path())?;
    let (plain, request) = tokenhouse(folder.path(), None, core).await?;
    let (tls, tls_request) = tokenhouse(tls_folder.path(), Some(&certificate), core).await?;
    let hyper = Server::yardstick("any", None, core)?;
    let hyper_tls = Server::yardstick("any", Some(&certificate), core)?;
    let wrk = Wrk::new(&measuring)?;

    let by_wrk = |transport, request: Request| {
        let bare = wrk.prepare(hyper.address, &[request.clone().to_yardstick()], 200)?;
        let loads = [bare, wrk.prepare(plain.address, &[request], 200)?].map(Load::Wrk);
        Ok::<_, Failure>(Case { transport, servers: [&hyper, &plain], loads })
    };
    let by_h2load = |transport, protocol, servers, request: &Request| {
        let loads =
            [request.clone().to_yardstick(), request.clone()].map(|request| Load::H2load(protocol, request));
        Case { transport, servers, loads }
    };
    let cases = [
        by_wrk("HTTP/1.1, connections stay open", request.clone())?,
        by_wrk("HTTP/1.1, a connection for each request", request.clone().closing())?,
        by_h2load("HTTP/2", Protocol::Http2, [&hyper, &plain], &request),
        by_h2load("HTTP/1.1 over TLS 1.3", Protocol::Http1Tls, [&hyper_tls, &tls], &tls_request),
        by_h2load("HTTP/2 over TLS 1.3", Protocol::Http2Tls, [&hyper_tls, &tls], &tls_request),
    ];
    let runs = measuring.take_turns(2 * cases.len(), |number| {
        let Case { servers, loads, .. } = &cases[number / 2];
        let server = servers[number % 2];
        match &loads[number % 2] {
            Load::Wrk(requests) => wrk.run(requests, &[server]),
            Load::H2load(protocol, request) => h2load::run(&measuring, *protocol, request, server),
        }
    })?;
    tell(&measuring, &cases, &runs)
}

/// A Tokenhouse on a store of its own, and what it is asked.
async fn tokenhouse(
    folder: &Path,
    certificate: Option<&Certificate>,
    core: Option<usize>,
) -> Result<(Tokenhouse, Request), Failure> {
    let filled = Filled::new(folder, TOKENS, TOKENS / TOKENS_PER_OWNER).await?;
    let token = filled.presented(1).next().ok_or("no token to present")?;
    let options = Options { certificate, core, ..Options::default() };
    Ok((Tokenhouse::start(&filled, options)?, Request::forward_auth(&token)))
}

fn tell(measuring: &Measuring, cases: &[Case<'_>], runs: &[Vec<Run>]) -> Result<(), Failure> {
    let head = ["", "hyper, requests/s", "CPU µs", "forward-auth, requests/s", "CPU µs", "ratio", "by CPU"];
    let mut table = vec![head.map(String::from)];
    let mut figures = Vec::new();
    for (case, runs) in cases.iter().zip(runs.chunks(2)) {
        let [hyper, ours] = runs else { return Err("a case has two servers".into()) };
        let [hyper_rate, our_rate] = [hyper, ours].map(|runs| all(runs, |run| run.per_second));
        let [hyper_cpu, our_cpu] = [hyper, ours].map(|runs| all(runs, |run| run.cpu_micros));
        let by_rate = ratio(ours, hyper, |run| run.per_second);
        let by_cpu = ratio(hyper, ours, |run| run.cpu_micros);
        table.push([
            case.transport.to_owned(),
            hyper_rate.text(0),
            hyper_cpu.text(1),
            our_rate.text(0),
            our_cpu.text(1),
            by_rate.text(2),
            by_cpu.text(2),
        ]);
        figures.push(json!({
            "transport": case.transport,
            "hyper": { "requests_per_second": hyper_rate.json(), "cpu_micros_per_request": hyper_cpu.json() },
            "forward_auth": { "requests_per_second": our_rate.json(), "cpu_micros_per_request": our_cpu.json() },
            "ratio": { "requests_per_second": by_rate.json(), "cpu": by_cpu.json() },
        }));
    }
    report::print(&table);
    let figures = json!({ "tokens": TOKENS, "transports": figures });
    report::write(&measuring.results, &measuring.name("transports"), &figures)
}
