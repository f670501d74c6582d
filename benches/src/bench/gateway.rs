//! What the gateway costs: an API reached directly, through the gateway, and through nginx that asks our
//! forward-auth about each request. The same requests, tokens and rules.

use serde_json::json;
use tempfile::TempDir;
use tokenhouse_benches::fill::Filled;
use tokenhouse_benches::nginx;
use tokenhouse_benches::report;
use tokenhouse_benches::request::Request;
use tokenhouse_benches::rounds::{Measuring, all, ratio};
use tokenhouse_benches::server::Server;
use tokenhouse_benches::tokenhouse::{Options, Tokenhouse};
use tokenhouse_benches::wrk::{Run, Wrk};
use tokenhouse_benches::{Failure, TOKENS_PER_OWNER};

/// What the gateway costs
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many tokens are in the store
    #[arg(long, default_value_t = 10_000)]
    tokens: usize,
    /// How many of them are presented in turn
    #[arg(long, default_value_t = 1_000)]
    presented: usize,
    #[command(flatten)]
    measuring: Measuring,
}

const WAYS: [&str; 4] =
    ["directly", "gateway", "gateway, assertions reused", "nginx, auth_request and proxy_pass"];
/// Where in [`WAYS`] is what the others are compared with.
const DIRECT: usize = 0;
const NGINX: usize = 3;

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { tokens, presented, measuring } = arguments;
    let core = measuring.cores()?.server;
    let nginx_folder = tempfile::tempdir()?;
    let api = Server::yardstick("upstream", None, core)?;
    let options = Options { upstream: Some(api.address), core, ..Options::default() };
    // A store belongs to one server.
    let signing = Gateway::start(tokens, presented, options).await?;
    let reusing = Gateway::start(tokens, presented, Options { reuse_assertions: true, ..options }).await?;
    let nginx = nginx::asking(nginx_folder.path(), signing.server.address, api.address, core)?;
    let wrk = Wrk::new(&measuring)?;
    refuse_strangers(&[&signing.server, &reusing.server, &nginx])?;
    // Whom the requests are sent to comes first. The CPU time of the API counts only when it is alone.
    let servers: [&[&Server]; WAYS.len()] =
        [&[&api], &[&signing.server], &[&reusing.server], &[&nginx, &signing.server]];
    let requests = [&signing, &signing, &reusing, &signing].map(|gateway| &gateway.requests);
    let prepared = servers.iter().zip(requests);
    let prepared = prepared.map(|(servers, requests)| wrk.prepare(servers[0].address, requests, 200));
    let prepared = prepared.collect::<Result<Vec<_>, _>>()?;
    let runs = measuring.take_turns(WAYS.len(), |way| {
        signing.server.await_written_uses()?;
        reusing.server.await_written_uses()?;
        wrk.run(&prepared[way], servers[way])
    })?;
    tell(&measuring, &runs)
}

/// A gateway, with its store and requests that it lets through.
struct Gateway {
    server: Tokenhouse,
    requests: Vec<Request>,
    _folder: TempDir,
}

impl Gateway {
    async fn start(tokens: usize, presented: usize, options: Options<'_>) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let filled = Filled::new(folder.path(), tokens, tokens.div_ceil(TOKENS_PER_OWNER)).await?;
        let tokens = filled.presented(presented);
        let requests = tokens.map(|token| Request::get("/api/orders/4711?page=2").bearer(&token)).collect();
        Ok(Self { server: Tokenhouse::start(&filled, options)?, requests, _folder: folder })
    }
}

/// Who doesn't ask would be fast.
fn refuse_strangers(servers: &[&Server]) -> Result<(), Failure> {
    servers
        .iter()
        .try_for_each(|server| Request::get("/api/orders/4711").expect(server.address, 401).map(drop))
}

fn tell(measuring: &Measuring, runs: &[Vec<Run>]) -> Result<(), Failure> {
    let head = ["", "requests/s", "/ directly", "/ nginx", "CPU µs/request", "/ nginx", "p99 µs"];
    let mut table = vec![head.map(String::from)];
    let mut figures = Vec::new();
    for (way, rounds) in WAYS.iter().zip(runs) {
        let (per_second, cpu) = (all(rounds, |run| run.per_second), all(rounds, |run| run.cpu_micros));
        let p99 = all(rounds, |run| run.p99_micros);
        let [to_direct, to_nginx] =
            [DIRECT, NGINX].map(|other| ratio(rounds, &runs[other], |run| run.per_second));
        let cpu_to_nginx = ratio(rounds, &runs[NGINX], |run| run.cpu_micros);
        table.push([
            (*way).to_owned(),
            per_second.text(0),
            to_direct.text(2),
            to_nginx.text(2),
            cpu.text(1),
            cpu_to_nginx.text(2),
            p99.text(0),
        ]);
        figures.push(json!({
            "way": way,
            "requests_per_second": per_second.json(),
            "cpu_micros_per_request": cpu.json(),
            "p99_micros": p99.json(),
            "ratio_to_direct": { "requests_per_second": to_direct.json() },
            "ratio_to_nginx": { "requests_per_second": to_nginx.json(), "cpu": cpu_to_nginx.json() },
        }));
    }
    report::print(&table);
    println!(
        "CPU time is that of whoever stands between client and API, together; directly, that of the API."
    );
    report::write(&measuring.results, &measuring.name("gateway"), &json!({ "ways": figures }))
}
