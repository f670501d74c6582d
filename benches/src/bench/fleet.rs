//! What a fleet costs: how long a revoke waits until it is in effect on every node, how many checks a node
//! answers against a server alone, how long a node takes to join.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokenhouse_benches::Failure;
use tokenhouse_benches::fill::Filled;
use tokenhouse_benches::report::{self, Rounds};
use tokenhouse_benches::request::Request;
use tokenhouse_benches::rounds::{Cores, Measuring, all, ratio};
use tokenhouse_benches::server::on_core;
use tokenhouse_benches::tokenhouse::{Options, Tokenhouse};
use tokenhouse_benches::wrk::Wrk;
use tokenhouse_core::people::Role;
use tokenhouse_testkit::postgres::Postgres;
use tokenhouse_testkit::server::{Database, TestServer};

/// What a fleet costs
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Of how many nodes fleets are made to revoke in
    #[arg(long, value_delimiter = ',', default_value = "1,3,10,30,100")]
    nodes: Vec<usize>,
    /// How many tokens are revoked in each
    #[arg(long, default_value_t = 300)]
    revokes: usize,
    /// How many tokens are in the store of checks and joining, ten for each owner
    #[arg(long, default_value_t = 1_000_000)]
    tokens: usize,
    #[command(flatten)]
    measuring: Measuring,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { nodes, revokes, tokens, measuring } = arguments;
    // First, while no other PostgreSQL takes time of either core.
    let checks = check(&measuring, tokens).await?;
    let mut table = vec![
        [
            "nodes",
            "revoke, ms",
            "p99",
            "restore, ms",
            "p99",
            "p99 of the wait",
            "restored everywhere after, p99",
        ]
        .map(String::from),
    ];
    let mut figures = Vec::new();
    for nodes in nodes {
        figures.push(revoke(nodes, revokes, &mut table).await?);
    }
    report::print(&table);
    report::write(
        &measuring.results,
        &measuring.name("fleet"),
        &json!({ "revokes": figures, "checks": checks }),
    )
}

/// Revokes and restores one token in turn: the same transaction, after which only the revoke waits for all nodes.
/// The nodes are in this process, each with an index, connections and a lease of its own.
async fn revoke(nodes: usize, rounds: usize, table: &mut Vec<[String; 7]>) -> Result<Value, Failure> {
    let first = TestServer::builder().on(Database::Postgres).in_fleet().start().await;
    let mut others = Vec::new();
    for number in 1..nodes {
        others.push(TestServer::builder().beside(&first, &format!("node-{number}")).start().await);
    }
    let admin = first.person("Ada", Role::Admin).await;
    let token = first.service_user("Pipeline", Role::Member).await.token_id;
    let client = first.as_(&admin.token);
    let mut millis = [Vec::new(), Vec::new()];
    let mut seen = Vec::new();
    for round in 0..=rounds {
        for (revoke, millis) in [true, false].into_iter().zip(&mut millis) {
            let path = format!("/api/user-tokens/{token}");
            let started = Instant::now();
            let answer = client.put(&path, &json!({ "revoke": revoke })).await;
            let took = started.elapsed().as_secs_f64() * 1e3;
            let answer = answer.expect(200).json();
            // The first of each makes connections.
            if round > 0 {
                millis.push(took);
            }
            if !revoke {
                let widened = first.app.feed.applied();
                while others.iter().any(|other| other.app.feed.applied() < widened) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                seen.push(started.elapsed().as_secs_f64() * 1e3 - took);
            }
            let all =
                !revoke || answer["receipt"]["nodes"].as_array().is_some_and(|lines| lines.len() == nodes);
            if !all {
                return Err(format!("not every node has acknowledged: {}", answer["receipt"]).into());
            }
        }
    }
    let [revoked, restored] = millis.map(Rounds::new);
    let [slow, base] = [&revoked, &restored].map(|millis| millis.percentile(0.99));
    let ms = |millis: f64| format!("{millis:.1}");
    let seen = Rounds::new(seen).percentile(0.99);
    let [revoked_text, restored_text] = [&revoked, &restored].map(|millis| millis.text(1));
    table.push([
        nodes.to_string(),
        revoked_text,
        ms(slow),
        restored_text,
        ms(base),
        ms(slow - base),
        ms(seen),
    ]);
    Ok(json!({
        "nodes": nodes, "revoke_ms": revoked.json(), "revoke_p99_ms": slow,
        "restore_ms": restored.json(), "restore_p99_ms": base,
        "restored_everywhere_p99_ms": seen,
    }))
}

/// Forward-auth by a node of three against a server alone, with the same tokens; and how long the third took to
/// join. PostgreSQL and the other nodes are on other machines in truth: they are on the core of the load.
async fn check(measuring: &Measuring, tokens: usize) -> Result<Value, Failure> {
    let Cores { server: core, load } = measuring.cores()?;
    let (filled, _) = Filled::shared(&measuring.results, tokens).await?;
    let postgres = on_core(load, Postgres::start)?;
    let url = format!("postgres://postgres@{}/postgres", postgres.address());
    filled.copy_to_postgres(&url).await?;
    let alone = Tokenhouse::start(&filled, Options { core, ..Options::default() })?;
    let mut fleet = Vec::new();
    let mut joined = 0.0;
    for core in [core, load, load] {
        let started = Instant::now();
        fleet.push(Tokenhouse::start(&filled, Options { core, store: Some(&url), ..Options::default() })?);
        joined = started.elapsed().as_secs_f64();
    }
    let wrk = Wrk::new(measuring)?;
    let requests: Vec<_> = filled.presented(10_000).map(|token| Request::forward_auth(&token)).collect();
    let mut cases = Vec::new();
    for (name, requests) in [("one token", &requests[..1]), ("10,000 tokens", &requests[..])] {
        for (server, who) in [(&alone, "a server alone"), (&fleet[0], "a node of three")] {
            cases.push((name, who, server, wrk.prepare(server.address, requests, 200)?));
        }
    }
    let runs = measuring.take_turns(cases.len(), |case| {
        for server in [&alone, &fleet[0]] {
            server.await_written_uses()?;
        }
        let (_, _, server, requests) = &cases[case];
        wrk.run(requests, &[server])
    })?;
    let mut table =
        vec![["forward-auth", "", "requests/s", "of a server alone", "by CPU time"].map(String::from)];
    let mut figures = Vec::new();
    for (case, (name, who, ..)) in cases.iter().enumerate() {
        let (rounds, base) = (&runs[case], &runs[case / 2 * 2]);
        let by_requests = ratio(rounds, base, |run| run.per_second);
        let by_cpu = ratio(base, rounds, |run| run.cpu_micros);
        let per_second = all(rounds, |run| run.per_second).text(0);
        table.push([(*name).into(), (*who).into(), per_second, by_requests.text(2), by_cpu.text(2)]);
        figures.push(json!({
            "case": name, "who": who, "of_alone": by_requests.json(), "of_alone_by_cpu": by_cpu.json(),
        }));
    }
    report::print(&table);
    println!("a node joined with {tokens} tokens in {joined:.2} s");
    Ok(json!({
        "tokens": tokens, "joined_in_seconds": joined, "forward_auth": figures,
    }))
}
